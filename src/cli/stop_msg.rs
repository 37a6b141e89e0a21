//! stop-msg: stops the services of the instance, the last started first (AdminRef stop-msg).

use std::ffi::OsString;
use std::time::Duration;

use super::exit::Exit;
use super::instance::{failure, instance};
use super::start_msg::{chosen, unavailable};
use super::ui::Ui;
use super::{Tool, args};
use crate::daemon::process::{self, Stopped};
use crate::daemon::watcher;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "stop-msg",
    place: "sbin",
    about: "Stop the services",
    definition: || args::definition::<Args>("stop-msg"),
    run,
};

/// Stop the services: without a name all that run, switched on or not, the store last.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Kill at once instead of asking first.
    #[arg(short = 'f')]
    force: bool,
    /// How long a service may take to end before it is killed.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, conflicts_with = "force")]
    timeout: u64,
    /// The services to stop: watcher, store, imap, pop, lmtp, sched.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let patience = Duration::from_secs(if args.force { 0 } else { args.timeout });
    let mut exit = Exit::Ok;
    let mut services = chosen(&args.services, &conf, false)?;
    // The last started first; the watcher before all, which would miss them.
    services.reverse();
    services.sort_by_key(|service| service.name != watcher::SERVICE);
    for service in services {
        let name = service.name;
        match process::stop(&instance, service, patience) {
            // One that is switched off is not missed, unless somebody asks about it.
            Ok(Stopped::NotRunning) if args.services.is_empty() && !service.is_enabled(&conf) => {}
            Ok(Stopped::NotRunning) => ui.line(format!("{name} server is not running")),
            Ok(Stopped::Ended(pid)) => ui.line(format!("Stopping {name} server .... {pid}")),
            Ok(Stopped::Killed(pid)) => {
                ui.line(format!("Stopping {name} server .... {pid} killed"));
                if !args.force {
                    ui.warn(format!("the {name} server did not end within {} seconds and was killed", args.timeout));
                }
            }
            Err(error) => {
                exit = super::report(ui, &unavailable(error));
            }
        }
        ui.flush();
    }
    Ok(exit)
}
