//! imquotacheck: reports quota usage, tells users who come near their quota, enforces the quotas of domains (AdminRef 2005Q4 and 6.3 imquotacheck;
//! decisions in docs/tools/imquotacheck.md).

mod check;
mod enforce;
mod files;
mod notify;
mod report;
mod samples;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ArgAction;

use super::exit::{Exit, Failure};
use super::instance::{directory_failure, failure, instance, ready_store, store_failure};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::{Conf, Instance};
use crate::directory::Directory;
use crate::ops::instance::open_directory;
use crate::ops::quota::Defaults;
use crate::ops::quotacheck::survey::{QuotaAttribute, Survey, SurveyError, Whose};
use crate::os::clock;
use crate::store::Store;
use files::Files;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "imquotacheck",
    place: "sbin",
    about: "Report quota usage, tell users who come near their quota, enforce domain quotas",
    definition: || args::definition::<Args>("imquotacheck"),
    run,
};

/// Report quota usage, tell users who come near their quota, enforce domain quotas.
///
/// Without options the users are listed whose usage has reached the lowest threshold of the rule file, config/imq.rulefile. With -n the users are
/// told whom the rules want told. Quotas and usage are in kilobytes.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Tell users by the rules of the rule file.
    #[arg(short = 'n')]
    notify: bool,
    /// Set mailDomainStatus to overquota or active, as the usage of each domain is; with store.overquotastatus mailUserStatus of users too.
    #[arg(short = 'f')]
    enforce: bool,
    /// Compare the recorded usage with the messages; nothing is changed.
    #[arg(long, conflicts_with_all = ["notify", "enforce"])]
    check: bool,
    /// List all users, whatever the rule file says.
    #[arg(short = 'i', conflicts_with_all = ["notify", "enforce", "check", "user"])]
    everyone: bool,
    /// Only users of DOMAIN; lists all of them. With -f: only that domain.
    #[arg(short = 'd', value_name = "DOMAIN", conflicts_with = "user")]
    domain: Option<String>,
    /// Only USER, whatever the rule file says.
    #[arg(short = 'u', value_name = "USER", conflicts_with = "enforce")]
    user: Option<String>,
    /// The users of the directory instead of the accounts of the store, with the limits of their entries.
    #[arg(short = 'a', conflicts_with_all = ["enforce", "check"])]
    of_directory: bool,
    /// Add the usage of each folder.
    #[arg(short = 'e')]
    extended: bool,
    /// The rule file.
    #[arg(short = 'r', value_name = "RULEFILE")]
    rules: Option<PathBuf>,
    /// The template of notices whose rule names none.
    #[arg(short = 't', value_name = "TEMPLATE")]
    template: Option<PathBuf>,
    /// Say on standard error what is done.
    #[arg(short = 'v')]
    verbose: bool,
    /// Say on standard error what is known and decided of each user.
    #[arg(short = 'D')]
    debug: bool,
    /// With -n and -f: only print what would be done; exit code 2 if that is anything.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object a line.
    #[arg(long, conflicts_with = "table")]
    json: bool,
    /// Draw the report as a table.
    #[arg(long, conflicts_with_all = ["notify", "enforce", "check"])]
    table: bool,
    /// Print a sample of a rule file or of a template.
    #[arg(long, value_enum, value_name = "WHAT", exclusive = true)]
    sample: Option<samples::Sample>,
    /// Print this help.
    #[arg(short = 'h', action = ArgAction::Help)]
    _help: Option<bool>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    if let Some(sample) = args.sample {
        ui.raw(sample.text().as_bytes());
        return Ok(Exit::Ok);
    }
    check_args(&args)?;
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    // What the command line names belongs to who called, so it is read before the change of the account.
    let files = Files::read(args.rules.as_deref(), args.template.as_deref())?;
    let here = Here::new(&args, instance, conf)?;
    if args.check {
        return check::check(ui, &here);
    }
    if !args.notify && !args.enforce {
        return report::report(ui, &here, files);
    }
    let mut worst = Exit::Ok;
    if args.enforce {
        worst = enforce::enforce(ui, &here)?;
    }
    if args.notify {
        let exit = notify::notify(ui, &here, files)?;
        worst = if worst == Exit::Incomplete || exit == Exit::Ok { worst } else { exit };
    }
    Ok(worst)
}

