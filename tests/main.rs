//! The one test binary: each module here is one subject.

mod clients;
mod configure;
mod configutil;
mod imap;
mod hashdir;
mod instance;
mod parameters;
mod layering;
mod store;
mod mboxutil;
mod message;
mod message_mbox;
mod processes_cli;
mod reconstruct;
mod generated;
mod licences;
mod install;
