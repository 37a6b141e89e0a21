//! FETCH of parts without their transfer encoding (RFC 3516 section 4.2), and of previews (RFC 8970).
//!
//! A literal begins with its length, so a part is decoded twice: once to count, once to send. No more than a piece of it is in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::opened::{Opened, Trouble};
use super::pieces::{Piece, Pieces};
use super::section;
use crate::message::charset::{TextDecoder, Transfer};
use crate::message::part::{Kind, Part};
use crate::message::preview;
use crate::protocol::imap::parse::Partial;
use crate::store::StoreError;
use crate::text::quote;

/// Bytes read at a time.
const READ_BYTES: u64 = 64 * 1024;
/// Of a body, what is looked at for a preview: in HTML the text begins late.
const PREVIEW_PLAIN: u64 = 8 * 1024;
const PREVIEW_HTML: u64 = 64 * 1024;

/// The parts that were counted for this message, by where they begin and end: their size without encoding, and whether a NUL is in them.
pub(super) type Sizes = Vec<((u64, u64), (u64, bool))>;

/// A part on its way out of its transfer encoding.
pub(super) struct Decoding {
    file: Arc<File>,
    transfer: Option<Transfer>,
    at: u64,
    end: u64,
    /// Decoded bytes that are not wanted before those that are.
    skip: u64,
    /// Bytes still to be sent.
    left: u64,
}

impl Decoding {
    fn new(file: Arc<File>, part: &Part) -> Decoding {
        Decoding {
            file,
            transfer: Some(Transfer::new(&part.encoding)),
            at: part.body.start,
            end: part.body.end,
            skip: 0,
            left: u64::MAX,
        }
    }

    /// Appends the next decoded bytes to `out`. False at the end.
    fn decode(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let Some(transfer) = self.transfer.as_mut() else {
            return Ok(false);
        };
        let count = self.end.saturating_sub(self.at).min(READ_BYTES);
        if count == 0 {
            if let Some(transfer) = self.transfer.take() {
                transfer.finish(out);
            }
            return Ok(true);
        }
        let mut raw = vec![0; usize::try_from(count).unwrap_or(0)];
        self.file.read_exact_at(&mut raw, self.at)?;
        self.at += count;
        transfer.push(&raw, out);
        Ok(true)
    }

    /// Appends what is wanted until `out` has about `room` bytes. True when all is there.
    ///
    /// # Errors
    /// The file cannot be read, or is not what it was when it was counted.
    pub(super) fn write(&mut self, room: usize, out: &mut Vec<u8>) -> io::Result<bool> {
        while self.left > 0 {
            if out.len() >= room {
                return Ok(false);
            }
            let start = out.len();
            if !self.decode(out)? {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a part became shorter while it was sent"));
            }
            let came = out.len() - start;
            let skipped = came.min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            out.drain(start..start + skipped);
            self.skip -= skipped as u64;
            let sent = (came - skipped).min(usize::try_from(self.left).unwrap_or(usize::MAX));
            out.truncate(start + sent);
            self.left -= sent as u64;
        }
        Ok(true)
    }
}

/// `BINARY[1.2]<0>`.
pub(super) fn label(word: &str, part: &[u32], partial: Option<Partial>) -> String {
    let numbers: Vec<String> = part.iter().map(u32::to_string).collect();
    let origin = partial.map_or(String::new(), |partial| format!("<{}>", partial.offset));
    format!("{word}[{}]{origin}", numbers.join("."))
}

/// How the body of a part is encoded.
enum Encoding {
    /// Not at all.
    Plain,
    /// So that [`Transfer`] can undo it.
    Known,
    Unknown,
}

fn encoding(part: &Part) -> Encoding {
    // What has parts has no encoding of its own (RFC 2045 section 6.4), whatever it says.
    if !matches!(part.kind, Kind::Leaf) {
        return Encoding::Plain;
    }
    match part.encoding.to_ascii_lowercase().as_str() {
        "" | "7bit" | "8bit" | "binary" => Encoding::Plain,
        "base64" | "quoted-printable" => Encoding::Known,
        _ => Encoding::Unknown,
    }
}

