//! The POP daemon as a process. Every test ends with the store's checker.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod clients;
mod hostile;
mod parameters;
mod sessions;
mod traces;

pub use parameters::*;
