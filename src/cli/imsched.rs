//! imsched: the scheduler, and what it will run next (AdminRef imsched, which has no options; `--next` is ours).

use std::ffi::OsString;

use chrono::{Local, SecondsFormat, TimeZone};

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::start_msg::unavailable;
use super::ui::Ui;
use super::{Tool, args};
use crate::config::Instance;
use crate::daemon::imsched::{self, ImschedError};
use crate::ops::schedule::plan::Plan;
use crate::ops::schedule::record::Record;
use crate::ops::schedule::tasks;
use crate::os::clock;
use crate::os::user::UserError;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "imsched",
    place: "lib",
    about: "The scheduler",
    definition: || args::definition::<Args>("imsched"),
    run,
};

/// The scheduler: runs the commands of local.schedule.TASK when they are due. It stays in the foreground and is usually started by start-msg.
///
/// With --next it only tells what it would run.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// List the next N runs, by the settings as they are now: when, which task, which command.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    next: Option<u32>,
    /// With --next: one JSON object a line.
    #[arg(long, requires = "next")]
    json: bool,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    if let Some(count) = args.next {
        return next(ui, &instance, usize::try_from(count).unwrap_or(usize::MAX), args.json);
    }
    imsched::run(&instance).map_err(ended)?;
    Ok(Exit::Ok)
}

/// Lists what comes.
fn next(ui: &mut Ui, instance: &Instance, count: usize, json: bool) -> anyhow::Result<Exit> {
    let conf = instance.conf().map_err(failure)?;
    let found = tasks(instance, &conf);
    for fault in &found.absent {
        ui.warn(format!("{}: {}", fault.setting, fault.problem));
    }
    for fault in &found.faults {
        ui.error(format!("{}: {}", fault.setting, fault.problem));
    }
    if found.tasks.is_empty() {
        ui.warn("no task is scheduled");
    }
    let longest = found.tasks.iter().map(|task| task.name.len()).max().unwrap_or_default();
    let plan = Plan::resume(found.tasks, &Record::default(), clock::now_s(), &clock::utc_offset_s);
    for (at_s, task) in plan.coming(count, &clock::utc_offset_s) {
        let Some(time) = Local.timestamp_opt(at_s, 0).single() else { continue };
        ui.line(if json {
            let time = time.to_rfc3339_opts(SecondsFormat::Secs, false);
            serde_json::json!({ "v": 1, "time": time, "task": task.name, "command": task.command }).to_string()
        } else {
            format!("{}  {:longest$}  {}", time.format("%Y-%m-%d %H:%M %z"), task.name, task.command)
        });
        if ui.is_broken() {
            break;
        }
    }
    Ok(if found.faults.is_empty() { Exit::Ok } else { Exit::Incomplete })
}

fn ended(error: ImschedError) -> anyhow::Error {
    let exit = match error {
        ImschedError::Config(error) => return failure(error).into(),
        ImschedError::Process(error) => return unavailable(error),
        ImschedError::User(UserError::NotPermitted { .. }) => Exit::NoPerm,
        ImschedError::User(_) => Exit::Config,
        ImschedError::System(_) => Exit::IoErr,
    };
    Failure::new(exit, error.to_string()).into()
}
