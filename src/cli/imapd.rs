//! imapd: the IMAP daemon.

use std::ffi::OsString;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::start_msg::unavailable;
use super::ui::Ui;
use super::{Tool, args};
use crate::daemon::imapd::{self, ImapdError};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "imapd",
    place: "lib",
    about: "The IMAP daemon",
    definition: || args::definition::<Args>("imapd"),
    run,
};

/// The IMAP daemon. It stays in the foreground and is usually started by start-msg.
///
/// SIGTERM ends it in good order, SIGHUP makes it read the configuration again.
#[derive(Debug, clap::Parser)]
pub struct Args {}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    if let Err(exit) = args::parse::<Args>(ui, argv) {
        return Ok(exit);
    }
    let instance = instance(ui)?;
    imapd::run(&instance).map_err(ended)?;
    Ok(Exit::Ok)
}

fn ended(error: ImapdError) -> anyhow::Error {
    let exit = match error {
        ImapdError::Config(error) => return failure(error).into(),
        ImapdError::Process(error) => return unavailable(error),
        ImapdError::User(_) | ImapdError::Tls(_) => Exit::Config,
        ImapdError::Store(_) => Exit::Unavailable,
        ImapdError::Listen { ref source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => Exit::NoPerm,
        ImapdError::Listen { .. } => Exit::Unavailable,
        ImapdError::System(_) => Exit::IoErr,
    };
    Failure::new(exit, error.to_string()).into()
}
