//! The users one after another, with what they have and what they may have.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::directory::quota::Quota;
use crate::directory::{Directory, DirectoryError, Home, User, canonical_userid};
use crate::ops::mailbox::show_name;
use crate::ops::quota::{self, Defaults, Figures};
use crate::store::{Account, AccountId, Limits, QuotaRoot, Store, StoreError, Usage};

/// Whose figures are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Everybody's.
    Everyone,
    /// Those of the users of a domain.
    Domain(String),
    /// One user's.
    User(String),
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// Neither the store nor the directory knows the user.
    #[error("no such user: {0}")]
    NoUser(String),
    /// The value of the attribute that has the quota cannot be read.
    #[error("{attribute}: {text}")]
    Quota {
        /// The attribute.
        attribute: String,
        /// What is wrong.
        text: String,
    },
    /// The directory did not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The account cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Usage and limits of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The account; `None` for a user of the directory who has none yet.
    pub account: Option<AccountId>,
    /// What its row says.
    pub figures: Figures,
    /// What its limits are about: the account first, then the folders with limits of their own.
    pub roots: Vec<QuotaRoot>,
    /// The folders, where they were asked for: INBOX first, then by name.
    pub folders: Option<Vec<FolderUsage>>,
}

/// Usage of one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderUsage {
    /// Its name below the user, in UTF-8.
    pub name: String,
    /// What it holds.
    pub usage: Usage,
}

impl Subject {
    /// What counts for the account's own quota: all folders but those with limits of their own.
    pub fn own_usage(&self) -> Usage {
        self.roots.first().map_or(self.figures.usage, |own| own.usage)
    }

    /// How full the fullest root is: whole percent, rounded down; `None` without a quota.
    pub fn percent(&self) -> Option<u64> {
        self.roots.iter().filter_map(|root| root.usage.percent(root.bytes, root.messages)).max()
    }
}

/// An attribute of the directory that has quotas in bytes (`mailQuotaAttribute`).
#[derive(Debug)]
pub struct QuotaAttribute {
    name: String,
    values: HashMap<String, String>,
}

impl QuotaAttribute {
    /// Reads its values.
    ///
    /// # Errors
    /// The directory does not answer.
    pub fn read(directory: &Directory, name: &str) -> Result<QuotaAttribute, DirectoryError> {
        Ok(QuotaAttribute { name: name.to_owned(), values: directory.values_of(name)? })
    }

    fn limit(&self, userid: &str, defaults: Defaults) -> Result<Option<u64>, SurveyError> {
        let Some(text) = self.values.get(userid) else { return Ok(defaults.bytes) };
        let parsed = Quota::parse(text);
        let quota = parsed.map_err(|text| SurveyError::Quota { attribute: self.name.clone(), text })?;
        Ok(quota.limit.or(defaults.bytes))
    }
}

/// Which users are looked at, and where their limits come from.
pub struct Survey<'a> {
    /// The store.
    pub store: &'a Store,
    /// Who exists.
    pub directory: &'a Directory,
    /// The limits of users whose entries ask for the default.
    pub defaults: Defaults,
    /// The domain of users without a domain; may be empty.
    pub default_domain: &'a str,
    /// Whose figures are wanted.
    pub whose: &'a Whose,
    /// The users of the directory that are on this host, instead of the accounts of the store.
    pub of_directory: bool,
    /// Add the folders.
    pub with_folders: bool,
    /// Where quotas in bytes come from; `None`: from the accounts' rows.
    pub attribute: Option<&'a QuotaAttribute>,
}

/// Called with a user id and its figures, or with why there are none; breaks to end the survey.
pub type Visit<'v> = dyn FnMut(&str, Result<Subject, SurveyError>) -> ControlFlow<()> + 'v;

