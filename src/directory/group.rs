//! Groups, as far as they make somebody an administrator: of the product (`store.serviceadmingroupdn`), or of the mail of a domain. Source: 2004Q2
//! Administration Guide, chapter 18 (Specifying Administrator Access to the Store); Schema Reference 6 2004Q2, inetMailAdministrator.

use super::dn::Dn;
use super::ldif::Entry;
use super::site::Site;
use super::user::STORE_ADMIN;

/// The attributes that name a member (lower case).
pub(super) const MEMBERS: [&str; 2] = ["uniquemember", "member"];

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    dn: Dn,
    members: Vec<Dn>,
    /// Its members administer the mail of its domain.
    store_admin: bool,
}

/// Reads the group of an entry; `None`: it names no member.
pub(super) fn read(entry: &Entry) -> Option<Group> {
    let members: Vec<Dn> = MEMBERS.iter().flat_map(|name| entry.all(name)).map(|text| Dn::parse(&text)).collect();
    let store_admin = entry.all("mailadminrole").any(|role| role.trim().eq_ignore_ascii_case(STORE_ADMIN));
    (!members.is_empty()).then(|| Group { dn: Dn::parse(&entry.dn), members, store_admin })
}

impl Group {
    /// True for the group of service administrators with this member.
    pub(super) fn makes_service_admin(&self, site: &Site, member: &Dn) -> bool {
        site.admin_group.as_ref() == Some(&self.dn) && self.members.contains(member)
    }

    /// True for a group of `domain` that makes this member an administrator of the domain's mail.
    pub(super) fn makes_domain_admin(&self, site: &Site, member: &Dn, domain: &str) -> bool {
        let own = || self.dn.domain(site.dc_root.as_ref());
        self.store_admin && self.members.contains(member) && own().as_deref() == Some(domain)
    }
}
