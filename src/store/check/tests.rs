// Files are damaged on purpose.
#![allow(clippy::disallowed_methods)]

use super::super::codec;
use super::super::record::Account;
use super::super::{Keywords, NewMessage, Settings, Tx, UidSet, rows, schema};
use super::*;

fn opened(dir: &tempfile::TempDir) -> Store {
    let settings = Settings {
        root: dir.path().to_owned(),
        partitions: vec![("primary".into(), dir.path().join("primary"))],
        default_partition: "primary".into(),
        notify_dir: None,
    };
    Store::create(&settings, 1).unwrap();
    Store::open(settings).unwrap()
}

#[test]
fn a_use_of_two_folders_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir);
    let joe = store.account_create("joe", None, 1_000).unwrap();
    let create =
        |name: &str| store.folder_create(joe, &FolderPath::parse(name).unwrap(), &Default::default(), 1_000).unwrap();
    let (sent, work) = (create("Sent"), create("Work"));
    assert_eq!(store.check(Depth::default()).unwrap(), []);
    let row = Folder { special_use: sent.special_use, ..work };
    store.change(joe, |tx| rows::put_folder(tx.txn, joe, &row)).unwrap();
    let findings = store.check(Depth::default()).unwrap();
    let seen: Vec<_> = findings.iter().map(|found| (found.invariant, found.to_string())).collect();
    assert_eq!(seen, [("I12", "user/joe/Work: \\Sent belongs to another mailbox, too [I12]".to_owned())]);
    assert!(findings[0].meaning().contains("special use"));
}

#[test]
fn a_faulty_access_control_list_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir);
    let joe = store.account_create("joe", None, 1_000).unwrap();
    let mut row = store.view(joe).unwrap().folder(FolderId::INBOX).unwrap().unwrap();
    row.acl.0.extend(row.acl.0.clone());
    store.change(joe, |tx| rows::put_folder(tx.txn, joe, &row)).unwrap();
    let findings = store.check(Depth::default()).unwrap();
    let seen: Vec<_> = findings.iter().map(|found| (found.invariant, found.to_string())).collect();
    let what = "user/joe/INBOX: joe has two entries in the access control list [I13]";
    assert_eq!(seen, [("I13", what.to_owned())]);
    assert!(findings[0].meaning().contains("access control list"));
}

#[test]
fn a_damaged_row_is_a_finding_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir);
    let ids: Vec<AccountId> =
        ["ann", "eve", "joe"].iter().map(|userid| store.account_create(userid, None, 1_000).unwrap()).collect();
    store.folder_create(ids[1], &FolderPath::parse("Work").unwrap(), &Default::default(), 1_000).unwrap();
    assert_eq!(store.check(Depth::default()).unwrap(), []);
    let spoil = |account: AccountId, key: Vec<u8>| {
        store.change(account, |tx| rows::put(tx.txn, &key, vec![0xff])).unwrap();
    };
    spoil(ids[0], schema::account(ids[0]));
    spoil(ids[1], schema::folder(ids[1], FolderId(2)));
    let names: Vec<String> = store.accounts().unwrap().into_iter().map(|(userid, _)| userid).collect();
    assert_eq!(names, ["ann", "eve", "joe"]);
    let findings = store.check(Depth::default()).unwrap();
    let seen: Vec<_> = findings.iter().map(|found| (found.invariant, found.place.as_str())).collect();
    assert_eq!(seen, [("I11", "user/ann"), ("I11", "user/eve/Work")], "{findings:#?}");
}

/// A store with a user joe: three messages in INBOX, the second expunged and the third flagged, and mailboxes Work and Work/2004.
struct Damaged {
    dir: tempfile::TempDir,
    store: Store,
    joe: AccountId,
}

