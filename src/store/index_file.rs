//! store.idx: one file a folder, append-only, with what FETCH and SEARCH want of a message without opening it: the rendered ENVELOPE, BODY and
//! BODYSTRUCTURE, the header lines that clients ask for, the offsets of its parts.
//!
//! It is never flushed and never trusted: an entry is used only if its checksums hold and it names the right UID and content; else the message
//! itself is read. Offsets never move; the rows hold (generation, offset, length).
//!
//! | bytes | file header (128) |
//! | --- | --- |
//! | 0..8 | `MSGSTIDX` |
//! | 8..12 | format version, 1 |
//! | 12..16 | generation |
//! | 16..32 | mailbox id |
//! | 32..124 | zero |
//! | 124..128 | CRC-32 of the bytes before |
//!
//! | bytes | entry header (76), then the keys, then the payload |
//! | --- | --- |
//! | 0..4 | `MEN2` |
//! | 4..8 | UID |
//! | 8..16 | size of the message |
//! | 16..24 | INTERNALDATE, seconds since 1970, signed |
//! | 24..40 | message GUID |
//! | 40..60 | lengths of envelope, body, bodystructure, headers, parts (4 each) |
//! | 60..64 | header size of the message |
//! | 64..68 | CRC-32 of the payload |
//! | 68..72 | length of the keys ([`crate::message::keys`]) |
//! | 72..76 | CRC-32 of the bytes before and of the keys |
//!
//! Entries of the first release begin with `MENT` and have no keys: bytes 68..72 are the CRC-32 of those before, and the payload follows.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::ids::{Guid, MailboxId, Uid};
use super::record::{EntryPlace, Message};
use crate::message::keys::{self, Keys};
use crate::message::part::Part;
use crate::message::scan::{Scanned, Scanner};

/// The name of the file.
pub(crate) const NAME: &str = "store.idx";
/// Bytes of the file header: the first entry begins here.
pub(crate) const HEADER: u64 = 128;
/// Bytes of an entry's header with and without keys.
const ENTRY_HEADER: usize = 76;
const ENTRY_HEADER_1: usize = 72;
/// Bytes read at first, and at most: neighbours are usually wanted next, but the first entry may be the only one.
const AHEAD_FIRST: usize = 8 * 1024;
const AHEAD_MOST: usize = 256 * 1024;
/// No entry is longer.
pub(super) const ENTRY_MAX: usize = 64 << 20;

fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

pub(crate) fn file_header(generation: u32, mailbox: MailboxId) -> [u8; HEADER as usize] {
    let mut bytes = Vec::with_capacity(HEADER as usize);
    bytes.extend_from_slice(b"MSGSTIDX");
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&mailbox.0);
    bytes.resize(HEADER as usize - 4, 0);
    let sum = crc(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.try_into().unwrap_or([0; HEADER as usize])
}

/// Bytes of a record from which its length can be told.
pub(super) const HEAD_MAX: usize = ENTRY_HEADER_1;

/// Generation and mailbox of a file header that is sound.
pub(super) fn read_header(bytes: &[u8; HEADER as usize]) -> Option<(u32, MailboxId)> {
    let number = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let sound = bytes.starts_with(b"MSGSTIDX") && number(8)? == 1 && number(124)? == crc(bytes.get(..124)?);
    let mailbox = MailboxId(bytes.get(16..32)?.try_into().ok()?);
    if sound { Some((number(12)?, mailbox)) } else { None }
}

/// What an entry says of its message.
pub(super) struct Known<'b> {
    pub(super) uid: Uid,
    pub(super) size: u64,
    pub(super) internal_date_s: i64,
    pub(super) guid: [u8; 16],
    pub(super) header_size: u64,
    pub(super) headers: &'b [u8],
}

/// The length of the entry that begins with these [`HEAD_MAX`] bytes.
pub(super) fn record_len(bytes: &[u8]) -> Option<usize> {
    let size = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let sections =
        (0..5).try_fold(0usize, |sum, number| sum.checked_add(usize::try_from(size(40 + number * 4)?).ok()?))?;
    match bytes.get(..4)? {
        b"MEN2" => sections.checked_add(ENTRY_HEADER)?.checked_add(usize::try_from(size(68)?).ok()?),
        b"MENT" => sections.checked_add(ENTRY_HEADER_1),
        _ => None,
    }
}

