//! Where a client waits: commands beyond the rate, tries behind failed logins, answers of a login. And whether it is a stranger.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::{End, Flow, GREETED_MIN, Line};
use crate::log::{self, Category};
use crate::os::clock;

/// Commands beyond the rate that are answered at once, in seconds of the rate.
const BURST: Duration = Duration::from_secs(10);

impl Line {
    /// Waits when the client is faster than the rate of commands allows.
    ///
    /// # Errors
    /// [`End::Stopping`].
    pub async fn pace(&mut self) -> Flow<()> {
        if self.terms.command_rate == 0 {
            return Ok(());
        }
        let now = Instant::now();
        self.due = self.due.max(now) + Duration::from_secs(1) / self.terms.command_rate;
        self.pause(self.due.saturating_duration_since(now + BURST)).await
    }

    /// A pause that the end of the service cuts short.
    ///
    /// # Errors
    /// [`End::Stopping`].
    pub async fn pause(&mut self, time: Duration) -> Flow<()> {
        rest(time, &mut self.stop).await
    }

    /// Before a password or a proof is looked at: waits as long as failures before it cost.
    ///
    /// # Errors
    /// [`End::Guessing`], [`End::Stopping`].
    pub async fn wait_for_turn(&mut self, claimed: String) -> Flow<()> {
        let (base, peer) = (self.terms.fail_pause, self.peer.ip());
        let turn = self.terms.throttle.turn(base, peer, &claimed, Instant::now());
        self.claimed = Some(claimed);
        match turn {
            Some(wait) => self.pause(wait).await,
            None => {
                log::warning(Category::Account, format!("too many failed logins wait: [{peer}] sent away"));
                Err(End::Guessing)
            }
        }
    }

    /// The login under way is given up.
    pub fn forget_claim(&mut self) {
        self.claimed = None;
    }

    /// A login failed: its answer waits.
    ///
    /// # Errors
    /// [`End::Stopping`].
    pub async fn login_failed(&mut self) -> Flow<()> {
        self.figures().login_failed();
        let (base, peer, claimed) = (self.terms.fail_pause, self.peer.ip(), self.claimed.take());
        self.terms.throttle.failed(base, peer, claimed.as_deref(), Instant::now());
        self.pause(base).await
    }

    /// Somebody is logged in: the client is no stranger any more. `cleartext`: the password went over the wire as it is, and the answer waits.
    ///
    /// # Errors
    /// [`End::Stopping`].
    pub async fn logged_in(&mut self, cleartext: bool) -> Flow<()> {
        if let Some(claimed) = self.claimed.take() {
            self.terms.throttle.succeeded(self.peer.ip(), &claimed, Instant::now());
        }
        if self.stranger.take().is_some() {
            self.figures().logged_in();
            self.began_s = clock::now_s();
            if cleartext {
                self.pause(self.terms.login_pause).await?;
            }
        }
        Ok(())
    }

    /// Nobody has to log in: the client is no stranger.
    pub fn needs_no_login(&mut self) {
        self.stranger = None;
    }

    /// The client is a stranger again, with the time of one, and counted from the beginning.
    ///
    /// # Errors
    /// There are too many strangers of its address.
    pub fn logged_out(&mut self) -> Flow<()> {
        (self.began_s, self.bytes_in, self.bytes_out) = (clock::now_s(), 0, 0);
        self.stranger = self.door.stranger();
        if self.stranger.is_none() {
            return Err(End::Bye("Too many connections"));
        }
        self.deadline = Instant::now() + clock::minute() * GREETED_MIN;
        Ok(())
    }
}

async fn rest(time: Duration, stop: &mut watch::Receiver<bool>) -> Flow<()> {
    // The timer counts in milliseconds and rounds up: no pause would be one of two, twice in each login.
    if time.is_zero() {
        return Ok(());
    }
    tokio::select! {
        () = sleep(time) => Ok(()),
        _ = stop.wait_for(|stop| *stop) => Err(End::Stopping),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn no_pause_takes_no_turn_of_the_timer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let (stop, mut stopped) = watch::channel(false);
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(pin!(rest(Duration::ZERO, &mut stopped)).poll(&mut context), Poll::Ready(Ok(()))));
        assert!(pin!(rest(Duration::from_secs(1000), &mut stopped)).poll(&mut context).is_pending());
        stop.send_replace(true);
        let ended = pin!(rest(Duration::from_secs(1000), &mut stopped)).poll(&mut context);
        assert!(matches!(ended, Poll::Ready(Err(End::Stopping))));
    }
}
