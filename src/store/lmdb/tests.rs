//! The environment among threads and processes. Children are this test binary, running [`role`] alone.

use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;

const MIB: usize = 1 << 20;
/// A guard against hanging, and the life of a child that is not killed.
const PATIENCE: Duration = Duration::from_secs(300);

/// A batch that notes what its jobs left.
#[derive(Default)]
struct Noted {
    commits: Mutex<Vec<Vec<u32>>>,
}

impl Batch for Noted {
    type Extra = Vec<u32>;
    fn mark(&self, extra: &Vec<u32>) -> (usize, usize) {
        (extra.len(), 0)
    }
    fn rewind(&self, extra: &mut Vec<u32>, mark: (usize, usize)) {
        extra.truncate(mark.0);
    }
    fn before_commit(&self, _: &Vec<u32>) -> Result<(), StoreError> {
        Ok(())
    }
    fn committed(&self, extra: &Vec<u32>) {
        lock(&self.commits).push(extra.clone());
    }
}

fn put(env: &'static Env, key: &str, value: &[u8]) {
    Group::new(env, Noted::default()).run(|txn, _| txn.put(key.as_bytes(), value)).unwrap();
}

fn get(env: &'static Env, key: &str) -> Option<Vec<u8>> {
    env.read().unwrap().get(key.as_bytes()).unwrap().map(<[u8]>::to_vec)
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{text}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What a child does. Without its variables it does nothing.
#[test]
fn role() {
    let (Ok(role), Some(dir)) = (std::env::var("LMDB_ROLE"), std::env::var_os("LMDB_DIR")) else { return };
    let env = Env::open(Path::new(&dir), false).unwrap();
    match role.as_str() {
        "reader" => {
            let read = env.read().unwrap();
            assert!(read.get(b"there").unwrap().is_some());
            say("ready");
            std::thread::sleep(PATIENCE);
        }
        "writer" => {
            let group = Group::new(env, Noted::default());
            let never = group.run(|txn, _| {
                txn.put(b"half", &vec![7; 3 * MIB])?;
                txn.put(b"there", b"changed")?;
                say("ready");
                std::thread::sleep(PATIENCE);
                Ok(())
            });
            drop(never);
        }
        "filler" => {
            put(env, "much", &vec![9; 3 * MIB]);
            say("ready");
        }
        other => panic!("role {other}"),
    }
}

/// A child in a role. What it writes is read from here as long as it lives.
struct Other {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Other {
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn ends(mut self) {
        self.lines.by_ref().for_each(drop);
        assert!(self.process.wait().unwrap().success());
    }
}

/// A child in a role, once it has said that it is ready.
fn child(role: &str, dir: &Path) -> Other {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::lmdb::tests::role", "--nocapture", "--test-threads=1"])
        .envs([("LMDB_ROLE", role.as_ref()), ("LMDB_DIR", dir.as_os_str())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "@ready"), "the child ended early");
    Other { process, lines }
}

#[test]
fn an_environment_is_opened_once_by_whatever_path() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("env");
    std::fs::create_dir(&place).unwrap();
    assert!(matches!(Env::open(&place, false), Err(StoreError::Unavailable { .. })), "it is not there yet");
    let env = Env::open(&place, true).unwrap();
    assert!(std::ptr::eq(env, Env::open(&place, false).unwrap()));
    std::os::unix::fs::symlink(&place, dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("above")).unwrap();
    for other in ["link", "above/env", "above/above/link", "env/../env"] {
        assert!(std::ptr::eq(env, Env::open(&dir.path().join(other), true).unwrap()), "{other}");
    }
    let twin = dir.path().join("twin");
    std::fs::create_dir(&twin).unwrap();
    std::fs::hard_link(place.join("data.mdb"), twin.join("data.mdb")).unwrap();
    assert!(std::ptr::eq(env, Env::open(&twin, true).unwrap()), "another path to the same inode");
    assert!(!twin.join("lock.mdb").exists());
}

#[test]
fn a_killed_reader_is_reaped_and_pins_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::open(dir.path(), true).unwrap();
    put(env, "there", b"first");
    let reader = child("reader", dir.path());
    assert_eq!(env.reap_readers().unwrap(), 0, "it is alive");
    let churn = |rounds: u8| {
        for round in 0..rounds {
            put(env, "block", &vec![round; 100_000]);
        }
        std::fs::metadata(dir.path().join("data.mdb")).unwrap().len()
    };
    let before = churn(3);
    let pinned = churn(20);
    assert!(pinned > before + 1_500_000, "a reader pins pages: {before} {pinned}");
    reader.kill();
    assert_eq!(env.reap_readers().unwrap(), 1);
    assert_eq!(env.reap_readers().unwrap(), 0);
    let after = churn(60);
    assert!(after <= pinned + 300_000, "the file grows though nobody reads: {pinned} {after}");
}

