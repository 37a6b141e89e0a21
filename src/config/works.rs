//! What has an effect in this release: the one list to edit when a feature lands. Everything else is inert, and says what it waits for.

use super::Parameter;

/// Does a parameter change what the product does?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Works,
    /// It is accepted and stored, and nothing reads it yet: what it waits for.
    Inert(&'static str),
}

/// Parameters that work, each with the text by which the code outside of this room reads it: its own name where the second
/// is empty, else the distinguishing part of the call (families, accessors). `tests/configutil.rs` looks for that text.
pub const WORKS: &[(&str, &str)] = &[];

/// Why the rest is inert: the first row whose text begins the name counts.
const WAITS: &[(&str, &str)] = &[
    ("store.umask", "nothing: the mask is fixed"),
    (
        "store.partition.<nickname>.messagepath",
        "message files on a volume of their own",
    ),
    ("store.partition.", "the store"),
    ("store.expire", "expiry"),
    ("store.cleanup", "purge"),
    (
        "store.purge.",
        "a cache file, which this store does not have",
    ),
    (
        "store.maxcachefilesize",
        "a cache file, which this store does not have",
    ),
    (
        "store.db",
        "a database cache, which this store does not have",
    ),
    ("store.quota", "quota"),
    ("store.defaultmailboxquota", "quota"),
    ("store.defaultmessagequota", "quota"),
    ("store.overquotastatus", "quota and LDAP"),
    ("store.typequota", "message types"),
    ("store.messagetype", "message types"),
    ("store.privatesharedfolders", "shared folders"),
    ("store.publicsharedfolders", "shared folders"),
    ("store.serviceadmingroupdn", "LDAP"),
    ("store.indexeradmins", "an indexing service"),
    ("store.archive", "a compliance archive"),
    ("store.msghash", "message hashes"),
    (
        "store.synclevel",
        "nothing: every write is flushed before it is acknowledged",
    ),
    (
        "store.expungesynclevel",
        "nothing: every write is flushed before it is acknowledged",
    ),
    ("store.", "the store"),
    ("local.store.quotaoverdraft", "quota"),
    ("local.store.overquotastatus", "quota and LDAP"),
    ("local.store.sharedfolders", "shared folders"),
    ("local.store.expire", "expiry"),
    ("local.store.snapshot", "snapshots"),
    ("local.store.relinker", "the relinker"),
    ("local.store.notifyplugin", "notification plug-ins"),
    ("local.store.backupdir", "backup"),
    ("local.store.checkdiskusage", "the disk watch"),
    ("local.store.diskusagethreshold", "the disk watch"),
    (
        "local.store.maxlog",
        "a transaction log, which this store does not have",
    ),
    ("local.store.", "the store"),
    ("local.dbtxnsync", "nothing: every transaction is flushed"),
    ("local.dbstat", "database statistics"),
    ("local.service.proxy", "shared folders on other servers"),
    ("local.service.pab", "an address book"),
    ("local.service.http", "web mail"),
    ("local.ens", "event notification"),
    ("local.schedule", "the scheduler"),
    ("local.sched", "the scheduler"),
    ("local.http", "web mail"),
    ("local.imap.enableuserlist", "the list of connected users"),
    ("local.imap.forcetelemetry", "telemetry"),
    ("local.imap.", "IMAP"),
    ("local.enablelastaccess", "the record of last logins"),
    ("local.msgtrace", "message tracing"),
    ("local.ug", "LDAP"),
    ("local.ldap", "LDAP"),
    ("local.enduser", "LDAP"),
    ("local.watcher", "the watcher"),
    ("local.autorestart", "the watcher"),
    ("local.probe", "the probe"),
    (
        "local.snmp",
        "an SNMP agent, which this product does not have",
    ),
    (
        "local.imta",
        "a mail transport, which this product does not have",
    ),
    (
        "local.mmp",
        "an access proxy, which this product does not have",
    ),
    (
        "local.smsgateway",
        "an SMS gateway, which this product does not have",
    ),
    ("local.instancedir", "nothing: the place of the files tells"),
    ("local.supportedlanguages", "texts in several languages"),
    ("local.server", "the change of the system account"),
    ("local.", "the services"),
    ("service.ldap", "LDAP"),
    ("service.dcroot", "LDAP"),
    ("service.authcache", "the login cache"),
    ("service.pop.", "POP"),
    ("service.http.", "web mail"),
    (
        "service.smtp.",
        "a mail transport, which this product does not have",
    ),
    ("service.imap.enablesslport", "TLS"),
    ("service.imap.ssl", "TLS"),
    ("service.imap.plaintextmincipher", "TLS"),
    ("service.imap.requiretls", "TLS"),
    ("service.imap.", "IMAP"),
    ("service.", "the services"),
    ("sasl.", "LDAP"),
    ("alarm.", "alarms"),
    ("logfile.", "log files"),
    ("encryption.", "TLS"),
    ("nsserversecurity", "TLS"),
];

/// Does this parameter work, else what does it wait for?
pub fn status(parameter: &Parameter) -> Status {
    if WORKS.iter().any(|(name, _)| *name == parameter.name) {
        return Status::Works;
    }
    let why = WAITS
        .iter()
        .find(|(prefix, _)| parameter.name.starts_with(prefix))
        .map_or("a later release", |(_, why)| *why);
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
            assert_ne!(
                status(row),
                Status::Inert("a later release"),
                "{}",
                row.name
            );
        }
    }
}
