"""How often a delivery waits for the disk: flushes, and writes on synchronous descriptors, counted by strace in runs of their own."""

import os
import re
import signal
import subprocess
import tempfile
import time

from servers import tree
from workloads import deliveries

CALLS = "fsync,fdatasync,sync_file_range,syncfs,msync"


def synchronous_files(pid):
    """Descriptors of a process on which every write waits for the disk (O_DSYNC, O_SYNC)."""
    found = set()
    for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{descriptor}") as file:
                if int(re.search(r"flags:\s*(\d+)", file.read())[1], 8) & os.O_DSYNC:
                    found.add(descriptor)
        except OSError:
            pass
    return found


def count(server, workloads, connections, messages):
    """Calls by name for so many deliveries."""
    sessions = [server.lmtp() for _ in range(connections)]
    deliveries(sessions, workloads.users, connections * 2 + 20, workloads.source)
    pids = tree(server.roots())
    synchronous = {task: synchronous_files(pid) for pid in pids for task in os.listdir(f"/proc/{pid}/task")}
    calls = {}
    with tempfile.NamedTemporaryFile("r") as out:
        trace = subprocess.Popen(["strace", "-f", "-s", "0", "-e", f"trace={CALLS},write,writev,pwrite64,pwritev", "-o", out.name]
                                 + [w for pid in pids for w in ("-p", str(pid))], stderr=subprocess.DEVNULL)
        time.sleep(1.5)
        deliveries(sessions, workloads.users, messages, workloads.source)
        trace.send_signal(signal.SIGINT)
        trace.wait()
        for task, name, descriptor in re.findall(r"^(\d+) +(\w+)\((\d+)", out.read(), re.M):
            if name in CALLS.split(","):
                calls[name] = calls.get(name, 0) + 1
            elif descriptor in synchronous.get(task, ()):
                calls["synchronous write"] = calls.get("synchronous write", 0) + 1
    for session in sessions:
        session.close()
    return calls


def report(table, servers, workloads, messages):
    table.line("\n| waits for the disk for a delivery | " + " | ".join(s.name for s in servers) + " |")
    table.line("|---" * (len(servers) + 1) + "|")
    for connections in (1, 16):
        cells = []
        for server in servers:
            calls = count(server, workloads, connections, messages)
            each = ", ".join(f"{name} {n / messages:.2f}" for name, n in sorted(calls.items()))
            cells.append(f"{sum(calls.values()) / messages:.2f} ({each})")
        table.line(f"| {connections} at a time | " + " | ".join(cells) + " |")
