//! Pictures of mailboxes that were selected lately, shared by the sessions of a server: SELECT of a large mailbox that nobody has changed
//! since reads one row instead of all of them.
//!
//! A picture is of one moment, named by UIDVALIDITY and MODSEQ: whatever changes which messages there are, or their flags, raises the mailbox's
//! MODSEQ in the same transaction (docs/store-format.md). So a picture is either exact, or brought up to date from what was expunged and what came
//! since, or not used.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::selected::Numbers;
use crate::store::{AccountId, Flags, Folder, FolderId, Modseq, StoreError, Uid, View};

/// Pictures that are kept, and runs of UIDs in all of them (12 bytes each); beyond, all are let go.
const MOST_PICTURES: usize = 4096;
const MOST_RUNS: usize = 512 * 1024;

/// What SELECT finds out by reading the state of all messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Picture {
    uidvalidity: u32,
    modseq: Modseq,
    uidnext: Uid,
    /// The UIDs by their numbers.
    pub numbers: Numbers,
    /// The first message without `\Seen`.
    pub unseen: Option<Uid>,
}

/// The pictures of a server.
#[derive(Debug, Default)]
pub struct Pictures {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    pictures: HashMap<(AccountId, FolderId), Picture>,
    runs: usize,
}

impl Pictures {
    /// The picture of `folder`, whose row was read in `view`.
    ///
    /// # Errors
    /// A row is damaged.
    pub fn of(&self, view: &View<'_>, account: AccountId, folder: &Folder) -> Result<Picture, StoreError> {
        let place = (account, folder.id);
        let known = self.kept().pictures.get(&place).cloned();
        if let Some(picture) = &known
            && (picture.uidvalidity, picture.modseq) == (folder.uidvalidity, folder.highest_modseq)
        {
            return Ok(picture.clone());
        }
        let picture = match known {
            Some(old) if old.uidvalidity == folder.uidvalidity => old.brought_up(view, folder)?,
            _ => None,
        };
        let picture = picture.map_or_else(|| Picture::take(view, folder), Ok)?;
        self.kept().keep(place, picture.clone());
        Ok(picture)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, place: (AccountId, FolderId), picture: Picture) {
        let runs = picture.numbers.run_count();
        if let Some(old) = self.pictures.remove(&place) {
            self.runs -= old.numbers.run_count();
        }
        if runs > MOST_RUNS {
            return;
        }
        if self.pictures.len() >= MOST_PICTURES || self.runs + runs > MOST_RUNS {
            self.pictures.clear();
            self.runs = 0;
        }
        self.runs += runs;
        self.pictures.insert(place, picture);
    }
}

impl Picture {
    fn take(view: &View<'_>, folder: &Folder) -> Result<Picture, StoreError> {
        let mut numbers = Numbers::default();
        let mut unseen = None;
        view.states(folder.id, 1..=Uid::MAX, &mut |run| {
            numbers.push(run.first, run.count);
            if unseen.is_none() && !run.flags.contains(Flags::SEEN) {
                unseen = Some(run.first);
            }
        })?;
        Ok(Picture::of_now(folder, numbers, unseen))
    }

    fn of_now(folder: &Folder, numbers: Numbers, unseen: Option<Uid>) -> Picture {
        let Folder { uidvalidity, uidnext, highest_modseq: modseq, .. } = *folder;
        Picture { uidvalidity, modseq, uidnext, numbers, unseen }
    }

    /// The picture as it is now, from what was expunged and what came since: the cost is that of the changes. `None`: the store has forgotten
    /// what was expunged, or the picture is of a later moment than the view.
    fn brought_up(self, view: &View<'_>, folder: &Folder) -> Result<Option<Picture>, StoreError> {
        if self.modseq > folder.highest_modseq {
            return Ok(None);
        }
        let Some(gone) = view.expunged_since(folder.id, self.modseq)? else {
            return Ok(None);
        };
        let mut numbers = self.numbers;
        if !gone.is_empty() {
            numbers.remove(&gone);
        }
        view.states(folder.id, self.uidnext..=Uid::MAX, &mut |run| numbers.push(run.first, run.count))?;
        let unseen = first_unseen(view, folder, &numbers)?;
        // A row that disagrees with the counter is for the full reading, and for the checker.
        let exact = numbers.count() == folder.exists && unseen.is_some() == (folder.unseen > 0);
        Ok(exact.then(|| Picture::of_now(folder, numbers, unseen)))
    }
}

/// UIDs of which the state is read at a time, at first.
const STRETCH: Uid = 1024;

/// The first message without `\Seen`. Looked for from both ends: it is near the beginning where nothing is ever read, and near the end where
/// everything else is, and there the count of the folder says when all were met. What lies between is read where it is in neither place.
fn first_unseen(view: &View<'_>, folder: &Folder, numbers: &Numbers) -> Result<Option<Uid>, StoreError> {
    if folder.unseen == 0 {
        return Ok(None);
    }
    let (mut low, mut high) = (numbers.first_uid(), numbers.last_uid());
    let (mut stretch, mut met, mut least) = (STRETCH, 0u32, None);
    while low <= high {
        let (_, front) = unseen_within(view, folder, low, high.min(low.saturating_add(stretch - 1)))?;
        if front.is_some() {
            return Ok(front);
        }
        low = low.saturating_add(stretch);
        if low > high {
            break;
        }
        let begin = low.max(high.saturating_sub(stretch - 1));
        let (count, first) = unseen_within(view, folder, begin, high)?;
        (met, least) = (met.saturating_add(count), first.or(least));
        if met >= folder.unseen {
            break;
        }
        high = begin - 1;
        stretch = stretch.saturating_mul(2);
    }
    Ok(least)
}

