//! Every package that the program is built from has a licence from a closed list.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

/// The licences that may be linked in. A new one is a decision, not a detail.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OLDAP-2.8",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// True when an SPDX expression (without nested alternatives, `/` is an old way to write OR) can be met with [`ALLOWED`].
fn allowed(expression: &str) -> bool {
    let text = expression.replace('/', " OR ").replace(['(', ')'], " ");
    // "(A OR B) AND C" loses its brackets here: every alternative of it must then hold by itself, which is the stricter reading.
    let strict = expression.contains('(') && expression.contains("AND");
    let part = |part: &str| part.split(" AND ").all(|one| ALLOWED.contains(&one.trim()));
    if strict { text.split(" OR ").all(part) } else { text.split(" OR ").any(part) }
}

#[test]
fn expressions_are_read() {
    assert!(allowed("MIT OR GPL-3.0-only"));
    assert!(allowed("Unlicense/MIT"));
    assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!allowed("(MIT OR Apache-2.0) AND GPL-2.0-only"));
    assert!(!allowed("MIT AND GPL-2.0-only"));
    assert!(!allowed("AGPL-3.0-only"));
    assert!(!allowed(""));
}

#[test]
fn licences_are_on_the_list() {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--all-features"])
        .args(["--filter-platform", &format!("{}-unknown-linux-gnu", std::env::consts::ARCH)])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "only {} packages", packages.len());
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
