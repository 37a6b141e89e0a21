#!/usr/bin/env python3
"""imapfilter_session.py PORT USER PASSWORD DIR: imapfilter (C, its rules in Lua) over STARTTLS: folders, searches, parts, flags, copies, moves, IDLE.

What it does is in imapfilter.lua; what it found and left behind is compared here.
"""

import os
import re
import threading
import time

import check
import server

HERE = os.path.dirname(os.path.abspath(__file__))
READY = f"{server.DIR}/ready"
MULTIPART = (b"From: Sender 7 <s7@example.org>\r\nSubject: message 7\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
             b"--x\r\nContent-Type: text/plain\r\n\r\none\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>two</p>\r\n--x--\r\n" + b"-" * 400 + b"\r\n")


def imapfilter(port, starttls):
    """Runs the script; gives {what: value} of what it printed. A BAD of the server is a failure."""
    debug = f"{server.DIR}/debug.{starttls}"
    environment = {"PORT": str(port), "SESSION_USER": check.USER, "PASSWORD": check.PASSWORD, "STARTTLS": starttls, "READY": READY}
    said = server.run("imapfilter", "-c", f"{HERE}/imapfilter.lua", "-t", server.TRUST, "-d", debug, env=environment)
    with open(debug, "rb") as file:
        bad = [line for line in file.read().splitlines() if b" BAD " in line[:40] or b" NO " in line[:40]]
    check.equal("nothing was refused", bad, [])
    return dict(line.split("\t", 1) for line in said.splitlines() if "\t" in line)


def structures(folder):
    """{UID: response} of the BODYSTRUCTURE of a folder."""
    imap = server.connect()
    imap.select(folder, readonly=True)
    found, uid = {}, None
    for item in imap.fetch("1:*", "(UID BODYSTRUCTURE)")[1]:
        # A response with literals comes in pieces.
        text = b"".join(item) if isinstance(item, tuple) else item
        number = re.match(rb"\d+ \(UID (\d+)", text)
        uid = int(number[1]) if number else uid
        found[uid] = found.get(uid, b"") + text
    imap.logout()
    return found


def deliver_when_ready():
    """Appends one message when the client is about to wait."""
    begun = time.monotonic()
    while not os.path.exists(READY) and time.monotonic() - begun < 1500:
        time.sleep(0.05)
    time.sleep(0.5)
    server.fill("INBOX", [check.message(9)])


def main():
    server.debian("imapfilter")
    server.fill("INBOX", [check.message(1), check.message(2)], "\\Seen")
    server.fill("INBOX", [check.message(n) for n in (3, 4, 5)])
    text = check.message(6, body="Grüße\n").replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n", 1)
    server.fill("INBOX", [text, MULTIPART])
    mail = server.mail()
    imap = server.connect()
    imap.create("Corpus")
    imap.logout()
    server.fill("Corpus", mail)
    large = sum(len(text) > 5000 for text in mail)

    waker = threading.Thread(target=deliver_when_ready, daemon=True)
    waker.start()
    found = imapfilter(check.PORT, "yes")
    waker.join()
    wanted = {
        "folders": "Archive|Corpus|INBOX|Listen", "below": "Listen/Reste", "status": "7,7,5,8", "all": "1,2,3,4,5,6,7", "unseen": "3,4,5,6,7",
        "subject": "3", "and": "4", "or": "1,6", "not": "7", "pattern": "5,6", "header": "2", "query": "4", "field": "Subject: message 2",
        "size": str(len(check.message(2))), "text": "hello", "length": str(len(check.message(2))), "structure": "text/plain text/html", "part": "<p>two</p>",
        "keyword": "3", "left": "1,2,3,4,7", "corpus": str(len(mail)), "small": str(len(mail) - large), "large": str(large + 1),
        "woken": "true",
    }
    for what, value in wanted.items():
        check.equal(what, found.get(what, "").strip(), value)
    # imapfilter cannot read a structure with an escaped quotation mark; it reads every other one.
    escaped = {str(uid) for uid, text in structures("Archive").items() if b'\\"' in text}
    check.true("structures", set(found["unread"].split(",")) - {""} <= escaped)
    flags = {"message 1": [], "message 2": [], "message 3": ["Arbeit", "\\Flagged"], "message 4": [], "message 7": [], "message 9": []}
    check.equal("INBOX", server.subjects("INBOX"), flags)
    check.equal("moved and copied", sorted(server.subjects("Listen/Reste")), ["message 4", "message 5"])
    check.equal("folders", {name: count for name, count in server.folders().items() if count},
                {"INBOX": 6, "Listen/Reste": 2, "Corpus": len(mail) - large, "Archive": large + 1})
    there = sorted(m.text for folder in ("Corpus", "Archive") for m in server.messages(folder) if not m.text.startswith(b"Subject: appended"))
    check.true("no octet of the corpus changed", there == sorted(mail))
    appended = [m for m in server.messages("Archive") if m.text.startswith(b"Subject: appended")]
    check.equal("appended", [m.flags for m in appended], [["Arbeit", "\\Answered", "\\Seen"]])
    check.equal("over the port with TLS", imapfilter(server.TLS_PORT, "no"), {"status": "6,0,6,9"})
    check.done()


if __name__ == "__main__":
    main()
