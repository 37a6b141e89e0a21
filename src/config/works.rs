//! What has an effect in this release: the one list to edit when a feature lands. Everything else is inert, and says what it waits for.

use super::Parameter;

/// Does a parameter change what the product does?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Works,
    /// It is accepted and stored, and nothing reads it: why, as the end of a sentence.
    Inert(&'static str),
}

/// Parameters that work, each with the text by which the code outside of this room reads it: its own name where the second
/// is empty, else the distinguishing part of the call (families, accessors). `tests/catalogue.rs` looks for that text.
#[rustfmt::skip]
pub const WORKS: &[(&str, &str)] = &[
    ("store.partition.<nickname>.path", ".partitions("),
    ("service.imap.port", "\"port\""),
    ("service.listenaddr", ""),
    ("service.imap.enablesslport", "\"enablesslport\""),
    ("service.imap.sslport", "\"sslport\""),
    ("service.imap.sslusessl", "\"sslusessl\""),
    ("service.imap.maxsessions", "\"maxsessions\""),
    ("service.imap.maxthreads", "\"maxthreads\""),
    ("service.imap.idletimeout", "\"idletimeout\""),
    ("service.imap.plaintextmincipher", "\"plaintextmincipher\""),
    ("service.imap.requiretls", "\"requiretls\""),
    ("service.imap.banner", "\"banner\""),
    ("service.imap.capability.<name>", "service.imap.capability."),
    ("service.imap.maxsessionsperaddress", "\"maxsessionsperaddress\""),
    ("service.imap.maxunauthenticatedperaddress", "\"maxunauthenticatedperaddress\""),
    ("service.imap.maxcommandrate", "\"maxcommandrate\""),
    ("local.imap.immediateflagupdate", ""),
    ("store.privatesharedfolders.restrictanyone", ""),
    ("local.store.sharedfolders", ""),
    ("store.publicsharedfolders.user", ""),
    ("service.imap.domainallowed", "\"domainallowed\""),
    ("service.imap.domainnotallowed", "\"domainnotallowed\""),
    ("service.pop.enable", "\"enable\""),
    ("service.pop.port", "\"port\""),
    ("service.pop.enablesslport", "\"enablesslport\""),
    ("service.pop.sslport", "\"sslport\""),
    ("service.pop.sslusessl", "\"sslusessl\""),
    ("service.pop.maxsessions", "\"maxsessions\""),
    ("service.pop.maxthreads", "\"maxthreads\""),
    ("service.pop.idletimeout", "\"idletimeout\""),
    ("service.pop.plaintextmincipher", "\"plaintextmincipher\""),
    ("service.pop.requiretls", "\"requiretls\""),
    ("service.pop.banner", "\"banner\""),
    ("service.pop.popminpoll", "\"popminpoll\""),
    ("service.pop.expiretime", "\"expiretime\""),
    ("service.pop.maxsessionsperaddress", "\"maxsessionsperaddress\""),
    ("service.pop.maxunauthenticatedperaddress", "\"maxunauthenticatedperaddress\""),
    ("service.pop.maxcommandrate", "\"maxcommandrate\""),
    ("service.pop.domainallowed", "\"domainallowed\""),
    ("service.pop.domainnotallowed", "\"domainnotallowed\""),
    ("service.proxyprotocol.networks", ""),
    ("service.authfailpause", ""),
    ("service.plaintextloginpause", ""),
    ("service.authcachesize", ""),
    ("service.authcachettl", ""),
    ("service.defaultdomain", ""),
    ("service.loginseparator", ""),
    ("store.admins", ""),
    ("store.partition.primary.path", ".partitions("),
    ("store.defaultmailboxquota", ""),
    ("store.defaultmessagequota", ""),
    ("store.quotaenforcement", ""),
    ("store.quotanotification", ""),
    ("store.quotaexceededmsg", ""),
    ("store.quotaexceededmsginterval", ""),
    ("store.quotagraceperiod", ""),
    ("store.quotawarn", ""),
    ("local.store.quotaoverdraft", ""),
    ("store.overquotastatus", ""),
    ("local.store.overquotastatus", "store.overquotastatus"),
    ("store.defaultpartition", ".default_partition("),
    ("local.store.shards", ""),
    ("local.store.snapshotpath", ""),
    ("local.store.snapshotinterval", ""),
    ("local.store.snapshotdirs", ""),
    ("local.defdomain", ""),
    ("local.hostname", ""),
    ("local.serveruid", ""),
    ("local.servergid", ""),
    ("service.imap.enable", "\"enable\""),
    ("service.lmtp.socket", "\"socket\""),
    ("service.lmtp.overquotasocket", "\"overquotasocket\""),
    ("service.lmtp.socketmode", "\"socketmode\""),
    ("service.lmtp.socketgroup", "\"socketgroup\""),
    ("service.lmtp.port", "\"port\""),
    ("service.lmtp.listenaddr", "\"listenaddr\""),
    ("service.lmtp.domainallowed", "\"domainallowed\""),
    ("service.lmtp.domainnotallowed", "\"domainnotallowed\""),
    ("service.lmtp.sslusessl", "\"sslusessl\""),
    ("service.lmtp.maxsessions", "\"maxsessions\""),
    ("service.lmtp.maxthreads", "\"maxthreads\""),
    ("service.lmtp.idletimeout", "\"idletimeout\""),
    ("service.lmtp.maxmessagesize", "\"maxmessagesize\""),
    ("service.lmtp.maxrecipients", "\"maxrecipients\""),
    ("service.lmtp.enable", ""),
    ("service.lmtp.maxsessionsperaddress", "\"maxsessionsperaddress\""),
    ("service.lmtp.xclientnetworks", ""),
    ("local.delivery.duplicatewindow", ""),
    ("local.delivery.maxreceived", ""),
    ("local.delivery.maxdeliveredto", ""),
    ("store.cleanupage", ""),
    ("store.expirerule.<rulename>.<attribute>", "store.expirerule."),
    ("store.expirerule.<rulename>.folderpattern", "\"folderpattern\""),
    ("store.expirerule.<rulename>.regexp", "\"regexp\""),
    ("store.expirerule.<rulename>.exclusive", "\"exclusive\""),
    ("store.expirerule.<rulename>.messagedays", "\"messagedays\""),
    ("store.expirerule.<rulename>.messagecount", "\"messagecount\""),
    ("store.expirerule.<rulename>.foldersize", "\"foldersize\""),
    ("store.expirerule.<rulename>.foldersizebytes", "\"foldersizebytes\""),
    ("store.expirerule.<rulename>.messagesize", "\"messagesize\""),
    ("store.expirerule.<rulename>.messagesizedays", "\"messagesizedays\""),
    ("store.expirerule.<rulename>.seen", "\"seen\""),
    ("store.expirerule.<rulename>.deleted", "\"deleted\""),
    ("store.expirerule.<rulename>.<headername>", "fn take_header"),
    ("store.expirerule.<rulename>.action", "\"action\""),
    ("store.expirerule.<rulename>.savedays", "\"savedays\""),
    ("store.expirerule.<rulename>.match", "\"match\""),
    ("local.store.expire.loglevel", ""),
    ("local.store.expire.cleanonly", ""),
    ("local.store.expire.maxpercent", ""),
    ("store.expirestart", ""),
    ("local.sched.enable", ""),
    ("local.schedule.<taskname>", "schedule::job("),
    ("local.schedule.<taskname>.enable", ".enable\""),
    ("local.schedule.expire", ""),
    ("local.schedule.purge", ""),
    ("local.schedule.mspurge", "schedule::job("),
    ("local.schedule.snapshotverify", "schedule::job("),
    ("local.schedule.snapshot", "schedule::job("),
    ("local.schedule.return_job", "schedule::job("),
    ("local.schedule.msprobe", "schedule::job("),
    ("logfile.<service>.loglevel", "\"loglevel\""),
    ("logfile.<service>.logdir", "\"logdir\""),
    ("logfile.<service>.maxlogfiles", "\"maxlogfiles\""),
    ("logfile.<service>.maxlogfilesize", "\"maxlogfilesize\""),
    ("logfile.<service>.maxlogsize", "\"maxlogsize\""),
    ("logfile.<service>.minfreediskspace", "\"minfreediskspace\""),
    ("logfile.<service>.rollovertime", "\"rollovertime\""),
    ("logfile.<service>.expirytime", "\"expirytime\""),
    ("encryption.nscertfile", ""),
    ("encryption.nskeyfile", ""),
    ("nsserversecurity", ""),
    ("local.ugldaphost", ""),
    ("local.ugldapport", ""),
    ("local.ugldapbasedn", ""),
    ("local.ugldapbinddn", ""),
    ("local.ugldapbindcred", ""),
    ("local.ugldapusessl", ""),
    ("local.ugldapstarttls", ""),
    ("local.ugldapcafile", ""),
    ("local.ldappoolrefreshinterval", ""),
    ("local.ldapconnecttimeout", ""),
    ("local.ldapsearchtimeout", ""),
    ("local.ldaptrace", ""),
    ("service.ldapmemcache", ""),
    ("service.ldapmemcachesize", ""),
    ("service.ldapmemcachettl", ""),
    ("service.ldappoolsize", ""),
    ("service.dcroot", ""),
    ("store.serviceadmingroupdn", ""),
    ("local.watcher.enable", ""),
    ("local.autorestart", ""),
    ("local.autorestart.timeout", ""),
    ("alarm.diskavail.msgalarmdescription", ""),
    ("alarm.diskavail.msgalarmstatinterval", "\"msgalarmstatinterval\""),
    ("alarm.diskavail.msgalarmthreshold", ""),
    ("alarm.diskavail.msgalarmthresholddirection", "msgalarmthresholddirection"),
    ("alarm.diskavail.msgalarmwarninginterval", "\"msgalarmwarninginterval\""),
    ("alarm.serverresponse.msgalarmdescription", ""),
    ("alarm.serverresponse.msgalarmstatinterval", "\"msgalarmstatinterval\""),
    ("alarm.serverresponse.msgalarmthreshold", ""),
    ("alarm.serverresponse.msgalarmthresholddirection", "msgalarmthresholddirection"),
    ("alarm.serverresponse.msgalarmwarninginterval", "\"msgalarmwarninginterval\""),
    ("alarm.msgalarmnoticehost", ""),
    ("alarm.msgalarmnoticeport", ""),
    ("alarm.msgalarmnoticercpt", ""),
    ("alarm.msgalarmnoticesender", ""),
    ("alarm.msgalarmnoticetemplate", ""),
    ("local.store.checkdiskusage", ""),
    ("local.store.diskusagethreshold", ""),
    ("local.metrics.socket", ""),
    ("local.metrics.port", ""),
];