impl Survey<'_> {
    /// Visits the users, by user id; those of directory servers in the order of the server.
    ///
    /// # Errors
    /// The list of users cannot be read; [`SurveyError::NoUser`] for one user who is not there.
    pub fn each(&self, visit: &mut Visit<'_>) -> Result<(), SurveyError> {
        match self.whose {
            Whose::User(name) => {
                let (userid, found) = self.one(name)?;
                let _ = visit(&userid, found);
                Ok(())
            }
            _ if self.of_directory => self.each_of_directory(visit),
            _ => self.each_of_store(visit),
        }
    }

    fn each_of_store(&self, visit: &mut Visit<'_>) -> Result<(), SurveyError> {
        self.store.each_account(&mut |userid, found| {
            if !self.is_meant(userid) {
                return ControlFlow::Continue(());
            }
            let found = found.map_err(SurveyError::from).and_then(|(id, row)| self.subject(id, &row, None));
            visit(userid, found)
        })?;
        Ok(())
    }

    fn each_of_directory(&self, visit: &mut Visit<'_>) -> Result<(), SurveyError> {
        self.directory.for_each_user(&mut |user| {
            if !self.is_meant(&user.userid) {
                return ControlFlow::Continue(());
            }
            visit(&user.userid, self.of_user(&user))
        })?;
        Ok(())
    }

    fn one(&self, name: &str) -> Result<(String, Result<Subject, SurveyError>), SurveyError> {
        let written = name.to_owned();
        let canonical = canonical_userid(name, Some(self.default_domain).filter(|domain| !domain.is_empty()));
        if !self.of_directory {
            for userid in [written, canonical] {
                if let Some(id) = self.store.account_id(&userid)? {
                    let row = self.store.view(id).and_then(|view| view.account())?;
                    return Ok((userid, self.subject(id, &row, None)));
                }
            }
        }
        match self.directory.lookup(name)? {
            Home::Here(user) => Ok((user.userid.clone(), self.of_user(&user))),
            Home::At(_) | Home::Nowhere => Err(SurveyError::NoUser(name.to_owned())),
        }
    }

    fn is_meant(&self, userid: &str) -> bool {
        match self.whose {
            Whose::Domain(domain) => domain_of(userid, self.default_domain).eq_ignore_ascii_case(domain),
            Whose::Everyone | Whose::User(_) => true,
        }
    }

    /// A user of the directory: the limits are those of the entry.
    fn of_user(&self, user: &User) -> Result<Subject, SurveyError> {
        let limits = quota::effective(user, self.defaults);
        match self.store.account_id(&user.userid)? {
            Some(id) => {
                let row = self.store.view(id)?.account()?;
                self.subject(id, &row, Some(limits))
            }
            None => {
                let bytes = match self.attribute {
                    Some(attribute) => attribute.limit(&user.userid, self.defaults)?,
                    None => limits.bytes,
                };
                let figures =
                    Figures { userid: user.userid.clone(), bytes, messages: limits.messages, ..Figures::default() };
                let own = root(None, Usage::default(), bytes, limits.messages);
                let folder = |limit: crate::store::FolderLimit| {
                    root(Some(limit.path), Usage::default(), limit.bytes, limit.messages)
                };
                let roots = std::iter::once(own).chain(limits.folders.into_iter().map(folder)).collect();
                Ok(Subject { account: None, figures, roots, folders: self.with_folders.then(Vec::new) })
            }
        }
    }

    /// An account, with other limits than those of its row where `limits` has them.
    fn subject(&self, id: AccountId, row: &Account, limits: Option<Limits>) -> Result<Subject, SurveyError> {
        let mut figures = Figures::of(row);
        let mut roots = match &limits {
            Some(limits) if limits.folders.is_empty() => vec![root(None, row.usage(), limits.bytes, limits.messages)],
            Some(limits) => self.store.view(id)?.quota_roots_under(limits)?,
            None if row.folder_limits.is_empty() => {
                vec![root(None, row.usage(), row.quota_bytes, row.quota_messages)]
            }
            None => self.store.view(id)?.quota_roots()?,
        };
        if let (Some(attribute), Some(own)) = (self.attribute, roots.first_mut()) {
            own.bytes = attribute.limit(&row.userid, self.defaults)?;
        }
        if let Some(own) = roots.first() {
            (figures.bytes, figures.messages) = (own.bytes, own.messages);
        }
        let folders = if self.with_folders { Some(self.folders(id, &row.userid)?) } else { None };
        Ok(Subject { account: Some(id), figures, roots, folders })
    }

    fn folders(&self, id: AccountId, userid: &str) -> Result<Vec<FolderUsage>, StoreError> {
        let prefix = format!("user/{userid}/");
        let folders = self.store.view(id)?.folders()?;
        let usage = folders.into_iter().filter(|(_, row)| !row.noselect).map(|(path, row)| {
            let name = show_name(userid, &path);
            FolderUsage {
                name: name.strip_prefix(&prefix).map(str::to_owned).unwrap_or(name),
                usage: Usage { bytes: row.bytes, messages: u64::from(row.exists) },
            }
        });
        Ok(usage.collect())
    }
}

fn root(folder: Option<String>, usage: Usage, bytes: Option<u64>, messages: Option<u64>) -> QuotaRoot {
    QuotaRoot { folder, usage, bytes, messages, over_since_s: 0 }
}

/// The domain of a user.
pub fn domain_of<'a>(userid: &'a str, default_domain: &'a str) -> &'a str {
    userid.rsplit_once('@').map_or(default_domain, |(_, domain)| domain)
}
