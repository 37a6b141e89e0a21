//! **Here**: bytes on the wire to operations and back, one directory a protocol.
//! **Not here**: sockets, threads and timers (`daemon`), what the product does (`ops`, `store`).
//! **Start**: [`imap`], [`pop`], [`lmtp`]; [`sasl`] and [`login`] are shared by those with a login.
//! **Rules**: nothing here opens a socket; bytes from the peer are data and never panic; every buffer has a limit.

pub mod imap;
pub mod lmtp;
pub mod login;
pub mod pop;
pub mod sasl;