/// Why the rest is inert: the first row whose text begins the name counts.
#[rustfmt::skip]
const WAITS: &[(&str, &str)] = &[
    ("store.umask", "the mask is fixed"),
    ("store.partition.<nickname>.messagepath", "waits for message files on a volume of their own"),
    ("store.partition.", "waits for the store"),
    ("store.cleanupsize", "every expunged message is purged when it is old enough, however few there are"),
    ("store.purge.", "there is no cache file in this store"),
    ("store.maxcachefilesize", "there is no cache file in this store"),
    ("store.db", "there is no database cache in this store"),
    ("store.typequota", "waits for message types"),
    ("store.messagetype", "waits for message types"),
    ("store.privatesharedfolders", "waits for shared folders"),
    ("store.indexeradmins", "waits for an indexing service"),
    ("store.archive", "waits for a compliance archive"),
    ("store.msghash", "waits for message hashes"),
    ("store.synclevel", "every write is flushed before it is acknowledged"),
    ("store.expungesynclevel", "every write is flushed before it is acknowledged"),
    ("store.", "waits for the store"),
    ("local.store.expire.workday", "no page tells what it means"),
    ("local.store.relinker", "waits for the relinker"),
    ("local.store.notifyplugin", "waits for notification plug-ins"),
    ("local.store.backupdir", "waits for backup"),
    ("local.store.maxlog", "there is no transaction log in this store"),
    ("local.store.", "waits for the store"),
    ("local.dbtxnsync", "every transaction is flushed"),
    ("local.dbstat", "waits for database statistics"),
    ("local.service.proxy", "waits for shared folders on other servers"),
    ("local.service.pab", "waits for an address book"),
    ("local.service.http", "waits for web mail"),
    ("local.ens", "waits for event notification"),
    ("local.sched.userpurge", "waits for the purge of deleted users and domains"),
    ("local.http", "waits for web mail"),
    ("local.imap.enableuserlist", "waits for the list of connected users"),
    ("local.imap.forcetelemetry", "waits for telemetry"),
    ("local.imap.", "waits for IMAP"),
    ("local.enablelastaccess", "waits for the record of last logins"),
    ("local.msgtrace", "waits for message tracing"),
    ("local.ug", "there is no central configuration in this product"),
    ("local.enduser", "waits for users who change their own entries"),
    ("local.watcher.port", "the watcher has no port: it looks at the pid files"),
    ("local.probe", "waits for the probe"),
    ("local.snmp", "there is no SNMP agent in this product"),
    ("local.imta", "there is no mail transport in this product"),
    ("local.mmp", "there is no access proxy in this product"),
    ("local.smsgateway", "there is no SMS gateway in this product"),
    ("local.instancedir", "the place of the files tells"),
    ("local.supportedlanguages", "waits for texts in several languages"),
    ("local.server", "waits for the change of the system account"),
    ("local.", "waits for the services"),
    ("service.pop.", "waits for a later release"),
    ("service.http.", "waits for web mail"),
    ("service.smtp.", "there is no mail transport in this product"),
    ("service.imap.", "waits for a later release"),
    ("service.", "waits for the services"),
    ("sasl.", "waits for a later release"),
    ("alarm.<alarmid>.", "the alarms that there are have values of their own"),
    ("logfile.", "waits for log files"),
    ("encryption.nsssl2", "SSL is not spoken, only TLS 1.2 and 1.3"),
    ("encryption.nsssl3ciphers", "the cipher suites are fixed: those of TLS 1.3, and of TLS 1.2 with forward secrecy"),
    ("encryption.nsssl3", "SSL is not spoken, only TLS 1.2 and 1.3"),
    ("encryption.rsa.", "certificate and key are PEM files, without tokens and nicknames"),
    ("encryption.", "TLS has no such setting"),
];

