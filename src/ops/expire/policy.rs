//! Which rules apply to a mailbox, and which of its messages they take.

use std::sync::Arc;

use super::rule::{Action, Facts, Fill, HeaderSource, Reason, Rule};
use crate::store::FolderPath;

/// A message that a rule takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The message.
    pub facts: Facts,
    /// The rule: its place among those that apply.
    pub rule: usize,
    /// Why.
    pub reason: Reason,
}

/// What the rules of a mailbox take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Messages that leave the mailbox, by UID.
    pub taken: Vec<Verdict>,
    /// Messages that are only named, by rule, then UID.
    pub reported: Vec<Verdict>,
    /// How full the folder was.
    pub fill: Fill,
}

/// The rules that apply to a mailbox, in the order of loading. Where one of them is exclusive, the last such one is the only one.
pub fn applicable<'r>(loaded: impl Iterator<Item = &'r Arc<Rule>>, owner: &str, folder: &FolderPath) -> Vec<Arc<Rule>> {
    let mut rules: Vec<Arc<Rule>> = loaded.filter(|rule| rule.applies(owner, folder)).cloned().collect();
    if let Some(last) = rules.iter().rfind(|rule| rule.exclusive) {
        rules = vec![last.clone()];
    }
    // What would be moved to where it is stays.
    rules.retain(|rule| !matches!(&rule.action, Action::FileInto(to) if to == folder));
    rules
}

/// Reads the header of a message, by its place in the list; `None`: it cannot be read.
pub type ReadHeader<'r> = dyn FnMut(usize) -> Option<Vec<u8>> + 'r;

/// The header of one message, read once.
struct Header<'a, 'r> {
    at: usize,
    read: &'a mut ReadHeader<'r>,
    held: Option<Option<Vec<u8>>>,
}

impl HeaderSource for Header<'_, '_> {
    fn lines(&mut self) -> Option<&[u8]> {
        self.held.get_or_insert_with(|| (self.read)(self.at)).as_deref()
    }
}

/// Judges the messages of one folder.
pub struct Judge<'a, 'r> {
    /// The rules that apply.
    pub rules: &'a [Arc<Rule>],
    /// The messages, by UID.
    pub messages: &'a [Facts],
    /// The time, seconds since 1970.
    pub now_s: i64,
    /// Reads headers.
    pub read: &'a mut ReadHeader<'r>,
}

impl Judge<'_, '_> {
    /// What the rules take. A message that several rules take is expunged when one of them expunges; else the first one counts, those that need no
    /// header before the others. Limits of a folder count what the other criteria have left, rule after rule, and take the oldest messages.
    pub fn judge(mut self) -> Judged {
        let whole = fill(self.messages.iter());
        let mut judged = Judged { fill: whole, ..Judged::default() };
        let order = self.order(|action| *action != Action::Report);
        let mut taken: Vec<Option<(usize, Reason)>> = self.messages.iter().map(|_| None).collect();
        for (at, slot) in taken.iter_mut().enumerate() {
            *slot = self.first_of(&order, at, whole);
        }
        let by_age = self.by_age();
        // Limits need no header: they come in the order of loading, those of rules that file behind the others.
        let mut limits = order;
        limits.sort_by_key(|at| (self.rules.get(*at).map(|rule| matches!(rule.action, Action::FileInto(_))), *at));
        for rule in limits {
            self.crowd_out(rule, &by_age, &mut taken);
        }
        judged.taken = self.verdicts(&taken);
        for rule in self.order(|action| *action == Action::Report) {
            let mut named: Vec<_> = (0..self.messages.len()).map(|at| self.first_of(&[rule], at, whole)).collect();
            self.crowd_out(rule, &by_age, &mut named);
            judged.reported.extend(self.verdicts(&named));
        }
        judged
    }

    /// The rules whose action is wanted, in the order in which they are asked.
    fn order(&self, wanted: impl Fn(&Action) -> bool) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::new();
        order.extend((0..self.rules.len()).filter(|at| self.rules.get(*at).is_some_and(|rule| wanted(&rule.action))));
        order.sort_by_key(|at| {
            self.rules.get(*at).map(|rule| (matches!(rule.action, Action::FileInto(_)), rule.needs_header()))
        });
        order
    }

    /// The first of these rules that takes the message.
    fn first_of(&mut self, order: &[usize], at: usize, whole: Fill) -> Option<(usize, Reason)> {
        let facts = self.messages.get(at)?;
        let mut header = Header { at, read: &mut *self.read, held: None };
        let now_s = self.now_s;
        order.iter().find_map(|number| {
            let rule = self.rules.get(*number)?;
            rule.takes(facts, whole, now_s, &mut header).map(|reason| (*number, reason))
        })
    }

    /// The messages from the oldest to the newest.
    fn by_age(&self) -> Vec<usize> {
        let mut by_age: Vec<usize> = (0..self.messages.len()).collect();
        by_age.sort_by_key(|at| self.messages.get(*at).map(|facts| (facts.internal_s, facts.uid)));
        by_age
    }

    /// Takes the oldest messages while the folder is too full for the rule.
    fn crowd_out(&self, number: usize, by_age: &[usize], taken: &mut [Option<(usize, Reason)>]) {
        let Some(rule) = self.rules.get(number) else { return };
        let left = self.messages.iter().zip(taken.iter()).filter(|(_, taken)| taken.is_none());
        let mut now = fill(left.map(|(facts, _)| facts));
        for at in by_age {
            let Some(reason) = rule.crowded(now) else { return };
            let (Some(facts), Some(slot)) = (self.messages.get(*at), taken.get_mut(*at)) else { continue };
            if slot.is_some() || !facts.flags.contains(rule.restriction()) {
                continue;
            }
            *slot = Some((number, reason));
            now.messages = now.messages.saturating_sub(1);
            now.bytes = now.bytes.saturating_sub(facts.size);
        }
    }

    fn verdicts(&self, taken: &[Option<(usize, Reason)>]) -> Vec<Verdict> {
        let pairs = self.messages.iter().zip(taken);
        pairs.filter_map(|(facts, taken)| taken.map(|(rule, reason)| Verdict { facts: *facts, rule, reason })).collect()
    }
}

fn fill<'f>(messages: impl Iterator<Item = &'f Facts>) -> Fill {
    messages.fold(Fill::default(), |fill, facts| Fill {
        messages: fill.messages + 1,
        bytes: fill.bytes.saturating_add(facts.size),
    })
}
