//! The long commands: each goes on in steps, so that a worker is given back between them.

use super::answer::Answer;
use super::command::fetch::FetchRun;
use super::command::search::SearchRun;
use super::command::sort::SortRun;
use super::command::thread::ThreadRun;
use super::session::Session;

/// A long command that is not over.
pub(super) enum Running {
    Fetch(Box<FetchRun>),
    Search(Box<SearchRun>),
    Sort(Box<SortRun>),
    Thread(Box<ThreadRun>),
}

impl Running {
    /// Does the next piece. `None`: there is more.
    pub(super) fn step(&mut self, session: &mut Session, out: &mut Vec<u8>) -> Result<Option<Answer>, Answer> {
        match self {
            Running::Fetch(fetch) => fetch.step(session, out),
            Running::Search(search) => search.step(session, out),
            Running::Sort(sort) => sort.step(session, out),
            Running::Thread(thread) => thread.step(session, out),
        }
    }

    /// How much is done, and of how much. `None`: nothing may be told now.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        match self {
            // The messages themselves are the sign of life.
            Running::Fetch(_) => None,
            Running::Search(search) => Some(search.progress()),
            Running::Sort(sort) => Some(sort.progress()),
            Running::Thread(thread) => thread.progress(),
        }
    }
}
