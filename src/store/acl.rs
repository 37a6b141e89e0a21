//! Who may do what: rights of a user by an access control list, and changes of lists. A [`Store::acting_for`] checks them inside the transactions in
//! which it changes something; a store that acts for nobody, as the tools have it, may do everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::StoreError;
use super::flags::{Flags, Keywords};
use super::ids::{AccountId, FolderId};
use super::intent::Intent;
use super::name::{FolderPath, MailboxName};
use super::record::{Acl, AclEntry, Folder, Rights};
use super::{Store, Tx, View, rows};

/// Most entries of one list.
const ENTRIES: usize = 256;
/// Most bytes of the identifiers of a list: each folder below has a copy, and each change of the folder writes it.
const LIST_BYTES: usize = 8192;
/// Longest identifier, bytes.
const IDENTIFIER_BYTES: usize = 512;

/// A user who acts, with all that access control lists may know him by.
#[derive(Clone, Debug)]
pub struct Who {
    /// His own account.
    pub account: AccountId,
    /// His user id.
    pub userid: String,
    /// His groups, lower case.
    pub groups: Vec<String>,
    /// The domain of users without one; may be empty.
    pub default_domain: String,
    /// A store administrator.
    pub admin: bool,
    /// Nobody yet: not even what anyone may do is allowed.
    pub stranger: bool,
}

impl Who {
    /// Somebody who has not logged in.
    pub fn stranger() -> Who {
        Who {
            account: AccountId(0),
            userid: String::new(),
            groups: Vec::new(),
            default_domain: String::new(),
            admin: false,
            stranger: true,
        }
    }

    /// The rights that a list of a folder in `account` gives. The owner and store administrators can always look up and administer: nobody locks
    /// them out, nor they themselves.
    pub fn rights(&self, account: AccountId, acl: &Acl) -> Rights {
        if self.stranger {
            return Rights::NONE;
        }
        let always = if self.admin || account == self.account { Rights::ALWAYS } else { Rights::NONE };
        acl.rights_of(&self.userid, &self.groups, &self.default_domain).with(always)
    }
}

impl Acl {
    /// The rights that the list gives: everything granted to identifiers of the user, less what is denied to one of them (RFC 4314 section 2).
    /// Identifiers: a userid, `anyone`, `anyone@domain`, `group=name`, each with `-` before it to deny. A domain without a dot matches one
    /// whose first label it is.
    pub fn rights_of(&self, authid: &str, groups: &[String], default_domain: &str) -> Rights {
        let (mut granted, mut denied) = (Rights::NONE, Rights::NONE);
        for entry in self.of_user(authid, groups, default_domain) {
            let side = if entry.identifier.starts_with('-') { &mut denied } else { &mut granted };
            *side = side.with(entry.rights);
        }
        granted.without(denied)
    }

    /// The entries, granting and denying, whose identifier is one of a user's. See [`Acl::rights_of`].
    pub fn of_user<'a>(
        &'a self,
        authid: &'a str,
        groups: &'a [String],
        default_domain: &'a str,
    ) -> impl Iterator<Item = &'a AclEntry> {
        let domain = authid.rsplit_once('@').map_or(default_domain, |(_, domain)| domain);
        let groups: BTreeSet<&str> = groups.iter().map(String::as_str).collect();
        let matches = move |identifier: &str| match identifier {
            "anyone" => true,
            "anonymous" => authid == "anonymous",
            _ => match (identifier.strip_prefix("anyone@"), identifier.strip_prefix("group=")) {
                (Some(wanted), _) => {
                    let label = domain.split('.').next().unwrap_or_default();
                    let same = domain.eq_ignore_ascii_case(wanted)
                        || (!wanted.contains('.') && label.eq_ignore_ascii_case(wanted));
                    authid != "anonymous" && !wanted.is_empty() && same
                }
                (_, Some(group)) => groups.contains(group.to_lowercase().as_str()),
                _ => {
                    let full = format!("{authid}@{default_domain}");
                    identifier.eq_ignore_ascii_case(authid)
                        || (!authid.contains('@') && identifier.eq_ignore_ascii_case(&full))
                }
            },
        };
        self.0.iter().filter(move |entry| matches(entry.identifier.strip_prefix('-').unwrap_or(&entry.identifier)))
    }

    /// The rights of the entry with this identifier; none without one.
    pub fn entry(&self, identifier: &str) -> Rights {
        let found = self.0.iter().find(|entry| entry.identifier.eq_ignore_ascii_case(identifier));
        found.map_or(Rights::NONE, |entry| entry.rights)
    }

    /// Gives an identifier exactly these rights; with none its entry goes.
    fn put(&mut self, identifier: &str, rights: Rights) {
        let at = self.0.iter().position(|entry| entry.identifier.eq_ignore_ascii_case(identifier));
        match at.and_then(|at| self.0.get_mut(at)) {
            Some(entry) => entry.rights = rights,
            None => self.0.push(AclEntry { identifier: identifier.to_owned(), rights }),
        }
        self.0.retain(|entry| entry.rights != Rights::NONE);
    }

    /// What is wrong with the list, if something is: invariant I13 of the checker.
    pub(super) fn fault(&self) -> Option<String> {
        let mut seen = BTreeSet::new();
        for AclEntry { identifier, rights } in &self.0 {
            let name = identifier.strip_prefix('-').unwrap_or(identifier);
            if name.is_empty() || identifier.len() > IDENTIFIER_BYTES || identifier.chars().any(char::is_control) {
                return Some(format!("{identifier:?} is no identifier of an access control list"));
            }
            if *rights == Rights::NONE || !Rights::ALL.contains(*rights) {
                return Some(format!("the entry of {identifier} has the rights {:#x}, which are none", rights.0));
            }
            if !seen.insert(identifier.to_ascii_lowercase()) {
                return Some(format!("{identifier} has two entries in the access control list"));
            }
        }
        None
    }
}

