//! The command lines. What comes back is the reply; `Err` is a refusal, of which only so many are borne.

use super::answer::{failed, say};
use super::path::{self, Mailbox};
use super::session::{Next, Recipient, Sender, Session};
use super::xclient;
use crate::log::{self, Category};
use crate::ops::delivery;

impl Session {
    /// LHLO: a session begins anew. The lines of the reply go to `out`.
    pub(super) fn lhlo(&mut self, rest: &str, out: &mut Vec<u8>) -> Result<(), String> {
        if rest.is_empty() {
            return Err("501 5.5.4 LHLO and a host name".into());
        }
        self.reset();
        self.greeted = true;
        let size = format!("SIZE {}", self.server.message_bytes);
        let fixed = ["PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING"];
        let starttls = self.client.starttls.then_some("STARTTLS");
        let xclient = self.client.xclient.then_some(xclient::OFFER);
        say(out, &format!("250-{}", self.server.hostname));
        fixed.into_iter().chain(starttls).chain(xclient).for_each(|word| say(out, &format!("250-{word}")));
        say(out, &format!("250 {size}"));
        Ok(())
    }

    pub(super) fn mail(&mut self, rest: &str) -> Result<String, String> {
        if !self.greeted {
            return Err("503 5.5.1 LHLO first".into());
        }
        if self.from.is_some() {
            return Err("503 5.5.1 There is a sender already".into());
        }
        let (mailbox, parameters) = argument(rest, "FROM:").ok_or("501 5.1.7 MAIL FROM:<address>")?;
        let mut utf8 = false;
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" => {
                    let size: u64 =
                        crate::text::number::decimal(value.as_bytes()).ok_or("501 5.5.4 SIZE takes a number")?;
                    if size > self.server.message_bytes {
                        return Err("552 5.3.4 Message too large".into());
                    }
                }
                "BODY" if ["7BIT", "8BITMIME"].iter().any(|known| value.eq_ignore_ascii_case(known)) => {}
                "BODY" => return Err("501 5.5.4 BODY is 7BIT or 8BITMIME".into()),
                "SMTPUTF8" if !parameter.contains('=') => utf8 = true,
                "SMTPUTF8" => return Err("501 5.5.4 SMTPUTF8 has no value".into()),
                _ => return Err(format!("555 5.5.4 Unknown parameter {name}")),
            }
        }
        if !utf8 && !mailbox.is_ascii() {
            return Err("553 5.6.7 SMTPUTF8 is needed for this address".into());
        }
        self.from = Some(Sender { mailbox, utf8 });
        Ok("250 2.1.0 OK".into())
    }

    pub(super) fn rcpt(&mut self, rest: &str, now_s: i64) -> Result<String, String> {
        let utf8 = self.from.as_ref().ok_or("503 5.5.1 MAIL first")?.utf8;
        if self.receiving.is_some() {
            return Err("503 5.5.1 The message has begun".into());
        }
        let (to, parameters) = argument(rest, "TO:").ok_or("501 5.1.3 RCPT TO:<address>")?;
        if !parameters.trim().is_empty() {
            return Err("555 5.5.4 Unknown parameter".into());
        }
        if to.local.is_empty() {
            return Err("501 5.1.3 The address is empty".into());
        }
        if !utf8 && !to.is_ascii() {
            return Err("553 5.6.7 SMTPUTF8 is needed for this address".into());
        }
        if self.recipients.len() >= self.server.recipients_max {
            return Err("452 4.5.3 Too many recipients".into());
        }
        let place = self.server.delivery().place_of_address(&to.local, &to.domain, now_s);
        let place = place.map_err(|error| failed(&format!("recipient <{to}>"), &error))?;
        self.recipients.push(Recipient { address: to, place });
        Ok("250 2.1.5 OK".into())
    }

    /// XCLIENT: the session begins anew for the client that was named. The greeting comes when it may stay ([`Next::Origin`]).
    pub(super) fn xclient(&mut self, rest: &str) -> Result<Next, String> {
        if !self.client.xclient {
            return Err("550 5.7.0 Insufficient authorization".into());
        }
        if self.from.is_some() {
            return Err("503 5.5.1 A mail transaction is in progress".into());
        }
        self.origin.read(rest)?;
        log::information(Category::Protocol, format!("XCLIENT [{}] {}", self.client.name, self.origin));
        self.greeted = false;
        self.reset();
        Ok(Next::Origin(self.origin.client()))
    }

    /// What goes before the message.
    pub(super) fn head(&self) -> Vec<u8> {
        let from = self.from.as_ref().map(|sender| &sender.mailbox);
        let mut head = format!("Return-Path: <{}>\r\n", from.cloned().unwrap_or_default());
        if let ([only], true) = (self.recipients.as_slice(), self.server.delivered_to) {
            head += &format!("Delivered-To: {}\r\n", only.address);
        }
        head.into_bytes()
    }

    /// The state of DATA and BDAT: somebody wants the message.
    pub(super) fn ready_for_message(&self) -> Result<(), String> {
        if self.from.is_none() {
            Err("503 5.5.1 MAIL first".to_owned())
        } else if self.recipients.is_empty() {
            Err("503 5.5.1 No valid recipients".to_owned())
        } else {
            Ok(())
        }
    }

    /// A staging file for the recipients; `Err`: the answer to the whole message.
    pub(super) fn stage(&self) -> Result<crate::store::Staging, String> {
        let places: Vec<_> = self.recipients.iter().map(|one| one.place.clone()).collect();
        let (unique, _) = delivery::distinct(&places);
        self.server.delivery().stage(&unique).map_err(|error| failed("a message", &error))
    }
}

/// The path behind `FROM:` or `TO:`, and the parameters.
fn argument<'t>(text: &'t str, name: &str) -> Option<(Mailbox, &'t str)> {
    let (given, rest) = text.split_at_checked(name.len())?;
    given.eq_ignore_ascii_case(name).then(|| path::parse(rest)).flatten()
}
