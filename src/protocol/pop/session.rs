//! One session: AUTHORIZATION, TRANSACTION, UPDATE (RFC 1939 section 3).
//!
//! [`Session::begin`], [`Session::go_on`] and [`Session::authenticate`] block (store, directory) and belong on a worker; [`Session::in_place`] never
//! does. What they write goes to the client after they return; a long answer comes in pieces ([`Progress::More`]). Commands that came in one
//! piece go to a worker together.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::answer::Refusal;
use super::authenticate::private;
use super::body::{Body, PIECE_BYTES};
use super::parse::{Bad, Command};
use super::respond::{self, Code};
use super::server::Server;
use crate::log::{self, Category};
use crate::ops::maildrop::{Item, Maildrop};
use crate::ops::quota::status;
use crate::protocol::sasl::Exchange;
use crate::store::{Kind, Store};

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Answered.
    Done,
    /// Send what was written, then call [`Session::go_on`].
    More,
    /// A challenge of AUTH: the next line is the response.
    Asked,
    /// Answered, a failed login: wait before sending.
    Failed,
    /// Answered, and TLS begins (STLS).
    Tls,
    /// Answered, the connection ends.
    Bye,
}

/// A line of the client: a command, or why it is none.
pub type Line = Result<Command, Bad>;

/// Who is logged in.
pub(super) struct Login {
    pub(super) userid: String,
    /// The store, with the user's rights.
    pub(super) store: Store,
    pub(super) maildrop: Maildrop,
    /// The password went over the wire as it is.
    pub(super) cleartext: bool,
}

/// Sums for the log line at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages sent whole.
    pub retrieved: u64,
    /// Messages deleted, at the end.
    pub deleted: u64,
    /// Failed logins.
    pub failed: u32,
}

/// An answer that is not over.
enum Running {
    Body(Box<Body>),
    /// LIST and UIDL: the next number.
    Listing {
        next: u32,
        unique_ids: bool,
    },
}

/// A session.
pub struct Session {
    server: Arc<Server>,
    peer: SocketAddr,
    /// Bits of the key of an encrypted connection.
    bits: Option<u16>,
    /// The name that USER gave.
    pub(super) user: Option<String>,
    /// An AUTH that waits for a response.
    pub(super) exchange: Option<Exchange>,
    pub(super) login: Option<Login>,
    /// UTF8 was given (RFC 6856).
    utf8: bool,
    running: Option<Running>,
    /// Commands behind the one that runs.
    waiting: VecDeque<Line>,
    /// Sums so far.
    pub counts: Counts,
}

/// Failed logins after which a client is sent away.
const FAILURES: u32 = 10;

