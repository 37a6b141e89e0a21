//! A mail domain, and how one is read from the attributes of an entry. Source: 2004Q2 Administration Guide, table 18-6; Schema Reference 6 2004Q2,
//! object classes inetDomain, mailDomain and sunManagedOrganization.

use super::dn::Dn;
use super::ldif::Entry;
use super::quota::Limit;
use super::user::{Status, strictest};

/// The object classes, one of which an entry of a domain has (lower case).
pub(super) const CLASSES: [&str; 3] = ["maildomain", "inetdomain", "sunmanagedorganization"];

/// One domain of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// Its name, lower case.
    pub name: String,
    /// The distinguished name of its entry.
    pub dn: String,
    /// Its other names (`associatedDomain`), lower case.
    pub aliases: Vec<String>,
    /// The entry below which its users are (`inetDomainBaseDN`). `None`: its own.
    pub base_dn: Option<String>,
    /// What its accounts may do at most (`mailDomainStatus` and `inetDomainStatus`; the stricter of the two counts).
    pub status: Status,
    /// Quota of all its users together in bytes (`mailDomainDiskQuota`). `None`: unlimited (absent, or below 0).
    pub disk_quota: Option<u64>,
    /// Quota of all its users together in messages (`mailDomainMsgQuota`), likewise.
    pub msg_quota: Option<u64>,
    /// The service filter of those users that have none themselves (`mailDomainAllowedServiceAccess`).
    pub allowed_services: Option<String>,
}

impl Domain {
    /// The entry that says where its users are, and its name.
    pub(super) fn base(&self) -> Option<(Dn, String)> {
        self.base_dn.as_ref().map(|dn| (Dn::parse(dn), self.name.clone()))
    }
}

/// The nearest of these bases above an entry: the name of its domain. Of two domains with one base it is the first by name.
pub(super) fn nearest<'a>(bases: &'a [(Dn, String)], dn: &Dn) -> Option<&'a str> {
    let above = bases.iter().filter(|(base, _)| dn.is_in(base));
    above.max_by(|(a, one), (b, other)| a.depth().cmp(&b.depth()).then(other.cmp(one))).map(|(_, name)| name.as_str())
}

/// Reads the domain of an entry. `Ok(None)`: the entry is not a domain. `dc_root` (`service.dcroot`) is the part of distinguished names that
/// is no part of the domain's name. `warn` takes what is odd but does not forbid the entry.
pub(super) fn read(
    entry: &Entry,
    dc_root: Option<&Dn>,
    warn: &mut dyn FnMut(String),
) -> Result<Option<Domain>, String> {
    let is_domain = entry.all("objectclass").any(|class| CLASSES.contains(&class.to_lowercase().as_str()));
    if !is_domain || entry.first("uid").is_some() {
        return Ok(None);
    }
    let lower =
        |name: &'static str| entry.all(name).map(|text| text.trim().to_lowercase()).filter(|text| !text.is_empty());
    let preferred = lower("sunpreferreddomain").next();
    let Some(name) = preferred.or_else(|| Dn::parse(&entry.dn).domain(dc_root)).or_else(|| lower("o").next()) else {
        return Err(format!("{}: the entry of a domain tells no name of a domain", entry.dn));
    };
    let status = strictest(entry, &["maildomainstatus", "inetdomainstatus"], &name, warn);
    let mut quota = |attribute: &str| {
        let limit = Limit::parse(&entry.first(attribute)?);
        limit
            .unwrap_or_else(|error| {
                warn(format!("{name}: {attribute}: {error}; there is no quota"));
                Limit::Unlimited
            })
            .or(None)
    };
    let services: Vec<String> = entry.all("maildomainallowedserviceaccess").collect();
    Ok(Some(Domain {
        disk_quota: quota("maildomaindiskquota"),
        msg_quota: quota("maildomainmsgquota"),
        aliases: lower("associateddomain").filter(|alias| *alias != name).collect(),
        base_dn: entry.first("inetdomainbasedn").filter(|dn| !dn.is_empty()),
        allowed_services: (!services.is_empty()).then(|| services.join("$")),
        dn: entry.dn.clone(),
        status,
        name,
    }))
}
