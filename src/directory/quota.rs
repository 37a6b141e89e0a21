//! The values of `mailQuota` and `mailMsgQuota`: one limit, or in the later syntax limits for message types and folders behind it,
//! `20M;#text%10M;Archive%100M`. Source: schema reference, mailQuota; 6.3 Administration Guide, message type and folder quotas.

use std::fmt;

/// A limit as the directory has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// `-2`, or not written: the default of the system.
    #[default]
    Default,
    /// `-1`.
    Unlimited,
    /// So many bytes or messages; with 0 there is no room at all.
    At(u64),
}

impl Limit {
    /// Reads a number; `K`, `M` and `G` behind it count in 1024.
    ///
    /// # Errors
    /// A sentence about a text that is no limit.
    pub fn parse(text: &str) -> Result<Limit, String> {
        let bad = || format!("\"{text}\" is not a limit: a number, with K, M or G behind it or not, -1 or -2");
        let text = text.trim();
        match text {
            "-1" => return Ok(Limit::Unlimited),
            "-2" => return Ok(Limit::Default),
            _ => {}
        }
        let (digits, shift) = match text.bytes().last() {
            Some(b'k' | b'K') => (text.get(..text.len() - 1), 10),
            Some(b'm' | b'M') => (text.get(..text.len() - 1), 20),
            Some(b'g' | b'G') => (text.get(..text.len() - 1), 30),
            _ => (Some(text), 0),
        };
        let digits =
            digits.map(str::trim).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit())).ok_or_else(bad)?;
        let number: u64 = digits.parse().map_err(|_| bad())?;
        number.checked_mul(1 << shift).filter(|limit| i64::try_from(*limit).is_ok()).map(Limit::At).ok_or_else(bad)
    }

    /// The number that counts where the system's default is `default`; `None`: no limit.
    pub fn or(self, default: Option<u64>) -> Option<u64> {
        match self {
            Limit::Default => default,
            Limit::Unlimited => None,
            Limit::At(limit) => Some(limit),
        }
    }

    /// The number as the attribute spells it; `None` for the default.
    pub fn number(self) -> Option<i64> {
        match self {
            Limit::Default => None,
            Limit::Unlimited => Some(-1),
            Limit::At(limit) => Some(i64::try_from(limit).unwrap_or(i64::MAX)),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number().unwrap_or(-2))
    }
}

/// A value of `mailQuota` or `mailMsgQuota`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// What all folders without a limit of their own may hold together.
    pub limit: Limit,
    /// Limits of message types, by name without `#`. They are kept and not enforced.
    pub types: Vec<(String, Limit)>,
    /// Limits of folders with those below them, by path.
    pub folders: Vec<(String, Limit)>,
}

impl Quota {
    /// Reads a value.
    ///
    /// # Errors
    /// A sentence about the part that cannot be read.
    pub fn parse(text: &str) -> Result<Quota, String> {
        let mut quota = Quota::default();
        for (number, part) in text.split(';').map(str::trim).enumerate() {
            match part.rsplit_once('%') {
                None if part.is_empty() && number > 0 => {}
                None if number == 0 => quota.limit = Limit::parse(part)?,
                None => return Err(format!("\"{part}\" names no folder and no type: folder%limit or #type%limit")),
                Some((name, limit)) => {
                    let (name, limit) = (name.trim(), Limit::parse(limit)?);
                    let (into, name) = match name.strip_prefix('#') {
                        Some(name) => (&mut quota.types, name.to_lowercase()),
                        None => (&mut quota.folders, name.trim_matches('/').to_owned()),
                    };
                    if name.is_empty() || into.iter().any(|(known, _)| *known == name) {
                        return Err(format!("\"{part}\" names nothing, or what was named before"));
                    }
                    into.push((name, limit));
                }
            }
        }
        Ok(quota)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.limit)?;
        self.types.iter().try_for_each(|(name, limit)| write!(f, ";#{name}%{limit}"))?;
        self.folders.iter().try_for_each(|(name, limit)| write!(f, ";{name}%{limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        for (text, limit) in [
            ("-1", Limit::Unlimited),
            ("-2", Limit::Default),
            ("0", Limit::At(0)),
            (" 20M ", Limit::At(20 << 20)),
            ("1 k", Limit::At(1024)),
            ("3g", Limit::At(3 << 30)),
        ] {
            assert_eq!(Quota::parse(text), Ok(Quota { limit, ..Quota::default() }), "{text}");
        }
        let all = Quota::parse("20M;#Text%10M;#voice%10M; Archive/2004 % 100M;").unwrap();
        assert_eq!(all.limit, Limit::At(20 << 20));
        assert_eq!(all.types, [("text".to_owned(), Limit::At(10 << 20)), ("voice".to_owned(), Limit::At(10 << 20))]);
        assert_eq!(all.folders, [("Archive/2004".to_owned(), Limit::At(100 << 20))]);
        assert_eq!(Quota::parse(&all.to_string()), Ok(all));
        assert_eq!(Quota::parse("Archive%5").unwrap().limit, Limit::Default);
        for bad in ["", "x", "-3", "1.5M", "9999999999G", "5;6", "5;%6", "5;#%6", "5;a%6;a%7", "5;a%", "M"] {
            assert!(Quota::parse(bad).is_err(), "{bad}");
        }
    }
}
