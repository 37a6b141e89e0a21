//! Everything the rows and the directory say about a mailbox, also where rows cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::super::codec;
use super::super::error::StoreError;
use super::super::flags::{Flags, Keywords};
use super::super::ids::{AccountId, FolderId, Modseq, Uid};
use super::super::lmdb::Rows;
use super::super::record::{Folder, Gone, Message, StateRun, decode_runs};
use super::super::schema::{self, CHUNK, kind};
use super::super::{check, layout, rows};

/// No counter has come so far: a modification sequence above it is damage.
pub(super) const MODSEQ_MAX: Modseq = 1 << 60;

/// The rows of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    pub(super) row: Folder,
    pub(super) messages: BTreeMap<Uid, Message>,
    /// Message rows that cannot be read.
    pub(super) unread: BTreeSet<Uid>,
    /// States by their chunk; `None`: it cannot be read.
    pub(super) chunks: BTreeMap<Uid, Option<Vec<StateRun>>>,
    pub(super) gone: BTreeMap<Uid, Option<Gone>>,
    /// What is remembered as expunged: modseq, first, last; `None`: it cannot be read.
    pub(super) expunged: BTreeMap<Vec<u8>, Option<(Modseq, Uid, Uid)>>,
    /// Rows of deliveries that cannot be read.
    pub(super) unread_deliveries: Vec<Vec<u8>>,
}

/// The state of one message.
pub(super) type State = (Flags, Keywords, Modseq);

impl Survey {
    pub(super) fn take<R: Rows + ?Sized>(read: &R, account: AccountId, id: FolderId) -> Result<Survey, StoreError> {
        let row = rows::need_folder(read, account, id)?;
        let mut survey = Survey {
            row,
            messages: BTreeMap::new(),
            unread: BTreeSet::new(),
            chunks: BTreeMap::new(),
            gone: BTreeMap::new(),
            expunged: BTreeMap::new(),
            unread_deliveries: Vec::new(),
        };
        for kind in [kind::MESSAGE, kind::STATE, kind::EXPUNGED, kind::GONE, kind::DELIVERED] {
            read.scan(&schema::key(account, kind, id, &[]), &mut |key, stored| {
                if !schema::within(key, account, kind, id) {
                    return Ok(ControlFlow::Break(()));
                }
                survey.add(kind, key, codec::open(key, stored).ok());
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(survey)
    }

    fn add(&mut self, kind: u8, key: &[u8], value: Option<&[u8]>) {
        let number = schema::tail_u32(key).unwrap_or(0);
        match kind {
            kind::MESSAGE => match value.and_then(|value| Message::decode(number, value).ok()) {
                Some(message) => drop(self.messages.insert(number, message)),
                None => drop(self.unread.insert(number)),
            },
            kind::STATE => {
                let base = number.saturating_mul(CHUNK);
                let runs = value.and_then(|value| decode_runs(base, base.saturating_add(CHUNK - 1), value).ok());
                self.chunks.insert(base, runs);
            }
            kind::GONE => {
                self.gone.insert(number, value.and_then(|value| Gone::decode(number, value).ok()));
            }
            kind::EXPUNGED => {
                let modseq = schema::rest(key).first_chunk().map_or(0, |at| Modseq::from_be_bytes(*at));
                let last = value.and_then(|value| value.try_into().ok()).map(u32::from_le_bytes);
                self.expunged.insert(key.to_vec(), last.map(|last| (modseq, number, last)));
            }
            _ => {
                let read = |value| codec::Reader::new(value, 1)?.i64();
                let sound = value.is_some_and(|value| read(value).is_ok_and(|_: i64| schema::rest(key).len() == 16));
                if !sound {
                    self.unread_deliveries.push(key.to_vec());
                }
            }
        }
    }

    /// The state of every message that has one.
    pub(super) fn states(&self) -> BTreeMap<Uid, State> {
        let mut states = BTreeMap::new();
        for run in self.chunks.values().flatten().flatten() {
            states.extend((run.first..=run.last()).map(|uid| (uid, (run.flags, run.keywords, run.modseq))));
        }
        states
    }

    /// The highest modification sequence in the rows.
    pub(super) fn highest(&self) -> Modseq {
        let states = self.chunks.values().flatten().flatten().map(|run| run.modseq);
        let expunged = self.expunged.values().flatten().map(|(modseq, _, _)| *modseq);
        let all = states.chain(expunged).chain([self.row.highest_modseq, self.row.expunge_horizon]);
        all.filter(|modseq| *modseq <= MODSEQ_MAX).max().unwrap_or(0)
    }
}

/// What lies in the `nn` directories of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The files at places of messages.
    pub(super) by_uid: BTreeMap<Uid, PathBuf>,
    /// Whatever else lies there.
    pub(super) others: Vec<PathBuf>,
}

impl Files {
    pub(super) fn take(dir: &std::path::Path) -> Result<Files, StoreError> {
        let mut files = Files::default();
        for (uid, path) in check::message_files(dir)? {
            match uid {
                Some(uid) => drop(files.by_uid.insert(uid, path)),
                None => files.others.push(path),
            }
        }
        debug_assert!(files.by_uid.iter().all(|(uid, path)| path.ends_with(layout::message_file(*uid))));
        Ok(files)
    }
}
