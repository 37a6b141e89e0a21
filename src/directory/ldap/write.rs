//! Changes of entries on the servers. Source: RFC 4511 sections 4.6 to 4.8.

use std::collections::HashSet;

use ldap3::{LdapResult, Mod};

use super::wire::Failure;
use super::{LdapDirectory, NO_SUCH_OBJECT, REFERRAL};
use crate::directory::dn::{Dn, escaped};
use crate::directory::user::{status_of, uid_for};
use crate::directory::{Change, DirectoryError, Status};

const NO_SUCH_ATTRIBUTE: u32 = 16;
const CONSTRAINT_VIOLATION: u32 = 19;
const ATTRIBUTE_OR_VALUE_EXISTS: u32 = 20;
const OBJECT_CLASS_VIOLATION: u32 = 65;
const ENTRY_ALREADY_EXISTS: u32 = 68;

impl LdapDirectory {
    /// Below the entry of the domain where there is one, else below the base; within `ou=People` where that is there.
    pub(in crate::directory) fn add_user(
        &self,
        userid: &str,
        mail: &str,
        attributes: &[(&str, &str)],
    ) -> Result<(), DirectoryError> {
        let (local, domain) = match userid.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain)),
            None => (userid, self.site.default_domain.as_deref()),
        };
        let entry = domain.map(|name| self.domain(name)).transpose()?.flatten();
        let base = entry.as_ref().and_then(|domain| domain.base_dn.clone());
        // A tree of domains of its own has no users.
        let own = entry.as_ref().filter(|_| self.settings().dc_root.is_none()).map(|domain| domain.dn.clone());
        let parent = base.clone().or(own).unwrap_or_else(|| self.settings().base_dn.clone());
        let people = format!("ou=People,{parent}");
        let parent = if self.read_one(&people, "(objectClass=*)")?.is_empty() { parent } else { people };
        let place = base.and(entry.map(|domain| domain.name));
        let place = place.or_else(|| Dn::parse(&parent).domain(self.site.dc_root.as_ref()));
        let uid = uid_for(userid, place, mail, self.site.default_domain.as_deref());
        let name = if uid.contains('@') { uid.as_str() } else { local };
        let dn = format!("uid={},{parent}", escaped(name));
        let mut all: Vec<(String, HashSet<String>)> = vec![("uid".to_owned(), HashSet::from([uid.clone()]))];
        for (attribute, value) in attributes {
            match all.iter_mut().find(|(known, _)| known == attribute) {
                Some((_, values)) => drop(values.insert((*value).to_owned())),
                None => all.push(((*attribute).to_owned(), HashSet::from([(*value).to_owned()]))),
            }
        }
        let entry = dn.clone();
        self.change(&dn, self.wire.change(move |mut ldap| async move { Ok(ldap.add(&entry, all).await?) }))
    }

    pub(in crate::directory) fn replace(&self, dn: &str, changes: &[Change<'_>]) -> Result<(), DirectoryError> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<HashSet<String>>();
        let changes: Vec<(String, HashSet<String>)> =
            changes.iter().map(|(attribute, values)| ((*attribute).to_owned(), owned(values))).collect();
        let answer = self.modify(dn, &changes, None);
        let has_keys = changes.iter().any(|(name, values)| name == "authPassword" && !values.is_empty());
        match answer {
            // An entry that was made elsewhere gets the class that may have keys.
            Ok(result) if result.rc == OBJECT_CLASS_VIOLATION && has_keys => {
                self.change(dn, self.modify(dn, &changes, Some("authPasswordObject")))
            }
            answer => self.change(dn, answer),
        }
    }

    /// One change of an entry, with a further object class.
    fn modify(
        &self,
        dn: &str,
        changes: &[(String, HashSet<String>)],
        class: Option<&str>,
    ) -> Result<LdapResult, Failure> {
        let class = class.map(|class| ("objectClass".to_owned(), HashSet::from([class.to_owned()])));
        let (entry, changes) = (dn.to_owned(), changes.to_vec());
        self.wire.change(move |mut ldap| async move {
            let added = class.into_iter().map(|(attribute, values)| Mod::Add(attribute, values));
            let set = changes.into_iter().map(|(attribute, values)| Mod::Replace(attribute, values));
            Ok(ldap.modify(&entry, added.chain(set).collect()).await?)
        })
    }

    /// Sets a status, if the entry has that of `from`: the server is told the old values, and refuses when they are not there any more.
    pub(in crate::directory) fn exchange_status(
        &self,
        dn: &str,
        attribute: &str,
        from: Status,
        to: Status,
    ) -> Result<bool, DirectoryError> {
        let found = self.read_one(dn, "(objectClass=*)")?;
        let entry = found.first().ok_or_else(|| DirectoryError::NoUser(dn.to_owned()))?;
        if status_of(entry, attribute) != from {
            self.people.clear();
            self.domains.clear();
            return Ok(false);
        }
        let old: HashSet<String> = entry.all(&attribute.to_ascii_lowercase()).collect();
        let had_none = old.is_empty();
        let mut changes: Vec<Mod<String>> = Vec::new();
        if !had_none {
            changes.push(Mod::Delete(attribute.to_owned(), old));
        }
        changes.push(Mod::Add(attribute.to_owned(), HashSet::from([to.name().to_owned()])));
        let place = dn.to_owned();
        let answer = self.wire.change(move |mut ldap| async move { Ok(ldap.modify(&place, changes).await?) });
        let other = |code: u32| match had_none {
            // Somebody has given it one meanwhile: of an attribute of one value that is a violation.
            true => [CONSTRAINT_VIOLATION, ATTRIBUTE_OR_VALUE_EXISTS].contains(&code),
            false => code == NO_SUCH_ATTRIBUTE,
        };
        match answer {
            Ok(result) if other(result.rc) => {
                self.people.clear();
                self.domains.clear();
                Ok(false)
            }
            answer => self.change(dn, answer).map(|()| true),
        }
    }

    pub(in crate::directory) fn delete(&self, dn: &str) -> Result<(), DirectoryError> {
        let entry = dn.to_owned();
        self.change(dn, self.wire.change(move |mut ldap| async move { Ok(ldap.delete(&entry).await?) }))
    }

    /// What the answer to a change means.
    fn change(&self, dn: &str, answer: Result<LdapResult, Failure>) -> Result<(), DirectoryError> {
        self.people.clear();
        self.domains.clear();
        self.admins.clear();
        let result = answer.map_err(|failure| self.unavailable(failure))?;
        self.trace(|| format!("change {dn}: result code {}", result.rc));
        match result.rc {
            0 => Ok(()),
            ENTRY_ALREADY_EXISTS => Err(DirectoryError::Exists(dn.to_owned())),
            NO_SUCH_OBJECT => Err(DirectoryError::NoUser(dn.to_owned())),
            // timeLimitExceeded, busy, unavailable.
            3 | 51 | 52 => Err(self.unavailable(Failure::of(&result))),
            code => {
                let reason = match Failure::of(&result) {
                    Failure::Code(REFERRAL, words) => format!("entries are changed on another server: {words}"),
                    Failure::Code(_, words) => format!("{words} (result code {code})").trim_start().to_owned(),
                    Failure::Unreachable(words) => words,
                };
                Err(DirectoryError::Refused { directory: self.wire.name(), dn: dn.to_owned(), reason })
            }
        }
    }
}
