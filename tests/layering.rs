//! The direction between the rooms: a room uses only rooms of a lower layer, LMDB is named in one room, `unsafe` in two.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

const LAYERS: &[(&str, u8)] = &[
    ("cli", 5),
    ("daemon", 4),
    ("protocol", 3),
    ("ops", 2),
    ("store", 1),
    ("directory", 1),
    ("config", 0),
    ("counter", 0),
    ("message", 0),
    ("text", -1i8 as u8),
    ("os", -1i8 as u8),
];

fn rank(room: &str) -> Option<i8> {
    LAYERS.iter().find(|(name, _)| *name == room).map(|(_, layer)| *layer as i8)
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

fn rooms() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap().to_path_buf();
            let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (room, inside, text)
        })
        .collect()
}

#[test]
fn rooms_use_only_what_lies_below() {
    let mut wrong = Vec::new();
    for (room, path, text) in rooms() {
        let Some(own) = rank(&room) else { continue };
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for piece in code.split("crate::").skip(1) {
                let used: String = piece.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if used != room && rank(&used).is_some_and(|other| other >= own) {
                    wrong.push(format!("{}:{}: {room} uses {used}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lmdb_is_named_in_one_room_and_unsafe_in_two() {
    let mut wrong = Vec::new();
    for (_, path, text) in rooms() {
        let name = path.to_str().unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap();
            // The room itself is reached as `super::lmdb` or `self::lmdb`; any other `lmdb::` is the binding.
            let binding = code.replace("super::lmdb::", "").replace("self::lmdb::", "");
            if !name.starts_with("store/lmdb") && (binding.contains("lmdb::") || binding.contains("lmdb_sys")) {
                wrong.push(format!("{name}:{}: names the LMDB binding", number + 1));
            }
            if !name.starts_with("store/lmdb")
                && !name.starts_with("os/")
                && (code.contains("unsafe {") || code.contains("unsafe fn"))
            {
                wrong.push(format!("{name}:{}: unsafe", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
