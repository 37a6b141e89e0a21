#!/usr/bin/env python3
"""weave.py FILE [COUNT [SEED]]

Writes an mbox file of messages that refer to each other at random: References that are cut, out of order, in circles
or about messages that are not there, Message-IDs that are missing or not unique, subjects with and without Re:.
"""

import random
import sys

SUBJECTS = ["plums", "Re: plums", "apples", "Fwd: apples", "[l] Re: apples", "", "pears (fwd)", "Re: pears", "figs"]


def message(chance, number, count):
    lines = ["From: a@example.org"]
    lines.append(f"Date: {chance.randint(1, 28)} Feb 2004 {chance.randint(0, 23):02}:{chance.randint(0, 59):02}:00 +0000")
    lines.append("Subject: " + chance.choice(SUBJECTS) + chance.choice(["", f" x{chance.randint(0, count // 4)}"]))
    if chance.random() < 0.95:
        own = number if chance.random() < 0.95 else chance.randint(0, count)
        lines.append(f"Message-ID: <{own}@x>")
    if links := chance.choice([0, 0, 1, 1, 2, 3, 4]):
        base = chance.randint(0, max(number, 1))
        ids = [max(0, base - chance.randint(0, 12)) for _ in range(links)]
        if chance.random() < 0.85:
            ids.sort()
        ids = [at if chance.random() < 0.9 else at + 2 * count for at in ids]
        field = "References" if chance.random() < 0.8 else "In-Reply-To"
        lines.append(field + ": " + " ".join(f"<{at}@x>" for at in ids))
    return "From MAILER Thu Jan  1 00:00:01 1970\n" + "\n".join(lines) + "\n\nbody\n\n"


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 600
    chance = random.Random(sys.argv[3] if len(sys.argv) > 3 else "weave")
    with open(sys.argv[1], "w", encoding="ascii") as file:
        file.writelines(message(chance, number, count) for number in range(count))


main()
