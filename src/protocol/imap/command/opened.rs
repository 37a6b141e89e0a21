//! A message that a FETCH is about: what its items are written from.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::binary::Sizes;
use super::pieces::{Piece, Pieces};
use super::section::{self, Found};
use crate::message::date::{Stamp, format_internal};
use crate::message::part::Part;
use crate::message::structure;
use crate::protocol::imap::parse::Item;
use crate::store::{Bodies, Entry, Message, StoreError};

/// The message of a row: its entry, parts and file, each read when an item needs it.
pub(super) struct Opened<'a> {
    pub(super) bodies: &'a mut Bodies,
    pub(super) message: &'a Message,
    pub(super) entry: Option<Entry<'a>>,
    pub(super) parts: Option<Part>,
    pub(super) file: Option<Arc<File>>,
    /// Of parts that were decoded.
    pub(super) sizes: Sizes,
    /// message/global is told as a message.
    pub(super) global: bool,
}

/// Why a message is not in the answer.
#[derive(Debug)]
pub(super) enum Trouble {
    Store(StoreError),
    UnknownCte,
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Trouble {
        Trouble::Store(error)
    }
}

impl<'a> Opened<'a> {
    pub(super) fn write(&mut self, item: &Item, label: &str, pieces: &mut Pieces<'_>) -> Result<(), Trouble> {
        let message = self.message;
        match item {
            Item::InternalDate => {
                let stamp = Stamp { utc_s: message.internal_date_s, offset_min: i32::from(message.internal_zone_min) };
                pieces.text(&format!("INTERNALDATE \"{}\"", format_internal(stamp)));
            }
            Item::Rfc822Size => {
                pieces.text("RFC822.SIZE ");
                pieces.number(message.size);
            }
            // RFC 8474 section 5.1: the content and nothing else decides, so copies have the same one.
            Item::EmailId => pieces.text(&format!("EMAILID (M{})", message.guid)),
            // RFC 8514 section 4.2.
            Item::SaveDate => {
                let stamp = Stamp { utc_s: message.saved_s, offset_min: 0 };
                pieces.text(&format!("SAVEDATE \"{}\"", format_internal(stamp)));
            }
            Item::Envelope => pieces.named(b"ENVELOPE ", self.entry().envelope()),
            Item::Body => pieces.named(b"BODY ", &self.structure(Entry::body)),
            Item::BodyStructure => pieces.named(b"BODYSTRUCTURE ", &self.structure(Entry::bodystructure)),
            Item::Rfc822 => self.range("RFC822", 0, message.size, pieces)?,
            Item::Rfc822Header => self.range("RFC822.HEADER", 0, message.header_size, pieces)?,
            Item::Rfc822Text => self.range("RFC822.TEXT", message.header_size, message.size, pieces)?,
            Item::Section { section, partial, .. } => {
                let found = match section::find_cached(section, self.entry()) {
                    Some(found) => found,
                    None => {
                        let parts = self.parts();
                        section::find(section, message, parts)
                    }
                };
                match found {
                    Found::Nothing => pieces.text(&format!("{label} NIL")),
                    Found::Bytes(bytes) => pieces.literal(label, section::cut(&bytes, *partial)),
                    Found::Range(from, to) => {
                        let (from, to) = section::cut_range(from, to, *partial);
                        self.range(label, from, to, pieces)?;
                    }
                    Found::Fields { from, to, names, not } => {
                        let block = self.read(from, to)?;
                        let bytes = crate::message::header::subset(&block, &names, not);
                        pieces.literal(label, section::cut(&bytes, *partial));
                    }
                }
            }
            Item::Binary { part, partial, .. } => self.binary(label, part, *partial, pieces)?,
            Item::BinarySize(part) => self.binary_size(label, part, pieces)?,
            Item::Preview => self.preview(pieces)?,
            Item::Uid | Item::Flags | Item::Modseq | Item::ThreadId => {}
        }
        Ok(())
    }

    fn entry(&mut self) -> &Entry<'a> {
        self.entry.get_or_insert_with(Entry::default)
    }

    /// BODY or BODYSTRUCTURE, in the form that the client knows.
    fn structure(&mut self, which: for<'e> fn(&'e Entry<'a>) -> &'e [u8]) -> Cow<'_, [u8]> {
        let has_global = !self.global && structure::may_have_global(which(self.entry()));
        if has_global && self.parts().is_some() {
            let text = self.entry.as_ref().map(which).unwrap_or_default();
            return self.parts.as_ref().map_or(text.into(), |parts| structure::without_global(text, parts));
        }
        which(self.entry()).into()
    }

    pub(super) fn parts(&mut self) -> Option<&Part> {
        if self.parts.is_none() {
            self.parts = self.entry.as_ref().and_then(Entry::parts);
        }
        self.parts.as_ref()
    }

    pub(super) fn file(&mut self) -> Result<Arc<File>, StoreError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.bodies.open(self.message.uid)?);
        let place = format!("message {}", self.message.uid);
        let len = file
            .metadata()
            .map_err(|error| StoreError::Corrupt { what: error.to_string(), place: place.clone() })?
            .len();
        if len < self.message.size {
            return Err(StoreError::Corrupt {
                what: format!("the file has {len} of {} bytes", self.message.size),
                place,
            });
        }
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// A header block; as large as the scanner reads at most.
    fn read(&mut self, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
        let count = to.saturating_sub(from).min(crate::message::scan::MAX_HEADER as u64);
        let mut block = vec![0; usize::try_from(count).unwrap_or(0)];
        let file = self.file()?;
        file.read_exact_at(&mut block, from).map_err(|error| StoreError::Corrupt {
            what: error.to_string(),
            place: format!("message {}", self.message.uid),
        })?;
        Ok(block)
    }

    pub(super) fn range(&mut self, label: &str, from: u64, to: u64, pieces: &mut Pieces<'_>) -> Result<(), StoreError> {
        let to = to.min(self.message.size);
        let count = to.saturating_sub(from);
        if count == 0 {
            pieces.text(&format!("{label} \"\""));
            return Ok(());
        }
        let file = self.file()?;
        pieces.text(&format!("{label} {{{count}}}\r\n"));
        pieces.done.push(Piece::File(file, from, count));
        Ok(())
    }
}
