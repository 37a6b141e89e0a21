//! Somebody changes mailboxes while a run is under way. The clock that a run asks before each transaction is the moment for that.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use msgstore::ops::expire::{Ended, Outcome, Rules, Run, Settings, source};
use msgstore::store::{
    AccountId, FlagChange, FlagOp, Flags, FolderId, FolderPath, NewMessage, Settings as StoreSettings, Store, UidSet,
};

const NOW: i64 = 1_795_000_000;

/// What happens when the clock is asked for the first time.
type Event = Mutex<Option<Box<dyn FnOnce() + Send>>>;

fn happen(event: &Event) -> i64 {
    let event = event.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(event) = event {
        event();
    }
    NOW
}

struct Site {
    _dir: tempfile::TempDir,
    store: Store,
    joe: AccountId,
    work: FolderId,
}

fn path(name: &str) -> FolderPath {
    FolderPath::parse(name).unwrap()
}

/// One user with so many old messages in Work.
fn site(messages: usize) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let settings = StoreSettings {
        root: dir.path().to_owned(),
        partitions: ["primary", "second"].map(|name| (name.to_owned(), dir.path().join(name))).to_vec(),
        default_partition: "primary".into(),
        notify_dir: None,
    };
    Store::create(&settings, 1).unwrap();
    let store = Store::open(settings).unwrap();
    let joe = store.account_create("joe", None, NOW).unwrap();
    let work = store.folder_create(joe, &path("Work"), &Default::default(), NOW).unwrap().id;
    let it = Site { _dir: dir, store, joe, work };
    it.put(joe, work, messages, Flags::NONE);
    it
}

impl Site {
    fn left(&self) -> u32 {
        self.store.view(self.joe).unwrap().folder(self.work).unwrap().unwrap().exists
    }

    /// Puts so many old messages into a mailbox.
    fn put(&self, account: AccountId, folder: FolderId, messages: usize, flags: Flags) {
        let mut staging = self.store.stage("primary").unwrap();
        staging.write_all(b"Subject: x\r\n\r\ny\r\n").unwrap();
        let staged = staging.finish().unwrap();
        let item = || NewMessage {
            staged: &staged,
            flags,
            keywords: Vec::new(),
            internal_date_s: 1_000,
            internal_zone_min: 0,
        };
        let items: Vec<NewMessage<'_>> = (0..messages).map(|_| item()).collect();
        self.store.append(account, folder, &items, NOW).unwrap();
    }

    fn run(&self, text: &str, dry_run: bool, clock: fn() -> i64) -> Vec<Outcome> {
        self.bounded_run(text, dry_run, None, clock).0
    }

    fn bounded_run(
        &self,
        text: &str,
        dry_run: bool,
        max_percent: Option<u8>,
        clock: fn() -> i64,
    ) -> (Vec<Outcome>, Ended) {
        let instance = msgstore::config::Instance::at(self._dir.path());
        let conf = msgstore::config::Conf::of_defaults(self._dir.path());
        let global = source::global(&instance, &conf, Some((std::path::Path::new("F"), text)));
        assert!(global.faults.is_empty(), "{:?}", global.faults);
        let rules = Rules { global, ..Rules::default() }.with_local(&self.store);
        let matched: Vec<AtomicBool> = rules.global.rules.iter().map(|_| AtomicBool::new(false)).collect();
        let settings = Settings {
            expire: true,
            purge: false,
            dry_run,
            partition: None,
            user: None,
            rules_max: 128,
            threads_max: 1,
            threads_per_partition: 1,
            cleanup_age_h: 24,
            max_percent,
            now_s: NOW,
            clock,
        };
        let stop = AtomicBool::new(false);
        let links = Mutex::default();
        let watch = msgstore::ops::quota::watch::Settings::default();
        let nobody = msgstore::directory::Options::default();
        let directory = msgstore::directory::Directory::open(std::path::Path::new("/nonexistent"), nobody);
        let quota = (&watch, &directory);
        let store = &self.store;
        let run = Run { store, rules: &rules, settings: &settings, quota, stop: &stop, matched: &matched, links };
        let mut outcomes = Vec::new();
        let ended = run.run(run.accounts().unwrap(), &mut |outcome| outcomes.push(outcome));
        (outcomes, ended)
    }
}

#[test]
fn a_mailbox_that_is_renamed_before_its_messages_go_keeps_them() {
    for rule in ["", "R.action: fileinto:Else\n"] {
        static EVENT: Event = Mutex::new(None);
        let it = site(3);
        let (store, joe) = (it.store.clone(), it.joe);
        let rename = move || store.folder_rename(joe, &path("Work"), &path("Kept"), NOW).unwrap();
        *EVENT.lock().unwrap() = Some(Box::new(rename));
        let done =
            it.run(&format!("R.folderpattern: user/joe/Work\nR.messagedays: 1\n{rule}"), false, || happen(&EVENT));
        assert!(EVENT.lock().unwrap().is_none() && done[0].failures.is_empty(), "{done:?}");
        assert_eq!(it.left(), 3, "{rule}");
    }
}

#[test]
fn a_mailbox_that_is_moved_before_its_messages_go_keeps_them() {
    for rule in ["", "R.action: fileinto:Else\n"] {
        static EVENT: Event = Mutex::new(None);
        let it = site(3);
        let (store, joe, work) = (it.store.clone(), it.joe, it.work);
        let relocate = move || store.move_partition(joe, Some(work), "second").unwrap();
        *EVENT.lock().unwrap() = Some(Box::new(relocate));
        let done =
            it.run(&format!("R.folderpattern: user/joe/Work\nR.messagedays: 1\n{rule}"), false, || happen(&EVENT));
        assert!(EVENT.lock().unwrap().is_none() && done[0].failures.is_empty(), "{done:?}");
        assert_eq!(it.left(), 3, "{rule}");
        it.run(&format!("R.folderpattern: user/joe/Work\nR.messagedays: 1\n{rule}"), false, || NOW);
        assert_eq!(it.left(), 0, "{rule}");
    }
}

