"""Compares SORT and THREAD of two servers that hold the same messages in the same order.

sort.py WHERE WHERE [FOLDER]     WHERE is HOST:PORT:USER:PASSWORD

Prints for each sort criterion the messages that one server puts elsewhere than the other, the fewest that explain the
difference, with the field that the criterion is about; for each thread algorithm the threads that differ. What it
shows is looked into by hand: docs/dovecot-differences.md.
"""

import bisect
import sys

import wire

CRITERIA = {b"ARRIVAL": b"X", b"CC": b"CC", b"DATE": b"DATE", b"DISPLAYFROM": b"FROM", b"DISPLAYTO": b"TO",
            b"FROM": b"FROM", b"SIZE": b"X", b"SUBJECT": b"SUBJECT", b"TO": b"TO"}
SHOWN = 100


def show(token):
    """A thread written in a form of its own: how a list of one is nested does not count."""
    if isinstance(token, list):
        return "(" + " ".join(show(part) for part in token) + ")"
    return token.decode()


def threads(tokens):
    """The text of each thread by its message numbers."""
    texts = [show(token) for token in tokens]
    return {tuple(sorted(int(n) for n in text.replace("(", " ").replace(")", " ").split())): text for text in texts}


def data(connection, command, word):
    for response in connection.command(command):
        if len(response) > 1 and response[1] == word:
            return response[2:]
    return []


def moved(left, right):
    """The fewest messages without which both orders are the same."""
    place = {number: at for at, number in enumerate(right)}
    tails, ends, before = [], [], [-1] * len(left)
    for at, number in enumerate(left):
        length = bisect.bisect_left(tails, place[number])
        tails[length:length + 1] = [place[number]]
        ends[length:length + 1] = [at]
        before[at] = ends[length - 1] if length else -1
    kept, at = set(), ends[-1] if ends else -1
    while at >= 0:
        kept.add(left[at])
        at = before[at]
    return [number for number in left if number not in kept]


def compare_sort(one, other, by, field):
    command = b"SORT (%s) UTF-8 ALL" % by
    left, right = ([int(n) for n in data(connection, command, b"SORT")] for connection in (one, other))
    if sorted(left) != sorted(right):
        print(f"{command.decode()}: {len(left)} and {len(right)} messages")
        return
    elsewhere = moved(left, right)
    print(f"{command.decode()}: {len(elsewhere)} of {len(left)} elsewhere")
    if not elsewhere:
        return
    shown = elsewhere[:SHOWN]
    messages = one.fetch(b",".join(b"%d" % n for n in shown), b"BODY.PEEK[HEADER.FIELDS (%s)]" % field)
    for number in shown:
        text = b"".join(value for name, value in messages[number].items() if name.startswith(b"BODY"))
        print(f"  {number}: place {left.index(number)} and {right.index(number)}: {text.strip()[:120]!r}")


def compare_threads(one, other, algorithm):
    command = b"THREAD %s UTF-8 ALL" % algorithm
    left, right = (threads(data(connection, command, b"THREAD")) for connection in (one, other))
    shape = [numbers for numbers in left if numbers in right and left[numbers] != right[numbers]]
    only = [numbers for numbers in left if numbers not in right], [numbers for numbers in right if numbers not in left]
    print(f"{command.decode()}: {len(left)} and {len(right)} threads, {len(only[0])} and {len(only[1])} on one side "
          f"only, {len(shape)} of another shape")
    for side, known in zip(only, (left, right)):
        for numbers in side[:SHOWN]:
            print("  on one side only:", known[numbers][:200])
    for numbers in shape[:SHOWN]:
        print(f"  {left[numbers][:200]}\n  {right[numbers][:200]}")


def main():
    one, other = (wire.connect(where) for where in sys.argv[1:3])
    folder = sys.argv[3].encode() if len(sys.argv) > 3 else b"INBOX"
    for connection in (one, other):
        connection.command(b"EXAMINE " + folder)
    for by, field in CRITERIA.items():
        compare_sort(one, other, by, field)
    for algorithm in (b"ORDEREDSUBJECT", b"REFERENCES"):
        compare_threads(one, other, algorithm)


main()
