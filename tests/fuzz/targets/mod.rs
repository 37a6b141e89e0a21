//! What is fuzzed: a function a reader of foreign bytes. It takes any bytes and panics when something does not hold. The everyday tests call these
//! functions with the corpora, the fuzzer with what it invents.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod mail;
mod wire;

/// One target.
pub struct Target {
    /// Its name, and the directory of its corpus.
    pub name: &'static str,
    /// Reads the bytes.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "imap", run: wire::imap },
    Target { name: "command", run: wire::command },
    Target { name: "pop", run: wire::pop },
    Target { name: "sequence", run: wire::sequence },
    Target { name: "sasl", run: wire::sasl },
    Target { name: "proxy", run: wire::proxy },
    Target { name: "names", run: wire::names },
    Target { name: "mime", run: mail::mime },
    Target { name: "header", run: mail::header },
    Target { name: "date", run: mail::date },
    Target { name: "address", run: mail::address },
    Target { name: "charset", run: mail::charset_of_text },
    Target { name: "mbox", run: mail::mbox },
    Target { name: "keys", run: mail::sorting_keys },
    Target { name: "ldif", run: wire::ldif },
    Target { name: "config", run: wire::config },
];

/// Cuts the bytes into pieces whose lengths follow from `seed`; none is empty.
fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    let mut state = u64::from(seed) + 1;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (piece, after) = rest.split_at((1 + (state >> 60) as usize).min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// The first byte, which chooses, and the rest.
fn choice(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest))
}
