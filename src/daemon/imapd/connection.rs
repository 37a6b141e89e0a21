//! One IMAP connection: reads, cuts commands, answers in place what it can, hands the rest to a worker, writes with back-pressure.

mod append;
mod between;
mod long;
mod switches;

use std::sync::Arc;

use tokio::sync::Notify;

use between::Between;

use crate::daemon::line::{BUG, End, Flow, Line};
use crate::log::{self, Category};
use crate::os::clock;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::command::{authenticate, login};
use crate::protocol::imap::frame::{Event, Framer, Limits, Literal, Refusal};
use crate::protocol::imap::parse::{self, Command, Request};
use crate::protocol::imap::respond::{self, Code, Status};
use crate::protocol::imap::server::Server;
use crate::protocol::imap::session::{Progress, Session};
use crate::store::{Staging, Subscription};

/// Lines that are no commands after which a stranger is sent away: it speaks another protocol.
const NONSENSE: u32 = 20;
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
    line: Line,
    framer: Framer,
    /// `None` only while a worker has it.
    session: Option<Session>,
    mode: Mode,
    changed: Arc<Notify>,
    between: Between,
    /// Boxed: it is large, and most sessions have none.
    staging: Option<Box<Staging>>,
    gathered: Vec<u8>,
    /// The message under way, where it needs no staging file before it is complete.
    whole: Option<Box<append::Whole>>,
    /// The answer of an APPEND that was refused and is not over.
    refused: Option<(String, Answer)>,
    /// Lines before login that were no commands.
    nonsense: u32,
}

/// Serves a client until it goes, is sent away, or the service ends. `tls`: encryption comes before the first word (RFC 8314).
pub async fn serve(server: Arc<Server>, line: Line, tls: bool) {
    let changed = Arc::new(Notify::new());
    let between = Between::new(server.immediate, Arc::clone(&changed));
    let session = Session::new(server, line.peer());
    let mut connection = Connection {
        line,
        session: Some(session),
        framer: Framer::new(Limits::GREETED),
        mode: Mode::Commands,
        changed,
        between,
        staging: None,
        gathered: Vec::new(),
        whole: None,
        refused: None,
        nonsense: 0,
    };
    let end = match connection.converse(tls).await {
        Ok(()) => End::Said,
        Err(end) => end,
    };
    if let Some(words) = end.words() {
        let mut out = Vec::new();
        respond::status(&mut out, "*", Status::Bye, None, &words);
        // The connection ends either way.
        connection.line.write_last(&out).await;
    }
    Box::pin(connection.close()).await;
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
                    if self.gathered.len() >= append::GATHER {
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
        let (used, event) = self.framer.step(self.line.rest());
        let found = match event {
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
        };
        self.line.consume(used);
        found
    }

    /// Reads more, or tells a client that idles, or one between its commands, what is new.
    async fn fill(&mut self) -> Flow<()> {
        let idling = matches!(self.mode, Mode::Idle { .. });
        let between = self.framer.is_idle();
        let told = idling || (between && self.between.follow(self.session.as_ref()));
        let changed = Arc::clone(&self.changed);
        let large = self.staging.is_some() || self.whole.is_some();
        let wake = async move { if told { changed.notified().await } else { std::future::pending().await } };
        if !self.line.fill(large, between, wake).await? {
            return Ok(());
        }
        if !idling {
            self.line.still_silent();
        }
        Box::pin(self.news()).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Flow<()> {
        self.line.write(bytes).await
    }

    fn session(&mut self) -> Flow<&mut Session> {
        self.session.as_mut().ok_or(BUG)
    }

    /// Runs work with the session: of a password on a worker, any other one at once, as it is short.
    async fn on_worker<T: Send + 'static>(
        &mut self,
        password: bool,
        work: impl FnOnce(&mut Session) -> T + Send + 'static,
    ) -> Flow<T> {
        let session = self.session.take().ok_or(BUG)?;
        let job = move |session: &mut Session| {
            crate::panic_point!("imap.worker");
            work(session)
        };
        let (session, result) = self.line.work(password, session, job).await?;
        self.session = Some(session);
        Ok(result)
    }

    async fn command(&mut self, bytes: &[u8]) -> Flow<()> {
        crate::panic_point!("imap.connection");
        self.line.pace().await?;
        let mut out = Vec::new();
        let names = self.session()?.names();
        let request = match parse::parse_with(bytes, names) {
            Ok(request) => request,
            Err(refused) => {
                Answer::bad(refused.bad.to_string()).write(&refused.tag, &mut out);
                self.write(&out).await?;
                self.nonsense += u32::from(self.line.is_stranger());
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
                    self.line.wait_for_turn(claimed).await?;
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
            self.line.wait_for_turn(claimed).await?;
        }
        let slow = self.session()?.asks_directory();
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

    async fn idle(&mut self, tag: String) -> Flow<()> {
        let changed = Arc::clone(&self.changed);
        let session = self.session()?;
        let watch = session.watched().map(|(account, folder, known)| {
            let notices = session.store().notices();
            notices.subscribe(account, folder, known, Box::new(move || changed.notify_one()))
        });
        self.framer.expect_line();
        self.mode = Mode::Idle { tag, _watch: watch };
        self.write(b"+ idling\r\n").await?;
        // What happened before the watch began.
        self.news().await
    }

    async fn news(&mut self) -> Flow<()> {
        let idling = matches!(self.mode, Mode::Idle { .. });
        let (progress, out) = self
            .on_worker(false, move |session| {
                let mut out = Vec::new();
                (session.news(idling, &mut out), out)
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

    async fn refused(&mut self, tag: String, why: Refusal) -> Flow<()> {
        self.line.pace().await?;
        self.line.forget_claim();
        let mode = std::mem::replace(&mut self.mode, Mode::Commands);
        self.session()?.forget_exchange();
        if let Mode::Idle { tag, .. } | Mode::Authenticate { tag } = mode {
            return self.answer(&tag, &Answer::bad(why.to_string())).await;
        }
        // An APPEND whose messages so far are of no use any more.
        self.whole = None;
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
        self.line.hang_up().await;
        let line = self.leave();
        if let Ok(line) = line.await {
            log::notice(Category::Account, line);
        }
    }

    /// Lets go of what is selected; returns the line for the log.
    async fn leave(&mut self) -> Flow<String> {
        let sums = self.line.sums();
        self.on_worker(false, move |session| {
            session.leave();
            session.close_line(sums.began_s, clock::now_s(), sums.bytes_in, sums.bytes_out)
        })
        .await
    }

    async fn after_login(&mut self, progress: Progress) -> Flow<()> {
        match progress {
            Progress::Asked => return Ok(()),
            // The last one that is allowed ends the session.
            Progress::Failed | Progress::Bye => self.line.login_failed().await?,
            Progress::Done | Progress::More => {}
        }
        let stranger = self.line.is_stranger();
        match self.session()? {
            session if session.userid().is_some() => {
                let cleartext = session.is_cleartext();
                if stranger {
                    self.framer.set_limits(Limits::SESSION);
                }
                self.line.logged_in(cleartext).await
            }
            _ => {
                self.line.forget_claim();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    /// The bytes of the future that a function of three arguments returns.
    fn future_bytes<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        // Each of ten thousand silent clients has one: what only a busy one needs is boxed.
        let bytes = future_bytes(super::serve);
        assert!(bytes <= 3072, "{bytes} bytes");
    }
}