impl Damaged {
    fn new() -> Damaged {
        let dir = tempfile::tempdir().unwrap();
        let store = opened(&dir);
        let joe = store.account_create("joe", None, 1_000).unwrap();
        let mut staging = store.stage("primary").unwrap();
        std::io::Write::write_all(&mut staging, b"Subject: x\r\n\r\nx\r\n").unwrap();
        let staged = staging.finish().unwrap();
        let new = || NewMessage {
            staged: &staged,
            flags: Flags::NONE,
            keywords: vec!["urgent".into()],
            internal_date_s: 1,
            internal_zone_min: 0,
        };
        store.append(joe, FolderId::INBOX, &[new(), new(), new()], 1_000).unwrap();
        store.remove(joe, FolderId::INBOX, &UidSet::one(2), 1_000).unwrap();
        let below = FolderPath::parse("Work/2004").unwrap();
        store.folder_create(joe, &below, &Default::default(), 1_000).unwrap();
        Damaged { dir, store, joe }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("primary").join(layout::account_directory("joe"))
    }

    fn rows(&self, change: impl Fn(&mut Tx<'_, '_>) -> Result<(), StoreError> + Send) {
        self.store.change(self.joe, change).unwrap();
    }

    fn row(&self, path: &str) -> Folder {
        self.store.view(self.joe).unwrap().resolve(&FolderPath::parse(path).unwrap()).unwrap().unwrap()
    }

    /// Changes a mailbox's row.
    fn folder(&self, path: &str, change: impl Fn(&mut Folder)) {
        let mut row = self.row(path);
        change(&mut row);
        self.rows(|tx| rows::put_folder(tx.txn, self.joe, &row));
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.rows(|tx| rows::put(tx.txn, key, value.to_vec()));
    }

    fn del(&self, key: &[u8]) {
        self.rows(|tx| tx.txn.del(key).map(|_| ()));
    }

    fn states(&self, runs: &[StateRun]) {
        self.rows(|tx| rows::put_chunk(tx.txn, self.joe, FolderId::INBOX, 1, runs));
    }
}

/// What is found after a change: invariants, and messages.
fn found(damage: impl Fn(&Damaged)) -> Vec<(&'static str, Option<Uid>)> {
    let it = Damaged::new();
    assert_eq!(it.store.check(Depth { content: true }).unwrap(), []);
    damage(&it);
    let findings = it.store.check(Depth { content: true }).unwrap();
    assert!(findings.iter().all(|found| found.harmless == (found.invariant == "I4")));
    findings.into_iter().map(|found| (found.invariant, found.uid)).collect()
}

