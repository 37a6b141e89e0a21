//! FETCH and UID FETCH (RFC 3501 section 6.4.5, RFC 7162 section 3.1.4; `binary` has the items of RFC 3516 and 8970), in pieces: each
//! [`FetchRun::step`] writes a bounded amount and keeps nothing of the store open but, for a message that is larger than a piece, its file.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use super::binary::{self, Sizes};
use super::hits;
use super::opened::{Opened, Trouble};
use super::pieces::{Piece, Pieces};
use super::resync::{changed, vanished};
use super::section;
use crate::log::{self, Category};
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{Item, Modifiers, SequenceSet};
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::{Running, Session};
use crate::store::{
    AccountId, Bodies, Entry, FlagChange, FlagOp, Flags, Folder, FolderId, IndexReader, Keywords, Message, Modseq,
    Rights, Source, StateRun, Store, StoreError, Stored, Uid, UidSet,
};

/// What one step writes, about: no message item that is larger is gathered in memory.
const PIECE_BYTES: usize = 128 * 1024;
/// Messages whose rows are read at a time.
const BATCH: usize = 128;

/// A FETCH that is not over.
pub struct FetchRun {
    uid: bool,
    /// FETCH responses that tell of changed flags have the mod-sequence.
    condstore: bool,
    /// The client knows message/global as a message: IMAP4rev2 or UTF8=ACCEPT is enabled.
    global: bool,
    items: Vec<Item>,
    /// What each item that names a section is called in the response; empty for the others.
    labels: Vec<String>,
    needs: Needs,
    /// UIDs that come after the batch.
    left: VecDeque<(Uid, Uid)>,
    batch: VecDeque<Row>,
    pieces: VecDeque<Piece>,
    index: Option<IndexReader>,
    /// Opens the files of the batch.
    bodies: Option<Bodies>,
    /// Flag changes (`\Seen`) that the client has been told.
    pub known: Vec<(Modseq, UidSet)>,
    /// The flags written last, and their text. Forgotten at each batch: names of keywords may have come since.
    shown_flags: Option<(Flags, Keywords, bool)>,
    flags: String,
    missing: bool,
    damaged: bool,
    /// A part of which the transfer encoding is not known (RFC 3516 section 4.3).
    unknown: bool,
    broken: bool,
    /// What ends the command when it is not a FETCH.
    answer: Option<Answer>,
}

#[derive(Clone, Copy, Default)]
struct Needs {
    /// The message's row: size, date.
    row: bool,
    /// The entry of store.idx.
    entry: bool,
    /// A section that sets `\Seen`.
    seen: bool,
    /// FLAGS is asked for.
    flags: bool,
}

struct Row {
    uid: Uid,
    flags: Flags,
    keywords: Keywords,
    modseq: Modseq,
    /// `\Seen` was set by this command: FLAGS are told without being asked for.
    changed: bool,
    message: Option<Message>,
}

