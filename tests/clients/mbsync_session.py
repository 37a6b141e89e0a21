#!/usr/bin/env python3
"""mbsync_session.py PORT USER PASSWORD DIR: mbsync keeps a Maildir and the server equal in both directions."""

import email
import imaplib
import os
import re
import subprocess
import sys

import check

DIR = check.ARGUMENTS[3]
LETTERS = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "D": "\\Draft", "T": "\\Deleted"}
CONFIG = f"""
IMAPAccount server
Host {check.HOST}
Port {check.PORT}
User {check.USER}
Pass {check.PASSWORD}
SSLType None
AuthMechs LOGIN

IMAPStore far
Account server

MaildirStore near
Path {DIR}/mail/
Inbox {DIR}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX Work Work/*
Create Both
Remove Both
Expunge Both
SyncState *
Sync All
"""


def sync():
    done = subprocess.run(["mbsync", "-c", f"{DIR}/mbsyncrc", "-a"], capture_output=True, timeout=check.PATIENCE_S, env={**os.environ, "HOME": DIR})
    if done.returncode:
        sys.exit(f"mbsync ended with {done.returncode}: {done.stdout.decode()}{done.stderr.decode()}")


def connect():
    imap = imaplib.IMAP4(check.HOST, int(check.PORT), timeout=check.PATIENCE_S)
    imap.login(check.USER, check.PASSWORD)
    return imap


def on_server(folder):
    """{Message-ID: flags}, and everything that a sync could change."""
    imap = connect()
    if imap.select(folder, readonly=True)[0] != "OK":
        return None, None
    found, state = {}, []
    for item in imap.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]:
        if isinstance(item, tuple):
            text = item[0].decode()
            flags = re.search(r"FLAGS \(([^)]*)\)", text)[1].split()
            found[item[1].decode().split(":")[1].strip()] = sorted(f for f in flags if f in LETTERS.values())
            state.append((re.search(r"UID (\d+)", text)[1], sorted(f for f in flags if f != "\\Recent")))
    imap.logout()
    return found, state


def files(folder):
    path = f"{DIR}/mail/{folder}"
    return sorted(f"{path}/{sub}/{name}" for sub in ("cur", "new") if os.path.isdir(f"{path}/{sub}") for name in os.listdir(f"{path}/{sub}"))


def message_id(path):
    with open(path, "rb") as file:
        return email.message_from_binary_file(file)["Message-ID"]


def on_disk(folder):
    found = {}
    for path in files(folder):
        letters = path.rsplit(":2,", 1)[1] if ":2," in path else ""
        found[message_id(path)] = sorted(LETTERS[c] for c in letters if c in LETTERS)
    return found


def file_of(folder, number):
    return next(path for path in files(folder) if message_id(path) == f"<{number}@example.org>")


def mark(folder, number, letters):
    path = file_of(folder, number)
    os.rename(path, f"{DIR}/mail/{folder}/cur/{os.path.basename(path).split(':2,')[0]}:2,{letters}")


def write(folder, number):
    with open(f"{DIR}/mail/{folder}/new/1100000000.{number}.here", "wb") as file:
        file.write(check.message(number).replace(b"\r\n", b"\n"))


with open(f"{DIR}/mbsyncrc", "w") as file:
    file.write(CONFIG)
os.makedirs(f"{DIR}/mail")
imap = connect()
imap.create("Work")
for number in range(1, 7):
    imap.append("INBOX", "(\\Seen)" if number == 1 else None, None, check.message(number))
for number in (11, 12):
    imap.append("Work", "(\\Flagged)", None, check.message(number))

# From the server into an empty Maildir.
sync()
for folder, count in (("INBOX", 6), ("Work", 2)):
    server, _ = on_server(folder)
    check.equal(f"messages in {folder}", len(server), count)
    check.equal(f"{folder} after the first sync", on_disk(folder), server)
with open(file_of("INBOX", 3), "rb") as file:
    text = file.read()
check.equal("octets", re.sub(rb"X-TUID: .*\n", b"", text), check.message(3).replace(b"\r\n", b"\n"))

# Changes on both sides.
imap.select("INBOX")
imap.store("1", "-FLAGS", "\\Seen")
imap.store("2", "+FLAGS", "(\\Flagged \\Answered)")
imap.store("3", "+FLAGS", "\\Deleted")
imap.expunge()
imap.append("INBOX", "(\\Draft)", None, check.message(7))
imap.append("Work", None, None, check.message(13))
mark("INBOX", 4, "S")
mark("INBOX", 5, "ST")
mark("Work", 11, "FRS")
write("INBOX", 8)
os.makedirs(f"{DIR}/mail/Work/Deep/cur")
os.makedirs(f"{DIR}/mail/Work/Deep/new")
os.makedirs(f"{DIR}/mail/Work/Deep/tmp")
write("Work/Deep", 21)
sync()
sync()
wanted = {"<1@example.org>": [], "<2@example.org>": ["\\Answered", "\\Flagged"], "<4@example.org>": ["\\Seen"], "<6@example.org>": [],
          "<7@example.org>": ["\\Draft"], "<8@example.org>": []}
check.equal("INBOX on the server", on_server("INBOX")[0], wanted)
check.equal("INBOX on disk", on_disk("INBOX"), wanted)
wanted = {"<11@example.org>": ["\\Answered", "\\Flagged", "\\Seen"], "<12@example.org>": ["\\Flagged"], "<13@example.org>": []}
check.equal("Work on the server", on_server("Work")[0], wanted)
check.equal("Work on disk", on_disk("Work"), wanted)
check.equal("a folder made on disk", on_server("Work/Deep")[0], {"<21@example.org>": []})

# Nothing to do any more.
before = [on_server(f)[1] for f in ("INBOX", "Work", "Work/Deep")], [files(f) for f in ("INBOX", "Work", "Work/Deep")]
sync()
after = [on_server(f)[1] for f in ("INBOX", "Work", "Work/Deep")], [files(f) for f in ("INBOX", "Work", "Work/Deep")]
check.equal("a sync without changes", after, before)
imap.logout()
check.done()
