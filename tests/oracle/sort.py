"""Compares SORT and THREAD of two servers that hold the same messages in the same order.

sort.py WHERE WHERE [FOLDER]     WHERE is HOST:PORT:USER:PASSWORD

Prints for each command whether the answers are the same, and where not the places (sort) or the threads (thread)
that differ, as message numbers. The differences are looked into by hand: docs/dovecot-differences.md.
"""

import sys

import wire

CRITERIA = [b"ARRIVAL", b"CC", b"DATE", b"DISPLAYFROM", b"DISPLAYTO", b"FROM", b"SIZE", b"SUBJECT", b"TO"]


def threads(tokens):
    """Each thread as (its message numbers sorted, its text)."""
    found = {}
    for token in tokens:
        text = show(token)
        numbers = tuple(sorted(int(n) for n in text.replace("(", " ").replace(")", " ").split()))
        found[numbers] = text
    return found


def show(token):
    """Written in a form of its own: how a list of one is nested does not count."""
    if isinstance(token, list):
        return "(" + " ".join(show(part) for part in token) + ")"
    return token.decode()


def data(connection, command, word):
    for response in connection.command(command):
        if len(response) > 1 and response[1] == word:
            return response[2:]
    return []


def main():
    one, other = (wire.connect(where) for where in sys.argv[1:3])
    folder = sys.argv[3].encode() if len(sys.argv) > 3 else b"INBOX"
    for connection in (one, other):
        connection.command(b"EXAMINE " + folder)
    for by in CRITERIA:
        command = b"SORT (%s) UTF-8 ALL" % by
        left, right = (data(connection, command, b"SORT") for connection in (one, other))
        places = [i for i, pair in enumerate(zip(left, right)) if pair[0] != pair[1]]
        print(f"{command.decode()}: {len(left)} and {len(right)} messages, {len(places)} places differ")
        # A message that sorts elsewhere moves all between: those that moved are what is left after a longest common run.
        for i in places[:10]:
            print(f"  place {i}: {left[i].decode()} and {right[i].decode()}")
    for algorithm in (b"ORDEREDSUBJECT", b"REFERENCES"):
        command = b"THREAD %s UTF-8 ALL" % algorithm
        left, right = (threads(data(connection, command, b"THREAD")) for connection in (one, other))
        only = sorted(set(left) - set(right)), sorted(set(right) - set(left))
        shape = [numbers for numbers in set(left) & set(right) if left[numbers] != right[numbers]]
        print(f"{command.decode()}: {len(left)} and {len(right)} threads, {len(only[0])} and {len(only[1])} on one side "
              f"only, {len(shape)} of another shape")
        for side, known in zip(only, (left, right)):
            for numbers in side[:20]:
                print("  only on one side:", known[numbers][:200])
        for numbers in sorted(shape)[:20]:
            print("  ", left[numbers][:200], "\n  ", right[numbers][:200])


main()
