#!/usr/bin/env python3
"""figures.py PROGRAM [--dir DIR] [--messages N] [--rounds N] [--deliveries N] [--only WORD,...] [--flushes]

Measures PROGRAM (a release build of msgstore) against the Dovecot of this machine: same messages, same commands, same
client, durable on both sides, in rounds A B A B. Prints a table in Markdown: medians, the ratio, and the processor time
that each server took for one operation. Run as root. With --flushes the deliveries run once more under strace, which
counts how often they wait for the disk. Everything that it starts it stops.
"""

import argparse
import multiprocessing
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ORACLE = os.path.join(HERE, "..", "oracle")
TICK = os.sysconf("SC_CLK_TCK")
FLUSHES = "fsync,fdatasync,sync_file_range,syncfs,msync"


def messages(count, seed=1):
    """Messages as they come from the network: three Received fields, 2 to 12 KB, every third one of two parts."""
    random_ = random.Random(seed)
    words = [w for w in ("delivery of the order is late because warehouse staff changed plans again and nobody told "
                         "us about it until this morning when customers called to ask where their goods were").split()]
    for number in range(count):
        who, name = random_.randrange(500), random_.choice(words)
        head = "".join(f"Received: from relay{n}.example.net (relay{n}.example.net [192.0.2.{random_.randrange(255)}])\r\n\tby mx{n}.example.org "
                       f"(8.13.1/8.13.1) with ESMTP id {random_.getrandbits(48):012x}\r\n\tfor <user@example.org>; Mon, 8 Nov 2004 "
                       f"10:{number % 60:02}:{random_.randrange(60):02} +0100\r\n" for n in range(3))
        head += (f"From: \"Sender {who}\" <sender{who}@example.net>\r\nTo: user@example.org, Other Person <other@example.org>\r\n"
                 f"Cc: list-{name}@example.com\r\nSubject: {name.capitalize()} report number {number}\r\nDate: Mon, 8 Nov 2004 10:00:00 +0100\r\n"
                 f"Message-ID: <{number}.{random_.getrandbits(64):x}@example.net>\r\nIn-Reply-To: <{random_.getrandbits(64):x}@example.net>\r\n"
                 f"References: <{random_.getrandbits(64):x}@example.net>\r\nMIME-Version: 1.0\r\nX-Mailer: figures\r\n")
        lines = "".join(" ".join(random_.choices(words, k=11)) + "\r\n" for _ in range(random_.randrange(20, 150)))
        if number % 3:
            yield (head + "Content-Type: text/plain; charset=us-ascii\r\n\r\n" + lines).encode()
        else:
            yield (head + "Content-Type: multipart/alternative; boundary=\"=_part\"\r\n\r\n--=_part\r\nContent-Type: text/plain; charset=utf-8"
                   "\r\n\r\n" + lines + "\r\n--=_part\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
                   "quoted-printable\r\n\r\n<p>" + lines[:800] + "</p>\r\n--=_part--\r\n").encode()


class Imap:
    """A connection that counts octets instead of keeping them."""

    def __init__(self, port, user):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(300)
        self.number = 0
        self.socket.recv(65536)
        self.ask(f"LOGIN {user} secret")

    def ask(self, command, allow=b"OK"):
        """Sends a command; gives the octets of the answer."""
        self.number += 1
        tag = b"t%d " % self.number
        self.socket.sendall(tag + command.encode() + b"\r\n")
        return self.until(tag, allow)

    def until(self, tag, allow=b"OK"):
        total, tail = 0, b"\r\n"
        while True:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise OSError("connection closed: " + repr(tail[-200:]))
            total += len(piece)
            tail = (tail + piece)[-4096:]
            if tail.endswith(b"\r\n"):
                last = tail[tail.rfind(b"\r\n", 0, -2) + 2:]
                if last.startswith(tag):
                    if not last[len(tag):].startswith(allow):
                        raise OSError(repr(last))
                    return total

    def append(self, folder, batch):
        """APPEND, one command after the other, each answered before the next."""
        for message in batch:
            self.number += 1
            tag = b"t%d " % self.number
            self.socket.sendall(tag + b"APPEND %s {%d+}\r\n" % (folder.encode(), len(message)) + message + b"\r\n")
            self.until(tag)

    def load(self, folder, batch):
        """APPEND of many without waiting for each answer."""
        first = self.number + 1
        for at in range(0, len(batch), 20):
            some = batch[at:at + 20]
            data = []
            for message in some:
                self.number += 1
                data.append(b"t%d APPEND %s {%d+}\r\n" % (self.number, folder.encode(), len(message)) + message + b"\r\n")
            self.socket.sendall(b"".join(data))
            self.until(b"t%d " % self.number)
        return first


