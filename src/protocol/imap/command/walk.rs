//! The messages of a result one after the other, with their header lines from store.idx: what SORT and THREAD read, a bounded number a step.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crate::message::header;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::session::Session;
use crate::store::{IndexReader, Kind, Message, Uid};

/// Messages a step looks at when rows are enough, and when store.idx is read.
const BATCH_ROWS: u32 = 10_000;
const BATCH_ENTRIES: u32 = 1000;

/// A way through messages that is not at its end.
pub(super) struct Walk {
    left: VecDeque<(Uid, Uid)>,
    index: Option<IndexReader>,
    /// Header lines are needed, not the rows alone.
    headers: bool,
    /// Messages passed so far.
    pub(super) passed: u64,
    /// A message could not be read: it counts as one without a header.
    pub(super) damaged: bool,
}

impl Walk {
    /// Through the messages with these UIDs (sorted, disjoint).
    pub(super) fn new(ranges: impl IntoIterator<Item = (Uid, Uid)>, headers: bool) -> Walk {
        Walk { left: ranges.into_iter().collect(), index: None, headers, passed: 0, damaged: false }
    }

    /// Calls `each` for the next messages. False: there are more. Those that others have expunged meanwhile are passed over.
    pub(super) fn step(
        &mut self,
        session: &mut Session,
        each: &mut dyn FnMut(&Message, &Headers<'_>),
    ) -> Result<bool, Answer> {
        let store = session.store.clone();
        let selected = session.mailbox()?;
        let mut room = if self.headers { BATCH_ENTRIES } else { BATCH_ROWS };
        let mut messages: Vec<Message> = Vec::new();
        let folder = {
            let view = store.view(selected.account)?;
            store.still_reads(&view, selected.account, selected.folder)?;
            while room > 0
                && let Some((first, last)) = self.left.pop_front()
            {
                let end = first + (last - first).min(room - 1);
                if end < last {
                    self.left.push_front((end + 1, last));
                }
                room -= end - first + 1;
                view.messages(selected.folder, first..=end, &mut |message| {
                    messages.push(message);
                    ControlFlow::Continue(())
                })?;
                self.passed += u64::from(end - first) + 1;
            }
            if self.headers && self.index.is_none() { view.folder(selected.folder)? } else { None }
        };
        if let Some(folder) = folder {
            self.index = Some(store.index(selected.account, &folder)?);
        }
        for message in &messages {
            let Some(index) = self.index.as_mut() else {
                each(message, &Headers::default());
                continue;
            };
            match index.with_headers(message, |block| each(message, &Headers::of(block))) {
                Ok(()) => {}
                Err(error) if error.kind() == Kind::Expunged => {}
                Err(error) => {
                    crate::log::error(crate::log::Category::Store, format!("sort: {error}"));
                    self.damaged = true;
                    each(message, &Headers::default());
                }
            }
        }
        Ok(self.left.is_empty())
    }
}

/// The raw values of the fields that sorting is about: of each the first one.
#[derive(Default)]
#[allow(missing_docs)]
pub(super) struct Headers<'a> {
    pub(super) cc: Option<&'a [u8]>,
    pub(super) from: Option<&'a [u8]>,
    pub(super) to: Option<&'a [u8]>,
    pub(super) subject: Option<&'a [u8]>,
    pub(super) message_id: Option<&'a [u8]>,
    pub(super) in_reply_to: Option<&'a [u8]>,
    pub(super) references: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    fn of(block: &'a [u8]) -> Headers<'a> {
        let mut found = Headers::default();
        for field in header::fields(block) {
            let slot = match field.name.len() {
                2 if field.is("cc") => &mut found.cc,
                2 if field.is("to") => &mut found.to,
                4 if field.is("from") => &mut found.from,
                7 if field.is("subject") => &mut found.subject,
                10 if field.is("message-id") => &mut found.message_id,
                10 if field.is("references") => &mut found.references,
                11 if field.is("in-reply-to") => &mut found.in_reply_to,
                _ => continue,
            };
            slot.get_or_insert(field.value);
        }
        found
    }
}
