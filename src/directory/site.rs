//! What the answers of every sort of directory have in common: who lives here, whose password is right, who is let in.

use std::sync::atomic::{AtomicBool, Ordering};

use super::dn::Dn;
use super::logins::Logins;
use super::scram::{Bytes32, Hash, Keys, random};
use super::user::{Record, canonical_userid};
use super::{Authenticated, DirectoryError, Home, Options, password};
use crate::log::{self, Category};

/// The surroundings of a directory, from [`Options`].
#[derive(Debug)]
pub(super) struct Site {
    pub(super) default_domain: Option<String>,
    host: String,
    pub(super) dc_root: Option<Dn>,
    /// The domain that the name of the whole directory tells: the place of an entry says no more than that.
    pub(super) base_domain: Option<String>,
    pub(super) admin_group: Option<Dn>,
    pub(super) admin_group_dn: Option<String>,
    logins: Logins,
    /// From it come the salts that are not stored.
    secret: Bytes32,
    /// True when whoever has a password has SCRAM keys, as of the last reading; in the order of [`Hash::ALL`].
    scram_for_all: [AtomicBool; Hash::ALL.len()],
}

impl Site {
    pub(super) fn new(options: Options) -> Site {
        let name = |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| Dn::parse(&text));
        Site {
            default_domain: options.default_domain.map(|domain| domain.to_ascii_lowercase()),
            host: options.host.unwrap_or_else(crate::os::host::name).to_ascii_lowercase(),
            dc_root: name(options.dc_root),
            base_domain: None,
            admin_group: name(options.admin_group.clone()),
            admin_group_dn: options.admin_group.filter(|text| !text.is_empty()),
            logins: options.logins,
            secret: options.secret.unwrap_or_else(random),
            scram_for_all: Default::default(),
        }
    }

    /// The name of this mail host, lower case.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn is_here(&self, record: &Record) -> bool {
        match &record.host {
            None => true,
            Some(host) => {
                // A short name and a full name of the same host are the same.
                let (a, b) = (host.as_str(), self.host.as_str());
                a == b
                    || a == "localhost"
                    || (!(a.contains('.') && b.contains('.')) && a.split('.').next() == b.split('.').next())
            }
        }
    }

    pub(super) fn home(&self, found: Option<&Record>) -> Home {
        match found {
            None => Home::Nowhere,
            Some(record) => match &record.host {
                Some(host) if !self.is_here(record) => Home::At(host.clone()),
                _ => Home::Here(record.user.clone()),
            },
        }
    }

    /// True when SCRAM can be offered, as of the last reading.
    pub(super) fn scram_for_all(&self, hash: Hash) -> bool {
        let mut each = Hash::ALL.into_iter().zip(&self.scram_for_all);
        each.any(|(other, all)| other == hash && all.load(Ordering::Relaxed))
    }

    pub(super) fn set_scram_for_all(&self, hash: Hash, all: bool) {
        let kept = Hash::ALL.into_iter().zip(&self.scram_for_all).find(|(other, _)| *other == hash);
        if let Some((_, kept)) = kept {
            kept.store(all, Ordering::Relaxed);
        }
    }

    /// True when this record does not forbid SCRAM: its user has keys, or does not log in here.
    pub(super) fn is_ready_for_scram(&self, record: &Record, hash: Hash) -> bool {
        !self.is_here(record) || !record.user.standing().may_log_in() || record.may_use_scram(hash)
    }

    /// The keys of whoever a login name means; of nobody, such as fit no password.
    pub(super) fn scram_keys(&self, login: &str, found: Option<&Record>, hash: Hash) -> Keys {
        let keys = found.and_then(|record| record.scram_keys(hash, &self.secret));
        let nobody = || Keys::of_nobody(hash, &self.secret, &canonical_userid(login, self.default_domain.as_deref()));
        keys.unwrap_or_else(nobody)
    }

    /// True when these are the keys of the record.
    pub(super) fn holds(&self, record: &Record, keys: &Keys) -> bool {
        record.scram_keys(keys.hash, &self.secret).as_ref() == Some(keys)
    }

    /// Compares the password of a login with what the record holds. Where that cannot decide, because a password cannot be read or compared, `ask` does,
    /// whose answers are remembered. A wrong password and an unknown user cost the same time here.
    ///
    /// # Errors
    /// [`DirectoryError::BadCredentials`], or what `ask` fails with.
    pub(super) fn check(
        &self,
        login: &str,
        found: Option<&Record>,
        password: &str,
        ask: impl FnOnce(&Record) -> Result<Option<bool>, DirectoryError>,
    ) -> Result<(), DirectoryError> {
        if password::check_length(password).is_err() {
            // No stored value is compared with such a one, so none costs its time.
            password::spend("");
            return Err(DirectoryError::BadCredentials);
        }
        let mut slow = false;
        let mut faults = Vec::new();
        for stored in found.map_or(&[][..], |record| &record.passwords) {
            let costly = password::is_slow(stored);
            if costly && self.logins.knows(password, stored) {
                return Ok(());
            }
            let verified = password::verify(password, stored);
            slow |= costly && verified.is_ok();
            match verified {
                Ok(true) => {
                    if costly {
                        self.logins.keep(password, stored);
                    }
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => faults.push(error),
            }
        }
        if let Some(record) = found.filter(|record| record.passwords.is_empty() || !faults.is_empty()) {
            // What is remembered of a password that the server checked: the name of the entry stands for the value that nobody can see.
            let stands_for = format!("dn:{}", record.user.dn);
            if self.logins.knows(password, &stands_for) {
                return Ok(());
            }
            match ask(record)? {
                Some(true) => {
                    self.logins.keep(password, &stands_for);
                    return Ok(());
                }
                Some(false) => faults.clear(),
                None => {}
            }
        }
        for error in faults {
            log::error(Category::Account, format!("password of {login} cannot be checked: {error}"));
        }
        if !slow {
            password::spend(password);
        }
        Err(DirectoryError::BadCredentials)
    }

    /// What follows the right password.
    pub(super) fn admit(&self, found: Option<&Record>) -> Result<Authenticated, DirectoryError> {
        let record = found.ok_or(DirectoryError::BadCredentials)?;
        if !record.user.standing().may_log_in() {
            return Err(DirectoryError::Blocked(record.user.standing()));
        }
        match self.home(found) {
            Home::Here(user) => Ok(Authenticated { user }),
            Home::At(host) => Err(DirectoryError::Elsewhere(host)),
            Home::Nowhere => Err(DirectoryError::BadCredentials),
        }
    }
}
