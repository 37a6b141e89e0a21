#!/usr/bin/env python3
"""roundcube_session.py PORT USER PASSWORD DIR: Roundcube as its user sees it, over STARTTLS and over the port with TLS, its caches on.

The messages are small ones, which are followed one by one, and a folder with the corpus, which is paged through and searched.
"""

import os
import re

import check
import corpus
import roundcube
import server

PAGE = 50


def folder_list(web):
    """The folders on the page of the mail, in modified UTF-7."""
    return set(web.environment(web.page(task="mail"))["mailboxes"])


def read_and_flag(web):
    """The list of INBOX, a message, flags."""
    found, env = web.listed("INBOX")
    check.equal("messages", env["messagecount"], 6)
    check.equal("subjects", [text for text, _ in found.values()], [f"message {n}" for n in (6, 5, 4, 3, 2, 1)])
    check.true("nothing is seen", not any(flags.get("seen") for _, flags in found.values()))
    page = web.page(task="mail", action="show", uid=2, mbox="INBOX")
    check.true("the text", "the second text" in page)
    check.true("the sender", "s2@example.org" in page)
    check.equal("seen by opening", server.subjects("INBOX")["message 2"], ["\\Seen"])
    source = web.send({"_task": "mail", "_action": "viewsource", "_uid": "2", "_mbox": "INBOX"})
    # Roundcube leaves the last line end out.
    wanted = check.message(2, body="the second text\n").decode().replace("\r\n", "\n").rstrip("\n")
    check.equal("the source", source.replace("\r\n", "\n").rstrip("\n"), wanted)
    web.call("mail", "mark", {"uid": "1", "mbox": "INBOX", "flag": "flagged"})
    web.call("mail", "mark", {"uid": "1,3", "mbox": "INBOX", "flag": "read"})
    web.call("mail", "mark", {"uid": "2", "mbox": "INBOX", "flag": "unread"})
    found = server.subjects("INBOX")
    wanted = {"message 1": ["\\Flagged", "\\Seen"], "message 2": [], "message 3": ["\\Seen"], "message 4": [], "message 5": [], "message 6": []}
    check.equal("flags", found, wanted)
    listed, _ = web.listed("INBOX")
    check.equal("flags in the list", sorted(uid for uid, (_, flags) in listed.items() if flags.get("seen")), [1, 3])
    check.equal("the flagged one", [uid for uid, (_, flags) in listed.items() if flags.get("flagged")], [1])


def change_behind(web):
    """Others change the mailbox: the cache learns of it."""
    imap = server.connect()
    imap.select("INBOX")
    imap.store("4", "+FLAGS", "(\\Answered)")
    imap.store("5", "+FLAGS", "(\\Deleted)")
    imap.expunge()
    imap.append("INBOX", None, None, check.message(7))
    imap.logout()
    _, commands = web.call("mail", "refresh", {"mbox": "INBOX", "list": "1", "quota": "1", "folderlist": "1"})
    check.equal("after a refresh", [text for text, _ in roundcube.rows(commands).values()], [f"message {n}" for n in (7, 6, 4, 3, 2, 1)])
    listed, env = web.listed("INBOX")
    check.equal("the list", sorted(listed), [1, 2, 3, 4, 6, 7])
    check.true("answered", listed[4][1].get("answered"))
    check.equal("counted", env["messagecount"], 6)


def search(web):
    def found(text, headers, **more):
        _, commands = web.call("mail", "search", q=text, headers=headers, mbox="INBOX", scope=more.pop("scope", "base"), **more)
        return sorted(roundcube.rows(commands))

    check.equal("by subject", found("message 3", "subject"), [3])
    check.equal("by text", found("second text", "text"), [2])
    check.equal("by sender, with a filter", found("example", "from", filter="UNSEEN"), [2, 4, 6, 7])
    check.equal("letters beyond ASCII", found("Grüße", "text"), [6])
    check.equal("in all folders", len(found("message", "subject", scope="all")), 6)


