//! A session's picture of the mailbox it has selected: which UID has which number, what the client has been told.

use std::sync::Arc;

use crate::log::{self, Category};
use crate::protocol::imap::command::enable::Enabled;
use crate::protocol::imap::parse::SequenceSet;
use crate::protocol::imap::pictures::Picture;
use crate::protocol::imap::respond;
use crate::store::{
    AccountId, Flags, Folder, FolderId, Keywords, Modseq, Rights, StateRun, Store, StoreError, Uid, UidSet, View,
    flags_of,
};

/// The UIDs of the mailbox in the order of their sequence numbers, as runs of consecutive UIDs. Clones share them until one is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    runs: Arc<Vec<Run>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: Uid,
    count: u32,
    /// How many messages come before the run.
    before: u32,
}

impl Run {
    fn last(&self) -> Uid {
        self.first.saturating_add(self.count.saturating_sub(1))
    }
}

impl Numbers {
    /// How many messages.
    pub fn count(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.before.saturating_add(run.count))
    }

    /// The largest UID; 0 when there is none.
    pub fn last_uid(&self) -> Uid {
        self.runs.last().map_or(0, Run::last)
    }

    /// The smallest UID; the largest there can be when there is none.
    pub fn first_uid(&self) -> Uid {
        self.runs.first().map_or(Uid::MAX, |run| run.first)
    }

    /// How many runs.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Adds UIDs behind all others.
    pub fn push(&mut self, first: Uid, count: u32) {
        let before = self.count();
        let runs = Arc::make_mut(&mut self.runs);
        match runs.last_mut() {
            Some(run) if run.last().checked_add(1) == Some(first) => run.count = run.count.saturating_add(count),
            _ if count > 0 => runs.push(Run { first, count, before }),
            _ => {}
        }
    }

    /// Adds the UIDs from `from` up to, not including, `to`.
    fn push_between(&mut self, from: u64, to: u64) {
        if let (Ok(first), Ok(count)) = (Uid::try_from(from), u32::try_from(to.saturating_sub(from)))
            && count > 0
        {
            self.push(first, count);
        }
    }

    /// The sequence number of a UID.
    pub fn number(&self, uid: Uid) -> Option<u32> {
        let at = self.runs.partition_point(|run| run.last() < uid);
        let run = self.runs.get(at)?;
        Some(run.before + uid.checked_sub(run.first)? + 1)
    }

    /// The UIDs with the numbers in `ranges` (sorted, disjoint).
    pub fn uids_of_numbers(&self, ranges: &[(u32, u32)]) -> UidSet {
        let mut found = UidSet::new();
        for (from, to) in ranges {
            let start = self.runs.partition_point(|run| run.before + run.count < *from);
            for run in self.runs.get(start..).unwrap_or_default() {
                if run.before >= *to {
                    break;
                }
                let low = (*from).max(run.before + 1) - run.before - 1;
                let high = (*to).min(run.before + run.count) - run.before - 1;
                found.insert_range(run.first + low, run.first + high);
            }
        }
        found
    }

    /// The UIDs in `ranges` (sorted, disjoint) that there are.
    pub fn uids_within(&self, ranges: &[(Uid, Uid)]) -> UidSet {
        let mut found = UidSet::new();
        for (from, to) in ranges {
            let start = self.runs.partition_point(|run| run.last() < *from);
            for run in self.runs.get(start..).unwrap_or_default() {
                if run.first > *to {
                    break;
                }
                found.insert_range(run.first.max(*from), run.last().min(*to));
            }
        }
        found
    }

    /// The ranges of UIDs, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = (Uid, Uid)> + '_ {
        self.runs.iter().map(|run| (run.first, run.last()))
    }

    /// Takes UIDs away; returns the numbers to be told, in an order in which each is right when it is read.
    pub fn remove(&mut self, gone: &UidSet) -> Vec<u32> {
        let mut told = Vec::new();
        let mut kept = Numbers::default();
        for run in self.runs.iter() {
            // In 64 bits: the UID behind the last one may not exist.
            let mut next = u64::from(run.first);
            let end = run.last();
            let start = gone.ranges().partition_point(|range| range.1 < run.first);
            for (from, to) in gone.ranges().get(start..).unwrap_or_default() {
                if *from > end {
                    break;
                }
                let (from, to) = ((*from).max(run.first), (*to).min(end));
                kept.push_between(next, u64::from(from));
                // Each one leaves the same number to the next.
                let number = kept.count() + 1;
                told.extend(std::iter::repeat_n(number, (to - from) as usize + 1));
                next = u64::from(to) + 1;
            }
            kept.push_between(next, u64::from(end) + 1);
        }
        *self = kept;
        told
    }
}

