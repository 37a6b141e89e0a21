//! strace(1) around a child, and what it wrote read as events.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The system calls that matter: what makes names, what makes bytes, what makes them durable, what answers.
const CALLS: &str = "trace=openat,mkdir,mkdirat,link,linkat,rename,renameat,renameat2,fsync,fdatasync,syncfs,pwrite64,pwritev,write,\
                     writev,unlink,unlinkat,sendto,sendmsg";

/// Where strace is; `None` with a loud line where it is not. CI has it.
pub fn strace() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("strace")).find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI has to have strace");
        eprintln!("SKIPPED: strace is not installed, the order of flushes is NOT tested");
    }
    found
}

/// `command` under strace, which writes to `log`. The environment is that which `command` sets, nothing else.
pub fn traced(strace: &Path, command: &Command, log: &Path) -> Command {
    let mut outer = Command::new(strace);
    outer.args(["-f", "-y", "-s", "1024", "-e", CALLS, "-o"]).arg(log).arg("--");
    outer.arg(command.get_program()).args(command.get_args()).env_clear();
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer
}

/// One system call, from the line where it began to the line where it ended.
#[derive(Debug)]
pub struct Event {
    pub thread: u32,
    pub call: String,
    /// Its arguments and result, as strace prints them.
    pub text: String,
    pub begun: usize,
    pub ended: usize,
    /// The path of the descriptor in front, or the first path that is named.
    pub path: PathBuf,
    /// The second path that is named: where a link or rename leads.
    pub to: PathBuf,
    pub descriptor: Option<u32>,
}

impl Event {
    fn parse(thread: u32, whole: &str, begun: usize, ended: usize) -> Option<Event> {
        let (call, rest) = whole.split_once('(')?;
        let result = rest.rsplit_once(" = ")?.1;
        if result.starts_with('-') || result.starts_with('?') {
            return None;
        }
        let mut quoted = rest.split('"').skip(1).step_by(2).map(PathBuf::from);
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(digits);
        let descriptor = number.parse().ok();
        let (path, to) = match behind.strip_prefix('<').filter(|_| descriptor.is_some()) {
            Some(inside) => (inside.split_once('>')?.0.into(), PathBuf::new()),
            None => (quoted.next().unwrap_or_default(), quoted.next().unwrap_or_default()),
        };
        Some(Event { thread, call: call.to_owned(), text: rest.to_owned(), begun, ended, path, to, descriptor })
    }

    pub fn is_flush_of(&self, path: &Path) -> bool {
        self.call == "fsync" && self.path == path
    }

    pub fn is_link(&self) -> bool {
        matches!(self.call.as_str(), "link" | "linkat")
    }

    pub fn is_rename(&self) -> bool {
        self.call.starts_with("rename")
    }

    pub fn is_unlink(&self) -> bool {
        self.call.starts_with("unlink")
    }

    fn is_write(&self) -> bool {
        matches!(self.call.as_str(), "write" | "writev" | "pwrite64" | "pwritev" | "sendto" | "sendmsg")
    }

    pub fn is_staging(&self) -> bool {
        self.path.parent().is_some_and(|dir| dir.ends_with(".staging"))
    }
}

/// A commit of an LMDB environment, up to the meta page that makes it count.
#[derive(Debug)]
pub struct Commit {
    /// The directory's name: `common`, `shard00` ...
    pub env: String,
    pub thread: u32,
    /// Where its first page was written: everything that has to be durable before it is so before this.
    pub begun: usize,
    pub ended: usize,
}

/// The events between a marker and an acknowledgement.
pub struct Trace {
    pub events: Vec<Event>,
    pub commits: Vec<Commit>,
}

impl Trace {
    /// Reads a log. `begin` is a text in the write that ends the set-up (`None`: there is none); `answer` is a text in the write that
    /// acknowledges (`None`: the end of the process with code 0 does).
    #[track_caller]
    pub fn read(log: &Path, begin: Option<&str>, answer: Option<&str>) -> Trace {
        let text = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
        let all = events(&text);
        let said = |text: &str, from: usize| {
            let said = |event: &&Event| event.is_write() && event.begun > from && event.text.contains(text);
            all.iter().find(said).unwrap_or_else(|| panic!("nobody wrote {text:?}"))
        };
        let begun = begin.map_or(0, |text| said(text, 0).ended);
        let acknowledged = match answer {
            Some(answer) => said(answer, begun).begun,
            None => text.lines().position(|line| line.ends_with("+++ exited with 0 +++")).expect("no end with code 0"),
        };
        let all_commits = commits(&all);
        // Nothing of the operation may be left for after the answer.
        let commits: Vec<_> = all_commits.into_iter().filter(|c| c.begun > begun && c.begun < acknowledged).collect();
        for commit in &commits {
            assert!(commit.ended < acknowledged, "acknowledged before the commit of {} was durable", commit.env);
        }
        let events = all.into_iter().filter(|event| event.begun > begun && event.begun < acknowledged).collect();
        Trace { events, commits }
    }

    /// The events that `which` picks; `what` says in words what they are. At least one.
    #[track_caller]
    pub fn all(&self, what: &str, which: impl Fn(&Event) -> bool) -> Vec<&Event> {
        let found: Vec<_> = self.events.iter().filter(|event| which(event)).collect();
        assert!(!found.is_empty(), "missing before the acknowledgement: {what}");
        found
    }

