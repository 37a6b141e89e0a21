//! The workspaces of the benchmarks and of the fuzzer have lock files of their own, which nothing else here reads: they know every package
//! that the program depends on, so that `--locked` works in them too.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use toml_edit::{DocumentMut, Item};

fn toml(path: &str) -> DocumentMut {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the package `msgstore` depends on by a lock file, with a version where there are several.
fn locked(path: &str) -> Vec<String> {
    let lock = toml(path);
    let packages = lock["package"].as_array_of_tables().unwrap();
    let ours = packages.iter().find(|package| package["name"].as_str() == Some("msgstore"));
    let ours = ours.unwrap_or_else(|| panic!("{path}: no msgstore"));
    ours["dependencies"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_lock_files_of_the_other_workspaces_are_current() {
    let manifest = toml("Cargo.toml");
    let needed = manifest["dependencies"].as_table().unwrap();
    let names: Vec<&str> =
        needed.iter().map(|(key, value)| value.get("package").and_then(Item::as_str).unwrap_or(key)).collect();
    assert!(names.len() > 10, "{names:?}");
    for workspace in ["bench", "fuzz"] {
        let path = format!("tests/{workspace}/Cargo.lock");
        let locked = locked(&path);
        let has = |name: &str| locked.iter().any(|entry| entry.split(' ').next() == Some(name));
        let missing: Vec<&&str> = names.iter().filter(|name| !has(name)).collect();
        assert!(
            missing.is_empty(),
            "{path} lacks {missing:?}: cargo update --workspace --manifest-path tests/{workspace}/Cargo.toml"
        );
    }
}
