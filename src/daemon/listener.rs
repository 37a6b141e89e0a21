//! Accepts connections within bounds: so many in all, so many from one address that have not said who they are.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LockResult, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::proxy::{self, Header};
use super::stream::Stream;
use crate::counter::service::Counts as Figures;
use crate::directory::filter::Filters;
use crate::log::{self, Category};
use crate::os::clock;
use crate::text::network::Network;

/// How long a client that is sent away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a proxy may take for its header.
const HEADER: Duration = Duration::from_secs(10);

/// Who is let in.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The name of the service in access filters.
    pub service: &'static str,
    /// Connections of one address (IPv6: one /64).
    pub sessions: usize,
    /// Those of them that have not logged in.
    pub strangers: usize,
    /// Which addresses may connect.
    pub filters: Filters,
    /// The proxies: they say who the client is, and nobody else does.
    pub proxies: Vec<Network>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sessions: usize,
    strangers: usize,
}

type Sites = Arc<Book>;

/// Who is there, and what the service counts: one pointer for both, since every connection has it.
#[derive(Debug, Default)]
struct Book {
    counts: Mutex<HashMap<IpAddr, Counts>>,
    figures: Arc<Figures>,
}

impl Book {
    fn lock(&self) -> LockResult<MutexGuard<'_, HashMap<IpAddr, Counts>>> {
        self.counts.lock()
    }
}

/// A socket that clients come to.
#[derive(Debug)]
pub enum Socket {
    /// From other hosts, and from this one.
    Tcp(TcpListener),
    /// From processes of this host that the file lets in.
    Unix(UnixListener),
}

/// What a service says to a client that it does not let in.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// There are too many already.
    pub full: &'static [u8],
    /// The access filters are against it.
    pub denied: &'static [u8],
}

/// The doorkeeper of a service.
#[derive(Clone, Debug)]
pub struct Listener {
    words: Words,
    sessions: Arc<Semaphore>,
    sites: Sites,
}

/// A connection that has a place among all of the service.
#[derive(Debug)]
pub struct Caller {
    stream: Stream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Guest {
    /// The connection.
    pub stream: Stream,
    /// The client, wherever the connection comes from; 127.0.0.1 without a port when it came to a socket of this host.
    pub peer: SocketAddr,
    /// Dropped with the session: its place is free again.
    pub place: Place,
    /// Dropped when the client has logged in.
    pub stranger: Stranger,
}

/// A place among all sessions, and among those of the address.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    sites: Sites,
    address: IpAddr,
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The access filters are against it.
    Denied,
    /// Too many of its address are there.
    Full,
}

impl Refusal {
    /// For the log.
    pub fn why(self) -> &'static str {
        match self {
            Refusal::Denied => "the access filters",
            Refusal::Full => "too many sessions of this address",
        }
    }

    /// For the client.
    pub fn words(self, words: Words) -> &'static [u8] {
        match self {
            Refusal::Denied => words.denied,
            Refusal::Full => words.full,
        }
    }
}

impl Place {
    /// What the service counts.
    pub fn figures(&self) -> &Figures {
        &self.sites.figures
    }

    /// The session is for a client of another address, and counts there from now on.
    ///
    /// # Errors
    /// [`Refusal`]: it stays where it was.
    pub fn pass_to(&mut self, client: IpAddr, rules: &Rules) -> Result<(), Refusal> {
        if !rules.filters.permit(rules.service, client) {
            return Err(Refusal::Denied);
        }
        self.move_to(client, rules)
    }

    /// As [`Place::pass_to`], whatever the access filters say.
    ///
    /// # Errors
    /// [`Refusal::Full`]: it stays where it was.
    pub fn move_to(&mut self, client: IpAddr, rules: &Rules) -> Result<(), Refusal> {
        let (before, address) = (self.address, site(client));
        if address != before {
            let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
            if sites.get(&address).copied().unwrap_or_default().sessions >= rules.sessions {
                return Err(Refusal::Full);
            }
            sites.entry(address).or_default().sessions += 1;
            drop(sites);
            release(&self.sites, before, |counts| counts.sessions = counts.sessions.saturating_sub(1));
            self.address = address;
        }
        Ok(())
    }
}

/// Counts a client that has not logged in.
#[derive(Debug)]
pub struct Stranger {
    sites: Sites,
    address: IpAddr,
    limit: usize,
}

/// Where the clients of an address are counted.
#[derive(Clone, Debug)]
pub struct Door {
    sites: Sites,
    address: IpAddr,
    /// How many that have not logged in.
    limit: usize,
}

