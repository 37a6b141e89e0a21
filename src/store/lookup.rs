//! Which folders somebody may look up (the original's `lright` database): a row of each shard for each entry of an access control list that grants
//! `l` to somebody else than the owner, kept in the transactions that change the list. A row is a hint: whoever follows it asks the list.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::acl::Who;
use super::check::Finding;
use super::error::{Kind, StoreError};
use super::ids::{AccountId, FolderId};
use super::lmdb::{Rows, Write};
use super::name::{FolderPath, MailboxName};
use super::record::{Acl, Folder, Meta, Rights};
use super::schema::{self, SHARD, kind};
use super::{Shard, Store, Tx, codec, rows};

/// Identifiers above this length are cut in keys, and told apart by a hash.
const WHOLE_BYTES: usize = 384;

/// A folder of somebody else that the user who acts may look up.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Whose it is.
    pub account: AccountId,
    /// The owner's user id.
    pub owner: String,
    /// Its path in the owner's account.
    pub path: FolderPath,
    /// Its row.
    pub folder: Folder,
}

/// A row of the shard.
type Row = (Vec<u8>, String);

/// The start of the keys of an identifier.
fn prefix(identifier: &str) -> Vec<u8> {
    let mut bytes = identifier.to_lowercase().into_bytes();
    if bytes.len() > WHOLE_BYTES {
        let hash = blake3::hash(&bytes);
        bytes.truncate(WHOLE_BYTES - 16);
        bytes.extend(hash.as_bytes().iter().take(16));
    }
    bytes.push(0);
    bytes
}

/// The rows that a list asks for: its entries that grant `l` to others than the owner.
fn wanted(account: AccountId, owner: &str, folder: FolderId, acl: &Acl) -> Vec<Row> {
    let grants = acl.0.iter().filter(|entry| {
        entry.rights.contains(Rights::LOOKUP)
            && !entry.identifier.starts_with('-')
            && !entry.identifier.eq_ignore_ascii_case(owner)
    });
    grants
        .map(|entry| (schema::lookup(&prefix(&entry.identifier), account, folder), entry.identifier.clone()))
        .collect()
}

/// A list was one, with the owner it had, and is another now; `None`: there is no folder.
pub(super) fn follow(
    txn: &mut Write<'_>,
    (account, folder): (AccountId, FolderId),
    old: Option<(&str, &Acl)>,
    new: Option<(&str, &Acl)>,
) -> Result<(), StoreError> {
    let of =
        |side: Option<(&str, &Acl)>| side.map(|(owner, acl)| wanted(account, owner, folder, acl)).unwrap_or_default();
    let (old, new) = (of(old), of(new));
    for (key, _) in old.iter().filter(|row| !new.contains(row)) {
        txn.del(key)?;
    }
    for (key, identifier) in new.iter().filter(|row| !old.contains(row)) {
        rows::put(txn, key, identifier.as_bytes().to_vec())?;
    }
    Ok(())
}

