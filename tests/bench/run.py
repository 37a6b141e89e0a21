#!/usr/bin/env python3
"""Measures msgstore beside Dovecot and Cyrus: same messages, same commands, same client, durable on every side, in rounds A B C A B C.

Writes a table in Markdown: medians, the ratio to the better one of the other two, the goal, and the processor time that each server took for one
operation. Called by run.sh, as root. Everything that it starts it stops; everything it writes lies in one directory, which goes at the end.
"""

import argparse
import dataclasses
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import flushes
import idle
from clients import Imap
from corpus import Corpus
from crowd import Crowd
from limits import Limits
from servers import Certificate, Cyrus, Dovecot, Ours
from workloads import Measured, Workloads

ROUNDS = 5
FULL_MINUTES = 22
DESCRIPTORS = 40_000


def marks(place):
    """The lines of a document between which figures stand."""
    return f"<!-- {place} -->", f"<!-- end of {place} -->"


MARKS = marks("figures")
USERS = [f"user{n}" for n in range(20)]


@dataclasses.dataclass
class Sizes:
    messages: int
    deliveries: int
    accounts: int
    logins: int
    idle: int

    @staticmethod
    def within(minutes):
        """Full size needs some twenty minutes; below, everything shrinks alike."""
        share = min(1.0, max(0.02, (minutes - 1) / (FULL_MINUTES - 1)))

        def part(whole, least, step):
            return max(least, int(whole * share) // step * step)
        return Sizes(messages=part(100_000, 2000, 100), deliveries=part(1000, 100, 10), accounts=part(10_000, 100, 10),
                     logins=part(50, 5, 1), idle=part(10_000, 200, 100))


def note(text):
    print(text, file=sys.stderr, flush=True)


def load(server, corpus, count):
    """Fills the big folder."""
    begun = time.monotonic()
    client = Imap(server.port, "big")
    for first in range(0, count, 2000):
        client.load("INBOX", corpus.numbered(first, min(2000, count - first)))
    client.close()
    note(f"{server.name}: {count:,} messages loaded in {time.monotonic() - begun:.1f} s")


def shown(seconds, as_rate):
    if as_rate:
        return f"{1 / seconds:,.0f}/s"
    return f"{seconds * 1000:,.1f} ms" if seconds >= 0.01 else f"{seconds * 1e6:,.0f} us"


def processor(measured):
    """Of all rounds together, because the kernel counts in hundredths of a second."""
    if not measured.processor:
        return ""
    seconds = statistics.mean(measured.processor)
    return f"{seconds * 1000:,.2g} ms" if seconds < 0.0999 else f"{seconds * 1000:,.0f} ms"


class Table:
    """Lines of the report: to a file as they come, so that a run that is cut short leaves what it has."""

    def __init__(self, path):
        self.file = open(path, "w") if path else sys.stdout
        self.lines = []

    def line(self, text=""):
        print(text, file=self.file, flush=True)
        self.lines.append(text)

    def put_into(self, path, place="figures"):
        first, last = marks(place)
        with open(path) as file:
            before, rest = file.read().split(first)
        after = rest.split(last)[1]
        with open(path, "w") as file:
            file.write(before + first + "\n" + "\n".join(self.lines).strip() + "\n" + last + after)


def measure(row, servers, allotted):
    """Rounds of one row: five, or as many as the time allows, at least one."""
    for server in servers:
        if row.prepare:
            row.prepare(server)
    measured = [Measured() for _ in servers]
    begun = last = time.monotonic()
    for done in range(ROUNDS):
        now = time.monotonic()
        # Another one would take as long as the last.
        if done and now - begun + (now - last) > allotted:
            break
        last = now
        for server, into in zip(servers, measured):
            row.run(server, into)
    return measured


def rows(table, workloads, servers, limits, only, end):
    """Measures and writes the rows; gives our median seconds and the limit, by the row's word."""
    ours = {}
    others = [server.name for server in servers[:-1]]
    table.line("| workload | " + " | ".join(others) + " | msgstore | ratio | goal | limit | rounds | processor: "
               + " | ".join(others) + " | msgstore |")
    table.line("|---" * (6 + 2 * len(servers) - 1) + "|")
    wanted = [row for row in workloads.table() if not only or row.word in only]
    for number, row in enumerate(wanted):
        left = sum(other.weight for other in wanted[number:])
        begun = time.monotonic()
        try:
            measured = measure(row, servers, max(0, end - begun) * row.weight / left)
            limit = row.limit(limits, servers[-1]) if row.limit else None
        except (OSError, LookupError, subprocess.CalledProcessError) as error:
            table.line(f"| {row.title} | failed: {error} |")
            note(f"{row.title}: failed: {error}")
            continue
        figures = [row.figure(m) for m in measured]
        cells = [shown(figure, row.as_rate) for figure in figures]
        ours[row.word] = figures[-1], limit
        ratio = f"{min(figures[:-1]) / figures[-1]:.2f}" if len(figures) > 1 else ""
        rounds = f"{len(measured[0].samples)} samples" if row.percentile else str(len(measured[0].seconds))
        words = [row.title, *cells, ratio, goal(row, figures), shown(limit, row.as_rate) if limit else "",
                 rounds, *(processor(m) for m in measured)]
        table.line("| " + " | ".join(words) + " |")
        note(f"{row.title}: {' '.join(cells)}; {words[-3 - len(servers)]}; limit {words[-2 - len(servers)]}; in {time.monotonic() - begun:.0f} s")
    return ours


def goal(row, figures):
    """The words of that column."""
    def judged(text, met):
        return f"{text}: {'met' if met else 'missed'}"
    if row.goal_s:
        return judged(shown(row.goal_s, False), figures[-1] <= row.goal_s)
    if row.goal == 0:
        return "below"
    if row.goal is None or len(figures) == 1:
        return ""
    return judged(f"{row.goal:g}", min(figures[:-1]) / figures[-1] >= row.goal)


def notes(table, workloads, ours):
    table.line()
    for command, hits in workloads.hits.items():
        same = len(set(hits.values())) == 1
        found = f"each server finds {next(iter(hits.values())):,}" if same else ", ".join(f"{name} finds {n:,}" for name, n in hits.items())
        table.line(f"* `{command}`: {found}.")
    if "body" in ours:
        took, reading = ours["body"]
        met = "met" if took <= reading * 1.3 else "missed"
        table.line(f"* FETCH of bodies: the goal is 1.3 times what it takes to open and read the files without a server (the limit): {met} "
                   f"({took / reading:.2f} times).")


def describe(table, servers, corpus, sizes, args):
    table.line(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({cpu_name()}), Linux {platform.release()}, load average "
               f"{os.getloadavg()[0]:.1f} at the start; commit {commit()}; `tests/bench/run.sh {' '.join(args.words)}`.")
    table.line(f"Mail: {corpus.describe()}; the big folder has {sizes.messages:,} messages.")
    table.line()
    for server in servers:
        table.line(f"* {server.settings()}")
    table.line()


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())


