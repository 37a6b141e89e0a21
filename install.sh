#!/bin/sh
# Builds and installs msgstore, or makes a demonstration of it. `./install.sh --help` explains.
set -eu

usage() {
    cat <<'END'
usage: ./install.sh [--prefix DIR] [--destdir DIR] [--dry-run]
       ./install.sh --uninstall [--prefix DIR] [--destdir DIR] [--dry-run]
       ./install.sh --demo [DIR] [--dry-run]

Without --demo and --uninstall: builds msgstore and installs the program, a link for each tool, manual pages and shell completions.

  --prefix DIR    where to install; default /opt/msgstore
  --destdir DIR   put DIR in front of every path that is written (for packages)
  --uninstall     remove what was installed; instances with their mail stay
  --demo [DIR]    make a demonstration instance in DIR (default ./demo-store) with two users and some mail, start it, and say what to
                  try; called again, it says what is there and starts what is stopped. It listens on 127.0.0.1 only
  --dry-run       say what would be done and do nothing
  --help          print this

Environment: MSGSTORE_BINARY names a program to use instead of building one; CARGO_TARGET_DIR is where cargo builds.
Exit codes: 0 done, 1 failed, 64 usage.
END
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}
misuse() {
    printf 'install.sh: %s\n' "$*" >&2
    usage >&2
    exit 64
}
# A word as a shell would have to read it.
quoted() {
    case $1 in
    '' | *[!A-Za-z0-9_./:=@%+-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
    esac
}
# A path that does not depend on the working directory.
absolute() {
    case $1 in
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$called_in" "$1" ;;
    esac
}

called_in=$(pwd)
source_dir=$(cd "$(dirname "$0")" && pwd)
work=install
prefix=/opt/msgstore
destdir=
demo_dir=
dry_run=no
while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --destdir)
        [ -n "${2-}" ] || misuse "$1 needs a directory"
        case $1 in
        --prefix) prefix=$2 ;;
        *) destdir=$2 ;;
        esac
        shift
        ;;
    --prefix=?*) prefix=${1#*=} ;;
    --destdir=?*) destdir=${1#*=} ;;
    --demo)
        [ $work = install ] || misuse '--demo and --uninstall exclude each other'
        work=demo
        case ${2-} in
        '' | -*) ;;
        *)
            demo_dir=$2
            shift
            ;;
        esac
        ;;
    --demo=?*)
        [ $work = install ] || misuse '--demo and --uninstall exclude each other'
        work=demo
        demo_dir=${1#*=}
        ;;
    --uninstall)
        [ $work = install ] || misuse '--demo and --uninstall exclude each other'
        work=uninstall
        ;;
    --dry-run) dry_run=yes ;;
    --help)
        usage
        exit 0
        ;;
    *) misuse "unknown argument: $1" ;;
    esac
    shift
done
if [ $work = demo ] && { [ "$prefix" != /opt/msgstore ] || [ -n "$destdir" ]; }; then
    misuse '--prefix and --destdir have no effect on a demonstration'
fi
prefix=$(absolute "$prefix")
prefix=${prefix%/}
[ -z "$destdir" ] || destdir=$(absolute "$destdir")
destdir=${destdir%/}
root=$destdir$prefix
manifest=share/msgstore/manifest

# --- building ---------------------------------------------------------------------------------------------------------

# Installs a C compiler with its libraries (libcrypt among them) where that can be done, and says what to do where it cannot.
need_cc() {
    if command -v cc >/dev/null 2>&1 && echo 'int main(void){return 0;}' | cc -x c -o /dev/null - -lcrypt 2>/dev/null; then
        return 0
    fi
    if command -v apt-get >/dev/null 2>&1; then
        how='apt-get install -y gcc libc6-dev libcrypt-dev'
    elif command -v dnf >/dev/null 2>&1; then
        how='dnf install -y gcc glibc-devel libxcrypt-devel'
    elif command -v apk >/dev/null 2>&1; then
        how='apk add gcc musl-dev'
    else
        fail 'there is no working C compiler (cc, with libcrypt); install one and call this again'
    fi
    [ "$(id -u)" -eq 0 ] || fail "there is no working C compiler (cc, with libcrypt); as root: $how"
    if [ -t 0 ]; then
        printf 'There is no working C compiler with libcrypt. Install it with "%s"? [y/N] ' "$how"
        read -r answer
        case $answer in
        [yY]*) ;;
        *) fail "nothing was done; call this again after: $how" ;;
        esac
    fi
    say "installing a C compiler: $how"
    case $how in
    apt-get*) DEBIAN_FRONTEND=noninteractive && export DEBIAN_FRONTEND && apt-get -qq update ;;
    esac
    # The words of the command, as they stand above.
    # shellcheck disable=SC2086
    $how >/dev/null || fail "this failed: $how"
}