/// An entry, if it is sound.
pub(super) fn read_record(bytes: &[u8]) -> Option<Known<'_>> {
    let array = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok());
    let uid = bytes.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)?;
    let guid: [u8; 16] = bytes.get(24..40)?.try_into().ok()?;
    let encoded = Encoded::read(bytes, uid, Guid(guid)).filter(Encoded::is_sound)?;
    let header_size = bytes.get(60..64).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)?;
    Some(Known {
        uid,
        size: u64::from_le_bytes(array(8)?),
        internal_date_s: i64::from_le_bytes(array(16)?),
        guid,
        header_size: u64::from(header_size),
        headers: encoded.headers(),
    })
}

/// The data of a message that store.idx keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What SORT and THREAD compare.
    keys: Cow<'a, [u8]>,
    bytes: Cow<'a, [u8]>,
    ends: [usize; 5],
}

impl Entry<'_> {
    /// From a scan of the message.
    pub(crate) fn of(scanned: &Scanned) -> Entry<'static> {
        let parts = scanned.parts.encode();
        let mut bytes = Vec::new();
        let mut ends = [0; 5];
        for (end, section) in ends.iter_mut().zip([
            &scanned.envelope,
            &scanned.body,
            &scanned.bodystructure,
            &scanned.cached_headers,
            &parts,
        ]) {
            bytes.extend_from_slice(section);
            *end = bytes.len();
        }
        Entry { keys: keys::of(&scanned.cached_headers).into(), bytes: bytes.into(), ends }
    }

    fn section(&self, number: usize) -> &[u8] {
        section(&self.bytes, &self.ends, number)
    }

    /// The ENVELOPE (RFC 9051 7.5.2), ready to be sent.
    pub fn envelope(&self) -> &[u8] {
        self.section(0)
    }

    /// The BODY, ready to be sent.
    pub fn body(&self) -> &[u8] {
        self.section(1)
    }

    /// The BODYSTRUCTURE, ready to be sent.
    pub fn bodystructure(&self) -> &[u8] {
        self.section(2)
    }

    /// The header lines kept, as they stand in the message.
    pub fn headers(&self) -> &[u8] {
        self.section(HEADERS)
    }

    /// Where the parts of the message lie.
    pub fn parts(&self) -> Option<Part> {
        Part::decode(self.section(4))
    }

    /// The keys, made anew from the header lines.
    fn keys_anew(&self) -> Vec<u8> {
        keys::of(self.headers())
    }

    /// True unless it has keys of this release that are not those of its header lines.
    pub(crate) fn has_its_keys(&self) -> bool {
        Keys::decode(&self.keys).is_none() || self.keys[..] == self.keys_anew()[..]
    }

    /// The keys; empty in an entry of the first release.
    fn keys(&self) -> &[u8] {
        &self.keys
    }

    /// The same with bytes of its own.
    pub fn into_owned(self) -> Entry<'static> {
        Entry { keys: self.keys.into_owned().into(), bytes: self.bytes.into_owned().into(), ends: self.ends }
    }

    /// The same with keys that this release can read: those of an earlier one are made anew.
    pub(crate) fn renewed(mut self) -> Self {
        if Keys::decode(&self.keys).is_none() {
            self.keys = self.keys_anew().into();
        }
        self
    }

    /// The bytes of the entry for message `row`, header included.
    pub(crate) fn encode(&self, row: &Message, into: &mut Vec<u8>) {
        let start = into.len();
        into.reserve(self.encoded_len());
        into.extend_from_slice(b"MEN2");
        into.extend_from_slice(&row.uid.to_le_bytes());
        into.extend_from_slice(&row.size.to_le_bytes());
        into.extend_from_slice(&row.internal_date_s.to_le_bytes());
        into.extend_from_slice(&row.guid.0);
        let mut before = 0;
        for end in self.ends {
            into.extend_from_slice(&u32::try_from(end - before).unwrap_or(u32::MAX).to_le_bytes());
            before = end;
        }
        into.extend_from_slice(&u32::try_from(row.header_size).unwrap_or(u32::MAX).to_le_bytes());
        into.extend_from_slice(&crc(&self.bytes).to_le_bytes());
        into.extend_from_slice(&u32::try_from(self.keys.len()).unwrap_or(u32::MAX).to_le_bytes());
        let sum = head_sum(into.get(start..).unwrap_or_default(), &self.keys);
        into.extend_from_slice(&sum.to_le_bytes());
        into.extend_from_slice(&self.keys);
        into.extend_from_slice(&self.bytes);
    }

    /// Length of the encoded entry.
    pub(crate) fn encoded_len(&self) -> usize {
        ENTRY_HEADER + self.keys.len() + self.bytes.len()
    }
}

/// The number of the section with the header lines.
const HEADERS: usize = 3;

