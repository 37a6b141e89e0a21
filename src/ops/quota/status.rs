//! `store.overquotastatus`: a mailbox that is over its quota has the status `overquota` in the directory, where mail transports see it before they
//! take mail for it. The status goes when there is room again.

use super::watch::Settings;
use crate::directory::{Directory, DirectoryError, Home, Status, User};
use crate::log::{self, Category};
use crate::store::{AccountId, QuotaRules, Store, StoreError};

/// Why a status was not written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The directory did not answer, or was not written.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How often a status is looked at again that somebody else has changed meanwhile.
const TRIES: u32 = 8;

/// Writes the status of the owner of an account, if it is not what the usage wants: `overquota` instead of `active`, or back. Any other status stays.
/// Nothing is done where the parameter is off. To be called by whoever has changed usage or limits, afterwards.
pub fn follow(settings: &Settings, store: &Store, directory: &Directory, account: AccountId) {
    if !settings.overquota_status {
        return;
    }
    let followed = || -> Result<(), StatusError> {
        let userid = store.view(account)?.account()?.userid;
        // What another process has written since counts.
        directory.forget(&userid);
        match directory.lookup(&userid)? {
            Home::Here(user) => follow_user(&settings.rules, store, directory, account, &user).map(drop),
            Home::At(_) | Home::Nowhere => Ok(()),
        }
    };
    if let Err(error) = followed() {
        log::error(Category::Account, format!("mailUserStatus of account {account}: {error}"));
    }
}

/// The same for a user who was looked up, whatever the parameter says; returns the status of the user that holds now.
///
/// It is written only while it is what was read, so that no administrator's change is lost; and the usage is looked at again afterwards, so that the last of
/// several who write at the same time leaves what the usage wants.
///
/// # Errors
/// [`StatusError`].
pub fn follow_user(
    rules: &QuotaRules,
    store: &Store,
    directory: &Directory,
    account: AccountId,
    user: &User,
) -> Result<Status, StatusError> {
    let mut status = user.status;
    for _ in 0..TRIES {
        let used_up = store.view(account)?.quota_roots()?.first().is_some_and(|root| root.is_used_up(rules));
        let Some(wanted) = wanted(status, used_up && rules.enforce) else { break };
        if directory.change_status(&user.userid, status, wanted)? {
            log::notice(Category::Account, format!("mailUserStatus of {}: {}", user.userid, wanted.name()));
            status = wanted;
            continue;
        }
        directory.forget(&user.userid);
        match directory.entry(&user.userid)?.map(|user| user.status) {
            Some(now) if now != status => status = now,
            // What is written in another attribute does not change by this one.
            _ => break,
        }
    }
    Ok(status)
}

/// What a status has to be where the quota is used up or is not, if that is another. Only these two change into each other: what an administrator has closed
/// stays as it is.
pub fn wanted(status: Status, full: bool) -> Option<Status> {
    match (status, full) {
        (Status::Active, true) => Some(Status::Overquota),
        (Status::Overquota, false) => Some(Status::Active),
        _ => None,
    }
}
