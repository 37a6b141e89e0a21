"""Roundcube of Debian's package under PHP's built-in web server, and a browser without a screen that speaks to it."""

import html
import http.cookiejar
import json
import os
import re
import secrets
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import check
import server

ROOT = "/var/lib/roundcube"
PLACE = f"{server.DIR}/roundcube"


def php(value):
    """A PHP string."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def configure():
    """Roundcube's configuration, database and logs, all in a directory of its own."""
    for name in ("config", "logs", "temp"):
        os.makedirs(f"{PLACE}/{name}")
    for name in ("defaults.inc.php", "mimetypes.php"):
        os.symlink(f"{ROOT}/config/{name}", f"{PLACE}/config/{name}")
    with open(f"{ROOT}/SQL/sqlite.initial.sql") as file:
        base = sqlite3.connect(f"{PLACE}/db")
        base.executescript(file.read())
        base.close()
    hosts = [f"tls://localhost:{check.PORT}", f"ssl://localhost:{server.TLS_PORT}"]
    with open(f"{PLACE}/config/config.inc.php", "w") as file:
        file.write(f"""<?php
$config = [
    'db_dsnw' => {php(f'sqlite:///{PLACE}/db?mode=0600')},
    'imap_host' => [{", ".join(php(host) + " => " + php(host) for host in hosts)}],
    'imap_conn_options' => ['ssl' => ['verify_peer' => true, 'cafile' => {php(server.TRUST)}]],
    'imap_cache' => 'db',
    'messages_cache' => 'db',
    'imap_debug' => true,
    'log_dir' => {php(f'{PLACE}/logs')},
    'temp_dir' => {php(f'{PLACE}/temp')},
    'des_key' => {php(secrets.token_hex(12))},
    'mail_domain' => 'example.org',
    'drafts_mbox' => 'Drafts', 'junk_mbox' => 'Junk', 'sent_mbox' => 'Sent', 'trash_mbox' => 'Trash',
    'create_default_folders' => true,
    'language' => 'en_US',
];
""")


class WebServer:
    """PHP's own web server on a free port of the loopback address."""

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environment = {**os.environ, "ROUNDCUBE_CONFIG_DIR": f"{PLACE}/config"}
        self.log = open(f"{PLACE}/logs/php", "wb")
        # It ends with this process, however that ends.
        words = ["setpriv", "--pdeathsig", "TERM", "php", "-d", "post_max_size=64M", "-d", "upload_max_filesize=64M", "-S", f"127.0.0.1:{self.port}", "-t", ROOT]
        self.child = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        begun = time.monotonic()
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return self
            except OSError:
                if self.child.poll() is not None or time.monotonic() - begun > check.PATIENCE_S:
                    raise SystemExit("PHP's web server does not start")
                time.sleep(0.05)

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait()
        self.log.close()


class Browser:
    """What a browser does for Roundcube: cookies, the token of the page, and answers in JSON."""

    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}/"
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.token = self.url = ""

    def send(self, query, form=None, headers=None):
        """A request; gives the text of the page after redirections."""
        request = urllib.request.Request(f"{self.base}?{urllib.parse.urlencode(query)}", headers=headers or {})
        if isinstance(form, bytes):
            request.data = form
        elif form is not None:
            request.data = urllib.parse.urlencode(form, doseq=True).encode()
        with self.opener.open(request, timeout=check.PATIENCE_S) as answer:
            self.url = answer.geturl()
            return answer.read().decode()

    def page(self, **query):
        """A page; the token for what follows is on it."""
        text = self.send({"_" + name: value for name, value in query.items()})
        found = re.search(r'"request_token":"([^"]+)"', text)
        if not found:
            raise SystemExit(f"{query}: no page of Roundcube:\n{text[:3000]}")
        self.token = found[1]
        return text

    def environment(self, text):
        """The settings that a page gives its scripts."""
        found = {}
        for piece in re.findall(r"rcmail\.set_env\((\{.*?\})\);\n", text):
            found.update(json.loads(piece))
        return found

    def call(self, task, action, form=None, **query):
        """An action of a page's script; gives its settings and commands. One that displays an error ends the session."""
        query = {"_task": task, "_action": action, "_remote": "1", **{"_" + name: value for name, value in query.items()}}
        if form is not None:
            form = {"_token": self.token, **{"_" + name: value for name, value in form.items()}}
        text = self.send(query, form, {"X-Roundcube-Request": self.token})
        answer = json.loads(text)
        commands = answer.get("exec", "")
        if re.search(r'display_message\("[^"]*","(error|warning)"', commands):
            raise SystemExit(f"{task} {action}: {commands[-2000:]}")
        return answer.get("env", {}), commands

    def form(self, task, action, form, **query):
        """A form that is sent into a frame; gives the page of the frame."""
        query = {"_task": task, "_action": action, "_framed": "1", **{"_" + name: value for name, value in query.items()}}
        text = self.send(query, {"_token": self.token, **{"_" + name: value for name, value in form.items()}})
        if re.search(r'display_message\("[^"]*","(error|warning)"', text):
            raise SystemExit(f"{task} {action}: {text[-2000:]}")
        return text

    def log_in(self, host, password=check.PASSWORD):
        """Gives the page that came: that of the mail, or the login again."""
        self.page(task="login")
        form = {"_token": self.token, "_task": "login", "_action": "login", "_timezone": "UTC", "_url": "", "_user": check.USER, "_pass": password, "_host": host}
        try:
            return self.send({"_task": "login"}, form)
        except urllib.error.HTTPError as refused:
            return refused.read().decode()

    def listed(self, folder, page=1, **more):
        """{uid: (subject, flags)} of one page of a folder's list, and the settings that came with it."""
        env, commands = self.call("mail", "list", mbox=folder, page=page, **more)
        return rows(commands), env


def rows(commands):
    """{uid: (subject, flags)} of the rows that commands add to the list."""
    found, decoder, at = {}, json.JSONDecoder(), 0
    while (at := commands.find("this.add_message_row(", at)) >= 0:
        at += len("this.add_message_row(")
        row = []
        for _ in range(3):
            value, at = decoder.raw_decode(commands, at)
            row.append(value)
            at += 1
        text = html.unescape(re.sub(r"<[^>]*>", "", row[1].get("subject", "")))
        found[int(str(row[0]).partition("-")[0])] = text, row[2]
    return found
