//! Logging in: USER and PASS, AUTH (RFC 5034), and what both end with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer::{Refusal, of_directory};
use super::parse::Secret;
use super::respond::{self, Code};
use super::session::{Login, Progress, Session};
use crate::directory::DirectoryError;
use crate::log::{self, Category};
use crate::ops::account;
use crate::ops::maildrop::Maildrop;
use crate::protocol::login::{Identity, Proof};
use crate::protocol::sasl::{Exchange, Mechanism, SaslError, Step};
use crate::store::{Access, Who};

/// The name of the service in `mailAllowedServiceAccess`.
const SERVICE: &str = "pop";

impl Session {
    /// Begins an exchange. Without an initial response the first challenge is written.
    pub(super) fn begin_exchange(
        &mut self,
        mechanism: &str,
        with_response: bool,
        out: &mut Vec<u8>,
    ) -> Option<Progress> {
        let refusal = match Mechanism::find(mechanism) {
            None => Refusal::new("Authentication mechanism is not supported"),
            Some(found) if found.sends_password() && !self.password_allowed() => private(),
            Some(_) if !self.login_allowed() => private(),
            Some(found) => {
                let exchange = Exchange::start(found);
                let challenge = STANDARD.encode(exchange.prompt());
                self.exchange = Some(exchange);
                if with_response {
                    return None;
                }
                respond::continuation(out, &challenge);
                return Some(Progress::Asked);
            }
        };
        refusal.write(out);
        Some(Progress::Done)
    }

    /// A response of the exchange under way: base64 as it came, `*` to cancel. `initial`: it came with AUTH, where `=` is the empty one.
    pub fn authenticate(&mut self, response: &[u8], initial: bool, now_s: i64, out: &mut Vec<u8>) -> Progress {
        match self.take_response(response, initial, now_s) {
            Ok(Some(challenge)) => {
                respond::continuation(out, &challenge);
                Progress::Asked
            }
            Ok(None) => self.welcome(out),
            Err(refusal) => self.failed(&refusal, out),
        }
    }

    /// The next challenge; `None`: logged in.
    fn take_response(&mut self, response: &[u8], initial: bool, now_s: i64) -> Result<Option<String>, Refusal> {
        let Some(mut exchange) = self.exchange.take() else {
            return Err(Refusal::new("Invalid response"));
        };
        let message = match response {
            b"*" => return Err(Refusal::new("Authentication cancelled")),
            b"=" if initial => Vec::new(),
            _ => STANDARD.decode(response).map_err(|_| Refusal::new("Invalid base64 string"))?,
        };
        let mechanism = exchange.mechanism().name();
        let server = self.server();
        let step = exchange.respond(&message, &server.directory, |name| server.users().completed(name).into_owned());
        match step {
            Ok(Step::Ask(challenge)) => {
                self.exchange = Some(exchange);
                return Ok(Some(STANDARD.encode(challenge)));
            }
            Ok(Step::Password { authzid, authcid, password }) => {
                self.admit(mechanism, &authzid, &authcid, &Proof::Password(&password), now_s)?;
            }
            Ok(Step::Proven { authzid, authcid, keys }) => {
                self.admit(mechanism, &authzid, &authcid, &Proof::Keys(&keys), now_s)?;
            }
            Err(SaslError::Malformed) => return Err(Refusal::new("Invalid response")),
            Err(SaslError::Denied { authcid }) => {
                return Err(self.denied(mechanism, &authcid, &DirectoryError::BadCredentials));
            }
            Err(SaslError::Directory(error)) => return Err(self.denied(mechanism, "(unknown)", &error)),
        }
        Ok(None)
    }

    /// PASS, behind a USER.
    pub(super) fn pass(&mut self, user: &str, password: &Secret, now_s: i64, out: &mut Vec<u8>) -> Progress {
        match self.admit("plaintext", user, user, &Proof::Password(&password.0), now_s) {
            Ok(()) => self.welcome(out),
            Err(refusal) => self.failed(&refusal, out),
        }
    }

    /// Checks that the client is `authcid` and opens the maildrop of `authzid`: of the same user, or of anybody for a store administrator.
    fn admit(
        &mut self,
        mechanism: &str,
        authzid: &str,
        authcid: &str,
        proof: &Proof<'_>,
        now_s: i64,
    ) -> Result<(), Refusal> {
        let server = self.server();
        let Identity { user, by_proxy } =
            match server.users().identify((SERVICE, self.peer().ip()), authzid, authcid, proof) {
                Ok(identity) => identity,
                Err(error) => return Err(self.denied(mechanism, authcid, &error)),
            };
        let account = account::of_user(&server.store, &user, now_s)?;
        let store = server.store.acting_for(Who {
            account,
            userid: user.userid.clone(),
            groups: user.groups.clone(),
            default_domain: server.default_domain.clone().unwrap_or_default(),
            admin: server.users().is_admin(&user),
            stranger: false,
        });
        let maildrop = Maildrop::open(&store, account)?;
        // A store administrator who acts for the user is not the user.
        if by_proxy {
            let words = format!("proxy login: [{}] {mechanism} {authcid} as {}", self.peer(), user.userid);
            log::notice(Category::Account, words);
        } else if server.min_poll_s > 0 {
            let least_s = i64::from(server.min_poll_s);
            if let Some(left_s) = server.store.note_poll(account, Access::Pop, now_s, least_s)? {
                let words = format!("The least time between two logins is {least_s} seconds, {left_s} are left");
                return Err(Refusal::with(Code::LoginDelay, words));
            }
        } else if let Err(error) = server.store.note_access(account, Access::Pop, now_s) {
            log::warning(Category::Store, format!("the last access of {} is not recorded: {error}", user.userid));
        }
        let cleartext = matches!(proof, Proof::Password(_)) && self.is_open();
        self.login = Some(Login { userid: user.userid, store, maildrop, cleartext });
        Ok(())
    }

    fn denied(&self, mechanism: &str, authcid: &str, error: &DirectoryError) -> Refusal {
        log::notice(Category::Account, format!("badlogin: [{}] {mechanism} {authcid} {error}", self.peer()));
        of_directory(error)
    }

    /// True when the next response of AUTH makes a question to the directory, which may be slow.
    pub fn asks_directory(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::asks_directory)
    }

    /// Whom a response would log in if it is right, as tries are counted; `None` for one that decides nothing.
    pub fn claimed_by_response(&self, response: &[u8]) -> Option<String> {
        let message = STANDARD.decode(response).ok()?;
        Some(self.server().users().claimed(&self.exchange.as_ref()?.claims(&message)?))
    }

    /// Whom PASS would log in.
    pub fn claimed_by_user(&self) -> Option<String> {
        Some(self.server().users().claimed(self.user.as_deref()?))
    }
}

/// The answer to a login that wants encryption first.
pub(super) fn private() -> Refusal {
    Refusal::new("Login in the clear is disabled")
}
