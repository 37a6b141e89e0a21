//! Messages of mbox files into a folder, in batches.

use std::io::{self, BufRead, Write};

use super::delivery::{Marks, is_keyword};
use crate::message::date::Stamp;
use crate::message::header;
use crate::message::mbox::{Options, Reader};
use crate::store::{AccountId, Flags, FolderId, Keywords, Kind, NewMessage, Staged, Store, StoreError, Uid};

/// Most messages of a commit.
const BATCH_MESSAGES: usize = 100;
/// Bytes of messages from which on a batch is committed.
const BATCH_BYTES: u64 = 16 << 20;

/// Why an import stopped. What was committed before stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file does not begin with a `From ` line.
    #[error("not an mbox file: {0}")]
    NotMbox(io::Error),
    /// The file cannot be read.
    #[error("cannot read: {0}")]
    Input(io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where messages go.
pub struct Target<'a> {
    /// The store.
    pub store: &'a Store,
    /// The account.
    pub account: AccountId,
    /// The folder.
    pub folder: FolderId,
    /// The folder's partition.
    pub partition: String,
}

/// What happens during an import.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'e> {
    /// A message is in the store for good.
    Imported {
        /// Its number in the file, from 1.
        number: u64,
        /// Its UID.
        uid: Uid,
        /// Its size in bytes.
        size: u64,
    },
    /// A message was left out.
    Skipped {
        /// Its number in the file, from 1.
        number: u64,
        /// Where its `From ` line begins in the file.
        offset: u64,
        /// Why.
        why: &'e str,
    },
    /// A keyword was left out: the account has as many as it may.
    KeywordDropped {
        /// The message's number in the file.
        number: u64,
        /// The keyword.
        keyword: &'e str,
    },
    /// A batch was committed; the file is read up to `offset`.
    Batch {
        /// Bytes of the file.
        offset: u64,
    },
}

/// The sums of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages imported.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages left out.
    pub skipped: u64,
}

struct Waiting {
    staged: Staged,
    marks: Marks,
    date: Stamp,
    number: u64,
}

/// Appends the messages of an mbox file. The quota does not count. INTERNALDATE is the date of the `From ` line; `Status`, `X-Status` and
/// `X-Keywords` fields give flags and keywords.
///
/// # Errors
/// [`ImportError`].
pub fn mbox(
    target: &Target<'_>,
    input: impl BufRead,
    options: Options,
    now_s: i64,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Totals, ImportError> {
    let mut reader = Reader::new(input, options);
    let mut known = target.store.view(target.account)?.keywords()?;
    let (mut totals, mut number) = (Totals::default(), 0u64);
    let (mut batch, mut batch_bytes) = (Vec::new(), 0u64);
    let mut chunk = Vec::new();
    loop {
        // The rest of a message that was not read belongs to it; its From line begins behind that.
        while reader.read_chunk(&mut chunk).map_err(ImportError::Input)? {
            chunk.clear();
        }
        let offset = reader.offset();
        let from = reader.next_message().map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ImportError::NotMbox(error),
            _ => ImportError::Input(error),
        })?;
        let Some(from) = from else { break };
        number += 1;
        let mut staging = target.store.stage(&target.partition)?;
        let mut marks = None;
        while reader.read_chunk(&mut chunk).map_err(ImportError::Input)? {
            marks.get_or_insert_with(|| marks_of(&chunk));
            staging.write_all(&chunk).map_err(|error| {
                let path = target.partition.clone().into();
                StoreError::Io { action: "write to partition", path, error }
            })?;
            chunk.clear();
        }
        let staged = match staging.finish() {
            Err(StoreError::Invalid { what }) => {
                totals.skipped += 1;
                tell(Event::Skipped { number, offset, why: &what });
                continue;
            }
            other => other?,
        };
        let mut marks = marks.unwrap_or_default();
        marks.keywords.retain(|keyword| {
            let fits = admit(&mut known, keyword);
            if !fits {
                tell(Event::KeywordDropped { number, keyword });
            }
            fits
        });
        batch_bytes += staged.size();
        batch.push(Waiting { staged, marks, date: from.date, number });
        if batch.len() >= BATCH_MESSAGES || batch_bytes >= BATCH_BYTES {
            commit(target, &mut batch, &mut totals, now_s, tell)?;
            batch_bytes = 0;
            tell(Event::Batch { offset: reader.offset() });
        }
    }
    commit(target, &mut batch, &mut totals, now_s, tell)?;
    tell(Event::Batch { offset: reader.offset() });
    Ok(totals)
}

