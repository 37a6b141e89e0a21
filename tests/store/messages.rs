//! Append, flags, copy, move, expunge, purge, restore, delivery.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Fixture, NOW, message};
use msgstore::store::{Delivery, FlagChange, FlagOp, Flags, FolderId, FolderPath, Kind, Limits, Source, Uid, UidSet};

const INBOX: FolderId = FolderId::INBOX;

fn add(flags: Flags, keywords: &[&str]) -> FlagChange {
    FlagChange { op: FlagOp::Add, flags, keywords: keywords.iter().map(|k| (*k).to_owned()).collect() }
}

#[test]
fn a_message_comes_back_as_it_was() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let text = "From: a@b.c\r\nSubject: hello\r\n\r\nbody\r\n";
    let uid = f.append(joe, INBOX, text, Flags::SEEN);
    assert_eq!(uid, 1);
    let mut read = String::new();
    f.store.open_body(joe, INBOX, 1).unwrap().read_to_string(&mut read).unwrap();
    assert_eq!(read, text);
    let view = f.store.view(joe).unwrap();
    let folder = view.folder(INBOX).unwrap().unwrap();
    assert_eq!((folder.exists, folder.unseen, folder.uidnext, folder.bytes), (1, 0, 2, text.len() as u64));
    let row = view.message(INBOX, 1).unwrap().unwrap();
    assert_eq!(row.size, text.len() as u64);
    let (mut first, mut index) = (f.store.index(joe, &folder).unwrap(), f.store.index(joe, &folder).unwrap());
    let (entry, source) = first.entry(&row).unwrap();
    assert_eq!(source, Source::Cache);
    assert_eq!(index.with_headers(&row, <[u8]>::to_vec).unwrap(), entry.headers());
    assert!(String::from_utf8_lossy(entry.envelope()).contains("\"hello\""));
    assert_eq!(entry.parts().unwrap().body.end, text.len() as u64);
}

#[test]
fn a_lost_index_is_read_from_the_messages() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.append(joe, INBOX, "Subject: one\r\n\r\n1\r\n", Flags::NONE);
    let dir = f.file(joe, INBOX, 1).parent().unwrap().parent().unwrap().to_owned();
    std::fs::remove_file(dir.join("store.idx")).unwrap();
    let view = f.store.view(joe).unwrap();
    let row = view.message(INBOX, 1).unwrap().unwrap();
    let mut index = f.store.index(joe, &view.folder(INBOX).unwrap().unwrap()).unwrap();
    let (entry, source) = index.entry(&row).unwrap();
    assert_eq!(source, Source::Damaged);
    assert!(String::from_utf8_lossy(entry.envelope()).contains("\"one\""));
    let subject = |keys: &msgstore::message::keys::Keys<'_>, _: &[u8]| keys.subject.to_vec();
    assert_eq!(index.with_keys(&row, false, subject).unwrap(), (b"ONE".to_vec(), Source::Damaged));
    assert_eq!(index.with_headers(&row, <[u8]>::to_vec).unwrap(), b"Subject: one\r\n");
    drop(view);
    f.append(joe, INBOX, "Subject: two\r\n\r\n2\r\n", Flags::NONE);
    let findings = f.store.check(Default::default()).unwrap();
    assert_eq!(findings.iter().map(|f| (f.invariant, f.uid)).collect::<Vec<_>>(), [("I4", Some(1))]);
    f.store.remove(joe, INBOX, &UidSet::one(1), NOW).unwrap();
}

