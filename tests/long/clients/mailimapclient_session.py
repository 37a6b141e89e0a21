#!/usr/bin/env python3
"""mailimapclient_session.py PORT USER PASSWORD DIR: Mail::IMAPClient (Perl) over TLS, and over STARTTLS with compression.

What it does is in mailimapclient.pl; what it found and left behind is compared here.
"""

import os

import check
import server

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = f"{server.DIR}/corpus"


def main():
    server.debian("libmail-imapclient-perl")
    mail = server.mail()
    os.mkdir(CORPUS)
    for number, text in enumerate(mail):
        with open(f"{CORPUS}/{number:06}", "wb") as file:
            file.write(text)
    environment = {"PORT": check.PORT, "TLS_PORT": str(server.TLS_PORT), "SESSION_USER": check.USER, "PASSWORD": check.PASSWORD, "TRUST": server.TRUST, "CORPUS_DIR": CORPUS}
    found = dict(line.split("\t", 1) for line in server.run("perl", f"{HERE}/mailimapclient.pl", env=environment).splitlines())
    size = len(b"From: s3@example.org\r\nSubject: message 3\r\nMessage-ID: <3@example.org>\r\n\r\nhello 3\r\n")
    count = len(mail)
    wanted = {
        "tls": "yes", "capabilities": "yes,yes,yes,yes", "folders": "INBOX,New,Work", "exists": "yes,no", "uids": "1,2,3,4,5,6", "count": "6", "unseen": "3,4,5,6",
        "seen": "1,2", "search": "4", "or": "1,5", "sort": "6,5,4,3,2,1", "subject": "message 3", "size": str(size), "string": "same", "body": "hello 3",
        "type": "TEXT", "envelope": "message 3", "fetched": "1,2,3,4,5,6", "flagged": "3,4", "left": "1,2,4,6", "status": "3",
        "corpus": f"{count},{count},{count},{count}",
    }
    for what, value in wanted.items():
        check.equal(what, found.get(what), value)
    flags = {"message 1": [], "message 2": ["\\Seen"], "message 4": ["\\Flagged"], "message 6": []}
    check.equal("INBOX", server.subjects("INBOX"), flags)
    check.equal("Work", server.subjects("Work"), {"message 1": [], "message 2": ["\\Seen"], "message 3": ["\\Flagged"]})
    check.equal("folders", server.folders(), {"INBOX": 4, "Work": 3, "New": count})
    check.true("the corpus", [m.text for m in server.messages("New")] == mail)
    check.done()


if __name__ == "__main__":
    main()
