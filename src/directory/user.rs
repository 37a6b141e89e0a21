//! A user, and how one is read from the attributes of an entry.

use std::sync::OnceLock;

use super::ldif::Entry;
use super::password;
use super::quota::Quota;
use super::scram::{self, Bytes32, Hash, Keys};

/// What an account may do (`mailUserStatus` and `inetUserStatus`; the stricter of the two counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Everything.
    #[default]
    Active,
    /// Log in and read; no new mail.
    Overquota,
    /// Nothing for now: new mail is refused for a time.
    Inactive,
    /// Nothing for now: new mail waits.
    Hold,
    /// Nothing.
    Disabled,
    /// Nothing; the mailbox is to be removed.
    Deleted,
}

impl Status {
    /// The value as the attributes spell it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Overquota => "overquota",
            Status::Inactive => "inactive",
            Status::Hold => "hold",
            Status::Disabled => "disabled",
            Status::Deleted => "deleted",
        }
    }

    /// True when the user may log in.
    pub fn may_log_in(self) -> bool {
        matches!(self, Status::Active | Status::Overquota)
    }

    fn parse(text: &str) -> Option<Status> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "active" | "" => Status::Active,
            "overquota" => Status::Overquota,
            "inactive" => Status::Inactive,
            "hold" => Status::Hold,
            "disabled" | "unused" => Status::Disabled,
            "deleted" | "removed" => Status::Deleted,
            _ => return None,
        })
    }
}

/// One user of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// The name in the store: lower case `uid`, or `uid@domain` in a hosted domain.
    pub userid: String,
    /// The distinguished name of the entry.
    pub dn: String,
    /// The person's name (`cn`).
    pub name: String,
    /// The primary address (`mail`), empty without one.
    pub mail: String,
    /// Further addresses (`mailAlternateAddress`, `mailEquivalentAddress`).
    pub alternates: Vec<String>,
    /// What the account may do.
    pub status: Status,
    /// Quota in bytes (`mailQuota`).
    pub mail_quota: Quota,
    /// Quota in messages (`mailMsgQuota`).
    pub msg_quota: Quota,
    /// The language that the person prefers (`preferredLanguage`), lower case, such as `de`; empty without one.
    pub language: String,
    /// The partition of the mailbox (`mailMessageStore`).
    pub partition: Option<String>,
    /// The service filter (`mailAllowedServiceAccess`); several values are joined with `$`.
    pub allowed_services: Option<String>,
    /// The groups in access lists (`aclGroupAddr`), lower case.
    pub groups: Vec<String>,
    /// The ways of delivery (`mailDeliveryOption`), lower case; empty means `mailbox`.
    pub delivery: Vec<String>,
}

/// Tells why a name cannot be a userid. Source: 6.3 Administration Guide, section 20.2.1.
///
/// # Errors
/// A sentence about the character or the word that is not allowed.
pub fn check_userid(userid: &str) -> Result<(), String> {
    let say = |text: &str| Err(format!("{userid:?} cannot be a userid: {text}"));
    if userid.is_empty() || userid.len() > 255 {
        return say("it must have 1 to 255 characters");
    }
    if !userid.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return say("only printable ASCII characters are allowed");
    }
    if let Some(bad) = userid.chars().find(|c| "%?*&/:\\".contains(*c)) {
        return say(&format!("the character {bad} is not allowed"));
    }
    if userid.starts_with('-') || userid.starts_with("group=") {
        return say("it must not begin with - or group=");
    }
    if userid.starts_with(' ') || userid.ends_with(' ') || matches!(userid, "." | "..") {
        return say("it must not begin or end with a blank, nor be . or ..");
    }
    let name = userid.split('@').next().unwrap_or_default();
    if name.is_empty() || userid.ends_with('@') || userid.matches('@').count() > 1 {
        return say("it must be NAME or NAME@DOMAIN");
    }
    if matches!(name, "anyone" | "anonymous" | "anybody") {
        return say("the name is reserved");
    }
    Ok(())
}

/// The userid in the form of the store: lower case, without the default domain.
pub fn canonical_userid(name: &str, default_domain: Option<&str>) -> String {
    let name = name.trim().to_lowercase();
    match (name.rsplit_once('@'), default_domain) {
        (Some((local, domain)), Some(default)) if domain.eq_ignore_ascii_case(default) => local.to_owned(),
        _ => name,
    }
}

/// Where a new user's entry goes: its distinguished name and the value of its `uid`, so that it is read as `userid` again.
/// `mail` is the primary address, or empty.
pub fn place(userid: &str, mail: &str, default_domain: Option<&str>) -> (String, String) {
    let (local, domain) = match userid.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (userid, default_domain),
    };
    let tree = match domain {
        Some(domain) if domain.contains('.') => {
            domain.split('.').map(|label| format!("dc={label}")).collect::<Vec<_>>().join(",")
        }
        Some(domain) => format!("o={}", escaped(domain)),
        None => "o=local".to_owned(),
    };
    let dn = format!("uid={},ou=People,{tree}", escaped(local));
    let uid = if userid_of(local, &dn, mail, default_domain) == userid { local } else { userid };
    (dn, uid.to_owned())
}

/// A value in a distinguished name. Source: RFC 4514 section 2.4.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for (index, c) in value.chars().enumerate() {
        if ",+\"\\<>;=".contains(c) || (index == 0 && c == '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A user as it is kept in memory: with what only this room sees.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) user: User,
    pub(super) host: Option<String>,
    pub(super) passwords: Vec<String>,
    /// The keys in `authPassword`, of each mechanism the first.
    pub(super) keys: Vec<Keys>,
    /// Those of a password in the clear, once somebody has asked; in the order of [`Hash::ALL`].
    pub(super) clear_keys: [OnceLock<Option<Keys>>; Hash::ALL.len()],
    pub(super) line: usize,
}

