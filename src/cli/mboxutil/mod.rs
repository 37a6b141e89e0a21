//! mboxutil: lists, creates, deletes, renames, moves, locks, expunges and restores mailboxes (AdminRef mboxutil; decisions in
//! docs/tools/mboxutil.md).

mod change;
mod list;

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::exit::{Exit, Failure};
use super::instance::{directory_failure, failure, instance, ready_store, store_failure};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::{Conf, Instance};
use crate::ops::instance::open_directory;
use crate::ops::mailbox::Selection;
use crate::ops::mailbox::change::{MailboxError, Mailboxes};
use crate::ops::quota::watch;
use crate::os::clock;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "mboxutil",
    place: "sbin",
    about: "List, create, delete, rename and restore mailboxes",
    definition: || args::definition::<Args>("mboxutil"),
    run,
};

/// Largest file of names, in bytes.
const LARGEST_FILE: u64 = 256 * 1024 * 1024;

/// List, create, delete, rename, move, lock, expunge and restore mailboxes.
///
/// A mailbox is named user/USERID/FOLDER; user/USERID/INBOX stands for the whole account when it is deleted, renamed or moved.
/// A deleted mailbox or expunged message is removed from disk later, by a purge.
#[derive(Debug, clap::Parser)]
#[command(group = clap::ArgGroup::new("mode").required(true).multiple(false))]
pub struct Args {
    /// List mailboxes.
    #[arg(short = 'l', group = "mode")]
    list: bool,
    /// Create a mailbox, with the account when the directory knows its owner.
    #[arg(short = 'c', group = "mode")]
    create: bool,
    /// Delete a mailbox; an INBOX: the account with all its folders.
    #[arg(short = 'd', group = "mode")]
    delete: bool,
    /// Rename OLD to NEW, move it to PARTITION, or both.
    #[arg(short = 'r', group = "mode")]
    rename: bool,
    /// Lock a mailbox while COMMAND runs.
    #[arg(short = 'k', group = "mode")]
    lock: bool,
    /// Expunge messages that are marked as deleted, in all mailboxes or those of a pattern.
    #[arg(short = 'e', group = "mode")]
    expunge: bool,
    /// Bring back expunged messages that are not purged yet.
    #[arg(short = 'R', group = "mode")]
    restore: bool,
    /// List accounts of the store that the directory does not have on this host.
    #[arg(short = 'o', group = "mode")]
    orphans: bool,
    /// Mailboxes whose whole name matches: * any characters, % any but /, ? one.
    #[arg(short = 'p', value_name = "PATTERN", conflicts_with = "regex")]
    pattern: Option<String>,
    /// Mailboxes whose whole name matches a POSIX extended regular expression.
    #[arg(short = 'P', value_name = "REGEX")]
    regex: Option<String>,
    /// With -l: add the path and the access control list.
    #[arg(short = 'x', conflicts_with = "names")]
    extended: bool,
    /// With -l: names only.
    #[arg(short = 's')]
    names: bool,
    /// With -c, -d, -r and -k: the names from FILE, one a line (-r: OLD NEW).
    #[arg(short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// With -R: only what was expunged in the last NUM hours. With -o: only accounts that nobody has used for NUM days.
    #[arg(short = 't', value_name = "NUM")]
    time: Option<u32>,
    /// With -o: write the list to FILE.
    #[arg(short = 'w', value_name = "FILE")]
    write: Option<PathBuf>,
    /// With -c, -d, -r, -e and -R: only print what would be done; exit code 2 if that is anything.
    #[arg(long)]
    dry_run: bool,
    /// With -l, -o and --dry-run: one JSON object a line.
    #[arg(long, conflicts_with_all = ["table", "extended", "names"])]
    json: bool,
    /// With -l: draw a table.
    #[arg(long, conflicts_with = "names")]
    table: bool,
    /// Obsolete.
    #[arg(short = 'a', group = "mode", hide = true)]
    quotas: bool,
    /// Obsolete.
    #[arg(short = 'q', value_name = "DOMAIN", group = "mode", hide = true)]
    domain: Option<String>,
    /// Obsolete.
    #[arg(short = 'u', value_name = "USER", group = "mode", hide = true)]
    user: Option<String>,
    /// -c, -d, -R: MAILBOX; -r: OLD NEW [PARTITION], with -f [PARTITION]; -k: MAILBOX COMMAND [ARGUMENT ...].
    #[arg(value_name = "MAILBOX")]
    words: Vec<String>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let (argv, command) = split_command(argv);
    let args: Args = match args::parse(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    check(&args, &command)?;
    let selection = selection(&args)?;
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    // What the command line names belongs to who called, so it is opened before the change of the account.
    let lines = args.file.as_deref().map(read_lines).transpose()?;
    let output = args.write.as_deref().map(create).transpose()?;
    let here = Here::new(instance, conf)?;
    if args.list {
        return list::list(ui, &here, &args, &selection);
    }
    if args.orphans {
        return list::orphans(ui, &here, &args, output);
    }
    if args.lock {
        return change::lock(ui, &here, &args, lines, &command);
    }
    change::change(ui, &here, &args, &selection, lines)
}

/// Divides `-k MAILBOX COMMAND ...` and `-k -f FILE COMMAND ...` before the command, whose arguments are not ours to read.
fn split_command(mut argv: Vec<OsString>) -> (Vec<OsString>, Vec<OsString>) {
    let Some(at) = argv.iter().position(|word| word == "-k") else {
        return (argv, Vec::new());
    };
    let from_file = argv.get(at + 1).is_some_and(|word| word == "-f");
    let end = (at + if from_file { 3 } else { 2 }).min(argv.len());
    let command = argv.split_off(end);
    (argv, command)
}

/// Refuses what would have no effect.
fn check(args: &Args, command: &[OsString]) -> Result<(), Failure> {
    let usage = |text: String| Err(Failure::new(Exit::Usage, text));
    let quota = |command: String| {
        Err(Failure::new(Exit::Usage, "quotas are listed by imquotacheck").hint(format!("imquotacheck{command}")))
    };
    if args.quotas {
        return quota(String::new());
    }
    if let Some(domain) = &args.domain {
        return quota(format!(" -d {domain}"));
    }
    if let Some(user) = &args.user {
        return quota(format!(" -u {user}"));
    }
    let select = args.list || args.delete || args.expunge;
    let plans = args.create || args.delete || args.rename || args.expunge || args.restore;
    for (given, allowed, text) in [
        (args.pattern.is_some() || args.regex.is_some(), select, "-p and -P go with -l, -d and -e"),
        (args.extended || args.names || args.table, args.list, "-x, -s and --table go with -l"),
        (args.file.is_some(), args.create || args.delete || args.rename || args.lock, "-f goes with -c, -d, -r and -k"),
        (args.time.is_some(), args.restore || args.orphans, "-t goes with -R and -o"),
        (args.write.is_some(), args.orphans, "-w goes with -o"),
        (args.dry_run, plans, "--dry-run goes with -c, -d, -r, -e and -R"),
        (args.json, args.list || args.orphans || args.dry_run, "--json goes with -l, -o and --dry-run"),
        (
            args.delete && args.file.is_some(),
            args.pattern.is_none() && args.regex.is_none(),
            "-f and a pattern exclude each other",
        ),
    ] {
        if given && !allowed {
            return usage(text.to_owned());
        }
    }
    let selected = args.file.is_some() || args.pattern.is_some() || args.regex.is_some();
    let (least, most, text) = if args.rename {
        if args.file.is_some() { (0, 1, "-r -f FILE [PARTITION]") } else { (2, 3, "-r OLD NEW [PARTITION]") }
    } else if args.lock {
        (usize::from(!selected), usize::from(!selected), "-k MAILBOX COMMAND [ARGUMENT ...]")
    } else if args.list || args.orphans || args.expunge {
        (0, 0, "-l, -o and -e take no mailbox; -p and -P select some")
    } else {
        (usize::from(!selected), usize::from(!selected), "one MAILBOX, or -f FILE, or with -d a pattern")
    };
    if args.words.len() < least || args.words.len() > most || (args.lock && command.is_empty()) {
        return usage(format!("usage: {text}"));
    }
    Ok(())
}

fn selection(args: &Args) -> Result<Selection, Failure> {
    match (&args.pattern, &args.regex) {
        (Some(pattern), _) => Ok(Selection::wildcard(pattern)),
        (_, Some(regex)) => {
            Selection::regex(regex).map_err(|error| Failure::new(Exit::Usage, format!("-P {regex}: {error}")))
        }
        _ => Ok(Selection::all()),
    }
}

/// The instance that is worked on, open.
struct Here {
    store: crate::store::Store,
    directory: crate::directory::Directory,
    default_domain: String,
    quota: watch::Settings,
}

impl Here {
    fn new(instance: Instance, conf: Conf) -> anyhow::Result<Here> {
        let store = ready_store(&instance, &conf)?;
        let directory = open_directory(&instance, &conf);
        let (default_domain, quota) = (conf.string("local.defdomain"), watch::Settings::of(&conf));
        Ok(Here { store, directory, default_domain, quota })
    }

