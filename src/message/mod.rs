//! **Here**: headers, MIME structure, ENVELOPE, BODYSTRUCTURE, dates, mbox, charsets; pure functions over bytes.
//! **Not here**: files and where messages lie (store), FETCH and SEARCH commands (protocol, ops), the clock (os).
//! **Start**: [`scan::Scanner`]; a message goes through it once, at delivery.
//! **Rules**: bytes are data: nothing panics, memory is bounded whatever the size of the message; broken mail is read
//! as well as it can be and never refused. Nothing is decoded for ENVELOPE and BODYSTRUCTURE.
//! **Sources**: RFC 5322, 2045-2047, 2183, 2231, 3501 (6.4.5, 7.4.2), 4155 (mbox), 5051 (comparison), 5256 (base subjects, threads), 3516 (binary),
//! 8970 (preview).

pub mod address;
pub mod binary;
pub mod charset;
pub mod date;
pub mod envelope;
pub mod header;
pub mod keys;
pub mod mbox;
pub mod mime;
pub mod part;
pub mod preview;
pub mod scan;
pub mod structure;
pub mod subject;
pub mod threading;
pub mod words;