#[test]
fn files_that_are_not_as_recorded_are_findings() {
    assert_eq!(found(|it| fs::remove_file(it.home().join("00/1.msg")).unwrap()), [("I1", Some(1))]);
    // One file under two names.
    let longer = |it: &Damaged| fs::write(it.home().join("00/1.msg"), "longer than it was at first").unwrap();
    assert_eq!(found(longer), [("I1", Some(1)), ("I1", Some(3))]);
    // Another content of the same length.
    let other = |it: &Damaged| {
        fs::remove_file(it.home().join("00/1.msg")).unwrap();
        fs::write(it.home().join("00/1.msg"), "Subject: y\r\n\r\ny\r\n").unwrap();
    };
    assert_eq!(found(other), [("I1", Some(1))]);
    let directory = |it: &Damaged| {
        fs::remove_file(it.home().join("00/1.msg")).unwrap();
        fs::create_dir(it.home().join("00/1.msg")).unwrap();
    };
    assert_eq!(found(directory), [("I1", Some(1))]);
    assert_eq!(found(|it| fs::write(it.home().join("00/x.msg"), "").unwrap()), [("I2", None)]);
    let misplaced = |it: &Damaged| {
        fs::create_dir(it.home().join("01")).unwrap();
        fs::write(it.home().join("01/1.msg"), "").unwrap();
    };
    assert_eq!(found(misplaced), [("I2", None)], "message 1 lies in 00");
    // What was purged is given to nobody else.
    assert_eq!(found(|it| it.del(&schema::gone(it.joe, FolderId::INBOX, 2))), [("I2", Some(2))]);
    // A place that was not given out yet may be taken.
    assert_eq!(found(|it| fs::write(it.home().join("00/9.msg"), "").unwrap()), []);
    let index = |it: &Damaged, change: fn(&mut Vec<u8>)| {
        let path = it.home().join("store.idx");
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
    };
    let all = [("I4", None), ("I4", Some(1)), ("I4", Some(3))];
    assert_eq!(found(|it| fs::remove_file(it.home().join("store.idx")).unwrap()), all);
    // The header is that of another mailbox.
    assert_eq!(found(|it| index(it, |bytes| bytes[20] ^= 1)), [("I4", None)]);
    // Behind the entries lies the tombstone of message 2: 16 bytes of header, 3 of content.
    let last = |bytes: &mut Vec<u8>| {
        let at = bytes.len() - 20;
        bytes[at] ^= 1;
    };
    assert_eq!(found(|it| index(it, last)), [("I4", Some(3))]);
    let block = |it: &Damaged| {
        assert_eq!(it.store.checkpoint(1_000).unwrap(), 3);
        index(it, |bytes| *bytes.last_mut().unwrap() ^= 1);
    };
    assert_eq!(found(block), [("I4", None)]);
    // A block that nothing follows is written over; of what did not change none is written.
    let sizes = |it: &Damaged| {
        let len = || fs::metadata(it.home().join("store.idx")).unwrap().len();
        it.store.checkpoint(1_000).unwrap();
        let first = len();
        it.folder("INBOX", |row| row.highest_modseq += 0);
        assert_eq!(it.store.checkpoint(1_001).unwrap(), 0);
        it.store.subscribe(it.joe, "Work", true).unwrap();
        assert_eq!(it.store.checkpoint(1_002).unwrap(), 1);
        assert_eq!(len(), first + 5, "the block has a name more");
    };
    assert_eq!(found(sizes), []);
}

#[test]
fn counters_that_are_wrong_are_findings() {
    assert_eq!(found(|it| it.folder("INBOX", |row| row.unseen -= 1)), [("I3", None)]);
    assert_eq!(found(|it| it.folder("INBOX", |row| row.deleted += 1)), [("I3", None)]);
    // The account's usage is the sum of what its mailboxes say.
    assert_eq!(found(|it| it.folder("INBOX", |row| row.exists += 1)), [("I3", None), ("I3", None)]);
    assert_eq!(found(|it| it.folder("INBOX", |row| row.bytes += 1)), [("I3", None), ("I3", None)]);
    let usage = |it: &Damaged| {
        let owner = it.store.view(it.joe).unwrap().account().unwrap();
        it.rows(|tx| rows::put_account(tx.txn, it.joe, &Account { usage_messages: 9, ..owner.clone() }));
    };
    assert_eq!(found(usage), [("I3", None)]);
    let counts = |row: &mut Folder| (row.noselect, row.unseen) = (true, 1);
    assert_eq!(found(|it| it.folder("Work/2004", counts)), [("I3", None)]);
}

#[test]
fn places_that_are_wrong_are_findings() {
    assert_eq!(found(|it| fs::remove_dir_all(it.home().join("=+Work")).unwrap()), [("I5", None), ("I5", None)]);
    let stray = |it: &Damaged| fs::create_dir_all(it.home().join("=other/00")).unwrap();
    assert_eq!(found(stray), [("I5", None)]);
    let elsewhere = |it: &Damaged| fs::create_dir_all(it.dir.path().join("primary/=user/00/00/=joe/00")).unwrap();
    assert_eq!(found(elsewhere), [("I8", None)]);
    let renamed = |it: &Damaged| {
        let owner = it.store.view(it.joe).unwrap().account().unwrap();
        it.rows(|tx| rows::put_account(tx.txn, it.joe, &Account { userid: "eve".into(), ..owner.clone() }));
    };
    let seen = found(renamed);
    assert!(seen.contains(&("I5", None)), "the map does not lead to eve: {seen:?}");
}