#[test]
fn flags_change_in_runs() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.fill(joe, INBOX, 300);
    let all = UidSet::from_ranges([(1, u32::MAX)]);
    let stored = f.store.store_flags(joe, INBOX, &all, &add(Flags::SEEN, &["$Forwarded"]), None).unwrap();
    assert_eq!(stored.changed.ranges(), &[(1, 300)]);
    let again = f.store.store_flags(joe, INBOX, &all, &add(Flags::SEEN, &["$forwarded"]), None).unwrap();
    assert_eq!((again.modseq, again.changed.len()), (0, 0));
    let some = UidSet::from_ranges([(5, 7), (130, 131)]);
    let later = f.store.store_flags(joe, INBOX, &some, &add(Flags::FLAGGED, &[]), None).unwrap();
    assert!(later.modseq > stored.modseq);
    let guarded = f
        .store
        .store_flags(joe, INBOX, &UidSet::from_ranges([(4, 8)]), &add(Flags::DRAFT, &[]), Some(stored.modseq))
        .unwrap();
    assert_eq!(guarded.refused.ranges(), &[(5, 7)]);
    assert_eq!(guarded.changed.ranges(), &[(4, 4), (8, 8)]);
    // Also where the flags are what is wanted: somebody has changed the message.
    let set = f.store.store_flags(joe, INBOX, &some, &add(Flags::FLAGGED, &[]), Some(stored.modseq)).unwrap();
    assert_eq!((set.modseq, set.refused), (0, some.clone()));
    // Who knows all up to the first change has not seen the second one; up to the second one, all.
    let both = f.store.store_flags(joe, INBOX, &all, &add(Flags::ANSWERED, &[]), None).unwrap();
    assert_eq!(both.before.iter().map(|run| u64::from(run.count)).sum::<u64>(), 300);
    assert!(both.before.iter().all(|run| !run.flags.contains(Flags::ANSWERED)));
    assert_eq!(both.followed_from(stored.modseq).ranges(), &[(1, 3), (9, 129), (132, 300)]);
    assert_eq!(both.followed_from(later.modseq).ranges(), &[(1, 3), (5, 7), (9, 300)]);
    assert_eq!(both.followed_from(guarded.modseq), both.changed);
    let view = f.store.view(joe).unwrap();
    assert_eq!(view.keywords().unwrap(), ["$Forwarded"]);
    assert_eq!(view.folder(INBOX).unwrap().unwrap().unseen, 0);
    let mut flagged = UidSet::new();
    view.states(INBOX, 0..=u32::MAX, &mut |run| {
        if run.flags.contains(Flags::FLAGGED) {
            flagged.insert_range(run.first, run.last());
        }
    })
    .unwrap();
    assert_eq!(flagged, some);
}

#[test]
fn expunge_and_bring_back() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.fill(joe, INBOX, 10);
    let before = f.store.view(joe).unwrap().folder(INBOX).unwrap().unwrap().highest_modseq;
    f.store.store_flags(joe, INBOX, &UidSet::from_ranges([(2, 4), (9, 9)]), &add(Flags::DELETED, &[]), None).unwrap();
    let only = f.store.expunge(joe, INBOX, Some(&UidSet::from_ranges([(1, 3)])), NOW).unwrap();
    assert_eq!(only.uids.ranges(), &[(2, 3)]);
    let rest = f.store.expunge(joe, INBOX, None, NOW).unwrap();
    assert_eq!(rest.uids.iter().collect::<Vec<_>>(), [4, 9]);
    assert_eq!(f.uids(joe, INBOX), [1, 5, 6, 7, 8, 10]);
    let gone = f.store.view(joe).unwrap().expunged_since(INBOX, before).unwrap().unwrap();
    assert_eq!(gone.ranges(), &[(2, 4), (9, 9)]);
    let since = |modseq| f.store.view(joe).unwrap().expunged_since(INBOX, modseq).unwrap();
    assert_eq!(f.store.forget_expunged(joe, INBOX, only.modseq).unwrap(), 1);
    assert_eq!((since(before), since(only.modseq - 1)), (None, None));
    assert_eq!(since(only.modseq), Some(UidSet::from_ranges([(4, 4), (9, 9)])));
    assert_eq!(f.store.forget_expunged(joe, INBOX, before).unwrap(), 0);
    // The horizon stays where it is, and never lies above what has happened.
    assert_eq!((since(before), since(rest.modseq)), (None, Some(UidSet::new())));
    assert_eq!(f.store.forget_expunged(joe, INBOX, u64::MAX).unwrap(), 2);
    assert_eq!(since(rest.modseq), Some(UidSet::new()));
    // A session that was not told yet may still read it (RFC 2180 4.1).
    assert!(f.store.open_body(joe, INBOX, 2).is_ok());
    f.check();
    assert_eq!(f.store.restore(joe, INBOX, NOW, NOW).unwrap(), 4);
    assert_eq!(f.store.restore(joe, INBOX, NOW, NOW).unwrap(), 0);
    assert_eq!(f.uids(joe, INBOX), [1, 5, 6, 7, 8, 10, 11, 12, 13, 14]);
    f.check();
    assert_eq!(f.store.purge(joe, INBOX, NOW + 1).unwrap().messages, 4);
    assert_eq!(f.store.open_body(joe, INBOX, 2).unwrap_err().kind(), Kind::Expunged);
    assert!(!f.file(joe, INBOX, 2).exists() && f.file(joe, INBOX, 11).exists());
}

