//! imsrestore: mailboxes from an archive (AdminRef imsrestore; chapter "Backing Up and Restoring the Message Store").

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::archive::{self, FACTOR_MAX, restore_failure};
use super::exit::{Exit, Failure};
use super::instance::{failure, instance, ready_store};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::{Conf, Instance};
use crate::directory::Directory;
use crate::ops;
use crate::ops::backup::member::MessageState;
use crate::ops::backup::restore::{self, Asks, Event, Options, Totals};
use crate::ops::backup::select::{Groups, Object};
use crate::ops::backup::tar::{Next, Reader, Type};
use crate::os::{clock, durable};
use crate::store::{AccountId, Store};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "imsrestore",
    place: "sbin",
    about: "Put mailboxes back from an archive of imsbackup",
    definition: || args::definition::<Args>("imsrestore"),
    run,
};

/// Put mailboxes back from an archive of imsbackup.
///
/// Names as for imsbackup; without one everything is restored. Messages that are there already are kept and not restored again.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// The archive: a file, a device, or - for standard input.
    #[arg(short = 'f', value_name = "DEVICE", allow_hyphen_values = true)]
    device: PathBuf,
    /// Only what belongs to this user.
    #[arg(short = 'a', value_name = "USERID")]
    user: Option<String>,
    /// Read blocks of so many times 512 bytes.
    #[arg(short = 'b', value_name = "FACTOR", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(FACTOR_MAX)))]
    factor: u32,
    /// The answer to "Do you want to continue?" where the archive is damaged: y or n.
    #[arg(short = 'c', value_name = "y|n", value_parser = ["y", "n"])]
    answer: Option<String>,
    /// The character set of names of mailboxes; UTF-8 unless given.
    #[arg(short = 'e', value_name = "ENCODING")]
    encoding: Option<String>,
    /// Tell on standard error what is meant by each name.
    #[arg(short = 'g')]
    debug: bool,
    /// Print the header of the archive and restore nothing.
    #[arg(short = 'h')]
    header: bool,
    /// Do not look for messages that are there already.
    #[arg(short = 'i')]
    unchecked: bool,
    /// A file with lines oldname=newname: the mail of the one goes to the other.
    #[arg(short = 'm', value_name = "FILE")]
    map: Option<PathBuf>,
    /// If a mailbox exists, restore into a new one with the time behind its name.
    #[arg(short = 'n')]
    new: bool,
    /// Refused: links are resolved in one run, there is no file of references.
    #[arg(short = 'r', value_name = "FILE")]
    references: Option<PathBuf>,
    /// Read a file from its beginning to its end without seeking.
    #[arg(short = 's')]
    no_seek: bool,
    /// Print a table of contents and restore nothing.
    #[arg(short = 't')]
    contents: bool,
    /// A file with names, one a line.
    #[arg(short = 'u', value_name = "FILE")]
    names_file: Option<PathBuf>,
    /// What to tell: 0 nothing, 1 each mailbox, 2 each message, 3 those that are there already, 4 members that are not wanted, 5 and where they are.
    #[arg(short = 'v', value_name = "MODE", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=5))]
    mode: u8,
    /// Compare the archive with its manifest and with the store; restore nothing.
    #[arg(long = "verify", conflicts_with_all = ["new", "unchecked", "contents", "header"])]
    verify: bool,
    /// What is restored.
    #[arg(value_name = "NAME")]
    names: Vec<OsString>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    if args.references.is_some() {
        let what = "-r: links are resolved in one run, there is no file of references";
        return Err(Failure::new(Exit::Usage, what).hint("run it without -r").into());
    }
    let mut words = args.names.clone();
    if let Some(path) = &args.names_file {
        words.extend(archive::lines(path)?);
    }
    let words = archive::decoded(&words, args.encoding.as_deref())?;
    let rename = args.map.as_deref().map_or_else(|| Ok(HashMap::new()), mapping)?;
    let piped = args.device == Path::new("-");
    let shown = if piped { "standard input".to_owned() } else { args.device.display().to_string() };
    // With the rights of whoever calls, before the process becomes the store's account.
    let mut reader = open(&args, piped)?;
    if args.header || args.contents {
        return show(ui, &args, &mut reader, &shown);
    }
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let groups = archive::groups(&instance)?;
    let objects = objects(&words, &groups, args.user.as_deref())?;
    if args.debug {
        ui.stderr(&format!("imsrestore: debug: {objects:?}\n"));
    }
    let store = ready_store(&instance, &conf)?;
    let spool_dir = instance.store_root();
    let spool = if reader.is_seekable() { None } else { Some(durable::unnamed(&spool_dir)) };
    let spool = spool
        .transpose()
        .map_err(|error| Failure::new(Exit::CantCreate, format!("a spool file in {}: {error}", spool_dir.display())))?;
    let now_s = clock::now_s();
    let time = chrono::DateTime::from_timestamp(now_s, 0).unwrap_or_default().with_timezone(&chrono::Local);
    let options = Options {
        check: !args.unchecked,
        beside: args.new.then(|| format!(".{}", time.format("%m%d%y.%H%M%S"))),
        rename,
        verify: args.verify,
    };
    let accounts = Accounts { store: &store, instance: &instance, conf: &conf, directory: None, now_s };
    let totals = put_back(ui, &args, &store, &options, (&groups, &objects), (reader, spool), accounts)
        .map_err(|error| restore_failure(error, &shown))?;
    end(ui, &args, &shown, &words, totals)
}