#[test]
fn a_killed_writer_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::open(dir.path(), true).unwrap();
    put(env, "there", b"first");
    child("writer", dir.path()).kill();
    // Were the lock not void with its holder, this would wait for ever.
    put(env, "next", b"second");
    assert_eq!((get(env, "there"), get(env, "next")), (Some(b"first".to_vec()), Some(b"second".to_vec())));
    assert_eq!(get(env, "half"), None);
}

#[test]
fn growth_by_another_process_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::open_with(dir.path(), true, MIB).unwrap();
    put(env, "there", b"first");
    assert_eq!(env.map_bytes().unwrap(), MIB);
    child("filler", dir.path()).ends();
    let held = env.last_txn().unwrap();
    assert_eq!(get(env, "much"), Some(vec![9; 3 * MIB]));
    assert_eq!(env.map_bytes().unwrap(), MAP_BYTES);
    put(env, "there", b"second");
    assert!(env.last_txn().unwrap() > held);
}

#[test]
fn a_reader_inside_does_not_wait_for_its_own_end() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::open_with(dir.path(), true, MIB).unwrap();
    put(env, "there", b"first");
    let read = env.read().unwrap();
    child("filler", dir.path()).ends();
    let begun = Instant::now();
    assert!(matches!(env.read().map(drop), Err(StoreError::Unavailable { .. })), "it would wait for its own end");
    assert!(begun.elapsed() < GROW_PATIENCE, "it waited for its own end");
    assert_eq!(read.get(b"there").unwrap(), Some(&b"first"[..]));
    drop(read);
    assert!(get(env, "much").is_some());
}

#[test]
fn a_full_map_grows_and_the_batch_runs_again() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::open_with(dir.path(), true, MIB).unwrap();
    let group = Group::new(env, Noted::default());
    let (mut runs, block) = (0, vec![5; 3 * MIB]);
    let answer = group.run(|txn, extra| {
        runs += 1;
        extra.push(runs);
        txn.put(b"small", &[1])?;
        txn.put(b"big", &block)?;
        Ok(runs)
    });
    assert_eq!(answer.unwrap(), 2, "once in vain, once in the larger map");
    assert_eq!(*lock(&group.batch().commits), [[2]], "what the first run left is forgotten");
    assert_eq!((get(env, "small"), get(env, "big")), (Some(vec![1]), Some(block)));
    assert!(env.map_bytes().unwrap() > 3 * MIB);
}

#[test]
fn a_snapshot_and_growth_do_not_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::open_with(dir.path(), true, MIB).unwrap();
    put(env, "there", b"first");
    let (said, heard) = std::sync::mpsc::channel();
    // Detached: were it to hang, the test fails and does not hang with it.
    std::thread::spawn(move || {
        let read = env.read().unwrap();
        let grower = std::thread::spawn(|| env.grow(4 * MIB));
        // Time for it to wait for our end.
        std::thread::sleep(Duration::from_millis(200));
        let again = env.read().unwrap();
        let same = read.get(b"there").unwrap() == again.get(b"there").unwrap();
        drop((read, again));
        grower.join().unwrap().unwrap();
        said.send(same).unwrap();
    });
    assert_eq!(heard.recv_timeout(PATIENCE), Ok(true), "a second snapshot waits for a growth that waits for the first");
    assert_eq!(env.map_bytes().unwrap(), 4 * MIB);
}

