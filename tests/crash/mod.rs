//! Children are killed at every named point and at random moments; a fresh process then must find what was acknowledged, all of it, and of the
//! operation that was under way everything or nothing.
//!
//! A store is opened by children only: one process opens an environment once, and nothing forks after that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stderr
)]

pub mod child;
mod model;

pub use model::Chance;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use model::{Folder, KINDS, Message, Model, Op, Place, User};

/// Named point, the kind of operation that passes it, and the highest passing at which the child is killed.
const POINTS: &[(&str, &str, u64)] = &[
    ("append.after-sync", "append", 1),
    ("append.after-sync", "deliver", 1),
    ("warning.after-sync", "warn", 1),
    ("warning.after-rows", "warn", 1),
    ("append.after-link", "append", 1),
    ("append.after-link", "deliver", 1),
    ("append.after-index", "append", 1),
    ("append.after-index", "copy", 1),
    ("append.after-rows", "append", 1),
    ("append.after-rows", "deliver", 1),
    ("deliver.after-identity", "once", 1),
    ("store.before-commit", "once", 1),
    ("store.after-commit", "once", 1),
    ("copy.after-link", "copy", 1),
    ("copy.after-link", "move", 1),
    ("copy.after-link", "restore", 1),
    ("copy.after-link", "inbox", 1),
    ("move.after-rows", "move", 1),
    ("restore.after-sync", "putback", 1),
    ("restore.after-link", "putback", 1),
    ("restore.after-rows", "putback", 1),
    ("store.before-commit", "putback", 1),
    ("store.after-commit", "putback", 1),
    ("replace.after-sync", "replace", 1),
    ("replace.after-remove", "replace", 1),
    ("append.after-rows", "replace", 1),
    ("store.before-commit", "replace", 1),
    ("store.after-commit", "replace", 1),
    ("inbox-rename.after-rows", "inbox", 1),
    ("store.after-commit", "inbox", 2),
    ("expunge.after-rows", "expunge", 1),
    ("expunge.after-rows", "move", 1),
    ("expunge.after-rows", "expire", 1),
    ("store.before-commit", "expire", 1),
    ("store.after-commit", "expire", 1),
    ("flags.after-rows", "flag", 1),
    ("acl.after-rows", "acl", 1),
    ("store.before-commit", "acl", 1),
    ("store.after-commit", "acl", 1),
    ("flags.after-rows", "maildrop", 1),
    ("expunge.after-rows", "maildrop", 1),
    ("store.before-commit", "maildrop", 1),
    ("store.after-commit", "maildrop", 1),
    ("purge.after-mark", "purge", 1),
    ("purge.after-unlink", "purge", 1),
    ("purge.after-rmdir", "purge", 1),
    ("create.after-rows", "create", 1),
    ("account.after-map", "ucreate", 1),
    ("account.after-rows", "ucreate", 1),
    ("intent.written", "rename", 1),
    ("intent.written", "delete", 1),
    ("intent.written", "urename", 1),
    ("intent.written", "udelete", 1),
    ("intent.written", "partition", 1),
    ("intent.before-removal", "rename", 1),
    ("intent.before-removal", "delete", 1),
    ("intent.before-removal", "urename", 1),
    ("intent.before-removal", "partition", 1),
    ("rename.after-move", "rename", 1),
    ("account-rename.after-map", "urename", 1),
    ("account-rename.after-move", "urename", 1),
    ("account-rename.after-rows", "urename", 1),
    ("delete.after-move", "delete", 1),
    ("account-delete.after-move", "udelete", 1),
    ("partition.after-copy", "partition", 1),
    ("partition.after-rows", "partition", 1),
    ("settle.after-sync", "settle", 1),
    ("settle.after-rows", "settle", 1),
    ("store.before-commit", "append", 1),
    ("store.before-commit", "copy", 1),
    ("store.before-commit", "move", 1),
    ("store.before-commit", "expunge", 1),
    ("store.before-commit", "purge", 2),
    ("store.before-commit", "restore", 1),
    ("store.before-commit", "create", 1),
    ("store.before-commit", "ucreate", 2),
    ("store.before-commit", "rename", 3),
    ("store.before-commit", "delete", 3),
    ("store.before-commit", "urename", 5),
    ("store.before-commit", "udelete", 3),
    ("store.before-commit", "partition", 3),
    ("store.after-commit", "append", 1),
    ("store.after-commit", "deliver", 1),
    ("store.after-commit", "copy", 1),
    ("store.after-commit", "move", 1),
    ("store.after-commit", "flag", 1),
    ("store.after-commit", "expunge", 1),
    ("store.after-commit", "purge", 2),
    ("store.after-commit", "ucreate", 2),
    ("store.after-commit", "rename", 3),
    ("store.after-commit", "delete", 3),
    ("store.after-commit", "urename", 5),
    ("store.after-commit", "udelete", 3),
    ("store.after-commit", "partition", 3),
];

