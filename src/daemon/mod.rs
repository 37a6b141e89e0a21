//! **Here**: processes that stay: their pid files, signals and readiness, and the store daemon.
//! **Not here**: what the maintenance does (`ops`), protocols.
//! **Start**: [`process::claim`] for a daemon, [`process::start`] for who starts one.
//! **Rules**: daemons stay in the foreground and keep no descriptor of who started them; a pid file counts only while its lock is held.

pub mod process;
pub mod stored;
