//! `mboxutil -l` over many accounts, whole process. Run: `cargo bench --manifest-path tests/bench/Cargo.toml --bench listing -- --program FILE [--accounts N] [--folders N] [--rounds N] [--dir DIR]`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use msgstore::config::Instance;
use msgstore_bench::{fill, option};

fn tool(base: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(option("--program", "target/release/msgstore"));
    command.args(words).env("CONFIGROOT", base.join("config")).stdout(Stdio::piped());
    command
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
    for words in [&["-l"][..], &["-l", "-s"], &["-l", "-x"], &["-l", "--json"], &["-l", "-s", "-p", "user/list0001*"]] {
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