impl Stranger {
    /// Where it is counted.
    pub fn door(&self) -> Door {
        Door { sites: Arc::clone(&self.sites), address: self.address, limit: self.limit }
    }
}

impl Door {
    /// Counts a client that is not logged in any more; `None`: there are too many.
    pub fn stranger(&self) -> Option<Stranger> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = sites.entry(self.address).or_default();
        if counts.strangers >= self.limit {
            return None;
        }
        counts.strangers += 1;
        Some(Stranger { sites: Arc::clone(&self.sites), address: self.address, limit: self.limit })
    }
}

fn release(sites: &Sites, address: IpAddr, release: impl FnOnce(&mut Counts)) {
    let mut sites = sites.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(counts) = sites.get_mut(&address) {
        release(counts);
        if counts.sessions == 0 && counts.strangers == 0 {
            sites.remove(&address);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sites.figures.closed();
        release(&self.sites, self.address, |counts| counts.sessions = counts.sessions.saturating_sub(1));
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        release(&self.sites, self.address, |counts| counts.strangers = counts.strangers.saturating_sub(1));
    }
}

impl Listener {
    /// A doorkeeper who lets `limit` sessions in, over however many sockets, and counts them.
    pub fn new(words: Words, limit: usize, figures: Arc<Figures>) -> Listener {
        let sessions = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        let sites = Arc::new(Book { counts: Mutex::default(), figures });
        Listener { words, sessions, sites }
    }

    /// The next connection of this socket for which there is a place; the others are told so when `speaks`.
    ///
    /// # Errors
    /// What `accept(2)` said, other than that one connection failed.
    pub async fn next(&self, socket: &Socket, speaks: bool) -> io::Result<Caller> {
        loop {
            let (stream, peer) = match socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_passing(&error) => {
                    log::warning(Category::Network, format!("accept: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match Arc::clone(&self.sessions).try_acquire_owned() {
                Ok(place) => return Ok(Caller { stream, peer, place }),
                Err(_) => {
                    self.sites.figures.failed();
                    log::warning(Category::Network, format!("too many sessions in all: [{}] sent away", peer.ip()));
                    tokio::spawn(send_away(stream, if speaks { self.words.full } else { b"" }));
                }
            }
        }
    }

    /// Looks at who it is. `None`: sent away, with a word when `speaks`, and a line in the log.
    pub async fn admit(&self, caller: Caller, rules: &Rules, speaks: bool) -> Option<Guest> {
        let Caller { mut stream, peer, place } = caller;
        let client = match &mut stream {
            Stream::Plain(stream) if rules.proxies.iter().any(|proxy| proxy.contains(peer.ip())) => {
                timeout(HEADER, header(stream)).await.unwrap_or_else(|late| Err(late.into()))
            }
            _ => Ok(peer),
        };
        let client = match client {
            Ok(client) => client,
            Err(error) => {
                self.sites.figures.failed();
                log::warning(Category::Network, format!("the proxy [{}] sends no PROXY header: {error}", peer.ip()));
                return None;
            }
        };
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let local = matches!(stream, Stream::Local(_));
        let refusal = match self.enter(client, local, rules, place) {
            Ok((place, stranger)) => return Some(Guest { stream, peer: client, place, stranger }),
            Err(refusal) => refusal,
        };
        self.sites.figures.failed();
        log::warning(Category::Network, format!("{}: [{}] sent away", refusal.why(), client.ip()));
        send_away(stream, if speaks { refusal.words(self.words) } else { b"" }).await;
        None
    }

    /// Counts a client in; the permit is gone when it is not let in.
    fn enter(
        &self,
        client: SocketAddr,
        local: bool,
        rules: &Rules,
        permit: OwnedSemaphorePermit,
    ) -> Result<(Place, Stranger), Refusal> {
        // Who comes to a socket of this host was let in by its file.
        if !local && !rules.filters.permit(rules.service, client.ip()) {
            return Err(Refusal::Denied);
        }
        let address = site(client.ip());
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = sites.get(&address).copied().unwrap_or_default();
        if counts.sessions >= rules.sessions || counts.strangers >= rules.strangers {
            return Err(Refusal::Full);
        }
        sites.insert(address, Counts { sessions: counts.sessions + 1, strangers: counts.strangers + 1 });
        let (ours, theirs) = (Arc::clone(&self.sites), Arc::clone(&self.sites));
        self.sites.figures.opened(clock::now_s());
        Ok((
            Place { _permit: permit, sites: ours, address },
            Stranger { sites: theirs, address, limit: rules.strangers },
        ))
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                drop(stream.set_nodelay(true));
                Ok((Stream::Plain(stream), peer))
            }
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((Stream::Local(stream), (Ipv4Addr::LOCALHOST, 0).into()))
            }
        }
    }
}