    /// The only event that `which` picks.
    #[track_caller]
    pub fn one(&self, what: &str, which: impl Fn(&Event) -> bool) -> &Event {
        let found = self.all(what, which);
        assert_eq!(found.len(), 1, "more than one: {what}: {found:#?}");
        found[0]
    }

    /// Fails unless what `which` picks happened once at least, wholly between two lines.
    #[track_caller]
    pub fn between(&self, after: usize, before: usize, what: &str, which: impl Fn(&Event) -> bool) {
        let inside = |event: &&Event| event.begun > after && event.ended < before && which(event);
        if self.events.iter().any(|event| inside(&event)) {
            return;
        }
        let elsewhere: Vec<_> = self.events.iter().filter(|event| which(event)).collect();
        let where_else = if elsewhere.is_empty() { "it never happened" } else { "it happened elsewhere only" };
        panic!("missing between lines {after} and {before}: {what} ({where_else}: {elsewhere:#?})");
    }

    /// Directories are flushed between two lines, each by itself or with their file system.
    #[track_caller]
    pub fn flushed(&self, dir: &Path, after: usize, before: usize) {
        let what = format!("a flush of the directory {}", dir.display());
        self.between(after, before, &what, |event| event.is_flush_of(dir) || event.call == "syncfs");
    }

    /// The commits of the operation, in order; exactly these environments (`shard` is any shard).
    #[track_caller]
    pub fn exactly(&self, envs: &[&str]) -> &[Commit] {
        let seen: Vec<&str> = self
            .commits
            .iter()
            .map(|commit| commit.env.as_str())
            .map(|env| if env.starts_with("shard") { "shard" } else { env })
            .collect();
        assert_eq!(seen, envs, "the durable commits before the acknowledgement (seen, expected)");
        &self.commits
    }
}

/// The system calls that succeeded; two halves of an interrupted line are put together.
fn events(text: &str) -> Vec<Event> {
    let mut open: std::collections::HashMap<u32, (usize, String)> = std::collections::HashMap::new();
    let mut events = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let thread: u32 = thread.parse().unwrap();
        let rest = rest.trim_start();
        if let Some(half) = rest.strip_suffix("<unfinished ...>") {
            open.insert(thread, (at, half.to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (begun, half) = open.remove(&thread).expect("a call that was resumed but never began");
            let behind = resumed.split_once("resumed>").expect("resumed").1;
            events.extend(Event::parse(thread, &format!("{half}{behind}"), begun, at));
        } else {
            events.extend(Event::parse(thread, rest, at, at));
        }
    }
    events.sort_by_key(|event| event.begun);
    events
}

/// The commits: pages, then fdatasync, then the meta page through a descriptor opened with O_DSYNC.
fn commits(events: &[Event]) -> Vec<Commit> {
    let database = |event: &&Event| event.path.ends_with("data.mdb");
    let mut durable: BTreeSet<(PathBuf, u32)> = BTreeSet::new();
    for event in events.iter().filter(|event| event.call == "openat" && event.text.contains("O_DSYNC")) {
        let number = event.text.rsplit_once(" = ").unwrap().1;
        let number = number.split('<').next().unwrap().parse().unwrap();
        durable.insert((event.path.clone(), number));
    }
    let writes: Vec<&Event> = events.iter().filter(database).filter(|event| event.is_write()).collect();
    let is_meta = |event: &Event| event.descriptor.is_some_and(|fd| durable.contains(&(event.path.clone(), fd)));
    let mut commits = Vec::new();
    let mut last_meta: std::collections::BTreeMap<&Path, usize> = std::collections::BTreeMap::new();
    for meta in writes.iter().filter(|event| is_meta(event)) {
        let since = last_meta.insert(&meta.path, meta.ended);
        let env = meta.path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let mine =
            |event: &&&Event| event.path == meta.path && !is_meta(event) && since.is_none_or(|line| event.begun > line);
        let pages: Vec<_> = writes.iter().filter(mine).filter(|event| event.begun < meta.begun).collect();
        let (Some(first), Some(last)) = (pages.first(), pages.last()) else { continue };
        let flushed = events.iter().any(|event| {
            event.call == "fdatasync" && event.path == meta.path && event.begun > last.ended && event.ended < meta.begun
        });
        assert!(flushed, "the commit of {env} has no fdatasync of data.mdb between its pages and its meta page");
        commits.push(Commit { env, thread: meta.thread, begun: first.begun, ended: meta.ended });
    }
    // Pages that no meta page through O_DSYNC follows are a commit that is not durable when it is answered.
    for page in writes.iter().filter(|event| !is_meta(event)) {
        let covered = commits.iter().any(|commit| {
            page.begun >= commit.begun
                && page.begun < commit.ended
                && page.path.parent().is_some_and(|dir| dir.ends_with(&commit.env))
        });
        let creation = last_meta.get(page.path.as_path()).is_none_or(|first| page.begun < *first)
            && !commits.iter().any(|commit| page.path.parent().is_some_and(|dir| dir.ends_with(&commit.env)));
        assert!(covered || creation, "a page of {} is followed by no durable meta page", page.path.display());
    }
    commits
}
