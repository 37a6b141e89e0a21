//! Where the clients of a service come to: ports, and sockets in the file system.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use super::listener::Socket;
use super::network::NetworkError;
use super::settings::Parameters;
use crate::config::Conf;
use crate::ops::instance::server_account;
use crate::os::user;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port.
    Port {
        /// The host part; empty: every address.
        host: String,
        /// The port; 0: any free one.
        port: i64,
        /// TLS comes before the first word.
        tls: bool,
        /// The file below `data/proc` that tells the port.
        file: &'static str,
    },
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Who may connect: those who may write to it.
        mode: u32,
        /// Its group, where it is not that of the services.
        group: Option<String>,
        /// Mail that comes through it is delivered though quotas are used up.
        over_quota: bool,
    },
}

/// What a client is given by the door it comes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entrance {
    /// TLS comes before the first word.
    pub tls: bool,
    /// Its mail is delivered though quotas are used up.
    pub over_quota: bool,
}

/// A socket, and what is spoken first on it.
#[derive(Debug)]
pub struct Door {
    socket: Bound,
    /// Its address, for people.
    pub name: String,
    /// What its clients are given.
    pub entrance: Entrance,
    /// The file below `data/proc` that tells the port.
    pub port_file: Option<&'static str>,
    /// The file that it is.
    pub socket_file: Option<SocketFile>,
}

#[derive(Debug)]
enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Door {
    /// The address in use; `None`: it is a file.
    ///
    /// # Errors
    /// What the system said.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.socket {
            Bound::Tcp(socket) => socket.local_addr().map(Some),
            Bound::Unix(_) => Ok(None),
        }
    }

    /// The socket for the runtime.
    ///
    /// # Errors
    /// What the system said.
    pub fn socket(self) -> io::Result<Socket> {
        Ok(match self.socket {
            Bound::Tcp(socket) => Socket::Tcp(TcpListener::from_std(socket)?),
            Bound::Unix(socket) => Socket::Unix(UnixListener::from_std(socket)?),
        })
    }
}

/// The plain port and the one with TLS. The plain one is left out only where the service is switched off and the other is not.
pub(super) fn ports(parameters: Parameters<'_>, files: [&'static str; 2]) -> Vec<Address> {
    let host = parameters.conf.string("service.listenaddr");
    let with_tls = parameters.bool("enablesslport");
    let port =
        |attribute: &str, tls, file| Address::Port { host: host.clone(), port: parameters.int(attribute), tls, file };
    let mut found = Vec::new();
    if parameters.bool("enable") || !with_tls {
        found.push(port("port", false, files[0]));
    }
    if with_tls {
        found.push(port("sslport", true, files[1]));
    }
    found
}

/// Opens the sockets.
///
/// # Errors
/// [`NetworkError::Listen`], [`NetworkError::Nowhere`].
pub(super) fn open(addresses: &[Address], conf: &Conf) -> Result<Vec<Door>, NetworkError> {
    let mut doors = Vec::new();
    for address in addresses {
        let (name, door) = match address {
            Address::Port { host, port, tls, file } => {
                let host = if host.is_empty() { "[::]" } else { host };
                let door = listen(host, *port).map(|socket| Door {
                    socket: Bound::Tcp(socket),
                    name: String::new(),
                    entrance: Entrance { tls: *tls, over_quota: false },
                    port_file: Some(file),
                    socket_file: None,
                });
                (format!("{host}:{port}"), door)
            }
            Address::File { path, mode, group, over_quota } => {
                let door = listen_at(path, *mode, group.as_deref(), conf).map(|socket| Door {
                    socket: Bound::Unix(socket),
                    name: path.display().to_string(),
                    entrance: Entrance { tls: false, over_quota: *over_quota },
                    port_file: None,
                    socket_file: SocketFile::at(path),
                });
                (path.display().to_string(), door)
            }
        };
        doors.push(door.map_err(|source| NetworkError::Listen { address: name, source })?);
    }
    if doors.is_empty() { Err(NetworkError::Nowhere) } else { Ok(doors) }
}

