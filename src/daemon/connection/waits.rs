//! Where a client waits: commands beyond the rate, tries behind failed logins, answers of a login.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Connection, End, Flow};
use crate::log::{self, Category};
use crate::os::clock;
use crate::protocol::imap::frame::Limits;
use crate::protocol::imap::session::Progress;

/// Commands beyond the rate that are answered at once, in seconds of the rate.
const BURST: Duration = Duration::from_secs(10);

impl Connection {
    /// Waits when the client is faster than the rate of commands allows.
    pub(super) async fn pace(&mut self) -> Flow<()> {
        if self.service.command_rate == 0 {
            return Ok(());
        }
        let now = Instant::now();
        self.due = self.due.max(now) + Duration::from_secs(1) / self.service.command_rate;
        self.pause(self.due.saturating_duration_since(now + BURST)).await
    }

    /// A pause that the end of the service cuts short.
    async fn pause(&mut self, time: Duration) -> Flow<()> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            _ = self.stop.wait_for(|stop| *stop) => Err(End::Bye("Server shutting down")),
        }
    }

    /// Before a password or a proof is looked at: waits as long as failures before it cost.
    pub(super) async fn wait_for_turn(&mut self, claimed: String) -> Flow<()> {
        let (base, peer) = (self.service.fail_pause, self.peer.ip());
        let turn = self.service.throttle.turn(base, peer, &claimed, Instant::now());
        self.claimed = Some(claimed);
        match turn {
            Some(wait) => self.pause(wait).await,
            None => {
                log::warning(Category::Account, format!("too many failed logins wait: [{peer}] sent away"));
                Err(End::Bye("Too many failed logins, try again later"))
            }
        }
    }

    pub(super) async fn after_login(&mut self, progress: Progress) -> Flow<()> {
        if progress == Progress::Asked {
            return Ok(());
        }
        let (base, peer, claimed) = (self.service.fail_pause, self.peer.ip(), self.claimed.take());
        // The last one that is allowed ends the session.
        if matches!(progress, Progress::Failed | Progress::Bye) {
            self.service.throttle.failed(base, peer, claimed.as_deref(), Instant::now());
            self.pause(base).await?;
        } else if let (Some(claimed), true) = (claimed, self.session()?.userid().is_some()) {
            self.service.throttle.succeeded(peer, &claimed, Instant::now());
        }
        if self.session()?.userid().is_some() && self.stranger.take().is_some() {
            self.framer.set_limits(Limits::SESSION);
            self.began_s = clock::now_s();
            if self.session()?.is_cleartext() {
                self.pause(self.service.login_pause).await?;
            }
        }
        Ok(())
    }
}
