//! One connection, whatever is spoken on it: bytes in and out, time limits, TLS, work on other threads, and what is counted of it.

mod waits;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::deflate::Deflated;
use super::listener::{Door, Guest, Place, Refusal, Stranger};
use super::settings::Terms;
use super::stream::{Peer, Stream};
use super::workers::{Lost, Workers};
use crate::counter::service::Counts as Figures;
use crate::log::{self, Category};
use crate::os::clock;

/// Time to log in, minutes.
const GREETED_MIN: u32 = 1;
/// A client that takes longer to read what one write holds is gone.
const STALLED: Duration = Duration::from_secs(300);
/// Time for a last word.
const LAST: Duration = Duration::from_secs(5);
/// Read buffer while nothing is going on, where it is made only when something comes, and while a message streams in.
const SMALL: usize = 4 * 1024;
const MEDIUM: usize = 16 * 1024;
const LARGE: usize = 64 * 1024;

/// Why a connection ends.
#[derive(Debug)]
pub enum End {
    /// The client closed it, or the network did.
    Gone,
    /// Everything was said.
    Said,
    /// The service ends.
    Stopping,
    /// The client was silent for too long.
    Idle,
    /// It did not log in in time.
    Late,
    /// Too many failed logins of its address wait already.
    Guessing,
    /// With this last word.
    Bye(&'static str),
    /// A bug of ours; the client is told its number.
    Incident(String),
}

/// What a step of a connection gives, unless the connection ends.
pub type Flow<T> = Result<T, End>;

impl End {
    /// What the client is told; `None`: nothing.
    pub fn words(&self) -> Option<String> {
        let words = match self {
            End::Gone | End::Said => return None,
            End::Stopping => "Server shutting down",
            End::Idle => "Autologout; idle for too long",
            End::Late => "Login timeout",
            End::Guessing => "Too many failed logins, try again later",
            End::Bye(words) => words,
            End::Incident(number) => return Some(format!("Internal error, incident {number}")),
        };
        Some(words.to_owned())
    }
}

/// A bug of ours, where no other word fits.
pub const BUG: End = End::Bye("Internal error");

/// A connection.
pub struct Line {
    stream: Stream,
    peer: SocketAddr,
    /// It came to a socket of this host.
    local: bool,
    /// Where the connection came from, once it stands for somebody else. Boxed: few do.
    origin: Option<Box<SocketAddr>>,
    terms: Arc<Terms>,
    workers: Workers,
    stop: watch::Receiver<bool>,
    input: Vec<u8>,
    at: usize,
    stranger: Option<Stranger>,
    /// Where it is counted as a stranger again.
    door: Door,
    /// Whom the login under way would let in.
    claimed: Option<String>,
    /// The moment at which so many commands would be due as came.
    due: Instant,
    deadline: Instant,
    /// The deadline stays: the client has said nothing since it was set.
    silent: bool,
    began_s: i64,
    bytes_in: u64,
    bytes_out: u64,
    place: Place,
}

/// What the log line of the end tells.
#[derive(Clone, Copy, Debug)]
pub struct Sums {
    /// When it began, or when somebody logged in: seconds since 1970.
    pub began_s: i64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to it.
    pub bytes_out: u64,
}

impl Line {
    /// The connection of a guest, until `stop` becomes true.
    pub fn new(guest: Guest, terms: Arc<Terms>, workers: Workers, stop: watch::Receiver<bool>) -> Line {
        let Guest { stream, peer, place, stranger } = guest;
        Line {
            local: matches!(stream, Stream::Local(_)),
            stream,
            peer,
            origin: None,
            terms,
            workers,
            stop,
            input: Vec::new(),
            at: 0,
            door: stranger.door(),
            stranger: Some(stranger),
            claimed: None,
            due: Instant::now(),
            deadline: Instant::now() + clock::minute() * GREETED_MIN,
            silent: false,
            began_s: clock::now_s(),
            bytes_in: 0,
            bytes_out: 0,
            place,
        }
    }

    /// The client.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// True until somebody has logged in.
    pub fn is_stranger(&self) -> bool {
        self.stranger.is_some()
    }

