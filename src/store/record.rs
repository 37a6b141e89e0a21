//! The records behind the rows: account, folder, message, chunk of states.

use super::codec::{Malformed, Reader, Writer};
use super::flags::{Flags, Keywords};
use super::ids::{AccountId, FolderId, Guid, MailboxId, Modseq, Uid};
use super::special_use::SpecialUse;

/// Rights of an access control list: the nine letters of RFC 2086, as bits in the order `lrswipcda`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(pub u16);

impl Rights {
    /// The letters in the order in which they are printed.
    pub const LETTERS: &'static str = "lrswipcda";
    /// None of them.
    pub const NONE: Rights = Rights(0);
    /// `l`: see that the folder is there.
    pub const LOOKUP: Rights = Rights(1);
    /// `r`: read it.
    pub const READ: Rights = Rights(1 << 1);
    /// `s`: set and clear \Seen.
    pub const SEEN: Rights = Rights(1 << 2);
    /// `w`: set and clear flags other than \Seen and \Deleted.
    pub const WRITE: Rights = Rights(1 << 3);
    /// `i`: put messages in.
    pub const INSERT: Rights = Rights(1 << 4);
    /// `p`: deliver to the folder by address.
    pub const POST: Rights = Rights(1 << 5);
    /// `c`: create folders below it, rename and delete it (`k` and `x` of RFC 4314).
    pub const CREATE: Rights = Rights(1 << 6);
    /// `d`: set and clear \Deleted, expunge (`t` and `e` of RFC 4314).
    pub const DELETE: Rights = Rights(1 << 7);
    /// `a`: change the list.
    pub const ADMINISTER: Rights = Rights(1 << 8);
    /// What the owner of a folder and store administrators have whatever the list says.
    pub const ALWAYS: Rights = Rights(1 | 1 << 8);
    /// All nine.
    pub const ALL: Rights = Rights(0x1ff);

    /// Reads letters.
    pub fn parse(text: &str) -> Option<Rights> {
        text.chars().try_fold(0u16, |bits, c| Self::LETTERS.find(c).map(|at| bits | 1 << at)).map(Rights)
    }

    /// True if all of `other` are there.
    pub fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if one of `other` is there.
    pub fn has_any(self, other: Rights) -> bool {
        self.0 & other.0 != 0
    }

    /// Both together.
    pub const fn with(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// These without `other`.
    pub const fn without(self, other: Rights) -> Rights {
        Rights(self.0 & !other.0)
    }
}

impl std::fmt::Display for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Self::LETTERS
            .chars()
            .enumerate()
            .filter(|(at, _)| self.0 >> at & 1 == 1)
            .try_for_each(|(_, c)| write!(f, "{c}"))
    }
}

/// One entry of an access control list; an identifier that begins with `-` denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// A user id, `anyone`, `anyone@domain`, `group=name`.
    pub identifier: String,
    /// What is granted or denied.
    pub rights: Rights,
}

/// An access control list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl(pub Vec<AclEntry>);

impl std::fmt::Display for Acl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, entry) in self.0.iter().enumerate() {
            write!(f, "{}{} {}", if at == 0 { "" } else { " " }, entry.identifier, entry.rights)?;
        }
        Ok(())
    }
}

/// By what an account is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// IMAP.
    Imap,
    /// Web mail.
    Http,
    /// POP.
    Pop,
}

/// An account's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// User id, `uid` or `uid@domain`.
    pub userid: String,
    /// Nickname of the partition of INBOX.
    pub partition: String,
    /// When it was created, seconds since 1970.
    pub created_s: i64,
    /// Bytes of all messages.
    pub usage_bytes: u64,
    /// Number of all messages.
    pub usage_messages: u64,
    /// The highest modification sequence given out.
    pub highest_modseq: Modseq,
    /// The last folder id given out.
    pub last_folder: u32,
    /// Limit of bytes, if there is one.
    pub quota_bytes: Option<u64>,
    /// Limit of messages, if there is one.
    pub quota_messages: Option<u64>,
    /// When it was used last, by [`Access`], seconds since 1970; 0: never. Right to the hour.
    pub last_access_s: [i64; 3],
    /// Since when the quota is used up, seconds since 1970; 0: it is not. The grace period counts from here.
    pub over_since_s: i64,
    /// When the last quota warning was delivered, seconds since 1970; 0: never, or the usage has fallen below the threshold since.
    pub warned_s: i64,
    /// When `imquotacheck -n` sent its last notice, seconds since 1970; 0: never.
    pub noticed_s: i64,
    /// The threshold of the rule by which that was, in percent.
    pub noticed_percent: u32,
    /// Limits of folders; what they hold does not count against the account's own.
    pub folder_limits: Vec<FolderLimit>,
}