def commit():
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="a release build of msgstore")
    parser.add_argument("--fill", required=True, help="the program `fill` of this workspace")
    parser.add_argument("--load", required=True, help="the program `load` of this workspace")
    parser.add_argument("--minutes", type=float, default=25, help="the budget (default 25); below 22 everything is smaller")
    parser.add_argument("--only", default="", help="only these rows: lmtp, append, multiappend, login, notify, mix, select, flags, envelope, structure, "
                        "body, search, searchbody, sort, thread, store, copy, expunge, list, idle, flushes")
    parser.add_argument("--servers", default="dovecot,cyrus", help="beside which of dovecot, cyrus")
    parser.add_argument("--corpus", help="an mbox file (.gz allowed) with the messages to use; else testdata/sample.mbox")
    parser.add_argument("--messages", type=int, help="how many in the big folder")
    parser.add_argument("--idle", type=int, help="how many idle connections on msgstore")
    parser.add_argument("--dir", help="where the mail lies meanwhile")
    parser.add_argument("--out", help="file for the report; else standard output")
    parser.add_argument("--into", help="a document (docs/performance.md): in the end the report takes the place of what stands there between the "
                        f"lines `{MARKS[0]}` and `{MARKS[1]}`")
    parser.add_argument("--place", default="figures", help="another word than `figures` in those two lines")
    args = parser.parse_args()
    args.words = [f"--minutes {args.minutes:g}"]
    for name in ("only", "servers", "messages", "idle", "dir"):
        if getattr(args, name) != parser.get_default(name):
            args.words.append(f"--{name} {getattr(args, name)}")
    if args.corpus:
        args.words.append(f"--corpus {os.path.basename(args.corpus)}")
    return args


def raise_descriptors():
    """Ten thousand connections are as many descriptors at each end; the servers inherit the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, DESCRIPTORS), max(hard, DESCRIPTORS)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    args = arguments()
    if args.into and not all(mark in open(args.into).read() for mark in marks(args.place)):
        raise SystemExit(f"{args.into} has no place for the figures")
    end = time.monotonic() + args.minutes * 60
    raise_descriptors()
    sizes = Sizes.within(args.minutes)
    sizes = dataclasses.replace(sizes, messages=args.messages or sizes.messages, idle=args.idle or sizes.idle)
    only = set(args.only.split(",")) if args.only else None
    corpus = Corpus(args.corpus)
    workloads = Workloads(corpus, USERS, sizes)
    Ours.program, Ours.fill_program, Crowd.load_program = (os.path.abspath(path) for path in (args.program, args.fill, args.load))
    kinds = [kind for kind in (Dovecot, Cyrus) if kind.name.lower() in args.servers.split(",")] + [Ours]
    table = Table(args.out)
    directory = tempfile.mkdtemp(prefix="msgstore-bench-", dir=args.dir)
    os.chmod(directory, 0o755)
    certificate = Certificate(directory)
    limits = Limits(directory, Crowd.load_program, corpus.source, certificate)
    servers = []
    try:
        for kind in kinds:
            os.mkdir(f"{directory}/{kind.name.lower()}")
            servers.append(kind(f"{directory}/{kind.name.lower()}", [*USERS, "big"], certificate))
        describe(table, servers, corpus, sizes, args)
        if not only or only - {"lmtp", "append", "multiappend", "notify", "mix", "list", "idle", "flushes"}:
            for server in servers:
                load(server, corpus, sizes.messages)
        # The idle connections take some four minutes at full size.
        reserve = 130 + 120 * sizes.idle / 10_000 if not only or "idle" in only else 0
        notes(table, workloads, rows(table, workloads, servers, limits, only, end - reserve))
        if not only or "idle" in only:
            idle.report(table, servers, USERS, sizes.idle, workloads.crowd.message)
        if only and "flushes" in only:
            flushes.report(table, servers, workloads, 300)
        if args.into:
            table.put_into(args.into, args.place)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
