//! Local delivery: where a message goes, who may put it there, and how it gets into the store. For `deliver` and LMTP.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::Arc;

use memchr::memchr;

use super::account;
use super::disklock;
use super::quota::domain::DomainLimit;
use super::quota::status::{self, StatusError};
use super::quota::watch::Watch;
use super::quota::{self, Defaults, warning};
pub use super::trace::{Bounds, Looping, Trace};
use crate::config::Conf;
use crate::directory::{Directory, DirectoryError, Home, Status, User, canonical_userid};
use crate::log::{self, Category};
use crate::store::{
    AccountId, Acl, AclEntry, Appended, CreateOptions, Delivery, Flags, FolderId, FolderPath, Kind, MailboxName,
    NewMessage, Rights, Staged, Staging, Store, StoreError, Usage,
};
use crate::text::utf7;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// Why a message was not delivered to somebody.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The directory knows nobody of that name.
    #[error("no such user: {0}")]
    NoUser(String),
    /// The user's mail is on another host.
    #[error("the mailbox of {name} is on host {host}")]
    Elsewhere {
        /// The name as it was given.
        name: String,
        /// The host.
        host: String,
    },
    /// The account takes no mail in this state.
    #[error("{userid}: account disabled ({})", status.name())]
    Blocked {
        /// The user.
        userid: String,
        /// The state.
        status: Status,
    },
    /// There is no such folder.
    #[error("mailbox {0} does not exist")]
    NoMailbox(MailboxName),
    /// The sender has no right to post to the folder.
    #[error("{authid} has no right to post to {mailbox}")]
    NotPermitted {
        /// The sender.
        authid: String,
        /// The folder.
        mailbox: MailboxName,
    },
    /// The disk of the partition is full, and stored has locked it.
    #[error("partition {0} is locked: its disk is full")]
    Locked(String),
    /// The message itself cannot be taken.
    #[error("{0}")]
    Malformed(String),
    /// The message goes round between mail systems.
    #[error(transparent)]
    Loop(#[from] Looping),
    /// The message could not be read.
    #[error("the message cannot be read: {0}")]
    Input(io::Error),
    /// The directory did not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StatusError> for DeliveryError {
    fn from(error: StatusError) -> DeliveryError {
        match error {
            StatusError::Directory(error) => error.into(),
            StatusError::Store(error) => error.into(),
        }
    }
}

/// What a mail system does about a [`DeliveryError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Give up: nobody of that name, or an account that is closed.
    NoUser,
    /// Give up: no such folder.
    NoMailbox,
    /// Give up: the sender may not.
    NotPermitted,
    /// Give up: the message is at fault.
    Malformed,
    /// Give up: the message goes round.
    Loop,
    /// Try again: the recipient's quota is used up.
    OverQuota,
    /// Give up: it has been for longer than the grace period.
    QuotaEnded,
    /// Try again: the disk is full.
    NoSpace,
    /// Try again: the account is suspended, or is being moved to another host.
    Suspended,
    /// Try again: anything else.
    Temporary,
}

impl DeliveryError {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            DeliveryError::NoUser(_) => Class::NoUser,
            DeliveryError::Blocked { status: Status::Disabled | Status::Deleted, .. } => Class::NoUser,
            DeliveryError::Blocked { status: Status::Overquota, .. } => Class::OverQuota,
            DeliveryError::Blocked { .. } | DeliveryError::Elsewhere { .. } => Class::Suspended,
            DeliveryError::NoMailbox(_) => Class::NoMailbox,
            DeliveryError::NotPermitted { .. } => Class::NotPermitted,
            DeliveryError::Malformed(_) => Class::Malformed,
            DeliveryError::Loop(_) => Class::Loop,
            DeliveryError::Locked(_) => Class::NoSpace,
            DeliveryError::Store(StoreError::OverQuota { bounce: true, .. }) => Class::QuotaEnded,
            DeliveryError::Store(error) => match error.kind() {
                Kind::OverQuota => Class::OverQuota,
                Kind::NoSpace => Class::NoSpace,
                _ => Class::Temporary,
            },
            DeliveryError::Input(_) | DeliveryError::Directory(_) => Class::Temporary,
        }
    }
}

