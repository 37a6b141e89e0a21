//! What the users of each domain hold together: a row of each shard for each domain, kept in the transactions that change an account's row. The usage
//! of a domain is the sum over the shards.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::check::Finding;
use super::error::{Kind, StoreError};
use super::ids::AccountId;
use super::lmdb::{Rows, Write};
use super::record::{Account, DomainUsage, Meta};
use super::schema::{self, SHARD, kind};
use super::{Shard, Store, codec, rows};

/// The domain of a user id; empty: the user has none, which means the default domain.
pub fn domain_of(userid: &str) -> &str {
    userid.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Takes the row of an account that is stored now out of its domain, and the new one into its own; `None`: the account goes.
pub(super) fn follow(txn: &mut Write<'_>, id: AccountId, new: Option<&Account>) -> Result<(), StoreError> {
    // A row that cannot be read was in no sum that a recount would give.
    let key = schema::account(id);
    let old =
        txn.get(&key)?.and_then(|stored| codec::open(&key, stored).ok()).and_then(|row| Account::decode(row).ok());
    let side = |row: &Account| (domain_of(&row.userid).to_owned(), DomainUsage::of(row));
    let (old, new) = (old.as_ref().map(side), new.map(side));
    if old == new {
        return Ok(());
    }
    match (&old, &new) {
        (Some((before, out)), Some((after, into))) if before == after => change(txn, after, *out, *into),
        _ => {
            if let Some((before, out)) = &old {
                change(txn, before, *out, DomainUsage::default())?;
            }
            match &new {
                Some((after, into)) => change(txn, after, DomainUsage::default(), *into),
                None => Ok(()),
            }
        }
    }
}

fn change(txn: &mut Write<'_>, domain: &str, out: DomainUsage, into: DomainUsage) -> Result<(), StoreError> {
    let key = schema::domain(domain);
    let usage = match read(txn, domain) {
        Ok(usage) => usage.and(into).without(out),
        Err(error) if error.kind() == Kind::Corrupt => {
            // It must not stop the mail of a whole domain: the shard's domains are counted anew, until then by reading accounts.
            let meta = Meta { domains: false, ..rows::shard_meta(txn)? };
            rows::put_shard_meta(txn, &meta)?;
            return txn.del(&key).map(|_| ());
        }
        Err(error) => return Err(error),
    };
    if usage.accounts == 0 {
        return txn.del(&key).map(|_| ());
    }
    rows::put(txn, &key, usage.encode())
}

fn read<R: Rows + ?Sized>(rows: &R, domain: &str) -> Result<DomainUsage, StoreError> {
    let key = schema::domain(domain);
    let row = rows::value(rows, &key)?;
    row.map_or(Ok(DomainUsage::default()), |row| DomainUsage::decode(&row).map_err(|_| codec::damaged(&key)))
}

/// The rows of a shard.
fn recorded<R: Rows + ?Sized>(rows: &R) -> Result<BTreeMap<String, DomainUsage>, StoreError> {
    let mut found = BTreeMap::new();
    rows.scan(&schema::domain(""), &mut |key, stored| {
        if !schema::within_kind(key, SHARD, kind::DOMAIN) {
            return Ok(ControlFlow::Break(()));
        }
        let usage = DomainUsage::decode(codec::open(key, stored)?).map_err(|_| codec::damaged(key))?;
        found.insert(String::from_utf8_lossy(schema::rest(key)).into_owned(), usage);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// The sums over the account rows of a shard.
fn counted<R: Rows + ?Sized>(rows: &R) -> Result<BTreeMap<String, DomainUsage>, StoreError> {
    let mut found: BTreeMap<String, DomainUsage> = BTreeMap::new();
    rows::each_account(rows, AccountId(1), &mut |_, row| {
        if let Some(row) = row {
            let sum = found.entry(domain_of(&row.userid).to_owned()).or_default();
            *sum = sum.and(DomainUsage::of(&row));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// The domains of a shard: its rows, or the sums where an older build has left none.
fn of_shard(shard: &Shard) -> Result<BTreeMap<String, DomainUsage>, StoreError> {
    let read = shard.env()?.read()?;
    if rows::shard_meta(&read)?.domains { recorded(&read) } else { counted(&read) }
}

impl Store {
    /// What the users of a domain hold together; of users without a domain under the empty name.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn domain_usage(&self, domain: &str) -> Result<DomainUsage, StoreError> {
        let mut sum = DomainUsage::default();
        for shard in &self.inner.shards {
            let read = shard.env()?.read()?;
            let part = match rows::shard_meta(&read)?.domains {
                true => self::read(&read, domain)?,
                false => counted(&read)?.remove(domain).unwrap_or_default(),
            };
            sum = sum.and(part);
        }
        Ok(sum)
    }

    /// The same for every domain that has accounts, by name.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn domain_usages(&self) -> Result<BTreeMap<String, DomainUsage>, StoreError> {
        let mut sums: BTreeMap<String, DomainUsage> = BTreeMap::new();
        for shard in &self.inner.shards {
            for (domain, usage) in of_shard(shard)? {
                let sum = sums.entry(domain).or_default();
                *sum = sum.and(usage);
            }
        }
        Ok(sums)
    }

    /// Counts the domains of shards in which an older build has left no rows of them; with `all`, of every shard. Returns how many shards that were.
    ///
    /// # Errors
    /// The mailbox database cannot be used.
    pub fn count_domains(&self, all: bool) -> Result<usize, StoreError> {
        let mut done = 0;
        for shard in &self.inner.shards {
            if !all && rows::shard_meta(&shard.env()?.read()?)?.domains {
                continue;
            }
            shard.group()?.run(|txn, _| {
                // Rows that cannot be read go, too.
                let mut old = Vec::new();
                txn.scan(&schema::domain(""), &mut |key, _| {
                    if !schema::within_kind(key, SHARD, kind::DOMAIN) {
                        return Ok(ControlFlow::Break(()));
                    }
                    old.push(key.to_vec());
                    Ok(ControlFlow::Continue(()))
                })?;
                for key in old {
                    txn.del(&key)?;
                }
                for (domain, usage) in counted(txn)? {
                    rows::put(txn, &schema::domain(&domain), usage.encode())?;
                }
                let meta = Meta { domains: true, ..rows::shard_meta(txn)? };
                rows::put_shard_meta(txn, &meta)
            })?;
            done += 1;
        }
        Ok(done)
    }

    /// Compares the rows of domains with the sums over accounts.
    pub(super) fn check_domains(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        for shard in &self.inner.shards {
            let read = shard.env()?.read()?;
            if !rows::shard_meta(&read)?.domains {
                continue;
            }
            // A row that cannot be read is a finding of its own, and what it held is unknown.
            let mut unreadable = false;
            rows::each_account(&read, AccountId(1), &mut |_, row| {
                unreadable |= row.is_none();
                Ok(ControlFlow::Continue(()))
            })?;
            if unreadable {
                continue;
            }
            let (recorded, counted) = (recorded(&read)?, counted(&read)?);
            let names: std::collections::BTreeSet<&String> = recorded.keys().chain(counted.keys()).collect();
            for name in names {
                let (old, new) = (recorded.get(name).copied(), counted.get(name).copied());
                if old != new {
                    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
                    findings.push(Finding {
                        invariant: "I3",
                        place: format!("domain {name} in {}", shard.dir.display()),
                        uid: None,
                        what: format!(
                            "usage is recorded as {} bytes in {} messages of {} accounts, the accounts hold {} in {} of {}",
                            old.bytes, old.messages, old.accounts, new.bytes, new.messages, new.accounts
                        ),
                        harmless: false,
                    });
                }
            }
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Settings;

    #[test]
    fn shards_of_an_older_build_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            root: dir.path().join("store"),
            partitions: vec![("primary".into(), dir.path().join("primary"))],
            default_partition: "primary".into(),
            notify_dir: None,
        };
        Store::create(&settings, 1).unwrap();
        let store = Store::open(settings).unwrap();
        for user in ["joe", "ann@siroe.com", "bob@siroe.com"] {
            store.account_create(user, None, 1).unwrap();
        }
        let shard = &store.inner.shards[0];
        let group = shard.group().unwrap();
        let right = of_shard(shard).unwrap();
        assert_eq!(right.get("siroe.com").map(|usage| usage.accounts), Some(2));
        let put = |domains: bool| {
            group.run(|txn, _| {
                txn.del(&schema::domain("siroe.com"))?;
                rows::put(txn, &schema::domain("gone.com"), right.get("").copied().unwrap_or_default().encode())?;
                let meta = Meta { domains, ..rows::shard_meta(txn)? };
                rows::put_shard_meta(txn, &meta)
            })
        };
        // Rows that are said to be there and are wrong.
        put(true).unwrap();
        assert_eq!(store.check_domains().unwrap().len(), 2);
        assert_eq!((store.count_domains(false).unwrap(), store.count_domains(true).unwrap()), (0, 1));
        assert_eq!((of_shard(shard).unwrap(), store.check_domains().unwrap()), (right.clone(), Vec::new()));
        // Those of an older build: nothing is looked at.
        put(false).unwrap();
        assert_eq!(store.domain_usages().unwrap(), right);
        assert_eq!(store.domain_usage("siroe.com").unwrap().accounts, 2);
        assert_eq!(store.count_domains(false).unwrap(), 1);
        assert_eq!((of_shard(shard).unwrap(), store.check_domains().unwrap()), (right, Vec::new()));
    }
}