#[test]
fn a_failing_job_leaves_no_trace_in_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::open(dir.path(), true).unwrap();
    let group = Group::new(env, Noted::default());
    let led = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // The first holds the lead until the others wait: they are one batch.
        let first = scope.spawn(|| {
            group.run(|txn, extra| {
                led.store(1, Ordering::SeqCst);
                let begun = Instant::now();
                while group.waiting() < 4 && begun.elapsed() < PATIENCE {
                    std::thread::yield_now();
                }
                extra.push(1);
                txn.put(b"1", b"one")
            })
        });
        while led.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let job = |number: u32, work: fn() -> Result<(), StoreError>| {
            let group = &group;
            scope.spawn(move || {
                group.run(|txn, extra| {
                    extra.push(number);
                    txn.put(number.to_string().as_bytes(), b"more")?;
                    work()
                })
            })
        };
        let good = [job(2, || Ok(())), job(5, || Ok(()))];
        let bad = job(3, || Err(StoreError::OverQuota { what: "joe".into(), runs: false, bounce: false }));
        let panics = job(4, || panic!("on purpose"));
        first.join().unwrap().unwrap();
        good.into_iter().for_each(|job| job.join().unwrap().unwrap());
        assert!(matches!(bad.join().unwrap(), Err(StoreError::OverQuota { .. })));
        assert!(matches!(panics.join().unwrap(), Err(StoreError::Internal { .. })));
    });
    let commits = lock(&group.batch().commits).clone();
    assert_eq!(commits.len(), 2, "{commits:?}");
    let mut second = commits[1].clone();
    second.sort_unstable();
    assert_eq!((&commits[0], second), (&vec![1], vec![2, 5]));
    let there: Vec<bool> = ["1", "2", "3", "4", "5"].iter().map(|key| get(env, key).is_some()).collect();
    assert_eq!(there, [true, true, false, false, true]);
}

#[test]
fn a_key_that_is_too_long_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::open(dir.path(), true).unwrap();
    let group = Group::new(env, Noted::default());
    for (bytes, fits) in [(0, false), (1, true), (511, true), (512, false), (600, false)] {
        let put = group.run(|txn, _| txn.put(&vec![b'k'; bytes], b"value"));
        assert_eq!(put.is_ok(), fits, "{bytes}: {put:?}");
    }
    assert_eq!(get(env, &"k".repeat(511)), Some(b"value".to_vec()));
}

#[test]
fn a_file_that_was_cut_off_is_damage_and_no_signal() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    std::fs::create_dir(&whole).unwrap();
    let env = Env::open(&whole, true).unwrap();
    for number in 0..200 {
        put(env, &format!("{number:03}"), &[3; 3000]);
    }
    let data = std::fs::read(whole.join("data.mdb")).unwrap();
    let cut = |name: &str, bytes: usize| {
        let place = dir.path().join(name);
        std::fs::create_dir(&place).unwrap();
        std::fs::File::create(place.join("data.mdb")).unwrap().write_all(&data[..bytes]).unwrap();
        Env::open(&place, false)
    };
    for bytes in [1, 4095, 5000, 8192, data.len() / 2] {
        let Err(error) = cut(&bytes.to_string(), bytes) else { panic!("{bytes} bytes of {} were opened", data.len()) };
        assert!(matches!(error, StoreError::Corrupt { .. }), "{bytes}: {error}");
        assert!(error.to_string().contains(&format!("the file is cut off at {bytes} bytes")), "{error}");
    }
}
