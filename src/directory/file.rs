//! The directory in an LDIF file: read once, and again when the file changed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::ldif;
use super::logins::Logins;
use super::scram::{Bytes32, Hash, Keys, random};
use super::user::{self, Record, canonical_address, canonical_userid};
use super::{Authenticated, DirectoryError, Home, Options};
use crate::log::{self, Category};

/// What identifies one version of the file: device, inode, size, modification and change time (ns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version(u64, u64, u64, i64, i64, i64, i64);

impl Version {
    /// Another content of the same file: whoever replaces the file as a whole makes another one.
    fn rewrites(&self, before: &Version) -> bool {
        (self.0, self.1) == (before.0, before.1) && (self.2, self.3, self.4) != (before.2, before.3, before.4)
    }

    fn changed_s(&self) -> i64 {
        self.5
    }
}

/// The users of one version of the file.
#[derive(Debug, Default)]
pub(super) struct Known {
    records: Vec<Record>,
    userids: HashMap<String, usize>,
    addresses: HashMap<String, usize>,
    default_domain: Option<String>,
    pub(super) problems: Vec<String>,
    /// It looks like the half of a file: its end is missing or broken, or it is another content of the file that was there before.
    half: bool,
}

/// How long after a change of a file that looks like a half somebody who is not in it may come yet, seconds.
const BEING_WRITTEN_S: i64 = 10;

/// The file and what was read from it.
#[derive(Debug)]
pub struct LdifFile {
    path: PathBuf,
    default_domain: Option<String>,
    host: String,
    cache: Mutex<Option<(Version, Arc<Known>)>>,
    /// True when whoever has a password has SCRAM keys, as of the last reading; in the order of [`Hash::ALL`].
    scram_for_all: [AtomicBool; Hash::ALL.len()],
    pub(super) logins: Logins,
    /// From it come the salts that are not stored.
    pub(super) secret: Bytes32,
}

impl LdifFile {
    pub(super) fn new(path: PathBuf, options: Options) -> LdifFile {
        let host = options.host.unwrap_or_else(crate::os::host::name);
        LdifFile {
            path,
            default_domain: options.default_domain.map(|domain| domain.to_ascii_lowercase()),
            host: host.to_ascii_lowercase(),
            cache: Mutex::new(None),
            scram_for_all: Default::default(),
            logins: options.logins,
            secret: options.secret.unwrap_or_else(random),
        }
    }

    pub(super) fn scram_for_all(&self, hash: Hash) -> bool {
        let mut each = Hash::ALL.into_iter().zip(&self.scram_for_all);
        each.any(|(other, all)| other == hash && all.load(Ordering::Relaxed))
    }

    /// The users as the file holds them now.
    pub(super) fn read(&self) -> Result<Arc<Known>, DirectoryError> {
        let failed = |source: io::Error| DirectoryError::Unavailable { path: self.path.clone(), source };
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
        known.half |= cache.as_ref().is_some_and(|(before, _)| version.rewrites(before));
        let known = Arc::new(known);
        for problem in &known.problems {
            log::error(Category::Ldap, format!("directory: {problem}"));
        }
        for (hash, all) in Hash::ALL.into_iter().zip(&self.scram_for_all) {
            let mut served =
                known.records.iter().filter(|record| self.is_here(record) && record.user.status.may_log_in());
            all.store(served.all(|record| record.may_use_scram(hash)), Ordering::Relaxed);
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
            let source = io::Error::other("it is being written");
            return Err(DirectoryError::Unavailable { path: self.path.clone(), source });
        }
        Ok(())
    }

    fn understand(&self, text: &[u8]) -> Known {
        let parsed = ldif::parse(text);
        let last_entry = parsed.entries.last().map_or(0, |entry| entry.line);
        let broken_at_end = parsed.problems.last().is_some_and(|problem| problem.line > last_entry);
        let half = !(text.is_empty() || text.ends_with(b"\n")) || broken_at_end;
        let mut known = Known { default_domain: self.default_domain.clone(), half, ..Known::default() };
        let place = |line: usize, text: &str| format!("{}:{line}: {text}", self.path.display());
        for problem in &parsed.problems {
            known.problems.push(place(problem.line, &format!("{}; the entry is ignored", problem.text)));
        }
        for entry in &parsed.entries {
            let mut warnings = Vec::new();
            let read = user::read(entry, self.default_domain.as_deref(), &mut |text| {
                warnings.push(place(entry.line, &text));
            });
            known.problems.extend(warnings);
            match read {
                Ok(None) => {}
                Ok(Some(record)) => {
                    if let Err(text) = known.add(record) {
                        known.problems.push(place(entry.line, &text));
                    }
                }
                Err(text) => known.problems.push(place(entry.line, &format!("{text}; the entry is ignored"))),
            }
        }
        known
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

    /// The keys of whoever a login name means; of nobody, such as fit no password.
    pub(super) fn scram_keys(&self, login: &str, hash: Hash) -> Result<Keys, DirectoryError> {
        let known = self.read()?;
        let keys = known.by_login(login).and_then(|record| record.scram_keys(hash, &self.secret));
        let nobody = || Keys::of_nobody(hash, &self.secret, &canonical_userid(login, self.default_domain.as_deref()));
        Ok(keys.unwrap_or_else(nobody))
    }

    /// What follows the right password.
    pub(super) fn admit(&self, found: Option<&Record>) -> Result<Authenticated, DirectoryError> {
        let record = found.ok_or(DirectoryError::BadCredentials)?;
        if !record.user.status.may_log_in() {
            return Err(DirectoryError::Blocked(record.user.status));
        }
        match self.home(found) {
            Home::Here(user) => Ok(Authenticated { user }),
            Home::At(host) => Err(DirectoryError::Elsewhere(host)),
            Home::Nowhere => Err(DirectoryError::BadCredentials),
        }
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
        let mail = Some(&record.user.mail).filter(|mail| !mail.is_empty());
        for address in mail.into_iter().chain(&record.user.alternates) {
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
    pub(super) fn by_login(&self, name: &str) -> Option<&Record> {
        self.by_userid(name).or_else(|| self.by_address(name))
    }

    pub(super) fn by_userid(&self, name: &str) -> Option<&Record> {
        let userid = canonical_userid(name, self.default_domain.as_deref());
        self.records.get(*self.userids.get(&userid)?)
    }

    pub(super) fn by_address(&self, address: &str) -> Option<&Record> {
        self.records.get(*self.addresses.get(&canonical_address(address))?)
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }
}
