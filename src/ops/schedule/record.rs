//! What the scheduler remembers over its own end: up to when everything that was due has been seen to, and which runs are under way. A small
//! file, replaced whole before a run begins and after it has ended.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Task;
use crate::os::durable;
use crate::os::process::Identity;

/// The version of the file.
const VERSION: u32 = 1;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    v: u32,
    /// Up to when everything that was due has been seen to, seconds since 1970; `None`: nothing is known.
    pub looked_s: Option<i64>,
    tasks: BTreeMap<String, Last>,
}

/// What is known of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// Its five fields and command.
    pub schedule: String,
    /// When the last run was due, seconds since 1970.
    pub due_s: Option<i64>,
    /// The run is not known to have ended.
    pub open: bool,
    /// The process of the run: pid, and start time in ticks since the system started.
    pub process: Option<(i32, u64)>,
}

impl Last {
    /// The process of the run, if it is known and lives.
    pub fn alive(&self) -> Option<Identity> {
        let (pid, started) = self.process.filter(|_| self.open)?;
        Some(Identity { pid, started }).filter(Identity::is_alive)
    }
}

impl Default for Record {
    fn default() -> Record {
        Record { v: VERSION, looked_s: None, tasks: BTreeMap::new() }
    }
}

impl Record {
    /// Reads the file; one that is missing is an empty record.
    ///
    /// # Errors
    /// What the system said; `InvalidData` for what is no record of this version.
    pub fn read(path: &Path) -> io::Result<Record> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            other => other?,
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(io::Error::from)?;
        if record.v != VERSION {
            let text = format!("version {} is not known, only {VERSION} is", record.v);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(record)
    }

    /// Writes the file, durably.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        durable::replace(path, &bytes, 0o600)
    }

    /// True when the task is there with the schedule that it has.
    pub fn knows(&self, task: &Task) -> bool {
        self.tasks.get(&task.name).is_some_and(|last| last.schedule == task.schedule)
    }

    /// Has exactly these tasks from now on, and those with a run under way.
    pub fn keep<'a>(&mut self, tasks: impl Iterator<Item = &'a Task>) {
        let mut kept: BTreeMap<String, Last> = BTreeMap::new();
        for task in tasks {
            let mut last = self.tasks.remove(&task.name).unwrap_or_default();
            last.schedule.clone_from(&task.schedule);
            kept.insert(task.name.clone(), last);
        }
        kept.extend(std::mem::take(&mut self.tasks).into_iter().filter(|(_, last)| last.open));
        self.tasks = kept;
    }

    /// A run that was due begins.
    pub fn begin(&mut self, task: &Task, due_s: i64) {
        let last = Last { schedule: task.schedule.clone(), due_s: Some(due_s), open: true, process: None };
        self.tasks.insert(task.name.clone(), last);
    }

    /// The run of the task has this process.
    pub fn began(&mut self, task: &str, process: Option<Identity>) {
        if let Some(last) = self.tasks.get_mut(task) {
            last.process = process.map(|process| (process.pid, process.started));
        }
    }

    /// The run of the task has ended.
    pub fn end(&mut self, task: &str) {
        if let Some(last) = self.tasks.get_mut(task) {
            last.open = false;
            last.process = None;
        }
    }

    /// The runs that are not known to have ended: the names of their tasks, and what is known.
    pub fn open(&self) -> impl Iterator<Item = (&str, &Last)> {
        self.tasks.iter().filter(|(_, last)| last.open).map(|(name, last)| (name.as_str(), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::crontab::Crontab;

    fn task(name: &str, schedule: &str) -> Task {
        let (crontab, command) = Crontab::parse(schedule).unwrap();
        Task { name: name.to_owned(), schedule: schedule.to_owned(), command: command.to_owned(), crontab }
    }

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        assert_eq!(Record::read(&path).unwrap(), Record::default());
        let mut record = Record { looked_s: Some(7), ..Record::default() };
        record.keep([task("a", "0 1 * * * x"), task("b", "0 2 * * * y")].iter());
        record.begin(&task("a", "0 1 * * * x"), 5);
        record.began("a", Some(Identity::me()));
        record.write(&path).unwrap();
        let mut read = Record::read(&path).unwrap();
        assert_eq!(read, record);
        assert_eq!(
            read.open().map(|(name, last)| (name, last.alive())).collect::<Vec<_>>(),
            [("a", Some(Identity::me()))]
        );
        // A run that goes on is not forgotten with its task.
        read.keep(std::iter::once(&task("b", "0 3 * * * y")));
        assert!(read.knows(&task("b", "0 3 * * * y")) && !read.knows(&task("b", "0 2 * * * y")));
        assert_eq!(read.open().count(), 1);
        read.end("a");
        read.keep(std::iter::empty());
        assert_eq!((read.open().count(), read.tasks.len()), (0, 0));
        for wrong in ["", "{", "{\"v\":9,\"looked_s\":null,\"tasks\":{}}", "[]"] {
            durable::replace(&path, wrong.as_bytes(), 0o600).unwrap();
            assert!(Record::read(&path).is_err(), "{wrong}");
        }
    }
}