    /// The service ends.
    pub fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// What the service counts of all connections.
    pub fn figures(&self) -> &Figures {
        self.place.figures()
    }

    /// What is counted so far.
    pub fn sums(&self) -> Sums {
        Sums { began_s: self.began_s, bytes_in: self.bytes_in, bytes_out: self.bytes_out }
    }

    /// What was read and is not used.
    pub fn rest(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// True when it came to a socket of this host.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// The client, for the log: its address, or that it came to a socket of this host.
    pub fn name(&self) -> String {
        if self.local { "local".to_owned() } else { self.peer.ip().to_string() }
    }

    /// The connection is another client's than the one it comes from: that is counted from now on, under the rules for it.
    ///
    /// # Errors
    /// The rules are against that client. The line is called by its address all the same.
    pub fn stands_for(&mut self, client: SocketAddr) -> Result<(), Refusal> {
        let peer = self.peer;
        self.origin.get_or_insert_with(|| Box::new(peer));
        self.peer = SocketAddr::new(client.ip().to_canonical(), client.port());
        self.local = false;
        self.place.pass_to(self.peer.ip(), &self.terms.rules)
    }

    /// The connection stands for nobody but where it came from, which was let in by its door.
    ///
    /// # Errors
    /// Too many others came from there meanwhile.
    pub fn stands_for_itself(&mut self) -> Result<(), Refusal> {
        if let Some(origin) = self.origin.take() {
            self.peer = *origin;
        }
        self.local = matches!(self.stream, Stream::Local(_));
        self.place.move_to(self.peer.ip(), &self.terms.rules)
    }

    /// Takes what was read and is not used.
    pub fn take(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.input);
        rest.drain(..self.at.min(rest.len()));
        self.at = 0;
        rest
    }

    /// Gives back what [`Line::take`] took and was not used.
    pub fn put_back(&mut self, rest: Vec<u8>) {
        self.input = rest;
        self.at = 0;
    }

    /// So many bytes of [`Line::rest`] are used.
    pub fn consume(&mut self, count: usize) {
        self.at = (self.at + count).min(self.input.len());
    }

    /// Reads more, when nothing is left of what was read; `large`: a message streams in. True: `wake` came first, and nothing was read.
    /// `between`: no command is under way, so the end of the service ends this, too.
    ///
    /// # Errors
    /// [`End::Gone`], [`End::Stopping`], [`End::Idle`], [`End::Late`].
    pub async fn fill(&mut self, large: bool, between: bool, wake: impl Future<Output = ()>) -> Flow<bool> {
        self.input.clear();
        self.at = 0;
        let room = match &self.stream {
            _ if large => LARGE,
            Stream::Plain(_) | Stream::Local(_) => MEDIUM,
            _ => SMALL,
        };
        if self.input.capacity() > LARGE || !large {
            // A client may be silent for long now.
            self.input = Vec::new();
        }
        let logged_in = self.stranger.is_none();
        if logged_in && !std::mem::take(&mut self.silent) {
            self.deadline = Instant::now() + self.terms.idle;
        }
        tokio::select! {
            read = self.stream.read_some(&mut self.input, room) => match read {
                Ok(0) | Err(_) => Err(End::Gone),
                Ok(count) => {
                    self.bytes_in += count as u64;
                    self.place.figures().received(count as u64);
                    Ok(false)
                }
            },
            () = wake => Ok(true),
            _ = self.stop.wait_for(|stop| *stop), if between => Err(End::Stopping),
            () = tokio::time::sleep_until(self.deadline) => Err(if logged_in { End::Idle } else { End::Late }),
        }
    }

    /// What [`Line::fill`] was woken by is not to keep the client from being sent away for its silence.
    pub fn still_silent(&mut self) {
        self.silent = true;
    }

    /// Sends bytes; a client that does not read them is gone.
    ///
    /// # Errors
    /// [`End::Gone`].
    pub async fn write(&mut self, bytes: &[u8]) -> Flow<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let stream = &mut self.stream;
        let sent = timeout(STALLED, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        match sent.await {
            Ok(Ok(())) => {
                self.bytes_out += bytes.len() as u64;
                self.place.figures().sent(bytes.len() as u64);
                Ok(())
            }
            _ => Err(End::Gone),
        }
    }

