"""Messages of an mbox file as IMAP wants them: CRLF, without the `From ` line and the blank line that ends each."""

import re
import time

FROM = re.compile(rb"^From .*?(?:[A-Z][a-z]{2} ([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}))\s*$")


def messages(path):
    """(INTERNALDATE text or None, message) for every message of the file."""
    message, date, found = [], None, False
    with open(path, "rb") as file:
        for line in file:
            match = FROM.match(line) if line.startswith(b"From ") else None
            if match:
                if found:
                    yield date, finish(message)
                message, found = [], True
                when = time.strptime(match[1].decode(), "%b %d %H:%M:%S %Y")
                date = time.strftime("%d-%b-%Y %H:%M:%S +0000", when).encode()
            elif found:
                message.append(line)
    if found:
        yield date, finish(message)


def finish(lines):
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines = lines[:-1]
    return b"".join(line if line.endswith(b"\r\n") else line[:-1] + b"\r\n" if line.endswith(b"\n") else line
                    for line in lines)
