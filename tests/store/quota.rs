//! Quota: limits, roots, the clock of the grace period, warnings, usage of domains.

#![allow(clippy::panic)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use msgstore::store::{
    AccountId, Coming, Delivery, Flags, FolderId, FolderLimit, FolderPath, Kind, Limits, QuotaRules, StoreError,
    UidSet, Usage,
};

use super::{Fixture, NOW, message};

const INBOX: FolderId = FolderId::INBOX;
const HOUR_S: i64 = 3600;

/// A store whose rules the test changes.
fn ruled() -> (Fixture, Arc<Mutex<QuotaRules>>) {
    let fixture = Fixture::new();
    let rules = Arc::new(Mutex::new(QuotaRules { grace_s: 2 * HOUR_S, ..QuotaRules::default() }));
    let source = Arc::clone(&rules);
    fixture.store.follow_quota(Box::new(move || *source.lock().unwrap()));
    (fixture, rules)
}

fn limits(bytes: Option<u64>, messages: Option<u64>) -> Limits {
    Limits { bytes, messages, folders: Vec::new() }
}

/// A message of `size` bytes.
fn text(size: usize) -> String {
    format!("a: 1\r\n\r\n{}\r\n", "x".repeat(size - 10))
}

/// Delivers a message of `size` bytes; `Ok`: whether a warning is due.
fn deliver(f: &Fixture, account: AccountId, folder: FolderId, size: usize, now_s: i64) -> Result<bool, StoreError> {
    let staged = f.stage(&text(size));
    assert_eq!(staged.size(), size as u64);
    let to = [Delivery { account, folder, ignore_quota: false, once_s: 0 }];
    let done = f.store.deliver(&message(&staged, Flags::NONE), &to, now_s).pop().unwrap();
    if matches!(done, Err(StoreError::OverQuota { .. })) {
        f.store.note_refusal(account, folder, now_s).unwrap();
    }
    done.map(|appended| appended.unwrap().warning_due)
}

/// How a delivery was refused: for good or not.
fn bounced(result: Result<bool, StoreError>) -> bool {
    match result {
        Err(StoreError::OverQuota { bounce, .. }) => bounce,
        other => panic!("{other:?}"),
    }
}

fn since(f: &Fixture, account: AccountId) -> i64 {
    f.store.view(account).unwrap().account().unwrap().over_since_s
}

#[test]
fn what_fits_exactly_fits() {
    let (f, rules) = ruled();
    let joe = f.account("joe");
    f.store.set_limits(joe, &limits(Some(200), Some(3)), NOW).unwrap();
    deliver(&f, joe, INBOX, 100, NOW).unwrap();
    assert!(!bounced(deliver(&f, joe, INBOX, 101, NOW)));
    deliver(&f, joe, INBOX, 100, NOW).unwrap();
    assert!(!bounced(deliver(&f, joe, INBOX, 10, NOW)));
    // Messages, each by itself and several at once.
    f.store.set_limits(joe, &limits(None, Some(3)), NOW).unwrap();
    let staged = f.stage(&text(10));
    let two = [message(&staged, Flags::NONE), message(&staged, Flags::NONE)];
    assert_eq!(f.store.append(joe, INBOX, &two, NOW).unwrap_err().kind(), Kind::OverQuota);
    deliver(&f, joe, INBOX, 10, NOW).unwrap();
    assert!(!bounced(deliver(&f, joe, INBOX, 10, NOW)));
    let more = Coming::of([1]);
    assert_eq!(f.store.room_for(joe, INBOX, more, None).unwrap_err().kind(), Kind::OverQuota);
    assert_eq!(f.store.copy((joe, INBOX), &UidSet::one(1), (joe, INBOX), NOW).unwrap_err().kind(), Kind::OverQuota);
    // A move within the account takes no room.
    let work = f.folder(joe, "Work");
    assert_eq!(f.store.move_messages((joe, INBOX), &UidSet::one(1), (joe, work), NOW).unwrap().pairs.len(), 1);
    // Nothing is enforced: usage is counted all the same.
    rules.lock().unwrap().enforce = false;
    f.store.room_for(joe, INBOX, more, None).unwrap();
    deliver(&f, joe, INBOX, 10, NOW).unwrap();
    assert_eq!(f.store.view(joe).unwrap().account().unwrap().usage(), Usage { bytes: 220, messages: 4 });
    rules.lock().unwrap().enforce = true;
    // No space at all, and no limit at all.
    let ann = f.account("ann");
    f.store.set_limits(ann, &limits(Some(0), None), NOW).unwrap();
    rules.lock().unwrap().overdraft = true;
    assert!(!bounced(deliver(&f, ann, INBOX, 10, NOW)));
    f.store.set_limits(ann, &limits(None, None), NOW).unwrap();
    deliver(&f, ann, INBOX, 10, NOW).unwrap();
}

