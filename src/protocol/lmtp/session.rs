//! The state machine of a session.

use std::io::{self, BufRead, BufReader, Read, Write};

use memchr::memchr;

use super::data::Decoder;
use super::path::{self, Mailbox};
use crate::ops::delivery::{self, Class, DeliveryError, Lines, LocalDelivery, Marks, Place};
use crate::store::{Staged, Staging};

/// Longest command line with its end, bytes.
const LINE_MAX: usize = 2048;
/// Most recipients of a message; the rest is asked to come again.
const RECIPIENTS_MAX: usize = 1000;
/// Refused commands in a row after which the session ends.
const BAD_MAX: u32 = 50;

/// What a session works with.
pub struct Server<'a> {
    /// Local delivery.
    pub delivery: LocalDelivery<'a>,
    /// The name in greetings.
    pub hostname: String,
    /// Largest message in bytes.
    pub message_bytes: u64,
    /// The time, seconds since 1970.
    pub clock: &'a dyn Fn() -> i64,
}

/// Serves one session to its end: QUIT, or the end of the input.
///
/// # Errors
/// Reading or writing failed. A message that was not answered was not delivered, or the answer was lost.
pub fn serve<R: Read, W: Write>(server: &Server<'_>, input: &mut BufReader<R>, output: &mut W) -> io::Result<()> {
    let mut session = Session { server, greeted: false, from: None, places: Vec::new(), bad: 0 };
    let mut out = format!("220 {} LMTP ready\r\n", server.hostname).into_bytes();
    loop {
        // Answers to commands that arrived together leave together (RFC 2920).
        if input.buffer().is_empty() {
            output.write_all(&out)?;
            output.flush()?;
            out.clear();
        }
        let goes_on = match read_line(input)? {
            Line::End => false,
            Line::TooLong => session.refuse("500 5.5.2 Line too long", &mut out),
            Line::Text(line) => match session.command(&line, &mut out) {
                Next::Command => true,
                Next::Quit => false,
                Next::Data => {
                    match server.delivery.stage(&session.places) {
                        Ok(staging) => {
                            say(&mut out, "354 End the message with CRLF.CRLF");
                            output.write_all(&out)?;
                            output.flush()?;
                            out.clear();
                            session.message(staging, input, &mut out)?;
                        }
                        Err(error) => {
                            session.reset();
                            say(&mut out, &reply(&error));
                        }
                    }
                    true
                }
            },
        };
        if !goes_on {
            output.write_all(&out)?;
            return output.flush();
        }
    }
}

enum Line {
    Text(Vec<u8>),
    TooLong,
    End,
}

/// A command line without its end; a bare LF ends a command too, never a message.
fn read_line<R: Read>(input: &mut BufReader<R>) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let bytes = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if bytes.is_empty() {
            return Ok(Line::End);
        }
        let end = memchr(b'\n', bytes);
        let len = end.map_or(bytes.len(), |lf| lf + 1);
        too_long |= line.len() + len > LINE_MAX;
        if !too_long {
            line.extend_from_slice(bytes.get(..len).unwrap_or_default());
        }
        input.consume(len);
        if end.is_some() {
            if too_long {
                return Ok(Line::TooLong);
            }
            line.pop();
            line.pop_if(|last| *last == b'\r');
            return Ok(Line::Text(line));
        }
    }
}

enum Next {
    Command,
    Data,
    Quit,
}

struct Session<'s, 'a> {
    server: &'s Server<'a>,
    greeted: bool,
    from: Option<Mailbox>,
    places: Vec<Place>,
    bad: u32,
}

impl Session<'_, '_> {
    /// Answers a refusal; false when it was one too many.
    fn refuse(&mut self, answer: &str, out: &mut Vec<u8>) -> bool {
        self.bad += 1;
        say(out, answer);
        if self.bad >= BAD_MAX {
            say(out, "421 4.7.0 Too many errors");
        }
        self.bad < BAD_MAX
    }

    fn reset(&mut self) {
        self.from = None;
        self.places.clear();
    }

