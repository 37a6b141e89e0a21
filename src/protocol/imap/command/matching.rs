//! Search keys, made ready and applied to one message: the cheap ones first.

use std::fs::File;
use std::os::unix::fs::FileExt;

use memchr::memmem;

use crate::message::charset::{self, TextDecoder, Transfer};
use crate::message::date::{Stamp, parse_rfc5322};
use crate::message::header;
use crate::message::part::{Kind, Part};
use crate::protocol::imap::parse::{DateOp, Key, SystemFlag};
use crate::protocol::imap::selected::Selected;
use crate::store::{Bodies, Entry, Flags, Guid, IndexReader, Keywords, Message, Modseq, StoreError, Uid, UidSet};

/// A search key with its sets resolved and its texts folded.
#[derive(Debug)]
pub(super) enum Test {
    Always,
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Flags(Flags),
    Recent,
    Keyword(Option<u32>),
    Uids(UidSet),
    /// The mod-sequence is this or greater.
    Modseq(Modseq),
    Larger(u64),
    Smaller(u64),
    /// The content with this id.
    Content(Guid),
    Saved(DateOp, chrono::NaiveDate),
    Internal(DateOp, chrono::NaiveDate),
    Sent(DateOp, chrono::NaiveDate),
    /// The internal date is at this time or before, seconds since 1970.
    Until(i64),
    /// At this time or later.
    From(i64),
    Header(String, Box<Needle>),
    Body(Box<Needle>),
    Text(Box<Needle>),
}

/// What must be read to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cost {
    State,
    Row,
    Entry,
    File,
}

/// A folded text, and what tells quickly that a block of header lines does not hold it.
#[derive(Debug)]
pub(super) struct Needle {
    whole: memmem::Finder<'static>,
    /// Its longest piece without white space: a line end inside of a field cannot cut that.
    piece: memmem::Finder<'static>,
    /// Where an encoded word begins.
    encoded: memmem::Finder<'static>,
}

impl Needle {
    fn new(text: &str) -> Needle {
        let words = text.split(|c: char| c.is_ascii_whitespace() || c.is_ascii_control());
        let piece = words.max_by_key(|word| word.len()).unwrap_or_default();
        let finder = |text: &str| memmem::Finder::new(text.as_bytes()).into_owned();
        Needle { whole: finder(text), piece: finder(piece), encoded: finder("=?") }
    }

    fn len(&self) -> usize {
        self.whole.needle().len()
    }

    /// Does the text stand in another one that is folded already?
    fn is_in_folded(&self, text: &str) -> bool {
        self.whole.find(text.as_bytes()).is_some()
    }

    /// True when no field of the block holds the text. False says nothing.
    fn is_absent(&self, block: &[u8]) -> bool {
        // Plain text folds to itself in upper case.
        block.is_ascii() && self.encoded.find(block).is_none() && self.piece.find(&block.to_ascii_uppercase()).is_none()
    }

    /// Does a field called `name` hold the text?
    fn is_in(&self, block: &[u8], name: &str) -> bool {
        !self.is_absent(block)
            && header::find_all(block, name)
                .any(|field| self.is_in_folded(&charset::fold(&charset::decode_words(&field.unfolded()))))
    }
}

