//! The order of flushes, as the kernel sees it: every operation runs in a child under strace, and what it asked for is compared with
//! docs/store-format.md. A flush that is missing or comes too late fails here; no other test can see it, short of a power failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, clippy::print_stderr)]

mod services;
mod trace;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use msgstore::store::check::Depth;
use msgstore::store::{
    AccountId, Delivery, FlagChange, FlagOp, Flags, FolderId, FolderPath, NewMessage, Settings, Staged, Store, UidSet,
};

use trace::{Trace, strace, traced};

const NOW: i64 = 1_795_000_000;
const BEGIN: &str = "@begin";
const DONE: &str = "@acknowledged";
const TEXT: &str = "Subject: one\r\n\r\nhello\r\n";

fn settings(dir: &Path) -> Settings {
    Settings {
        root: dir.join("store"),
        partitions: vec![("primary".into(), dir.join("primary"))],
        default_partition: "primary".into(),
        notify_dir: None,
    }
}

/// Writes at once, past the buffers: strace shows when.
fn say(text: &str) {
    nix::unistd::write(std::io::stdout(), format!("{text}\n").as_bytes()).unwrap();
}

fn stage(store: &Store) -> Staged {
    let mut staging = store.stage("primary").unwrap();
    staging.write_all(TEXT.as_bytes()).unwrap();
    staging.finish().unwrap()
}

fn item(staged: &Staged) -> NewMessage<'_> {
    NewMessage { staged, flags: Flags::NONE, keywords: Vec::new(), internal_date_s: NOW, internal_zone_min: 0 }
}

fn path(name: &str) -> FolderPath {
    FolderPath::parse(name).unwrap()
}

fn fill(store: &Store, joe: AccountId, folder: FolderId, count: u32) {
    for _ in 0..count {
        store.append(joe, folder, &[item(&stage(store))], NOW).unwrap();
    }
}

/// The child: set-up, marker, one operation, acknowledgement. Without its variables it does nothing.
#[test]
fn role() {
    let (Ok(role), Some(dir)) = (std::env::var("STRACE_ROLE"), std::env::var_os("STRACE_DIR")) else { return };
    let settings = settings(Path::new(&dir));
    Store::create(&settings, 4).unwrap();
    let store = Store::open(settings).unwrap();
    let joe = store.account_create("joe", None, NOW).unwrap();
    let create = |name: &str| store.folder_create(joe, &path(name), &Default::default(), NOW).unwrap().id;
    let inbox = FolderId::INBOX;
    let everything = UidSet::from_ranges([(1, u32::MAX)]);
    match role.as_str() {
        "append" => {
            say(BEGIN);
            let staged = stage(&store);
            store.append(joe, inbox, &[item(&staged)], NOW).unwrap();
            say(DONE);
        }
        "many" => {
            say(BEGIN);
            let staged: Vec<_> = (0..9).map(|_| stage(&store)).collect();
            let items: Vec<_> = staged.iter().map(item).collect();
            store.append(joe, inbox, &items, NOW).unwrap();
            say(DONE);
        }
        "deliver" => {
            let to: Vec<Delivery> = (0..10)
                .map(|number| store.account_create(&format!("user{number}"), None, NOW).unwrap())
                .map(|account| Delivery { account, folder: inbox, ignore_quota: false, once_s: 0 })
                .collect();
            say(BEGIN);
            let staged = stage(&store);
            let done = store.deliver(&item(&staged), &to, NOW);
            assert!(done.iter().all(Result::is_ok), "{done:?}");
            say(DONE);
        }
        "copy" => {
            let work = create("Work");
            fill(&store, joe, inbox, 2);
            say(BEGIN);
            assert_eq!(store.copy((joe, inbox), &everything, (joe, work), NOW).unwrap().pairs.len(), 2);
            say(DONE);
        }
        "expunge" => {
            fill(&store, joe, inbox, 2);
            let deleted = FlagChange { op: FlagOp::Add, flags: Flags::DELETED, keywords: Vec::new() };
            store.store_flags(joe, inbox, &everything, &deleted, None).unwrap();
            say(BEGIN);
            assert_eq!(store.expunge(joe, inbox, None, NOW).unwrap().uids.len(), 2);
            say(DONE);
        }
        "settle" => {
            fill(&store, joe, inbox, 2);
            say(BEGIN);
            assert_eq!(store.settle().unwrap().links, 2);
            say(DONE);
        }
        "rename-folder" => {
            let (work, _) = (create("Work"), create("Archive"));
            fill(&store, joe, work, 1);
            say(BEGIN);
            store.folder_rename(joe, &path("Work"), &path("Archive/Old"), NOW).unwrap();
            say(DONE);
        }
        "rename-user" => {
            say(BEGIN);
            store.account_rename(joe, "jane", NOW).unwrap();
            say(DONE);
        }
        "delete-folder" => {
            let work = create("Work");
            fill(&store, joe, work, 1);
            say(BEGIN);
            store.folder_delete(joe, &path("Work"), NOW).unwrap();
            say(DONE);
        }
        other => panic!("role {other}"),
    }
}

