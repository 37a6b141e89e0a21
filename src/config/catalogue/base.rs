//! Parameters of the instance, the directory and the log files.

use super::Effect::Restart;
use super::Kind::*;
use super::{MAX, Parameter, row};

/// The table: name, kind and range, default, unit, when a change takes effect, what it does.
#[rustfmt::skip]
pub(super) static TABLE: &[Parameter] = &[
    // base
    row("local.hostname", Text, "", "", Restart, "Host name of this server."),
    row("local.defdomain", Text, "", "", Restart, "Default mail domain of the server."),
    row("local.instancedir", Path, "", "", Restart, "Root directory of the instance; the installation knows it, the parameter is kept for scripts."),
    row("local.serveruid", Text, "", "", Restart, "System account the daemons run under."),
    row("local.servergid", Text, "", "", Restart, "System group the daemons set."),
    row("local.supportedlanguages", Words, "", "", Restart, "Languages for which localised texts exist."),
    row("local.enduseradmindn", Dn, "", "", Restart, "DN used when a user changes their own directory data."),
    row("local.enduseradmincred", Secret, "", "", Restart, "Password for local.enduseradmindn."),
    row("local.watcher.enable", Bool, "on", "", Restart, "Start the watcher, which notices servers that died and logs them."),
    row("local.watcher.port", Port, "", "", Restart, "Port the watcher listens on."),
    row("local.autorestart", Bool, "no", "", Restart, "Restart servers that died automatically."),
    row("local.autorestart.timeout", Int(1, MAX), "600", "seconds", Restart, "Window in which a repeated failure of a service stops further restarts."),
    row("local.probe.<service>.timeout", Int(1, MAX), "", "seconds", Restart, "Response time of a service after which the probe has it restarted."),
    row("local.sched.enable", Bool, "yes", "", Restart, "Start the scheduler with the server."),
    row("local.snmp.enable", Bool, "", "", Restart, "Start the SNMP agent with the server."),
    row("local.imta.enable", Bool, "", "", Restart, "Start the mail transport with the server."),
    row("local.mmp.enable", Bool, "", "", Restart, "Start the access proxy with the server."),
    row("local.smsgateway.enable", Bool, "", "", Restart, "Start the SMS gateway with the server."),
    // ldap
    row("local.ugldaphost", Words, "", "", Restart, "Directory servers for look-ups, as HOST or HOST:PORT, in order of preference; unset: users are in config/directory.ldif."),
    row("local.ugldapport", Port, "", "", Restart, "Directory port; unset: 389, and 636 when SSL is used."),
    row("local.ugldapbasedn", Dn, "", "", Restart, "Entry below which users and groups are searched."),
    row("local.ugldapbinddn", Dn, "", "", Restart, "DN to bind with for look-ups; empty if anonymous search is allowed."),
    row("local.ugldapbindcred", Secret, "", "", Restart, "Password for local.ugldapbinddn."),
    row("local.ugldapusessl", Bool, "", "", Restart, "Use SSL (TLS from the beginning) for look-ups; a port that is set must be the one for that, 636 as a rule."),
    row("local.ugldapuselocal", Bool, "", "", Restart, "Use this server's own directory settings rather than those of the central configuration."),
    row("local.ldappoolrefreshinterval", Int(1, MAX), "", "minutes", Restart, "Age at which directory connections are reopened and the first server is tried again; unset: never, and after a minute."),
    row("local.ldapconnecttimeout", Int(1, MAX), "", "seconds", Restart, "Give up connecting to a directory server after this time; unset: 10."),
    row("local.ldapsearchtimeout", Int(1, MAX), "60", "seconds", Restart, "Give up a directory search after this time."),
    row("local.service.pab.ldaphost", Text, "", "", Restart, "Directory server of the personal address book."),
    row("local.service.pab.ldapport", Port, "", "", Restart, "Port of the directory server of the personal address book."),
    row("local.service.pab.ldapbinddn", Dn, "", "", Restart, "DN to bind with at the directory of the personal address book."),
    row("local.service.pab.ldappasswd", Secret, "", "", Restart, "Password for local.service.pab.ldapbinddn."),
    row("service.ldapmemcache", Bool, "no", "", Restart, "Use a memory cache for directory answers."),
    row("service.ldapmemcachesize", Bytes(1, MAX), "1131072", "bytes", Restart, "Size of that cache."),
    row("service.ldapmemcachettl", Int(1, MAX), "30", "seconds", Restart, "Lifetime of an entry in that cache."),
    row("service.ldappoolsize", Int(0, MAX), "", "connections", Restart, "Number of directory connections that are kept between questions; unset: 8; 0: none is kept."),
    row("service.dcroot", Dn, "", "", Restart, "Root of the domain-component tree used to find hosted domains."),
    row("local.ldaptrace", Bool, "", "", Restart, "Log directory traffic."),
    // logfile
    row("logfile.<service>.loglevel", Choice(&["Nolog", "Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Information", "Debug"]), "Notice", "", Restart, "Least severe event that is written."),
    row("logfile.<service>.logdir", Path, "msg_svr_base/data/log", "", Restart, "Directory of the service's log files."),
    row("logfile.<service>.logtype", Text, "", "", Restart, "Format of the log file."),
    row("logfile.<service>.maxlogfiles", Int(1, MAX), "10", "files", Restart, "Most files kept."),
    row("logfile.<service>.maxlogfilesize", Bytes(1, 2_147_483_648), "20971520", "bytes", Restart, "Size at which a file is rotated."),
    row("logfile.<service>.maxlogsize", Bytes(1, MAX), "20971520", "bytes", Restart, "Most space all files of the service may take."),
    row("logfile.<service>.minfreediskspace", Bytes(1, MAX), "5242880", "bytes", Restart, "Free disk space below which old log files are removed."),
    row("logfile.<service>.rollovertime", Int(1, MAX), "86400", "seconds", Restart, "Age at which a file is rotated."),
    row("logfile.<service>.expirytime", Int(1, MAX), "604800", "seconds", Restart, "Age at which a file is removed."),
    row("logfile.<service>.buffersize", Bytes(0, MAX), "0", "bytes", Restart, "Log buffer; 0 means unbuffered."),
    row("logfile.<service>.flushinterval", Int(1, MAX), "", "seconds", Restart, "How often the buffer is written out."),
    row("logfile.<service>.syslogfacility", Choice(&["none", "user", "mail", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]), "none", "", Restart, "Send the service's events to the system log under this facility instead of log files."),
];
