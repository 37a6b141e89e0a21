"""Messages to measure with: those of an mbox file, as often as needed, each copy different."""

import collections
import gzip
import os
import re

SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "testdata", "sample.mbox")
FROM_LINE = re.compile(rb"(?:\A|\n)From [^\n]*\n")
QUOTED = re.compile(rb"^>(>*From )", re.M)
LARGEST = 1 << 20


def read(path):
    """The messages of an mbox file (mboxrd quoting, perhaps compressed by gzip) as they go over the wire, lines ending in CRLF.

    Left out: messages that some server refuses by rule (a NUL octet) and those above one MiB.
    """
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rb") as file:
        data = file.read()
    found = []
    for part in FROM_LINE.split(data)[1:]:
        lines = QUOTED.sub(rb"\1", part).replace(b"\r\n", b"\n")
        message = lines.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n"
        if b"\r\n\r\n" in message and b"\0" not in message and len(message) <= LARGEST:
            found.append(message)
    if not found:
        raise SystemExit(f"there are no messages in {path}")
    return found


class Corpus:
    def __init__(self, path):
        self.path = path or SAMPLE
        self.source = read(self.path)

    def numbered(self, first, count):
        """Messages number `first` and following: copies differ by a header field."""
        return [b"X-Number: %d\r\n" % n + self.source[n % len(self.source)] for n in range(first, first + count)]

    def word(self, field):
        """A word of the field `field` (`Subject`) that a few messages in a hundred have: something to search for."""
        pattern = re.compile(rb"^" + field.encode() + rb":([^\r]*)", re.M | re.I)
        counts = collections.Counter()
        for message in self.source:
            found = pattern.search(message[:message.find(b"\r\n\r\n") + 2])
            if found and b"=?" not in found[1]:
                counts.update({word.lower() for word in re.findall(rb"[A-Za-z]{5,}", found[1])})
        few = [(count, word) for word, count in counts.items() if count <= max(1, len(self.source) // 30)]
        if not few:
            raise SystemExit(f"no word in {field} fields to search for")
        return max(few)[1].decode()

    def describe(self):
        mean = sum(map(len, self.source)) // len(self.source)
        return f"{len(self.source):,} messages of {os.path.basename(self.path)}, {mean:,} octets each (mean)"
