//! SORT and UID SORT (RFC 5256 section 3), with the result options of RFC 5267 (ESORT) and DISPLAYFROM and DISPLAYTO of RFC 5957.
//!
//! Three parts, each in steps of bounded length: the search; a key for each message, sorted a share at a time; the merge of these runs.
//! A key is a string of octets whose order is the order wanted, so that comparing is comparing octets. Where two are the same the UID decides, as the
//! sequence number does where the criteria do not (RFC 5256 section 3).

use std::sync::Arc;

use super::copy::runs;
use super::hits::positions;
use super::merge::{Merge, Run};
use super::search::{Form, SearchRun, advanced, begun, save, saves};
use super::walk::{Depth, Gather, Headers, Walk};
use crate::message::address::{self, Address};
use crate::message::charset;
use crate::message::keys::Keys;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::parse::{By, Criterion, Key, Returned};
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::{Running, Session};
use crate::store::{Message, Modseq};

/// Octets of a text that are compared: what lies behind them in longer ones does not count.
const TEXT_BYTES: usize = 1024;
/// Octets of an address field that are looked at for its first address.
const FIELD_BYTES: usize = 64 * 1024;
/// The beginning of the year 1900, seconds since 1970.
const YEAR_1900_S: i64 = -2_208_988_800;
/// Messages that a step of the merge puts in order.
const MERGED: usize = 20_000;

/// A SORT that is not over.
pub struct SortRun {
    uid: bool,
    /// The tag and what to tell of the result; `None`: all, as RFC 5256 has it.
    form: Option<Form>,
    criteria: Arc<[Criterion]>,
    part: Part,
    damaged: bool,
    /// The greatest mod-sequence, where the search was about them (RFC 7162 section 3.1.6).
    modseq: Option<Modseq>,
    sorted: Vec<u32>,
}

enum Part {
    Search(Box<SearchRun>),
    Keys { walk: Walk<Gathered>, runs: Vec<Run>, searched: u64 },
    Merge { merge: Merge, all: u64 },
}

/// Prepares a SORT. `form` has the tag and the options of RETURN.
///
/// # Errors
/// As SEARCH.
pub(in crate::protocol::imap) fn start(
    session: &mut Session,
    uid: bool,
    form: Option<Form>,
    (criteria, charset, key): (Vec<Criterion>, &str, Key),
    now_s: i64,
) -> Result<Running, Answer> {
    let search = SearchRun::new(session, true, Some(charset), key, now_s);
    let part = Part::Search(Box::new(begun(session, form.as_ref(), search)?.first_of_two()));
    Ok(Running::Sort(Box::new(SortRun {
        uid,
        form,
        criteria: criteria.into(),
        part,
        damaged: false,
        modseq: None,
        sorted: Vec::new(),
    })))
}

impl SortRun {
    /// Goes on, and answers at the end. `None`: there is more.
    pub(in crate::protocol::imap) fn step(
        &mut self,
        session: &mut Session,
        out: &mut Vec<u8>,
    ) -> Result<Option<Answer>, Answer> {
        let done = self.advance(session);
        if !advanced(session, self.form.as_ref(), done, self.damaged)? {
            return Ok(None);
        }
        if let Some((_, returned)) = self.form.as_ref().filter(|form| saves(form) && !self.damaged) {
            save(session, self.uid, saved(&self.sorted, returned))?;
        }
        self.write(out);
        Ok(Some(match self.damaged {
            true => Answer::no_with(Code::Corruption, "Some of the messages could not be read"),
            false => Answer::completed(),
        }))
    }

    /// How much is done, and of how much: a message is searched, and then sorted.
    pub(in crate::protocol::imap) fn progress(&self) -> (u64, u64) {
        match &self.part {
            Part::Search(search) => (search.progress().0, search.progress().1 * 2),
            Part::Keys { walk, searched, .. } => (searched + walk.passed, searched * 2),
            Part::Merge { all, .. } => (*all, *all),
        }
    }