def folders(web):
    save = lambda name, old="", parent="": web.form("settings", "save-folder", {"name": name, "mbox": old, "parent": parent, "viewmode": "0"})
    web.page(task="settings", action="folders")
    save("Entwürfe & Reste")
    check.true("made", "Entwürfe & Reste" in server.folders())
    save("Below", parent="Entw&APw-rfe &- Reste")
    check.true("made below", "Entwürfe & Reste/Below" in server.folders())
    save("Projekt", old="Entw&APw-rfe &- Reste")
    check.true("renamed", {"Projekt", "Projekt/Below"} <= set(server.folders()))
    check.true("shown", {"Projekt", "Projekt/Below"} <= folder_list(web))
    web.page(task="settings", action="folders")
    web.call("settings", "unsubscribe", {"mbox": "Projekt/Below"})
    check.true("not subscribed", "Projekt/Below" not in folder_list(web))
    web.page(task="settings", action="folders")
    web.call("settings", "subscribe", {"mbox": "Projekt/Below"})
    web.call("settings", "delete-folder", {"mbox": "Projekt/Below"})
    check.true("deleted", "Projekt/Below" not in server.folders())


def move(web):
    web.page(task="mail", mbox="INBOX")
    web.call("mail", "move", {"uid": "3,4", "mbox": "INBOX", "target_mbox": "Projekt"})
    check.equal("moved", server.subjects("Projekt"), {"message 3": ["\\Seen"], "message 4": ["\\Answered"]})
    web.call("mail", "copy", {"uid": "1", "mbox": "INBOX", "target_mbox": "Projekt"})
    check.equal("copied", server.subjects("Projekt")["message 1"], ["\\Flagged", "\\Seen"])
    web.call("mail", "move", {"uid": "6", "mbox": "INBOX", "target_mbox": "Trash"})
    check.equal("in the trash", list(server.subjects("Trash")), ["message 6"])
    listed, _ = web.listed("INBOX")
    check.equal("what is left", sorted(listed), [1, 2, 7])
    web.call("mail", "mark", {"uid": "7", "mbox": "INBOX", "flag": "delete"})
    web.call("mail", "expunge", {"mbox": "INBOX"})
    check.equal("expunged", list(server.subjects("INBOX")), ["message 1", "message 2"])
    web.call("mail", "purge", {"mbox": "Trash"})
    check.equal("the trash is empty", server.subjects("Trash"), {})


def compose(web):
    """A draft with an attachment, saved twice; then kept as sent."""
    page = web.page(task="mail", action="compose")
    env = web.environment(page)
    ident = env["compose_id"] if "compose_id" in env else re.search(r"_id=(\w+)", web.url)[1]
    sender = re.search(r'name="_from"[^>]*>\s*<option value="(\d+)"', page)
    form = {"id": ident, "from": sender[1] if sender else re.search(r'name="_from" value="([^"]+)"', page)[1], "to": "Jörg <j@example.net>",
            "subject": "Ein Entwurf für später", "message": "Grüße\n.\nFrom the first line\n", "is_html": "0", "draft": "1", "attachments": "", "store_target": "Sent"}
    mark = "-----------------------------7d41"
    part = f'--{mark}\r\nContent-Disposition: form-data; name="_attachments[]"; filename="Maße.bin"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = part.encode() + bytes(range(256)) * 300 + f"\r\n--{mark}--\r\n".encode()
    text = web.send({"_task": "mail", "_action": "upload", "_id": ident, "_uploadid": "u1", "_remote": "1", "_from": "compose"}, body,
                    {"Content-Type": f"multipart/form-data; boundary={mark}", "X-Roundcube-Request": web.token})
    check.true(f"uploaded: {text[:200]}", "add2attachment_list" in text)
    said = web.form("mail", "send", form)
    first = re.search(r'set_draft_id\("?(\d+)', said)[1]
    check.equal("one draft", list(server.folders()[name] for name in ("Drafts",)), [1])
    said = web.form("mail", "send", {**form, "message": "Zweite Fassung\n", "draft_saveid": first})
    second = re.search(r'set_draft_id\("?(\d+)', said)[1]
    check.true("another UID", int(second) > int(first))
    draft, = server.messages("Drafts")
    check.equal("the second one only", (draft.uid, draft.flags), (int(second), ["\\Seen"]))
    check.true("its text", b"Zweite Fassung" in draft.text and b"=?UTF-8?" in draft.text.split(b"\r\n\r\n")[0])
    env = web.environment(web.page(task="mail", action="show", uid=second, mbox="Drafts"))
    part = next(iter(env["attachments"])) if isinstance(env.get("attachments"), dict) else "2"
    with web.opener.open(f"{web.base}?_task=mail&_action=get&_mbox=Drafts&_uid={second}&_part={part}&_download=1&_token={web.token}", timeout=check.PATIENCE_S) as answer:
        check.true("the attachment comes back", answer.read() == bytes(range(256)) * 300)
    web.form("mail", "send", {**form, "draft": "", "message": "Fertig\n", "draft_saveid": second}, saveonly="1")
    check.equal("kept as sent", (server.folders()["Drafts"], server.folders()["Sent"]), (0, 1))