/// What a delivery may do.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Who delivers, for the access control lists; `anonymous` when nobody is known.
    pub authid: String,
    /// Look at the access control lists.
    pub check_access: bool,
    /// Create folders that are missing.
    pub create: bool,
    /// Deliver though a quota is used up.
    pub ignore_quota: bool,
    /// Deliver to no partition that is locked.
    pub check_disks: bool,
    /// A message that came to a folder within so many seconds is dropped when it comes again; 0: never.
    pub once_s: u32,
    /// What tells a message that goes round.
    pub bounds: Bounds,
    /// What is configured about quota warnings; `None`: nobody is warned.
    pub quota: Option<Arc<Watch>>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            authid: "anonymous".to_owned(),
            check_access: true,
            create: false,
            ignore_quota: false,
            check_disks: false,
            once_s: 0,
            bounds: Bounds::default(),
            quota: None,
        }
    }
}

impl Policy {
    /// What the configuration says, for who delivers as `anonymous`.
    pub fn of(conf: &Conf) -> Policy {
        let number = |name: &str| usize::try_from(conf.int(name)).unwrap_or(0);
        let bounds = Bounds {
            received: number("local.delivery.maxreceived"),
            delivered_to: number("local.delivery.maxdeliveredto"),
        };
        let once_s = u32::try_from(conf.int("local.delivery.duplicatewindow")).unwrap_or(0);
        Policy { once_s, bounds, check_disks: true, ..Policy::default() }
    }
}

/// A folder that a message goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The account.
    pub account: AccountId,
    /// The folder.
    pub folder: FolderId,
    /// The folder's partition.
    pub partition: String,
    /// The owner.
    pub userid: String,
    /// What the users of the owner's domain may hold together.
    pub domain: Option<DomainLimit>,
}

/// What became of a message for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is in the folder.
    Delivered,
    /// It came to the folder already ([`Policy::once_s`]), and was dropped; the log tells.
    Dropped,
}

/// Flags and keywords that a message gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// System flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<String>,
}

impl Marks {
    /// Adds a system flag (`\Seen`, any case) or a keyword (RFC 3501 section 9, `flag`).
    ///
    /// # Errors
    /// A sentence about a word that is neither.
    pub fn add(&mut self, word: &str) -> Result<(), String> {
        if let Some(name) = word.strip_prefix('\\') {
            self.flags = self.flags
                | match name.to_ascii_lowercase().as_str() {
                    "seen" => Flags::SEEN,
                    "answered" => Flags::ANSWERED,
                    "flagged" => Flags::FLAGGED,
                    "deleted" => Flags::DELETED,
                    "draft" => Flags::DRAFT,
                    _ => return Err(format!("{word} is not a flag that can be set")),
                };
            return Ok(());
        }
        if !is_keyword(word) {
            return Err(format!("\"{word}\" cannot be a keyword"));
        }
        if !self.keywords.iter().any(|other| other.eq_ignore_ascii_case(word)) {
            self.keywords.push(word.to_owned());
        }
        Ok(())
    }
}

/// True for an IMAP atom of at most 128 bytes.
pub(super) fn is_keyword(word: &str) -> bool {
    (1..=128).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b))
}

/// Delivery into one store.
pub struct LocalDelivery<'a> {
    /// The store.
    pub store: &'a Store,
    /// Who exists.
    pub directory: &'a Directory,
    /// The domain of users without a domain; may be empty.
    pub default_domain: String,
    /// What may be done.
    pub policy: Policy,
}