#[test]
fn the_grace_period_begins_when_the_quota_is_reached_and_ends_below() {
    let (f, rules) = ruled();
    let joe = f.account("joe");
    f.store.set_limits(joe, &limits(None, Some(2)), NOW).unwrap();
    deliver(&f, joe, INBOX, 10, NOW).unwrap();
    assert_eq!(since(&f, joe), 0);
    deliver(&f, joe, INBOX, 10, NOW + 5).unwrap();
    assert_eq!(since(&f, joe), NOW + 5);
    let last = NOW + 5 + 2 * HOUR_S - 1;
    assert!(!bounced(deliver(&f, joe, INBOX, 10, last)));
    assert!(bounced(deliver(&f, joe, INBOX, 10, last + 1)));
    // A clock that was put back gives nobody's mail back.
    assert!(!bounced(deliver(&f, joe, INBOX, 10, NOW - 100 * HOUR_S)));
    // Below: it stops, and begins anew.
    f.store.remove(joe, INBOX, &UidSet::one(1), last).unwrap();
    assert_eq!(since(&f, joe), 0);
    deliver(&f, joe, INBOX, 10, last + 7).unwrap();
    assert_eq!(since(&f, joe), last + 7);
    assert!(!bounced(deliver(&f, joe, INBOX, 10, last + 8)));
    // A new limit counts at once, in both directions.
    f.store.set_limits(joe, &limits(None, Some(3)), last + 9).unwrap();
    assert_eq!(since(&f, joe), 0);
    f.store.set_limits(joe, &limits(Some(5), None), last + 10).unwrap();
    assert_eq!(since(&f, joe), last + 10);
    // No grace: what does not fit goes back at once.
    rules.lock().unwrap().grace_s = 0;
    assert!(bounced(deliver(&f, joe, INBOX, 10, last + 10)));
    // The folder with the mail goes, and with it the reason.
    let old = f.folder(joe, "Old");
    f.store.move_messages((joe, INBOX), &UidSet::from_ranges([(1, 9)]), (joe, old), last).unwrap();
    assert_ne!(since(&f, joe), 0);
    f.store.folder_delete(joe, &FolderPath::parse("Old").unwrap(), last).unwrap();
    assert_eq!(since(&f, joe), 0);
}

#[test]
fn a_message_that_does_not_fit_begins_the_grace_period() {
    let (f, _) = ruled();
    let joe = f.account("joe");
    f.store.set_limits(joe, &limits(Some(1000), None), NOW).unwrap();
    deliver(&f, joe, INBOX, 950, NOW).unwrap();
    assert_eq!(since(&f, joe), 0);
    assert!(!bounced(deliver(&f, joe, INBOX, 100, NOW + 1)));
    assert_eq!(since(&f, joe), NOW + 1);
    // What fits comes in, and changes nothing about that.
    deliver(&f, joe, INBOX, 20, NOW + 2).unwrap();
    assert!(!bounced(deliver(&f, joe, INBOX, 100, NOW + 2 * HOUR_S)));
    assert!(bounced(deliver(&f, joe, INBOX, 100, NOW + 1 + 2 * HOUR_S)));
    // APPEND begins nothing.
    f.store.remove(joe, INBOX, &UidSet::one(2), NOW).unwrap();
    assert_eq!(since(&f, joe), 0);
    let staged = f.stage(&text(100));
    assert_eq!(f.store.append(joe, INBOX, &[message(&staged, Flags::NONE)], NOW).unwrap_err().kind(), Kind::OverQuota);
    assert_eq!(since(&f, joe), 0);
}

