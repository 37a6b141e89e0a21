//! Pictures of mailboxes that were selected lately, shared by the sessions of a server: SELECT of a large mailbox that nobody has changed
//! since reads one row instead of all of them.
//!
//! A picture is of one moment, named by UIDVALIDITY and MODSEQ: whatever changes which messages there are, or their flags, raises the mailbox's
//! MODSEQ in the same transaction (docs/store-format.md). So a picture is either exact or not used.

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
        if let Some(picture) = known
            && (picture.uidvalidity, picture.modseq) == (folder.uidvalidity, folder.highest_modseq)
        {
            return Ok(picture);
        }
        let picture = Picture::take(view, folder)?;
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
        if self.pictures.len() >= MOST_PICTURES || self.runs + runs > MOST_RUNS {
            self.pictures.clear();
            self.runs = 0;
        }
        if runs > MOST_RUNS {
            return;
        }
        self.runs += runs;
        if let Some(old) = self.pictures.insert(place, picture) {
            self.runs -= old.numbers.run_count();
        }
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
        Ok(Picture { uidvalidity: folder.uidvalidity, modseq: folder.highest_modseq, numbers, unseen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(runs: u32) -> Picture {
        let mut numbers = Numbers::default();
        (0..runs).for_each(|run| numbers.push(run * 2 + 1, 1));
        Picture { uidvalidity: 1, modseq: 1, numbers, unseen: None }
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
        assert_eq!((kept.pictures.len(), kept.runs), (0, 0));
    }
}