fn open(args: &Args, piped: bool) -> anyhow::Result<Reader> {
    let file = if piped { io::stdin().as_fd().try_clone_to_owned().map(File::from) } else { File::open(&args.device) };
    let unreadable = |error: io::Error| archive::unreadable(&args.device, &error);
    let file = file.map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.is_dir() {
        let what = format!("{}: not an archive: a directory", args.device.display());
        return Err(Failure::new(Exit::DataErr, what).into());
    }
    // Standard input may stand anywhere in its file.
    let seekable = meta.is_file() && !args.no_seek && !piped;
    Ok(Reader::new(file, usize::try_from(args.factor).unwrap_or(1), seekable))
}

/// The names, each as it is meant here and, where the second part is no group here, as one of a group of the archive.
fn objects(words: &[String], groups: &Groups, user: Option<&str>) -> Result<Vec<Object>, Failure> {
    let usage = |error| Failure::new(Exit::Usage, error);
    let mut objects = Vec::new();
    for word in words {
        let here = Object::parse(word, &|name| groups.knows(name));
        let there = Object::parse(word, &|_| true).ok().filter(|one| one.group.is_some());
        match (here, there) {
            (Err(error), None) => return Err(usage(error)),
            (here, there) => {
                let known = here.clone().ok();
                objects.extend(here.ok());
                objects.extend(there.filter(|one| known.as_ref() != Some(one)));
            }
        }
    }
    let Some(user) = user else { return Ok(objects) };
    let only = Object::parse(user, &|_| false).map_err(usage)?;
    if objects.is_empty() {
        return Ok(vec![only]);
    }
    objects.retain(|object| object.user.as_deref().is_none_or(|named| named == user));
    if objects.is_empty() {
        return Err(usage(format!("-a {user}: none of the names is about this user")));
    }
    for object in &mut objects {
        object.user = Some(user.to_owned());
    }
    Ok(objects)
}

fn mapping(path: &Path) -> Result<HashMap<String, String>, Failure> {
    let mut map = HashMap::new();
    for line in archive::lines(path)? {
        let wrong = || {
            let what = format!("{}: {}: a line is oldname=newname", path.display(), line.to_string_lossy());
            Failure::new(Exit::DataErr, what)
        };
        let (old, new) = line.to_str().and_then(|line| line.split_once('=')).ok_or_else(wrong)?;
        let (old, new) = (old.trim(), new.trim());
        crate::store::check_userid(old).and(crate::store::check_userid(new)).map_err(|_| wrong())?;
        if map.insert(old.to_owned(), new.to_owned()).is_some() {
            return Err(Failure::new(Exit::DataErr, format!("{}: {old} is there twice", path.display())));
        }
    }
    Ok(map)
}

/// -h and -t.
fn show(ui: &mut Ui, args: &Args, reader: &mut Reader, shown: &str) -> anyhow::Result<Exit> {
    if args.header {
        let header = restore::header(reader).map_err(|error| restore_failure(error, shown))?;
        ui.line(serde_json::to_string_pretty(&header)?);
        return Ok(Exit::Ok);
    }
    let mut damaged = false;
    let complete = restore::list(reader, &mut |next| match next {
        Next::Member(member) => {
            if let Some(state) = MessageState::read(member) {
                let time = chrono::DateTime::from_timestamp(state.internal_date_s, 0).unwrap_or_default();
                let link = if member.kind == Type::Link { format!(" link to /{}", member.link) } else { String::new() };
                ui.line(format!("{:>10} {} /{}{link}", member.size, time.format("%Y-%m-%d %H:%M:%S"), member.name));
            } else {
                ui.line(format!("{:>10} {:19} /{}", member.size, "", member.name));
            }
        }
        Next::Damage { offset, bytes } => {
            damaged = true;
            ui.error(format!("{shown}: {bytes} bytes from byte {offset} on are damaged"));
        }
        Next::End(_) => {}
    });
    let complete = complete.map_err(|error| restore_failure(error, shown))?;
    if !complete {
        ui.error(format!("{shown}: the archive is cut off: its manifest is missing"));
    }
    Ok(if complete && !damaged { Exit::Ok } else { Exit::Incomplete })
}

