#!/usr/bin/env python3
"""load.py MBOX FOLDER HOST:PORT:USER:PASSWORD ...

Appends every message of MBOX to FOLDER (made if it is not there) of each server, in the same order, with the same
flags and internal dates.
"""

import sys

import mbox
import wire

FLAGS = [b"()", b"(\\Seen)", b"(\\Seen \\Answered)", b"(\\Flagged $Label1)"]


def main():
    path, folder, servers = sys.argv[1], sys.argv[2].encode(), sys.argv[3:]
    connections = [wire.connect(where) for where in servers]
    for connection in connections:
        if folder.upper() != b"INBOX":
            try:
                connection.command(b"CREATE " + folder)
            except wire.WireError as error:
                print(f"CREATE: {error}", file=sys.stderr)
    count = 0
    for date, message in mbox.messages(path):
        for connection in connections:
            connection.append(folder, message, FLAGS[count % len(FLAGS)], date)
        count += 1
    print(f"{count} messages")


if __name__ == "__main__":
    main()
