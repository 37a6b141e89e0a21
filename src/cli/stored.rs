//! stored: the store daemon, and the question whether it runs (AdminRef stored).

use std::ffi::OsString;

use clap::ArgAction;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::start_msg::unavailable;
use super::ui::Ui;
use super::{Tool, args};
use crate::daemon::process::Service;
use crate::daemon::stored::{self, StoredError};
use crate::log::Level;
use crate::ops::maintenance::{self, Health};
use crate::os::clock;
use crate::os::process::ServiceState;
use crate::os::user::UserError;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "stored",
    place: "lib",
    about: "The store daemon",
    definition: || args::definition::<Args>("stored"),
    run,
};

/// The store daemon. It stays in the foreground and is usually started by start-msg.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Run the daemon, as without options; for scripts that give it.
    #[arg(short = 'd', conflicts_with_all = ["test", "rest", "remove"])]
    _daemon: bool,
    /// Tell by the exit code whether the daemon runs and is ready (0) or not (69).
    #[arg(short = 't')]
    test: bool,
    /// Synchronise the store and remove what is temporary, before an upgrade or a copy of its files; no service may run.
    #[arg(short = 'r', conflicts_with = "test")]
    rest: bool,
    /// Remove what is temporary in the database of a stopped store, without synchronising or recovering anything; for when -r fails.
    #[arg(short = 'R', conflicts_with_all = ["test", "rest"])]
    remove: bool,
    /// With -t, -r and -R print the status, with -t twice: signs of life and snapshots; else log more, twice: everything.
    #[arg(short = 'v', action = ArgAction::Count)]
    verbose: u8,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    if args.test {
        let state = match Service::find(stored::SERVICE) {
            Some(service) => service.state(&instance).map_err(unavailable)?,
            None => ServiceState::Stopped,
        };
        if args.verbose > 0 {
            ui.line(match state {
                ServiceState::Ready(_) => "ready",
                ServiceState::Starting(_) => "init",
                ServiceState::Stopped => "not running",
            });
        }
        if args.verbose > 1 {
            let conf = instance.conf().map_err(failure)?;
            details(ui, state, &maintenance::health(&instance, &conf), clock::now_s());
        }
        return Ok(match state {
            ServiceState::Ready(_) => Exit::Ok,
            _ => Exit::Unavailable,
        });
    }
    if args.rest {
        stored::rest(&instance).map_err(ended)?;
        if args.verbose > 0 {
            ui.line("the store is at rest");
        }
        return Ok(Exit::Ok);
    }
    if args.remove {
        let gone = stored::clear(&instance).map_err(ended)?;
        if args.verbose > 0 {
            ui.line(format!("{gone} temporary files removed"));
        }
        return Ok(Exit::Ok);
    }
    let at_least = match args.verbose {
        0 => None,
        1 => Some(Level::Information),
        _ => Some(Level::Debug),
    };
    stored::run(&instance, at_least).map_err(ended)?;
    Ok(Exit::Ok)
}

/// What -t -v -v prints behind the state.
fn details(ui: &mut Ui, state: ServiceState, health: &Health, now_s: i64) {
    let ago = |time_s: i64| {
        let age = now_s.saturating_sub(time_s).max(0);
        format!("{}d {:02}:{:02}:{:02} ago", age / 86_400, age / 3600 % 24, age / 60 % 60, age % 60)
    };
    ui.line(state.pid().map_or_else(|| "pid: none".to_owned(), |pid| format!("pid: {pid}")));
    for (name, touched) in &health.signs {
        ui.line(format!("{name}: {}", touched.map_or_else(|| "never".to_owned(), ago)));
    }
    if health.snapshots.is_empty() {
        ui.line("snapshots: none");
    }
    for (taken_s, fault) in &health.snapshots {
        let verdict = fault.as_deref().map_or_else(|| "good".to_owned(), |fault| format!("damaged: {fault}"));
        ui.line(format!("snapshot {taken_s}: {}, {verdict}", ago(*taken_s)));
    }
    for env in &health.removed {
        ui.line(format!("removed: a damaged copy of {env} is kept"));
    }
    if health.interrupted {
        ui.line("recovery: interrupted, the next start goes on with it");
    }
}

fn ended(error: StoredError) -> anyhow::Error {
    let exit = match error {
        StoredError::Config(error) => return failure(error).into(),
        StoredError::Process(error) => return unavailable(error),
        StoredError::User(ref error @ UserError::NotPermitted { .. }) => {
            return Failure::new(Exit::NoPerm, error.to_string()).into();
        }
        StoredError::User(ref error) => {
            return Failure::new(Exit::Config, format!("Fatal error: {error}")).into();
        }
        StoredError::Maintenance(_) => Exit::Software,
        StoredError::System(_) => Exit::IoErr,
    };
    Failure::new(exit, error.to_string()).into()
}
