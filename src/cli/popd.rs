//! popd: the POP daemon.

use std::ffi::OsString;

use super::exit::Exit;
use super::ui::Ui;
use super::{Tool, args, network};
use crate::protocol::pop::server::Server;

/// The tool.
pub const TOOL: Tool =
    Tool { name: "popd", place: "lib", about: "The POP daemon", definition: || args::definition::<Args>("popd"), run };

/// The POP daemon. It stays in the foreground and is usually started by start-msg.
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
