//! Single moments between two that work at once.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use msgstore::store::{Delivery, Flags, FolderId, Kind, Store, UidSet};

use super::{PATIENCE, Run, markers};
use crate::crash::child::{NOW, content, item, marker_of, path, say, stage};
use crate::store::{Fixture, message};

fn text(f: &Fixture, at: (msgstore::store::AccountId, FolderId), uid: u32) -> String {
    std::io::read_to_string(f.store.open_body(at.0, at.1, uid).unwrap()).unwrap()
}

/// Two folders change names all the time: a copy out of one is never the other's message, and never fails.
#[test]
fn a_copy_takes_its_own_message_while_folders_change_names() {
    let f = Fixture::new();
    let (joe, ann) = (f.account("joe"), f.account("ann"));
    let (first, second) = (f.folder(joe, "X"), f.folder(joe, "Y"));
    f.append(joe, first, &content(1), Flags::NONE);
    f.append(joe, second, &content(2), Flags::NONE);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for (from, to) in [("X", "T"), ("Y", "X"), ("T", "Y")] {
                    f.store.folder_rename(joe, &path(from), &path(to), NOW).unwrap();
                }
            }
        });
        let mut wrong = Vec::new();
        for round in 0..150 {
            let (from, marker) = if round % 2 == 0 { (first, 1) } else { (second, 2) };
            let to = (if round % 3 == 0 { joe } else { ann }, FolderId::INBOX);
            match f.store.copy((joe, from), &UidSet::one(1), to, NOW) {
                Ok(copied) if copied.pairs.len() == 1 => {
                    let found = marker_of(&text(&f, to, copied.pairs[0].1));
                    if found != Some(marker) {
                        wrong.push(format!("{found:?} instead of {marker}"));
                    }
                }
                other => wrong.push(format!("{other:?}")),
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

/// A name is given to one account only: to the new one or to the one that is renamed.
#[test]
fn one_name_for_a_creation_and_a_rename_at_once() {
    let f = Fixture::new();
    for round in 0..25 {
        let (old, new) = (format!("old{round}"), format!("new{round}"));
        let renamed = f.account(&old);
        let start = Barrier::new(2);
        let (made, moved) = std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                start.wait();
                std::thread::sleep(Duration::from_micros(round * 150));
                f.store.account_create(&new, None, NOW)
            });
            start.wait();
            let moved = f.store.account_rename(renamed, &new, NOW);
            (made.join().unwrap(), moved)
        });
        let winner = match (made, moved) {
            (Ok(made), Err(error)) if error.kind() == Kind::Exists => {
                assert_eq!(f.store.account_id(&old).unwrap(), Some(renamed));
                made
            }
            (Err(error), Ok(())) if error.kind() == Kind::Exists => renamed,
            other => panic!("{other:?}"),
        };
        assert_eq!(f.store.account_id(&new).unwrap(), Some(winner));
    }
    assert_eq!(f.store.accounts().unwrap().iter().filter(|(name, _)| name.starts_with("new")).count(), 25);
}

/// Threads of the process that renames and moves a folder wait for it, and what they append is not lost.
#[test]
fn an_append_waits_for_a_rename_in_its_own_process() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let folder = f.folder(joe, "F");
    let over = AtomicBool::new(false);
    let appended: Vec<(u32, u64)> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4u64)
            .map(|writer| {
                let f = &f;
                scope.spawn(move || {
                    (0..15u64)
                        .map(|number| {
                            let marker = writer * 1000 + number;
                            (f.append(joe, folder, &content(marker), Flags::NONE), marker)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        scope.spawn(|| {
            let steps = [("F", "G/H", "second"), ("G/H", "F", "primary")];
            for (from, to, partition) in steps.iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                f.store.folder_rename(joe, &path(from), &path(to), NOW).unwrap();
                f.store.move_partition(joe, Some(folder), partition).unwrap();
            }
        });
        let appended = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        appended
    });
    assert_eq!(appended.len(), 60);
    for (uid, marker) in appended {
        assert_eq!(text(&f, (joe, folder), uid), content(marker));
    }
}

/// 2,000 rows of a delivery that is under way do not keep a later one from being settled.
#[test]
fn settling_goes_past_rows_that_stay() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let later = f.folder(joe, "Later");
    let held = f.stage(&content(1));
    let items: Vec<_> = (0..2001).map(|_| message(&held, Flags::NONE)).collect();
    f.store.append(joe, FolderId::INBOX, &items, NOW).unwrap();
    drop(items);
    f.append(joe, later, &content(2), Flags::NONE);
    assert_eq!(f.store.settle().unwrap().links, 1);
    drop(held);
    assert_eq!(f.store.settle().unwrap().links, 2001);
    let staged = f.dir.path().join("store/partition/primary/.staging");
    assert_eq!(std::fs::read_dir(staged).unwrap().count(), 0);
}

pub fn rename_and_die(store: &Store) {
    let joe = store.account_id("joe").unwrap().unwrap();
    store.folder_rename(joe, &path("A"), &path("Renamed"), NOW).unwrap();
}

pub fn deliver_after_death(store: &Store) {
    let joe = store.account_id("joe").unwrap().unwrap();
    let folder = store.view(joe).unwrap().resolve(&path("B")).unwrap().unwrap().id;
    let staged = stage(store, 77);
    let to = [FolderId::INBOX, folder].map(|folder| Delivery { account: joe, folder, ignore_quota: false, once_s: 0 });
    for done in store.deliver(&item(&staged), &to, NOW) {
        done.unwrap();
    }
    assert_eq!(markers(store, joe, folder), [77]);
    assert!(store.view(joe).unwrap().resolve(&path("Renamed")).unwrap().is_some());
    say("DELIVERED");
}

/// A delivery to an account in which a process died in the middle of a rename finishes that and succeeds.
#[test]
fn a_delivery_finishes_what_a_dead_process_left() {
    let mut run = Run::new(2);
    for point in ["intent.written:1", "rename.after-move:1"] {
        let (mut killed, _) = run.start("rename", 0, 0, &[("CRASH_POINT", point)]);
        assert!(!killed.wait().unwrap().success(), "{point} was not passed");
        let delivery = run.start("deliver", 0, 0, &[]);
        assert!(run.wait(vec![delivery], PATIENCE).contains(&"DELIVERED".to_owned()));
        run = Run::new(2);
    }
}
