//! A user, and how one is read from the attributes of an entry.

use std::sync::OnceLock;

use super::dn::{Dn, escaped};
use super::domain::Domain;
use super::ldif::Entry;
use super::password;
use super::quota::Quota;
use super::scram::{self, Bytes32, Hash, Keys};
use super::site::Site;
use crate::text::domain;

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

/// The value of `mailAdminRole` that gives rights over the mail of a domain.
pub(super) const STORE_ADMIN: &str = "storeadmin";

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
    /// The domain it is in: that of the userid, else the default domain.
    pub domain: Option<String>,
    /// What the account itself may do; see [`User::standing`].
    pub status: Status,
    /// What the accounts of its domain may do.
    pub domain_status: Status,
    /// Quota in bytes (`mailQuota`).
    pub mail_quota: Quota,
    /// Quota in messages (`mailMsgQuota`).
    pub msg_quota: Quota,
    /// The language that the person prefers (`preferredLanguage`), lower case, such as `de`; empty without one.
    pub language: String,
    /// The partition of the mailbox (`mailMessageStore`).
    pub partition: Option<String>,
    /// The service filter (`mailAllowedServiceAccess`, else the one of the domain); several values are joined with `$`.
    pub allowed_services: Option<String>,
    /// The groups in access lists (`aclGroupAddr`), lower case.
    pub groups: Vec<String>,
    /// The ways of delivery (`mailDeliveryOption`), lower case; empty means `mailbox`.
    pub delivery: Vec<String>,
    /// A member of the group of service administrators (`store.serviceadmingroupdn`).
    pub service_admin: bool,
    /// Administers the mail of its domain by its own entry (`mailAdminRole`), which is in the place of that domain; see `Directory::administers_domain`.
    pub domain_admin: bool,
}

impl User {
    /// What the account may do: the stricter of its own status and that of its domain.
    pub fn standing(&self) -> Status {
        self.status.max(self.domain_status)
    }

    /// The primary address, if there is one, and the further ones.
    pub fn addresses(&self) -> impl Iterator<Item = &String> {
        Some(&self.mail).filter(|mail| !mail.is_empty()).into_iter().chain(&self.alternates)
    }

