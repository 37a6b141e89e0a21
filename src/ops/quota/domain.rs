//! Quota of a domain: what all its users may hold together. The limits are those of the domain's entry, the usage is the sum that the store keeps.

use crate::directory::{Directory, DirectoryError, Home, User};
use crate::store::{AccountId, Store, StoreError, Usage, domain_of};

/// The limits of a domain, for those who deliver to its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainLimit {
    /// The domain.
    pub name: String,
    /// Under what the store keeps its usage: the domain of the user ids.
    key: String,
    bytes: Option<u64>,
    messages: Option<u64>,
}

impl DomainLimit {
    /// Those of a user's domain; `None`: there are none.
    ///
    /// # Errors
    /// The directory did not answer.
    pub fn of(directory: &Directory, user: &User) -> Result<Option<DomainLimit>, DirectoryError> {
        let Some(name) = &user.domain else { return Ok(None) };
        let found = directory.domain(name)?.filter(|domain| domain.disk_quota.or(domain.msg_quota).is_some());
        Ok(found.map(|domain| DomainLimit {
            name: domain.name,
            key: domain_of(&user.userid).to_owned(),
            bytes: domain.disk_quota,
            messages: domain.msg_quota,
        }))
    }

    /// Checks that a domain has room for `more` in a mailbox of one of its users.
    ///
    /// # Errors
    /// `OverQuota`; the directory did not answer, or the mailbox database cannot be read.
    pub fn admit_to(store: &Store, directory: &Directory, account: AccountId, more: Usage) -> Result<(), StoreError> {
        if !store.quota_rules().enforce {
            return Ok(());
        }
        let userid = store.view(account)?.account()?.userid;
        let unknown = |error: DirectoryError| StoreError::Unavailable { what: error.to_string() };
        // Of a user who is not in the directory any more no domain is known.
        let Home::Here(user) = directory.lookup(&userid).map_err(unknown)? else { return Ok(()) };
        DomainLimit::of(directory, &user).map_err(unknown)?.map_or(Ok(()), |limit| limit.admit(store, more))
    }

    /// Checks that there is room for `more`. Two who ask at the same time may both find the last room: the usage is kept in several shards.
    ///
    /// # Errors
    /// `OverQuota`; the mailbox database cannot be read. Nothing is checked while quotas are not enforced.
    pub fn admit(&self, store: &Store, more: Usage) -> Result<(), StoreError> {
        if !store.quota_rules().enforce {
            return Ok(());
        }
        let used = store.domain_usage(&self.key)?;
        let usage = Usage { bytes: used.bytes, messages: used.messages }.and(more);
        if usage.exceeds(self.bytes, self.messages) {
            // How long that lasts is the administrator's matter: there is no grace period.
            return Err(StoreError::OverQuota { what: format!("domain {}", self.name), runs: true, bounce: false });
        }
        Ok(())
    }
}
