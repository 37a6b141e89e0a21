//! How long the servers take to answer: the services that are switched on, to their greeting, and the directory servers, to the connection.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::process::Service;
use super::super::settings::Parameters;
use crate::config::{Conf, Instance};
use crate::log::{self, Category};
use crate::os::process::ServiceState;

/// What a server that does not answer counts beyond the threshold, seconds; so long it is waited for.
const BEYOND_S: u64 = 5;
/// Longest greeting that is read.
const GREETING: usize = 512;

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A service of this instance.
    Service {
        /// Its name.
        name: &'static str,
        /// Where it listens; unspecified: everywhere.
        host: IpAddr,
        /// Its socket file.
        socket: Option<PathBuf>,
        /// It wants to know first for whom a proxy speaks.
        proxied: bool,
    },
    /// A directory server.
    Directory {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
    },
}

impl Target {
    fn name(&self) -> String {
        match self {
            Target::Service { name, .. } => (*name).to_owned(),
            Target::Directory { host, port } => format!("ugldap_{host}_{port}"),
        }
    }
}

/// The services that are switched on, and the directory servers.
pub(super) fn targets(conf: &Conf) -> Vec<Target> {
    let mut found = Vec::new();
    for service in super::super::process::SERVICES.iter().filter(|service| service.is_enabled(conf)) {
        if service.enabled_by.is_empty() {
            continue;
        }
        let parameters = Parameters::new(conf, service.name);
        let own = parameters.string("listenaddr");
        let host = if service.name == "lmtp" { own } else { conf.string("service.listenaddr") };
        let host = host.trim_matches(['[', ']']).parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let seen = if host.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host };
        let proxied = parameters.networks("service.proxyprotocol.networks").iter().any(|one| one.contains(seen));
        found.push(Target::Service { name: service.name, host: seen, socket: parameters.path("socket"), proxied });
    }
    let usual = if conf.bool("local.ugldapusessl") { 636 } else { 389 };
    let usual = conf.number("local.ugldapport").and_then(|port| u16::try_from(port).ok()).unwrap_or(usual);
    for word in conf.list("local.ugldaphost") {
        let named = word.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
        let (host, port) =
            named.filter(|(host, _)| !host.contains(':') || host.ends_with(']')).unwrap_or((word, usual));
        found.push(Target::Directory { host: host.trim_matches(['[', ']']).to_owned(), port });
    }
    found
}

/// Asks them one after the other: whole seconds until the answer. Who does not answer counts for [`BEYOND_S`] more than the threshold; who is
/// just starting is left out.
pub(super) fn ask(instance: &Instance, targets: &[Target], threshold_s: u64) -> Vec<(String, u64)> {
    let limit_s = threshold_s.saturating_add(BEYOND_S);
    let limit = Duration::from_secs(limit_s);
    let mut found = Vec::new();
    for target in targets {
        if let Target::Service { name, .. } = target {
            let state = Service::find(name).map(|service| service.state(instance));
            if matches!(state, Some(Ok(ServiceState::Starting(_)))) {
                continue;
            }
        }
        let begun = Instant::now();
        let seconds = match answer(instance, target, limit) {
            Ok(()) => begun.elapsed().as_secs(),
            Err(error) => {
                log::error(Category::Network, format!("the server {} does not answer: {error}", target.name()));
                limit_s
            }
        };
        found.push((target.name(), seconds));
    }
    found
}

fn answer(instance: &Instance, target: &Target, limit: Duration) -> io::Result<()> {
    match target {
        Target::Directory { host, port } => connect(host.as_str(), *port, limit).map(drop),
        Target::Service { name, host, socket, proxied } => {
            let end = Instant::now() + limit;
            if let Some(path) = socket {
                let stream = UnixStream::connect(path)?;
                return greeting(name, end, stream.try_clone()?, |left| stream.set_read_timeout(Some(left)));
            }
            let port = |file: String| {
                let text = std::fs::read_to_string(instance.proc_dir().join(file)).ok();
                text.and_then(|text| text.trim().parse::<u16>().ok())
            };
            match (port(format!("{name}.port")), port(format!("{name}s.port"))) {
                (Some(port), _) => {
                    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(*host, port), limit)?;
                    stream.set_write_timeout(Some(limit))?;
                    if *proxied {
                        stream.write_all(b"PROXY UNKNOWN\r\n")?;
                    }
                    greeting(name, end, stream.try_clone()?, |left| stream.set_read_timeout(Some(left)))
                }
                // Behind TLS there is no greeting in the clear.
                (None, Some(port)) => TcpStream::connect_timeout(&SocketAddr::new(*host, port), limit).map(drop),
                (None, None) => Err(io::Error::new(io::ErrorKind::NotFound, "it does not run")),
            }
        }
    }
}

/// Connects to the first address of a host that answers.
pub(super) fn connect(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn greeting(
    service: &str,
    end: Instant,
    mut stream: impl Read + Write,
    wait: impl Fn(Duration) -> io::Result<()>,
) -> io::Result<()> {
    let mut text = Vec::new();
    while !text.contains(&b'\n') && text.len() < GREETING {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        wait(left)?;
        let mut bytes = [0; GREETING];
        match stream.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => text.extend_from_slice(bytes.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error),
        }
    }
    let (good, quit): (&[u8], &[u8]) = match service {
        "imap" => (b"* OK", b"0 LOGOUT\r\n"),
        "pop" => (b"+OK", b"QUIT\r\n"),
        _ => (b"220", b"QUIT\r\n"),
    };
    if !text.starts_with(good) {
        let words = String::from_utf8_lossy(&text).trim_end().to_owned();
        return Err(io::Error::other(format!("it says: {words}")));
    }
    // It may be gone already.
    drop(stream.write_all(quit));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_wanted() {
        let ask = |says: &'static [u8], service: &str| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(says).unwrap();
            drop(theirs.shutdown(std::net::Shutdown::Write));
            let end = Instant::now() + Duration::from_secs(60);
            greeting(service, end, ours.try_clone().unwrap(), |left| ours.set_read_timeout(Some(left)))
        };
        assert!(ask(b"* OK ready\r\n", "imap").is_ok() && ask(b"+OK\r\n", "pop").is_ok());
        assert!(ask(b"220 x LMTP ready\r\n", "lmtp").is_ok());
        let error = ask(b"* BYE Too many connections\r\n", "imap").unwrap_err().to_string();
        assert_eq!(error, "it says: * BYE Too many connections");
        assert_eq!(ask(b"", "imap").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
