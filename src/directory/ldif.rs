//! LDIF content records (RFC 2849): read with the line number of every fault, and the place of every attribute in the text.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The largest file, unfolded line and number of attributes of an entry that are read.
pub const MAX_FILE: usize = 256 * 1024 * 1024;
const MAX_LINE: usize = 1024 * 1024;
const MAX_ATTRIBUTES: usize = 100_000;

/// One attribute of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its description in lower case, without options (`;lang-en`).
    pub name: String,
    /// Its value, decoded.
    pub value: Vec<u8>,
    /// The line it begins on, counted from 1.
    pub line: usize,
    /// The bytes of its lines in the text, line ends included.
    pub span: Range<usize>,
}

impl Attribute {
    /// The value as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The distinguished name.
    pub dn: String,
    /// The line of `dn:`, counted from 1.
    pub line: usize,
    /// The attributes in the order of the text, without `dn` and `changetype`.
    pub attributes: Vec<Attribute>,
    /// The bytes of the entry in the text: from `dn:` to the end of its last line.
    pub span: Range<usize>,
}

impl Entry {
    /// The first value of an attribute (name in lower case), as text.
    pub fn first(&self, name: &str) -> Option<String> {
        self.all(name).next()
    }

    /// Every value of an attribute (name in lower case), as text.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        self.attributes.iter().filter(move |attribute| attribute.name == name).map(Attribute::text)
    }
}

/// A fault of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub text: String,
}

/// What a text holds: the sound entries, and one problem for each entry that was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The sound entries, in order.
    pub entries: Vec<Entry>,
    /// The faults, in order of their lines.
    pub problems: Vec<Problem>,
}

/// A logical line: unfolded, with its place.
struct Line {
    number: usize,
    span: Range<usize>,
    text: Vec<u8>,
}

/// Reads a text. Never fails as a whole: an entry with a fault is left out and named in [`Parsed::problems`].
pub fn parse(text: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut group: Vec<Line> = Vec::new();
    let mut bad: Option<Problem> = None;
    let mut in_comment = false;
    let mut offset = 0;
    for (index, raw) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let span = offset..offset + raw.len();
        offset = span.end;
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.first() {
            None => {
                finish(&mut parsed, &mut group, bad.take());
                in_comment = false;
            }
            Some(b'#') => in_comment = true,
            Some(b' ') if in_comment => {}
            Some(b' ') => match group.last_mut() {
                Some(last) if last.text.len() + line.len() <= MAX_LINE => {
                    last.text.extend_from_slice(line.get(1..).unwrap_or_default());
                    last.span.end = span.end;
                }
                Some(_) => fault(&mut bad, number, "the line is too long"),
                None => fault(&mut bad, number, "a continuation without a line before it"),
            },
            Some(_) => {
                in_comment = false;
                if line.len() > MAX_LINE {
                    fault(&mut bad, number, "the line is too long");
                } else if group.len() >= MAX_ATTRIBUTES {
                    fault(&mut bad, number, "the entry has too many attributes");
                } else {
                    group.push(Line { number, span, text: line.to_vec() });
                }
            }
        }
    }
    finish(&mut parsed, &mut group, bad);
    parsed
}

fn fault(bad: &mut Option<Problem>, line: usize, text: &str) {
    bad.get_or_insert_with(|| Problem { line, text: text.to_owned() });
}

fn finish(parsed: &mut Parsed, group: &mut Vec<Line>, bad: Option<Problem>) {
    let lines = std::mem::take(group);
    if let Some(problem) = bad {
        parsed.problems.push(problem);
        return;
    }
    match entry(lines) {
        Ok(Some(entry)) => parsed.entries.push(entry),
        Ok(None) => {}
        Err(problem) => parsed.problems.push(problem),
    }
}

/// Makes an entry of the lines of one block; `None` for a block that is only `version: 1`.
fn entry(lines: Vec<Line>) -> Result<Option<Entry>, Problem> {
    let mut entry: Option<Entry> = None;
    for line in lines {
        let number = line.number;
        let problem = |text: String| Problem { line: number, text };
        let (name, value) = attribute(&line.text).map_err(problem)?;
        match (&mut entry, name.as_str()) {
            (None, "version") => {
                if value != b"1" {
                    return Err(problem("LDIF version other than 1".to_owned()));
                }
            }
            (None, "dn") => {
                let dn =
                    String::from_utf8(value).map_err(|_| problem("the distinguished name is not UTF-8".to_owned()))?;
                entry = Some(Entry { dn, line: number, attributes: Vec::new(), span: line.span });
            }
            (None, _) => return Err(problem("the entry does not begin with dn:".to_owned())),
            (Some(_), "dn") => {
                return Err(problem("a second dn: without an empty line before it".to_owned()));
            }
            (Some(entry), "changetype") => {
                if !value.eq_ignore_ascii_case(b"add") {
                    return Err(problem("changetype other than add".to_owned()));
                }
                entry.span.end = line.span.end;
            }
            (Some(_), "control") => {
                return Err(problem("controls are not supported".to_owned()));
            }
            (Some(entry), _) => {
                entry.span.end = line.span.end;
                entry.attributes.push(Attribute { name, value, line: number, span: line.span });
            }
        }
    }
    Ok(entry)
}