    /// False: there is more.
    fn advance(&mut self, session: &mut Session) -> Result<bool, Answer> {
        match &mut self.part {
            Part::Search(search) => {
                if search.advance(session)? {
                    self.damaged = search.damaged;
                    self.modseq = search.modseq();
                    search.found.settle();
                    let depth = self.criteria.iter().map(|criterion| depth(criterion.by)).max().unwrap_or(Depth::Row);
                    let (left, searched) = (search.found.ranges.iter().copied().collect(), search.progress().1);
                    self.part = Part::Keys { walk: Walk::new(session, left, depth)?, runs: Vec::new(), searched };
                }
                Ok(false)
            }
            Part::Keys { walk, runs, searched } => {
                let criteria = Arc::clone(&self.criteria);
                let gather = move || Gathered { criteria: Arc::clone(&criteria), key: Vec::new(), run: Run::default() };
                runs.extend(walk.step(session, gather)?.into_iter().map(|gathered| gathered.run));
                if walk.is_over() {
                    self.damaged |= walk.damaged;
                    self.part = Part::Merge { merge: Merge::new(std::mem::take(runs)), all: *searched * 2 };
                }
                Ok(false)
            }
            Part::Merge { merge, .. } => {
                let before = self.sorted.len();
                self.sorted.extend(merge.take(MERGED));
                let last = self.sorted.len() - before < MERGED;
                if last && !self.uid {
                    let numbers = &session.mailbox()?.numbers;
                    self.sorted = self.sorted.iter().filter_map(|uid| numbers.number(*uid)).collect();
                }
                Ok(last)
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Some((tag, returned)) = &self.form else {
            // RFC 5256 section 4.
            respond::text(out, "* SORT");
            out.reserve(self.sorted.len() * 8);
            for number in &self.sorted {
                out.push(b' ');
                respond::number(out, u64::from(*number));
            }
            if let Some(modseq) = self.modseq {
                respond::text(out, &format!(" (MODSEQ {modseq})"));
            }
            return respond::text(out, "\r\n");
        };
        if !returned.tells() {
            return;
        }
        // RFC 5267 section 3: MIN and MAX are the first and the last one, ALL is in the order of the sort.
        let all = if returned.all { runs(self.sorted.iter().copied()) } else { Vec::new() };
        let piece = returned.partial.map(|window| {
            let (from, to) = positions(window, u32::try_from(self.sorted.len()).unwrap_or(u32::MAX));
            runs(self.sorted.iter().copied().skip(from as usize).take((to - from) as usize))
        });
        let piece = piece.unwrap_or_default();
        let found = respond::Found {
            min: self.sorted.first().copied().filter(|_| returned.min),
            max: self.sorted.last().copied().filter(|_| returned.max),
            count: returned.count.then_some(u32::try_from(self.sorted.len()).unwrap_or(u32::MAX)),
            all: returned.all.then_some(&all),
            partial: returned.partial.map(|window| (window, piece.as_slice())),
            modseq: self.modseq,
        };
        respond::esearch(out, tag, self.uid, &found);
    }
}

/// What becomes `$`: as with SEARCH, but MIN, MAX and PARTIAL go by the order of the sort.
fn saved(sorted: &[u32], returned: &Returned) -> Vec<(u32, u32)> {
    let Returned { min, max, all, count, partial, .. } = *returned;
    let one = |number: &u32| (*number, *number);
    if all || count || !(min || max || partial.is_some()) {
        return sorted.iter().map(one).collect();
    }
    let mut kept: Vec<(u32, u32)> = Vec::new();
    if let Some(window) = partial {
        let (from, to) = positions(window, u32::try_from(sorted.len()).unwrap_or(u32::MAX));
        kept.extend(sorted.get(from as usize..to as usize).unwrap_or_default().iter().map(one));
    }
    kept.extend(sorted.first().filter(|_| min).map(one));
    kept.extend(sorted.last().filter(|_| max).map(one));
    kept
}

fn depth(by: By) -> Depth {
    match by {
        By::Arrival | By::Date | By::Size => Depth::Row,
        By::Subject => Depth::Keys,
        By::Cc | By::From | By::To | By::DisplayFrom | By::DisplayTo => Depth::Headers,
    }
}

/// The messages of a share, on their way to be a run.
struct Gathered {
    criteria: Arc<[Criterion]>,
    /// Room for one key.
    key: Vec<u8>,
    run: Run,
}

impl Gather for Gathered {
    fn take(&mut self, message: &Message, keys: &Keys<'_>, headers: &Headers<'_>) {
        self.key.clear();
        sort_key(&mut self.key, &self.criteria, message, keys, headers);
        self.run.push(&self.key, message.uid);
    }

    fn finish(&mut self) {
        self.run.sort();
    }
}

fn sort_key(key: &mut Vec<u8>, criteria: &[Criterion], message: &Message, keys: &Keys<'_>, headers: &Headers<'_>) {
    for criterion in criteria {
        let start = key.len();
        match criterion.by {
            By::Arrival => number(key, message.internal_date_s),
            By::Date => number(key, sent_s(message)),
            By::Size => number(key, i64::try_from(message.size).unwrap_or(i64::MAX)),
            By::Subject => folded(key, keys.subject),
            By::Cc => text(key, &mailbox(headers.cc)),
            By::From => text(key, &mailbox(headers.from)),
            By::To => text(key, &mailbox(headers.to)),
            By::DisplayFrom => text(key, &display(headers.from)),
            By::DisplayTo => text(key, &display(headers.to)),
        }
        if criterion.reverse {
            key.iter_mut().skip(start).for_each(|byte| *byte = !*byte);
        }
    }
}

/// The sent date (RFC 5256 section 2.2): the Date field, or, if that is none, when the message came. A year before 1900 is none (RFC 5322 section 3.3);
/// `0102` for 2002 is not rare.
pub(super) fn sent_s(message: &Message) -> i64 {
    message.sent_s.filter(|sent_s| *sent_s >= YEAR_1900_S).unwrap_or(message.internal_date_s)
}

fn number(key: &mut Vec<u8>, value: i64) {
    // Negative ones come first.
    key.extend_from_slice(&(value ^ i64::MIN).to_be_bytes());
}

/// A text in the order of i;unicode-casemap (RFC 5051).
fn text(key: &mut Vec<u8>, text: &str) {
    folded(key, charset::fold(text).as_bytes());
}

/// A text that is folded. Its key ends in 0, and has none.
fn folded(key: &mut Vec<u8>, text: &[u8]) {
    let start = key.len();
    key.extend_from_slice(text.get(..TEXT_BYTES).unwrap_or(text));
    while let Some(nul) = memchr::memchr(0, key.get(start..).unwrap_or_default()) {
        key.iter_mut().skip(start + nul).take(1).for_each(|byte| *byte = 1);
    }
    key.push(0);
}

fn first_address(value: Option<&[u8]>) -> Option<Address> {
    value.and_then(|value| address::first(value.get(..FIELD_BYTES).unwrap_or(value)))
}

/// What the address has, and not a word that stands for what it has not.
fn there<'a>(part: &'a [u8], missing: &[u8]) -> &'a [u8] {
    if part == missing || part == address::SYNTAX_ERROR { b"" } else { part }
}

