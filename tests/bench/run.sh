#!/usr/bin/env bash
# Measures msgstore beside Dovecot and Cyrus and writes a report in Markdown.
#
#   tests/bench/run.sh [--minutes N] [--only WORD,...] [--corpus FILE] [--out FILE] [more of run.py --help]
#
# As root, with Debian's packages dovecot-imapd dovecot-lmtpd cyrus-common sasl2-bin strace openssl. Debian lets nobody install cyrus-imapd beside
# dovecot-imapd: where its imapd is missing, the package is fetched and unpacked below the target directory.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}

say() { printf 'run.sh: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}
[ "$(id -u)" = 0 ] || fail 'must be root: the servers drop to accounts of their own'
case " $* " in *" --help "* | *" -h "*) exec python3 "$here/run.py" --help ;; esac
for need in dovecot:dovecot-imapd /usr/lib/dovecot/lmtp:dovecot-lmtpd /usr/lib/cyrus/bin/master:cyrus-common saslpasswd2:sasl2-bin strace:strace openssl:openssl; do
    command -v "${need%%:*}" >/dev/null || fail "install ${need#*:} first"
done
if [ ! -x /usr/lib/cyrus/bin/imapd ]; then
    export CYRUS_IMAPD=$target/cyrus-imapd/usr/lib/cyrus/bin/imapd
    if [ ! -x "$CYRUS_IMAPD" ]; then
        say 'unpacking cyrus-imapd beside Dovecot'
        fetched=$(mktemp -d)
        (cd "$fetched" && apt-get download -qq cyrus-imapd 2>/dev/null && dpkg-deb -x cyrus-imapd_*.deb "$target/cyrus-imapd") || fail 'cannot fetch cyrus-imapd'
        rm -r "$fetched"
    fi
fi
cargo build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$target"
cargo build --release --locked --manifest-path "$here/Cargo.toml" --bin fill --bin load --target-dir "$target"
exec python3 "$here/run.py" --program "$target/release/msgstore" --fill "$target/release/fill" --load "$target/release/load" "$@"
