//! One session: who is logged in, what is selected, which command may run when; one command at a time.
//!
//! [`Session::begin`] and [`Session::go_on`] block (store, directory) and belong on a worker; [`Session::in_place`] never does. What they write goes
//! to the client after they return, so nothing of the store is held while the network is slow; a long answer comes in pieces ([`Progress::More`]).

use std::net::SocketAddr;
use std::sync::Arc;

use super::answer::{Answer, Answered};
use super::command;
use super::command::append::Append;
use super::command::authenticate::Outcome;
use super::command::enable::{self, Enabled};
use super::parse::{Command, Request, Returned};
use super::place;
use super::respond::{self, Code, Status};
pub(super) use super::running::Running;
use super::selected::{Deleted, Selected, Told};
use super::server::Server;
use crate::log::{self, Category};
use crate::ops::quota::status;
use crate::protocol::sasl::{Exchange, Mechanism};
use crate::store::{AccountId, FolderId, FolderPath, Kind, Modseq, Rights, Store, StoreError, Who};

/// Who is logged in.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user whose mail it is.
    pub userid: String,
    /// The account.
    pub account: AccountId,
    /// A store administrator.
    pub admin: bool,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Answered.
    Done,
    /// Send what was written, then call [`Session::go_on`].
    More,
    /// A challenge of AUTHENTICATE: the next line is the response.
    Asked,
    /// Answered, a failed login: wait before sending.
    Failed,
    /// Answered, the connection ends.
    Bye,
}

/// Sums for the log line at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Mailboxes selected.
    pub selected: u64,
    /// Commands.
    pub commands: u64,
    /// Failed logins.
    pub failed: u32,
}

/// A session.
pub struct Session {
    pub(super) server: Arc<Server>,
    pub(super) peer: SocketAddr,
    pub(super) login: Option<Login>,
    /// The mail store, acting for who is logged in.
    pub(super) store: Store,
    pub(super) selected: Option<Selected>,
    pub(super) append: Option<Box<Append>>,
    /// An AUTHENTICATE that waits for a response.
    pub(super) exchange: Option<Exchange>,
    /// Bits of the key of an encrypted connection.
    bits: Option<u16>,
    /// The password went over the wire as it is.
    pub(super) cleartext: bool,
    /// Everything goes through DEFLATE (RFC 4978).
    pub(super) compressed: bool,
    running: Option<(String, Running)>,
    pub(super) told: Told,
    pub(super) enabled: Enabled,
    /// Sums so far.
    pub counts: Counts,
}

/// Failed logins after which a client is sent away.
const FAILURES: u32 = 10;

impl Session {
    /// A session with a client at `peer`.
    pub fn new(server: Arc<Server>, peer: SocketAddr) -> Session {
        Session {
            store: server.store.acting_for(Who::stranger()),
            server,
            peer,
            login: None,
            selected: None,
            append: None,
            exchange: None,
            bits: None,
            cleartext: false,
            compressed: false,
            running: None,
            told: Told::default(),
            enabled: Enabled::default(),
            counts: Counts::default(),
        }
    }

    /// The connection is encrypted from now on, with a key of so many bits.
    pub fn secured(&mut self, bits: u16) {
        self.bits = Some(bits);
    }

    /// True for a store administrator.
    pub(super) fn is_admin(&self) -> bool {
        self.login.as_ref().is_some_and(|login| login.admin)
    }

    /// True when nothing encrypts the connection.
    pub(super) fn is_open(&self) -> bool {
        self.bits.is_none()
    }

    /// True when the login has sent the password as it is.
    pub fn is_cleartext(&self) -> bool {
        self.cleartext
    }

    pub(super) fn login_allowed(&self) -> bool {
        self.server.privacy.allows_login(self.peer.ip(), self.bits)
    }

    pub(super) fn password_allowed(&self) -> bool {
        self.server.privacy.allows_password(self.peer.ip(), self.bits)
    }

    /// Forgets an AUTHENTICATE that was under way.
    pub fn forget_exchange(&mut self) {
        self.exchange = None;
    }

    /// True when the next response of AUTHENTICATE makes a question to the directory, which may be slow.
    pub fn asks_directory(&self) -> bool {
        self.exchange.as_ref().is_some_and(Exchange::asks_directory)
    }

    pub(super) fn starttls(&self) -> bool {
        // TLS goes below compression, never above it (RFC 4978 section 4).
        self.server.starttls && self.bits.is_none() && self.login.is_none() && !self.compressed
    }

    /// Writes the greeting.
    pub fn greet(&self, out: &mut Vec<u8>) {
        respond::status(out, "*", Status::Ok, None, &self.server.banner);
    }

