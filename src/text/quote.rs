//! IMAP strings: a byte string as it goes into a response (RFC 3501 section 4.3 and `nstring` of section 9).

/// Most characters that are escaped in a quoted string before the literal form is used.
const MAX_ESCAPES: usize = 16;

/// Appends `bytes` as a quoted string, or as a literal where a quoted string cannot hold it
/// (CR, LF, octets above 127) or would be mostly escapes.
///
/// NUL cannot appear in either form (`CHAR8` starts at 1); it goes out as octet 0x80.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut escapes = 0;
    let plain = bytes.iter().all(|b| match b {
        b'"' | b'\\' => {
            escapes += 1;
            escapes <= MAX_ESCAPES
        }
        0 | b'\r' | b'\n' | 0x80.. => false,
        _ => true,
    });
    if !plain {
        return literal(out, bytes);
    }
    out.push(b'"');
    for &b in bytes {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(b);
    }
    out.push(b'"');
}

/// Appends text as a quoted string that may hold UTF-8 (RFC 6855 section 3), or as a literal where control characters keep it from being one.
pub fn utf8(out: &mut Vec<u8>, text: &str) {
    if text.is_ascii() || text.contains(['\r', '\n', '\0']) {
        return string(out, text.as_bytes());
    }
    out.push(b'"');
    for b in text.bytes() {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(b);
    }
    out.push(b'"');
}

/// Appends `bytes` as a literal: `{n}` CRLF and n octets; NUL goes out as octet 0x80.
pub fn literal(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{{{}}}\r\n", bytes.len()).as_bytes());
    out.extend(bytes.iter().map(|&b| if b == 0 { 0x80 } else { b }));
}

/// Appends `NIL` or the string.
pub fn nstring(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => string(out, bytes),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Appends `bytes` as an `astring`: an atom where every character allows it (RFC 3501 `ASTRING-CHAR`),
/// otherwise a quoted string or a literal. `NIL` and the empty string are quoted.
pub fn astring(out: &mut Vec<u8>, bytes: &[u8]) {
    let atom = !bytes.is_empty()
        && !bytes.eq_ignore_ascii_case(b"NIL")
        && bytes.iter().all(|&b| b.is_ascii_graphic() && !b"(){%*\"\\".contains(&b));
    if atom {
        out.extend_from_slice(bytes);
    } else {
        string(out, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        string(&mut out, bytes);
        out
    }

    #[test]
    fn quoted_or_literal() {
        assert_eq!(s(b""), b"\"\"");
        assert_eq!(s(b"a\"b\\c"), b"\"a\\\"b\\\\c\"");
        assert_eq!(s(b"a\nb"), b"{3}\r\na\nb");
        assert_eq!(s("é".as_bytes()), "{2}\r\né".as_bytes());
        assert_eq!(s(b"a\0"), b"{2}\r\na\x80");
        assert_eq!(s(&[b'"'; 17]).len(), 17 + 6);
    }

    #[test]
    fn nil_and_atoms() {
        let mut out = Vec::new();
        nstring(&mut out, None);
        out.push(b' ');
        for name in [&b"INBOX"[..], b"a/b]", b"nil", b"a b", b"", b"x*"] {
            astring(&mut out, name);
            out.push(b' ');
        }
        assert_eq!(out, b"NIL INBOX a/b] \"nil\" \"a b\" \"\" \"x*\" ");
    }
}