# Sets `binary` to the program to install, built if need be; empty if a dry run finds none.
provide_binary() {
    if [ -n "${MSGSTORE_BINARY-}" ]; then
        binary=$(absolute "$MSGSTORE_BINARY")
        [ -x "$binary" ] || fail "MSGSTORE_BINARY: $binary is not a program"
        return 0
    fi
    binary=$(absolute "${CARGO_TARGET_DIR:-$source_dir/target}")/release/msgstore
    if [ $dry_run = yes ]; then
        say 'would build: cargo build --release --locked'
        [ -x "$binary" ] || binary=
        return 0
    fi
    PATH=$PATH:${CARGO_HOME:-${HOME-}/.cargo}/bin
    export PATH
    command -v cargo >/dev/null 2>&1 ||
        fail 'cargo is missing: install Rust 1.95 or later (https://rustup.rs), or build as another user and set MSGSTORE_BINARY'
    need_cc
    say 'building: cargo build --release --locked'
    (cd "$source_dir" && cargo build --release --locked) || fail 'the build failed'
}

# Puts a program in place of one that may be running.
put_program() {
    cmp -s "$1" "$2" && return 0
    cp "$1" "$2.new"
    chmod 755 "$2.new"
    mv -f "$2.new" "$2"
}

# --- installing -------------------------------------------------------------------------------------------------------

install_all() {
    provide_binary
    if [ -z "$binary" ]; then
        say "would install bin/msgstore, a link for each tool, manual pages, completions and systemd units in $(quoted "$root")"
        return 0
    fi
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' HUP INT TERM
    "$binary" generate links >"$scratch/links"
    "$binary" generate man "$scratch/man" >"$scratch/man.list"
    "$binary" generate completions "$scratch/completions" >"$scratch/completions.list"
    mkdir "$scratch/systemd"
    for unit in "$source_dir"/packaging/systemd/*; do
        sed "s|@PREFIX@|$(printf '%s' "$prefix" | sed 's/[&|\\]/\\&/g')|" "$unit" >"$scratch/systemd/${unit##*/}"
        echo "${unit##*/}" >>"$scratch/systemd.list"
    done
    {
        echo bin/msgstore
        cat "$scratch/links"
        sed 's|^|share/man/man8/|' "$scratch/man.list"
        sed -e 's|^bash/|share/bash-completion/completions/|' -e 's|^zsh/|share/zsh/site-functions/|' \
            -e 's|^fish/|share/fish/vendor_completions.d/|' "$scratch/completions.list"
        sed 's|^|share/msgstore/systemd/|' "$scratch/systemd.list"
    } >"$scratch/files"

    refuse_foreign "$scratch/files"
    if [ $dry_run = yes ]; then
        while read -r file; do
            say "would install $root/$file"
        done <"$scratch/files"
        return 0
    fi
    while read -r file; do
        mkdir -p "$root/$(dirname "$file")"
    done <"$scratch/files"
    put_program "$binary" "$root/bin/msgstore"
    while read -r link; do
        up=
        rest=$link
        while [ "$rest" != "${rest#*/}" ]; do
            up=../$up
            rest=${rest#*/}
        done
        ln -sf "${up}bin/msgstore" "$root/$link"
    done <"$scratch/links"
    copy_listed "$scratch/man" "$scratch/man.list" '' share/man/man8/
    copy_listed "$scratch/completions" "$scratch/completions.list" bash/ share/bash-completion/completions/
    copy_listed "$scratch/completions" "$scratch/completions.list" zsh/ share/zsh/site-functions/
    copy_listed "$scratch/completions" "$scratch/completions.list" fish/ share/fish/vendor_completions.d/
    copy_listed "$scratch/systemd" "$scratch/systemd.list" '' share/msgstore/systemd/
    # What an older version installed and this one does not have goes.
    if [ -f "$root/$manifest" ]; then
        while read -r file; do
            safe "$file" || continue
            grep -qxF -- "$file" "$scratch/files" || rm -f "$root/$file"
        done <"$root/$manifest"
    fi
    mkdir -p "$root/$(dirname $manifest)"
    cp "$scratch/files" "$root/$manifest.new"
    mv -f "$root/$manifest.new" "$root/$manifest"
    say "installed in $root: $(wc -l <"$scratch/links" | tr -d ' ') tools"
    say "Next, make an instance: $(quoted "$prefix/bin/msgstore") configure --base DIR --domain example.org"
}

