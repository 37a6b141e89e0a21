//! Decoding for SEARCH and display: encoded words (RFC 2047), transfer encodings (RFC 2045), charsets, and the
//! folding under which texts are compared.

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, WINDOWS_1252};
use unicode_normalization::UnicodeNormalization;

/// Longest encoded word that is decoded, octets (RFC 2047 allows 75; real mail has longer ones).
const MAX_WORD: usize = 4096;

/// The charset of a label; `None` if it is not known.
#[must_use]
pub fn charset(label: &[u8]) -> Option<&'static Encoding> {
    // RFC 2231 section 5: a language may follow behind an asterisk.
    let label = label.split(|b| *b == b'*').next().unwrap_or_default();
    Encoding::for_label(label)
}

/// Decodes octets in a named charset. US-ASCII, no charset and unknown ones: UTF-8 if the octets are valid UTF-8,
/// otherwise windows-1252. What cannot be decoded becomes U+FFFD.
#[must_use]
pub fn decode(label: &[u8], bytes: &[u8]) -> String {
    let mut decoder = TextDecoder::new(label);
    let mut out = String::with_capacity(bytes.len());
    decoder.push(bytes, &mut out);
    decoder.finish(&mut out);
    out
}

/// A streaming charset decoder; see [`decode`].
pub struct TextDecoder {
    /// `None` while every octet so far was ASCII and the charset is a guess.
    decoder: Option<Decoder>,
}

impl TextDecoder {
    /// A decoder for a `charset` parameter; empty if there is none.
    #[must_use]
    pub fn new(label: &[u8]) -> TextDecoder {
        let ascii = [&b""[..], b"us-ascii", b"ascii", b"ansi_x3.4-1968", b"utf-8", b"utf8"];
        let known = if ascii.iter().any(|l| l.eq_ignore_ascii_case(label)) { None } else { charset(label) };
        TextDecoder { decoder: known.map(Encoding::new_decoder_without_bom_handling) }
    }

    /// Decodes the next octets, cut anywhere, and appends the text. A charset that is a guess is guessed from the piece in which the first octet
    /// above 127 stands.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let mut rest = bytes;
        if self.decoder.is_none() {
            let (plain, other) = rest.split_at(Encoding::ascii_valid_up_to(rest));
            out.push_str(std::str::from_utf8(plain).unwrap_or_default());
            rest = other;
            if rest.is_empty() {
                return;
            }
            let is_utf8 = match std::str::from_utf8(rest) {
                Ok(_) => true,
                Err(error) => error.error_len().is_none(),
            };
            let guess = if is_utf8 { UTF_8 } else { WINDOWS_1252 };
            self.decoder = Some(guess.new_decoder_without_bom_handling());
        }
        self.run(rest, out, false);
    }

    /// The end of the text.
    pub fn finish(mut self, out: &mut String) {
        self.run(b"", out, true);
    }

    fn run(&mut self, bytes: &[u8], out: &mut String, last: bool) {
        let Some(decoder) = self.decoder.as_mut() else { return };
        let mut rest = bytes;
        loop {
            out.reserve(decoder.max_utf8_buffer_length(rest.len()).unwrap_or(rest.len()).clamp(16, 64 * 1024));
            let (result, read, _) = decoder.decode_to_string(rest, out, last);
            rest = rest.get(read..).unwrap_or_default();
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}

/// A streaming decoder of a Content-Transfer-Encoding.
#[derive(Debug, Clone)]
pub enum Transfer {
    /// 7bit, 8bit, binary, and all that are not known.
    Plain,
    /// base64; octets that are no base64 are passed over, padding in the middle too.
    Base64 {
        /// Bits collected and not written yet.
        bits: u32,
        /// How many.
        count: u32,
    },
    /// quoted-printable; a broken escape stands for itself.
    QuotedPrintable {
        /// An escape, or white space that may stand at the end of a line, not decided yet.
        held: Vec<u8>,
    },
}

impl Transfer {
    /// The decoder for a Content-Transfer-Encoding value, letter case ignored.
    #[must_use]
    pub fn new(name: &str) -> Transfer {
        if name.eq_ignore_ascii_case("base64") {
            Transfer::Base64 { bits: 0, count: 0 }
        } else if name.eq_ignore_ascii_case("quoted-printable") {
            Transfer::QuotedPrintable { held: Vec::new() }
        } else {
            Transfer::Plain
        }
    }

    /// Decodes the next octets, cut anywhere, and appends the result.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Transfer::Plain => out.extend_from_slice(bytes),
            Transfer::Base64 { bits, count } => base64(bits, count, bytes, out),
            Transfer::QuotedPrintable { held } => bytes.iter().for_each(|b| quoted_printable(held, *b, out)),
        }
    }

    /// The end of the part.
    pub fn finish(self, out: &mut Vec<u8>) {
        if let Transfer::QuotedPrintable { held } = self {
            // A soft line break or white space at the very end stands for nothing; a broken escape for itself.
            if held.first() == Some(&b'=') && held.len() > 1 && !held.iter().skip(1).all(u8::is_ascii_whitespace) {
                out.extend_from_slice(&held);
            }
        }
    }
}

