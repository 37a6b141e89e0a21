#!/usr/bin/env bash
# The fuzzer: every target, or those that are named, for some minutes each, from its corpus.
#
#   tests/fuzz/run.sh [--minutes N | --processor N] [TARGET...]
#
# Default: one minute a target, so that ten minutes of each are --minutes 10. With --processor they are minutes of processor time, which are the
# same amount of work on a machine that others use, too. What it finds is left in target/fuzz/TARGET/ as crash-*, timeout-*
# or oom-*: the file goes into tests/fuzz/corpus/TARGET under a name that says what it is, and the everyday tests read it from then on.
# New inputs that reach new code stay in target/fuzz/TARGET/corpus for the next run. Ends with 1 when something was found.
#
# libFuzzer comes with the crate libfuzzer-sys and needs a C++ compiler; the coverage counters are put in by rustc's own LLVM.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

minutes=1
processor=no
targets=()
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) minutes=${2:?} processor=no && shift 2 ;;
    --processor) minutes=${2:?} processor=yes && shift 2 ;;
    -*) sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 2 ;;
    *) targets+=("$1") && shift ;;
    esac
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo 'run.sh: minutes are a whole number above 0' >&2 && exit 2; }
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
ticks=$(getconf CLK_TCK)
child=
trap '[ -z "$child" ] || kill -s TERM "$child" 2>/dev/null || true' EXIT

# The processor time of a process in clock ticks, user and system. Nothing when it has ended.
worked() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # What stands behind the name, which may hold anything.
    read -r -a stat <<<"${stat##*) }"
    [ "${stat[0]}" = Z ] || echo $((stat[11] + stat[12]))
}

# Runs one target and ends like it; one that has used up its processor time is interrupted, which is a good end. An input that takes long is a
# finding; that is measured by the clock, so where others use the machine it has to be longer.
fuzz() {
    local target=$1 log=$2 limit_s=$((minutes * 60)) slow_s=10 status=0 used
    [ $processor = no ] || limit_s=0 slow_s=60
    FUZZ_TARGET=$target nice -n 19 "$fuzz" -max_total_time=$limit_s -timeout=$slow_s -print_final_stats=1 -max_len=4096 -rss_limit_mb=1024 \
        -artifact_prefix="$place/$target/" "$place/$target/corpus" "tests/fuzz/corpus/$target" >"$log" 2>&1 &
    child=$!
    while [ $processor = yes ] && used=$(worked $child) && [ -n "$used" ]; do
        [ "$used" -lt $((minutes * 60 * ticks)) ] || kill -s INT $child 2>/dev/null || true
        sleep 1
    done
    wait $child || status=$?
    child=
    # 72 is what libFuzzer ends with when it is interrupted.
    [ $status -eq 0 ] || { [ $processor = yes ] && [ $status -eq 72 ]; }
}

found=0
for target in "${targets[@]}"; do
    mkdir -p "$place/$target/corpus"
    log=$place/$target/log
    from=$SECONDS
    if ! fuzz "$target" "$log"; then
        found=1
        grep -E -a 'panicked|ERROR|Test unit' -A 2 "$log" || tail -n 20 "$log"
        echo "$target: FOUND something; everything is in $log"
        continue
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(grep -a -o 'cov: [0-9]*' "$log" | tail -n 1)
    printf '%-10s %s runs in %s s, %s, nothing found\n' "$target" "$runs" $((SECONDS - from)) "$covered"
done
exit $found
