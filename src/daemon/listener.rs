//! Accepts connections within bounds: so many in all, so many from one address that have not said who they are.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::log::{self, Category};

/// Connections of one address (IPv6: one /64) that have not logged in.
const STRANGERS: usize = 100;
/// How long a client that is sent away may take to read why.
const FAREWELL: Duration = Duration::from_secs(1);

/// The doorkeeper of a service.
#[derive(Clone, Debug)]
pub struct Listener {
    sessions: Arc<Semaphore>,
    strangers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Guest {
    /// The connection.
    pub stream: TcpStream,
    /// Its other end.
    pub peer: SocketAddr,
    /// Dropped with the session: its place is free again.
    pub place: OwnedSemaphorePermit,
    /// Dropped when the client has logged in.
    pub stranger: Stranger,
}

/// Counts a client that has not logged in.
#[derive(Debug)]
pub struct Stranger {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

/// Where the clients of an address are counted.
#[derive(Clone, Debug)]
pub struct Door {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Stranger {
    /// Where it is counted.
    pub fn door(&self) -> Door {
        Door { counts: Arc::clone(&self.counts), address: self.address }
    }
}

impl Door {
    /// Counts a client that is not logged in any more; `None`: there are too many.
    pub fn stranger(&self) -> Option<Stranger> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(self.address).or_insert(0);
        if *count >= STRANGERS {
            return None;
        }
        *count += 1;
        Some(Stranger { counts: Arc::clone(&self.counts), address: self.address })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

impl Listener {
    /// A doorkeeper that lets `limit` sessions in, over however many sockets.
    pub fn new(limit: usize) -> Listener {
        Listener { sessions: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))), strangers: Arc::default() }
    }

    /// The next connection of this socket that is let in; `full` is what the others are told.
    ///
    /// # Errors
    /// What `accept(2)` said, other than that one connection failed.
    pub async fn next(&self, socket: &TcpListener, full: &'static [u8]) -> io::Result<Guest> {
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
            drop(stream.set_nodelay(true));
            let place = Arc::clone(&self.sessions).try_acquire_owned();
            match (place, self.stranger(peer.ip())) {
                (Ok(place), Some(stranger)) => return Ok(Guest { stream, peer, place, stranger }),
                (place, _) => {
                    let why = if place.is_ok() { "of this address" } else { "in all" };
                    log::warning(Category::Network, format!("too many sessions {why}: [{}] sent away", peer.ip()));
                    tokio::spawn(send_away(stream, full));
                }
            }
        }
    }

    fn stranger(&self, address: IpAddr) -> Option<Stranger> {
        let address = site(address);
        let mut counts = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= STRANGERS {
            return None;
        }
        *count += 1;
        Some(Stranger { counts: Arc::clone(&self.strangers), address })
    }
}

/// Whom an address belongs to: an IPv6 host has the whole of its /64.
fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

async fn send_away(mut stream: TcpStream, words: &'static [u8]) {
    // A client that does not read is closed all the same.
    drop(tokio::time::timeout(FAREWELL, stream.write_all(words)).await);
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

    #[test]
    fn places_are_bounded_and_given_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = socket.local_addr().unwrap();
            let listener = Listener::new(1);
            let _first = TcpStream::connect(address).await.unwrap();
            let guest = listener.next(&socket, b"").await.unwrap();
            let mut second = TcpStream::connect(address).await.unwrap();
            let waiting = tokio::spawn({
                let listener = listener.clone();
                async move { listener.next(&socket, b"* BYE full\r\n").await.map(|guest| guest.peer) }
            });
            let mut words = Vec::new();
            second.read_to_end(&mut words).await.unwrap();
            assert_eq!(words, b"* BYE full\r\n");
            drop(guest);
            assert!(listener.strangers.lock().unwrap().is_empty());
            let third = TcpStream::connect(address).await.unwrap();
            assert_eq!(waiting.await.unwrap().unwrap(), third.local_addr().unwrap());
        });
    }
}
