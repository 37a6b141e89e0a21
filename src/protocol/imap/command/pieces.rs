//! The bytes of a FETCH response, gathered or still in a file.

use std::fs::File;
use std::sync::Arc;

use super::binary::Decoding;
use crate::protocol::imap::respond;
use crate::store::Modseq;
use crate::text::quote;

/// What is to be written.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    /// From this offset, that many bytes.
    File(Arc<File>, u64, u64),
    /// What comes out of a transfer encoding.
    Decoded(Box<Decoding>),
}

/// The response to a message on its way: what is in memory goes straight into the output, until something must be read from a file first.
pub(super) struct Pieces<'o> {
    out: &'o mut Vec<u8>,
    /// What follows `out`.
    pub(super) done: Vec<Piece>,
}

impl<'o> Pieces<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Pieces<'o> {
        Pieces { out, done: Vec::new() }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.last().extend_from_slice(bytes);
    }

    /// The bytes to go on with.
    pub(super) fn last(&mut self) -> &mut Vec<u8> {
        if self.done.is_empty() {
            return self.out;
        }
        if !matches!(self.done.last(), Some(Piece::Bytes(_))) {
            self.done.push(Piece::Bytes(Vec::new()));
        }
        match self.done.last_mut() {
            Some(Piece::Bytes(last)) => last,
            _ => self.out,
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

    pub(super) fn number(&mut self, number: u64) {
        respond::number(self.last(), number);
    }

    pub(super) fn named(&mut self, name: &[u8], value: &[u8]) {
        self.bytes(name);
        self.bytes(value);
    }

    pub(super) fn literal(&mut self, label: &str, bytes: &[u8]) {
        self.text(label);
        let last = self.last();
        last.push(b' ');
        quote::literal(last, bytes);
    }
}