    /// The user id, once somebody is logged in.
    pub fn userid(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.userid.as_str())
    }

    /// Nothing of the command under way is half written.
    pub fn is_between_lines(&self) -> bool {
        self.running.as_ref().is_none_or(|(_, running)| running.progress().is_some())
    }

    /// The folder to watch, the selected one, and the mod-sequence up to which the session has seen its changes.
    pub fn watched(&self) -> Option<(AccountId, FolderId, Modseq)> {
        self.selected.as_ref().map(|selected| (selected.account, selected.folder, selected.seen_modseq()))
    }

    /// Answers commands that need nothing but the session itself. `None`: this one needs a worker.
    pub fn in_place(&mut self, request: &Request, out: &mut Vec<u8>) -> Option<Progress> {
        let answer = match &request.command {
            Command::Capability => {
                respond::capability(out, &self.capabilities());
                Answer::completed()
            }
            Command::Noop if self.selected.is_none() => Answer::completed(),
            Command::Logout => {
                respond::status(out, "*", Status::Bye, None, "LOGOUT received");
                self.counts.commands += 1;
                Answer::completed().write(&request.tag, out);
                return Some(Progress::Bye);
            }
            Command::Id(_) => command::id::run(out),
            Command::Authenticate { mechanism, initial } => {
                let begun = match self.refusal(&request.command) {
                    Some(answer) => Err(answer),
                    None => command::authenticate::begin(self, mechanism),
                };
                match begun {
                    // The response is there already.
                    Ok(_) if initial.is_some() => return None,
                    Ok(challenge) => {
                        respond::continuation(out, &challenge);
                        return Some(Progress::Asked);
                    }
                    Err(answer) => answer,
                }
            }
            _ => self.refusal(&request.command)?,
        };
        self.counts.commands += 1;
        answer.write(&request.tag, out);
        Some(Progress::Done)
    }

    /// Why the command is not allowed in the present state.
    pub fn refusal(&self, command: &Command) -> Option<Answer> {
        use Command as C;
        let needs_selected = uses_mailbox(command) || matches!(command, C::Check | C::Close | C::Unselect);
        let any = matches!(command, C::Capability | C::Noop | C::Logout | C::Id(_) | C::StartTls);
        let greeting = matches!(command, C::Login { .. } | C::Authenticate { .. });
        let allowed = if sends_password(command) { self.password_allowed() } else { self.login_allowed() };
        if greeting && self.login.is_none() && !allowed {
            return Some(Answer::no_with(Code::PrivacyRequired, "Login in the clear is disabled"));
        }
        if matches!(command, C::StartTls) && !self.starttls() {
            return Some(Answer::bad(match (&self.login, self.bits) {
                (Some(_), _) => "Already logged in",
                (None, Some(_)) => "TLS is active already",
                (None, None) => "STARTTLS is not available",
            }));
        }
        match (&self.login, &self.selected) {
            _ if any => None,
            (Some(_), _) if greeting => Some(Answer::bad("Already logged in")),
            (None, _) if greeting => None,
            (None, _) => Some(Answer::bad("Please login first")),
            (Some(_), None) if needs_selected => Some(Answer::bad("Please select a mailbox first")),
            _ => None,
        }
    }

    /// Runs a command that [`Session::in_place`] left.
    pub fn begin(&mut self, request: Request, now_s: i64, out: &mut Vec<u8>) -> Progress {
        self.counts.commands += 1;
        let Request { tag, command } = request;
        if let Some(answer) = self.refusal(&command) {
            answer.write(&tag, out);
            return Progress::Done;
        }
        if uses_mailbox(&command) {
            match self.selected_rights() {
                Ok(None) => {
                    place::nonexistent().write(&tag, out);
                    respond::status(out, "*", Status::Bye, None, "Mailbox has been deleted");
                    return Progress::Bye;
                }
                // Taken away since it was selected (RFC 4314 section 5.1.1).
                Ok(Some(rights)) if !rights.contains(Rights::READ) => {
                    place::denied().write(&tag, out);
                    return Progress::Done;
                }
                Ok(Some(_)) => {}
                // What cannot be checked is not allowed.
                Err(error) => {
                    Answer::from(error).write(&tag, out);
                    return Progress::Done;
                }
            }
        }
        if enable::implied(&command) {
            self.enable_condstore(out);
        }
        self.told = told_after(&command, self.enabled);
        let login = matches!(command, Command::Login { .. });
        let answered = match command {
            Command::Fetch { uid, set, items, modifiers } => {
                command::fetch::start(self, uid, &set, items, modifiers).map(Started::Running)
            }
            Command::Select(opening) => command::select::run(self, &opening, false, out),
            Command::Examine(opening) => command::select::run(self, &opening, true, out),
            // RFC 6855 section 3: UTF-8 is the only one then.
            Command::Search { charset: Some(_), .. } if self.enabled.utf8 => {
                Err(Answer::bad("CHARSET is not allowed when UTF8=ACCEPT is enabled"))
            }
            // The same, where a character set must be named (erratum 4029).
            Command::Sort { ref charset, .. } | Command::Thread { ref charset, .. }
                if self.enabled.utf8 && !charset.eq_ignore_ascii_case("UTF-8") =>
            {
                Err(Answer::bad("CHARSET must be UTF-8 when UTF8=ACCEPT is enabled"))
            }
            Command::Search { uid, returned, charset, key } => {
                // RFC 9051 section 6.4.4: the answer is an ESEARCH, also where no options are given.
                let all = self.enabled.rev2.then(Returned::everything);
                let form = returned.or(all).map(|returned| (tag.clone(), returned));
                command::search::start(self, uid, form, charset.as_deref(), key, now_s).map(Started::Running)
            }
            Command::Sort { uid, returned, criteria, charset, key } => {
                let form = returned.map(|returned| (tag.clone(), returned));
                command::sort::start(self, uid, form, (criteria, &charset, key), now_s).map(Started::Running)
            }
            Command::Thread { uid, algorithm, charset, key } => {
                command::thread::start(self, uid, algorithm, (&charset, key), now_s).map(Started::Running)
            }
            other => self.dispatch(other, now_s, out).map(Started::Answer),
        };
        let answer = match answered {
            Ok(Started::Running(running)) => {
                self.running = Some((tag, running));
                return self.go_on(out);
            }
            Ok(Started::Answer(answer)) | Err(answer) => answer,
        };
        if login && answer.status != Status::Ok {
            return self.failed(&tag, &answer, out);
        }
        self.finish(&tag, &answer, out)
    }

    fn dispatch(&mut self, command: Command, now_s: i64, out: &mut Vec<u8>) -> Answered {
        use Command as C;
        match command {
            C::Login { user, password } => command::login::run(self, &user, &password, now_s),
            C::Create { mailbox, uses } => command::create::run(self, &mailbox, uses.as_deref(), now_s, out),
            C::Delete(name) => command::delete::run(self, &name, now_s, out),
            C::Rename { from, to } => command::rename::run(self, &from, &to, now_s, out),
            C::Subscribe(name) => command::subscribe::run(self, &name, true),
            C::Unsubscribe(name) => command::subscribe::run(self, &name, false),
            C::List(listing) => command::list::run(self, &listing, out),
            C::Lsub { reference, pattern } => command::lsub::run(self, &reference, &pattern, out),
            C::Status { mailbox, items } => command::status::run(self, &mailbox, &items, out),
            C::Close => command::close::run(self, now_s),
            C::Unselect => {
                self.leave();
                Ok(Answer::completed())
            }
            C::Expunge => command::expunge::run(self, None, now_s),
            C::UidExpunge(set) => command::expunge::run(self, Some(&set), now_s),
            C::Store { uid, set, op, silent, flags, unchanged_since } => {
                let arguments = command::store::Arguments { uid, set, op, silent, flags, unchanged_since };
                let (known, answer) = command::store::run(self, &arguments, out)?;
                self.told.known.extend(known);
                Ok(answer)
            }
            C::Copy { uid, set, mailbox } => command::copy::run(self, uid, &set, &mailbox, now_s),
            C::Move { uid, set, mailbox } => command::mv::run(self, uid, &set, &mailbox, now_s, out),
            C::Namespace => Ok(command::namespace::run(out)),
            C::Enable(names) => Ok(command::enable::run(self, &names, out)),
            C::GetQuota(root) => command::quota::get(self, &root, out),
            C::GetQuotaRoot(mailbox) => command::quota::root(self, &mailbox, out),
            C::SetAcl { mailbox, identifier, change } => command::acl::set(self, &mailbox, &identifier, change),
            C::DeleteAcl { mailbox, identifier } => command::acl::delete(self, &mailbox, &identifier),
            C::GetAcl(mailbox) => command::acl::get(self, &mailbox, out),
            C::ListRights { mailbox, identifier } => command::acl::list_rights(self, &mailbox, &identifier, out),
            C::MyRights(mailbox) => command::acl::my_rights(self, &mailbox, out),
            C::SetQuota { root, limits } => command::quota::set(self, &root, &limits, now_s, out),
            // Noop and Check: the news at the end are the answer.
            _ => Ok(Answer::completed()),
        }
    }

    /// Goes on with a command that is not over.
    pub fn go_on(&mut self, out: &mut Vec<u8>) -> Progress {
        let Some((tag, mut running)) = self.running.take() else {
            return Progress::Done;
        };
        let step = running.step(self, out);
        if step.is_err() && matches!(&running, Running::Fetch(fetch) if fetch.is_opening()) {
            self.leave();
        }
        match step {
            Ok(None) => {
                self.running = Some((tag, running));
                Progress::More
            }
            Ok(Some(answer)) | Err(answer) => {
                if let Running::Fetch(fetch) = running {
                    if fetch.is_broken() {
                        return Progress::Bye;
                    }
                    self.told.known.extend(fetch.known);
                }
                self.finish(&tag, &answer, out)
            }
        }
    }

    /// Tells the client that its command runs (RFC 9585 section 3), unless a response is half written.
    pub fn tell_progress(&self, out: &mut Vec<u8>) {
        if let Some((tag, running)) = &self.running
            && let Some(progress) = running.progress()
        {
            respond::in_progress(out, tag, Some(progress));
        }
    }

    /// A response of AUTHENTICATE, which [`Session::in_place`] has begun: base64 as it came, `*` to cancel. `initial`: it came with the
    /// command, where `=` is the empty one.
    pub fn authenticate(
        &mut self,
        tag: &str,
        response: &[u8],
        initial: bool,
        now_s: i64,
        out: &mut Vec<u8>,
    ) -> Progress {
        let answered = command::authenticate::respond(self, response, initial, now_s);
        self.counts.commands += u64::from(self.exchange.is_none());
        match answered {
            Ok(Outcome::Ask(challenge)) => {
                respond::continuation(out, &challenge);
                Progress::Asked
            }
            Ok(Outcome::Done(answer)) => self.finish(tag, &answer, out),
            Err(answer) => self.failed(tag, &answer, out),
        }
    }

    /// A login that came to nothing counts, also one that was given up or is no message of its mechanism: who only wants to hear the first
    /// challenge would have more tries.
    fn failed(&mut self, tag: &str, answer: &Answer, out: &mut Vec<u8>) -> Progress {
        answer.write(tag, out);
        if matches!(answer.code, Some(Code::Unavailable | Code::InUse)) {
            // Nobody could look at the password, or it was right: that is no guess.
            return Progress::Done;
        }
        self.counts.failed += 1;
        if self.counts.failed >= FAILURES {
            respond::status(out, "*", Status::Bye, None, "Too many failed logins");
            return Progress::Bye;
        }
        Progress::Failed
    }

    /// The command under way uses no numbers: expunges may be told at its end.
    pub(super) fn tell_expunges(&mut self) {
        self.told.expunges = true;
    }

    /// The command under way has expunged messages: its OK says up to which mod-sequence all is told then (RFC 7162 sections 3.2.7, 3.2.9).
    pub(super) fn tell_modseq(&mut self, expunged: bool) {
        self.told.modseq |= expunged;
    }

    /// Writes the news of the mailbox, then the tagged answer.
    pub(super) fn finish(&mut self, tag: &str, answer: &Answer, out: &mut Vec<u8>) -> Progress {
        let told = std::mem::take(&mut self.told);
        match self.refresh(&told, out) {
            Ok(Ok(())) => {
                let modseq = self.selected.as_ref().filter(|_| self.enabled.qresync && told.modseq);
                match (modseq, answer) {
                    (Some(selected), Answer { status: Status::Ok, code: None, .. }) => {
                        let code = Some(Code::HighestModseq(selected.known_modseq()));
                        Answer { code, ..answer.clone() }.write(tag, out);
                    }
                    _ => answer.write(tag, out),
                }
                Progress::Done
            }
            Ok(Err(Deleted)) => {
                answer.write(tag, out);
                respond::status(out, "*", Status::Bye, None, "Mailbox has been deleted");
                Progress::Bye
            }
            Err(error) => {
                // The command is done: its answer counts, the news come the next time.
                log::error(Category::Store, format!("news of the selected mailbox: {error}"));
                answer.write(tag, out);
                Progress::Done
            }
        }
    }

    /// Tells what happened in the selected mailbox while the client idles (RFC 2177), or else between its commands (RFC 3501 section 5.3), where
    /// whatever cannot be told then is left to the next one.
    pub fn news(&mut self, idling: bool, out: &mut Vec<u8>) -> Progress {
        let told = Told { expunges: idling, between: !idling, ..Told::default() };
        match self.refresh(&told, out) {
            Ok(Ok(())) => Progress::Done,
            // The next command says so.
            Ok(Err(Deleted)) | Err(_) if !idling => Progress::Done,
            Ok(Err(Deleted)) => {
                respond::status(out, "*", Status::Bye, None, "Mailbox has been deleted");
                Progress::Bye
            }
            Err(error) => {
                Answer::from(error).write("*", out);
                Progress::Bye
            }
        }
    }

    fn refresh(&mut self, told: &Told, out: &mut Vec<u8>) -> Result<Result<(), Deleted>, StoreError> {
        match self.selected.as_mut() {
            Some(selected) => selected.refresh(&self.store, told, self.enabled, out),
            None => Ok(Ok(())),
        }
    }

    /// The mail store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// True when somebody deleted the selected mailbox; a new one may have its name.
    ///
    /// # Errors
    /// What the store says.
    pub(super) fn is_deleted(&self) -> Result<bool, StoreError> {
        Ok(self.selected.is_some() && self.selected_rights()?.is_none())
    }

    /// Leaves the selected mailbox.
    pub fn leave(&mut self) {
        let Some(selected) = self.selected.take() else { return };
        // There may be room again in the mailbox.
        status::follow(&self.server.quota.now(), &self.server.store, &self.server.directory, selected.account);
        if !selected.claims {
            return;
        }
        if let Err(error) = self.store.settle_recent(selected.account, selected.folder)
            && error.kind() != Kind::NotFound
        {
            log::error(Category::Store, format!("recent messages of {}: {error}", selected.name));
        }
    }

    /// The account of the user.
    pub(super) fn account(&self) -> Result<AccountId, Answer> {
        self.login.as_ref().map(|login| login.account).ok_or_else(|| Answer::bad("Please login first"))
    }

    /// The path of a mailbox name of a client.
    pub(super) fn path(&self, name: &str) -> Result<FolderPath, Answer> {
        self.normalised(FolderPath::parse(name)?)
    }

    /// The selected mailbox.
    pub(super) fn mailbox(&mut self) -> Result<&mut Selected, Answer> {
        self.selected.as_mut().ok_or_else(|| Answer::bad("Please select a mailbox first"))
    }

    /// The selected mailbox, if it may be changed.
    pub(super) fn writable(&mut self) -> Result<&mut Selected, Answer> {
        let selected = self.mailbox()?;
        if selected.read_only {
            return Err(Answer::no_with(Code::ReadOnly, "Mailbox is read-only"));
        }
        Ok(selected)
    }

    /// The line that the log gets when the session ends: address, user, login time, length, bytes, mailboxes selected.
    pub fn close_line(&self, began_s: i64, ended_s: i64, bytes_in: u64, bytes_out: u64) -> String {
        let user = self.userid().unwrap_or("unauthenticated");
        let sums = format!("{bytes_in} {bytes_out} {}", self.counts.selected);
        log::close_line(self.peer.ip(), user, began_s, ended_s, &sums)
    }
}

