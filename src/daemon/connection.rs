//! One IMAP connection: reads, cuts commands, answers in place what it can, hands the rest to a worker, writes with back-pressure.

mod switches;
mod waits;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::listener::{Door, Guest, Rules, Stranger};
use super::stream::Stream;
use super::throttle::Throttle;
use super::tls::Tls;
use super::workers::{Lost, Workers};
use crate::log::{self, Category};
use crate::os::clock;
use crate::protocol::imap::answer::{Answer, incident};
use crate::protocol::imap::command::{authenticate, login};
use crate::protocol::imap::frame::{Event, Framer, Limits, Literal, Refusal};
use crate::protocol::imap::parse::{self, Command, Request};
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::server::Server;
use crate::protocol::imap::session::{Progress, Session};
use crate::store::{Staging, Subscription};

/// What a connection is told about the service.
pub struct Service {
    /// What the sessions share.
    pub server: Arc<Server>,
    /// Makes TLS, where there is a certificate.
    pub tls: Option<Tls>,
    /// Silence after which a client is sent away.
    pub idle: Duration,
    /// How long the answer to a failed login waits.
    pub fail_pause: Duration,
    /// How long the answer to a successful login in the clear waits.
    pub login_pause: Duration,
    /// What is remembered of failed logins; `fail_pause` is what the waits grow from.
    pub throttle: Arc<Throttle>,
    /// Who is let in.
    pub rules: Rules,
    /// Commands a second beyond which a client waits; 0: as many as it likes.
    pub command_rate: u32,
}

/// Time to log in, minutes.
const GREETED_MIN: u32 = 1;
/// Lines that are no commands after which a stranger is sent away: it speaks another protocol.
const NONSENSE: u32 = 20;
/// A client that takes longer to read what one write holds is gone.
const STALLED: Duration = Duration::from_secs(300);
/// A client that takes longer to read a sign of life is gone when the command is over.
const PROMPT: Duration = Duration::from_secs(5);
/// Read buffer while nothing is going on, and while a message streams in.
const SMALL: usize = 4 * 1024;
const LARGE: usize = 64 * 1024;
/// Bytes of a message that are gathered for one write to its staging file.
const GATHER: usize = 512 * 1024;

