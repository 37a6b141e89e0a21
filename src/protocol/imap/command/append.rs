//! APPEND (RFC 3501 section 6.3.11) of one or several messages (RFC 3502), with APPENDUID (RFC 4315), and REPLACE (RFC 8508), which is an
//! APPEND of one message that ends in the removal of another.
//!
//! The messages stream into staging files; the store takes all of them in one change.

use std::io::Write;

use super::copy::runs;
use super::store::split;
use crate::ops::quota::domain::DomainLimit;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::frame::Literal;
use crate::protocol::imap::parse::{self, AppendItem, InternalDate, SequenceSet};
use crate::protocol::imap::place::{denied, nonexistent};
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::session::{Progress, Session};
use crate::store::{
    AccountId, Appended, Coming, Flags, FolderId, Kind, NewMessage, Rights, Staged, Staging, StoreError, Uid, Usage,
};

/// An APPEND under way.
pub struct Append {
    tag: String,
    /// The mailbox as the client wrote it.
    mailbox: String,
    to: (AccountId, FolderId),
    /// The user may read what is there (RFC 4315 section 3: who may not select a mailbox is not told of its UIDs).
    tells_uids: bool,
    partition: String,
    next: Next,
    messages: Vec<Message>,
    bytes: u64,
    coming: Coming,
    /// The message that goes (RFC 8508).
    replaced: Option<Old>,
}

/// A message of the selected mailbox that is replaced.
#[derive(Clone, Copy)]
struct Old {
    folder: FolderId,
    uid: Uid,
    size: u64,
}

#[derive(Default)]
struct Next {
    flags: Flags,
    keywords: Vec<String>,
    date: Option<InternalDate>,
    /// It stands in `UTF8 (...)`.
    utf8: bool,
    /// Its literal may hold NUL.
    binary: bool,
}

struct Message {
    staged: Staged,
    about: Next,
}

/// As many messages as one APPEND takes.
const MESSAGES: usize = 1000;

impl From<AppendItem> for Next {
    fn from(item: AppendItem) -> Next {
        let (flags, keywords) = split(&item.flags);
        Next { flags, keywords, date: item.date, utf8: item.utf8, binary: false }
    }
}

impl Session {
    /// A message literal was announced. Returns where its bytes go.
    ///
    /// # Errors
    /// The tagged answer, to be sent when the refused command is over.
    pub fn append_message(&mut self, head: &[u8], literal: Literal) -> Result<Staging, (String, Answer)> {
        let (tag, checked) = match self.append.take() {
            Some(append) => (append.tag.clone(), self.next_message(*append, head)),
            None => match parse::append_head(head, self.names()) {
                Ok((tag, head)) => {
                    self.counts.commands += 1;
                    let checked = self.first_message(&tag, head);
                    (tag, checked)
                }
                Err(refused) => return Err((refused.tag, Answer::bad(refused.bad.to_string()))),
            },
        };
        let staged = checked.and_then(|mut append| {
            if append.next.utf8 && !self.enabled.utf8 {
                // RFC 6855 section 4: only who has enabled it may send it.
                return Err(Answer::bad("UTF8=ACCEPT is not enabled"));
            }
            if append.next.utf8 && !literal.binary {
                return Err(Answer::bad("Invalid literal in Append"));
            }
            append.next.binary = literal.binary;
            let bytes = append.bytes.saturating_add(literal.size);
            if bytes > self.server.message_bytes {
                return Err(Answer::no_with(Code::TooBig, "Message too large"));
            }
            let coming = append.coming.then(literal.size);
            self.check_quota(&append, coming)?;
            if literal.size == 0 {
                return Err(Answer::no("Message is empty"));
            }
            let staging = self.store.stage(&append.partition)?;
            self.append = Some(Box::new(Append { bytes, coming, ..append }));
            Ok(staging)
        });
        staged.map_err(|answer| (tag, answer))
    }

    fn first_message(&mut self, tag: &str, head: parse::AppendHead) -> Result<Append, Answer> {
        self.account()?;
        let replaced = head.replaced.map(|replaced| self.replaced(replaced)).transpose()?;
        let (account, folder) = self.target(&head.mailbox)?;
        let tells_uids = self.store.rights(account, &folder).contains(Rights::READ);
        if replaced.is_some() && self.selected.as_ref().is_some_and(|selected| selected.account != account) {
            return Err(Answer::no_with(Code::Cannot, "The mailboxes belong to different users"));
        }
        Ok(Append {
            tag: tag.to_owned(),
            mailbox: head.mailbox,
            to: (account, folder.id),
            tells_uids,
            partition: folder.partition,
            next: head.item.into(),
            messages: Vec::new(),
            bytes: 0,
            coming: Coming::default(),
            replaced,
        })
    }

    /// The message that REPLACE names, in a mailbox that may be changed.
    fn replaced(&mut self, replaced: parse::Replaced) -> Result<Old, Answer> {
        self.account()?;
        let deleted = self.is_deleted()?;
        let may = self.selected_rights()?.is_some_and(|rights| rights.contains(Rights::DELETE.with(Rights::READ)));
        let store = self.store.clone();
        let selected = self.writable()?;
        if deleted {
            return Err(nonexistent());
        }
        if !may {
            return Err(denied());
        }
        let set = SequenceSet(vec![(replaced.bound, replaced.bound)]);
        let found = selected.uids(&set, replaced.uid).ok_or_else(|| Answer::bad("Invalid sequence in Replace"))?;
        let gone = || Answer::no_with(Code::ExpungeIssued, "The message no longer exists");
        let uid = found.iter().next().ok_or_else(|| Answer::no("There is no such message"))?;
        let message = store.view(selected.account)?.message(selected.folder, uid)?.ok_or_else(gone)?;
        Ok(Old { folder: selected.folder, uid, size: message.size })
    }