impl LocalDelivery<'_> {
    /// The place for a user named by userid or address: the folder if it exists (or may be created) and the sender may post to it, else
    /// the INBOX, whatever its access control list says.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub fn place_of_user(&self, name: &str, folder: Option<&FolderPath>, now_s: i64) -> Result<Place, DeliveryError> {
        let user = self.here(name, self.directory.lookup(name)?, now_s)?;
        self.place_in(&user, folder.map_or(&[], std::slice::from_ref), now_s)
    }

    /// The place for a recipient of mail. `local` is the local part without quoting; `user+folder` leads to the folder as in
    /// [`LocalDelivery::place_of_user`], unless somebody has the whole address.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub fn place_of_address(&self, local: &str, domain: &str, now_s: i64) -> Result<Place, DeliveryError> {
        let address = |local: &str| if domain.is_empty() { local.to_owned() } else { format!("{local}@{domain}") };
        let whole = address(local);
        let home = self.directory.recipient(&whole)?;
        match local.split_once('+') {
            Some((user, detail)) if home == Home::Nowhere && !user.is_empty() => {
                // Somebody may have the whole address in a moment.
                self.directory.settled(now_s)?;
                let user = self.here(&whole, self.directory.recipient(&address(user))?, now_s)?;
                self.place_in(&user, &folders_of(detail), now_s)
            }
            _ => self.place_in(&self.here(&whole, home, now_s)?, &[], now_s),
        }
    }

    /// The place that a full name such as `user/joe/Work` means. Here the sender's right to post decides.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub fn place_of_mailbox(&self, name: &MailboxName, now_s: i64) -> Result<Place, DeliveryError> {
        let user = self.here(&name.owner, self.directory.lookup(&name.owner)?, now_s)?;
        let account = self.account(&user, now_s)?;
        let mailbox = MailboxName { owner: user.userid.clone(), folder: name.folder.clone() };
        match self.folder(account, &user.userid, &name.folder, now_s)? {
            Found::Open(place) => self.open(Place { domain: DomainLimit::of(self.directory, &user)?, ..place }),
            Found::Missing => Err(DeliveryError::NoMailbox(mailbox)),
            Found::Closed => Err(DeliveryError::NotPermitted { authid: self.policy.authid.clone(), mailbox }),
        }
    }

    /// The user, where the mailbox is here. Nobody is taken to be missing from a directory that is just being written.
    fn here(&self, name: &str, home: Home, now_s: i64) -> Result<User, DeliveryError> {
        match home {
            Home::Here(user) => Ok(user),
            Home::At(host) => Err(DeliveryError::Elsewhere { name: name.to_owned(), host }),
            Home::Nowhere => {
                self.directory.settled(now_s)?;
                Err(DeliveryError::NoUser(name.to_owned()))
            }
        }
    }

    /// `folders`: what the sender may have meant; the first of them that is there, else the first.
    fn place_in(&self, user: &User, folders: &[FolderPath], now_s: i64) -> Result<Place, DeliveryError> {
        let account = self.account(user, now_s)?;
        let folder = match folders {
            [] | [_] => folders.first(),
            many => {
                let view = self.store.view(account)?;
                let mut there = None;
                for path in many {
                    if there.is_none() && view.resolve(path)?.is_some() {
                        there = Some(path);
                    }
                }
                there.or(many.first())
            }
        };
        if let Some(path) = folder.filter(|path| !path.is_inbox())
            && let Found::Open(place) = self.folder(account, &user.userid, path, now_s)?
        {
            return self.open(Place { domain: DomainLimit::of(self.directory, user)?, ..place });
        }
        let inbox = self.store.view(account)?.folder(FolderId::INBOX)?;
        let inbox = inbox.ok_or_else(|| DeliveryError::NoMailbox(MailboxName::inbox(&user.userid)))?;
        let domain = DomainLimit::of(self.directory, user)?;
        self.open(Place { account, folder: inbox.id, partition: inbox.partition, userid: user.userid.clone(), domain })
    }

    /// The place, unless its partition is locked.
    fn open(&self, place: Place) -> Result<Place, DeliveryError> {
        // Where processes of the instance leave notices for each other, stored leaves its marks.
        let dir = self.store.settings().notify_dir.as_deref().filter(|_| self.policy.check_disks);
        if dir.is_some_and(|dir| disklock::Marks::at(dir).is_locked(&place.partition)) {
            return Err(DeliveryError::Locked(place.partition));
        }
        Ok(place)
    }

    fn account(&self, user: &User, now_s: i64) -> Result<AccountId, DeliveryError> {
        self.admit(user, now_s)?;
        Ok(account::of_user(self.store, user, now_s)?)
    }

    /// Checks that the state of an account lets mail in.
    fn admit(&self, user: &User, now_s: i64) -> Result<(), DeliveryError> {
        let status = self.standing(user, now_s)?;
        if status == Status::Active || status == Status::Overquota && self.policy.ignore_quota {
            return Ok(());
        }
        if status == Status::Overquota && user.domain_status != Status::Overquota {
            self.refuse_full(user, now_s)?;
        }
        Err(DeliveryError::Blocked { userid: user.userid.clone(), status })
    }

    /// Checks that a user, by name, is here and takes mail; no account is made.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub fn takes_mail(&self, name: &str, now_s: i64) -> Result<(), DeliveryError> {
        self.admit(&self.here(name, self.directory.lookup(name)?, now_s)?, now_s)
    }

    /// With `store.overquotastatus` no mail reaches a full mailbox any more: its grace period and its warnings go on here.
    ///
    /// # Errors
    /// `OverQuota` for good, when the grace period has passed.
    fn refuse_full(&self, user: &User, now_s: i64) -> Result<(), DeliveryError> {
        let settings = self.policy.quota.as_ref().map(|watch| watch.now()).filter(|settings| settings.overquota_status);
        let (Some(settings), Some(account)) = (settings, self.store.account_id(&user.userid)?) else { return Ok(()) };
        let due = self.store.note_refusal(account, FolderId::INBOX, now_s);
        self.warn_if(account, &user.userid, due, now_s);
        let since_s = self.store.view(account)?.account()?.over_since_s;
        if since_s != 0 && now_s.saturating_sub(since_s) >= settings.rules.grace_s {
            return Err(
                StoreError::OverQuota { what: format!("user/{}", user.userid), runs: true, bounce: true }.into()
            );
        }
        Ok(())
    }

    /// What the account may do. One that is over its quota by its status, and has room again, gets the status back.
    fn standing(&self, user: &User, now_s: i64) -> Result<Status, DeliveryError> {
        let status = user.standing();
        let settings = self.policy.quota.as_ref().map(|watch| watch.now()).filter(|settings| settings.overquota_status);
        let (Some(settings), Status::Overquota) = (settings, user.status) else { return Ok(status) };
        let Some(account) = self.store.account_id(&user.userid)? else { return Ok(status) };
        let limits = quota::effective(user, Defaults::of_rules(&settings.rules));
        quota::take_over(self.store, account, &limits, now_s)?;
        let own = status::follow_user(&settings.rules, self.store, self.directory, account, user)?;
        Ok(own.max(user.domain_status))
    }

    fn folder(&self, account: AccountId, userid: &str, path: &FolderPath, now_s: i64) -> Result<Found, DeliveryError> {
        let view = self.store.view(account)?;
        let found = view.resolve(path)?.filter(|row| !row.noselect);
        // A new folder gets the list of the one above, or its owner alone.
        let above = match (&found, path.parent()) {
            (None, Some(above)) => view.resolve(&above)?.map(|row| row.acl),
            _ => None,
        };
        drop(view);
        let row = match found {
            None if !self.policy.create => return Ok(Found::Missing),
            None => {
                let owner = || Acl(vec![AclEntry { identifier: userid.to_owned(), rights: Rights::ALL }]);
                if !self.may_post(&above.unwrap_or_else(owner))? {
                    return Ok(Found::Closed);
                }
                match self.store.folder_create(account, path, &CreateOptions::default(), now_s) {
                    Err(StoreError::Exists { .. }) => self.store.view(account)?.resolve(path)?,
                    made => Some(made?),
                }
            }
            Some(row) if !self.may_post(&row.acl)? => return Ok(Found::Closed),
            Some(row) => Some(row),
        };
        Ok(row.map_or(Found::Missing, |row| {
            Found::Open(Place {
                account,
                folder: row.id,
                partition: row.partition,
                userid: userid.to_owned(),
                domain: None,
            })
        }))
    }

    fn may_post(&self, acl: &Acl) -> Result<bool, DeliveryError> {
        if !self.policy.check_access {
            return Ok(true);
        }
        let authid = canonical_userid(
            &self.policy.authid,
            Some(&self.default_domain).filter(|d| !d.is_empty()).map(|d| d.as_str()),
        );
        let named = acl.0.iter().any(|entry| entry.identifier.trim_start_matches('-').starts_with("group="));
        let groups = match authid.as_str() {
            "anonymous" => Vec::new(),
            _ if !named => Vec::new(),
            known => match self.directory.lookup(known)? {
                Home::Here(user) => user.groups,
                Home::At(_) | Home::Nowhere => Vec::new(),
            },
        };
        Ok(acl.rights_of(&authid, &groups, &self.default_domain).contains(Rights::POST))
    }

    /// A staging file in the partition of the first place.
    ///
    /// # Errors
    /// The partition is not available or full.
    pub fn stage(&self, places: &[Place]) -> Result<Staging, DeliveryError> {
        let partition = places.first().map(|place| place.partition.as_str());
        Ok(self.store.stage(partition.unwrap_or(&self.store.settings().default_partition))?)
    }

    /// Reads a message to its end and stages it: lines end in CRLF, a first line `From ...` of an mbox file is left out, `head` (whole
    /// header lines) is put before it.
    ///
    /// # Errors
    /// [`DeliveryError::Input`], [`DeliveryError::Malformed`] for an empty message or one with NUL bytes, or the store's.
    pub fn stage_from(&self, places: &[Place], head: &[u8], input: &mut impl Read) -> Result<Staged, DeliveryError> {
        let mut staging = self.stage(places)?;
        staging.write_all(head).map_err(written)?;
        let mut lines = Lines::new(true);
        let (mut read, mut text) = (vec![0; CHUNK], Vec::with_capacity(CHUNK * 2));
        let mut empty = true;
        loop {
            let got = match input.read(&mut read) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(DeliveryError::Input(error)),
            };
            lines.push(read.get(..got).unwrap_or_default(), &mut text);
            empty &= text.is_empty();
            staging.write_all(&text).map_err(written)?;
            text.clear();
        }
        lines.finish(&mut text);
        if empty && text.is_empty() {
            return Err(DeliveryError::Malformed("the message is empty".into()));
        }
        staging.write_all(&text).map_err(written)?;
        finish(staging)
    }

    /// Delivers a staged message to places, each of them named once; each succeeds or fails alone.
    pub fn deliver(
        &self,
        staged: &Staged,
        marks: &Marks,
        places: &[Place],
        now_s: i64,
    ) -> Vec<Result<Done, DeliveryError>> {
        crate::crash_point!("deliver.after-stage");
        let first = staged.partition();
        let mut others: Vec<&str> = places.iter().map(|place| place.partition.as_str()).collect();
        others.retain(|partition| *partition != first);
        others.sort_unstable();
        others.dedup();
        let mut results: Vec<Option<Result<Done, DeliveryError>>> = places.iter().map(|_| None).collect();
        let mut deliver = |staged: &Staged, wanted: &dyn Fn(&Place) -> bool| {
            let chosen: Vec<usize> = (0..places.len()).filter(|at| places.get(*at).is_some_and(wanted)).collect();
            let there: Vec<&Place> = chosen.iter().filter_map(|at| places.get(*at)).collect();
            for (at, one) in chosen.iter().zip(self.deliver_beside(staged, marks, &there, now_s)) {
                if let Some(result) = results.get_mut(*at) {
                    *result = Some(one);
                }
            }
        };
        let mut far: Vec<&str> = Vec::new();
        for partition in others {
            match self.copy_for(staged, partition) {
                Ok(Some(copy)) => deliver(&copy, &|place| place.partition == partition),
                Ok(None) => continue,
                // The store's own way, which copies for each recipient, tells what is wrong.
                Err(error) => log::warning(Category::Store, format!("no copy for the partition {partition}: {error}")),
            }
            far.push(partition);
        }
        deliver(staged, &|place| !far.contains(&place.partition.as_str()));
        let undone = || Err(StoreError::Internal { what: "a delivery was not finished".into() }.into());
        results.into_iter().map(|result| result.unwrap_or_else(undone)).collect()
    }

    /// A copy of a message for a partition on another file system: its recipients share that one. `None`: links reach it.
    fn copy_for(&self, staged: &Staged, partition: &str) -> Result<Option<Staged>, DeliveryError> {
        let mut staging = self.store.stage(partition)?;
        if staging.is_beside(staged).map_err(written)? {
            return Ok(None);
        }
        let mut file = std::fs::File::open(staged.path()).map_err(written)?;
        io::copy(&mut file, &mut staging).map_err(written)?;
        finish(staging).map(Some)
    }

    fn deliver_beside(
        &self,
        staged: &Staged,
        marks: &Marks,
        places: &[&Place],
        now_s: i64,
    ) -> Vec<Result<Done, DeliveryError>> {
        let item = NewMessage {
            staged,
            flags: marks.flags,
            keywords: marks.keywords.clone(),
            internal_date_s: now_s,
            internal_zone_min: 0,
        };
        let mut outcomes = self.deliver_admitted(&item, places, now_s);
        // Room in a domain that was kept for somebody who took nothing is there for the others.
        if outcomes.iter().any(|one| matches!(one, Ok(Ok(None) | Err(_)))) {
            let refused: Vec<usize> =
                (0..places.len()).filter(|at| matches!(outcomes.get(*at), Some(Err(_)))).collect();
            let there: Vec<&Place> = refused.iter().filter_map(|at| places.get(*at).copied()).collect();
            for (at, again) in refused.into_iter().zip(self.deliver_admitted(&item, &there, now_s)) {
                if let Some(one) = outcomes.get_mut(at) {
                    *one = again;
                }
            }
        }
        let mut results = Vec::with_capacity(places.len());
        for (place, one) in places.iter().zip(outcomes) {
            if let Ok(done) = &one {
                self.mind_quota(place, done, now_s);
            }
            results.push(match one.flatten() {
                Ok(Some(_)) => Ok(Done::Delivered),
                Ok(None) => {
                    self.tell_dropped(staged, place);
                    Ok(Done::Dropped)
                }
                Err(error) => Err(error.into()),
            });
        }
        results
    }

    /// Delivers to the places whose domains have room for it. `Err`: that the domain has none; `Ok`: what the store said.
    fn deliver_admitted(
        &self,
        item: &NewMessage<'_>,
        places: &[&Place],
        now_s: i64,
    ) -> Vec<Result<Result<Option<Appended>, StoreError>, StoreError>> {
        if places.is_empty() {
            return Vec::new();
        }
        let delivery = |place: &&Place| Delivery {
            account: place.account,
            folder: place.folder,
            ignore_quota: self.policy.ignore_quota,
            once_s: self.policy.once_s,
        };
        let all: Vec<Delivery> = places.iter().map(delivery).collect();
        let admitted = self.admitted_by_domains(item.staged, places, &all, now_s);
        let to: Vec<Delivery> =
            all.into_iter().zip(&admitted).filter(|(_, admitted)| admitted.is_ok()).map(|(one, _)| one).collect();
        let mut done = self.store.deliver(item, &to, now_s).into_iter();
        crate::crash_point!("deliver.after-commit");
        let unfinished = || Err(StoreError::Internal { what: "a delivery was not finished".into() });
        admitted.into_iter().map(|one| one.map(|()| done.next().unwrap_or_else(unfinished))).collect()
    }

    fn tell_dropped(&self, staged: &Staged, place: &Place) {
        let id = staged.scanned.message_id.as_deref().unwrap_or_default();
        let path = self.store.view(place.account).ok().and_then(|view| view.path(place.folder).ok());
        let folder = path.map_or_else(String::new, |path| format!("/{path}"));
        let within = self.policy.once_s;
        let words = format!("duplicate {id} for user/{}{folder}: dropped, it came within {within} s", place.userid);
        log::notice(Category::Store, words);
    }

    /// Which places the quotas of their domains let a message into, those before them counted in. Where it came already it takes no room.
    fn admitted_by_domains(
        &self,
        staged: &Staged,
        places: &[&Place],
        to: &[Delivery],
        now_s: i64,
    ) -> Vec<Result<(), StoreError>> {
        let limited = !self.policy.ignore_quota && places.iter().any(|place| place.domain.is_some());
        let came = if limited { self.store.came_already(staged, to, now_s) } else { Vec::new() };
        let size = Usage { bytes: staged.size(), messages: 1 };
        let mut coming: HashMap<String, Usage> = HashMap::new();
        let admit = |(at, place): (usize, &&Place)| match &place.domain {
            Some(limit) if limited && !came.get(at).copied().unwrap_or_default() => {
                let more = coming.get(&limit.name).copied().unwrap_or_default().and(size);
                limit.admit(self.store, more)?;
                coming.insert(limit.name.clone(), more);
                Ok(())
            }
            _ => Ok(()),
        };
        places.iter().enumerate().map(admit).collect()
    }

    /// What a delivery, done or refused, means for the quota of its place: the clock of the grace period, the warning. That it fails is no failure of
    /// the delivery.
    fn mind_quota(&self, place: &Place, done: &Result<Option<Appended>, StoreError>, now_s: i64) {
        let due = match done {
            Ok(Some(appended)) => Ok(appended.warning_due),
            Ok(None) => Ok(false),
            Err(StoreError::OverQuota { .. }) => self.store.note_refusal(place.account, place.folder, now_s),
            Err(_) => Ok(false),
        };
        let settings = self.policy.quota.as_ref().map(|watch| watch.now());
        let used_up = matches!(done, Ok(Some(Appended { used_up: true, .. })) | Err(StoreError::OverQuota { .. }));
        if let Some(settings) = settings.filter(|_| used_up) {
            status::follow(&settings, self.store, self.directory, place.account);
        }
        self.warn_if(place.account, &place.userid, due, now_s);
    }

    /// Warns an owner when that is due; a warning that fails is in the log.
    fn warn_if(&self, account: AccountId, userid: &str, due: Result<bool, StoreError>, now_s: i64) {
        let warn = |due| if due { self.warn(account, userid, now_s) } else { Ok(false) };
        match due.map_err(DeliveryError::from).and_then(warn) {
            Ok(false) => {}
            Ok(true) => log::notice(Category::Store, format!("quota warning to user/{userid}")),
            Err(error) => log::error(Category::Store, format!("quota warning to user/{userid}: {error}")),
        }
    }

    /// Puts the configured warning into the owner's INBOX, whatever the quota says.
    fn warn(&self, account: AccountId, userid: &str, now_s: i64) -> Result<bool, DeliveryError> {
        let Some(settings) = self.policy.quota.as_ref().map(|watch| watch.now()) else { return Ok(false) };
        let user = self.here(userid, self.directory.lookup(userid)?, now_s)?;
        let view = self.store.view(account)?;
        let told = view.quota_roots()?.into_iter().find(|root| root.is_to_be_told(&settings.rules));
        let inbox = view.folder(FolderId::INBOX)?.map(|folder| folder.partition);
        drop(view);
        let (Some(root), Some(partition)) = (told, inbox) else { return Ok(false) };
        let Some(text) = warning::message(&settings, &user, &root, now_s) else { return Ok(false) };
        let mut staging = self.store.stage(&partition)?;
        staging.write_all(&text).map_err(written)?;
        let staged = finish(staging)?;
        let item = NewMessage {
            staged: &staged,
            flags: Flags::NONE,
            keywords: Vec::new(),
            internal_date_s: now_s,
            internal_zone_min: 0,
        };
        Ok(self.store.append_warning(account, FolderId::INBOX, &item, now_s)?)
    }
}

