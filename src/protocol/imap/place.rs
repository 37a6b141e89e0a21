//! Where a mailbox name of a client leads, and what the user may do there (RFC 4314). Names below `Shared Folders/User/OWNER` are folders of that
//! owner, all others are the user's own.
//!
//! A refusal to somebody who may not look a mailbox up (`l`) is the same as for one that is not there (RFC 4314 section 6). What is checked here is
//! told before anything is done; the store checks once more in the transaction of the change.

use super::answer::Answer;
use super::respond::Code;
use super::session::{Login, Session};
use crate::directory::{User, canonical_userid};
use crate::store::{AccountId, Folder, FolderPath, NameError, Rights, StoreError, Who};
use crate::text::utf7;

/// Names below this one belong to other users' folders.
pub(super) const SHARED: &str = "Shared Folders";
/// Below [`SHARED`]: what the folders of one owner stand under is his user id.
const USERS: &str = "User";

/// A place for a mailbox, whether there is one or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::protocol::imap) struct Place {
    /// Whose it is.
    pub(super) account: AccountId,
    /// The path in the account.
    pub(super) path: FolderPath,
    /// The whole name, as the user writes it.
    pub(super) name: String,
}

impl Session {
    /// The place of a name. `None`: below the folders of an owner who has none.
    pub(super) fn place(&self, name: &str) -> Result<Option<Place>, Answer> {
        self.place_of(&self.path(name)?)
    }

    /// The place of a whole name.
    pub(super) fn place_of(&self, whole: &FolderPath) -> Result<Option<Place>, Answer> {
        let own = self.account()?;
        let (account, path) = match shared(whole) {
            Some((owner, below)) => {
                let owner = utf7::decode(owner.as_bytes()).unwrap_or_else(|| owner.to_owned());
                let userid = canonical_userid(&owner, self.server.default_domain.as_deref());
                let Some(account) = self.store.account_id(&userid)? else {
                    return Ok(None);
                };
                let below = below.join("/");
                (account, if below.is_empty() { FolderPath::inbox() } else { FolderPath::parse(&below)? })
            }
            None => (own, whole.clone()),
        };
        Ok(Some(Place { account, path, name: whole.to_string() }))
    }

    /// The place of a mailbox that is to be made: modified UTF-7 must not hide a control character, which no list could show.
    pub(super) fn new_place(&self, name: &str) -> Result<Place, Answer> {
        if let Some(bad) = utf7::decode(name.as_bytes()).and_then(|text| text.chars().find(|c| c.is_control())) {
            return Err(NameError::Character(bad).into());
        }
        let whole = self.path(name)?;
        let inner = shared(&whole).map_or(whole.components(), |(_, below)| below);
        if inner.first().is_some_and(|first| first == SHARED) {
            return Err(Answer::no_with(Code::Cannot, "Mailboxes of other users cannot be created here"));
        }
        // Where there is no such owner it is as where nothing may be created.
        self.place(name)?.ok_or_else(denied)
    }

    /// The folder at a place, with `noselect` also a name without a mailbox.
    pub(super) fn look(&self, place: &Place, noselect: bool) -> Result<Option<Folder>, StoreError> {
        Ok(self.store.view(place.account)?.resolve(&place.path)?.filter(|folder| noselect || !folder.noselect))
    }

    /// A mailbox in which the user has one of these rights.
    ///
    /// # Errors
    /// NO: there is none, or he has none of them.
    pub(super) fn found(&self, name: &str, needed: Rights) -> Result<(Place, Folder), Answer> {
        let place = self.place(name)?.ok_or_else(nonexistent)?;
        let folder = self.look(&place, false)?.ok_or_else(nonexistent)?;
        self.check(place.account, &folder, needed, Code::NonExistent)?;
        Ok((place, folder))
    }

    /// A mailbox that messages may be put into.
    ///
    /// # Errors
    /// As [`Session::found`], with TRYCREATE.
    pub(super) fn target(&self, name: &str) -> Result<(AccountId, Folder), Answer> {
        let missing = || Answer::no_with(Code::TryCreate, "Mailbox does not exist");
        let place = self.place(name)?.ok_or_else(missing)?;
        let folder = self.look(&place, false)?.ok_or_else(missing)?;
        self.check(place.account, &folder, Rights::INSERT, Code::TryCreate)?;
        Ok((place.account, folder))
    }

    /// Has the user one of these rights? Who may not look the folder up is told `absent`, as if it were not there.
    ///
    /// # Errors
    /// NO: he has not.
    pub(super) fn check(
        &self,
        account: AccountId,
        folder: &Folder,
        needed: Rights,
        absent: Code,
    ) -> Result<(), Answer> {
        let rights = self.store.rights(account, folder);
        match rights.has_any(needed) {
            true => Ok(()),
            false if rights.contains(Rights::LOOKUP) => Err(denied()),
            false => Err(Answer::no_with(absent, "Mailbox does not exist")),
        }
    }

    /// May the user create a mailbox here? Decided by what lies above, so that it says nothing about what is there already.
    ///
    /// # Errors
    /// NO: he may not.
    pub(super) fn check_creation(&self, place: &Place) -> Result<(), Answer> {
        let above = self.store.view(place.account)?.nearest_above(&place.path)?;
        let may = match above {
            Some(above) => self.store.rights(place.account, &above).contains(Rights::CREATE),
            None => place.account == self.account()?,
        };
        if may { Ok(()) } else { Err(denied()) }
    }

    /// What the user may do in the selected mailbox now. `None`: it was deleted.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn selected_rights(&self) -> Result<Option<Rights>, StoreError> {
        let Some(selected) = &self.selected else {
            return Ok(None);
        };
        let row = selected.row(&self.store.view(selected.account)?)?;
        Ok(row.map(|row| self.store.rights(selected.account, &row)))
    }

    /// The user is logged in. His groups are those that he has now (the chapter on shared folders: they are kept until the session ends).
    pub(super) fn enter(&mut self, user: User, account: AccountId) {
        let admin = self.server.users().is_admin(&user);
        self.store = self.server.store.acting_for(Who {
            account,
            userid: user.userid.clone(),
            groups: user.groups,
            default_domain: self.server.default_domain.clone().unwrap_or_default(),
            admin,
            stranger: false,
        });
        self.login = Some(Login { userid: user.userid, account, admin });
    }
}

/// The owner and the rest of a name that belongs to another user's folders.
fn shared(path: &FolderPath) -> Option<(&str, &[String])> {
    match path.components() {
        [shared, users, owner, below @ ..] if shared == SHARED && users == USERS => Some((owner, below)),
        _ => None,
    }
}

/// The name that others have for a folder of an owner. `None`: it is longer than names may be.
pub(super) fn name_for(owner: &str, path: &FolderPath) -> Option<FolderPath> {
    let top = format!("{SHARED}/{USERS}/{}", utf7::encode(owner));
    FolderPath::parse(&if path.is_inbox() { top } else { format!("{top}/{path}") }).ok()
}

/// The answer to somebody who knows of the mailbox.
pub(super) fn denied() -> Answer {
    Answer::no_with(Code::NoPerm, "Permission denied")
}

/// The answer to everybody else.
pub(super) fn nonexistent() -> Answer {
    Answer::no_with(Code::NonExistent, "Mailbox does not exist")
}
