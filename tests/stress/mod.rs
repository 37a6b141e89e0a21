//! Many at once on one account: writers, readers and a settling process, and the same as threads of one process. Every acknowledged append must be
//! there at the end unless something acknowledged took it away, and no reader may ever see a view that contradicts itself.
//!
//! A store is opened by children only, as in the crash test. `MSGSTORE_STRESS_S` sets how long they run (longer where the machine is so slow that they
//! have done hardly anything by then), `MSGSTORE_STRESS_SEED` what they choose to do; how their steps meet is left to the machine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::print_stderr
)]

mod moments;
mod worker;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use msgstore::store::{AccountId, FolderId, Store};

use crate::crash::{again, child as crash};

/// How long the children may take beyond their time before they count as deadlocked.
const PATIENCE: Duration = Duration::from_secs(300);
const WRITERS: usize = 8;
const READERS: usize = 4;

fn seconds() -> u64 {
    std::env::var("MSGSTORE_STRESS_S").ok().and_then(|text| text.parse().ok()).unwrap_or(8)
}

fn seed() -> u64 {
    std::env::var("MSGSTORE_STRESS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_123)
}

/// Mostly one account, now and then another: what goes from one to the other takes another way.
const TWO: worker::Users = &["joe", "joe", "joe", "joe", "ann"];
const ONE: worker::Users = &["joe"];

/// Writers, readers and settlers of each of three processes: eight and four in all.
const SHARES: [[u64; 3]; 3] = [[3, 2, 0], [3, 1, 0], [2, 1, 1]];

/// What the children run: nothing, unless a parent has given this process a role.
#[test]
fn child() {
    let Ok(role) = std::env::var("STRESS_ROLE") else { return };
    let root = std::env::var("STRESS_DIR").unwrap();
    let root = Path::new(&root);
    if role == "create" {
        return create(root);
    }
    let store = &Store::open(crash::settings(root)).unwrap();
    let until = Instant::now() + Duration::from_secs(std::env::var("STRESS_S").unwrap().parse().unwrap());
    let number: u64 = std::env::var("STRESS_NUMBER").unwrap().parse().unwrap();
    match role.as_str() {
        "writer" => worker::write(store, number, until, TWO),
        "reader" => worker::read(store, number, until, TWO),
        "settle" => worker::settle(store, until),
        "threads" => threads(store, 100, [11, 4, 1], until, TWO),
        "share" => threads(store, number * 100, SHARES[usize::try_from(number).unwrap()], until, ONE),
        "rename" => moments::rename_and_die(store),
        "deliver" => moments::deliver_after_death(store),
        _ => verify(store),
    }
    crash::say("DONE");
}

/// Writers, readers and settlers as threads of this process.
fn threads(store: &Store, first: u64, [writers, readers, settlers]: [u64; 3], until: Instant, users: worker::Users) {
    std::thread::scope(|scope| {
        for number in 0..writers {
            scope.spawn(move || worker::write(store, first + number, until, users));
        }
        for number in 0..readers {
            scope.spawn(move || worker::read(store, first + 50 + number, until, users));
        }
        for _ in 0..settlers {
            scope.spawn(|| worker::settle(store, until));
        }
    });
}

fn create(root: &Path) {
    let shards = std::env::var("STRESS_SHARDS").map_or(2, |text| text.parse().unwrap());
    Store::create(&crash::settings(root), shards).unwrap();
    let store = Store::open(crash::settings(root)).unwrap();
    for user in ["joe", "ann"] {
        let account = store.account_create(user, None, crash::NOW).unwrap();
        for name in ["A", "B", "C/Sub", "Tmp1"] {
            store.folder_create(account, &crash::path(name), &Default::default(), crash::NOW).unwrap();
        }
    }
    crash::say("DONE");
}

/// Tells everything that is in the store.
fn verify(store: &Store) {
    store.settle().unwrap();
    store.finish_intents().unwrap();
    store.settle().unwrap();
    for finding in store.check(msgstore::store::check::Depth { content: true }).unwrap() {
        // An entry of store.idx that is read from the message instead is no damage to mail.
        crash::say(&format!("BAD\t{finding}"));
    }
    for (_, account) in store.accounts().unwrap() {
        for (_, row) in store.view(account).unwrap().folders().unwrap() {
            for marker in markers(store, account, row.id) {
                crash::say(&format!("MSG\t{marker}"));
            }
        }
    }
}

fn markers(store: &Store, account: AccountId, folder: FolderId) -> Vec<u64> {
    let mut uids = Vec::new();
    store.view(account).unwrap().states(folder, 0..=u32::MAX, &mut |run| uids.extend(run.first..=run.last())).unwrap();
    let mut found = Vec::new();
    for uid in uids {
        let mut text = String::new();
        store.open_body(account, folder, uid).unwrap().read_to_string(&mut text).unwrap();
        let marker = crash::marker_of(&text).unwrap();
        if text != crash::content(marker) {
            crash::say(&format!("BAD\tmessage {uid} of folder {} holds {text:?}", folder.0));
        }
        found.push(marker);
    }
    found
}

/// A store in a directory of its own and the children that use it.
struct Run {
    dir: tempfile::TempDir,
    children: usize,
}

impl Run {
    fn new(shards: u32) -> Run {
        let mut run = Run { dir: tempfile::tempdir().unwrap(), children: 0 };
        let made = run.start("create", 0, 0, &[("STRESS_SHARDS", &shards.to_string())]);
        run.wait(vec![made], PATIENCE);
        run
    }

    /// Starts a child; what it says goes to a file.
    fn start(&mut self, role: &str, number: usize, seconds: u64, more: &[(&str, &str)]) -> (Child, String) {
        self.children += 1;
        let name = format!("{role}.{}", self.children);
        let file = |suffix: &str| std::fs::File::create(self.dir.path().join(format!("{name}.{suffix}"))).unwrap();
        let variables = [
            ("STRESS_ROLE", role),
            ("STRESS_DIR", self.dir.path().to_str().unwrap()),
            ("STRESS_S", &seconds.to_string()),
            ("STRESS_NUMBER", &number.to_string()),
        ];
        let child = again("stress::child", &variables)
            .envs(more.iter().copied())
            .stdout(Stdio::from(file("out")))
            .stderr(Stdio::from(file("err")))
            .spawn()
            .unwrap();
        (child, name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Waits for children to succeed; gives the lines they said.
    fn wait(&self, children: Vec<(Child, String)>, limit: Duration) -> Vec<String> {
        let end = Instant::now() + limit;
        let mut said = Vec::new();
        let mut wrong = Vec::new();
        for (mut child, name) in children {
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if Instant::now() > end {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break None;
                }
                std::thread::sleep(Duration::from_millis(20));
            };
            let out = self.read(&format!("{name}.out"));
            said.extend(out.lines().filter_map(|line| line.strip_prefix('@')).map(str::to_owned));
            match status {
                Some(status) if status.success() => {}
                Some(status) => wrong.push(format!("{name}: {status}\n{}", self.read(&format!("{name}.err")))),
                None => wrong.push(format!("{name} did not end: a deadlock?")),
            }
        }
        wrong.extend(said.iter().filter(|line| line.starts_with("BAD")).cloned());
        wrong.truncate(40);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        said
    }

    /// Compares what was acknowledged with what a fresh process finds.
    fn settle_accounts(&mut self, what: &str, said: &[String]) {
        let verifier = self.start("verify", 0, 0, &[]);
        let told = self.wait(vec![verifier], PATIENCE);
        let numbers = |lines: &[String], word: &str| -> BTreeSet<u64> {
            let parts = lines.iter().filter_map(|line| line.split_once('\t'));
            parts.filter(|(first, _)| *first == word).map(|(_, number)| number.parse().unwrap()).collect()
        };
        let (added, taken, found) = (numbers(said, "ADDED"), numbers(said, "TAKEN"), numbers(&told, "MSG"));
        let operations = said.iter().filter(|line| line.starts_with("OP")).count();
        let lost: Vec<&u64> = added.iter().filter(|one| !taken.contains(one) && !found.contains(one)).collect();
        assert!(lost.is_empty(), "{} of {} acknowledged messages are lost: {lost:?}", lost.len(), added.len());
        let checked: usize = said.iter().filter(|line| line.starts_with("SEEN")).count();
        let kept = added.difference(&taken).count();
        eprintln!(
            "figures: {what}: {} s, {operations} operations, {} messages added, {kept} of them to stay, {checked} views, seed {}",
            seconds(),
            added.len(),
            seed()
        );
        assert!(added.len() > 20 && kept > 5 && checked > 20, "hardly anything was done");
    }
}

#[test]
fn processes_at_once() {
    let mut run = Run::new(2);
    let seconds = seconds();
    let mut children = Vec::new();
    for number in 0..WRITERS {
        children.push(run.start("writer", number, seconds, &[]));
    }
    for number in 0..READERS {
        children.push(run.start("reader", 50 + number, seconds, &[]));
    }
    children.push(run.start("settle", 99, seconds, &[]));
    let said = run.wait(children, Duration::from_secs(seconds) + PATIENCE);
    run.settle_accounts("stress, processes", &said);
}

#[test]
fn threads_at_once() {
    let mut run = Run::new(2);
    let seconds = seconds();
    let threads = run.start("threads", 0, seconds, &[]);
    let said = run.wait(vec![threads], Duration::from_secs(seconds) + PATIENCE);
    run.settle_accounts("stress, threads", &said);
}

/// Eight writers and four readers in three processes on one account, all of it in one shard.
#[test]
fn three_processes_on_one_account() {
    let mut run = Run::new(1);
    let seconds = seconds();
    let children = (0..SHARES.len()).map(|number| run.start("share", number, seconds, &[])).collect();
    let said = run.wait(children, Duration::from_secs(seconds) + PATIENCE);
    run.settle_accounts("stress, one account and one shard", &said);
}