/// The folders that the part of an address behind `+` may mean: names are kept in modified UTF-7, and senders write letters or that.
fn folders_of(detail: &str) -> Vec<FolderPath> {
    let encoded = utf7::encode(detail);
    let mut found: Vec<FolderPath> = FolderPath::parse(&encoded).into_iter().collect();
    if encoded != detail && utf7::decode(detail.as_bytes()).is_some() {
        found.extend(FolderPath::parse(detail));
    }
    found
}

enum Found {
    Open(Place),
    Missing,
    Closed,
}

/// A failed write to the staging file.
pub fn written(error: io::Error) -> DeliveryError {
    DeliveryError::Store(StoreError::Io { action: "write", path: "the staging file".into(), error })
}

/// Ends a staged message.
///
/// # Errors
/// [`DeliveryError::Malformed`] for an empty message or one with NUL bytes; the store's.
pub fn finish(staging: Staging) -> Result<Staged, DeliveryError> {
    staging.finish().map_err(|error| match error {
        StoreError::Invalid { what } => DeliveryError::Malformed(what),
        other => other.into(),
    })
}

/// Every place once, and for each of `places` the number of its place among those.
pub fn distinct(places: &[Place]) -> (Vec<Place>, Vec<usize>) {
    let mut out: Vec<Place> = Vec::new();
    let mut numbers = std::collections::HashMap::new();
    let at = places
        .iter()
        .map(|place| {
            *numbers.entry((place.account.0, place.folder.0)).or_insert_with(|| {
                out.push(place.clone());
                out.len() - 1
            })
        })
        .collect();
    (out, at)
}

