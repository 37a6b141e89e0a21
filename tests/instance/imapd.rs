//! The IMAP daemon beside the store daemon of an [`Instance`].

#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use std::process::Child;
use std::time::Duration;

use super::Instance;
use crate::imap::Client;

/// A running imapd. Declare it after its instance, so that it ends first.
pub struct Imapd {
    child: Child,
    /// The port it listens on.
    pub port: u16,
    host: String,
}

impl Imapd {
    /// Starts it on a free port of 127.0.0.1 and with short pauses, where the instance says nothing else.
    pub fn start(it: &Instance) -> Imapd {
        Imapd::start_with(it, &[])
    }

    /// The same with further variables of the environment.
    pub fn start_with(it: &Instance, environment: &[(&str, &str)]) -> Imapd {
        let settings =
            [("service.imap.port", "0"), ("service.listenaddr", "127.0.0.1"), ("service.authfailpause", "0")];
        let child = super::launch(it, "imapd", &settings, environment);
        let host = msgstore::config::Instance::at(it.base()).conf().unwrap().string("service.listenaddr");
        Imapd { child, port: super::port_in(it, "imap.port").unwrap(), host }
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// A connection without a look at the greeting.
    pub fn dial(&self) -> Client {
        Client::to((self.host.as_str(), self.port))
    }

    /// A connection that has read the greeting.
    pub fn connect(&self) -> Client {
        let mut client = self.dial();
        let greeting = client.line();
        assert!(greeting.starts_with("* OK "), "{greeting}");
        client
    }

    /// A connection of a user whose password is "secret".
    pub fn login(&self, user: &str) -> Client {
        let mut client = self.connect();
        assert_eq!(client.ask(&format!("login {user} secret")), ["OK User logged in"]);
        client
    }

    /// A line of `/proc/PID/status`, such as `VmHWM`.
    pub fn status(&self, name: &str) -> String {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().to_owned()
    }

    /// The most memory it ever had, in MiB.
    pub fn peak_mb(&self) -> u64 {
        super::peak_mb(&self.child)
    }

    /// The processor time it has used.
    pub fn worked(&self) -> Duration {
        super::processor_time(self.child.id())
    }

    /// Fails when it is not the process that was started.
    #[track_caller]
    pub fn still_runs(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "imapd ended");
        let mut client = self.connect();
        assert_eq!(client.ask("noop"), ["OK Completed"]);
    }

    /// Ends it in good order.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        super::end(&mut self.child, "imapd");
    }
}

impl Drop for Imapd {
    fn drop(&mut self) {
        self.end();
    }
}
