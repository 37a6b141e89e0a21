//! Parameters of the store itself: partitions, database, snapshots, message types, shared folders.

use super::Effect::{Immediate, Refresh, Restart};
use super::Kind::*;
use super::{MAX, Parameter, row};

/// The table: name, kind and range, default, unit, when a change takes effect, what it does.
#[rustfmt::skip]
pub(super) static TABLE: &[Parameter] = &[
    // store
    row("store.admins", Words, "", "", Refresh, "Users with store-administrator rights: they may act for any user and run the store utilities."),
    row("store.serviceadmingroupdn", Dn, "", "", Restart, "DN of the LDAP group whose members count as service administrators for the store and the other servers."),
    row("store.defaultpartition", Nickname, "primary", "", Immediate, "Partition of a new mailbox whose owner names none; never change it while users rely on it."),
    row("store.partition.<nickname>.path", AbsolutePath, "", "", Immediate, "Directory of the partition <nickname>; a new partition works at once, another place after a restart."),
    row("store.partition.primary.path", AbsolutePath, "msg_svr_base/data/store/partition/primary", "", Restart, "Directory of the partition created at installation."),
    row("store.partition.<nickname>.messagepath", Path, "", "", Restart, "Separate directory for the message files of the partition, on another volume."),
    row("store.defaultacl", Text, "", "", Restart, "Access control list of a new shared folder."),
    row("store.diskflushinterval", Int(1, MAX), "15", "seconds", Restart, "Interval at which buffers are flushed to disk."),
    row("store.umask", Choice(&["077"]), "077", "", Restart, "File-creation mask of the store processes; fixed."),
    row("store.dbcachesize", Bytes(1, MAX), "", "bytes", Restart, "Memory given to the cache of the mailbox database."),
    row("store.dbtmpdir", Path, "", "", Restart, "Directory for temporary and shared-memory files of the mailbox database."),
    row("store.expirestart", Int(0, 23), "23", "hour of day", Refresh, "Hour of the daily expiry, for old configurations; local.schedule.expire supersedes it."),
    row("store.cleanupage", Int(0, MAX), "24", "hours", Immediate, "Age at which the purge frees an expunged message; until then it can be brought back. 0: at once."),
    row("store.cleanupsize", Int(1, MAX), "", "messages", Restart, "Number of expunged messages that must pile up in a mailbox before their files are removed."),
    row("store.maxcachefilesize", Bytes(1, 2_147_483_648), "500M", "bytes", Restart, "Size at which a mailbox's cache file is closed and a new one started."),
    row("store.purge.count", Int(1, MAX), "", "records", Restart, "Number of expunged cache records that triggers a purge of the cache file."),
    row("store.purge.percentage", Int(0, 100), "", "percent", Restart, "Share of expunged cache records that triggers a purge of the cache file."),
    row("store.indexeradmins", Words, "", "", Restart, "Users treated as proxy administrators for the indexing service."),
    row("store.archive.compliance", Bool, "", "", Restart, "Make the store write compliance-archive copies, for instance when users append messages over IMAP."),
    row("store.msghash.enable", Bool, "", "", Restart, "Keep hashes of message files."),
    row("store.msghash.nummsgs", Int(0, MAX), "", "messages", Restart, "Number of messages kept in the message-hash facility."),
    row("store.expungesynclevel", Int(0, 2), "1", "", Restart, "How hard writes of the expunge file are flushed."),
    row("store.synclevel", Int(-1, 2), "-1", "", Restart, "General flush level for store files."),
    row("local.store.checkdiskusage", Bool, "yes", "", Refresh, "Watch the disk usage of each partition and stop delivery to one that passes the threshold."),
    row("local.store.diskusagethreshold", Int(1, 99), "99", "percent used", Refresh, "Disk usage at which a partition is locked."),
    row("local.store.backupdir", Path, "", "", Immediate, "Root of the backup directory image when the command names none."),
    // database
    row("local.store.snapshotpath", Path, "dbdata/snapshots", "", Refresh, "Where snapshots of the mailbox database are kept; a relative path starts at the store directory."),
    row("local.store.snapshotinterval", Int(1, 46080), "1440", "minutes", Refresh, "Time between two database copies."),
    row("local.store.snapshotdirs", Int(2, 367), "3", "copies", Refresh, "How many different copies are kept."),
    row("local.dbtxnsync", Bool, "", "", Restart, "Write database transactions synchronously."),
    row("local.dbstat.captureinterval", Int(0, MAX), "", "seconds", Restart, "Interval at which database statistics are captured."),
    row("local.store.maxlog", Int(1, MAX), "", "files", Restart, "Number of database transaction log files above which the probe reports trouble."),
    // relinker
    row("local.store.relinker.enabled", Bool, "no", "", Restart, "Link identical messages as they arrive, so that they share one file."),
    row("local.store.relinker.maxage", Int(-1, MAX), "24", "hours", Restart, "Oldest message kept in the digest repository; -1: no limit."),
    row("local.store.relinker.minsize", Int(0, MAX), "0", "kilobytes", Restart, "Smallest message considered for linking."),
    row("local.store.relinker.purgecycle", Int(-1, MAX), "24", "hours", Restart, "Approximate length of one full purge pass: 0 without pausing, -1 never from the daemon."),
    // messagetype
    row("store.messagetype.enable", Bool, "", "", Restart, "Let the store recognise message types."),
    row("store.messagetype.<x>", Text, "", "", Restart, "Content type that identifies message type number x (1-63), such as text/plain."),
    row("store.messagetype.<x>.flagname", Text, "", "", Restart, "User flag set on messages of type x when they enter the store."),
    row("store.messagetype.<x>.quotaroot", Text, "", "", Restart, "Quota root name for messages of type x."),
    row("store.messagetype.header", Text, "Content-Type", "", Restart, "Header field read to recognise the type."),
    // sharedfolders
    row("local.store.sharedfolders", Bool, "on", "", Restart, "Include shared folders in the answer to LIST."),
    row("store.privatesharedfolders.restrictanyone", Bool, "", "", Restart, "Forbid ordinary users to give rights on their own folders to the identifier anyone."),
    row("store.privatesharedfolders.restrictdomain", Bool, "", "", Restart, "Forbid ordinary users to share their folders with people outside their domain."),
    row("store.privatesharedfolders.shareflags", Bool, "", "", Restart, "All users of a shared folder see one set of message flags; else each has a set of their own."),
    row("store.publicsharedfolders.user", Text, "", "", Restart, "User ID whose mailboxes hold the public folders (usually public)."),
    row("local.service.proxy.serverlist", Words, "", "", Restart, "Other message-store servers that take part in distributed shared folders."),
    row("local.service.proxy.admin", Text, "", "", Restart, "Default store-administrator login used towards the other servers."),
    row("local.service.proxy.adminpass", Secret, "", "", Restart, "Default password of that administrator."),
    row("local.service.proxy.admin.<hostname>", Text, "", "", Restart, "Administrator login for one named server; overrides the default."),
    row("local.service.proxy.adminpass.<hostname>", Secret, "", "", Restart, "Administrator password for one named server; overrides the default."),
];
