//! **Here**: processes that stay: their pid files, signals and readiness; the store daemon; the IMAP daemon.
//! **Not here**: what the maintenance does (`ops`), protocols.
//! **Start**: [`process::claim`] for a daemon, [`imapd::run`], [`connection::serve`] for an IMAP session, [`process::start`] for who starts one.
//! **Rules**: daemons stay in the foreground and keep no descriptor of who started them; a pid file counts only while its lock is held.

pub mod connection;
mod deflate;
pub mod imapd;
pub mod listener;
pub mod process;
pub mod proxy;
pub mod stored;
pub mod stream;
pub mod throttle;
pub mod tls;
pub mod workers;
