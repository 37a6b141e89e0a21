//! AUTHENTICATE (RFC 3501 section 6.2.2, RFC 4959): base64 around an exchange of `sasl`. The exchange of lines is the connection's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::login;
use crate::directory::DirectoryError;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::session::Session;
use crate::protocol::login::Proof;
use crate::protocol::sasl::{Exchange, Mechanism, SaslError, Step};

/// What a response leads to.
pub enum Outcome {
    /// The next challenge, in base64.
    Ask(String),
    /// Logged in.
    Done(Answer),
}

/// Begins an exchange; returns the challenge for a client without an initial response, in base64.
///
/// # Errors
/// NO: the mechanism is not known.
pub fn begin(session: &mut Session, mechanism: &str) -> Result<String, Answer> {
    let Some(mechanism) = Mechanism::find(mechanism) else {
        return Err(Answer::no("Authentication mechanism is not supported"));
    };
    let exchange = Exchange::start(mechanism);
    let prompt = STANDARD.encode(exchange.prompt());
    session.exchange = Some(exchange);
    Ok(prompt)
}

/// Takes a response of the client: base64, `*` to give up; `initial` is one behind AUTHENTICATE, where `=` is the empty one.
///
/// # Errors
/// BAD for what is no response, NO when the login failed; the exchange is over.
pub fn respond(session: &mut Session, response: &[u8], initial: bool, now_s: i64) -> Result<Outcome, Answer> {
    let Some(mut exchange) = session.exchange.take() else {
        return Err(Answer::bad("Invalid response"));
    };
    let message = match response {
        b"*" => return Err(Answer::bad("Authentication cancelled")),
        b"=" if initial => Vec::new(),
        _ => STANDARD.decode(response).map_err(|_| Answer::bad("Invalid base64 string"))?,
    };
    let mechanism = exchange.mechanism().name();
    let server = &session.server;
    let step = exchange.respond(&message, &server.directory, |name| server.users().completed(name).into_owned());
    match step {
        Ok(Step::Ask(challenge)) => {
            session.exchange = Some(exchange);
            Ok(Outcome::Ask(STANDARD.encode(challenge)))
        }
        Ok(Step::Password { authzid, authcid, password }) => {
            done(login::admit(session, mechanism, &authzid, &authcid, &Proof::Password(&password), now_s))
        }
        Ok(Step::Proven { authzid, authcid, keys }) => {
            done(login::admit(session, mechanism, &authzid, &authcid, &Proof::Keys(&keys), now_s))
        }
        Err(SaslError::Malformed) => Err(Answer::bad("Invalid response")),
        Err(SaslError::Denied { authcid }) => {
            Err(login::refused(session, mechanism, &authcid, &DirectoryError::BadCredentials))
        }
        Err(SaslError::Directory(error)) => Err(login::refused(session, mechanism, "(unknown)", &error)),
    }
}

/// Whom a response would log in if it is right, in the form that [`login::claimed`] has; `None` for one that decides nothing.
pub fn claimed(session: &Session, response: &[u8]) -> Option<String> {
    let message = STANDARD.decode(response).ok()?;
    Some(login::claimed(session, &session.exchange.as_ref()?.claims(&message)?))
}

fn done(answered: Answered) -> Result<Outcome, Answer> {
    answered.map(Outcome::Done)
}
