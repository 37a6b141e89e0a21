//! A random day: several processes deliver, append, copy, move, expunge, purge and rename at the same time, are killed, and begin anew. At its end the
//! recorded usage of every account and domain is what lies in the directories, counted by a walk that uses nothing of the store.
//!
//! `MSGSTORE_DAY_KILLS` (default 12) sets how many processes are killed, `MSGSTORE_DAY_SEED` what they choose to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use msgstore::store::check::Depth;
use msgstore::store::{
    AccountId, Delivery, FlagChange, FlagOp, Flags, Folder, FolderId, Limits, Store, StoreError, UidSet,
};

use crate::crash::again;
use crate::crash::child::{NOW, content, item, path, say, settings, stage};

const WORKERS: u64 = 3;
const LOCALS: [&str; 4] = ["anna", "bert", "carl", "dora"];
const DOMAINS: [&str; 3] = ["", "@siroe.com", "@sesta.com"];
const FOLDERS: [&str; 4] = ["INBOX", "A", "B", "A/Sub"];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Chance from a seed: xorshift.
struct Chance(u64);

impl Chance {
    fn new(seed: u64) -> Chance {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..8).for_each(|_| {
            chance.below(2);
        });
        chance
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end.max(1)
    }

    fn of<'v, T>(&mut self, many: &'v [T]) -> Option<&'v T> {
        let at = self.below(many.len() as u64);
        many.get(usize::try_from(at).unwrap())
    }
}

struct Worker {
    store: Store,
    chance: Chance,
    marker: u64,
}

impl Worker {
    /// One operation. What it fails by (locked, over quota, gone meanwhile) is no matter here; the sums have to be right.
    fn step(&mut self) -> Result<(), StoreError> {
        self.marker += 1;
        let accounts: Vec<AccountId> = self.store.accounts()?.into_iter().map(|(_, id)| id).collect();
        let Some(account) = self.chance.of(&accounts).copied() else { return Ok(()) };
        let other = self.chance.of(&accounts).copied().unwrap_or(account);
        let folder = self.folder(account)?;
        let to = self.folder(other)?;
        match self.chance.below(24) {
            0..6 => {
                let staged = stage(&self.store, self.marker);
                let mut places = vec![(account, folder.id), (other, to.id)];
                places.dedup_by_key(|place| place.0);
                let ignore_quota = self.chance.below(4) == 0;
                let to: Vec<Delivery> = places
                    .into_iter()
                    .map(|(account, folder)| Delivery { account, folder, ignore_quota, once_s: 0 })
                    .collect();
                self.store.deliver(&item(&staged), &to, NOW);
            }
            6..9 => {
                let staged: Vec<_> =
                    (0..=self.chance.below(3)).map(|more| stage(&self.store, self.marker + more)).collect();
                let items: Vec<_> = staged.iter().map(item).collect();
                self.store.append(account, folder.id, &items, NOW)?;
            }
            9..11 => {
                let some = self.some(account, &folder)?;
                self.store.copy((account, folder.id), &some, (other, to.id), NOW)?;
            }
            11..15 => {
                let some = self.some(account, &folder)?;
                self.store.move_messages((account, folder.id), &some, (other, to.id), NOW)?;
            }
            15..18 => {
                let some = self.some(account, &folder)?;
                let mark = FlagChange { op: FlagOp::Add, flags: Flags::DELETED, keywords: Vec::new() };
                self.store.store_flags(account, folder.id, &some, &mark, None)?;
                self.store.expunge(account, folder.id, None, NOW)?;
            }
            18 => drop(self.store.purge(account, folder.id, NOW + 1)?),
            19 => drop(self.store.restore(account, folder.id, 0, NOW)?),
            20 => {
                let from = self.store.view(account)?.path(folder.id)?;
                let new = format!("New{}", self.chance.below(6));
                self.store.folder_rename(account, &from, &path(&new), NOW)?;
            }
            21 => {
                if let Some(name) = self.chance.of(&FOLDERS) {
                    self.store.folder_create(account, &path(name), &Default::default(), NOW)?;
                }
            }
            22 => {
                let gone = self.store.view(account)?.path(folder.id)?;
                self.store.folder_delete(account, &gone, NOW)?;
            }
            _ => {
                let name = format!("{}{}", self.chance.of(&LOCALS).unwrap(), self.chance.of(&DOMAINS).unwrap());
                match self.chance.below(4) {
                    0 if accounts.len() > 4 => self.store.account_delete(account, NOW)?,
                    1 => drop(self.store.account_create(&name, None, NOW)?),
                    2 => {
                        let bytes = Some(2000 + self.chance.below(20_000));
                        self.store.set_limits(account, &Limits { bytes, ..Limits::default() }, NOW)?;
                    }
                    _ => self.store.account_rename(account, &name, NOW)?,
                }
            }
        }
        Ok(())
    }

