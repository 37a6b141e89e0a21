//! One rule: what it takes from which mailboxes, and why.

use std::fmt;

use super::header::HeaderTest;
use crate::ops::mailbox::Selection;
use crate::store::{Flags, FolderPath, Uid};

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// Where a rule, or a line of it, was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file, or the name of the setting.
    pub place: String,
    /// The line, counted from 1; 0 for a setting.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.place),
            line => write!(f, "{}:{line}", self.place),
        }
    }
}

/// What becomes of the messages that a rule takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// They are expunged.
    #[default]
    Discard,
    /// They are named, and stay.
    Report,
    /// They are moved to a folder of the same account, which is made when it is missing.
    FileInto(FolderPath),
}

/// How a flag counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flagged {
    /// The flag must be set, whatever else holds.
    And,
    /// The flag is enough.
    Or,
}

/// A rule that can be applied.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name; empty for the only rule of a local file.
    pub name: String,
    /// Where it begins.
    pub origin: Origin,
    /// The mailboxes it is for; `None`: all that it could apply to.
    pub(super) pattern: Option<Selection>,
    /// No other rule counts where this one applies.
    pub exclusive: bool,
    /// All criteria must hold; else one is enough.
    pub(super) all: bool,
    pub(super) seen: Option<Flagged>,
    pub(super) deleted: Option<Flagged>,
    /// Age in days, from INTERNALDATE.
    pub(super) days: Option<u32>,
    /// Age in days, from when it came into the folder.
    pub(super) save_days: Option<u32>,
    /// Largest size in bytes, and for how many days a larger message stays.
    pub(super) size: Option<(u64, u32)>,
    pub(super) headers: Vec<HeaderTest>,
    /// Most messages of a folder.
    pub(super) count: Option<u64>,
    /// Most bytes of a folder.
    pub(super) bytes: Option<u64>,
    /// What is done.
    pub action: Action,
}

/// What is known of a message without opening it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its UID.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// Its size in bytes.
    pub size: u64,
    /// INTERNALDATE, seconds since 1970.
    pub internal_s: i64,
    /// When it came into the folder, seconds since 1970.
    pub saved_s: i64,
}

/// How full a folder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Messages.
    pub messages: u64,
    /// Bytes.
    pub bytes: u64,
}

/// The criterion that took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `deleted: or`.
    Deleted,
    /// `seen: or`.
    Seen,
    /// The flags of `seen: and` and `deleted: and`, where the rule has nothing else.
    Flags,
    /// `messagedays`.
    Days,
    /// `savedays`.
    SaveDays,
    /// `messagesize`.
    Size,
    /// The header criterion of this number.
    Header(usize),
    /// `messagecount`: the oldest go.
    Count,
    /// `foldersize`: the oldest go.
    Bytes,
    /// `messagecount` and `foldersize` together.
    Both,
    /// `match: all`: every criterion.
    All,
}

/// The header of a message, read when a rule asks for it. `None`: it cannot be read.
pub trait HeaderSource {
    /// The header lines, at least those that rules ask for.
    fn lines(&mut self) -> Option<&[u8]>;
}

impl Rule {
    /// The rule as messages name it: `NAME (FILE:LINE)`.
    pub fn shown(&self) -> String {
        if self.name.is_empty() { self.origin.to_string() } else { format!("{} ({})", self.name, self.origin) }
    }

