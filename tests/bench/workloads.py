"""What is measured: one function a workload, called once a round for each server."""

import dataclasses
import os
import subprocess
import time
import typing

from clients import Imap, at_once
from servers import processor_seconds, tree

STRUCTURE = "FETCH 1:* (RFC822.SIZE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (From Subject Date)])"


class Measured:
    """Runs of one workload on one server."""

    def __init__(self):
        self.seconds, self.processor = [], []

    def take(self, server, operations, work):
        """Runs `work` and books time and processor time for one of its operations."""
        before = processor_seconds(tree(server.roots()))
        begun = time.monotonic()
        work()
        self.seconds.append((time.monotonic() - begun) / operations)
        self.processor.append((processor_seconds(tree(server.roots())) - before) / operations)


@dataclasses.dataclass
class Row:
    """A line of the table. `goal`: how many times as fast as the better one of the others we want to be, 0: said elsewhere; `weight`: seconds that
    a round of it takes at full size, by experience, for the division of the budget."""
    word: str
    title: str
    run: typing.Callable
    goal: float
    weight: float
    as_rate: bool = False
    # Called once for each server before the first round.
    prepare: typing.Callable = None


def deliveries(sessions, users, count, source):
    """`count` messages through sessions at the same time, one message at a time in each."""
    def one(number, session):
        for n in range(number, count, len(sessions)):
            session.deliver(b"%s@example.org" % users[n % len(users)].encode(), source[n % len(source)])
    at_once(one, sessions)


