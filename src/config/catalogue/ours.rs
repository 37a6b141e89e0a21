//! What this product adds: parameters of its own, and defaults where the manuals give none or one that cannot be used here.

use super::Effect::{Creation, Immediate, Refresh, Restart};
use super::Kind::*;
use super::{MAX, Parameter, row};

/// The table: name, kind and range, default, unit, when a change takes effect, what it does.
#[rustfmt::skip]
pub(super) static TABLE: &[Parameter] = &[
    row("service.imap.requiretls", Bool, "yes", "", Refresh, "Refuse logins over IMAP without encryption, except from the loopback address."),
    row("service.authfailpause", Int(0, 600), "2", "seconds", Refresh, "Delay of the answer to a failed login, and what the waits of the next tries grow from; 0: none at all."),
    row("service.imap.maxsessionsperaddress", Int(0, MAX), "0", "connections", Refresh, "Most simultaneous IMAP connections of one address (IPv6: one /64); 0: no more bound than service.imap.maxsessions."),
    row("service.imap.maxunauthenticatedperaddress", Int(0, MAX), "100", "connections", Refresh, "Most simultaneous IMAP connections of one address (IPv6: one /64) that have not logged in; 0: no bound."),
    row("service.imap.maxcommandrate", Int(0, 1_000_000), "0", "commands per second", Refresh, "Commands a second, on the average of ten, beyond which an IMAP client has to wait; 0: as many as it likes."),
    row("service.pop.requiretls", Bool, "yes", "", Refresh, "Refuse logins over POP without encryption, except from the loopback address."),
    row("service.pop.expiretime", Int(-1, MAX), "-1", "days", Refresh, "Days that POP clients are told a message stays at least (EXPIRE); -1: for ever. It removes nothing."),
    row("service.pop.maxsessionsperaddress", Int(0, MAX), "0", "connections", Refresh, "Most simultaneous POP connections of one address (IPv6: one /64); 0: no more bound than service.pop.maxsessions."),
    row("service.pop.maxunauthenticatedperaddress", Int(0, MAX), "100", "connections", Refresh, "Most simultaneous POP connections of one address (IPv6: one /64) that have not logged in; 0: no bound."),
    row("service.pop.maxcommandrate", Int(0, 1_000_000), "0", "commands per second", Refresh, "Commands a second, on the average of ten, beyond which a POP client has to wait; 0: as many as it likes."),
    row("service.proxyprotocol.networks", Words, "", "", Refresh, "Addresses and networks of proxies that begin each connection with a PROXY header (version 1 or 2), as they must."),
    row("local.store.expire.maxpercent", Int(0, 100), "0", "percent", Immediate, "Most of the messages looked at that one run of imexpire may expire; more are a mistake, and none does. 0: no bound."),
    row("store.expirerule.<rulename>.match", Choice(&["any", "all"]), "", "", Immediate, "How the criteria of a rule come together: any of them is enough, or all must hold (the default where action is set)."),
    row("service.lmtp.enable", Bool, "no", "", Restart, "Offer the LMTP service, by which a mail transport hands mail over."),
    row("service.lmtp.socket", Path, "msg_svr_base/data/proc/lmtp.socket", "", Restart, "Socket file of the LMTP service; empty: none."),
    row("service.lmtp.socketmode", Octal, "660", "", Restart, "Mode of the socket file of LMTP: who may write to it may deliver mail."),
    row("service.lmtp.socketgroup", Text, "", "", Restart, "Group of the socket file of LMTP; unset: that of the services."),
    row("service.lmtp.overquotasocket", Path, "", "", Restart, "Second socket file of LMTP, mode and group as the first: its mail is delivered though a quota is used up; empty: none."),
    row("service.lmtp.port", Int(-1, 65_535), "-1", "", Restart, "Port of the LMTP service; -1: none; 0: any free one, see data/proc/lmtp.port."),
    row("service.lmtp.listenaddr", Text, "127.0.0.1", "", Restart, "Address on which the port of LMTP is opened; empty: every address. There is no login."),
    row("service.lmtp.domainallowed", Text, "", "", Refresh, "Client hosts that may connect to the port of LMTP."),
    row("service.lmtp.domainnotallowed", Text, "", "", Refresh, "Client hosts that may not connect to the port of LMTP."),
    row("service.lmtp.sslusessl", Bool, "yes", "", Refresh, "Offer encryption on the port of LMTP (STARTTLS)."),
    row("service.lmtp.maxsessions", Int(1, MAX), "500", "connections", Restart, "Most simultaneous LMTP connections."),
    row("service.lmtp.maxthreads", Int(1, MAX), "64", "threads", Restart, "Most worker threads of the LMTP service."),
    row("service.lmtp.idletimeout", Int(1, MAX), "10", "minutes", Refresh, "Idle time after which an LMTP connection is dropped."),
    row("service.lmtp.maxmessagesize", Bytes(1024, 4_294_967_295), "1G", "bytes", Refresh, "Largest message that LMTP takes."),
    row("service.lmtp.maxrecipients", Int(1, 10_000), "1000", "recipients", Refresh, "Most recipients of a message over LMTP; the sender is asked to bring the others again."),
    row("service.lmtp.maxsessionsperaddress", Int(0, MAX), "0", "connections", Refresh, "Most simultaneous LMTP connections of one address (IPv6: one /64); 0: no more bound than service.lmtp.maxsessions."),
    row("service.lmtp.xclientnetworks", Words, "", "", Refresh, "Mail systems (addresses, networks; the socket file is 127.0.0.1) that may name their client over LMTP (XCLIENT)."),
    row("local.metrics.socket", Path, "msg_svr_base/data/proc/metrics.socket", "", Restart, "Socket file on which stored serves counters for Prometheus (GET /metrics); empty: none."),
    row("local.metrics.port", Int(-1, 65_535), "-1", "", Restart, "Port of 127.0.0.1 for the counters; -1: none; 0: any free one, see data/proc/metrics.port."),
    row("local.delivery.duplicatewindow", Int(0, 2_592_000), "0", "seconds", Refresh, "Time within which a message that comes to a folder again (same Message-ID and body) is dropped; 0: none is."),
    row("local.delivery.maxreceived", Int(0, 10_000), "100", "lines", Refresh, "Received lines beyond which LMTP and deliver refuse a message, since it goes round; 0: no bound."),
    row("local.delivery.maxdeliveredto", Int(0, 10_000), "5", "lines", Refresh, "Delivered-To lines with the recipient's address beyond which LMTP and deliver refuse a message; 0: no bound."),
    row("local.ugldapstarttls", Bool, "no", "", Restart, "Encrypt look-ups within the connection to the usual port (StartTLS); local.ugldapusessl goes before it."),
    row("local.ugldapcafile", Path, "/etc/ssl/certs/ca-certificates.crt", "", Restart, "PEM file of the certificates by which those of directory servers are checked."),
    row("local.store.shards", Int(1, 64), "4", "shards", Creation, "Number of shards of the mailbox database, fixed when the store is created."),
];

/// Parameters whose default is this product's choice: the manuals give none, disagree, or name a program that is not part of it.
pub(super) static DEFAULTS: &[&str] = &[
    "store.cleanupage",
    "service.imap.enable",
    "service.imap.banner",
    "service.imap.enablesslport",
    "service.imap.sslusessl",
    "service.pop.sslport",
    "service.pop.sslusessl",
    "service.pop.popminpoll",
    "service.http.enable",
    "service.http.enablesslport",
    "service.http.sslusessl",
    "encryption.nscertfile",
    "encryption.nskeyfile",
    "nsserversecurity",
    "service.dnsresolveclient",
    "service.loginseparator",
    "local.sched.enable",
    "local.schedule.purge",
    "local.schedule.return_job",
    "local.schedule.snapshot",
    "logfile.<service>.logdir",
];
