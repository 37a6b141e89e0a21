#!/bin/sh
# A private Dovecot for comparison: sdbox, loopback only, everything inside of one directory.
#
# dovecot.sh start DIR [IMAP_PORT [LMTP_PORT]]   starts it; prints "imap PORT" and "lmtp PORT"
# dovecot.sh stop DIR                            stops it; the mail stays
#
# Any user name logs in with the password "secret". Run as root. Durability is Dovecot's default,
# mail_fsync=optimized: a message and its index records are flushed before APPEND or LMTP answers.
# With TLS_CERTIFICATE and TLS_KEY (PEM files) it opens a port with TLS as well and prints "imaps PORT".
set -eu

die() { echo "dovecot.sh: $*" >&2; exit 1; }
[ $# -ge 2 ] || die "usage: dovecot.sh start|stop DIR [IMAP_PORT [LMTP_PORT]]"
action=$1
dir=$2
conf=$dir/dovecot.conf

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

case $action in
start)
    command -v dovecot >/dev/null || die "no dovecot here"
    [ "$(id -u)" = 0 ] || die "must be root"
    imap_port=${3:-$(free_port)}
    lmtp_port=${4:-$(free_port)}
    imaps_port=0
    tls='ssl = no'
    if [ -n "${TLS_CERTIFICATE:-}" ]; then
        imaps_port=$(free_port)
        tls="ssl = yes
ssl_cert = <$TLS_CERTIFICATE
ssl_key = <$TLS_KEY"
    fi
    mkdir -p "$dir/mail" "$dir/run"
    chmod 755 "$dir"
    chown mail:mail "$dir/mail"
    cat >"$conf" <<CONF
protocols = imap lmtp
listen = 127.0.0.1
base_dir = $dir/run
log_path = $dir/dovecot.log
$tls
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_username_format = %n
mail_location = sdbox:$dir/mail/%u
mail_fsync = optimized
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 200
postmaster_address = postmaster@localhost
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=mail gid=mail home=$dir/mail/%u allow_all_users=yes
}
namespace inbox {
  inbox = yes
  separator = /
}
service imap-login {
  inet_listener imap {
    port = $imap_port
  }
  inet_listener imaps {
    port = $imaps_port
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = $lmtp_port
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
CONF
    dovecot -c "$conf" </dev/null >"$dir/start.log" 2>&1 || die "does not start; see $dir/dovecot.log"
    tries=0
    while [ ! -s "$dir/run/master.pid" ]; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || die "is not ready; see $dir/dovecot.log"
        sleep 0.05
    done
    echo "imap $imap_port"
    echo "lmtp $lmtp_port"
    [ "$imaps_port" = 0 ] || echo "imaps $imaps_port"
    ;;
stop)
    doveadm -c "$conf" stop
    ;;
*)
    die "unknown action $action"
    ;;
esac