    fn mailboxes(&self) -> Mailboxes<'_> {
        Mailboxes {
            store: &self.store,
            directory: &self.directory,
            default_domain: Some(self.default_domain.as_str()).filter(|domain| !domain.is_empty()),
            quota: &self.quota,
            now_s: clock::now_s(),
        }
    }
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let fail = |error: std::io::Error| {
        let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NoInput } else { Exit::IoErr };
        Failure::new(exit, format!("cannot read {}: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    let from: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(File::open(path).map_err(fail)?) };
    from.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Failure::new(Exit::DataErr, format!("{} is too large", path.display())).into());
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::new(Exit::DataErr, format!("{} is not UTF-8 text", path.display())))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    File::create(path)
        .map(BufWriter::new)
        .map_err(|error| Failure::new(Exit::CantCreate, format!("cannot create {}: {error}", path.display())))
}

fn finish(path: &Path, mut output: BufWriter<File>) -> Result<(), Failure> {
    output.flush().map_err(|error| Failure::new(Exit::IoErr, format!("cannot write {}: {error}", path.display())))
}

/// How the tool ends after one mailbox could not be changed.
fn mailbox_failure(error: MailboxError) -> Failure {
    let text = error.to_string();
    match error {
        MailboxError::Store(error) => store_failure(error),
        MailboxError::Name(_) | MailboxError::Impossible(_) => Failure::new(Exit::Usage, text),
        MailboxError::NoUser(userid) => Failure::new(Exit::NoUser, text).hint(format!("msgstore user add {userid}")),
        MailboxError::NoMailbox(_) => Failure::new(Exit::NoInput, text).hint("mboxutil -l -s lists all"),
        MailboxError::NoPartition(_) => Failure::new(Exit::NoInput, text).hint("configutil -p store.partition"),
        MailboxError::Exists(_) => Failure::new(Exit::CantCreate, text),
        MailboxError::Elsewhere { .. } => Failure::new(Exit::NoUser, text),
        MailboxError::DirectoryFaults(_) => Failure::new(Exit::DataErr, text).hint("correct them; msgstore user list"),
        MailboxError::Directory(error) => directory_failure(error),
    }
}
