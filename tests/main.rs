//! The one test binary: each module here is one subject.

mod bad_input;
mod catalogue;
mod clients;
mod configure;
mod configutil;
mod crash;
mod deliver;
mod generated;
mod hashdir;
mod imap;
mod imsimport;
mod install;
mod instance;
mod layering;
mod licences;
mod lmtp;
mod mboxutil;
mod message;
mod message_mbox;
mod parameters;
mod processes;
mod processes_cli;
mod reconstruct;
mod store;
mod strace;
mod stress;
