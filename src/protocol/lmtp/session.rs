//! The state machine of a session: bytes in, replies out.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use memchr::memchr;

use super::answer::{failed, for_recipient, say, say_utf8};
use super::chunk;
use super::data::Decoder;
use super::path::Mailbox;
use super::receive::Receiving;
use super::server::Server;
use super::xclient::Origin;
use crate::log::{self, Category};
use crate::ops::delivery::{self, DeliveryError, Done, Looping, Marks, Place, Trace};
use crate::store::Staged;

/// Longest command line with its end, bytes.
const LINE_MAX: usize = 2048;
/// Refused commands in a row after which the session ends.
const BAD_MAX: u32 = 50;

/// Who sends.
pub(super) struct Sender {
    pub(super) mailbox: Mailbox,
    /// Addresses may have other letters than those of ASCII (RFC 6531).
    pub(super) utf8: bool,
}

/// Whom a message is for.
pub(super) struct Recipient {
    /// As it was given.
    pub(super) address: Mailbox,
    pub(super) place: Place,
}

/// What is known of a client before it speaks.
#[derive(Clone, Debug)]
pub struct Client {
    /// What it is called in the log.
    pub name: String,
    /// STARTTLS is to be had.
    pub starttls: bool,
    /// It may say whose client it is (XCLIENT).
    pub xclient: bool,
}

/// What the next bytes are.
enum State {
    Commands,
    /// The message behind DATA.
    Data(Decoder),
    /// The chunk of a BDAT: so much is left of it. `refused`: it goes nowhere, and this is the reply.
    Chunk {
        left: u64,
        bytes: u64,
        last: bool,
        refused: Option<String>,
    },
}

/// What whoever moves the bytes does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send the replies; feed what is left, or more.
    More,
    /// Send the replies, then make TLS of the connection ([`Session::secured`]).
    StartTls,
    /// Send the replies; the session goes on for another client, whose address and port this is; where they are not known, for
    /// the one the connection came from: greet it ([`Session::greet`]), or send it away.
    Origin(Option<(IpAddr, u16)>),
    /// Send the replies and close.
    Quit,
}

/// Sums for the log line at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that came to their end.
    pub messages: u64,
    /// Recipients that were answered with success.
    pub delivered: u64,
    /// Recipients that were refused, at RCPT or behind the message.
    pub refused: u64,
}

/// A session. [`Session::feed`] blocks (store, directory) and belongs on a worker.
pub struct Session {
    pub(super) server: Arc<Server>,
    pub(super) client: Client,
    /// Whose client it is, as it said.
    pub(super) origin: Origin,
    state: State,
    line: Vec<u8>,
    too_long: bool,
    pub(super) greeted: bool,
    pub(super) secured: bool,
    pub(super) from: Option<Sender>,
    pub(super) recipients: Vec<Recipient>,
    /// The message under way.
    pub(super) receiving: Option<Receiving>,
    scratch: Vec<u8>,
    bad: u32,
    /// Sums so far.
    pub counts: Counts,
}

impl Session {
    /// A session with a client.
    pub fn new(server: Arc<Server>, client: Client) -> Session {
        Session {
            server,
            client,
            origin: Origin::default(),
            state: State::Commands,
            line: Vec::new(),
            too_long: false,
            greeted: false,
            secured: false,
            from: None,
            recipients: Vec::new(),
            receiving: None,
            scratch: Vec::new(),
            bad: 0,
            counts: Counts::default(),
        }
    }

    /// Writes the greeting.
    pub fn greet(&self, out: &mut Vec<u8>) {
        say(out, &format!("220 {} LMTP ready", self.server.hostname));
    }

    /// The connection is encrypted from now on: nothing of before counts (RFC 3207 section 4.2).
    pub fn secured(&mut self) {
        self.secured = true;
        self.client.starttls = false;
        self.greeted = false;
        self.reset();
    }

    /// The client is called otherwise in the log from now on.
    pub fn rename(&mut self, client: impl Into<String>) {
        self.client.name = client.into();
    }

    /// True while the bytes of a message come.
    pub fn is_receiving(&self) -> bool {
        !matches!(self.state, State::Commands)
    }

