//! Typed reads and writes of rows, the same in a snapshot and in a write transaction.

use std::ops::{ControlFlow, RangeInclusive};

use super::codec::{damaged, open, seal};
use super::error::StoreError;
use super::flags::{Flags, Keywords, UidSet};
use super::ids::{AccountId, FolderId, Modseq, Uid};
use super::lmdb::{Rows, Write};
use super::name::{FolderPath, LEVELS};
use super::record::{Account, Folder, Gone, Message, Meta, StateRun, decode_runs, encode_runs};
use super::schema::{self, CHUNK, kind};
use super::special_use::SpecialUse;

/// The value of a row, unsealed.
pub(crate) fn value<R: Rows + ?Sized>(rows: &R, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    rows.get(key)?.map(|stored| open(key, stored).map(<[u8]>::to_vec)).transpose()
}

/// Stores a row, sealed.
pub(crate) fn put(txn: &mut Write<'_>, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
    txn.put(key, &seal(key, value))
}

fn decoded<R: Rows + ?Sized, T>(
    rows: &R,
    key: &[u8],
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    match rows.get(key)? {
        None => Ok(None),
        Some(stored) => decode(open(key, stored)?).map(Some).ok_or_else(|| damaged(key)),
    }
}

pub(crate) fn account<R: Rows + ?Sized>(rows: &R, id: AccountId) -> Result<Option<Account>, StoreError> {
    decoded(rows, &schema::account(id), |bytes| Account::decode(bytes).ok())
}

/// The account's row, or the error for its absence.
pub(crate) fn need_account<R: Rows + ?Sized>(rows: &R, id: AccountId) -> Result<Account, StoreError> {
    account(rows, id)?.ok_or_else(|| StoreError::missing(format!("account {id}")))
}

pub(crate) fn folder<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    id: FolderId,
) -> Result<Option<Folder>, StoreError> {
    decoded(rows, &schema::folder(account, id), |bytes| Folder::decode(id, bytes).ok())
}

/// The folder's row, or the error for its absence.
pub(crate) fn need_folder<R: Rows + ?Sized>(rows: &R, account: AccountId, id: FolderId) -> Result<Folder, StoreError> {
    folder(rows, account, id)?.ok_or_else(|| StoreError::missing("the mailbox"))
}

pub(crate) fn message<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    uid: Uid,
) -> Result<Option<Message>, StoreError> {
    decoded(rows, &schema::message(account, folder, uid), |bytes| Message::decode(uid, bytes).ok())
}

pub(crate) fn gone<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    uid: Uid,
) -> Result<Option<Gone>, StoreError> {
    decoded(rows, &schema::gone(account, folder, uid), |bytes| Gone::decode(uid, bytes).ok())
}

/// The folder called `component` below `parent`.
pub(crate) fn child<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    parent: FolderId,
    component: &str,
) -> Result<Option<FolderId>, StoreError> {
    decoded(rows, &schema::name(account, parent, component), |bytes| {
        bytes.try_into().ok().map(|id| FolderId(u32::from_le_bytes(id)))
    })
}

