//! **Here**: what the product does, said once: operations of tools and servers on the store, the directory and the instance.
//! **Not here**: printing, sockets, reading the clock (times come in).
//! **Start**: [`instance`] and [`store`] for what every process needs, [`maintenance`] for the store daemon.

pub mod account;
pub mod acl;
pub mod alarm;
pub mod backup;
pub mod certificate;
pub mod delivery;
pub mod disklock;
pub mod expire;
pub mod import;
pub mod instance;
pub mod mailbox;
pub mod maildrop;
pub mod maintenance;
pub mod placement;
pub mod quota;
pub mod quotacheck;
pub mod schedule;
pub mod store;
mod trace;
