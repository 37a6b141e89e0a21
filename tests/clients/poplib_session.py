#!/usr/bin/env python3
"""Python's poplib against a POP server: PORT USER PASSWORD. The mailbox holds the messages that tests/pop/clients.rs puts there."""

import poplib
import ssl
import sys

port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
checks = 0


def check(found, wanted):
    global checks
    checks += 1
    if found != wanted:
        sys.exit(f"check {checks}: {found!r} instead of {wanted!r}")


def refused(call, *arguments):
    try:
        call(*arguments)
    except poplib.error_proto as error:
        return str(error)
    return "not refused"


pop = poplib.POP3("127.0.0.1", port, timeout=240)
capabilities = pop.capa()
check({"TOP", "UIDL", "STLS", "USER", "PIPELINING", "RESP-CODES", "UTF8"} <= set(capabilities), True)
check(capabilities["SASL"][:1], ["PLAIN"])
check("[AUTH]" in refused(lambda: (pop.user(user), pop.pass_("wrong"))), True)
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
pop.stls(context)
check("STLS" in pop.capa(), False)
pop.user(user)
pop.pass_(password)
count, size = pop.stat()
check(count, 5)
_, listing, _ = pop.list()
check(len(listing), 5)
sizes = [int(line.split()[1]) for line in listing]
check(sum(sizes), size)
texts = []
for number in range(1, 6):
    _, lines, _ = pop.retr(number)
    text = b"\r\n".join(lines) + b"\r\n"
    check(len(text), sizes[number - 1])
    texts.append(text)
check(texts[1].endswith(b"\r\n\r\n.\r\n..\r\n.dots\r\n"), True)
_, lines, _ = pop.top(1, 0)
check(lines, [b"Subject: number 1", b"From: a@example.org", b""])
_, ids, _ = pop.uidl()
unique = {line.split()[1] for line in ids}
check(len(unique), 5)
check("-ERR" in refused(pop.utf8), True)
pop.dele(1)
check(pop.stat()[0], 4)
pop.rset()
check(pop.stat(), (5, size))
pop.dele(5)
check("-ERR" in refused(pop.retr, 5), True)
pop.noop()
pop.quit()

pop = poplib.POP3("127.0.0.1", port, timeout=240)
pop.user(user)
pop.pass_(password)
check(pop.stat()[0], 4)
check({line.split()[1] for line in pop.uidl()[1]} < unique, True)
# Gone without QUIT: nothing is deleted.
pop.dele(1)
pop.close()
pop = poplib.POP3("127.0.0.1", port, timeout=240)
pop.user(user)
pop.pass_(password)
check(pop.stat()[0], 4)
pop.quit()
print(checks, "checks")
