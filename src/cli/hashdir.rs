//! hashdir: the hash directory of an account, and the way back (AdminRef hashdir).

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance, server_account};
use super::ui::Ui;
use super::{Tool, args};
use crate::ops::mailbox::show_name;
use crate::ops::placement::{self, Misplaced};
use crate::store::{check_userid, layout};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "hashdir",
    place: "sbin",
    about: "Tell the hash directory of an account",
    definition: || args::definition::<Args>("hashdir"),
    run,
};

/// Tell the hash directory of an account, such as 53/53/ for mack1.
///
/// The directory of the account lies in it: PARTITION/=user/53/53/=mack1.
#[derive(Debug, clap::Parser)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(false))]
pub struct Args {
    /// Append the name of the account's directory: 53/53/=mack1.
    #[arg(short = 'a', conflicts_with_all = ["reverse", "check"])]
    append: bool,
    /// Read account names from standard input, one a line.
    #[arg(short = 'i', group = "what")]
    interactive: bool,
    /// Tell the mailbox that lies at PATH; for a message file, after a tab, its UID.
    #[arg(long, value_name = "PATH", group = "what")]
    reverse: Option<PathBuf>,
    /// Check that every account and folder directory of the store is where the rule puts it.
    #[arg(long, group = "what")]
    check: bool,
    /// The account: uid, or uid@domain.
    #[arg(value_name = "ACCOUNT", group = "what")]
    account: Option<String>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    if let Some(path) = &args.reverse {
        return reverse(ui, path);
    }
    if args.check {
        return check(ui);
    }
    match &args.account {
        Some(account) => {
            let line = place(account, args.append)?;
            ui.line(line);
            Ok(Exit::Ok)
        }
        None => ask(ui, args.append),
    }
}

fn place(account: &str, append: bool) -> Result<String, Failure> {
    check_userid(account).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let name = if append { layout::directory_name(account) } else { String::new() };
    Ok(format!("{}/{name}", layout::hash(account)))
}

fn ask(ui: &mut Ui, append: bool) -> anyhow::Result<Exit> {
    let prompt = io::stdin().is_terminal();
    let mut exit = Exit::Ok;
    let mut line = String::new();
    loop {
        if prompt {
            ui.stderr("account: ");
        }
        line.clear();
        let read = io::stdin().lock().read_line(&mut line);
        if read.map_err(|error| Failure::new(Exit::IoErr, format!("cannot read standard input: {error}")))? == 0 {
            return Ok(exit);
        }
        let account = line.trim_end_matches(['\n', '\r']);
        if account.is_empty() {
            continue;
        }
        match place(account, append) {
            Ok(place) => ui.line(place),
            Err(failure) => {
                ui.error(failure.message);
                exit = Exit::Incomplete;
            }
        }
        if prompt {
            ui.flush();
        }
    }
}

fn reverse(ui: &mut Ui, path: &std::path::Path) -> anyhow::Result<Exit> {
    let Some(found) = layout::place_of(path) else {
        return Err(Failure::new(Exit::NoInput, format!("{} is no place of a mailbox", path.display()))
            .hint("give a path that holds =user/XX/YY/=ACCOUNT")
            .into());
    };
    let name = show_name(&found.mailbox.owner, &found.mailbox.folder);
    ui.line(found.uid.map_or_else(|| name.clone(), |uid| format!("{name}\t{uid}")));
    match placement::misplaced(path) {
        Some(right) => {
            ui.error(format!("the account does not belong there, but at {}", right.display()));
            Ok(Exit::Incomplete)
        }
        None => Ok(Exit::Ok),
    }
}

fn check(ui: &mut Ui) -> anyhow::Result<Exit> {
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    server_account(&conf)?;
    let mut exit = Exit::Ok;
    for (nickname, root) in conf.partitions() {
        let walked = placement::walk(&root, &mut |path, wrong| {
            exit = Exit::WouldChange;
            ui.line(match wrong {
                Misplaced::Belongs(right) => format!("{}: belongs at {}", path.display(), right.display()),
                Misplaced::NoName => format!("{}: no mailbox has a directory of this name", path.display()),
                Misplaced::Loose => format!("{}: nothing like this belongs here", path.display()),
            });
        });
        walked.map_err(|error| Failure::new(Exit::IoErr, format!("partition {nickname}: {error}")))?;
    }
    Ok(exit)
}
