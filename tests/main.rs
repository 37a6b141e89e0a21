//! The one test binary: each module here is one subject.

mod clients;
mod bad_input;
mod configure;
mod configutil;
mod deliver;
mod imap;
mod hashdir;
mod imsimport;
mod instance;
mod parameters;
mod layering;
mod lmtp;
mod store;
mod mboxutil;
mod message;
mod message_mbox;
mod processes_cli;
mod reconstruct;
mod generated;
mod licences;
mod install;