/// Why the connection ends.
enum End {
    /// The client closed it, or the network did.
    Gone,
    /// Everything was said.
    Said,
    /// With this last word.
    Bye(&'static str),
    /// A bug of ours; the client is told its number.
    Incident(String),
}

type Flow<T> = Result<T, End>;

enum Mode {
    Commands,
    /// The next line ends IDLE.
    Idle {
        tag: String,
        _watch: Option<Subscription>,
    },
    /// The next line is a response to AUTHENTICATE.
    Authenticate {
        tag: String,
    },
}

/// What the framer found, with its own bytes.
enum Found {
    More,
    Continue,
    Command(Vec<u8>),
    Line(Vec<u8>),
    Message(Vec<u8>, Literal),
    Chunk,
    MessageEnd,
    AppendEnd(Vec<u8>),
    Refused(String, Refusal),
    Fatal,
}

struct Connection {
    stream: Stream,
    peer: SocketAddr,
    service: Arc<Service>,
    workers: Workers,
    stop: watch::Receiver<bool>,
    framer: Framer,
    input: Vec<u8>,
    at: usize,
    /// `None` only while a worker has it.
    session: Option<Session>,
    mode: Mode,
    changed: Arc<Notify>,
    /// Boxed: it is large, and most sessions have none.
    staging: Option<Box<Staging>>,
    gathered: Vec<u8>,
    /// The answer of an APPEND that was refused and is not over.
    refused: Option<(String, Answer)>,
    stranger: Option<Stranger>,
    /// Where it is counted as a stranger again.
    door: Door,
    /// Lines before login that were no commands.
    nonsense: u32,
    /// Whom the login under way would let in.
    claimed: Option<String>,
    /// The moment at which so many commands would be due as came.
    due: Instant,
    deadline: Instant,
    began_s: i64,
    bytes_in: u64,
    bytes_out: u64,
}

/// Serves a client until it goes, is sent away, or `stop` becomes true. `tls`: encryption comes before the first word (RFC 8314).
pub async fn serve(guest: Guest, tls: bool, service: Arc<Service>, workers: Workers, stop: watch::Receiver<bool>) {
    let Guest { stream, peer, place, stranger } = guest;
    let mut connection = Connection {
        stream: Stream::Plain(stream),
        peer,
        session: Some(Session::new(Arc::clone(&service.server), peer)),
        service,
        workers,
        stop,
        framer: Framer::new(Limits::GREETED),
        input: Vec::new(),
        at: 0,
        mode: Mode::Commands,
        changed: Arc::new(Notify::new()),
        staging: None,
        gathered: Vec::new(),
        refused: None,
        door: stranger.door(),
        stranger: Some(stranger),
        nonsense: 0,
        claimed: None,
        due: Instant::now(),
        deadline: Instant::now() + clock::minute() * GREETED_MIN,
        began_s: clock::now_s(),
        bytes_in: 0,
        bytes_out: 0,
    };
    let end = match connection.converse(tls).await {
        Ok(()) => End::Said,
        Err(end) => end,
    };
    let words = match &end {
        End::Gone | End::Said => None,
        End::Bye(words) => Some((*words).to_owned()),
        End::Incident(number) => Some(format!("Internal error, incident {number}")),
    };
    if let Some(words) = words {
        let mut out = Vec::new();
        respond::status(&mut out, "*", Status::Bye, None, &words);
        // The connection ends either way.
        drop(timeout(Duration::from_secs(5), connection.write(&out)).await);
    }
    Box::pin(connection.close()).await;
    drop(place);
}

impl Connection {
    async fn converse(&mut self, tls: bool) -> Flow<()> {
        if tls {
            Box::pin(self.encrypt()).await?;
        }
        let mut out = Vec::new();
        self.session()?.greet(&mut out);
        self.write(&out).await?;
        loop {
            match self.next() {
                Found::More => self.fill().await?,
                Found::Continue => self.write(b"+ go ahead\r\n").await?,
                Found::Command(bytes) => Box::pin(self.command(&bytes)).await?,
                Found::Line(line) => Box::pin(self.line(line)).await?,
                Found::Message(head, literal) => Box::pin(self.message(head, literal)).await?,
                Found::Chunk => {
                    if self.gathered.len() >= GATHER {
                        Box::pin(self.spill()).await?;
                    }
                }
                Found::MessageEnd => Box::pin(self.message_end()).await?,
                Found::AppendEnd(rest) => Box::pin(self.append_end(rest)).await?,
                Found::Refused(tag, why) => Box::pin(self.refused(tag, why)).await?,
                Found::Fatal => return Err(End::Bye("Too much input")),
            }
        }
    }

    /// The next event in the bytes that are there.
    fn next(&mut self) -> Found {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let (used, event) = self.framer.step(rest);
        self.at += used;
        match event {
            Event::More => Found::More,
            Event::Continue => Found::Continue,
            Event::Command(bytes) => Found::Command(bytes),
            Event::Line(line) => Found::Line(line),
            Event::Message { head, literal } => Found::Message(head, literal),
            Event::Chunk(bytes) => {
                self.gathered.extend_from_slice(bytes);
                Found::Chunk
            }
            Event::MessageEnd => Found::MessageEnd,
            Event::AppendEnd { rest } => Found::AppendEnd(rest),
            Event::Refused { tag, why } => Found::Refused(tag, why),
            Event::Fatal => Found::Fatal,
        }
    }

