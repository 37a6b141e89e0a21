#!/usr/bin/env bash
# Measures what a command costs in folders of 1,000 to 1,000,000 messages, beside Dovecot; writes the figures and the picture.
#
#   tests/bench/growth.sh [--into docs/growth.md --picture docs/growth.svg] [more of growth.py --help]
#
# As root, with Debian's packages dovecot-imapd dovecot-lmtpd openssl, and 10 GB of disk.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}

fail() {
    printf 'growth.sh: %s\n' "$*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || fail 'must be root: the servers drop to accounts of their own'
case " $* " in *" --help "* | *" -h "*) exec python3 "$here/growth.py" --help ;; esac
for need in dovecot:dovecot-imapd openssl:openssl; do
    command -v "${need%%:*}" >/dev/null || fail "install ${need#*:} first"
done
cargo build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$target"
exec python3 "$here/growth.py" --program "$target/release/msgstore" "$@"
