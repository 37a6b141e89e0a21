#!/usr/bin/env python3
"""imapclient_session.py PORT USER PASSWORD: the imapclient package against a server whose INBOX is empty."""

import datetime

import imapclient
from imapclient.exceptions import IMAPClientError
from imapclient.imapclient import SENT

import check

client = imapclient.IMAPClient(check.HOST, port=int(check.PORT), ssl=False, timeout=check.PATIENCE_S)
client.login(check.USER, check.PASSWORD)
check.true("namespace", client.namespace().personal)
client.create_folder("Été & Winter")
flags, separator, name = [f for f in client.list_folders() if f[2] == "Été & Winter"][0]
check.equal("separator", separator, b"/")
check.true("exists", client.folder_exists("Été & Winter"))
check.true("exists not", not client.folder_exists("Nothing"))

if client.has_capability("SPECIAL-USE"):
    check.equal("no folder for sent mail", client.find_special_folder(SENT), None)
    # Found by its use, because no client would guess this name.
    client.create_folder("Sent Items")
    client.rename_folder("Sent Items", "Ausgang")
    check.equal("the folder for sent mail", client.find_special_folder(SENT), "Ausgang")
    client.delete_folder("Ausgang")

when = datetime.datetime(2004, 11, 8, 10, 0, tzinfo=datetime.timezone.utc)
for number in range(1, 8):
    client.append("INBOX", check.message(number, body="ünï\n" if number == 7 else "hello\n"), [imapclient.SEEN] if number < 3 else [], when)
status = client.folder_status("INBOX", ["MESSAGES", "UNSEEN", "UIDNEXT"])
check.equal("status", (status[b"MESSAGES"], status[b"UNSEEN"]), (7, 5))
selected = client.select_folder("INBOX")
check.equal("exists", selected[b"EXISTS"], 7)
uids = client.search("ALL")
check.equal("uids", len(uids), 7)
check.equal("unseen", client.search("UNSEEN"), uids[2:])
check.equal("criteria with a charset", client.search(["BODY", "ünï"], charset="UTF-8"), uids[6:])
check.equal("or", client.search(["OR", "SUBJECT", "message 1", ["FROM", "s2"]]), uids[:2])

data = client.fetch(uids, ["ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE", "FLAGS", "RFC822.SIZE", "BODY.PEEK[]"])
for number, uid in enumerate(uids, 1):
    found = data[uid]
    envelope = found[b"ENVELOPE"]
    check.equal("subject", envelope.subject, b"message %d" % number)
    check.equal("from", (envelope.from_[0].name, envelope.from_[0].mailbox), (b"Sender %d" % number, b"s%d" % number))
    check.equal("message id", envelope.message_id, b"<%d@example.org>" % number)
    check.equal("size", found[b"RFC822.SIZE"], len(found[b"BODY[]"]))
    check.equal("kind", found[b"BODYSTRUCTURE"][:2], (b"text", b"plain"))
    check.equal("moment", found[b"INTERNALDATE"].timestamp(), when.timestamp())

client.add_flags(uids[2:4], [imapclient.FLAGGED, b"$Work"])
flags = {uid: sorted(f for f in found if f != b"\\Recent") for uid, found in client.get_flags(uids[2:4]).items()}
check.equal("flags", flags, {uid: [b"$Work", imapclient.FLAGGED] for uid in uids[2:4]})
client.remove_flags(uids[2], [b"$Work"])
check.equal("keyword", client.search(["KEYWORD", "$Work"]), [uids[3]])
client.copy(uids[:3], "Été & Winter")
if client.has_capability("MOVE"):
    client.move(uids[6:], "Été & Winter")
    check.equal("moved", client.search("ALL"), uids[:6])
else:
    client.delete_messages(uids[6:])
    client.expunge()
client.delete_messages(uids[:2])
client.expunge()
check.equal("expunged", client.search("ALL"), uids[2:6])

if client.has_capability("IDLE"):
    other = imapclient.IMAPClient(check.HOST, port=int(check.PORT), ssl=False, timeout=check.PATIENCE_S)
    other.login(check.USER, check.PASSWORD)
    other.select_folder("INBOX")
    client.idle()
    other.add_flags(uids[4], [imapclient.ANSWERED])
    other.append("INBOX", check.message(8))
    seen = []
    for _ in range(check.PATIENCE_S):
        seen += client.idle_check(timeout=1)
        if (5, b"EXISTS") in seen and any(r[1] == b"FETCH" for r in seen):
            break
    check.true(f"idle tells of the flag and the message: {seen}", (5, b"EXISTS") in seen and any(r[1] == b"FETCH" for r in seen))
    client.idle_done()
    other.logout()

if client.has_capability("CONDSTORE"):
    # Another session changes one message: that one alone is fetched.
    other = imapclient.IMAPClient(check.HOST, port=int(check.PORT), ssl=False, timeout=check.PATIENCE_S)
    other.login(check.USER, check.PASSWORD)
    check.equal("enabled", other.enable("CONDSTORE"), [b"CONDSTORE"])
    known = other.select_folder("INBOX")[b"HIGHESTMODSEQ"]
    check.equal("status", other.folder_status("INBOX", ["HIGHESTMODSEQ"])[b"HIGHESTMODSEQ"], known)
    client.select_folder("INBOX")
    uid = client.search("ALL")[0]
    client.add_flags(uid, ["$later"])
    check.equal("nothing is left out", list(other.fetch("1:*", ["FLAGS"], [f"CHANGEDSINCE {known}"])), [uid])
    changed = other.fetch("1:*", ["FLAGS"], [f"CHANGEDSINCE {known}"])[uid]
    check.true("the flag", b"$later" in changed[b"FLAGS"])
    check.true("a greater mod-sequence", changed[b"MODSEQ"][0] > known)
    check.equal("search", other.search(["MODSEQ", str(changed[b"MODSEQ"][0])]), [uid])
    other.logout()

client.rename_folder("Été & Winter", "Été/2004")
check.true("renamed", client.folder_exists("Été/2004"))
check.true("copies", client.select_folder("Été/2004", readonly=True)[b"EXISTS"] in (3, 4))
client.unselect_folder() if client.has_capability("UNSELECT") else client.close_folder()
client.delete_folder("Été/2004")
try:
    client.select_folder("Été/2004")
    check.true("a deleted folder cannot be selected", False)
except IMAPClientError:
    pass
client.logout()
check.done()
