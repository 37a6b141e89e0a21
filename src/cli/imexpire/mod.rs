//! imexpire: expunges what the rules of automatic removal take, and purges (AdminRef imexpire; decisions in docs/tools/imexpire.md).

mod report;
mod rules;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance, ready_store, store_failure};
use super::progress::Progress;
use super::ui::Ui;
use super::{Tool, args};
use crate::config::{Conf, Instance};
use crate::directory::canonical_userid;
use crate::log;
use crate::ops::expire::install::Running;
use crate::ops::expire::{Ended, Rules, Run, Settings};
use crate::ops::instance::{log_settings, open_directory};
use crate::ops::quota::watch;
use crate::ops::schedule;
use crate::os::clock;
use crate::store::Store;
use report::{Form, Report};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "imexpire",
    place: "sbin",
    about: "Expire messages by rules, and purge",
    definition: || args::definition::<Args>("imexpire"),
    run,
};

/// Expunge the messages that the rules of automatic removal take, then purge what was expunged long enough ago.
///
/// Rules are in config/store.expirerule (or are settings store.expirerule.RULE.ATTRIBUTE), and in files store.expirerule in the directories
/// of partitions, users and folders. What is expunged can be brought back with mboxutil -R until it is purged, after store.cleanupage hours.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Purge only.
    #[arg(short = 'c', conflicts_with = "expire")]
    clean: bool,
    /// Expire only.
    #[arg(short = 'e')]
    expire: bool,
    #[command(flatten)]
    common: Common,
    /// At most so many rules may apply to a mailbox; where more do, nothing expires.
    #[arg(short = 'm', value_name = "NUM", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    rules_max: u32,
    /// Use only the rules in FILE, which is written as the global one; with -i the file to install.
    #[arg(short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Install a local rule file: that of a partition (-p) or of a mailbox (-x).
    #[arg(short = 'i', requires = "file", conflicts_with_all = ["clean", "expire", "dry_run", "user", "explain", "json", "table", "max_percent"])]
    install: bool,
    /// With -i: the mailbox. The file of an INBOX counts for all mailboxes of its user.
    #[arg(short = 'x', value_name = "MAILBOX", requires = "install", conflicts_with = "partition")]
    mailbox: Option<String>,
    /// Tell of each message which rule and which criterion takes it.
    #[arg(long, conflicts_with = "clean")]
    explain: bool,
    /// Expire nothing when that would be more than so many percent of the messages; default: local.store.expire.maxpercent.
    #[arg(long, value_name = "NUM", conflicts_with = "clean", value_parser = clap::value_parser!(u8).range(0..=100))]
    max_percent: Option<u8>,
}

/// What purge has too.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Only print what would be done; exit code 2 if that is anything.
    #[arg(short = 'n')]
    pub dry_run: bool,
    /// Debug messages on standard error.
    #[arg(short = 'd')]
    pub debug: bool,
    /// Tell on standard error what is done: 1 the sums, 2 each mailbox, 3 each message.
    #[arg(short = 'v', value_name = "LEVEL", num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub verbose: Option<u8>,
    /// Only in this partition.
    #[arg(short = 'p', value_name = "PARTITION")]
    pub partition: Option<String>,
    /// Only the mailboxes of this user.
    #[arg(short = 'u', value_name = "USER")]
    pub user: Option<String>,
    /// Threads of the process, at most.
    #[arg(short = 't', value_name = "NUM", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub threads_max: u16,
    /// Threads of each partition, at most.
    #[arg(short = 'r', value_name = "NUM", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub threads_per_partition: u16,
    /// One JSON object a line, for each mailbox and rule.
    #[arg(long, conflicts_with = "table")]
    pub json: bool,
    /// Draw a table.
    #[arg(long)]
    pub table: bool,
}

/// What is wanted of a run.
pub(super) struct Wanted {
    /// Options that purge has too.
    pub common: Common,
    /// Purge only.
    pub clean: bool,
    /// Expire only.
    pub expire: bool,
    /// Most rules of a mailbox.
    pub rules_max: usize,
    /// Most messages in percent, where the command line says so.
    pub max_percent: Option<u8>,
    /// The file of the only rules, with its text.
    pub file: Option<(PathBuf, String)>,
    /// Tell of each message.
    pub explain: bool,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    if args.install && args.mailbox.is_none() == args.common.partition.is_none() {
        return Err(Failure::new(Exit::Usage, "-i needs the place of the rules")
            .hint("-i -p PARTITION, or -i -x MAILBOX")
            .into());
    }
    if args.clean && args.file.is_some() {
        return Err(Failure::new(Exit::Usage, "-c expires nothing: it takes no rules (-f)").into());
    }
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    // What the command line names belongs to who called, so it is opened before the change of the account.
    let file = args.file.clone().map(|path| rules::read(&path).map(|text| (path, text))).transpose()?;
    if let Some((path, text)) = file.as_ref().filter(|_| args.install) {
        let store = ready_store(&instance, &conf)?;
        let place = (args.common.partition.as_deref(), args.mailbox.as_deref());
        return rules::install(ui, &instance, &conf, &store, place, (path, text));
    }
    let wanted = Wanted {
        common: args.common,
        clean: args.clean,
        expire: args.expire,
        rules_max: usize::try_from(args.rules_max).unwrap_or(usize::MAX),
        max_percent: args.max_percent,
        file,
        explain: args.explain,
    };
    carry_out(ui, &instance, &conf, wanted)
}

