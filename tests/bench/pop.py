#!/usr/bin/env python3
"""Measures popd beside the POP servers of Dovecot and Cyrus: same messages, same commands, same client, in rounds A B C A B C. Called by pop.sh.

Writes a table in Markdown: medians, the ratio to the better one of the other two, the goal, and the processor time that each server took for a message.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import servers
from clients import Imap, at_once
from corpus import Corpus
from run import Table, commit, cpu_name, marks
from servers import free_port, processor_seconds, quiet, tree, wait_for

GOAL = 2
PLACE = "figures of POP"
# Commands that a client sends before it reads, where it pipelines.
WINDOW = 50


class Pop:
    """A POP client that costs little: it looks for the end of an answer and parses nothing."""

    def __init__(self, port, user):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(600)
        self.buffer = b""
        self.until(b"\r\n")
        self.ask(b"USER " + user.encode())
        self.ask(b"PASS secret")

    def until(self, end):
        """The octets up to `end`, which is taken out as well."""
        at, seen = self.buffer.find(end), 0
        while at < 0:
            seen = max(0, len(self.buffer) - len(end))
            more = self.socket.recv(1 << 20)
            if not more:
                raise OSError(f"the connection ended behind {self.buffer[-200:]!r}")
            self.buffer += more
            at = self.buffer.find(end, seen)
        answer, self.buffer = self.buffer[:at + len(end)], self.buffer[at + len(end):]
        if answer.startswith(b"-ERR"):
            raise OSError(answer[:200])
        return answer

    def ask(self, command, end=b"\r\n"):
        self.socket.sendall(command + b"\r\n")
        return self.until(end)

    def session(self, pipelined):
        """STAT, UIDL, RETR of everything, QUIT; gives how many messages and octets there were."""
        count = int(self.ask(b"STAT").split()[1])
        self.ask(b"UIDL", b"\r\n.\r\n")
        octets = 0
        step = WINDOW if pipelined else 1
        for first in range(1, count + 1, step):
            numbers = range(first, min(first + step, count + 1))
            self.socket.sendall(b"".join(b"RETR %d\r\n" % number for number in numbers))
            for _ in numbers:
                octets += len(self.until(b"\r\n.\r\n"))
        self.ask(b"QUIT")
        self.socket.close()
        return count, octets


class Dovecot(servers.Dovecot):
    def __init__(self, directory, users, certificate):
        super().__init__(directory, users, certificate)
        conf = f"{directory}/dovecot.conf"
        self.pop_port = free_port()
        quiet("doveadm", "-c", conf, "stop")
        wait_for("the end of Dovecot", lambda: not os.path.exists(f"/proc/{self.master}"))
        with open(conf, "a") as file:
            file.write("protocols = imap lmtp pop3\nservice pop3-login {\n  inet_listener pop3 {\n"
                       f"    port = {self.pop_port}\n  }}\n  inet_listener pop3s {{\n    port = 0\n  }}\n}}\n")
        with open(f"{directory}/start.log", "w") as log:
            # To a file: the daemon keeps what it is given.
            subprocess.run(["dovecot", "-c", conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        wait_for("Dovecot", lambda: servers.answers(self.pop_port) and os.path.exists(f"{directory}/run/master.pid"))
        with open(f"{directory}/run/master.pid") as file:
            self.master = int(file.read())


class Cyrus(servers.Cyrus):
    def __init__(self, directory, users, certificate):
        self.pop_port = free_port()
        program = os.environ.get("CYRUS_POP3D", "/usr/lib/cyrus/bin/pop3d")
        line = f'  pop3 cmd="{program} -C {{d}}/imapd.conf" listen="127.0.0.1:{self.pop_port}" prefork=0 maxchild=400\n'
        servers.CYRUS_CONF = servers.CYRUS_CONF.replace("}}\nDAEMON", line + "}}\nDAEMON", 1)
        super().__init__(directory, users, certificate)


class Ours(servers.Ours):
    def __init__(self, directory, users, certificate):
        super().__init__(directory, users, certificate)
        with open(f"{directory}/data/proc/pop.port") as file:
            self.pop_port = int(file.read())

    def roots(self):
        return [*super().roots(), self.service("pop")]


def measure(server, users, pipelined):
    """Seconds and processor seconds for a session of each user at one time, for a message."""
    def one(_, user):
        Pop(server.pop_port, user).session(pipelined)
    counts = [int(quiet_stat(server, user)) for user in users]
    before, begun = processor_seconds(tree(server.roots())), time.monotonic()
    at_once(one, users)
    took = time.monotonic() - begun
    return took / sum(counts), (processor_seconds(tree(server.roots())) - before) / sum(counts)


def quiet_stat(server, user):
    client = Pop(server.pop_port, user)
    count = client.ask(b"STAT").split()[1]
    client.socket.close()
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="a release build of msgstore")
    parser.add_argument("--messages", type=int, default=5000, help="how many in each mailbox")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=8, help="how many at one time in the last row")
    parser.add_argument("--servers", default="dovecot,cyrus", help="beside which of dovecot, cyrus")
    parser.add_argument("--corpus", help="an mbox file (.gz allowed) with the messages to use; else testdata/sample.mbox")
    parser.add_argument("--dir", help="where the mail lies meanwhile")
    parser.add_argument("--into", help="a document in which the report takes the place of what stands between the lines "
                        + " and ".join(f"`{mark}`" for mark in marks(PLACE)))
    args = parser.parse_args()
    Ours.program = os.path.abspath(args.program)
    users = [f"pop{n}" for n in range(args.clients)]
    kinds = [kind for kind in (Dovecot, Cyrus) if kind.name.lower() in args.servers.split(",")] + [Ours]
    corpus = Corpus(args.corpus)
    directory = tempfile.mkdtemp(prefix="msgstore-pop-", dir=args.dir)
    os.chmod(directory, 0o755)
    certificate = servers.Certificate(directory)
    table, running = Table(None), []
    try:
        for kind in kinds:
            os.mkdir(f"{directory}/{kind.name.lower()}")
            server = kind(f"{directory}/{kind.name.lower()}", users, certificate)
            running.append(server)
            for number, user in enumerate(users):
                client = Imap(server.port, user)
                client.load("INBOX", corpus.numbered(number * args.messages, args.messages))
                client.close()
            print(f"{server.name}: {len(users) * args.messages:,} messages loaded", file=sys.stderr, flush=True)
        names = " | ".join(server.name for server in running)
        table.line(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({cpu_name()}), load average {os.getloadavg()[0]:.1f}; commit {commit()}; "
                   f"`tests/bench/pop.sh`: {args.messages:,} messages of {corpus.describe()} for each of {len(users)} users; medians of {args.rounds} rounds.")
        table.line()
        table.line(f"| POP3: login, STAT, UIDL, RETR all, QUIT | {names} | ratio | goal | processor: {names} |")
        table.line("|---" * (3 + 2 * len(running)) + "|")
        for title, chosen, pipelined in (("one client", users[:1], False), ("one client, pipelined", users[:1], True),
                                         (f"{len(users)} clients", users, False)):
            found = [[measure(server, chosen, pipelined) for server in running] for _ in range(args.rounds)]
            medians = [statistics.median(round[at][0] for round in found) for at in range(len(running))]
            processor = [statistics.mean(round[at][1] for round in found) for at in range(len(running))]
            ratio = min(medians[:-1]) / medians[-1] if len(medians) > 1 else float("nan")
            cells = [f"{1 / seconds:,.0f} msg/s" for seconds in medians]
            cells += [f"{ratio:.2f}", f"{GOAL}: {'met' if ratio >= GOAL else 'missed'}"]
            cells += [f"{seconds * 1000:.3f} ms" for seconds in processor]
            table.line(f"| {title} | " + " | ".join(cells) + " |")
        if args.into:
            table.put_into(args.into, PLACE)
    finally:
        for server in running:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