    /// Reads more, or tells an idling client what is new.
    async fn fill(&mut self) -> Flow<()> {
        self.input.clear();
        self.at = 0;
        let room = if self.staging.is_some() { LARGE } else { SMALL };
        if self.input.capacity() > LARGE || room == SMALL {
            // A client may be silent for long now.
            self.input = Vec::new();
        }
        let logged_in = self.stranger.is_none();
        let deadline = if logged_in { Instant::now() + self.service.idle } else { self.deadline };
        let idling = matches!(self.mode, Mode::Idle { .. });
        let between = self.framer.is_idle();
        let changed = Arc::clone(&self.changed);
        let woken = tokio::select! {
            read = self.stream.read_some(&mut self.input, room) => match read {
                Ok(0) | Err(_) => Err(End::Gone),
                Ok(count) => {
                    self.bytes_in += count as u64;
                    Ok(false)
                }
            },
            () = changed.notified(), if idling => Ok(true),
            _ = self.stop.wait_for(|stop| *stop), if between => Err(End::Bye("Server shutting down")),
            () = tokio::time::sleep_until(deadline) => Err(End::Bye(if logged_in {
                "Autologout; idle for too long"
            } else {
                "Login timeout"
            })),
        };
        if woken? { Box::pin(self.news()).await } else { Ok(()) }
    }

