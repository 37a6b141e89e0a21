//! Every row of the mailbox database on one page.
//!
//! A shard is one LMDB database. Keys are `account id (8) | kind (1) | folder id (4) | rest`, numbers big-endian; account id 0 holds the rows of
//! the shard itself. Values end in a CRC-32 over key and value. All rows of an account are one key range, so a delivery dirties one path.
//!
//! | kind | folder | rest | value |
//! | --- | --- | --- | --- |
//! | `META` | 0 | - | the shard: format, store id, last UIDVALIDITY |
//! | `REDO` | id | account (8) uid (4) | staging file whose link is not durable yet |
//! | `DELIVERED_AT` | 0 | time (8) account (8) folder (4) identity (16) | - |
//! | `DOMAIN` | 0 | name | accounts, bytes and messages of the shard's users in a domain; the one without a name: users without a domain |
//! | `LOOKUP` | 0 | identifier, 0, account (8) folder (4) | who may look a folder up: an identifier of its list, as it is written there |
//! | `ACCOUNT` | 0 | - | [`Account`](super::record::Account) |
//! | `KEYWORD` | 0 | number (1) | name |
//! | `SUBSCRIPTION` | 0 | name | - |
//! | `INTENT` | 0 | account (8) | an operation over several directories that is under way |
//! | `NAME` | parent | component | folder id |
//! | `FOLDER` | id | - | [`Folder`](super::record::Folder) |
//! | `LOCK` | id | - | holder of the folder's lock (folder 0: of the account) |
//! | `MESSAGE` | id | uid (4) | [`Message`](super::record::Message) |
//! | `STATE` | id | chunk (4) | flags, keywords and modseq of up to 128 UIDs |
//! | `EXPUNGED` | id | modseq (8) first uid (4) | a run of expunged UIDs |
//! | `GONE` | id | uid (4) | the immutable part of an expunged message whose file waits for purge |
//! | `READER` | id | account (8) | when that user selected the folder, which is not his, last |
//! | `DELIVERED` | id | identity (16) | when such a message was delivered, while that is remembered |
//!
//! The common environment uses the same keys with account id 0: `META`, `USER` (rest: user id; value: account id, shard), `PARTITION` (rest: nickname).

use super::ids::{AccountId, FolderId, Modseq, Uid};

/// Kinds of rows; the order is the order on disk.
pub(crate) mod kind {
    pub(crate) const META: u8 = 1;
    pub(crate) const REDO: u8 = 2;
    pub(crate) const USER: u8 = 3;
    pub(crate) const PARTITION: u8 = 4;
    pub(crate) const DELIVERED_AT: u8 = 5;
    pub(crate) const DOMAIN: u8 = 6;
    pub(crate) const LOOKUP: u8 = 7;
    pub(crate) const ACCOUNT: u8 = 16;
    pub(crate) const KEYWORD: u8 = 17;
    pub(crate) const SUBSCRIPTION: u8 = 18;
    pub(crate) const INTENT: u8 = 19;
    pub(crate) const NAME: u8 = 32;
    pub(crate) const FOLDER: u8 = 33;
    pub(crate) const LOCK: u8 = 34;
    pub(crate) const MESSAGE: u8 = 48;
    pub(crate) const STATE: u8 = 49;
    pub(crate) const EXPUNGED: u8 = 50;
    pub(crate) const GONE: u8 = 51;
    pub(crate) const DELIVERED: u8 = 52;
    pub(crate) const READER: u8 = 53;
}

/// Version of the on-disk format, kept in the `META` rows.
pub(crate) const FORMAT: u32 = 1;
/// UIDs of one `STATE` row.
pub(crate) const CHUNK: Uid = 128;
/// Bytes of a key before its rest.
pub(crate) const PREFIX: usize = 13;
/// The longest rest: LMDB takes keys of 511 bytes.
pub(crate) const REST_MAX: usize = 511 - PREFIX;
/// The account id under which a shard's own rows stand.
pub(crate) const SHARD: AccountId = AccountId(0);

/// A key.
pub(crate) fn key(account: AccountId, kind: u8, folder: FolderId, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(PREFIX + rest.len());
    key.extend_from_slice(&account.0.to_be_bytes());
    key.push(kind);
    key.extend_from_slice(&folder.0.to_be_bytes());
    key.extend_from_slice(rest);
    key
}

pub(crate) fn account(id: AccountId) -> Vec<u8> {
    key(id, kind::ACCOUNT, FolderId::TOP, &[])
}

pub(crate) fn domain(name: &str) -> Vec<u8> {
    key(SHARD, kind::DOMAIN, FolderId::TOP, name.as_bytes())
}

/// The row of a shard about itself.
pub(crate) fn meta() -> Vec<u8> {
    key(SHARD, kind::META, FolderId::TOP, &[])
}

