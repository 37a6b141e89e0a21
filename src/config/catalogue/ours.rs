//! What this product adds: parameters of its own, and defaults where the manuals give none or one that cannot be used here.

use super::Effect::{Creation, Refresh};
use super::Kind::*;
use super::{Parameter, row};

/// The table: name, kind and range, default, unit, when a change takes effect, what it does.
#[rustfmt::skip]
pub(super) static TABLE: &[Parameter] = &[
    row("service.imap.requiretls", Bool, "yes", "", Refresh, "Refuse logins over IMAP without encryption, except from the loopback address."),
    row("service.authfailpause", Int(0, 600), "2", "seconds", Refresh, "Delay of the answer to a failed login."),
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
    "service.http.enable",
    "service.http.enablesslport",
    "service.http.sslusessl",
    "encryption.nscertfile",
    "encryption.nskeyfile",
    "nsserversecurity",
    "service.dnsresolveclient",
    "service.loginseparator",
    "local.schedule.purge",
    "local.schedule.return_job",
    "local.schedule.snapshot",
    "logfile.<service>.logdir",
];
