#!/bin/sh
# An instance of our own for comparison and measurement, on loopback.
#
# ours.sh start DIR PROGRAM [USER ...]   makes the instance if it is not there, adds the users (password "secret"),
#                                        starts the services, prints "imap PORT" and "pop PORT"
# ours.sh stop DIR                       stops the services; the mail stays
set -eu

die() { echo "ours.sh: $*" >&2; exit 1; }
[ $# -ge 2 ] || die "usage: ours.sh start DIR PROGRAM [USER ...] | stop DIR"
action=$1
dir=$2

case $action in
start)
    program=$3
    shift 3
    mkdir -p "$dir"
    if [ ! -e "$dir/config" ]; then
        "$program" configure --base "$dir" --domain example.org --set service.imap.port=0 --set service.pop.port=0 \
            --set service.listenaddr=127.0.0.1 --set service.authfailpause=0 >&2
    fi
    for user in "$@"; do
        echo secret | CONFIGROOT="$dir/config" "$program" user add "$user" >&2 || true
    done
    CONFIGROOT="$dir/config" "$program" start-msg </dev/null >"$dir/start.log" 2>&1
    tries=0
    while [ ! -s "$dir/data/proc/imap.port" ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || die "imapd is not ready; see $dir/data/log"
        sleep 0.05
    done
    echo "imap $(cat "$dir/data/proc/imap.port")"
    echo "pop $(cat "$dir/data/proc/pop.port")"
    ;;
stop)
    CONFIGROOT="$dir/config" "$dir/sbin/stop-msg"
    ;;
*)
    die "unknown action $action"
    ;;
esac
