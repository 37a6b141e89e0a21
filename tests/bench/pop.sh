#!/usr/bin/env bash
# Measures popd beside the POP servers of Dovecot and Cyrus: login, STAT, UIDL, RETR of everything, QUIT. Writes a table in Markdown.
#
#   tests/bench/pop.sh [--messages N] [--rounds N] [--clients N] [more of pop.py --help]
#
# As root, with Debian's packages dovecot-imapd dovecot-lmtpd dovecot-pop3d cyrus-common sasl2-bin. Debian lets nobody install the servers of Cyrus beside
# those of Dovecot: cyrus-imapd and cyrus-pop3d are fetched and unpacked below the target directory where they are missing.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}

fail() {
    printf 'pop.sh: %s\n' "$*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || fail 'must be root: the servers drop to accounts of their own'
case " $* " in *" --help "* | *" -h "*) exec python3 "$here/pop.py" --help ;; esac
for need in dovecot:dovecot-imapd /usr/lib/dovecot/lmtp:dovecot-lmtpd /usr/lib/dovecot/pop3:dovecot-pop3d /usr/lib/cyrus/bin/master:cyrus-common saslpasswd2:sasl2-bin; do
    command -v "${need%%:*}" >/dev/null || fail "install ${need#*:} first"
done
unpack() {
    [ ! -x "/usr/lib/cyrus/bin/$2" ] || return 0
    local place=$target/$1
    if [ ! -x "$place/usr/lib/cyrus/bin/$2" ]; then
        local fetched
        fetched=$(mktemp -d)
        (cd "$fetched" && apt-get download -qq "$1" 2>/dev/null && dpkg-deb -x "$1"_*.deb "$place") || fail "cannot fetch $1"
        rm -r "$fetched"
    fi
    export "$3=$place/usr/lib/cyrus/bin/$2"
}
unpack cyrus-imapd imapd CYRUS_IMAPD
unpack cyrus-pop3d pop3d CYRUS_POP3D
cargo build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$target"
exec python3 "$here/pop.py" --program "$target/release/msgstore" "$@"