    fn folder(&mut self, account: AccountId) -> Result<Folder, StoreError> {
        let folders = self.store.view(account)?.folders()?;
        let open: Vec<Folder> = folders.into_iter().map(|(_, row)| row).filter(|row| !row.noselect).collect();
        self.chance.of(&open).cloned().ok_or(StoreError::Denied)
    }

    fn some(&mut self, account: AccountId, folder: &Folder) -> Result<UidSet, StoreError> {
        let mut uids = Vec::new();
        self.store.view(account)?.states(folder.id, 0..=u32::MAX, &mut |run| uids.extend(run.first..=run.last()))?;
        let chance = &mut self.chance;
        Ok(uids.into_iter().filter(|_| chance.below(3) == 0).collect())
    }
}

/// What the children run: nothing, unless the parent has given this process a role.
#[test]
fn child() {
    let Ok(seed) = std::env::var("DAY_CHILD") else { return };
    let root = std::env::var("DAY_DIR").unwrap();
    let store = Store::open(settings(Path::new(&root))).unwrap();
    let seed: u64 = seed.parse().unwrap();
    let mut worker = Worker { store, chance: Chance::new(seed), marker: seed << 20 };
    let (mut done, mut failed) = (0, BTreeMap::<String, u32>::new());
    for _ in 0..number("DAY_STEPS", 0) {
        match worker.step() {
            Ok(()) => done += 1,
            Err(error) => *failed.entry(format!("{:?}", error.kind())).or_default() += 1,
        }
    }
    say(&format!("{done} done, {failed:?}"));
}

/// The messages that lie in a tree: (bytes, messages) by the user that each directory is of. Knows the layout and nothing else.
fn walk(partition: &Path) -> BTreeMap<String, (u64, u64)> {
    let mut found: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut stack = vec![partition.join("=user")];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().map(Result::unwrap) {
            let file = entry.path();
            if entry.file_type().unwrap().is_dir() {
                stack.push(file);
                continue;
            }
            if file.extension().is_none_or(|end| end != "msg") {
                continue;
            }
            let below = file.strip_prefix(partition).unwrap();
            let owner = below.iter().nth(3).unwrap().to_str().unwrap().trim_start_matches('=').replace("%d", ".");
            let sum = found.entry(owner).or_default();
            *sum = (sum.0 + entry.metadata().unwrap().len(), sum.1 + 1);
        }
    }
    found
}

