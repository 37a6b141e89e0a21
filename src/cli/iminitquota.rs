//! iminitquota: takes the limits of the directory over and counts usage anew (AdminRef 2005Q4 and 6.3 iminitquota).

use std::ffi::OsString;
use std::ops::ControlFlow;

use super::exit::{Exit, Failure};
use super::instance::{directory_failure, failure, instance, ready_store, store_failure};
use super::progress::Progress;
use super::ui::Ui;
use super::{Tool, args, recount};
use crate::directory::{Directory, canonical_userid};
use crate::ops::delivery::DeliveryError;
use crate::ops::instance::open_directory;
use crate::ops::quota::{Defaults, status};
use crate::ops::quotacheck::recount::{Initialised, Scope, initialise};
use crate::os::clock;
use crate::store::{AccountId, Store};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "iminitquota",
    place: "sbin",
    about: "Take quota limits over from the directory and count usage anew",
    definition: || args::definition::<Args>("iminitquota"),
    run,
};

/// Take quota limits over from the directory and count usage anew.
///
/// Otherwise a changed limit holds from the next login or delivery on. Services may go on.
#[derive(Debug, clap::Parser)]
#[command(group = clap::ArgGroup::new("whose").multiple(true).required(true))]
pub struct Args {
    /// Every user of the store.
    #[arg(short = 'a', group = "whose", conflicts_with = "user")]
    all: bool,
    /// This user.
    #[arg(short = 'u', value_name = "USERID", group = "whose")]
    user: Option<String>,
    /// The limits only; without -u for every user.
    #[arg(short = 'q', group = "whose", conflicts_with = "status")]
    limits: bool,
    /// Limits, usage, since when the quota is used up, and with store.overquotastatus mailUserStatus; without -u for every user.
    #[arg(short = 's', group = "whose")]
    status: bool,
    /// Say on standard error what is changed.
    #[arg(short = 'v')]
    verbose: bool,
    /// One JSON object a line, for usage that was wrong.
    #[arg(long)]
    json: bool,
}

/// A run over the users.
struct Run<'a> {
    args: &'a Args,
    store: &'a Store,
    directory: &'a Directory,
    defaults: Defaults,
    /// Write mailUserStatus back.
    with_status: bool,
    default_domain: &'a str,
    now_s: i64,
    failed: u64,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let store = ready_store(&instance, &conf)?;
    let directory = open_directory(&instance, &conf);
    let default_domain = conf.string("local.defdomain");
    let over_quota_status = conf.bool("store.overquotastatus") || conf.bool("local.store.overquotastatus");
    let mut run = Run {
        args: &args,
        store: &store,
        directory: &directory,
        defaults: Defaults::of(&conf),
        with_status: args.status && over_quota_status,
        default_domain: &default_domain,
        now_s: clock::now_s(),
        failed: 0,
    };
    match &args.user {
        Some(user) => run.user(ui, user),
        None => run.everyone(ui),
    }
}

impl Run<'_> {
    fn user(&mut self, ui: &mut Ui, name: &str) -> anyhow::Result<Exit> {
        let domain = Some(self.default_domain).filter(|domain| !domain.is_empty());
        for userid in [name.to_owned(), canonical_userid(name, domain)] {
            let Some(account) = self.store.account_id(&userid).map_err(store_failure)? else { continue };
            let done = self.one(&userid, account).map_err(|error| delivery_failure(&userid, error))?;
            self.tell(ui, None, &userid, &done);
            return Ok(Exit::Ok);
        }
        if self.directory.entry(name).map_err(directory_failure)?.is_some() {
            return Err(Failure::new(Exit::NoInput, format!("{name} has no mailbox yet"))
                .hint(format!("mboxutil -c user/{name}/INBOX"))
                .into());
        }
        Err(Failure::new(Exit::NoUser, format!("no such user: {name}"))
            .hint("mboxutil -l -s lists all mailboxes")
            .into())
    }

    fn everyone(&mut self, ui: &mut Ui) -> anyhow::Result<Exit> {
        // A directory that does not answer is one failure, not one a user.
        self.directory.problems().map_err(directory_failure)?;
        let mut total = 0;
        let mut count = |_: &str, _: Result<_, _>| {
            total += 1;
            ControlFlow::Continue(())
        };
        self.store.each_account(&mut count).map_err(store_failure)?;
        let progress = Progress::new(total, "users");
        let store = self.store;
        let listed = store.each_account(&mut |userid, found| {
            let done = found.map_err(DeliveryError::from).and_then(|(account, _)| self.one(userid, account));
            match done {
                Ok(done) => self.tell(ui, Some(&progress), userid, &done),
                Err(error) => {
                    self.failed += 1;
                    progress.error(ui, &format!("{userid}: {error}"));
                }
            }
            progress.step();
            ControlFlow::Continue(())
        });
        drop(progress);
        listed.map_err(store_failure)?;
        if !self.args.limits && !self.args.status {
            self.store.count_domains(true).map_err(store_failure)?;
        }
        if self.failed > 0 {
            ui.error(format!("{} of {total} users failed", self.failed));
            return Ok(Exit::Incomplete);
        }
        Ok(Exit::Ok)
    }

    fn one(&self, userid: &str, account: AccountId) -> Result<Initialised, DeliveryError> {
        let scope = match self.args {
            Args { limits: true, .. } => Scope::Limits,
            Args { status: true, .. } => Scope::Clock,
            _ => Scope::Usage,
        };
        let done = initialise(self.store, self.directory, (userid, account), self.defaults, scope, self.now_s)?;
        if self.with_status {
            self.write_status(userid, account)?;
        }
        Ok(done)
    }

    /// mailUserStatus follows the usage.
    fn write_status(&self, userid: &str, account: AccountId) -> Result<(), DeliveryError> {
        if let Some(user) = self.directory.entry(userid)? {
            let rules = self.store.quota_rules();
            status::follow_user(&rules, self.store, self.directory, account, &user).map_err(DeliveryError::from)?;
        }
        Ok(())
    }

    fn tell(&self, ui: &mut Ui, progress: Option<&Progress>, userid: &str, done: &Initialised) {
        done.usage.iter().for_each(|difference| recount::tell(ui, self.args.json, difference));
        if self.args.verbose && done.limits {
            let text = format!("{userid}: other limits hold now");
            match progress {
                Some(progress) => progress.error(ui, &text),
                None => ui.error(&text),
            }
        }
    }
}

fn delivery_failure(userid: &str, error: DeliveryError) -> Failure {
    let text = format!("{userid}: {error}");
    match error {
        DeliveryError::Directory(error) => directory_failure(error),
        DeliveryError::Store(error) => store_failure(error),
        _ => Failure::new(Exit::NoUser, text).hint("mboxutil -o lists accounts that the directory does not have here"),
    }
}
