//! Whole-mailbox operations of the store on a folder of N messages: each is run once a round on a fresh store; the median of the rounds is
//! printed. Run: `cargo bench --manifest-path tests/bench/Cargo.toml --bench mailbox -- [--count N] [--rounds N] [--dir DIR]`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

use msgstore::store::{
    AccountId, FlagChange, FlagOp, Flags, FolderId, FolderPath, NewMessage, Settings, Store, Uid, UidSet,
};
use msgstore_bench::option;

const NOW: i64 = 1_795_000_000;
const INBOX: FolderId = FolderId::INBOX;

fn fill(store: &Store, account: AccountId, count: usize) {
    for first in (0..count).step_by(100) {
        let staged: Vec<_> = (first..count.min(first + 100))
            .map(|number| {
                let mut staging = store.stage("primary").unwrap();
                write!(
                    staging,
                    "From: Somebody <somebody{number}@example.org>\r\nTo: joe@example.org\r\nSubject: number {number}\r\n\
                     Date: Tue, 17 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@example.org>\r\n\r\nbody {number}\r\n"
                )
                .unwrap();
                staging.finish().unwrap()
            })
            .collect();
        let items: Vec<_> = staged
            .iter()
            .map(|staged| NewMessage {
                staged,
                flags: Flags::NONE,
                keywords: Vec::new(),
                internal_date_s: NOW,
                internal_zone_min: 0,
            })
            .collect();
        store.append(account, INBOX, &items, NOW).unwrap();
    }
}

fn round(dir: &str, count: usize, times: &mut Vec<(&'static str, Vec<f64>)>) {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let settings = Settings {
        root: dir.path().to_owned(),
        partitions: vec![("primary".into(), dir.path().join("primary"))],
        default_partition: "primary".into(),
        notify_dir: None,
    };
    Store::create(&settings, 1).unwrap();
    let store = Store::open(settings).unwrap();
    let joe = store.account_create("joe", None, NOW).unwrap();
    let other = store.folder_create(joe, &FolderPath::parse("Copy").unwrap(), &Default::default(), NOW).unwrap().id;
    let all = UidSet::from_ranges([(1, Uid::MAX)]);
    let half = UidSet::from_ranges([(1, u32::try_from(count / 2).unwrap())]);
    let mut time = |name: &'static str, work: &mut dyn FnMut()| {
        let begin = Instant::now();
        work();
        let took = begin.elapsed().as_secs_f64() * 1e3;
        match times.iter_mut().find(|(known, _)| *known == name) {
            Some((_, list)) => list.push(took),
            None => times.push((name, vec![took])),
        }
    };
    let change = |op, flags| FlagChange { op, flags, keywords: Vec::new() };
    time("append by 100", &mut || fill(&store, joe, count));
    time("settle the links", &mut || {
        store.settle().unwrap();
    });
    time("list of uids and flags", &mut || {
        let mut seen = 0;
        store.view(joe).unwrap().states(INBOX, 1..=Uid::MAX, &mut |run| seen += run.count).unwrap();
        assert_eq!(seen as usize, count);
    });
    time("every message row", &mut || {
        let mut seen = 0;
        let view = store.view(joe).unwrap();
        view.messages(INBOX, 1..=Uid::MAX, &mut |_| {
            seen += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(seen, count);
    });
    time("every row with its entry", &mut || {
        let view = store.view(joe).unwrap();
        let mut index = store.index(joe, &view.folder(INBOX).unwrap().unwrap()).unwrap();
        let mut bytes = 0;
        view.messages(INBOX, 1..=Uid::MAX, &mut |row| {
            bytes += index.entry(&row).unwrap().0.envelope().len();
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(bytes > count);
    });
    time("flag all", &mut || {
        store.store_flags(joe, INBOX, &all, &change(FlagOp::Add, Flags::SEEN), None).unwrap();
    });
    time("copy half", &mut || drop(store.copy((joe, INBOX), &half, (joe, other), NOW).unwrap()));
    time("mark half deleted", &mut || {
        store.store_flags(joe, INBOX, &half, &change(FlagOp::Add, Flags::DELETED), None).unwrap();
    });
    time("expunge half", &mut || drop(store.expunge(joe, INBOX, None, NOW).unwrap()));
    time("purge half", &mut || {
        store.purge(joe, INBOX, NOW + 1).unwrap();
    });
    time("check", &mut || assert!(store.check(Default::default()).unwrap().is_empty()));
}

fn main() {
    let count: usize = option("--count", "20000").parse().unwrap();
    let rounds: usize = option("--rounds", "3").parse().unwrap();
    let mut times = Vec::new();
    for _ in 0..rounds {
        round(&option("--dir", "/tmp"), count, &mut times);
    }
    println!("{count} messages, {rounds} rounds: median ms (min to max)");
    for (name, mut list) in times {
        list.sort_by(f64::total_cmp);
        println!("{name:<26} {:9.1}  ({:.1} to {:.1})", list[list.len() / 2], list[0], list[list.len() - 1]);
    }
}
