//! The store daemon: recovery before anything else starts, then the maintenance loop. It stays in the foreground.

use std::io;
use std::time::Duration;

use super::metrics::Metrics;
use super::process::{self, ProcessError, Signals, Wake};
use super::watch::Watch;
use crate::config::{ConfigError, Instance};
use crate::log::{self, Category, Level};
use crate::ops::instance::{become_server, log_settings};
use crate::ops::maintenance::{self, MaintenanceError};
use crate::os::clock;
use crate::os::user::UserError;

/// The name of the service, and of its pid file.
pub const SERVICE: &str = "store";

/// The time between two looks at what is due.
const TICK: Duration = Duration::from_secs(1);

/// How long a start looks at a sound database at most.
const LOOK: Duration = Duration::from_secs(30);

fn patience() -> impl Fn() -> bool {
    let begun = std::time::Instant::now();
    move || begun.elapsed() < LOOK
}

/// Why the daemon ended in other than good order.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The account of the services cannot be used.
    #[error(transparent)]
    User(#[from] UserError),
    /// Its pid file, or another daemon.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The store cannot be served.
    #[error(transparent)]
    Maintenance(#[from] MaintenanceError),
    /// The system.
    #[error("the store daemon cannot go on: {0}")]
    System(#[from] io::Error),
}

/// Brings a stopped store to rest, for an upgrade or a copy of its files: recovers it as a start does, makes everything durable,
/// removes what is temporary. No service may run meanwhile.
///
/// # Errors
/// [`StoredError::Process`] when a service runs; else as [`run`].
pub fn rest(instance: &Instance) -> Result<(), StoredError> {
    let conf = instance.conf()?;
    become_server(&conf)?;
    log::init(log_settings(instance, &conf, "default", "stored"));
    let _claimed = claim_alone(instance)?;
    let mut maintenance = maintenance::startup(instance, clock::now_s(), &patience())?;
    maintenance.finish(clock::now_s());
    log::notice(Category::General, "the store is at rest");
    Ok(())
}

/// Removes what is temporary in the database of a stopped store without recovering it: for when [`rest`] fails. Gives the number of files.
///
/// # Errors
/// As [`rest`].
pub fn clear(instance: &Instance) -> Result<usize, StoredError> {
    let conf = instance.conf()?;
    become_server(&conf)?;
    log::init(log_settings(instance, &conf, "default", "stored"));
    let _claimed = claim_alone(instance)?;
    Ok(maintenance::remove_temporary(instance, &conf)?)
}

fn claim_alone(instance: &Instance) -> Result<crate::os::process::PidFile, StoredError> {
    let claimed = process::claim(instance, SERVICE)?;
    for service in process::SERVICES.iter().filter(|service| service.name != SERVICE) {
        if let Some(pid) = service.state(instance)?.pid() {
            return Err(ProcessError::Running { service: service.name.to_owned(), pid }.into());
        }
    }
    Ok(claimed)
}

/// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration again. `at_least` is a level that is logged whatever is set.
///
/// # Errors
/// [`StoredError`], which is in the log as well from the point on where there is one.
pub fn run(instance: &Instance, at_least: Option<Level>) -> Result<(), StoredError> {
    let conf = instance.conf()?;
    become_server(&conf)?;
    let configure_log = |conf: &crate::config::Conf| {
        let mut settings = log_settings(instance, conf, "default", "stored");
        settings.level = settings.level.max(at_least.unwrap_or(Level::Nolog));
        log::init(settings);
    };
    configure_log(&conf);
    let mut signals = Signals::take()?;
    let mut pid_file = process::claim(instance, SERVICE)?;
    let result = (|| {
        let mut maintenance = maintenance::startup(instance, clock::now_s(), &patience())?;
        let watch = Watch::start(instance, &conf, maintenance.store())?;
        let metrics = Metrics::start(instance, &conf);
        pid_file.set_ready()?;
        process::notify_supervisor("READY=1");
        log::notice(Category::General, "stored is ready");
        loop {
            match signals.wait(TICK)? {
                Wake::Stop => {
                    watch.stop();
                    metrics.stop();
                    maintenance.finish(clock::now_s());
                    return Ok(());
                }
                Wake::Time => maintenance.tick(clock::now_s()),
                Wake::Refresh => match instance.conf() {
                    Ok(conf) => {
                        configure_log(&conf);
                        maintenance.reload(&conf);
                        watch.reload(&conf);
                        log::notice(Category::General, "stored has read the configuration again");
                    }
                    Err(error) => log::error(
                        Category::General,
                        format!("the configuration is wrong, the old one stays in use: {error}"),
                    ),
                },
            }
        }
    })();
    process::notify_supervisor("STOPPING=1");
    match &result {
        Ok(()) => log::notice(Category::General, "stored ends"),
        Err(error) => {
            pid_file.set_failed();
            log::critical(Category::General, format!("stored ends: {error}"));
        }
    }
    result
}
