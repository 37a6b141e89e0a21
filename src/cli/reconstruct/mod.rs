//! reconstruct: checks mailboxes and the mailbox database, and repairs them (AdminRef reconstruct; decisions in docs/tools/reconstruct.md).

mod check;
mod database;
mod repair;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance, ready_store, store_failure};
use super::progress::Progress;
use super::ui::Ui;
use super::{Tool, args, recount};
use crate::directory::canonical_userid;
use crate::ops::mailbox::read_name;
use crate::ops::quotacheck::recount::{differences, repair as repair_usage};
use crate::os::clock;
use crate::store::{Kind, MailboxName, Store};
use check::Check;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "reconstruct",
    place: "sbin",
    about: "Check and repair mailboxes and the mailbox database",
    definition: || args::definition::<Args>("reconstruct"),
    run,
};

/// Check mailboxes and the mailbox database, and repair what is damaged.
///
/// A mailbox is named user/USERID/FOLDER. With -r, or with a slash at the end, those below it are taken too; -r alone takes the whole
/// store. Nothing that could be brought back is removed: what is doubtful goes to lost/ of its partition, which has a list.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Check only; nothing is changed.
    #[arg(short = 'n', conflicts_with = "force")]
    check: bool,
    /// Repair without a check: every message is read, store.idx is written anew, loose files become messages.
    #[arg(short = 'f')]
    force: bool,
    /// Begin store.idx anew in the mailboxes that are rebuilt.
    #[arg(short = 'i')]
    fresh_index: bool,
    /// What was expunged in the mailboxes that are rebuilt can not be brought back: the next purge removes it.
    #[arg(short = 'e')]
    forget_expunged: bool,
    /// The mailboxes with all below them; without a mailbox, the whole store.
    #[arg(short = 'r')]
    recursive: bool,
    /// Repair the mailbox database: its rows among themselves, and against the directories of the partitions.
    #[arg(short = 'm', conflicts_with_all = ["recursive", "quota", "mailboxes", "content", "force", "fresh_index", "forget_expunged"])]
    database: bool,
    /// Set recorded usage right where it is not the sum of the messages; with -n only tell. Services may go on.
    #[arg(short = 'q', conflicts_with_all = ["recursive", "partition", "content", "mailboxes", "force", "fresh_index", "forget_expunged"])]
    quota: bool,
    /// List the accounts that the directory does not have on this host, as commands that delete them.
    #[arg(short = 'o', conflicts_with_all = ["recursive", "partition", "content", "mailboxes", "force", "check", "fresh_index", "forget_expunged", "database", "quota", "json"])]
    orphans: bool,
    /// With -o: write the commands to FILE.
    #[arg(short = 'd', value_name = "FILE", requires = "orphans")]
    file: Option<PathBuf>,
    /// Only what lies in this partition.
    #[arg(short = 'p', value_name = "PARTITION")]
    partition: Option<String>,
    /// With -p PARTITION -m: only this user.
    #[arg(short = 'u', value_name = "USER", requires_all = ["partition", "database"])]
    user: Option<String>,
    /// Read every message and compare its content with what was recorded.
    #[arg(long)]
    content: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// As many accounts at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Not in this release.
    #[arg(short = 'l', hide = true)]
    lright: bool,
    /// The mailboxes.
    #[arg(value_name = "MAILBOX")]
    mailboxes: Vec<String>,
}

