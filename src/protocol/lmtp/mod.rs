//! **Here**: LMTP: command lines and messages of a mail system to local delivery, one answer for each recipient.
//! **Not here**: who may receive and how mail is stored (`ops::delivery`), sockets and time limits.
//! **Start**: [`serve`]: one session over a reader and a writer.
//! **Rules**: only CRLF.CRLF ends a message; a message streams into its staging file; every line and list has a limit.
//! **Sources**: RFC 2033 (LMTP), 5321 (paths, replies), 1870 (SIZE), 6152 (8BITMIME), 2034 (enhanced codes), 2920 (pipelining).

mod data;
mod path;
mod session;

pub use session::{Server, serve};