    /// Is the mailbox among those of the rule?
    pub fn applies(&self, owner: &str, folder: &FolderPath) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.takes_any_inbox(owner, folder))
    }

    /// A rule that takes nothing, and lets no other one apply where it does.
    pub(super) fn exempting(name: String, origin: Origin, pattern: Option<Selection>) -> Rule {
        Rule { exclusive: true, pattern, ..Rule::empty(name, origin) }
    }

    /// A rule without criteria.
    pub(super) fn empty(name: String, origin: Origin) -> Rule {
        Rule {
            name,
            origin,
            pattern: None,
            exclusive: false,
            all: false,
            seen: None,
            deleted: None,
            days: None,
            save_days: None,
            size: None,
            headers: Vec::new(),
            count: None,
            bytes: None,
            action: Action::Discard,
        }
    }

    /// Has it any criterion at all?
    pub(super) fn has_criteria(&self) -> bool {
        self.seen.is_some() || self.deleted.is_some() || self.has_tests() || self.has_limits()
    }

    /// Has it a criterion about single messages, other than flags?
    fn has_tests(&self) -> bool {
        self.days.is_some() || self.save_days.is_some() || self.size.is_some() || !self.headers.is_empty()
    }

    fn has_limits(&self) -> bool {
        self.count.is_some() || self.bytes.is_some()
    }

    /// Must the header be read?
    pub(super) fn needs_header(&self) -> bool {
        !self.headers.is_empty()
    }

    /// The header fields that it asks for, in lower case.
    pub(super) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().flat_map(HeaderTest::names)
    }

    /// The flags without which it takes no message, except by `or`.
    pub(super) fn restriction(&self) -> Flags {
        let flag = |how: Option<Flagged>, flag| if how == Some(Flagged::And) { flag } else { Flags::NONE };
        flag(self.seen, Flags::SEEN) | flag(self.deleted, Flags::DELETED)
    }

    /// The flags that a message taken for `reason` must still have when it goes.
    pub(super) fn required(&self, reason: Reason) -> Flags {
        match reason {
            Reason::Deleted => Flags::DELETED,
            Reason::Seen => Flags::SEEN,
            _ => self.restriction(),
        }
    }

    /// Why it takes the message, other than for the folder being too full.
    pub(super) fn takes(&self, facts: &Facts, fill: Fill, now_s: i64, header: &mut dyn HeaderSource) -> Option<Reason> {
        if self.deleted == Some(Flagged::Or) && facts.flags.contains(Flags::DELETED) {
            return Some(Reason::Deleted);
        }
        if self.seen == Some(Flagged::Or) && facts.flags.contains(Flags::SEEN) {
            return Some(Reason::Seen);
        }
        let restriction = self.restriction();
        if !facts.flags.contains(restriction) {
            return None;
        }
        if !self.has_tests() {
            let alone = restriction != Flags::NONE && !self.has_limits();
            let full = self.all && restriction != Flags::NONE && self.has_limits() && self.is_over(fill);
            return (alone || full).then_some(if alone { Reason::Flags } else { Reason::All });
        }
        if self.all { self.takes_by_all(facts, fill, now_s, header) } else { self.takes_by_one(facts, now_s, header) }
    }

    fn takes_by_one(&self, facts: &Facts, now_s: i64, header: &mut dyn HeaderSource) -> Option<Reason> {
        if self.days.is_some_and(|days| is_old(facts.internal_s, days, now_s)) {
            return Some(Reason::Days);
        }
        if self.save_days.is_some_and(|days| is_old(facts.saved_s, days, now_s)) {
            return Some(Reason::SaveDays);
        }
        if self.size.is_some_and(|size| is_large(facts, size, now_s)) {
            return Some(Reason::Size);
        }
        let found = |lines: &[u8]| self.headers.iter().position(|test| test.holds(lines, self.grace(), now_s));
        if self.headers.is_empty() { None } else { header.lines().and_then(found).map(Reason::Header) }
    }

    fn takes_by_all(&self, facts: &Facts, fill: Fill, now_s: i64, header: &mut dyn HeaderSource) -> Option<Reason> {
        let holds = self.days.is_none_or(|days| is_old(facts.internal_s, days, now_s))
            && self.save_days.is_none_or(|days| is_old(facts.saved_s, days, now_s))
            && self.size.is_none_or(|size| is_large(facts, size, now_s))
            && self.is_over(fill)
            && (self.headers.is_empty()
                || header
                    .lines()
                    .is_some_and(|lines| self.headers.iter().all(|test| test.holds(lines, self.grace(), now_s))));
        holds.then_some(Reason::All)
    }

    /// For how many days a message stays after the date of its Expires field.
    fn grace(&self) -> u32 {
        self.days.unwrap_or(0)
    }

    /// Is the folder fuller than every limit of the rule?
    fn is_over(&self, fill: Fill) -> bool {
        self.count.is_none_or(|most| fill.messages > most) && self.bytes.is_none_or(|most| fill.bytes > most)
    }

    /// Why another message has to go, the folder being so full; `None` when none has to, or when the limits are only conditions
    /// for the rule's other criteria.
    pub(super) fn crowded(&self, fill: Fill) -> Option<Reason> {
        if self.all {
            let condition = self.has_tests() || self.restriction() != Flags::NONE;
            if condition || !self.has_limits() || !self.is_over(fill) {
                return None;
            }
            return Some(match (self.count, self.bytes) {
                (Some(_), Some(_)) => Reason::Both,
                (Some(_), None) => Reason::Count,
                _ => Reason::Bytes,
            });
        }
        if self.count.is_some_and(|most| fill.messages > most) {
            return Some(Reason::Count);
        }
        self.bytes.is_some_and(|most| fill.bytes > most).then_some(Reason::Bytes)
    }

    /// False when the rule cannot take anything from a folder with these counters.
    pub(super) fn may_take(&self, fill: Fill, seen: u64, deleted: u64) -> bool {
        if fill.messages == 0 {
            return false;
        }
        let restriction = self.restriction();
        let open =
            (!restriction.contains(Flags::SEEN) || seen > 0) && (!restriction.contains(Flags::DELETED) || deleted > 0);
        let by_flag =
            (self.seen == Some(Flagged::Or) && seen > 0) || (self.deleted == Some(Flagged::Or) && deleted > 0);
        by_flag || (open && (self.has_tests() || restriction != Flags::NONE || self.crowded(fill).is_some()))
    }

    /// The criterion as it stands in the rule.
    pub fn criterion(&self, reason: Reason) -> String {
        let number = |name: &str, value: Option<u64>| format!("{name}: {}", value.unwrap_or_default());
        match reason {
            Reason::Deleted => "deleted: or".to_owned(),
            Reason::Seen => "seen: or".to_owned(),
            Reason::Flags => self.flag_words().join(", "),
            Reason::Days => number("messagedays", self.days.map(u64::from)),
            Reason::SaveDays => number("savedays", self.save_days.map(u64::from)),
            Reason::Size => match self.size {
                Some((bytes, 0)) => format!("messagesize: {bytes}"),
                size => {
                    let (bytes, days) = size.unwrap_or_default();
                    format!("messagesize: {bytes}, messagesizedays: {days}")
                }
            },
            Reason::Header(at) => self.headers.get(at).map(ToString::to_string).unwrap_or_default(),
            Reason::Count => number("messagecount", self.count),
            Reason::Bytes => number("foldersize", self.bytes),
            Reason::Both => format!("{}, {}", number("messagecount", self.count), number("foldersize", self.bytes)),
            Reason::All => self.every_criterion().join(", "),
        }
    }

    fn flag_words(&self) -> Vec<String> {
        let word = |name: &str, how: Option<Flagged>| (how == Some(Flagged::And)).then(|| format!("{name}: and"));
        [word("seen", self.seen), word("deleted", self.deleted)].into_iter().flatten().collect()
    }

    fn every_criterion(&self) -> Vec<String> {
        let mut all = self.flag_words();
        let present = [
            (self.days.is_some(), Reason::Days),
            (self.save_days.is_some(), Reason::SaveDays),
            (self.size.is_some(), Reason::Size),
            (self.count.is_some(), Reason::Count),
            (self.bytes.is_some(), Reason::Bytes),
        ];
        all.extend(present.iter().filter(|(there, _)| *there).map(|(_, reason)| self.criterion(*reason)));
        all.extend(self.headers.iter().map(ToString::to_string));
        all
    }
}

/// Is it so many days, of 24 hours, since then?
pub(super) fn is_old(since_s: i64, days: u32, now_s: i64) -> bool {
    now_s.saturating_sub(since_s) >= i64::from(days) * DAY_S
}

fn is_large(facts: &Facts, (bytes, days): (u64, u32), now_s: i64) -> bool {
    facts.size > bytes && is_old(facts.internal_s, days, now_s)
}