/// Prepares a FETCH.
///
/// # Errors
/// BAD: a number beyond the last message; VANISHED without QRESYNC.
pub(in crate::protocol::imap) fn start(
    session: &mut Session,
    uid: bool,
    set: &SequenceSet,
    mut items: Vec<Item>,
    modifiers: Modifiers,
) -> Result<Running, Answer> {
    if modifiers.vanished && !session.enabled.qresync {
        return Err(Answer::bad("QRESYNC is not enabled"));
    }
    let selected = session.mailbox()?;
    let Some(mut uids) = selected.uids(set, uid) else {
        return Err(Answer::bad("Invalid sequence in Fetch"));
    };
    if let Some(window) = modifiers.partial {
        // RFC 9394 section 3.4: first the piece, then those of it that CHANGEDSINCE leaves.
        uids = UidSet::from_ranges(hits::of_ranges(uids.ranges()).within(window));
    }
    if uid && !items.contains(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    if modifiers.changed_since.is_some() && !items.contains(&Item::Modseq) {
        items.push(Item::Modseq);
    }
    let mut run = prepare(session, uid, &uids, items)?;
    if let Some(since) = modifiers.changed_since {
        run.only_since(session, (set, &uids), since, modifiers.vanished)?;
    }
    Ok(Running::Fetch(Box::new(run)))
}

/// UIDs, flags and mod-sequences of messages, for a command that then ends in `answer`.
pub(in crate::protocol::imap) fn states(
    session: &mut Session,
    uids: &UidSet,
    answer: Answer,
) -> Result<Running, Answer> {
    let mut run = prepare(session, true, uids, vec![Item::Uid, Item::Flags, Item::Modseq])?;
    run.answer = Some(answer);
    Ok(Running::Fetch(Box::new(run)))
}

fn prepare(session: &mut Session, uid: bool, uids: &UidSet, items: Vec<Item>) -> Result<FetchRun, Answer> {
    let condstore = session.enabled.condstore;
    let global = session.enabled.rev2 || session.enabled.utf8;
    let may_see = session.selected_rights()?.is_some_and(|rights| rights.contains(Rights::SEEN));
    let selected = session.mailbox()?;
    let mut needs = Needs::default();
    for item in &items {
        match item {
            Item::Flags => needs.flags = true,
            Item::Uid | Item::Modseq | Item::ThreadId => {}
            Item::InternalDate | Item::Rfc822Size | Item::EmailId | Item::SaveDate => needs.row = true,
            Item::Rfc822 | Item::Rfc822Text => (needs.row, needs.seen) = (true, true),
            Item::Rfc822Header => needs.row = true,
            Item::Envelope | Item::Body | Item::BodyStructure => (needs.row, needs.entry) = (true, true),
            Item::Binary { peek, part, .. } => {
                needs.row = true;
                needs.seen |= !peek;
                needs.entry |= !part.is_empty();
            }
            Item::BinarySize(_) | Item::Preview => (needs.row, needs.entry) = (true, true),
            Item::Section { peek, section, .. } => {
                needs.row = true;
                needs.seen |= !peek;
                needs.entry |= section::needs_entry(section);
            }
        }
    }
    // Who may not set \Seen reads without it (RFC 4314 section 4).
    needs.seen &= !selected.read_only && may_see;
    let label = |item: &Item| match item {
        Item::Section { section, partial, .. } => section::label(section, *partial),
        Item::Binary { part, partial, .. } => binary::label("BINARY", part, *partial),
        Item::BinarySize(part) => binary::label("BINARY.SIZE", part, None),
        _ => String::new(),
    };
    Ok(FetchRun {
        uid,
        condstore,
        global,
        labels: items.iter().map(label).collect(),
        items,
        needs,
        left: uids.ranges().iter().copied().collect(),
        batch: VecDeque::new(),
        pieces: VecDeque::new(),
        index: None,
        bodies: None,
        known: Vec::new(),
        shown_flags: None,
        flags: String::new(),
        missing: false,
        damaged: false,
        unknown: false,
        broken: false,
        answer: None,
    })
}

impl FetchRun {
    /// Leaves only the messages that changed since, and, where that is wanted, tells first of those of `set` that were expunged
    /// (RFC 7162 sections 3.1.4.1 and 3.2.6). Both from one snapshot.
    fn only_since(
        &mut self,
        session: &mut Session,
        (set, uids): (&SequenceSet, &UidSet),
        since: Modseq,
        with_vanished: bool,
    ) -> Result<(), Answer> {
        let store = session.store.clone();
        let selected = session.mailbox()?;
        let view = store.view(selected.account)?;
        let (there, changed) = changed(&view, selected.folder, uids, since)?;
        self.missing = there.len() < uids.len();
        self.left = changed.ranges().iter().copied().collect();
        if !with_vanished {
            return Ok(());
        }
        let Some(folder) = selected.row(&view)? else {
            return Ok(());
        };
        let asked = UidSet::from_ranges(set.resolve(selected.numbers.last_uid()));
        let gone = vanished(&view, &folder, &asked, since)?;
        // What still has a number here is told at the end of the command: it is news, not earlier (section 3.2.10.1).
        let numbered = selected.numbers.uids_within(gone.ranges());
        let mut line = Vec::new();
        respond::vanished(&mut line, true, gone.difference(&numbered).ranges());
        self.pieces.push_back(Piece::Bytes(line));
        Ok(())
    }

    /// True when bytes that were announced cannot be sent: only the end of the connection keeps the client from misreading what follows.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// True when it is the end of a SELECT.
    pub fn is_opening(&self) -> bool {
        self.answer.is_some()
    }

    /// Writes the next piece. `None`: there is more.
    pub(in crate::protocol::imap) fn step(
        &mut self,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> Result<Option<Answer>, Answer> {
        while out.len() < PIECE_BYTES {
            if let Some(piece) = self.pieces.pop_front() {
                self.write(piece, out)?;
            } else if let Some(row) = self.batch.pop_front() {
                self.answer_for(session, &row, out)?;
            } else if self.left.is_empty() {
                self.renew_damaged();
                return Ok(Some(self.end()));
            } else {
                self.next_batch(session, out)?;
            }
        }
        Ok(None)
    }

    fn end(&self) -> Answer {
        if let Some(answer) = &self.answer {
            answer.clone()
        } else if self.damaged {
            Answer::no_with(Code::Corruption, "Some of the messages could not be read")
        } else if self.unknown {
            Answer::no_with(Code::UnknownCte, "The transfer encoding of a part is not known")
        } else if self.missing && !self.uid {
            Answer::no_with(Code::ExpungeIssued, "Some of the messages no longer exist")
        } else {
            Answer::completed()
        }
    }

    fn write(&mut self, piece: Piece, out: &mut Vec<u8>) -> Result<(), Answer> {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(&bytes),
            Piece::File(file, offset, count) => {
                let now = usize::try_from(count).unwrap_or(usize::MAX).min(PIECE_BYTES);
                let start = out.len();
                out.resize(start + now, 0);
                let room = out.get_mut(start..).unwrap_or_default();
                if let Err(error) = file.read_exact_at(room, offset) {
                    out.truncate(start);
                    self.broken = true;
                    return Err(Answer::internal(Code::Corruption, &error));
                }
                let rest = count - now as u64;
                if rest > 0 {
                    self.pieces.push_front(Piece::File(file, offset + now as u64, rest));
                }
            }
            Piece::Decoded(mut decoding) => match decoding.write(PIECE_BYTES, out) {
                Ok(true) => {}
                Ok(false) => self.pieces.push_front(Piece::Decoded(decoding)),
                Err(error) => {
                    self.broken = true;
                    return Err(Answer::internal(Code::Corruption, &error));
                }
            },
        }
        Ok(())
    }

    /// Reads rows of the next messages; sets `\Seen` where that is due, one change for all of them.
    fn next_batch(&mut self, session: &mut Session, out: &mut Vec<u8>) -> Result<(), Answer> {
        self.shown_flags = None;
        self.bodies = None;
        self.renew_damaged();
        let store = session.store.clone();
        let selected = session.mailbox()?;
        let (account, folder_id) = (selected.account, selected.folder);
        let ranges = self.take_ranges();
        let wanted: usize = ranges.iter().map(|(first, last)| (last - first) as usize + 1).sum();
        self.read_batch(&store, account, folder_id, &ranges)?;
        self.missing |= self.batch.len() < wanted;
        if self.needs.seen {
            let unseen: UidSet =
                self.batch.iter().filter(|row| !row.flags.contains(Flags::SEEN)).map(|row| row.uid).collect();
            if !unseen.is_empty() {
                let change = FlagChange { op: FlagOp::Add, flags: Flags::SEEN, keywords: Vec::new() };
                let stored = match store.store_flags(account, folder_id, &unseen, &change, None) {
                    // The right was taken away meanwhile.
                    Err(StoreError::Denied) => Stored::default(),
                    other => other?,
                };
                let before = stored.before.iter().flat_map(|run| (run.first..=run.last()).map(move |uid| (uid, run)));
                let mut before = before.peekable();
                for row in &mut self.batch {
                    while before.next_if(|(uid, _)| *uid < row.uid).is_some() {}
                    // The flags as they were then: others may have changed them since they were read.
                    if let Some((_, run)) = before.next_if(|(uid, _)| *uid == row.uid) {
                        (row.flags, row.keywords) = (run.flags.with(Flags::SEEN), run.keywords);
                        (row.modseq, row.changed) = (stored.modseq, true);
                    }
                }
                self.known.push((stored.modseq, stored.changed));
            }
        }
        // Of the flags as they are told: some came with the change.
        let known_bits = u32::try_from(selected.keywords.len()).unwrap_or(u32::MAX);
        if self.batch.iter().any(|row| row.keywords.0.checked_shr(known_bits).is_some_and(|unknown| unknown != 0)) {
            let view = store.view(account)?;
            selected.reload_keywords(&view, out)?;
        }
        Ok(())
    }

    /// Makes the entries of store.idx again that the last batch found wrong.
    fn renew_damaged(&mut self) {
        if let Some(Err(error)) = self.index.as_mut().map(IndexReader::renew_damaged) {
            log::error(Category::Store, format!("store.idx: {error}"));
        }
    }

    fn take_ranges(&mut self) -> Vec<(Uid, Uid)> {
        let mut ranges = Vec::new();
        let mut room = BATCH as u32;
        while let Some((first, last)) = self.left.pop_front() {
            let take = (last - first).saturating_add(1).min(room);
            let end = first + (take - 1);
            ranges.push((first, end));
            room -= take;
            if end < last {
                self.left.push_front((end + 1, last));
            }
            if room == 0 {
                break;
            }
        }
        ranges
    }

    fn read_batch(
        &mut self,
        store: &Store,
        account: AccountId,
        folder_id: FolderId,
        ranges: &[(Uid, Uid)],
    ) -> Result<(), StoreError> {
        let view = store.view(account)?;
        store.still_reads(&view, account, folder_id)?;
        let mut runs: Vec<StateRun> = Vec::new();
        let mut messages: Vec<Message> = Vec::new();
        for (first, last) in ranges {
            view.states(folder_id, *first..=*last, &mut |run| runs.push(run))?;
            if self.needs.row {
                view.messages(folder_id, *first..=*last, &mut |message| {
                    messages.push(message);
                    ControlFlow::Continue(())
                })?;
            }
        }
        let folder: Option<Folder> =
            if self.needs.entry && self.index.is_none() { view.folder(folder_id)? } else { None };
        drop(view);
        if let Some(folder) = folder {
            self.index = Some(store.index(account, &folder)?);
        }
        let mut messages = messages.into_iter().peekable();
        for run in runs {
            for uid in run.first..=run.last() {
                while messages.next_if(|message| message.uid < uid).is_some() {}
                let message = messages.next_if(|message| message.uid == uid);
                let (flags, keywords, modseq) = (run.flags, run.keywords, run.modseq);
                self.batch.push_back(Row { uid, flags, keywords, modseq, changed: false, message });
            }
        }
        Ok(())
    }

    /// Writes one message's response, up to what must be read from its file; the rest are pieces.
    fn answer_for(&mut self, session: &mut Session, row: &Row, out: &mut Vec<u8>) -> Result<(), Answer> {
        if row.message.is_none() && self.needs.row {
            self.missing = true;
            return Ok(());
        }
        let selected = session.mailbox()?;
        let Some(number) = selected.numbers.number(row.uid) else {
            return Ok(());
        };
        let with_flags = self.needs.flags || row.changed;
        let recent = with_flags && selected.recent.contains(row.uid);
        // Most messages have the flags of the one before.
        let shown = (row.flags, row.keywords, recent);
        if with_flags && self.shown_flags != Some(shown) {
            self.flags = format!("FLAGS ({})", selected.flag_list(row.uid, row.flags, row.keywords));
            self.shown_flags = Some(shown);
        }
        let start = out.len();
        let place = (selected.account, selected.folder);
        let bodies = self.bodies.take();
        let mut bodies = bodies.unwrap_or_else(|| session.store.bodies(place.0, place.1));
        let mut index = self.index.take();
        let mut pieces = Pieces::new(out);
        let used = (&mut bodies, index.as_mut().filter(|_| self.needs.entry));
        let rendered = self.render(used, (row, number), &mut pieces);
        let behind = pieces.done;
        match rendered {
            Ok(()) => self.pieces.extend(behind),
            Err(trouble) => {
                out.truncate(start);
                self.failed(&trouble);
            }
        }
        (self.bodies, self.index) = (Some(bodies), index);
        Ok(())
    }

    fn render(
        &self,
        (bodies, index): (&mut Bodies, Option<&mut IndexReader>),
        (row, number): (&Row, u32),
        pieces: &mut Pieces<'_>,
    ) -> Result<(), Trouble> {
        let mut opened = match &row.message {
            Some(message) => {
                let entry = index.map(|index| entry(index, message)).transpose()?;
                let global = self.global;
                Some(Opened { bodies, message, entry, parts: None, file: None, sizes: Sizes::default(), global })
            }
            None => None,
        };
        pieces.text("* ");
        pieces.number(u64::from(number));
        pieces.text(" FETCH (");
        let mut blank = "";
        for (item, label) in self.items.iter().zip(&self.labels) {
            pieces.text(blank);
            blank = " ";
            match (item, opened.as_mut()) {
                (Item::Uid, _) => {
                    pieces.text("UID ");
                    pieces.number(u64::from(row.uid));
                }
                (Item::Flags, _) => pieces.text(&self.flags),
                (Item::Modseq, _) => pieces.modseq(row.modseq),
                // There are no threads here (RFC 8474 section 5.2).
                (Item::ThreadId, _) => pieces.text("THREADID NIL"),
                (_, None) => {}
                (item, Some(opened)) => opened.write(item, label, pieces)?,
            }
        }
        if row.changed && !self.needs.flags {
            pieces.text(" ");
            pieces.text(&self.flags);
        }
        if row.changed && self.condstore && !self.items.contains(&Item::Modseq) {
            pieces.text(" ");
            pieces.modseq(row.modseq);
        }
        pieces.text(")\r\n");
        Ok(())
    }

    /// A message that cannot be read is left out; the others follow.
    fn failed(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::UnknownCte => self.unknown = true,
            Trouble::Store(error) if error.kind() == crate::store::Kind::Expunged => self.missing = true,
            Trouble::Store(error) => {
                log::error(Category::Store, format!("fetch: {error}"));
                self.damaged = true;
            }
        }
    }
}

/// What store.idx has of the message.
fn entry<'i>(index: &'i mut IndexReader, message: &Message) -> Result<Entry<'i>, StoreError> {
    let name = index.name();
    let (entry, source) = index.entry(message)?;
    if source == Source::Damaged {
        log::warning(Category::Store, IndexReader::complaint(&name, message.uid));
    }
    Ok(entry)
}
