//! **Here**: names, patterns, modified UTF-7, numbers, times of a crontab, IMAP strings; pure functions over text.
//! **Not here**: mail (message), parameters (config), printing (cli).
//! **Start**: [`wildcard`] and [`utf7`] for folder names, [`quote`] for responses, [`network`] for addresses,
//! [`crontab`] for times that come again.
//! **Rules**: no room below this one but `os`; linear time for every pattern.
//! **Sources**: RFC 3501 (4.3, 5.1.3, 6.3.8), POSIX regular expressions (ERE).

pub mod crontab;
pub mod domain;
pub mod network;
pub mod number;
pub mod pattern;
pub mod quote;
pub mod utf7;
pub mod wildcard;
