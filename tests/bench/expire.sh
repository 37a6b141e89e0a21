#!/usr/bin/env bash
# Measures imexpire and purge beside `doveadm expunge` (sdbox and maildir), and what deliveries lose meanwhile. Writes tables in Markdown.
#
#   tests/bench/expire.sh [--messages N] [--rounds N] [--dir DIRECTORY] [--into docs/performance.md] [more of expire.py --help]
#
# As root, with Debian's packages dovecot-imapd dovecot-lmtpd openssl. A million messages take some 25 GB and two million files, and the filling takes most
# of the time.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}

fail() {
    printf 'expire.sh: %s\n' "$*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || fail 'must be root: the servers drop to accounts of their own'
case " $* " in *" --help "* | *" -h "*) exec python3 "$here/expire.py" --help ;; esac
for need in dovecot:dovecot-imapd /usr/lib/dovecot/lmtp:dovecot-lmtpd openssl:openssl; do
    command -v "${need%%:*}" >/dev/null || fail "install ${need#*:} first"
done
cargo build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$target"
cargo build --release --locked --manifest-path "$here/Cargo.toml" --bin mail --target-dir "$target"
exec python3 "$here/expire.py" --program "$target/release/msgstore" --mail "$target/release/mail" "$@"
