//! **Here**: IMAP4rev1 and its extensions: cutting the byte stream into commands, parsing them, writing responses,
//! sessions and what each command does.
//! **Not here**: sockets and timers (`daemon`), durable state (`store`).
//! **Start**: [`frame::Framer`] cuts, [`parse::parse`] reads one command, [`session::Session`] answers, [`respond`] writes.
//! **Rules**: cut first (limits, literals), parse second: a bad command never desynchronises the connection. Message literals of
//! APPEND are handed on in pieces, never held in memory. No bytes of a peer panic.
//! **Sources**: RFC 3501, 7888 (LITERAL+), 4959 (SASL-IR), 2177 (IDLE), 2342 (NAMESPACE), 4315 (UIDPLUS), 3691 (UNSELECT),
//! 3348 (CHILDREN), 2971 (ID), 5161 (ENABLE), 6851 (MOVE), 3502 (MULTIAPPEND), 6154 and 8457 (SPECIAL-USE), 5258 (LIST-EXTENDED),
//! 5819 (LIST-STATUS), 4731 (ESEARCH), 7162 (CONDSTORE, QRESYNC), 8474 (OBJECTID), 8514 (SAVEDATE), 8438 (STATUS=SIZE),
//! 7889 (APPENDLIMIT), 5182 (SEARCHRES), 5032 (WITHIN), 9394 (PARTIAL), 5256 and 5957 (SORT, THREAD), 5267 (ESORT), 9585 (INPROGRESS),
//! 3516 (BINARY), 4978 (COMPRESS), 6855 (UTF8=ACCEPT), 8437 (UNAUTHENTICATE), 8508 (REPLACE), 8970 (PREVIEW), 9208 (QUOTA),
//! 5530 (response codes).

pub mod answer;
mod capability;
pub mod command;
pub mod frame;
pub mod parse;
pub mod pictures;
pub mod respond;
mod running;
pub mod selected;
pub mod server;
pub mod session;
mod switches;
