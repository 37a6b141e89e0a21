//! **Here**: POP3 and its extensions: cutting the byte stream into lines, parsing commands, writing responses, sessions and what each command does.
//! **Not here**: sockets and timers (`daemon::popd`), the picture of the mailbox (`ops::maildrop`), durable state (`store`).
//! **Start**: [`frame::Framer`] cuts, [`parse::parse`] reads one command, [`session::Session`] answers, [`respond`] writes.
//! **Rules**: a message is sent in pieces, never held in memory whole; a line that begins with a dot never ends a message; no bytes of a peer
//! panic. APOP is deliberately absent: it wants passwords to be kept as they are, and its digest is MD5.
//! **Sources**: RFC 1939, 2449 (CAPA, RESP-CODES, PIPELINING, LOGIN-DELAY, EXPIRE), 2595 (STLS), 3206 (AUTH-RESP-CODE), 5034 (AUTH),
//! 6856 (UTF8, without LANG).

pub mod answer;
mod authenticate;
mod body;
mod capability;
pub mod frame;
pub mod parse;
pub mod respond;
pub mod server;
pub mod session;
