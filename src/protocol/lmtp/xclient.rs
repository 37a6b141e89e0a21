//! XCLIENT: a mail system that is trusted says who its client is. Source: Postfix XCLIENT_README; values are xtext (RFC 3461 section 4).

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::text::number::decimal;

/// What the answer to LHLO offers.
pub(super) const OFFER: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";
/// Longest name, bytes.
const VALUE_MAX: usize = 255;
/// Nothing is known, for ever or for now.
const UNKNOWN: [&str; 2] = ["[UNAVAILABLE]", "[TEMPUNAVAIL]"];

/// What was said of the client. A later command adds to it. Texts are as they came, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    name: Option<String>,
    address: Option<Claim<IpAddr>>,
    port: Option<Claim<u16>>,
    protocol: Option<String>,
    helo: Option<String>,
    login: Option<String>,
    to_address: Option<Claim<IpAddr>>,
    to_port: Option<Claim<u16>>,
}

/// A value, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim<T> {
    Is(T),
    Unknown,
}

impl Origin {
    /// The client's address and port, as far as they are known.
    pub(super) fn client(&self) -> Option<(IpAddr, u16)> {
        let Some(Claim::Is(address)) = self.address else { return None };
        let port = match self.port {
            Some(Claim::Is(port)) => port,
            _ => 0,
        };
        Some((address, port))
    }

    /// Takes the attributes of a command: all of them, or none.
    ///
    /// # Errors
    /// The reply.
    pub(super) fn read(&mut self, attributes: &str) -> Result<(), String> {
        let mut new = self.clone();
        let mut words = attributes.split(' ').filter(|word| !word.is_empty()).peekable();
        if words.peek().is_none() {
            return Err("501 5.5.4 XCLIENT ATTRIBUTE=VALUE ...".to_owned());
        }
        for word in words {
            let (name, value) = word.split_once('=').ok_or("501 5.5.4 XCLIENT ATTRIBUTE=VALUE ...")?;
            let name = name.to_ascii_uppercase();
            let wrong = || format!("501 5.5.4 Bad value of {name}");
            let value = unquote(value).filter(|value| fits(value)).ok_or_else(wrong)?;
            let unknown = UNKNOWN.iter().any(|word| value.eq_ignore_ascii_case(word));
            let text = |fits: &dyn Fn(&str) -> bool| Some(value.clone()).filter(|value| unknown || fits(value));
            match name.as_str() {
                "NAME" => new.name = Some(text(&is_host).ok_or_else(wrong)?),
                "HELO" => new.helo = Some(value),
                "LOGIN" => new.login = Some(value),
                "PROTO" => new.protocol = Some(text(&is_protocol).ok_or_else(wrong)?),
                "ADDR" => new.address = Some(claim(&value, unknown, address).ok_or_else(wrong)?),
                "DESTADDR" => new.to_address = Some(claim(&value, unknown, address).ok_or_else(wrong)?),
                "PORT" => new.port = Some(claim(&value, unknown, port).ok_or_else(wrong)?),
                "DESTPORT" => new.to_port = Some(claim(&value, unknown, port).ok_or_else(wrong)?),
                _ => return Err("501 5.5.4 Unknown attribute".to_owned()),
            }
        }
        *self = new;
        Ok(())
    }
}

/// For the log.
impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fn told<T: ToString>(claim: Option<Claim<T>>) -> Option<String> {
            claim.map(|claim| match claim {
                Claim::Is(value) => value.to_string(),
                Claim::Unknown => UNKNOWN[0].to_owned(),
            })
        }
        let mut line = String::new();
        for (name, value) in [
            ("NAME", self.name.clone()),
            ("ADDR", told(self.address)),
            ("PORT", told(self.port)),
            ("PROTO", self.protocol.clone()),
            ("HELO", self.helo.clone()),
            ("LOGIN", self.login.clone()),
            ("DESTADDR", told(self.to_address)),
            ("DESTPORT", told(self.to_port)),
        ] {
            if let Some(value) = value {
                let blank = if line.is_empty() { "" } else { " " };
                write!(line, "{blank}{name}={value}")?;
            }
        }
        f.write_str(&line)
    }
}

fn claim<T>(value: &str, unknown: bool, read: impl FnOnce(&str) -> Option<T>) -> Option<Claim<T>> {
    if unknown { Some(Claim::Unknown) } else { read(value).map(Claim::Is) }
}

fn fits(value: &str) -> bool {
    (1..=VALUE_MAX).contains(&value.len()) && !value.chars().any(char::is_control)
}

fn is_host(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn is_protocol(value: &str) -> bool {
    ["SMTP", "ESMTP", "LMTP"].iter().any(|known| value.eq_ignore_ascii_case(known))
}

/// An IPv4 address, or an IPv6 one behind `IPV6:`; without brackets.
fn address(value: &str) -> Option<IpAddr> {
    match value.split_at_checked("IPV6:".len()) {
        Some((mark, rest)) if mark.eq_ignore_ascii_case("IPV6:") => rest.parse().ok().map(IpAddr::V6),
        _ => value.parse().ok().map(IpAddr::V4),
    }
}

fn port(value: &str) -> Option<u16> {
    decimal(value.as_bytes())
}

/// Reads xtext: `+` and two hexadecimal digits are a byte, other printable letters stand for themselves.
fn unquote(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'+' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |at: usize| digits.get(at).and_then(|b| char::from(*b).to_digit(16));
        bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Origin, String> {
        let mut origin = Origin::default();
        origin.read(text).map(|()| origin)
    }

    #[test]
    fn attributes_are_read_and_added() {
        let mut origin = read("NAME=spike.example addr=192.0.2.7 PORT=4711 Proto=esmtp HELO=a+20b+2Bc").unwrap();
        assert_eq!(origin.client(), Some(("192.0.2.7".parse().unwrap(), 4711)));
        origin.read("LOGIN=joe+40example DESTADDR=IPV6:2001:db8::1 DESTPORT=24").unwrap();
        let line = "NAME=spike.example ADDR=192.0.2.7 PORT=4711 PROTO=esmtp HELO=a b+c LOGIN=joe@example DESTADDR=2001:db8::1 DESTPORT=24";
        assert_eq!(origin.to_string(), line);
        // What is not known takes the place of what was.
        origin.read("ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]").unwrap();
        assert_eq!(origin.client(), None);
        assert!(origin.to_string().starts_with("NAME=[TEMPUNAVAIL] ADDR=[UNAVAILABLE] PORT=4711"), "{origin}");
        assert_eq!(read("ADDR=ipv6:::1").unwrap().client(), Some(("::1".parse().unwrap(), 0)));
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let mut origin = read("ADDR=192.0.2.7").unwrap();
        let before = origin.clone();
        let long = format!("HELO={}", "x".repeat(256));
        for wrong in [
            "",
            "ADDR",
            "ADDR=",
            "ADDR=::1",
            "ADDR=IPV6:192.0.2.1",
            "ADDR=[192.0.2.1]",
            "ADDR=192.0.2.8 X=1",
            "ADDR=192.0.2.8 PORT=65536",
            "PORT=-1",
            "PROTO=HTTP",
            "NAME=a/b",
            "NAME=a+2",
            "HELO=a+0D+0Ab",
            "HELO=+FF",
            &long,
        ] {
            assert!(origin.read(wrong).unwrap_err().starts_with("501 5.5.4 "), "{wrong}");
            assert_eq!(origin, before, "{wrong}");
        }
        // A digit may be quoted.
        assert_eq!(read("PORT=+34").map(|origin| origin.to_string()), Ok("PORT=4".to_owned()));
    }
}