/// How an entry of a list changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclChange {
    /// It gets exactly these rights; with none it goes.
    Replace(Rights),
    /// It gets these as well.
    Add(Rights),
    /// It loses these.
    Remove(Rights),
}

/// What a change of an entry did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclChanged {
    /// The folder.
    pub mailbox: MailboxName,
    /// The rights of the entry before.
    pub before: Rights,
    /// The rights of the entry now.
    pub after: Rights,
}

/// The flags that somebody with these rights may set and clear, and whether keywords are among them (RFC 4314 section 4).
pub fn flags_of(rights: Rights) -> (Flags, bool) {
    let part = |right, flags| if rights.contains(right) { flags } else { Flags::NONE };
    let others = Flags::ANSWERED | Flags::FLAGGED | Flags::DRAFT;
    let flags = part(Rights::SEEN, Flags::SEEN) | part(Rights::DELETE, Flags::DELETED) | part(Rights::WRITE, others);
    (flags, rights.contains(Rights::WRITE))
}

impl Store {
    /// The same store for a user who acts: what his rights do not allow is refused with `Denied`, in the transaction that would have done it.
    pub fn acting_for(&self, who: Who) -> Store {
        Store { inner: Arc::clone(&self.inner), who: Some(Arc::new(who)) }
    }

    /// The same store, acting for nobody.
    pub(super) fn unrestricted(&self) -> Store {
        Store { inner: Arc::clone(&self.inner), who: None }
    }

    /// What whoever acts may do in a folder of an account.
    pub fn rights(&self, account: AccountId, folder: &Folder) -> Rights {
        self.who.as_ref().map_or(Rights::ALL, |who| who.rights(account, &folder.acl))
    }

    /// An error when whoever acts may not read a folder of somebody else any more: what lasts asks before each step.
    ///
    /// # Errors
    /// `Denied`; a row is damaged.
    pub fn still_reads(&self, view: &View<'_>, account: AccountId, folder: FolderId) -> Result<(), StoreError> {
        if self.who.as_ref().is_none_or(|who| who.account == account) {
            return Ok(());
        }
        match view.folder(folder)? {
            Some(row) if !self.rights(account, &row).contains(Rights::READ) => Err(StoreError::Denied),
            _ => Ok(()),
        }
    }

    /// Replaces the access control list of a folder.
    ///
    /// # Errors
    /// The folder does not exist or is locked, or the disk fails.
    pub fn set_acl(&self, account: AccountId, folder: FolderId, acl: &Acl) -> Result<(), StoreError> {
        self.change(account, |tx| {
            let mut row = tx.administered(account, folder)?;
            tx.follow_acl(account, folder, &row.acl, acl)?;
            row.acl = acl.clone();
            rows::put_folder(tx.txn, account, &row)
        })
    }

