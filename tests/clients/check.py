"""What the scripts share: arguments, and checks that say what was wanted."""

import sys

ARGUMENTS = sys.argv[1:]
PORT, USER, PASSWORD = (ARGUMENTS + ["", "", ""])[:3]
HOST = "127.0.0.1"
# Seconds that anything may take: a guard against hanging only.
PATIENCE_S = 240
CHECKS = 0


def equal(what, found, wanted):
    global CHECKS
    CHECKS += 1
    if found != wanted:
        sys.exit(f"{what}:\n  found  {found!r}\n  wanted {wanted!r}")


def true(what, found):
    equal(what, bool(found), True)


def done():
    print(f"{CHECKS} checks")


def message(number, subject=None, body="hello\n"):
    """A small message with CRLF line ends."""
    text = (f"From: Sender {number} <s{number}@example.org>\nTo: joe@example.org\nSubject: {subject or f'message {number}'}\n"
            f"Date: Mon, {number + 1} Nov 2004 10:00:00 +0100\nMessage-ID: <{number}@example.org>\n\n{body}")
    return text.replace("\n", "\r\n").encode()
