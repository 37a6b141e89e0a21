//! The directory in an LDIF file: read once, and again when the file changed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::dn::Dn;
use super::domain::{self, Domain};
use super::group::{self, Group};
use super::ldif;
use super::scram::{Hash, Keys};
use super::site::Site;
use super::user::{self, Record, User, canonical_address, canonical_userid};
use super::{Authenticated, DirectoryError, Home};
use crate::log::{self, Category};

/// What identifies one version of the file: device, inode, size, modification and change time (ns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version(u64, u64, u64, i64, i64, i64, i64);

impl Version {
    /// Another content of the same file, or a smaller file in its place: whoever replaces the file as a whole makes another one, and whoever
    /// removes it and writes it anew begins with less.
    fn may_grow(&self, before: &Version) -> bool {
        if (self.0, self.1) == (before.0, before.1) {
            (self.2, self.3, self.4) != (before.2, before.3, before.4)
        } else {
            self.2 < before.2
        }
    }

    fn changed_s(&self) -> i64 {
        self.5
    }
}

/// What one version of the file holds.
#[derive(Debug, Default)]
struct Known {
    records: Vec<Record>,
    userids: HashMap<String, usize>,
    addresses: HashMap<String, usize>,
    domains: Vec<Domain>,
    /// Their names, and where no domain has it as its name, their other names.
    domain_names: HashMap<String, usize>,
    groups: Vec<Group>,
    default_domain: Option<String>,
    problems: Vec<String>,
    /// It looks like the half of a file: it is empty, its end is missing or broken, or it is another content of the file that was there before,
    /// or less than was there before.
    half: bool,
}

/// How long after a change of a file that looks like a half somebody who is not in it may come yet, seconds.
const BEING_WRITTEN_S: i64 = 10;

/// The file and what was read from it.
#[derive(Debug)]
pub struct LdifFile {
    path: PathBuf,
    site: Site,
    cache: Mutex<Option<(Version, Arc<Known>)>>,
}