/// Refuses what would have no effect.
fn check_args(args: &Args) -> Result<(), Failure> {
    let report = !(args.notify || args.enforce || args.check);
    for (given, allowed, text) in [
        (args.extended, report || args.notify, "-e goes with a report and with -n"),
        (args.rules.is_some(), report || args.notify, "-r goes with a report and with -n"),
        (args.template.is_some(), report || args.notify, "-t goes with -n"),
        (args.dry_run, args.notify || args.enforce, "--dry-run goes with -n and -f"),
    ] {
        if given && !allowed {
            return Err(Failure::new(Exit::Usage, text));
        }
    }
    match &args.domain {
        Some(domain) if domain.is_empty() || domain.contains(['@', '/', ' ']) => {
            Err(Failure::new(Exit::Usage, format!("-d {domain}: that is not the name of a domain")))
        }
        _ => Ok(()),
    }
}

/// The instance that is worked on, open.
struct Here<'a> {
    args: &'a Args,
    instance: Instance,
    conf: Conf,
    store: Store,
    directory: Directory,
    defaults: Defaults,
    default_domain: String,
    whose: Whose,
    now_s: i64,
}

impl<'a> Here<'a> {
    fn new(args: &'a Args, instance: Instance, conf: Conf) -> anyhow::Result<Here<'a>> {
        let store = ready_store(&instance, &conf)?;
        let directory = open_directory(&instance, &conf);
        let whose = match (&args.domain, &args.user) {
            (Some(domain), _) => Whose::Domain(domain.to_lowercase()),
            (_, Some(user)) => Whose::User(user.clone()),
            _ => Whose::Everyone,
        };
        Ok(Here {
            args,
            defaults: Defaults::of(&conf),
            default_domain: conf.string("local.defdomain"),
            instance,
            conf,
            store,
            directory,
            whose,
            now_s: clock::now_s(),
        })
    }

    /// The users that are meant, with folders where these are asked for.
    fn survey<'s>(&'s self, attribute: Option<&'s QuotaAttribute>) -> Survey<'s> {
        Survey {
            store: &self.store,
            directory: &self.directory,
            defaults: self.defaults,
            default_domain: &self.default_domain,
            whose: &self.whose,
            of_directory: self.args.of_directory,
            with_folders: self.args.extended,
            attribute,
        }
    }

    /// The values of the attribute that a rule file names.
    fn attribute(&self, name: Option<&String>) -> Result<Option<QuotaAttribute>, Failure> {
        name.map(|name| QuotaAttribute::read(&self.directory, name)).transpose().map_err(directory_failure)
    }

    /// A line about what is done, with -v and -D.
    fn say(&self, ui: &mut Ui, text: &str) {
        if self.args.verbose || self.args.debug {
            ui.error(text);
        }
    }
}

/// How the tool ends when there are no figures at all.
fn survey_failure(error: SurveyError) -> Failure {
    let text = error.to_string();
    match error {
        SurveyError::NoUser(_) => Failure::new(Exit::NoUser, text).hint("mboxutil -l -s lists all mailboxes"),
        SurveyError::Quota { .. } => Failure::new(Exit::DataErr, text),
        SurveyError::Directory(error) => directory_failure(error),
        SurveyError::Store(error) => store_failure(error),
    }
}

/// A size for a person: kilobytes of use are rounded up, as in mboxutil.
fn kilobytes(bytes: u64) -> u64 {
    bytes.div_ceil(1024)
}