    /// Tells a client of a full mailbox before it sends the bytes; what counts is the store's own check.
    fn check_quota(&self, append: &Append, coming: Coming) -> Result<(), Answer> {
        // The room of the message that goes is there, in the domain as well.
        let leaving = append.replaced.map(|old| (old.folder, old.size));
        let more = coming.all.without(leaving.map_or_else(Usage::default, |(_, bytes)| Usage { bytes, messages: 1 }));
        DomainLimit::admit_to(&self.store, &self.server.directory, append.to.0, more)?;
        Ok(self.store.room_for(append.to.0, append.to.1, coming, leaving)?)
    }

    fn next_message(&self, append: Append, head: &[u8]) -> Result<Append, Answer> {
        let closing = append.messages.last().is_some_and(|message| message.about.utf8);
        let next = parse::append_next(head, closing).map_err(|bad| Answer::bad(bad.to_string()))?;
        if append.replaced.is_some() {
            return Err(Answer::bad("Unexpected extra arguments to Replace"));
        }
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
        let Some(append) = self.append.as_mut() else {
            return Ok(());
        };
        let staged = if append.next.binary {
            let again = || self.store.stage(&append.partition);
            staging.finish_binary(again).map_err(|error| match error.kind() {
                // NUL where no transfer encoding allows it (RFC 3516 section 4.3).
                Kind::Invalid => Answer::no_with(Code::UnknownCte, error.to_string()),
                _ => error.into(),
            })?
        } else {
            staging.finish()?
        };
        let about = std::mem::take(&mut append.next);
        append.messages.push(Message { staged, about });
        Ok(())
    }

    /// The last bytes of a message.
    ///
    /// # Errors
    /// As [`Session::append_received`], or what the disk said.
    pub fn append_rest(&mut self, mut staging: Staging, bytes: &[u8]) -> Result<(), Answer> {
        staging.write_all(bytes).map_err(|error| Answer::unwritten(&error))?;
        self.append_received(staging)
    }

    /// A message that is there from its first to its last byte.
    ///
    /// # Errors
    /// The tagged answer, as [`Session::append_message`]; the messages before it are dropped.
    pub fn append_whole(&mut self, head: &[u8], literal: Literal, bytes: &[u8]) -> Result<(), (String, Answer)> {
        let staging = self.append_message(head, literal)?;
        self.append_rest(staging, bytes)
            .map_err(|answer| (self.append_abandon().unwrap_or_else(|| "*".to_owned()), answer))
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
        let end: &[u8] = if append.messages.last().is_some_and(|message| message.about.utf8) { b")" } else { b"" };
        let answer = if rest != end {
            Answer::bad("Unexpected extra arguments to Append")
        } else if let Some(old) = append.replaced {
            self.replace(&append, old, now_s, out).unwrap_or_else(|answer| answer)
        } else {
            self.append_all(&append, now_s).unwrap_or_else(|answer| answer)
        };
        if answer.status == Status::Ok
            && let Ok(Some(place)) = self.place(&append.mailbox)
        {
            // RFC 9051 section 6.3.12.
            self.tell_normal(&append.mailbox, &place, out);
        }
        self.tell_expunges();
        self.finish(&append.tag, &answer, out)
    }

    fn append_all(&self, append: &Append, now_s: i64) -> Answered {
        let items: Vec<NewMessage<'_>> = append.messages.iter().map(|message| message.item(now_s)).collect();
        let appended = self.store.append(append.to.0, append.to.1, &items, now_s).map_err(deleted)?;
        Ok(if append.tells_uids { Answer::completed_with(append_uid(appended)) } else { Answer::completed() })
    }

    /// The new message is told before the old one's EXPUNGE (RFC 8508 section 3.4), which is among the news at the end.
    fn replace(&self, append: &Append, old: Old, now_s: i64, out: &mut Vec<u8>) -> Answered {
        let Some(message) = append.messages.first() else {
            return Err(Answer::bad("Missing required argument to Replace"));
        };
        let (account, to) = append.to;
        let item = message.item(now_s);
        let appended = self.store.replace(account, (old.folder, old.uid), to, &item, now_s).map_err(deleted)?;
        if append.tells_uids {
            respond::status(out, "*", Status::Ok, Some(&append_uid(appended)), "Replacement message is ready");
        }
        Ok(Answer::completed())
    }
}

impl Message {
    fn item(&self, now_s: i64) -> NewMessage<'_> {
        NewMessage {
            staged: &self.staged,
            flags: self.about.flags,
            keywords: self.about.keywords.clone(),
            internal_date_s: self.about.date.map_or(now_s, |date| date.epoch_s),
            internal_zone_min: self.about.date.map_or(0, |date| date.zone_min),
        }
    }
}

/// The mailbox was deleted since the command began.
fn deleted(error: StoreError) -> Answer {
    match error.kind() {
        Kind::NotFound => Answer::no_with(Code::TryCreate, "Mailbox does not exist"),
        _ => error.into(),
    }
}

fn append_uid(appended: Appended) -> Code {
    Code::AppendUid { uidvalidity: appended.uidvalidity, uids: runs(appended.uids.into_iter()) }
}
