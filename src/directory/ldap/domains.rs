//! The domains on the servers: their entries, and below whose base an entry is.

use std::collections::HashMap;

use super::search::{any, equals};
use super::{LdapDirectory, elsewhere};
use crate::directory::DirectoryError;
use crate::directory::dn::Dn;
use crate::directory::domain::{self, Domain};
use crate::log::{self, Category};

/// Domains by the name of the entry above a user's, in one piece of work.
#[derive(Default)]
pub(super) struct Bases(HashMap<String, Option<String>>);

impl LdapDirectory {
    /// Where entries of domains are.
    fn domain_roots(&self) -> impl Iterator<Item = &String> {
        self.settings().dc_root.iter().chain([&self.settings().base_dn])
    }

    /// The domain below whose base (`inetDomainBaseDN`) an entry is. Of two domains with one base it is the first by name.
    pub(super) fn base_domain(&self, dn: &str, bases: &mut Bases) -> Result<Option<String>, DirectoryError> {
        // Every entry above it, by its name: the text behind each comma that ends a part.
        let bytes = dn.as_bytes();
        let ends = (1..bytes.len()).filter(|at| bytes.get(*at) == Some(&b',') && bytes.get(at - 1) != Some(&b'\\'));
        let above: Vec<&str> = ends.filter_map(|at| dn.get(at + 1..)).map(str::trim).collect();
        let Some(parent) = above.first() else {
            return Ok(None);
        };
        if let Some(known) = bases.0.get(*parent) {
            return Ok(known.clone());
        }
        // Servers find entries by class in an index.
        let classes = any(domain::CLASSES.map(|class| equals("objectClass", class)));
        let filter = format!("(&{classes}{})", any(above.iter().map(|dn| equals("inetDomainBaseDN", dn))));
        let mut found = Vec::new();
        for root in self.domain_roots() {
            for entry in self.search(root, filter.clone())?.entries {
                if let Ok(Some(domain)) = domain::read(&entry, self.site.dc_root.as_ref(), &mut |_| {}) {
                    found.extend(domain.base());
                }
            }
        }
        let name = domain::nearest(&found, &Dn::parse(dn)).map(str::to_owned);
        bases.0.insert((*parent).to_owned(), name.clone());
        Ok(name)
    }

    pub(in crate::directory) fn domain(&self, name: &str) -> Result<Option<Domain>, DirectoryError> {
        let name = name.trim().to_lowercase();
        if let Some(known) = self.domains.get(&name) {
            return Ok(known);
        }
        let classes = any(domain::CLASSES.map(|class| equals("objectClass", class)));
        let label = name.split('.').next().unwrap_or(&name);
        let names = [("sunPreferredDomain", name.as_str()), ("associatedDomain", &name), ("o", &name), ("dc", label)];
        let filter = format!("(&{classes}{})", any(names.map(|(attribute, value)| equals(attribute, value))));
        let mut domains = Vec::new();
        let mut other_servers = Vec::new();
        for root in self.domain_roots() {
            let found = self.search(root, filter.clone())?;
            other_servers.extend(found.elsewhere);
            for entry in found.entries {
                match domain::read(&entry, self.site.dc_root.as_ref(), &mut |text| {
                    log::error(Category::Ldap, self.place(&entry, &text));
                }) {
                    Ok(domain) => domains.extend(domain),
                    Err(text) => log::error(Category::Ldap, self.place(&entry, &text)),
                }
            }
        }
        let place = domains.iter().position(|domain| domain.name == name);
        let place = place.or_else(|| domains.iter().position(|domain| domain.aliases.contains(&name)));
        let found = place.map(|at| domains.swap_remove(at));
        if found.is_none() && !other_servers.is_empty() {
            return Err(self.unavailable(elsewhere(&other_servers)));
        }
        let size = found.as_ref().map_or(0, |domain| size_of::<Domain>() + domain.dn.len() + domain.name.len());
        self.domains.keep(&name, found.clone(), size);
        Ok(found)
    }
}
