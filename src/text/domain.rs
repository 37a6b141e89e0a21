//! Domain names that have two forms: with their letters (`b\u{fc}cher.example`) and in ASCII (`xn--bcher-kva.example`). Source: RFC 5890, UTS 46.

/// The form in which domains are compared: in ASCII, lower case. What is no domain name stays as it is, in lower case.
pub fn ascii(domain: &str) -> String {
    let as_given = || domain.to_lowercase();
    if domain.is_ascii() { as_given() } else { idna::domain_to_ascii(domain).unwrap_or_else(|_| as_given()) }
}

#[cfg(test)]
mod tests {
    use super::ascii;

    #[test]
    fn both_forms_are_one() {
        for (given, wanted) in [
            ("Example.ORG", "example.org"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("B\u{dc}CHER.Example", "xn--bcher-kva.example"),
            // Written with a combining mark, and with a dot of another script.
            ("bu\u{308}cher\u{3002}example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("fa\u{df}.example", "xn--fa-hia.example"),
            ("[127.0.0.1]", "[127.0.0.1]"),
            ("", ""),
            // No domain name: a letter of one direction in a word of the other.
            ("\u{fc}\u{5d0}.example", "\u{fc}\u{5d0}.example"),
        ] {
            assert_eq!(ascii(given), wanted, "{given}");
        }
    }
}
