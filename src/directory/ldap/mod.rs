//! The directory that LDAP servers keep: the questions of [`Directory`](super::Directory) as searches. What an entry means is decided where it is for
//! entries of a file: `user`, `domain`, `site`.
//!
//! A server that does not answer, an answer that is not complete and a part of the tree that is on other servers all are [`DirectoryError::Unavailable`].

mod cache;
mod domains;
mod search;
mod settings;
mod wire;
mod write;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use ldap3::Scope;

use self::cache::Cache;
use self::domains::Bases;
use self::search::{Found, Search, any, equals};
pub use self::settings::{Encryption, Settings};
use self::wire::{Failure, Wire};
use super::dn::Dn;
use super::domain::Domain;
use super::group::{self, Group, MEMBERS};
use super::ldif::Entry;
use super::scram::{Hash, Keys};
use super::site::Site;
use super::user::{self, Record, STORE_ADMIN, User, canonical_address, canonical_userid};
use super::{Authenticated, DirectoryError, Home};
use crate::log::{self, Category};

/// Result codes. Source: RFC 4511 appendix A.
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const REFERRAL: u32 = 10;
const ADMIN_LIMIT_EXCEEDED: u32 = 11;
const NO_SUCH_OBJECT: u32 = 32;

/// Problems that are told of one by one; of more than that only the number.
const PROBLEMS: usize = 1000;

/// What the servers hold.
#[derive(Debug)]
pub struct LdapDirectory {
    site: Site,
    wire: Wire,
    /// Whoever may be meant by a name.
    people: Cache<Arc<Vec<Record>>>,
    domains: Cache<Option<Domain>>,
    /// Whether an entry is a member of the group of service administrators, by its distinguished name.
    admins: Cache<bool>,
}

/// Bytes of answers about the group of service administrators.
const ADMINS_BYTES: usize = 1 << 20;