    /// Changes the entry of one identifier in a folder's list.
    ///
    /// # Errors
    /// Who acts may not administer the folder; it does not exist or is locked; the list is full; the disk fails.
    pub fn change_acl(
        &self,
        account: AccountId,
        folder: FolderId,
        identifier: &str,
        change: AclChange,
    ) -> Result<AclChanged, StoreError> {
        self.change(account, |tx| {
            let mut row = tx.administered(account, folder)?;
            let before = row.acl.entry(identifier);
            let after = match change {
                AclChange::Replace(rights) => rights,
                AclChange::Add(rights) => before.with(rights),
                AclChange::Remove(rights) => before.without(rights),
            };
            let mailbox = MailboxName {
                owner: rows::need_account(tx.txn, account)?.userid,
                folder: rows::path(tx.txn, account, &row)?,
            };
            if before != after {
                let old = row.acl.clone();
                row.acl.put(identifier, after);
                if row.acl.0.len() > ENTRIES {
                    return Err(StoreError::Limit { what: "entries in an access control list", limit: ENTRIES as u64 });
                }
                if row.acl.0.iter().map(|entry| entry.identifier.len()).sum::<usize>() > LIST_BYTES {
                    return Err(StoreError::Limit {
                        what: "bytes of an access control list",
                        limit: LIST_BYTES as u64,
                    });
                }
                tx.follow_acl(account, folder, &old, &row.acl)?;
                rows::put_folder(tx.txn, account, &row)?;
                crate::crash_point!("acl.after-rows");
            }
            Ok(AclChanged { mailbox, before, after })
        })
    }
}

impl View<'_> {
    /// The nearest folder above a path that exists. `None`: there is none.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn nearest_above(&self, path: &FolderPath) -> Result<Option<Folder>, StoreError> {
        let mut above = path.parent();
        while let Some(path) = above {
            if let Some(row) = self.resolve(&path)? {
                return Ok(Some(row));
            }
            above = path.parent();
        }
        Ok(None)
    }
}

impl Tx<'_, '_> {
    /// What whoever acts may do in a folder.
    pub(super) fn rights(&self, account: AccountId, row: &Folder) -> Rights {
        self.who.map_or(Rights::ALL, |who| who.rights(account, &row.acl))
    }

    /// An error unless whoever acts has all of these rights.
    pub(super) fn demand(&self, account: AccountId, row: &Folder, needed: Rights) -> Result<(), StoreError> {
        if self.rights(account, row).contains(needed) { Ok(()) } else { Err(StoreError::Denied) }
    }

    /// An error unless whoever acts may create folders below `above`, at the top of the account without one: there the owner may, and nobody else.
    pub(super) fn demand_create(&self, account: AccountId, above: Option<&Folder>) -> Result<(), StoreError> {
        match (self.who, above) {
            (_, Some(row)) => self.demand(account, row, Rights::CREATE),
            (Some(who), None) if who.account != account => Err(StoreError::Denied),
            _ => Ok(()),
        }
    }

    /// The bits of keywords; unknown ones are added to the account's table. Who is not the owner leaves half of the places to him.
    pub(super) fn keyword_bits(&mut self, account: AccountId, names: &[String]) -> Result<Keywords, StoreError> {
        if !names.is_empty() && self.who.is_some_and(|who| who.account != account) {
            let known = rows::keywords(self.txn, account)?;
            let is_known = |name: &String| known.iter().any(|other| other.eq_ignore_ascii_case(name));
            let limit = Keywords::LIMIT / 2;
            if known.len() + names.iter().filter(|name| !is_known(name)).count() > limit && !names.iter().all(is_known)
            {
                return Err(StoreError::Limit { what: "keywords from other users", limit: limit as u64 });
            }
        }
        rows::keyword_bits(self.txn, account, names)
    }

    /// A folder whose list whoever acts may change.
    fn administered(&mut self, account: AccountId, folder: FolderId) -> Result<Folder, StoreError> {
        super::lock::respect(self, account, folder)?;
        let row = rows::need_folder(self.txn, account, folder)?;
        self.demand(account, &row, Rights::ADMINISTER)?;
        Ok(row)
    }

    /// An error unless whoever acts may begin this operation. From then on the lock of the account keeps the lists as they are.
    pub(super) fn demand_intent(&self, account: AccountId, intent: &Intent) -> Result<(), StoreError> {
        if self.who.is_none() {
            return Ok(());
        }
        let row = |id| rows::need_folder(self.txn, account, id);
        match intent {
            Intent::DeleteFolder { folder, .. } => self.demand(account, &row(*folder)?, Rights::CREATE),
            Intent::RenameFolder { folder, parent, .. } => {
                self.demand(account, &row(*folder)?, Rights::CREATE)?;
                let above = if *parent == FolderId::TOP { None } else { Some(row(*parent)?) };
                self.demand_create(account, above.as_ref())
            }
            Intent::RenameInbox { to, .. } => {
                // Its messages move into a folder with another list, as by MOVE.
                let needed = Rights::CREATE.with(Rights::READ).with(Rights::DELETE);
                self.demand(account, &row(FolderId::INBOX)?, needed)?;
                let above = self.nearest_above(account, &FolderPath::parse(to)?)?;
                self.demand_create(account, above.as_ref())
            }
            Intent::RenameAccount { .. } | Intent::DeleteAccount | Intent::MovePartition { .. } => {
                Err(StoreError::Denied)
            }
        }
    }