fn section<'b>(payload: &'b [u8], ends: &[usize; 5], number: usize) -> &'b [u8] {
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let end = ends.get(number).copied().unwrap_or(start);
    payload.get(start..end).unwrap_or_default()
}

fn head_sum(head: &[u8], keys: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(keys);
    hasher.finalize()
}

/// An encoded entry whose header is sound, and the keys with it; the payload was not looked at.
struct Encoded<'b> {
    keys: &'b [u8],
    payload: &'b [u8],
    ends: [usize; 5],
    payload_sum: u32,
}

impl<'b> Encoded<'b> {
    /// `None`: it is not the entry of this message, or damaged.
    fn read(bytes: &'b [u8], uid: Uid, guid: Guid) -> Option<Encoded<'b>> {
        let u32_at = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        let size_at = |at: usize| usize::try_from(u32_at(at)?).ok();
        if u32_at(4)? != uid || bytes.get(24..40)? != guid.0 {
            return None;
        }
        let (keys, rest, sum) = match bytes.get(..4)? {
            b"MEN2" => {
                let (keys, rest) = bytes.get(ENTRY_HEADER..)?.split_at_checked(size_at(68)?)?;
                (keys, rest, head_sum(bytes.get(..72)?, keys) == u32_at(72)?)
            }
            b"MENT" => (&bytes[..0], bytes.get(ENTRY_HEADER_1..)?, crc(bytes.get(..68)?) == u32_at(68)?),
            _ => return None,
        };
        let mut ends = [0usize; 5];
        let mut at = 0usize;
        for (number, end) in ends.iter_mut().enumerate() {
            at = at.checked_add(size_at(40 + number * 4)?)?;
            *end = at;
        }
        sum.then_some(Encoded { keys, payload: rest.get(..at)?, ends, payload_sum: u32_at(64)? })
    }

    fn is_sound(&self) -> bool {
        crc(self.payload) == self.payload_sum
    }

    fn headers(&self) -> &'b [u8] {
        section(self.payload, &self.ends, HEADERS)
    }

    fn entry(self) -> Option<Entry<'b>> {
        self.is_sound().then(|| self.into_entry())
    }

    /// The entry, whose payload was found sound.
    fn into_entry(self) -> Entry<'b> {
        Entry { keys: self.keys.into(), bytes: self.payload.into(), ends: self.ends }
    }
}

/// Appends `bytes` at `offset` of the folder's file; makes the file with its header when it is not there. A file that lies there before the first
/// entry was committed is not this folder's, or not of this generation: it is begun anew.
pub(crate) fn append(dir: &Path, generation: u32, mailbox: MailboxId, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let path = dir.join(NAME);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)?;
    let len = file.metadata()?.len();
    let header = file_header(generation, mailbox);
    if len < HEADER {
        file.write_all_at(&header, 0)?;
    } else if offset == HEADER {
        let mut found = [0; HEADER as usize];
        file.read_exact_at(&mut found, 0)?;
        if found != header {
            // No committed row names an entry yet: what lies here was left by a creation that never committed.
            file.set_len(HEADER)?;
            file.write_all_at(&header, 0)?;
        }
    }
    file.write_all_at(bytes, offset)
}

/// The generation and the mailbox that the header of a folder's file names; `None`: there is no file, or its header is damaged or of another version.
pub(crate) fn header_of(dir: &Path) -> Option<(u32, MailboxId)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(dir.join(NAME)).ok()?;
    let mut found = [0; HEADER as usize];
    file.read_exact_at(&mut found, 0).ok()?;
    let generation = found.get(12..16)?.try_into().map(u32::from_le_bytes).ok()?;
    let mailbox = MailboxId(found.get(16..32)?.try_into().ok()?);
    (found == file_header(generation, mailbox)).then_some((generation, mailbox))
}

/// True when the file of a folder is there and its header is that of this generation of this mailbox.
pub(crate) fn is_of(dir: &Path, generation: u32, mailbox: MailboxId) -> bool {
    header_of(dir) == Some((generation, mailbox))
}

/// An entry as it lies in a file, whatever the rows say.
pub(crate) struct Found {
    pub(crate) uid: Uid,
    pub(crate) internal_date_s: i64,
    pub(crate) guid: Guid,
}