/// The limits of a folder with those below it that have none of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderLimit {
    /// The path, as [`super::FolderPath`] prints it.
    pub path: String,
    /// Limit of bytes, if there is one.
    pub bytes: Option<u64>,
    /// Limit of messages, if there is one.
    pub messages: Option<u64>,
    /// Since when it is used up, as [`Account::over_since_s`].
    pub over_since_s: i64,
}

impl Account {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(1);
        w.string(&self.userid)
            .string(&self.partition)
            .i64(self.created_s)
            .u64(self.usage_bytes)
            .u64(self.usage_messages)
            .u64(self.highest_modseq)
            .u32(self.last_folder)
            .u64(limit_field(self.quota_bytes))
            .u64(limit_field(self.quota_messages))
            .i64(self.last_access_s[0])
            .i64(self.last_access_s[1])
            .i64(self.last_access_s[2])
            .i64(self.over_since_s)
            .i64(self.warned_s)
            .i64(self.noticed_s)
            .u32(self.noticed_percent)
            .u64(self.folder_limits.len() as u64);
        for limit in &self.folder_limits {
            w.string(&limit.path)
                .u64(limit_field(limit.bytes))
                .u64(limit_field(limit.messages))
                .i64(limit.over_since_s);
        }
        w.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Account, Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        let mut account = Account {
            userid: r.string()?,
            partition: r.string()?,
            created_s: r.i64()?,
            usage_bytes: r.u64()?,
            usage_messages: r.u64()?,
            highest_modseq: r.u64()?,
            last_folder: r.u32()?,
            quota_bytes: r.u64()?.checked_sub(1),
            quota_messages: r.u64()?.checked_sub(1),
            last_access_s: [r.i64()?, r.i64()?, r.i64()?],
            ..Account::default()
        };
        // Rows of older builds end here.
        if r.is_empty() {
            return Ok(account);
        }
        account.over_since_s = r.i64()?;
        account.warned_s = r.i64()?;
        account.noticed_s = r.i64()?;
        account.noticed_percent = r.u32()?;
        for _ in 0..r.u64()? {
            account.folder_limits.push(FolderLimit {
                path: r.string()?,
                bytes: r.u64()?.checked_sub(1),
                messages: r.u64()?.checked_sub(1),
                over_since_s: r.i64()?,
            });
        }
        Ok(account)
    }
}

/// A limit as a row has it: one more than it is, 0 for none.
fn limit_field(limit: Option<u64>) -> u64 {
    limit.map_or(0, |limit| limit.saturating_add(1))
}

/// A folder's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its id; not part of the value.
    pub id: FolderId,
    /// The folder above, or [`FolderId::TOP`].
    pub parent: FolderId,
    /// Its own name.
    pub component: String,
    /// Random at creation, kept for ever.
    pub mailbox_id: MailboxId,
    /// Nickname of its partition.
    pub partition: String,
    /// UIDVALIDITY (RFC 9051 2.3.1.1).
    pub uidvalidity: u32,
    /// The next UID.
    pub uidnext: Uid,
    /// Rises with every change of the folder.
    pub highest_modseq: Modseq,
    /// Expunges up to this modseq are no longer remembered.
    pub expunge_horizon: Modseq,
    /// Number of messages.
    pub exists: u32,
    /// Number of messages without \Seen.
    pub unseen: u32,
    /// Number of messages with \Deleted.
    pub deleted: u32,
    /// Bytes of all messages.
    pub bytes: u64,
    /// When a message came last, seconds since 1970; 0: never.
    pub last_append_s: i64,
    /// UIDs from here on were shown as \Recent to no session.
    pub recent_from: Uid,
    /// Special uses.
    pub special_use: SpecialUse,
    /// A name without a mailbox (RFC 9051 6.3.5).
    pub noselect: bool,
    /// When it was created, seconds since 1970.
    pub created_s: i64,
    /// Generation of its store.idx.
    pub idx_generation: u32,
    /// Committed length of its store.idx in bytes.
    pub idx_len: u64,
    /// Who may do what.
    pub acl: Acl,
    /// Its last checkpoint block.
    pub checkpoint: Checkpointed,
}

/// The last checkpoint block of a folder in store.idx; all zero: there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpointed {
    /// The folder's modification sequence then.
    pub modseq: Modseq,
    /// Checksum of what changes without that.
    pub sum: u32,
    /// Where the block begins.
    pub begin: u64,
    /// Where it ends.
    pub end: u64,
}

