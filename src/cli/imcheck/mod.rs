//! imcheck: prints what the store has of a mailbox, of the mailboxes of a partition, of the databases (AdminRef imcheck, 6.3). It reads only.

mod database;
mod mailbox;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::exit::{Exit, Failure};
use super::instance::{failure, instance, ready_store, store_failure};
use super::ui::Ui;
use super::{Tool, args};
use crate::directory::canonical_userid;
use crate::ops::mailbox::{Selection, each_account, read_name, show_name};
use crate::store::{Kind, MailboxName, Store, StoreError};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "imcheck",
    place: "sbin",
    about: "Print what the store has of a mailbox or a database",
    definition: || args::definition::<Args>("imcheck"),
    run,
};

/// Print the data of mailboxes and messages, the content of a database, or the figures of the mailbox database. Nothing is changed.
#[derive(Debug, clap::Parser)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
pub struct Args {
    /// A mailbox: its own data, then a line for each message. A slash in front is allowed.
    #[arg(short = 'm', value_name = "MAILBOX", group = "what")]
    mailbox: Option<String>,
    /// With -m: the message of this number, with what store.idx has of it.
    #[arg(short = 'c', value_name = "MESSAGENUM", requires = "mailbox", value_parser = clap::value_parser!(u32).range(1..))]
    message: Option<u32>,
    /// Every mailbox of a partition, named by its nickname.
    #[arg(short = 'p', value_name = "PARTITION", group = "what")]
    partition: Option<String>,
    /// The mailboxes that FILE names, one a line; - is standard input.
    #[arg(short = 'f', value_name = "FILE", group = "what")]
    file: Option<PathBuf>,
    /// A database: user.db, folder.db, quota.db, subscr.db, expunged.db.
    #[arg(short = 'd', value_name = "DATABASE", group = "what")]
    database: Option<String>,
    /// The figures of the environments of the mailbox database.
    #[arg(short = 's', group = "what")]
    statistics: bool,
    /// With -m, -p and -f: also what is expunged and not purged yet.
    #[arg(short = 'e', conflicts_with_all = ["database", "statistics", "message"])]
    expunged: bool,
    /// Not in this release.
    #[arg(short = 'D', hide = true)]
    dump: bool,
    /// Not in this release.
    #[arg(short = 'S', value_name = "SEPARATOR", hide = true)]
    separator: Option<String>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    if args.dump || args.separator.is_some() {
        return Err(Failure::new(Exit::Usage, "-D: the format of imsbackup is not in this release").into());
    }
    let database = args.database.as_deref().map(database::Database::named).transpose()?;
    // What the command line names belongs to who called, so it is opened before the change of the account.
    let listed = args.file.as_deref().map(read_lines).transpose()?;
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let store = ready_store(&instance, &conf)?;
    if let Some(database) = database {
        return database.print(ui, &store);
    }
    if args.statistics {
        return database::statistics(ui, &store);
    }
    if let Some(partition) = &args.partition {
        return of_partition(ui, &store, partition, args.expunged);
    }
    let domain = conf.string("local.defdomain");
    let names = listed.unwrap_or_else(|| args.mailbox.iter().cloned().collect());
    let alone = names.len() == 1;
    let mut exit = Exit::Ok;
    for text in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        if let Err(failure) = one(ui, &store, text, &domain, &args) {
            if alone {
                return Err(failure.into());
            }
            ui.error(format!("{text}: {failure}"));
            exit = Exit::Incomplete;
        }
    }
    Ok(exit)
}

fn one(ui: &mut Ui, store: &Store, text: &str, domain: &str, args: &Args) -> Result<(), Failure> {
    let mut name = read_name(text.strip_prefix('/').unwrap_or(text))
        .map_err(|error| Failure::new(Exit::Usage, format!("{text}: {error}")))?;
    let account = match store.account_id(&name.owner).map_err(store_failure)? {
        Some(account) => Some(account),
        None => {
            name.owner = canonical_userid(&name.owner, Some(domain).filter(|domain| !domain.is_empty()));
            store.account_id(&name.owner).map_err(store_failure)?
        }
    };
    let missing = || {
        Failure::new(Exit::NoInput, format!("no such mailbox: {}", show_name(&name.owner, &name.folder)))
            .hint("mboxutil -l -s lists all")
    };
    let account = account.ok_or_else(missing)?;
    let printed = match args.message {
        Some(number) => mailbox::message(ui, store, account, &name.folder, number),
        None => mailbox::print(ui, store, account, &name.folder, args.expunged),
    };
    printed.map_err(|error| match (error.kind(), args.message) {
        (Kind::NotFound, None) => missing(),
        (Kind::NotFound, Some(_)) => Failure::new(Exit::NoInput, error.to_string()),
        _ => store_failure(error).hint(format!("reconstruct {text}")),
    })
}

fn of_partition(ui: &mut Ui, store: &Store, partition: &str, expunged: bool) -> anyhow::Result<Exit> {
    if !store.partitions().iter().any(|(nickname, _)| nickname == partition) {
        return Err(Failure::new(Exit::NoInput, format!("Unknown/invalid partition: {partition}"))
            .hint("configutil -p store.partition")
            .into());
    }
    let mut exit = Exit::Ok;
    let mut failed = |ui: &mut Ui, name: String, error: &StoreError| {
        // Deleted meanwhile is no failure.
        if error.kind() != Kind::NotFound {
            ui.error(format!("{name}: {error}"));
            exit = Exit::Incomplete;
        }
    };
    let unreadable = each_account(store, &Selection::all(), &mut |found| {
        for (path, _) in found.folders.iter().filter(|(_, row)| row.partition == partition) {
            if let Err(error) = mailbox::print(ui, store, found.id, path, expunged) {
                failed(ui, show_name(&found.account.userid, path), &error);
            }
        }
        if ui.is_broken() { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    });
    for (userid, error) in unreadable.map_err(store_failure)? {
        failed(ui, MailboxName::inbox(&userid).to_string(), &error);
    }
    Ok(exit)
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let text =
        if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    let text = text.map_err(|error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NoInput,
            std::io::ErrorKind::InvalidData => Exit::DataErr,
            _ => Exit::IoErr,
        };
        Failure::new(exit, format!("cannot read {}: {error}", path.display()))
    })?;
    Ok(text.lines().map(str::to_owned).collect())
}
