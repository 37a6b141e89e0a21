//! APPEND (RFC 3501 section 6.3.11) of one or several messages (RFC 3502), with APPENDUID (RFC 4315).
//!
//! The messages stream into staging files; the store takes all of them in one change.

use super::copy::{runs, target};
use super::store::split;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::frame::Literal;
use crate::protocol::imap::parse::{self, Flag, InternalDate};
use crate::protocol::imap::respond::Code;
use crate::protocol::imap::session::{Progress, Session};
use crate::store::{AccountId, Flags, FolderId, NewMessage, Staged, Staging};

/// An APPEND under way.
pub struct Append {
    tag: String,
    to: (AccountId, FolderId),
    partition: String,
    next: Next,
    messages: Vec<Message>,
    bytes: u64,
}

struct Next {
    flags: Flags,
    keywords: Vec<String>,
    date: Option<InternalDate>,
}

struct Message {
    staged: Staged,
    about: Next,
}

/// As many messages as one APPEND takes.
const MESSAGES: usize = 1000;

impl From<(Vec<Flag>, Option<InternalDate>)> for Next {
    fn from((flags, date): (Vec<Flag>, Option<InternalDate>)) -> Next {
        let (flags, keywords) = split(&flags);
        Next { flags, keywords, date }
    }
}

impl Session {
    /// A message literal was announced. Returns where its bytes go.
    ///
    /// # Errors
    /// The tagged answer, to be sent when the refused command is over.
    pub fn append_message(&mut self, head: &[u8], literal: Literal) -> Result<Staging, (String, Answer)> {
        let (tag, checked) = match self.append.take() {
            Some(append) => (append.tag.clone(), self.next_message(append, head)),
            None => match parse::append_head(head) {
                Ok((tag, head)) => {
                    self.counts.commands += 1;
                    let checked = self.first_message(&tag, head);
                    (tag, checked)
                }
                Err(refused) => return Err((refused.tag, Answer::bad(refused.bad.to_string()))),
            },
        };
        let staged = checked.and_then(|append| {
            let bytes = append.bytes.saturating_add(literal.size);
            if bytes > self.server.message_bytes {
                return Err(Answer::no_with(Code::TooBig, "Message too large"));
            }
            self.check_quota(append.to.0, bytes, append.messages.len() as u64 + 1)?;
            if literal.size == 0 {
                return Err(Answer::no("Message is empty"));
            }
            let staging = self.server.store.stage(&append.partition)?;
            self.append = Some(Append { bytes, ..append });
            Ok(staging)
        });
        staged.map_err(|answer| (tag, answer))
    }

    fn first_message(&self, tag: &str, head: parse::AppendHead) -> Result<Append, Answer> {
        let to = target(self, &head.mailbox)?;
        let folder = self.server.store.view(to.0)?.folder(to.1)?;
        let Some(folder) = folder else {
            return Err(Answer::no_with(Code::TryCreate, "Mailbox does not exist"));
        };
        Ok(Append {
            tag: tag.to_owned(),
            to,
            partition: folder.partition,
            next: (head.flags, head.date).into(),
            messages: Vec::new(),
            bytes: 0,
        })
    }

    /// Tells a client of a full mailbox before it sends the bytes; what counts is the store's own check.
    fn check_quota(&self, account: AccountId, bytes: u64, messages: u64) -> Result<(), Answer> {
        let account = self.server.store.view(account)?.account()?;
        let full = account.quota_bytes.is_some_and(|limit| account.usage_bytes.saturating_add(bytes) > limit)
            || account.quota_messages.is_some_and(|limit| account.usage_messages.saturating_add(messages) > limit);
        if full { Err(Answer::no_with(Code::OverQuota, "Over quota")) } else { Ok(()) }
    }

    fn next_message(&self, append: Append, head: &[u8]) -> Result<Append, Answer> {
        let next = parse::append_next(head).map_err(|bad| Answer::bad(bad.to_string()))?;
        if append.messages.len() >= MESSAGES {
            return Err(Answer::no_with(Code::Limit, "Too many messages"));
        }
        Ok(Append { next: next.into(), ..append })
    }

    /// The bytes of the message are complete.
    ///
    /// # Errors
    /// NO: the message is not acceptable. The rest of the command must still be read.
    pub fn append_received(&mut self, staging: Staging) -> Result<(), Answer> {
        let staged = staging.finish()?;
        if let Some(append) = self.append.as_mut() {
            let empty = Next { flags: Flags::NONE, keywords: Vec::new(), date: None };
            let about = std::mem::replace(&mut append.next, empty);
            append.messages.push(Message { staged, about });
        }
        Ok(())
    }

    /// The tag of the APPEND under way; the messages so far are dropped.
    pub fn append_abandon(&mut self) -> Option<String> {
        self.append.take().map(|append| append.tag)
    }

    /// The command is complete.
    pub fn append_finish(&mut self, rest: &[u8], now_s: i64, out: &mut Vec<u8>) -> Progress {
        let Some(append) = self.append.take() else {
            return Progress::Done;
        };
        let answer = if rest.is_empty() {
            self.append_all(&append, now_s).unwrap_or_else(|answer| answer)
        } else {
            Answer::bad("Unexpected extra arguments to Append")
        };
        self.tell_expunges();
        self.finish(&append.tag, &answer, out)
    }

    fn append_all(&self, append: &Append, now_s: i64) -> Answered {
        let items: Vec<NewMessage<'_>> = append
            .messages
            .iter()
            .map(|message| NewMessage {
                staged: &message.staged,
                flags: message.about.flags,
                keywords: message.about.keywords.clone(),
                internal_date_s: message.about.date.map_or(now_s, |date| date.epoch_s),
                internal_zone_min: message.about.date.map_or(0, |date| date.zone_min),
            })
            .collect();
        let appended = self.server.store.append(append.to.0, append.to.1, &items, now_s).map_err(|error| {
            match error.kind() {
                // Deleted since the command began.
                crate::store::Kind::NotFound => Answer::no_with(Code::TryCreate, "Mailbox does not exist"),
                _ => error.into(),
            }
        })?;
        Ok(Answer::completed_with(Code::AppendUid {
            uidvalidity: appended.uidvalidity,
            uids: runs(appended.uids.into_iter()),
        }))
    }
}