/// The file of a socket of ours, which is removed at the end: another that was put in its place meanwhile is not.
#[derive(Clone, Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> Option<SocketFile> {
        let found = std::fs::symlink_metadata(path).ok()?;
        Some(SocketFile { path: path.to_owned(), identity: (found.dev(), found.ino()) })
    }

    /// Removes it, if it is still there.
    pub fn remove(&self) {
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // It may not be ours to remove.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

fn listen(host: &str, port: i64) -> io::Result<std::net::TcpListener> {
    // IPv6 has brackets around it here, whether the setting has them or not.
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    let bind = |host: &str| std::net::TcpListener::bind(format!("{host}:{port}"));
    let socket = match bind(&host) {
        // A host without IPv6.
        Err(error) if host == "[::]" && error.kind() != io::ErrorKind::AddrInUse => bind("0.0.0.0"),
        other => other,
    }?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// True when somebody listens on a socket. It does not wait: whose queue is full is there, too.
fn is_served(path: &Path) -> io::Result<bool> {
    use nix::errno::Errno;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let client = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(client.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) | Err(Errno::EAGAIN) => Ok(true),
        Err(Errno::ECONNREFUSED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A socket in the file system. One that nobody listens on any more is replaced; nothing else is.
fn listen_at(path: &Path, mode: u32, group: Option<&str>, conf: &Conf) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::UnixListener;
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        if is_served(path)? {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        std::fs::remove_file(path)?;
    }
    let mut account = server_account(conf).map_err(io::Error::other)?;
    if group.is_some() {
        account = user::resolve(&account.uid.to_string(), group).map_err(io::Error::other)?;
    }
    // Nobody but the owner until it has its group and its mode: the mask is of this thread's process, which has no other thread yet.
    user::close_mask();
    let socket = UnixListener::bind(path)?;
    // The directory may belong to somebody who puts a link in its place meanwhile: what is given away is the socket, whatever the path leads to.
    let made = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
    let found = made.metadata()?;
    if !found.file_type().is_socket() || found.nlink() != 1 {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "another file was put in its place"));
    }
    let handle = format!("/proc/self/fd/{}", made.as_raw_fd());
    if user::is_root() || group.is_some() {
        std::os::unix::fs::chown(&handle, user::is_root().then_some(account.uid), Some(account.gid))?;
    }
    std::fs::set_permissions(&handle, std::fs::Permissions::from_mode(mode))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    /// Listens with room for one connection in the queue.
    fn narrow(path: &Path) -> std::os::fd::OwnedFd {
        use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
        let held = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
        bind(held.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
        listen(&held, Backlog::new(0).unwrap()).unwrap();
        held
    }

    #[test]
    fn a_full_queue_is_somebody_and_does_not_hold_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full");
        let held = narrow(&path);
        // One more than the queue takes would wait: those that do not wait tell when it is full.
        let mut waiting = Vec::new();
        while let Ok(client) = connect_now(&path) {
            waiting.push(client);
            assert!(waiting.len() < 100, "the queue has no end");
        }
        assert!(is_served(&path).unwrap());
        let error = listen_at(&path, 0o600, None, &Conf::of_defaults(dir.path())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop((held, waiting));
        assert!(!is_served(&path).unwrap());
    }

    fn connect_now(path: &Path) -> nix::Result<std::os::fd::OwnedFd> {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
        let client = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
        connect(client.as_raw_fd(), &UnixAddr::new(path)?).map(|()| client)
    }

    #[test]
    fn only_the_file_that_is_ours_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _ours = UnixListener::bind(&path).unwrap();
        let file = SocketFile::at(&path).unwrap();
        // Another one is put in its place; the old one stays open, so that its number is not given out again.
        std::fs::rename(&path, dir.path().join("aside")).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        file.remove();
        assert!(UnixStream::connect(&path).is_ok());
        SocketFile::at(&path).unwrap().remove();
        assert!(!path.exists() && dir.path().join("aside").exists());
    }
}