/// Removes the rows of all folders of an account.
pub(super) fn forget(txn: &mut Write<'_>, account: AccountId) -> Result<(), StoreError> {
    let owner = match rows::account(txn, account) {
        Err(error) if error.kind() == Kind::Corrupt => None,
        other => other?,
    };
    let mut lists = Vec::new();
    let mut damaged = owner.is_none();
    txn.scan(&schema::key(account, kind::FOLDER, FolderId::TOP, &[]), &mut |key, stored| {
        if !schema::within_kind(key, account, kind::FOLDER) {
            return Ok(ControlFlow::Break(()));
        }
        let id = schema::folder_of(key);
        match codec::open(key, stored).ok().and_then(|row| Folder::decode(id, row).ok()) {
            Some(row) => lists.push((id, row.acl)),
            None => damaged = true,
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if damaged {
        // What its lists were is unknown: every row that leads to the account goes.
        let mut keys = Vec::new();
        each(txn, &[], &mut |key, _, place| {
            if place.0 == account {
                keys.push(key.to_vec());
            }
            Ok(())
        })?;
        return keys.iter().try_for_each(|key| txn.del(key).map(|_| ()));
    }
    let owner = owner.map(|owner| owner.userid).unwrap_or_default();
    lists.iter().try_for_each(|(id, acl)| follow(txn, (account, *id), Some((&owner, acl)), None))
}

/// True when somebody else than the owner may look a folder with this list up.
pub(super) fn is_shared(owner: &str, acl: &Acl) -> bool {
    !wanted(AccountId(0), owner, FolderId::TOP, acl).is_empty()
}

/// What sees the rows: the key, the identifier as it stands in the list, the folder. The identifier is `None` where the row cannot be read.
type See<'a> = dyn FnMut(&[u8], Option<&str>, (AccountId, FolderId)) -> Result<(), StoreError> + 'a;

/// Sees the rows whose keys begin with `prefix`.
fn each<R: Rows + ?Sized>(rows: &R, prefix: &[u8], see: &mut See<'_>) -> Result<(), StoreError> {
    let from = schema::key(SHARD, kind::LOOKUP, FolderId::TOP, prefix);
    rows.scan(&from, &mut |key, stored| {
        if !schema::within_kind(key, SHARD, kind::LOOKUP) || !key.starts_with(&from) {
            return Ok(ControlFlow::Break(()));
        }
        let Some(place) = schema::lookup_place(key) else { return Ok(ControlFlow::Continue(())) };
        let identifier = codec::open(key, stored).ok().and_then(|value| std::str::from_utf8(value).ok());
        see(key, identifier, place)?;
        Ok(ControlFlow::Continue(()))
    })
}

/// The rows that the lists of a shard ask for. Accounts and folders that cannot be read are passed over.
fn derived<R: Rows + ?Sized>(rows: &R) -> Result<BTreeSet<Row>, StoreError> {
    let mut found = BTreeSet::new();
    let mut accounts = Vec::new();
    rows::each_account(rows, AccountId(1), &mut |id, row| {
        accounts.extend(row.map(|row| (id, row.userid)));
        Ok(ControlFlow::Continue(()))
    })?;
    for (account, owner) in accounts {
        derive(rows, account, &owner, &mut found)?;
    }
    Ok(found)
}

/// The rows that the lists of an account ask for.
fn derive<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    owner: &str,
    found: &mut BTreeSet<Row>,
) -> Result<(), StoreError> {
    rows.scan(&schema::key(account, kind::FOLDER, FolderId::TOP, &[]), &mut |key, stored| {
        if !schema::within_kind(key, account, kind::FOLDER) {
            return Ok(ControlFlow::Break(()));
        }
        let id = schema::folder_of(key);
        if let Some(row) = codec::open(key, stored).ok().and_then(|row| Folder::decode(id, row).ok()) {
            found.extend(wanted(account, owner, id, &row.acl));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(())
}

/// The rows of an account that differ from what its lists ask for: those to be removed, those to be put.
fn differences<R: Rows + ?Sized>(rows: &R, account: AccountId) -> Result<(Vec<Row>, Vec<Row>), StoreError> {
    let (mut recorded, mut derived) = (BTreeSet::new(), BTreeSet::new());
    each(rows, &[], &mut |key, identifier, place| {
        if place.0 == account {
            recorded.insert((key.to_vec(), identifier.unwrap_or_default().to_owned()));
        }
        Ok(())
    })?;
    derive(rows, account, &rows::need_account(rows, account)?.userid, &mut derived)?;
    Ok((recorded.difference(&derived).cloned().collect(), derived.difference(&recorded).cloned().collect()))
}

fn recorded<R: Rows + ?Sized>(rows: &R) -> Result<BTreeSet<Row>, StoreError> {
    let mut found = BTreeSet::new();
    each(rows, &[], &mut |key, identifier, _| {
        found.insert((key.to_vec(), identifier.unwrap_or_default().to_owned()));
        Ok(())
    })?;
    Ok(found)
}

/// The folders of a shard that rows under these prefixes lead to.
fn places<R: Rows + ?Sized>(rows: &R, prefixes: &[Vec<u8>]) -> Result<BTreeSet<(AccountId, FolderId)>, StoreError> {
    let mut found = BTreeSet::new();
    for prefix in prefixes {
        let length = schema::PREFIX + prefix.len() + schema::LOOKUP_PLACE;
        each(rows, prefix, &mut |key, _, place| {
            // A longer key is that of another identifier, with the end of this one's in its hash.
            if key.len() == length {
                found.insert(place);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

impl Who {
    /// Every identifier by which access control lists may know him, as keys have them.
    fn prefixes(&self) -> Vec<Vec<u8>> {
        let domain = self.userid.rsplit_once('@').map_or(self.default_domain.as_str(), |(_, domain)| domain);
        let label = domain.split('.').next().unwrap_or_default();
        let mut names = vec!["anyone".to_owned(), self.userid.clone()];
        names.extend((!domain.is_empty()).then(|| format!("anyone@{domain}")));
        names.extend((!label.is_empty() && label != domain).then(|| format!("anyone@{label}")));
        if !self.userid.contains('@') {
            names.push(format!("{}@{}", self.userid, self.default_domain));
        }
        names.extend(self.groups.iter().map(|group| format!("group={group}")));
        let prefixes: BTreeSet<Vec<u8>> = names.iter().map(|name| prefix(name)).collect();
        prefixes.into_iter().collect()
    }
}

impl Tx<'_, '_> {
    /// A folder's list is another now; the folder is stored by the caller.
    pub(super) fn follow_acl(
        &mut self,
        account: AccountId,
        folder: FolderId,
        old: &Acl,
        new: &Acl,
    ) -> Result<(), StoreError> {
        if old == new {
            return Ok(());
        }
        let owner = rows::need_account(self.txn, account)?.userid;
        follow(self.txn, (account, folder), Some((&owner, old)), Some((&owner, new)))
    }
}

impl Store {
    /// The folders of others that the user who acts may look up, by owner and path. Empty for a store that acts for nobody.
    ///
    /// # Errors
    /// The mailbox database cannot be read. A folder that cannot be read is passed over.
    pub fn shared(&self) -> Result<Vec<Shared>, StoreError> {
        let Some(who) = &self.who else { return Ok(Vec::new()) };
        let prefixes = who.prefixes();
        let mut found = Vec::new();
        for shard in &self.inner.shards {
            let read = shard.env()?.read()?;
            for (account, id) in places(&read, &prefixes)?.into_iter().filter(|place| place.0 != who.account) {
                let seen = (|| {
                    let Some(folder) = rows::folder(&read, account, id)? else { return Ok(None) };
                    if !who.rights(account, &folder.acl).contains(Rights::LOOKUP) {
                        return Ok(None);
                    }
                    let Some(owner) = rows::account(&read, account)? else { return Ok(None) };
                    let path = rows::path(&read, account, &folder)?;
                    Ok(Some(Shared { account, owner: owner.userid, path, folder }))
                })();
                match seen {
                    Err(error) if matches!(StoreError::kind(&error), Kind::Corrupt | Kind::NotFound) => {}
                    other => found.extend(other?),
                }
            }
        }
        found.sort_by(|a, b| (&a.owner, &a.path).cmp(&(&b.owner, &b.path)));
        Ok(found)
    }

    /// Every identifier with the folders it may look up, as the rows say: identifiers in the order of their keys, as they stand in the lists.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn lookups(&self) -> Result<Vec<(String, MailboxName)>, StoreError> {
        let mut found = Vec::new();
        for shard in &self.inner.shards {
            let read = shard.env()?.read()?;
            each(&read, &[], &mut |_, identifier, (account, id)| {
                let Some(identifier) = identifier else { return Ok(()) };
                let named = (|| {
                    let (Some(folder), Some(owner)) =
                        (rows::folder(&read, account, id)?, rows::account(&read, account)?)
                    else {
                        return Ok(None);
                    };
                    Ok(Some(MailboxName { owner: owner.userid, folder: rows::path(&read, account, &folder)? }))
                })();
                match named {
                    Err(error) if matches!(StoreError::kind(&error), Kind::Corrupt | Kind::NotFound) => {}
                    other => found.extend(other?.map(|name| (identifier.to_owned(), name))),
                }
                Ok(())
            })?;
        }
        found.sort_by(|a, b| {
            (a.0.to_lowercase(), &a.1.owner, &a.1.folder).cmp(&(b.0.to_lowercase(), &b.1.owner, &b.1.folder))
        });
        Ok(found)
    }

    /// Makes the rows anew from the lists: of shards in which an older build has left none, with `all` of every shard. Returns how many shards that
    /// were.
    ///
    /// # Errors
    /// The mailbox database cannot be used.
    pub fn rebuild_lookups(&self, all: bool) -> Result<usize, StoreError> {
        let mut done = 0;
        for shard in &self.inner.shards {
            if !all && rows::shard_meta(&shard.env()?.read()?)?.lookups {
                continue;
            }
            shard.group()?.run(|txn, _| {
                let (old, new) = (recorded(txn)?, derived(txn)?);
                for (key, _) in old.difference(&new) {
                    txn.del(key)?;
                }
                for (key, identifier) in new.difference(&old) {
                    rows::put(txn, key, identifier.as_bytes().to_vec())?;
                }
                let meta = Meta { lookups: true, ..rows::shard_meta(txn)? };
                rows::put_shard_meta(txn, &meta)
            })?;
            done += 1;
        }
        Ok(done)
    }

    /// Makes the rows of an account what its lists ask for; returns how many were not.
    ///
    /// # Errors
    /// The account does not exist, or the disk fails.
    pub(super) fn repair_lookups(&self, account: AccountId) -> Result<usize, StoreError> {
        let (old, new) = differences(&self.view(account)?.read, account)?;
        if old.is_empty() && new.is_empty() {
            return Ok(0);
        }
        self.change(account, |tx| {
            let (old, new) = differences(tx.txn, account)?;
            for (key, _) in &old {
                tx.txn.del(key)?;
            }
            for (key, identifier) in &new {
                rows::put(tx.txn, key, identifier.as_bytes().to_vec())?;
            }
            Ok(old.len().max(new.len()))
        })
    }

    /// Compares the rows with the lists (I6).
    pub(super) fn check_lookups(&self) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        for shard in &self.inner.shards {
            findings.extend(check_shard(shard)?);
        }
        Ok(findings)
    }
}

fn check_shard(shard: &Shard) -> Result<Vec<Finding>, StoreError> {
    let read = shard.env()?.read()?;
    if !rows::shard_meta(&read)?.lookups {
        return Ok(Vec::new());
    }
    let (recorded, derived) = (recorded(&read)?, derived(&read)?);
    let place = |key: &[u8]| {
        let at = schema::lookup_place(key).unwrap_or((SHARD, FolderId::TOP));
        let path = rows::folder(&read, at.0, at.1).ok().flatten().and_then(|row| rows::path(&read, at.0, &row).ok());
        let owner = rows::account(&read, at.0).ok().flatten().map(|owner| owner.userid);
        match (owner, path) {
            (Some(owner), Some(path)) => format!("user/{owner}/{path}"),
            _ => format!("account {}, folder {}", at.0, at.1.0),
        }
    };
    // Where a row of the account or the folder cannot be read, what its list says is unknown, and the row is a finding of its own.
    let known = |key: &[u8]| {
        let at = schema::lookup_place(key).unwrap_or((SHARD, FolderId::TOP));
        rows::account(&read, at.0).is_ok() && rows::folder(&read, at.0, at.1).is_ok()
    };
    let finding = |row: &Row, what: &str| Finding {
        invariant: "I6",
        place: place(&row.0),
        uid: None,
        what: what.replace("NAME", &row.1),
        harmless: false,
    };
    let gone = recorded.difference(&derived).filter(|row| known(&row.0));
    let missing = derived.difference(&recorded);
    Ok(gone
        .map(|row| finding(row, "NAME is said to be able to look it up, and its list does not say so"))
        .chain(missing.map(|row| finding(row, "NAME may look it up, and would not be told of it")))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::AclEntry;
    use crate::store::{CreateOptions, Settings};
    use proptest::prelude::*;

    fn who(userid: &str, groups: &[&str], domain: &str) -> Who {
        Who {
            account: AccountId(1),
            userid: userid.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            default_domain: domain.to_owned(),
            admin: false,
            stranger: false,
        }
    }

    proptest! {
        /// Whoever is granted `l` finds the row.
        #[test]
        fn every_entry_that_grants_is_found(
            entry in "(anyone|anonymous|joe|Joe|ann|group=Staff|group=staff|group=all)(@(siroe|siroe.com|Siroe.Com|sesta.com))?",
            user in "(joe|ann|anonymous)(@(siroe.com|sesta.com))?",
            domain in "(siroe.com|sesta.com|)",
        ) {
            let who = who(&user, &["staff", "staff@siroe.com"], &domain);
            let acl = Acl(vec![AclEntry { identifier: entry.clone(), rights: Rights::LOOKUP }]);
            if acl.rights_of(&who.userid, &who.groups, &who.default_domain).contains(Rights::LOOKUP) {
                prop_assert!(who.prefixes().contains(&prefix(&entry)), "{entry} {user} {domain}");
            }
        }
    }

    #[test]
    fn long_identifiers_are_told_apart() {
        let long = |last: char| format!("{}{last}", "x".repeat(500));
        assert_ne!(prefix(&long('a')), prefix(&long('b')));
        assert_eq!(prefix(&long('a')), prefix(&long('A')));
        assert!(schema::lookup(&prefix(&long('a')), AccountId(1), FolderId(1)).len() <= 511);
    }

    #[test]
    fn rows_are_compared_and_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            root: dir.path().join("store"),
            partitions: vec![("primary".into(), dir.path().join("primary"))],
            default_partition: "primary".into(),
            notify_dir: None,
        };
        Store::create(&settings, 1).unwrap();
        let store = Store::open(settings).unwrap();
        let joe = store.account_create("joe", None, 1).unwrap();
        let golf = store.folder_create(joe, &FolderPath::parse("golf").unwrap(), &CreateOptions::default(), 1).unwrap();
        let entry = |identifier: &str| AclEntry { identifier: identifier.into(), rights: Rights::LOOKUP };
        store.set_acl(joe, golf.id, &Acl(vec![entry("ann"), entry("joe"), entry("-bob")])).unwrap();
        let shard = &store.inner.shards[0];
        let right = recorded(&shard.env().unwrap().read().unwrap()).unwrap();
        assert_eq!(right.iter().map(|row| row.1.as_str()).collect::<Vec<_>>(), ["ann"]);
        assert_eq!(store.check_lookups().unwrap(), []);
        let spoil = |lookups: bool| {
            shard.group().unwrap().run(|txn, _| {
                txn.del(&schema::lookup(&prefix("ann"), joe, golf.id))?;
                rows::put(txn, &schema::lookup(&prefix("eve"), joe, golf.id), b"eve".to_vec())?;
                let meta = Meta { lookups, ..rows::shard_meta(txn)? };
                rows::put_shard_meta(txn, &meta)
            })
        };
        spoil(true).unwrap();
        let said: Vec<String> = store.check_lookups().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].starts_with("user/joe/golf: eve is said") && said[1].starts_with("user/joe/golf: ann may"),
            "{said:?}"
        );
        assert_eq!((store.rebuild_lookups(false).unwrap(), store.rebuild_lookups(true).unwrap()), (0, 1));
        assert_eq!(recorded(&shard.env().unwrap().read().unwrap()).unwrap(), right);
        // A shard of an older build has none, and nothing is said of it.
        spoil(false).unwrap();
        assert_eq!((store.check_lookups().unwrap(), store.rebuild_lookups(false).unwrap()), (vec![], 1));
        assert_eq!(recorded(&shard.env().unwrap().read().unwrap()).unwrap(), right);
    }
}