impl Opened<'_> {
    /// Writes a part without its encoding; the partial counts in decoded bytes (RFC 3516 section 4.2). The empty number is the whole message, which
    /// has none.
    pub(super) fn binary(
        &mut self,
        label: &str,
        number: &[u32],
        partial: Option<Partial>,
        pieces: &mut Pieces<'_>,
    ) -> Result<(), Trouble> {
        let plain = |range: (u64, u64)| section::cut_range(range.0, range.1, partial);
        if number.is_empty() {
            let (from, to) = plain((0, self.message.size));
            return Ok(self.range(label, from, to, pieces)?);
        }
        let Some(part) = self.parts().and_then(|root| root.section(number)).cloned() else {
            pieces.text(&format!("{label} NIL"));
            return Ok(());
        };
        match encoding(&part) {
            Encoding::Plain => {
                let (from, to) = plain((part.body.start, part.body.end));
                Ok(self.range(label, from, to, pieces)?)
            }
            Encoding::Unknown => Err(Trouble::UnknownCte),
            Encoding::Known => {
                let (size, nul) = self.decoded_size(&part)?;
                let (from, to) = plain((0, size));
                if from >= to {
                    pieces.text(&format!("{label} \"\""));
                    return Ok(());
                }
                // Only the literal of RFC 3516 may hold NUL.
                let tilde = if nul { "~" } else { "" };
                pieces.text(&format!("{label} {tilde}{{{}}}\r\n", to - from));
                let decoding = Decoding { skip: from, left: to - from, ..Decoding::new(self.file()?, &part) };
                pieces.done.push(Piece::Decoded(Box::new(decoding)));
                Ok(())
            }
        }
    }

    /// Writes the size that [`Opened::binary`] would have without a partial.
    pub(super) fn binary_size(&mut self, label: &str, number: &[u32], pieces: &mut Pieces<'_>) -> Result<(), Trouble> {
        let size = match (number, self.parts().and_then(|root| root.section(number)).cloned()) {
            ([], _) => self.message.size,
            (_, None) => 0,
            (_, Some(part)) => match encoding(&part) {
                Encoding::Plain => part.body.end.saturating_sub(part.body.start),
                Encoding::Known => self.decoded_size(&part)?.0,
                Encoding::Unknown => return Err(Trouble::UnknownCte),
            },
        };
        pieces.text(label);
        pieces.text(" ");
        pieces.number(size);
        Ok(())
    }

    fn decoded_size(&mut self, part: &Part) -> Result<(u64, bool), StoreError> {
        let place = (part.body.start, part.body.end);
        if let Some((_, found)) = self.sizes.iter().find(|(known, _)| *known == place) {
            return Ok(*found);
        }
        let mut decoding = Decoding::new(self.file()?, part);
        let (mut size, mut nul) = (0, false);
        let mut bytes = Vec::new();
        while decoding.decode(&mut bytes).map_err(|error| self.unreadable(&error))? {
            size += bytes.len() as u64;
            nul = nul || memchr::memchr(0, &bytes).is_some();
            bytes.clear();
        }
        self.sizes.push((place, (size, nul)));
        Ok((size, nul))
    }

    fn unreadable(&self, error: &io::Error) -> StoreError {
        StoreError::Corrupt { what: error.to_string(), place: format!("message {}", self.message.uid) }
    }

    /// Writes the beginning of the first text part (RFC 8970 section 3); an empty string where there is no text.
    pub(super) fn preview(&mut self, pieces: &mut Pieces<'_>) -> Result<(), Trouble> {
        let shown = |part: &&Part| {
            part.is_text() && matches!(part.kind, Kind::Leaf) && matches!(part.subtype.as_str(), "plain" | "html")
        };
        let found = self.parts().and_then(|root| root.walk().into_iter().find(shown).cloned());
        let text = match found {
            Some(part) => self.preview_of(&part)?,
            None => String::new(),
        };
        let mut string = Vec::new();
        quote::string(&mut string, text.as_bytes());
        pieces.text("PREVIEW ");
        pieces.bytes(&string);
        Ok(())
    }

    fn preview_of(&mut self, part: &Part) -> Result<String, Trouble> {
        let html = part.subtype == "html";
        let count = part.body.end.saturating_sub(part.body.start).min(if html { PREVIEW_HTML } else { PREVIEW_PLAIN });
        if matches!(encoding(part), Encoding::Unknown) || count == 0 {
            return Ok(String::new());
        }
        let mut decoding = Decoding::new(self.file()?, part);
        decoding.end = part.body.start + count;
        let mut bytes = Vec::new();
        while decoding.decode(&mut bytes).map_err(|error| self.unreadable(&error))? {}
        let mut text = String::new();
        TextDecoder::new(part.charset.as_bytes()).push(&bytes, &mut text);
        Ok(if html { preview::of_html(&text) } else { preview::of_plain(&text) })
    }
}
