//! **Here**: LMTP: command lines and messages of a mail system to local delivery, one answer for each recipient.
//! **Not here**: who may receive and how mail is stored (`ops::delivery`), sockets, TLS and time limits (`daemon`).
//! **Start**: [`Session::feed`]: one machine for lmtpd and for `deliver -l`, which is [`serve`] over a reader and a writer.
//! **Rules**: only CRLF.CRLF ends the message of a DATA, and only its count the chunk of a BDAT; a message streams into its staging file; every
//! line and list has a limit.
//! **Sources**: RFC 2033 (LMTP), 5321 (paths, replies), 1870 (SIZE), 6152 (8BITMIME), 2034 (enhanced codes), 2920 (pipelining), 3030 (BDAT), 3207
//! (STARTTLS), 6531 (SMTPUTF8); Postfix XCLIENT_README.

mod answer;
mod chunk;
mod command;
mod data;
mod path;
mod receive;
mod server;
mod session;
mod xclient;

pub use answer::closing;
pub use server::Server;
pub use session::{Client, Counts, Next, Session, serve};
