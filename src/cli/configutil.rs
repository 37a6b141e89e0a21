//! configutil: lists and changes the settings of the instance (AdminRef configutil; decisions in docs/tools/configutil.md).

mod listing;
mod partition;

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::ArgAction;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::catalogue::{self, Parameter};
use crate::config::works::{Status, status_of};
use crate::config::{Change, Conf, ConfigError, Database, Effect, Entry};
use crate::config::{Kind, check_named, schedule, unlisted};
use crate::ops::schedule::missing_program;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "configutil",
    place: "sbin",
    about: "List and change configuration settings",
    definition: || args::definition::<Args>("configutil"),
    run,
};

/// Largest file that -i takes, in bytes.
const LARGEST_IMPORT: u64 = 16 * 1024 * 1024;

/// List and change configuration settings.
///
/// Without options every setting that has a value is listed. `configutil NAME` and `configutil NAME VALUE` are short for
/// -o NAME and -o NAME -v VALUE, and so is -o NAME VALUE. After a change, refresh or restart the service; -m tells which.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// Work on this configuration file instead of config/msg.conf.
    #[arg(short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print the value of one setting, or change it with -v or -d; NAME or NAME;lang-xx.
    #[arg(short = 'o', value_name = "NAME", conflicts_with_all = ["prefix", "effect", "import", "validate", "empty"])]
    option: Option<String>,
    /// The new value; "" clears a text.
    #[arg(short = 'v', value_name = "VALUE", requires = "option", allow_hyphen_values = true, conflicts_with_all = ["remove", "explain", "json"])]
    value: Option<String>,
    /// Remove the setting, so that the default counts again.
    #[arg(short = 'd', requires = "option", conflicts_with_all = ["explain", "json"])]
    remove: bool,
    /// List the settings whose names begin with PREFIX, or match it where it holds * or ?.
    #[arg(short = 'p', value_name = "PREFIX", conflicts_with_all = ["import", "validate"])]
    prefix: Option<String>,
    /// Say of each listed setting whether a refresh is enough.
    #[arg(short = 'm', conflicts_with_all = ["import", "validate"])]
    effect: bool,
    /// Import settings from FILE, or from standard input: one NAME=VALUE a line, all of them or none.
    #[arg(short = 'i', value_name = "FILE", num_args = 0..=1, default_missing_value = "-", conflicts_with_all = ["empty", "explain", "validate", "json"])]
    import: Option<PathBuf>,
    /// List what is set in msg.conf only; when setting or importing, accept names that are not known.
    #[arg(short = 'l', conflicts_with_all = ["empty", "explain", "validate"])]
    local: bool,
    /// List settings with empty values too.
    #[arg(short = 'e', conflicts_with_all = ["explain", "validate"])]
    empty: bool,
    /// Explain the settings: values, default, when a change takes effect, whether it works in this release.
    #[arg(short = 'H', conflicts_with = "validate")]
    explain: bool,
    /// Check both configuration files and list what is wrong.
    #[arg(short = 'V', conflicts_with = "json")]
    validate: bool,
    /// Print the usage.
    #[arg(short = 'h', action = ArgAction::HelpShort)]
    usage: Option<bool>,
    /// One JSON object a line instead of the classic lines.
    #[arg(long)]
    json: bool,
    /// NAME or NAME VALUE without -o and -v; after -o NAME the VALUE. Several words are one value, with blanks between.
    #[arg(value_name = "WORD", allow_negative_numbers = true, conflicts_with_all = ["value", "remove", "prefix", "effect", "import", "validate", "empty"])]
    words: Vec<String>,
}

impl Args {
    /// The name and the new value, however they are given.
    fn wanted(&self) -> Result<(Option<&str>, Option<String>), Failure> {
        let mut words = self.words.iter();
        let name = self.option.as_ref().or_else(|| words.next());
        let rest: Vec<&str> = words.map(String::as_str).collect();
        if !rest.is_empty() && (self.explain || self.json) {
            return Err(Failure::new(Exit::Usage, "-H and --json print, a VALUE changes: not both"));
        }
        let value = self.value.clone().or_else(|| (!rest.is_empty()).then(|| rest.join(" ")));
        Ok((name.map(String::as_str), value))
    }
}

/// Runs configutil.
///
/// # Errors
/// A [`Failure`] that names the setting, the line or the file.
pub fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args: Args = match args::parse(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let files = Files::find(ui, args.file.as_deref())?;
    let (option, value) = args.wanted()?;
    if let Some(name) = option {
        stands_for(ui, name);
    }
    if args.validate {
        return Ok(validate(ui, &files)?);
    }
    if let Some(from) = &args.import {
        return Ok(import(ui, &files, from, args.local)?);
    }
    if let (Some(name), Some(value)) = (option, &value) {
        return Ok(set(ui, &files, name, value, args.local)?);
    }
    files.must_exist()?;
    if let (Some(name), true) = (option, args.remove) {
        return Ok(remove(&files, name)?);
    }
    let conf = Conf::load_unchecked(&files.base, &files.explicit, &files.defaults).map_err(failure)?;
    match option {
        Some(name) => listing::one(ui, &conf, name, &args),
        None => listing::list(ui, &conf, &args),
    }
}

