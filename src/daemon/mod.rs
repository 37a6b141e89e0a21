//! **Here**: processes that stay: their pid files, signals and readiness; the store daemon, its watch over disks and servers, and its page of figures; the scheduler; the services with clients.
//! **Not here**: what the maintenance does (`ops`), protocols.
//! **Start**: [`process::claim`] for a daemon, [`process::start`] for who starts one. [`network::run`] is the life of every service with clients,
//! [`line::Line`] one connection; what a protocol adds is a [`network::Protocol`], as in `imapd` and `lmtpd`.
//! **Rules**: daemons stay in the foreground and keep no descriptor of who started them; a pid file counts only while its lock is held.

mod deflate;
mod imapd;
pub mod imsched;
pub mod line;
pub mod listener;
mod lmtpd;
mod metrics;
pub mod network;
mod popd;
pub mod process;
pub mod proxy;
pub mod settings;
pub mod sockets;
pub mod stored;
pub mod stream;
pub mod throttle;
pub mod tls;
pub mod watch;
pub mod watcher;
pub mod workers;
