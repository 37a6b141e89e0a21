//! The watcher: notices services that died and, where `local.autorestart` says so, starts them again (AdminRef 2005Q4 start-msg; table of the base
//! parameters). A service that ends in good order takes its pid file away; one whose file stays without a process died. Who ends a service with
//! `stop-msg` says so first.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::process::{self, ProcessError, SERVICES, Service, Signals, Wake};
use crate::config::{Conf, ConfigError, Instance};
use crate::log::{self, Category};
use crate::ops::instance::log_settings;
use crate::os::clock;
use crate::os::process::ServiceState;
use crate::os::user;

/// The name of the service, and of its pid file.
pub const SERVICE: &str = "watcher";

/// The time between two looks at the services.
const LOOK: Duration = Duration::from_millis(500);
/// The longest wait at the end for services that were just started.
const SETTLING: Duration = Duration::from_secs(10);
/// So often a service is started again within the time of `local.autorestart.timeout`; when it dies once more, it is given up (2005Q4: "more than
/// twice").
const RESTARTS: usize = 2;

/// Why the watcher ended in other than good order.
#[derive(Debug, thiserror::Error)]
pub enum WatcherError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its pid file, or another watcher.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// With `ha`: what it cannot keep up another host has to.
    #[error(
        "the {service} server died {times} times within {seconds} seconds: the watcher ends, for another host to take over"
    )]
    GivenUp {
        /// The service.
        service: &'static str,
        /// How often it died.
        times: usize,
        /// Within which time.
        seconds: i64,
    },
    /// The system.
    #[error("the watcher cannot go on: {0}")]
    System(#[from] io::Error),
}

/// What is configured.
#[derive(Clone, Copy, Debug)]
struct Settings {
    restart: bool,
    window_s: i64,
    ha: bool,
}

impl Settings {
    fn of(conf: &Conf, ha: bool) -> Settings {
        Settings { restart: ha || conf.bool("local.autorestart"), window_s: conf.int("local.autorestart.timeout"), ha }
    }
}

/// One service as the watcher has seen it.
struct Watched {
    service: &'static Service,
    /// The process that lived at the last look.
    alive: Option<i32>,
    /// When it died, the last times within the window.
    deaths_s: VecDeque<i64>,
    /// It died, and is to be started.
    due: bool,
    /// It was started by this process, which has to hear of its end.
    child: Option<process::Starting>,
}

/// What comes of a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is only told.
    Told,
    /// It is started again.
    Restart,
    /// It died too often.
    GivenUp,
}

impl Watched {
    fn died(&mut self, settings: Settings, now_s: i64) -> Verdict {
        self.deaths_s.push_back(now_s);
        while self.deaths_s.front().is_some_and(|at| now_s.saturating_sub(*at) >= settings.window_s) {
            self.deaths_s.pop_front();
        }
        match settings.restart {
            false => Verdict::Told,
            true if self.deaths_s.len() > RESTARTS => Verdict::GivenUp,
            true => Verdict::Restart,
        }
    }
}

/// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration again. With `ha` services are started again whatever is configured, and the watcher
/// ends when it gives one up, so that a cluster manager notices. It keeps the account that it is started by: what it starts needs it.
///
/// # Errors
/// [`WatcherError`], which is in the log `watcher` as well.
pub fn run(instance: &Instance, ha: bool) -> Result<(), WatcherError> {
    let conf = instance.conf()?;
    user::close_mask();
    log::init(log_settings(instance, &conf, SERVICE, SERVICE));
    let mut settings = Settings::of(&conf, ha);
    let mut signals = Signals::take()?;
    let mut pid_file = process::claim(instance, SERVICE)?;
    let watched = SERVICES.iter().filter(|service| service.name != SERVICE);
    let mut watched: Vec<Watched> = watched
        .map(|service| Watched { service, alive: None, deaths_s: VecDeque::new(), due: false, child: None })
        .collect();
    let result = (|| {
        // What lives now is watched from now on; files that an earlier time left say nothing.
        for one in &mut watched {
            one.alive = one.service.state(instance)?.pid();
            if let Some(pid) = one.alive {
                log::information(Category::General, format!("watches {} server, pid {pid}", one.service.name));
            }
        }
        pid_file.set_ready()?;
        process::notify_supervisor("READY=1");
        log::notice(Category::General, "watcher is ready");
        loop {
            match signals.wait(LOOK)? {
                Wake::Stop => {
                    settle(instance, &mut watched);
                    return Ok(());
                }
                Wake::Time => {}
                Wake::Refresh => match instance.conf() {
                    Ok(conf) => {
                        log::init(log_settings(instance, &conf, SERVICE, SERVICE));
                        settings = Settings::of(&conf, ha);
                        log::notice(Category::General, "watcher has read the configuration again");
                    }
                    Err(error) => log::error(
                        Category::General,
                        format!("the configuration is wrong, the old one stays in use: {error}"),
                    ),
                },
            }
            for one in &mut watched {
                look(instance, one, settings)?;
            }
            for one in &mut watched {
                start(instance, one, settings)?;
            }
        }
    })();
    process::notify_supervisor("STOPPING=1");
    match &result {
        Ok(()) => log::notice(Category::General, "watcher ends"),
        Err(error) => {
            pid_file.set_failed();
            log::critical(Category::General, format!("watcher ends: {error}"));
        }
    }
    result
}

