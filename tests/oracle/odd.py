#!/usr/bin/env python3
"""odd.py FILE [CORPUS]

Writes an mbox file of messages that are hard to read: written by hand, one peculiarity each; and, with CORPUS (another
mbox file), a few hundred of its MIME messages damaged in ways that a fixed seed decides.
"""

import random
import sys

import mbox

TOP = "From: a@example.org\nDate: Mon, 2 Nov 2026 10:00:00 +0100\n"
MIXED = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="


def text(more, body="hello\n"):
    return TOP + more + "\n" + body


def parts(*bodies, boundary="b", end=True):
    return "".join(f"--{boundary}\n{body}\n" for body in bodies) + (f"--{boundary}--\n" if end else "")


def nested(depth):
    body = "\nleaf\n"
    for level in range(depth):
        body = f"Content-Type: multipart/mixed; boundary=n{level}x\n\n--n{level}x\n{body}\n--n{level}x--\n"
    return TOP + body


MESSAGES = [
    # Header fields.
    text("Subject: first\nSubject: second\nMessage-ID: <1@x>\nMessage-ID: <2@x>\nIn-Reply-To: <3@x>\nIn-Reply-To: <4@x>\n"),
    text("Date: Tue, 3 Nov 2026 11:00:00 +0000\n"),
    text("From: b@example.org\nTo: c@d\nTo: e@f\nSender:\nReply-To: \nCc: <>\nBcc: x: ;\n"),
    text("Subject:\n"), text("Subject: \n folded   on  \n\tthree lines\n"), text("Subject: a\n \n b\n"),
    text("Subject : blank before the colon\nTo : x@y\n"), text("no colon here\nSubject: behind\n"),
    text("Subject: =?utf-8?Q?Z=C3=BCrich?= =?iso-8859-1?q?_is?=\nTo: =?utf-8?q?Z=C3=BC?= <a@b>\n"),
    text("Subject: Zürich\nTo: Zürich <a@b>\n"), text('Subject: "quoted" \\ back\n'),
    text("To: a@b, c d <e@f>, \"g, h\" <i@j>, <@k,@l:m@n>, o (p) <q@r>, s@t (u), v: w@x, y@z;, (c) d@e (f)\n"),
    text("To: a@b c@d\nCc: a@b; c@d; e@f\nBcc: <a@b\n"), text("To: \"open <a@b>\nCc: (open a@b\nBcc: a@[1.2.3.4], b@[IPv6:::1]\n"),
    text("To: undisclosed-recipients:;\nCc: list: a@b, c@d; , e@f\nBcc: A:B:C@d;;\n"),
    text("To: =?utf-8?Q?a,b?= <c@d>, e . f @ g . h, i\\@j@k, 'l m' <n@o>, p@q.\n"),
    text("To: <a b@c>, a@b@c, @d, e@, <f>, g, <@h>, <:i@j>\n"), text("Message-ID: no brackets\nIn-Reply-To: a (b) <c@d> e\n"),
    text("Message-ID:\n <folded@x>\nIn-Reply-To:\n <a@b>\n <c@d>\n"), "\nno header\n", "Subject: only a header\n",
    "Subject: no line end", "Subject: x\n\n", "no header at all, just text\nmore\n", " starts with white space\nSubject: x\n\nb\n",
    # One part.
    text("Content-Type: text/plain\n"), text("MIME-Version: 1.0\nContent-Type: text/plain; charset\n"),
    text("Content-Type: text\n"), text("Content-Type:\n"), text("Content-Type: /plain\n"), text("Content-Type: a/b/c\n"),
    text("Content-Type: text/html; charset=\"utf-8\n"), text("Content-Type: TEXT/HTML; CHARSET=UTF-8; x=1; x=2\n"),
    text("Content-Type: text/plain; charset=utf-8 (comment); format=flowed;\n"),
    text("Content-Type: text/plain (comment) ; (c) charset = (d) utf-8\n"), text("Content-Type: text / plain\n"),
    text("Content-Type: application/octet-stream; name=\"a \\\"b\\\" c.pdf\"\n"),
    text("Content-Type: application/pdf; name=unquoted with blanks.pdf\n"),
    text("Content-Type: application/pdf; name*=utf-8''a%20b.pdf\n"),
    text("Content-Type: application/pdf; name*0=\"first \"; name*1=second\n"),
    text("Content-Type: application/pdf; name*1=second; name*0=first; x=y\n"),
    text("Content-Type: application/pdf; name*0*=utf-8''a%20; name*1*=b%20; name*2=c\n"),
    text("Content-Type: application/pdf; name=\"=?utf-8?Q?=C3=BC?=\"\nContent-Description: =?utf-8?Q?=C3=BC?= x\n"),
    text("Content-Type: application/pdf\nContent-Disposition: attachment; filename*0=a; filename*1=b; size=3\n"),
    text("Content-Type: application/pdf\nContent-Disposition: inline\n"), text("Content-Disposition: attachment;\n"),
    text("Content-Disposition: attachment; filename=a b c.txt\n"), text("Content-Disposition: \"attachment\"; x=y\n"),
    text("Content-Transfer-Encoding: base64 \nContent-Type: image/png\n"), text("Content-Transfer-Encoding: 8bit (x)\n"),
    text("Content-Transfer-Encoding:\nContent-Type: image/png\n"), text("Content-Transfer-Encoding: quoted printable\nContent-Type: image/png\n"),
    text("Content-ID: <a@b>\nContent-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\nContent-Language: en, de (x), fr\nContent-Location: http://x/y\n"),
    text("Content-ID:  a b \nContent-Description:  two  blanks \n folded\nContent-Language:\nContent-Location:\n http://x/\n y\n"),
    text("Content-Type: text/plain\nContent-Type: text/html\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n"),
    text("", "no text"), text("", ""), text("", "\n"), text("", "a\n\n\nb\n\n"), text("", "ü\n" * 3),
    text("", "x" * 20000 + "\n"), text("X-Long: " + "y" * 20000 + "\nSubject: behind\n"),
    # Multiparts.
    text(MIXED + "b\n", parts("\none", "\ntwo")), text(MIXED + "b\n", parts("\none", "\ntwo", end=False)),
    text(MIXED + "\"b c\"\n", parts("\none", boundary="b c")), text(MIXED + "b \n", "preamble\n" + parts("\none") + "epilogue\n"),
    text(MIXED + "b\n", ""), text(MIXED + "b\n", "no parts\n"), text(MIXED + "b\n", "--b--\n"), text(MIXED + "b\n", "--b\n--b--\n"),
    text(MIXED + "b\n", "--b\n\n--b--\n"), text(MIXED + "b\n", parts("Content-Type: text/html", "\n", "")),
    text(MIXED + "\n", parts("\none")), text("Content-Type: multipart/mixed\n", parts("\none")),
    text(MIXED + "\"\"\n", "--\n\none\n----\n"), text(MIXED + "b\n", "--b  \n\none\n--b--  \n"),
    text(MIXED + "b\n", "--bb\n\none\n--b\n\ntwo\n--b-\n\nthree\n--b--\n"), text(MIXED + "b\n", " --b\n\none\n--b--\n"),
    text("Content-Type: multipart/mixed;\n boundary=\"b\";\n\tcharset=x\n", parts("\none")),
    text("Content-Type: multipart/MIXED; Boundary=b\nContent-Language: en\n", parts("\none")),
    text("Content-Type: multipart; boundary=b\n", parts("\none")), text("Content-Type: multipart/digest; boundary=b\n",
        parts("\nSubject: in\n\nbody\n", "Content-Type: text/plain\n\ntext", "Content-Type: message/rfc822\n\nSubject: x\n\ny")),
    text(MIXED + "o\n", parts("Content-Type: multipart/alternative; boundary=oi\n\n" + parts("\none", "\ntwo", boundary="oi"), "\nthree", boundary="o")),
    text(MIXED + "o\n", parts("Content-Type: multipart/alternative; boundary=i\n\n" + parts("\none", boundary="i", end=False), "\nthree", boundary="o")),
    text(MIXED + "o\n", parts("Content-Type: multipart/alternative; boundary=o\n\n" + parts("\none", boundary="o"), "\nthree", boundary="o")),
    text(MIXED + "o\n", parts("Content-Type: multipart/alternative; boundary=i\n\npre\n" + parts("\none", boundary="i") + "post\n\n", "\nthree", boundary="o")),
    text(MIXED + "b\n", parts("Content-Transfer-Encoding: base64\nContent-Type: multipart/alternative; boundary=i\n\n" + parts("\none", boundary="i"))),
    text(MIXED + "b\n", parts("\none") + "\n--b\n\nbehind the end\n--b--\n"), text(MIXED + "b\n", "--b\nContent-Type: text/html\n--b--\n"),
    text(MIXED + "b\n", "--b\nContent-Type: text/plain; x=\n y\n\n\n\n--b--"), text("Content-Type: multipart/related; boundary=b; type=\"text/html\"; start=\"<a>\"\n",
        parts("Content-ID: <a>\nContent-Type: text/html\n\n<p>", "Content-ID: <b>\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA")),
    # Messages in messages.
    text("Content-Type: message/rfc822\n", "Subject: in\nTo: a@b\n\nbody\n"), text("Content-Type: message/rfc822\n", ""),
    text("Content-Type: message/rfc822\n", "\nbody only\n"), text("Content-Type: message/rfc822\n", "Subject: header only\n"),
    text("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n", "U3ViamVjdDogaW4KCmJvZHkK\n"),
    text(MIXED + "b\n", parts("Content-Type: message/rfc822\n\nSubject: in\nContent-Type: multipart/mixed; boundary=i\n\n" + parts("\none", "\ntwo", boundary="i"), "\nlast")),
    text(MIXED + "b\n", parts("Content-Type: message/rfc822\n\nSubject: in", "Content-Type: message/rfc822\n", "Content-Type: message/rfc822\n\n")),
    text(MIXED + "b\n", parts("Content-Type: message/rfc822; x=y\nContent-Disposition: attachment; filename=m.eml\n\nContent-Type: message/rfc822\n\nSubject: deep\n\nx")),
    text("Content-Type: message/partial; id=x; number=1\n", "x\n"), text("Content-Type: message/delivery-status\n", "A: b\n\nC: d\n"),
    text("Content-Type: message/external-body; access-type=URL; URL=\"http://x\"\n", "Content-Type: image/png\n\n"),
    text("Content-Type: message/global\n", "Subject: ü\n\nbody\n"), nested(5), nested(30),
]


