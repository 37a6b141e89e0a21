//! Accounts of users: the directory says who exists, the store holds their mail. An account is made when it is first needed: by `user add`, a
//! login, a delivery, `mboxutil -c`.

use std::sync::Once;

use super::quota::{self, Defaults};
use crate::directory::{Directory, DirectoryError, Home, User};
use crate::log::{self, Category};
use crate::store::{AccountId, Store, StoreError};

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The directory knows nobody of that name.
    #[error("no such user: {0}")]
    NoUser(String),
    /// The user's mail is on another host.
    #[error("the mailbox of {userid} is on host {host}")]
    Elsewhere {
        /// The user.
        userid: String,
        /// The host.
        host: String,
    },
    /// The directory did not answer: nothing is known.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The account of a user that the directory knows, with the limits of the entry; made when there is none yet, in the partition of the entry.
///
/// # Errors
/// The store fails, or the entry names a partition that does not exist.
pub fn of_user(store: &Store, user: &User, now_s: i64) -> Result<AccountId, StoreError> {
    let account = match store.account_id(&user.userid)? {
        Some(account) => account,
        None => match store.account_create(&user.userid, user.partition.as_deref(), now_s) {
            // Somebody else was faster.
            Err(StoreError::Exists { .. }) => store
                .account_id(&user.userid)?
                .ok_or_else(|| StoreError::NotFound { what: format!("user/{}", user.userid) })?,
            made => made?,
        },
    };
    if quota::has_type_limits(user) {
        static TOLD: Once = Once::new();
        let text = format!("{}: limits of message types are kept and not enforced", user.userid);
        TOLD.call_once(|| log::warning(Category::Store, text));
    }
    let limits = quota::effective(user, Defaults::of_rules(&store.quota_rules()));
    quota::take_over(store, account, &limits, now_s)?;
    Ok(account)
}

/// The account behind a name: that of a user of the directory (made when it is missing).
///
/// # Errors
/// [`AccountError`] says whether the name, the directory or the store is the reason.
pub fn ensure(store: &Store, directory: &Directory, name: &str, now_s: i64) -> Result<(User, AccountId), AccountError> {
    match directory.lookup(name)? {
        Home::Here(user) => {
            let account = of_user(store, &user, now_s)?;
            Ok((user, account))
        }
        Home::At(host) => Err(AccountError::Elsewhere { userid: name.to_owned(), host }),
        Home::Nowhere => Err(AccountError::NoUser(name.to_owned())),
    }
}