#[test]
fn with_overdraft_one_message_carries_the_mailbox_over() {
    let (f, rules) = ruled();
    rules.lock().unwrap().overdraft = true;
    rules.lock().unwrap().warn_every_s = Some(HOUR_S);
    let joe = f.account("joe");
    f.store.set_limits(joe, &limits(Some(100), None), NOW).unwrap();
    // At the limit it is not over it: no warning, whatever the threshold is, and no grace period.
    assert!(!deliver(&f, joe, INBOX, 100, NOW).unwrap());
    assert_eq!(since(&f, joe), 0);
    assert!(deliver(&f, joe, INBOX, 500, NOW + 1).unwrap());
    assert_eq!(since(&f, joe), NOW + 1);
    assert!(!bounced(deliver(&f, joe, INBOX, 10, NOW + 2)));
    assert!(bounced(deliver(&f, joe, INBOX, 10, NOW + 1 + 2 * HOUR_S)));
    let ann = f.account("ann");
    f.store.set_limits(ann, &limits(None, Some(1)), NOW).unwrap();
    for due in [false, true] {
        assert_eq!(deliver(&f, ann, INBOX, 10, NOW).unwrap(), due);
    }
    assert!(!bounced(deliver(&f, ann, INBOX, 10, NOW)));
}

#[test]
fn of_several_messages_only_one_may_carry_the_mailbox_over() {
    let (f, rules) = ruled();
    rules.lock().unwrap().overdraft = true;
    let joe = f.account("joe");
    let work = f.folder(joe, "Work");
    f.store.set_limits(joe, &limits(Some(250), None), NOW).unwrap();
    let staged = f.stage(&text(100));
    let items = |count: usize| (0..count).map(|_| message(&staged, Flags::NONE)).collect::<Vec<_>>();
    let over = |result: Result<(), StoreError>| assert_eq!(result.unwrap_err().kind(), Kind::OverQuota);
    over(f.store.append(joe, INBOX, &items(4), NOW).map(drop));
    over(f.store.room_for(joe, INBOX, Coming::of([100; 4]), None));
    f.store.room_for(joe, INBOX, Coming::of([100; 3]), None).unwrap();
    // The third of three carries it over; then nothing comes in, by whatever way.
    f.store.append(joe, INBOX, &items(3), NOW).unwrap();
    over(f.store.append(joe, INBOX, &items(1), NOW).map(drop));
    f.store.remove(joe, INBOX, &UidSet::from_ranges([(1, 2)]), NOW).unwrap();
    f.store.set_limits(joe, &limits(None, Some(2)), NOW).unwrap();
    f.store.append(joe, work, &items(2), NOW).unwrap();
    over(f.store.copy((joe, work), &UidSet::from_ranges([(1, 2)]), (joe, INBOX), NOW).map(drop));
    f.store.set_limits(joe, &limits(None, Some(3)), NOW).unwrap();
    over(f.store.copy((joe, work), &UidSet::from_ranges([(1, 2)]), (joe, INBOX), NOW).map(drop));
    f.store.copy((joe, work), &UidSet::one(1), (joe, INBOX), NOW).unwrap();
}