/// Every sound entry of a folder's file, in the order in which they were written; damaged stretches are passed over.
pub(crate) fn entries(dir: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    let Ok(bytes) = std::fs::read(dir.join(NAME)) else { return found };
    let mut at = usize::try_from(HEADER).unwrap_or(0);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= ENTRY_HEADER_1) {
        let uid = rest.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        let date = rest.get(16..24).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_le_bytes);
        let guid = Guid(rest.get(24..40).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default());
        match Encoded::read(rest, uid, guid) {
            Some(entry) => {
                found.push(Found { uid, internal_date_s: date, guid });
                let keys = if rest.starts_with(b"MEN2") { ENTRY_HEADER + entry.keys.len() } else { ENTRY_HEADER_1 };
                at += keys + entry.payload.len();
            }
            None => {
                let next = rest.get(1..).and_then(|rest| rest.windows(3).position(|three| three == b"MEN"));
                let Some(next) = next else { break };
                at += 1 + next;
            }
        }
    }
    found
}

/// Reads entries of one folder.
pub struct IndexReader {
    file: Option<File>,
    dir: PathBuf,
    generation: u32,
    at: u64,
    ahead: Vec<u8>,
    /// Bytes of the next read.
    next: usize,
    /// The mailbox, for the log.
    name: std::sync::Arc<str>,
    /// Opens a message wherever its folder is by now.
    reopen: Option<Reopen>,
    /// Makes entries again.
    renew: Option<Renew>,
    /// Messages whose entries were found wrong.
    damaged: Vec<Uid>,
}

/// As many wrong entries are remembered until they are made again.
const DAMAGED_MOST: usize = 256;

type Renew = Box<dyn Fn(&[Uid]) -> Result<usize, StoreError> + Send>;
type Reopen = Box<dyn Fn(Uid) -> Result<File, StoreError> + Send>;

/// Where an entry came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From store.idx.
    Cache,
    /// The row names no entry: the message was read.
    Uncached,
    /// The entry in store.idx is wrong: the message was read. Worth the documented line in the log.
    Damaged,
}

fn open_in(dir: &Path) -> Option<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(dir.join(NAME)).ok()
}

impl IndexReader {
    pub(crate) fn open(dir: &Path, generation: u32) -> IndexReader {
        IndexReader {
            file: open_in(dir),
            dir: dir.to_owned(),
            generation,
            at: 0,
            ahead: Vec::new(),
            next: AHEAD_FIRST,
            name: "".into(),
            reopen: None,
            renew: None,
            damaged: Vec::new(),
        }
    }

    /// The same, with a way to find messages whose folder has been renamed since, and one to make entries again.
    pub(crate) fn of_folder(self, name: String, reopen: Reopen, renew: Renew) -> IndexReader {
        IndexReader { name: name.into(), reopen: Some(reopen), renew: Some(renew), ..self }
    }

    /// The documented line for the log about an entry that was found wrong (AdminGuide "Error Messages Signifying that reconstruct -m is Needed").
    pub fn complaint(name: &str, uid: Uid) -> String {
        format!("Invalid cache data for msg {uid} in mailbox {name}. Needs reconstruct")
    }

    /// The mailbox that it is of, as administrators name it: `user/joe/INBOX`.
    pub fn name(&self) -> std::sync::Arc<str> {
        self.name.clone()
    }

    /// Makes the entries again that were found wrong since the last call, from their messages. No snapshot may be open. Returns how many were made;
    /// those of a mailbox that somebody has locked stay as they are.
    ///
    /// # Errors
    /// The disk fails.
    pub fn renew_damaged(&mut self) -> Result<usize, StoreError> {
        let damaged = std::mem::take(&mut self.damaged);
        let Some(renew) = self.renew.as_ref().filter(|_| !damaged.is_empty()) else { return Ok(0) };
        let made = renew(&damaged)?;
        // The file that is open may be one that somebody has removed: then the entries are in another.
        self.file = open_in(&self.dir);
        self.ahead.clear();
        self.at = 0;
        Ok(made)
    }

    fn note_damaged(&mut self, row: &Message) {
        if row.entry.offset != 0 && self.renew.is_some() && self.damaged.len() < DAMAGED_MOST {
            self.damaged.push(row.uid);
        }
    }

    /// The entry of a message: from store.idx, or from the message itself when the entry is missing or wrong.
    ///
    /// # Errors
    /// The message's file cannot be read.
    pub fn entry(&mut self, row: &Message) -> Result<(Entry<'_>, Source), StoreError> {
        let place = self.load(row);
        let source = if row.entry.offset == 0 { Source::Uncached } else { Source::Damaged };
        if self.encoded(place.clone(), row).is_none_or(|encoded| !encoded.is_sound()) {
            let scanned = self.scan(row)?;
            self.note_damaged(row);
            return Ok((scanned, source));
        }
        let entry = self.encoded(place, row).map(Encoded::into_entry);
        Ok((entry.unwrap_or_default(), Source::Cache))
    }