/// Makes a key ready, at the time `now_s` (seconds since 1970). `None`: a sequence number beyond the last message.
pub(super) fn compile(key: Key, selected: &Selected, label: &str, now_s: i64) -> Option<Test> {
    let needle = |bytes: &[u8]| Box::new(Needle::new(&charset::fold(&charset::decode(label.as_bytes(), bytes))));
    let unless = |test: Test, wanted: bool| if wanted { test } else { Test::Not(Box::new(test)) };
    Some(match key {
        Key::All => Test::Always,
        Key::And(keys) => {
            let mut tests =
                keys.into_iter().map(|key| compile(key, selected, label, now_s)).collect::<Option<Vec<_>>>()?;
            tests.sort_by_key(Test::cost);
            Test::All(tests)
        }
        Key::Or(one, other) => {
            let mut tests = vec![compile(*one, selected, label, now_s)?, compile(*other, selected, label, now_s)?];
            tests.sort_by_key(Test::cost);
            Test::Any(tests)
        }
        Key::Not(key) => Test::Not(Box::new(compile(*key, selected, label, now_s)?)),
        Key::Flag(flag, wanted) => unless(Test::Flags(bit(flag)), wanted),
        Key::Recent(wanted) => unless(Test::Recent, wanted),
        Key::Keyword(name, wanted) => unless(Test::Keyword(selected.keyword_bit(&name)), wanted),
        Key::Header(name, bytes) => Test::Header(name, needle(&bytes)),
        Key::Body(bytes) => Test::Body(needle(&bytes)),
        Key::Text(bytes) => Test::Text(needle(&bytes)),
        Key::Internal(op, date) => Test::Internal(op, date),
        Key::Sent(op, date) => Test::Sent(op, date),
        Key::Larger(bytes) => Test::Larger(bytes),
        Key::Smaller(bytes) => Test::Smaller(bytes),
        Key::EmailId(id) => match id.strip_prefix('M').and_then(Guid::parse) {
            Some(guid) => Test::Content(guid),
            None => Test::Any(Vec::new()),
        },
        // No message has a thread (RFC 8474 section 5.2).
        Key::ThreadId(_) => Test::Any(Vec::new()),
        Key::Saved(op, date) => Test::Saved(op, date),
        Key::Modseq(modseq) => Test::Modseq(modseq),
        // RFC 5032 section 3: measured from the time of the search.
        Key::Older(seconds) => Test::Until(now_s.saturating_sub(i64::from(seconds))),
        Key::Younger(seconds) => Test::From(now_s.saturating_sub(i64::from(seconds))),
        Key::Uid(set) => Test::Uids(selected.uids(&set, true)?),
        Key::Sequence(set) => Test::Uids(selected.uids(&set, false)?),
    })
}

fn bit(flag: SystemFlag) -> Flags {
    match flag {
        SystemFlag::Answered => Flags::ANSWERED,
        SystemFlag::Flagged => Flags::FLAGGED,
        SystemFlag::Deleted => Flags::DELETED,
        SystemFlag::Seen => Flags::SEEN,
        SystemFlag::Draft => Flags::DRAFT,
    }
}

impl Test {
    /// The most that must be read.
    pub(super) fn cost(&self) -> Cost {
        match self {
            Test::Always | Test::Flags(_) | Test::Recent | Test::Keyword(_) | Test::Uids(_) | Test::Modseq(_) => {
                Cost::State
            }
            Test::Larger(_) | Test::Smaller(_) | Test::Content(_) => Cost::Row,
            Test::Internal(..) | Test::Saved(..) | Test::Until(_) | Test::From(_) => Cost::Row,
            Test::Sent(..) => Cost::Entry,
            Test::Header(name, _) if header::is_cached(name.as_bytes()) => Cost::Entry,
            Test::Header(..) | Test::Body(_) | Test::Text(_) => Cost::File,
            Test::All(tests) | Test::Any(tests) => tests.iter().map(Test::cost).max().unwrap_or(Cost::State),
            Test::Not(test) => test.cost(),
        }
    }

    /// How many of its tests read files.
    pub(super) fn readers(&self) -> u32 {
        match self {
            Test::All(tests) | Test::Any(tests) => tests.iter().map(Test::readers).fold(0, u32::saturating_add),
            Test::Not(test) => test.readers(),
            test => u32::from(test.cost() == Cost::File),
        }
    }

    /// UIDs outside of which nothing can match, where the test says so itself.
    pub(super) fn uids(&self) -> Option<&UidSet> {
        match self {
            Test::Uids(uids) => Some(uids),
            Test::All(tests) => tests.iter().find_map(Test::uids),
            _ => None,
        }
    }

    /// Does the message match?
    pub(super) fn matches(&self, message: &mut Candidate<'_>) -> Result<bool, StoreError> {
        Ok(match self {
            Test::Always => true,
            Test::All(tests) => {
                for test in tests {
                    if !test.matches(message)? {
                        return Ok(false);
                    }
                }
                true
            }
            Test::Any(tests) => {
                for test in tests {
                    if test.matches(message)? {
                        return Ok(true);
                    }
                }
                false
            }
            Test::Not(test) => !test.matches(message)?,
            Test::Flags(flags) => message.flags.contains(*flags),
            Test::Recent => message.recent,
            Test::Keyword(bit) => {
                bit.is_some_and(|bit| message.keywords.0.checked_shr(bit).is_some_and(|bits| bits & 1 == 1))
            }
            Test::Uids(uids) => uids.contains(message.uid),
            Test::Modseq(modseq) => message.modseq >= *modseq,
            Test::Larger(bytes) => message.row()?.size > *bytes,
            Test::Smaller(bytes) => message.row()?.size < *bytes,
            Test::Content(guid) => message.row()?.guid == *guid,
            Test::Saved(op, date) => {
                let stamp = Stamp { utc_s: message.row()?.saved_s, offset_min: 0 };
                stamp.local_date().is_some_and(|at| compare(*op, at, *date))
            }
            Test::Internal(op, date) => {
                let row = message.row()?;
                let stamp = Stamp { utc_s: row.internal_date_s, offset_min: i32::from(row.internal_zone_min) };
                stamp.local_date().is_some_and(|at| compare(*op, at, *date))
            }
            Test::Until(end_s) => message.row()?.internal_date_s <= *end_s,
            Test::From(start_s) => message.row()?.internal_date_s >= *start_s,
            Test::Sent(op, date) => message.sent()?.is_some_and(|at| compare(*op, at, *date)),
            Test::Header(name, needle) => message.header_contains(name, needle)?,
            Test::Body(needle) => message.body_contains(needle)?,
            Test::Text(needle) => message.any_header_contains(needle)? || message.body_contains(needle)?,
        })
    }
}

