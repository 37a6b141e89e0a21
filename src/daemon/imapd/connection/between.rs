//! Between commands: where `local.imap.immediateflagupdate` has it so, a client that says nothing is told what others change in its mailbox. RFC 3501
//! section 5.3 allows that for everything but expunges, which wait for the next command.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::protocol::imap::session::Session;
use crate::store::{AccountId, FolderId, Subscription};

/// What wakes a connection between commands.
pub(super) struct Between {
    on: bool,
    changed: Arc<Notify>,
    watch: Option<Watch>,
}

struct Watch {
    place: (AccountId, FolderId),
    _subscription: Subscription,
}

impl Between {
    /// Calls `changed`, if it is switched `on`.
    pub(super) fn new(on: bool, changed: Arc<Notify>) -> Between {
        Between { on, changed, watch: None }
    }

    /// Watches the mailbox that is selected now, and no other. False: there is none to be told of.
    pub(super) fn follow(&mut self, session: Option<&Session>) -> bool {
        let watched = session.filter(|_| self.on).and_then(Session::watched);
        let place = watched.map(|(account, folder, _)| (account, folder));
        if self.watch.as_ref().map(|watch| watch.place) != place {
            self.watch = session.zip(watched).map(|(session, (account, folder, known))| {
                let changed = Arc::clone(&self.changed);
                let called = Box::new(move || changed.notify_one());
                Watch {
                    place: (account, folder),
                    _subscription: session.store().notices().subscribe(account, folder, known, called),
                }
            });
            // What happened before the watch began.
            self.changed.notify_one();
        }
        self.watch.is_some()
    }
}
