//! The base subject of RFC 5256 section 2.1: what SORT and THREAD compare, without `Re:`, `[list]`, `(fwd)` and their kin.

use std::borrow::Cow;

use super::charset;

/// Longest raw value that is looked at, octets.
const MAX_VALUE: usize = 64 * 1024;

/// A base subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    /// The text, decoded; empty where nothing is left. Letter case is that of the message.
    pub text: String,
    /// The message is a reply or was forwarded, as THREAD has it (RFC 5256 section 3): a `Re:` or `Fwd:`, a `(fwd)` or a `[fwd: ...]` went away.
    pub is_reply: bool,
}

/// The base subject of the raw value of a Subject field, folded or not.
#[must_use]
pub fn base(value: &[u8]) -> Base {
    let value = value.get(..MAX_VALUE).unwrap_or(value);
    // Step 1: encoded words are decoded, all white space becomes one blank.
    let decoded = charset::decode_words(value);
    let whole = collapse(&decoded);
    let mut text: &str = &whole;
    let mut is_reply = false;
    loop {
        // Step 2.
        text = text.trim_end_matches(' ');
        while let Some(rest) = strip_suffix(text, "(fwd)") {
            is_reply = true;
            text = rest.trim_end_matches(' ');
        }
        // Steps 3 to 5.
        while let Some((rest, leader)) = without_prefix(text) {
            is_reply |= leader;
            text = rest;
        }
        // Step 6.
        match strip_prefix(text, "[fwd:").and_then(|rest| rest.strip_suffix(']')) {
            Some(rest) => {
                is_reply = true;
                text = rest;
            }
            None => return Base { text: text.to_owned(), is_reply },
        }
    }
}

/// Tabs, line ends and runs of blanks become one blank.
fn collapse(text: &str) -> Cow<'_, str> {
    let is_white = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let mut before = false;
    let clean = text.bytes().all(|byte| {
        let fine = !is_white(byte) || (byte == b' ' && !before);
        before = byte == b' ';
        fine
    });
    if clean {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !matches!(c, ' ' | '\t' | '\r' | '\n') {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    Cow::Owned(out)
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(rest)
}

/// What follows a leader (step 3), or all blobs but one that would be the last of the text (step 4). True: it was a leader with a `re` or `fwd`.
fn without_prefix(text: &str) -> Option<(&str, bool)> {
    let unblanked = text.trim_start_matches(' ');
    if unblanked.len() < text.len() {
        return Some((unblanked, false));
    }
    // Blobs are passed over together: looking at each again for what stands behind it would take the square of their number.
    let (mut rest, mut last) = (text, text);
    while let Some(behind) = blob(rest) {
        (last, rest) = (rest, behind);
    }
    if let Some(behind) = reply_mark(rest) {
        return Some((behind, true));
    }
    let kept = if rest.is_empty() { last } else { rest };
    (kept.len() < text.len()).then_some((kept, false))
}

/// What follows `subj-blob`: `"[" *BLOBCHAR "]" *WSP`.
fn blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    Some(inner.get(end..)?.strip_prefix(']')?.trim_start_matches(' '))
}