#[test]
fn a_purge_leaves_no_empty_directory() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.fill(joe, INBOX, 102);
    f.store.settle().unwrap();
    let there = || [1, 100].map(|uid| f.file(joe, INBOX, uid).parent().unwrap().exists());
    let purge = |first, last| {
        f.store.remove(joe, INBOX, &UidSet::from_ranges([(first, last)]), NOW).unwrap();
        f.store.purge(joe, INBOX, NOW + 1).unwrap().messages
    };
    assert_eq!((purge(2, 101), there()), (100, [true, true]));
    assert_eq!((purge(102, 102), there()), (1, [true, false]));
    // What comes next makes it again.
    f.append(joe, INBOX, "Subject: x\r\n\r\n", Flags::NONE);
    assert_eq!((there(), f.uids(joe, INBOX)), ([true, true], vec![1, 103]));
    f.store.settle().unwrap();
    assert_eq!((purge(1, 103), there()), (2, [false, false]));
}

#[test]
fn copies_are_links_and_moves_leave_nothing() {
    use std::os::unix::fs::MetadataExt;
    let f = Fixture::new();
    let joe = f.account("joe");
    let work = f.folder(joe, "Work/2004");
    f.fill(joe, INBOX, 5);
    f.store.store_flags(joe, INBOX, &UidSet::one(3), &add(Flags::ANSWERED, &["x"]), None).unwrap();
    let copied = f.store.copy((joe, INBOX), &UidSet::from_ranges([(2, 3), (99, 99)]), (joe, work), NOW).unwrap();
    assert_eq!(copied.pairs, [(2, 1), (3, 2)]);
    assert_eq!(
        std::fs::metadata(f.file(joe, work, 1)).unwrap().ino(),
        std::fs::metadata(f.file(joe, INBOX, 2)).unwrap().ino()
    );
    let moved = f.store.move_messages((joe, INBOX), &UidSet::from_ranges([(3, 4)]), (joe, work), NOW).unwrap();
    assert_eq!(moved.pairs, [(3, 3), (4, 4)]);
    assert_eq!(f.uids(joe, INBOX), [1, 2, 5]);
    let view = f.store.view(joe).unwrap();
    let mut flags = Vec::new();
    view.states(work, 2..=3, &mut |run| flags.push((run.first, run.count, run.flags, run.keywords.0))).unwrap();
    assert_eq!(flags, [(2, 1, Flags::ANSWERED, 1), (3, 1, Flags::ANSWERED, 1)]);
    drop(view);
    let ann = f.account("ann");
    let shared = f.store.move_messages((joe, INBOX), &UidSet::one(5), (ann, INBOX), NOW).unwrap();
    assert_eq!(shared.pairs, [(5, 1)]);
    assert_eq!(f.store.view(joe).unwrap().account().unwrap().usage_messages, 6);
}

#[test]
fn one_message_for_many_recipients_is_one_file() {
    use std::os::unix::fs::MetadataExt;
    let f = Fixture::new();
    let accounts: Vec<_> = (0..10).map(|n| f.account(&format!("user{n}"))).collect();
    f.store.set_limits(accounts[3], &Limits { bytes: Some(5), ..Limits::default() }, NOW).unwrap();
    let staged = f.stage("Subject: all\r\n\r\nx\r\n");
    let to: Vec<_> = accounts
        .iter()
        .map(|account| Delivery { account: *account, folder: INBOX, ignore_quota: false, once_s: 0 })
        .collect();
    let results = f.store.deliver(&message(&staged, Flags::NONE), &to, NOW);
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(done) => assert_eq!(done.as_ref().unwrap().uids, [1]),
            Err(error) => assert_eq!((n, error.kind()), (3, Kind::OverQuota)),
        }
    }
    drop(staged);
    let settled = f.store.settle().unwrap();
    assert_eq!(settled.links, 9);
    assert_eq!(std::fs::metadata(f.file(accounts[0], INBOX, 1)).unwrap().nlink(), 9);
    assert_eq!(std::fs::read_dir(f.dir.path().join("store/partition/primary/.staging")).unwrap().count(), 0);
}

