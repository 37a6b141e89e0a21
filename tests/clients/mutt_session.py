#!/usr/bin/env python3
"""mutt_session.py PORT USER PASSWORD DIR: mutt opens a folder, shows, flags, copies, saves and deletes messages.

mutt wants a terminal, so it gets a pseudo terminal; what it is to do is pushed as keys.
"""

import imaplib
import os
import pty
import select
import struct
import sys
import time
import fcntl
import termios

import check

DIR = check.ARGUMENTS[3]
SETTINGS = f"""
set imap_user="{check.USER}" imap_pass="{check.PASSWORD}"
set folder="imap://{check.HOST}:{check.PORT}/"
set ssl_starttls=no ssl_force_tls=no
set sort=mailbox-order quit=yes delete=yes move=no confirmappend=no confirmcreate=no mark_old=no
set wait_key=no pipe_decode=no pipe_split=yes beep=no copy=no record="" header_cache="" message_cachedir=""
set index_format="%C %Z %s" status_format="%m messages" imap_check_subscribed=no mail_check=1 collapse_unread=no
"""


def mutt(keys, folder="INBOX"):
    """Runs mutt with keys pushed; gives what it wrote on the terminal."""
    with open(f"{DIR}/muttrc", "w") as rc:
        rc.write(SETTINGS)
    words = ["mutt", "-n", "-F", f"{DIR}/muttrc", "-f", f"imap://{check.HOST}:{check.PORT}/{folder}", "-e", f"push '{keys}'"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "vt100", "HOME": DIR, "LC_ALL": "C", "MAIL": f"{DIR}/none"})
        os.execvp("mutt", words)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    shown, begun = b"", time.monotonic()
    while True:
        ready, _, _ = select.select([terminal], [], [], 1)
        if ready:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        if time.monotonic() - begun > check.PATIENCE_S:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            sys.exit(f"mutt does not end: {keys}\n{shown[-3000:]!r}")
    status = os.waitpid(pid, 0)[1]
    check.equal("mutt ended", status, 0)
    return shown


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