    fn command(&mut self, line: &[u8], out: &mut Vec<u8>) -> Next {
        let Ok(text) = std::str::from_utf8(line).map(|text| text.trim_end_matches(' ')) else {
            return self.refused("500 5.5.2 Not a command", out);
        };
        if text.bytes().any(|b| b.is_ascii_control()) {
            return self.refused("500 5.5.2 Control characters in a command", out);
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        let answer = match verb.to_ascii_uppercase().as_str() {
            "LHLO" => return self.lhlo(rest, out),
            "MAIL" => self.mail(rest),
            "RCPT" => self.rcpt(rest),
            "DATA" if !rest.is_empty() => Err("501 5.5.4 DATA takes no argument".to_owned()),
            "DATA" if self.from.is_none() => Err("503 5.5.1 MAIL first".to_owned()),
            "DATA" if self.places.is_empty() => Err("503 5.5.1 No valid recipients".to_owned()),
            "DATA" => {
                self.bad = 0;
                return Next::Data;
            }
            "RSET" => {
                self.reset();
                Ok("250 2.0.0 OK".to_owned())
            }
            "NOOP" => Ok("250 2.0.0 OK".to_owned()),
            "VRFY" => Ok("252 2.1.5 Send mail to find out".to_owned()),
            "HELP" => Ok("214 2.0.0 LHLO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT".to_owned()),
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
                say(out, &answer);
                Next::Command
            }
            Err(answer) => self.refused(&answer, out),
        }
    }

    fn refused(&mut self, answer: &str, out: &mut Vec<u8>) -> Next {
        if self.refuse(answer, out) { Next::Command } else { Next::Quit }
    }

    fn lhlo(&mut self, rest: &str, out: &mut Vec<u8>) -> Next {
        if rest.is_empty() {
            return self.refused("501 5.5.4 LHLO and a host name", out);
        }
        self.reset();
        self.greeted = true;
        let size = format!("250 SIZE {}", self.server.message_bytes);
        say(out, &format!("250-{}", self.server.hostname));
        for line in ["250-PIPELINING", "250-ENHANCEDSTATUSCODES", "250-8BITMIME", &size] {
            say(out, line);
        }
        Next::Command
    }

