//! `mboxutil -l` over many accounts, whole process. Run: `cargo bench --bench listing -- [--accounts N] [--folders N] [--rounds N] [--dir DIR]`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use msgstore::config::Instance;
use msgstore::store::{FolderPath, Store};

fn option(name: &str, default: &str) -> String {
    let words: Vec<String> = std::env::args().collect();
    words.iter().position(|word| word == name).and_then(|at| words.get(at + 1)).cloned().unwrap_or(default.into())
}

fn tool(base: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_msgstore"));
    command.args(words).env("CONFIGROOT", base.join("config")).stdout(Stdio::piped());
    command
}

fn fill(store: &Store, accounts: usize, folders: usize) {
    std::thread::scope(|scope| {
        for part in 0..8 {
            scope.spawn(move || {
                for number in (part..accounts).step_by(8) {
                    let account = store.account_create(&format!("user{number:05}"), None, 1_000).unwrap();
                    for folder in 1..folders {
                        let path = FolderPath::parse(&format!("Folder{folder}")).unwrap();
                        store.folder_create(account, &path, &Default::default(), 1_000).unwrap();
                    }
                }
            });
        }
    });
}

fn main() {
    let number = |name, default| option(name, default).parse::<usize>().unwrap();
    let (accounts, folders, rounds) =
        (number("--accounts", "1000"), number("--folders", "10"), number("--rounds", "5"));
    let dir = tempfile::tempdir_in(option("--dir", "/tmp")).unwrap();
    let base = dir.path().join("instance");
    let made = tool(&base, &["configure", "--base", base.to_str().unwrap()]).output().unwrap();
    assert!(made.status.success());
    let instance = Instance::at(&base);
    let store = msgstore::ops::store::open(&instance, &instance.conf().unwrap()).unwrap();
    fill(&store, accounts, folders);
    let mut stored = tool(&base, &["stored"]).spawn().unwrap();
    while !msgstore::os::process::is_ready(&instance.proc_dir(), "store") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    println!("{accounts} accounts with {folders} mailboxes each, {rounds} rounds: median ms (min to max)");
    for words in [&["-l"][..], &["-l", "-s"], &["-l", "-x"], &["-l", "--json"], &["-l", "-s", "-p", "user/user0001*"]] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let begin = Instant::now();
            let listed = tool(&base, &[&["mboxutil"], words].concat()).output().unwrap();
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            assert!(listed.status.success());
        }
        times.sort_by(f64::total_cmp);
        let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
        println!("mboxutil {:<28} {median:9.1}  ({:.1} to {last:.1})", words.join(" "), times[0]);
    }
    stored.kill().unwrap();
    stored.wait().unwrap();
}