    async fn write(&mut self, bytes: &[u8]) -> Flow<()> {
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
                Ok(())
            }
            _ => Err(End::Gone),
        }
    }

    fn session(&mut self) -> Flow<&mut Session> {
        self.session.as_mut().ok_or(End::Bye("Internal error"))
    }

    /// Runs work with the session on a worker.
    async fn on_worker<T: Send + 'static>(
        &mut self,
        password: bool,
        work: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Flow<T> {
        let mut session = self.session.take().ok_or(End::Bye("Internal error"))?;
        let job = move || {
            crate::panic_point!("imap.worker");
            let result = work(&mut session);
            (session, result)
        };
        let done = if password { self.workers.run_password(job).await } else { self.workers.run(job).await };
        self.back_from(done)
    }

    /// Begins a command on a worker. A client that waits long for it, other than for a login, is told that it runs (RFC 9585).
    async fn begin(&mut self, request: Request, login: bool) -> Flow<(Progress, Vec<u8>)> {
        let mut words = Vec::new();
        respond::in_progress(&mut words, &request.tag, None);
        let mut session = self.session.take().ok_or(End::Bye("Internal error"))?;
        let workers = self.workers.clone();
        let job = move || {
            crate::panic_point!("imap.worker");
            let mut out = Vec::new();
            let progress = session.begin(request, clock::now_s(), &mut out);
            (session, (progress, out))
        };
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
        let begun = self.back_from(done)?;
        told.map(|()| begun)
    }

    /// The session comes back from a worker.
    fn back_from<T>(&mut self, done: Result<(Session, T), Lost>) -> Flow<T> {
        match done {
            Ok((session, result)) => {
                self.session = Some(session);
                Ok(result)
            }
            Err(Lost(bug)) => {
                Err(End::Incident(incident(format_args!("a command of [{}] ended in a bug: {bug}", self.peer))))
            }
        }
    }

    async fn command(&mut self, bytes: &[u8]) -> Flow<()> {
        crate::panic_point!("imap.connection");
        self.pace().await?;
        let mut out = Vec::new();
        let names = self.session()?.names();
        let request = match parse::parse_with(bytes, names) {
            Ok(request) => request,
            Err(refused) => {
                Answer::bad(refused.bad.to_string()).write(&refused.tag, &mut out);
                self.write(&out).await?;
                self.nonsense += u32::from(self.stranger.is_some());
                return if self.nonsense < NONSENSE { Ok(()) } else { Err(End::Bye("Too many invalid commands")) };
            }
        };
        if let Some(progress) = self.session()?.in_place(&request, &mut out) {
            if progress == Progress::Asked {
                self.asked(request.tag);
            }
            return self.progress(progress, out, false).await;
        }
        let Request { tag, command } = request;
        match command {
            Command::Idle => self.idle(tag).await,
            Command::StartTls => Box::pin(self.start_tls(&tag)).await,
            Command::Compress(algorithm) => self.compress(&tag, &algorithm).await,
            Command::Unauthenticate => self.unauthenticate(&tag).await,
            Command::Authenticate { initial: Some(response), .. } => self.authenticate(tag, response.0, true).await,
            command => {
                let login = matches!(command, Command::Login { .. });
                if let Command::Login { user, .. } = &command {
                    let claimed = login::claimed(self.session()?, user);
                    self.wait_for_turn(claimed).await?;
                }
                let request = Request { tag, command };
                let (progress, out) = self.begin(request, login).await?;
                self.progress(progress, out, login).await
            }
        }
    }

    /// The next line is the response to a challenge of AUTHENTICATE.
    fn asked(&mut self, tag: String) {
        self.framer.expect_line();
        self.mode = Mode::Authenticate { tag };
    }

    async fn authenticate(&mut self, tag: String, response: Vec<u8>, initial: bool) -> Flow<()> {
        if let Some(claimed) = authenticate::claimed(self.session()?, &response) {
            self.wait_for_turn(claimed).await?;
        }
        let slow = self.session()?.awaits_password();
        let (progress, tag, out) = self
            .on_worker(slow, move |session| {
                let mut out = Vec::new();
                (session.authenticate(&tag, &response, initial, clock::now_s(), &mut out), tag, out)
            })
            .await?;
        if progress == Progress::Asked {
            self.asked(tag);
        }
        self.progress(progress, out, true).await
    }

    /// Sends what a command wrote, and goes on with it while it has more.
    async fn progress(&mut self, mut progress: Progress, mut out: Vec<u8>, login: bool) -> Flow<()> {
        if login {
            self.after_login(progress).await?;
        }
        let mut told = Instant::now();
        loop {
            if progress == Progress::More && told.elapsed() >= clock::silence() {
                told = Instant::now();
                self.session()?.tell_progress(&mut out);
            }
            self.write(&out).await?;
            match progress {
                Progress::Done | Progress::Asked | Progress::Failed => return Ok(()),
                Progress::Bye => return Err(End::Said),
                Progress::More => {
                    out.clear();
                    (progress, out) = self
                        .on_worker(false, move |session| {
                            let progress = session.go_on(&mut out);
                            (progress, out)
                        })
                        .await?;
                }
            }
        }
    }

    async fn idle(&mut self, tag: String) -> Flow<()> {
        let changed = Arc::clone(&self.changed);
        let session = self.session()?;
        let watch = session.watched().map(|(account, folder)| {
            let notices = session.store().notices();
            notices.subscribe(account, folder, Box::new(move || changed.notify_one()))
        });
        self.framer.expect_line();
        self.mode = Mode::Idle { tag, _watch: watch };
        self.write(b"+ idling\r\n").await?;
        // What happened before the watch began.
        self.news().await
    }

    async fn news(&mut self) -> Flow<()> {
        let (progress, out) = self
            .on_worker(false, |session| {
                let mut out = Vec::new();
                (session.news(&mut out), out)
            })
            .await?;
        self.progress(progress, out, false).await
    }

    async fn line(&mut self, line: Vec<u8>) -> Flow<()> {
        match std::mem::replace(&mut self.mode, Mode::Commands) {
            Mode::Authenticate { tag } => self.authenticate(tag, line, false).await,
            Mode::Idle { tag, .. } => {
                let mut out = Vec::new();
                let answer = if line.eq_ignore_ascii_case(b"DONE") {
                    Answer::completed()
                } else {
                    Answer::bad("Invalid Idle continuation")
                };
                answer.write(&tag, &mut out);
                self.write(&out).await
            }
            Mode::Commands => Ok(()),
        }
    }

    async fn message(&mut self, head: Vec<u8>, literal: Literal) -> Flow<()> {
        if self.refused.is_some() {
            self.framer.refuse();
            return Ok(());
        }
        match self.on_worker(false, move |session| session.append_message(&head, literal)).await? {
            Ok(staging) => {
                self.staging = Some(Box::new(staging));
                self.framer.accept();
                if literal.waits {
                    self.write(b"+ go ahead\r\n").await?;
                }
            }
            Err(refused) => {
                self.refused = Some(refused);
                self.framer.refuse();
            }
        }
        Ok(())
    }

    /// Writes what was gathered to the staging file.
    async fn spill(&mut self) -> Flow<()> {
        let bytes = std::mem::take(&mut self.gathered);
        let Some(mut staging) = self.staging.take() else {
            return Ok(());
        };
        let written = self.workers.run(move || staging.write_all(&bytes).map(|()| staging)).await;
        match written {
            Ok(Ok(staging)) => self.staging = Some(staging),
            Ok(Err(error)) => {
                self.give_up(Answer::unwritten(&error)).await?;
                self.framer.abandon();
            }
            Err(Lost(bug)) => {
                return Err(End::Incident(incident(format_args!(
                    "a message of [{}] ended in a bug: {bug}",
                    self.peer
                ))));
            }
        }
        Ok(())
    }

    /// The APPEND under way failed; its answer waits until the client has sent all of it.
    async fn give_up(&mut self, answer: Answer) -> Flow<()> {
        let tag = self.on_worker(false, Session::append_abandon).await?;
        self.refused = Some((tag.unwrap_or_else(|| "*".to_owned()), answer));
        Ok(())
    }

    async fn message_end(&mut self) -> Flow<()> {
        let bytes = std::mem::take(&mut self.gathered);
        let Some(mut staging) = self.staging.take() else {
            return Ok(());
        };
        // The last bytes and the end in one visit to a worker: most messages are no longer than what is gathered.
        let received = self.on_worker(false, move |session| match staging.write_all(&bytes) {
            Ok(()) => session.append_received(*staging),
            Err(error) => Err(Answer::unwritten(&error)),
        });
        if let Err(answer) = received.await? {
            self.give_up(answer).await?;
        }
        Ok(())
    }

    async fn append_end(&mut self, rest: Vec<u8>) -> Flow<()> {
        // A command that did not come by way of `command`.
        self.pace().await?;
        if let Some((tag, answer)) = self.refused.take() {
            return self.answer(&tag, &answer).await;
        }
        let (progress, out) = self
            .on_worker(false, move |session| {
                let mut out = Vec::new();
                (session.append_finish(&rest, clock::now_s(), &mut out), out)
            })
            .await?;
        self.progress(progress, out, false).await
    }

    async fn refused(&mut self, tag: String, why: Refusal) -> Flow<()> {
        self.pace().await?;
        self.claimed = None;
        let mode = std::mem::replace(&mut self.mode, Mode::Commands);
        self.session()?.forget_exchange();
        if let Mode::Idle { tag, .. } | Mode::Authenticate { tag } = mode {
            return self.answer(&tag, &Answer::bad(why.to_string())).await;
        }
        // An APPEND whose messages so far are of no use any more.
        drop(self.on_worker(false, Session::append_abandon).await?);
        let (tag, answer) = match (why, self.refused.take()) {
            (Refusal::Session, Some(refused)) => refused,
            (Refusal::Literal, _) => (tag, Answer { code: Some(Code::TooBig), ..Answer::bad(why.to_string()) }),
            _ => (tag, Answer::bad(why.to_string())),
        };
        self.answer(&tag, &answer).await
    }

    async fn answer(&mut self, tag: &str, answer: &Answer) -> Flow<()> {
        let mut out = Vec::new();
        answer.write(tag, &mut out);
        self.write(&out).await
    }

    /// The end: the log line, and a last word of TCP.
    async fn close(mut self) {
        self.mode = Mode::Commands;
        self.staging = None;
        drop(timeout(Duration::from_secs(5), self.stream.shutdown()).await);
        let began_s = self.began_s;
        let (bytes_in, bytes_out) = (self.bytes_in, self.bytes_out);
        let line = self.on_worker(false, move |session| {
            session.leave();
            session.close_line(began_s, clock::now_s(), bytes_in, bytes_out)
        });
        if let Ok(line) = line.await {
            log::notice(Category::Account, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    /// The bytes of the future that a function of five arguments returns.
    fn future_bytes<A, B, C, D, E, F: Future>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        // Each of ten thousand silent clients has one: what only a busy one needs is boxed.
        let bytes = future_bytes(super::serve);
        assert!(bytes <= 3072, "{bytes} bytes");
    }
}