    fn nearest_above(&self, account: AccountId, path: &FolderPath) -> Result<Option<Folder>, StoreError> {
        let mut found = None;
        let mut at = FolderId::TOP;
        for component in path.parent().iter().flat_map(|above| above.components()) {
            let Some(id) = rows::child(self.txn, account, at, component)? else { break };
            at = id;
            found = Some(rows::need_folder(self.txn, account, id)?);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(text: &str) -> Acl {
        let words: Vec<&str> = text.split(' ').collect();
        let entry = |pair: &[&str]| AclEntry { identifier: pair[0].into(), rights: Rights::parse(pair[1]).unwrap() };
        Acl(words.chunks(2).map(entry).collect())
    }

    #[test]
    fn rights_are_granted_less_denied() {
        let posts = |text: &str, who: &str| {
            acl(text).rights_of(who, &["staff".to_owned()], "example.org").contains(Rights::POST)
        };
        assert!(posts("joe lrsp", "joe") && posts("joe@example.org p", "joe") && !posts("joe p", "joe@other.org"));
        assert!(posts("anyone p", "anonymous") && !posts("anyone p -anonymous p", "anonymous"));
        assert!(posts("anyone@example.org p", "joe") && posts("anyone@example p", "joe"));
        assert!(!posts("anyone@example.org p", "anonymous") && !posts("anyone@example.org p", "joe@other.org"));
        assert!(posts("group=Staff p", "joe") && !posts("group=other p", "joe"));
        assert!(
            !posts("anyone p -group=staff p", "joe") && !posts("-joe p joe lrsp", "joe") && !posts("joe lrs", "joe")
        );
    }

    #[test]
    fn owner_and_administrators_are_not_locked_out() {
        let who = |account, admin| Who {
            account: AccountId(account),
            userid: "joe".into(),
            groups: Vec::new(),
            default_domain: String::new(),
            admin,
            stranger: false,
        };
        let denied = acl("joe r -anyone lrswipcda");
        assert_eq!(who(1, false).rights(AccountId(1), &denied), Rights::ALWAYS);
        assert_eq!(who(2, true).rights(AccountId(1), &denied), Rights::ALWAYS);
        assert_eq!(who(2, false).rights(AccountId(1), &denied), Rights::NONE);
        assert_eq!(who(1, false).rights(AccountId(1), &Acl::default()), Rights::ALWAYS);
        assert_eq!(Who::stranger().rights(AccountId(0), &acl("anyone lrswipcda anonymous lr")), Rights::NONE);
    }

    #[test]
    fn entries_come_change_and_go() {
        let mut list = acl("joe lrswipcda");
        list.put("Fred", Rights::READ);
        list.put("fred", Rights::READ.with(Rights::SEEN));
        assert_eq!(list.to_string(), "joe lrswipcda Fred rs");
        list.put("FRED", Rights::NONE);
        list.put("nobody", Rights::NONE);
        assert_eq!((list.to_string(), list.entry("fred")), ("joe lrswipcda".to_owned(), Rights::NONE));
    }

    #[test]
    fn faults_of_a_list_are_found() {
        assert_eq!(acl("joe lr -joe s group=a@b p").fault(), None);
        for (list, word) in
            [(acl("joe lr Joe s"), "two entries"), (acl("- lr"), "identifier"), (acl("j\u{1}e r"), "no")]
        {
            assert!(list.fault().is_some_and(|what| what.contains(word)), "{list}");
        }
        for rights in [0, 1 << 9] {
            assert!(Acl(vec![AclEntry { identifier: "joe".into(), rights: Rights(rights) }]).fault().is_some());
        }
    }

    #[test]
    fn flags_follow_rights() {
        let of = |text| flags_of(Rights::parse(text).unwrap());
        assert_eq!(of("lrip"), (Flags::NONE, false));
        assert_eq!(of("sd"), (Flags::SEEN | Flags::DELETED, false));
        assert_eq!(of("w"), (Flags::ANSWERED | Flags::FLAGGED | Flags::DRAFT, true));
    }
}
