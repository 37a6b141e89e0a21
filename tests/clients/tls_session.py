#!/usr/bin/env python3
"""tls_session.py PORT USER PASSWORD DIR: clients that insist on encryption and believe only in one certificate.

DIR holds `trusted.pem`, and `tlsport` with the number of the port where TLS comes first. imaplib, curl, mutt, mbsync and openssl, as far
as their names stand in the environment variable CLIENTS.
"""

import imaplib
import os
import ssl
import subprocess
import sys

import check
import terminal_mutt

DIR = check.ARGUMENTS[3]
TRUST = f"{DIR}/trusted.pem"
with open(f"{DIR}/tlsport") as file:
    TLS_PORT = int(file.read())
CLIENTS = os.environ["CLIENTS"].split()
HOST = "localhost"


def run(*words, wanted=0, **more):
    done = subprocess.run(words, capture_output=True, timeout=check.PATIENCE_S, env={**os.environ, "HOME": DIR}, **more)
    if (done.returncode == 0) != (wanted == 0):
        sys.exit(f"{words} ended with {done.returncode}: {done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout.decode()


context = ssl.create_default_context(cafile=TRUST)
plain = imaplib.IMAP4(HOST, int(check.PORT), timeout=check.PATIENCE_S)
check.true("STARTTLS is offered", "STARTTLS" in plain.capabilities)
plain.starttls(context)
check.true("and not again", "STARTTLS" not in plain.capabilities)
check.equal("the key", plain.sock.version() in ("TLSv1.2", "TLSv1.3"), True)
plain.login(check.USER, check.PASSWORD)
for number in range(1, 4):
    check.equal("append", plain.append("INBOX", None, None, check.message(number))[0], "OK")
plain.logout()
first = imaplib.IMAP4_SSL(HOST, TLS_PORT, ssl_context=context, timeout=check.PATIENCE_S)
first.login(check.USER, check.PASSWORD)
check.equal("select", first.select(), ("OK", [b"3"]))
check.equal("octets", first.fetch("2", "(BODY.PEEK[])")[1][0][1], check.message(2))
first.logout()
try:
    imaplib.IMAP4_SSL(HOST, TLS_PORT, ssl_context=ssl.create_default_context(), timeout=check.PATIENCE_S)
    check.true("a self-signed certificate is trusted by nobody", False)
except ssl.SSLError:
    check.true("not trusted", True)

if "curl" in CLIENTS:
    user = ["--silent", "--show-error", "--user", f"{check.USER}:{check.PASSWORD}", "--cacert", TRUST]
    wanted = check.message(3).decode()
    check.equal("curl, STARTTLS", run("curl", *user, "--ssl-reqd", f"imap://{HOST}:{check.PORT}/INBOX;UID=3"), wanted)
    check.equal("curl, TLS", run("curl", *user, f"imaps://{HOST}:{TLS_PORT}/INBOX;UID=3"), wanted)
    run("curl", "--silent", "--user", "joe:secret", f"imaps://{HOST}:{TLS_PORT}/", wanted=60)

if "openssl" in CLIENTS:
    said = run("openssl", "s_client", "-connect", f"{HOST}:{check.PORT}", "-starttls", "imap", "-CAfile", TRUST, "-verify_return_error",
               "-verify_hostname", HOST, "-quiet", input=b"a logout\r\n")
    check.true("openssl", "a OK Completed" in said)
    run("openssl", "s_client", "-connect", f"{HOST}:{TLS_PORT}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", wanted=1, input=b"")
    check.true("no TLS 1.1", True)

if "mutt" in CLIENTS:
    trust = f'certificate_file="{TRUST}"'
    for kind, url in (("STARTTLS", f"imap://{HOST}:{check.PORT}/"), ("TLS", f"imaps://{HOST}:{TLS_PORT}/")):
        for mechanism in ("scram-sha-256", "plain", "login"):
            shown = terminal_mutt.run(DIR, f'{trust} ssl_starttls=yes ssl_force_tls=yes imap_authenticators="{mechanism}"', url, "<exit>")
            for number in range(1, 4):
                check.true(f"mutt, {kind}, {mechanism}, message {number}", f"message {number}".encode() in shown)

if "mbsync" in CLIENTS:
    for kind, port in (("STARTTLS", check.PORT), ("IMAPS", TLS_PORT)):
        with open(f"{DIR}/mbsyncrc", "w") as rc:
            rc.write(f"""IMAPAccount server
Host {HOST}
Port {port}
User {check.USER}
Pass {check.PASSWORD}
SSLType {kind}
CertificateFile {TRUST}
AuthMechs LOGIN

IMAPStore far
Account server

MaildirStore near
Path {DIR}/{kind}/
Inbox {DIR}/{kind}/INBOX

Channel all
Far :far:
Near :near:
Patterns INBOX
Create Near
SyncState *
""")
        os.mkdir(f"{DIR}/{kind}")
        run("mbsync", "-c", f"{DIR}/mbsyncrc", "-a")
        check.equal(f"mbsync, {kind}", len(os.listdir(f"{DIR}/{kind}/INBOX/cur") + os.listdir(f"{DIR}/{kind}/INBOX/new")), 3)

check.done()
