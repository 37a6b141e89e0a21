//! One POP connection: cuts lines, answers in place what it can, hands the rest to a worker.

use std::sync::Arc;

use crate::daemon::line::{BUG, End, Flow, Line};
use crate::log::{self, Category};
use crate::os::clock;
use crate::protocol::pop::frame::{Event, Framer};
use crate::protocol::pop::parse::{Bad, Command, parse};
use crate::protocol::pop::respond::{self, Code};
use crate::protocol::pop::server::Server;
use crate::protocol::pop::session::{self, Progress, Session};

/// Lines that are no commands after which a stranger is sent away: it speaks another protocol.
const NONSENSE: u32 = 20;
/// Commands that came in one piece and go to a worker together.
const BATCH: usize = 256;
/// Answers that are gathered while commands are there that came in one piece with theirs.
const GATHER: usize = 16 * 1024;

struct Connection {
    line: Line,
    framer: Framer,
    /// `None` only while a worker has it.
    session: Option<Session>,
    /// The next line is a response to AUTH.
    asking: bool,
    /// Lines before login that were no commands.
    nonsense: u32,
    /// Answers that are not sent yet.
    answers: Vec<u8>,
}

/// Serves a client until it goes, is sent away, or the service ends. `tls`: encryption comes before the first word (RFC 8314).
pub async fn serve(server: Arc<Server>, line: Line, tls: bool) {
    let session = Session::new(server, line.peer());
    let mut connection = Connection {
        line,
        framer: Framer::default(),
        session: Some(session),
        asking: false,
        nonsense: 0,
        answers: Vec::new(),
    };
    let end = match connection.converse(tls).await {
        Ok(()) => End::Said,
        Err(end) => end,
    };
    let mut last = std::mem::take(&mut connection.answers);
    // RFC 1939 section 3: a client that was silent is told nothing.
    if let Some(words) = end.words().filter(|_| !matches!(end, End::Idle)) {
        respond::err(&mut last, Some(Code::SysTemp), &words);
    }
    if !last.is_empty() {
        // The connection ends either way.
        connection.line.write_last(&last).await;
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
        self.line.write(&out).await?;
        loop {
            let (used, event) = self.framer.step(self.line.rest());
            self.line.consume(used);
            match event {
                Event::More => {
                    self.send().await?;
                    let never = std::future::pending();
                    self.line.fill(false, self.framer.is_idle(), never).await?;
                }
                Event::Line(line) if self.asking => Box::pin(self.authenticate(line, false)).await?,
                Event::Line(line) => Box::pin(self.command(parse(&line))).await?,
                Event::TooLong => {
                    self.asking = false;
                    self.session()?.forget_exchange();
                    self.line.forget_claim();
                    Box::pin(self.command(Err(Bad::Long))).await?;
                }
                Event::Fatal => return Err(End::Bye("Too much input")),
            }
        }
    }

    fn session(&mut self) -> Flow<&mut Session> {
        self.session.as_mut().ok_or(BUG)
    }

    /// Sends the answers that were gathered.
    async fn send(&mut self) -> Flow<()> {
        let answers = std::mem::take(&mut self.answers);
        self.line.write(&answers).await
    }

    /// Runs work with the session on a worker.
    async fn on_worker(
        &mut self,
        password: bool,
        work: impl FnOnce(&mut Session, &mut Vec<u8>) -> Progress + Send + 'static,
    ) -> Flow<Progress> {
        let session = self.session.take().ok_or(BUG)?;
        let mut out = std::mem::take(&mut self.answers);
        let job = move |session: &mut Session| {
            crate::panic_point!("pop.worker");
            let progress = work(session, &mut out);
            (progress, out)
        };
        let (session, (progress, out)) = self.line.work(password, session, job).await?;
        self.session = Some(session);
        self.answers = out;
        Ok(progress)
    }

    async fn command(&mut self, line: session::Line) -> Flow<()> {
        crate::panic_point!("pop.connection");
        self.line.pace().await?;
        if line.is_err() && self.line.is_stranger() {
            self.nonsense += 1;
        }
        let mut out = std::mem::take(&mut self.answers);
        let done = self.session()?.in_place(&line, &mut out);
        self.answers = out;
        if self.nonsense >= NONSENSE {
            return Err(End::Bye("Too many invalid commands"));
        }
        match (done, line) {
            (Some(Progress::Done), _) if self.answers.len() < GATHER => Ok(()),
            (Some(progress), _) => self.progress(progress).await,
            (None, Ok(Command::Auth { initial: Some(response), .. })) => self.authenticate(response.0, true).await,
            (None, line @ Ok(Command::Pass(_))) => {
                if let Some(claimed) = self.session()?.claimed_by_user() {
                    // Answers to commands before it do not wait with it.
                    self.send().await?;
                    self.line.wait_for_turn(claimed).await?;
                }
                let begin = |session: &mut Session, out: &mut Vec<u8>| session.begin(vec![line], clock::now_s(), out);
                let progress = self.on_worker(true, begin).await?;
                self.after_login(progress).await?;
                self.progress(progress).await
            }
            (None, line) => {
                let lines = self.with_those_behind(line).await?;
                let begin = move |session: &mut Session, out: &mut Vec<u8>| session.begin(lines, clock::now_s(), out);
                let progress = self.on_worker(false, begin).await?;
                self.progress(progress).await
            }
        }
    }

    /// A command of a client that is logged in, and those behind it that are there already (PIPELINING, RFC 2449 section 6.6).
    async fn with_those_behind(&mut self, line: session::Line) -> Flow<Vec<session::Line>> {
        let mut lines = vec![line];
        while lines.len() < BATCH && memchr::memchr(b'\n', self.line.rest()).is_some() {
            let (used, event) = self.framer.step(self.line.rest());
            self.line.consume(used);
            self.line.pace().await?;
            lines.push(match event {
                Event::Line(line) => parse(&line),
                _ => Err(Bad::Long),
            });
        }
        Ok(lines)
    }

    async fn authenticate(&mut self, response: Vec<u8>, initial: bool) -> Flow<()> {
        self.asking = false;
        if let Some(claimed) = self.session()?.claimed_by_response(&response) {
            self.send().await?;
            self.line.wait_for_turn(claimed).await?;
        }
        let slow = self.session()?.asks_directory();
        let respond = move |session: &mut Session, out: &mut Vec<u8>| {
            session.authenticate(&response, initial, clock::now_s(), out)
        };
        let progress = self.on_worker(slow, respond).await?;
        self.after_login(progress).await?;
        self.progress(progress).await
    }

    /// What a try to log in costs, or opens.
    async fn after_login(&mut self, progress: Progress) -> Flow<()> {
        if progress == Progress::Asked {
            return Ok(());
        }
        if matches!(progress, Progress::Failed | Progress::Bye) {
            return self.line.login_failed().await;
        }
        let session = self.session()?;
        let (logged_in, cleartext) = (session.is_logged_in(), session.is_cleartext());
        if logged_in {
            return self.line.logged_in(cleartext).await;
        }
        self.line.forget_claim();
        Ok(())
    }

    /// Sends what a command wrote, and goes on with it while it has more.
    async fn progress(&mut self, mut progress: Progress) -> Flow<()> {
        loop {
            self.send().await?;
            match progress {
                Progress::Done | Progress::Failed => return Ok(()),
                Progress::Asked => {
                    self.asking = true;
                    return Ok(());
                }
                Progress::Tls => {
                    self.line.forget_behind("STLS");
                    self.framer = Framer::default();
                    return self.encrypt().await;
                }
                Progress::Bye => return Err(End::Said),
                Progress::More if self.line.is_stopping() => return Err(End::Gone),
                Progress::More => {
                    let go_on = |session: &mut Session, out: &mut Vec<u8>| session.go_on(clock::now_s(), out);
                    progress = self.on_worker(false, go_on).await?;
                }
            }
        }
    }

    async fn encrypt(&mut self) -> Flow<()> {
        let bits = self.line.encrypt().await?;
        self.session()?.secured(bits);
        Ok(())
    }

    /// The end: a last word of TCP, and the log line. Messages that were marked as deleted stay, unless QUIT has come.
    async fn close(mut self) {
        self.line.hang_up().await;
        let Some(session) = self.session.take() else {
            return;
        };
        let sums = self.line.sums();
        let line = self.line.work(false, session, move |session| {
            session.close_line(sums.began_s, clock::now_s(), sums.bytes_in, sums.bytes_out)
        });
        if let Ok((_, line)) = line.await {
            log::notice(Category::Account, line);
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
        let bytes = future_bytes(super::serve);
        assert!(bytes <= 3072, "{bytes} bytes");
    }
}
