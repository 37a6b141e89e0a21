"""Idle connections: what each takes of the memory, and who wakes when a message comes.

Memory is the PSS of the server's processes with the connections open, less what they took before. The others get few connections: each is a process there, and
its size does not depend on how many there are. We get ten thousand on one imapd.
"""

import os
import queue
import random
import selectors
import threading
import time

from clients import Imap
from crowd import percentile
from servers import Cyrus, Ours, processor_seconds, pss_kib, tree

OTHERS = 100
# Logins at the same time.
CALLERS = 8
SETTLE_S = 3
# Threads that nothing has used end after ten seconds.
REST_S, MINUTE_S = 12, 60
GOAL_KIB = {False: 16, True: 40}
GOAL_S = 0.05
# Sessions of each mailbox of ours.
SESSIONS = 10
DELIVERIES = 200
# How long nobody else may hear anything.
QUIET_S = 1


def open_idle(port, users, count, tls):
    """Connections that are logged in, have INBOX selected, and idle; neighbours in the list are of different users."""
    todo, opened, failures = queue.Queue(), [], []
    for number in range(count):
        todo.put(number)

    def work():
        while not failures:
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return
            try:
                # Ports of one address would not do for many more.
                client = Imap(port, users[number % len(users)], tls, f"127.0.0.{2 + number % 8}")
                client.ask("SELECT INBOX")
                client.idle()
                opened.append(client)
            except OSError as error:
                failures.append(error)
    threads = [threading.Thread(target=work) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        close(opened)
        raise OSError(f"connection {len(opened) + 1} of {count}: {failures[0]}")
    return opened


def close(clients):
    for client in clients:
        client.close()


def memory(server, port, users, count, tls):
    """KiB for each of `count` idle connections, and the connections."""
    # What the first connections cost is no part of what one more does.
    close(open_idle(port, users[:20], 20, tls))
    time.sleep(SETTLE_S)
    before = pss_kib(tree(server.roots()))
    begun = time.monotonic()
    clients = open_idle(port, users, count, tls)
    rate = count / (time.monotonic() - begun)
    time.sleep(SETTLE_S)
    return (pss_kib(tree(server.roots())) - before) / count, rate, clients


def switches(pid):
    """How often the threads of a process have waited for something."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/status") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
        except OSError:
            pass
    return total


class Watch:
    """Waits for what comes on any of the connections."""

    def __init__(self, clients):
        self.selector, self.of_user, self.strangers = selectors.DefaultSelector(), {}, 0
        for client in clients:
            client.drain()
            self.selector.register(client.socket, selectors.EVENT_READ, client)
            self.of_user.setdefault(client.user, []).append(client)

    def hear(self, user, seconds, told):
        """Reads what comes; notes in `told` when a client of `user` hears of a message, and counts the octets that others get."""
        for key, _ in self.selector.select(seconds):
            answer = b""
            try:
                answer = key.data.receive()
                if not answer:
                    raise OSError("a connection was closed")
            except BlockingIOError:
                continue
            if key.data.user != user:
                self.strangers += len(answer)
            elif b" EXISTS\r\n" in answer:
                told.setdefault(key.data, time.monotonic())

    def delivery(self, session, user, message):
        """Seconds from the last octet of a message to EXISTS, of each session of its mailbox."""
        session.offer([f"{user}@example.org".encode()])
        begun, told = time.monotonic(), {}
        session.send(message)
        while len(told) < len(self.of_user[user]):
            if time.monotonic() > begun + 60:
                raise OSError(f"{len(self.of_user[user]) - len(told)} sessions of {user} hear nothing")
            self.hear(user, 1, told)
        session.reply()
        return [at - begun for at in told.values()]


def wake(server, clients, message):
    """Deliveries to mailboxes at random. Gives the times until EXISTS, imapd's processor seconds for a delivery, and the octets that others got."""
    watch, pid, dice = Watch(clients), server.service("imap"), random.Random(1)
    session, taken, users = server.lmtp(), [], sorted(watch.of_user)
    before = processor_seconds([pid])
    for _ in range(DELIVERIES):
        user = dice.choice(users)
        taken += watch.delivery(session, user, message)
    end = time.monotonic() + QUIET_S
    while time.monotonic() < end:
        watch.hear(None, 0.1, {})
    session.close()
    watch.selector.close()
    return taken, (processor_seconds([pid]) - before) / DELIVERIES, watch.strangers


def minute(server):
    """Processor seconds and waits of imapd in a minute in which nothing happens."""
    pid = server.service("imap")
    time.sleep(REST_S)
    used, waits = processor_seconds([pid]), switches(pid)
    time.sleep(MINUTE_S)
    return processor_seconds([pid]) - used, switches(pid) - waits


def judged(met):
    return "met" if met else "missed"


def ten_thousand(server, count, message, tls):
    """The cells of one column: ours, plain or with TLS."""
    users = [f"idle{number:04}" for number in range(max(1, count // SESSIONS))]
    port = server.tls_port if tls else server.port
    few = open_idle(port, users[:20], 20 * SESSIONS, tls)
    _, alone, _ = wake(server, few, message)
    close(few)
    each, rate, clients = memory(server, port, users, count, tls)
    used, waits = minute(server)
    taken, among, strangers = wake(server, clients, message)
    close(clients)
    slow = percentile(taken, 99)
    return [f"{each:,.1f} KiB (goal {GOAL_KIB[tls]}: {judged(each <= GOAL_KIB[tls])})", f"{rate:,.0f}/s",
            f"{used * 1000:,.0f} ms", f"{waits:,}",
            f"{percentile(taken, 50) * 1000:,.1f} ms", f"{slow * 1000:,.1f} ms (goal {GOAL_S * 1000:.0f} ms: {judged(slow <= GOAL_S)})",
            f"{alone * 1000:,.2f} ms", f"{among * 1000:,.2f} ms", f"{strangers:,}"]


def report(table, servers, users, count, message):
    table.line("\n| memory for an idle connection (PSS, INBOX selected) | connections | KiB each |")
    table.line("|---|---|---|")
    for server in servers:
        if isinstance(server, Ours):
            continue
        for tls in (False, True):
            title = f"{server.name}, {'TLS' if tls else 'plain'}"
            if isinstance(server, Cyrus):
                server.restart()
            try:
                each, _, clients = memory(server, server.tls_port if tls else server.port, users, min(count, OTHERS), tls)
                close(clients)
                table.line(f"| {title} | {min(count, OTHERS):,} | {each:,.1f} |")
            except OSError as error:
                table.line(f"| {title} | | failed: {error} |")
    ours = servers[-1]
    ours.add_users(f"idle{number:04}" for number in range(max(1, count // SESSIONS)))
    columns = []
    for tls in (False, True):
        # A process that has had as many before would seem to need less.
        ours.restart_with({"service.imap.maxsessions": count + 500})
        try:
            columns.append(ten_thousand(ours, count, message, tls))
        except OSError as error:
            columns.append([f"failed: {error}"] + [""] * 8)
    rows = ["memory each (PSS, INBOX selected)", f"opened (LOGIN, SELECT, IDLE; {CALLERS} callers)",
            "processor time of imapd in a minute without an event", "waits of its threads in that minute (voluntary context switches)",
            f"delivery to EXISTS at the {SESSIONS} sessions of its mailbox, p50", "the same, p99",
            f"processor time of imapd for a delivery, among {20 * SESSIONS} connections", f"the same, among {count:,}",
            "octets sent to sessions of other mailboxes"]
    table.line(f"\n| {count:,} connections in IDLE on one imapd, {SESSIONS} for each mailbox | plain | TLS |")
    table.line("|---|---|---|")
    for title, *cells in zip(rows, *columns):
        table.line(f"| {title} | {' | '.join(cells)} |")
