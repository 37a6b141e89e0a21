//! **Here**: the mechanisms by which a client tells who it is (RFC 4422): PLAIN, LOGIN, SCRAM-SHA-1, SCRAM-SHA-256. Bytes in, bytes out.
//! **Not here**: base64 and lines (the protocols), passwords and keys (`directory`), who may act for whom (the protocols' login).
//! **Start**: [`Exchange::start`], then [`Exchange::respond`] until it says who.
//! **Rules**: what a client sends does not print; unknown users and wrong passwords fail alike, at the same step.

mod privacy;
mod scram;

pub use privacy::Privacy;
use scram::Scram;

use crate::directory::scram::{Hash, Keys};
use crate::directory::{Directory, DirectoryError};

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616: everything in one message.
    Plain,
    /// User name and password one after the other, as old clients do (draft-murchison-sasl-login).
    Login,
    /// RFC 5802 and RFC 7677: the password is never sent.
    Scram(Hash),
}

impl Mechanism {
    /// The mechanism of this name, in any case.
    pub fn find(name: &str) -> Option<Mechanism> {
        let scram = Hash::ALL.map(Mechanism::Scram);
        [Mechanism::Plain, Mechanism::Login]
            .into_iter()
            .chain(scram)
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::Scram(hash) => hash.scheme(),
        }
    }

    /// True when the password itself goes over the wire.
    pub fn sends_password(self) -> bool {
        !matches!(self, Mechanism::Scram(_))
    }
}

/// What a response leads to.
#[derive(PartialEq, Eq)]
pub enum Step {
    /// This challenge is next.
    Ask(Vec<u8>),
    /// The client says that it is `authcid`, and shows it by a password that is still to be checked.
    Password {
        /// Whose mail is wanted; equal to `authcid` where the client did not say.
        authzid: String,
        /// Who the client is.
        authcid: String,
        /// The password, any bytes.
        password: Vec<u8>,
    },
    /// The client is `authcid`, if that still has these keys.
    Proven {
        /// Whose mail is wanted; equal to `authcid` where the client did not say.
        authzid: String,
        /// Who the client is.
        authcid: String,
        /// What it has proved to know the password of.
        keys: Keys,
    },
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Ask(_) => f.write_str("Ask"),
            Step::Password { authzid, authcid, .. } => write!(f, "Password({authzid:?}, {authcid:?})"),
            Step::Proven { authzid, authcid, .. } => write!(f, "Proven({authzid:?}, {authcid:?})"),
        }
    }
}

/// Why an exchange ends without anybody.
#[derive(Debug, thiserror::Error)]
pub enum SaslError {
    /// The message is not one of the mechanism.
    #[error("Invalid response")]
    Malformed,
    /// The proof is wrong, for a known user or an unknown one.
    #[error("authentication failure of {authcid}")]
    Denied {
        /// Who the client said it is.
        authcid: String,
    },
    /// The directory did not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// One exchange, until somebody is known or it failed.
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

enum State {
    Plain,
    LoginUser,
    LoginPassword(String),
    Scram(Hash, Box<Scram>),
}

impl Exchange {
    /// Begins one.
    pub fn start(mechanism: Mechanism) -> Exchange {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
            Mechanism::Scram(hash) => State::Scram(hash, Box::default()),
        };
        Exchange { mechanism, state }
    }

    /// The mechanism.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// True when the next message makes a question to the directory, which may be slow: with a password, or a step of SCRAM.
    pub fn asks_directory(&self) -> bool {
        !matches!(self.state, State::LoginUser)
    }

    /// What a client is asked first that did not begin by itself.
    pub fn prompt(&self) -> &'static [u8] {
        match self.state {
            State::LoginUser => b"Username:",
            _ => b"",
        }
    }

    /// Who the client says it is, when `message` is the one that the exchange is decided by.
    pub fn claims(&self, message: &[u8]) -> Option<String> {
        match &self.state {
            State::Plain => match plain(message) {
                Some(Step::Password { authcid, .. }) => Some(authcid),
                _ => None,
            },
            State::LoginUser => None,
            State::LoginPassword(user) => Some(user.clone()),
            State::Scram(_, scram) => scram.claims().map(str::to_owned),
        }
    }

    /// Takes the next message of the client. It may ask the directory, so it belongs on a worker. `complete` makes a login name whole, where
    /// a domain is assumed.
    ///
    /// # Errors
    /// [`SaslError`]: the exchange is over.
    pub fn respond(
        &mut self,
        message: &[u8],
        directory: &Directory,
        complete: impl Fn(&str) -> String,
    ) -> Result<Step, SaslError> {
        match &mut self.state {
            State::Plain => plain(message).ok_or(SaslError::Malformed),
            State::LoginUser => {
                let user = std::str::from_utf8(message).ok().filter(|user| !user.is_empty() && !user.contains('\0'));
                self.state = State::LoginPassword(user.ok_or(SaslError::Malformed)?.to_owned());
                Ok(Step::Ask(b"Password:".to_vec()))
            }
            State::LoginPassword(user) => {
                let authcid = std::mem::take(user);
                Ok(Step::Password { authzid: authcid.clone(), authcid, password: message.to_vec() })
            }
            State::Scram(hash, scram) => {
                let found = |user: &str| Ok(directory.scram_keys(&complete(user), *hash)?);
                scram.respond(message, scram::nonce, found)
            }
        }
    }
}

/// `authzid NUL authcid NUL password` (RFC 4616 section 2).
fn plain(message: &[u8]) -> Option<Step> {
    let mut fields = message.split(|byte| *byte == 0);
    let (authzid, authcid, password) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() || authcid.is_empty() {
        return None;
    }
    let authzid = if authzid.is_empty() { authcid } else { authzid };
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some(Step::Password { authzid: text(authzid)?, authcid: text(authcid)?, password: password.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_plain() {
        let step = |authzid: &str, password: &[u8]| {
            let (authzid, authcid) = (authzid.to_owned(), "joe".to_owned());
            Some(Step::Password { authzid, authcid, password: password.to_vec() })
        };
        assert_eq!(plain(b"\0joe\0secret"), step("joe", b"secret"));
        assert_eq!(plain(b"mary\0joe\0"), step("mary", b""));
        for wrong in [&b"joe\0secret"[..], b"\0\0x", b"a\0b\0c\0d", b"", b"\xff\0joe\0x"] {
            assert_eq!(plain(wrong), None);
        }
    }

    #[test]
    fn login_asks_twice() {
        let dir = tempfile::tempdir().unwrap();
        let directory = Directory::open(&dir.path().join("none"), crate::directory::Options::default());
        let mut exchange = Exchange::start(Mechanism::find("login").unwrap());
        assert_eq!(exchange.prompt(), b"Username:");
        let mut respond = |message: &[u8]| exchange.respond(message, &directory, str::to_owned);
        assert_eq!(respond(b"joe").unwrap(), Step::Ask(b"Password:".to_vec()));
        let last = respond(b"s\xff").unwrap();
        assert_eq!(
            last,
            Step::Password { authzid: "joe".to_owned(), authcid: "joe".to_owned(), password: b"s\xff".to_vec() }
        );
        assert_eq!(format!("{last:?}"), "Password(\"joe\", \"joe\")");
        for wrong in [&b""[..], b"a\0b", b"\xff"] {
            let mut exchange = Exchange::start(Mechanism::Login);
            assert!(matches!(exchange.respond(wrong, &directory, str::to_owned), Err(SaslError::Malformed)));
        }
        assert_eq!(Mechanism::find("CRAM-MD5"), None);
    }
}
