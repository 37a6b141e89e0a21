//! Messages of a backup back into a folder: with the UIDs, dates, flags and the UIDVALIDITY that they had.
//!
//! Order and crashes are as for an append (`append.rs`). A message gets its former UID where the folder has its former UIDVALIDITY and never gave that
//! UID out. Where the UID belongs to another message now, the folder gets a new UIDVALIDITY: what clients remember of it is not true any more.

use super::append::{MESSAGES_EVER, Target};
use super::body::Staged;
use super::codec::Writer;
use super::copy::Source;
use super::error::StoreError;
use super::flags::{Flags, UidSet};
use super::ids::{AccountId, FolderId, Guid, Modseq, Uid};
use super::index_file::Entry;
use super::record::{Acl, EntryPlace, Folder, Message};
use super::schema::{self, SHARD, kind};
use super::{Store, Tx, codec, layout, record, rows};

/// UIDVALIDITYs above this are not taken over: later ones must rise (RFC 9051 2.3.1.1).
const UIDVALIDITY_MAX: u32 = u32::MAX - (1 << 20);
/// The same for modification sequences, which have 63 bits (RFC 7162 section 1).
const MODSEQ_MAX: Modseq = 1 << 62;
/// The same for UIDs.
const UID_MAX: Uid = Uid::MAX - 1024;

/// As many UIDs are looked at one by one; for more the directories are read.
const LOOKED_AT: Uid = 200;

/// What a folder was when it was backed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Former {
    /// Its UIDVALIDITY.
    pub uidvalidity: u32,
    /// Its next UID.
    pub uidnext: Uid,
    /// Its highest modification sequence.
    pub highest_modseq: Modseq,
    /// Its access control list.
    pub acl: Acl,
}

/// Where the bytes of a message are.
pub enum ReturnedBody<'s> {
    /// They were written to a staging file.
    Staged(&'s Staged),
    /// A message of the store has them: the new one becomes a further name of its file.
    Stored(AccountId, FolderId, Uid),
}

/// A message of a backup.
pub struct Returned<'s> {
    /// Its bytes.
    pub body: ReturnedBody<'s>,
    /// The UID it had.
    pub uid: Uid,
    /// Its system flags.
    pub flags: Flags,
    /// Its keywords.
    pub keywords: Vec<String>,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// Zone of INTERNALDATE, minutes east of UTC.
    pub internal_zone_min: i16,
    /// When it came into its folder, seconds since 1970.
    pub saved_s: i64,
}

impl Store {
    /// Gives a folder in which no message ever was its former UIDVALIDITY and access control list. Returns false, and changes nothing, where messages
    /// were in it.
    ///
    /// # Errors
    /// The folder does not exist or is locked; the list breaks a rule; the disk fails.
    pub fn folder_take_over(&self, account: AccountId, folder: FolderId, was: &Former) -> Result<bool, StoreError> {
        if let Some(what) = was.acl.fault() {
            return Err(StoreError::Invalid { what });
        }
        self.change(account, |tx| {
            let mut row = tx.open_folder(account, folder)?;
            if row.uidnext > 1 || row.exists > 0 {
                return Ok(false);
            }
            let mut owner = rows::need_account(tx.txn, account)?;
            if (1..=UIDVALIDITY_MAX).contains(&was.uidvalidity) {
                row.uidvalidity = was.uidvalidity;
                tx.raise_uidvalidity(was.uidvalidity)?;
            }
            if was.highest_modseq <= MODSEQ_MAX {
                // Who knows the folder up to a modification sequence must not believe that nothing came since.
                owner.highest_modseq = owner.highest_modseq.max(was.highest_modseq);
            }
            row.highest_modseq = Tx::next_modseq(&mut owner);
            row.expunge_horizon = row.highest_modseq;
            tx.follow_acl(account, folder, &row.acl, &was.acl)?;
            row.acl = was.acl.clone();
            rows::put_account(tx.txn, account, &owner)?;
            tx.changed(account, &row)?;
            Ok(true)
        })
    }