/// What follows `subj-refwd`: `("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`.
fn reply_mark(text: &str) -> Option<&str> {
    ["re", "fwd", "fw"].iter().find_map(|word| {
        let rest = strip_prefix(text, word)?.trim_start_matches(' ');
        blob(rest).unwrap_or(rest).strip_prefix(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(value: &str) -> (String, bool) {
        let base = base(value.as_bytes());
        (base.text, base.is_reply)
    }

    #[test]
    fn the_steps_of_the_rfc() {
        for (value, text, is_reply) in [
            ("hello", "hello", false),
            ("", "", false),
            ("  two \t  words\r\n  here ", "two words here", false),
            ("Re: hello", "hello", true),
            ("RE : hello", "hello", true),
            ("re[2]: hello", "hello", true),
            ("fw: hello", "hello", true),
            ("Fwd: re: FW: hello", "hello", true),
            ("hello (fwd)", "hello", true),
            ("hello(FWD) (fwd)  (Fwd)", "hello", true),
            ("[list] hello", "hello", false),
            ("[list][other] hello", "hello", false),
            ("[list] Re: [other]hello", "hello", true),
            ("[a] [b] re [c] : [d]hello", "hello", true),
            ("[fwd: hello]", "hello", true),
            ("[Fwd: [fwd: re: hello (fwd)]]", "hello", true),
            // A blob that is all there is stays.
            ("[list]", "[list]", false),
            ("[a][b]", "[b]", false),
            ("Re: [list]", "[list]", true),
            ("[list] (fwd)", "[list]", true),
            // These are none.
            ("hello re: you", "hello re: you", false),
            ("reply: hello", "reply: hello", false),
            ("fwdd: hello", "fwdd: hello", false),
            ("[open hello", "[open hello", false),
            ("[a[b]] hello", "[a[b]] hello", false),
            ("[fwd hello]", "[fwd hello]", false),
            ("Re:", "", true),
            ("Re: Re: (fwd)", "", true),
            ("[fwd:]", "", true),
            ("(fwd)", "", true),
            ("Re\u{e9}: x", "Re\u{e9}: x", false),
        ] {
            assert_eq!(of(value), (text.to_owned(), is_reply), "{value:?}");
        }
    }

    #[test]
    fn encoded_words_are_decoded_first() {
        assert_eq!(of("=?utf-8?q?Re=3A_gr=C3=BC=C3=9F?= =?utf-8?q?_Gott?="), ("gr\u{fc}\u{df} Gott".to_owned(), true));
        assert_eq!(of("Re: =?iso-8859-1?b?W2xpc3RdIOQ=?="), ("\u{e4}".to_owned(), true));
        assert_eq!(of("=?utf-8?q?a=09=0D=0A_b?="), ("a b".to_owned(), false));
    }

    /// The rules one by one, as regular expressions.
    fn by_the_letter(value: &str) -> (String, bool) {
        let re = |text: &str| regex::Regex::new(&format!("(?is){text}")).unwrap();
        let blob = r"\[[^\[\]]*\] *";
        let refwd = format!(r"(?:re|fwd?) *(?:{blob})?:");
        let (trailer, leader) = (re(r"(?:\(fwd\)| )$"), re(&format!(r"^(?:(?:{blob})*({refwd})| )")));
        let (blob, forwarded) = (re(&format!("^{blob}")), re(r"^\[fwd:(.*)\]$"));
        let mut text = re("[ \t\r\n]+").replace_all(value, " ").into_owned();
        let mut is_reply = false;
        loop {
            while let Some(found) = trailer.find(&text) {
                is_reply |= found.as_str() != " ";
                text.truncate(found.start());
            }
            loop {
                if let Some(found) = leader.captures(&text) {
                    is_reply |= found.get(1).is_some();
                    text = text[found[0].len()..].to_owned();
                    continue;
                }
                match blob.find(&text).filter(|found| found.end() < text.len()) {
                    Some(found) => text = text[found.end()..].to_owned(),
                    None => break,
                }
            }
            let Some(inner) = forwarded.captures(&text).map(|found| found[1].to_owned()) else {
                return (text, is_reply);
            };
            (text, is_reply) = (inner, true);
        }
    }

    proptest! {
        #[test]
        fn as_the_grammar_has_it(pieces in proptest::collection::vec(
            proptest::sample::select(vec!["re", "Fwd", "fw", ":", "[", "]", " ", "\t", "(fwd)", "[fwd:", "[x]", "a", "\u{e4}"]), 0..14)) {
            let value = pieces.concat();
            prop_assert_eq!(of(&value), by_the_letter(value.trim_ascii()));
        }

        #[test]
        fn the_base_is_its_own_base(value in "[a-c:\\[\\] ]{0,20}") {
            let once = of(&value).0;
            prop_assert_eq!(of(&once).0, once);
        }
    }

    #[test]
    fn long_ones_take_no_longer_than_they_must() {
        let deep = format!("{}x{}", "[fwd:".repeat(10_000), "]".repeat(10_000));
        assert_eq!(of(&deep), ("x".to_owned(), true));
        assert_eq!(of(&"[a]".repeat(20_000)), ("[a]".to_owned(), false));
        assert_eq!(of(&"re:".repeat(20_000)), (String::new(), true));
    }
}