# Ends with an error when a file would be replaced that is not ours.
refuse_foreign() {
    foreign=
    while read -r file; do
        [ -e "$root/$file" ] || [ -L "$root/$file" ] || continue
        if [ -f "$root/$manifest" ] && grep -qxF -- "$file" "$root/$manifest"; then
            continue
        fi
        # An instance whose base is the prefix has links of the same names.
        case $(readlink "$root/$file" || :) in
        */bin/msgstore) continue ;;
        esac
        foreign="$foreign
  $root/$file"
    done <"$1"
    [ -z "$foreign" ] || fail "these files are there and were not installed by this; nothing was changed:$foreign"
}

# copy_listed FROM LIST SELECTED TO: the files of LIST whose names begin with SELECTED.
copy_listed() {
    while read -r file; do
        case $file in
        "$3"*)
            rm -f "$root/$4${file#"$3"}"
            cp "$1/$file" "$root/$4${file#"$3"}"
            chmod 644 "$root/$4${file#"$3"}"
            ;;
        esac
    done <"$2"
}

# True for a name that cannot lead out of the prefix.
safe() {
    case /$1/ in
    // | //* | */../*) return 1 ;;
    esac
}

uninstall() {
    if [ ! -f "$root/$manifest" ]; then
        say "nothing is installed in $root"
        return 0
    fi
    if [ $dry_run = yes ]; then
        while read -r file; do
            safe "$file" && say "would remove $root/$file"
        done <"$root/$manifest"
        return 0
    fi
    list=$(cat "$root/$manifest")
    printf '%s\n' "$list" | while read -r file; do
        safe "$file" && rm -f "$root/$file"
    done
    rm -f "$root/$manifest"
    printf '%s\n' "$list" "$manifest" | while read -r file; do
        dir=$file
        while safe "$file" && [ "$dir" != "${dir%/*}" ]; do
            dir=${dir%/*}
            rmdir "$root/$dir" 2>/dev/null || break
        done
    done
    rmdir "$root" 2>/dev/null || :
    say "removed from $root; instances were left alone"
}

# --- demonstration ----------------------------------------------------------------------------------------------------

demo_users='daphne joe'

# True when something listens on the TCP port. Without /proc nothing is known, and the start of the service tells.
port_taken() {
    hex=$(printf '%04X' "$1")
    for table in /proc/net/tcp /proc/net/tcp6; do
        [ -r $table ] || continue
        awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' $table &&
            return 0
    done
    return 1
}
free_port() {
    port=$1
    while port_taken "$port"; do
        port=$((port + 1))
        [ "$port" -lt 65536 ] || fail "no free port from $1 on"
    done
    printf '%s' "$port"
}

tool() { CONFIGROOT=$demo_dir/config "$demo_dir/bin/msgstore" "$@"; }
# The pid of a service of the demonstration, if it runs.
running() {
    [ -r "$demo_dir/data/proc/$1" ] || return 1
    pid=$(sed -n 's/^\([0-9][0-9]*\).*/\1/p;q' "$demo_dir/data/proc/$1")
    [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && printf '%s' "$pid"
}
password_of() { sed -n "s/^$1 //p" "$demo_dir/passwords"; }

demo() {
    demo_dir=$(absolute "${demo_dir:-demo-store}")
    if [ -e "$demo_dir" ] && [ ! -f "$demo_dir/passwords" ] && [ -n "$(ls -A "$demo_dir")" ]; then
        fail "$demo_dir is there and is not a demonstration; name another directory: ./install.sh --demo DIR"
    fi
    if [ $dry_run = yes ]; then
        provide_binary
        say "would make or complete an instance in $demo_dir with the users $demo_users, on free ports of 127.0.0.1 from 1143, 1993 and 1110 on,"
        say 'would load testdata/sample.mbox and start the services'
        return 0
    fi
    provide_binary
    umask 077
    mkdir -p "$demo_dir/bin"
    [ -f "$demo_dir/passwords" ] || : >"$demo_dir/passwords"
    put_program "$binary" "$demo_dir/bin/msgstore"
    if [ -f "$demo_dir/config/msg.conf" ]; then
        say "There is a demonstration in $demo_dir already."
        port=$(kept_port service.imap.port)
        if [ "$(tool configutil -o service.imap.enablesslport)" = yes ]; then
            tls_port=$(kept_port service.imap.sslport)
        else
            # A demonstration of an older program: the port with TLS is opened when its services start anew.
            tool stop-msg imap >/dev/null 2>&1 || :
            tls_port=$(free_port 1993)
        fi
        pop_port=$(tool configutil -o service.pop.port)
        # 110: one that is older than the POP service.
        if [ "$pop_port" = 110 ]; then pop_port=$(free_port 1110); else pop_port=$(kept_port service.pop.port); fi
    else
        port=$(free_port 1143)
        tls_port=$(free_port 1993)
        pop_port=$(free_port 1110)
    fi
    # This also completes an instance that an older program has made.
    tool configure --base "$demo_dir" --domain example.org --set service.listenaddr=127.0.0.1 \
        --set "service.imap.port=$port" --set service.imap.enablesslport=yes --set "service.imap.sslport=$tls_port" \
        --set "service.pop.port=$pop_port" \
        >"$demo_dir/configure.log" || fail 'the instance could not be made'
    for user in $demo_users; do
        add_demo_user "$user"
    done
    until tool start-msg; do
        # Somebody may have taken the port since it was looked for.
        if running imap >/dev/null && ! running pop >/dev/null && port_taken "$pop_port"; then
            pop_port=$(free_port "$pop_port")
            tool configutil -o service.pop.port -v "$pop_port" >/dev/null
            continue
        fi
        { ! running imap >/dev/null && port_taken "$port"; } || fail "the services did not start; their logs are in $demo_dir/data/log"
        port=$(free_port "$port")
        tool configutil -o service.imap.port -v "$port" >/dev/null
    done
    if [ ! -f "$demo_dir/loaded" ]; then
        tool imsimport -c y -v 1 -u daphne -s "$source_dir/testdata/sample.mbox" || fail 'testdata/sample.mbox could not be loaded'
        : >"$demo_dir/loaded"
    fi
    explain_demo
}

# The port of a demonstration that is there; another one where something else has taken it.
kept_port() {
    kept=$(tool configutil -o "$1")
    if ! running imap >/dev/null && port_taken "$kept"; then
        say "Something else has taken port $kept." >&2
        kept=$(free_port "$kept")
        tool configutil -o "$1" -v "$kept" >/dev/null
    fi
    printf '%s' "$kept"
}

add_demo_user() {
    password=$(password_of "$1")
    if [ -z "$password" ]; then
        password=$(od -An -tx1 -N8 /dev/urandom | tr -d ' \n')
        printf '%s %s\n' "$1" "$password" >>"$demo_dir/passwords"
        # An account whose password nobody wrote down gets this one.
        if tool user show "$1" >/dev/null 2>&1; then
            printf '%s\n' "$password" | tool user passwd "$1" >/dev/null
            return 0
        fi
    fi
    tool user show "$1" >/dev/null 2>&1 || printf '%s\n' "$password" | tool user add "$1"
}

explain_demo() {
    url=imap://127.0.0.1:$port
    daphne=$(password_of daphne)
    say ''
    say "The store runs. IMAP: 127.0.0.1, port $port."
    say "POP: 127.0.0.1, port $pop_port."
    say "IMAP with TLS: localhost, port $tls_port; nobody but you vouches for the certificate in config/server.crt."
    for user in $demo_users; do
        say "  user $user, password $(password_of "$user")"
    done
    say "The passwords are also in $demo_dir/passwords."
    say ''
    say 'To try:'
    say ''
    say "  cd $(quoted "$demo_dir")"
    say '  sbin/mboxutil -l                                    # the mailboxes'
    say "  curl --user daphne:$daphne '$url/INBOX;UID=1'       # a message"
    say "  curl --user daphne:$daphne '$url/' -X 'STATUS INBOX (MESSAGES UNSEEN)'"
    say "  curl --user daphne:$daphne pop3://127.0.0.1:$pop_port/   # the messages over POP"
    lmtp=data/proc/lmtp.socket
    if [ -S "$demo_dir/$lmtp" ]; then
        say "  swaks --protocol LMTP --socket $lmtp --to joe@example.org   # mail as a mail transport brings it"
    fi
    say "  mutt -f imaps://daphne@localhost:$tls_port/INBOX        # a mail program"
    say "  curl --cacert config/server.crt --user daphne:$daphne imaps://localhost:$tls_port/   # the folders, under TLS"
    say '  sbin/configutil -H -o service.imap.port             # what a setting means; docs/options has all'
    say '  sbin/stop-msg                                       # stop it; ./install.sh --demo starts it again'
    say ''
    say "To remove all of it: stop it, then delete $(quoted "$demo_dir")."
}

case $work in
install) install_all ;;
uninstall) uninstall ;;
demo) demo ;;
esac
