#!/usr/bin/env bash
# The tests that find what only time finds: kills by the hundred, many writers for minutes, a random dialogue of thousands of commands, a folder of
# a hundred thousand messages, thousands of messages from Postfix, messages of 50 MB by the dozen, one of a gigabyte.
#
#   tests/long/run.sh [--minutes N] [--seed N] [--fuzz N] [--clients] [--mbox FILE]
#
# The mail that Postfix brings is that of an mbox FILE (5,000 messages of it), else it is made.
# The budget (default 20 minutes, beside the time it takes to build) is divided between the parts; each of them runs at least once, so that
# a small budget is exceeded. Every round has a seed of its own, which is printed; with --seed the same ones are drawn again. Ends with 1
# when anything fails; what was said is then in the file that is named.
#
# Beside the budget: --fuzz has the fuzzer work on each target for N minutes of processor time afterwards (tests/fuzz/run.sh), --clients
# lets the clients that are installed run their sessions (tests/long/clients/run.py).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

minutes=20
seed=
fuzz=
clients=no
while [ $# -gt 0 ]; do
    case $1 in
    --minutes) minutes=${2:?} && shift 2 ;;
    --seed) seed=${2:?} && shift 2 ;;
    --mbox) MSGSTORE_POSTFIX_MBOX=$(realpath "${2:?}") && export MSGSTORE_POSTFIX_MBOX && shift 2 ;;
    --fuzz) fuzz=${2:?} && shift 2 ;;
    --clients) clients=yes && shift ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 2 ;;
    esac
done
[[ $minutes =~ ^[0-9]+$ ]] || { echo 'run.sh: --minutes takes a whole number' >&2 && exit 2; }
[[ ${fuzz:-1} =~ ^[1-9][0-9]*$ ]] || { echo 'run.sh: --fuzz takes a whole number above 0' >&2 && exit 2; }
seed=${seed:-$(date +%s)}
[[ $seed =~ ^[0-9]+$ ]] || { echo 'run.sh: --seed takes a whole number' >&2 && exit 2; }
budget_s=$((minutes * 60))
logs=${CARGO_TARGET_DIR:-target}/long
mkdir -p "$logs"
export LC_ALL=C TZ=UTC

# A round of one part: NAME, the filter of the tests; variables are set by the caller. Prints the lines that the tests have for it.
round() {
    local name=$1 log
    shift
    log=$logs/$name.log
    if ! cargo test --locked --features failpoints --test main -- --nocapture "$@" >"$log" 2>&1; then
        tail -n 60 "$log"
        printf '\nFAILED: %s, seed %s; everything is in %s\n' "$name" "$drawn" "$log"
        exit 1
    fi
    grep -q '^test result: ok. [1-9]' "$log" || { echo "FAILED: $name: no test ran; see $log" && exit 1; }
    sed -n 's/^figures: //p; s/^.*\.\.\. figures: //p' "$log"
}

# Rounds of one part until its share of the budget (in hundredths) is used: NAME, SHARE, then what `round` takes.
part() {
    local name=$1 end=$((SECONDS + budget_s * $2 / 100)) began=$SECONDS took=0 rounds=0
    shift 2
    printf '\n== %s\n' "$name"
    while :; do
        local from=$SECONDS
        # Another one for each part and round, the same however long the others took.
        drawn=$(printf '%s %s %s' "$seed" "$name" $rounds | cksum | cut -d' ' -f1)
        export MSGSTORE_CRASH_SEED=$drawn MSGSTORE_STRESS_SEED=$drawn MSGSTORE_MODEL_SEED=$drawn MSGSTORE_LARGE_SEED=$drawn MSGSTORE_DAY_SEED=$drawn MSGSTORE_DAMAGE_SEED=$drawn
        round "$name" "$@"
        rounds=$((rounds + 1)) took=$((SECONDS - from))
        [ $((SECONDS + took)) -le $end ] || break
    done
    printf '%s rounds in %s s\n' $rounds $((SECONDS - began))
}

cargo test --locked --features failpoints --test main --no-run
SECONDS=0
stress_s=$((budget_s * 25 / 100 / 3))
export MSGSTORE_CRASH_KILLS=300
export MSGSTORE_STRESS_S=$((stress_s < 10 ? 10 : stress_s > 60 ? 60 : stress_s))
export MSGSTORE_MODEL_TURNS=1500
export MSGSTORE_LARGE_MESSAGES=$((minutes < 10 ? minutes * 10000 : 100000))
printf '%s minutes, seed %s\n' "$minutes" "$seed"
part crash 35 crash::killed_at
part stress 25 --test-threads=1 stress::processes_at_once stress::threads_at_once stress::three_processes
part model 15 imap::model imap::resync
part large 20 store::large
export MSGSTORE_DAY_KILLS=60
part day 5 quota::day::the_figures
# Once each, whatever the budget.
export MSGSTORE_DAMAGE_RUNS=1000
part repair 0 repair::random
export MSGSTORE_EXPIRE_KILLS=100 MSGSTORE_EXPIRE_ACCOUNTS=1000
part expiry 0 expire::kill expire::memory expire::reference
export MSGSTORE_QUOTA_ACCOUNTS=100000
part quota 0 imquotacheck::memory
export MSGSTORE_LMTP_MEBIBYTES=50 MSGSTORE_LMTP_ONE_MEBIBYTES=1000
part lmtp 0 lmtpd::many
export MSGSTORE_POSTFIX_MESSAGES=5000 MSGSTORE_POSTFIX_USERS=200 MSGSTORE_POSTFIX_KILLS=10
[ "$(id -u)" -ne 0 ] || export MSGSTORE_POSTFIX_DISK=300m
part postfix 0 --test-threads=1 postfix_delivers
if [ $clients = yes ]; then
    printf '\n== clients\n'
    tests/long/clients/run.py
fi
if [ -n "$fuzz" ]; then
    printf '\n== fuzzer, %s minutes of processor time a target\n' "$fuzz"
    tests/fuzz/run.sh --processor "$fuzz"
fi
printf '\nEverything passed in %s s.\n' $SECONDS
