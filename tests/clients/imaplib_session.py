#!/usr/bin/env python3
"""imaplib_session.py PORT USER PASSWORD: Python's imaplib against a server whose INBOX is empty."""

import datetime
import imaplib
import re

import check

imap = imaplib.IMAP4(check.HOST, int(check.PORT), timeout=check.PATIENCE_S)
check.true("capability IMAP4rev1", "IMAP4REV1" in imap.capabilities)
try:
    imap.login(check.USER, "wrong")
    check.true("a wrong password is refused", False)
except imaplib.IMAP4.error:
    pass
imap.login(check.USER, check.PASSWORD)

# Mailboxes.
check.equal("create", imap.create('"Work Items"')[0], "OK")
check.equal("create below", imap.create('"Work Items/Sub"')[0], "OK")
check.equal("create again", imap.create('"Work Items"')[0], "NO")
names = sorted(re.search(rb'"/" (.*)$', line)[1].strip(b'"') for line in imap.list()[1])
check.equal("list", [n for n in names if n in (b"INBOX", b"Work Items", b"Work Items/Sub")], [b"INBOX", b"Work Items", b"Work Items/Sub"])
check.equal("subscribe", imap.subscribe('"Work Items"')[0], "OK")
check.true("lsub", any(line.endswith(b'"Work Items"') for line in imap.lsub()[1]))

if "LIST-EXTENDED" in imap.capabilities and "CREATE-SPECIAL-USE" in imap.capabilities:
    check.equal("create for a use", imap.create("Gesendet (USE (\\Sent))")[0], "OK")
    check.equal("create for a use that is taken", imap.create("More (USE (\\Sent))")[0], "NO")
    kind, found = imap.list('(SPECIAL-USE) ""', "*")
    check.equal("the folder by its use", found, [b'(\\Sent) "/" "Gesendet"'])
    check.equal("delete", imap.delete("Gesendet")[0], "OK")

# Appending and selecting.
for number in range(1, 6):
    kind, text = imap.append("INBOX", "(\\Seen)" if number == 1 else None, '"08-Nov-2004 10:00:00 +0100"', check.message(number))
    check.equal("append", kind, "OK")
check.equal("select", imap.select(), ("OK", [b"5"]))
check.true("uidvalidity", int(imap.response("UIDVALIDITY")[1][0]) > 0)
check.equal("uidnext", int(imap.response("UIDNEXT")[1][0]) > 5, True)

# Fetching.
kind, data = imap.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
check.equal("octets", data[0][1], check.message(1))
check.true("flags", b"\\Seen" in data[0][0])
stamp = re.search(rb'INTERNALDATE "([^"]*)"', data[0][0])[1].decode().strip()
check.equal("internal date", datetime.datetime.strptime(stamp, "%d-%b-%Y %H:%M:%S %z").timestamp(), 1099904400.0)
check.true("size", b"RFC822.SIZE %d" % len(check.message(1)) in data[0][0])
check.equal("header", imap.fetch("2", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0][1], b"Subject: message 2\r\n\r\n")
check.true("not seen after peek", b"\\Seen" not in imap.fetch("2", "(FLAGS)")[1][0])
check.equal("text", imap.fetch("2", "(RFC822.TEXT)")[1][0][1], b"hello\r\n")
check.true("seen after text", b"\\Seen" in imap.fetch("2", "(FLAGS)")[1][0])
envelope = imap.fetch("3", "(ENVELOPE)")[1][0]
envelope = envelope if isinstance(envelope, bytes) else b"".join(envelope)
check.true("envelope", b'"message 3" (("Sender 3" NIL "s3" "example.org"))' in envelope)