    /// True when nothing is under way: the session may end without a loss of work.
    pub fn is_between(&self) -> bool {
        !self.is_receiving() && self.from.is_none() && self.line.is_empty()
    }

    /// Takes bytes from the client: as many as it returns, fewer than all only behind the end of a message and with another [`Next`] than
    /// `More`. Replies go to `out`.
    pub fn feed(&mut self, input: &[u8], now_s: i64, out: &mut Vec<u8>) -> (usize, Next) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let before = self.counts.messages;
            let (count, next) = match &mut self.state {
                State::Commands => self.commands(rest, now_s, out),
                State::Data(_) => (self.data(rest, now_s, out), Next::More),
                State::Chunk { .. } => self.chunk(rest, now_s, out),
            };
            used += count;
            // A message is work enough for one turn.
            if next != Next::More || self.counts.messages != before || used >= input.len() {
                return (used, next);
            }
        }
    }

    /// One command line, or a piece of one; a bare LF ends a command too, never a message.
    fn commands(&mut self, input: &[u8], now_s: i64, out: &mut Vec<u8>) -> (usize, Next) {
        let end = memchr(b'\n', input);
        let len = end.map_or(input.len(), |lf| lf + 1);
        self.too_long |= self.line.len() + len > LINE_MAX;
        if !self.too_long {
            self.line.extend_from_slice(input.get(..len).unwrap_or_default());
        }
        if end.is_none() {
            return (len, Next::More);
        }
        let mut line = std::mem::take(&mut self.line);
        let next = if std::mem::take(&mut self.too_long) {
            self.refused("500 5.5.2 Line too long", out)
        } else {
            line.pop();
            line.pop_if(|last| *last == b'\r');
            self.command(&line, now_s, out)
        };
        (len, next)
    }

    /// Answers a refusal; `Quit` when it was one too many.
    fn refused(&mut self, answer: &str, out: &mut Vec<u8>) -> Next {
        self.bad += 1;
        say(out, answer);
        if self.bad < BAD_MAX {
            return Next::More;
        }
        say(out, "421 4.7.0 Too many errors");
        Next::Quit
    }

    pub(super) fn reset(&mut self) {
        self.from = None;
        self.recipients.clear();
        self.receiving = None;
    }

    fn command(&mut self, line: &[u8], now_s: i64, out: &mut Vec<u8>) -> Next {
        let Ok(text) = std::str::from_utf8(line).map(|text| text.trim_end_matches(' ')) else {
            return self.refused("500 5.5.2 Not a command", out);
        };
        if text.chars().any(char::is_control) {
            return self.refused("500 5.5.2 Control characters in a command", out);
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let answer = match verb.to_ascii_uppercase().as_str() {
            // A web browser that was talked into it: what follows may be commands (Postfix has smtpd_forbidden_commands for it).
            "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" => {
                say(out, "421 4.7.0 This is LMTP");
                return Next::Quit;
            }
            "LHLO" => self.lhlo(rest, out).map(|()| String::new()),
            "MAIL" => self.mail(rest),
            "RCPT" => {
                let answer = self.rcpt(rest, now_s);
                self.counts.refused += u64::from(answer.is_err());
                answer
            }
            "DATA" => self.begin_data(rest),
            "BDAT" => return self.begin_chunk(rest, now_s, out),
            "STARTTLS" if !rest.is_empty() => Err("501 5.5.4 STARTTLS takes no argument".to_owned()),
            "STARTTLS" if self.secured => Err("503 5.5.1 TLS is active already".to_owned()),
            "STARTTLS" if !self.client.starttls => Err("502 5.5.1 STARTTLS is not available".to_owned()),
            "STARTTLS" => {
                say(out, "220 2.0.0 Begin TLS negotiation now");
                return Next::StartTls;
            }
            "XCLIENT" => match self.xclient(rest) {
                Ok(next) => return next,
                Err(answer) => Err(answer),
            },
            "RSET" => {
                self.reset();
                Ok("250 2.0.0 OK".to_owned())
            }
            "NOOP" => Ok("250 2.0.0 OK".to_owned()),
            "VRFY" => Ok("252 2.1.5 Send mail to find out".to_owned()),
            "HELP" => Ok("214 2.0.0 LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT".to_owned()),
            "QUIT" => {
                say(out, &format!("221 2.0.0 {} closing", self.server.hostname));
                return Next::Quit;
            }
            "HELO" | "EHLO" => Err("500 5.5.1 This is LMTP: LHLO".to_owned()),
            _ => Err("500 5.5.1 Unknown command".to_owned()),
        };
        match answer {
            Ok(answer) => {
                self.bad = 0;
                if !answer.is_empty() {
                    say(out, &answer);
                }
                Next::More
            }
            Err(answer) if is_nonsense(&answer) => self.refused(&answer, out),
            Err(answer) => {
                say(out, &answer);
                Next::More
            }
        }
    }

    fn begin_data(&mut self, rest: &str) -> Result<String, String> {
        if !rest.is_empty() {
            return Err("501 5.5.4 DATA takes no argument".to_owned());
        }
        self.ready_for_message()?;
        if self.receiving.is_some() {
            return Err("503 5.5.1 The message comes in chunks".to_owned());
        }
        match self.stage() {
            Ok(staging) => {
                self.receiving = Some(Receiving::new(Ok(staging), self.head(), self.server.message_bytes));
                self.state = State::Data(Decoder::new());
                Ok("354 End the message with CRLF.CRLF".to_owned())
            }
            Err(answer) => {
                self.reset();
                Err(answer)
            }
        }
    }

    /// BDAT (RFC 3030 section 2). Whatever the reply is, the bytes that were announced are taken; where it is not known how many, all is over.
    fn begin_chunk(&mut self, rest: &str, now_s: i64, out: &mut Vec<u8>) -> Next {
        let Some(chunk) = chunk::parse(rest) else {
            say(out, "501 5.5.4 BDAT SIZE, or BDAT SIZE LAST");
            say(out, "421 4.7.0 What follows cannot be told from commands");
            return Next::Quit;
        };
        let refused = self.ready_for_message().err();
        if refused.is_none() && self.receiving.is_none() {
            self.receiving = Some(Receiving::new(self.stage(), self.head(), self.server.message_bytes));
        }
        self.state = State::Chunk { left: chunk.bytes, bytes: chunk.bytes, last: chunk.last, refused };
        // One of no bytes ends here.
        self.chunk(&[], now_s, out).1
    }

    fn data(&mut self, input: &[u8], now_s: i64, out: &mut Vec<u8>) -> usize {
        let (State::Data(decoder), Some(receiving)) = (&mut self.state, &mut self.receiving) else {
            self.state = State::Commands;
            return 0;
        };
        self.scratch.clear();
        let used = decoder.push(input, &mut self.scratch);
        receiving.push(&self.scratch);
        if decoder.ended() {
            self.state = State::Commands;
            self.message_end(now_s, out);
        }
        used
    }

    fn chunk(&mut self, input: &[u8], now_s: i64, out: &mut Vec<u8>) -> (usize, Next) {
        let State::Chunk { left, bytes, last, refused } = &mut self.state else { return (0, Next::More) };
        let used = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
        *left -= used as u64;
        if let (None, Some(receiving)) = (&refused, &mut self.receiving) {
            receiving.push(input.get(..used).unwrap_or_default());
        }
        if *left > 0 {
            return (used, Next::More);
        }
        let (bytes, last, refused) = (*bytes, *last, refused.take());
        self.state = State::Commands;
        if let Some(answer) = refused {
            return (used, self.refused(&answer, out));
        }
        if last {
            self.message_end(now_s, out);
            return (used, Next::More);
        }
        // A chunk that cannot be kept is told at once; so is each one behind it, and each recipient at the end.
        match self.receiving.as_ref().and_then(Receiving::refusal) {
            Some(answer) => say(out, answer),
            None => say(out, &format!("250 2.0.0 {bytes} octets received")),
        }
        (used, Next::More)
    }

    /// The message has come to its end: it is delivered, and each recipient answered, in their order.
    fn message_end(&mut self, now_s: i64, out: &mut Vec<u8>) {
        self.bad = 0;
        self.counts.messages += 1;
        let recipients = std::mem::take(&mut self.recipients);
        let utf8 = self.from.as_ref().is_some_and(|from| from.utf8);
        let Some(receiving) = self.receiving.take() else { return };
        self.reset();
        self.scratch = Vec::new();
        let (size, head_bytes) = (receiving.size(), receiving.head_bytes());
        let answers = match receiving.finish() {
            Err(refused) => recipients.iter().map(|_| Err(refused.clone())).collect(),
            Ok(staged) => self.deliver(&staged, head_bytes, &recipients, now_s),
        };
        let mut good = Vec::new();
        for (recipient, answer) in recipients.iter().zip(answers) {
            if answer.is_ok() {
                self.counts.delivered += 1;
                good.push(recipient.place.clone());
            } else {
                self.counts.refused += 1;
            }
            let answer = answer.err().unwrap_or_else(|| "250 2.1.5 Delivered".to_owned());
            let line = for_recipient(&answer, &recipient.address.to_string());
            if utf8 { say_utf8(out, &line) } else { say(out, &line) }
        }
        let all: Vec<Place> = recipients.into_iter().map(|one| one.place).collect();
        let [good, all] = [good, all].map(|places| delivery::distinct(&places).0.len());
        let words = format!("message [{}] {size} bytes, {good} of {all} mailboxes", self.client.name);
        log::information(Category::Protocol, words);
    }

    /// Delivers to each recipient that the message does not come to in a loop; an answer for each, `Err` with its words.
    fn deliver(
        &self,
        staged: &Staged,
        head_bytes: u64,
        recipients: &[Recipient],
        now_s: i64,
    ) -> Vec<Result<(), String>> {
        let delivery = self.server.delivery();
        let trace = match Trace::of(staged, head_bytes) {
            Ok(trace) => trace,
            Err(error) => {
                let answer = failed("a message", &error.into());
                return recipients.iter().map(|_| Err(answer.clone())).collect();
            }
        };
        let goes_on = |one: &Recipient| trace.check(delivery.policy.bounds, &one.address.to_string());
        let checked: Vec<Result<(), Looping>> = recipients.iter().map(goes_on).collect();
        let going = recipients.iter().zip(&checked).filter(|(_, checked)| checked.is_ok());
        let places: Vec<Place> = going.map(|(one, _)| one.place.clone()).collect();
        let (unique, numbers) = delivery::distinct(&places);
        let done =
            if unique.is_empty() { Vec::new() } else { delivery.deliver(staged, &Marks::default(), &unique, now_s) };
        let told = |(one, place): (Result<Done, DeliveryError>, &Place)| {
            one.map(drop).map_err(|error| failed(&format!("delivery to {}", place.userid), &error))
        };
        let done: Vec<Result<(), String>> = done.into_iter().zip(&unique).map(told).collect();
        let mut numbers = numbers.into_iter();
        let mut answer = |(one, checked): (&Recipient, Result<(), Looping>)| {
            checked.map_err(|error| failed(&format!("delivery to {}", one.place.userid), &error.into()))?;
            let done = numbers.next().and_then(|number| done.get(number).cloned());
            done.unwrap_or_else(|| Err("451 4.3.0 Not delivered".to_owned()))
        };
        recipients.iter().zip(checked).map(&mut answer).collect()
    }
}

/// A client that speaks another language, or none: its commands are counted. Who asks for a recipient that is not there is not one.
fn is_nonsense(answer: &str) -> bool {
    answer.starts_with("50") || answer.starts_with("555")
}

/// Serves one session over a reader and a writer to its end: QUIT, or the end of the input.
///
/// # Errors
/// Reading or writing failed. A message that was not answered was not delivered, or the answer was lost.
pub fn serve<R: Read, W: Write>(
    server: Arc<Server>,
    clock: &dyn Fn() -> i64,
    input: &mut BufReader<R>,
    output: &mut W,
) -> io::Result<()> {
    let client = Client { name: "standard input".to_owned(), starttls: false, xclient: false };
    let mut session = Session::new(server, client);
    let mut out = Vec::new();
    session.greet(&mut out);
    loop {
        // Answers to commands that arrived together leave together (RFC 2920).
        output.write_all(&out)?;
        output.flush()?;
        out.clear();
        let bytes = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if bytes.is_empty() {
            return if session.is_receiving() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        }
        let (used, next) = session.feed(bytes, clock(), &mut out);
        input.consume(used);
        if next != Next::More {
            output.write_all(&out)?;
            return output.flush();
        }
    }
}