    /// Calls `look` with the header lines that [`Entry::headers`] has for the message: without a copy where store.idx is sound.
    ///
    /// # Errors
    /// The message's file cannot be read.
    pub fn with_headers<T>(&mut self, row: &Message, look: impl FnOnce(&[u8]) -> T) -> Result<T, StoreError> {
        let place = self.load(row);
        if let Some(encoded) = self.encoded(place, row).filter(Encoded::is_sound) {
            return Ok(look(encoded.headers()));
        }
        Ok(look(self.scan(row)?.headers()))
    }

    /// True while it has the file of a folder whose store.idx is of this generation.
    pub fn is_of(&self, generation: u32) -> bool {
        self.file.is_some() && self.generation == generation
    }

    /// Calls `look` with what SORT and THREAD compare of the message, and, where they are asked for, its header lines (else none).
    ///
    /// # Errors
    /// The message's file cannot be read.
    pub fn with_keys<T>(
        &mut self,
        row: &Message,
        headers: bool,
        look: impl FnOnce(&Keys<'_>, &[u8]) -> T,
    ) -> Result<(T, Source), StoreError> {
        let place = self.load(row);
        let source = if row.entry.offset == 0 { Source::Uncached } else { Source::Damaged };
        if let Some(encoded) = self.encoded(place, row) {
            let keys = Keys::decode(encoded.keys);
            match keys {
                Some(keys) if !headers => return Ok((look(&keys, b""), Source::Cache)),
                Some(keys) if encoded.is_sound() => return Ok((look(&keys, encoded.headers()), Source::Cache)),
                None if encoded.is_sound() => {
                    let keys = keys::of(encoded.headers());
                    let looked = look(&Keys::decode(&keys).unwrap_or_default(), encoded.headers());
                    return Ok((looked, Source::Cache));
                }
                _ => {}
            }
        }
        let entry = self.scan(row)?;
        self.note_damaged(row);
        Ok((look(&Keys::decode(entry.keys()).unwrap_or_default(), entry.headers()), source))
    }

    /// The entry as store.idx has it, if that is sound.
    pub(crate) fn cached(&mut self, row: &Message) -> Option<Entry<'_>> {
        let place = self.load(row);
        self.encoded(place, row)?.entry()
    }

    /// What lies at a place that [`IndexReader::load`] gave.
    fn encoded(&self, place: Option<Range<usize>>, row: &Message) -> Option<Encoded<'_>> {
        Encoded::read(self.ahead.get(place?)?, row.uid, row.guid)
    }

    /// Reads what store.idx has where the row says; gives its place among the bytes read ahead.
    fn load(&mut self, row: &Message) -> Option<Range<usize>> {
        let EntryPlace { generation, offset, len } = row.entry;
        let len = usize::try_from(len).ok().filter(|len| (ENTRY_HEADER_1..=ENTRY_MAX).contains(len))?;
        if generation != self.generation || offset < HEADER {
            return None;
        }
        let known = offset.checked_sub(self.at).and_then(|skip| usize::try_from(skip).ok());
        let held = known.and_then(|skip| Some(skip..skip.checked_add(len)?));
        if let Some(place) = held.filter(|place| place.end <= self.ahead.len()) {
            return Some(place);
        }
        let file = self.file.as_ref()?;
        self.ahead.resize(len.max(self.next), 0);
        self.next = self.next.saturating_mul(4).min(AHEAD_MOST);
        let mut filled = 0;
        while let Some(room) = self.ahead.get_mut(filled..).filter(|room| !room.is_empty()) {
            match file.read_at(room, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.ahead.truncate(filled);
        self.at = offset;
        Some(0..len)
    }

    fn scan(&self, row: &Message) -> Result<Entry<'static>, StoreError> {
        let path = self.dir.join(super::layout::message_file(row.uid));
        // Another folder may lie at the old path by now, with another message of that UID.
        let scanned = match &self.reopen {
            Some(reopen) => scan(reopen(row.uid)?, &path),
            None => scan_file(&path),
        };
        Ok(Entry::of(&scanned?))
    }
}

/// Scans a message file.
pub(crate) fn scan_file(path: &Path) -> Result<Scanned, StoreError> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path);
    scan(file.map_err(|error| StoreError::io("read", path, error))?, path)
}

fn scan(mut file: File, path: &Path) -> Result<Scanned, StoreError> {
    use std::io::Read;
    let mut scanner = Scanner::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(scanner.finish()),
            Ok(read) => scanner.push(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io("read", path, error)),
        }
    }
}

#[cfg(test)]
mod tests;
