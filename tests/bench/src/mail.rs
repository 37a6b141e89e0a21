//! Makes accounts with mail in an instance: `mail CONFIG_DIRECTORY LETTERS FIRST COUNT`. Accounts `exp00000` and so on, from number FIRST on, get the
//! messages in the directory LETTERS, each a file of its own; INTERNALDATE is the time of the file there. For measuring expiry only.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use msgstore::config::Instance;
use msgstore::os::clock;
use msgstore::store::{Flags, FolderId, NewMessage, Staged, Store};

/// Accounts are filled by so many threads: they share flushes and commits.
const CALLERS: usize = 16;
const PARTITION: &str = "primary";

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let base = Path::new(&words[1]).parent().unwrap();
    assert!(
        base.metadata().unwrap().uid() == 0,
        "this instance belongs to a service account; the benchmark's does not"
    );
    let instance = Instance::at(base);
    let store = msgstore::ops::store::open(&instance, &instance.conf().unwrap()).unwrap();
    let letters = letters(Path::new(&words[2]));
    let (first, count): (usize, usize) = (words[3].parse().unwrap(), words[4].parse().unwrap());
    std::thread::scope(|scope| {
        for part in 0..CALLERS {
            let (store, letters) = (&store, &letters);
            scope.spawn(move || {
                for number in (first + part..first + count).step_by(CALLERS) {
                    fill(store, &format!("exp{number:05}"), letters);
                }
            });
        }
    });
}

/// The messages with their times, by the names of their files.
fn letters(dir: &Path) -> Vec<(Vec<u8>, i64)> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| (std::fs::read(path).unwrap(), path.metadata().unwrap().mtime())).collect()
}

fn fill(store: &Store, userid: &str, letters: &[(Vec<u8>, i64)]) {
    let now_s = clock::now_s();
    let account = store.account_create(userid, None, now_s).unwrap();
    let staged = |text: &[u8]| {
        let mut staging = store.stage(PARTITION).unwrap();
        staging.write_all(text).unwrap();
        staging.finish().unwrap()
    };
    let staged: Vec<Staged> = letters.iter().map(|(text, _)| staged(text)).collect();
    let items: Vec<NewMessage<'_>> = staged
        .iter()
        .zip(letters)
        .map(|(staged, (_, came_s))| NewMessage {
            staged,
            flags: Flags::NONE,
            keywords: Vec::new(),
            internal_date_s: *came_s,
            internal_zone_min: 0,
        })
        .collect();
    store.append(account, FolderId::INBOX, &items, now_s).unwrap();
}
