//! **Here**: what the operating system gives: durable files, locks, users, processes, the clock, space of disks, the name of the machine, memory, crash points.
//! **Not here**: what is stored in the files.
//! **Rules**: one of the two rooms that may use `unsafe` (the other is `store/lmdb`), each block with its reason.

pub mod access;
pub mod clock;
pub mod crash;
pub mod crypt;
pub mod disk;
pub mod durable;
pub mod host;
pub mod lock;
pub mod memory;
pub mod process;
pub mod program;
pub mod terminal;
pub mod user;
