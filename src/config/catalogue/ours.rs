//! Parameters that this product adds to the documented ones.

use super::Effect::{Creation, Restart};
use super::Kind::*;
use super::{Parameter, row};

/// The table: name, kind and range, default, unit, when a change takes effect, what it does.
#[rustfmt::skip]
pub(super) static TABLE: &[Parameter] = &[
    row("service.imap.requiretls", Bool, "yes", "", Restart, "Refuse passwords in the clear over IMAP, except from the loopback address."),
    row("service.authfailpause", Int(0, 600), "2", "seconds", Restart, "Delay of the answer to a failed login, per address and account."),
    row("local.store.shards", Int(1, 64), "4", "shards", Creation, "Number of shards of the mailbox database, fixed when the store is created."),
];
