//! Ten times as many messages take no more memory.

use std::io::Write;

use msgstore::store::{Flags, FolderId, NewMessage};

use crate::instance::Instance;

/// Messages of each account.
const EACH: usize = 1000;

/// Makes accounts with old messages, those of each account names of one file: a file cannot have many more.
fn accounts(it: &Instance, from: usize, to: usize) {
    let store = it.store();
    for number in from..to {
        let mut staging = store.stage("primary").unwrap();
        staging.write_all(b"Subject: old\r\n\r\nx\r\n").unwrap();
        let staged = staging.finish().unwrap();
        let item = || NewMessage {
            staged: &staged,
            flags: Flags::NONE,
            keywords: Vec::new(),
            internal_date_s: 1_000,
            internal_zone_min: 0,
        };
        let account = store.account_create(&format!("user{number:05}"), None, 1_000).unwrap();
        let items: Vec<NewMessage<'_>> = (0..EACH).map(|_| item()).collect();
        store.append(account, FolderId::INBOX, &items, 1_000).unwrap();
    }
}

/// `MSGSTORE_EXPIRE_ACCOUNTS` sets how many accounts of a thousand messages there are.
#[test]
fn memory_does_not_grow_with_the_messages() {
    let many = std::env::var("MSGSTORE_EXPIRE_ACCOUNTS").map_or(60, |text| text.parse().unwrap());
    let it = Instance::new();
    it.rules("Old.folderpattern: user/*\nOld.messagedays: 30\n");
    let runs: [&[&str]; 2] =
        [&["-n", "-e", "--explain", "-r", "2"], &["-n", "-e", "--explain", "-r", "2", "--max-percent", "100"]];
    accounts(&it, 0, many / 10);
    let few = runs.map(|words| it.memory("imexpire", words));
    accounts(&it, many / 10, many);
    let all = runs.map(|words| it.memory("imexpire", words));
    for (few, all) in few.into_iter().zip(all) {
        eprintln!(
            "figures: {} messages: {} KiB of its own, {} KiB with the mapped database; {}: {} KiB, {} KiB",
            many / 10 * EACH,
            few.0,
            few.1,
            many * EACH,
            all.0,
            all.1
        );
        // Two lines are the sums.
        assert_eq!((few.2, all.2), (many / 10 * EACH + 2, many * EACH + 2));
        assert!(all.0 < few.0 + 2048, "{few:?} {all:?}");
    }
}