/// RFC 5256 section 3: the addr-mailbox of the first address, as ENVELOPE has it; of a group it is the name.
fn mailbox(value: Option<&[u8]>) -> String {
    match first_address(value) {
        Some(Address::Mailbox { mailbox, .. }) => charset::decode(b"", there(&mailbox, address::MISSING_MAILBOX)),
        Some(Address::GroupStart(name)) => charset::decode(b"", &name),
        Some(Address::GroupEnd) | None => String::new(),
    }
}

/// RFC 5957 section 3: the decoded name of the first address, or else mailbox and host.
fn display(value: Option<&[u8]>) -> String {
    match first_address(value) {
        Some(Address::Mailbox { name, mailbox, host, .. }) => {
            let name = name.map(|name| charset::decode_words(&name)).filter(|name| !name.is_empty());
            name.unwrap_or_else(|| {
                let mailbox = charset::decode(b"", there(&mailbox, address::MISSING_MAILBOX));
                match there(&host, address::MISSING_DOMAIN) {
                    b"" => mailbox,
                    host => format!("{mailbox}@{}", charset::decode(b"", host)),
                }
            })
        }
        Some(Address::GroupStart(name)) => charset::decode_words(&name),
        Some(Address::GroupEnd) | None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::imap::parse::Window;

    fn message(uid: u32, internal_date_s: i64, sent_s: Option<i64>, size: u64) -> Message {
        Message {
            uid,
            size,
            header_size: 0,
            internal_date_s,
            internal_zone_min: 0,
            saved_s: 0,
            sent_s,
            guid: crate::store::Guid([0; 16]),
            entry: crate::store::EntryPlace::default(),
        }
    }

    fn by(words: &[By]) -> Vec<Criterion> {
        words.iter().map(|by| Criterion { reverse: false, by: *by }).collect()
    }

    #[test]
    fn numbers_and_texts_in_order() {
        let numbers = [i64::MIN, -1, 0, 1, 255, 256, i64::MAX].map(|value| {
            let mut key = Vec::new();
            number(&mut key, value);
            key
        });
        assert!(numbers.is_sorted());
        let texts = ["", "a", "A\0", "ab", "\u{e4}", "b", "\u{df}"].map(|value| {
            let mut key = Vec::new();
            text(&mut key, value);
            key
        });
        assert!(texts.is_sorted(), "{texts:?}");
    }

    #[test]
    fn criteria_one_after_the_other() {
        let (one, two) = (message(1, 5, Some(9), 7), message(2, 5, None, 3));
        let keyed = |criteria: &[Criterion], message: &Message, subject: &str| {
            let keys = crate::message::keys::of(format!("Subject: {subject}\r\n").as_bytes());
            let mut key = Vec::new();
            sort_key(&mut key, criteria, message, &Keys::decode(&keys).unwrap(), &Headers::default());
            (key, message.uid)
        };
        let order = |criteria: &[Criterion]| keyed(criteria, &one, "Re: x").cmp(&keyed(criteria, &two, "X"));
        use std::cmp::Ordering::{Greater, Less};
        assert_eq!(order(&by(&[By::Arrival])), Less, "the number decides");
        assert_eq!(order(&[Criterion { reverse: true, by: By::Arrival }]), Less, "and is never reversed");
        assert_eq!(order(&by(&[By::Date])), Greater, "the internal date where there is no other");
        assert_eq!(sent_s(&message(3, 5, Some(-58_000_000_000), 7)), 5, "and where that is from the year 132");
        assert_eq!(sent_s(&message(3, 5, Some(-1), 7)), -1);
        assert_eq!(order(&by(&[By::Size])), Greater);
        assert_eq!(order(&[Criterion { reverse: true, by: By::Size }]), Less);
        assert_eq!(order(&by(&[By::Subject, By::Size])), Greater, "the subjects are the same");
    }

    #[test]
    fn first_addresses() {
        let of = |value: &str| (mailbox(Some(value.as_bytes())), display(Some(value.as_bytes())));
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(of("Zo <a@x>, b@y"), pair("a", "Zo"));
        assert_eq!(of("=?utf-8?q?Zo=C3=AB?= <a@x>"), pair("a", "Zo\u{eb}"));
        assert_eq!(of("\"\" <a@x>"), pair("a", "a@x"));
        assert_eq!(of("a@x (Zo)"), pair("a", "Zo"));
        assert_eq!(of("group: a@x;"), pair("group", "group"));
        assert_eq!(of("root"), pair("root", "root"));
        assert_eq!(of(""), pair("", ""));
        assert_eq!((mailbox(None), display(None)), pair("", ""));
    }

    #[test]
    fn what_is_saved_goes_by_the_order() {
        let sorted = [5, 1, 9, 3];
        let returned = Returned { min: true, max: true, ..Returned::default() };
        assert_eq!(saved(&sorted, &returned), [(5, 5), (3, 3)]);
        let partial = Some(Window { from_end: true, first: 1, last: 2 });
        assert_eq!(saved(&sorted, &Returned { partial, ..Returned::default() }), [(9, 9), (3, 3)]);
        assert_eq!(saved(&sorted, &Returned { save: true, ..Returned::default() }).len(), 4);
    }
}
