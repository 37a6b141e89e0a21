//! The beginning of a text as a list of messages shows it (RFC 8970): without markup, on one line.

/// Characters of a preview (RFC 8970 section 3: at most 200 are recommended, 256 allowed).
pub const MAX_CHARS: usize = 200;
/// Longest tag in which quotation marks count, bytes.
const MAX_TAG: usize = 4096;
/// Longest reference to a character, `&CounterClockwiseContourIntegral;` and its kin.
const MAX_REFERENCE: usize = 40;

/// The preview of a plain text.
#[must_use]
pub fn of_plain(text: &str) -> String {
    let mut line = Line::default();
    for c in text.chars() {
        if !line.push(c) {
            break;
        }
    }
    line.text
}

/// The preview of HTML: what stands between the tags, but nothing of the head, of scripts and of styles. What is no HTML is text.
#[must_use]
pub fn of_html(html: &str) -> String {
    let mut line = Line::default();
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        let used = match c {
            '<' => match tag(rest) {
                Some(tag) => {
                    if tag.parts && !line.push(' ') {
                        break;
                    }
                    tag.len
                }
                None if line.push('<') => 1,
                None => break,
            },
            '&' => {
                let (c, len) = reference(rest);
                if !line.push(c) {
                    break;
                }
                len
            }
            c if line.push(c) => c.len_utf8(),
            _ => break,
        };
        rest = rest.get(used..).unwrap_or_default();
    }
    line.text
}

/// What is gathered: white space becomes one blank, what cannot be seen is left out.
#[derive(Default)]
struct Line {
    text: String,
    chars: usize,
    blank: bool,
}

impl Line {
    /// False when it is full.
    fn push(&mut self, c: char) -> bool {
        if c.is_whitespace() {
            self.blank = self.chars > 0;
        } else if !c.is_control() && !is_invisible(c) {
            if std::mem::take(&mut self.blank) && self.chars + 1 < MAX_CHARS {
                self.text.push(' ');
                self.chars += 1;
            }
            self.text.push(c);
            self.chars += 1;
        }
        self.chars < MAX_CHARS
    }
}

/// Characters without a width: senders fill what would be the preview with them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// A tag, comment or element that is left out whole.
struct Tag {
    len: usize,
    /// It stands between words.
    parts: bool,
}

/// The tag at the beginning of `html`; `None`: the `<` is text.
fn tag(html: &str) -> Option<Tag> {
    if let Some(comment) = html.strip_prefix("<!--") {
        let len = comment.find("-->").map_or(html.len(), |at| at + 7);
        return Some(Tag { len, parts: false });
    }
    let inner = html.get(1..)?;
    let closing = inner.starts_with('/');
    let name_at = inner.get(usize::from(closing)..)?;
    if !name_at.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '!' | '?')) {
        return None;
    }
    let name: String =
        name_at.chars().take_while(char::is_ascii_alphanumeric).take(16).collect::<String>().to_lowercase();
    let len = tag_len(html);
    let hidden = !closing && matches!(name.as_str(), "head" | "style" | "script" | "title" | "template" | "noscript");
    let len = if hidden { len + hidden_len(html.get(len..).unwrap_or_default(), &name) } else { len };
    let inline = matches!(
        name.as_str(),
        "a" | "abbr"
            | "b"
            | "big"
            | "code"
            | "em"
            | "font"
            | "i"
            | "mark"
            | "s"
            | "small"
            | "span"
            | "strong"
            | "sub"
            | "sup"
            | "tt"
            | "u"
    );
    Some(Tag { len, parts: !inline })
}

/// Up to and with the `>`; one inside of quotation marks does not count. Without an end the rest is the tag.
fn tag_len(html: &str) -> usize {
    let mut quote = None;
    for (at, b) in html.bytes().enumerate().take(MAX_TAG) {
        match (quote, b) {
            (None, b'>') => return at + 1,
            (None, b'"' | b'\'') => quote = Some(b),
            (Some(open), b) if open == b => quote = None,
            _ => {}
        }
    }
    // A quotation mark that is never closed must not swallow the text.
    html.find('>').map_or(html.len(), |at| at + 1)
}

/// Up to and with the end tag of an element that is not shown; the rest where there is none.
fn hidden_len(html: &str, name: &str) -> usize {
    let bytes = html.as_bytes();
    for at in memchr::memchr_iter(b'<', bytes) {
        let here = bytes.get(at + 1..).unwrap_or_default();
        let named = here.get(1..=name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()));
        if here.first() == Some(&b'/') && named {
            return memchr::memchr(b'>', here).map_or(html.len(), |end| at + end + 2);
        }
    }
    html.len()
}

