//! What a client switches on in its session, and off again: UTF-8 (RFC 6855), compression (RFC 4978), the login itself (RFC 8437).

use std::borrow::Cow;

use super::answer::Answer;
use super::command::enable::Enabled;
use super::parse::Names;
use super::respond::{Code, Status};
use super::selected::Told;
use super::session::{Counts, Session};
use crate::store::Who;
use crate::text::utf7;

impl Session {
    /// How the client writes mailbox names.
    pub fn names(&self) -> Names {
        // RFC 6855 section 3; RFC 9051 section 5.1.
        if self.enabled.utf8 || self.enabled.rev2 { Names::Utf8 } else { Names::Utf7 }
    }

    /// A mailbox name as the client is told it.
    pub(super) fn shown<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match utf7::decode(name.as_bytes()).filter(|_| self.names() == Names::Utf8) {
            Some(name) => name.into(),
            None => name.into(),
        }
    }

    /// COMPRESS (RFC 4978 section 3). OK: what follows the answer is compressed, in both directions.
    pub fn compress(&mut self, algorithm: &str) -> Answer {
        self.counts.commands += 1;
        if algorithm != "DEFLATE" {
            return Answer::no("Compression algorithm is not supported");
        }
        if std::mem::replace(&mut self.compressed, true) {
            return Answer::no_with(Code::CompressionActive, "DEFLATE is active already");
        }
        Answer { status: Status::Ok, code: None, words: "DEFLATE is active".into() }
    }

    /// UNAUTHENTICATE (RFC 8437 section 3): everything is as after the greeting, but for what encrypts and compresses.
    pub fn unauthenticate(&mut self) {
        self.leave();
        self.login = None;
        self.store = self.server.store.acting_for(Who::stranger());
        self.append = None;
        self.exchange = None;
        self.cleartext = false;
        self.enabled = Enabled::default();
        self.told = Told::default();
        self.counts = Counts { failed: self.counts.failed, ..Counts::default() };
    }
}