/// Somebody else reads a folder.
pub(crate) fn reader(account: AccountId, folder: FolderId, reader: AccountId) -> Vec<u8> {
    key(account, kind::READER, folder, &reader.0.to_be_bytes())
}

/// An identifier, in the form that keys have, may look up a folder.
pub(crate) fn lookup(identifier: &[u8], account: AccountId, folder: FolderId) -> Vec<u8> {
    let mut rest = identifier.to_vec();
    rest.extend_from_slice(&account.0.to_be_bytes());
    rest.extend_from_slice(&folder.0.to_be_bytes());
    key(SHARD, kind::LOOKUP, FolderId::TOP, &rest)
}

/// Bytes of the folder's place at the end of a key of [`lookup`].
pub(crate) const LOOKUP_PLACE: usize = 12;

/// The folder in a key of [`lookup`].
pub(crate) fn lookup_place(key: &[u8]) -> Option<(AccountId, FolderId)> {
    let at = rest(key).last_chunk::<LOOKUP_PLACE>()?;
    let (account, folder) = at.split_first_chunk::<8>()?;
    Some((AccountId(u64::from_be_bytes(*account)), FolderId(u32::from_be_bytes(folder.try_into().ok()?))))
}

pub(crate) fn folder(account: AccountId, id: FolderId) -> Vec<u8> {
    key(account, kind::FOLDER, id, &[])
}

pub(crate) fn name(account: AccountId, parent: FolderId, component: &str) -> Vec<u8> {
    key(account, kind::NAME, parent, component.as_bytes())
}

pub(crate) fn message(account: AccountId, folder: FolderId, uid: Uid) -> Vec<u8> {
    key(account, kind::MESSAGE, folder, &uid.to_be_bytes())
}

pub(crate) fn gone(account: AccountId, folder: FolderId, uid: Uid) -> Vec<u8> {
    key(account, kind::GONE, folder, &uid.to_be_bytes())
}

pub(crate) fn state(account: AccountId, folder: FolderId, uid: Uid) -> Vec<u8> {
    key(account, kind::STATE, folder, &(uid / CHUNK).to_be_bytes())
}

pub(crate) fn expunged(account: AccountId, folder: FolderId, modseq: Modseq, first: Uid) -> Vec<u8> {
    let mut rest = modseq.to_be_bytes().to_vec();
    rest.extend_from_slice(&first.to_be_bytes());
    key(account, kind::EXPUNGED, folder, &rest)
}

pub(crate) fn redo(account: AccountId, folder: FolderId, uid: Uid) -> Vec<u8> {
    let mut rest = account.0.to_be_bytes().to_vec();
    rest.extend_from_slice(&uid.to_be_bytes());
    key(SHARD, kind::REDO, folder, &rest)
}

pub(crate) fn delivered(account: AccountId, folder: FolderId, identity: &[u8; 16]) -> Vec<u8> {
    key(account, kind::DELIVERED, folder, identity)
}

/// By time, the oldest first, also those before 1970.
pub(crate) fn delivered_at(at_s: i64, account: AccountId, folder: FolderId, identity: &[u8; 16]) -> Vec<u8> {
    let mut rest = (at_s ^ i64::MIN).to_be_bytes().to_vec();
    rest.extend_from_slice(&account.0.to_be_bytes());
    rest.extend_from_slice(&folder.0.to_be_bytes());
    rest.extend_from_slice(identity);
    key(SHARD, kind::DELIVERED_AT, FolderId::TOP, &rest)
}

/// The time in a key of [`delivered_at`].
pub(crate) fn time_of(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

/// The number in the last four bytes of a key.
pub(crate) fn tail_u32(key: &[u8]) -> Option<u32> {
    key.split_last_chunk::<4>().map(|(_, tail)| u32::from_be_bytes(*tail))
}

/// What follows the prefix of a key.
pub(crate) fn rest(key: &[u8]) -> &[u8] {
    key.get(PREFIX..).unwrap_or_default()
}

/// True while `key` is a row of this account, kind and folder.
pub(crate) fn within(key: &[u8], account: AccountId, kind: u8, folder: FolderId) -> bool {
    within_kind(key, account, kind) && key.get(9..13) == Some(&folder.0.to_be_bytes())
}

/// True while `key` is a row of this account and kind, in whichever folder.
pub(crate) fn within_kind(key: &[u8], account: AccountId, kind: u8) -> bool {
    key.get(..8) == Some(&account.0.to_be_bytes()) && key.get(8) == Some(&kind)
}

/// The folder of a key.
pub(crate) fn folder_of(key: &[u8]) -> FolderId {
    FolderId(key.get(9..13).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes))
}