/// Reads the header of a proxy and nothing behind it; returns the client.
async fn header(stream: &mut TcpStream) -> io::Result<SocketAddr> {
    let mut bytes = Vec::new();
    loop {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        match proxy::parse(&bytes).map_err(invalid)? {
            Header::Complete { client, .. } => return client.map_or_else(|| stream.peer_addr(), Ok),
            Header::More { least } => {
                let begun = bytes.len();
                bytes.resize(begun + least, 0);
                stream.read_exact(bytes.get_mut(begun..).unwrap_or_default()).await?;
            }
        }
    }
}

/// Whom an address belongs to: an IPv6 host has the whole of its /64.
pub(super) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

async fn send_away(mut stream: Stream, words: &'static [u8]) {
    // A client that does not read is closed all the same.
    drop(timeout(FAREWELL, stream.write_all(words)).await);
}

/// Errors of `accept` after which the next one may do: the client went away, or descriptors are short for now.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EPROTO
                | libc::EPERM
                // Errors of the network that wait on the connection: accept(2) wants them taken as EAGAIN.
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[test]
    fn an_ipv6_host_is_counted_once() {
        let site = |address: &str| site(address.parse().unwrap()).to_string();
        assert_eq!(site("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(site("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(site("192.0.2.1"), "192.0.2.1");
    }

    const WORDS: Words = Words { full: b"* BYE full\r\n", denied: b"* BYE denied\r\n" };

    fn rules() -> Rules {
        Rules { service: "imap", sessions: 100, strangers: 100, ..Rules::default() }
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let socket = Socket::Tcp(socket);
            let listener = Listener::new(WORDS, 1, Arc::default());
            let _first = TcpStream::connect(address).await.unwrap();
            let caller = listener.next(&socket, true).await.unwrap();
            let guest = listener.admit(caller, &rules(), true).await.unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            let waiting = tokio::spawn({
                let listener = listener.clone();
                async move { listener.next(&socket, true).await.map(|caller| caller.peer) }
            });
            let mut words = Vec::new();
            second.read_to_end(&mut words).await.unwrap();
            assert_eq!(words, WORDS.full);
            drop(guest);
            assert!(listener.sites.lock().unwrap().is_empty());
            let third = TcpStream::connect(address).await.unwrap();
            assert_eq!(waiting.await.unwrap().unwrap(), third.local_addr().unwrap());
        });
    }

    #[test]
    fn a_proxy_says_who_the_client_is() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let socket = Socket::Tcp(socket);
            let listener = Listener::new(WORDS, 10, Arc::default());
            let proxies = vec![Network::parse("127.0.0.0/8").unwrap()];
            let filters = Filters::new("", "imap: 192.0.2.66");
            let rules = Rules { strangers: 2, proxies, filters, ..rules() };
            let mut admitted = Vec::new();
            for (line, client) in [
                ("PROXY TCP4 192.0.2.1 192.0.2.2 7 143\r\na noop\r\n", Some("192.0.2.1:7")),
                ("PROXY TCP4 192.0.2.1 192.0.2.2 8 143\r\na noop\r\n", Some("192.0.2.1:8")),
                // Two of the address are there.
                ("PROXY TCP4 192.0.2.1 192.0.2.2 9 143\r\na noop\r\n", None),
                ("PROXY TCP6 ::ffff:192.0.2.3 ::1 9 143\r\na noop\r\n", Some("192.0.2.3:9")),
                ("PROXY TCP4 192.0.2.66 192.0.2.2 9 143\r\na noop\r\n", None),
                ("a noop\r\na noop\r\na noop\r\n", None),
            ] {
                let mut proxy = TcpStream::connect(address).await.unwrap();
                proxy.write_all(line.as_bytes()).await.unwrap();
                let caller = listener.next(&socket, true).await.unwrap();
                let guest = listener.admit(caller, &rules, false).await;
                assert_eq!(guest.as_ref().map(|guest| guest.peer.to_string()).as_deref(), client, "{line}");
                if let Some(mut guest) = guest {
                    let mut rest = [0; 8];
                    guest.stream.read_exact(&mut rest).await.unwrap();
                    assert_eq!(&rest, b"a noop\r\n");
                    admitted.push((proxy, guest));
                }
            }
            drop(admitted);
            assert!(listener.sites.lock().unwrap().is_empty());
            assert_eq!(listener.sessions.available_permits(), 10);
        });
    }
}
