#!/usr/bin/env python3
"""Measures what quotas cost, in rounds A B A B: LMTP delivery with store.quotaenforcement on and off; iminitquota -a beside a slapd, and an ldapsearch of the
same attributes alone; imquotacheck -i with its memory. Called by quota.sh.

Writes tables in Markdown: medians and ratios.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from clients import at_once
from corpus import Corpus
from run import Table, commit, cpu_name, marks
from servers import Certificate, Ours, answers, free_port, quiet, wait_for

PLACE = "figures of quotas"
# A delivery with enforcement may take so much longer, as a share.
GOAL = 0.05
SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/ldap/msgstore.schema")
ADMIN, SECRET = "cn=admin,o=isp", "secret"
# What a look at a user asks for, without what only passwords and groups need.
# What the product asks for (src/directory/ldap/search.rs).
ATTRIBUTES = [
    "objectClass", "uid", "cn", "mail", "mailAlternateAddress", "mailEquivalentAddress", "userPassword", "authPassword", "mailHost",
    "mailQuota", "mailMsgQuota", "preferredLanguage", "mailUserStatus", "inetUserStatus", "mailMessageStore", "mailAllowedServiceAccess",
    "aclGroupAddr", "mailDeliveryOption", "memberOf", "mailAdminRole", "uniqueMember", "member", "o", "sunPreferredDomain",
    "associatedDomain", "inetDomainBaseDN", "inetDomainStatus", "mailDomainStatus", "mailDomainDiskQuota", "mailDomainMsgQuota",
    "mailDomainAllowedServiceAccess",
]


def configure(server, name, value):
    quiet(f"{server.directory}/sbin/configutil", "-o", name, "-v", str(value), env=server.environment())


def deliveries(server, corpus, users, connections, count, first):
    """Seconds for a delivery: `count` messages, shared by the connections."""
    sessions = [server.lmtp() for _ in range(connections)]
    messages = corpus.numbered(first, count)
    begun = time.monotonic()

    def one(number, session):
        for at in range(number, count, connections):
            session.deliver(f"{users[at % len(users)]}@example.org".encode(), messages[at])
    at_once(one, sessions)
    took = time.monotonic() - begun
    for session in sessions:
        session.close()
    return took / count


def enforcement(table, server, corpus, users, count, rounds):
    configure(server, "store.defaultmailboxquota", 10 << 30)
    configure(server, "store.defaultmessagequota", 10_000_000)
    table.line(f"| LMTP delivery, {count:,} messages to {len(users)} users with quotas | off | on | on / off | goal |")
    table.line("|---|---|---|---|---|")
    for connections in (1, 16):
        found = {"off": [], "on": []}
        deliveries(server, corpus, users, connections, count, 0)
        for turn in range(rounds):
            # Who is first changes: the folders grow meanwhile.
            for state in ("off", "on") if turn % 2 == 0 else ("on", "off"):
                configure(server, "store.quotaenforcement", state)
                found[state].append(deliveries(server, corpus, users, connections, count, turn * count))
        medians = {state: statistics.median(values) for state, values in found.items()}
        ratio = statistics.median(on / off for on, off in zip(found["on"], found["off"]))
        title = f"{connections} connection{'s'[:connections - 1]}"
        table.line(f"| {title} | {1 / medians['off']:,.0f}/s | {1 / medians['on']:,.0f}/s | {ratio:.3f} in time | "
                   f"{1 + GOAL:.2f}: {'met' if ratio <= 1 + GOAL else 'missed'} |")
    table.line()


class Slapd:
    """A directory server with `count` users, on loopback."""

    def __init__(self, directory, names):
        self.port = free_port()
        os.mkdir(f"{directory}/db")
        with open(f"{directory}/slapd.conf", "w") as file:
            for schema in ("core", "cosine", "inetorgperson"):
                file.write(f"include /etc/ldap/schema/{schema}.schema\n")
            file.write(f"include {SCHEMA}\npidfile {directory}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\ndatabase mdb\nsuffix o=isp\n"
                       f"rootdn {ADMIN}\nrootpw {SECRET}\ndirectory {directory}/db\ndbnosync\nmaxsize 4294967296\n"
                       "index objectClass,uid,mail,mailAlternateAddress,mailEquivalentAddress,mailHost eq\naccess to * by * read\n")
        with open(f"{directory}/users.ldif", "w") as file:
            file.write("dn: o=isp\nobjectClass: organization\no: isp\n\ndn: o=example.org,o=isp\nobjectClass: organization\no: example.org\n\n")
            for name in names:
                file.write(f"dn: uid={name},o=example.org,o=isp\nobjectClass: inetOrgPerson\nobjectClass: inetUser\nobjectClass: inetMailUser\n"
                           f"uid: {name}\ncn: {name}\nsn: {name}\nmail: {name}@example.org\nmailQuota: 20M\nmailMsgQuota: 5000\n\n")
        quiet("slapadd", "-q", "-f", f"{directory}/slapd.conf", "-l", f"{directory}/users.ldif")
        with open(f"{directory}/log", "w") as log:
            words = ["slapd", "-d", "0", "-h", f"ldap://127.0.0.1:{self.port}/", "-f", f"{directory}/slapd.conf"]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("slapd", lambda: answers(self.port))

    def search(self):
        """Seconds for all users by one paged search."""
        begun = time.monotonic()
        quiet("ldapsearch", "-x", "-LLL", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ADMIN, "-w", SECRET, "-b", "o=isp", "-E", "pr=500/noprompt",
              "(uid=*)", *ATTRIBUTES)
        return time.monotonic() - begun

    def stop(self):
        self.process.terminate()
        self.process.wait()


def initialise(server):
    """Seconds for iminitquota -a."""
    begun = time.monotonic()
    quiet(f"{server.directory}/sbin/iminitquota", "-a", env=server.environment())
    return time.monotonic() - begun


def check(server):
    """Seconds for imquotacheck -i, and its peaks in MiB: all of it, and what is not of a file."""
    anonymous = 0
    begun = time.monotonic()
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen([f"{server.directory}/sbin/imquotacheck", "-i"], env=server.environment(), stdin=subprocess.DEVNULL, stdout=nowhere)
    while True:
        try:
            with open(f"/proc/{process.pid}/status") as file:
                fields = dict(line.split(":", 1) for line in file)
            anonymous = max(anonymous, int(fields.get("RssAnon", "0 kB").split()[0]))
        except (OSError, ValueError):
            pass
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.002)
    if status:
        raise OSError(f"imquotacheck ended with {status}")
    return time.monotonic() - begun, usage.ru_maxrss / 1024, anonymous / 1024


def accounts(table, directory, sizes, certificate, rounds):
    """The tools over accounts of some sizes."""
    rows = []
    for size in sizes:
        place = f"{directory}/{size}"
        os.mkdir(place)
        os.mkdir(f"{place}/ldap")
        server = Ours(f"{place}/store", [], certificate)
        slapd = None
        try:
            names = [f"user{number:06}" for number in range(size)]
            server.add_users(names)
            with open(f"{place}/names", "w") as file:
                file.writelines(f"user/{name}/INBOX\n" for name in names)
            quiet(f"{server.directory}/sbin/mboxutil", "-c", "-f", f"{place}/names", env=server.environment())
            print(f"{size:,} accounts made", file=sys.stderr, flush=True)
            slapd = Slapd(f"{place}/ldap", names)
            for name, value in (("local.ugldaphost", f"127.0.0.1:{slapd.port}"), ("local.ugldapbasedn", "o=isp"), ("local.ugldapbinddn", ADMIN),
                                ("local.ugldapbindcred", SECRET)):
                configure(server, name, value)
            # The first run has limits to write, the later ones only look.
            first = initialise(server)
            check(server)
            measured = [(slapd.search(), initialise(server), check(server)) for _ in range(rounds)]
            search, again = (statistics.median(round[at] for round in measured) for at in (0, 1))
            took, peak, anonymous = (statistics.median(round[2][at] for round in measured) for at in range(3))
            rows.append((size, search, first, again, took, peak, anonymous))
        finally:
            if slapd:
                slapd.stop()
            server.stop()
    table.line("| users | ldapsearch alone | iminitquota -a, first | again | again / ldapsearch | imquotacheck -i, warm | peak RSS | of it no file's |")
    table.line("|---|---|---|---|---|---|---|---|")
    for size, search, first, again, took, peak, anonymous in rows:
        table.line(f"| {size:,} | {search:.2f} s | {first:.2f} s ({size / first:,.0f} users/s) | {again:.2f} s ({size / again:,.0f} users/s) | "
                   f"{again / search:.1f} | {took:.3f} s | {peak:.1f} MiB | {anonymous:.1f} MiB |")
    growth = rows[-1][6] - rows[0][6]
    table.line()
    table.line(f"From {rows[0][0]:,} to {rows[-1][0]:,} accounts imquotacheck has {growth:+.1f} MiB of its own.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="a release build of msgstore")
    parser.add_argument("--small", action="store_true", help="few of everything: to see that it works")
    parser.add_argument("--messages", type=int, help="deliveries of a measurement (2,000)")
    parser.add_argument("--rounds", type=int, help="rounds (7)")
    parser.add_argument("--sizes", help="numbers of accounts (10000,100000)")
    parser.add_argument("--corpus", help="an mbox file (.gz allowed) with the messages to use; else testdata/sample.mbox")
    parser.add_argument("--dir", help="where the mail lies meanwhile")
    parser.add_argument("--into", help="a document in which the report takes the place of what stands between the lines "
                        + " and ".join(f"`{mark}`" for mark in marks(PLACE)))
    args = parser.parse_args()
    Ours.program = os.path.abspath(args.program)
    messages = args.messages or (50 if args.small else 2000)
    rounds = args.rounds or (2 if args.small else 7)
    sizes = [int(size) for size in (args.sizes or ("100,300" if args.small else "10000,100000")).split(",")]
    corpus = Corpus(args.corpus)
    directory = tempfile.mkdtemp(prefix="msgstore-quota-", dir=args.dir)
    os.chmod(directory, 0o755)
    certificate = Certificate(directory)
    table = Table(None)
    try:
        table.line(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({cpu_name()}), load average {os.getloadavg()[0]:.1f}; commit {commit()}; "
                   f"`tests/bench/quota.sh`; messages of {corpus.describe()}; medians of {rounds} rounds.")
        table.line()
        users = [f"quota{number}" for number in range(8)]
        server = Ours(f"{directory}/delivery", [], certificate)
        try:
            server.add_users(users)
            enforcement(table, server, corpus, users, messages, rounds)
        finally:
            server.stop()
        accounts(table, directory, sizes, certificate, rounds)
        if args.into:
            table.put_into(args.into, PLACE)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