/// The value of a Return-Path line: `<address>`, whether it was written with brackets or without; empty means nobody.
///
/// # Errors
/// A sentence about bytes that no header line can carry.
pub fn return_path(address: &str) -> Result<Vec<u8>, String> {
    let bare = address.trim();
    let bare = bare.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(bare);
    if bare.len() > 900 || bare.chars().any(|c| c.is_control() || matches!(c, '<' | '>')) {
        return Err(format!("{address:?} cannot be an address"));
    }
    Ok(format!("Return-Path: <{bare}>\r\n").into_bytes())
}

/// Makes every line end CRLF, and can leave out a first line `From ...`. Bytes come in pieces cut anywhere.
#[derive(Debug, Default)]
pub struct Lines {
    after_cr: bool,
    /// The beginning of the first line, until it is known whether it is left out.
    start: Option<Vec<u8>>,
    skipping: bool,
}

impl Lines {
    /// At the start of a message.
    pub fn new(without_from_line: bool) -> Lines {
        Lines { after_cr: false, start: without_from_line.then(Vec::new), skipping: false }
    }

    /// Takes the next piece; appends to `out`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        if let Some(mut start) = self.start.take() {
            let take = b"From ".len().saturating_sub(start.len()).min(rest.len());
            let (first, after) = rest.split_at(take);
            start.extend_from_slice(first);
            if start == b"From " {
                self.skipping = true;
            } else if b"From ".starts_with(&start) {
                self.start = Some(start);
                return;
            } else {
                self.convert(&start, out);
            }
            rest = after;
        }
        if self.skipping {
            let Some(lf) = memchr(b'\n', rest) else { return };
            self.skipping = false;
            rest = rest.get(lf + 1..).unwrap_or_default();
        }
        self.convert(rest, out);
    }

    fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(lf) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(lf);
            out.extend_from_slice(line);
            if !(line.ends_with(b"\r") || line.is_empty() && self.after_cr) {
                out.push(b'\r');
            }
            out.push(b'\n');
            self.after_cr = false;
            rest = after.get(1..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
        if let Some(last) = rest.last() {
            self.after_cr = *last == b'\r';
        }
    }

    /// The end: what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(start) = self.start.take() {
            self.convert(&start, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(text: &[u8], cut: usize) -> Vec<u8> {
        let (mut lines, mut out) = (Lines::new(true), Vec::new());
        text.chunks(cut).for_each(|piece| lines.push(piece, &mut out));
        lines.finish(&mut out);
        out
    }

    #[test]
    fn lines_end_in_crlf_wherever_they_are_cut() {
        for cut in 1..12 {
            assert_eq!(
                converted(b"From joe Mon\nSubject: a\r\n\nb\rc\r\n.\n", cut),
                b"Subject: a\r\n\r\nb\rc\r\n.\r\n"
            );
            assert_eq!(converted(b"From: joe\n\nFrom here", cut), b"From: joe\r\n\r\nFrom here");
            assert_eq!(converted(b"Fro", cut), b"Fro");
            assert_eq!(converted(b"\n\n", cut), b"\r\n\r\n");
            assert_eq!(converted(b"From only", cut), b"");
        }
    }

    #[test]
    fn marks_are_flags_and_keywords() {
        let mut marks = Marks::default();
        for word in ["\\seen", "\\FLAGGED", "$Junk", "$junk"] {
            marks.add(word).unwrap();
        }
        assert_eq!((marks.flags, marks.keywords), (Flags::SEEN | Flags::FLAGGED, vec!["$Junk".to_owned()]));
        for bad in ["\\Recent", "\\", "", "a b", "a(", "x\u{e9}"] {
            assert!(Marks::default().add(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn return_paths_cannot_smuggle_lines() {
        assert_eq!(return_path("<>").unwrap(), b"Return-Path: <>\r\n");
        assert_eq!(return_path("a@b").unwrap(), b"Return-Path: <a@b>\r\n");
        assert!(return_path("a@b\r\nX: y").is_err() && return_path("a>b").is_err());
    }
}
