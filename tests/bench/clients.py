"""Clients that cost little: they count octets and lines instead of parsing them, so that the server is what is measured."""

import functools
import multiprocessing
import select
import socket
import ssl


# How long an answer may take before the row has failed.
PATIENCE_S = 300


def wait_readable(stream, seconds):
    waiting = select.poll()
    waiting.register(stream, select.POLLIN)
    return waiting.poll(seconds * 1000)


class Imap:
    """An IMAP connection, logged in."""

    def __init__(self, port, user, tls=False, source="127.0.0.1"):
        self.user = user
        self.socket = socket.create_connection(("127.0.0.1", port), source_address=(source, 0) if source != "127.0.0.1" else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE_S)
        if tls:
            self.shake_hands()
        self.number = 0
        self.receive()
        self.ask(f"LOGIN {user} secret")

    def shake_hands(self):
        """TLS, with each part of the handshake acknowledged at once; see receive()."""
        self.socket = verified_by_nobody().wrap_socket(self.socket, do_handshake_on_connect=False)
        self.socket.setblocking(False)
        while True:
            try:
                self.socket.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                if not wait_readable(self.socket, PATIENCE_S):
                    raise OSError("no answer to the TLS handshake") from None
        self.socket.settimeout(PATIENCE_S)

    def close(self):
        self.socket.close()

    def idle(self):
        """Sends IDLE and waits until the server says that it has begun."""
        self.socket.sendall(b"idle IDLE\r\n")
        answer = b""
        while b"+ " not in answer:
            piece = self.receive()
            if not piece:
                raise OSError("connection closed")
            answer += piece

    def drain(self):
        """Reads what is there; gives how many octets."""
        total = 0
        self.socket.setblocking(False)
        try:
            while piece := self.socket.recv(65536):
                total += len(piece)
            raise OSError("connection closed")
        except (BlockingIOError, ssl.SSLWantReadError):
            self.socket.settimeout(PATIENCE_S)
        return total

    def receive(self):
        # Acknowledged at once: a server that leaves Nagle's algorithm on would wait for 40 ms otherwise.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return self.socket.recv(1 << 20)

    def ask(self, command, allow=b"OK", lines=None):
        """Sends a command and waits for the tagged answer. Gives the octets of the answer or, with `lines`, how often that occurs in it."""
        self.number += 1
        tag = b"t%d " % self.number
        self.socket.sendall(tag + command.encode() + b"\r\n")
        return self.until(tag, allow, lines)

    def until(self, tag, allow=b"OK", lines=None):
        total, found, tail = 0, 0, b"\r\n"
        while True:
            piece = self.receive()
            if not piece:
                raise OSError("connection closed: " + repr(tail[-200:]))
            total += len(piece)
            if lines:
                # With the end of the piece before, as far as the text may lie across the cut.
                found += (tail[-len(lines) + 1:] + piece).count(lines)
            tail = piece[-4096:] if len(piece) >= 4096 else (tail + piece)[-4096:]
            if tail.endswith(b"\r\n"):
                last = tail[tail.rfind(b"\r\n", 0, -2) + 2:]
                if last.startswith(tag):
                    if not last[len(tag):].startswith(allow):
                        raise OSError(repr(last))
                    return found if lines else total

    def hits(self, search):
        """How many numbers a SEARCH gives."""
        self.number += 1
        tag = b"t%d " % self.number
        self.socket.sendall(tag + search.encode() + b"\r\n")
        answer = bytearray()
        while b"\r\n" + tag not in b"\r\n" + answer:
            piece = self.receive()
            if not piece:
                raise OSError("connection closed")
            answer += piece
        return sum(len(line.split()) - 2 for line in answer.split(b"\r\n") if line.startswith(b"* SEARCH"))

    def append(self, folder, batch):
        """APPEND, one command after the other, each answered before the next."""
        for message in batch:
            self.number += 1
            tag = b"t%d " % self.number
            self.socket.sendall(tag + b"APPEND %s {%d+}\r\n" % (folder.encode(), len(message)) + message + b"\r\n")
            self.until(tag)

    def load(self, folder, batch, together=50):
        """APPEND of many in one command (MULTIAPPEND, RFC 3502): durable when it is answered, with the fewest flushes."""
        for at in range(0, len(batch), together):
            self.number += 1
            tag = b"t%d " % self.number
            data = [tag + b"APPEND " + folder.encode()]
            for message in batch[at:at + together]:
                data.append(b" {%d+}\r\n" % len(message) + message)
            self.socket.sendall(b"".join(data) + b"\r\n")
            self.until(tag)


@functools.cache
def verified_by_nobody(server=False):
    """TLS without a look at the certificate: it is a self-signed one, and only its cost is wanted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Lmtp:
    """An LMTP session over a socket; two round trips for a message."""

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
        self.deliver_to_all([recipient], message)

    def deliver_to_all(self, recipients, message):
        self.offer(recipients)
        self.send(message)
        for _ in recipients:
            self.reply()

    def offer(self, recipients):
        named = b"".join(b"RCPT TO:<%s>\r\n" % recipient for recipient in recipients)
        self.say(b"MAIL FROM:<sender@example.net>\r\n%sDATA\r\n" % named)
        for _ in range(len(recipients) + 2):
            self.reply()

    def send(self, message):
        dots = b"." if message.startswith(b".") else b""
        self.say(dots + message.replace(b"\r\n.", b"\r\n..") + b".\r\n")


def lmtp_over_tcp(port):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(PATIENCE_S)
    return Lmtp(connection.makefile("rb"), connection.makefile("wb"), connection.close)


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