impl Session {
    /// A session with a client at `peer`.
    pub fn new(server: Arc<Server>, peer: SocketAddr) -> Session {
        Session {
            server,
            peer,
            bits: None,
            user: None,
            exchange: None,
            login: None,
            utf8: false,
            running: None,
            waiting: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// The connection is encrypted from now on, with a key of so many bits. What was said before may have been another's word: it is forgotten
    /// (RFC 2595 section 4).
    pub fn secured(&mut self, bits: u16) {
        self.bits = Some(bits);
        self.user = None;
        self.exchange = None;
    }

    pub(super) fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// True when nothing encrypts the connection.
    pub(super) fn is_open(&self) -> bool {
        self.bits.is_none()
    }

    /// True when somebody is logged in.
    pub fn is_logged_in(&self) -> bool {
        self.login.is_some()
    }

    /// True when the login has sent the password as it is.
    pub fn is_cleartext(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.cleartext)
    }

    pub(super) fn login_allowed(&self) -> bool {
        self.server.privacy.allows_login(self.peer.ip(), self.bits)
    }

    pub(super) fn password_allowed(&self) -> bool {
        self.server.privacy.allows_password(self.peer.ip(), self.bits)
    }

    pub(super) fn stls_allowed(&self) -> bool {
        // No STLS behind UTF8 (RFC 6856 section 2.1).
        self.server.stls && self.is_open() && !self.is_logged_in() && !self.utf8
    }

    /// Forgets an AUTH that was under way.
    pub fn forget_exchange(&mut self) {
        self.exchange = None;
    }

    /// Writes the greeting.
    pub fn greet(&self, out: &mut Vec<u8>) {
        respond::ok(out, &self.server.banner);
    }

    /// Answers a command that needs nothing but the session itself. `None`: this one needs a worker.
    pub fn in_place(&mut self, line: &Line, out: &mut Vec<u8>) -> Option<Progress> {
        let command = match line {
            Ok(command) => command,
            Err(bad) => {
                respond::err(out, None, &bad.to_string());
                return Some(Progress::Done);
            }
        };
        let done = match (command, self.login.as_mut()) {
            (Command::Capa, _) => {
                self.capabilities(out);
                Ok(())
            }
            (Command::Quit, None) => {
                respond::ok(out, "Bye");
                return Some(Progress::Bye);
            }
            (_, None) => return self.authorization(command, out),
            (Command::Noop, _) => {
                respond::ok(out, "Completed");
                Ok(())
            }
            (Command::Stat, Some(login)) => {
                let left = login.maildrop.left();
                respond::ok(out, &format!("{} {}", left.count, left.bytes));
                Ok(())
            }
            (Command::Rset, Some(login)) => {
                login.maildrop.reset();
                respond::ok(out, "Completed");
                Ok(())
            }
            (Command::Dele(number), Some(login)) => login.item(*number).map(|item| {
                login.maildrop.delete(item);
                respond::ok(out, "Marked as deleted");
            }),
            (Command::List(Some(number)), Some(login)) => {
                login.item(*number).map(|item| respond::ok(out, &format!("{number} {}", item.size)))
            }
            (Command::Uidl(Some(number)), Some(login)) => {
                let id = |item| format!("{number} {}", login.maildrop.unique_id(item));
                login.item(*number).map(|item| respond::ok(out, &id(item)))
            }
            (Command::List(None) | Command::Uidl(None) | Command::Retr(_) | Command::Top { .. } | Command::Quit, _) => {
                return None;
            }
            (_, Some(_)) => Err(Refusal::new("Already logged in")),
        };
        if let Err(refusal) = done {
            refusal.write(out);
        }
        Some(Progress::Done)
    }

    /// A command before the login.
    fn authorization(&mut self, command: &Command, out: &mut Vec<u8>) -> Option<Progress> {
        let done = match command {
            Command::User(_) if !self.password_allowed() => Err(private()),
            Command::User(name) => {
                self.user = Some(name.clone());
                // The same for every name (RFC 1939 section 13).
                respond::ok(out, "Send PASS");
                Ok(())
            }
            Command::Pass(_) if self.user.is_none() => Err(Refusal::new("Send USER first")),
            Command::Pass(_) => return None,
            Command::Auth { mechanism: Some(mechanism), initial } => {
                return self.begin_exchange(mechanism, initial.is_some(), out);
            }
            Command::Auth { mechanism: None, .. } => {
                // Not in RFC 5034, but older clients ask in this way.
                respond::ok(out, "Mechanisms follow");
                for name in self.mechanisms() {
                    respond::text(out, name);
                    respond::text(out, "\r\n");
                }
                respond::end(out);
                Ok(())
            }
            Command::Stls if self.stls_allowed() => {
                respond::ok(out, "Begin TLS negotiation now");
                return Some(Progress::Tls);
            }
            Command::Stls if !self.is_open() => Err(Refusal::new("TLS is active already")),
            Command::Stls => Err(Refusal::new("STLS is not available")),
            // Responses are ASCII and messages are sent as they are: there is nothing to switch but STLS.
            Command::Utf8 => {
                self.utf8 = true;
                respond::ok(out, "UTF8 enabled");
                Ok(())
            }
            _ => Err(Refusal::new("Please login first")),
        };
        if let Err(refusal) = done {
            refusal.write(out);
        }
        Some(Progress::Done)
    }

    /// Runs commands that came in one piece, in their order. The first, at least, is one that [`Session::in_place`] left.
    pub fn begin(&mut self, lines: Vec<Line>, now_s: i64, out: &mut Vec<u8>) -> Progress {
        self.waiting.extend(lines);
        self.go_on(now_s, out)
    }

    /// Goes on with what is not over.
    pub fn go_on(&mut self, now_s: i64, out: &mut Vec<u8>) -> Progress {
        loop {
            while let Some(running) = self.running.take() {
                if out.len() >= PIECE_BYTES {
                    self.running = Some(running);
                    return Progress::More;
                }
                if self.step(running, out).is_err() {
                    return Progress::Bye;
                }
            }
            if out.len() >= PIECE_BYTES && !self.waiting.is_empty() {
                return Progress::More;
            }
            let Some(line) = self.waiting.pop_front() else {
                return Progress::Done;
            };
            let progress = match self.in_place(&line, out) {
                Some(progress) => progress,
                None => line.map_or(Progress::Done, |command| self.run(command, now_s, out)),
            };
            if progress != Progress::Done {
                self.waiting.clear();
                return progress;
            }
        }
    }

    /// A command that reads or changes the store.
    fn run(&mut self, command: Command, now_s: i64, out: &mut Vec<u8>) -> Progress {
        if let Command::Pass(password) = command {
            let user = self.user.take().unwrap_or_default();
            return self.pass(&user, &password, now_s, out);
        }
        let Some(login) = self.login.as_mut() else {
            Refusal::new("Please login first").write(out);
            return Progress::Done;
        };
        let left = login.maildrop.left();
        let done = match command {
            Command::List(None) => {
                respond::ok(out, &format!("{} messages, {} octets", left.count, left.bytes));
                Ok(Running::Listing { next: 1, unique_ids: false })
            }
            Command::Uidl(None) => {
                respond::ok(out, "Unique ids follow");
                Ok(Running::Listing { next: 1, unique_ids: true })
            }
            Command::Retr(number) => self.open(number, None, out),
            Command::Top { number, lines } => self.open(number, Some(lines), out),
            _ => return self.quit(now_s, out),
        };
        match done {
            Ok(running) => self.running = Some(running),
            Err(refusal) => refusal.write(out),
        }
        Progress::Done
    }

    /// RETR and TOP. The first bytes are read before the client is told that they come.
    fn open(&mut self, number: u32, lines: Option<u64>, out: &mut Vec<u8>) -> Result<Running, Refusal> {
        let login = self.login.as_mut().ok_or_else(|| Refusal::new("Please login first"))?;
        let item = login.item(number)?;
        let opened = login.maildrop.read(&login.store, item, lines.is_some())?;
        let mut body = Body::new(item, opened, lines);
        body.read().map_err(|error| Refusal::internal(Code::SysPerm, &error))?;
        match lines {
            None => respond::ok(out, &format!("{} octets", item.size)),
            Some(_) => respond::ok(out, "Top of the message follows"),
        }
        Ok(Running::Body(Box::new(body)))
    }

    /// The next piece. `Err`: what was announced cannot be sent; only the end of the connection keeps the client from misreading what follows.
    fn step(&mut self, running: Running, out: &mut Vec<u8>) -> Result<(), ()> {
        match running {
            Running::Body(mut body) => {
                if body.write(out) {
                    if body.is_whole() {
                        self.counts.retrieved += 1;
                        self.login.iter_mut().for_each(|login| login.maildrop.retrieved(body.number));
                    }
                } else if let Err(error) = body.read() {
                    log::error(Category::Store, format!("message {} cannot be read to its end: {error}", body.number));
                    return Err(());
                } else {
                    self.running = Some(Running::Body(body));
                }
            }
            Running::Listing { next, unique_ids } => {
                let Some(Login { maildrop, .. }) = &self.login else {
                    return Err(());
                };
                for number in next..=maildrop.last() {
                    if out.len() >= PIECE_BYTES {
                        self.running = Some(Running::Listing { next: number, unique_ids });
                        return Ok(());
                    }
                    if let Some(item) = maildrop.item(number) {
                        list_line(maildrop, item, unique_ids, out);
                    }
                }
                respond::end(out);
            }
        }
        Ok(())
    }

    /// QUIT behind the login: what was marked is done, all of it or nothing (RFC 1939 section 6).
    fn quit(&mut self, now_s: i64, out: &mut Vec<u8>) -> Progress {
        if let Some(login) = self.login.as_mut() {
            match login.maildrop.close(&login.store, now_s) {
                Ok(deleted) => {
                    self.counts.deleted = deleted as u64;
                    // There may be room again.
                    let account = login.maildrop.account();
                    status::follow(&self.server.quota.now(), &self.server.store, &self.server.directory, account);
                    respond::ok(out, "Bye");
                }
                Err(error) => {
                    let refusal = match error.kind() {
                        Kind::InUse => Refusal::with(Code::InUse, "The mailbox is locked, no message is deleted"),
                        _ => Refusal::from(error),
                    };
                    refusal.write(out);
                }
            }
        }
        Progress::Bye
    }

    /// A login that came to nothing counts, also one that was given up or is no message of its mechanism.
    pub(super) fn failed(&mut self, refusal: &Refusal, out: &mut Vec<u8>) -> Progress {
        refusal.write(out);
        if matches!(refusal.code, Some(Code::LoginDelay | Code::SysTemp | Code::InUse)) {
            // Name and password are right, or nobody could look at them (RFC 3206): that is no guess.
            return Progress::Done;
        }
        self.counts.failed += 1;
        if self.counts.failed >= FAILURES { Progress::Bye } else { Progress::Failed }
    }

    /// The answer to a login.
    pub(super) fn welcome(&mut self, out: &mut Vec<u8>) -> Progress {
        if let Some(login) = &self.login {
            let left = login.maildrop.left();
            respond::ok(out, &format!("User logged in, {} messages, {} octets", left.count, left.bytes));
        }
        Progress::Done
    }

    /// The line that the log gets when the session ends: address, user, login time, length, bytes, messages retrieved and deleted.
    pub fn close_line(&self, began_s: i64, ended_s: i64, bytes_in: u64, bytes_out: u64) -> String {
        let user = self.login.as_ref().map_or("unauthenticated", |login| login.userid.as_str());
        let Counts { retrieved, deleted, .. } = self.counts;
        let sums = format!("{bytes_in} {bytes_out} {retrieved} {deleted}");
        log::close_line(self.peer.ip(), user, began_s, ended_s, &sums)
    }
}

impl Login {
    /// The message of a number.
    fn item(&self, number: u32) -> Result<Item, Refusal> {
        let missing = || {
            let deleted = (1..=self.maildrop.last()).contains(&number);
            Refusal::new(if deleted { "The message is marked as deleted" } else { "No such message" })
        };
        self.maildrop.item(number).ok_or_else(missing)
    }
}

fn list_line(maildrop: &Maildrop, item: Item, unique_ids: bool, out: &mut Vec<u8>) {
    let line = if unique_ids {
        format!("{} {}\r\n", item.number, maildrop.unique_id(item))
    } else {
        format!("{} {}\r\n", item.number, item.size)
    };
    respond::text(out, &line);
}
