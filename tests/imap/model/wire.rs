//! Responses as a client reads them: whole, with their literals, and cut into what they say.

use std::collections::BTreeSet;
use std::io::Write;

use super::super::Client;

/// An untagged response.
#[derive(Debug)]
pub enum Said {
    Exists(usize),
    Recent(usize),
    Expunge(usize),
    Vanished {
        earlier: bool,
        uids: Vec<u32>,
    },
    Fetch(usize, Items),
    Flags(BTreeSet<String>),
    /// SEARCH or SORT: the numbers.
    Numbers(Vec<u32>),
    /// ESEARCH, THREAD, STATUS, LIST: what comes behind the word.
    Words(&'static str, String),
    /// `* OK [CODE ...]`.
    Code(String),
    Bye(String),
    Other,
}

/// What a FETCH response has: names and values; the value of a literal or a string without what surrounds it.
#[derive(Debug, Default)]
pub struct Items(pub Vec<(String, String)>);

impl Items {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn uid(&self) -> Option<u32> {
        self.get("UID").map(|uid| uid.parse().unwrap())
    }

    pub fn modseq(&self) -> Option<u64> {
        self.get("MODSEQ").map(|value| value.trim_matches(['(', ')']).parse().unwrap())
    }

    /// The flags without `\Recent`, and whether that is among them.
    pub fn flags(&self) -> Option<(BTreeSet<String>, bool)> {
        let mut flags = words(self.get("FLAGS")?);
        let recent = flags.remove("\\Recent");
        Some((flags, recent))
    }
}

/// The words of a list in parentheses.
pub fn words(list: &str) -> BTreeSet<String> {
    list.trim_matches(['(', ')']).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The numbers of a set such as `1:3,7`.
pub fn set(text: &str) -> Vec<u32> {
    let range = |range: &str| {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().unwrap(), to.parse().unwrap());
        from.min(to)..=from.max(to)
    };
    text.split(',').filter(|range| !range.is_empty()).flat_map(range).collect()
}

/// The text between `open` and the next `close`.
pub fn between<'a>(line: &'a str, open: &str, close: char) -> Option<&'a str> {
    line.split_once(open)?.1.split(close).next()
}

/// A connection on which whole responses are read. Its end is no error here: a mailbox may be deleted under a session.
pub struct Wire(pub Client);

impl Wire {
    /// Sends; what cannot be sent is seen at the next read.
    pub fn send(&mut self, text: &str) {
        let _ = self.0.stream.write_all(text.as_bytes());
    }

    /// The next response with its literals. `None`: the connection is closed.
    pub fn response(&mut self) -> Option<String> {
        let mut whole = String::new();
        loop {
            self.0.seen.clear();
            let line = self.0.line_in_time();
            if line.is_empty() || line.contains("(nothing: ") {
                assert!(!line.contains("WouldBlock") && !line.contains("timed out"), "no answer: {line}");
                return None;
            }
            whole += &line;
            let count = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')).map(|(_, count)| count.parse());
            let Some(Ok(count)) = count else { return Some(whole) };
            whole += "\r\n";
            whole += std::str::from_utf8(&self.0.bytes(count)).unwrap();
        }
    }
}

/// Reads an untagged response.
pub fn said(response: &str) -> Said {
    let rest = response.strip_prefix("* ").unwrap_or_else(|| panic!("neither tagged nor untagged: {response}"));
    let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    if let Ok(number) = word.parse() {
        let (word, behind) = behind.split_once(' ').unwrap_or((behind, ""));
        return match word {
            "EXISTS" => Said::Exists(number),
            "RECENT" => Said::Recent(number),
            "EXPUNGE" => Said::Expunge(number),
            "FETCH" => Said::Fetch(number, items(behind)),
            _ => panic!("unknown response: {response}"),
        };
    }
    match word {
        "VANISHED" => {
            let earlier = behind.strip_prefix("(EARLIER) ");
            Said::Vanished { earlier: earlier.is_some(), uids: set(earlier.unwrap_or(behind)) }
        }
        "FLAGS" => Said::Flags(words(behind)),
        "SEARCH" | "SORT" => {
            let numbers = behind.split(" (MODSEQ").next().unwrap_or_default();
            Said::Numbers(numbers.split(' ').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect())
        }
        "ESEARCH" => Said::Words("ESEARCH", behind.to_owned()),
        "THREAD" => Said::Words("THREAD", behind.to_owned()),
        "STATUS" => Said::Words("STATUS", behind.to_owned()),
        "LIST" => Said::Words("LIST", behind.to_owned()),
        "OK" if behind.starts_with('[') => Said::Code(behind.to_owned()),
        "BYE" => Said::Bye(behind.to_owned()),
        "OK" | "ENABLED" => Said::Other,
        _ => panic!("unknown response: {response}"),
    }
}

/// The items of a FETCH response, from its parenthesis on.
fn items(text: &str) -> Items {
    let bytes = text.as_bytes();
    assert_eq!(bytes.first(), Some(&b'('), "{text}");
    let mut at = 1;
    let mut found = Items::default();
    while bytes[at] != b')' {
        let start = at;
        let mut brackets = 0;
        while bytes[at] != b' ' || brackets > 0 {
            brackets += i32::from(bytes[at] == b'[') - i32::from(bytes[at] == b']');
            at += 1;
        }
        let name = text[start..at].to_owned();
        let (value, end) = value(text, at + 1);
        found.0.push((name, value));
        at = end + usize::from(bytes[end] == b' ');
    }
    assert_eq!(at + 1, bytes.len(), "{text}");
    found
}

/// The value at `at`, and where it ends.
fn value(text: &str, at: usize) -> (String, usize) {
    let bytes = text.as_bytes();
    match bytes[at] {
        b'"' => {
            let mut end = at + 1;
            while bytes[end] != b'"' {
                end += 1 + usize::from(bytes[end] == b'\\');
            }
            (text[at + 1..end].to_owned(), end + 1)
        }
        b'{' => {
            let count: usize = between(&text[at..], "{", '}').unwrap().parse().unwrap();
            let start = at + text[at..].find("\r\n").unwrap() + 2;
            (text[start..start + count].to_owned(), start + count)
        }
        b'(' => {
            let mut end = at + 1;
            while bytes[end] != b')' {
                end = if bytes[end] == b' ' { end + 1 } else { value(text, end).1 };
            }
            (text[at..=end].to_owned(), end + 1)
        }
        _ => {
            let end = at + text[at..].find([' ', ')']).unwrap();
            (text[at..end].to_owned(), end)
        }
    }
}