impl Default for FolderId {
    fn default() -> FolderId {
        FolderId::TOP
    }
}

impl Folder {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(1);
        w.u32(self.parent.0)
            .string(&self.component)
            .raw(&self.mailbox_id.0)
            .string(&self.partition)
            .u32(self.uidvalidity)
            .u32(self.uidnext)
            .u64(self.highest_modseq)
            .u64(self.expunge_horizon)
            .u32(self.exists)
            .u32(self.unseen)
            .u32(self.deleted)
            .u64(self.bytes)
            .i64(self.last_append_s)
            .u32(self.recent_from)
            .u32(u32::from(self.special_use.0))
            .u8(u8::from(self.noselect))
            .i64(self.created_s)
            .u32(self.idx_generation)
            .u64(self.idx_len)
            .u64(self.acl.0.len() as u64);
        for entry in &self.acl.0 {
            w.string(&entry.identifier).u32(u32::from(entry.rights.0));
        }
        let Checkpointed { modseq, sum, begin, end } = self.checkpoint;
        w.u64(modseq).u32(sum).u64(begin).u64(end).finish()
    }

    pub(crate) fn decode(id: FolderId, bytes: &[u8]) -> Result<Folder, Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        let mut folder = Folder {
            id,
            parent: FolderId(r.u32()?),
            component: r.string()?,
            mailbox_id: MailboxId(r.array()?),
            partition: r.string()?,
            uidvalidity: r.u32()?,
            uidnext: r.u32()?,
            highest_modseq: r.u64()?,
            expunge_horizon: r.u64()?,
            exists: r.u32()?,
            unseen: r.u32()?,
            deleted: r.u32()?,
            bytes: r.u64()?,
            last_append_s: r.i64()?,
            recent_from: r.u32()?,
            special_use: SpecialUse(u16::try_from(r.u32()?).map_err(|_| Malformed)?),
            noselect: r.u8()? != 0,
            created_s: r.i64()?,
            idx_generation: r.u32()?,
            idx_len: r.u64()?,
            acl: Acl::default(),
            checkpoint: Checkpointed::default(),
        };
        for _ in 0..r.u64()? {
            let identifier = r.string()?;
            let rights = Rights(u16::try_from(r.u32()?).map_err(|_| Malformed)?);
            folder.acl.0.push(AclEntry { identifier, rights });
        }
        // Rows of older builds end here.
        if !r.is_empty() {
            folder.checkpoint = Checkpointed { modseq: r.u64()?, sum: r.u32()?, begin: r.u64()?, end: r.u64()? };
        }
        Ok(folder)
    }
}

/// The immutable part of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its UID; not part of the value.
    pub uid: Uid,
    /// Size of its file in bytes: RFC822.SIZE.
    pub size: u64,
    /// Bytes up to and including the blank line after the header.
    pub header_size: u64,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// Its zone in minutes east of UTC.
    pub internal_zone_min: i16,
    /// When it came into this folder, seconds since 1970 (RFC 8514).
    pub saved_s: i64,
    /// Its Date: header, seconds since 1970, if that could be read.
    pub sent_s: Option<i64>,
    /// By its content.
    pub guid: Guid,
    /// Where its entry lies in store.idx.
    pub entry: EntryPlace,
}

/// A place in store.idx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryPlace {
    /// Generation of the file.
    pub generation: u32,
    /// Byte at which the entry begins; 0: there is none, the message is read instead.
    pub offset: u64,
    /// Its length in bytes, header included.
    pub len: u32,
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new(1)
            .u64(self.size)
            .u64(self.header_size)
            .i64(self.internal_date_s)
            .i64(i64::from(self.internal_zone_min))
            .i64(self.saved_s)
            .u8(u8::from(self.sent_s.is_some()))
            .i64(self.sent_s.unwrap_or(0))
            .raw(&self.guid.0)
            .u32(self.entry.generation)
            .u64(self.entry.offset)
            .u32(self.entry.len)
            .finish()
    }

    pub(crate) fn decode(uid: Uid, bytes: &[u8]) -> Result<Message, Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        Ok(Message {
            uid,
            size: r.u64()?,
            header_size: r.u64()?,
            internal_date_s: r.i64()?,
            internal_zone_min: i16::try_from(r.i64()?).map_err(|_| Malformed)?,
            saved_s: r.i64()?,
            sent_s: {
                let known = r.u8()? != 0;
                let sent = r.i64()?;
                known.then_some(sent)
            },
            guid: Guid(r.array()?),
            entry: EntryPlace { generation: r.u32()?, offset: r.u64()?, len: r.u32()? },
        })
    }
}

