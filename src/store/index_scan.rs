//! store.idx read in order, for a rebuild: its entries, the last checkpoint block, the tombstones; to the first break in it.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::checkpoint::{self, Checkpoint};
use super::ids::{Guid, MailboxId, Uid};
use super::index_file::{self, Known};
use super::record::EntryPlace;
use super::{Message, UidSet};
use crate::message::scan::Scanner;

/// What a store.idx says.
#[derive(Default)]
pub(super) struct Scanned {
    /// Generation and mailbox of its header; `None`: there is no file, or its header is damaged.
    pub(super) header: Option<(u32, MailboxId)>,
    /// Messages, with the place of their entry. The later one counts.
    pub(super) messages: std::collections::BTreeMap<Uid, Message>,
    /// The last checkpoint block.
    pub(super) checkpoint: Option<Checkpoint>,
    /// What was expunged.
    pub(super) expunged: UidSet,
    /// Where the first break is: the next entry goes there.
    pub(super) end: u64,
}

/// Reads generation and mailbox of the file in `dir`.
pub(super) fn header(dir: &Path) -> Option<(u32, MailboxId)> {
    let mut bytes = [0; index_file::HEADER as usize];
    File::open(dir.join(index_file::NAME)).ok()?.read_exact(&mut bytes).ok()?;
    index_file::read_header(&bytes)
}

/// Reads the file in `dir` from byte `from` on: where a record begins, else from its first one.
pub(super) fn scan(dir: &Path, from: u64) -> Scanned {
    let mut found = Scanned { header: header(dir), end: index_file::HEADER, ..Scanned::default() };
    let (Some((generation, _)), Ok(file)) = (found.header, File::open(dir.join(index_file::NAME))) else {
        return found;
    };
    let held = file.metadata().map_or(0, |meta| meta.len());
    let mut at = from.max(index_file::HEADER);
    if at > held {
        at = index_file::HEADER;
    }
    let mut file = BufReader::with_capacity(256 * 1024, file);
    if file.seek(SeekFrom::Start(at)).is_err() {
        return found;
    }
    let mut record = Vec::new();
    while let Some(rest) = held.checked_sub(at).filter(|rest| *rest > 0)
        && next(&mut file, &mut record, rest).is_some()
    {
        let place = EntryPlace { generation, offset: at, len: u32::try_from(record.len()).unwrap_or(0) };
        if take(&record, place, &mut found).is_none() {
            break;
        }
        at += record.len() as u64;
    }
    found.end = at;
    found
}

/// True if a sound checkpoint block begins at byte `at` of the file in `dir`.
pub(super) fn has_checkpoint(dir: &Path, at: u64) -> bool {
    let Ok(mut file) = File::open(dir.join(index_file::NAME)) else { return false };
    let rest = file.metadata().map_or(0, |meta| meta.len()).saturating_sub(at);
    let mut record = Vec::new();
    file.seek(SeekFrom::Start(at)).is_ok()
        && next(&mut file, &mut record, rest).is_some()
        && record.starts_with(checkpoint::CHECKPOINT)
        && checkpoint::content(&record).is_some_and(|content| Checkpoint::decode(content).is_ok())
}

/// Reads one record whole; `None`: none begins here.
fn next(file: &mut impl Read, record: &mut Vec<u8>, rest: u64) -> Option<()> {
    record.clear();
    record.resize(checkpoint::HEADER, 0);
    file.read_exact(record).ok()?;
    let mut len = None;
    if !record.starts_with(checkpoint::CHECKPOINT) && !record.starts_with(checkpoint::TOMBSTONE) {
        record.resize(index_file::HEAD_MAX, 0);
        let filled = file.read_exact(record.get_mut(checkpoint::HEADER..)?);
        filled.ok()?;
        len = index_file::record_len(record);
    } else if let Some(bytes) = record.get(4..8).and_then(|bytes| bytes.try_into().ok()) {
        len = usize::try_from(u32::from_le_bytes(bytes)).ok().map(|len| len.saturating_add(checkpoint::HEADER));
    }
    let (len, had) = (len?, record.len());
    if len as u64 > rest || len > index_file::ENTRY_MAX || len < had {
        return None;
    }
    record.resize(len, 0);
    file.read_exact(record.get_mut(had..)?).ok()
}

fn take(record: &[u8], place: EntryPlace, found: &mut Scanned) -> Option<()> {
    let magic = record.first_chunk::<4>()?;
    if magic == checkpoint::CHECKPOINT || magic == checkpoint::TOMBSTONE {
        let content = checkpoint::content(record)?;
        if magic == checkpoint::TOMBSTONE {
            for (first, last) in checkpoint::read_tombstone(content).ok()? {
                found.expunged.insert_range(first, last);
            }
        } else {
            found.checkpoint = Some(Checkpoint::decode(content).ok()?);
        }
        return Some(());
    }
    let Known { uid, size, internal_date_s, guid, header_size, headers } = index_file::read_record(record)?;
    let message = Message {
        uid,
        size,
        header_size,
        internal_date_s,
        saved_s: internal_date_s,
        sent_s: sent(headers),
        guid: Guid(guid),
        entry: place,
        ..Message::default()
    };
    found.messages.insert(uid, message);
    Some(())
}

/// The time that the header lines were sent at.
fn sent(headers: &[u8]) -> Option<i64> {
    let mut scanner = Scanner::new();
    scanner.push(headers);
    scanner.push(b"\r\n");
    scanner.finish().sent_date_s
}
