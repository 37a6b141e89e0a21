//! Messages that come twice, and recipients that keep others waiting.

use msgstore::store::{Appended, Delivery, Flags, FolderId, Kind, Limits, NewMessage, Settings, Store, StoreError};

use super::{Fixture, NOW, message};

const INBOX: FolderId = FolderId::INBOX;
const WINDOW: u32 = 100;

fn text(id: &str, body: &str) -> String {
    format!("Received: on the way\r\nMessage-ID: <{id}>\r\nSubject: one\r\n\r\n{body}\r\n")
}

/// Delivers a message to a folder where it may be once; true: it was put there.
fn once(f: &Fixture, text: &str, to: &[(msgstore::store::AccountId, FolderId)], now_s: i64) -> Vec<bool> {
    let staged = f.stage(text);
    let to: Vec<Delivery> = to
        .iter()
        .map(|(account, folder)| Delivery { account: *account, folder: *folder, ignore_quota: false, once_s: WINDOW })
        .collect();
    let done = f.store.deliver(&message(&staged, Flags::NONE), &to, now_s);
    done.into_iter().map(|one: Result<Option<Appended>, StoreError>| one.unwrap().is_some()).collect()
}

#[test]
fn a_message_that_comes_again_is_there_once() {
    let f = Fixture::new();
    let (joe, ann) = (f.account("joe"), f.account("ann"));
    let work = f.folder(joe, "Work");
    let one = text("1@x", "body");
    assert_eq!(once(&f, &one, &[(joe, INBOX)], NOW), [true]);
    // On another way, with other trace lines; each folder for itself.
    let again = format!("Received: by another way\r\n{one}");
    assert_eq!(once(&f, &again, &[(joe, INBOX), (ann, INBOX), (joe, work)], NOW + 1), [false, true, true]);
    // What differs in its body or its Message-ID is another message, and one without a Message-ID is never known.
    assert_eq!(once(&f, &text("1@x", "Body"), &[(joe, INBOX)], NOW), [true]);
    assert_eq!(once(&f, &text("2@x", "body"), &[(joe, INBOX)], NOW), [true]);
    for _ in 0..2 {
        assert_eq!(once(&f, "Subject: no name\r\n\r\nbody\r\n", &[(joe, INBOX)], NOW), [true]);
    }
    // When the time is over, and by a clock that was put back by far.
    let window = i64::from(WINDOW);
    assert_eq!(once(&f, &one, &[(joe, INBOX)], NOW + window - 1), [false]);
    assert_eq!(once(&f, &one, &[(joe, INBOX)], NOW + window), [true]);
    assert_eq!(once(&f, &one, &[(joe, INBOX)], NOW + window + 1), [false]);
    assert_eq!(once(&f, &one, &[(joe, INBOX)], NOW), [true]);
    // A full mailbox takes what it has already.
    let limits = Limits { bytes: Some(1), ..Limits::default() };
    f.store.set_limits(joe, &limits, NOW).unwrap();
    assert_eq!(once(&f, &one, &[(joe, INBOX)], NOW), [false]);
}

#[test]
fn of_many_at_the_same_time_one_is_put_there() {
    let f = Fixture::new();
    let joe = f.account("joe");
    let one = text("1@x", "body");
    let put: usize = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16).map(|_| scope.spawn(|| once(&f, &one, &[(joe, INBOX)], NOW))).collect();
        all.into_iter().map(|one| usize::from(one.join().unwrap()[0])).sum()
    });
    assert_eq!((put, f.uids(joe, INBOX)), (1, vec![1]));
}

#[test]
fn what_is_old_is_forgotten() {
    let f = Fixture::new();
    let joe = f.account("joe");
    for number in 0..40 {
        assert_eq!(once(&f, &text(&format!("{number}@x"), "body"), &[(joe, INBOX)], NOW + number), [true]);
    }
    assert_eq!(f.store.forget_delivered(NOW + 10).unwrap(), 10);
    assert_eq!(f.store.forget_delivered(NOW + 10).unwrap(), 0);
    // Deliveries forget more than they add.
    for number in 100..115 {
        once(&f, &text(&format!("{number}@x"), "body"), &[(joe, INBOX)], NOW + 1000);
    }
    assert_eq!(once(&f, &text("114@x", "body"), &[(joe, INBOX)], NOW + 1000), [false]);
    assert_eq!(f.store.forget_delivered(i64::MAX).unwrap(), 15);
    assert_eq!(once(&f, &text("114@x", "body"), &[(joe, INBOX)], NOW + 1000), [true]);
    // One that came again after its time is remembered by its last coming.
    let last = NOW + 1000 + i64::from(WINDOW);
    assert_eq!(once(&f, &text("114@x", "body"), &[(joe, INBOX)], last), [true]);
    f.store.forget_delivered(last).unwrap();
    assert_eq!(once(&f, &text("114@x", "body"), &[(joe, INBOX)], last + 1), [false]);
    // The memory goes with its folder and its account.
    let work = f.folder(joe, "Work");
    once(&f, &text("5@x", "body"), &[(joe, work)], last);
    f.store.folder_delete(joe, &msgstore::store::FolderPath::parse("Work").unwrap(), NOW).unwrap();
    f.store.account_delete(joe, NOW).unwrap();
    assert_eq!(f.store.forget_delivered(i64::MAX).unwrap(), 2);
}

/// One recipient's directory is in the way: nothing of it is kept, and the others, in the same transaction of the shard, have the message.
#[test]
fn a_recipient_that_fails_leaves_no_rows_and_takes_nothing_from_others() {
    crate::instance::raise_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        root: dir.path().join("store"),
        partitions: vec![("primary".into(), dir.path().join("store/partition/primary"))],
        default_partition: "primary".into(),
        notify_dir: None,
    };
    Store::create(&settings, 1).unwrap();
    let f = Fixture { store: Store::open(settings).unwrap(), dir };
    let [joe, ann, eve] = ["joe", "ann", "eve"].map(|user| f.account(user));
    let place = f.file(ann, INBOX, 1).parent().unwrap().to_owned();
    std::fs::write(&place, "no directory").unwrap();
    let staged = f.stage(&text("1@x", "body"));
    let item = NewMessage { keywords: vec!["mark".to_owned()], ..message(&staged, Flags::NONE) };
    let to = [joe, ann, eve].map(|account| Delivery { account, folder: INBOX, ignore_quota: false, once_s: WINDOW });
    let done = f.store.deliver(&item, &to, NOW);
    assert!(matches!(done.as_slice(), [Ok(Some(_)), Err(_), Ok(Some(_))]), "{done:?}");
    assert_eq!(done[1].as_ref().unwrap_err().kind(), Kind::Io);
    for (account, keywords, uids) in [(joe, 1, vec![1]), (ann, 0, vec![]), (eve, 1, vec![1])] {
        assert_eq!(f.store.view(account).unwrap().keywords().unwrap().len(), keywords);
        assert_eq!(f.uids(account, INBOX), uids);
    }
    // It did not come to Ann: when it comes again it is no duplicate.
    std::fs::remove_file(&place).unwrap();
    let done = f.store.deliver(&item, &to, NOW);
    assert!(matches!(done.as_slice(), [Ok(None), Ok(Some(_)), Ok(None)]), "{done:?}");
}
