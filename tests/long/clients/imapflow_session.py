#!/usr/bin/env python3
"""imapflow_session.py PORT USER PASSWORD DIR: imapflow under Node.js, over STARTTLS and TLS, with compression, QRESYNC and UTF-8 names.

What it does is in imapflow/session.mjs; its packages come by npm into DIR. Here what it believes at the end is compared with the server.
"""

import base64
import hashlib
import json
import os
import shutil

import check
import server

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    for name in os.listdir(f"{HERE}/imapflow"):
        shutil.copy(f"{HERE}/imapflow/{name}", server.DIR)
    server.run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", env={"HOME": os.environ.get("HOME", server.DIR)})
    with open(f"{server.DIR}/node_modules/imapflow/package.json") as file:
        print(f"version: imapflow {json.load(file)['version']}", flush=True)
    with open(f"{server.DIR}/corpus.json", "w") as file:
        json.dump([base64.b64encode(text).decode() for text in server.mail()], file)
    asked = {"port": int(check.PORT), "tlsPort": server.TLS_PORT, "user": check.USER, "pass": check.PASSWORD, "ca": server.TRUST, "corpus": f"{server.DIR}/corpus.json"}
    said = json.loads(server.run("node", "session.mjs", env={"SESSION": json.dumps(asked)}))
    print(f"commands: {said['spoken']}", flush=True)
    check.CHECKS += said["checks"]
    for word in ("COMPRESS", "ENABLE", "STARTTLS", "IDLE", "UID MOVE"):
        check.true(f"{word} was used: {said['spoken']}", word in said["spoken"])
    check.equal("the folders", server.folders(), {path: len(found) for path, found in said["state"].items()})
    for path, found in said["state"].items():
        # All names are ASCII at the end.
        there = [[m.uid, m.flags, hashlib.sha256(m.text).hexdigest()] for m in server.messages(path)]
        check.equal(f"messages of {path}", there, found)
    check.done()


if __name__ == "__main__":
    main()
