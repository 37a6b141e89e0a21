//! refresh: makes running services read the configuration again (AdminRef refresh).

use std::ffi::OsString;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::start_msg::{chosen, unavailable};
use super::ui::Ui;
use super::{Tool, args};
use crate::daemon::process;
use crate::ops::schedule;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "refresh",
    place: "sbin",
    about: "Make running services read the configuration again",
    definition: || args::definition::<Args>("refresh"),
    run,
};

/// Make running services read the configuration again: without a name all that run.
///
/// Some settings need a restart instead; configutil -m tells which.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// The service: watcher, store, imap, pop, lmtp, sched.
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    // A wrong configuration is told here, where somebody reads it; the services would keep the old one.
    let conf = instance.conf().map_err(failure)?;
    for fault in schedule::tasks(&instance, &conf).faults {
        ui.warn(format!("{}: {}; this task does not run", fault.setting, fault.problem));
    }
    let words: Vec<String> = args.service.into_iter().collect();
    let mut refreshed = 0;
    for service in chosen(&words, &conf, false)? {
        if let Some(pid) = process::refresh(&instance, service).map_err(unavailable)? {
            ui.line(format!("Refreshing {} server .... {pid}", service.name));
            refreshed += 1;
        }
    }
    if refreshed == 0 {
        let what = words
            .first()
            .map_or("no service is running".to_owned(), |name| format!("the {name} server is not running"));
        return Err(Failure::new(Exit::Unavailable, what).hint("start-msg").into());
    }
    Ok(Exit::Ok)
}
