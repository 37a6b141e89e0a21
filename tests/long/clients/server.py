"""The server as others than the client see it: imaplib and mboxutil. And the mail that the sessions begin with."""

import collections
import imaplib
import json
import os
import re
import subprocess

import check
import corpus

BASE = os.environ["MSGSTORE_BASE"]
DIR = check.ARGUMENTS[3]
HOST = "localhost"
TRUST = f"{DIR}/trusted.pem"
with open(f"{DIR}/tlsport") as tlsport:
    TLS_PORT = int(tlsport.read())
# One message of a mailbox; `flags` without \Recent, sorted.
Message = collections.namedtuple("Message", "uid flags text")
imaplib._MAXLINE = 10_000_000


def mail():
    """The messages of the corpus, as they go over the wire."""
    return corpus.read(os.environ["CORPUS"])


def connect():
    imap = imaplib.IMAP4(check.HOST, int(check.PORT), timeout=check.PATIENCE_S)
    imap.login(check.USER, check.PASSWORD)
    return imap


def quoted(name):
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def messages(folder, items="BODY.PEEK[]"):
    """What lies in a folder (its name in modified UTF-7), by UID; None when there is no such folder."""
    imap = connect()
    if imap.select(quoted(folder), readonly=True)[0] != "OK":
        imap.logout()
        return None
    found = []
    for item in imap.fetch("1:*", f"(UID FLAGS {items})")[1]:
        if isinstance(item, tuple):
            head = item[0].decode()
            flags = sorted(flag for flag in re.search(r"FLAGS \(([^)]*)\)", head)[1].split() if flag != "\\Recent")
            found.append(Message(int(re.search(r"UID (\d+)", head)[1]), flags, item[1]))
    imap.logout()
    return found


def subjects(folder):
    """{Subject: flags} of a folder whose subjects differ."""
    found = messages(folder, "BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
    return None if found is None else {m.text.decode().partition(":")[2].strip(): m.flags for m in found}


def fill(folder, texts, flags=""):
    """Puts messages into a folder, a hundred with each command."""
    imap = connect()
    for at in range(0, len(texts), 100):
        tag = imap._new_tag()
        imap.tagged_commands[tag] = None
        pieces = [b" (%s) {%d+}\r\n%s" % (flags.encode(), len(text), text) for text in texts[at:at + 100]]
        imap.send(tag + b" APPEND " + quoted(folder).encode() + b"".join(pieces) + b"\r\n")
        check.equal("append", imap._get_tagged_response(tag)[0], "OK")
    imap.logout()


def folders():
    """{name in UTF-8: number of messages} of the user's folders, as mboxutil has them."""
    environment = {**os.environ, "CONFIGROOT": f"{BASE}/config"}
    said = subprocess.run([f"{BASE}/sbin/mboxutil", "-l", "--json", "-p", f"user/{check.USER}/*"], env=environment, capture_output=True, text=True, check=True)
    found = {}
    for line in said.stdout.splitlines():
        row = json.loads(line)
        found[row["mailbox"].split("/", 2)[2]] = row["messages"]
    return found


def run(*words, wanted=0, env=None, **more):
    """Runs a program in the client's directory; gives what it printed."""
    environment = {**os.environ, "HOME": DIR, "LC_ALL": "C.UTF-8", **(env or {})}
    done = subprocess.run(words, capture_output=True, timeout=1800, env=environment, cwd=DIR, **more)
    if done.returncode != wanted:
        raise SystemExit(f"{words} ended with {done.returncode}: {done.stdout.decode()[-4000:]}{done.stderr.decode()[-4000:]}")
    return done.stdout.decode()


def debian(package):
    """Prints the version of a Debian package."""
    said = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", package], capture_output=True, text=True)
    print(f"version: {said.stdout or package}", flush=True)
