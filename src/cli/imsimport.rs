//! imsimport: mbox files into a user's mailbox (AdminRef imsimport).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::exit::{Exit, Failure};
use super::instance::{failure, instance, ready_store, store_failure};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::{Conf, Instance};
use crate::message::{charset, mbox};
use crate::ops;
use crate::ops::account::AccountError;
use crate::ops::import::{self, Event, ImportError, Target, Totals};
use crate::os::clock;
use crate::store::{AccountId, CreateOptions, Folder, FolderPath, Store, StoreError};
use crate::text::utf7;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "imsimport",
    place: "sbin",
    about: "Append the messages of an mbox file to a mailbox",
    definition: || args::definition::<Args>("imsimport"),
    run,
};

/// Append the messages of an mbox file to a mailbox.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// The user, exactly as the store names the account.
    #[arg(short = 'u', value_name = "USER")]
    user: String,
    /// The mbox file, its full path.
    #[arg(short = 's', value_name = "FILE")]
    source: PathBuf,
    /// The answer to "Do you want to continue?": y or n.
    #[arg(short = 'c', value_name = "y|n", value_parser = ["y", "n"])]
    answer: Option<String>,
    /// The folder; INBOX unless given.
    #[arg(short = 'd', value_name = "MAILBOX")]
    mailbox: Option<OsString>,
    /// The character set in which -d is written; UTF-8 unless given.
    #[arg(short = 'e', value_name = "ENCODING")]
    encoding: Option<String>,
    /// Tell more on standard error.
    #[arg(short = 'g')]
    debug: bool,
    /// Ignore Content-Length fields.
    #[arg(short = 'i')]
    ignore_length: bool,
    /// If the mailbox exists, make a new one with the time behind its name.
    #[arg(short = 'n')]
    new: bool,
    /// What to tell: 0 nothing, 1 one line for the mailbox, 2 one for each message.
    #[arg(short = 'v', value_name = "MODE", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=2))]
    mode: u8,
    /// Subscribe to the mailbox if it is made now.
    #[arg(short = 'b')]
    subscribe: bool,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let path = folder_of(&args)?;
    // With the rights of whoever calls, before the process becomes the store's account.
    let shown = args.source.display().to_string();
    let unreadable = |error: io::Error| {
        let exit = match error.kind() {
            io::ErrorKind::NotFound => Exit::NoInput,
            io::ErrorKind::PermissionDenied => Exit::NoPerm,
            _ => Exit::IoErr,
        };
        Failure::new(exit, format!("{shown}: {error}"))
    };
    let file = File::open(&args.source).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.is_dir() {
        return Err(Failure::new(Exit::DataErr, format!("{shown}: not an mbox file: a directory")).into());
    }
    let mut input = BufReader::with_capacity(256 * 1024, file);
    let first = input.fill_buf().map_err(unreadable)?;
    if !first.is_empty() && !looks_like_mbox(first) {
        return Err(Failure::new(Exit::DataErr, format!("{shown}: not an mbox file")).into());
    }
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let store = ready_store(&instance, &conf)?;
    let now_s = clock::now_s();
    let account = account(&store, &instance, &conf, &args.user, now_s)?;
    let Some((path, folder)) = destination(ui, &store, account, &args, path, now_s)? else {
        return Ok(Exit::WouldChange);
    };
    let target = Target { store: &store, account, folder: folder.id, partition: folder.partition };
    let bar = if args.mode == 1 && ui.interactive() { progress(meta.len()) } else { ProgressBar::hidden() };
    let options = mbox::Options { unquote: true, content_length: !args.ignore_length };
    let name = format!("user/{}/{path}", args.user);
    let mut lost_keywords = 0u64;
    let result = import::mbox(&target, &mut input, options, now_s, &mut |event| {
        lost_keywords += u64::from(matches!(event, Event::KeywordDropped { .. }));
        tell(ui, &args, &shown, &bar, &event);
    });
    bar.finish_and_clear();
    end(ui, &args, &shown, &name, result, lost_keywords)
}

fn looks_like_mbox(first: &[u8]) -> bool {
    let lines = first.split_inclusive(|b| *b == b'\n');
    lines
        .map(|line| (line, line.trim_ascii()))
        .find(|(_, text)| !text.is_empty())
        .is_none_or(|(line, _)| mbox::parse_from_line(line).is_some())
}

fn tell(ui: &mut Ui, args: &Args, shown: &str, bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Imported { number, uid, size } if args.mode == 2 => {
            ui.line(format!("message {number}: uid {uid}, {size} bytes"));
        }
        Event::Imported { .. } => {}
        Event::Skipped { number, offset, why } => {
            bar.suspend(|| ui.error(format!("{shown}: message {number} at byte {offset} is left out: {why}")));
        }
        Event::KeywordDropped { number, keyword } => bar.suspend(|| {
            ui.warn(format!("{shown}: message {number}: keyword {keyword} is left out: the account has 128 already"));
        }),
        Event::Batch { offset } => {
            bar.set_position(*offset);
            if args.debug {
                bar.suspend(|| ui.stderr(&format!("imsimport: debug: committed up to byte {offset}\n")));
            }
        }
    }
}