def large(web):
    """The corpus in a folder: every page of the list, the last messages, a sort by the server, threads, and one search over all."""
    mail = server.mail()
    server.fill("Projekt", mail)
    had = 3
    web.page(task="mail", mbox="Projekt")
    count = len(mail) + had
    seen = set()
    for number in range(1, (count + PAGE - 1) // PAGE + 1):
        listed, env = web.listed("Projekt", number, sort="size_DESC")
        check.equal("the count", env["messagecount"], count)
        check.true("nothing twice", not seen & set(listed))
        seen |= set(listed)
    check.equal("every message was listed", len(seen), count)
    sizes = {m.uid: len(m.text) for m in server.messages("Projekt")}
    first, _ = web.listed("Projekt", 1, sort="size_DESC")
    check.equal("the greatest first", [sizes[uid] for uid in first], sorted(sizes.values(), reverse=True)[:PAGE])
    for uid in list(first)[:20]:
        page = web.page(task="mail", action="show", uid=uid, mbox="Projekt")
        check.true(f"message {uid} is shown", 'id="messagebody"' in page)
    word = corpus.Corpus(os.environ["CORPUS"]).word("Subject")
    _, commands = web.call("mail", "search", q=word, headers="subject", mbox="Projekt", scope="base")
    imap = server.connect()
    imap.select("Projekt", readonly=True)
    wanted = {int(uid) for uid in imap.uid("SEARCH", "SUBJECT", word)[1][0].split()}
    imap.logout()
    found = set(roundcube.rows(commands))
    check.true("the search", found and found <= wanted and len(found) == min(PAGE, len(wanted)))
    listed, env = web.listed("Projekt", threads="1")
    check.true("threads", env["threading"] and 0 < env["messagecount"] <= count)


def main():
    server.debian("roundcube-core")
    server.fill("INBOX", [check.message(1), check.message(2, body="the second text\n")] + [check.message(n) for n in (3, 4, 5)]
                + [check.message(6, body="Grüße\n").replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n", 1)])
    roundcube.configure()
    with roundcube.WebServer() as php:
        web = roundcube.Browser(php.port)
        check.true("a wrong password", 'id="login-form"' in web.log_in(f"tls://localhost:{check.PORT}", "wrong"))
        check.true("a right one", 'id="login-form"' not in web.log_in(f"tls://localhost:{check.PORT}"))
        check.equal("folders", folder_list(web), {"INBOX", "Drafts", "Sent", "Junk", "Trash"})
        check.equal("folders on the server", set(server.folders()), {"INBOX", "Drafts", "Sent", "Junk", "Trash"})
        read_and_flag(web)
        change_behind(web)
        search(web)
        folders(web)
        move(web)
        compose(web)
        large(web)
        web.send({"_task": "logout", "_token": web.token})
        check.true("logged out", 'id="login-form"' in web.send({"_task": "mail"}))
        other = roundcube.Browser(php.port)
        check.true("over the port with TLS", 'id="login-form"' not in other.log_in(f"ssl://localhost:{server.TLS_PORT}"))
        listed, _ = other.listed("INBOX")
        check.equal("the same", [text for text, _ in listed.values()], ["message 2", "message 1"])
    with open(f"{roundcube.PLACE}/logs/imap.log", "rb") as file:
        refused = re.findall(rb"S: A\d+ ((?:BAD|NO)[^\r\n]*)", file.read())
    check.equal("only the wrong password was refused", [line.split(b"]")[0] for line in refused], [b"NO [AUTHENTICATIONFAILED"])
    check.done()


if __name__ == "__main__":
    main()