/// True if the account knows the keyword or may have one more.
fn admit(known: &mut Vec<String>, keyword: &str) -> bool {
    if known.iter().any(|other| other.eq_ignore_ascii_case(keyword)) {
        return true;
    }
    let fits = known.len() < Keywords::LIMIT;
    if fits {
        known.push(keyword.to_owned());
    }
    fits
}

fn commit(
    target: &Target<'_>,
    batch: &mut Vec<Waiting>,
    totals: &mut Totals,
    now_s: i64,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<(), ImportError> {
    if batch.is_empty() {
        return Ok(());
    }
    let items = |keywords: bool| -> Vec<NewMessage<'_>> {
        let item = |one| {
            let Waiting { staged, marks, date, .. }: &Waiting = one;
            NewMessage {
                staged,
                flags: marks.flags,
                keywords: if keywords { marks.keywords.clone() } else { Vec::new() },
                internal_date_s: date.utc_s,
                internal_zone_min: i16::try_from(date.offset_min).unwrap_or(0),
            }
        };
        batch.iter().map(item).collect()
    };
    let append = |items: &[NewMessage<'_>]| target.store.append_over_quota(target.account, target.folder, items, now_s);
    let done = match append(&items(true)) {
        // Another process used up the keywords meanwhile.
        Err(error) if error.kind() == Kind::Limit && batch.iter().any(|one| !one.marks.keywords.is_empty()) => {
            for one in batch.iter() {
                one.marks
                    .keywords
                    .iter()
                    .for_each(|keyword| tell(Event::KeywordDropped { number: one.number, keyword }));
            }
            append(&items(false))?
        }
        other => other?,
    };
    crate::crash_point!("import.after-batch");
    for (one, uid) in batch.drain(..).zip(done.uids) {
        totals.messages += 1;
        totals.bytes += one.staged.size();
        tell(Event::Imported { number: one.number, uid, size: one.staged.size() });
    }
    Ok(())
}

/// Flags and keywords that the header at the start of `text` gives: letters of `Status` and `X-Status` (R \Seen, A \Answered, F \Flagged,
/// D \Deleted, T \Draft), words of `X-Keywords`.
fn marks_of(text: &[u8]) -> Marks {
    let end = memchr::memmem::find(text, b"\r\n\r\n").map_or(text.len(), |at| at + 2);
    let block = text.get(..end).unwrap_or_default();
    let mut marks = Marks::default();
    for name in ["Status", "X-Status"] {
        for field in header::find_all(block, name) {
            for letter in field.unfolded().iter() {
                marks.flags = marks.flags
                    | match letter {
                        b'R' => Flags::SEEN,
                        b'A' => Flags::ANSWERED,
                        b'F' => Flags::FLAGGED,
                        b'D' => Flags::DELETED,
                        b'T' => Flags::DRAFT,
                        _ => Flags::NONE,
                    };
            }
        }
    }
    for field in header::find_all(block, "X-Keywords") {
        for word in field.unfolded().split(u8::is_ascii_whitespace) {
            if let Ok(word) = std::str::from_utf8(word)
                && is_keyword(word)
            {
                // It was checked.
                drop(marks.add(word));
            }
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_give_flags_and_keywords() {
        let marks =
            marks_of(b"Status: RO\r\nX-Status: AF\r\nX-Keywords: $Work Plan (no) \r\n\tplan\r\n\r\nStatus: D\r\n");
        assert_eq!(marks.flags, Flags::SEEN | Flags::ANSWERED | Flags::FLAGGED);
        assert_eq!(marks.keywords, ["$Work", "Plan"]);
        assert_eq!(marks_of(b"\r\nX-Status: D\r\n").flags, Flags::NONE);
        assert_eq!(marks_of(b"Subject: x\r\nX-Status: DT").flags, Flags::DELETED | Flags::DRAFT);
    }

    #[test]
    fn keywords_stop_at_the_limit() {
        let mut known: Vec<String> = (0..Keywords::LIMIT - 1).map(|n| format!("k{n}")).collect();
        assert!(admit(&mut known, "new") && admit(&mut known, "NEW") && !admit(&mut known, "more"));
    }
}
