//! Commands after which the connection itself is another one: STARTTLS, COMPRESS and UNAUTHENTICATE.

use super::{Connection, Flow};
use crate::log::{self, Category};
use crate::protocol::imap::answer::Answer;
use crate::protocol::imap::frame::{Framer, Limits};
use crate::protocol::imap::respond::{self, Status};
use crate::protocol::imap::session::Session;

impl Connection {
    /// The connection goes under TLS.
    pub(super) async fn encrypt(&mut self) -> Flow<()> {
        let bits = self.line.encrypt().await?;
        self.session()?.secured(bits);
        Ok(())
    }

    /// STARTTLS (RFC 3501 section 6.2.1). What a client sent behind the command was not encrypted: it is not listened to.
    pub(super) async fn start_tls(&mut self, tag: &str) -> Flow<()> {
        let mut out = Vec::new();
        respond::status(&mut out, tag, Status::Ok, None, "Begin TLS negotiation now");
        self.write(&out).await?;
        self.line.forget_behind("STARTTLS");
        self.framer = Framer::new(Limits::GREETED);
        self.encrypt().await
    }

    /// COMPRESS (RFC 4978 section 3): the answer goes out as it is, everything behind it compressed. What the client sent behind the command is
    /// compressed, too.
    pub(super) async fn compress(&mut self, tag: &str, algorithm: &str) -> Flow<()> {
        let answer = self.session()?.compress(algorithm);
        self.answer(tag, &answer).await?;
        if answer.status == Status::Ok {
            self.line.deflate();
        }
        Ok(())
    }

    /// UNAUTHENTICATE (RFC 8437 section 3): the client is a stranger again, with the limits and the time of one.
    pub(super) async fn unauthenticate(&mut self, tag: &str) -> Flow<()> {
        let line = self.leave().await?;
        self.on_worker(false, Session::unauthenticate).await?;
        log::notice(Category::Account, line);
        self.line.logged_out()?;
        self.framer.set_limits(Limits::GREETED);
        self.nonsense = 0;
        self.answer(tag, &Answer::completed()).await
    }
}