def damage(message, random_):
    lines = message.split(b"\r\n")
    for _ in range(random_.randint(1, 4)):
        at = random_.randrange(len(lines))
        kind = random_.randrange(6)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, b"")
        elif kind == 2:
            lines.insert(at, random_.choice(lines))
        elif kind == 3:
            del lines[at + 1:at + random_.randint(1, 40)]
        elif kind == 4 and lines[at]:
            cut = random_.randrange(len(lines[at]))
            lines[at] = lines[at][:cut] + random_.choice([b"", b'"', b"(", b";", b" ", b"<", b"--", b","]) + lines[at][cut + 1:]
        else:
            boundary = [line for line in lines if line.startswith(b"--")]
            if boundary:
                lines.insert(at, random_.choice(boundary))
        if not lines:
            return b"\r\n"
    return b"\r\n".join(lines)


def main():
    random_ = random.Random(20261123)
    messages = [m.encode("utf-8").replace(b"\n", b"\r\n") for m in MESSAGES]
    if len(sys.argv) > 2:
        mime = [m for _, m in mbox.messages(sys.argv[2]) if b"multipart/" in m.lower() and len(m) < 30000]
        messages += [damage(random_.choice(mime), random_) for _ in range(600)]
    with open(sys.argv[1], "wb") as file:
        for message in messages:
            end = b"\n" if message.endswith(b"\n") else b"\r\n\n"
            file.write(b"From odd@example.org Mon Nov 23 10:00:00 2026\n" + message.replace(b"\nFrom ", b"\n>From ") + end)
    print(f"{len(messages)} messages, {len(MESSAGES)} of them by hand")


if __name__ == "__main__":
    main()