/// What a role left behind.
struct Ran {
    trace: Trace,
    store: Store,
    primary: PathBuf,
    _dir: tempfile::TempDir,
}

impl Drop for Ran {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let findings = self.store.check(Depth { content: true }).unwrap();
            assert!(findings.is_empty(), "{findings:#?}");
        }
    }
}

/// Runs a role under strace, in a process of its own; the store is then open in this process.
fn run(role: &str) -> Option<Ran> {
    let strace = strace()?;
    crate::instance::raise_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().canonicalize().unwrap();
    let log = base.join("strace.log");
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "strace::role", "--nocapture", "--test-threads=1"]);
    child.env("STRACE_ROLE", role).env("STRACE_DIR", &base);
    let done = traced(&strace, &child, &log).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{role}: {}{said}", String::from_utf8_lossy(&done.stdout));
    let trace = Trace::read(&log, Some(BEGIN), Some(DONE));
    let store = Store::open(settings(&base)).unwrap();
    Some(Ran { trace, store, primary: base.join("primary"), _dir: dir })
}

impl Ran {
    fn folder(&self, user: &str, name: &str) -> PathBuf {
        let account = self.store.account_id(user).unwrap().unwrap();
        let view = self.store.view(account).unwrap();
        let folder = view.resolve(&path(name)).unwrap().unwrap();
        view.folder_dir(folder.id).unwrap()
    }
}

/// Every link from a staging file comes after a flush of that file.
#[track_caller]
fn staged_first(trace: &Trace) -> Vec<&trace::Event> {
    let links = trace.all("a link of the staging file to nn/UID.msg", |event| event.is_link() && event.is_staging());
    for link in &links {
        let what = format!("an fsync of {} before its link", link.path.display());
        trace.between(0, link.begun, &what, |event| event.is_flush_of(&link.path) || event.call == "syncfs");
    }
    links
}

#[test]
fn an_append_flushes_then_links_then_commits_then_answers() {
    let Some(ran) = run("append") else { return };
    let links = staged_first(&ran.trace);
    let file = ran.folder("joe", "INBOX").join("00/1.msg");
    assert_eq!(links.iter().map(|link| &link.to).collect::<Vec<_>>(), [&file]);
    let commits = ran.trace.exactly(&["shard"]);
    assert!(links[0].ended < commits[0].begun, "the link comes after the commit that names it");
    // The redo row is in that commit: were the link lost with the power, it is made again.
    std::fs::remove_file(&file).unwrap();
    let settled = ran.store.settle().unwrap();
    assert_eq!((settled.links, settled.relinked), (1, 1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), TEXT);
}

#[test]
fn many_messages_are_flushed_before_any_link() {
    let Some(ran) = run("many") else { return };
    let links = staged_first(&ran.trace);
    assert_eq!(links.len(), 9);
    let commits = ran.trace.exactly(&["shard"]);
    assert!(links.iter().all(|link| link.ended < commits[0].begun), "a link comes after the commit that names it");
    assert_eq!(ran.store.settle().unwrap().links, 9);
}

#[test]
fn ten_recipients_share_a_flush_and_each_shard_commits_before_the_answer() {
    let Some(ran) = run("deliver") else { return };
    let links = staged_first(&ran.trace);
    assert_eq!(links.len(), 10);
    ran.trace.one("an fsync of the staging file", |event| event.call == "fsync" && event.is_staging());
    let mut last_links = BTreeMap::new();
    for link in &links {
        last_links.insert(link.thread, link.ended);
    }
    for (thread, linked) in &last_links {
        let committed = ran.trace.commits.iter().find(|commit| commit.thread == *thread);
        let committed = committed.unwrap_or_else(|| panic!("no durable commit of a shard whose messages were linked"));
        assert!(*linked < committed.begun, "a link comes after the commit that names it ({})", committed.env);
    }
    assert_eq!(ran.trace.commits.len(), last_links.len());
    assert_eq!(ran.store.settle().unwrap().links, 10);
}