/// Points that are passed while a store is created.
const CREATION: &[&str] =
    &["durable.before-rename", "durable.after-rename", "store.before-commit", "store.after-commit"];

/// What the children run: nothing, unless a parent has given this process a role.
#[test]
fn child() {
    let Ok(role) = std::env::var("CRASH_ROLE") else { return };
    let root = std::env::var("CRASH_DIR").unwrap();
    let root = Path::new(&root);
    match role.as_str() {
        "create" => {
            msgstore::store::Store::create(&child::settings(root), 2).unwrap();
            child::say("DONE");
        }
        "verify" => child::verify(root, std::env::var("CRASH_BY_USE").is_ok()),
        _ => child::work(root, &script::read(&std::env::var("CRASH_SCRIPT").unwrap())),
    }
}

/// A script as text: one operation a line, its parts separated by tabs.
mod script {
    use super::{Op, Place};

    fn join(markers: &[u64]) -> String {
        markers.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
    }

    pub fn write(script: &[Op]) -> String {
        script.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn line(op: &Op) -> String {
        let at = |place: &Place| format!("{}\t{}", place.0, place.1);
        match op {
            Op::Append { to, markers } => format!("append\t{}\t{}", at(to), join(markers)),
            Op::PutBack { to, markers } => format!("putback\t{}\t{}", at(to), join(markers)),
            Op::Warn { to, marker } => format!("warn\t{}\t{marker}", at(to)),
            Op::Deliver { marker, to, once } => {
                let kind = if *once { "once" } else { "deliver" };
                format!("{kind}\t{marker}\t{}", to.iter().map(at).collect::<Vec<_>>().join("\t"))
            }
            Op::Copy { from, markers, to } => format!("copy\t{}\t{}\t{}", at(from), join(markers), at(to)),
            Op::Move { from, markers, to } => format!("move\t{}\t{}\t{}", at(from), join(markers), at(to)),
            Op::Replace { from, old, to, marker } => format!("replace\t{}\t{old}\t{}\t{marker}", at(from), at(to)),
            Op::Flag { place, markers, flags } => format!("flag\t{}\t{}\t{flags}", at(place), join(markers)),
            Op::Acl { place, rights } => format!("acl\t{}\t{rights}", at(place)),
            Op::Expunge { place, markers } => format!("expunge\t{}\t{}", at(place), join(markers)),
            Op::Expire { place, markers } => format!("expire\t{}\t{}", at(place), join(markers)),
            Op::Maildrop { place, seen, deleted } => {
                format!("maildrop\t{}\t{}\t{}", at(place), join(seen), join(deleted))
            }
            Op::Restore { place } => format!("restore\t{}", at(place)),
            Op::Purge { place } => format!("purge\t{}", at(place)),
            Op::Create { place } => format!("create\t{}", at(place)),
            Op::Delete { place } => format!("delete\t{}", at(place)),
            Op::Rename { from, to } => format!("rename\t{}\t{to}", at(from)),
            Op::InboxRename { user, to } => format!("inbox\t{user}\t{to}"),
            Op::UserCreate { user } => format!("ucreate\t{user}"),
            Op::UserRename { user, to } => format!("urename\t{user}\t{to}"),
            Op::UserDelete { user } => format!("udelete\t{user}"),
            Op::Partition { user, folder, to } => {
                format!("partition\t{user}\t{}\t{to}", folder.as_deref().unwrap_or_default())
            }
            Op::Settle => "settle".to_owned(),
        }
    }

    pub fn read(text: &str) -> Vec<Op> {
        text.lines().map(|line| parse(&line.split('\t').collect::<Vec<_>>())).collect()
    }

    fn parse(parts: &[&str]) -> Op {
        let word = |at: usize| parts[at].to_owned();
        let at = |first: usize| -> Place { (word(first), word(first + 1)) };
        let markers = |at: usize| -> Vec<u64> { parts[at].split(',').map(|number| number.parse().unwrap()).collect() };
        match parts[0] {
            "append" => Op::Append { to: at(1), markers: markers(3) },
            "putback" => Op::PutBack { to: at(1), markers: markers(3) },
            "warn" => Op::Warn { to: at(1), marker: parts[3].parse().unwrap() },
            "deliver" | "once" => Op::Deliver {
                marker: parts[1].parse().unwrap(),
                to: parts[2..].chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect(),
                once: parts[0] == "once",
            },
            "copy" => Op::Copy { from: at(1), markers: markers(3), to: at(4) },
            "move" => Op::Move { from: at(1), markers: markers(3), to: at(4) },
            "replace" => Op::Replace {
                from: at(1),
                old: parts[3].parse().unwrap(),
                to: at(4),
                marker: parts[6].parse().unwrap(),
            },
            "flag" => Op::Flag { place: at(1), markers: markers(3), flags: parts[4].parse().unwrap() },
            "acl" => Op::Acl { place: at(1), rights: parts[3].parse().unwrap() },
            "expunge" => Op::Expunge { place: at(1), markers: markers(3) },
            "expire" => Op::Expire { place: at(1), markers: markers(3) },
            "maildrop" => Op::Maildrop { place: at(1), seen: markers(3), deleted: markers(4) },
            "restore" => Op::Restore { place: at(1) },
            "purge" => Op::Purge { place: at(1) },
            "create" => Op::Create { place: at(1) },
            "delete" => Op::Delete { place: at(1) },
            "rename" => Op::Rename { from: at(1), to: word(3) },
            "inbox" => Op::InboxRename { user: word(1), to: word(2) },
            "ucreate" => Op::UserCreate { user: word(1) },
            "urename" => Op::UserRename { user: word(1), to: word(2) },
            "udelete" => Op::UserDelete { user: word(1) },
            "partition" => {
                Op::Partition { user: word(1), folder: Some(word(2)).filter(|name| !name.is_empty()), to: word(3) }
            }
            "settle" => Op::Settle,
            other => panic!("operation {other}"),
        }
    }
}

/// This test binary again, as a child that runs one test with these variables.
pub fn again(test: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).stdin(Stdio::null());
    for name in ["CRASH_ROLE", "CRASH_DIR", "CRASH_SCRIPT", "CRASH_POINT", "CRASH_BY_USE"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command
}

/// The next line a child has for its parent; `None` when it has ended.
fn heard(lines: &mut BufReader<ChildStdout>) -> Option<String> {
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(said) = line.strip_prefix('@') {
            // A line that was cut off by the kill says nothing.
            return said.strip_suffix('\n').map(str::to_owned);
        }
    }
}