    fn mail(&mut self, rest: &str) -> Result<String, String> {
        if !self.greeted {
            return Err("503 5.5.1 LHLO first".into());
        }
        if self.from.is_some() {
            return Err("503 5.5.1 There is a sender already".into());
        }
        let (from, parameters) = argument(rest, "FROM:").ok_or("501 5.1.7 MAIL FROM:<address>")?;
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" => {
                    let size: u64 = value.parse().map_err(|_| "501 5.5.4 SIZE takes a number")?;
                    if size > self.server.message_bytes {
                        return Err("552 5.3.4 Message too large".into());
                    }
                }
                "BODY" if ["7BIT", "8BITMIME"].iter().any(|known| value.eq_ignore_ascii_case(known)) => {}
                "BODY" => return Err("501 5.5.4 BODY is 7BIT or 8BITMIME".into()),
                _ => return Err(format!("555 5.5.4 Unknown parameter {name}")),
            }
        }
        self.from = Some(from);
        Ok("250 2.1.0 OK".into())
    }

    fn rcpt(&mut self, rest: &str) -> Result<String, String> {
        if self.from.is_none() {
            return Err("503 5.5.1 MAIL first".into());
        }
        let (to, parameters) = argument(rest, "TO:").ok_or("501 5.1.3 RCPT TO:<address>")?;
        if !parameters.trim().is_empty() {
            return Err("555 5.5.4 Unknown parameter".into());
        }
        if to.local.is_empty() {
            return Err("501 5.1.3 The address is empty".into());
        }
        if self.places.len() >= RECIPIENTS_MAX {
            return Err("452 4.5.3 Too many recipients".into());
        }
        let now_s = (self.server.clock)();
        let place =
            self.server.delivery.place_of_address(&to.local, &to.domain, now_s).map_err(|error| reply(&error))?;
        self.places.push(place);
        Ok("250 2.1.5 OK".into())
    }

    /// Reads the message and answers for each recipient, in their order. Also what cannot be taken is read to its end.
    fn message<R: Read>(&mut self, staging: Staging, input: &mut BufReader<R>, out: &mut Vec<u8>) -> io::Result<()> {
        let from = self.from.take().unwrap_or_default();
        let places = std::mem::take(&mut self.places);
        let (unique, numbers) = delivery::distinct(&places);
        let answers: Vec<String> = match self.receive(staging, &from, input)? {
            Err(refused) => unique.iter().map(|_| refused.clone()).collect(),
            Ok(staged) => {
                let now_s = (self.server.clock)();
                let done = self.server.delivery.deliver(&staged, &Marks::default(), &unique, now_s);
                let answer = |one: &Result<(), DeliveryError>| match one {
                    Ok(()) => "250 2.1.5 Delivered".to_owned(),
                    Err(error) => reply(error),
                };
                done.iter().map(answer).collect()
            }
        };
        for (place, number) in places.iter().zip(numbers) {
            let answer = answers.get(number).map_or("451 4.3.0 Not delivered", String::as_str);
            say(out, &format!("{answer} <{}>", place.userid));
        }
        Ok(())
    }

    fn receive<R: Read>(
        &self,
        staging: Staging,
        from: &Mailbox,
        input: &mut BufReader<R>,
    ) -> io::Result<Result<Staged, String>> {
        let mut refused = None;
        let mut staging = Some(staging);
        let (mut decoder, mut lines) = (Decoder::new(), Lines::new(false));
        let (mut raw, mut size) = (Vec::new(), 0u64);
        let mut text = format!("Return-Path: <{from}>\r\n").into_bytes();
        while !decoder.ended() {
            let bytes = match input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let used = decoder.push(bytes, &mut raw);
            input.consume(used);
            size = size.saturating_add(raw.len() as u64);
            if size > self.server.message_bytes && staging.take().is_some() {
                refused = Some("552 5.3.4 Message too large".to_owned());
            }
            if let Some(file) = staging.as_mut() {
                lines.push(&raw, &mut text);
                if let Err(error) = file.write_all(&text) {
                    refused = Some(reply(&delivery::written(error)));
                    staging = None;
                }
            }
            raw.clear();
            text.clear();
        }
        Ok(match (staging, refused) {
            (_, Some(refused)) => Err(refused),
            (_, None) if size == 0 => Err("554 5.6.0 The message is empty".to_owned()),
            (Some(staging), None) => delivery::finish(staging).map_err(|error| reply(&error)),
            (None, None) => Err("451 4.3.0 Not delivered".to_owned()),
        })
    }
}

/// The path behind `FROM:` or `TO:`, and the parameters.
fn argument<'t>(text: &'t str, name: &str) -> Option<(Mailbox, &'t str)> {
    let (given, rest) = text.split_at_checked(name.len())?;
    given.eq_ignore_ascii_case(name).then(|| path::parse(rest)).flatten()
}

fn say(out: &mut Vec<u8>, line: &str) {
    // A text of another room may name a file: no line end of it becomes one of ours.
    out.extend(line.bytes().map(|b| if b.is_ascii_control() { b'?' } else { b }));
    out.extend_from_slice(b"\r\n");
}

/// The answer that a failure gets. What the sender need not know (paths, hosts) is left to the log.
fn reply(error: &DeliveryError) -> String {
    match error.class() {
        Class::NoUser | Class::NoMailbox => "550 5.1.1 No such user".to_owned(),
        Class::NotPermitted => "550 5.7.1 Not permitted".to_owned(),
        Class::Malformed => format!("554 5.6.0 {error}"),
        Class::OverQuota => "452 4.2.2 Over quota".to_owned(),
        Class::NoSpace => "452 4.3.1 No space left".to_owned(),
        Class::Suspended => "450 4.2.1 The mailbox takes no mail now".to_owned(),
        Class::Temporary => "451 4.3.0 Temporary failure".to_owned(),
    }
}
