//! **Here**: the instance on disk, its text database of settings, and the catalogue of parameters (name, range, default, effect, doc).
//! **Not here**: what a setting makes the services do (they take a [`Conf`] or values from it), the command (`cli::configutil`).
//! **Start**: [`Instance::find`], [`Conf::get`]; for writing [`Database::apply`]; the tables in `catalogue/`; [`works`] for what has an effect.
//! **Rules**: names compare without regard to case; a setting is explicit (`msg.conf`), else from `msg.conf.defaults`, else the
//! catalogue's; every change re-reads the file under an OS lock and replaces it whole; a file that is wrong is an error with its line.
//! **Sources**: AdminRef configutil (2005Q4, 6.3 layout: everything local).

pub mod catalogue;
mod conf;
mod create;
pub mod file;
mod instance;
pub mod schedule;
mod value;
pub mod works;

use std::io;
use std::path::PathBuf;

pub use catalogue::{Effect, Kind, Parameter};
pub use conf::{Conf, Origin, Setting};
pub use create::{Created, defaults_text};
pub use file::{Change, Database, Entry};
pub use instance::Instance;
pub use value::{boolean, check, check_named, listed, number, range, unlisted};

/// What can go wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No instance belongs to this call; `looked` says where one was looked for.
    #[error("no configuration found: {looked}")]
    NoInstance {
        /// The places that were tried.
        looked: String,
    },
    /// A configuration file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A configuration file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of a configuration file cannot be understood.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// No parameter has this name.
    #[error("unknown parameter: {name}")]
    Unknown {
        /// The name as given.
        name: String,
        /// Known names that are spelled nearly so, nearest first.
        near: Vec<String>,
    },
    /// The name cannot stand in a configuration file.
    #[error("{name}: {problem}")]
    BadName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value is outside of the range of its parameter.
    #[error("{name}: \"{}\" is refused, the range is {range}", brief(value))]
    BadValue {
        /// The parameter.
        name: String,
        /// The value as given.
        value: String,
        /// What would be accepted.
        range: String,
    },
}

/// The beginning of a value that is too long for a message.
fn brief(value: &str) -> String {
    const SHOWN: usize = 100;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", value.get(..end).unwrap_or_default()),
        None => value.to_owned(),
    }
}