# Storing, copying, searching, expunging.
check.true("store", b"\\Flagged" in imap.store("3:4", "+FLAGS", "(\\Flagged)")[1][0])
check.equal("store a keyword", imap.store("3", "+FLAGS", "($Label1)")[0], "OK")
check.equal("search flagged", imap.search(None, "FLAGGED"), ("OK", [b"3 4"]))
check.equal("search keyword", imap.search(None, "KEYWORD", "$Label1"), ("OK", [b"3"]))
check.equal("search subject", imap.search(None, "SUBJECT", '"message 5"'), ("OK", [b"5"]))
check.equal("search body and not", imap.search(None, "BODY", "hello", "NOT", "FLAGGED"), ("OK", [b"1 2 5"]))
check.equal("search since", imap.search(None, "SENTSINCE", "4-Nov-2004"), ("OK", [b"3 4 5"]))
check.equal("copy", imap.copy("2:3", '"Work Items"')[0], "OK")
check.equal("copy to nowhere", imap.copy("2:3", "Nowhere")[0], "NO")
check.equal("status", re.search(rb"\((.*)\)", imap.status('"Work Items"', "(MESSAGES UNSEEN)")[1][0])[1], b"MESSAGES 2 UNSEEN 1")
imap.store("1,4", "+FLAGS.SILENT", "\\Deleted")
check.true("expunge", imap.expunge()[1] in ([b"1", b"3"], [b"4", b"1"]))
check.equal("uid search after expunge", imap.uid("SEARCH", None, "ALL")[1][0].split(), [b"2", b"3", b"5"])
uid_line = imap.uid("FETCH", "3", "(UID FLAGS)")[1][0]
check.true("uid fetch", b"UID 3" in uid_line and b"$Label1" in uid_line)

# Another session changes the folder while this one is idle.
other = imaplib.IMAP4(check.HOST, int(check.PORT), timeout=check.PATIENCE_S)
other.login(check.USER, check.PASSWORD)
if "IDLE" in imap.capabilities or "IDLE" in imap.capability()[1][0].decode().split():
    tag = imap._new_tag()
    imap.send(tag + b" IDLE\r\n")
    check.true("idle starts", imap.readline().startswith(b"+"))
    other.append("INBOX", None, None, check.message(6))
    lines = []
    while not lines or not lines[-1].endswith(b"EXISTS\r\n"):
        lines.append(imap.readline())
    check.equal("idle says", lines[-1], b"* 4 EXISTS\r\n")
    imap.send(b"DONE\r\n")
    line = imap.readline()
    while line.startswith(b"*"):
        line = imap.readline()
    check.true("idle ends", line.startswith(tag + b" OK"))
else:
    other.append("INBOX", None, None, check.message(6))
    imap.noop()
other.select()
other.store("1", "+FLAGS", "\\Answered")
imap.untagged_responses.clear()
imap.noop()
check.true("noop tells of flags", any(b"\\Answered" in line for line in imap.response("FETCH")[1] if line))
other.select(readonly=True)
try:
    refused = other.store("1", "+FLAGS", "\\Draft")[0] == "NO"
except imaplib.IMAP4.error:
    refused = True
check.true("read only", refused)

if "UTF8=ACCEPT" in imap.capabilities:
    wide = imaplib.IMAP4(check.HOST, int(check.PORT), timeout=check.PATIENCE_S)
    wide.login(check.USER, check.PASSWORD)
    check.equal("enable", wide.enable("UTF8=ACCEPT")[0], "OK")
    check.equal("create in UTF-8", wide.create('"Größe & mehr"')[0], "OK")
    check.true("list in UTF-8", any(line.endswith('"Größe & mehr"'.encode()) for line in wide.list('""', '"Gr%"')[1]))
    check.true("list in modified UTF-7", any(line.endswith(b'"Gr&APYA3w-e &- mehr"') for line in imap.list('""', '"Gr%"')[1]))
    check.equal("select in UTF-8", wide.select('"Größe & mehr"'), ("OK", [b"0"]))
    check.equal("close", wide.close()[0], "OK")
    check.equal("delete in UTF-8", wide.delete('"Größe & mehr"')[0], "OK")
    wide.logout()
if "QUOTA" in imap.capabilities:
    kind, (roots, _) = imap.getquotaroot("INBOX")
    check.equal("quota root", (kind, len(roots)), ("OK", 1))

check.equal("rename", imap.rename('"Work Items"', "Old")[0], "OK")
check.equal("select the renamed", imap.select("Old"), ("OK", [b"2"]))
check.equal("close", imap.close()[0], "OK")
check.equal("delete below", imap.delete("Old/Sub")[0], "OK")
check.equal("delete", imap.delete("Old")[0], "OK")
check.equal("select the deleted", imap.select("Old")[0], "NO")
check.equal("logout", imap.logout()[0], "BYE")
other.logout()
check.done()
