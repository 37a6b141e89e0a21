//! Searches: filters in which no value can do harm, pages, and entries as LDIF has them. Source: RFC 4511 section 4.5, RFC 4515, RFC 2696.

use ldap3::asn1::{PL, StructureTag};
use ldap3::controls::{Control, ControlType, PagedResults};
use ldap3::{Ldap, Scope, ldap_escape};

use super::wire::Failure;
use crate::directory::ldif::{Attribute, Entry};

/// Entries that are asked for at a time.
const PAGE: i32 = 500;

/// The attributes that are read.
const ATTRIBUTES: [&str; 31] = [
    "objectClass",
    "uid",
    "cn",
    "mail",
    "mailAlternateAddress",
    "mailEquivalentAddress",
    "userPassword",
    "authPassword",
    "mailHost",
    "mailQuota",
    "mailMsgQuota",
    "preferredLanguage",
    "mailUserStatus",
    "inetUserStatus",
    "mailMessageStore",
    "mailAllowedServiceAccess",
    "aclGroupAddr",
    "mailDeliveryOption",
    "memberOf",
    "mailAdminRole",
    "uniqueMember",
    "member",
    "o",
    "sunPreferredDomain",
    "associatedDomain",
    "inetDomainBaseDN",
    "inetDomainStatus",
    "mailDomainStatus",
    "mailDomainDiskQuota",
    "mailDomainMsgQuota",
    "mailDomainAllowedServiceAccess",
];

/// What is searched.
#[derive(Clone, Debug)]
pub(super) struct Search {
    pub(super) base: String,
    pub(super) scope: Scope,
    pub(super) filter: String,
    /// An attribute that is wanted beside those that are always read.
    pub(super) also: Option<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    /// A part of the tree is on other servers: entries may be missing.
    pub(super) elsewhere: Vec<String>,
    /// What is to be said for the next page; empty: there is none.
    cookie: Vec<u8>,
}

impl Found {
    pub(super) fn is_last(&self) -> bool {
        self.cookie.is_empty()
    }
}

/// `(attribute=value)`, whatever the value is.
pub(super) fn equals(attribute: &str, value: &str) -> String {
    format!("({attribute}={})", ldap_escape(value))
}

/// `(|...)` of filters.
pub(super) fn any(filters: impl IntoIterator<Item = String>) -> String {
    format!("(|{})", filters.into_iter().collect::<String>())
}

/// All that is found.
pub(super) async fn all(mut ldap: Ldap, search: Search) -> Result<Found, Failure> {
    let mut found = Found::default();
    loop {
        let page = one_page(&mut ldap, &search, std::mem::take(&mut found.cookie)).await?;
        found.entries.extend(page.entries);
        found.elsewhere.extend(page.elsewhere);
        found.cookie = page.cookie;
        if found.is_last() {
            return Ok(found);
        }
    }
}

/// The page after `last`, on the connection that has brought it; the first page without one.
pub(super) async fn page(mut ldap: Ldap, search: Search, last: Option<Found>) -> Result<Found, Failure> {
    one_page(&mut ldap, &search, last.map(|last| last.cookie).unwrap_or_default()).await
}

async fn one_page(ldap: &mut Ldap, search: &Search, cookie: Vec<u8>) -> Result<Found, Failure> {
    let mut found = Found::default();
    if search.scope != Scope::Base {
        ldap.with_controls(ldap3::controls::RawControl::from(PagedResults { size: PAGE, cookie }));
    }
    let wanted: Vec<&str> = ATTRIBUTES.into_iter().chain(search.also.as_deref()).collect();
    let mut stream = ldap.streaming_search(&search.base, search.scope, &search.filter, wanted).await?;
    while let Some(result) = stream.next().await? {
        if result.is_ref() {
            found.elsewhere.extend(strings(result.0));
        } else if !result.is_intermediate() {
            let unreadable = || Failure::Unreachable("an entry of the answer cannot be read".to_owned());
            found.entries.push(entry(result.0).ok_or_else(unreadable)?);
        }
    }
    let result = stream.finish().await;
    if result.rc != 0 {
        return Err(Failure::of(&result));
    }
    for Control(kind, raw) in result.ctrls {
        if let Some(ControlType::PagedResults) = kind {
            found.cookie = raw.parse::<PagedResults>().cookie;
        }
    }
    Ok(found)
}

fn strings(tag: StructureTag) -> Vec<String> {
    match tag.payload {
        PL::P(bytes) => vec![String::from_utf8_lossy(&bytes).into_owned()],
        PL::C(parts) => parts.into_iter().flat_map(strings).collect(),
    }
}

/// SearchResultEntry ::= SEQUENCE { objectName, attributes: SEQUENCE OF { type, vals: SET OF value } }.
fn entry(tag: StructureTag) -> Option<Entry> {
    let mut parts = tag.expect_constructed()?.into_iter();
    let dn = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
    let mut attributes = Vec::new();
    for attribute in parts.next()?.expect_constructed()? {
        let mut parts = attribute.expect_constructed()?.into_iter();
        let name = String::from_utf8(parts.next()?.expect_primitive()?).ok()?;
        let name = name.split(';').next().unwrap_or_default().to_ascii_lowercase();
        for value in parts.next()?.expect_constructed()? {
            let value = value.expect_primitive()?;
            attributes.push(Attribute { name: name.clone(), value, line: 0, span: 0..0 });
        }
    }
    Some(Entry { dn, line: 0, attributes, span: 0..0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_changes_a_filter() {
        assert_eq!(equals("uid", "*)(uid=*"), "(uid=\\2a\\29\\28uid=\\2a)");
        assert_eq!(equals("uid", "a\\b\0"), "(uid=a\\5cb\\00)");
        assert_eq!(any([equals("a", "1"), equals("b", "2")]), "(|(a=1)(b=2))");
        for value in ["*", "(", ")", "\\", "\0", "\u{e9}", "&(|", "a=b", ""] {
            assert!(ldap3::parse_filter(equals("uid", value)).is_ok(), "{value:?}");
        }
    }

    #[test]
    fn an_answer_that_is_no_entry_is_none() {
        use ldap3::asn1::TagClass;
        let tag = |payload| StructureTag { class: TagClass::Universal, id: 4, payload };
        let text = |text: &str| tag(PL::P(text.as_bytes().to_vec()));
        let values = tag(PL::C(vec![text("joe"), text("jd")]));
        let attribute = tag(PL::C(vec![text("UID;x-y"), values.clone()]));
        let sound = entry(tag(PL::C(vec![text("uid=joe,o=x"), tag(PL::C(vec![attribute]))]))).unwrap();
        assert_eq!(
            (sound.dn.as_str(), sound.all("uid").collect::<Vec<_>>()),
            ("uid=joe,o=x", vec!["joe".into(), "jd".into()])
        );
        for wrong in [
            tag(PL::P(vec![])),
            tag(PL::C(vec![])),
            tag(PL::C(vec![text("o=x")])),
            tag(PL::C(vec![values.clone(), values.clone()])),
            tag(PL::C(vec![tag(PL::P(vec![0xff])), tag(PL::C(vec![]))])),
            tag(PL::C(vec![text("o=x"), tag(PL::C(vec![text("uid")]))])),
        ] {
            assert_eq!(entry(wrong), None);
        }
    }
}
