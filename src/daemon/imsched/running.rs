//! A task that runs: its process group, what it prints, its end.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::Instance;
use crate::log::{self, Category};
use crate::ops::schedule::{TASK_VARIABLE, Task, search_path};
use crate::os::process::{Identity, Order, tell_group};
use crate::os::{program, user};

/// Most bytes of a line of output that go into the log.
const LINE_MAX: u64 = 4_096;
/// Most lines of output of a run that go into the log.
const LINES_MAX: u64 = 1_000;
/// How long the rest of the output is waited for after the command has ended: what it left running may hold the pipe for ever.
const REST: Duration = Duration::from_secs(2);

/// What is the same for all tasks: the directory, and the variables of the environment. Nothing else of the scheduler's own environment reaches them.
pub(super) struct Environment {
    base: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

impl Environment {
    pub fn new(instance: &Instance) -> Environment {
        let base = instance.base().to_path_buf();
        let account = user::current().user;
        let path = std::env::join_paths(search_path(&base)).unwrap_or_else(|_| "/usr/bin:/bin".into());
        let mut variables = vec![
            ("CONFIGROOT", instance.config_dir().into()),
            ("PATH", path),
            ("HOME", base.clone().into()),
            ("SHELL", "/bin/sh".into()),
            ("USER", account.clone().into()),
            ("LOGNAME", account.into()),
        ];
        let kept: &[&'static str] = if cfg!(feature = "failpoints") { &["TZ", "CLOCK_FILE"] } else { &["TZ"] };
        variables.extend(kept.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        Environment { base, variables }
    }
}

/// A run.
pub(super) struct Running {
    task: String,
    pid: i32,
    process: Option<Identity>,
    child: Option<Child>,
    reader: Option<JoinHandle<()>>,
    began: Instant,
    ended: Option<(ExitStatus, Instant)>,
}

impl Running {
    /// Begins the command of a task.
    ///
    /// # Errors
    /// What the system said.
    pub fn begin(task: &Task, environment: &Environment) -> io::Result<Running> {
        let mut variables: Vec<(&str, &OsStr)> =
            environment.variables.iter().map(|(name, value)| (*name, value.as_os_str())).collect();
        variables.push((TASK_VARIABLE, OsStr::new(&task.name)));
        let (child, output) = program::begin(&task.command, &variables, &environment.base)?;
        let pid = child.id().cast_signed();
        let name = task.name.clone();
        let reader = std::thread::Builder::new().name("output".to_owned()).spawn(move || tell_output(&name, output));
        if let Err(error) = &reader {
            log::error(Category::General, format!("task {}: its output cannot be read: {error}", task.name));
        }
        Ok(Running {
            task: task.name.clone(),
            pid,
            process: Identity::of(pid),
            child: Some(child),
            reader: reader.ok(),
            began: Instant::now(),
            ended: None,
        })
    }

    /// A run that another scheduler began. How it ends cannot be learnt, only that it does.
    pub fn found(task: &str, process: Identity) -> Running {
        Running {
            task: task.to_owned(),
            pid: process.pid,
            process: Some(process),
            child: None,
            reader: None,
            began: Instant::now(),
            ended: None,
        }
    }

    pub fn task(&self) -> &str {
        &self.task
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn process(&self) -> Option<Identity> {
        self.process
    }

    /// Signals all processes of the run.
    pub fn tell(&self, order: Order) {
        if let Err(error) = tell_group(self.pid, order) {
            log::error(Category::General, format!("task {} (pid {}): cannot signal it: {error}", self.task, self.pid));
        }
    }

    /// True when the run is over, which the log is then told.
    pub fn look(&mut self) -> bool {
        let (name, pid) = (&self.task, self.pid);
        let Some(child) = &mut self.child else {
            let over = self.process.is_none_or(|process| !process.is_alive());
            if over {
                log::notice(
                    Category::General,
                    format!("task {name} (pid {pid}) has ended, its exit code is not known"),
                );
            }
            return over;
        };
        if self.ended.is_none() {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => self.ended = Some((status, Instant::now())),
                Err(error) => {
                    log::error(
                        Category::General,
                        format!("task {name} (pid {pid}): cannot tell whether it runs: {error}"),
                    );
                    return true;
                }
            }
        }
        let Some((status, at)) = self.ended else { return false };
        if self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) && at.elapsed() < REST {
            return false;
        }
        let seconds = at.duration_since(self.began).as_secs();
        let text = format!("task {name} (pid {pid}) ended after {seconds} s: {status}");
        if status.success() {
            log::notice(Category::General, text);
        } else {
            log::error(Category::General, text);
        }
        true
    }
}

/// Tells the log what a task prints, line by line, to the end; beyond the bounds it is read and dropped, so that the task goes on.
fn tell_output(task: &str, output: impl Read) {
    let mut output = BufReader::new(output);
    let (mut lines, mut line) = (0u64, Vec::new());
    loop {
        line.clear();
        match (&mut output).take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        lines += 1;
        if lines <= LINES_MAX {
            log::notice(Category::General, format!("task {task}: {}", String::from_utf8_lossy(&line).trim_end()));
        }
    }
    if lines > LINES_MAX {
        log::warning(Category::General, format!("task {task}: {} more lines of output", lines - LINES_MAX));
    }
}