/// Looks what became of a service.
fn look(instance: &Instance, one: &mut Watched, settings: Settings) -> Result<(), WatcherError> {
    let name = one.service.name;
    // A child that ended is buried; the pid file tells the rest, or, where it did not come so far, the child.
    let ended = one.child.as_mut().and_then(process::Starting::ended);
    if ended.is_some() {
        one.child = None;
    }
    let state = match one.service.state(instance) {
        Ok(state) => state,
        Err(error) => {
            log::error(Category::General, error.to_string());
            return Ok(());
        }
    };
    if let Some(pid) = state.pid() {
        if one.alive != Some(pid) {
            one.alive = Some(pid);
            one.due = false;
            log::information(Category::General, format!("watches {name} server, pid {pid}"));
            if one.child.is_none() && one.deaths_s.len() > RESTARTS {
                // Somebody has started it by hand after it was given up.
                one.deaths_s.clear();
            }
        }
        return Ok(());
    }
    let before = one.alive.take();
    let was_stopped = process::was_stopped(instance, one.service);
    let (pid, asked) = match (before, ended) {
        (_, Some((pid, success))) => (pid, success || was_stopped),
        (Some(pid), None) => match process::died(instance, one.service, pid) {
            Ok(died) => (pid, !died),
            Err(error) => {
                log::error(Category::General, error.to_string());
                (pid, was_stopped)
            }
        },
        (None, None) => return Ok(()),
    };
    if asked {
        log::information(Category::General, format!("{name} server (pid {pid}) has ended"));
        return Ok(());
    }
    judge(one, &format!("{name} server (pid {pid}) died"), settings)
}

/// Decides what comes of a death, or of a start that failed.
fn judge(one: &mut Watched, what: &str, settings: Settings) -> Result<(), WatcherError> {
    let verdict = one.died(settings, clock::now_s());
    let (times, seconds) = (one.deaths_s.len(), settings.window_s);
    one.due = verdict == Verdict::Restart;
    match verdict {
        Verdict::Told => log::error(Category::General, what),
        Verdict::Restart => log::error(Category::General, format!("{what}, restarting it")),
        Verdict::GivenUp => {
            let text = format!("{what} {times} times within {seconds} seconds, it is not restarted any more");
            log::critical(Category::General, text);
            if settings.ha {
                return Err(WatcherError::GivenUp { service: one.service.name, times, seconds });
            }
        }
    }
    Ok(())
}

/// Waits for services that were just started until they can be stopped: until they have their pid files, or have ended.
fn settle(instance: &Instance, watched: &mut [Watched]) {
    let begun = Instant::now();
    for one in watched {
        let Some(child) = &mut one.child else { continue };
        let pid = i32::try_from(child.pid()).ok();
        while child.ended().is_none()
            && one.service.state(instance).is_ok_and(|state| state.pid() != pid)
            && begun.elapsed() < SETTLING
        {
            crate::os::process::pause(Duration::from_millis(20));
        }
    }
}

/// Starts a service that is due, the others once the store is ready.
fn start(instance: &Instance, one: &mut Watched, settings: Settings) -> Result<(), WatcherError> {
    let store = Service::find(super::stored::SERVICE);
    let waits = one.service.name != super::stored::SERVICE
        && store.is_some_and(|store| !matches!(store.state(instance), Ok(ServiceState::Ready(_))));
    if one.due && process::was_stopped(instance, one.service) {
        // Somebody has thought better of it.
        one.due = false;
    }
    if !one.due || waits {
        return Ok(());
    }
    one.due = false;
    match process::start(instance, one.service, &[]) {
        Ok(starting) => {
            log::notice(Category::General, format!("{} server restarted, pid {}", one.service.name, starting.pid()));
            one.child = Some(starting);
        }
        // Somebody else was faster.
        Err(ProcessError::Running { .. }) => {}
        Err(error) => {
            log::error(Category::General, format!("{} server: {error}", one.service.name));
            return judge(one, &format!("{} server could not be started", one.service.name), settings);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_too_often_is_given_up() {
        let mut one =
            Watched { service: &SERVICES[0], alive: None, deaths_s: VecDeque::new(), due: false, child: None };
        let settings = Settings { restart: true, window_s: 600, ha: false };
        let mut died = |settings, at| one.died(settings, at);
        assert_eq!([0, 100, 599].map(|at| died(settings, at)), [Verdict::Restart, Verdict::Restart, Verdict::GivenUp]);
        // The first is forgotten.
        assert_eq!(died(settings, 700), Verdict::Restart);
        assert_eq!(died(Settings { restart: false, ..settings }, 701), Verdict::Told);
        assert_eq!(died(settings, 10_000), Verdict::Restart);
    }
}
