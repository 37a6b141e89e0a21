//! Numbers in text: plain decimals and sizes with a suffix.

use std::str::FromStr;

/// Reads an unsigned decimal: digits only (no sign, no blanks), in the range of `T`.
#[must_use]
pub fn decimal<T: FromStr>(digits: &[u8]) -> Option<T> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Reads an IMAP `nz-number` (RFC 3501 section 9): 1 to 4294967295, no leading zero.
#[must_use]
pub fn nz_number(digits: &[u8]) -> Option<u32> {
    if digits.first() == Some(&b'0') { None } else { decimal(digits) }
}

/// Reads a size in octets: a decimal with an optional K, M, G or T behind it (powers of 1024, either letter case).
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().split_last()? {
        (b'k' | b'K', rest) => (rest, 1 << 10),
        (b'm' | b'M', rest) => (rest, 1 << 20),
        (b'g' | b'G', rest) => (rest, 1 << 30),
        (b't' | b'T', rest) => (rest, 1 << 40),
        _ => (text.as_bytes(), 1_u64),
    };
    decimal::<u64>(digits)?.checked_mul(factor)
}

/// Writes a size in octets with the largest suffix that loses nothing: 1536 is `1536`, 2048 is `2K`.
#[must_use]
pub fn size_text(octets: u64) -> String {
    let suffixes = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    let fit = suffixes.iter().find(|(shift, _)| octets > 0 && octets.is_multiple_of(1 << shift));
    fit.map_or_else(|| octets.to_string(), |(shift, suffix)| format!("{}{suffix}", octets >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        assert_eq!(size("20M"), Some(20 << 20));
        assert_eq!(size("1k"), Some(1024));
        assert_eq!((size("0"), size_text(0).as_str(), size_text(1536).as_str()), (Some(0), "0", "1536"));
        for bad in ["", "M", "-1", "1.5M", " 1", "1KB", "99999999999G"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        assert_eq!(
            (nz_number(b"01"), nz_number(b"4294967295"), nz_number(b"4294967296")),
            (None, Some(u32::MAX), None)
        );
    }

    proptest! {
        #[test]
        fn round_trip(octets in any::<u64>()) {
            prop_assert_eq!(size(&size_text(octets)), Some(octets));
            prop_assert_eq!(size(&size_text(octets & !0xf_ffff)), Some(octets & !0xf_ffff));
        }
    }
}
