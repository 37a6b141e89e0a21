//! Commands that last: their beginning, then a step on a worker while the bytes of the one before go to the client.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Connection;
use crate::daemon::line::{BUG, End, Flow};
use crate::daemon::stream::Peer;
use crate::os::clock;
use crate::protocol::imap::parse::{Command, Request};
use crate::protocol::imap::respond;
use crate::protocol::imap::session::Progress;

/// A client that takes longer to read a sign of life is gone when the command is over.
const PROMPT: Duration = Duration::from_secs(5);

impl Connection {
    /// Begins a command. Where that may last, it is on a worker, and a client that waits long for it, other than for a login, is told that it runs
    /// (RFC 9585).
    pub(super) async fn begin(&mut self, request: Request, login: bool) -> Flow<(Progress, Vec<u8>)> {
        let mut words = Vec::new();
        respond::in_progress(&mut words, &request.tag, None);
        let mut session = self.session.take().ok_or(BUG)?;
        let workers = self.line.workers();
        let short = is_short(&request.command);
        let job = move || {
            crate::panic_point!("imap.worker");
            let mut out = Vec::new();
            let progress = session.begin(request, clock::now_s(), &mut out);
            (session, (progress, out))
        };
        if short {
            let (session, begun) = self.line.back_from(workers.run_here(job).await)?;
            self.session = Some(session);
            return Ok(begun);
        }
        let work = async move { if login { workers.run_password(job).await } else { workers.run(job).await } };
        tokio::pin!(work);
        let mut told = Ok(());
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                () = tokio::time::sleep(clock::silence()), if told.is_ok() && !login => {
                    // Meanwhile nobody looks at the work: a client that does not read must not hold its worker for long.
                    told = timeout(PROMPT, self.write(&words)).await.unwrap_or(Err(End::Gone));
                }
            }
        };
        let (session, begun) = self.line.back_from(done)?;
        self.session = Some(session);
        told.map(|()| begun)
    }

    /// Sends what a command wrote, and goes on with it while it has more: the next step is done while the client takes the bytes of the last.
    pub(super) async fn progress(&mut self, mut progress: Progress, mut out: Vec<u8>, login: bool) -> Flow<()> {
        if login {
            self.after_login(progress).await?;
        }
        let mut told = Instant::now();
        let mut asked = false;
        let mut spare = Vec::new();
        while progress == Progress::More {
            if self.line.is_stopping() {
                // A word between two lines; a response that is half sent is cut off.
                return Err(if self.session()?.is_between_lines() { End::Stopping } else { End::Gone });
            }
            // A client that sends nothing more may listen all the same: a sign of life finds that out, as the network then says that it does not.
            let doubt = match self.line.other_end().await {
                Peer::There => false,
                Peer::Silent => !std::mem::replace(&mut asked, true),
                Peer::Gone => return Err(End::Gone),
            };
            if doubt || told.elapsed() >= clock::silence() {
                told = Instant::now();
                self.session()?.tell_progress(&mut out);
            }
            let mut session = self.session.take().ok_or(BUG)?;
            let job = move || {
                crate::panic_point!("imap.worker");
                spare.clear();
                let progress = session.go_on(&mut spare);
                (session, (progress, spare))
            };
            let workers = self.line.workers();
            // The step first: the other one runs until the network takes no more.
            let (done, sent) = tokio::join!(workers.run(job), self.write(&out));
            let (session, stepped) = self.line.back_from(done)?;
            self.session = Some(session);
            sent?;
            (progress, spare) = stepped;
            std::mem::swap(&mut out, &mut spare);
        }
        self.write(&out).await?;
        if progress == Progress::Bye { Err(End::Said) } else { Ok(()) }
    }
}

/// True for commands that are over soon, or go on in steps.
fn is_short(command: &Command) -> bool {
    use Command as C;
    let stepwise = matches!(command, C::Fetch { .. } | C::Search { .. } | C::Sort { .. } | C::Thread { .. });
    stepwise || matches!(command, C::Noop | C::Check | C::Select(_) | C::Examine(_) | C::Unselect | C::Status { .. })
}
