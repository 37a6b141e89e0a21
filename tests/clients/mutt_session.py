#!/usr/bin/env python3
"""mutt_session.py PORT USER PASSWORD DIR: mutt opens a folder, shows, flags, copies, saves and deletes messages.

mutt wants a terminal, so it gets a pseudo terminal; what it is to do is pushed as keys.
"""

import imaplib

import check
import terminal_mutt

DIR = check.ARGUMENTS[3]


def mutt(keys):
    return terminal_mutt.run(DIR, "ssl_starttls=no ssl_force_tls=no", f"imap://{check.HOST}:{check.PORT}/", keys)


imap = imaplib.IMAP4(check.HOST, int(check.PORT), timeout=check.PATIENCE_S)
imap.login(check.USER, check.PASSWORD)
for number in range(1, 6):
    imap.append("INBOX", None, None, check.message(number))
imap.create("Archive")


def flags(folder="INBOX"):
    imap.select(folder, readonly=True)
    found = [line.decode() for line in imap.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1] if isinstance(line, bytes) is False
             for line in [line[0] + b" " + line[1]]]
    result = {}
    for line in found:
        subject = line.split("Subject: ")[1].strip()
        words = line.split("FLAGS (")[1].split(")")[0].split()
        result[subject] = sorted(w for w in words if w not in ("\\Recent", "NonJunk"))
    return result


# The index, and every message through a pipe.
shown = mutt(f"<tag-pattern>~A<enter><tag-prefix><pipe-message>cat >>{DIR}/piped<enter><exit>")
for number in range(1, 6):
    check.true(f"the index shows message {number}", f"message {number}".encode() in shown)
with open(f"{DIR}/piped", "rb") as file:
    piped = file.read().replace(b"\r\n", b"\n")
check.equal("subjects of what was piped", [line for line in piped.split(b"\n") if line.startswith(b"Subject")],
            [b"Subject: message %d" % n for n in range(1, 6)])

# Reading, flagging, replying to nothing, deleting, copying, saving.
mutt("<display-message><exit><quit>")
check.equal("read", flags()["message 1"], ["\\Seen"])
mutt("<jump>2<enter><flag-message><jump>3<enter><set-flag>r<sync-mailbox><quit>")
found = flags()
check.equal("flagged", found["message 2"], ["\\Flagged"])
check.true("answered", "\\Answered" in found["message 3"])
mutt("<jump>4<enter><delete-message><sync-mailbox><quit>")
check.equal("deleted", sorted(flags()), ["message 1", "message 2", "message 3", "message 5"])
mutt("<jump>2<enter><copy-message>=Archive<enter><quit>")
check.equal("copied", sorted(flags("Archive")), ["message 2"])
mutt("<limit>~s \"message 5\"<enter><save-message>=Archive<enter><quit>")
check.equal("saved", (sorted(flags("Archive")), sorted(flags())), (["message 2", "message 5"], ["message 1", "message 2", "message 3"]))
# A search that the server answers.
shown = mutt("<limit>=b hello<enter><tag-pattern>~A<enter><tag-prefix><clear-flag>N<sync-mailbox><quit>")
check.true("seen after tagging", all("\\Seen" in f for f in flags().values()))
imap.logout()
check.done()