/// An expunged message whose file waits for purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// What the message was.
    pub message: Message,
    /// When it was expunged, seconds since 1970.
    pub expunged_s: i64,
    /// Its flags then.
    pub flags: Flags,
    /// Its keywords then.
    pub keywords: Keywords,
    /// True once purge has begun to remove its file.
    pub purging: bool,
}

impl Gone {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let message = self.message.encode();
        Writer::new(1)
            .i64(self.expunged_s)
            .u8(self.flags.0)
            .varint(self.keywords.0)
            .u8(u8::from(self.purging))
            .raw(&message)
            .finish()
    }

    pub(crate) fn decode(uid: Uid, bytes: &[u8]) -> Result<Gone, Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        let expunged_s = r.i64()?;
        let flags = Flags(r.u8()?);
        let keywords = Keywords(r.varint()?);
        let purging = r.u8()? != 0;
        let rest = r.rest();
        Ok(Gone { message: Message::decode(uid, rest)?, expunged_s, flags, keywords, purging })
    }
}

/// Consecutive UIDs in the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateRun {
    /// The first UID.
    pub first: Uid,
    /// How many.
    pub count: u32,
    /// System flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Keywords,
    /// When that was last changed.
    pub modseq: Modseq,
}

impl StateRun {
    /// The last UID of the run.
    pub fn last(&self) -> Uid {
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    fn same(&self, other: &StateRun) -> bool {
        self.flags == other.flags && self.keywords == other.keywords && self.modseq == other.modseq
    }
}

/// Adds a run behind the others, merged with the last one where it continues that.
pub(crate) fn push_run(runs: &mut Vec<StateRun>, run: StateRun) {
    match runs.last_mut() {
        Some(last) if last.first.checked_add(last.count) == Some(run.first) && last.same(&run) => {
            last.count += run.count
        }
        _ => runs.push(run),
    }
}

/// The value of a `STATE` row; `base` is the first UID of the chunk.
pub(crate) fn encode_runs(base: Uid, runs: &[StateRun]) -> Vec<u8> {
    let mut w = Writer::new(1);
    let mut at = base;
    for run in runs {
        w.u32(run.first - at).u32(run.count).u8(run.flags.0).varint(run.keywords.0).u64(run.modseq);
        at = run.first + run.count;
    }
    w.finish()
}

/// Reads a `STATE` row.
pub(crate) fn decode_runs(base: Uid, end: Uid, bytes: &[u8]) -> Result<Vec<StateRun>, Malformed> {
    let mut r = Reader::new(bytes, 1)?;
    let mut runs = Vec::new();
    let mut at = base;
    while !r.is_empty() {
        let first = at.checked_add(r.u32()?).ok_or(Malformed)?;
        let count = r.u32()?;
        let run = StateRun { first, count, flags: Flags(r.u8()?), keywords: Keywords(r.varint()?), modseq: r.u64()? };
        at = first.checked_add(count).filter(|at| count > 0 && at.wrapping_sub(1) <= end).ok_or(Malformed)?;
        runs.push(run);
    }
    Ok(runs)
}

/// The row of the userid map: which account, in which shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserRow {
    pub(crate) account: AccountId,
    pub(crate) shard: u32,
}

impl UserRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        Writer::new(1).u64(self.account.0).u32(self.shard).finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<UserRow, Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        Ok(UserRow { account: AccountId(r.u64()?), shard: r.u32()? })
    }
}

/// What the users of a domain hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainUsage {
    /// Accounts.
    pub accounts: u64,
    /// Bytes of all their messages.
    pub bytes: u64,
    /// All their messages.
    pub messages: u64,
}

impl DomainUsage {
    /// One account.
    pub(crate) fn of(row: &Account) -> DomainUsage {
        DomainUsage { accounts: 1, bytes: row.usage_bytes, messages: row.usage_messages }
    }

    /// The sum.
    #[must_use]
    pub fn and(self, other: DomainUsage) -> DomainUsage {
        DomainUsage {
            accounts: self.accounts.saturating_add(other.accounts),
            bytes: self.bytes.saturating_add(other.bytes),
            messages: self.messages.saturating_add(other.messages),
        }
    }

    /// What is left without a part.
    #[must_use]
    pub fn without(self, part: DomainUsage) -> DomainUsage {
        DomainUsage {
            accounts: self.accounts.saturating_sub(part.accounts),
            bytes: self.bytes.saturating_sub(part.bytes),
            messages: self.messages.saturating_sub(part.messages),
        }
    }

