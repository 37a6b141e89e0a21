#!/usr/bin/env python3
"""Measures automatic removal: imexpire with purge beside `doveadm expunge -A` on sdbox and maildir, the same mail, in rounds A B C A B C; and deliveries by
LMTP meanwhile. Called by expire.sh.

Every account has the same 100 messages, each a file of its own. They are ten ages; each round takes the oldest that are left, a tenth of all that there
were. Every server knows the ages without opening a message: INTERNALDATE is in our rows, in Dovecot's cache (which is filled for it) or the time of the file.
sdbox and maildir remove the files at once: `doveadm purge` is for other formats. Ours is two commands, `imexpire -e` and `purge`, both counted.
"""

import argparse
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import servers
from clients import Imap
from corpus import Corpus
from run import Table, commit, cpu_name, marks, note, raise_descriptors
from servers import Certificate, processor_seconds, quiet, tree, wait_for

PLACE = "figures of expiry"
PER_ACCOUNT = 100
CLASSES = 10
DAY_S = 86_400
# The youngest are so old, the next so much older.
STEP_DAYS = 100
# What deliveries may lose, in percent.
LOSS = 20
# The shortest time for which deliveries are counted.
DELIVERING_S = 3


def user_of(number):
    return f"exp{number:05}"


def days_of(turn):
    """Messages of at least so many days go in this turn, counted from 1."""
    return (CLASSES - turn) * STEP_DAYS + STEP_DAYS // 2


class Letters:
    """The messages of an account in a directory; the time of a file is when its message came."""

    def __init__(self, directory, corpus):
        self.directory = directory
        os.mkdir(directory)
        now = int(time.time())
        self.each = []
        for number, message in enumerate(corpus.numbered(0, PER_ACCOUNT)):
            came = now - (CLASSES - number * CLASSES // PER_ACCOUNT) * STEP_DAYS * DAY_S
            path = f"{directory}/{number:03}"
            with open(path, "wb") as file:
                file.write(message)
            os.utime(path, (came, came))
            self.each.append((message, came))


class Child:
    """A command with its memory: `own_kib`, the most that it had beside files that it maps, and the processor time that it and its children took."""

    def __init__(self, words, environment=None):
        with tempfile.TemporaryFile() as said:
            begun = time.monotonic()
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, env=environment)
            self.own_kib = 0
            while True:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                self.own_kib = max(self.own_kib, self.anonymous(child.pid))
                time.sleep(0.01)
            self.seconds = time.monotonic() - begun
            self.processor = usage.ru_utime + usage.ru_stime
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode not in (0, 2):
                said.seek(0)
                raise SystemExit(f"{' '.join(words)}: {child.returncode}\n{said.read()[-2000:].decode(errors='replace')}")

    @staticmethod
    def anonymous(pid):
        try:
            with open(f"/proc/{pid}/status") as file:
                found = re.search(r"^RssAnon:\s+(\d+)", file.read(), re.M)
            return int(found[1]) if found else 0
        except OSError:
            return 0