fn base64(bits: &mut u32, count: &mut u32, bytes: &[u8], out: &mut Vec<u8>) {
    for &b in bytes {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                (*bits, *count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        *bits = (*bits << 6 | u32::from(value)) & 0xff_ffff;
        *count += 6;
        if *count >= 8 {
            *count -= 8;
            out.push((*bits >> *count & 0xff) as u8);
        }
    }
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Takes one octet of quoted-printable text.
fn quoted_printable(held: &mut Vec<u8>, b: u8, out: &mut Vec<u8>) {
    let escape = held.first() == Some(&b'=');
    match (escape, b) {
        (true, b'\n') if held.iter().skip(1).all(u8::is_ascii_whitespace) => return held.clear(),
        (true, b' ' | b'\t' | b'\r') if held.len() < 1000 && held.iter().skip(1).all(u8::is_ascii_whitespace) => {
            return held.push(b);
        }
        (true, _) if held.len() == 1 && hex(b).is_some() => return held.push(b),
        (true, _) if held.len() == 2 => {
            if let (Some(high), Some(low)) = (held.get(1).copied().and_then(hex), hex(b)) {
                out.push(high << 4 | low);
                return held.clear();
            }
        }
        (false, b'\r' | b'\n') => {
            // White space before a line end was added on the way.
            if b == b'\n' && held.last() == Some(&b'\r') {
                out.push(b'\r');
            }
            held.clear();
            if b == b'\r' {
                held.push(b)
            } else {
                out.push(b)
            }
            return;
        }
        (false, b' ' | b'\t') if held.len() < 1000 && held.last() != Some(&b'\r') => return held.push(b),
        _ => {}
    }
    out.append(held);
    if b == b'=' || b == b' ' || b == b'\t' || b == b'\r' {
        held.push(b);
    } else {
        out.push(b);
    }
}

/// Decodes the encoded words of a header value (unfolded or not); octets outside of them are taken as UTF-8 or
/// windows-1252. White space between two encoded words goes away, and a character that is cut between two words of
/// the same charset is put together again.
#[must_use]
pub fn decode_words(value: &[u8]) -> String {
    let value = super::header::unfold(value);
    let mut out = String::with_capacity(value.len());
    // Decoded octets of the words that touch, and their charset.
    let mut run: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut rest: &[u8] = &value;
    let mut plain_from = rest;
    let mut plain_len = 0;
    while !rest.is_empty() {
        let Some((label, bytes, after)) = encoded_word(rest) else {
            let step = memchr::memmem::find(rest.get(1..).unwrap_or_default(), b"=?").map_or(rest.len(), |at| at + 1);
            plain_len += step;
            rest = rest.get(step..).unwrap_or_default();
            continue;
        };
        let plain = plain_from.get(..plain_len).unwrap_or_default();
        let touching = run.is_some() && plain.iter().all(u8::is_ascii_whitespace);
        match &mut run {
            Some((charset, octets)) if touching && charset.eq_ignore_ascii_case(label) => octets.extend(bytes),
            _ => {
                flush_run(&mut run, &mut out);
                if !touching {
                    out.push_str(&decode(b"", plain));
                }
                run = Some((label.to_vec(), bytes));
            }
        }
        rest = after;
        (plain_from, plain_len) = (rest, 0);
    }
    flush_run(&mut run, &mut out);
    out.push_str(&decode(b"", plain_from.get(..plain_len).unwrap_or_default()));
    out
}

fn flush_run(run: &mut Option<(Vec<u8>, Vec<u8>)>, out: &mut String) {
    if let Some((label, octets)) = run.take() {
        out.push_str(&decode(&label, &octets));
    }
}

/// The encoded word at the start: charset, decoded octets, and what follows.
fn encoded_word(bytes: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let rest = bytes.strip_prefix(b"=?")?;
    let rest = rest.get(..rest.len().min(MAX_WORD))?;
    let label_len = memchr::memchr(b'?', rest).filter(|len| (1..100).contains(len))?;
    let label = rest.get(..label_len)?;
    let (encoding, mark) = (rest.get(label_len + 1)?, rest.get(label_len + 2)?);
    if *mark != b'?' || !label.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let text = rest.get(label_len + 3..)?;
    let end = memchr::memmem::find(text, b"?=")?;
    // `?=` may be the end mark of a Q word whose text is empty or starts with `=`; the first one counts.
    let after = bytes.get(2 + label_len + 3 + end + 2..)?;
    let text = text.get(..end)?;
    let mut out = Vec::with_capacity(text.len());
    match encoding {
        b'B' | b'b' => base64(&mut 0, &mut 0, text, &mut out),
        b'Q' | b'q' => {
            let mut held = Vec::new();
            for b in text {
                match b {
                    // An underscore is a blank, also at the end.
                    b'_' => {
                        out.append(&mut held);
                        out.push(b' ');
                    }
                    b' ' | b'\t' if held.is_empty() => out.push(*b),
                    b => quoted_printable(&mut held, *b, &mut out),
                }
            }
            out.append(&mut held);
        }
        _ => return None,
    }
    Some((label, out, after))
}

/// Folds a text for comparison, in the manner of i;unicode-casemap (RFC 5051): letter case and compatibility forms do
/// not count, accents do. `fold(a).contains(&fold(b))` is SEARCH's idea of "contains". The result is for comparing
/// only.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    // An ASCII character stands for itself and no mark moves across it (Unicode Standard Annex 15): what lies between is folded piece by piece.
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (plain, other) = rest.split_at(Encoding::ascii_valid_up_to(rest.as_bytes()));
        out.push_str(plain);
        if let Some(pushed) = out.len().checked_sub(plain.len()).and_then(|start| out.get_mut(start..)) {
            pushed.make_ascii_uppercase();
        }
        let (foreign, after) = other.split_at(other.bytes().position(|b| b.is_ascii()).unwrap_or(other.len()));
        out.extend(foreign.chars().map(upper).nfkd().map(upper).nfkd());
        rest = after;
    }
    out
}