/// How many messages with UIDs from `from` to `to` are without `\Seen`, and the first of them.
fn unseen_within(view: &View<'_>, folder: &Folder, from: Uid, to: Uid) -> Result<(u32, Option<Uid>), StoreError> {
    let (mut count, mut first) = (0u32, None);
    view.states(folder.id, from..=to, &mut |run| {
        if !run.flags.contains(Flags::SEEN) {
            count = count.saturating_add(run.count);
            first = first.or(Some(run.first));
        }
    })?;
    Ok((count, first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{FlagChange, FlagOp, NewMessage, Settings, Store, UidSet};

    fn picture(runs: u32) -> Picture {
        let mut numbers = Numbers::default();
        (0..runs).for_each(|run| numbers.push(run * 2 + 1, 1));
        Picture { uidvalidity: 1, modseq: 1, uidnext: runs * 2 + 1, numbers, unseen: None }
    }

    #[test]
    fn pictures_are_bounded() {
        let mut kept = Kept::default();
        let place = |folder| (AccountId(1), FolderId(folder));
        kept.keep(place(1), picture(3));
        kept.keep(place(1), picture(5));
        kept.keep(place(2), picture(1));
        assert_eq!((kept.pictures.len(), kept.runs), (2, 6));
        for folder in 0..u32::try_from(MOST_PICTURES).unwrap() * 3 {
            kept.keep(place(folder), picture(1));
            assert!(kept.pictures.len() <= MOST_PICTURES);
            assert_eq!(kept.runs, kept.pictures.values().map(|one| one.numbers.run_count()).sum::<usize>());
        }
        let many = u32::try_from(MOST_RUNS).unwrap();
        kept.keep(place(1), picture(many));
        assert_eq!((kept.pictures.len(), kept.runs), (1, MOST_RUNS));
        kept.keep(place(2), picture(many + 1));
        assert_eq!((kept.pictures.len(), kept.runs), (1, MOST_RUNS), "the others stay");
    }

    /// Numbers that are the same in each run (xorshift).
    fn dice(state: &mut u32, bound: u32) -> u32 {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        *state % bound
    }

    #[test]
    fn a_picture_that_is_brought_up_to_date_is_exact() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            root: dir.path().to_owned(),
            partitions: vec![("primary".into(), dir.path().join("primary"))],
            default_partition: "primary".into(),
            notify_dir: None,
        };
        Store::create(&settings, 1).unwrap();
        let store = Store::open(settings).unwrap();
        let joe = store.account_create("joe", None, 1).unwrap();
        let pictures = Pictures::default();
        let mut state = 20_261_124;
        for turn in 0..120 {
            let last = store.view(joe).unwrap().folder(FolderId::INBOX).unwrap().unwrap().uidnext;
            let from = dice(&mut state, last) + 1;
            let some = UidSet::from_ranges([(from, from + dice(&mut state, 900))]);
            match dice(&mut state, 5) {
                0 | 1 => {
                    let mut staging = store.stage("primary").unwrap();
                    std::io::Write::write_all(&mut staging, b"Subject: x\r\n\r\nx\r\n").unwrap();
                    let staged = staging.finish().unwrap();
                    let new = || NewMessage {
                        staged: &staged,
                        flags: if turn % 3 == 0 { Flags::NONE } else { Flags::SEEN },
                        keywords: Vec::new(),
                        internal_date_s: 1,
                        internal_zone_min: 0,
                    };
                    let count = dice(&mut state, 300) as usize + 1;
                    let many: Vec<_> = std::iter::repeat_with(new).take(count).collect();
                    store.append(joe, FolderId::INBOX, &many, 1).unwrap();
                }
                2 => {
                    let change = FlagChange { op: FlagOp::Add, flags: Flags::DELETED, keywords: Vec::new() };
                    store.store_flags(joe, FolderId::INBOX, &some, &change, None).unwrap();
                    store.expunge(joe, FolderId::INBOX, Some(&some), 1).unwrap();
                }
                kind => {
                    let op = if kind == 3 { FlagOp::Add } else { FlagOp::Remove };
                    let change = FlagChange { op, flags: Flags::SEEN, keywords: Vec::new() };
                    store.store_flags(joe, FolderId::INBOX, &some, &change, None).unwrap();
                }
            }
            let view = store.view(joe).unwrap();
            let folder = view.folder(FolderId::INBOX).unwrap().unwrap();
            let whole = Picture::take(&view, &folder).unwrap();
            if turn > 0 {
                let old = pictures.kept().pictures.get(&(joe, FolderId::INBOX)).cloned().unwrap();
                assert!(old.brought_up(&view, &folder).unwrap().is_some(), "turn {turn}: read as a whole");
            }
            let found = pictures.of(&view, joe, &folder).unwrap();
            assert_eq!((&found.numbers, found.unseen), (&whole.numbers, whole.unseen), "turn {turn}");
            assert_eq!((found.modseq, found.uidnext), (whole.modseq, whole.uidnext), "turn {turn}");
        }
    }
}