/// Where accounts come from: the store, else the directory.
struct Accounts<'a> {
    store: &'a Store,
    instance: &'a Instance,
    conf: &'a Conf,
    directory: Option<Directory>,
    now_s: i64,
}

impl Accounts<'_> {
    fn find(&mut self, user: &str, make: bool) -> Result<(AccountId, bool), String> {
        if let Some(account) = self.store.account_id(user).map_err(|error| error.to_string())? {
            return Ok((account, false));
        }
        if !make {
            return Err("no such account".to_owned());
        }
        let directory = self.directory.get_or_insert_with(|| ops::instance::open_directory(self.instance, self.conf));
        let entry = directory.entry(user).map_err(|error| error.to_string())?;
        if entry.is_none_or(|entry| entry.userid != user) {
            return Err("no such user".to_owned());
        }
        let made = ops::account::ensure(self.store, directory, user, self.now_s);
        made.map(|(_, account)| (account, true)).map_err(|error| error.to_string())
    }
}

fn put_back(
    ui: &mut Ui,
    args: &Args,
    store: &Store,
    options: &Options,
    (groups, objects): (&Groups, &[Object]),
    from: (Reader, Option<File>),
    mut accounts: Accounts<'_>,
) -> Result<Totals, restore::RestoreError> {
    let now_s = accounts.now_s;
    let ui = RefCell::new(ui);
    let verb = if options.verify { "missing" } else { "restored" };
    let asks = Asks {
        account: &mut |user| accounts.find(user, !options.verify),
        go_on: &mut || go_on(*ui.borrow_mut(), args),
        tell: &mut |event| {
            let mut ui = ui.borrow_mut();
            match event {
                Event::Left { what, why } => ui.error(format!("{what}: {why}")),
                Event::Folder { mailbox, messages, kept } if args.mode >= 1 => {
                    ui.line(format!("{mailbox}: {messages} messages {verb}, {kept} there"));
                }
                Event::Message { mailbox, was, uid } if args.mode >= 2 => {
                    ui.line(format!("{mailbox}: message {was}: uid {uid}"));
                }
                Event::Kept { name } if args.mode >= 3 => ui.line(format!("/{name}: is there")),
                Event::NotWanted { name, offset } if args.mode >= 5 => {
                    ui.line(format!("/{name}: at byte {offset}: not wanted"));
                }
                Event::NotWanted { name, .. } if args.mode == 4 => ui.line(format!("/{name}: not wanted")),
                _ => {}
            }
        },
    };
    restore::restore(store, options, (groups, objects), from, now_s, asks)
}

/// The answer to the question: the one of -c, else what is typed on a terminal, else yes.
fn go_on(ui: &mut Ui, args: &Args) -> bool {
    match args.answer.as_deref() {
        Some(answer) => answer == "y",
        None if !ui.interactive() => true,
        None => {
            ui.stderr("Do you want to continue? [y/n] ");
            let mut line = String::new();
            io::stdin().read_line(&mut line).is_ok() && line.trim().to_ascii_lowercase().starts_with('y')
        }
    }
}

fn end(ui: &mut Ui, args: &Args, shown: &str, words: &[String], totals: Totals) -> anyhow::Result<Exit> {
    if totals.wanted == 0 && (!words.is_empty() || args.user.is_some()) {
        let what = format!("{shown}: nothing in the archive is meant by {}", words.join(" "));
        return Err(Failure::new(Exit::NoInput, what).hint("imsrestore -t lists what is there").into());
    }
    if args.mode > 0 {
        let verb = if args.verify { "missing in the store" } else { "restored" };
        let left = if totals.left > 0 { format!(", {} left out", totals.left) } else { String::new() };
        ui.line(format!(
            "{} mailboxes, {} messages {verb} ({} links), {} bytes, {} there{left}",
            totals.folders, totals.messages, totals.links, totals.bytes, totals.kept
        ));
    }
    Ok(match totals {
        Totals { left: 1.., .. } => Exit::Incomplete,
        Totals { messages: 1.., .. } if args.verify => Exit::WouldChange,
        _ => Exit::Ok,
    })
}
