"""Memory for an idle connection: PSS of the server's processes with the connections open, less what they took before."""

import queue
import threading
import time

from clients import Imap
from servers import Ours, pss_kib, tree

# How many connections the others get: each is a process there, and its size does not depend on how many there are.
OTHERS = 100
# Logins at the same time.
CALLERS = 8
SETTLE_S = 3
GOAL_KIB = {False: 16, True: 40}


def open_idle(port, users, count, tls):
    """Connections that are logged in, have INBOX selected, and idle."""
    todo, opened, failures = queue.Queue(), [], []
    for number in range(count):
        todo.put(users[number % len(users)])

    def work():
        while not failures:
            try:
                user = todo.get_nowait()
            except queue.Empty:
                return
            try:
                client = Imap(port, user, tls)
                client.ask("SELECT INBOX")
                client.socket.sendall(b"idle IDLE\r\n")
                client.socket.recv(65536)
                opened.append(client)
            except OSError as error:
                failures.append(error)
    threads = [threading.Thread(target=work) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        for client in opened:
            client.close()
        raise OSError(f"connection {len(opened) + 1} of {count}: {failures[0]}")
    return opened


def measure(server, port, users, count, tls):
    """KiB for each of `count` idle connections."""
    # What the first connections cost is no part of what one more does.
    for client in open_idle(port, users, len(users), tls):
        client.close()
    time.sleep(SETTLE_S)
    before = pss_kib(tree(server.roots()))
    clients = open_idle(port, users, count, tls)
    time.sleep(SETTLE_S)
    after = pss_kib(tree(server.roots()))
    for client in clients:
        client.close()
    return (after - before) / count


def report(table, servers, users, count):
    table.line("\n| memory for an idle connection (PSS, INBOX selected) | connections | KiB each | goal |")
    table.line("|---|---|---|---|")
    for server in servers:
        ours = isinstance(server, Ours)
        for tls in (False, True) if ours else (False,):
            kind = "TLS" if tls else "plain"
            if tls and not server.restart_with_tls():
                table.line(f"| {server.name}, TLS | | **SKIPPED: this server opens no port for TLS** | |")
                continue
            number = count if ours else min(count, OTHERS)
            try:
                each = measure(server, server.tls_port if tls else server.port, users, number, tls)
            except OSError as error:
                table.line(f"| {server.name}, {kind} | | failed: {error} | |")
                continue
            goal = f"{GOAL_KIB[tls]}: {'met' if each <= GOAL_KIB[tls] else 'missed'}" if ours else ""
            table.line(f"| {server.name}, {kind} | {number:,} | {each:,.1f} | {goal} |")