impl Record {
    /// What SCRAM needs: the keys of `authPassword`, else such as a password in the clear gives. Who has no password has none.
    pub(super) fn scram_keys(&self, hash: Hash, secret: &Bytes32) -> Option<Keys> {
        if self.passwords.is_empty() {
            return None;
        }
        if let Some(keys) = self.stored_keys(hash) {
            return Some(keys.clone());
        }
        let (_, kept) = Hash::ALL.into_iter().zip(&self.clear_keys).find(|(other, _)| *other == hash)?;
        kept.get_or_init(|| Keys::of_clear(hash, self.clear()?, secret, &self.user.userid).ok()).clone()
    }

    /// False for a user with a password who cannot log in by SCRAM with it.
    pub(super) fn may_use_scram(&self, hash: Hash) -> bool {
        let prepared = || self.clear().is_some_and(|password| scram::prepare(password).is_ok());
        // SCRAM knows one password of several.
        self.passwords.is_empty() || (self.passwords.len() == 1 && (self.stored_keys(hash).is_some() || prepared()))
    }

    fn stored_keys(&self, hash: Hash) -> Option<&Keys> {
        self.keys.iter().find(|keys| keys.hash == hash)
    }

    fn clear(&self) -> Option<&str> {
        self.passwords.iter().find_map(|stored| password::clear(stored))
    }
}

/// Reads the user of an entry. `Ok(None)`: the entry is not a person with a `uid` (a domain, a branch).
/// `warn` takes what is odd but does not forbid the entry.
pub(super) fn read(
    entry: &Entry,
    default_domain: Option<&str>,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Record>, String> {
    let Some(uid) = entry.first("uid") else {
        return Ok(None);
    };
    let mail = entry.first("mail").unwrap_or_default();
    let userid = userid_of(&uid, &entry.dn, &mail, default_domain);
    check_userid(&userid)?;
    let mut status = Status::Active;
    for attribute in ["mailuserstatus", "inetuserstatus"] {
        for value in entry.all(attribute) {
            let read = Status::parse(&value).unwrap_or_else(|| {
                warn(format!("{userid}: unknown status \"{value}\" is taken as inactive"));
                Status::Inactive
            });
            status = status.max(read);
        }
    }
    let mut quota = |attribute: &str| match entry.first(attribute).map(|text| Quota::parse(&text)) {
        None => Quota::default(),
        Some(Ok(quota)) => quota,
        Some(Err(error)) => {
            warn(format!("{userid}: {attribute}: {error}; the default is used"));
            Quota::default()
        }
    };
    let (mail_quota, msg_quota) = (quota("mailquota"), quota("mailmsgquota"));
    let mut keys: Vec<Keys> = Vec::new();
    for value in entry.all("authpassword") {
        match Keys::parse(&value) {
            Ok(Some(found)) if keys.iter().all(|known| known.hash != found.hash) => keys.push(found),
            Ok(_) => {}
            Err(error) => warn(format!("{userid}: authPassword: {error}")),
        }
    }
    let services: Vec<String> = entry.all("mailallowedserviceaccess").collect();
    let lower = |name: &str| entry.all(name).map(|text| text.to_lowercase()).collect();
    let user = User {
        dn: entry.dn.clone(),
        name: entry.first("cn").unwrap_or_default(),
        mail,
        alternates: entry.all("mailalternateaddress").chain(entry.all("mailequivalentaddress")).collect(),
        status,
        mail_quota,
        msg_quota,
        language: entry.first("preferredlanguage").unwrap_or_default().trim().to_lowercase(),
        partition: entry.first("mailmessagestore").filter(|name| !name.is_empty()),
        allowed_services: (!services.is_empty()).then(|| services.join("$")),
        groups: lower("aclgroupaddr"),
        delivery: lower("maildeliveryoption"),
        userid,
    };
    Ok(Some(Record {
        user,
        host: entry.first("mailhost").map(|host| host.to_ascii_lowercase()).filter(|host| !host.is_empty()),
        passwords: entry.all("userpassword").collect(),
        keys,
        clear_keys: Default::default(),
        line: entry.line,
    }))
}

/// The userid of an entry. The domain is the one written in `uid`, else the one of the entry's place in the tree (an `o=`
/// that is a domain name, else its `dc=` parts), else the one of `mail`; the default domain is not written.
fn userid_of(uid: &str, dn: &str, mail: &str, default_domain: Option<&str>) -> String {
    let uid = uid.trim().to_lowercase();
    let Some(default) = default_domain else {
        return uid;
    };
    if uid.contains('@') {
        return canonical_userid(&uid, default_domain);
    }
    let mail_domain = mail.rsplit_once('@').map(|(_, domain)| domain.to_lowercase());
    if mail_domain.as_deref() == Some(default) {
        return uid;
    }
    match domain_of(dn).or(mail_domain) {
        Some(domain) if domain != default => format!("{uid}@{domain}"),
        _ => uid,
    }
}

fn domain_of(dn: &str) -> Option<String> {
    let parts: Vec<(String, String)> = dn
        .split(',')
        .filter_map(|part| part.split_once('='))
        .map(|(kind, value)| (kind.trim().to_lowercase(), value.trim().to_lowercase()))
        .collect();
    if let Some((_, domain)) = parts.iter().find(|(kind, value)| kind == "o" && value.contains('.')) {
        return Some(domain.clone());
    }
    let labels: Vec<&str> = parts.iter().filter(|(kind, _)| kind == "dc").map(|(_, value)| value.as_str()).collect();
    (labels.len() >= 2).then(|| labels.join("."))
}
