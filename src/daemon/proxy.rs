//! The header of the PROXY protocol, versions 1 and 2, that a proxy in front of a service sends before anything else: who the client is.
//! Source: "The PROXY protocol", HAProxy, sections 2.1 and 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::text::number::decimal;

/// Most bytes of a header that is read; version 2 allows 64 KiB, of which what proxies add takes a few hundred.
pub const LONGEST: usize = 4096;
/// Version 1 with its CRLF.
const LONGEST_LINE: usize = 107;
/// The shortest of version 1: `PROXY UNKNOWN`.
const SHORTEST_LINE: usize = 15;
const LINE: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the bytes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The beginning of a header.
    More {
        /// So many bytes of it are still to come at least, so that nothing behind it is read.
        least: usize,
    },
    /// A header.
    Complete {
        /// Bytes of the header; the client's own follow.
        used: usize,
        /// The client; `None` when the proxy speaks for itself (it looks whether we live) or does not know.
        client: Option<SocketAddr>,
    },
}

/// The bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no PROXY header")]
pub struct Malformed;

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
/// [`Malformed`]: whatever follows, this does not become a header.
pub fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
    let begins = |whole: &[u8]| bytes.iter().zip(whole).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        // Nothing yet: it may be a line.
        let fixed = if bytes.is_empty() { SHORTEST_LINE } else { 16 };
        if bytes.len() < fixed { Ok(Header::More { least: fixed - bytes.len() }) } else { binary(bytes) }
    } else if begins(LINE) {
        line(bytes)
    } else {
        Err(Malformed)
    }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 143`, or TCP6, or `PROXY UNKNOWN` and anything.
fn line(bytes: &[u8]) -> Result<Header, Malformed> {
    let head = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = memchr::memmem::find(head, b"\r\n") else {
        let least = SHORTEST_LINE.saturating_sub(bytes.len()).max(1);
        return if bytes.len() < LONGEST_LINE { Ok(Header::More { least }) } else { Err(Malformed) };
    };
    let complete = |client| Ok(Header::Complete { used: end + 2, client });
    let text = head.get(..end).and_then(|text| std::str::from_utf8(text).ok()).ok_or(Malformed)?;
    let words: Vec<&str> = text.split(' ').collect();
    let (family, from, to, ports) = match words[..] {
        [_, "UNKNOWN", ..] => return complete(None),
        [_, family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => (family, from, to, [from_port, to_port]),
        _ => return Err(Malformed),
    };
    let address = |text: &str| {
        let address: IpAddr = text.parse().map_err(|_| Malformed)?;
        if address.is_ipv4() == (family == "TCP4") { Ok(address) } else { Err(Malformed) }
    };
    let port = |text: &str| decimal::<u16>(text.as_bytes()).ok_or(Malformed);
    let (from, _) = (address(from)?, address(to)?);
    let (from_port, _) = (port(ports[0])?, port(ports[1])?);
    complete(Some(SocketAddr::new(from, from_port)))
}

/// The signature, version and command, family and transport, length of the rest, addresses, and more that is passed over.
fn binary(bytes: &[u8]) -> Result<Header, Malformed> {
    let &[command, family, high, low] = bytes.get(12..).and_then(<[u8]>::first_chunk::<4>).ok_or(Malformed)?;
    let used = 16 + usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || command & 15 > 1 || used > LONGEST {
        return Err(Malformed);
    }
    let Some(rest) = bytes.get(16..used) else {
        return Ok(Header::More { least: used - bytes.len() });
    };
    let client = match (command & 15, family) {
        (1, 0x11) => {
            let addresses = rest.first_chunk::<12>().ok_or(Malformed)?;
            let &[a, b, c, d, _, _, _, _, high, low, _, _] = addresses;
            Some(SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low])))
        }
        (1, 0x21) => {
            let addresses = rest.first_chunk::<36>().ok_or(Malformed)?;
            let address = addresses.first_chunk::<16>().ok_or(Malformed)?;
            Some(SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes([addresses[32], addresses[33]])))
        }
        // LOCAL, and families that are none of TCP.
        _ => None,
    };
    Ok(Header::Complete { used, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(bytes: &[u8]) -> Option<String> {
        match parse(bytes) {
            Ok(Header::Complete { used, client }) => {
                assert_eq!(used, bytes.len());
                Some(client.map_or("none".to_owned(), |client| client.to_string()))
            }
            Ok(Header::More { .. }) => Some("more".to_owned()),
            Err(Malformed) => None,
        }
    }

    #[test]
    fn version_1() {
        let line = |text: &str| client(format!("PROXY {text}\r\n").as_bytes());
        assert_eq!(line("TCP4 192.0.2.1 192.0.2.2 56324 143").as_deref(), Some("192.0.2.1:56324"));
        assert_eq!(line("TCP6 2001:db8::1 ::1 1 143").as_deref(), Some("[2001:db8::1]:1"));
        assert_eq!(line("UNKNOWN").as_deref(), Some("none"));
        assert_eq!(line("UNKNOWN ffff:f ffff:f 65535 65535").as_deref(), Some("none"));
        for wrong in [
            "",
            "TCP4",
            "TCP4 ::1 ::1 1 1",
            "TCP6 192.0.2.1 192.0.2.1 1 1",
            "TCP4 192.0.2.1 192.0.2.2 65536 143",
            "TCP4 192.0.2.1 192.0.2.2 +1 143",
            "TCP4 192.0.2.1  192.0.2.2 1 143",
            "TCP4 192.0.2.1 192.0.2.2 1 143 ",
            "UDP4 192.0.2.1 192.0.2.2 1 143",
        ] {
            assert_eq!(line(wrong), None, "{wrong}");
        }
        assert_eq!(client(b"").as_deref(), Some("more"));
        assert_eq!(client(b"PROX").as_deref(), Some("more"));
        assert_eq!(client(b"a login joe x\r\n"), None);
        assert_eq!(client(&[b"PROXY UNKNOWN ", &[b'x'; 93][..]].concat()), None);
    }

    #[test]
    fn version_2() {
        let header = |command: u8, family: u8, rest: &[u8]| {
            let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
            client(&[SIGNATURE, &[command, family], &length, rest].concat())
        };
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 0, 143];
        assert_eq!(header(0x21, 0x11, &four).as_deref(), Some("192.0.2.1:56324"));
        let more = [&four[..], b"\x03\0\x04abcd"].concat();
        assert_eq!(header(0x21, 0x11, &more).as_deref(), Some("192.0.2.1:56324"));
        let mut six = [0; 36];
        (six[0], six[1], six[15], six[33]) = (0x20, 1, 9, 7);
        assert_eq!(header(0x21, 0x21, &six).as_deref(), Some("[2001::9]:7"));
        assert_eq!(header(0x20, 0, b"").as_deref(), Some("none"));
        assert_eq!(header(0x21, 0x31, &[0; 216]).as_deref(), Some("none"));
        assert_eq!(header(0x21, 0x11, &four[..11]), None);
        assert_eq!(header(0x11, 0x11, &four), None);
        assert_eq!(header(0x22, 0x11, &four), None);
        assert_eq!(header(0x21, 0x11, &[0; 5000]), None);
        assert_eq!(client(SIGNATURE).as_deref(), Some("more"));
    }
}
