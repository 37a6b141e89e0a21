//! lmtpd: the LMTP daemon (ours: the product was given its mail by its MTA's own channel).

use std::ffi::OsString;

use super::exit::Exit;
use super::ui::Ui;
use super::{Tool, args, network};
use crate::protocol::lmtp::Server;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "lmtpd",
    place: "lib",
    about: "The LMTP daemon",
    definition: || args::definition::<Args>("lmtpd"),
    run,
};

/// The LMTP daemon: takes mail from a mail transport. It stays in the foreground and is usually started by start-msg.
///
/// SIGTERM ends it in good order, SIGHUP makes it read the configuration again.
#[derive(Debug, clap::Parser)]
pub struct Args {}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    if let Err(exit) = args::parse::<Args>(ui, argv) {
        return Ok(exit);
    }
    network::run::<Server>(ui)
}