/// When a child is to be killed.
enum Kill {
    /// When it passes this point for the nth time.
    At(&'static str, u64),
    /// So long after it is ready.
    After(Duration),
    Never,
}

struct Run {
    dir: tempfile::TempDir,
    model: Model,
    marker: u64,
    chance: Chance,
    kills: u32,
    /// How long scripts last: kills at random moments come within this time. It is corrected by what happens, so that about two of three scripts are
    /// killed on a machine of whatever speed and load.
    typical: Duration,
    log: Vec<String>,
}

impl Run {
    fn new(seed: u64) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run {
            dir,
            model: Model::default(),
            marker: 0,
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            kills: 0,
            typical: Duration::from_millis(20),
            log: vec![format!("seed {seed}")],
        };
        let root = run.root();
        let status = again("crash::child", &[("CRASH_ROLE", "create"), ("CRASH_DIR", &root)])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        for kind in ["ucreate", "ucreate", "ucreate", "create", "create", "append", "append", "deliver"] {
            run.step(&[kind], &Kill::Never);
        }
        run
    }

    fn root(&self) -> String {
        self.dir.path().to_str().unwrap().to_owned()
    }

    fn fail(&self, why: &str) -> ! {
        let errors = std::fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
        let tail: String = errors.chars().skip(errors.chars().count().saturating_sub(3000)).collect();
        let log = self.log.iter().rev().take(8).rev().cloned().collect::<Vec<_>>().join("\n");
        let seed = &self.log[0];
        panic!("{why}\n--- {seed}, what was done\n{log}\n--- what the children said\n{tail}")
    }