/// The files of this call.
struct Files {
    base: PathBuf,
    explicit: PathBuf,
    defaults: PathBuf,
}

impl Files {
    fn find(ui: &mut Ui, file: Option<&Path>) -> anyhow::Result<Files> {
        let Some(file) = file else {
            let instance = instance(ui)?;
            return Ok(Files {
                base: instance.base().to_path_buf(),
                explicit: instance.msg_conf(),
                defaults: instance.msg_conf_defaults(),
            });
        };
        let explicit = std::path::absolute(file)
            .map_err(|error| Failure::new(Exit::NoInput, format!("{}: {error}", file.display())))?;
        let mut defaults = explicit.clone().into_os_string();
        defaults.push(".defaults");
        Ok(Files {
            base: explicit.ancestors().nth(2).unwrap_or(Path::new("/")).to_path_buf(),
            explicit,
            defaults: defaults.into(),
        })
    }

    fn must_exist(&self) -> Result<(), Failure> {
        if self.explicit.exists() {
            return Ok(());
        }
        Err(Failure::new(Exit::NoInput, format!("no such file: {}", self.explicit.display())))
    }

    fn database(&self) -> Database {
        Database::at(&self.explicit)
    }
}

fn set(ui: &mut Ui, files: &Files, name: &str, value: &str, any: bool) -> Result<Exit, Failure> {
    check_named(name, value, any).map_err(refused)?;
    let name = spelled(name);
    partition::check(files, &[(&name, value)])?;
    let change = Change::Set(name.clone(), value.to_owned());
    files.database().apply(&[change]).map_err(failure)?;
    advise(ui, &name);
    look_for_program(ui, files, &name, value);
    check_partition(ui, files, &[name])?;
    Ok(Exit::Ok)
}

/// A refused value or name, with the way out where there is one.
fn refused(error: ConfigError) -> Failure {
    let cleared = matches!(&error, ConfigError::BadValue { value, .. } if value.is_empty());
    let failure = failure(error);
    if cleared {
        return failure.hint("a number or a word cannot be cleared; -o NAME -d goes back to the default");
    }
    failure
}

/// The catalogue's spelling of a known name, else the name as given.
fn spelled(name: &str) -> String {
    let name = catalogue::canonical(name);
    let (plain, tag) = catalogue::split_tag(&name);
    let known = catalogue::find(plain).filter(|row| !row.is_family());
    match (known, tag) {
        (Some(row), None) => row.name.to_owned(),
        (Some(row), Some(tag)) => format!("{};{}", row.name, tag.to_ascii_lowercase()),
        (None, _) => name,
    }
}

/// Says which name another spelling stands for.
fn stands_for(ui: &mut Ui, name: &str) {
    if let Some(right) = catalogue::alias_of(name) {
        ui.error(format!("{name} stands for {right}"));
    }
}

/// Warns about a setting that changes nothing now.
fn advise(ui: &mut Ui, name: &str) {
    let Some(row) = catalogue::find(name) else {
        return;
    };
    if let Status::Inert(why) = status_of(name, row) {
        ui.warn(format!("{name} is stored, but has no effect in this release: {why}"));
    } else if row.effect == Effect::Creation {
        ui.warn(format!("{name} counts only when a store is created; an existing one keeps what it has"));
    }
}

/// Warns about a scheduled job whose program is not there.
fn look_for_program(ui: &mut Ui, files: &Files, name: &str, value: &str) {
    let is_job =
        catalogue::find(name).is_some_and(|row| row.kind == Kind::Cron && status_of(name, row) == Status::Works);
    if let Ok(Some(job)) = schedule::job(name, value)
        && is_job
        && let Some(program) = missing_program(&files.base, &job.command)
    {
        ui.warn(format!("{name}: {} is not there", program.display()));
    }
}

/// Warns when new mailboxes would have no place: the default partition has no path.
fn check_partition(ui: &mut Ui, files: &Files, changed: &[String]) -> Result<(), Failure> {
    let touched = |name: &String| name == "store.defaultpartition";
    if changed.iter().any(touched)
        && let Some(problem) = partition_problem(files).map_err(failure)?
    {
        ui.warn(problem);
    }
    Ok(())
}

fn partition_problem(files: &Files) -> Result<Option<String>, ConfigError> {
    let conf = Conf::load_unchecked(&files.base, &files.explicit, &files.defaults)?;
    let nickname = conf.default_partition();
    let known = conf.partitions().iter().any(|(name, _)| *name == nickname);
    Ok((!known).then(|| {
        format!(
            "Unknown/invalid partition: store.defaultpartition names {nickname}, and store.partition.{nickname}.path is not set"
        )
    }))
}

fn remove(files: &Files, name: &str) -> Result<Exit, Failure> {
    let change = Change::Remove(name.to_owned());
    let done = files.database().apply(&[change]).map_err(failure)?;
    if done == 0 {
        known(name)?;
    }
    Ok(Exit::Ok)
}