#[test]
fn what_takes_the_place_of_something_leaves_the_clock_running() {
    let (f, _) = ruled();
    let joe = f.account("joe");
    let drafts = f.folder(joe, "Drafts");
    f.store.set_limits(joe, &limits(None, Some(2)), NOW).unwrap();
    deliver(&f, joe, INBOX, 100, NOW).unwrap();
    deliver(&f, joe, INBOX, 100, NOW).unwrap();
    assert_eq!(since(&f, joe), NOW);
    let staged = f.stage(&text(50));
    let item = message(&staged, Flags::NONE);
    f.store.replace(joe, (INBOX, 1), drafts, &item, NOW + HOUR_S).unwrap();
    assert_eq!(since(&f, joe), NOW);
    // A delivery was refused by what is nearly full: neither a move nor a replacement of the same size makes room.
    f.store.set_limits(joe, &limits(Some(160), None), NOW + 2).unwrap();
    assert!(!bounced(deliver(&f, joe, INBOX, 100, NOW + 3)));
    assert_eq!(since(&f, joe), NOW + 3);
    f.store.move_messages((joe, INBOX), &UidSet::one(2), (joe, drafts), NOW + HOUR_S).unwrap();
    assert_eq!(since(&f, joe), NOW + 3);
    f.store.replace(joe, (drafts, 1), INBOX, &item, NOW + HOUR_S).unwrap();
    assert_eq!(since(&f, joe), NOW + 3);
    f.store
        .folder_rename(joe, &FolderPath::parse("Drafts").unwrap(), &FolderPath::parse("Sent").unwrap(), NOW + HOUR_S)
        .unwrap();
    assert_eq!(since(&f, joe), NOW + 3);
    // A smaller one does.
    let staged = f.stage(&text(20));
    f.store.replace(joe, (INBOX, 3), INBOX, &message(&staged, Flags::NONE), NOW + HOUR_S).unwrap();
    assert_eq!(since(&f, joe), 0);
}

#[test]
fn a_message_too_large_for_a_mailbox_with_room_begins_nothing() {
    let (f, rules) = ruled();
    let joe = f.account("joe");
    f.store.set_limits(joe, &limits(Some(1000), None), NOW).unwrap();
    deliver(&f, joe, INBOX, 890, NOW).unwrap();
    // It never goes back, however often it is tried.
    for now_s in [NOW, NOW + 100 * HOUR_S] {
        assert!(!bounced(deliver(&f, joe, INBOX, 950, now_s)));
        assert_eq!(since(&f, joe), 0);
    }
    // From the threshold on the mailbox is what is full.
    rules.lock().unwrap().warn_percent = 89;
    assert!(!bounced(deliver(&f, joe, INBOX, 950, NOW + 5)));
    assert_eq!(since(&f, joe), NOW + 5);
}

#[test]
fn one_root_is_set_whatever_the_others_become() {
    let (f, _) = ruled();
    let joe = f.account("joe");
    let archive = f.folder(joe, "Archive");
    let path = FolderPath::parse("Archive").unwrap();
    let shown = || {
        let roots = f.store.view(joe).unwrap().quota_roots().unwrap();
        roots.into_iter().map(|root| (root.folder, root.bytes, root.messages)).collect::<Vec<_>>()
    };
    f.store.set_root_limits(joe, Some(&path), (Some(7), None), NOW).unwrap();
    f.store.set_root_limits(joe, None, (None, Some(9)), NOW).unwrap();
    assert_eq!(shown(), [(None, None, Some(9)), (Some("Archive".to_owned()), Some(7), None)]);
    assert!(!bounced(deliver(&f, joe, archive, 10, NOW)));
    f.store.set_root_limits(joe, Some(&path), (None, None), NOW).unwrap();
    assert_eq!(shown(), [(None, None, Some(9))]);
    let missing = FolderPath::parse("Missing").unwrap();
    let error = f.store.set_root_limits(joe, Some(&missing), (Some(1), None), NOW).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    // Many at the same time: none is lost.
    let paths: Vec<FolderPath> = (0..8).map(|n| FolderPath::parse(&format!("f{n}")).unwrap()).collect();
    for path in &paths {
        f.folder(joe, &path.to_string());
    }
    std::thread::scope(|scope| {
        for path in &paths {
            scope.spawn(|| f.store.set_root_limits(joe, Some(path), (Some(5), None), NOW).unwrap());
        }
    });
    assert_eq!(shown().len(), 9);
}

