//! The scheduler: begins the tasks of `local.schedule.<taskname>` when they are due, each in a process group of its own, and tells the log
//! what they print and how they end. It stays in the foreground.

mod running;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{Local, TimeZone};

use super::process::{self, ProcessError, Signals, Wake};
use crate::config::{Conf, ConfigError, Instance};
use crate::log::{self, Category};
use crate::ops::instance::{become_server, log_settings};
use crate::ops::schedule::plan::{Due, Plan};
use crate::ops::schedule::record::Record;
use crate::ops::schedule::{Task, Tasks, tasks};
use crate::os::clock;
use crate::os::process::{Order, group_lives, pause, tell_group};
use crate::os::user::UserError;
use running::{Environment, Running};

/// The name of the service, and of its pid file.
pub const SERVICE: &str = "sched";

/// The time between two looks at what is due.
const TICK: Duration = Duration::from_millis(500);

/// How long the tasks may take to end when the scheduler ends: 20 seconds.
fn drain() -> Duration {
    clock::minute() / 3
}

/// Why the scheduler ended in other than good order.
#[derive(Debug, thiserror::Error)]
pub enum ImschedError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The account of the services cannot be used.
    #[error(transparent)]
    User(#[from] UserError),
    /// Its pid file, or another scheduler.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The system.
    #[error("the scheduler cannot go on: {0}")]
    System(#[from] io::Error),
}

/// Runs until SIGTERM or SIGINT; SIGHUP reads the configuration again and leaves the tasks that run alone.
///
/// # Errors
/// [`ImschedError`], which is in the log as well from the point on where there is one.
pub fn run(instance: &Instance) -> Result<(), ImschedError> {
    let conf = instance.conf()?;
    become_server(&conf)?;
    log::init(log_settings(instance, &conf, "default", "imsched"));
    let mut signals = Signals::take()?;
    let mut pid_file = process::claim(instance, SERVICE)?;
    let result = (|| {
        let mut scheduler = Scheduler::begin(instance, &conf);
        pid_file.set_ready()?;
        process::notify_supervisor("READY=1");
        log::notice(Category::General, "imsched is ready");
        loop {
            match signals.wait(TICK)? {
                Wake::Stop => {
                    scheduler.end();
                    return Ok(());
                }
                Wake::Time => scheduler.tick(clock::now_s()),
                Wake::Refresh => scheduler.refresh(),
            }
        }
    })();
    process::notify_supervisor("STOPPING=1");
    match &result {
        Ok(()) => log::notice(Category::General, "imsched ends"),
        Err(error) => {
            pid_file.set_failed();
            log::critical(Category::General, format!("imsched ends: {error}"));
        }
    }
    result
}

/// The tasks, when they are due, and those that run.
struct Scheduler<'a> {
    instance: &'a Instance,
    environment: Environment,
    plan: Plan,
    record: Record,
    record_file: PathBuf,
    running: Vec<Running>,
}

