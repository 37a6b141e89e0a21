#!/usr/bin/env python3
"""Measures what commands cost in folders of 1,000 to 1,000,000 messages, on msgstore and Dovecot; writes a table and a picture. Called by growth.sh.

The largest folder is ten copies of the next smaller one (COPY: hard links, but rows and files of their own), because a million APPENDs would
take an hour.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time

import picture
from clients import Imap
from run import MARKS, Table, commit, cpu_name, note, raise_descriptors, shown
from servers import Certificate, Dovecot, Ours

SIZES = [1_000, 10_000, 100_000, 1_000_000]
# A folder of each size has a user of its own.
TIMES = 15
MESSAGE = (b"From: Sender %d <sender%d@example.org>\r\nTo: Joe <joe@example.org>\r\nSubject: message %d\r\n"
           b"Date: Tue, 17 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@example.org>\r\n\r\nThe text of message %d.\r\n")
APPENDED = MESSAGE % (0, 0, 0, 0, 0)


def user_of(size):
    return f"grow{size}"


def messages(first, count):
    return [MESSAGE % ((n,) * 5) for n in range(first, first + count)]


def load(server, sizes):
    for size in sizes:
        begun = time.monotonic()
        client = Imap(server.port, user_of(size))
        part = size if size <= 100_000 else size // 10
        client.ask("CREATE Parts")
        target = "INBOX" if part == size else "Parts"
        for first in range(0, part, 2000):
            client.load(target, messages(first, min(2000, part - first)), 100)
        if part != size:
            client.ask("SELECT Parts")
            for _ in range(10):
                client.ask("COPY 1:* INBOX")
        client.ask("SELECT INBOX")
        client.ask("DELETE Parts")
        # One message has a flag of its own, so that no series is of one run only.
        client.ask(f"STORE {size // 2} +FLAGS.SILENT (\\Answered)")
        client.close()
        note(f"{server.name}: a folder of {size:,} in {time.monotonic() - begun:.0f} s")


class Folder:
    """The workloads in the folder of one size; each gives seconds."""

    def __init__(self, server, size):
        self.server, self.size = server, size
        self.other = self.connect()
        self.other.ask("SELECT INBOX")
        self.flagged = False

    def connect(self):
        return Imap(self.server.port, user_of(self.size))

    def close(self):
        self.other.close()

    def change(self):
        """Another session changes the flags of one message."""
        self.flagged = not self.flagged
        return self.timed(self.other, f"STORE {self.size // 2 + 7} {'+' if self.flagged else '-'}FLAGS.SILENT (\\Flagged)")

    @staticmethod
    def timed(client, command):
        begun = time.monotonic()
        client.ask(command)
        return time.monotonic() - begun

    def fresh(self, *commands):
        """The last of some commands on a new connection."""
        client = self.connect()
        for command in commands[:-1]:
            client.ask(command)
        taken = self.timed(client, commands[-1])
        client.close()
        return taken

    def select(self):
        return self.fresh("SELECT INBOX")

    def select_changed(self):
        self.change()
        return self.fresh("SELECT INBOX")

    def status(self):
        return self.fresh("STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN)")

    def fetch(self):
        return self.fresh("SELECT INBOX", f"FETCH {self.size - 49}:{self.size} (UID FLAGS ENVELOPE)")

    def append(self):
        client = self.connect()
        begun = time.monotonic()
        client.append("INBOX", [APPENDED])
        taken = time.monotonic() - begun
        client.close()
        return taken

    def hear(self):
        """NOOP of a session that learns of a message that another one has appended."""
        self.append()
        return self.timed(self.other, "NOOP")

    def table(self):
        return {"SELECT, nothing has changed": self.select, "SELECT after a change": self.select_changed,
                "STATUS": self.status, "first FETCH (newest 50, ENVELOPE)": self.fetch,
                "STORE of one flag": self.change, "APPEND of one message": self.append, "NOOP that tells of a new message": self.hear}


def measure(servers, sizes):
    """Median seconds: workload -> server -> one for each size. The servers take turns."""
    figures = {}
    for size in sizes:
        folders = [Folder(server, size) for server in servers]
        for title in folders[0].table():
            taken = {server.name: [] for server in servers}
            for turn in range(TIMES + 1):
                for folder in folders:
                    seconds = folder.table()[title]()
                    # What is in no cache yet is another question.
                    if turn:
                        taken[folder.server.name].append(seconds)
            for name, seconds in taken.items():
                figures.setdefault(title, {}).setdefault(name, []).append(statistics.median(seconds))
            note(f"{size:,}: {title}: " + ", ".join(f"{name} {shown(each[-1], False)}" for name, each in figures[title].items()))
        for folder in folders:
            folder.close()
    return figures


def report(table, figures, sizes, servers, words):
    table.line(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({cpu_name()}), load average {os.getloadavg()[0]:.1f}; commit {commit()}; "
               f"`{words}`. Medians of {TIMES}.")
    table.line()
    table.line("| command | server | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    table.line("|---" * (2 + len(sizes)) + "|")
    for title, by_server in figures.items():
        for server in servers:
            table.line(f"| {title} | {server.name} | " + " | ".join(shown(seconds, False) for seconds in by_server[server.name]) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="a release build of msgstore")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="messages of the folders")
    parser.add_argument("--alone", action="store_true", help="without Dovecot")
    parser.add_argument("--dir", help="where the mail lies meanwhile")
    parser.add_argument("--into", help=f"a document in which the table takes the place of what stands between `{MARKS[0]}` and `{MARKS[1]}`")
    parser.add_argument("--picture", help="an SVG file for the picture")
    args = parser.parse_args()
    raise_descriptors()
    sizes = [int(size) for size in args.sizes.split(",")]
    Ours.program = os.path.abspath(args.program)
    table = Table(None)
    directory = tempfile.mkdtemp(prefix="msgstore-growth-", dir=args.dir)
    os.chmod(directory, 0o755)
    certificate, servers = Certificate(directory), []
    try:
        for kind in [Ours] if args.alone else [Dovecot, Ours]:
            os.mkdir(f"{directory}/{kind.name.lower()}")
            servers.append(kind(f"{directory}/{kind.name.lower()}", [user_of(size) for size in sizes], certificate))
            load(servers[-1], sizes)
        figures = measure(servers, sizes)
        words = "tests/bench/growth.sh" + (f" --sizes {args.sizes}" if sizes != SIZES else "") + (" --alone" if args.alone else "")
        words += f" --dir {args.dir}" if args.dir else ""
        report(table, figures, sizes, servers, words)
        if args.into:
            table.put_into(args.into)
        if args.picture:
            with open(args.picture, "w") as file:
                file.write(picture.draw(figures, sizes, [server.name for server in servers]))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
