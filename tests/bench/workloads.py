"""What is measured: one function a workload, called once a round for each server."""

import dataclasses
import os
import statistics
import subprocess
import time
import typing

from clients import Imap, at_once
from crowd import CLIENTS, Crowd, percentile
from servers import processor_seconds, tree

SELECT, FLAGS, ENVELOPE = "SELECT INBOX", "FETCH 1:* (UID FLAGS)", "FETCH 1:* (ENVELOPE)"
# Messages of one MULTIAPPEND.
TOGETHER = 50
STRUCTURE = "FETCH 1:* (RFC822.SIZE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (From Subject Date)])"


class Measured:
    """Runs of one workload on one server."""

    def __init__(self):
        # `samples`: where a percentile of single operations is shown instead of the median of rounds.
        self.seconds, self.processor, self.samples = [], [], []

    def take(self, server, operations, work):
        """Runs `work` and books time and processor time for one of its operations; it says how many where `operations` is None."""
        before = processor_seconds(tree(server.roots()))
        begun = time.monotonic()
        done = work()
        operations = operations or done
        self.seconds.append((time.monotonic() - begun) / operations)
        self.processor.append((processor_seconds(tree(server.roots())) - before) / operations)


@dataclasses.dataclass
class Row:
    """A line of the table. `goal`: how many times as fast as the better one of the others we want to be, None: none, 0: said elsewhere; `weight`: seconds
    that a round of it takes at full size, by experience, for the division of the budget."""
    word: str
    title: str
    run: typing.Callable
    goal: float
    weight: float
    as_rate: bool = False
    # Called once for each server before the first round.
    prepare: typing.Callable = None
    # Seconds of the physical limit, of `Limits` and our server; see limits.py.
    limit: typing.Callable = None
    # The percentile of the samples that is shown, instead of the median of the rounds.
    percentile: int = None
    # A goal in seconds.
    goal_s: float = None

    def figure(self, measured):
        """Seconds for one operation."""
        if self.percentile:
            return percentile(measured.samples, self.percentile)
        return statistics.median(measured.seconds)


def deliveries(sessions, users, count, source, recipients=1):
    """`count` messages through sessions at the same time, one message at a time in each, each for so many users."""
    addresses = [b"%s@example.org" % user.encode() for user in users]

    def one(number, session):
        for n in range(number, count, len(sessions)):
            session.deliver_to_all([addresses[(n + k) % len(addresses)] for k in range(recipients)], source[n % len(source)])
    at_once(one, sessions)


