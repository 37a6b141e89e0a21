//! Delivery into the store, by shards, callers and recipients. Prints one line a case: messages a second (median of the rounds), and flushes are
//! to be counted with `strace -c -f`. Run: `cargo bench --manifest-path tests/bench/Cargo.toml --bench store -- [--dir DIR] [--count N] [--rounds N]`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::expect_used)]

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use msgstore::store::{AccountId, Delivery, Flags, FolderId, NewMessage, Settings, Store};
use msgstore_bench::option;

const NOW: i64 = 1_795_000_000;

struct Case {
    shards: u32,
    callers: usize,
    recipients: usize,
}

fn body(number: usize) -> Vec<u8> {
    let mut text = format!(
        "From: a@example.org\r\nTo: b@example.org\r\nSubject: message {number}\r\nMessage-ID: <{number}@example.org>\r\n\r\n"
    );
    while text.len() < 6000 {
        text.push_str("The quick brown fox jumps over the lazy dog and goes on to the next line of text.\r\n");
    }
    text.into_bytes()
}

fn run(case: &Case, dir: &PathBuf, count: usize) -> f64 {
    let dir = tempfile::tempdir_in(dir).unwrap();
    let settings = Settings {
        root: dir.path().to_owned(),
        partitions: vec![("primary".into(), dir.path().join("primary"))],
        default_partition: "primary".into(),
        notify_dir: None,
    };
    Store::create(&settings, case.shards).unwrap();
    let store = Store::open(settings).unwrap();
    let accounts: Vec<AccountId> =
        (0..100).map(|n| store.account_create(&format!("user{n}"), None, NOW).unwrap()).collect();
    let text = body(1);
    let per = count / case.callers;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..case.callers {
            let (store, accounts, text) = (&store, &accounts, &text);
            scope.spawn(move || {
                for round in 0..per {
                    let mut staging = store.stage("primary").unwrap();
                    staging.write_all(text).unwrap();
                    let staged = staging.finish().unwrap();
                    let first = (caller * 31 + round * case.recipients) % accounts.len();
                    let to: Vec<Delivery> = (0..case.recipients)
                        .map(|n| accounts[(first + n) % accounts.len()])
                        .map(|account| Delivery { account, folder: FolderId::INBOX, ignore_quota: false, once_s: 0 })
                        .collect();
                    let item = NewMessage {
                        staged: &staged,
                        flags: Flags::NONE,
                        keywords: Vec::new(),
                        internal_date_s: NOW,
                        internal_zone_min: 0,
                    };
                    assert!(store.deliver(&item, &to, NOW).iter().all(Result::is_ok));
                }
            });
        }
    });
    (per * case.callers) as f64 / begin.elapsed().as_secs_f64()
}

fn main() {
    let dir = PathBuf::from(option("--dir", "/tmp"));
    let count: usize = option("--count", "800").parse().unwrap();
    let rounds: usize = option("--rounds", "3").parse().unwrap();
    let numbers = |name: &str, default: &str| -> Vec<usize> {
        option(name, default).split(',').map(|n| n.parse().unwrap()).collect()
    };
    let mut cases = Vec::new();
    for callers in numbers("--callers", "1,16") {
        for recipients in numbers("--recipients", "1,10") {
            for shards in numbers("--shards", "1,4,16") {
                let shards = u32::try_from(shards).unwrap();
                cases.push((Case { shards, callers, recipients }, Vec::new()));
            }
        }
    }
    for _ in 0..rounds {
        for (case, rates) in &mut cases {
            rates.push(run(case, &dir, count / if case.recipients > 1 { 4 } else { 1 }));
        }
    }
    for (case, rates) in &mut cases {
        rates.sort_by(f64::total_cmp);
        println!(
            "shards {:2}  callers {:2}  recipients {:2}: {:7.0} messages/s  ({:.0} to {:.0})",
            case.shards,
            case.callers,
            case.recipients,
            rates[rates.len() / 2],
            rates[0],
            rates[rates.len() - 1],
        );
    }
}
