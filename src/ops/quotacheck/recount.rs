//! What is recorded of an account's usage and limits against what they come from: the messages, and the directory. For `imquotacheck --check`,
//! `reconstruct -q` and `iminitquota`.

use std::ops::ControlFlow;

use crate::directory::{Directory, Home};
use crate::ops::delivery::DeliveryError;
use crate::ops::mailbox::show_name;
use crate::ops::quota::{self, Defaults};
use crate::store::{AccountId, Store, StoreError, Uid, Usage};

/// A recorded usage that is not the sum of its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `user/joe` for the account, else the mailbox.
    pub place: String,
    /// What is recorded.
    pub recorded: Usage,
    /// What the messages add up to.
    pub derived: Usage,
}

/// Compares the recorded usage of an account and of its folders with the messages, in one snapshot. Nothing is changed.
///
/// # Errors
/// The account does not exist, or a row is damaged.
pub fn differences(store: &Store, account: AccountId) -> Result<Vec<Difference>, StoreError> {
    let view = store.view(account)?;
    let row = view.account()?;
    let mut found = Vec::new();
    let mut all = Usage::default();
    for (path, folder) in view.folders()? {
        let mut derived = Usage::default();
        view.messages(folder.id, 0..=Uid::MAX, &mut |message| {
            derived = derived.and(Usage { bytes: message.size, messages: 1 });
            ControlFlow::Continue(())
        })?;
        all = all.and(derived);
        let recorded = Usage { bytes: folder.bytes, messages: u64::from(folder.exists) };
        if recorded != derived {
            found.push(Difference { place: show_name(&row.userid, &path), recorded, derived });
        }
    }
    if row.usage() != all {
        found.insert(0, Difference { place: format!("user/{}", row.userid), recorded: row.usage(), derived: all });
    }
    Ok(found)
}

/// Sets the recorded usage right where it is not; what was wrong. An account that is right costs no commit.
///
/// # Errors
/// The account does not exist, a row is damaged, or the disk fails.
pub fn repair(store: &Store, account: AccountId, now_s: i64) -> Result<Vec<Difference>, StoreError> {
    let found = differences(store, account)?;
    if !found.is_empty() {
        store.repair_usage(account, now_s)?;
    }
    Ok(found)
}

/// What is initialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The limits.
    Limits,
    /// The limits and the usage.
    Usage,
    /// The limits, the usage, and since when the quota is used up.
    Clock,
}

/// What was changed of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Initialised {
    /// Other limits hold now.
    pub limits: bool,
    /// Recorded usage that was wrong.
    pub usage: Vec<Difference>,
}

/// Takes the limits of an account over from the directory and, as `scope` says, sets the recorded usage right.
///
/// # Errors
/// The directory does not have the user on this host, or does not answer; the store fails.
pub fn initialise(
    store: &Store,
    directory: &Directory,
    (userid, account): (&str, AccountId),
    defaults: Defaults,
    scope: Scope,
    now_s: i64,
) -> Result<Initialised, DeliveryError> {
    let user = match directory.lookup(userid)? {
        Home::Here(user) if user.userid == userid => user,
        Home::At(host) => return Err(DeliveryError::Elsewhere { name: userid.to_owned(), host }),
        Home::Here(_) | Home::Nowhere => return Err(DeliveryError::NoUser(userid.to_owned())),
    };
    let usage = if scope == Scope::Limits { Vec::new() } else { repair(store, account, now_s)? };
    let limits = quota::effective(&user, defaults);
    let changed = quota::take_over(store, account, &limits, now_s)?;
    if scope == Scope::Clock && !changed {
        // Setting the limits again looks at the usage again.
        store.set_limits(account, &limits, now_s)?;
    }
    Ok(Initialised { limits: changed, usage })
}