    /// Puts messages back into a folder, all or none, whatever the quota. Returns their UIDs, in the order in which they were given.
    ///
    /// # Errors
    /// As [`Store::append`], but for the quota; `Expunged` when a message whose file was to be shared is gone.
    pub fn put_back(
        &self,
        account: AccountId,
        folder: FolderId,
        was: &Former,
        items: &[Returned<'_>],
        now_s: i64,
    ) -> Result<Vec<Uid>, StoreError> {
        let staged = items.iter().filter_map(|item| match &item.body {
            ReturnedBody::Staged(staged) => Some(*staged),
            ReturnedBody::Stored(..) => None,
        });
        self.flush(staged)?;
        let mut sources = Vec::with_capacity(items.len());
        for item in items {
            sources.push(match item.body {
                ReturnedBody::Staged(_) => None,
                ReturnedBody::Stored(account, folder, uid) => {
                    let found = self.sources((account, folder), &UidSet::one(uid))?.pop();
                    Some(found.ok_or(StoreError::Expunged { uid })?)
                }
            });
        }
        crate::crash_point!("restore.after-sync");
        self.change(account, |tx| tx.put_back(account, folder, was, items, &sources, now_s))
    }

    /// The folder has everything back: it gives out no UID that it gave out before, if it still has its former UIDVALIDITY.
    ///
    /// # Errors
    /// The folder does not exist or is locked, or the disk fails.
    pub fn raise_uidnext(
        &self,
        account: AccountId,
        folder: FolderId,
        was: &Former,
        now_s: i64,
    ) -> Result<(), StoreError> {
        let due =
            |row: &Folder| row.uidvalidity == was.uidvalidity && row.uidnext < was.uidnext && was.uidnext <= UID_MAX;
        if !self.view(account)?.folder(folder)?.as_ref().is_some_and(due) {
            return Ok(());
        }
        self.change(account, |tx| {
            let mut row = tx.open_folder(account, folder)?;
            if due(&row) {
                let owner = rows::need_account(tx.txn, account)?;
                let dir = tx.folder_dir(account, &owner.userid, &row)?;
                let mut target = Target { account, row, owner, modseq: 0, dir: &dir, index: Vec::new(), now_s };
                tx.pass_uids(&mut target, was.uidnext)?;
                row = target.row;
                tx.changed(account, &row)?;
            }
            Ok(())
        })
    }
}

impl Tx<'_, '_> {
    /// The next UIDVALIDITY of the shard is above this one.
    fn raise_uidvalidity(&mut self, least: u32) -> Result<(), StoreError> {
        let key = schema::key(SHARD, kind::META, FolderId::TOP, &[]);
        let row = rows::value(self.txn, &key)?.unwrap_or_default();
        let mut meta = record::Meta::decode(&row).map_err(|_| codec::damaged(&key))?;
        meta.last_uidvalidity = meta.last_uidvalidity.max(least);
        rows::put(self.txn, &key, meta.encode())
    }

    fn put_back(
        &mut self,
        account: AccountId,
        folder: FolderId,
        was: &Former,
        items: &[Returned<'_>],
        sources: &[Option<Source>],
        now_s: i64,
    ) -> Result<Vec<Uid>, StoreError> {
        self.store.room(&self.store.settings.root)?;
        let row = self.open_folder(account, folder)?;
        let mut owner = rows::need_account(self.txn, account)?;
        let dir = self.folder_dir(account, &owner.userid, &row)?;
        let modseq = Tx::next_modseq(&mut owner);
        let mut target = Target { account, row, owner, modseq, dir: &dir, index: Vec::new(), now_s };
        let mut uids = Vec::with_capacity(items.len());
        for (item, source) in items.iter().zip(sources) {
            self.choose_uid(&mut target, was, item, source.as_ref())?;
            if target.row.uidnext > UID_MAX {
                return Err(StoreError::Limit { what: MESSAGES_EVER, limit: u64::from(Uid::MAX) });
            }
            uids.push(self.put_one_back(&mut target, item, source.as_ref())?);
        }
        crate::crash_point!("restore.after-link");
        self.write_index(&mut target)?;
        let Target { mut row, mut owner, .. } = target;
        row.highest_modseq = modseq;
        row.last_append_s = now_s;
        self.changed(account, &row)?;
        self.keep_quota_clock(account, &mut owner, false, Some(now_s))?;
        rows::put_account(self.txn, account, &owner)?;
        for item in items {
            if let ReturnedBody::Staged(staged) = &item.body {
                staged.keep();
            }
        }
        crate::crash_point!("restore.after-rows");
        Ok(uids)
    }

    /// Raises the folder's next UID. A file that lies under one of those passed over was left by a process that died before its commit.
    fn pass_uids(&mut self, target: &mut Target<'_>, to: Uid) -> Result<(), StoreError> {
        let from = target.row.uidnext;
        let mut left: Vec<Uid> = Vec::new();
        if to.saturating_sub(from) <= LOOKED_AT {
            left.extend(
                (from..to).filter(|uid| target.dir.join(layout::message_file(*uid)).symlink_metadata().is_ok()),
            );
        } else {
            for nn in 0..100 {
                let Ok(entries) = std::fs::read_dir(target.dir.join(format!("{nn:02}"))) else { continue };
                let uid = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".msg")?.parse::<Uid>().ok();
                let uids = entries.flatten().filter_map(|entry| uid(entry.file_name()));
                left.extend(uids.filter(|uid| (from..to).contains(uid)));
            }
        }
        for uid in left {
            self.record_stray(target, uid)?;
        }
        target.row.uidnext = from.max(to);
        Ok(())
    }

