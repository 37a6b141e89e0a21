#!/usr/bin/env python3
"""Runs whole mail clients against an instance of its own, on loopback.

Each client is a script `CLIENT_session.py PORT USER PASSWORD DIR` beside this file, with a user of its own. It drives the client, compares what the
client believes with what imaplib and mboxutil find on the server, and ends with a line `N checks`. Then the checker reads every message of the
user, and the log of imapd must hold no incident. DIR is for the client's files; `trusted.pem` and `tlsport` lie there.

A client that is not installed is named and left out; with --all, or when it was asked for by name, that is a failure. Debian's packages:
roundcube-core roundcube-sqlite3 php-cli php-cgi php-sqlite3; imapfilter; offlineimap3; libmail-imapclient-perl libio-socket-ssl-perl; imapflow takes node and npm.
"""

import argparse
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(f"{HERE}/../../..")
# What a client takes: commands that must be in the path, and files that must be there.
NEEDS = {
    "roundcube": ["php", "/var/lib/roundcube/index.php", "/usr/share/doc/php-sqlite3"],
    "imapflow": ["node", "npm"],
    "imapfilter": ["imapfilter"],
    "offlineimap": ["offlineimap"],
    "mailimapclient": ["perl", "/usr/share/perl5/Mail/IMAPClient.pm", "/usr/share/perl5/IO/Socket/SSL.pm"],
}
# Seconds that a whole session may take: a guard against hanging only.
PATIENCE_S = 3600


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"default: all that are installed, of {', '.join(NEEDS)}")
    parser.add_argument("--all", action="store_true", help="fail when a client is not installed")
    parser.add_argument("--corpus", metavar="FILE", default=f"{ROOT}/testdata/sample.mbox", help="the mail, an mbox file, perhaps of gzip")
    parser.add_argument("--program", metavar="FILE", help="the msgstore to test; default: cargo builds one")
    parser.add_argument("--keep", metavar="DIR", help="make the instance and the clients' files in DIR and leave them")
    asked = parser.parse_args()
    for client in asked.clients:
        if client not in NEEDS:
            parser.error(f"no client {client}")
    return asked


def built():
    """A program that cargo builds, with whatever target directory it uses."""
    words = ["cargo", "build", "--locked", "--manifest-path", f"{ROOT}/Cargo.toml", "--message-format=json-render-diagnostics"]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = [json.loads(line).get("executable") for line in said.splitlines()]
    return next(path for path in found if path)


class Instance:
    """An instance with both ports, its services running."""

    def __init__(self, program, base):
        self.program, self.base = program, base
        words = [program, "configure", "--base", base, "--domain", "example.org"]
        settings = {"service.listenaddr": "127.0.0.1", "service.imap.port": 0, "service.imap.enablesslport": "yes", "service.imap.sslport": 0}
        for name, value in settings.items():
            words += ["--set", f"{name}={value}"]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
        self.environment = {"CONFIGROOT": f"{base}/config", "PATH": f"{base}/sbin:{os.environ['PATH']}", "LC_ALL": "C", "TZ": "UTC"}

    def tool(self, *words, wanted=0, **more):
        done = subprocess.run(words, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
        if done.returncode != wanted:
            raise SystemExit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-3000:]}")
        return done.stdout

    def start(self):
        self.tool("start-msg", "--timeout", "600")

    def stop(self):
        self.tool("stop-msg", "--timeout", "600")

    def port(self, service):
        with open(f"{self.base}/data/proc/{service}.port") as file:
            return file.read().strip()

    def user(self, name):
        self.tool(self.program, "user", "add", name, input="secret\n")

    def check(self, user):
        """Everything of a user is sound, read to the last octet, and the daemon met nothing that it calls an incident."""
        self.tool("reconstruct", "-n", "-r", f"user/{user}/INBOX", "--content")
        for path in glob.glob(f"{self.base}/data/log/imap*"):
            with open(path, errors="replace") as file:
                found = [line for line in file if "incident" in line]
            if found:
                raise SystemExit(f"{path} has incidents:\n{''.join(found[:10])}")


def missing(client):
    return [need for need in NEEDS[client] if not (os.path.exists(need) if need[0] == "/" else shutil.which(need))]


def session(instance, client, corpus, directory):
    """Runs one client; gives how many things it compared."""
    os.makedirs(directory)
    shutil.copy(f"{instance.base}/config/server.crt", f"{directory}/trusted.pem")
    with open(f"{directory}/tlsport", "w") as file:
        file.write(instance.port("imaps"))
    instance.user(client)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/tests/clients:{ROOT}/tests/bench", "MSGSTORE_BASE": instance.base, "CORPUS": corpus,
                   "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, f"{HERE}/{client}_session.py", instance.port("imap"), client, "secret", directory]
    with open(f"{directory}/said", "w+") as said:
        done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, timeout=PATIENCE_S)
        said.seek(0)
        text = said.read()
    count = re.search(r"^(\d+) checks$", text, re.M)
    if done.returncode or not count or int(count[1]) < 10:
        raise SystemExit(f"FAILED: {client}: {done.returncode}\n{text[-6000:]}")
    instance.check(client)
    version = re.search(r"^version: (.*)$", text, re.M)
    print(f"{client:<15} {version[1] if version else '':<34} {count[1]} checks, the store is sound", flush=True)


def main():
    asked = arguments()
    chosen, absent = [], 0
    for client in asked.clients or NEEDS:
        gone = missing(client)
        if gone:
            absent += 1
            print(f"SKIPPED: {client}: not here: {', '.join(gone)}", flush=True)
        else:
            chosen.append(client)
    if absent and (asked.all or asked.clients) or not chosen:
        raise SystemExit("a client is not installed")
    base = os.path.abspath(asked.keep) if asked.keep else tempfile.mkdtemp(prefix="clients")
    instance = Instance(os.path.abspath(asked.program or built()), f"{base}/mail")
    began = time.monotonic()
    # The services are stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    try:
        instance.start()
        for client in chosen:
            session(instance, client, os.path.abspath(asked.corpus), f"{base}/{client}")
    finally:
        instance.stop()
        if not asked.keep:
            shutil.rmtree(base)
    print(f"Everything passed in {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
