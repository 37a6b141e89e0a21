"""A raw IMAP client: sends commands as written, gives responses as parsed tokens without interpreting them.

Tokens: bytes for atoms and strings, None for NIL, list for a parenthesised list. Quoted strings and literals give
the same value, so that two servers can be compared by what they say and not by how they quote it.
"""

import socket


class Quoted(bytes):
    """A string (quoted or literal), as opposed to an atom; compares as bytes."""


class WireError(Exception):
    """The server said NO or BAD, or something that is not IMAP."""


class Connection:
    """One connection, logged in."""

    def __init__(self, host, port, user, password, timeout=120):
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 20)
        self.counter = 0
        greeting = self.response()
        if greeting[1] != b"OK":
            raise WireError(f"greeting {greeting!r}")
        self.command(b"LOGIN %s %s" % (user.encode(), password.encode()))

    def close(self):
        self.socket.close()

    def send(self, line):
        """Sends a command; gives its tag."""
        self.counter += 1
        tag = b"t%d" % self.counter
        self.socket.sendall(tag + b" " + line + b"\r\n")
        return tag

    def raw_response(self):
        """One response line with its literals, as a list of bytes (text) and Quoted (literals)."""
        pieces = []
        while True:
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                raise WireError(f"connection ended in {line!r}")
            if line.endswith(b"}\r\n"):
                at = line.rfind(b"{")
                length = line[at + 1:-3]
                if length.isdigit():
                    pieces.append(line[:at])
                    pieces.append(Quoted(self.file.read(int(length))))
                    continue
            pieces.append(line[:-2])
            return pieces

    def response(self):
        """One response: its tag or "*" or "+", then the tokens; the text of a status response is not cut up."""
        pieces = self.raw_response()
        words = pieces[0].split(b" ", 2)
        if len(words) > 1 and words[1] in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH") or words[0] == b"+":
            return words
        return parse(pieces)

    def finish(self, tag):
        """Reads up to the tagged response; gives the untagged ones. Raises if it is not OK."""
        found = []
        while True:
            response = self.response()
            if response[0] == tag:
                if response[1] != b"OK":
                    raise WireError(b" ".join(w for w in response if isinstance(w, bytes)).decode("latin-1"))
                self.tagged = response
                return found
            found.append(response)

    def command(self, line):
        return self.finish(self.send(line))

    def append(self, folder, message, flags=b"()", date=None):
        when = b' "%s"' % date if date else b""
        tag = self.send(b"APPEND %s %s%s {%d}" % (folder, flags, when, len(message)))
        response = self.response()
        while response[0] == b"*":
            response = self.response()
        if response[0] != b"+":
            raise WireError(f"APPEND: {response!r}")
        self.socket.sendall(message + b"\r\n")
        return self.finish(tag)

    def fetch(self, numbers, items):
        """FETCH as {sequence number: {item name in upper case: token}}."""
        messages = {}
        for response in self.command(b"FETCH %s %s" % (numbers, items)):
            if len(response) == 4 and response[2] == b"FETCH":
                pairs = response[3]
                into = messages.setdefault(int(response[1]), {})
                into.update({pairs[i].upper(): pairs[i + 1] for i in range(0, len(pairs), 2)})
        return messages


def parse(pieces):
    """Tokens of a response given as text pieces and literals."""
    stack = [[]]
    for piece in pieces:
        if isinstance(piece, Quoted):
            stack[-1].append(piece)
            continue
        at = 0
        while at < len(piece):
            byte = piece[at:at + 1]
            if byte == b" ":
                at += 1
            elif byte == b"(":
                stack.append([])
                at += 1
            elif byte == b")":
                if len(stack) < 2:
                    raise WireError(f"unbalanced: {piece!r}")
                done = stack.pop()
                stack[-1].append(done)
                at += 1
            elif byte == b'"':
                value = bytearray()
                at += 1
                while piece[at:at + 1] != b'"':
                    if at >= len(piece):
                        raise WireError(f"open string: {piece!r}")
                    if piece[at:at + 1] == b"\\":
                        at += 1
                    value += piece[at:at + 1]
                    at += 1
                stack[-1].append(Quoted(value))
                at += 1
            else:
                start = at
                brackets = 0
                while at < len(piece):
                    byte = piece[at:at + 1]
                    if byte == b"[":
                        brackets += 1
                    elif byte == b"]":
                        brackets -= 1
                    elif brackets <= 0 and byte in b" ()":
                        break
                    at += 1
                atom = piece[start:at]
                stack[-1].append(None if atom.upper() == b"NIL" else atom)
    if len(stack) != 1:
        raise WireError(f"unbalanced: {pieces!r}"[:300])
    return stack[0]


def connect(where):
    """HOST:PORT:USER:PASSWORD."""
    host, port, user, password = where.split(":", 3)
    return Connection(host, port, user, password)
