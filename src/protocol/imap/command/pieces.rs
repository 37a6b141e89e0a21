//! The bytes of a FETCH response, gathered or still in a file.

use std::fs::File;
use std::sync::Arc;

use super::binary::Decoding;
use crate::store::Modseq;
use crate::text::quote;

/// Room for the response to one message, at first.
const FIRST_BYTES: usize = 512;

/// What is to be written.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// From this offset, that many bytes.
    File(Arc<File>, u64, u64),
    /// What comes out of a transfer encoding.
    Decoded(Box<Decoding>),
}

#[derive(Default)]
pub(super) struct Pieces {
    pub(super) done: Vec<Piece>,
}

impl Pieces {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if let Some(last) = self.last(bytes.len()) {
            last.extend_from_slice(bytes);
        }
    }

    /// The bytes to go on with; new ones have room for `more`.
    fn last(&mut self, more: usize) -> Option<&mut Vec<u8>> {
        if !matches!(self.done.last(), Some(Piece::Bytes(_))) {
            self.done.push(Piece::Bytes(Vec::with_capacity(more.max(FIRST_BYTES))));
        }
        match self.done.last_mut() {
            Some(Piece::Bytes(last)) => Some(last),
            _ => None,
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(super) fn modseq(&mut self, modseq: Modseq) {
        self.text("MODSEQ (");
        self.number(modseq);
        self.text(")");
    }

    /// A number in decimal, without the detour over a string: there is one or two for each message.
    pub(super) fn number(&mut self, mut n: u64) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        loop {
            at = at.saturating_sub(1);
            if let (Some(digit), Ok(value)) = (digits.get_mut(at), u8::try_from(n % 10)) {
                *digit = b'0' + value;
            }
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.bytes(digits.get(at..).unwrap_or_default());
    }

    pub(super) fn named(&mut self, name: &[u8], value: &[u8]) {
        self.bytes(name);
        self.bytes(value);
    }

    pub(super) fn literal(&mut self, label: &str, bytes: &[u8]) {
        self.text(label);
        if let Some(last) = self.last(bytes.len()) {
            last.reserve(bytes.len() + 16);
            last.push(b' ');
            quote::literal(last, bytes);
        }
    }
}
