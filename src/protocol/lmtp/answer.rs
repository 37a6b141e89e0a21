//! Replies, and the one place where an error of a room below becomes one.

use crate::log::{self, Category};
use crate::ops::delivery::{Class, DeliveryError};

/// Adds a line.
pub(super) fn say(out: &mut Vec<u8>, line: &str) {
    // A text of another room may name a file: no line end of it becomes one of ours, and replies are ASCII (RFC 5321 section 4.2).
    out.extend(line.chars().map(|c| if (' '..='~').contains(&c) { c as u8 } else { b'?' }));
    out.extend_from_slice(b"\r\n");
}

/// Adds a line to a client that takes other letters than those of ASCII (RFC 6531 section 3.7.4.1).
pub(super) fn say_utf8(out: &mut Vec<u8>, line: &str) {
    let mut letter = [0; 4];
    for c in line.chars().map(|c| if c.is_control() { '?' } else { c }) {
        out.extend_from_slice(c.encode_utf8(&mut letter).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Longest reply line without its end, bytes (RFC 5321 section 4.5.3.1.5).
const REPLY_MAX: usize = 510;

/// The answer for a recipient: the address is behind it, cut where the line would be too long.
pub(super) fn for_recipient(answer: &str, address: &str) -> String {
    let line = format!("{answer} <{address}>");
    if line.len() <= REPLY_MAX {
        return line;
    }
    let end = line.floor_char_boundary(REPLY_MAX - "...>".len());
    format!("{}...>", line.get(..end).unwrap_or_default())
}

/// The last word to a client that is sent away: `421`, with the enhanced code.
pub fn closing(code: &str, words: &str) -> Vec<u8> {
    let mut out = Vec::new();
    say(&mut out, &format!("421 {code} {words}"));
    out
}

/// The answer that a failure gets, and its line in the log, `whose` it is in front. What the sender need not know (paths, hosts) is in the log only.
pub(super) fn failed(whose: &str, error: &DeliveryError) -> String {
    let class = error.class();
    if matches!(class, Class::NoSpace | Class::Temporary) {
        log::error(Category::Store, format!("{whose}: {error}"));
    } else if matches!(error, DeliveryError::Blocked { .. }) {
        log::notice(Category::Account, format!("{whose}: {error}"));
    } else {
        log::information(Category::Protocol, format!("{whose}: {error}"));
    }
    match class {
        Class::NoUser | Class::NoMailbox => "550 5.1.1 No such user".to_owned(),
        Class::NotPermitted => "550 5.7.1 Not permitted".to_owned(),
        Class::Malformed => format!("554 5.6.0 {error}"),
        Class::Loop => "554 5.4.6 Mail loop".to_owned(),
        Class::OverQuota => "452 4.2.2 Over quota".to_owned(),
        Class::QuotaEnded => "552 5.2.2 Over quota".to_owned(),
        Class::NoSpace => "452 4.3.1 No space left".to_owned(),
        Class::Suspended => "450 4.2.1 The mailbox takes no mail now".to_owned(),
        Class::Temporary => "451 4.3.0 Temporary failure".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_address_is_cut() {
        let answer = "250 2.1.5 Delivered";
        assert_eq!(for_recipient(answer, "joe@b"), "250 2.1.5 Delivered <joe@b>");
        for letter in ["x", "\u{fc}", "\u{20ac}"] {
            let line = for_recipient(answer, &letter.repeat(512));
            assert!(
                (REPLY_MAX - 3..=REPLY_MAX).contains(&line.len()) && line.ends_with(&format!("{letter}...>")),
                "{line}"
            );
        }
    }
}
