//! msgstore: a mail store with its administration tools, one multi-call binary.
//!
//! The rooms, outermost first. A room may use rooms below it, never above (`tests/layering.rs` checks):
//!
//! ```text
//! bin/msgstore.rs
//!   cli         5  what a person at a shell touches; the only room that prints
//!   daemon      4  processes that stay: listener, sessions, workers, stored
//!   protocol    3  bytes on the wire <-> operations
//!   ops         3  what the product does, said once; no printing, no sockets, no clock
//!   store       2  the only owner of durable mail state
//!   directory   2  who exists, where they live, what they may
//!   config      1  the text database and the catalogue of parameters
//!   message     1  headers, MIME, ENVELOPE, BODYSTRUCTURE, dates, mbox: pure
//!   counter     1  what services count, in a file that others read
//!   log         1  the documented log line and its rotation (usable from every room)
//!   text, os    0  names and numbers; files, locks, users, clock
//! ```

pub mod cli;
pub mod config;
pub mod counter;
pub mod daemon;
pub mod directory;
pub mod log;
pub mod message;
pub mod ops;
pub mod os;
pub mod protocol;
pub mod store;
pub mod text;