fn end(
    ui: &mut Ui,
    args: &Args,
    shown: &str,
    name: &str,
    result: Result<Totals, ImportError>,
    lost_keywords: u64,
) -> anyhow::Result<Exit> {
    let totals = result.map_err(|error| match error {
        ImportError::NotMbox(_) => Failure::new(Exit::DataErr, format!("{shown}: {error}")),
        ImportError::Input(_) => Failure::new(Exit::IoErr, format!("{shown}: {error}")),
        ImportError::Store(error) => store_failure(error),
    })?;
    if args.mode > 0 {
        let skipped = if totals.skipped > 0 { format!(", {} left out", totals.skipped) } else { String::new() };
        ui.line(format!("{shown} -> {name}: {} messages, {} bytes{skipped}", totals.messages, totals.bytes));
    }
    Ok(if totals.skipped > 0 || lost_keywords > 0 { Exit::Incomplete } else { Exit::Ok })
}

/// The folder that -d and -e name.
fn folder_of(args: &Args) -> Result<FolderPath, Failure> {
    let usage = |text: String| Failure::new(Exit::Usage, text);
    let label = args.encoding.as_deref().unwrap_or("utf-8");
    if charset::charset(label.as_bytes()).is_none() {
        return Err(usage(format!("unknown encoding {label}")));
    }
    let Some(given) = &args.mailbox else { return Ok(FolderPath::inbox()) };
    let name = charset::decode(label.as_bytes(), given.as_bytes());
    if name.contains('\u{fffd}') {
        return Err(usage(format!("the name of the mailbox is not {label}")));
    }
    // A name in ASCII is as the store has it, so that names printed by other tools can be given.
    let name = if name.is_ascii() { name } else { utf7::encode(&name) };
    FolderPath::parse(&name).map_err(|error| usage(error.to_string()))
}

fn account(store: &Store, instance: &Instance, conf: &Conf, user: &str, now_s: i64) -> Result<AccountId, Failure> {
    if let Some(account) = store.account_id(user).map_err(store_failure)? {
        return Ok(account);
    }
    let directory = ops::instance::open_directory(instance, conf);
    let nobody = || Failure::new(Exit::NoUser, format!("no such user: {user}"));
    // The name must be the userid itself, in its case.
    let entry = directory.entry(user).map_err(|error| Failure::new(Exit::TempFail, error.to_string()))?;
    if entry.is_none_or(|entry| entry.userid != user) {
        return Err(nobody());
    }
    ops::account::ensure(store, &directory, user, now_s).map(|(_, account)| account).map_err(|error| match error {
        AccountError::NoUser(_) | AccountError::Elsewhere { .. } => Failure::new(Exit::NoUser, error.to_string()),
        AccountError::Directory(_) => Failure::new(Exit::TempFail, error.to_string()),
        AccountError::Store(error) => store_failure(error),
    })
}

/// The folder to import into, made if it is missing; `None` when the question was answered no.
fn destination(
    ui: &mut Ui,
    store: &Store,
    account: AccountId,
    args: &Args,
    path: FolderPath,
    now_s: i64,
) -> anyhow::Result<Option<(FolderPath, Folder)>> {
    let find = |path: &FolderPath| -> Result<Option<Folder>, StoreError> {
        Ok(store.view(account)?.resolve(path)?.filter(|row| !row.noselect))
    };
    let mut path = path;
    let mut found = find(&path).map_err(store_failure)?;
    if found.is_some() && args.new {
        let time = chrono::DateTime::from_timestamp(now_s, 0).unwrap_or_default().with_timezone(&chrono::Local);
        let name = format!("{path}.{}", time.format("%m%d%y.%H%M%S"));
        path = FolderPath::parse(&name).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        found = find(&path).map_err(store_failure)?;
    }
    if let Some(folder) = &found {
        let text = format!("user/{}/{path} has {} messages; new ones are appended.", args.user, folder.exists);
        if folder.exists > 0 && !agreed(ui, args, &text) {
            return Ok(None);
        }
    }
    let folder = match found {
        Some(folder) => folder,
        None => {
            let made = store.folder_create(account, &path, &CreateOptions::default(), now_s).map_err(store_failure)?;
            if args.subscribe {
                store.subscribe(account, &path.to_string(), true).map_err(store_failure)?;
            }
            made
        }
    };
    Ok(Some((path, folder)))
}

/// The answer to the question: the one of -c, else what is typed on a terminal, else yes.
fn agreed(ui: &mut Ui, args: &Args, text: &str) -> bool {
    match args.answer.as_deref() {
        Some(answer) => answer == "y",
        None if !ui.interactive() => true,
        None => {
            ui.stderr(&format!("{text}\nDo you want to continue? [y/n] "));
            let mut line = String::new();
            io::stdin().read_line(&mut line).is_ok() && line.trim().to_ascii_lowercase().starts_with('y')
        }
    }
}

fn progress(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
