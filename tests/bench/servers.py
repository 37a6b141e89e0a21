"""The servers that are compared, each with everything it writes inside of one directory, on loopback, durable."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time

from clients import Imap, lmtp_over_tcp

ORACLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "oracle")
MANIFEST = os.path.join(ORACLE, "..", "..", "Cargo.toml")
TICK = os.sysconf("SC_CLK_TCK")


def tree(roots):
    """Process ids of the roots and all that descends from them."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parents.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except OSError:
                pass
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


def processor_seconds(pids):
    """User and system time of processes, with that of their ended children."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat") as file:
                words = file.read().rsplit(")", 1)[1].split()
            total += sum(int(w) for w in words[11:15])
        except OSError:
            pass
    return total / TICK


def pss_kib(pids):
    """Memory of processes, each shared page divided by those who share it (PSS), in KiB."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M)[1])
        except OSError:
            pass
    return total


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, ready, seconds=60):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"{what} is not ready after {seconds} s")
        time.sleep(0.05)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def quiet(*words, **more):
    """Runs a command; what it says is shown only when it fails."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


class Certificate:
    """A self-signed certificate that all servers show: ECDSA on P-256, as `configure` makes it."""

    def __init__(self, directory):
        self.certificate, self.key = f"{directory}/server.crt", f"{directory}/server.key"
        quiet("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
              "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", self.certificate, "-keyout", self.key)
        # Each server reads it as an account of its own.
        os.chmod(self.key, 0o644)


class Dovecot:
    name = "Dovecot"

    def __init__(self, directory, _users, certificate):
        self.directory = directory
        said = quiet("sh", f"{ORACLE}/dovecot.sh", "start", directory,
                     env={**os.environ, "TLS_CERTIFICATE": certificate.certificate, "TLS_KEY": certificate.key})
        self.port = int(re.search(r"imap (\d+)", said)[1])
        self.lmtp_port = int(re.search(r"lmtp (\d+)", said)[1])
        self.tls_port = int(re.search(r"imaps (\d+)", said)[1])
        with open(f"{directory}/run/master.pid") as file:
            self.master = int(file.read())

    def roots(self):
        return [self.master]

    def lmtp(self):
        return lmtp_over_tcp(self.lmtp_port)

    def settings(self):
        version = quiet("dovecot", "--version").split()[0]
        return f"Dovecot {version}: sdbox, `mail_fsync = optimized` (its default: flushed before APPEND and LMTP answer); LMTP over TCP."

    def fill(self, users, folders):
        """Accounts with empty folders: one made by doveadm, the others copies of its tree."""
        quiet("doveadm", "-c", f"{self.directory}/dovecot.conf", "mailbox", "create", "-u", "list00000", "INBOX",
              *(f"Folder{n}" for n in range(1, folders)))
        mail = f"{self.directory}/mail"
        with open(f"{self.directory}/users", "w") as names:
            for number in range(users):
                name = f"list{number:05}"
                names.write(name + "\n")
                if number:
                    shutil.copytree(f"{mail}/list00000", f"{mail}/{name}", symlinks=True)
        quiet("chown", "-R", "mail:mail", mail)

    def listing(self):
        return ["doveadm", "-c", f"{self.directory}/dovecot.conf", "mailbox", "list", "-F", f"{self.directory}/users"], {}

    def stop(self):
        quiet("sh", f"{ORACLE}/dovecot.sh", "stop", self.directory)


CYRUS = "/usr/lib/cyrus/bin"
IMAPD_CONF = """\
configdirectory: {d}/lib
defaultpartition: default
partition-default: {d}/spool
admins: cyrus
servername: localhost
allowplaintext: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {d}/sasldb2
sasl_mech_list: PLAIN
unixhierarchysep: yes
altnamespace: yes
virtdomains: off
munge8bit: no
duplicatesuppression: no
delete_mode: immediate
sievedir: {d}/sieve
lmtpsocket: {d}/run/lmtp
idlesocket: {d}/run/idle
tls_server_cert: {certificate}
tls_server_key: {key}
notifysocket: {d}/run/notify
"""
CYRUS_CONF = """\
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {d}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{imapd} -C {d}/imapd.conf" listen="127.0.0.1:{imap}" prefork=0 maxchild=400
  imaps cmd="{imapd} -s -C {d}/imapd.conf" listen="127.0.0.1:{imaps}" prefork=0 maxchild=400
  lmtp cmd="{bin}/lmtpd -C {d}/imapd.conf -a" listen="127.0.0.1:{lmtp}" prefork=0 maxchild=100
}}
DAEMON {{
  idled cmd="{idled} -C {d}/imapd.conf"
}}
EVENTS {{
}}
"""


class Cyrus:
    name = "Cyrus"
    # Debian lets nobody install both IMAP servers: run.sh unpacks this one program beside the other.
    imapd = os.environ.get("CYRUS_IMAPD", f"{CYRUS}/imapd")

    def __init__(self, directory, users, certificate):
        self.directory, self.port, self.lmtp_port, self.tls_port = directory, free_port(), free_port(), free_port()
        for below in ("lib/db", "lib/log", "lib/msg", "lib/proc", "lib/ptclient", "lib/socket", "spool", "run", "sieve"):
            os.makedirs(f"{directory}/{below}")
        values = {"d": directory, "bin": CYRUS, "imapd": self.imapd, "imap": self.port, "lmtp": self.lmtp_port,
                  "imaps": self.tls_port, "idled": f"{os.path.dirname(self.imapd)}/idled",
                  "certificate": certificate.certificate, "key": certificate.key}
        for name, text in (("imapd.conf", IMAPD_CONF), ("cyrus.conf", CYRUS_CONF)):
            with open(f"{directory}/{name}", "w") as file:
                file.write(text.format(**values))
        for user in ["cyrus", *users]:
            quiet("saslpasswd2", "-p", "-c", "-f", f"{directory}/sasldb2", "-u", "localhost", user, input="secret\n")
        quiet("chown", "-R", "cyrus:mail", directory)
        self.start()
        admin = Imap(self.port, "cyrus")
        for user in users:
            admin.ask(f"CREATE user/{user}")
        admin.close()

    def start(self):
        directory = self.directory
        with open(f"{directory}/log", "w") as log:
            self.master = subprocess.Popen(
                [f"{CYRUS}/master", "-C", f"{directory}/imapd.conf", "-M", f"{directory}/cyrus.conf", "-p", f"{directory}/run/master.pid", "-D"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_for("Cyrus", lambda: answers(self.port))

    def restart(self):
        """Its processes serve one client after the other: those of the rows before are gone then."""
        self.stop()
        self.start()

    def roots(self):
        return [self.master.pid]

    def lmtp(self):
        return lmtp_over_tcp(self.lmtp_port)

    def as_cyrus(self, *words):
        return ["setpriv", "--reuid", "cyrus", "--regid", "mail", "--clear-groups", *words]

    def settings(self):
        version = quiet("dpkg-query", "-W", "-f", "${Version}", "cyrus-common")
        return (f"Cyrus {version}: twoskip databases, flushed at each commit (its default; `skiplist_unsafe` is off), `expunge_mode` delayed; "
                "`duplicatesuppression` and `munge8bit` off; LMTP over TCP.")

    def fill(self, users, folders):
        """Accounts with empty folders, read into the list of mailboxes from a dump: nothing of them is on disk but that."""
        rows = {}
        for number in range(users):
            user = f"list{number:05}"
            for folder in range(folders):
                name = f"user.{user}" + (f".Folder{folder}" if folder else "")
                rows[name] = {"name": name, "mtime": "1795531396", "uidvalidity": "1795531397", "createdmodseq": "1", "foldermodseq": "1",
                              "mbtype": "e", "partition": "default", "acl": {user: "lrswipkxtecdan"}, "uniqueid": f"list{number:05}x{folder}", "name_history": []}
        # Without flushes: this is preparation, and a flush for each mailbox takes minutes.
        with open(f"{self.directory}/imapd.conf") as file, open(f"{self.directory}/fill.conf", "w") as unsafe:
            unsafe.write(file.read() + "skiplist_unsafe: yes\n")
        quiet(*self.as_cyrus(f"{CYRUS}/ctl_mboxlist", "-C", f"{self.directory}/fill.conf", "-u"), input=json.dumps(rows))

    def listing(self):
        return self.as_cyrus(f"{CYRUS}/ctl_mboxlist", "-C", f"{self.directory}/imapd.conf", "-d"), {}

    def stop(self):
        pids = tree([self.master.pid])
        self.master.send_signal(signal.SIGQUIT)
        try:
            self.master.wait(30)
        except subprocess.TimeoutExpired:
            self.master.kill()
            self.master.wait()
        for pid in pids:
            # A child that outlived its master; its number may only have been given to another process by chance.
            if os.path.exists(f"/proc/{pid}") and self.owns(pid):
                os.kill(pid, signal.SIGTERM)

    def owns(self, pid):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                return self.directory in file.read() and os.stat(f"/proc/{pid}").st_uid == pwd.getpwnam("cyrus").pw_uid
        except OSError:
            return False


class Ours:
    name = "msgstore"
    program = None
    fill_program = None

    def __init__(self, directory, users, certificate):
        self.directory, self.users = directory, users
        self.start()
        self.tls_port = free_port()
        self.lmtp_port = free_port()
        self.restart_with({"service.lmtp.enable": "yes", "service.lmtp.port": self.lmtp_port,
                           "service.imap.enablesslport": "yes", "service.imap.sslport": self.tls_port,
                           "encryption.nscertfile": certificate.certificate, "encryption.nskeyfile": certificate.key})

    def start(self):
        said = quiet("sh", f"{ORACLE}/ours.sh", "start", self.directory, self.program, *self.users)
        self.users = []
        self.port = int(re.search(r"imap (\d+)", said)[1])

    def environment(self):
        return {**os.environ, "CONFIGROOT": f"{self.directory}/config"}

    def restart_with(self, settings):
        """Sets parameters and starts again: some of them count from the start on."""
        self.stop()
        for name, value in settings.items():
            quiet(f"{self.directory}/sbin/configutil", "-o", name, "-v", str(value), env=self.environment())
        self.start()

    def add_users(self, names):
        """Users whose password costs nothing to check, by the file: made one by one with a password of the usual kind they take a minute a thousand."""
        with open(f"{self.directory}/config/directory.ldif", "a") as file:
            for name in names:
                file.write(f"\ndn: uid={name},dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\n"
                           f"mail: {name}@example.org\nuserPassword: {{CLEAR}}secret\n")

    def roots(self):
        return [self.service(service) for service in ("store", "imap", "lmtp")]

    def service(self, name):
        with open(f"{self.directory}/data/proc/{name}") as file:
            return int(re.search(r"\d+", file.read())[0])

    def lmtp(self):
        return lmtp_over_tcp(self.lmtp_port)

    def settings(self):
        with open(MANIFEST) as file:
            version = re.search(r'^version = "(.*)"', file.read(), re.M)[1]
        return (f"msgstore {version}: defaults (every acknowledged message is flushed), `service.authfailpause` 0; LMTP over TCP.")

    def fill(self, users, folders):
        quiet(self.fill_program, f"{self.directory}/config", str(users), str(folders))

    def listing(self):
        return [f"{self.directory}/sbin/mboxutil", "-l"], self.environment()

    def inbox(self, user):
        """The directories of a user's INBOX with their files."""
        for root, _, names in os.walk(f"{self.directory}/data/store/partition/primary/=user"):
            below = root.partition(f"/={user}")[2]
            if below == "" and root.endswith(f"/={user}") or re.fullmatch(r"/\d\d", below):
                yield root, names

    def first_files(self, user, count):
        """The files of the first `count` messages of a user's INBOX."""
        found = [(int(name[:-4]), f"{root}/{name}") for root, names in self.inbox(user) for name in names if name.endswith(".msg")]
        return [path for _, path in sorted(found)[:count]]

    def index(self, user):
        """The file beside the messages of INBOX with what FETCH and SEARCH look at."""
        return next(f"{root}/store.idx" for root, names in self.inbox(user) if "store.idx" in names)

    def stop(self):
        quiet("sh", f"{ORACLE}/ours.sh", "stop", self.directory)