impl<'a> Scheduler<'a> {
    /// Goes on where the last scheduler ended, whatever ended it.
    fn begin(instance: &'a Instance, conf: &Conf) -> Scheduler<'a> {
        let record_file = instance.schedule_record();
        let record = Record::read(&record_file).unwrap_or_else(|error| {
            let path = record_file.display();
            let text = format!("{path} cannot be read, so runs that were missed are not known: {error}");
            log::error(Category::General, text);
            Record::default()
        });
        let found = tasks(instance, conf);
        tell(&found);
        let plan = Plan::resume(found.tasks, &record, clock::now_s(), &clock::utc_offset_s);
        let environment = Environment::new(instance);
        let running = Vec::new();
        let mut scheduler = Scheduler { instance, environment, plan, record, record_file, running };
        scheduler.adopt();
        scheduler.tick(clock::now_s());
        scheduler.keep();
        scheduler
    }

    /// Takes over the tasks that run since before; names those of which nobody knows how they ended.
    fn adopt(&mut self) {
        let open: Vec<(String, Option<i64>, Option<Running>)> = self
            .record
            .open()
            .map(|(name, last)| {
                (name.to_owned(), last.due_s, last.alive().map(|process| Running::found(name, process)))
            })
            .collect();
        for (name, due_s, running) in open {
            let due = due_s.map(at).unwrap_or_default();
            if let Some(running) = running {
                let text =
                    format!("task {name} (pid {}), due {due}, still runs since before this start", running.pid());
                log::notice(Category::General, text);
                self.running.push(running);
            } else {
                let text = format!(
                    "task {name}: the run due {due} was under way when the scheduler was ended; how it ended is not known"
                );
                log::warning(Category::General, text);
                self.record.end(&name);
            }
        }
    }

    /// Does what is due; called about twice a second.
    fn tick(&mut self, now_s: i64) {
        self.reap();
        let due = self.plan.look(now_s, &clock::utc_offset_s);
        // All that is to begin is in the record before the first begins: whatever ends the scheduler, none of them is lost without a word.
        let mut any = false;
        for due in &due {
            if let Due::Run { task, due_s } = due
                && !self.runs(&task.name)
            {
                self.record.begin(task, *due_s);
                any = true;
            }
        }
        if any {
            self.write();
        }
        for due in due {
            match due {
                Due::Run { task, due_s } => self.start(&task, due_s),
                Due::Missed { task, first_s, last_s, count } => {
                    let text = match count {
                        1 => format!("task {task}: the run due {} was missed", at(first_s)),
                        _ => format!("task {task}: {count} runs due {} to {} were missed", at(first_s), at(last_s)),
                    };
                    log::warning(Category::General, text);
                    self.write();
                }
                Due::SetBack(seconds) => {
                    let text =
                        format!("the clock was set back by {seconds} seconds: the tasks are due by what it shows now");
                    log::warning(Category::General, text);
                    self.write();
                }
            }
        }
    }

    fn runs(&self, name: &str) -> bool {
        self.running.iter().any(|running| running.task() == name)
    }

    /// Begins a task. It is in the record already, so that it does not run again for the same time whatever ends the scheduler.
    fn start(&mut self, task: &Task, due_s: i64) {
        let name = &task.name;
        if let Some(running) = self.running.iter().find(|running| running.task() == name) {
            let text = format!(
                "task {name}: the run due {} is left out, the one before (pid {}) still runs",
                at(due_s),
                running.pid()
            );
            log::warning(Category::General, text);
            self.write();
            return;
        }
        crate::crash_point!("imsched.before-run");
        match Running::begin(task, &self.environment) {
            Ok(running) => {
                log::notice(Category::General, format!("task {name} (pid {}) begins: {}", running.pid(), task.command));
                self.record.began(name, running.process());
                self.running.push(running);
            }
            Err(error) => {
                log::error(Category::General, format!("task {name} cannot begin: {error}"));
                self.record.end(name);
            }
        }
        crate::crash_point!("imsched.after-run");
        self.write();
    }

    /// Tells of the tasks that have ended.
    fn reap(&mut self) {
        let mut ended = Vec::new();
        self.running.retain_mut(|running| {
            let over = running.look();
            if over {
                ended.push(running.task().to_owned());
            }
            !over
        });
        for name in &ended {
            self.record.end(name);
        }
        if !ended.is_empty() {
            self.write();
        }
    }

    fn refresh(&mut self) {
        match self.instance.conf() {
            Ok(conf) => {
                log::init(log_settings(self.instance, &conf, "default", "imsched"));
                // What is due by the old schedule is done before.
                self.tick(clock::now_s());
                let found = tasks(self.instance, &conf);
                tell(&found);
                self.plan.replace(found.tasks, &clock::utc_offset_s);
                self.keep();
                log::notice(Category::General, "imsched has read the configuration again");
            }
            Err(error) => {
                let text = format!("the configuration is wrong, the old one stays in use: {error}");
                log::error(Category::General, text);
            }
        }
    }

    /// Ends the tasks that run: SIGTERM to each process group, SIGKILL to what is left of them after [`drain`].
    fn end(&mut self) {
        self.reap();
        self.write();
        for running in &self.running {
            log::notice(Category::General, format!("task {} (pid {}) is told to end", running.task(), running.pid()));
            running.tell(Order::Stop);
        }
        // A command may have ended and left processes of its group behind.
        let mut groups: Vec<i32> = self.running.iter().map(Running::pid).collect();
        let began = Instant::now();
        while began.elapsed() < drain() {
            self.reap();
            groups.retain(|group| group_lives(*group));
            if self.running.is_empty() && groups.is_empty() {
                return;
            }
            pause(Duration::from_millis(20));
        }
        for running in &self.running {
            let text = format!(
                "task {} (pid {}) did not end in {} seconds and is killed",
                running.task(),
                running.pid(),
                drain().as_secs()
            );
            log::warning(Category::General, text);
            running.tell(Order::Kill);
        }
        for group in groups {
            drop(tell_group(group, Order::Kill));
        }
        while !self.running.is_empty() && began.elapsed() < drain() + Duration::from_secs(5) {
            pause(Duration::from_millis(20));
            self.reap();
        }
    }

    /// The record has the tasks of the plan from now on.
    fn keep(&mut self) {
        self.record.keep(self.plan.tasks());
        self.write();
    }

    /// A record that cannot be written keeps no task from running.
    fn write(&mut self) {
        self.record.looked_s = Some(self.plan.looked_s());
        if let Err(error) = self.record.write(&self.record_file) {
            log::error(Category::General, format!("cannot write {}: {error}", self.record_file.display()));
        }
    }
}

/// Tells the log what is wrong with the tasks, and which there are.
fn tell(found: &Tasks) {
    for fault in &found.faults {
        log::error(
            Category::General,
            format!("{}: {}; this task does not run, the others do", fault.setting, fault.problem),
        );
    }
    for fault in &found.absent {
        log::warning(Category::General, format!("{}: {}", fault.setting, fault.problem));
    }
    for task in &found.tasks {
        log::information(Category::General, format!("task {}: {}", task.name, task.schedule));
    }
}

/// A time in words, local.
fn at(time_s: i64) -> String {
    let time = Local.timestamp_opt(time_s, 0).single();
    time.map_or_else(|| time_s.to_string(), |time| time.format("%Y-%m-%d %H:%M %z").to_string())
}