    /// What is known of the client, without waiting for it.
    pub async fn other_end(&self) -> Peer {
        self.stream.peer().await
    }

    /// Sends a last word, which the client may or may not read.
    pub async fn write_last(&mut self, bytes: &[u8]) {
        drop(timeout(LAST, self.write(bytes)).await);
    }

    /// The end of the connection: a last word of TLS and TCP.
    pub async fn hang_up(&mut self) {
        drop(timeout(LAST, self.stream.shutdown()).await);
    }

    /// Runs work with a value that travels there and back; `password`: it is slow, and few at a time are enough, on workers. Any other work is short, and
    /// done here.
    ///
    /// # Errors
    /// [`End::Incident`]: a bug of ours; the value is lost.
    pub async fn work<S: Send + 'static, T: Send + 'static>(
        &mut self,
        password: bool,
        mut traveller: S,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Flow<(S, T)> {
        let job = move || {
            let result = work(&mut traveller);
            (traveller, result)
        };
        let done = if password { self.workers.run_password(job).await } else { self.workers.run_here(job).await };
        self.back_from(done)
    }

    /// As [`Line::work`], for short work that asks the directory.
    ///
    /// # Errors
    /// [`End::Incident`]: a bug of ours; the value is lost.
    pub async fn ask<S: Send + 'static, T: Send + 'static>(
        &mut self,
        mut traveller: S,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Flow<(S, T)> {
        let workers = self.workers();
        let done = workers.run_question(move || {
            let result = work(&mut traveller);
            (traveller, result)
        });
        let done = done.await;
        self.back_from(done)
    }

    /// Where work is done that [`Line::work`] does not fit.
    pub fn workers(&self) -> Workers {
        self.workers.clone()
    }

    /// What came back from a worker.
    ///
    /// # Errors
    /// [`End::Incident`].
    pub fn back_from<T>(&self, done: Result<T, Lost>) -> Flow<T> {
        done.map_err(|Lost(bug)| {
            let words = format_args!("a command of [{}] ended in a bug: {bug}", self.peer).to_string();
            End::Incident(log::incident(Category::General, &words))
        })
    }

    /// The connection goes under TLS; returns the bits of the key. Who is not through by the time a login is due, or in a minute where there is
    /// none, is gone.
    ///
    /// # Errors
    /// [`End::Gone`].
    pub async fn encrypt(&mut self) -> Flow<u16> {
        let terms = Arc::clone(&self.terms);
        let deadline = if self.is_stranger() { self.deadline } else { Instant::now() + clock::minute() * GREETED_MIN };
        let (Some(tls), Stream::Plain(plain)) = (&terms.tls, std::mem::replace(&mut self.stream, Stream::Closed))
        else {
            return Err(End::Gone);
        };
        let done = tokio::select! {
            done = tls.accept(plain) => done,
            _ = self.stop.wait_for(|stop| *stop) => return Err(End::Gone),
            () = tokio::time::sleep_until(deadline) => Err(io::ErrorKind::TimedOut.into()),
        };
        match done {
            Ok((stream, bits)) => {
                self.stream = Stream::Tls(stream);
                Ok(bits)
            }
            Err(error) => {
                log::information(Category::Network, format!("TLS with [{}] failed: {error}", self.peer));
                Err(End::Gone)
            }
        }
    }

    /// Forgets what a client sent in the clear behind the command that begins TLS: whoever sits in between may have written it.
    pub fn forget_behind(&mut self, command: &str) {
        let behind = self.rest().len();
        if behind > 0 {
            let words = format!("[{}] sent {behind} bytes in the clear behind {command}; they are ignored", self.peer);
            log::warning(Category::Network, words);
        }
        self.input.clear();
        self.at = 0;
    }

    /// Everything from here on is compressed (RFC 4978), also what was read and is not used.
    pub fn deflate(&mut self) {
        let behind = self.rest().to_vec();
        let inner = std::mem::replace(&mut self.stream, Stream::Closed);
        self.stream = Stream::Deflate(Box::new(Deflated::new(inner, behind)));
        self.input.clear();
        self.at = 0;
    }
}