/// What may be told at the end of a command.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Expunges may be told (RFC 3501 section 7.4.1).
    pub expunges: bool,
    /// Flag changes the client knows already: those of this modseq for these UIDs.
    pub known: Vec<(Modseq, UidSet)>,
    /// FETCH responses carry the UID.
    pub uid: bool,
    /// A tagged OK has HIGHESTMODSEQ where QRESYNC is enabled.
    pub modseq: bool,
    /// No command is in progress: the client may be writing, and not read what is more than the network holds for it.
    pub between: bool,
}

/// Messages whose flags are told between commands, about 50 bytes each; with more changes the client is told at its next command.
const BETWEEN: u64 = 500;

/// The selected mailbox.
#[derive(Debug)]
pub struct Selected {
    /// Whose it is.
    pub account: AccountId,
    /// Which one.
    pub folder: FolderId,
    /// Its UIDVALIDITY: a mailbox that is made again under the same name has another.
    pub uidvalidity: u32,
    /// The name by which it was selected.
    pub name: String,
    /// Opened by EXAMINE.
    pub read_only: bool,
    /// The client is told nothing of `\Recent` (RFC 9051 appendix E, 12).
    pub rev2: bool,
    /// It takes `\Recent`: opened for writing, by the owner.
    pub claims: bool,
    /// What the user may do, as the client was told by FLAGS and PERMANENTFLAGS.
    pub rights: Rights,
    /// The messages the client knows of.
    pub numbers: Numbers,
    /// Messages that are `\Recent` in this session.
    pub recent: UidSet,
    /// Keywords of the account, by bit.
    pub keywords: Vec<String>,
    /// The same, read later for a search; the client has not been told of the new ones.
    untold: Vec<String>,
    /// What `$` stands for (RFC 5182); UIDs that are gone may be among them.
    pub saved: UidSet,
    uidnext: Uid,
    modseq: Modseq,
    /// The modification sequence of a STORE of this session that followed right on `modseq`: up to there it knows everything.
    own: Option<Modseq>,
    /// Expunged in the store, not yet told.
    pending: UidSet,
    /// The modification sequence up to which everything is told, while something is pending.
    before_pending: Modseq,
}

/// The mailbox that a session had selected is no more.
#[derive(Debug)]
pub struct Deleted;

impl Selected {
    /// Selects a folder of which `picture` was taken in `view`. `recent_from`: the first UID that is `\Recent` here.
    ///
    /// # Errors
    /// What the store says.
    pub fn open(
        view: &View<'_>,
        (account, folder): (AccountId, &Folder),
        picture: &Picture,
        (name, rights): (String, Rights),
        (read_only, claims): (bool, bool),
        recent_from: Uid,
    ) -> Result<Selected, StoreError> {
        Ok(Selected {
            account,
            folder: folder.id,
            uidvalidity: folder.uidvalidity,
            name,
            read_only,
            rev2: false,
            claims,
            rights,
            numbers: picture.numbers.clone(),
            recent: picture.numbers.uids_within(&[(recent_from.max(1), Uid::MAX)]),
            keywords: view.keywords()?,
            untold: Vec::new(),
            saved: UidSet::new(),
            uidnext: folder.uidnext,
            modseq: folder.highest_modseq,
            own: None,
            pending: UidSet::new(),
            before_pending: 0,
        })
    }

    /// The UIDs that a set of a command names: sequence numbers, or UIDs when `uid`. `None`: a number beyond the last message.
    pub fn uids(&self, set: &SequenceSet, uid: bool) -> Option<UidSet> {
        // RFC 5182 section 2.1: messages, whether the command is about numbers or UIDs; those that are expunged are none any more.
        if set.is_saved() {
            return Some(self.numbers.uids_within(self.saved.ranges()));
        }
        if uid {
            return Some(self.numbers.uids_within(&set.resolve(self.numbers.last_uid())));
        }
        let count = self.numbers.count();
        if count > 0 && set.largest() > count {
            return None;
        }
        Some(self.numbers.uids_of_numbers(&set.resolve(count)))
    }

    /// The modification sequence up to which the client has been told everything: that of the mailbox as the client sees it. Where expunges
    /// could not be told yet it lies below them (RFC 7162 section 3.2.2).
    pub fn known_modseq(&self) -> Modseq {
        if self.pending.is_empty() { self.modseq } else { self.before_pending }
    }

