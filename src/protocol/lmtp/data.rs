//! The bytes behind DATA: dots are taken away, and only CRLF.CRLF ends them (RFC 5321 sections 4.1.1.4 and 4.5.2).

use memchr::memchr;

/// Where the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Behind CRLF, or at the start.
    LineStart,
    /// In a line.
    Text,
    /// Behind a CR of the message.
    Cr,
    /// Behind a dot at the start of a line; the dot is held back.
    Dot,
    /// Behind that and a CR; both are held back.
    DotCr,
    /// Behind the end.
    End,
}

/// Takes the bytes in pieces cut anywhere.
#[derive(Debug)]
pub(super) struct Decoder {
    at: At,
}

impl Decoder {
    pub(super) fn new() -> Decoder {
        Decoder { at: At::LineStart }
    }

    /// True behind the final dot.
    pub(super) fn ended(&self) -> bool {
        self.at == At::End
    }

    /// Appends the message's bytes of `piece` to `out` and returns how many of `piece` were used; fewer than all only at the end.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while let Some(byte) = piece.get(used).copied() {
            self.at = match (self.at, byte) {
                (At::End, _) => return used,
                (At::Text, _) => {
                    let rest = piece.get(used..).unwrap_or_default();
                    let len = memchr(b'\r', rest).unwrap_or(rest.len());
                    out.extend_from_slice(rest.get(..len).unwrap_or_default());
                    used += len;
                    if len == rest.len() {
                        return used;
                    }
                    out.push(b'\r');
                    At::Cr
                }
                (At::LineStart, b'.') => At::Dot,
                (At::Dot, b'\r') => At::DotCr,
                (At::DotCr, b'\n') => At::End,
                (At::DotCr, b'\r') => {
                    out.extend_from_slice(b"\r\r");
                    At::Cr
                }
                (At::DotCr, other) => {
                    out.extend_from_slice(&[b'\r', other]);
                    At::Text
                }
                (At::Cr, b'\n') => {
                    out.push(b'\n');
                    At::LineStart
                }
                (At::LineStart | At::Dot | At::Cr, other) => {
                    out.push(other);
                    if other == b'\r' { At::Cr } else { At::Text }
                }
            };
            used += 1;
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(wire: &[u8], cut: usize) -> (Vec<u8>, usize, bool) {
        let (mut decoder, mut out, mut used) = (Decoder::new(), Vec::new(), 0);
        for piece in wire.chunks(cut) {
            used += decoder.push(piece, &mut out);
        }
        (out, used, decoder.ended())
    }

    #[test]
    fn only_crlf_dot_crlf_ends() {
        for cut in 1..20 {
            let wire: &[u8] = b"a\r\n..b\r\n.c\n.\nd\r.\r\n\n.\r\ne\r.\re\r\n.\nf\r\n.\r\nQUIT\r\n";
            let (out, used, ended) = decoded(wire, cut);
            assert_eq!(out, b"a\r\n.b\r\nc\n.\nd\r.\r\n\n.\r\ne\r.\re\r\n\nf\r\n", "{cut}");
            assert!(ended && wire[used..] == *b"QUIT\r\n");
            assert_eq!(decoded(b".\r\n", cut), (Vec::new(), 3, true));
            assert!(!decoded(b"a\n.\n", cut).2 && !decoded(b"a\r\n.\n", cut).2 && !decoded(b"a\n.\r\n", cut).2);
            assert_eq!(decoded(b".\r.\r\n.\r\r\n.\r\n", cut).0, b"\r.\r\n\r\r\n");
        }
    }
}
