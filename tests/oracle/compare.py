#!/usr/bin/env python3
"""compare.py [--mbox FILE] [--folder NAME] [--show N] [--expect CATEGORY=COUNT,...] A B

Compares a folder between two IMAP servers, message by message. A and B are HOST:PORT:USER:PASSWORD, or dump:FILE, a
file of FETCH responses. Messages are compared by sequence number. With --mbox the octets of both are also compared
with the messages of the file, line ends made CRLF.

Prints a line for each difference (at most --show of each category), then the counts by category. Exits with 1 if a
category differs that --expect does not name with exactly that count.
"""

import argparse
import collections
import sys

import mbox
import wire

STEP = 200
WHOLE = (b"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] "
         b"BODY.PEEK[]<7.100> BODY.PEEK[TEXT]<10.2000> BODY.PEEK[HEADER.FIELDS (Received SUBJECT x-none)] "
         b"BODY.PEEK[HEADER.FIELDS.NOT (Received Subject)])")
ENVELOPE = ["date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id"]
NO_CASE_LEAF = {0, 1, 5}


class Dump:
    """FETCH responses in a file, as a server."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.messages = {}
        while self.file.peek(1):
            response = wire.parse(wire.Connection.raw_response(self))
            pairs = response[3]
            self.messages[int(response[1])] = {pairs[i].upper(): pairs[i + 1] for i in range(0, len(pairs), 2)}

    def count(self, _folder):
        return len(self.messages)

    def fetch(self, numbers, _items):
        first, _, last = numbers.decode().partition(":")
        return {n: self.messages[n] for n in range(int(first), int(last or first) + 1)}


class Server(wire.Connection):
    """A server as a source of messages."""

    def count(self, folder):
        for response in self.command(b"EXAMINE " + folder):
            if len(response) == 3 and response[2] == b"EXISTS":
                return int(response[1])
        raise wire.WireError("no EXISTS")


def source(where):
    if where.startswith("dump:"):
        return Dump(where[5:])
    return Server(*where.split(":", 3))


def parts(structure, number=()):
    """Section numbers of a BODYSTRUCTURE, with what stands there: "leaf", "multipart" or "message"."""
    found = []
    if isinstance(structure[0], list):
        if number:
            found.append((number, "multipart"))
        children = [child for child in structure if isinstance(child, list) and child and is_body(child)]
        for i, child in enumerate(children[:leading(structure)], 1):
            found += parts(child, number + (i,))
        return found
    number = number or (1,)
    if structure[0].lower() == b"message" and structure[1].lower() == b"rfc822":
        found.append((number, "message"))
        inner = structure[8]
        if isinstance(inner[0], list):
            for i, child in enumerate(inner[:leading(inner)], 1):
                found += parts(child, number + (i,))
        else:
            found += parts(inner, number + (1,))
        return found
    return found + [(number, "leaf")]


def is_body(token):
    return isinstance(token[0], (list, bytes))


def leading(structure):
    """How many lists stand before the subtype of a multipart."""
    for i, token in enumerate(structure):
        if not isinstance(token, list):
            return i
    return len(structure)


def section_items(structure):
    items = []
    for number, kind in parts(structure):
        name = b".".join(b"%d" % n for n in number)
        items += [b"BODY.PEEK[%s]" % name, b"BODY.PEEK[%s.MIME]" % name]
        if kind == "message":
            items += [b"BODY.PEEK[%s.HEADER]" % name, b"BODY.PEEK[%s.TEXT]" % name]
    return items


def brief(value):
    text = repr(value)
    return text if len(text) <= 160 else text[:78] + " ... " + text[-78:]


def first_difference(a, b, path=""):
    """Where two token trees differ first: path and the two values."""
    if isinstance(a, list) and isinstance(b, list):
        for i in range(max(len(a), len(b))):
            if i >= len(a) or i >= len(b):
                return f"{path}/{i}", a[i:] or "nothing", b[i:] or "nothing"
            if a[i] != b[i]:
                return first_difference(a[i], b[i], f"{path}/{i}")
    return path, a, b


def lower(token):
    if isinstance(token, list):
        return [lower(t) for t in token]
    return token.lower() if isinstance(token, bytes) else token


class Report:
    """Differences by category."""

    def __init__(self, show):
        self.show = show
        self.counts = collections.Counter()

    def add(self, number, category, a, b):
        self.counts[category] += 1
        if self.counts[category] <= self.show:
            print(f"message {number}: {category}: A {brief(a)} B {brief(b)}")

    def octets(self, number, category, a, b):
        if a == b:
            return
        if a is None or b is None:
            self.add(number, category + " (missing)", a, b)
            return
        at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        self.add(number, category, (len(a), at, a[max(0, at - 20):at + 40]), (len(b), at, b[max(0, at - 20):at + 40]))

    def tree(self, number, category, a, b):
        if a == b:
            return
        if lower(a) == lower(b):
            category += " (letter case)"
        path, x, y = first_difference(a, b)
        self.add(number, category, (path, x), (path, y))

    def envelope(self, number, a, b):
        for i, name in enumerate(ENVELOPE):
            if a[i] != b[i]:
                path, x, y = first_difference(a[i], b[i])
                self.add(number, "ENVELOPE " + name, (path, x), (path, y))


def compare_message(report, number, a, b, original):
    for key in sorted(set(a) | set(b)):
        x, y = a.get(key), b.get(key)
        if x is None or y is None:
            if not isinstance(x or y, list) and (key in a) != (key in b):
                report.add(number, key.decode() + " (missing)", x, y)
            elif x != y:
                report.add(number, key.decode(), x, y)
            continue
        if key == b"ENVELOPE":
            report.envelope(number, x, y)
        elif key in (b"BODY", b"BODYSTRUCTURE"):
            report.tree(number, key.decode(), x, y)
        elif key == b"FLAGS":
            if sorted(f.lower() for f in x if f.lower() != b"\\recent") != sorted(
                    f.lower() for f in y if f.lower() != b"\\recent"):
                report.add(number, "FLAGS", x, y)
        elif key == b"INTERNALDATE":
            if moment(x) != moment(y):
                report.add(number, "INTERNALDATE", x, y)
        elif key == b"BODY[]" and original is not None:
            report.octets(number, "octets of A and of the source", x, original)
            report.octets(number, "octets of B and of the source", y, original)
        elif key.startswith(b"BODY["):
            name = key.decode()
            report.octets(number, name if "HEADER" in name and name[5].isalpha() else shape(name), x, y)
        elif x != y:
            report.add(number, key.decode(), x, y)


def shape(name):
    """BODY[1.2.MIME] as BODY[n.MIME]."""
    words = name[5:name.index("]")].split(".")
    letters = [w for w in words if w and not w.isdigit()]
    numbers = any(w.isdigit() for w in words)
    return "BODY[" + ".".join(["n"] * numbers + letters) + "]" + name[name.index("]") + 1:]


def moment(text):
    import datetime
    return datetime.datetime.strptime(text.decode().strip(), "%d-%b-%Y %H:%M:%S %z")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbox")
    parser.add_argument("--folder", default="INBOX")
    parser.add_argument("--show", type=int, default=10)
    parser.add_argument("--expect", default="")
    parser.add_argument("a")
    parser.add_argument("b")
    args = parser.parse_args()
    expected = {name.strip(): int(n) for name, n in (e.rsplit("=", 1) for e in args.expect.split(",") if e)}
    originals = [message for _, message in mbox.messages(args.mbox)] if args.mbox else None
    a, b = source(args.a), source(args.b)
    folder = args.folder.encode()
    count_a, count_b = a.count(folder), b.count(folder)
    report = Report(args.show)
    if count_a != count_b or originals is not None and len(originals) != count_a:
        report.add(0, "count of messages", count_a, count_b)
    dumped = isinstance(a, Dump) or isinstance(b, Dump)
    count, sections = min(count_a, count_b), 0
    for first in range(1, count + 1, STEP):
        numbers = b"%d:%d" % (first, min(first + STEP - 1, count))
        of_a, of_b = a.fetch(numbers, WHOLE), b.fetch(numbers, WHOLE)
        for number in sorted(set(of_a) | set(of_b)):
            x, y = of_a.get(number, {}), of_b.get(number, {})
            items = section_items(x[b"BODYSTRUCTURE"]) if b"BODYSTRUCTURE" in x else []
            sections += len(items)
            for side, values in ((a, x), (b, y)):
                if items and isinstance(side, Server):
                    values.update(side.fetch(b"%d" % number, b"(" + b" ".join(items) + b")").get(number, {}))
            if dumped:
                common = set(x) & set(y)
                x, y = ({k: v for k, v in side.items() if k in common} for side in (x, y))
            compare_message(report, number, x, y, originals[number - 1] if originals else None)
    print(f"{count} messages, {sections} sections compared")
    for category, n in sorted(report.counts.items()):
        note = "" if expected.get(category) != n else "   (expected)"
        print(f"{n:7} {category}{note}")
    if not report.counts:
        print("no difference")
    sys.exit(1 if dict(report.counts) != expected else 0)


if __name__ == "__main__":
    main()