fn known(name: &str) -> Result<Option<&'static Parameter>, Failure> {
    catalogue::find(name)
        .map(Some)
        .ok_or_else(|| failure(ConfigError::Unknown { name: name.to_owned(), near: catalogue::near(name) }))
}

fn import(ui: &mut Ui, files: &Files, from: &Path, any: bool) -> Result<Exit, Failure> {
    let (shown, text) = import_text(from)?;
    let mut set: Vec<(String, String)> = Vec::new();
    let mut given: Vec<String> = Vec::new();
    let mut seen: Vec<(String, usize)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let wrong = |problem: String| Failure::new(Exit::DataErr, format!("{shown}:{number}: {problem}"));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
            .ok_or_else(|| wrong("not NAME=VALUE".to_owned()))?;
        let value = unlisted(value).ok_or_else(|| wrong(format!("{name}: the quotes do not match")))?;
        check_named(name, &value, any).map_err(|error| {
            let failure = refused(error);
            Failure { hint: failure.hint, ..wrong(failure.message) }
        })?;
        let key = catalogue::key(name);
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == key) {
            return Err(wrong(format!("{name} stands on line {first} already")));
        }
        seen.push((key, number));
        given.push(name.to_owned());
        set.push((spelled(name), value));
    }
    partition::check(files, &set)?;
    let changes: Vec<Change> = set.iter().map(|(name, value)| Change::Set(name.clone(), value.clone())).collect();
    files.database().apply(&changes).map_err(failure)?;
    for name in &given {
        stands_for(ui, name);
    }
    let names: Vec<String> = set.into_iter().map(|(name, _)| name).collect();
    for name in &names {
        advise(ui, name);
    }
    for change in &changes {
        if let Change::Set(name, value) = change {
            look_for_program(ui, files, name, value);
        }
    }
    check_partition(ui, files, &names)?;
    Ok(Exit::Ok)
}

/// The text to import, and the name of its file for messages.
fn import_text(from: &Path) -> Result<(String, String), Failure> {
    let shown = match from.to_str() {
        Some("-") => "standard input".to_owned(),
        _ => from.display().to_string(),
    };
    let failed = |error: std::io::Error| {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NoInput,
            std::io::ErrorKind::InvalidData => Exit::DataErr,
            std::io::ErrorKind::PermissionDenied => Exit::NoPerm,
            _ => Exit::IoErr,
        };
        Failure::new(exit, format!("cannot read {shown}: {error}"))
    };
    let mut text = String::new();
    let input: Box<dyn Read> = if from == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(from).map_err(failed)?)
    };
    let mut input = input.take(LARGEST_IMPORT + 1);
    let read = input.read_to_string(&mut text).map_err(failed)?;
    if read as u64 > LARGEST_IMPORT {
        return Err(Failure::new(Exit::DataErr, format!("{shown} is larger than 16 MB")));
    }
    Ok((shown, text))
}

fn validate(ui: &mut Ui, files: &Files) -> Result<Exit, Failure> {
    files.must_exist()?;
    let (mut wrong, mut count) = (0usize, 0usize);
    for path in [&files.explicit, &files.defaults] {
        match Database::at(path).read() {
            Ok(entries) => {
                count += entries.len();
                for entry in &entries {
                    wrong += usize::from(!valid(ui, path, entry));
                }
            }
            Err(error @ ConfigError::Line { .. }) => {
                ui.line(error.to_string());
                wrong += 1;
            }
            Err(error) => return Err(failure(error)),
        }
    }
    if let Ok(Some(problem)) = partition_problem(files) {
        ui.line(format!("{}: {problem}", files.explicit.display()));
        wrong += 1;
    }
    if wrong == 0 {
        ui.line(format!("{count} settings, nothing wrong"));
        return Ok(Exit::Ok);
    }
    let settings = if wrong == 1 { "problem" } else { "problems" };
    ui.error(format!("{wrong} {settings} found"));
    Ok(Exit::Config)
}

/// Prints what is wrong with one entry; a note alone is not wrong.
fn valid(ui: &mut Ui, path: &Path, entry: &Entry) -> bool {
    let place = format!("{}:{}", path.display(), entry.line);
    if let Err(error) = check_named(&entry.name, &entry.value, true) {
        ui.line(format!("{place}: {error}"));
        return false;
    }
    match catalogue::find(&entry.name).map(|row| status_of(&entry.name, row)) {
        Some(Status::Works) => true,
        // The file of defaults holds every default, used or not.
        Some(Status::Inert(_)) if path.extension().is_some_and(|e| e == "defaults") => true,
        Some(Status::Inert(why)) => {
            ui.line(format!("{place}: note: {} has no effect in this release: {why}", entry.name));
            true
        }
        None => {
            let near = catalogue::near(&entry.name);
            let Some(first) = near.first() else {
                ui.line(format!("{place}: note: {} is a name of your own", entry.name));
                return true;
            };
            ui.line(format!("{place}: unknown parameter: {}; did you mean {first}?", entry.name));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        args::definition::<Args>("configutil").debug_assert();
    }
}