impl LdifFile {
    pub(super) fn new(path: PathBuf, site: Site) -> LdifFile {
        LdifFile { path, site, cache: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    /// What the file holds now.
    fn read(&self) -> Result<Arc<Known>, DirectoryError> {
        let failed = |source: io::Error| DirectoryError::Unavailable {
            directory: self.path.display().to_string(),
            reason: source.to_string(),
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        // The version is taken before the text: a change between the two is seen by the next question.
        let meta = fs::metadata(&self.path).map_err(failed)?;
        let version = Version(
            meta.dev(),
            meta.ino(),
            meta.size(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        );
        if let Some((seen, known)) = cache.as_ref()
            && *seen == version
        {
            return Ok(Arc::clone(known));
        }
        if meta.size() > ldif::MAX_FILE as u64 {
            return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
        }
        let text = fs::read(&self.path).map_err(failed)?;
        let mut known = self.understand(&text);
        known.half |= cache.as_ref().is_some_and(|(before, _)| version.may_grow(before));
        let known = Arc::new(known);
        for problem in &known.problems {
            log::error(Category::Ldap, format!("directory: {problem}"));
        }
        for hash in Hash::ALL {
            let all = known.records.iter().all(|record| self.site.is_ready_for_scram(record, hash));
            self.site.set_scram_for_all(hash, all);
        }
        *cache = Some((version, Arc::clone(&known)));
        Ok(known)
    }

    /// An error while the file is being written: somebody who is not found now may be in it in a moment.
    pub(super) fn settled(&self, now_s: i64) -> Result<(), DirectoryError> {
        let known = self.read()?;
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let changed_s = cache.as_ref().map_or(0, |(version, _)| version.changed_s());
        if known.half && (0..BEING_WRITTEN_S).contains(&now_s.saturating_sub(changed_s)) {
            let directory = self.path.display().to_string();
            return Err(DirectoryError::Unavailable { directory, reason: "it is being written".to_owned() });
        }
        Ok(())
    }

    /// The first value of an attribute, by userid, of every user who has one. The file is read again: such values are not kept.
    pub(super) fn values_of(&self, attribute: &str) -> Result<HashMap<String, String>, DirectoryError> {
        let known = self.read()?;
        let users: HashMap<&str, &str> =
            known.records.iter().map(|record| (record.user.dn.as_str(), record.user.userid.as_str())).collect();
        let text = fs::read(&self.path).map_err(|source| DirectoryError::Unavailable {
            directory: self.path.display().to_string(),
            reason: source.to_string(),
        })?;
        let attribute = attribute.to_ascii_lowercase();
        let value = |entry: &ldif::Entry| {
            let userid = users.get(entry.dn.as_str())?;
            Some(((*userid).to_owned(), entry.first(&attribute)?))
        };
        Ok(ldif::parse(&text).entries.iter().filter_map(value).collect())
    }

    fn understand(&self, text: &[u8]) -> Known {
        let parsed = ldif::parse(text);
        let last_entry = parsed.entries.last().map_or(0, |entry| entry.line);
        let broken_at_end = parsed.problems.last().is_some_and(|problem| problem.line > last_entry);
        let half = !text.ends_with(b"\n") || broken_at_end;
        let mut known = Known { default_domain: self.site.default_domain.clone(), half, ..Known::default() };
        let place = |line: usize, text: &str| format!("{}:{line}: {text}", self.path.display());
        for problem in &parsed.problems {
            known.problems.push(place(problem.line, &format!("{}; the entry is ignored", problem.text)));
        }
        // Domains and groups first: what users are may depend on them.
        for entry in &parsed.entries {
            let mut warnings = Vec::new();
            match domain::read(entry, self.site.dc_root.as_ref(), &mut |text| warnings.push(place(entry.line, &text))) {
                Ok(None) => known.groups.extend(group::read(entry)),
                Ok(Some(domain)) => {
                    if known.domain(&domain.name).is_some() {
                        let text = format!("{} is there already; the entry is ignored", domain.name);
                        known.problems.push(place(entry.line, &text));
                    } else {
                        known.domain_names.insert(domain.name.clone(), known.domains.len());
                        known.domains.push(domain);
                    }
                }
                Err(text) => known.problems.push(place(entry.line, &format!("{text}; the entry is ignored"))),
            }
            known.problems.extend(warnings);
        }
        for (index, domain) in known.domains.iter().enumerate() {
            for alias in &domain.aliases {
                known.domain_names.entry(alias.clone()).or_insert(index);
            }
        }
        let bases: Vec<(Dn, String)> = known.domains.iter().filter_map(Domain::base).collect();
        for entry in &parsed.entries {
            let mut warnings = Vec::new();
            let dn = Dn::parse(&entry.dn);
            let base = domain::nearest(&bases, &dn);
            let read = user::read(entry, &self.site, base, &mut |text| {
                warnings.push(place(entry.line, &text));
            });
            known.problems.extend(warnings);
            match read {
                Ok(None) => {}
                Ok(Some(mut record)) => {
                    if let Some(domain) = record.user.domain.as_deref().and_then(|name| known.domain(name)) {
                        record.user.join(domain);
                    }
                    record.user.service_admin |=
                        known.groups.iter().any(|group| group.makes_service_admin(&self.site, &dn));
                    if let Err(text) = known.add(record) {
                        known.problems.push(place(entry.line, &text));
                    }
                }
                Err(text) => known.problems.push(place(entry.line, &format!("{text}; the entry is ignored"))),
            }
        }
        known
    }

    pub(super) fn lookup(&self, name: &str) -> Result<Home, DirectoryError> {
        Ok(self.site.home(self.read()?.by_login(name)))
    }

    pub(super) fn recipient(&self, address: &str) -> Result<Home, DirectoryError> {
        let known = self.read()?;
        Ok(self.site.home(known.by_address(address).or_else(|| known.by_userid(address))))
    }

    pub(super) fn authenticate(&self, login: &str, password: &str) -> Result<Authenticated, DirectoryError> {
        let known = self.read()?;
        let found = known.by_login(login);
        self.site.check(login, found, password, |_| Ok(None))?;
        self.site.admit(found)
    }

    pub(super) fn scram_keys(&self, login: &str, hash: Hash) -> Result<Keys, DirectoryError> {
        Ok(self.site.scram_keys(login, self.read()?.by_login(login), hash))
    }

    pub(super) fn admit(&self, login: &str, keys: &Keys) -> Result<Authenticated, DirectoryError> {
        let known = self.read()?;
        self.site.admit(known.by_login(login).filter(|record| self.site.holds(record, keys)))
    }

    pub(super) fn entry(&self, userid: &str) -> Result<Option<User>, DirectoryError> {
        Ok(self.read()?.by_userid(userid).map(|record| record.user.clone()))
    }

    pub(super) fn has_address(&self, address: &str) -> Result<bool, DirectoryError> {
        Ok(self.read()?.by_address(address).is_some())
    }

    pub(super) fn domain(&self, name: &str) -> Result<Option<Domain>, DirectoryError> {
        Ok(self.read()?.domain(&name.trim().to_lowercase()).cloned())
    }

    pub(super) fn administers_domain(&self, user: &User) -> Result<bool, DirectoryError> {
        let Some(domain) = user.domain.as_deref() else {
            return Ok(false);
        };
        let dn = Dn::parse(&user.dn);
        let known = self.read()?;
        Ok(user.domain_admin || known.groups.iter().any(|group| group.makes_domain_admin(&self.site, &dn, domain)))
    }

    /// The users of this host, sorted by userid; returns what is wrong with the file.
    pub(super) fn for_each_user(
        &self,
        visit: &mut dyn FnMut(User) -> ControlFlow<()>,
    ) -> Result<Vec<String>, DirectoryError> {
        let known = self.read()?;
        let mut here: Vec<&Record> = known.records.iter().filter(|record| self.site.is_here(record)).collect();
        here.sort_by(|a, b| a.user.userid.cmp(&b.user.userid));
        for record in here {
            if visit(record.user.clone()).is_break() {
                break;
            }
        }
        Ok(known.problems.clone())
    }

    pub(super) fn problems(&self) -> Result<Vec<String>, DirectoryError> {
        Ok(self.read()?.problems.clone())
    }
}

impl Known {
    fn add(&mut self, record: Record) -> Result<(), String> {
        let userid = record.user.userid.clone();
        if let Some(first) = self.userids.get(&userid).and_then(|index| self.records.get(*index)) {
            return Err(format!("userid {userid} is taken by line {}; the entry is ignored", first.line));
        }
        let index = self.records.len();
        let mut wrong = Vec::new();
        for address in record.user.addresses() {
            let key = canonical_address(address);
            let holder = *self.addresses.entry(key).or_insert(index);
            if holder != index {
                wrong.push(format!("{userid}: the address {address} belongs to another user already"));
            }
        }
        self.userids.insert(userid, index);
        self.records.push(record);
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Whom a login name means: a userid, else an address.
    fn by_login(&self, name: &str) -> Option<&Record> {
        self.by_userid(name).or_else(|| self.by_address(name))
    }

    fn by_userid(&self, name: &str) -> Option<&Record> {
        let userid = canonical_userid(name, self.default_domain.as_deref());
        self.records.get(*self.userids.get(&userid)?)
    }

    fn by_address(&self, address: &str) -> Option<&Record> {
        self.records.get(*self.addresses.get(&canonical_address(address))?)
    }

    /// By one of its names, in lower case.
    fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.get(*self.domain_names.get(name)?)
    }
}
