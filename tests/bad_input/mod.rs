//! Bad input through the real tools and a running imapd: a clear error, the documented exit code, the same process afterwards, and a store
//! without findings (the instance of each test is checked at its end).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

mod deliver;
pub mod disk;
mod files;
mod hostile;
mod messages;
mod names;
mod wire;

use std::io::Write;
use std::net::TcpStream;

/// Bytes that look random and are the same every time.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        Noise(seed)
    }

    pub fn byte(&mut self) -> u8 {
        // Knuth's MMIX generator.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}

/// Compares what happened with the page of docs/ that tells it; UPDATE_DOCS=1 writes the page first.
pub fn compare_page(name: &str, page: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    for (found, wanted) in page.lines().zip(written.lines()) {
        assert_eq!(found, wanted, "UPDATE_DOCS=1 cargo test --features failpoints hostile");
    }
    assert_eq!(page, written, "UPDATE_DOCS=1 cargo test --features failpoints hostile");
}

/// Sends what the other side may refuse to take to the end.
pub fn send_anyway(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}