#[test]
fn a_copy_flushes_its_directories_before_it_commits() {
    let Some(ran) = run("copy") else { return };
    let work = ran.folder("joe", "Work");
    let links = ran.trace.all("a link of each message", trace::Event::is_link);
    assert_eq!(links.iter().map(|l| &l.to).collect::<Vec<_>>(), [&work.join("00/1.msg"), &work.join("00/2.msg")]);
    let commits = ran.trace.exactly(&["shard"]);
    let linked = links.iter().map(|link| link.ended).max().unwrap();
    ran.trace.flushed(&work.join("00"), linked, commits[0].begun);
    ran.trace.flushed(&work, linked, commits[0].begun);
}

#[test]
fn an_expunge_commits_and_leaves_the_files() {
    let Some(ran) = run("expunge") else { return };
    ran.trace.exactly(&["shard"]);
    let removed: Vec<_> = ran.trace.events.iter().filter(|event| event.is_unlink()).collect();
    assert!(removed.is_empty(), "an expunge removes no file before purge: {removed:#?}");
    assert!(ran.folder("joe", "INBOX").join("00/1.msg").exists());
}

#[test]
fn settling_flushes_links_then_drops_rows_then_names() {
    let Some(ran) = run("settle") else { return };
    let commits = ran.trace.exactly(&["shard"]);
    let inbox = ran.folder("joe", "INBOX");
    ran.trace.flushed(&inbox.join("00"), 0, commits[0].begun);
    ran.trace.flushed(&inbox, 0, commits[0].begun);
    let names = ran.trace.all("the removal of each staging name", |event| event.is_unlink() && event.is_staging());
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|name| name.begun > commits[0].ended), "a staging name went before its redo row did");
}

/// Every rename lies between two commits, and both its sides, and every directory made for it, are flushed before the second.
#[track_caller]
fn renames_between(trace: &Trace, before: &trace::Commit, after: &trace::Commit) {
    let renames = trace.all("the rename of the directory", trace::Event::is_rename);
    for rename in &renames {
        assert!(rename.begun > before.ended, "renamed before the intent was durable: {}", rename.path.display());
        assert!(rename.ended < after.begun, "renamed after the rows had changed: {}", rename.path.display());
        trace.flushed(rename.to.parent().unwrap(), rename.ended, after.begun);
        let from = rename.path.parent().unwrap();
        if from.exists() {
            trace.flushed(from, rename.ended, after.begun);
        }
    }
    for made in trace.events.iter().filter(|event| event.call.starts_with("mkdir")) {
        trace.flushed(made.path.parent().unwrap(), made.ended, after.begun);
    }
}

#[test]
fn a_folder_is_renamed_between_intent_and_rows() {
    let Some(ran) = run("rename-folder") else { return };
    let commits = ran.trace.exactly(&["shard", "shard", "shard"]);
    renames_between(&ran.trace, &commits[0], &commits[1]);
    assert!(ran.folder("joe", "Archive/Old").join("00/1.msg").exists());
}

#[test]
fn a_user_is_renamed_between_intent_and_rows() {
    let Some(ran) = run("rename-user") else { return };
    // The new name is claimed, intent, claimed under its protection, rows, the old name goes, the intent goes.
    let commits = ran.trace.exactly(&["common", "shard", "common", "shard", "common", "shard"]);
    renames_between(&ran.trace, &commits[1], &commits[3]);
    assert!(ran.folder("jane", "INBOX").exists());
}

#[test]
fn a_folder_is_deleted_between_intent_and_rows() {
    let Some(ran) = run("delete-folder") else { return };
    let commits = ran.trace.exactly(&["shard", "shard", "shard"]);
    renames_between(&ran.trace, &commits[0], &commits[1]);
    // The folder's own directory is gone: that is flushed too.
    ran.trace.flushed(&ran.folder("joe", "INBOX"), commits[0].ended, commits[1].begun);
    let removed = ran.trace.all("the rename of the directory", trace::Event::is_rename);
    assert!(removed.iter().all(|event| event.to.starts_with(ran.primary.join(".removed"))));
}