    /// The session has changed flags: the mailbox went from `since` to `modseq`. The client is told of them with the command, so that they are no
    /// news at its end, and where nobody else has changed anything nothing is looked for.
    pub fn changed_by_itself(&mut self, since: Modseq, modseq: Modseq) {
        self.own = (since == self.modseq && modseq > since).then_some(modseq);
    }

    /// The modification sequence at the last look at the mailbox: changes after that are told at the end of the command.
    pub fn seen_modseq(&self) -> Modseq {
        self.modseq
    }

    /// True when a message is gone that the client still has a number for.
    pub fn is_pending(&self, uids: &UidSet) -> bool {
        self.pending.iter().any(|uid| uids.contains(uid))
    }

    /// Flags as they are written in a response, without the parentheses.
    pub fn flag_list(&self, uid: Uid, flags: Flags, keywords: Keywords) -> String {
        let mut list = system_flags(flags);
        if !self.rev2 && self.recent.contains(uid) {
            list.push("\\Recent");
        }
        list.extend(keywords.bits().filter_map(|bit| self.keywords.get(bit)).map(String::as_str));
        list.join(" ")
    }

    /// The list of the untagged FLAGS response.
    pub fn defined_flags(&self) -> String {
        let mut list = vec!["\\Answered", "\\Flagged", "\\Draft", "\\Deleted", "\\Seen"];
        list.extend(self.keywords.iter().map(String::as_str));
        list.join(" ")
    }

    /// The flags that this session may change (RFC 4314 section 5.1.1).
    fn permanent_flags(&self) -> String {
        if self.read_only {
            return String::new();
        }
        let (flags, keywords) = flags_of(self.rights);
        let mut list = system_flags(flags);
        if keywords {
            list.extend(self.keywords.iter().map(String::as_str));
            // RFC 9051 section 7.1: where no keyword can be added, `\*` is not there.
            if !self.rev2 || self.keywords.len() < Keywords::LIMIT {
                list.push("\\*");
            }
        }
        list.join(" ")
    }

    /// Writes FLAGS and PERMANENTFLAGS.
    pub fn write_flags(&self, out: &mut Vec<u8>) {
        let defined = self.defined_flags();
        respond::flags(out, &defined);
        let permanent = self.permanent_flags();
        let code = respond::Code::PermanentFlags(permanent);
        respond::status(out, "*", respond::Status::Ok, Some(&code), "Ok");
    }

    /// Writes RECENT, which IMAP4rev2 does not have (RFC 9051 appendix E, 12).
    pub fn write_recent(&self, out: &mut Vec<u8>) {
        if !self.rev2 {
            respond::counted(out, u32::try_from(self.recent.len()).unwrap_or(u32::MAX), "RECENT");
        }
    }

    /// The bit of a keyword, if the account has it: in any letter case.
    pub fn keyword_bit(&self, name: &str) -> Option<u32> {
        let known = if self.untold.len() > self.keywords.len() { &self.untold } else { &self.keywords };
        known.iter().position(|keyword| keyword.eq_ignore_ascii_case(name)).and_then(|at| u32::try_from(at).ok())
    }

    /// Reads the account's keywords for [`Selected::keyword_bit`]. The client is told of them with the first message that it sees with one.
    ///
    /// # Errors
    /// What the store says.
    pub fn learn_keywords(&mut self, view: &View<'_>) -> Result<(), StoreError> {
        self.untold = view.keywords()?;
        Ok(())
    }

    /// Reads the account's keywords again; tells the client when there are more.
    ///
    /// # Errors
    /// What the store says.
    pub fn reload_keywords(&mut self, view: &View<'_>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        let keywords = view.keywords()?;
        if keywords != self.keywords {
            self.keywords = keywords;
            self.write_flags(out);
        }
        Ok(())
    }

    /// The mailbox as it is now. `None`: it was deleted; what stands under its name is none or another one.
    ///
    /// # Errors
    /// What the store says.
    pub fn row(&self, view: &View<'_>) -> Result<Option<Folder>, StoreError> {
        let found = view.folder(self.folder)?;
        Ok(found.filter(|folder| !folder.noselect && folder.uidvalidity == self.uidvalidity))
    }

