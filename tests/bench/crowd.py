"""Many sessions at a time: a mix of commands by a hundred, and how soon an idling client hears of a delivery."""

import subprocess
import tempfile
import time

from clients import Imap

# The folder of each account that the mix works on; load.rs knows how many messages it has.
FOLDER, MESSAGES = "Mix", 200
CLIENTS, SECONDS = 100, 3
# Deliveries of a round, and users to whom they go in turn.
NOTICES, WATCHED = 20, 5
# A client that has heard nothing by then fails the row.
NOTICE_S = 30


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, len(values) * part // 100)]


class Crowd:
    """The workloads; what a round found beside its rate waits in `found` for the row that shows it."""

    load_program = None

    def __init__(self, corpus, users):
        self.source, self.users, self.found = corpus.source, users, {}
        # One of middling length.
        self.message = sorted(corpus.source, key=len)[len(corpus.source) // 2]

    def later(self, name):
        """A row of samples that another row's rounds have taken."""
        def run(server, measured):
            # The other row may have had fewer rounds.
            if waiting := self.found[name, server.name]:
                measured.samples += waiting.pop(0)
        return run

    def keep(self, name, server, samples):
        self.found.setdefault((name, server.name), []).append(samples)

    def fill(self, server):
        for number, user in enumerate(self.users):
            client = Imap(server.port, user)
            client.ask(f"CREATE {FOLDER}")
            client.load(FOLDER, [self.source[(number * MESSAGES + n) % len(self.source)] for n in range(MESSAGES)])
            client.close()

    def mixed(self, server, measured):
        slow = self.mix(server.port, lambda work: measured.take(server, None, work))
        self.keep("mixed p99", server, [slow])

    def mix(self, port, take):
        """Runs load.rs, the part that counts inside of `take`; gives the seconds of which 99 in a hundred commands took fewer."""
        with tempfile.NamedTemporaryFile() as message:
            message.write(self.message)
            message.flush()
            words = [self.load_program, "mix", "--port", str(port), "--users", str(len(self.users)), "--clients", str(CLIENTS),
                     "--seconds", str(SECONDS), "--message", message.name]
            with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
                answer = []
                if client.stdout.readline() != "ready\n":
                    raise OSError("the clients of the mixed load do not start")

                def work():
                    client.stdin.write("\n")
                    client.stdin.flush()
                    answer.extend(client.stdout.readline().split())
                    if len(answer) != 4:
                        raise OSError("a client of the mixed load has failed")
                    return int(answer[0])
                take(work)
                client.stdin.close()
            return int(answer[3]) / 1e6

    def mixed_limit(self, limits):
        """The same clients with a server that does nothing."""
        taken = []

        def take(work):
            begun = time.monotonic()
            commands = work()
            taken.append((time.monotonic() - begun) / commands)
        with limits.nothing() as port:
            self.mix(port, take)
        return taken[0]

    def noticed(self, server, measured):
        """Deliveries one after the other, each to an INBOX with an idling client; the time from the last octet of the message to EXISTS."""
        clients = []
        for user in self.users[:WATCHED]:
            client = Imap(server.port, user)
            client.ask("SELECT INBOX")
            client.idle()
            clients.append(client)
        session = server.lmtp()
        # Each client has been told once: what is left of its beginning is over.
        for client in clients:
            self.notice(session, client)
        taken = [self.notice(session, clients[n % WATCHED]) for n in range(NOTICES)]
        measured.samples += taken
        self.keep("noticed p99", server, taken)
        session.close()
        for client in clients:
            client.close()

    def notice(self, session, client):
        session.offer([b"%s@example.org" % client.user.encode()])
        begun = time.monotonic()
        session.send(self.message)
        answer = b""
        client.socket.settimeout(NOTICE_S)
        while b" EXISTS\r\n" not in answer:
            piece = client.receive()
            if not piece:
                raise OSError("connection closed")
            answer += piece
        taken = time.monotonic() - begun
        session.reply()
        # RECENT and what else belongs to it.
        time.sleep(0.05)
        client.drain()
        return taken
