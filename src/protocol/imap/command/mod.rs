//! **Here**: what each command does, one file a word.
//! **Not here**: its grammar (`parse`), when it is allowed and what is told at its end (`session`).
//! **Rules**: these functions block and run on workers; answers are [`super::answer::Answer`], errors of the store become words there.

pub mod acl;
pub mod append;
pub mod authenticate;
mod binary;
pub mod close;
pub mod copy;
pub mod create;
pub mod delete;
pub mod enable;
pub mod expunge;
pub mod fetch;
mod hits;
pub mod id;
pub mod list;
pub mod login;
mod looking;
pub mod lsub;
mod matching;
mod merge;
pub mod mv;
pub mod namespace;
mod oldname;
mod opened;
mod pieces;
pub mod quota;
mod remaining;
pub mod rename;
mod resync;
pub mod search;
mod section;
pub mod select;
pub mod sort;
pub mod status;
pub mod store;
pub mod subscribe;
pub mod thread;
mod walk;