class Workloads:
    def __init__(self, corpus, users, sizes):
        self.source, self.users, self.sizes = corpus.source, users, sizes
        self.subject, self.sender = corpus.word("Subject"), corpus.word("From")
        self.crowd = Crowd(corpus, users)
        self.warm = set()
        # How long our answers to a command are: command -> octets.
        self.octets = {}
        # What each SEARCH found: command -> server -> number.
        self.hits = {}

    def once(self, server, what):
        """True the first time: a command runs once unmeasured before it counts."""
        first = (server.name, what) not in self.warm
        self.warm.add((server.name, what))
        return first

    def deliver(self, connections, recipients=1):
        def run(server, measured):
            sessions = [server.lmtp() for _ in range(connections)]
            deliveries(sessions, self.users, connections * 2, self.source, recipients)
            count = max(connections, self.sizes.deliveries // recipients)
            measured.take(server, count, lambda: deliveries(sessions, self.users, count, self.source, recipients))
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

    def together(self, server, measured):
        """MULTIAPPEND."""
        client = Imap(server.port, self.users[0])
        batch = [self.source[n % len(self.source)] for n in range(self.sizes.deliveries)]
        client.ask("CREATE Many")
        measured.take(server, len(batch), lambda: client.load("Many", batch, TOGETHER))
        client.ask("DELETE Many")
        client.close()

    def logins(self, commands, tls=False, idle=False):
        """Connections one after the other."""
        def run(server, measured):
            def work():
                for _ in range(self.sizes.logins):
                    client = Imap(server.tls_port if tls else server.port, "big", tls)
                    for command in commands:
                        client.ask(command)
                    if idle:
                        client.idle()
                    client.close()
            measured.take(server, self.sizes.logins, work)
        return run

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

            def work():
                for _ in range(times):
                    self.octets[command] = client.ask(command)
            measured.take(server, times, work)
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

    def answer(self, command):
        """What it takes to send as many octets as our answer has."""
        return lambda limits, _: limits.exchange(self.octets.get(command, 0))

    def table(self):
        return [*self.one_at_a_time(), *self.whole_folder(), *self.others()]

    def one_at_a_time(self):
        """Single messages and connections."""
        deliveries, logins = self.sizes.deliveries, self.sizes.logins
        return [
            Row("lmtp", "LMTP delivery, 1 connection", self.deliver(1), 2, 8, True, limit=lambda limits, _: limits.files(1, deliveries)),
            Row("lmtp", "LMTP delivery, 16 connections", self.deliver(16), 4, 5, True, limit=lambda limits, _: limits.files(16, deliveries)),
            Row("lmtp", "LMTP delivery, 64 connections", self.deliver(64), 4, 4, True, limit=lambda limits, _: limits.files(64, deliveries)),
            *(Row("lmtp", f"LMTP delivery to 10 recipients, {connections} connection{'s'[:connections - 1]}", self.deliver(connections, 10), 4, 3, True,
                  limit=lambda limits, _, connections=connections: limits.files(connections, max(connections, deliveries // 10)))
              for connections in (1, 4, 16, 64)),
            Row("append", "APPEND, 1 connection", self.append(1), 2, 6, True, limit=lambda limits, _: limits.files(1, deliveries)),
            Row("append", "APPEND, 8 connections", self.append(8), 2, 4, True, limit=lambda limits, _: limits.files(8, deliveries)),
            Row("multiappend", f"MULTIAPPEND by {TOGETHER}, messages", self.together, 3, 3, True,
                limit=lambda limits, _: limits.files_together(deliveries, TOGETHER)),
            Row("login", "connect, LOGIN", self.logins([]), None, 2, True, limit=lambda limits, _: limits.connections(logins, [])),
            Row("login", "connect, TLS, LOGIN", self.logins([], tls=True), None, 2, True,
                limit=lambda limits, _: limits.connections_with_tls(logins)),
            Row("login", "connect, LOGIN, SELECT", self.logins([SELECT]), 10, 3, True,
                limit=lambda limits, _: limits.connections(logins, [SELECT])),
            Row("login", "connect, LOGIN, SELECT, IDLE", self.logins([SELECT], idle=True), 10, 3, True,
                limit=lambda limits, _: limits.connections(logins, [SELECT, "NOOP"])),
            Row("notify", "delivery to EXISTS of a client in IDLE, p50", self.crowd.noticed, None, 15, percentile=50, goal_s=0.002,
                limit=lambda limits, _: limits.files(1, 100)),
            Row("notify", "delivery to EXISTS of a client in IDLE, p99", self.crowd.later("noticed p99"), None, 0.1, percentile=99, goal_s=0.05),
            Row("mix", f"mixed commands of {CLIENTS} sessions", self.crowd.mixed, 2, 14, True, prepare=self.crowd.fill,
                limit=lambda limits, _: self.crowd.mixed_limit(limits)),
            Row("mix", f"mixed commands of {CLIENTS} sessions, p99 of one", self.crowd.later("mixed p99"), None, 0.1, percentile=50),
        ]

    def whole_folder(self):
        """Commands on the big folder."""
        n, tenth = self.sizes.messages, self.sizes.messages // 10
        fetched, bodies = b" FETCH (", f"FETCH 1:{tenth} (BODY.PEEK[])"
        searches = [f'SEARCH FROM "{self.sender}"', f'SEARCH SUBJECT "{self.subject}"', 'SEARCH BODY "not in any of them"']
        index = lambda limits, server: limits.reading([server.index("big")])
        everything = lambda limits, server: limits.reading(server.first_files("big", n))
        return [
            Row("select", f"SELECT of {n:,}, first of a connection", self.select_cold, 1, 2, limit=self.answer(SELECT)),
            Row("select", f"SELECT of {n:,}, again", self.command(SELECT, 100), 1, 3, limit=self.answer(SELECT)),
            Row("flags", FLAGS, self.command(FLAGS, 3, fetched), 3, 2, limit=self.answer(FLAGS)),
            Row("envelope", ENVELOPE, self.command(ENVELOPE, lines=fetched), 5, 3, limit=self.answer(ENVELOPE)),
            Row("structure", STRUCTURE, self.command(STRUCTURE, lines=fetched), 5, 5, limit=self.answer(STRUCTURE)),
            Row("body", bodies, self.command(bodies), 0, 2, limit=lambda limits, server: limits.reading(server.first_files("big", tenth))),
            Row("search", "SEARCH FROM", self.search(searches[0]), 5, 2, limit=index),
            Row("search", "SEARCH SUBJECT", self.search(searches[1]), 5, 2, limit=index),
            Row("searchbody", "SEARCH BODY", self.search(searches[2]), 5, 18, limit=everything),
            *(Row("sort", command, self.command(f"{command} UTF-8 ALL", lines=None), 2, 1, limit=self.answer(f"{command} UTF-8 ALL"))
              for command in ("SORT (DATE)", "SORT (SUBJECT)")),
            *(Row("thread", command, self.command(f"{command} UTF-8 ALL"), 3, 2, limit=self.answer(f"{command} UTF-8 ALL"))
              for command in ("THREAD REFERENCES", "THREAD ORDEREDSUBJECT")),
        ]

    def others(self):
        """Changes of many messages, and the list of all mailboxes."""
        n, tenth = self.sizes.messages, self.sizes.messages // 10
        return [
            Row("store", "STORE 1:* +FLAGS.SILENT, -FLAGS.SILENT", self.stored, 1, 3, limit=lambda limits, _: limits.block()),
            Row("copy", f"COPY of {tenth:,}", self.copied, 2, 3, limit=lambda limits, server: limits.links(server.first_files("big", tenth))),
            Row("expunge", f"EXPUNGE of {n // 2:,}", self.expunged, 4, 8, limit=lambda limits, _: limits.block()),
            Row("list", f"list of {self.sizes.accounts * 10:,} mailboxes, all users", self.listed, 5, 7,
                prepare=lambda server: server.fill(self.sizes.accounts, 10)),
        ]
