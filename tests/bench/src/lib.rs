//! What the benchmarks share.

#![allow(clippy::unwrap_used)]

use msgstore::store::{FolderPath, Store};

/// Accounts are made by so many threads: they share commits.
const CALLERS: usize = 16;
const NOW_S: i64 = 1_795_000_000;

/// The word behind `name` on the command line.
pub fn option(name: &str, default: &str) -> String {
    let words: Vec<String> = std::env::args().collect();
    words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).cloned().unwrap_or(default.into())
}

/// Makes accounts `list00000`, `list00001`, ... with INBOX and `folders - 1` folders each.
pub fn fill(store: &Store, accounts: usize, folders: usize) {
    std::thread::scope(|scope| {
        for part in 0..CALLERS {
            scope.spawn(move || {
                for number in (part..accounts).step_by(CALLERS) {
                    let account = store.account_create(&format!("list{number:05}"), None, NOW_S).unwrap();
                    for folder in 1..folders {
                        let path = FolderPath::parse(&format!("Folder{folder}")).unwrap();
                        store.folder_create(account, &path, &Default::default(), NOW_S).unwrap();
                    }
                }
            });
        }
    });
}
