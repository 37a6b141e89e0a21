//! The fuzz targets in the everyday run: every file of the corpora, and mutations of them that are the same every time. `run.sh` is the fuzzer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod targets;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use targets::{TARGETS, Target};

use crate::bad_input::Noise;

/// Mutations of each file of a corpus.
const ROUNDS: usize = 40;
/// Bytes of all the mutations of a target: what bounds its time.
const VOLUME: usize = 400_000;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", dir.display());
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn run(target: &Target, from: &str, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_err() {
        panic!("target {}, {from}: {:?}", target.name, bytes.escape_ascii().to_string());
    }
}

/// One change: a bit, a byte that means something, a piece taken out, doubled or taken from elsewhere.
fn mutate(bytes: &mut Vec<u8>, others: &[(PathBuf, Vec<u8>)], noise: &mut Noise) {
    let mut number = |below: usize| {
        let value = u64::from_le_bytes(noise.bytes(8).try_into().unwrap());
        usize::try_from(value % below.max(1) as u64).unwrap()
    };
    let at = number(bytes.len() + 1);
    let end = (at + 1 + number(12)).min(bytes.len());
    const TELLING: &[u8] = b"\r\n\0 (){}[]<>\"\\%*,:;=?+-~&./0919aZ\t\x7f\x80\xe2\xff";
    match number(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << number(8),
        1 if at < bytes.len() => bytes[at] = TELLING[number(TELLING.len())],
        2 => bytes.insert(at, TELLING[number(TELLING.len())]),
        3 => drop(bytes.drain(at..end.max(at))),
        4 => {
            let piece = bytes[at..end.max(at)].to_vec();
            bytes.splice(at..at, piece.repeat(1 + number(4)));
        }
        5 => bytes.truncate(at),
        _ => {
            let other = &others[number(others.len())].1;
            let from = number(other.len() + 1);
            let to = (from + number(40)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
    }
}

fn replay(target: &Target) {
    let corpus = corpus(target.name);
    for (path, bytes) in &corpus {
        run(target, &path.display().to_string(), bytes);
        // A file that ends early is the commonest damage of all.
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
            run(target, &format!("{} cut at {cut}", path.display()), &bytes[..cut]);
        }
    }
    let mut noise = Noise::new(u64::from(target.name.bytes().map(u32::from).sum::<u32>()));
    let mut volume = 0;
    for round in 0..ROUNDS {
        for (path, seed) in &corpus {
            let mut bytes = seed.clone();
            for _ in 0..1 + round % 5 {
                mutate(&mut bytes, &corpus, &mut noise);
            }
            volume += bytes.len();
            if volume > VOLUME {
                return;
            }
            run(target, &format!("{} in round {round}", path.display()), &bytes);
        }
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(TARGETS.iter().find(|target| target.name == stringify!($name)).unwrap());
        })*

        #[test]
        fn every_target_is_replayed_and_every_corpus_has_a_target() {
            let named: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
            let replayed: BTreeSet<String> = [$(stringify!($name)),*].map(str::to_owned).into();
            let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
            let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            assert_eq!(named, replayed);
            assert_eq!(named, names.collect());
        }
    };
}

replays!(imap command pop sequence sasl proxy names mime header date address charset mbox keys ldif config);