#[test]
fn a_link_lost_with_the_power_is_made_again() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.append(joe, INBOX, "Subject: kept\r\n\r\n", Flags::NONE);
    std::fs::remove_dir_all(f.file(joe, INBOX, 1).parent().unwrap()).unwrap();
    assert_eq!(f.store.settle().unwrap().relinked, 1);
    assert!(f.file(joe, INBOX, 1).exists());
}

#[test]
fn a_delivery_under_way_is_not_settled() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let staged = f.stage("Subject: held\r\n\r\n");
    f.store.append(joe, INBOX, &[message(&staged, Flags::NONE)], NOW).unwrap();
    assert_eq!(f.store.settle().unwrap().links, 0);
    drop(staged);
    assert_eq!(f.store.settle().unwrap().links, 1);
}

#[test]
fn a_stray_file_is_never_replaced() {
    let f = Fixture::new();
    let joe = f.account("joe");
    f.fill(joe, INBOX, 1);
    let stray = f.file(joe, INBOX, 2);
    std::fs::write(&stray, "Subject: stray\r\n\r\n").unwrap();
    assert_eq!(f.append(joe, INBOX, "Subject: new\r\n\r\n", Flags::NONE), 3);
    assert_eq!(std::fs::read_to_string(&stray).unwrap(), "Subject: stray\r\n\r\n");
    f.check();
    assert_eq!(f.store.restore(joe, INBOX, 0, NOW).unwrap(), 1);
    let mut text = String::new();
    f.store.open_body(joe, INBOX, 4).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "Subject: stray\r\n\r\n");
}

#[test]
fn empty_and_nul_are_refused_and_leave_nothing() {
    let f = Fixture::new();
    assert_eq!(f.store.stage("primary").unwrap().finish().unwrap_err().kind(), Kind::Invalid);
    let mut staging = f.store.stage("primary").unwrap();
    std::io::Write::write_all(&mut staging, b"Subject: x\r\n\r\na\0b").unwrap();
    assert_eq!(staging.finish().unwrap_err().kind(), Kind::Invalid);
    assert_eq!(std::fs::read_dir(f.dir.path().join("store/partition/primary/.staging")).unwrap().count(), 0);
}

#[test]
fn concurrent_writers_share_commits_and_lose_nothing() {
    let f = Fixture::new();
    let accounts: Vec<_> = (0..4).map(|n| f.account(&format!("user{n}"))).collect();
    let called = Arc::new(AtomicUsize::new(0));
    let watch = called.clone();
    let _watch = f.store.notices().subscribe(
        accounts[0],
        INBOX,
        0,
        Box::new(move || {
            watch.fetch_add(1, Ordering::SeqCst);
        }),
    );
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (f, accounts) = (&f, &accounts);
            scope.spawn(move || {
                for round in 0..25 {
                    let account = accounts[(thread + round) % 4];
                    let staged = f.stage(&format!("Subject: {thread} {round}\r\n\r\n"));
                    f.store.append(account, INBOX, &[message(&staged, Flags::NONE)], NOW).unwrap();
                    // A failing job must not spoil its batch.
                    assert_eq!(
                        f.store
                            .append(account, FolderId(999), &[message(&staged, Flags::NONE)], NOW)
                            .unwrap_err()
                            .kind(),
                        Kind::NotFound
                    );
                }
            });
        }
    });
    for account in &accounts {
        assert_eq!(f.uids(*account, INBOX), (1..=50).collect::<Vec<_>>());
    }
    assert_eq!(called.load(Ordering::SeqCst), 50);
}