    fn start(&self, variables: &[(&str, &str)]) -> Child {
        let errors =
            std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("stderr")).unwrap();
        let root = self.root();
        again("crash::child", &[("CRASH_DIR", root.as_str())])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap()
    }

    /// Runs a script of operations of these kinds, kills it, and compares. False when no such operation was possible.
    fn step(&mut self, kinds: &[&str], kill: &Kill) -> bool {
        let mut script: Vec<Op> = Vec::new();
        let mut states = vec![self.model.clone()];
        for kind in kinds {
            let state = states.last().unwrap();
            // Undelete brings everything back, also what an append in this script finds left by a killed one: it comes first or not at all.
            if *kind == "restore" && !script.is_empty() {
                continue;
            }
            let Some(op) = state.propose(kind, &mut self.chance, &mut self.marker) else { continue };
            states.push(state.after(&op));
            script.push(op);
        }
        if script.is_empty() {
            return false;
        }
        let text = script::write(&script);
        assert_eq!(script::read(&text), script);
        self.log.push(text.clone());
        let (acknowledged, told) = self.drive(&text, kill);
        let mut before = states[acknowledged].clone();
        // What was acknowledged is known by its UID; later operations of the script may have taken it away again.
        learn_kept(&mut before, &told);
        let mut candidates = vec![before];
        if let Some(op) = script.get(acknowledged) {
            candidates.extend(candidates[0].outcomes(op));
        }
        let found = self.look();
        let reasons: Vec<String> = candidates.iter().filter_map(|model| model.differs(&found)).collect();
        if reasons.len() == candidates.len() {
            self.fail(&format!("after {acknowledged} acknowledged operations:\n{}", reasons.join("\nnor: ")));
        }
        self.model = found;
        true
    }

    /// Starts a child with a script; returns how many operations it acknowledged and what UIDs it told.
    fn drive(&mut self, script: &str, kill: &Kill) -> (usize, Vec<(Place, u64, u32)>) {
        let point = match kill {
            Kill::At(point, nth) => Some(format!("{point}:{nth}")),
            _ => None,
        };
        let mut variables = vec![("CRASH_ROLE", "work"), ("CRASH_SCRIPT", script)];
        variables.extend(point.as_ref().map(|point| ("CRASH_POINT", point.as_str())));
        let mut child = self.start(&variables);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let (mut acknowledged, mut told) = (0, Vec::new());
        while let Some(line) = heard(&mut lines) {
            let parts: Vec<&str> = line.split('\t').collect();
            match parts[0] {
                "READY" => {
                    if let Kill::After(delay) = kill {
                        std::thread::sleep(*delay);
                        child.kill().unwrap();
                    }
                }
                "ACK" => {
                    acknowledged += 1;
                    for four in parts[2..].chunks(4) {
                        let place = (four[0].to_owned(), four[1].to_owned());
                        told.push((place, four[2].parse().unwrap(), four[3].parse().unwrap()));
                    }
                }
                _ => {}
            }
        }
        let status = child.wait().unwrap();
        let killed = status.signal() == Some(9);
        self.kills += u32::from(killed);
        if matches!(kill, Kill::After(_)) {
            let after = if killed { self.typical * 17 / 16 } else { self.typical * 7 / 8 };
            self.typical = after.max(Duration::from_micros(100));
        }
        self.log.push(format!("   {acknowledged} acknowledged, {status}, point {point:?}"));
        match kill {
            Kill::At(point, nth) if !killed => self.fail(&format!("{point}:{nth} was not passed ({status})")),
            _ if !killed && !status.success() => self.fail(&format!("the child failed: {status}")),
            _ => {}
        }
        (acknowledged, told)
    }

    /// What a fresh process finds after it has brought the store in order.
    fn look(&mut self) -> Model {
        let mut variables = vec![("CRASH_ROLE", "verify")];
        if self.chance.below(2) == 0 {
            variables.push(("CRASH_BY_USE", "1"));
        }
        let mut child = self.start(&variables);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut found = Model::default();
        let (mut findings, mut ended) = (Vec::new(), false);
        while let Some(line) = heard(&mut lines) {
            let parts: Vec<&str> = line.split('\t').collect();
            match parts.as_slice() {
                ["FINDING", what] => findings.push((*what).to_owned()),
                ["USER", user, partition] => {
                    let row = User { partition: (*partition).to_owned(), ..User::default() };
                    found.users.insert((*user).to_owned(), row);
                }
                ["FOLDER", user, name, partition, uidvalidity, noselect, rights] => {
                    let row = Folder {
                        partition: (*partition).to_owned(),
                        uidvalidity: uidvalidity.parse().ok(),
                        noselect: *noselect == "true",
                        rights: rights.parse().unwrap(),
                        ..Folder::default()
                    };
                    found.users.get_mut(*user).unwrap().folders.insert((*name).to_owned(), row);
                }
                ["MSG", user, name, uid, marker, flags] => {
                    let message = Message {
                        uid: uid.parse().ok(),
                        marker: marker.parse().unwrap(),
                        flags: flags.parse().unwrap(),
                    };
                    let folder = found.users.get_mut(*user).unwrap().folders.get_mut(*name).unwrap();
                    folder.floor = folder.floor.max(message.uid.unwrap_or(0));
                    folder.messages.push(message);
                }
                ["GONE", user, name, marker, flags] => {
                    let folder = found.users.get_mut(*user).unwrap().folders.get_mut(*name).unwrap();
                    folder.gone.push((marker.parse().unwrap(), flags.parse().unwrap()));
                }
                ["END"] => ended = true,
                other => panic!("{other:?}"),
            }
        }
        let status = child.wait().unwrap();
        if !ended || !status.success() || !findings.is_empty() {
            self.fail(&format!("a fresh process ({status}) found: {findings:#?}"));
        }
        found
    }

    /// Operations that make one of this kind possible.
    fn prepare(&mut self, kind: &str) {
        let before: &[&str] = match kind {
            // Somewhere to go: the account may have nothing but INBOX.
            "copy" | "move" => &["create", "append"],
            "flag" | "expunge" | "inbox" => &["append"],
            "maildrop" => &["append", "append"],
            // A POP session sets \\Seen on what it leaves.
            "expire" => &["append", "append", "maildrop"],
            "restore" | "purge" => &["append", "expunge"],
            "delete" | "rename" => &["create", "append"],
            "ucreate" if self.model.users.len() > 3 => &["udelete"],
            "urename" if self.model.users.len() > 3 => &["udelete"],
            "udelete" => &["ucreate"],
            "settle" => &["append", "deliver"],
            _ => &[],
        };
        if !before.is_empty() {
            self.step_unsettled(before);
        }
    }

    /// As `step`, without the comparison (which settles).
    fn step_unsettled(&mut self, kinds: &[&str]) {
        let mut states = vec![self.model.clone()];
        let mut script = Vec::new();
        for kind in kinds {
            let state = states.last().unwrap();
            let Some(op) = state.propose(kind, &mut self.chance, &mut self.marker) else { continue };
            states.push(state.after(&op));
            script.push(op);
        }
        let text = script::write(&script);
        self.log.push(text.clone());
        if script.is_empty() {
            return;
        }
        let (_, told) = self.drive(&text, &Kill::Never);
        self.model = states.pop().unwrap();
        learn_kept(&mut self.model, &told);
    }

    /// Kills a child at a named point.
    fn at_point(&mut self, point: &'static str, kind: &str, nth: u64) {
        for _ in 0..20 {
            self.prepare(kind);
            // What is proposed by chance may not be possible; that costs nothing.
            for _ in 0..20 {
                if self.step(&[kind], &Kill::At(point, nth)) {
                    return;
                }
            }
        }
        self.fail(&format!("no operation of kind {kind} was possible"));
    }
}

