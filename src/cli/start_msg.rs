//! start-msg: starts the services of the instance (AdminRef start-msg; the printed lines are the documented ones).

use std::ffi::OsString;
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::instance::{failure, instance};
use super::ui::Ui;
use super::{Tool, args};
use crate::config::{Conf, Instance};
use crate::daemon::process::{self, ProcessError, SERVICES, Service};
use crate::os::process::ServiceState;

/// The tool.
pub const TOOL: Tool = Tool {
    name: "start-msg",
    place: "sbin",
    about: "Start the services",
    definition: || args::definition::<Args>("start-msg"),
    run,
};

/// Start the services: without a name all that are switched on, the store first.
///
/// Nothing else starts when the store does not.
#[derive(Debug, clap::Parser)]
pub struct Args {
    /// The services to start: store, imap, pop, lmtp, sched.
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
    let services = chosen(&args.services, &conf, true)?;
    let needs_store = services.iter().any(|service| service.name != "store");
    if needs_store && !services.iter().any(|service| service.name == "store") {
        let state = process_state(&instance, "store")?;
        if !matches!(state, ServiceState::Ready(_)) {
            return Err(Failure::new(Exit::Unavailable, "the store server is not ready, nothing else can start")
                .hint("start-msg store")
                .into());
        }
    }
    for service in services {
        start(ui, &instance, service, Duration::from_secs(args.timeout))?;
    }
    Ok(Exit::Ok)
}

fn start(ui: &mut Ui, instance: &Instance, service: &'static Service, time: Duration) -> anyhow::Result<()> {
    let name = service.name;
    let starting = match process::start(instance, service) {
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
