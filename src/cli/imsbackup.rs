//! imsbackup: mailboxes into an archive (AdminRef imsbackup; chapter "Backing Up and Restoring the Message Store").

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use chrono::{Local, NaiveDate, NaiveDateTime, NaiveTime};

use super::archive::{self, FACTOR_MAX};
use super::exit::{Exit, Failure};
use super::instance::{failure, instance, ready_store, store_failure};
use super::progress::Progress;
use super::ui::Ui;
use super::{Tool, args};
use crate::ops::backup::member::{Header, VERSION};
use crate::ops::backup::select::{Groups, Object};
use crate::ops::backup::tar::Writer;
use crate::ops::backup::write::{self, BackupError, Event, Options};
use crate::os::{clock, host};
use crate::store::Store;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "imsbackup",
    place: "sbin",
    about: "Back up mailboxes into an archive",
    definition: || args::definition::<Args>("imsbackup"),
    run,
};

/// Back up mailboxes into an archive: a tar file that imsrestore puts back.
///
/// Names: / (everything), /partition, /partition/group, /partition/group/userid, each of the last with a folder behind it, a user id, or a
/// mailbox such as user/joe/INBOX. Without one everything is backed up.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// The archive: a file, a device, or - for standard output.
    #[arg(short = 'f', value_name = "DEVICE", allow_hyphen_values = true)]
    device: PathBuf,
    /// Blocks of so many times 512 bytes.
    #[arg(short = 'b', value_name = "FACTOR", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(FACTOR_MAX)))]
    factor: u32,
    /// Only messages that came into their folders from then on: yyyymmdd[:hhmmss], local time.
    #[arg(short = 'd', value_name = "DATETIME", value_parser = datetime)]
    since_s: Option<i64>,
    /// The character set of names of mailboxes; UTF-8 unless given.
    #[arg(short = 'e', value_name = "ENCODING")]
    encoding: Option<String>,
    /// A file with names, one a line.
    #[arg(short = 'u', value_name = "FILE")]
    names_file: Option<PathBuf>,
    /// Remember files with so many names or more; others are backed up in full each time.
    #[arg(short = 'm', value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    least_names: u64,
    /// Every message in full, whatever other mailboxes it is in.
    #[arg(short = 'i')]
    ignore_links: bool,
    /// Tell each mailbox.
    #[arg(short = 'v')]
    verbose: bool,
    /// Tell on standard error what is meant by each name, and how it ended.
    #[arg(short = 'g')]
    debug: bool,
    /// Refused: tape changers are not driven.
    #[arg(short = 'l')]
    autoload: bool,
    /// Refused: the manual does not say what it does.
    #[arg(short = 'x')]
    unexplained: bool,
    /// What is backed up.
    #[arg(value_name = "NAME")]
    names: Vec<OsString>,
}

fn datetime(text: &str) -> Result<i64, String> {
    let wrong = || "it is written yyyymmdd[:hhmmss]".to_owned();
    let digits = |text: &str, most: usize| text.len() == most && text.bytes().all(|byte| byte.is_ascii_digit());
    let (date, time) = text.split_once(':').map_or((text, None), |(date, time)| (date, Some(time)));
    let time = time.unwrap_or("000000");
    if !digits(date, 8) || !digits(time, 6) {
        return Err(wrong());
    }
    let date = NaiveDate::parse_from_str(date, "%Y%m%d").map_err(|_| wrong())?;
    let time = NaiveTime::parse_from_str(time, "%H%M%S").map_err(|_| wrong())?;
    let local = NaiveDateTime::new(date, time).and_local_timezone(Local).earliest();
    local.map(|time| time.timestamp()).ok_or_else(|| "there is no such time here".to_owned())
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    if args.autoload || args.unexplained {
        let what =
            if args.autoload { "-l: tape changers are not driven" } else { "-x: the manual does not explain it" };
        return Err(Failure::new(Exit::Usage, what).into());
    }
    let mut words = args.names.clone();
    if let Some(path) = &args.names_file {
        words.extend(archive::lines(path)?);
    }
    let words = archive::decoded(&words, args.encoding.as_deref())?;
    let piped = args.device == Path::new("-");
    let shown = if piped { "standard output".to_owned() } else { args.device.display().to_string() };
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let groups = archive::groups(&instance)?;
    let objects = objects(&words, &groups)?;
    // With the rights of whoever calls, before the process becomes the store's account.
    let output = output(&args.device, piped)?;
    let store = ready_store(&instance, &conf)?;
    check_meaning(&store, &groups, &objects)?;
    let header = Header {
        format: VERSION,
        program: format!("msgstore {}", env!("CARGO_PKG_VERSION")),
        host: host::name(),
        time: clock::now_s(),
        selection: if words.is_empty() { vec!["/".to_owned()] } else { words },
        since: args.since_s,
        ignore_links: args.ignore_links,
    };
    if args.debug {
        ui.stderr(&format!("imsbackup: debug: {objects:?}\n"));
    }
    back_up(ui, &args, &store, &groups, &objects, &header, output, &shown)
}

