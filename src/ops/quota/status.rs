//! `store.overquotastatus`: a mailbox that is over its quota has the status `overquota` in the directory, where mail transports see it before they
//! take mail for it. The status goes when there is room again.

use super::watch::Settings;
use crate::directory::{Directory, DirectoryError, Home, Status, User};
use crate::log::{self, Category};
use crate::store::{AccountId, Store, StoreError};

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

/// Writes the status of the owner of an account, if it is not what the usage wants: `overquota` instead of `active`, or back. Any other status stays.
/// Nothing is done where the parameter is off.
pub fn follow(settings: &Settings, store: &Store, directory: &Directory, account: AccountId) {
    if !settings.overquota_status {
        return;
    }
    let followed = || -> Result<(), StatusError> {
        let userid = store.view(account)?.account()?.userid;
        match directory.lookup(&userid)? {
            Home::Here(user) => follow_user(settings, store, directory, account, &user).map(drop),
            Home::At(_) | Home::Nowhere => Ok(()),
        }
    };
    if let Err(error) = followed() {
        log::error(Category::Account, format!("mailUserStatus of account {account}: {error}"));
    }
}

/// The same for a user who was looked up; returns the status that holds now.
///
/// # Errors
/// [`StatusError`].
pub fn follow_user(
    settings: &Settings,
    store: &Store,
    directory: &Directory,
    account: AccountId,
    user: &User,
) -> Result<Status, StatusError> {
    let used_up = store.view(account)?.quota_roots()?.first().is_some_and(|root| root.is_used_up(&settings.rules));
    let wanted = match (user.status, used_up && settings.rules.enforce) {
        (Status::Active, true) => Status::Overquota,
        (Status::Overquota, false) => Status::Active,
        (other, _) => return Ok(other),
    };
    directory.set_status(&user.userid, wanted)?;
    log::notice(Category::Account, format!("mailUserStatus of {}: {}", user.userid, wanted.name()));
    Ok(wanted)
}