/// Splits `name: value`, `name:: base64`.
fn attribute(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or("no colon in the line")?;
    let (name, rest) = line.split_at(colon);
    let name = name.split(|byte| *byte == b';').next().unwrap_or_default();
    let sound = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || !name.iter().all(sound) {
        return Err("the attribute name has characters that it cannot have".to_owned());
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let rest = rest.get(1..).unwrap_or_default();
    let value = match rest.first() {
        Some(b':') => STANDARD
            .decode(rest.get(1..).unwrap_or_default().trim_ascii())
            .map_err(|_| format!("the value of {name} is not base64"))?,
        Some(b'<') => return Err(format!("the value of {name} is a URL, which is not read")),
        _ => rest.trim_ascii_start().to_vec(),
    };
    if value.contains(&0) {
        return Err(format!("the value of {name} has a zero byte"));
    }
    Ok((name, value))
}

/// Writes one attribute as LDIF lines (folded at 76 columns, base64 where RFC 2849 wants it).
pub fn write_attribute(out: &mut String, name: &str, value: &str) {
    let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && !value.starts_with([' ', ':', '<'])
        && !value.ends_with(' ');
    let line = if plain { format!("{name}: {value}") } else { format!("{name}:: {}", STANDARD.encode(value)) };
    let (mut rest, mut room) = (line.as_str(), 76);
    while rest.len() > room {
        let (head, tail) = rest.split_at(room);
        out.push_str(head);
        out.push_str("\n ");
        rest = tail;
        room = 75;
    }
    out.push_str(rest);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_base64_comments_and_line_ends_are_read() {
        let text = b"version: 1\r\n\r\n# people\r\n # still a comment\r\ndn: uid=joe,\r\n o=x\r\nchangetype: add\r\nuid:joe\r\ncn:: SsO2cmc=\r\nmail;x-y:  joe@\r\n example.org\r\n\r\n\r\ndn: o=x\r\no: x";
        let parsed = parse(text);
        assert_eq!(parsed.problems, []);
        let joe = &parsed.entries[0];
        assert_eq!((joe.dn.as_str(), joe.line), ("uid=joe,o=x", 5));
        assert_eq!(joe.first("cn").unwrap(), "Jörg");
        assert_eq!(joe.first("mail").unwrap(), "joe@example.org");
        assert!(text[joe.span.clone()].starts_with(b"dn: uid=joe"));
        assert!(text[joe.span.clone()].ends_with(b"example.org\r\n"));
        assert_eq!(&text[joe.attributes[0].span.clone()], b"uid:joe\r\n");
        assert_eq!(parsed.entries[1].first("o").unwrap(), "x");
    }

    #[test]
    fn a_broken_entry_is_left_out_with_its_line() {
        let parsed = parse(
            b"dn: uid=a\nuid: a\n\ndn: uid=b\nno colon here\n\nuid: c\n\ndn: uid=d\ncn:: ***\n\ndn: uid=e\nchangetype: delete\n\n folded\n\ndn: uid=f\nuid: f\n",
        );
        let lines: Vec<usize> = parsed.problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [5, 7, 10, 13, 15]);
        let names: Vec<&str> = parsed.entries.iter().map(|e| e.dn.as_str()).collect();
        assert_eq!(names, ["uid=a", "uid=f"]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for value in ["", "plain", " x", "x ", ":a", "<b", "Jörg", "a\nb", &"long ".repeat(60)] {
            let mut out = "dn: o=x\n".to_owned();
            write_attribute(&mut out, "cn", value);
            assert!(out.lines().all(|line| line.len() <= 76), "{out}");
            let parsed = parse(out.as_bytes());
            assert_eq!(parsed.entries[0].first("cn").as_deref(), Some(value), "{out}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            for entry in parse(&bytes).entries {
                assert!(bytes.get(entry.span).is_some());
            }
        }
    }
}
