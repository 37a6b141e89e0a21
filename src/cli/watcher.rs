//! watcher: notices services that died and starts them again (AdminRef 2005Q4 start-msg).

use std::ffi::OsString;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::start_msg::unavailable;
use super::ui::Ui;
use super::{Tool, args};
use crate::daemon::watcher::{self, WatcherError};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "watcher",
    place: "lib",
    about: "Notice services that died, and start them again",
    definition: || args::definition::<Args>("watcher"),
    run,
};

/// Notice services that died, and with local.autorestart start them again. It stays in the foreground and is usually started by start-msg.
///
/// SIGTERM ends it in good order, SIGHUP makes it read the configuration again.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Start services again whatever is configured, and end when one dies too often, for another host to take over.
    #[arg(long)]
    ha: bool,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    watcher::run(&instance, args.ha).map_err(|error| {
        let exit = match error {
            WatcherError::Config(error) => return failure(error).into(),
            WatcherError::Process(error) => return unavailable(error),
            WatcherError::GivenUp { .. } => Exit::Unavailable,
            WatcherError::System(_) => Exit::IoErr,
        };
        anyhow::Error::from(Failure::new(exit, error.to_string()))
    })?;
    Ok(Exit::Ok)
}
