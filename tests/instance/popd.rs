//! The POP daemon beside the store daemon of an [`Instance`].

#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use std::process::Child;
use std::time::Duration;

use super::Instance;
use crate::imap::Client;

/// A running popd. Declare it after its instance, so that it ends first.
pub struct Popd {
    child: Child,
    /// The port it listens on.
    pub port: u16,
    /// The port with TLS, where there is one.
    pub tls_port: Option<u16>,
    host: String,
}

impl Popd {
    /// Starts it on a free port of 127.0.0.1 and with short pauses, where the instance says nothing else.
    pub fn start(it: &Instance) -> Popd {
        Popd::start_with(it, &[])
    }

    /// The same with further variables of the environment.
    pub fn start_with(it: &Instance, environment: &[(&str, &str)]) -> Popd {
        let settings = [("service.pop.port", "0"), ("service.listenaddr", "127.0.0.1"), ("service.authfailpause", "0")];
        let child = super::launch(it, "popd", &settings, environment);
        let host = msgstore::config::Instance::at(it.base()).conf().unwrap().string("service.listenaddr");
        let (port, tls_port) = (super::port_in(it, "pop.port").unwrap(), super::port_in(it, "pops.port"));
        Popd { child, port, tls_port, host }
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
        assert!(greeting.starts_with("+OK "), "{greeting}");
        client
    }

    /// A connection of a user whose password is "secret".
    pub fn login(&self, user: &str) -> Client {
        let mut client = self.connect();
        client.send(format!("USER {user}\r\nPASS secret\r\n"));
        assert_eq!(client.line(), "+OK Send PASS");
        let welcome = client.line();
        assert!(welcome.starts_with("+OK User logged in"), "{welcome}");
        client
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
        assert_eq!(self.child.try_wait().unwrap(), None, "popd ended");
        let mut client = self.connect();
        assert_eq!(say(&mut client, "QUIT"), "+OK Bye");
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// True when it has ended by SIGKILL; waits for its end.
    pub fn was_killed(mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        self.child.wait().unwrap().signal() == Some(9)
    }

    /// Ends it in good order.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        super::end(&mut self.child, "popd");
    }
}

impl Drop for Popd {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends a command and reads one line.
pub fn say(client: &mut Client, command: &str) -> String {
    client.send(format!("{command}\r\n"));
    client.line()
}

/// Sends a command; its answer of several lines, without the last one and with the dots as they came.
#[track_caller]
pub fn list(client: &mut Client, command: &str) -> Vec<String> {
    let first = say(client, command);
    assert!(first.starts_with("+OK"), "{command}: {first}");
    let mut lines = Vec::new();
    loop {
        let line = client.line();
        if line == "." {
            return lines;
        }
        lines.push(line);
    }
}