/// The character that stands for a reference at the beginning of `html`, and the length of that; `&` itself where it is none.
fn reference(html: &str) -> (char, usize) {
    let text = ('&', 1);
    let Some(end) = html.bytes().take(MAX_REFERENCE).position(|b| b == b';') else {
        return text;
    };
    let Some(name) = html.get(1..end) else {
        return text;
    };
    let number = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        },
        None => NAMED.iter().find(|(known, _)| *known == name).map(|(_, c)| u32::from(*c)),
    };
    match number.and_then(char::from_u32) {
        Some(c) => (c, end + 1),
        None => text,
    }
}

/// The names that occur in mail.
const NAMED: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("ensp", ' '),
    ("emsp", ' '),
    ("thinsp", ' '),
    ("zwnj", '\u{200c}'),
    ("zwj", '\u{200d}'),
    ("shy", '\u{ad}'),
    ("auml", '\u{e4}'),
    ("ouml", '\u{f6}'),
    ("uuml", '\u{fc}'),
    ("Auml", '\u{c4}'),
    ("Ouml", '\u{d6}'),
    ("Uuml", '\u{dc}'),
    ("szlig", '\u{df}'),
    ("agrave", '\u{e0}'),
    ("aacute", '\u{e1}'),
    ("acirc", '\u{e2}'),
    ("ccedil", '\u{e7}'),
    ("egrave", '\u{e8}'),
    ("eacute", '\u{e9}'),
    ("ecirc", '\u{ea}'),
    ("iacute", '\u{ed}'),
    ("ntilde", '\u{f1}'),
    ("oacute", '\u{f3}'),
    ("uacute", '\u{fa}'),
    ("copy", '\u{a9}'),
    ("reg", '\u{ae}'),
    ("trade", '\u{2122}'),
    ("euro", '\u{20ac}'),
    ("pound", '\u{a3}'),
    ("deg", '\u{b0}'),
    ("middot", '\u{b7}'),
    ("bull", '\u{2022}'),
    ("hellip", '\u{2026}'),
    ("ndash", '\u{2013}'),
    ("mdash", '\u{2014}'),
    ("lsquo", '\u{2018}'),
    ("rsquo", '\u{2019}'),
    ("ldquo", '\u{201c}'),
    ("rdquo", '\u{201d}'),
    ("laquo", '\u{ab}'),
    ("raquo", '\u{bb}'),
    ("rarr", '\u{2192}'),
    ("larr", '\u{2190}'),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_on_one_line() {
        assert_eq!(of_plain("  Hello,\r\n\r\n\tworld\u{200b}! \r\n"), "Hello, world!");
        assert_eq!(of_plain(""), "");
        let long = of_plain(&"\u{e4}b ".repeat(200));
        assert_eq!(long.chars().count(), MAX_CHARS);
        assert!(long.starts_with("\u{e4}b \u{e4}b"));
    }

    #[test]
    fn html_without_markup() {
        assert_eq!(
            of_html(
                "<html><head><title>No</title><style>p { a: b }</style></head><body title=\"a>b\"><p>One<b>two</b></p><p>three</body>"
            ),
            "Onetwo three"
        );
        assert_eq!(of_html("a<!-- <b> -->b<br>c <script>x()</SCRIPT >d"), "ab c d");
        assert_eq!(
            of_html("1 &lt; 2 &amp;&nbsp;3 &#x20ac; &#228; &unknown; & &#1114112;"),
            "1 < 2 & 3 \u{20ac} \u{e4} &unknown; & &#1114112;"
        );
        assert_eq!(of_html("a < b <3 <"), "a < b <3 <");
        assert_eq!(of_html("x<p title=\"never closed>text</p>"), "x text");
        assert_eq!(of_html("x<style>never closed"), "x");
        assert_eq!(of_html("&zwnj;&nbsp;&zwnj;&nbsp;Text"), "Text");
    }

    proptest! {
        #[test]
        fn any_text_has_a_short_preview(text in "(?s).{0,400}", tags in "([<>&;/!\"a-z# -]|<p>|</|<!--|&amp;){0,120}") {
            for preview in [of_plain(&text), of_html(&text), of_html(&tags)] {
                prop_assert!(preview.chars().count() <= MAX_CHARS);
                prop_assert!(!preview.chars().any(char::is_control));
            }
        }
    }
}
