//! Commands after which the connection itself is another one: STARTTLS, COMPRESS and UNAUTHENTICATE.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Connection, End, Flow, GREETED_MIN};
use crate::daemon::deflate::Deflated;
use crate::daemon::stream::Stream;
use crate::log::{self, Category};
use crate::os::clock;
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::frame::{Framer, Limits};
use crate::protocol::imap::respond::{self, Status};

impl Connection {
    /// The connection goes under TLS; who is not through by the time a login is due is gone.
    pub(super) async fn encrypt(&mut self) -> Flow<()> {
        let service = Arc::clone(&self.service);
        let (Some(tls), Stream::Plain(plain)) = (&service.tls, std::mem::replace(&mut self.stream, Stream::Closed))
        else {
            return Err(End::Gone);
        };
        let done = tokio::select! {
            done = tls.accept(plain) => done,
            _ = self.stop.wait_for(|stop| *stop) => return Err(End::Gone),
            () = tokio::time::sleep_until(self.deadline) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        match done {
            Ok((stream, bits)) => {
                self.stream = Stream::Tls(stream);
                self.session()?.secured(bits);
                Ok(())
            }
            Err(error) => {
                log::information(Category::Network, format!("TLS with [{}] failed: {error}", self.peer));
                Err(End::Gone)
            }
        }
    }

    /// STARTTLS (RFC 3501 section 6.2.1). What a client sent behind the command was not encrypted: it is not listened to.
    pub(super) async fn start_tls(&mut self, tag: &str) -> Flow<()> {
        let mut out = Vec::new();
        respond::status(&mut out, tag, Status::Ok, None, "Begin TLS negotiation now");
        self.write(&out).await?;
        let behind = self.input.len().saturating_sub(self.at);
        if behind > 0 {
            let words = format!("[{}] sent {behind} bytes in the clear behind STARTTLS; they are ignored", self.peer);
            log::warning(Category::Network, words);
        }
        self.input.clear();
        self.at = 0;
        self.framer = Framer::new(Limits::GREETED);
        self.encrypt().await
    }

    /// COMPRESS (RFC 4978 section 3): the answer goes out as it is, everything behind it compressed. What the client sent behind the command is
    /// compressed, too.
    pub(super) async fn compress(&mut self, tag: &str, algorithm: &str) -> Flow<()> {
        let answer = self.session()?.compress(algorithm);
        self.answer(tag, &answer).await?;
        if answer.status == Status::Ok {
            let behind = self.input.split_off(self.at.min(self.input.len()));
            let inner = std::mem::replace(&mut self.stream, Stream::Closed);
            self.stream = Stream::Deflate(Box::new(Deflated::new(inner, behind)));
            self.input.clear();
            self.at = 0;
        }
        Ok(())
    }

    /// UNAUTHENTICATE (RFC 8437 section 3): the client is a stranger again, with the limits and the time of one.
    pub(super) async fn unauthenticate(&mut self, tag: &str) -> Flow<()> {
        let (began_s, bytes_in, bytes_out) = (self.began_s, self.bytes_in, self.bytes_out);
        let line = self
            .on_worker(false, move |session| {
                session.leave();
                let line = session.close_line(began_s, clock::now_s(), bytes_in, bytes_out);
                session.unauthenticate();
                line
            })
            .await?;
        log::notice(Category::Account, line);
        (self.began_s, self.bytes_in, self.bytes_out) = (clock::now_s(), 0, 0);
        self.stranger = self.door.stranger();
        if self.stranger.is_none() {
            return Err(End::Bye("Too many connections"));
        }
        self.framer.set_limits(Limits::GREETED);
        self.deadline = Instant::now() + clock::minute() * GREETED_MIN;
        self.nonsense = 0;
        self.answer(tag, &Answer::completed()).await
    }
}