impl LdapDirectory {
    pub(super) fn new(settings: Settings, mut site: Site) -> LdapDirectory {
        // Every entry is there, whatever its domain is.
        site.base_domain = Dn::parse(&settings.base_dn).domain(site.dc_root.as_ref());
        // Domains are few.
        let (bytes, lifetime) = (settings.cache_bytes, settings.cache_lifetime);
        LdapDirectory {
            site,
            people: Cache::new(bytes - bytes / 8, lifetime),
            domains: Cache::new(bytes / 8, lifetime),
            admins: Cache::new(ADMINS_BYTES, settings.membership_lifetime),
            wire: Wire::new(settings),
        }
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    fn settings(&self) -> &Settings {
        self.wire.settings()
    }

    pub(super) fn lookup(&self, name: &str) -> Result<Home, DirectoryError> {
        Ok(self.site.home(self.by_login(name)?.as_ref()))
    }

    pub(super) fn recipient(&self, address: &str) -> Result<Home, DirectoryError> {
        let people = self.people(address)?;
        let found = match self.by_address(&people, address)? {
            Some(record) => Some(record),
            None => self.by_userid(&people, address)?,
        };
        Ok(self.site.home(self.joined(found)?.as_ref()))
    }

    pub(super) fn authenticate(&self, login: &str, password: &str) -> Result<Authenticated, DirectoryError> {
        let found = self.by_login(login)?;
        self.site.check(login, found.as_ref(), password, |record| self.bind(record, password).map(Some))?;
        if let Some(record) = &found {
            // A password that only the server can compare has no keys.
            let is_hidden = record.passwords.is_empty() && self.site.is_here(record);
            for hash in Hash::ALL {
                if is_hidden || !self.site.is_ready_for_scram(record, hash) {
                    self.site.set_scram_for_all(hash, false);
                }
            }
        }
        self.site.admit(found.as_ref())
    }

    /// Has the server compare a password.
    fn bind(&self, record: &Record, password: &str) -> Result<bool, DirectoryError> {
        // invalidDNSyntax and noSuchObject: the entry is gone meanwhile. The others say that this entry does not log in, or not in this way.
        const DENIED: [u32; 7] = [34, NO_SUCH_OBJECT, 48, 49, 50, 53, 19];
        let result = self.wire.bind(&record.user.dn, password).map_err(|failure| self.unavailable(failure))?;
        self.trace(|| format!("bind {}: result code {}", record.user.dn, result.rc));
        match result.rc {
            0 => Ok(true),
            code if DENIED.contains(&code) => Ok(false),
            _ => Err(self.unavailable(Failure::of(&result))),
        }
    }

    pub(super) fn scram_keys(&self, login: &str, hash: Hash) -> Result<Keys, DirectoryError> {
        let found = self.by_login(login)?;
        // Somebody who has got no keys since the start: mail programs must not try SCRAM any more.
        if found.as_ref().is_some_and(|record| !self.site.is_ready_for_scram(record, hash)) {
            self.site.set_scram_for_all(hash, false);
        }
        Ok(self.site.scram_keys(login, found.as_ref(), hash))
    }

    pub(super) fn admit(&self, login: &str, keys: &Keys) -> Result<Authenticated, DirectoryError> {
        let found = self.by_login(login)?.filter(|record| self.site.holds(record, keys));
        self.site.admit(found.as_ref())
    }

    pub(super) fn entry(&self, userid: &str) -> Result<Option<User>, DirectoryError> {
        let people = self.people(userid)?;
        Ok(self.joined(self.by_userid(&people, userid)?)?.map(|record| record.user))
    }

    pub(super) fn has_address(&self, address: &str) -> Result<bool, DirectoryError> {
        Ok(self.by_address(&self.people(address)?, address)?.is_some())
    }

    fn by_login(&self, name: &str) -> Result<Option<Record>, DirectoryError> {
        let people = self.people(name)?;
        let found = match self.by_userid(&people, name)? {
            Some(record) => Some(record),
            None => self.by_address(&people, name)?,
        };
        self.joined(found)
    }

    /// Whoever has that userid. Two entries with one userid would be one mailbox with two passwords: then it is nobody's for now.
    fn by_userid<'a>(&self, people: &'a [Record], name: &str) -> Result<Option<&'a Record>, DirectoryError> {
        let userid = canonical_userid(name, self.site.default_domain.as_deref());
        let mut found = people.iter().filter(|record| record.user.userid == userid);
        let first = found.next();
        match (first, found.next()) {
            (Some(first), Some(other)) => Err(self.ambiguous(&userid, &first.user.dn, &other.user.dn)),
            _ => Ok(first),
        }
    }

    /// Whoever has that address, if no other entry has the same userid.
    fn by_address<'a>(&self, people: &'a [Record], address: &str) -> Result<Option<&'a Record>, DirectoryError> {
        let address = canonical_address(address);
        let is_it = |other: &String| canonical_address(other) == address;
        let Some(record) = one_of(people.iter().filter(|record| record.user.addresses().any(is_it)), &address) else {
            return Ok(None);
        };
        let userid = &record.user.userid;
        let asked = canonical_userid(&address, self.site.default_domain.as_deref());
        // Those of that userid are among these people only where the address is the userid as well.
        let namesakes = if asked == *userid { None } else { Some(self.people(userid)?) };
        match self.by_userid(namesakes.as_ref().map_or(people, |namesakes| namesakes), userid)? {
            Some(other) if other.user.dn != record.user.dn => {
                Err(self.ambiguous(userid, &other.user.dn, &record.user.dn))
            }
            _ => Ok(Some(record)),
        }
    }

    fn ambiguous(&self, userid: &str, dn: &str, other: &str) -> DirectoryError {
        let text = format!("{dn} and {other} both have the userid {userid}");
        log::error(Category::Ldap, format!("{text}; neither is served"));
        self.unavailable(Failure::Unreachable(text))
    }

    /// With what other entries say: that of the domain, and that of the group of service administrators.
    fn joined(&self, found: Option<&Record>) -> Result<Option<Record>, DirectoryError> {
        let Some(mut record) = found.cloned() else {
            return Ok(None);
        };
        if let Some(name) = record.user.domain.clone()
            && let Some(domain) = self.domain(&name)?
        {
            record.user.join(&domain);
        }
        if !record.user.service_admin
            && let Some(group) = &self.site.admin_group_dn
        {
            record.user.service_admin = self.is_service_admin(group, &record.user.dn)?;
        }
        Ok(Some(record))
    }

    fn is_service_admin(&self, group: &str, dn: &str) -> Result<bool, DirectoryError> {
        if let Some(known) = self.admins.get(dn) {
            return Ok(known);
        }
        let filter = any(MEMBERS.map(|attribute| equals(attribute, dn)));
        let is_member = !self.read_one(group, &filter)?.is_empty();
        self.admins.keep(dn, is_member, 0);
        Ok(is_member)
    }

    pub(super) fn forget(&self, name: &str) {
        self.people.forget(&canonical_address(name));
    }

    /// Everybody who may be meant by a name: as userid, or as an address.
    fn people(&self, name: &str) -> Result<Arc<Vec<Record>>, DirectoryError> {
        // Addresses are ASCII in a directory (IA5String): a domain is looked for in that form.
        let name = canonical_address(name);
        if let Some(people) = self.people.get(&name) {
            return Ok(people);
        }
        let default = self.site.default_domain.as_deref();
        let userid = canonical_userid(&name, default);
        let mut uids = vec![userid.clone()];
        match (userid.rsplit_once('@'), default) {
            (_, None) => {}
            (Some((local, _)), Some(_)) => uids.push(local.to_owned()),
            (None, Some(default)) => uids.push(format!("{userid}@{default}")),
        }
        let addresses = ["mail", "mailAlternateAddress", "mailEquivalentAddress"].map(|which| equals(which, &name));
        let names = uids.iter().map(|uid| equals("uid", uid)).chain(addresses);
        let found = self.search(&self.settings().base_dn, format!("(&(uid=*){})", any(names)))?;
        let mut people = Vec::new();
        let mut bases = Bases::default();
        for entry in &found.entries {
            let mut warn = |text: String| log::error(Category::Ldap, self.place(entry, &text));
            match self.record(entry, &mut bases, &mut warn)? {
                Ok(record) => people.extend(record),
                Err(text) => warn(text),
            }
        }
        let is_meant = |record: &Record| {
            record.user.userid == userid || record.user.addresses().any(|other| canonical_address(other) == name)
        };
        people.retain(is_meant);
        if people.is_empty() && !found.elsewhere.is_empty() {
            return Err(self.unavailable(elsewhere(&found.elsewhere)));
        }
        people.sort_by(|a, b| a.user.dn.cmp(&b.user.dn));
        let people = Arc::new(people);
        self.people.keep(&name, Arc::clone(&people), people.iter().map(size).sum());
        Ok(people)
    }

    /// The user of an entry, or what is wrong with the entry.
    fn record(
        &self,
        entry: &Entry,
        bases: &mut Bases,
        warn: &mut dyn FnMut(String),
    ) -> Result<Result<Option<Record>, String>, DirectoryError> {
        let base = self.base_domain(&entry.dn, bases)?;
        let read = user::read(entry, &self.site, base.as_deref(), warn);
        Ok(read.map_err(|text| format!("{text}; the entry is ignored")))
    }

    pub(super) fn administers_domain(&self, user: &User) -> Result<bool, DirectoryError> {
        let Some(domain) = user.domain.as_deref() else {
            return Ok(false);
        };
        if user.domain_admin {
            return Ok(true);
        }
        let member = any(MEMBERS.map(|attribute| equals(attribute, &user.dn)));
        let filter = format!("(&{}{member})", equals("mailAdminRole", STORE_ADMIN));
        let found = self.search(&self.settings().base_dn, filter)?;
        let own = |group: &Entry| Dn::parse(&group.dn).domain(self.site.dc_root.as_ref());
        Ok(found.entries.iter().any(|group| own(group).as_deref() == Some(domain)))
    }

    /// The users of this host in the order of the server, a page in memory at a time; returns what is wrong with entries.
    pub(super) fn for_each_user(
        &self,
        visit: &mut dyn FnMut(User) -> ControlFlow<()>,
    ) -> Result<Vec<String>, DirectoryError> {
        let (mut problems, mut more) = (Vec::new(), 0_usize);
        let mut problem = |text: String| if problems.len() < PROBLEMS { problems.push(text) } else { more += 1 };
        let mut domains: HashMap<String, Option<Domain>> = HashMap::new();
        let mut bases = Bases::default();
        let admins = match &self.site.admin_group_dn {
            Some(dn) => self.read_one(dn, "(objectClass=*)")?.first().and_then(group::read),
            None => None,
        };
        let filter = format!("(&(uid=*){})", self.here());
        self.walk(&filter, None, &mut |entry| match self
            .record(entry, &mut bases, &mut |text| problem(self.place(entry, &text)))?
        {
            Ok(Some(mut record)) if self.site.is_here(&record) => {
                if let Some(name) = &record.user.domain {
                    if !domains.contains_key(name) {
                        domains.insert(name.clone(), self.domain(name)?);
                    }
                    if let Some(Some(domain)) = domains.get(name) {
                        record.user.join(domain);
                    }
                }
                let is_admin = |admins: &Group| admins.makes_service_admin(&self.site, &Dn::parse(&entry.dn));
                record.user.service_admin |= admins.as_ref().is_some_and(is_admin);
                Ok(visit(record.user))
            }
            Ok(_) => Ok(ControlFlow::Continue(())),
            Err(text) => {
                problem(self.place(entry, &text));
                Ok(ControlFlow::Continue(()))
            }
        })?;
        if more > 0 {
            problems.push(format!("{more} more problems"));
        }
        Ok(problems)
    }

    /// The first value of an attribute, by userid, of every user of this host who has one.
    pub(super) fn values_of(&self, attribute: &str) -> Result<HashMap<String, String>, DirectoryError> {
        let (mut values, mut bases) = (HashMap::new(), Bases::default());
        let name = attribute.to_ascii_lowercase();
        // Names of attributes that could end a filter are refused where they are read.
        let filter = format!("(&(uid=*)({}=*){})", ldap3::ldap_escape(&name), self.here());
        self.walk(&filter, Some(&name), &mut |entry| {
            if let Ok(Some(record)) = self.record(entry, &mut bases, &mut |_| {})?
                && let Some(value) = entry.first(&name)
            {
                values.insert(record.user.userid, value);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(values)
    }

    pub(super) fn problems(&self) -> Result<Vec<String>, DirectoryError> {
        self.for_each_user(&mut |_| ControlFlow::Continue(()))
    }

    /// Looks whether everybody who logs in here has keys for SCRAM: where passwords cannot be read, nobody has.
    pub(super) fn prepare(&self) -> Result<(), DirectoryError> {
        let (mut seen, mut all) = (false, Hash::ALL.map(|hash| (hash, true)));
        let mut bases = Bases::default();
        let filter = format!("(&(uid=*)(userPassword=*){})", self.here());
        self.walk(&filter, None, &mut |entry| {
            if let Ok(Some(record)) = self.record(entry, &mut bases, &mut |_| {})? {
                seen |= !record.passwords.is_empty();
                for (hash, all) in &mut all {
                    *all &= !record.passwords.is_empty() && self.site.is_ready_for_scram(&record, *hash);
                }
            }
            let some = all.iter().any(|(_, all)| *all);
            Ok(if some { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        for (hash, all) in all {
            self.site.set_scram_for_all(hash, seen && all);
        }
        Ok(())
    }

    /// Entries whose `mailHost` is this host; what it leaves out is never here, what it lets through may not be.
    fn here(&self) -> String {
        let host = self.site.host();
        let mut filters = vec!["(!(mailHost=*))".to_owned(), equals("mailHost", host), equals("mailHost", "localhost")];
        match host.split_once('.') {
            Some((short, _)) => filters.push(equals("mailHost", short)),
            None => filters.push(format!("(mailHost={}.*)", ldap3::ldap_escape(host))),
        }
        any(filters)
    }

    /// Shows every entry that a filter finds, one page after the other. `visit` may ask the directory.
    fn walk(
        &self,
        filter: &str,
        also: Option<&str>,
        visit: &mut dyn FnMut(&Entry) -> Result<ControlFlow<()>, DirectoryError>,
    ) -> Result<(), DirectoryError> {
        let wanted = Search {
            base: self.settings().base_dn.clone(),
            scope: Scope::Subtree,
            filter: filter.to_owned(),
            also: also.map(str::to_owned),
        };
        let connection = self.wire.connection().map_err(|failure| self.unavailable(failure))?;
        let mut last: Option<Found> = None;
        loop {
            let answer =
                self.wire.ask_on(&connection, search::page(connection.ldap.clone(), wanted.clone(), last.take()));
            let mut found = answer.map_err(|failure| self.unavailable(failure))?;
            self.trace(|| format!("search {} {filter}: a page of {}", wanted.base, found.entries.len()));
            if !found.elsewhere.is_empty() {
                return Err(self.unavailable(elsewhere(&found.elsewhere)));
            }
            for entry in std::mem::take(&mut found.entries) {
                if visit(&entry)?.is_break() {
                    return Ok(());
                }
            }
            if found.is_last() {
                return Ok(());
            }
            last = Some(found);
        }
    }

    /// All that a filter finds below an entry.
    fn search(&self, base: &str, filter: String) -> Result<Found, DirectoryError> {
        self.find(Search { base: base.to_owned(), scope: Scope::Subtree, filter, also: None })
    }

    /// The entry of that name, if it is there and the filter fits.
    fn read_one(&self, dn: &str, filter: &str) -> Result<Vec<Entry>, DirectoryError> {
        let search = Search { base: dn.to_owned(), scope: Scope::Base, filter: filter.to_owned(), also: None };
        self.find(search).map(|found| found.entries)
    }

    fn find(&self, search: Search) -> Result<Found, DirectoryError> {
        let wanted = search.clone();
        let answer = self.wire.ask(move |ldap| search::all(ldap, search.clone()));
        self.trace(|| {
            let count = match &answer {
                Ok(found) => format!("{} found", found.entries.len()),
                Err(failure) => format!("{failure:?}"),
            };
            format!("search {} {}: {count}", wanted.base, wanted.filter)
        });
        match answer {
            // One entry that is not there; a whole tree that is not there is a fault of the settings, or of the server.
            Err(Failure::Code(NO_SUCH_OBJECT, _)) if wanted.scope == Scope::Base => Ok(Found::default()),
            Err(Failure::Code(NO_SUCH_OBJECT, _)) => {
                let text = format!("the server has no entry {} (local.ugldapbasedn, service.dcroot)", wanted.base);
                Err(self.unavailable(Failure::Unreachable(text)))
            }
            answer => answer.map_err(|failure| self.unavailable(failure)),
        }
    }

    /// An entry and what is wrong with it.
    fn place(&self, entry: &Entry, text: &str) -> String {
        format!("{}: {text}", entry.dn)
    }

    fn trace(&self, text: impl FnOnce() -> String) {
        if self.settings().trace {
            log::notice(Category::Ldap, text());
        }
    }

    fn unavailable(&self, failure: Failure) -> DirectoryError {
        let reason = match failure {
            Failure::Unreachable(reason) => reason,
            Failure::Code(SIZE_LIMIT_EXCEEDED | ADMIN_LIMIT_EXCEEDED, _) => {
                "the server gives fewer entries than there are: raise its size limit for local.ugldapbinddn".to_owned()
            }
            Failure::Code(NO_SUCH_OBJECT, _) => {
                format!("the server has no entry {} (local.ugldapbasedn)", self.settings().base_dn)
            }
            Failure::Code(REFERRAL, words) => format!("the server sends its clients elsewhere: {words}"),
            failure @ Failure::Code(..) => failure.to_string(),
        };
        DirectoryError::Unavailable { directory: self.wire.name(), reason }
    }
}

fn elsewhere(servers: &[String]) -> Failure {
    let named = servers.first().map_or("", String::as_str);
    Failure::Unreachable(format!("a part of the entries is on another server, which is not asked: {named}"))
}

/// The first of several with one address, which should be one.
fn one_of<'a>(mut records: impl Iterator<Item = &'a Record>, name: &str) -> Option<&'a Record> {
    let first = records.next()?;
    for other in records {
        let (dn, taken) = (&other.user.dn, &first.user.dn);
        log::error(Category::Ldap, format!("{dn}: {name} is taken by {taken}; the entry is ignored"));
    }
    Some(first)
}

/// About how much memory a user takes.
fn size(record: &Record) -> usize {
    let user = &record.user;
    let texts = [&user.userid, &user.dn, &user.name].into_iter().chain(user.addresses());
    let texts = texts.chain(&user.groups).chain(&record.passwords).map(|text| text.len() + size_of::<String>());
    size_of::<Record>() + record.keys.len() * size_of::<Keys>() * 2 + texts.sum::<usize>()
}