/// Upper case where it is one character, otherwise the character itself.
fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> String {
        decode_words(text.as_bytes())
    }

    fn transfer(name: &str, text: &str, step: usize) -> String {
        let mut decoder = Transfer::new(name);
        let mut out = Vec::new();
        text.as_bytes().chunks(step).for_each(|chunk| decoder.push(chunk, &mut out));
        decoder.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rfc2047_examples() {
        assert_eq!(words("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>"), "Keith Moore <moore@cs.utk.edu>");
        assert_eq!(words("=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?="), "Patrik F\u{e4}ltstr\u{f6}m");
        assert_eq!(
            words(
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?="
            ),
            "If you can read this you understand the example."
        );
        assert_eq!(words("(=?ISO-8859-1?Q?a?= b)"), "(a b)");
        assert_eq!(words("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?="), "ab");
        assert_eq!(words("=?ISO-8859-1?Q?a_?= =?ISO-8859-2?Q?_b?="), "a  b");
        assert_eq!(words("a =?x?Z?a?= =?utf-8?q?open"), "a =?x?Z?a?= =?utf-8?q?open");
        assert_eq!(words("=?utf-8?B?ww==?= =?utf-8?B?pA==?="), "\u{e4}", "a character cut in two");
        assert_eq!(words("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?="), "\u{65e5}\u{672c}");
        assert_eq!(words("=?utf-8*en?q?=C3=A9?= \u{e9}"), "\u{e9} \u{e9}");
    }

    #[test]
    fn transfer_encodings() {
        for step in 1..9 {
            assert_eq!(
                transfer("Quoted-Printable", "a=3D=\r\nb=E2=82=AC  \r\n=zz =\nc=", step),
                "a=b\u{20ac}\r\n=zz c"
            );
            assert_eq!(transfer("quoted-printable", "x =20\ny= \r\nz=4", step), "x  \nyz=4");
            assert_eq!(transfer("BASE64", "aGVs\r\nbG8=\r\naGk!", step), "hellohi");
            assert_eq!(transfer("8bit", "a=3D", step), "a=3D");
        }
    }

    #[test]
    fn charsets() {
        assert_eq!(decode(b"iso-8859-15", b"\xa4"), "\u{20ac}");
        assert_eq!(decode(b"", b"\xe9t\xe9"), "\u{e9}t\u{e9}");
        assert_eq!(decode(b"x-unknown", "\u{e9}".as_bytes()), "\u{e9}");
        let mut decoder = TextDecoder::new(b"utf-8");
        let mut out = String::new();
        "a\u{20ac}b".as_bytes().iter().for_each(|b| decoder.push(&[*b], &mut out));
        decoder.finish(&mut out);
        assert_eq!(out, "a\u{20ac}b");
    }

    #[test]
    fn folding() {
        assert_eq!(fold("Stra\u{df}e"), fold("STRA\u{df}E"));
        assert_eq!(fold("\u{3c3}\u{3c2}"), fold("\u{3a3}\u{3a3}"));
        assert_eq!(fold("\u{e9}"), fold("E\u{301}"));
        assert_eq!(fold("\u{fb01}n \u{2460}"), "FIN 1");
        assert_ne!(fold("e"), fold("\u{e9}"));
        assert!(fold("Gr\u{fc}\u{df}e aus K\u{f6}ln").contains(&fold("k\u{d6}LN")));
    }

    proptest! {
        #[test]
        fn fold_is_stable(text in any::<String>()) {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn folding_in_pieces_is_folding(text in "[a-cX-Z \u{df}\u{e9}\u{300}-\u{32f}\u{fb01}\u{2460}\u{3c2}]{0,40}") {
            let whole: String = text.chars().map(upper).nfkd().map(upper).nfkd().collect();
            prop_assert_eq!(fold(&text), whole);
        }

        #[test]
        fn chunks_change_nothing(bytes in proptest::collection::vec(prop_oneof![Just(b'='), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'4'), Just(b'1'), any::<u8>()], 0..40), step in 1_usize..5) {
            for name in ["base64", "quoted-printable"] {
                let (mut whole, mut pieces) = (Vec::new(), Vec::new());
                let mut decoder = Transfer::new(name);
                decoder.push(&bytes, &mut whole);
                decoder.finish(&mut whole);
                let mut decoder = Transfer::new(name);
                bytes.chunks(step).for_each(|chunk| decoder.push(chunk, &mut pieces));
                decoder.finish(&mut pieces);
                prop_assert_eq!(whole, pieces);
            }
            let _ = decode_words(&bytes);
        }
    }
}