#[test]
fn a_warning_is_due_at_the_threshold_and_after_the_interval() {
    let (f, rules) = ruled();
    let set = |change: &dyn Fn(&mut QuotaRules)| change(&mut rules.lock().unwrap());
    set(&|rules| rules.warn_every_s = Some(24 * HOUR_S));
    let joe = f.account("joe");
    f.store.set_limits(joe, &limits(Some(1000), Some(100)), NOW).unwrap();
    assert!(!deliver(&f, joe, INBOX, 899, NOW).unwrap());
    assert!(deliver(&f, joe, INBOX, 10, NOW).unwrap());
    set(&|rules| rules.warn_percent = 100);
    assert!(!deliver(&f, joe, INBOX, 10, NOW).unwrap());
    set(&|rules| rules.warn_percent = 90);
    // It goes into a mailbox in which there is no room for it, once, however many want to deliver it.
    let staged = f.stage(&text(500));
    let delivered = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let item = message(&staged, Flags::NONE);
                delivered
                    .fetch_add(u32::from(f.store.append_warning(joe, INBOX, &item, NOW).unwrap()), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(delivered.into_inner(), 1);
    let row = f.store.view(joe).unwrap().account().unwrap();
    assert_eq!((row.usage_bytes, row.warned_s, row.over_since_s), (1419, NOW, NOW));
    // A refused delivery warns, too, when it is time.
    let staged = f.stage(&text(10));
    let refused = |now_s| {
        let to = [Delivery { account: joe, folder: INBOX, ignore_quota: false, once_s: 0 }];
        assert!(f.store.deliver(&message(&staged, Flags::NONE), &to, now_s).pop().unwrap().is_err());
        f.store.note_refusal(joe, INBOX, now_s).unwrap()
    };
    assert!(!refused(NOW + 24 * HOUR_S - 1) && refused(NOW + 24 * HOUR_S));
    // Put back, the clock does not keep warnings away.
    assert!(refused(NOW - 1));
    set(&|rules| rules.warn_every_s = None);
    assert!(!refused(NOW + 48 * HOUR_S));
}

#[test]
fn a_folder_with_a_limit_is_a_root_of_its_own() {
    let (f, _) = ruled();
    let joe = f.account("joe");
    let archive = f.folder(joe, "Archive");
    let below = f.folder(joe, "Archive/2004");
    let other = f.folder(joe, "Archives");
    let folder = |path: &str, bytes| FolderLimit { path: path.into(), bytes: Some(bytes), ..FolderLimit::default() };
    let all = Limits { bytes: Some(100), messages: None, folders: vec![folder("Archive", 300)] };
    f.store.set_limits(joe, &all, NOW).unwrap();
    assert_eq!(f.store.view(joe).unwrap().account().unwrap().limits(), all);
    deliver(&f, joe, archive, 200, NOW).unwrap();
    deliver(&f, joe, INBOX, 60, NOW).unwrap();
    deliver(&f, joe, other, 40, NOW).unwrap();
    assert!(!bounced(deliver(&f, joe, INBOX, 10, NOW)));
    deliver(&f, joe, below, 100, NOW + 3).unwrap();
    assert!(!bounced(deliver(&f, joe, below, 10, NOW)));
    let view = f.store.view(joe).unwrap();
    let roots = view.quota_roots().unwrap();
    let shown: Vec<_> =
        roots.iter().map(|root| (root.folder.as_deref(), root.usage.bytes, root.over_since_s)).collect();
    assert_eq!(shown, [(None, 100, NOW), (Some("Archive"), 300, NOW + 3)]);
    assert_eq!(view.quota_root_of(below).unwrap(), roots[1]);
    assert_eq!(view.quota_root_of(other).unwrap(), roots[0]);
    drop(view);
    // From one root to another a move needs room; inside one it needs none.
    let (one, new) = (UidSet::one(1), f.folder(joe, "Archive/New"));
    assert_eq!(f.store.move_messages((joe, INBOX), &one, (joe, archive), NOW).unwrap_err().kind(), Kind::OverQuota);
    assert_eq!(f.store.move_messages((joe, below), &one, (joe, new), NOW).unwrap().pairs.len(), 1);
    // Each has its own grace period.
    f.store.remove(joe, archive, &one, NOW).unwrap();
    let since: Vec<i64> =
        f.store.view(joe).unwrap().quota_roots().unwrap().iter().map(|root| root.over_since_s).collect();
    assert_eq!(since, [NOW, 0]);
    assert_eq!(f.store.move_messages((joe, INBOX), &one, (joe, archive), NOW).unwrap().pairs.len(), 1);
    // Renamed, it leaves its limit behind.
    let rename = |from: &str, to: &str| {
        f.store.folder_rename(joe, &FolderPath::parse(from).unwrap(), &FolderPath::parse(to).unwrap(), NOW).unwrap();
    };
    rename("Archive", "Older");
    let roots = f.store.view(joe).unwrap().quota_roots().unwrap();
    assert_eq!((roots[0].usage.bytes, roots[1].usage), (200, Usage::default()));
}

#[test]
fn recounted_usage_is_what_is_recorded_and_repair_finds_nothing() {
    let (f, _) = ruled();
    let joe = f.account("joe");
    let work = f.folder(joe, "Work");
    f.fill(joe, INBOX, 3);
    f.fill(joe, work, 2);
    f.store.remove(joe, INBOX, &UidSet::one(2), NOW).unwrap();
    let usage = f.store.view(joe).unwrap().account().unwrap().usage();
    assert_eq!((f.store.recount(joe).unwrap(), usage.messages), (usage, 4));
    assert_eq!(f.store.repair_usage(joe, NOW).unwrap(), (usage, usage));
    f.store.note_quota_notice(joe, 80, NOW + 1).unwrap();
    let row = f.store.view(joe).unwrap().account().unwrap();
    assert_eq!((row.noticed_s, row.noticed_percent, row.usage()), (NOW + 1, 80, usage));
}

#[test]
fn domains_follow_their_users() {
    let (f, _) = ruled();
    let users = ["joe", "ann@siroe.com", "bob@siroe.com", "eve@sesta.com"].map(|user| f.account(user));
    for (number, user) in users.iter().enumerate() {
        for _ in 0..=number {
            deliver(&f, *user, INBOX, 100, NOW).unwrap();
        }
    }
    let usage = |domain: &str| {
        let usage = f.store.domain_usage(domain).unwrap();
        assert_eq!(f.store.domain_usages().unwrap().get(domain).copied().unwrap_or_default(), usage);
        (usage.accounts, usage.messages, usage.bytes)
    };
    assert_eq!((usage(""), usage("siroe.com"), usage("sesta.com")), ((1, 1, 100), (2, 5, 500), (1, 4, 400)));
    f.store.move_messages((users[3], INBOX), &UidSet::one(1), (users[0], INBOX), NOW).unwrap();
    assert_eq!((usage(""), usage("sesta.com")), ((1, 2, 200), (1, 3, 300)));
    f.store.account_rename(users[3], "eve@siroe.com", NOW).unwrap();
    assert_eq!((usage("siroe.com"), usage("sesta.com")), ((3, 8, 800), (0, 0, 0)));
    f.store.account_delete(users[1], NOW).unwrap();
    assert_eq!(usage("siroe.com"), (2, 6, 600));
    f.store.folder_rename(users[2], &FolderPath::inbox(), &FolderPath::parse("Old").unwrap(), NOW).unwrap();
    f.store.folder_delete(users[2], &FolderPath::parse("Old").unwrap(), NOW).unwrap();
    assert_eq!(usage("siroe.com"), (2, 3, 300));
    let mut rows = Vec::new();
    f.store
        .each_account(&mut |_, found| {
            let (_, row) = found.unwrap();
            rows.push((row.userid, row.usage_messages));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    rows.sort();
    let expected =
        [("bob@siroe.com", 0), ("eve@siroe.com", 3), ("joe", 2)].map(|(user, count)| (user.to_owned(), count));
    assert_eq!(rows, expected);
    assert_eq!(f.store.count_domains(true).unwrap(), 2);
    assert_eq!(usage("siroe.com"), (2, 3, 300));
}