#[test]
fn who_knows_a_folder_is_not_woken_for_another_one() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let folders = ["Known", "Changed", "Unknown"].map(|name| f.folder(joe, name));
    folders.iter().for_each(|folder| f.fill(joe, *folder, 1));
    let calls = [0; 3].map(|_| Arc::new(AtomicUsize::new(0)));
    let watch = |at: usize, known| {
        let count = Arc::clone(&calls[at]);
        let callback = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        f.store.notices().subscribe(joe, folders[at], known, callback)
    };
    let modseq = |at: usize| f.store.view(joe).unwrap().folder(folders[at]).unwrap().unwrap().highest_modseq;
    let _watches = [watch(0, modseq(0)), watch(1, modseq(1)), watch(2, 0)];
    f.store.start_notices("imap").unwrap();
    f.fill(joe, folders[1], 1);
    // A look at the shard finds the one that nobody has told anything of.
    let begun = std::time::Instant::now();
    while calls[2].load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed().as_secs() < 300, "nobody looks at the shard");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Waits until that look has called everybody it wanted to.
    drop(watch(2, 0));
    assert_eq!(calls[0].load(Ordering::SeqCst), 0);
    assert!(calls[1].load(Ordering::SeqCst) >= 1);
}

#[test]
fn a_moved_database_takes_no_more_mail() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let mboxlist = f.dir.path().join("store/mboxlist");
    let away = f.dir.path().join("store/away");
    std::fs::rename(&mboxlist, &away).unwrap();
    let staged = f.stage("Subject: x\r\n\r\n");
    let refused = f.store.append(joe, INBOX, &[message(&staged, Flags::NONE)], NOW);
    assert_eq!(refused.unwrap_err().kind(), Kind::Unavailable);
    std::fs::rename(&away, &mboxlist).unwrap();
}

#[test]
fn bodies_follow_their_folder() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let first = f.folder(joe, "A");
    f.fill(joe, first, 12);
    let mut bodies = f.store.bodies(joe, first);
    let mut text = |uid: Uid| bodies.open(uid).map(|file| std::io::read_to_string(file).unwrap());
    for uid in 1..=8 {
        assert!(text(uid).unwrap().ends_with(&format!("body {}\r\n", uid - 1)));
    }
    f.store.folder_rename(joe, &FolderPath::parse("A").unwrap(), &FolderPath::parse("B").unwrap(), NOW).unwrap();
    let second = f.folder(joe, "A");
    for _ in 0..12 {
        f.append(joe, second, "Subject: another\r\n\r\nanother\r\n", Flags::NONE);
    }
    assert!(text(9).unwrap().ends_with("body 8\r\n"));
    f.store.move_partition(joe, Some(first), "second").unwrap();
    assert!(text(10).unwrap().ends_with("body 9\r\n"));
    f.store.remove(joe, first, &UidSet::one(11), NOW).unwrap();
    f.store.purge(joe, first, NOW + 1).unwrap();
    assert_eq!(text(11).unwrap_err().kind(), Kind::Expunged);
    assert!(text(12).unwrap().ends_with("body 11\r\n"));
}

#[test]
fn a_message_is_recent_for_one_session() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let row = || f.store.view(joe).unwrap().folder(INBOX).unwrap().unwrap();
    let claim = |row: &msgstore::store::Folder| f.store.claim_recent(joe, row).unwrap();
    f.fill(joe, INBOX, 2);
    let early = row();
    f.fill(joe, INBOX, 2);
    let late = row();
    // Two sessions look one after the other, and claim the other way round.
    assert_eq!((claim(&late), claim(&early), claim(&late)), (1, 5, 5));
    f.fill(joe, INBOX, 1);
    // Who claims has not seen the fifth one: it is left to the next.
    assert_eq!((claim(&late), claim(&row()), claim(&row())), (5, 5, 6));
    // A session ends, and what it claimed is written, while another one still has the old row.
    f.store.settle_recent(joe, INBOX).unwrap();
    assert_eq!(row().recent_from, 6);
    assert_eq!(claim(&early), 6);
    assert_eq!(f.store.recent_from(joe, &early), 6);
}