/// Expires and purges: for imexpire and purge.
pub(super) fn carry_out(ui: &mut Ui, instance: &Instance, conf: &Conf, wanted: Wanted) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let store = ready_store(instance, conf)?;
    log::init(log_settings(instance, conf, "default", ui.tool()));
    let settings = settings(ui, instance, conf, &store, &wanted)?;
    let _running = Running::begin(&instance.proc_dir())
        .map_err(|error| Failure::new(Exit::IoErr, format!("cannot say that a run begins: {error}")))?;
    let file = wanted.file.as_ref().map(|(path, text)| (path.as_path(), text.as_str()));
    let rules = if settings.expire { rules::load(instance, conf, &store, file)? } else { Rules::default() };
    let matched: Vec<AtomicBool> = rules.global.rules.iter().map(|_| AtomicBool::new(false)).collect();
    let stop = AtomicBool::new(false);
    let links = Mutex::default();
    let (quota, directory) = (watch::Settings::of(conf), open_directory(instance, conf));
    let quota = (&quota, &directory);
    let run = Run { store: &store, rules: &rules, settings: &settings, quota, stop: &stop, matched: &matched, links };
    let accounts = run.accounts().map_err(store_failure)?;
    let form = match &wanted.common {
        Common { json: true, .. } => Form::Json,
        Common { table: true, .. } => Form::table(),
        _ if settings.dry_run || wanted.explain => Form::Text,
        _ => Form::Silent,
    };
    let progress = Progress::new(accounts.len() as u64, "accounts");
    let log_level =
        if settings.dry_run { 0 } else { u8::try_from(conf.int("local.store.expire.loglevel")).unwrap_or(1) };
    let mut report = Report::new(ui, form, &progress, &wanted, settings.dry_run, log_level);
    report.rules(&rules);
    report.debug(&format!(
        "{} accounts, at most {} threads a partition",
        accounts.len(),
        settings.threads_per_partition
    ));
    let ended = run.run(accounts, &mut |outcome| {
        report.account(outcome);
        // Nobody reads what would be done; what is done is done whether somebody reads of it or not.
        if settings.dry_run && report.is_unread() {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    if settings.partition.is_none() && settings.user.is_none() {
        report.unmatched(&rules, &matched);
    }
    if let Ended::TooMany { messages, of } = ended {
        report.too_many(messages, of, settings.max_percent.unwrap_or_default());
        return Ok(report.end(began.elapsed()));
    }
    for (partition, error) in run.purge_removed(&mut |removed, failed| report.removed(removed, failed)) {
        report.failed(&format!("the files of deleted mailboxes in partition {partition}"), &error.to_string());
    }
    Ok(report.end(began.elapsed()))
}

fn settings(ui: &mut Ui, instance: &Instance, conf: &Conf, store: &Store, wanted: &Wanted) -> anyhow::Result<Settings> {
    let common = &wanted.common;
    if let Some(partition) = &common.partition {
        match store.partitions().into_iter().find(|(nickname, _)| nickname == partition) {
            Some((_, Some(_))) => {}
            Some((_, None)) => {
                let text = format!("partition {partition} is not mounted, or not one of this store");
                return Err(Failure::new(Exit::Unavailable, text).into());
            }
            None => return Err(no_partition(partition).into()),
        }
    }
    let user = common.user.as_ref().map(|user| userid(conf, store, user)).transpose()?;
    let mut expire = !wanted.clean;
    if expire && !wanted.expire && conf.bool("local.store.expire.cleanonly") {
        ui.warn("local.store.expire.cleanonly is set: nothing expires, -e expires all the same");
        expire = false;
    }
    // What the scheduler runs leaves the purge to the task of that name; who types a command means what it says.
    let is_task = std::env::var_os(schedule::TASK_VARIABLE).is_some();
    let elsewhere = is_task && expire && schedule::purges_by_itself(instance, conf);
    let bound = u8::try_from(conf.int("local.store.expire.maxpercent")).ok().filter(|percent| *percent > 0);
    Ok(Settings {
        expire,
        purge: !wanted.expire && !elsewhere,
        dry_run: common.dry_run,
        partition: common.partition.clone(),
        user,
        rules_max: wanted.rules_max,
        threads_max: usize::from(common.threads_max),
        threads_per_partition: usize::from(common.threads_per_partition),
        cleanup_age_h: conf.int("store.cleanupage"),
        max_percent: wanted.max_percent.or(bound),
        now_s: clock::now_s(),
        clock: clock::now_s,
    })
}

fn no_partition(nickname: &str) -> Failure {
    Failure::new(Exit::NoInput, format!("Unknown/invalid partition: {nickname}")).hint("configutil -p store.partition")
}

/// The user id as the store has it: as it is written, else in small letters and without the default domain.
fn userid(conf: &Conf, store: &Store, user: &str) -> anyhow::Result<String> {
    let domain = conf.string("local.defdomain");
    let canonical = canonical_userid(user, Some(domain.as_str()).filter(|domain| !domain.is_empty()));
    for name in [user, &canonical] {
        if store.account_id(name).map_err(store_failure)?.is_some() {
            return Ok(name.to_owned());
        }
    }
    Err(Failure::new(Exit::NoUser, format!("no such user in the store: {user}"))
        .hint("mboxutil -l -s lists all mailboxes")
        .into())
}
