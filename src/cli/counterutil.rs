//! counterutil: shows the counters of the services (AdminRef counterutil).

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{Local, TimeZone};

use super::exit::{Exit, Failure};
use super::instance::{failure, instance, server_account};
use super::ui::Ui;
use super::{Tool, args};
use crate::counter::{Object, Registry, Value};
use crate::os::{clock, process};

/// The tool.
pub const TOOL: Tool = Tool {
    name: "counterutil",
    place: "sbin",
    about: "Show the counters of the services",
    definition: || args::definition::<Args>("counterutil"),
    run,
};

/// Show the counters of the services, again and again.
#[derive(Debug, clap::Parser)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Args {
    /// List the counter objects of the registry.
    #[arg(short = 'l', group = "what")]
    list: bool,
    /// Show the counters of OBJECT: alarm, diskusage, serverresponse, imapstat, popstat, lmtpstat.
    #[arg(short = 'o', value_name = "OBJECT", group = "what")]
    object: Option<String>,
    /// Seconds between two reports.
    #[arg(short = 'i', value_name = "SECONDS", default_value_t = 5, requires = "object", value_parser = clap::value_parser!(u32).range(1..))]
    interval: u32,
    /// Number of reports; without it there is no end.
    #[arg(short = 'n', value_name = "COUNT", requires = "object", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// The registry, if it is not that of this instance.
    #[arg(short = 'r', value_name = "REGISTRY")]
    registry: Option<PathBuf>,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let object = match &args.object {
        Some(name) => Some(Object::find(name).ok_or_else(|| unknown(name))?),
        None => None,
    };
    let (registry, path) = match &args.registry {
        // A file named on the command line is opened as who calls.
        Some(path) => (open(path)?, path.clone()),
        None => {
            let instance = instance(ui)?;
            server_account(&instance.conf().map_err(failure)?)?;
            (open(&instance.counters())?, instance.counters())
        }
    };
    if args.list {
        list(ui, &registry, &path)?;
    }
    match object {
        Some(object) => monitor(ui, &args, &registry, (object, path)),
        None => Ok(Exit::Ok),
    }
}

fn unknown(name: &str) -> Failure {
    let names: Vec<&str> = Object::ALL.into_iter().map(Object::name).collect();
    Failure::new(Exit::Usage, format!("there is no counter object {name}")).hint(format!("one of {}", names.join(", ")))
}

fn open(path: &std::path::Path) -> Result<Registry, Failure> {
    Registry::open(path).map_err(|error| {
        let words = format!("cannot open the registry {}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::NotFound => Failure::new(Exit::NoInput, words).hint("start-msg store makes it"),
            io::ErrorKind::PermissionDenied => Failure::new(Exit::NoPerm, words),
            io::ErrorKind::InvalidData => Failure::new(Exit::DataErr, words),
            _ => Failure::new(Exit::IoErr, words),
        }
    })
}

fn unreadable(error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::InvalidData { Exit::DataErr } else { Exit::IoErr };
    Failure::new(exit, format!("the registry cannot be read: {error}"))
}

fn list(ui: &mut Ui, registry: &Registry, path: &std::path::Path) -> Result<(), Failure> {
    let objects = registry.objects().map_err(|error| unreadable(&error))?;
    let mut pids: Vec<i32> = objects.iter().filter(|(_, one)| one.live).map(|(_, one)| one.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let modified_s = objects.iter().map(|(_, one)| one.at_s).max().unwrap_or(registry.created_s);
    ui.line(format!("Listing registry ({})", path.display()));
    ui.line(format!("numobjects = {}", objects.len()));
    ui.line(format!("refcount = {}", pids.len()));
    ui.line(format!("created = {}", moment(registry.created_s)));
    ui.line(format!("modified = {}", moment(modified_s)));
    for (object, _) in &objects {
        ui.line(format!("     entry = {}", object.name()));
    }
    Ok(())
}

fn monitor(ui: &mut Ui, args: &Args, registry: &Registry, (object, path): (Object, PathBuf)) -> anyhow::Result<Exit> {
    let read = || registry.read(object).map_err(|error| unreadable(&error));
    if read()?.is_none() {
        let failure = Failure::new(Exit::NoInput, format!("nobody has published {} yet", object.name()));
        return Err(failure.hint("counterutil -l lists the objects").into());
    }
    ui.line(format!("Monitor counteroobject ({})", object.name()));
    ui.line(format!("registry {} opened", path.display()));
    ui.line(format!("counterobject {} opened", object.name()));
    let mut count = 0;
    loop {
        count += 1;
        let handles = (registry.inode, Registry::offset(object));
        ui.line("");
        ui.line(format!("count = {count} at {} rh = {:#x} oh = {:#x}", clock::now_s(), handles.0, handles.1));
        ui.line("");
        for (name, value) in read()?.map(|one| one.counters).unwrap_or_default() {
            ui.line(format!("{name} {}", shown(&value)));
        }
        ui.flush();
        if args.count == Some(count) || ui.is_broken() {
            return Ok(Exit::Ok);
        }
        process::pause(Duration::from_secs(u64::from(args.interval)));
    }
}

/// The size of what holds the value, and the value.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) | Value::Open(number) => {
            let size = if u32::try_from(*number).is_ok() { 4 } else { 8 };
            format!("[{size} bytes]: {number}")
        }
        Value::Bytes(number) => format!("[8 bytes]: {number}"),
        Value::Time(0) => "[4 bytes]: 0".to_owned(),
        Value::Time(at_s) => format!("[4 bytes]: {}", moment(*at_s)),
        Value::Text(text) => format!("[{} bytes]: {text}", text.len()),
    }
}

fn moment(at_s: i64) -> String {
    let at = Local.timestamp_opt(at_s, 0).single();
    at.map_or_else(|| at_s.to_string(), |at| at.format("%d/%b/%Y:%H:%M:%S %z").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_size_before_it() {
        assert_eq!(shown(&Value::Number(69)), "[4 bytes]: 69");
        assert_eq!(shown(&Value::Number(1 << 32)), "[8 bytes]: 4294967296");
        assert_eq!(shown(&Value::Bytes(1)), "[8 bytes]: 1");
        assert_eq!(shown(&Value::Text("/a".into())), "[2 bytes]: /a");
        assert_eq!(shown(&Value::Time(0)), "[4 bytes]: 0");
        let form = regex::Regex::new(r"^\[4 bytes\]: 1[678]/Oct/2000:\d\d:\d\d:23 [+-]\d{4}$").unwrap();
        assert!(form.is_match(&shown(&Value::Time(971_811_863))), "{}", shown(&Value::Time(971_811_863)));
    }
}
