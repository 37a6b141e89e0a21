//! The generated files in the source tree are those that the program writes: completions and manual pages.
//! `UPDATE_DOCS=1 cargo test --features failpoints generated` writes them again.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use msgstore::cli::{TOOLS, generate};
use msgstore::os::durable;

fn binary(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_msgstore")).args(words).env_clear().output().unwrap()
}

/// Every file below `dir`, by its path from there.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn compare(place: &str, generated: Vec<generate::Generated>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    let wanted: BTreeMap<_, _> = generated.into_iter().collect();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        for (name, bytes) in &wanted {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            durable::replace(&path, bytes, 0o644).unwrap();
        }
        for name in files(&dir).keys().filter(|name| !wanted.contains_key(*name)) {
            fs::remove_file(dir.join(name)).unwrap();
        }
    }
    let present = files(&dir);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&present), names(&wanted), "the files in {place}: run with UPDATE_DOCS=1");
    let stale: Vec<_> = wanted.iter().filter(|(name, bytes)| present.get(*name) != Some(bytes)).collect();
    let stale: Vec<_> = stale.into_iter().map(|(name, _)| name).collect();
    assert!(stale.is_empty(), "not what the program writes in {place}: {stale:?}; run with UPDATE_DOCS=1");
}

#[test]
fn generated_completions_are_those_of_the_definitions() {
    compare("completions", generate::completions());
}

#[test]
fn generated_manual_pages_are_those_of_the_definitions() {
    compare("docs/man", generate::manual_pages().unwrap());
}

#[test]
fn every_generated_page_has_the_sections_of_a_manual_page() {
    for (name, bytes) in generate::manual_pages().unwrap() {
        let text = String::from_utf8(bytes).unwrap();
        for section in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(text.contains(section), "{}: {section}", name.display());
        }
    }
}

#[test]
fn generated_links_are_one_a_tool_with_a_place() {
    let out = binary(&["generate", "links"]);
    assert_eq!(out.status.code(), Some(0));
    let wanted: Vec<String> =
        TOOLS.iter().filter(|t| !t.place.is_empty()).map(|t| format!("{}/{}", t.place, t.name)).collect();
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), wanted);
    assert!(wanted.contains(&"sbin/start-msg".to_owned()));
    assert_eq!(binary(&["generate", "links", "/tmp"]).status.code(), Some(64));
    assert_eq!(binary(&["generate", "nothing"]).status.code(), Some(64));
    assert_eq!(binary(&["generate", "man", "/proc/nowhere"]).status.code(), Some(73));
}

#[test]
fn generated_files_land_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("a b");
    let out = binary(&["generate", "completions", place.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    let listed: Vec<PathBuf> = String::from_utf8(out.stdout).unwrap().lines().map(PathBuf::from).collect();
    assert_eq!(files(&place).into_keys().collect::<Vec<_>>(), listed);
    for name in ["bash/start-msg", "zsh/_start-msg", "fish/msgstore.fish"] {
        assert!(listed.contains(&PathBuf::from(name)), "{name}");
    }
    // A completion that the shell cannot read would break every login.
    let script = place.join("bash/msgstore");
    assert!(Command::new("bash").arg("-n").arg(script).status().unwrap().success());
}