fn compare(op: DateOp, at: chrono::NaiveDate, date: chrono::NaiveDate) -> bool {
    match op {
        DateOp::Before => at < date,
        DateOp::On => at == date,
        DateOp::Since => at >= date,
    }
}

/// A message under test; what is read of it is kept.
pub(super) struct Candidate<'a> {
    bodies: &'a mut Bodies,
    uid: Uid,
    flags: Flags,
    keywords: Keywords,
    recent: bool,
    modseq: Modseq,
    row: Option<Message>,
    index: Option<&'a mut IndexReader>,
    entry: Option<Entry<'static>>,
    file: Option<File>,
}

/// Bytes read at a time from a body, and characters gathered before they are searched.
const READ_BYTES: u64 = 64 * 1024;
const FOLD_BYTES: usize = 256 * 1024;

impl<'a> Candidate<'a> {
    pub(super) fn new(
        bodies: &'a mut Bodies,
        (uid, flags, keywords, recent): (Uid, Flags, Keywords, bool),
        row: Option<Message>,
        index: Option<&'a mut IndexReader>,
    ) -> Candidate<'a> {
        Candidate { bodies, uid, flags, keywords, recent, modseq: 0, row, index, entry: None, file: None }
    }

    pub(super) fn with_modseq(self, modseq: Modseq) -> Candidate<'a> {
        Candidate { modseq, ..self }
    }

    /// True when the message's file was opened.
    pub(super) fn has_read(&self) -> bool {
        self.file.is_some()
    }

    fn row(&self) -> Result<&Message, StoreError> {
        self.row.as_ref().ok_or(StoreError::Expunged { uid: self.uid })
    }

    fn entry(&mut self) -> Result<&Entry<'static>, StoreError> {
        if self.entry.is_none() {
            let row = self.row.as_ref().ok_or(StoreError::Expunged { uid: self.uid })?;
            let index = self.index.as_mut().ok_or(StoreError::Expunged { uid: self.uid })?;
            self.entry = Some(index.entry(row)?.0.into_owned());
        }
        self.entry.as_ref().ok_or(StoreError::Expunged { uid: self.uid })
    }

    fn read(&mut self, from: u64, count: u64) -> Result<Vec<u8>, StoreError> {
        if self.file.is_none() {
            self.file = Some(self.bodies.open(self.uid)?);
        }
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
        let place = format!("message {}", self.uid);
        if let Some(file) = &self.file {
            file.read_exact_at(&mut bytes, from)
                .map_err(|error| StoreError::Corrupt { what: error.to_string(), place })?;
        }
        Ok(bytes)
    }

    fn header_block(&mut self) -> Result<Vec<u8>, StoreError> {
        let count = self.row()?.header_size.min(crate::message::scan::MAX_HEADER as u64);
        self.read(0, count)
    }

    fn sent(&mut self) -> Result<Option<chrono::NaiveDate>, StoreError> {
        let date = |block: &[u8]| header::find(block, "date").and_then(|field| parse_rfc5322(&field.unfolded()));
        let stamp = match (&self.entry, &self.row, &mut self.index) {
            (None, Some(row), Some(index)) => index.with_headers(row, date)?,
            _ => date(self.entry()?.headers()),
        };
        Ok(stamp.and_then(|stamp| stamp.local_date()))
    }

    fn header_contains(&mut self, name: &str, needle: &Needle) -> Result<bool, StoreError> {
        if !header::is_cached(name.as_bytes()) {
            return Ok(needle.is_in(&self.header_block()?, name));
        }
        match (&self.entry, &self.row, &mut self.index) {
            (None, Some(row), Some(index)) => index.with_headers(row, |block| needle.is_in(block, name)),
            _ => Ok(needle.is_in(self.entry()?.headers(), name)),
        }
    }

    fn any_header_contains(&mut self, needle: &Needle) -> Result<bool, StoreError> {
        let block = self.header_block()?;
        Ok(header::fields(&block).any(|field| {
            let name = String::from_utf8_lossy(field.name).into_owned();
            needle.is_in_folded(&charset::fold(&format!("{name}: {}", charset::decode_words(&field.unfolded()))))
        }))
    }

    fn body_contains(&mut self, needle: &Needle) -> Result<bool, StoreError> {
        let Some(root) = self.entry()?.parts() else {
            return Ok(false);
        };
        for part in root.walk() {
            if part.is_text() && matches!(part.kind, Kind::Leaf) && self.part_contains(part, needle)? {
                return Ok(true);
            }
        }
        Ok(needle.len() == 0)
    }

    /// Decodes a text part piece by piece; the end of each piece is looked at again with the next one.
    fn part_contains(&mut self, part: &Part, needle: &Needle) -> Result<bool, StoreError> {
        let mut transfer = Transfer::new(&part.encoding);
        let mut decoder = TextDecoder::new(part.charset.as_bytes());
        let mut text = String::new();
        let mut at = part.body.start;
        while at < part.body.end {
            let count = (part.body.end - at).min(READ_BYTES);
            let raw = self.read(at, count)?;
            at += count;
            let mut bytes = Vec::with_capacity(raw.len());
            transfer.push(&raw, &mut bytes);
            decoder.push(&bytes, &mut text);
            if text.len() >= FOLD_BYTES {
                if needle.is_in_folded(&charset::fold(&text)) {
                    return Ok(true);
                }
                // A character folds to at least a quarter of its bytes' worth: four times the needle covers any match over the cut.
                let keep = needle.len().saturating_mul(4).saturating_add(64);
                let mut cut = text.len().saturating_sub(keep);
                while !text.is_char_boundary(cut) {
                    cut -= 1;
                }
                text.drain(..cut);
            }
        }
        let mut bytes = Vec::new();
        transfer.finish(&mut bytes);
        decoder.push(&bytes, &mut text);
        decoder.finish(&mut text);
        Ok(needle.is_in_folded(&charset::fold(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Needle, Test};
    use crate::message::charset;
    use proptest::prelude::*;

    #[test]
    fn tests_that_read_files_are_counted() {
        let needle = |text| Box::new(Needle::new(text));
        let body = || Test::Body(needle("x"));
        let test = Test::All(vec![
            Test::Recent,
            Test::Header("Subject".to_owned(), needle("")),
            Test::Not(Box::new(Test::Any(vec![body(), Test::Text(needle(""))]))),
            body(),
        ]);
        assert_eq!(test.readers(), 3);
        assert_eq!(Test::Always.readers(), 0);
    }

    #[test]
    fn texts_are_found_across_line_ends_and_encodings() {
        let is_in = |text: &str, block: &[u8]| Needle::new(&charset::fold(text)).is_in(block, "subject");
        let block = b"To: elsewhere\r\nSubject: two\r\n  lines of\r\n\tText\r\nX: y\r\n";
        assert!(is_in("TWO  lines", block) && is_in("of\ttext", block) && is_in("", block) && is_in(" lines", block));
        assert!(!is_in("elsewhere", block) && !is_in("twolines", block) && !is_in("\u{e4}", block));
        assert!(
            is_in("gr\u{fc}n", b"Subject: =?iso-8859-1?q?GR=DCN?=\r\n")
                && is_in("gr\u{fc}n", b"Subject: gr\xc3\xbcn\r\n")
        );
        // A compatibility form of plain letters: the quick look must not decide here.
        assert!(is_in("abc", "Subject: \u{ff21}\u{ff22}\u{ff23}\r\n".as_bytes()));
    }

    proptest! {
        /// The quick look never says "absent" of a text that is there.
        #[test]
        fn the_quick_look_overlooks_nothing(value in "[a-c =?\r\n\t\u{e4}]{0,24}", text in "[a-cA-C \t]{0,4}") {
            let block = format!("Subject: {value}\r\n");
            let folded = charset::fold(&text);
            let there = crate::message::header::find_all(block.as_bytes(), "subject")
                .any(|field| charset::fold(&charset::decode_words(&field.unfolded())).contains(&folded));
            prop_assert_eq!(Needle::new(&folded).is_in(block.as_bytes(), "subject"), there);
        }
    }
}