#[test]
fn a_message_whose_flag_is_taken_back_stays() {
    for (rule, filed) in [("", 0), ("R.action: fileinto:Else\n", 2)] {
        static EVENT: Event = Mutex::new(None);
        let it = site(0);
        it.put(it.joe, it.work, 3, Flags::SEEN);
        let (store, joe, work) = (it.store.clone(), it.joe, it.work);
        let unread = move || {
            let change = FlagChange { op: FlagOp::Remove, flags: Flags::SEEN, keywords: Vec::new() };
            drop(store.store_flags(joe, work, &UidSet::one(2), &change, None).unwrap());
        };
        *EVENT.lock().unwrap() = Some(Box::new(unread));
        let done =
            it.run(&format!("R.folderpattern: user/joe/Work\nR.messagedays: 1\nR.seen: and\n{rule}"), false, || {
                happen(&EVENT)
            });
        assert!(EVENT.lock().unwrap().is_none() && done[0].failures.is_empty(), "{done:?}");
        let view = it.store.view(it.joe).unwrap();
        assert!(view.message(it.work, 2).unwrap().is_some() && it.left() == 1, "{rule}");
        assert_eq!(done[0].mailboxes[0].taken.iter().map(|verdict| verdict.facts.uid).collect::<Vec<_>>(), [1, 3]);
        let other = view.resolve(&path("Else")).unwrap();
        assert_eq!(other.map_or(0, |row| row.exists), filed, "{rule}");
    }
}

#[test]
fn a_message_is_expunged_at_the_moment_of_its_transaction() {
    static CLOCK: AtomicI64 = AtomicI64::new(NOW);
    let it = site(1500);
    it.run("R.folderpattern: user/joe/Work\nR.messagedays: 1\n", false, || CLOCK.fetch_add(1, Ordering::Relaxed));
    assert_eq!((it.left(), CLOCK.load(Ordering::Relaxed)), (0, NOW + 2));
    // Those of the second transaction.
    assert_eq!(it.store.restore(it.joe, it.work, NOW + 1, NOW + 9).unwrap(), 500);
    assert_eq!(it.store.restore(it.joe, it.work, NOW, NOW + 9).unwrap(), 1000);
}

#[test]
fn no_more_goes_than_the_bound_lets_go_though_more_comes_meanwhile() {
    static EVENT: Event = Mutex::new(None);
    let it = site(3);
    let ann = it.store.account_create("ann", None, NOW).unwrap();
    it.put(ann, FolderId::INBOX, 2, Flags::NONE);
    let rules = "R.folderpattern: user/*\nR.messagedays: 1\n";
    assert_eq!(it.bounded_run(rules, false, Some(99), || NOW).1, Ended::TooMany { messages: 5, of: 5 });
    let more = Site { _dir: tempfile::tempdir().unwrap(), store: it.store.clone(), joe: it.joe, work: it.work };
    *EVENT.lock().unwrap() = Some(Box::new(move || more.put(more.joe, more.work, 1, Flags::NONE)));
    let (done, ended) = it.bounded_run(rules, false, Some(100), || happen(&EVENT));
    assert_eq!((ended, it.left()), (Ended::Done, 4));
    assert_eq!((done[0].userid.as_str(), done[0].mailboxes[0].taken.len()), ("ann", 2));
    let wanted =
        "4 messages would expire, more than the 3 that the bound leaves: there were fewer when they were counted";
    assert_eq!(done[1].failures, [("user/joe".to_owned(), wanted.to_owned())]);
    // The next run counts anew.
    assert_eq!(it.bounded_run(rules, false, Some(100), || NOW).1, Ended::Done);
    assert_eq!(it.left(), 0);
}

#[test]
fn a_mailbox_that_others_make_smaller_meanwhile_keeps_as_many_as_it_may() {
    static EVENT: Event = Mutex::new(None);
    let it = site(1500);
    let (store, joe, work) = (it.store.clone(), it.joe, it.work);
    let newest = UidSet::from_ranges(vec![(1201, 1500)]);
    let remove = move || drop(store.remove(joe, work, &newest, NOW).unwrap());
    *EVENT.lock().unwrap() = Some(Box::new(remove));
    let rules = "R.folderpattern: user/joe/Work\nR.messagecount: 100\n";
    let done = it.run(rules, false, || happen(&EVENT));
    assert!(EVENT.lock().unwrap().is_none() && done[0].failures.is_empty(), "{done:?}");
    assert_eq!(it.left(), 200);
    it.run(rules, false, || NOW);
    assert_eq!(it.left(), 100);
}

#[test]
fn rule_files_of_mailboxes_that_move_are_found() {
    let it = site(3);
    let dir = it.store.view(it.joe).unwrap().folder_dir(it.work).unwrap();
    std::fs::write(dir.join("store.expirerule"), "exclusive: yes\n").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut names = [path("Work"), path("Else")];
            while !stop.load(Ordering::Relaxed) {
                it.store.folder_rename(it.joe, &names[0], &names[1], NOW).unwrap();
                names.reverse();
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        // The plan alone: what is carried out looks at the name of the mailbox once more.
        for _ in 0..300 {
            for outcome in it.run("R.folderpattern: user/*\nR.messagedays: 1\n", true, || NOW) {
                assert!(outcome.mailboxes.is_empty(), "{outcome:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(it.left(), 3);
}
