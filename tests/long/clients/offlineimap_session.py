#!/usr/bin/env python3
"""offlineimap_session.py PORT USER PASSWORD DIR: offlineimap (Python) keeps Maildirs and the server equal in both directions.

With three connections over STARTTLS, then over the port with TLS; in between both sides change. Without compression: imaplib2, on which it is
built, waits for more from the server while the rest of a well compressed answer lies in its own buffer.
"""

import email
import email.parser
import email.policy
import os
import re

import check
import server

LETTERS = {"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged", "D": "\\Draft", "T": "\\Deleted"}
CONFIG = f"""
[general]
accounts = all
metadata = {server.DIR}/metadata
maxsyncaccounts = 1
ui = basic

[Account all]
localrepository = near
remoterepository = far
utf8foldernames = yes

[Repository near]
type = Maildir
localfolders = {server.DIR}/maildirs
sep = /

[Repository far]
type = IMAP
remotehost = localhost
remoteuser = {check.USER}
remotepass = {check.PASSWORD}
sslcacertfile = {server.TRUST}
usecompression = no
maxconnections = 3
"""
KINDS = {"starttls": f"remoteport = {check.PORT}\nssl = no\nstarttls = yes\n", "tls": f"remoteport = {server.TLS_PORT}\nssl = yes\n"}


def sync(kind):
    with open(f"{server.DIR}/rc", "w") as file:
        file.write(CONFIG + KINDS[kind])
    said = server.run("offlineimap", "-o", "-c", f"{server.DIR}/rc")
    check.true(f"no error: {said[-2000:]}", "ERROR" not in said)


def carried(text):
    """Whether offlineimap carries a message as it is: it writes what Python's parser made of it, which some broken mail does not survive."""
    policy = email.policy.default.clone(cte_type="8bit", utf8=True, refold_source="none")
    try:
        return email.parser.BytesParser(policy=policy).parsebytes(text.replace(b"\r\n", b"\n")).as_bytes(policy=policy) == text.replace(b"\r\n", b"\n")
    except Exception:
        return False


def files(folder):
    found = []
    for sub in ("cur", "new"):
        path = f"{server.DIR}/maildirs/{folder}/{sub}"
        found += [f"{path}/{name}" for name in os.listdir(path)] if os.path.isdir(path) else []
    return sorted(found)


def key(text):
    """What tells messages apart: the text without what offlineimap puts into it, line ends and blanks at the end aside."""
    text = re.sub(rb"\AX-OfflineIMAP: [^\n]*\n|(?<=\n)X-OfflineIMAP: [^\n]*\n", b"", text.replace(b"\r\n", b"\n"), count=1)
    return text.rstrip()


def on_disk(folder):
    found = []
    for path in files(folder):
        letters = path.rsplit(":2,", 1)[1] if ":2," in path else ""
        with open(path, "rb") as file:
            found.append((key(file.read()), sorted(LETTERS[c] for c in letters if c in LETTERS)))
    return sorted(found)


def on_server(folder):
    there = server.messages(folder)
    return None if there is None else sorted((key(m.text), [flag for flag in m.flags if flag in LETTERS.values()]) for m in there)


def equal(what, folders):
    """Both sides hold the same messages with the same flags."""
    for name, mutf7 in folders.items():
        disk, there = on_disk(name), on_server(mutf7)
        check.equal(f"{what}: {name}, messages", len(disk), len(there))
        differing = [(a[0][:200], b[0][:200], a[1], b[1]) for a, b in zip(disk, there) if a != b]
        check.equal(f"{what}: {name}", differing[:2], [])


def path_of(folder, number):
    for path in files(folder):
        with open(path, "rb") as file:
            if email.message_from_binary_file(file)["Message-ID"] == f"<{number}@example.org>":
                return path
    raise SystemExit(f"message {number} is not in {folder}")


def mark(folder, number, letters):
    path = path_of(folder, number)
    os.rename(path, f"{server.DIR}/maildirs/{folder}/cur/{os.path.basename(path).split(':2,')[0]}:2,{letters}")


def main():
    server.debian("offlineimap3")
    imap = server.connect()
    for name in ("Liste", "Liste/Entw&APw-rfe", "Empty"):
        imap.create(server.quoted(name))
    server.fill("INBOX", [check.message(1)], "\\Seen \\Flagged")
    server.fill("INBOX", [check.message(n) for n in range(2, 7)])
    server.fill("Liste/Entw&APw-rfe", [check.message(n) for n in (11, 12)], "\\Draft")
    mail = [text for text in server.mail() if carried(text)]
    server.fill("Liste", mail)
    folders = {"INBOX": "INBOX", "Liste": "Liste", "Liste/Entwürfe": "Liste/Entw&APw-rfe", "Empty": "Empty"}
    sync("starttls")
    check.equal("messages of the corpus", len(files("Liste")), len(mail))
    equal("after the first time", folders)

    # Both sides change.
    imap.select("INBOX")
    imap.store("2", "+FLAGS", "(\\Answered)")
    imap.store("1", "-FLAGS", "(\\Flagged)")
    imap.store("3", "+FLAGS", "(\\Deleted)")
    imap.expunge()
    imap.append("INBOX", "(\\Seen)", None, check.message(7))
    mark("INBOX", 4, "FS")
    os.remove(path_of("INBOX", 5))
    for sub in ("cur", "new", "tmp"):
        os.makedirs(f"{server.DIR}/maildirs/Neü/{sub}")
    for folder, number in (("INBOX", 8), ("Neü", 21)):
        with open(f"{server.DIR}/maildirs/{folder}/new/1100000000.{number}.here", "wb") as file:
            file.write(check.message(number).replace(b"\r\n", b"\n"))
    folders["Neü"] = "Ne&APw-"
    sync("tls")
    equal("after changes", folders)
    found = {m.text.partition(b"Message-ID: <")[2].partition(b"@")[0].decode(): m.flags for m in server.messages("INBOX")}
    wanted = {"1": ["\\Seen"], "2": ["\\Answered"], "4": ["\\Flagged", "\\Seen"], "6": [], "7": ["\\Seen"], "8": []}
    check.equal("INBOX", found, wanted)
    check.equal("folders", set(server.folders()), {"INBOX", "Liste", "Liste/Entwürfe", "Empty", "Neü"})

    # Nothing to do any more.
    before = [server.messages(mutf7, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]") for mutf7 in folders.values()], [files(name) for name in folders]
    sync("starttls")
    after = [server.messages(mutf7, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]") for mutf7 in folders.values()], [files(name) for name in folders]
    check.true("a sync without changes", before == after)
    imap.logout()
    check.done()


if __name__ == "__main__":
    main()