#[test]
fn modseqs_and_operations_that_cannot_be_are_findings() {
    let run = StateRun { first: 1, count: 1, flags: Flags::NONE, keywords: Keywords(1), modseq: 1 };
    let late = StateRun { modseq: 1 << 40, ..run };
    assert_eq!(found(|it| it.states(&[late, StateRun { first: 3, ..run }])), [("I7", Some(1))]);
    assert_eq!(found(|it| it.folder("INBOX", |row| row.highest_modseq = 1 << 40)), [("I7", None)]);
    let expunged = |it: &Damaged| it.put(&schema::expunged(it.joe, FolderId::INBOX, 1 << 40, 2), &2u32.to_le_bytes());
    assert_eq!(found(expunged), [("I7", Some(2))]);
    let dead = |it: &Damaged| {
        let bytes = super::super::codec::Writer::new(1).u32(1 << 30).u64(1).u8(4).finish();
        it.put(&super::super::intent::intent_key(it.joe), &bytes);
    };
    assert_eq!(found(dead), [("I9", None)]);
}

#[test]
fn rows_and_states_that_differ_are_findings() {
    let run = StateRun { first: 1, count: 1, flags: Flags::NONE, keywords: Keywords(1), modseq: 1 };
    let third = StateRun { first: 3, ..run };
    assert_eq!(found(|it| it.states(&[third])), [("I10", Some(1)), ("I3", None)]);
    assert_eq!(
        found(|it| it.states(&[run, third, StateRun { first: 5, ..run }])),
        [("I10", Some(5)), ("I10", Some(5)), ("I3", None)]
    );
    assert_eq!(found(|it| it.folder("INBOX", |row| row.uidnext = 3)), [("I10", Some(3))]);
    let lost = found(|it| it.del(&schema::message(it.joe, FolderId::INBOX, 1)));
    assert_eq!(lost, [("I10", Some(1)), ("I3", None), ("I2", Some(1))]);
}

#[test]
fn rows_that_cannot_be_read_are_findings() {
    let inbox = FolderId::INBOX;
    assert_eq!(found(|it| it.put(&schema::key(it.joe, 99, inbox, &[]), &[1])), [("I11", None)], "a kind there is not");
    assert_eq!(found(|it| it.put(&schema::expunged(it.joe, inbox, 1, 2), &[1])), [("I11", None)]);
    assert_eq!(
        found(|it| it.put(&schema::key(it.joe, schema::kind::KEYWORD, FolderId::TOP, &[0]), &[0xff])),
        [("I11", None)]
    );
    assert_eq!(found(|it| it.put(&schema::gone(it.joe, inbox, 2), &[0xff])), [("I11", None)]);
    assert_eq!(found(|it| it.put(&schema::message(it.joe, inbox, 1), &[0xff])), [("I11", None)]);
    assert_eq!(found(|it| it.put(&schema::state(it.joe, inbox, 1), &[0xff])), [("I11", None)]);
    let bad_sum = |key: Vec<u8>| move |it: &Damaged| it.rows(|tx| tx.txn.put(&key, b"no sum"));
    assert_eq!(found(bad_sum(schema::redo(AccountId(5), inbox, 1))), [("I11", None)]);
    assert_eq!(found(bad_sum(super::super::intent::intent_key(AccountId(5)))), [("I11", None)]);
    let version = |key: Vec<u8>| move |it: &Damaged| it.put(&key, &[1]);
    assert_eq!(found(version(schema::redo(AccountId(5), inbox, 1))), [("I11", None)]);
    let delivered = |it: &Damaged| schema::delivered(it.joe, inbox, &[7; 16]);
    assert_eq!(found(|it| it.put(&delivered(it), &[1])), [("I11", None)]);
    assert_eq!(found(|it| it.put(&delivered(it)[..20], &codec::Writer::new(1).i64(5).finish())), [("I11", None)]);
}

