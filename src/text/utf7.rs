//! Modified UTF-7, the form of folder names on the wire (RFC 3501 section 5.1.3).

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// Writes a name in modified UTF-7.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    let flush = |out: &mut String, shifted: &mut Vec<u8>| {
        if !shifted.is_empty() {
            out.push('&');
            BASE64.encode_string(&*shifted, out);
            out.push('-');
            shifted.clear();
        }
    };
    for c in name.chars() {
        if is_plain(c) {
            flush(&mut out, &mut shifted);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut out, &mut shifted);
    out
}

/// Reads a name in modified UTF-7. `None` unless it is the one form that [`encode`] writes: printable ASCII only,
/// no shift that is not needed, no lone surrogate, no stray bits.
#[must_use]
pub fn decode(name: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = std::str::from_utf8(name).ok().filter(|name| name.chars().all(is_plain))?;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let (shifted, after) = after.split_once('-')?;
        rest = after;
        if shifted.is_empty() {
            out.push('&');
            continue;
        }
        let bytes = BASE64.decode(shifted).ok()?;
        let (pairs, odd) = bytes.as_chunks::<2>();
        if !odd.is_empty() {
            return None;
        }
        for c in char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair))) {
            out.push(c.ok().filter(|c| !is_plain(*c))?);
        }
        // Two shifts that touch could have been one.
        if rest.starts_with('&') && !rest.starts_with("&-") {
            return None;
        }
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rfc3501_examples() {
        let mail = "~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}";
        assert_eq!(encode(mail), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(decode(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-").as_deref(), Some(mail));
        assert_eq!(decode(b"&Jjo-!").as_deref(), Some("\u{263a}!"));
        assert_eq!(decode(b"&U,BTFw-&ZeVnLIqe-"), None, "a superfluous shift");
        assert_eq!(decode(b"&U,BTF2XlZyyKng-").as_deref(), Some("\u{53f0}\u{5317}\u{65e5}\u{672c}\u{8a9e}"));
        assert_eq!((encode("a&b").as_str(), decode(b"a&-b").as_deref()), ("a&-b", Some("a&b")));
    }

    #[test]
    fn refused() {
        for bad in [&b"&Jjo!"[..], b"&", b"&AGE-", b"&Jj-", b"&2D0-", b"a\xe9", b"a\tb", b"&Jjp-", b"&Jjo=-"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(name in any::<String>()) {
            prop_assert_eq!(decode(encode(&name).as_bytes()), Some(name));
        }

        #[test]
        fn only_one_form(bytes in proptest::collection::vec(prop_oneof![Just(b'&'), Just(b'-'), Just(b'A'), 0x20_u8..0x7f], 0..20)) {
            if let Some(name) = decode(&bytes) {
                prop_assert_eq!(encode(&name).into_bytes(), bytes);
            }
        }
    }
}