/// The ids of the folders directly below `parent`, with their names.
pub(crate) fn children<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    parent: FolderId,
) -> Result<Vec<(String, FolderId)>, StoreError> {
    let mut found = Vec::new();
    rows.scan(&schema::name(account, parent, ""), &mut |key, stored| {
        if !schema::within(key, account, kind::NAME, parent) {
            return Ok(ControlFlow::Break(()));
        }
        let id = open(key, stored)?.try_into().map_err(|_| damaged(key))?;
        let name = String::from_utf8(schema::rest(key).to_vec()).map_err(|_| damaged(key))?;
        found.push((name, FolderId(u32::from_le_bytes(id))));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Follows a path from the root of the account.
pub(crate) fn resolve<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    path: &FolderPath,
) -> Result<Option<Folder>, StoreError> {
    let mut at = FolderId::TOP;
    for component in path.components() {
        match child(rows, account, at, component)? {
            Some(id) => at = id,
            None => return Ok(None),
        }
    }
    folder(rows, account, at)
}

/// The path of a folder, by its parents.
pub(crate) fn path<R: Rows + ?Sized>(rows: &R, account: AccountId, row: &Folder) -> Result<FolderPath, StoreError> {
    let mut parts = vec![row.component.clone()];
    let mut at = row.parent;
    while at != FolderId::TOP {
        let above = need_folder(rows, account, at)?;
        parts.push(above.component);
        at = above.parent;
        if parts.len() > LEVELS {
            return Err(StoreError::corrupt("folders form a circle", format!("account {account}")));
        }
    }
    parts.reverse();
    Ok(FolderPath::from_components(parts))
}

/// Every folder of an account, depth first, by name, INBOX first.
pub(crate) fn tree<R: Rows + ?Sized>(rows: &R, account: AccountId) -> Result<Vec<(FolderPath, Folder)>, StoreError> {
    let mut found = Vec::new();
    let mut stack: Vec<(Vec<String>, FolderId)> = vec![(Vec::new(), FolderId::TOP)];
    while let Some((above, id)) = stack.pop() {
        if id != FolderId::TOP {
            let row = need_folder(rows, account, id)?;
            found.push((FolderPath::from_components(above.clone()), row));
        }
        if above.len() > LEVELS {
            return Err(StoreError::corrupt("folders form a circle", format!("account {account}")));
        }
        let mut below = children(rows, account, id)?;
        below.sort_by(|a, b| {
            (a.0 != "INBOX" || !above.is_empty(), &a.0).cmp(&(b.0 != "INBOX" || !above.is_empty(), &b.0))
        });
        for (name, id) in below.into_iter().rev() {
            let mut path = above.clone();
            path.push(name);
            stack.push((path, id));
        }
    }
    Ok(found)
}

/// The special uses that folders of an account hold.
pub(crate) fn uses<R: Rows + ?Sized>(rows: &R, account: AccountId) -> Result<SpecialUse, StoreError> {
    let mut held = SpecialUse::default();
    rows.scan(&schema::key(account, kind::FOLDER, FolderId::TOP, &[]), &mut |key, stored| {
        if !schema::within_kind(key, account, kind::FOLDER) {
            return Ok(ControlFlow::Break(()));
        }
        let row = Folder::decode(schema::folder_of(key), open(key, stored)?).map_err(|_| damaged(key))?;
        held = held.with(row.special_use);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(held)
}

/// Visits the messages with UIDs in `uids`, ascending.
pub(crate) fn messages<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    uids: RangeInclusive<Uid>,
    visit: &mut dyn FnMut(Message) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    rows.scan(&schema::message(account, folder, *uids.start()), &mut |key, stored| {
        let uid = schema::tail_u32(key).unwrap_or(0);
        if !schema::within(key, account, kind::MESSAGE, folder) || uid > *uids.end() {
            return Ok(ControlFlow::Break(()));
        }
        visit(Message::decode(uid, open(key, stored)?).map_err(|_| damaged(key))?)
    })
}

/// Visits the expunged messages of a folder whose files wait for purge, by UID.
pub(crate) fn all_gone<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    visit: &mut dyn FnMut(Gone) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    rows.scan(&schema::gone(account, folder, 0), &mut |key, stored| {
        if !schema::within(key, account, kind::GONE, folder) {
            return Ok(ControlFlow::Break(()));
        }
        let uid = schema::tail_u32(key).unwrap_or(0);
        visit(Gone::decode(uid, open(key, stored)?).map_err(|_| damaged(key))?)
    })
}

/// Visits the states of the messages with UIDs in `uids`: runs of exactly the existing UIDs, ascending, cut to the range.
pub(crate) fn states<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    uids: RangeInclusive<Uid>,
    visit: &mut dyn FnMut(StateRun),
) -> Result<(), StoreError> {
    let (from, to) = uids.into_inner();
    rows.scan(&schema::state(account, folder, from), &mut |key, stored| {
        let base = schema::tail_u32(key).unwrap_or(0).saturating_mul(CHUNK);
        if !schema::within(key, account, kind::STATE, folder) || base > to {
            return Ok(ControlFlow::Break(()));
        }
        for run in decode_runs(base, base.saturating_add(CHUNK - 1), open(key, stored)?).map_err(|_| damaged(key))? {
            let (first, last) = (run.first.max(from), run.last().min(to));
            if first <= last {
                visit(StateRun { first, count: last - first + 1, ..run });
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// The states of one chunk, by any UID of it.
pub(crate) fn chunk<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    uid: Uid,
) -> Result<Vec<StateRun>, StoreError> {
    let base = uid / CHUNK * CHUNK;
    Ok(decoded(rows, &schema::state(account, folder, uid), |bytes| {
        decode_runs(base, base.saturating_add(CHUNK - 1), bytes).ok()
    })?
    .unwrap_or_default())
}

/// Stores the states of one chunk; an empty one is no row.
pub(crate) fn put_chunk(
    txn: &mut Write<'_>,
    account: AccountId,
    folder: FolderId,
    uid: Uid,
    runs: &[StateRun],
) -> Result<(), StoreError> {
    let key = schema::state(account, folder, uid);
    if runs.is_empty() {
        return txn.del(&key).map(|_| ());
    }
    put(txn, &key, encode_runs(uid / CHUNK * CHUNK, runs))
}

/// The chunks that hold UIDs of `set` and exist, as (first UID of the chunk, its runs).
pub(crate) fn chunks_of<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    set: &UidSet,
) -> Result<Vec<(Uid, Vec<StateRun>)>, StoreError> {
    let mut found: Vec<(Uid, Vec<StateRun>)> = Vec::new();
    for (from, to) in set.ranges() {
        rows.scan(&schema::state(account, folder, *from), &mut |key, stored| {
            let base = schema::tail_u32(key).unwrap_or(0).saturating_mul(CHUNK);
            if !schema::within(key, account, kind::STATE, folder) || base > *to {
                return Ok(ControlFlow::Break(()));
            }
            if found.last().is_none_or(|(known, _)| *known < base) {
                let runs =
                    decode_runs(base, base.saturating_add(CHUNK - 1), open(key, stored)?).map_err(|_| damaged(key))?;
                found.push((base, runs));
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(found)
}

/// The account's keywords; the index is the bit.
pub(crate) fn keywords<R: Rows + ?Sized>(rows: &R, account: AccountId) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    rows.scan(&schema::key(account, kind::KEYWORD, FolderId::TOP, &[]), &mut |key, stored| {
        if !schema::within_kind(key, account, kind::KEYWORD) {
            return Ok(ControlFlow::Break(()));
        }
        found.push(String::from_utf8(open(key, stored)?.to_vec()).map_err(|_| damaged(key))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// The bits of keywords; unknown ones are added to the account's table. Keywords are compared without regard to case (RFC 9051 2.3.2).
pub(crate) fn keyword_bits(txn: &mut Write<'_>, account: AccountId, names: &[String]) -> Result<Keywords, StoreError> {
    if names.is_empty() {
        return Ok(Keywords::default());
    }
    let mut known = keywords(txn, account)?;
    let mut bits = 0u128;
    for name in names {
        let at = match known.iter().position(|other| other.eq_ignore_ascii_case(name)) {
            Some(at) => at,
            None if known.len() >= Keywords::LIMIT => {
                return Err(StoreError::Limit { what: "keywords", limit: Keywords::LIMIT as u64 });
            }
            None => {
                let number = [u8::try_from(known.len()).unwrap_or(u8::MAX)];
                put(txn, &schema::key(account, kind::KEYWORD, FolderId::TOP, &number), name.as_bytes().to_vec())?;
                known.push(name.clone());
                known.len() - 1
            }
        };
        bits |= 1 << at;
    }
    Ok(Keywords(bits))
}

/// The bits of those keywords that the account knows.
pub(crate) fn known_bits<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    names: &[String],
) -> Result<Keywords, StoreError> {
    let known = keywords(rows, account)?;
    let at = |name: &String| known.iter().position(|other| other.eq_ignore_ascii_case(name));
    Ok(Keywords(names.iter().filter_map(at).fold(0, |bits, at| bits | 1 << at)))
}

/// UIDs expunged with a modseq above `since`.
pub(crate) fn expunged<R: Rows + ?Sized>(
    rows: &R,
    account: AccountId,
    folder: FolderId,
    since: Modseq,
) -> Result<UidSet, StoreError> {
    let mut ranges = Vec::new();
    rows.scan(&schema::expunged(account, folder, since.saturating_add(1), 0), &mut |key, stored| {
        if !schema::within(key, account, kind::EXPUNGED, folder) {
            return Ok(ControlFlow::Break(()));
        }
        let first = schema::tail_u32(key).unwrap_or(0);
        let last = open(key, stored)?.try_into().map(u32::from_le_bytes).map_err(|_| damaged(key))?;
        ranges.push((first, last));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(UidSet::from_ranges(ranges))
}

/// Stores the row of an account. Whatever it changes of the account's usage, or of its domain, the rows of the domains follow: nobody else writes them.
pub(crate) fn put_account(txn: &mut Write<'_>, id: AccountId, row: &Account) -> Result<(), StoreError> {
    super::domain::follow(txn, id, Some(row))?;
    put(txn, &schema::account(id), row.encode())
}

/// Visits the accounts of a shard by their ids: one look each, behind its row the next account's rows are asked for. `None`: its row cannot be read.
pub(crate) fn each_account<R: Rows + ?Sized>(
    rows: &R,
    from: AccountId,
    visit: &mut dyn FnMut(AccountId, Option<Account>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut from = schema::key(from, 0, FolderId::TOP, &[]);
    loop {
        let mut next: Option<(AccountId, bool, Option<Account>)> = None;
        rows.scan(&from, &mut |key, stored| {
            let id = AccountId(key.get(..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes));
            let is_account = schema::within_kind(key, id, kind::ACCOUNT);
            let row =
                is_account.then(|| open(key, stored).ok().and_then(|bytes| Account::decode(bytes).ok())).flatten();
            next = Some((id, is_account, row));
            Ok(ControlFlow::Break(()))
        })?;
        let Some((id, is_account, row)) = next else { return Ok(()) };
        if is_account && visit(id, row)?.is_break() {
            return Ok(());
        }
        // Rows of an account below its own row: there are none; they would be passed over one by one.
        let Some(above) = id.0.checked_add(1) else { return Ok(()) };
        from = schema::key(AccountId(above), 0, FolderId::TOP, &[]);
    }
}

/// The row of a shard about itself.
pub(crate) fn shard_meta<R: Rows + ?Sized>(rows: &R) -> Result<Meta, StoreError> {
    let key = schema::meta();
    Meta::decode(&value(rows, &key)?.unwrap_or_default()).map_err(|_| damaged(&key))
}

pub(crate) fn put_shard_meta(txn: &mut Write<'_>, meta: &Meta) -> Result<(), StoreError> {
    put(txn, &schema::meta(), meta.encode())
}

pub(crate) fn put_folder(txn: &mut Write<'_>, account: AccountId, row: &Folder) -> Result<(), StoreError> {
    put(txn, &schema::folder(account, row.id), row.encode())
}

pub(crate) fn put_message(
    txn: &mut Write<'_>,
    account: AccountId,
    folder: FolderId,
    row: &Message,
) -> Result<(), StoreError> {
    put(txn, &schema::message(account, folder, row.uid), row.encode())
}

/// Counts a run into (or, with `add` false, out of) the folder's counters.
pub(crate) fn count(folder: &mut Folder, flags: Flags, messages: u32, add: bool) {
    let step = |counter: &mut u32, by: u32| {
        *counter = if add { counter.saturating_add(by) } else { counter.saturating_sub(by) }
    };
    step(&mut folder.exists, messages);
    if !flags.contains(Flags::SEEN) {
        step(&mut folder.unseen, messages);
    }
    if flags.contains(Flags::DELETED) {
        step(&mut folder.deleted, messages);
    }
}