#[test]
fn a_remembered_delivery_is_no_damage() {
    let delivered = |it: &Damaged, folder: FolderId| {
        it.put(&schema::delivered(it.joe, folder, &[7; 16]), &codec::Writer::new(1).i64(1_000).finish());
    };
    assert_eq!(found(|it| delivered(it, FolderId::INBOX)), []);
    // It is no message of a name without a mailbox, and usage is still compared.
    let work = |it: &Damaged| {
        it.folder("Work", |row| row.noselect = true);
        delivered(it, it.row("Work").id);
    };
    assert_eq!(found(work), []);
    let usage = |it: &Damaged| {
        delivered(it, FolderId::INBOX);
        let owner = it.store.view(it.joe).unwrap().account().unwrap();
        it.rows(|tx| rows::put_account(tx.txn, it.joe, &Account { usage_messages: 9, ..owner.clone() }));
    };
    assert_eq!(found(usage), [("I3", None)]);
}

/// An operation of a newer build, or a damaged one, is told and hides no other.
#[test]
fn operations_that_cannot_be_read_are_findings() {
    let put = |it: &Damaged, account: AccountId, operation: u8| {
        let bytes = codec::Writer::new(1).u32(1 << 30).u64(1).u8(operation).finish();
        it.put(&super::super::intent::intent_key(account), &bytes);
    };
    assert_eq!(found(|it| put(it, it.joe, 99)), [("I11", None)]);
    let both = |it: &Damaged| {
        // It comes first.
        put(it, AccountId(0), 99);
        put(it, it.joe, 4);
    };
    assert_eq!(found(both), [("I11", None), ("I9", None)]);
    let it = Damaged::new();
    put(&it, AccountId(0), 99);
    put(&it, it.joe, 4);
    assert!(it.store.finish_intents().is_err(), "the one that cannot be read");
    assert_eq!(it.store.account_id("joe").unwrap(), None, "the other was finished");
}

/// A mailbox alone is looked at as it is with all others; what is about others is not told.
#[test]
fn one_mailbox_is_checked_as_all_are() {
    let it = Damaged::new();
    let only = |path: &str| {
        let findings =
            it.store.check_account(it.joe, Some(&FolderPath::parse(path).unwrap()), Depth::default()).unwrap();
        findings.into_iter().map(|found| (found.invariant, found.place)).collect::<Vec<_>>()
    };
    let inbox = |invariant: &'static str| (invariant, "user/joe/INBOX".to_owned());
    assert_eq!(only("INBOX"), []);
    it.put(&schema::expunged(it.joe, FolderId::INBOX, 1 << 40, 2), &2u32.to_le_bytes());
    it.put(&schema::expunged(it.joe, FolderId::INBOX, 1, 2), &3u32.to_le_bytes());
    it.put(&schema::expunged(it.joe, FolderId::INBOX, 2, 2), &[1]);
    it.del(&schema::key(it.joe, schema::kind::KEYWORD, FolderId::TOP, &[0]));
    it.folder("Work/2004", |row| row.uidvalidity = 0);
    assert_eq!(only("INBOX"), ["I11", "I15", "I7", "I16"].map(inbox));
    assert_eq!(only("Work"), [("I14", "user/joe/Work/2004".to_owned())]);
}