class Dovecot(servers.Dovecot):
    """One mail format; its accounts are copies of the first one."""

    def __init__(self, directory, users, certificate):
        super().__init__(directory, users, certificate)
        self.conf = f"{directory}/dovecot.conf"
        quiet("doveadm", "-c", self.conf, "stop")
        wait_for("the end of Dovecot", lambda: not os.path.exists(f"/proc/{self.master}"))
        # A list of users, for -A.
        with open(self.conf) as file:
            text = re.sub(r"userdb \{.*?\n\}", f"userdb {{\n  driver = passwd-file\n  args = {directory}/users\n}}", file.read(), flags=re.S)
        with open(self.conf, "w") as file:
            file.write(text.replace("mail_location = sdbox:", f"mail_location = {self.format}:"))
        open(f"{directory}/users", "w").close()
        self.add_users([user_of(0)])
        with open(f"{directory}/start.log", "w") as log:
            # To a file: the daemon keeps what it is given.
            subprocess.run(["dovecot", "-c", self.conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        wait_for("Dovecot", lambda: servers.answers(self.port) and servers.answers(self.lmtp_port) and os.path.exists(f"{directory}/run/master.pid"))
        with open(f"{directory}/run/master.pid") as file:
            self.master = int(file.read())

    def add_users(self, names):
        mail = f"{self.directory}/mail"
        ids = os.stat(mail)
        with open(f"{self.directory}/users", "a") as file:
            for name in names:
                file.write(f"{name}::{ids.st_uid}:{ids.st_gid}::{mail}/{name}::\n")

    def put(self, letters, first, count):
        mail, pattern = f"{self.directory}/mail", user_of(0)
        if first == 0:
            client = Imap(self.port, pattern)
            for message, came in letters.each:
                date = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(came))
                client.number += 1
                tag = b"t%d " % client.number
                client.socket.sendall(tag + b'APPEND INBOX "%s" {%d+}\r\n' % (date.encode(), len(message)) + message + b"\r\n")
                client.until(tag)
            client.ask("SELECT INBOX")
            client.ask("FETCH 1:* (INTERNALDATE)")
            client.ask("LOGOUT")
            client.close()
        self.add_users(user_of(number) for number in range(max(1, first), first + count))
        ids = os.stat(mail)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.starmap(copy_tree, [(f"{mail}/{pattern}", f"{mail}/{user_of(number)}", ids.st_uid, ids.st_gid)
                                     for number in range(max(1, first), first + count)], chunksize=16)

    def remove(self, days):
        """Removes what is at least so old; gives the commands that ran."""
        return [Child(["doveadm", "-c", self.conf, "expunge", "-A", "mailbox", "INBOX", "before", f"{days}d"])]

    def settings(self):
        version = quiet("dovecot", "--version").split()[0]
        return f"Dovecot {version}, {self.format}: `mail_fsync = optimized` (its default); `doveadm expunge -A mailbox INBOX before DAYSd`."


class Sdbox(Dovecot):
    name, format = "Dovecot sdbox", "sdbox"


class Maildir(Dovecot):
    name, format = "Dovecot maildir", "maildir"


def copy_tree(source, target, uid, gid):
    """Copies with times, and gives the copy to the account of the mail."""
    shutil.copytree(source, target, symlinks=True)
    for root, directories, files in os.walk(target):
        for name in [*directories, *files]:
            os.chown(f"{root}/{name}", uid, gid, follow_symlinks=False)
    os.chown(target, uid, gid)


class Ours(servers.Ours):
    mail_program = None
    threads = 1

    def __init__(self, directory, users, certificate):
        super().__init__(directory, users, certificate)
        self.restart_with({"store.cleanupage": 0})

    def put(self, letters, first, count):
        self.add_users(user_of(number) for number in range(first, first + count))
        quiet(self.mail_program, f"{self.directory}/config", letters.directory, str(first), str(count))

    def rules(self, days):
        with open(f"{self.directory}/config/store.expirerule", "w") as file:
            file.write(f"Old.folderpattern: user/*\nOld.messagedays: {days}\n")

    def remove(self, days):
        self.rules(days)
        words = [[f"{self.directory}/sbin/imexpire", "-e", "-r", str(self.threads)], [f"{self.directory}/lib/purge", "-r", str(self.threads)]]
        return [Child(command, self.environment()) for command in words]

    def plan(self, days, *options):
        """The memory of a trial run."""
        self.rules(days)
        return Child([f"{self.directory}/sbin/imexpire", "-n", *options], self.environment()).own_kib

    def settings(self):
        return super().settings().replace("; LMTP over TCP.", ", `store.cleanupage` 0; `imexpire -e`, then `purge`, both with "
                                            f"`-r {self.threads}`.")


class Deliveries:
    """Sessions of LMTP that deliver to accounts by turns, one message after the other, until it is enough."""

    def __init__(self, server, accounts, source, sessions):
        context = multiprocessing.get_context("fork")
        self.end = context.Event()
        self.counts = [context.Value("Q", 0, lock=False) for _ in range(sessions)]
        self.workers = [context.Process(target=self.deliver, args=(server, accounts, source, number)) for number in range(sessions)]
        for worker in self.workers:
            worker.start()
        wait_for("the first delivery of each session", lambda: all(count.value for count in self.counts))

    def deliver(self, server, accounts, source, number):
        session = server.lmtp()
        count = self.counts[number]
        at = number
        while not self.end.is_set():
            session.deliver(f"{user_of(at % accounts)}@example.org".encode(), source[at % len(source)])
            count.value += 1
            at += len(self.counts) * 7

    def done(self):
        return sum(count.value for count in self.counts)

    def stop(self):
        self.end.set()
        for worker in self.workers:
            worker.join()
            if worker.exitcode:
                raise OSError("a session of LMTP has failed")


def removed(server, turn, expected, accounts):
    """Seconds and processor seconds for one message, and the most memory of a command."""
    before = processor_seconds(tree(server.roots()))
    commands = server.remove(days_of(turn))
    processor = processor_seconds(tree(server.roots())) - before + sum(command.processor for command in commands)
    for number in (0, accounts - 1):
        client = Imap(server.port, user_of(number))
        client.ask("SELECT INBOX")
        left = client.hits("SEARCH ALL")
        client.close()
        if left != PER_ACCOUNT - turn * PER_ACCOUNT // CLASSES:
            raise SystemExit(f"{server.name}: {left} messages are left after {turn} turns")
    return sum(command.seconds for command in commands) / expected, processor / expected, max(command.own_kib for command in commands)


def delivered(server, args, source, deed):
    """Deliveries a second while `deed` runs."""
    deliveries = Deliveries(server, args.accounts, source, args.sessions)
    try:
        before, begun = deliveries.done(), time.monotonic()
        deed()
        return (deliveries.done() - before) / (time.monotonic() - begun)
    finally:
        deliveries.stop()


def fill(server, letters, accounts):
    """Gives, for us, the memory of trial runs over a tenth of the accounts and over all."""
    begun, figures = time.monotonic(), []
    part = max(1, accounts // 10)
    for first, last in ((0, part), (part, accounts)):
        server.put(letters, first, last - first)
        if isinstance(server, Ours):
            figures.append((last, server.plan(days_of(1), "-e"), server.plan(days_of(1), "-e", "--max-percent", "100")))
    note(f"{server.name}: {accounts * PER_ACCOUNT:,} messages in {accounts:,} accounts in {time.monotonic() - begun:.0f} s")
    return figures


def removal(table, running, args):
    expected = args.accounts * PER_ACCOUNT // CLASSES
    names = " | ".join(server.name for server in running)
    found = []
    for turn in range(1, args.rounds + 1):
        found.append([removed(server, turn, expected, args.accounts) for server in running])
        note(f"turn {turn}: " + ", ".join(f"{server.name} {1 / each[0]:,.0f}/s" for server, each in zip(running, found[-1])))
    medians = [statistics.median(each[at][0] for each in found) for at in range(len(running))]
    processor = [statistics.mean(each[at][1] for each in found) for at in range(len(running))]
    memory = [max(each[at][2] for each in found) for at in range(len(running))]
    table.line(f"| {expected:,} messages removed | {names} | ratio | processor: {names} | memory: {names} |")
    table.line("|---" * (2 + 3 * len(running)) + "|")
    ratio = f"{min(medians[:-1]) / medians[-1]:.2f}" if len(medians) > 1 else ""
    cells = [f"{1 / seconds:,.0f}/s" for seconds in medians] + [ratio]
    cells += [f"{seconds * 1000:.3f} ms" for seconds in processor] + [f"{kib / 1024:.1f} MiB" for kib in memory]
    table.line("| messages a second | " + " | ".join(cells) + " |")
    table.line()


def meanwhile(table, running, args, source):
    table.line(f"| LMTP deliveries, {args.sessions} connections | alone | while mail is removed | slow-down | goal |")
    table.line("|---|---|---|---|---|")
    pairs = {server.name: [] for server in running}
    seconds = dict.fromkeys(pairs, DELIVERING_S)
    for turn in range(args.rounds + 1, args.rounds + 1 + args.turns):
        for server in running:
            alone = delivered(server, args, source, lambda: time.sleep(seconds[server.name]))
            begun = time.monotonic()
            loaded = delivered(server, args, source, lambda: server.remove(days_of(turn)))
            # Counted alone for as long as it was with the other.
            seconds[server.name] = max(DELIVERING_S, time.monotonic() - begun)
            pairs[server.name].append((alone, loaded))
            note(f"turn {turn}: {server.name}: {alone:,.0f} deliveries a second, {loaded:,.0f} meanwhile")
    for server in running:
        alone, loaded = (statistics.median(pair[at] for pair in pairs[server.name]) for at in (0, 1))
        loss = statistics.median(100 * (1 - loaded / alone) for alone, loaded in pairs[server.name])
        goal = f"{LOSS} %: {'met' if loss <= LOSS else 'missed'}" if isinstance(server, Ours) else ""
        table.line(f"| {server.name} | {alone:,.0f}/s | {loaded:,.0f}/s | {loss:.0f} % | {goal} |")
    table.line()


def memory(table, figures):
    table.line("| memory of a trial run | " + " | ".join(f"{accounts * PER_ACCOUNT:,} messages in {accounts:,} accounts" for accounts, _, _ in figures) + " |")
    table.line("|---" * (1 + len(figures)) + "|")
    for title, at in (("`imexpire -n -e`", 1), ("`imexpire -n -e --max-percent 100`", 2)):
        table.line(f"| {title} | " + " | ".join(f"{figure[at] / 1024:.1f} MiB" for figure in figures) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="a release build of msgstore")
    parser.add_argument("--mail", required=True, help="the program `mail` of this workspace")
    parser.add_argument("--messages", type=int, default=1_000_000, help=f"of each server, {PER_ACCOUNT} in each account (default 1,000,000)")
    parser.add_argument("--rounds", type=int, default=5, help="turns that measure the removal")
    parser.add_argument("--turns", type=int, default=3, help="turns that measure deliveries; each turn of both kinds takes a tenth of the mail")
    parser.add_argument("--sessions", type=int, default=4, help="LMTP connections")
    parser.add_argument("--threads", type=int, default=1, help="-r of imexpire and purge")
    parser.add_argument("--alone", action="store_true", help="without Dovecot")
    parser.add_argument("--corpus", help="an mbox file (.gz allowed) with the messages to use; else testdata/sample.mbox")
    parser.add_argument("--dir", help="where the mail lies meanwhile")
    parser.add_argument("--into", help="a document in which the report takes the place of what stands between the lines "
                        + " and ".join(f"`{mark}`" for mark in marks(PLACE)))
    args = parser.parse_args()
    args.accounts = args.messages // PER_ACCOUNT
    if args.accounts < 2 or args.rounds + args.turns > CLASSES or min(args.rounds, args.turns, args.sessions) < 1:
        parser.error(f"at least {2 * PER_ACCOUNT} messages, one round, turn and session; rounds and turns are at most {CLASSES} together")
    if args.into and not all(mark in open(args.into).read() for mark in marks(PLACE)):
        raise SystemExit(f"{args.into} has no place for the figures")
    raise_descriptors()
    Ours.threads = args.threads
    Ours.program, Ours.mail_program = os.path.abspath(args.program), os.path.abspath(args.mail)
    corpus = Corpus(args.corpus)
    directory = tempfile.mkdtemp(prefix="msgstore-expire-", dir=args.dir)
    os.chmod(directory, 0o755)
    certificate, table, running = Certificate(directory), Table(None), []
    letters = Letters(f"{directory}/letters", corpus)
    try:
        for kind in [Ours] if args.alone else [Sdbox, Maildir, Ours]:
            place = f"{directory}/{kind.__name__.lower()}"
            os.mkdir(place)
            running.append(kind(place, [], certificate))
            figures = fill(running[-1], letters, args.accounts)
        words = "tests/bench/expire.sh"
        for name in ("messages", "rounds", "turns", "sessions", "threads", "dir"):
            if getattr(args, name) != parser.get_default(name):
                words += f" --{name} {getattr(args, name)}"
        words += f" --corpus {os.path.basename(args.corpus)}" if args.corpus else ""
        table.line(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({cpu_name()}), load average {os.getloadavg()[0]:.1f}; commit {commit()}; "
                   f"`{words}`: {args.accounts * PER_ACCOUNT:,} messages in {args.accounts:,} accounts, the first {PER_ACCOUNT} of {corpus.describe()}; "
                   f"medians of {args.rounds} turns, of deliveries {args.turns}.")
        table.line()
        for server in running:
            table.line(f"* {server.settings()}")
        table.line()
        removal(table, running, args)
        meanwhile(table, running, args, corpus.source)
        memory(table, figures)
        if args.into:
            table.put_into(args.into, PLACE)
    finally:
        for server in running:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
