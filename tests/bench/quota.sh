#!/usr/bin/env bash
# Measures what quotas cost: delivery with enforcement on and off, iminitquota -a beside a directory server, imquotacheck -i. Writes tables in Markdown.
#
#   tests/bench/quota.sh [--small] [--rounds N] [--into docs/performance.md] [more of quota.py --help]
#
# As root, with Debian's packages slapd ldap-utils openssl.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}

fail() {
    printf 'quota.sh: %s\n' "$*" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || fail 'must be root: the instance belongs to whoever makes it'
case " $* " in *" --help "* | *" -h "*) exec python3 "$here/quota.py" --help ;; esac
for need in slapd:slapd slapadd:slapd ldapsearch:ldap-utils openssl:openssl; do
    command -v "${need%%:*}" >/dev/null || fail "install ${need#*:} first"
done
cargo build --release --locked --manifest-path "$root/Cargo.toml" --target-dir "$target"
exec python3 "$here/quota.py" --program "$target/release/msgstore" "$@"