#[test]
fn the_figures_are_what_lies_in_the_directories() {
    let dir = tempfile::tempdir().unwrap();
    crate::instance::raise_descriptors();
    Store::create(&settings(dir.path()), 2).unwrap();
    let store = Store::open(settings(dir.path())).unwrap();
    for (at, local) in LOCALS.iter().enumerate() {
        let account = store.account_create(&format!("{local}{}", DOMAINS[at % 3]), None, NOW).unwrap();
        for name in &FOLDERS[1..] {
            store.folder_create(account, &path(name), &Default::default(), NOW).unwrap();
        }
    }
    let mut chance = Chance::new(number("MSGSTORE_DAY_SEED", 20_261_130));
    let start = |seed: u64, steps: u64| -> Child {
        let variables = [
            ("DAY_CHILD", seed.to_string()),
            ("DAY_DIR", dir.path().to_str().unwrap().to_owned()),
            ("DAY_STEPS", steps.to_string()),
        ];
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        again("quota::day::child", &variables).stdout(Stdio::piped()).spawn().unwrap()
    };
    // Each is killed at some moment and another takes its place; the last ones come to their end.
    for _ in 0..number("MSGSTORE_DAY_KILLS", 12).div_ceil(WORKERS) {
        let mut workers: Vec<Child> = (0..WORKERS).map(|_| start(chance.below(1 << 30), u64::MAX)).collect();
        for worker in &mut workers {
            std::thread::sleep(Duration::from_millis(250 + chance.below(400)));
            worker.kill().unwrap();
            worker.wait().unwrap();
        }
        finish(&store);
        compare(&store, dir.path());
    }
    let workers: Vec<Child> = (0..WORKERS).map(|_| start(chance.below(1 << 30), 150)).collect();
    for worker in workers {
        let out = worker.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{said}");
        let line = said.lines().find_map(|line| line.strip_prefix('@')).unwrap().to_owned();
        assert!(!line.starts_with("0 done"), "{line}");
    }
    finish(&store);
    let messages = compare(&store, dir.path());
    println!("figures: a day with {messages} messages at its end");
}

/// What the store daemon does at a start; then everything that was expunged is purged, and so are files that a killed process left without a row.
fn finish(store: &Store) {
    store.settle().unwrap();
    store.finish_intents().unwrap();
    store.settle().unwrap();
    let staged = stage(store, 1);
    assert_eq!(staged.size(), content(1).len() as u64);
    for (_, account) in store.accounts().unwrap() {
        store.set_limits(account, &Limits::default(), NOW).unwrap();
        let folders: Vec<FolderId> = store
            .view(account)
            .unwrap()
            .folders()
            .unwrap()
            .iter()
            .filter(|(_, row)| !row.noselect)
            .map(|(_, row)| row.id)
            .collect();
        for folder in folders {
            // It takes the next free uid: what lies at those before it is recorded as expunged.
            store.append(account, folder, &[item(&staged)], NOW).unwrap();
            store.purge(account, folder, i64::MAX).unwrap();
        }
    }
}

fn compare(store: &Store, root: &Path) -> u64 {
    let findings = store.check(Depth { content: false }).unwrap();
    assert!(findings.is_empty(), "{findings:#?}");
    let walked = walk(&root.join("store/partition/primary"));
    let (mut recorded, mut domains) = (BTreeMap::new(), BTreeMap::<String, (u64, u64, u64)>::new());
    for (userid, account) in store.accounts().unwrap() {
        let row = store.view(account).unwrap().account().unwrap();
        assert_eq!(store.recount(account).unwrap(), row.usage());
        let (bytes, messages) = walked.get(&userid).copied().unwrap_or_default();
        let sum = domains.entry(userid.rsplit_once('@').map_or("", |(_, domain)| domain).to_owned()).or_default();
        *sum = (sum.0 + 1, sum.1 + bytes, sum.2 + messages);
        recorded.insert(userid, (row.usage_bytes, row.usage_messages));
    }
    recorded.retain(|_, usage| *usage != (0, 0));
    assert_eq!(recorded, walked);
    let usages = store.domain_usages().unwrap();
    let kept: BTreeMap<String, (u64, u64, u64)> =
        usages.into_iter().map(|(name, usage)| (name, (usage.accounts, usage.bytes, usage.messages))).collect();
    assert_eq!(kept, domains);
    walked.values().map(|(_, messages)| messages).sum()
}
