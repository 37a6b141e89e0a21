//! The one test binary: each module here is one subject.

mod configutil;
mod layering;
mod message;
mod message_mbox;