/// True for commands that send the password itself, encrypted or not.
fn sends_password(command: &Command) -> bool {
    match command {
        Command::Login { .. } => true,
        Command::Authenticate { mechanism, .. } => Mechanism::find(mechanism).is_some_and(Mechanism::sends_password),
        _ => false,
    }
}

/// True for commands that read or change the messages of the selected mailbox.
fn uses_mailbox(command: &Command) -> bool {
    use Command as C;
    matches!(
        command,
        C::Expunge
            | C::UidExpunge(_)
            | C::Search { .. }
            | C::Sort { .. }
            | C::Thread { .. }
            | C::Fetch { .. }
            | C::Store { .. }
            | C::Copy { .. }
            | C::Move { .. }
    )
}

pub(super) enum Started {
    Running(Running),
    Answer(Answer),
}

/// What may be told at the end of which command (RFC 3501 section 7.4.1: no expunges where numbers are in use).
fn told_after(command: &Command, enabled: Enabled) -> Told {
    let (expunges, uid) = match command {
        Command::Fetch { uid, .. } | Command::Store { uid, .. } => (*uid, *uid),
        // RFC 5256 section 3: SORT and THREAD as SEARCH. RFC 7162 section 3.2.10.2: no VANISHED where the keys have numbers.
        Command::Search { uid, key, .. } | Command::Sort { uid, key, .. } | Command::Thread { uid, key, .. } => {
            (*uid && !(enabled.qresync && key.has_numbers()), *uid)
        }
        _ => (true, false),
    };
    Told { expunges, uid, ..Told::default() }
}
