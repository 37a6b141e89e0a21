//! The LMTP daemon: what its sessions share, and one connection. The protocol itself is [`Session::feed`], which runs on workers.

use std::future::{Future, pending};
use std::sync::Arc;

use super::line::{BUG, End, Flow, Line};
use super::listener::Words;
use super::network::{Material, Names, Protocol};
use super::settings::Parameters;
use super::sockets::{Address, Entrance};
use crate::log::{self, Category};
use crate::ops::delivery::Policy;
use crate::ops::instance::host_name;
use crate::os::clock;
use crate::protocol::lmtp::{Client, Counts, Next, Server, Session, closing};

impl Protocol for Server {
    const NAMES: Names = Names {
        service: "lmtp",
        daemon: "lmtpd",
        alpn: "",
        port_files: ["lmtp.port", "lmtps.port"],
        // Both are temporary: mail is kept until an administrator has looked at it.
        words: Words {
            full: b"421 4.3.2 Too many connections, try again later\r\n",
            denied: b"421 4.7.1 Access denied\r\n",
        },
        idle_min: 1,
    };

    fn addresses(parameters: Parameters<'_>) -> Vec<Address> {
        let mut found = Vec::new();
        let files = [("socket", false), ("overquotasocket", true)];
        for (path, over_quota) in files.iter().filter_map(|(name, over)| Some((parameters.path(name)?, *over))) {
            let mode = u32::from_str_radix(&parameters.string("socketmode"), 8).unwrap_or(0o600);
            let group = Some(parameters.string("socketgroup")).filter(|group| !group.is_empty());
            found.push(Address::File { path, mode, group, over_quota });
        }
        let port = parameters.int("port");
        if port >= 0 {
            let host = parameters.string("listenaddr");
            found.push(Address::Port { host, port, tls: false, file: Self::NAMES.port_files[0] });
        }
        found
    }

    fn from(material: Material<'_>, _: Option<&Server>) -> Server {
        let Material { parameters, store, directory, starttls, quota } = material;
        let conf = parameters.conf;
        Server {
            store,
            directory,
            default_domain: conf.string("local.defdomain"),
            policy: Policy { quota: Some(quota), ..Policy::of(conf) },
            hostname: host_name(conf),
            message_bytes: u64::try_from(parameters.int("maxmessagesize")).unwrap_or(0),
            recipients_max: parameters.count("maxrecipients"),
            delivered_to: true,
            starttls,
            trusted: parameters.networks("service.lmtp.xclientnetworks"),
        }
    }

    fn serve(self: Arc<Server>, line: Line, entrance: Entrance) -> impl Future<Output = ()> + Send {
        let server = match entrance.over_quota {
            true => {
                Arc::new(Server { policy: Policy { ignore_quota: true, ..self.policy.clone() }, ..(*self).clone() })
            }
            false => self,
        };
        serve(server, line)
    }
}

/// A connection.
struct Connection {
    line: Line,
    /// `None` only while a worker has it.
    session: Option<Session>,
}

/// Serves a client until it goes, is sent away, or the service ends.
async fn serve(server: Arc<Server>, mut line: Line) {
    line.needs_no_login();
    // Between a client and a socket of this host there is nobody.
    let starttls = server.starttls && !line.is_local();
    let xclient = server.trusted.iter().any(|network| network.contains(line.peer().ip()));
    let session = Session::new(server, Client { name: line.name(), starttls, xclient });
    let mut connection = Connection { line, session: Some(session) };
    let end = match connection.converse().await {
        Ok(()) => End::Said,
        Err(end) => end,
    };
    if let Some(words) = end.words() {
        let code = match end {
            End::Idle | End::Late => "4.4.2",
            End::Stopping => "4.3.2",
            _ => "4.3.0",
        };
        connection.line.write_last(&closing(code, &words)).await;
    }
    // A message under way is removed on a worker: it may be a large file.
    let counts = connection.session.as_ref().map(|session| session.counts);
    if let Some(session) = connection.session.take() {
        drop(connection.line.work(false, Some(session), |session| drop(session.take())).await);
    }
    connection.line.hang_up().await;
    if let Some(counts) = counts {
        connection.close(counts);
    }
}

impl Connection {
    async fn converse(&mut self) -> Flow<()> {
        let mut out = Vec::new();
        self.session()?.greet(&mut out);
        self.line.write(&out).await?;
        loop {
            let (large, between) = (self.session()?.is_receiving(), self.session()?.is_between());
            self.line.fill(large, between, pending()).await?;
            self.work().await?;
        }
    }

    /// Lets the session take what was read, message after message.
    async fn work(&mut self) -> Flow<()> {
        let mut input = self.line.take();
        let mut at = 0;
        let mut counted = self.session()?.counts;
        while at < input.len() {
            let session = self.session.take().ok_or(BUG)?;
            let asks = !session.is_receiving() && names_recipient(input.get(at..).unwrap_or_default());
            let job = move |session: &mut Session| {
                crate::panic_point!("lmtp.worker");
                let mut out = Vec::new();
                let (used, next) = session.feed(input.get(at..).unwrap_or_default(), clock::now_s(), &mut out);
                (input, used, next, out)
            };
            let (session, (back, used, next, out)) =
                if asks { self.line.ask(session, job).await? } else { self.line.work(false, session, job).await? };
            let (before, now) = (counted, session.counts);
            counted = now;
            self.line.figures().mail(
                now.messages.saturating_sub(before.messages),
                now.delivered.saturating_sub(before.delivered),
                now.refused.saturating_sub(before.refused),
            );
            self.session = Some(session);
            input = back;
            at += used;
            self.line.write(&out).await?;
            match next {
                Next::More => {}
                Next::Quit => return Err(End::Said),
                Next::Origin(client) => {
                    let stays = match client {
                        Some(client) => self.line.stands_for(client.into()),
                        None => self.line.stands_for_itself(),
                    };
                    if let Err(refusal) = stays {
                        log::warning(Category::Network, format!("{}: [{}] sent away", refusal.why(), self.line.name()));
                        self.line.write_last(refusal.words(Server::NAMES.words)).await;
                        return Err(End::Said);
                    }
                    let name = self.line.name();
                    let mut out = Vec::new();
                    let session = self.session()?;
                    session.rename(name);
                    session.greet(&mut out);
                    self.line.write(&out).await?;
                }
                Next::StartTls => {
                    // What a client sent behind the command was not encrypted: it is not listened to (RFC 3207 section 4.2).
                    self.line.put_back(input.split_off(at));
                    self.line.forget_behind("STARTTLS");
                    self.line.encrypt().await?;
                    let session = self.session.take().ok_or(BUG)?;
                    let (session, ()) = self.line.work(false, session, Session::secured).await?;
                    self.session = Some(session);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn session(&mut self) -> Flow<&mut Session> {
        self.session.as_mut().ok_or(BUG)
    }

    /// The log line of the end.
    fn close(&self, counts: Counts) {
        let (name, sums) = (self.line.name(), self.line.sums());
        let words = format!(
            "close [{name}] {} messages, {} delivered, {} refused, {} s, {} {}",
            counts.messages,
            counts.delivered,
            counts.refused,
            clock::now_s().saturating_sub(sums.began_s).max(0),
            sums.bytes_in,
            sums.bytes_out
        );
        log::notice(Category::Account, words);
    }
}

/// True where there is a RCPT among the commands, for which the directory is asked.
fn names_recipient(input: &[u8]) -> bool {
    input.split(|byte| *byte == b'\n').any(|line| line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"RCPT")))
}
