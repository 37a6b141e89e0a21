//! purge: what the schedule of 2004Q2 calls: rotated log files beyond a number go, and messages are purged as by imexpire -c.

use std::ffi::OsString;

use super::exit::{Exit, Failure};
use super::imexpire::{Common, Wanted, carry_out};
use super::instance::{failure, instance, server_account};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::works::LOGS;
use crate::log;
use crate::ops::instance::log_settings;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "purge",
    place: "lib",
    about: "Purge expunged messages, and old log files",
    definition: || args::definition::<Args>("purge"),
    run,
};

/// Purge messages that were expunged long enough ago (store.cleanupage), as imexpire -c does.
///
/// With -num=N, as the schedule of the manual calls it, also remove all but the N newest rotated files of each log.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Keep so many rotated files of each log; written -num=N too.
    #[arg(long = "num", value_name = "N")]
    keep: Option<usize>,
    #[command(flatten)]
    common: Common,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let argv = argv.into_iter().map(long_form).collect();
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let dry_run = args.common.dry_run;
    let mut kept = Ok(0);
    if let Some(keep) = args.keep {
        server_account(&conf)?;
        for service in LOGS {
            let done = log::keep_rotated(log_settings(&instance, &conf, service, "purge"), keep, dry_run);
            if let Ok(count @ 1..) = done
                && dry_run
            {
                ui.line(format!("would remove {count} rotated files of the log {service}"));
            }
            // The messages are purged all the same.
            kept = kept.and_then(|sum| {
                done.map(|count| sum + count).map_err(|error| format!("the log files of {service}: {error}"))
            });
        }
    }
    let wanted = Wanted {
        common: args.common,
        clean: true,
        expire: false,
        rules_max: 0,
        max_percent: None,
        file: None,
        explain: false,
    };
    let exit = carry_out(ui, &instance, &conf, wanted)?;
    let gone = kept.map_err(|text| Failure::new(Exit::IoErr, text))?;
    Ok(if dry_run && gone > 0 && exit == Exit::Ok { Exit::WouldChange } else { exit })
}

/// `-num=5`, as the manual writes it, in the form of long options.
fn long_form(word: OsString) -> OsString {
    match word.to_str() {
        Some(text) if text.starts_with("-num") => format!("-{text}").into(),
        _ => word,
    }
}