    /// Tells the client what changed since the last time, whoever changed it.
    ///
    /// # Errors
    /// What the store says; `Ok(Err(Deleted))` when the mailbox is gone.
    pub fn refresh(
        &mut self,
        store: &Store,
        told: &Told,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) -> Result<Result<(), Deleted>, StoreError> {
        let own = self.own.take();
        let news = {
            let view = store.view(self.account)?;
            let Some(folder) = self.row(&view)? else {
                return Ok(Err(Deleted));
            };
            let rights = store.rights(self.account, &folder);
            if !rights.contains(Rights::READ) {
                // Nothing of it is the user's business any more; if he may read it again, he is told all.
                return Ok(Ok(()));
            }
            if std::mem::replace(&mut self.rights, rights) != rights && !self.read_only {
                self.write_flags(out);
            }
            if folder.highest_modseq > self.modseq {
                if own == Some(folder.highest_modseq) {
                    self.reload_keywords(&view, out)?;
                    self.modseq = folder.highest_modseq;
                    None
                } else {
                    let news = self.look(&view, told)?;
                    let count: u64 = news.changed.iter().map(|run| u64::from(run.count)).sum();
                    if told.between && count > BETWEEN {
                        return Ok(Ok(()));
                    }
                    self.reload_keywords(&view, out)?;
                    Some((news, folder))
                }
            } else {
                None
            }
        };
        let mut arrived = false;
        if let Some((News { changed, new }, folder)) = news {
            for run in changed {
                self.write_run(&run, told.uid, enabled, out);
            }
            for (first, count) in new {
                self.numbers.push(first, count);
                arrived = true;
            }
            // With the numbers: what is known of new messages is known once.
            self.modseq = folder.highest_modseq;
            self.uidnext = folder.uidnext;
            if arrived && let Err(error) = self.claim_recent(store, &folder) {
                // They are new to another session as well, then.
                log::error(Category::Store, format!("recent messages of {}: {error}", self.name));
            }
        }
        if told.expunges && !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            let numbers = self.numbers.remove(&pending);
            if enabled.qresync {
                // RFC 7162 section 3.2.10.2.
                respond::vanished(out, false, pending.ranges());
            } else {
                numbers.into_iter().for_each(|number| respond::counted(out, number, "EXPUNGE"));
            }
            self.recent = UidSet::from_ranges(
                self.recent.ranges().iter().flat_map(|range| self.numbers.uids_within(&[*range]).ranges().to_vec()),
            );
        }
        if arrived {
            respond::counted(out, self.numbers.count(), "EXISTS");
            self.write_recent(out);
        }
        if enabled.qresync && !self.pending.is_empty() && !(told.between && out.is_empty()) {
            // The mod-sequences of this command may lie above those of expunges that are not told yet (RFC 7162 section 3.2.2).
            let code = respond::Code::HighestModseq(self.known_modseq());
            respond::status(out, "*", respond::Status::Ok, Some(&code), "Some expunges are told later");
        }
        Ok(Ok(()))
    }

    /// Reads what is new; expunged messages go to `pending`.
    fn look(&mut self, view: &View<'_>, told: &Told) -> Result<News, StoreError> {
        let mut news = News { changed: Vec::new(), new: Vec::new() };
        if self.pending.is_empty() {
            self.before_pending = self.modseq;
        }
        match view.expunged_since(self.folder, self.modseq)? {
            Some(gone) => {
                for (first, last) in gone.ranges() {
                    for (from, to) in self.numbers.uids_within(&[(*first, *last)]).ranges() {
                        self.pending.insert_range(*from, *to);
                    }
                }
            }
            None => self.pending = self.missing(view)?,
        }
        let (seen_modseq, seen_uidnext) = (self.modseq, self.uidnext);
        view.states(self.folder, 1..=Uid::MAX, &mut |run| {
            let last = run.last();
            if last >= seen_uidnext {
                let first = run.first.max(seen_uidnext);
                news.new.push((first, last - first + 1));
            }
            if run.modseq > seen_modseq && run.first < seen_uidnext {
                let old = StateRun { count: last.min(seen_uidnext - 1) - run.first + 1, ..run };
                let known = told.known.iter().filter(|(modseq, _)| *modseq == run.modseq);
                push_unknown(&mut news.changed, old, known.map(|(_, uids)| uids).collect());
            }
        })?;
        Ok(news)
    }

    /// The numbered UIDs that are not in the store.
    fn missing(&self, view: &View<'_>) -> Result<UidSet, StoreError> {
        let mut there = Numbers::default();
        view.states(self.folder, 1..=Uid::MAX, &mut |run| there.push(run.first, run.count))?;
        let mut missing = self.numbers.clone();
        missing.remove(&UidSet::from_ranges(there.ranges()));
        let missing = UidSet::from_ranges(missing.ranges());
        Ok(missing)
    }

    /// Messages that came are `\Recent` here unless another session was told of them. `folder` is the row of the look at them.
    fn claim_recent(&mut self, store: &Store, folder: &Folder) -> Result<(), StoreError> {
        let from = match self.claims {
            true => store.claim_recent(self.account, folder)?,
            false => store.recent_from(self.account, folder),
        };
        for (first, last) in self.numbers.uids_within(&[(from.max(1), Uid::MAX)]).ranges() {
            self.recent.insert_range(*first, *last);
        }
        Ok(())
    }

    fn write_run(&self, run: &StateRun, with_uid: bool, enabled: Enabled, out: &mut Vec<u8>) {
        let modseq = if enabled.condstore { format!(" MODSEQ ({})", run.modseq) } else { String::new() };
        for uid in run.first..=run.last() {
            let Some(number) = self.numbers.number(uid) else {
                continue;
            };
            let flags = self.flag_list(uid, run.flags, run.keywords);
            let uid = if with_uid || enabled.tells_uid() { format!(" UID {uid}") } else { String::new() };
            respond::text(out, &format!("* {number} FETCH (FLAGS ({flags}){uid}{modseq})\r\n"));
        }
    }
}