class Workloads:
    def __init__(self, corpus, users, sizes):
        self.source, self.users, self.sizes = corpus.source, users, sizes
        self.subject, self.sender = corpus.word("Subject"), corpus.word("From")
        self.warm = set()
        # What each SEARCH found: command -> server -> number.
        self.hits = {}

    def once(self, server, what):
        """True the first time: a command runs once unmeasured before it counts."""
        first = (server.name, what) not in self.warm
        self.warm.add((server.name, what))
        return first

    def deliver(self, connections):
        def run(server, measured):
            sessions = [server.lmtp() for _ in range(connections)]
            deliveries(sessions, self.users, connections * 2, self.source)
            count = self.sizes.deliveries
            measured.take(server, count, lambda: deliveries(sessions, self.users, count, self.source))
            for session in sessions:
                session.close()
        return run

    def append(self, connections):
        def run(server, measured):
            clients = [Imap(server.port, self.users[n % len(self.users)]) for n in range(connections)]
            share = max(1, self.sizes.deliveries // connections)
            batch = [self.source[n % len(self.source)] for n in range(share)]
            measured.take(server, share * connections, lambda: at_once(lambda _, client: client.append("INBOX", batch), clients))
            for client in clients:
                client.close()
        return run

    def logins(self, server, measured):
        def work():
            for _ in range(self.sizes.logins):
                client = Imap(server.port, "big")
                client.ask("SELECT INBOX")
                client.close()
        measured.take(server, self.sizes.logins, work)

    def select_cold(self, server, measured):
        """The first SELECT of a connection."""
        clients = [Imap(server.port, "big") for _ in range(self.sizes.logins)]
        measured.take(server, len(clients), lambda: [client.ask("SELECT INBOX") for client in clients])
        for client in clients:
            client.close()

    def command(self, command, times=1, lines=None):
        """A command in the big folder. `lines`: what the answer holds once for each message."""
        def run(server, measured):
            client = Imap(server.port, "big")
            client.ask("SELECT INBOX")
            if self.once(server, command):
                found = client.ask(command, lines=lines)
                if lines and found != self.sizes.messages:
                    raise OSError(f"{server.name} told of {found} messages of {self.sizes.messages}")
            measured.take(server, times, lambda: [client.ask(command) for _ in range(times)])
            client.close()
        return run

    def search(self, command):
        plain = self.command(command)

        def run(server, measured):
            if self.once(server, f"hits of {command}"):
                client = Imap(server.port, "big")
                client.ask("SELECT INBOX")
                self.hits.setdefault(command, {})[server.name] = client.hits(command)
                client.close()
            plain(server, measured)
        return run

    def stored(self, server, measured):
        """Two commands in turn, so that each changes all messages."""
        client = Imap(server.port, "big")
        client.ask("SELECT INBOX")
        client.ask("STORE 1:* -FLAGS.SILENT (\\Flagged)")

        def work():
            client.ask("STORE 1:* +FLAGS.SILENT (\\Flagged)")
            client.ask("STORE 1:* -FLAGS.SILENT (\\Flagged)")
        measured.take(server, 2, work)
        client.close()

    def copied(self, server, measured):
        client = Imap(server.port, "big")
        client.ask("CREATE Copies")
        client.ask("SELECT INBOX")
        measured.take(server, 1, lambda: client.ask(f"COPY 1:{self.sizes.messages // 10} Copies"))
        client.ask("DELETE Copies")
        client.close()

    def expunged(self, server, measured):
        client = Imap(server.port, "big")
        client.ask("CREATE Half")
        client.ask("SELECT INBOX")
        client.ask(f"COPY 1:{self.sizes.messages // 2} Half")
        client.ask("SELECT Half")
        client.ask("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        measured.take(server, 1, lambda: client.ask("EXPUNGE"))
        client.ask("SELECT INBOX")
        client.ask("DELETE Half")
        client.close()

    def listed(self, server, measured):
        words, more = server.listing()
        lines = 0

        def work():
            nonlocal lines
            done = subprocess.run(words, stdout=subprocess.PIPE, env={**os.environ, **more}, check=True)
            lines = done.stdout.count(b"\n")
        before = os.times()
        measured.take(server, 1, work)
        after = os.times()
        # The tool is no child of the server.
        measured.processor[-1] = after.children_user - before.children_user + after.children_system - before.children_system
        if lines < self.sizes.accounts * 10:
            raise OSError(f"{server.name} lists {lines} mailboxes of {self.sizes.accounts * 10}")

    def table(self):
        n, tenth = self.sizes.messages, self.sizes.messages // 10
        fetched = b" FETCH ("
        rows = [
            Row("lmtp", "LMTP delivery, 1 connection", self.deliver(1), 2, 8, True),
            Row("lmtp", "LMTP delivery, 16 connections", self.deliver(16), 4, 5, True),
            Row("append", "APPEND, 1 connection", self.append(1), 2, 6, True),
            Row("append", "APPEND, 8 connections", self.append(8), 2, 4, True),
            Row("login", "connect, LOGIN, SELECT", self.logins, 10, 3, True),
            Row("select", f"SELECT of {n:,}, first of a connection", self.select_cold, 1, 2),
            Row("select", f"SELECT of {n:,}, again", self.command("SELECT INBOX", 100), 1, 3),
            Row("flags", "FETCH 1:* (UID FLAGS)", self.command("FETCH 1:* (UID FLAGS)", 3, fetched), 3, 2),
            Row("envelope", "FETCH 1:* (ENVELOPE)", self.command("FETCH 1:* (ENVELOPE)", lines=fetched), 5, 3),
            Row("structure", STRUCTURE, self.command(STRUCTURE, lines=fetched), 5, 11),
            Row("body", f"FETCH 1:{tenth} (BODY.PEEK[])", self.command(f"FETCH 1:{tenth} (BODY.PEEK[])"), 0, 3),
            Row("search", "SEARCH FROM", self.search(f'SEARCH FROM "{self.sender}"'), 5, 2),
            Row("search", "SEARCH SUBJECT", self.search(f'SEARCH SUBJECT "{self.subject}"'), 5, 2),
            Row("searchbody", "SEARCH BODY", self.search('SEARCH BODY "not in any of them"'), 5, 30),
            Row("store", "STORE 1:* +FLAGS.SILENT, -FLAGS.SILENT", self.stored, 1, 3),
            Row("copy", f"COPY of {tenth:,}", self.copied, 2, 3),
            Row("expunge", f"EXPUNGE of {n // 2:,}", self.expunged, 4, 12),
            Row("list", f"list of {self.sizes.accounts * 10:,} mailboxes, all users", self.listed, 5, 7,
                prepare=lambda server: server.fill(self.sizes.accounts, 10)),
        ]
        return rows