    /// Adds what holds for all users of its domain.
    pub(super) fn join(&mut self, domain: &Domain) {
        self.domain_status = domain.status;
        if self.allowed_services.is_none() {
            self.allowed_services.clone_from(&domain.allowed_services);
        }
    }
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

/// The userid in the form of the store: lower case, without the default domain; a domain in its ASCII form.
pub fn canonical_userid(name: &str, default_domain: Option<&str>) -> String {
    let name = canonical_address(name);
    match (name.rsplit_once('@'), default_domain) {
        (Some((local, domain)), Some(default)) if domain == domain::ascii(default) => local.to_owned(),
        _ => name,
    }
}

/// An address in the form in which addresses are compared: lower case, its domain in ASCII.
pub(super) fn canonical_address(address: &str) -> String {
    let address = address.trim().to_lowercase();
    match address.rsplit_once('@') {
        Some((local, domain)) if !domain.is_ascii() => format!("{local}@{}", domain::ascii(domain)),
        _ => address,
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
    let uid = uid_for(userid, Dn::parse(&dn).domain(None), mail, default_domain);
    (dn, uid)
}

/// The value of `uid` with which an entry in a place of that domain is read as `userid`.
pub(super) fn uid_for(userid: &str, place: Option<String>, mail: &str, default_domain: Option<&str>) -> String {
    let local = userid.rsplit_once('@').map_or(userid, |(local, _)| local);
    if userid_of(local, place, mail, default_domain) == userid { local.to_owned() } else { userid.to_owned() }
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
///
/// `base_domain` is the domain below whose base (`inetDomainBaseDN`) the entry is.
pub(super) fn read(
    entry: &Entry,
    site: &Site,
    base_domain: Option<&str>,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Record>, String> {
    let place = Dn::parse(&entry.dn);
    let Some(uid) = one_value(entry, "uid", &place) else {
        return Ok(None);
    };
    let mail = entry.first("mail").unwrap_or_default();
    let default_domain = site.default_domain.as_deref();
    let place_domain = base_domain.map(str::to_owned).or_else(|| place.domain(site.dc_root.as_ref()));
    let place_domain = place_domain.map(|domain| domain::ascii(&domain));
    let decisive_mail = one_value(entry, "mail", &place).unwrap_or_default();
    let userid = userid_of(&uid, place_domain.clone(), &decisive_mail, default_domain);
    check_userid(&userid)?;
    let own_domain =
        userid.rsplit_once('@').map(|(_, domain)| domain.to_owned()).or_else(|| site.default_domain.clone());
    // Whoever may write below one domain makes no users of another one. The default domain and the whole directory are no place of that sort.
    if let (Some(place), Some(own), true) = (&place_domain, &own_domain, uid.contains('@') && default_domain.is_some())
        && *place != domain::ascii(own)
        && [default_domain, site.base_domain.as_deref()].iter().flatten().all(|wide| domain::ascii(wide) != *place)
    {
        return Err(format!("{userid} is below the domain {place}, where no user of another domain can be"));
    }
    let status = strictest(entry, &["mailuserstatus", "inetuserstatus"], &userid, warn);
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
        domain_status: Status::Active,
        service_admin: entry.all("memberof").any(|group| site.admin_group.as_ref() == Some(&Dn::parse(&group))),
        // A right over a domain comes from the place of the entry, not from what it says of itself.
        domain_admin: place_domain.is_some()
            && place_domain == own_domain.as_deref().map(domain::ascii)
            && entry.all("mailadminrole").any(|role| role.trim().eq_ignore_ascii_case(STORE_ADMIN)),
        domain: own_domain,
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

/// Of several values, which have no order on a server, the one in the entry's own name, else the smallest.
fn one_value(entry: &Entry, attribute: &str, name: &Dn) -> Option<String> {
    let named = entry.all(attribute).find(|value| name.begins_with(attribute, value));
    named.or_else(|| entry.all(attribute).min())
}

/// The stricter of the values of some attributes (names in lower case) of the entry of `whose`.
pub(super) fn strictest(entry: &Entry, attributes: &[&str], whose: &str, warn: &mut dyn FnMut(String)) -> Status {
    let values = attributes.iter().flat_map(|attribute| entry.all(attribute));
    let read = values.map(|value| {
        Status::parse(&value).unwrap_or_else(|| {
            warn(format!("{whose}: unknown status \"{value}\" is taken as inactive"));
            Status::Inactive
        })
    });
    read.max().unwrap_or_default()
}

/// What one attribute of an entry says of its status.
pub(super) fn status_of(entry: &Entry, attribute: &str) -> Status {
    strictest(entry, &[&attribute.to_ascii_lowercase()], &entry.dn, &mut |_| {})
}

/// The userid of an entry. The domain is the one written in `uid`, else the one of the entry's place in the tree (`place`),
/// else the one of `mail`; the default domain is not written.
fn userid_of(uid: &str, place: Option<String>, mail: &str, default_domain: Option<&str>) -> String {
    let uid = uid.trim().to_lowercase();
    let Some(default) = default_domain.map(domain::ascii) else {
        return uid;
    };
    if uid.contains('@') {
        return canonical_userid(&uid, default_domain);
    }
    let mail_domain = mail.rsplit_once('@').map(|(_, domain)| domain::ascii(domain));
    if mail_domain.as_ref() == Some(&default) {
        return uid;
    }
    match place.or(mail_domain) {
        Some(domain) if domain::ascii(&domain) != default => format!("{uid}@{}", domain::ascii(&domain)),
        _ => uid,
    }
}