#[test]
fn trees_that_do_not_fit_together_are_findings() {
    let work = |it: &Damaged| it.row("Work").id;
    let year = |it: &Damaged| it.row("Work/2004").id;
    // Its rows and files have no name any more; its directory is still that of a mailbox that nobody knows.
    assert_eq!(found(|it| it.del(&schema::name(it.joe, work(it), "2004"))), [("I14", None)]);
    assert_eq!(found(|it| it.del(&schema::folder(it.joe, year(it)))), [("I14", None)]);
    assert_eq!(
        found(|it| it.put(&schema::name(it.joe, FolderId::TOP, "Twice"), &year(it).0.to_le_bytes()))[0],
        ("I14", None)
    );
    assert_eq!(found(|it| it.folder("Work/2004", |row| row.component = "2005".into()))[0], ("I14", None));
    assert_eq!(found(|it| it.folder("Work/2004", |row| row.uidvalidity = 0)), [("I14", None)]);
    assert_eq!(found(|it| it.folder("Work", |row| row.mailbox_id = it.row("INBOX").mailbox_id)), [("I14", None)]);
    let low = |it: &Damaged| {
        let owner = it.store.view(it.joe).unwrap().account().unwrap();
        it.rows(|tx| rows::put_account(tx.txn, it.joe, &Account { last_folder: year(it).0 - 1, ..owner.clone() }));
    };
    assert_eq!(found(low), [("I14", None)]);
    // What lies below one that is not there is looked at all the same, and hides nothing of the account.
    let above = |it: &Damaged| {
        it.del(&schema::folder(it.joe, work(it)));
        fs::remove_file(it.home().join("00/1.msg")).unwrap();
    };
    assert_eq!(found(above), [("I14", None), ("I1", Some(1))]);
    // Below itself.
    let circle = |it: &Damaged| {
        let (id, below) = (work(it), year(it));
        it.del(&schema::name(it.joe, FolderId::TOP, "Work"));
        it.put(&schema::name(it.joe, below, "Work"), &id.0.to_le_bytes());
        let row = it.store.view(it.joe).unwrap().folder(id).unwrap().unwrap();
        it.rows(|tx| rows::put_folder(tx.txn, it.joe, &Folder { parent: below, ..row.clone() }));
    };
    assert_eq!(found(circle), [("I14", None), ("I14", None)]);
    let seen = found(|it| it.del(&schema::name(it.joe, FolderId::TOP, "INBOX")));
    assert!(seen.contains(&("I14", None)), "{seen:?}");
    let seen = found(|it| it.del(&schema::folder(it.joe, FolderId::INBOX)));
    assert!(
        seen.iter().filter(|one| **one == ("I14", None)).count() >= 3,
        "no INBOX, its name, its messages: {seen:?}"
    );
    let seen = found(|it| it.folder("INBOX", |row| row.noselect = true));
    assert!(seen.contains(&("I14", None)), "{seen:?}");
}

#[test]
fn expunged_messages_that_exist_are_findings() {
    let expunged = |it: &Damaged, first: Uid, last: Uid| {
        it.put(&schema::expunged(it.joe, FolderId::INBOX, 1, first), &last.to_le_bytes());
    };
    assert_eq!(found(|it| expunged(it, 2, 3)), [("I15", Some(2))]);
    assert_eq!(found(|it| expunged(it, 2, 9)), [("I15", Some(2))]);
    assert_eq!(found(|it| expunged(it, 2, 1)), [("I15", Some(2))]);
    let gone = |it: &Damaged, uid: Uid| {
        let row = rows::gone(&it.store.view(it.joe).unwrap().read, it.joe, FolderId::INBOX, 2).unwrap().unwrap();
        it.put(&schema::gone(it.joe, FolderId::INBOX, uid), &row.encode());
    };
    assert_eq!(found(|it| gone(it, 3)), [("I15", Some(3))]);
    assert_eq!(found(|it| gone(it, 9)), [("I15", Some(9))]);
}

#[test]
fn keywords_without_names_are_findings() {
    let key = |it: &Damaged, number: u8| schema::key(it.joe, schema::kind::KEYWORD, FolderId::TOP, &[number]);
    assert_eq!(found(|it| it.del(&key(it, 0))), [("I16", None)]);
    assert_eq!(found(|it| it.put(&key(it, 2), b"other")), [("I16", None)]);
}