    pub(crate) fn encode(self) -> Vec<u8> {
        Writer::new(1).u64(self.accounts).u64(self.bytes).u64(self.messages).finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<DomainUsage, Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        Ok(DomainUsage { accounts: r.u64()?, bytes: r.u64()?, messages: r.u64()? })
    }
}

/// The row of a shard (or of the common environment) about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) format: u32,
    pub(crate) store_id: [u8; 16],
    pub(crate) shards: u32,
    pub(crate) last_uidvalidity: u32,
    pub(crate) epoch: u64,
    /// The shard has the `DOMAIN` rows of all its accounts.
    pub(crate) domains: bool,
    /// The shard has the `LOOKUP` rows of all its lists.
    pub(crate) lookups: bool,
}

impl Meta {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new(1)
            .u32(self.format)
            .raw(&self.store_id)
            .u32(self.shards)
            .u32(self.last_uidvalidity)
            .u64(self.epoch)
            .u8(u8::from(self.domains))
            .u8(u8::from(self.lookups))
            .finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Meta, Malformed> {
        let mut r = Reader::new(bytes, 1)?;
        Ok(Meta {
            format: r.u32()?,
            store_id: r.array()?,
            shards: r.u32()?,
            last_uidvalidity: r.u32()?,
            epoch: r.u64()?,
            // Older builds had no such rows.
            domains: !r.is_empty() && r.u8()? != 0,
            lookups: !r.is_empty() && r.u8()? != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_data(bytes: Vec<u8>) {
            drop(Account::decode(&bytes));
            drop(Folder::decode(FolderId(1), &bytes));
            drop(Message::decode(1, &bytes));
            drop(Gone::decode(1, &bytes));
            drop(decode_runs(128, 255, &bytes));
            drop(decode_runs(u32::MAX - 127, u32::MAX, &bytes));
        }

        #[test]
        fn runs_come_back(parts in proptest::collection::vec((0u32..3, 1u32..4, 0u8..32, 0u128..5, 1u64..9), 0..20)) {
            let mut runs = Vec::new();
            let mut at = 128;
            for (gap, count, flags, keywords, modseq) in parts {
                push_run(&mut runs, StateRun { first: at + gap, count, flags: Flags(flags), keywords: Keywords(keywords), modseq });
                at += gap + count;
            }
            let bytes = encode_runs(128, &runs);
            prop_assert_eq!(decode_runs(128, 255, &bytes).unwrap(), runs);
        }
    }

    #[test]
    fn rights_print_in_order() {
        assert_eq!(Rights::parse("adcpiwsrl").unwrap().to_string(), "lrswipcda");
        assert_eq!(Rights::parse("lrx"), None);
        assert_eq!(Rights::POST.to_string(), "p");
    }

    #[test]
    fn records_come_back() {
        let folder = Folder {
            id: FolderId(7),
            component: "Sent".into(),
            partition: "primary".into(),
            acl: Acl(vec![AclEntry { identifier: "joe".into(), rights: Rights::ALL }]),
            ..Folder::default()
        };
        assert_eq!(Folder::decode(FolderId(7), &folder.encode()).unwrap(), folder);
        // A row of a build that knew no checkpoints.
        let bytes = folder.encode();
        assert_eq!(Folder::decode(FolderId(7), &bytes[..bytes.len() - 4]).unwrap(), folder);
        let limit = FolderLimit { path: "Archive".into(), bytes: Some(7), messages: None, over_since_s: 3 };
        let account = Account {
            userid: "joe".into(),
            quota_bytes: Some(0),
            over_since_s: 5,
            noticed_percent: 90,
            folder_limits: vec![limit],
            ..Account::default()
        };
        assert_eq!(Account::decode(&account.encode()).unwrap(), account);
        // A row of a build that knew nothing of what follows the last access.
        let old = Account { userid: "joe".into(), quota_messages: Some(3), ..Account::default() };
        let bytes = old.encode();
        assert_eq!(Account::decode(&bytes[..bytes.len() - 5]).unwrap(), old);
        let message = Message { uid: 3, size: 9, sent_s: Some(-5), internal_zone_min: -420, ..Message::default() };
        assert_eq!(Message::decode(3, &message.encode()).unwrap(), message);
        let gone = Gone { message, expunged_s: 4, flags: Flags::SEEN, keywords: Keywords(1 << 127), purging: true };
        assert_eq!(Gone::decode(3, &gone.encode()).unwrap(), gone);
    }
}
