#!/bin/sh
# The test command: formatting, lints, then every test. Arguments go to cargo test: tests/run.sh mboxutil
set -eu
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

export LC_ALL=C TZ=UTC
step cargo fmt --check
step cargo fmt --check --manifest-path tests/bench/Cargo.toml
step cargo clippy --locked --all-targets --features failpoints -- -D warnings
step cargo test --locked --features failpoints "$@"