class Lmtp:
    """An LMTP session over a socket or the pipes of a process; two round trips for a message."""

    def __init__(self, read, write, close):
        self.read, self.write, self.close = read, write, close
        self.reply()
        self.say(b"LHLO client.example.net\r\n")
        self.reply()

    def say(self, data):
        self.write.write(data)
        self.write.flush()

    def reply(self):
        while True:
            line = self.read.readline()
            if len(line) < 4:
                raise OSError(f"LMTP ended: {line!r}")
            if line[3:4] != b"-":
                if line[0:1] not in b"23":
                    raise OSError(repr(line))
                return line

    def deliver(self, recipient, message):
        self.say(b"MAIL FROM:<sender@example.net>\r\nRCPT TO:<%s>\r\nDATA\r\n" % recipient)
        self.reply(), self.reply(), self.reply()
        self.say(message.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        self.reply()


def tree(roots):
    """Process ids of the roots and all that descends from them."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parents.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except OSError:
                pass
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


def processor_seconds(pids):
    """User and system time of processes, with that of their ended children."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                words = file.read().rsplit(")", 1)[1].split()
            total += sum(int(w) for w in words[11:15])
        except OSError:
            pass
    return total / TICK


class Dovecot:
    name = "Dovecot"

    def __init__(self, directory):
        self.directory = directory
        said = subprocess.run(["sh", f"{ORACLE}/dovecot.sh", "start", directory], capture_output=True, text=True, check=True).stdout
        self.port = int(re.search(r"imap (\d+)", said)[1])
        self.lmtp_port = int(re.search(r"lmtp (\d+)", said)[1])
        with open(f"{directory}/run/master.pid") as file:
            self.master = int(file.read())

    def roots(self):
        return [self.master]

    def lmtp(self):
        connection = socket.create_connection(("127.0.0.1", self.lmtp_port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Lmtp(connection.makefile("rb"), connection.makefile("wb"), connection.close)

    def stop(self):
        subprocess.run(["sh", f"{ORACLE}/dovecot.sh", "stop", self.directory], check=True)


class Ours:
    name = "msgstore"

    def __init__(self, directory, program, users):
        self.directory, self.program, self.children = directory, program, []
        said = subprocess.run(["sh", f"{ORACLE}/ours.sh", "start", directory, program, *users], capture_output=True, text=True, check=True).stdout
        self.port = int(re.search(r"imap (\d+)", said)[1])

    def roots(self):
        found = [child.pid for child in self.children if child.poll() is None]
        for service in ("store", "imap"):
            with open(f"{self.directory}/data/proc/{service}") as file:
                found.append(int(re.search(r"\d+", file.read())[0]))
        return found

    def lmtp(self, prefix=()):
        environment = {**os.environ, "CONFIGROOT": f"{self.directory}/config"}
        child = subprocess.Popen([*prefix, self.program, "deliver", "-l"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.children.append(child)

        def close():
            child.stdin.close()
            child.wait()
        return Lmtp(child.stdout, child.stdin, close)

    def stop(self):
        subprocess.run(["sh", f"{ORACLE}/ours.sh", "stop", self.directory], check=True, stdout=subprocess.DEVNULL)


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


def deliveries(sessions, users, count, source):
    """`count` messages through sessions at the same time, one message at a time in each."""
    def one(number, session):
        for n in range(number, count, len(sessions)):
            session.deliver(b"%s@example.org" % users[n % len(users)].encode(), source[n % len(source)])
    at_once(one, sessions)


def at_once(one, items):
    """Calls one(number, item) in a process for each item."""
    if len(items) == 1:
        return one(0, items[0])
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=one, args=(number, item)) for number, item in enumerate(items)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise OSError("a client has failed")


class Workloads:
    """What is measured: name -> (operations in a run, unit, preparation, work)."""

    def __init__(self, args, source):
        self.args, self.source = args, source
        self.users = [f"user{n}" for n in range(20)]

    def deliver(self, connections):
        def run(server, measured):
            sessions = [server.lmtp() for _ in range(connections)]
            deliveries(sessions, self.users, connections * 2, self.source)
            measured.take(server, self.args.deliveries, lambda: deliveries(sessions, self.users, self.args.deliveries, self.source))
            for session in sessions:
                session.close()
        return run

    def append(self, connections):
        def run(server, measured):
            clients = [Imap(server.port, self.users[n % 20]) for n in range(connections)]
            share = self.args.deliveries // connections
            batch = [self.source[n % len(self.source)] for n in range(share)]
            measured.take(server, share * connections, lambda: at_once(lambda _, client: client.append("INBOX", batch), clients))
            for client in clients:
                client.socket.close()
        return run

    def fetch(self, command, times=1):
        def run(server, measured):
            client = Imap(server.port, "big")
            client.ask("SELECT INBOX")
            client.ask(command.format(n=self.args.messages))
            def work():
                for _ in range(times):
                    client.ask(command.format(n=self.args.messages))
            measured.take(server, times, work)
            client.socket.close()
        return run

    def changed(self, first, second, times=1):
        """Two commands in turn, so that each changes something."""
        def run(server, measured):
            client = Imap(server.port, "big")
            client.ask("SELECT INBOX")
            client.ask(second)
            def work():
                for _ in range(times):
                    client.ask(first)
                    client.ask(second)
            measured.take(server, times * 2, work)
            client.socket.close()
        return run

    def copied(self, count):
        def run(server, measured):
            client = Imap(server.port, "big")
            client.ask("CREATE Copies")
            client.ask("SELECT INBOX")
            measured.take(server, 1, lambda: client.ask(f"COPY 1:{count} Copies"))
            client.ask("DELETE Copies")
            client.socket.close()
        return run

    def logins(self, count):
        def run(server, measured):
            def work():
                for _ in range(count):
                    client = Imap(server.port, "big")
                    client.ask("SELECT INBOX")
                    client.socket.close()
            measured.take(server, count, work)
        return run

    def table(self):
        n = self.args.messages
        rows = [
            ("lmtp", "LMTP delivery, 1 at a time", self.deliver(1), True),
            ("lmtp", "LMTP delivery, 16 at a time", self.deliver(16), True),
            ("append", "APPEND, 1 at a time", self.append(1), True),
            ("append", "APPEND, 8 at a time", self.append(8), True),
            ("login", "connect, LOGIN, SELECT", self.logins(100), True),
            ("select", f"SELECT, {n:,} messages", self.fetch("SELECT INBOX", 200), False),
            ("flags", "FETCH 1:* (UID FLAGS)", self.fetch("FETCH 1:* (UID FLAGS)", 5), False),
            ("envelope", "FETCH 1:* (ENVELOPE)", self.fetch("FETCH 1:* (ENVELOPE)"), False),
            ("structure", "FETCH 1:* (RFC822.SIZE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (From Subject Date)])",
             self.fetch("FETCH 1:* (RFC822.SIZE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (From Subject Date)])"), False),
            ("body", "FETCH 1:5000 (BODY.PEEK[])", self.fetch("FETCH 1:5000 (BODY.PEEK[])"), False),
            ("search", "SEARCH SUBJECT", self.fetch('SEARCH SUBJECT "number 1234"'), False),
            ("search", "SEARCH BODY", self.fetch('SEARCH BODY "not in any of them"'), False),
            ("store", "STORE 1:* +FLAGS.SILENT, -FLAGS.SILENT", self.changed(
                "STORE 1:* +FLAGS.SILENT (\\Flagged)", "STORE 1:* -FLAGS.SILENT (\\Flagged)", 3), False),
            ("copy", "COPY 5,000 messages", self.copied(5000), False),
        ]
        only = self.args.only.split(",") if self.args.only else None
        return [row[1:] for row in rows if not only or row[0] in only]


def shown(seconds, as_rate):
    if as_rate:
        return f"{1 / seconds:,.0f}/s"
    return f"{seconds * 1000:,.1f} ms" if seconds >= 0.01 else f"{seconds * 1e6:,.0f} us"


def synchronous_files(pid):
    """Descriptors of a process on which every write waits for the disk (O_DSYNC, O_SYNC)."""
    found = set()
    for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{descriptor}") as file:
            if int(re.search(r"flags:\s*(\d+)", file.read())[1], 8) & os.O_DSYNC:
                found.add(descriptor)
    return found


def count_flushes(servers, workloads, count):
    """Waits for the disk for one delivery: flushes, and writes on synchronous descriptors, counted by strace in runs of their own."""
    print("\n| waits for the disk for a delivery | " + " | ".join(s.name for s in servers) + " |\n|---|---|---|")
    for connections in (1, 16):
        cells = []
        for server in servers:
            sessions = [server.lmtp() for _ in range(connections)]
            deliveries(sessions, workloads.users, connections * 2 + 20, workloads.source)
            pids = tree(server.roots())
            synchronous = {task: synchronous_files(pid) for pid in pids for task in os.listdir(f"/proc/{pid}/task")}
            with tempfile.NamedTemporaryFile("r") as out:
                trace = subprocess.Popen(["strace", "-f", "-s", "0", "-e", f"trace={FLUSHES},write,writev,pwrite64,pwritev", "-o", out.name]
                                         + [w for pid in pids for w in ("-p", str(pid))], stderr=subprocess.DEVNULL)
                time.sleep(1.5)
                deliveries(sessions, workloads.users, count, workloads.source)
                trace.send_signal(2)
                trace.wait()
                calls = {}
                for task, name, descriptor in re.findall(r"^(\d+) +(\w+)\((\d+)", out.read(), re.M):
                    if name in FLUSHES.split(","):
                        calls[name] = calls.get(name, 0) + 1
                    elif descriptor in synchronous.get(task, ()):
                        calls["synchronous write"] = calls.get("synchronous write", 0) + 1
            for session in sessions:
                session.close()
            cells.append(f"{sum(calls.values()) / count:.2f} (" + ", ".join(f"{name} {n / count:.2f}" for name, n in sorted(calls.items())) + ")")
        print(f"| {connections} at a time | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--dir", help="where the mail lies meanwhile; emptied afterwards")
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deliveries", type=int, default=2000)
    parser.add_argument("--only", default="")
    parser.add_argument("--flushes", action="store_true")
    args = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="msgstore-figures-", dir=args.dir)
    os.chmod(directory, 0o755)
    source = list(messages(2000))
    workloads = Workloads(args, source)
    servers = []
    try:
        servers.append(Dovecot(f"{directory}/dovecot"))
        servers.append(Ours(f"{directory}/ours", os.path.abspath(args.program), workloads.users + ["big"]))
        for server in servers:
            client = Imap(server.port, "big")
            begun = time.monotonic()
            client.load("INBOX", list(messages(args.messages, seed=2)))
            print(f"{server.name}: {args.messages} messages loaded in {time.monotonic() - begun:.1f} s", file=sys.stderr)
            client.socket.close()
        print(f"| workload | {servers[0].name} | {servers[1].name} | ratio | processor time for one: {servers[0].name} | {servers[1].name} |")
        print("|---|---|---|---|---|---|", flush=True)
        for title, run, as_rate in workloads.table():
            measured = [Measured() for _ in servers]
            try:
                for _ in range(args.rounds):
                    for server, into in zip(servers, measured):
                        run(server, into)
            except OSError as error:
                print(f"| {title} | failed: {error} |", flush=True)
                continue
            a, b = (statistics.median(m.seconds) for m in measured)
            processor = " | ".join(f"{statistics.median(m.processor) * 1000:.3g} ms" for m in measured)
            print(f"| {title} | {shown(a, as_rate)} | {shown(b, as_rate)} | {a / b:.2f} | {processor} |", flush=True)
        if args.flushes:
            count_flushes(servers, workloads, 500)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