struct News {
    changed: Vec<StateRun>,
    new: Vec<(Uid, u32)>,
}

/// Adds the parts of `run` that are in none of `known`.
fn push_unknown(changed: &mut Vec<StateRun>, run: StateRun, known: Vec<&UidSet>) {
    if known.is_empty() {
        return changed.push(run);
    }
    for uid in run.first..=run.last() {
        if !known.iter().any(|set| set.contains(uid)) {
            changed.push(StateRun { first: uid, count: 1, ..run });
        }
    }
}

fn system_flags(flags: Flags) -> Vec<&'static str> {
    let names = [
        (Flags::ANSWERED, "\\Answered"),
        (Flags::FLAGGED, "\\Flagged"),
        (Flags::DRAFT, "\\Draft"),
        (Flags::DELETED, "\\Deleted"),
        (Flags::SEEN, "\\Seen"),
    ];
    names.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(ranges: &[(Uid, u32)]) -> Numbers {
        let mut numbers = Numbers::default();
        for (first, count) in ranges {
            numbers.push(*first, *count);
        }
        numbers
    }

    #[test]
    fn numbers_and_uids() {
        let n = numbers(&[(3, 3), (6, 1), (10, 2)]);
        assert_eq!(n.runs.len(), 2);
        assert_eq!((n.count(), n.last_uid()), (6, 11));
        assert_eq!([3, 6, 10, 11].map(|uid| n.number(uid)), [Some(1), Some(4), Some(5), Some(6)]);
        assert_eq!([1, 7, 9, 12].map(|uid| n.number(uid)), [None; 4]);
        assert_eq!(n.uids_of_numbers(&[(2, 2), (4, 5)]).ranges(), &[(4, 4), (6, 6), (10, 10)]);
        assert_eq!(n.uids_of_numbers(&[(5, 99)]).ranges(), &[(10, 11)]);
        assert_eq!(n.uids_within(&[(1, 4), (9, 10)]).ranges(), &[(3, 4), (10, 10)]);
        assert_eq!(Numbers::default().uids_within(&[(1, 9)]).ranges(), &[]);
    }

    #[test]
    fn expunges_are_told_in_order() {
        let mut n = numbers(&[(3, 4), (10, 2)]);
        assert_eq!(n.remove(&UidSet::from_ranges([(4, 5), (11, 11), (20, 30)])), [2, 2, 4]);
        assert_eq!(n, numbers(&[(3, 1), (6, 1), (10, 1)]));
        let mut n = numbers(&[(u32::MAX - 1, 2)]);
        assert_eq!(n.remove(&UidSet::one(u32::MAX)), [2]);
        assert_eq!(n.last_uid(), u32::MAX - 1);
        assert_eq!(n.remove(&UidSet::from_ranges([(1, u32::MAX)])), [1]);
        assert_eq!(n.count(), 0);
    }

    proptest::proptest! {
        /// A client that applies the told numbers one by one ends with the same list.
        #[test]
        fn a_client_keeps_in_step(uids in proptest::collection::btree_set(1u32..60, 0..40), gone in proptest::collection::btree_set(1u32..60, 0..40)) {
            let mut n = Numbers::default();
            uids.iter().for_each(|uid| n.push(*uid, 1));
            let mut client: Vec<u32> = uids.iter().copied().collect();
            for number in n.remove(&gone.iter().copied().collect()) {
                client.remove(number as usize - 1);
            }
            let expected: Vec<u32> = uids.difference(&gone).copied().collect();
            proptest::prop_assert_eq!(&client, &expected);
            for (at, uid) in expected.iter().enumerate() {
                proptest::prop_assert_eq!(n.number(*uid), Some(at as u32 + 1));
            }
            proptest::prop_assert_eq!(n.count() as usize, expected.len());
        }
    }
}
