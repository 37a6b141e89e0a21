//! Paths and parameters of MAIL and RCPT (RFC 5321 section 4.1.2).

/// Longest local part that is taken. RFC 5321 section 4.5.3.1 asks for 64; folders behind `+` need more.
const LOCAL_MAX: usize = 512;
/// Longest address as it is written into a header line, with its quoting: a line has at most 998 bytes (RFC 5322 section 2.1.1).
const WRITTEN_MAX: usize = 900;
/// Longest domain.
const DOMAIN_MAX: usize = 255;

/// An address; the quoting of its local part is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mailbox {
    pub(super) local: String,
    pub(super) domain: String,
}

impl Mailbox {
    /// False when SMTPUTF8 is needed for it (RFC 6531 section 3.3).
    pub(super) fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }
}

impl std::fmt::Display for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = self.local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext));
        if plain {
            f.write_str(&self.local)?;
        } else if !self.local.is_empty() {
            f.write_str("\"")?;
            for c in self.local.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        if self.domain.is_empty() { Ok(()) } else { write!(f, "@{}", self.domain) }
    }
}

/// Other letters than those of ASCII are let through (RFC 6531 section 3.3).
fn is_atext(b: u8) -> bool {
    !b.is_ascii() || b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

/// Reads `<path>` and gives what follows it. An empty path is an empty [`Mailbox`].
pub(super) fn parse(text: &str) -> Option<(Mailbox, &str)> {
    let rest = text.trim_start_matches(' ').strip_prefix('<')?;
    if let Some(rest) = rest.strip_prefix('>') {
        return ends(rest).then_some((Mailbox::default(), rest));
    }
    // A source route is read and not used (RFC 5321 section 4.1.1.3).
    let rest = if rest.starts_with('@') { rest.split_once(':')?.1 } else { rest };
    let (local, rest) = if let Some(quoted) = rest.strip_prefix('"') { unquote(quoted)? } else { dot_string(rest)? };
    let (domain, rest) = match rest.strip_prefix('@') {
        Some(rest) => {
            let (domain, rest) = rest.split_at(rest.find('>')?);
            let fits = |b: u8| !b.is_ascii() || b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
            if domain.is_empty() || domain.len() > DOMAIN_MAX || !domain.bytes().all(fits) {
                return None;
            }
            (domain.to_owned(), rest)
        }
        None => (String::new(), rest),
    };
    let rest = rest.strip_prefix('>')?;
    let mailbox = Mailbox { local, domain };
    let fits =
        !mailbox.local.is_empty() && mailbox.local.len() <= LOCAL_MAX && mailbox.to_string().len() <= WRITTEN_MAX;
    (ends(rest) && fits).then_some((mailbox, rest))
}

fn ends(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(' ')
}

fn dot_string(text: &str) -> Option<(String, &str)> {
    let len = text.bytes().take_while(|b| is_atext(*b) || *b == b'.').count();
    Some((text.get(..len)?.to_owned(), text.get(len..)?))
}

fn unquote(text: &str) -> Option<(String, &str)> {
    let mut local = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((local, text.get(at + 1..)?)),
            '\\' => local.push(chars.next().map(|(_, c)| c).filter(|c| (' '..='~').contains(c))?),
            c if c != '\u{7f}' && !c.is_control() => local.push(c),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_written() {
        for (text, local, domain, again) in [
            ("<joe@example.org>", "joe", "example.org", "joe@example.org"),
            ("<@a.org,@b.org:joe@example.org> SIZE=1", "joe", "example.org", "joe@example.org"),
            ("<\"joe b\\\"x\\\\\"@example.org>", "joe b\"x\\", "example.org", "\"joe b\\\"x\\\\\"@example.org"),
            ("<\"joe\"@[127.0.0.1]>", "joe", "[127.0.0.1]", "joe@[127.0.0.1]"),
            (" <joe+Work/2004>", "joe+Work/2004", "", "joe+Work/2004"),
            (
                "<j\u{f6}rg+T\u{fc}r@b\u{fc}cher.example>",
                "j\u{f6}rg+T\u{fc}r",
                "b\u{fc}cher.example",
                "j\u{f6}rg+T\u{fc}r@b\u{fc}cher.example",
            ),
            ("<\"\u{f6} \u{fc}\"@x>", "\u{f6} \u{fc}", "x", "\"\u{f6} \u{fc}\"@x"),
            ("<>", "", "", ""),
        ] {
            let (mailbox, _) = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((mailbox.local.as_str(), mailbox.domain.as_str()), (local, domain), "{text}");
            assert_eq!(mailbox.to_string(), again);
        }
        for bad in [
            "joe@example.org",
            "<joe@>",
            "<@example.org>",
            "<joe@a b>",
            "<joe",
            "<\"joe@x>",
            "<joe@x>y",
            "<\"\"@x>",
            "<j e@x>",
            "<\"a\u{85}\"@x>",
            "",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
