//! start-msg: starts the services of the instance (AdminRef start-msg; the printed lines are the documented ones).

use std::ffi::OsString;
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::{Conf, Instance};
use crate::daemon::process::{self, ProcessError, SERVICES, Service};
use crate::daemon::watcher;
use crate::os::process::ServiceState;

/// The word that starts everything for a cluster.
const HA: &str = "ha";

/// The tool.
pub const TOOL: Tool = Tool {
    name: "start-msg",
    place: "sbin",
    about: "Start the services",
    definition: || args::definition::<Args>("start-msg"),
    run,
};

/// Start the services: without a name all that are switched on, the watcher and the store first.
///
/// Nothing else starts when the store does not. `ha` starts all of them for a cluster: the watcher starts what dies again, and ends when it gives up.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// The services to start: watcher, store, imap, pop, lmtp, sched; or ha.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// How long to wait for a service to be ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

fn run(ui: &mut Ui, argv: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match args::parse::<Args>(ui, argv) {
        Ok(args) => args,
        Err(exit) => return Ok(exit),
    };
    let instance = instance(ui)?;
    let conf = instance.conf().map_err(failure)?;
    let ha = args.services.iter().any(|word| word == HA);
    let mut words = args.services;
    words.retain(|word| word != HA);
    if ha && !words.is_empty() {
        return Err(Failure::new(Exit::Usage, "ha starts all services, it takes no other name")
            .hint("start-msg ha")
            .into());
    }
    if ha && !conf.bool("local.watcher.enable") {
        return Err(Failure::new(Exit::Config, "ha needs the watcher: local.watcher.enable is off")
            .hint("configutil -o local.watcher.enable -v on")
            .into());
    }
    let services = chosen(&words, &conf, true)?;
    let needs_store = services.iter().any(|service| !matches!(service.name, "store" | watcher::SERVICE));
    if needs_store && !services.iter().any(|service| service.name == "store") {
        let state = process_state(&instance, "store")?;
        if !matches!(state, ServiceState::Ready(_)) {
            return Err(Failure::new(Exit::Unavailable, "the store server is not ready, nothing else can start")
                .hint("start-msg store")
                .into());
        }
    }
    for service in services {
        let time = Duration::from_secs(args.timeout);
        match service.name {
            watcher::SERVICE => launch(ui, &instance, service, ha, time)?,
            _ => start(ui, &instance, service, time)?,
        }
    }
    Ok(Exit::Ok)
}

/// The watcher, with the lines that the manual shows for it.
fn launch(ui: &mut Ui, instance: &Instance, service: &'static Service, ha: bool, time: Duration) -> anyhow::Result<()> {
    ui.line("Connecting to watcher ...");
    ui.flush();
    let more: &[&str] = if ha { &["--ha"] } else { &[] };
    match process::start(instance, service, more) {
        Ok(starting) => {
            ui.line("Launching watcher ...");
            ui.flush();
            starting.wait(instance, time).map_err(unavailable)
        }
        Err(ProcessError::Running { pid, .. }) => {
            if ha {
                let what = format!("the watcher is already running, pid {pid}, and goes on as it was started");
                return Err(Failure::new(Exit::Unavailable, what).hint("stop-msg watcher; start-msg ha").into());
            }
            process::wait_ready(instance, service, time).map_err(unavailable)
        }
        Err(error) => Err(unavailable(error)),
    }
}

fn start(ui: &mut Ui, instance: &Instance, service: &'static Service, time: Duration) -> anyhow::Result<()> {
    let name = service.name;
    let starting = match process::start(instance, service, &[]) {
        Ok(starting) => starting,
        Err(ProcessError::Running { pid, .. }) => {
            ui.line(format!("{name} server is already running, pid {pid}"));
            ui.flush();
            return process::wait_ready(instance, service, time).map_err(unavailable);
        }
        Err(error) => return Err(unavailable(error)),
    };
    ui.line(format!("Starting {name} server .... {}", starting.pid()));
    if name == "store" {
        ui.raw(b"checking store server status ... ");
    }
    ui.flush();
    let ready = starting.wait(instance, time);
    if name == "store" {
        ui.line(if ready.is_ok() { "ready" } else { "not ready" });
        ui.flush();
    }
    ready.map_err(unavailable)
}

/// The services that the words name, in the order in which they start; all (with `only_enabled`: that are switched on) when there
/// are no words. A named one must be switched on.
pub(super) fn chosen(words: &[String], conf: &Conf, only_enabled: bool) -> anyhow::Result<Vec<&'static Service>> {
    for word in words {
        let Some(service) = Service::find(word) else {
            let known: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
            return Err(Failure::new(Exit::Usage, format!("unknown service: {word}"))
                .hint(format!("the services are: {}", known.join(" ")))
                .into());
        };
        if !service.is_enabled(conf) {
            let names = service.enabled_by.join(" and ");
            return Err(Failure::new(Exit::Config, format!("{word} is not enabled: {names} are off"))
                .hint(format!("configutil -o {} -v yes", service.enabled_by.first().unwrap_or(&"")))
                .into());
        }
    }
    Ok(SERVICES
        .iter()
        .filter(|service| match words {
            [] => !only_enabled || service.is_enabled(conf),
            words => words.iter().any(|word| word == service.name),
        })
        .collect())
}

/// What a service is doing.
fn process_state(instance: &Instance, name: &str) -> anyhow::Result<ServiceState> {
    match Service::find(name) {
        Some(service) => service.state(instance).map_err(unavailable),
        None => Ok(ServiceState::Stopped),
    }
}

/// How a tool ends when a service does not do what it should.
pub(super) fn unavailable(error: ProcessError) -> anyhow::Error {
    let denied = |source: &std::io::Error| source.kind() == std::io::ErrorKind::PermissionDenied;
    let exit = match &error {
        ProcessError::State { source, .. } | ProcessError::Signal { source, .. } if denied(source) => Exit::NoPerm,
        ProcessError::State { .. } => Exit::IoErr,
        _ => Exit::Unavailable,
    };
    Failure::new(exit, error.to_string()).into()
}
