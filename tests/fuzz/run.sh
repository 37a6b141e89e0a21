#!/usr/bin/env bash
# The fuzzer: every target, or those that are named, for some minutes each, from its corpus.
#
#   tests/fuzz/run.sh [--minutes N] [TARGET...]
#
# Default: one minute a target, so that ten minutes of each are --minutes 10. What it finds is left in target/fuzz/TARGET/ as crash-*, timeout-*
# or oom-*: the file goes into tests/fuzz/corpus/TARGET under a name that says what it is, and the everyday tests read it from then on.
# New inputs that reach new code stay in target/fuzz/TARGET/corpus for the next run. Ends with 1 when something was found.
#
# libFuzzer comes with the crate libfuzzer-sys and needs a C++ compiler; the coverage counters are put in by rustc's own LLVM.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

minutes=1
targets=()
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) minutes=${2:?} && shift 2 ;;
    -*) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 2 ;;
    *) targets+=("$1") && shift ;;
    esac
done
[[ $minutes =~ ^[0-9]+$ ]] || { echo 'run.sh: --minutes takes a whole number' >&2 && exit 2; }
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/corpus)
for target in "${targets[@]}"; do
    [ -d "tests/fuzz/corpus/$target" ] || { echo "run.sh: no target $target" >&2 && exit 2; }
done

place=$(realpath -m "${CARGO_TARGET_DIR:-target}/fuzz")
flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters'
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
# With a --target the flags do not reach build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$flags CARGO_TARGET_DIR=$place/build \
    cargo build --locked --release --manifest-path tests/fuzz/Cargo.toml --target "$host"
fuzz=$place/build/$host/release/fuzz

export LC_ALL=C TZ=UTC
found=0
for target in "${targets[@]}"; do
    mkdir -p "$place/$target/corpus"
    log=$place/$target/log
    if ! FUZZ_TARGET=$target nice -n 19 "$fuzz" -max_total_time=$((minutes * 60)) -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="$place/$target/" "$place/$target/corpus" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
        found=1
        grep -E -a 'panicked|ERROR|Test unit' -A 2 "$log" || tail -n 20 "$log"
        echo "$target: FOUND something; everything is in $log"
        continue
    fi
    runs=$(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) .*/\1 runs in \2 s/p' "$log")
    covered=$(grep -a -o 'cov: [0-9]*' "$log" | tail -n 1)
    printf '%-10s %s, %s, nothing found\n' "$target" "$runs" "$covered"
done
exit $found