/// The logs that a process of this release writes: `logfile.<service>.*` of any other name changes nothing.
pub const LOGS: &[&str] = &["default", "imap", "pop", "lmtp"];

/// The same for a setting by its full name: a member of a family that works may itself have nobody who reads it.
pub fn status_of(name: &str, parameter: &Parameter) -> Status {
    let log = name.split('.').nth(1).unwrap_or_default();
    let known = log.starts_with('<') || LOGS.iter().any(|known| log.eq_ignore_ascii_case(known));
    match status(parameter) {
        Status::Works if parameter.name.starts_with("logfile.") && !known => {
            Status::Inert("no process of this release writes that log")
        }
        status => status,
    }
}

/// Does this parameter work, else what does it wait for?
pub fn status(parameter: &Parameter) -> Status {
    if WORKS.iter().any(|(name, _)| *name == parameter.name) {
        return Status::Works;
    }
    let why =
        WAITS.iter().find(|(prefix, _)| parameter.name.starts_with(prefix)).map_or("a later release", |(_, why)| *why);
    Status::Inert(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::catalogue;

    #[test]
    fn the_list_names_known_parameters() {
        for (name, _) in WORKS {
            assert!(catalogue::all().any(|row| row.name == *name), "{name}");
        }
    }

    #[test]
    fn everything_else_says_what_it_waits_for() {
        for row in catalogue::all() {
            assert_ne!(status(row), Status::Inert("a later release"), "{}", row.name);
        }
    }
}