fn objects(words: &[String], groups: &Groups) -> Result<Vec<Object>, Failure> {
    let everything = [String::from("/")];
    let words = if words.is_empty() { &everything[..] } else { words };
    let one = |word: &String| {
        Object::parse(word, &|name| groups.knows(name)).map_err(|error| Failure::new(Exit::Usage, error))
    };
    words.iter().map(one).collect()
}

fn output(device: &Path, piped: bool) -> anyhow::Result<File> {
    let opened = if piped {
        io::stdout().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::options().write(true).create(true).truncate(true).open(device)
    };
    Ok(opened.map_err(|error| Failure::new(Exit::CantCreate, format!("{}: {error}", device.display())))?)
}

/// An error for a name that means nothing: a typing mistake must not make an empty backup.
fn check_meaning(store: &Store, groups: &Groups, objects: &[Object]) -> Result<(), Failure> {
    for object in objects {
        if let Some(partition) = &object.partition
            && !store.partitions().iter().any(|(known, _)| known == partition)
        {
            return Err(Failure::new(Exit::NoInput, format!("{}: no such partition: {partition}", object.text)));
        }
    }
    let missing = write::without_meaning(store, groups, objects).map_err(store_failure)?;
    // An empty group or partition is backed up as such; a user who is not there is a mistake.
    match missing.into_iter().find_map(|object| Some((object, object.user.as_ref()?))) {
        Some((object, user)) => {
            let known = groups.knows(user);
            let what = if known { "no user of that name or group in the partition" } else { "no such user or group" };
            Err(Failure::new(Exit::NoUser, format!("{}: {what}: {user}", object.text)))
        }
        None => Ok(()),
    }
}

#[allow(clippy::too_many_arguments)]
fn back_up(
    ui: &mut Ui,
    args: &Args,
    store: &Store,
    groups: &Groups,
    objects: &[Object],
    header: &Header,
    mut output: File,
    shown: &str,
) -> anyhow::Result<Exit> {
    let options = Options { since_s: args.since_s, ignore_links: args.ignore_links, least_names: args.least_names };
    let bar = Progress::new(write::measure(store, groups, objects).map_err(store_failure)?, "messages");
    let factor = usize::try_from(args.factor).unwrap_or(1);
    // What is told must not get into an archive on standard output.
    let say = |ui: &mut Ui, text: String| {
        if shown == "standard output" { ui.stderr(&format!("{text}\n")) } else { ui.line(text) }
    };
    let result =
        write::backup(store, groups, objects, &options, header, Writer::new(&mut output, factor), &mut |event| {
            match event {
                Event::Message => bar.step(),
                Event::Folder { mailbox, messages, bytes } if args.verbose => {
                    say(ui, format!("{mailbox}: {messages} messages, {bytes} bytes"));
                }
                Event::Folder { .. } => {}
                Event::Unreadable { what, why } => bar.error(ui, &format!("{what}: not in the archive: {why}")),
                Event::Purged { what } => {
                    if args.debug {
                        ui.stderr(&format!("imsbackup: debug: {what}: purged meanwhile\n"));
                    }
                }
            }
        });
    drop(bar);
    let broken = |error: io::Error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(Exit::IoErr, format!("{shown}: nobody reads the archive any more")),
        _ => Failure::new(Exit::IoErr, format!("{shown}: {error}; the archive is not complete")),
    };
    let manifest = match result {
        Ok((_, manifest)) => manifest,
        Err(BackupError::Output(error)) => return Err(broken(error).into()),
        Err(BackupError::Store(error)) => return Err(store_failure(error).into()),
    };
    output.flush().map_err(broken)?;
    if output.metadata().is_ok_and(|meta| meta.is_file()) {
        output.sync_all().map_err(broken)?;
    }
    if args.verbose || args.debug {
        let (purged, bytes) = (manifest.purged.len(), manifest.bytes);
        let gone = if purged > 0 { format!(", {purged} were purged meanwhile") } else { String::new() };
        say(
            ui,
            format!(
                "{} accounts, {} mailboxes, {} messages ({} links), {bytes} bytes{gone}",
                manifest.accounts, manifest.folders, manifest.messages, manifest.links
            ),
        );
    }
    Ok(if manifest.unreadable.is_empty() { Exit::Ok } else { Exit::Incomplete })
}

#[cfg(test)]
mod tests {
    use super::datetime;

    #[test]
    fn dates_are_whole() {
        assert!(datetime("19990501:131000").unwrap() - datetime("19990501").unwrap() == 13 * 3600 + 600);
        for wrong in ["20040501:13100", "2004", "20041301", "20040501:", "20040501:250000", "x"] {
            assert!(datetime(wrong).is_err(), "{wrong}");
        }
    }
}
