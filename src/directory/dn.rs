//! Distinguished names, as far as they are compared and looked into. Source: RFC 4514.

/// A name as its parts, the first one first: kind and value of each in lower case, the value without its escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Dn(Vec<(String, String)>);

impl Dn {
    /// Reads a name; what is no name becomes parts that no name has.
    pub(super) fn parse(text: &str) -> Dn {
        let (mut parts, mut kind, mut value, mut quoted) = (Vec::new(), None, Vec::new(), false);
        let mut bytes = text.bytes().peekable();
        let finish = |kind: &mut Option<String>, value: &mut Vec<u8>| {
            let text = String::from_utf8_lossy(&std::mem::take(value)).trim().to_lowercase();
            (kind.take().unwrap_or_default(), text)
        };
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => {
                    let first = bytes.next().unwrap_or(b'\\');
                    let hex = |byte: u8| char::from(byte).to_digit(16);
                    let pair = hex(first).zip(bytes.peek().and_then(|byte| hex(*byte)));
                    match pair.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
                        Some(byte) => {
                            bytes.next();
                            value.push(byte);
                        }
                        None => value.push(first),
                    }
                }
                b'"' => quoted = !quoted,
                b'=' if !quoted && kind.is_none() => kind = Some(finish(&mut kind, &mut value).1),
                b',' | b';' if !quoted => parts.push(finish(&mut kind, &mut value)),
                _ => value.push(byte),
            }
        }
        if kind.is_some() || !value.is_empty() {
            parts.push(finish(&mut kind, &mut value));
        }
        Dn(parts)
    }

    /// True for the entry itself and for those below it.
    pub(super) fn is_in(&self, base: &Dn) -> bool {
        self.0.ends_with(&base.0)
    }

    /// True when its first part is of that kind (lower case) and has that value.
    pub(super) fn begins_with(&self, kind: &str, value: &str) -> bool {
        self.0.first().is_some_and(|(own, text)| own == kind && *text == value.trim().to_lowercase())
    }

    /// How deep it is in the tree.
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    /// The domain that the place in the tree tells: an `o=` that is a domain name, else the `dc=` parts. `root` is no part of its name.
    pub(super) fn domain(&self, root: Option<&Dn>) -> Option<String> {
        let below = root.and_then(|root| self.0.strip_suffix(&root.0[..]));
        let parts = below.filter(|parts| !parts.is_empty()).unwrap_or(&self.0);
        if let Some((_, domain)) = parts.iter().find(|(kind, value)| kind == "o" && value.contains('.')) {
            return Some(domain.clone());
        }
        let labels: Vec<&str> =
            parts.iter().filter(|(kind, _)| kind == "dc").map(|(_, value)| value.as_str()).collect();
        (labels.len() >= 2).then(|| labels.join("."))
    }
}

/// True for two spellings of one name.
pub(super) fn same(a: &str, b: &str) -> bool {
    Dn::parse(a) == Dn::parse(b)
}

/// A value as it stands in a distinguished name. Source: RFC 4514 section 2.4.
pub(super) fn escaped(value: &str) -> String {
    let mut out = String::new();
    for (index, c) in value.chars().enumerate() {
        if ",+\"\\<>;=".contains(c) || (index == 0 && c == '#') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_the_same() {
        assert!(same("uid=Joe , ou=People,o=Siroe.com", "UID=joe,OU=people,O=siroe.com"));
        assert!(same("cn=a\\,b,o=x", "cn=a\\2Cb, o=x") && same("cn=\"a,b\",o=x", "cn=a\\,b,o=x"));
        assert!(same("cn=J\\C3\\B6rg,o=x", "cn=jörg,o=x"));
        assert!(!same("cn=a,o=x", "cn=a,o=y") && !same("cn=a,o=x", "o=x") && !same("", "o=x"));
    }

    #[test]
    fn the_place_tells_the_domain() {
        let domain = |text: &str, root: &str| {
            Dn::parse(text).domain(Some(Dn::parse(root)).filter(|_| !root.is_empty()).as_ref())
        };
        assert_eq!(domain("uid=j,ou=People,o=Siroe.com,o=isp", "").as_deref(), Some("siroe.com"));
        assert_eq!(domain("uid=j,dc=siroe,dc=com", "").as_deref(), Some("siroe.com"));
        assert_eq!(domain("dc=siroe,dc=com,o=internet", "o=internet").as_deref(), Some("siroe.com"));
        assert_eq!(domain("dc=siroe,dc=com,dc=tree,dc=org", "dc=tree, dc=org").as_deref(), Some("siroe.com"));
        assert_eq!(domain("dc=siroe,dc=com,dc=other", "dc=tree").as_deref(), Some("siroe.com.other"));
        assert_eq!(domain("uid=j,o=isp", ""), None);
        let (base, below) = (Dn::parse("o=x"), Dn::parse("cn=a,o=x"));
        assert!(below.is_in(&base) && base.is_in(&base) && !base.is_in(&below));
    }
}