    /// Makes the folder's next UID that of the message, or one that nobody knows.
    fn choose_uid(
        &mut self,
        target: &mut Target<'_>,
        was: &Former,
        item: &Returned<'_>,
        source: Option<&Source>,
    ) -> Result<(), StoreError> {
        if target.row.uidvalidity != was.uidvalidity || was.uidnext > UID_MAX {
            return Ok(());
        }
        if item.uid >= target.row.uidnext && item.uid < was.uidnext {
            return self.pass_uids(target, item.uid);
        }
        self.pass_uids(target, was.uidnext)?;
        let there = rows::message(self.txn, target.account, target.row.id, item.uid)?;
        if there.is_some_and(|message| message.guid != guid_of(item, source)) {
            target.row.uidvalidity = self.next_uidvalidity(target.now_s)?;
        }
        Ok(())
    }

    fn put_one_back(
        &mut self,
        target: &mut Target<'_>,
        item: &Returned<'_>,
        source: Option<&Source>,
    ) -> Result<Uid, StoreError> {
        let (account, folder) = (target.account, target.row.id);
        let keywords = self.keyword_bits(account, &item.keywords)?;
        let dated = |message: Message| Message {
            internal_date_s: item.internal_date_s,
            internal_zone_min: item.internal_zone_min,
            saved_s: item.saved_s,
            entry: EntryPlace::default(),
            ..message
        };
        match (&item.body, source) {
            (ReturnedBody::Staged(staged), _) => {
                let uid = self.link(target, staged.path())?;
                let redo = Writer::new(1).string(staged.partition()).string(staged.name()).finish();
                rows::put(self.txn, &schema::redo(account, folder, uid), redo)?;
                let scanned = &staged.scanned;
                let message = Message {
                    uid,
                    size: scanned.size,
                    header_size: scanned.header_size,
                    sent_s: scanned.sent_date_s,
                    guid: staged.guid,
                    ..Message::default()
                };
                self.add(target, dated(message), &Entry::of(scanned), item.flags, keywords)
            }
            (_, Some(source)) => {
                let uid = self.link(target, &source.path).map_err(|error| source.gone_or(error))?;
                let place = target.dir.join(layout::message_file(uid));
                self.extra.dirs.push(target.dir.to_owned());
                self.extra.dirs.extend(place.parent().map(std::path::Path::to_owned));
                let message = Message { uid, ..source.message.clone() };
                self.add(target, dated(message), &source.entry, item.flags, keywords)
            }
            (ReturnedBody::Stored(_, _, uid), None) => Err(StoreError::Expunged { uid: *uid }),
        }
    }
}

fn guid_of(item: &Returned<'_>, source: Option<&Source>) -> Guid {
    match (&item.body, source) {
        (ReturnedBody::Staged(staged), _) => staged.guid,
        (_, Some(source)) => source.message.guid,
        _ => Guid::default(),
    }
}