/// A mailbox that is meant, with those below it or without.
struct Wanted {
    name: MailboxName,
    below: bool,
    whole_account: bool,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let mut wanted = check_args(ui, &args)?;
    // What the command line names belongs to who called, so it is opened before the change of the account.
    let output =
        match &args.file {
            Some(path) => Some(BufWriter::new(File::create(path).map_err(|error| {
                Failure::new(Exit::CantCreate, format!("cannot create {}: {error}", path.display()))
            })?)),
            None => None,
        };
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let store = ready_store(&instance, &conf)?;
    if args.orphans {
        return database::orphans(ui, &instance, &conf, &store, args.file.as_deref().zip(output));
    }
    if args.quota {
        return quota(ui, &store, &args);
    }
    let partitions = store.partitions();
    if let Some(partition) = &args.partition
        && !partitions.iter().any(|(nickname, _)| nickname == partition)
    {
        return Err(Failure::new(Exit::NoInput, format!("Unknown/invalid partition: {partition}"))
            .hint("configutil -p store.partition")
            .into());
    }
    let domain = conf.string("local.defdomain");
    let domain = Some(domain.as_str()).filter(|domain| !domain.is_empty());
    if args.database {
        let user = args.user.as_deref().map(|user| match store.account_id(user) {
            Ok(Some(_)) => user.to_owned(),
            _ => canonical_userid(user, domain),
        });
        return database::repair(ui, &store, &args, user.as_deref());
    }
    for Wanted { name, .. } in &mut wanted {
        if store.account_id(&name.owner).is_ok_and(|account| account.is_none()) {
            name.owner = canonical_userid(&name.owner, domain);
        }
    }
    if !args.check {
        return repair::repair(ui, &store, &args, &wanted);
    }
    let mut check = Check { store: &store, args: &args, found: 0, failed: 0, missing: 0, seen: BTreeSet::new() };
    if wanted.is_empty() {
        check.everything(ui)?;
    } else {
        wanted.iter().for_each(|wanted| check.one(ui, wanted));
    }
    Ok(check.end(ui))
}

/// What is meant; empty for the whole store.
fn check_args(ui: &mut Ui, args: &Args) -> Result<Vec<Wanted>, Failure> {
    let usage = |text: &str, hint: &str| Err(Failure::new(Exit::Usage, text).hint(hint));
    if args.lright {
        return usage(
            "-l: there is no lright.db in this release, access control lists are looked at themselves",
            "reconstruct -m repairs the mailbox database",
        );
    }
    if args.check && (args.fresh_index || args.forget_expunged) {
        ui.warn("-i and -e have no effect with -n");
    }
    if args.quota || args.database || args.orphans {
        return Ok(Vec::new());
    }
    if args.mailboxes.is_empty() && !args.recursive {
        let hint = "reconstruct -n -r checks the whole store, reconstruct -r repairs it";
        return usage(
            if args.check { "-n needs a mailbox, or -r" } else { "a mailbox, -r, -m, -q or -o is needed" },
            hint,
        );
    }
    if args.check && args.partition.is_some() && !args.recursive {
        return usage("-p goes with -r", "reconstruct -n -r -p PARTITION");
    }
    let read = |text: &String| {
        let below = args.recursive || text.ends_with('/');
        match read_name(text) {
            Ok(name) => Ok(Wanted { below, whole_account: below && name.folder.is_inbox(), name }),
            Err(error) => Err(Failure::new(Exit::Usage, format!("{text}: {error}"))),
        }
    };
    args.mailboxes.iter().map(read).collect()
}

/// Recorded usage against the messages.
fn quota(ui: &mut Ui, store: &Store, args: &Args) -> anyhow::Result<Exit> {
    let mut total = 0;
    let mut count = |_: &str, _: Result<_, _>| {
        total += 1;
        ControlFlow::Continue(())
    };
    store.each_account(&mut count).map_err(store_failure)?;
    let progress = Progress::new(total, "accounts");
    let (now_s, mut wrong, mut failed) = (clock::now_s(), 0u64, 0u64);
    let listed = store.each_account(&mut |userid, found| {
        let looked = found.and_then(|(account, _)| match args.check {
            true => differences(store, account),
            false => repair_usage(store, account, now_s),
        });
        match looked {
            Ok(found) => {
                wrong += u64::from(!found.is_empty());
                found.iter().for_each(|difference| recount::tell(ui, args.json, difference));
            }
            // Deleted meanwhile.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => {
                failed += 1;
                progress.error(ui, &format!("user/{userid}: {error}"));
            }
        }
        progress.step();
        ControlFlow::Continue(())
    });
    drop(progress);
    listed.map_err(store_failure)?;
    if !args.check {
        store.count_domains(true).map_err(store_failure)?;
    }
    if !args.check && !args.json && wrong > 0 {
        ui.line(format!("{wrong} of {total} accounts are set right"));
    }
    Ok(match (failed, wrong) {
        (0, 1..) if args.check => Exit::WouldChange,
        (0, _) => Exit::Ok,
        _ => Exit::Incomplete,
    })
}