/// Takes over the UIDs of those messages that are still where they were put.
fn learn_kept(model: &mut Model, told: &[(Place, u64, u32)]) {
    let kept: Vec<(Place, u64, u32)> = told
        .iter()
        .filter(|(place, marker, _)| {
            model
                .folder(place)
                .is_some_and(|folder| folder.messages.iter().any(|m| m.marker == *marker && m.uid.is_none()))
        })
        .cloned()
        .collect();
    // A marker may be told twice for one place, when a later operation took the first away: the last word holds.
    let mut last: std::collections::BTreeMap<(Place, u64), Vec<u32>> = std::collections::BTreeMap::new();
    for (place, marker, uid) in kept {
        last.entry((place, marker)).or_default().push(uid);
    }
    for ((place, marker), uids) in last {
        let open =
            model.folder(&place).unwrap().messages.iter().filter(|m| m.marker == marker && m.uid.is_none()).count();
        if open == uids.len() {
            model.learn(&uids.iter().map(|uid| (place.clone(), marker, *uid)).collect::<Vec<_>>());
        }
    }
}

fn seed() -> u64 {
    std::env::var("MSGSTORE_CRASH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_123)
}

/// Kills in a whole run; two thirds of those at random moments are done by this test.
fn wanted() -> u32 {
    std::env::var("MSGSTORE_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

#[test]
fn every_named_point_is_driven() {
    let mut named: Vec<String> = Vec::new();
    let mut stack = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")];
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/os/durable.rs")];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { stack.push(path) } else { files.push(path) }
        }
    }
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        named.extend(text.split("crash_point!(\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    named.sort();
    named.dedup();
    let recovery = crate::recover::POINTS.iter().chain(crate::recover::SNAPSHOT_POINTS).copied();
    let named_here = POINTS.iter().map(|(name, _, _)| *name).chain(CREATION.iter().copied());
    // Those of the recovery and of the repair have tests of their own.
    let elsewhere = recovery.chain(crate::repair::crash::POINTS.iter().copied());
    let mut driven: Vec<String> = named_here.chain(elsewhere).map(str::to_owned).collect();
    driven.sort();
    driven.dedup();
    assert_eq!(named, driven, "left: the points in the source, right: those that are driven");
}

#[test]
fn killed_at_every_named_point() {
    let mut run = Run::new(seed());
    for (point, kind, passings) in POINTS {
        for nth in 1..=*passings {
            run.at_point(point, kind, nth);
        }
    }
    assert!(run.kills >= u32::try_from(POINTS.len()).unwrap(), "only {} kills", run.kills);
    eprintln!("figures: crash: {} kills at named points, seed {}", run.kills, seed());
}

#[test]
fn killed_at_random_moments() {
    let mut run = Run::new(seed().wrapping_add(1));
    let named: u64 = POINTS.iter().map(|point| point.2).sum();
    let wanted = u64::from(wanted()).saturating_sub(named).max(1);
    let mut tries = 0;
    while u64::from(run.kills) < wanted {
        tries += 1;
        assert!(tries < wanted * 10 + 1000, "only {} kills in {tries} runs", run.kills);
        let mut kinds = Vec::new();
        for _ in 0..4 {
            kinds.push(*run.chance.pick(&KINDS).unwrap());
            if run.chance.below(3) == 0 {
                kinds.push("append");
            }
        }
        let longest = u64::try_from(run.typical.as_micros()).unwrap();
        let delay = Duration::from_micros(run.chance.below(longest));
        run.step(&kinds, &Kill::After(delay));
    }
    eprintln!("figures: crash: {} kills at random moments in {tries} scripts, seed {}", run.kills, seed());
}

/// A mail system brings a message again whose delivery was killed, in a process that knows nothing of it.
#[test]
fn what_was_killed_and_comes_again_is_there_once() {
    let mut run = Run::new(seed().wrapping_add(2));
    let points = ["append.after-sync", "append.after-link", "append.after-rows", "deliver.after-identity"];
    for point in points.into_iter().chain(["store.before-commit", "store.after-commit"]) {
        run.marker += 1;
        let users: Vec<String> = run.model.users.keys().cloned().collect();
        let to: Vec<Place> = users.into_iter().map(|user| (user, "INBOX".to_owned())).collect();
        let op = Op::Deliver { marker: run.marker, to: to.clone(), once: true };
        let script = script::write(std::slice::from_ref(&op));
        run.log.push(script.clone());
        assert_eq!(run.drive(&script, &Kill::At(point, 1)).0, 0, "{point}");
        assert_eq!(run.drive(&script, &Kill::Never).0, 1, "{point}");
        let found = run.look();
        for place in &to {
            let there = found.folder(place).unwrap().messages.iter().filter(|one| one.marker == run.marker).count();
            if there != 1 {
                run.fail(&format!("{point}: {there} of number {} in {place:?}", run.marker));
            }
        }
        run.model = found;
    }
}

#[test]
fn creation_of_a_store_that_was_killed_is_carried_on() {
    for point in CREATION {
        for nth in 1..=3 {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().to_str().unwrap();
            let create = |point: Option<&str>| {
                let mut command = again("crash::child", &[("CRASH_ROLE", "create"), ("CRASH_DIR", root)]);
                command.stdout(Stdio::null()).envs(point.map(|point| ("CRASH_POINT", point))).status().unwrap()
            };
            assert_eq!(create(Some(&format!("{point}:{nth}"))).signal(), Some(9), "{point}:{nth}");
            assert!(create(None).success(), "{point}:{nth}");
            let verify = again("crash::child", &[("CRASH_ROLE", "verify"), ("CRASH_DIR", root)]).output().unwrap();
            let said = String::from_utf8_lossy(&verify.stdout).into_owned() + &String::from_utf8_lossy(&verify.stderr);
            assert!(verify.status.success() && said.contains("@END") && !said.contains("FINDING"), "{said}");
        }
    }
}
