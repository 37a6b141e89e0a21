"""Runs mutt. It wants a terminal, so it gets a pseudo terminal; what it is to do is pushed as keys."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

import check

SETTINGS = f"""
set imap_user="{check.USER}" imap_pass="{check.PASSWORD}"
set sort=mailbox-order quit=yes delete=yes move=no confirmappend=no confirmcreate=no mark_old=no
set wait_key=no pipe_decode=no pipe_split=yes beep=no copy=no record="" header_cache="" message_cachedir=""
set index_format="%C %Z %s" status_format="%m messages" imap_check_subscribed=no mail_check=1 collapse_unread=no
"""


def run(directory, settings, url, keys):
    """Opens the INBOX below a URL; gives what mutt wrote on the terminal."""
    with open(f"{directory}/muttrc", "w") as rc:
        rc.write(f'{SETTINGS}set {settings}\nset folder="{url}"\n')
    words = ["mutt", "-n", "-F", f"{directory}/muttrc", "-f", f"{url}INBOX", "-e", f"push '{keys}'"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "vt100", "HOME": directory, "LC_ALL": "C", "MAIL": f"{directory}/none"})
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
