//! POSIX extended regular expressions, translated for the `regex` crate (linear time, no back-references).

use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

/// Largest repetition count (`RE_DUP_MAX`).
const MAX_REPEAT: u32 = 255;
/// Largest compiled program, octets.
const MAX_PROGRAM: usize = 4 * 1024 * 1024;

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// `[` without `]`.
    #[error("unmatched [")]
    Bracket,
    /// `(` or `)` without the other.
    #[error("unmatched ( or )")]
    Parenthesis,
    /// A repetition with nothing to repeat.
    #[error("nothing to repeat before {0}")]
    NothingToRepeat(char),
    /// `{` that starts no repetition count between 0 and 255.
    #[error("invalid repetition count")]
    Interval,
    /// A backslash before a letter, a digit or the end.
    #[error("invalid backslash sequence")]
    Backslash,
    /// `[[=a=]]` or `[[.a.]]`.
    #[error("equivalence classes and collating symbols are not supported")]
    Collation,
    /// A class name that POSIX does not define.
    #[error("unknown character class [:{0}:]")]
    Class(String),
    /// A range whose end comes before its start.
    #[error("invalid range end")]
    Range,
    /// The expression is too large.
    #[error("regular expression too big")]
    TooBig,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Ere {
    regex: Regex,
}

impl Ere {
    /// An expression that has to match the whole name.
    ///
    /// # Errors
    /// [`PatternError`] for an expression that POSIX does not define or that is not supported.
    pub fn whole(pattern: &str) -> Result<Ere, PatternError> {
        Ere::build(&format!(r"\A(?:{})\z", translate(pattern)?), false)
    }

    /// An expression that may match anywhere in the text; with `ignore_case` letter case does not count.
    ///
    /// # Errors
    /// As [`Ere::whole`].
    pub fn anywhere(pattern: &str, ignore_case: bool) -> Result<Ere, PatternError> {
        Ere::build(&translate(pattern)?, ignore_case)
    }

    fn build(translated: &str, ignore_case: bool) -> Result<Ere, PatternError> {
        RegexBuilder::new(translated)
            .dot_matches_new_line(true)
            .case_insensitive(ignore_case)
            .size_limit(MAX_PROGRAM)
            .build()
            .map(|regex| Ere { regex })
            .map_err(|_| PatternError::TooBig)
    }

    /// Whether the text matches.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }
}

/// Rewrites a POSIX extended regular expression in the syntax of the `regex` crate.
///
/// # Errors
/// As [`Ere::whole`].
pub fn translate(pattern: &str) -> Result<String, PatternError> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut translator = Translator { chars: &chars, at: 0, out: String::new(), atom: None, groups: Vec::new() };
    while translator.step()? {}
    if translator.groups.is_empty() { Ok(translator.out) } else { Err(PatternError::Parenthesis) }
}

struct Translator<'a> {
    chars: &'a [char],
    at: usize,
    out: String,
    /// Where the last atom starts in `out`; `None` if there is nothing to repeat.
    atom: Option<usize>,
    /// Where the open groups start in `out`.
    groups: Vec<usize>,
}

impl Translator<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += 1;
        c
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn literal(&mut self, c: char) {
        self.atom = Some(self.out.len());
        self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn step(&mut self) -> Result<bool, PatternError> {
        let Some(c) = self.next() else { return Ok(false) };
        match c {
            '^' | '$' => {
                self.atom = None;
                self.out.push(c);
            }
            '|' => {
                self.atom = None;
                self.out.push('|');
            }
            '(' => {
                self.groups.push(self.out.len());
                self.atom = None;
                self.out.push_str("(?:");
            }
            ')' => {
                let start = self.groups.pop().ok_or(PatternError::Parenthesis)?;
                self.out.push(')');
                self.atom = Some(start);
            }
            '*' | '+' | '?' => self.repeat(c, &c.to_string())?,
            '{' => {
                let count = self.interval()?;
                self.repeat('{', &count)?;
            }
            '.' => {
                self.atom = Some(self.out.len());
                self.out.push('.');
            }
            '[' => self.bracket()?,
            '\\' => match self.next() {
                Some(c) if !c.is_alphanumeric() => self.literal(c),
                _ => return Err(PatternError::Backslash),
            },
            c => self.literal(c),
        }
        Ok(true)
    }

    /// Repeats the last atom; wrapped, so that a further sign repeats the repetition, as POSIX has it.
    fn repeat(&mut self, sign: char, count: &str) -> Result<(), PatternError> {
        let start = self.atom.ok_or(PatternError::NothingToRepeat(sign))?;
        self.out.insert_str(start, "(?:");
        self.out.push(')');
        self.out.push_str(count);
        self.out.insert_str(start, "(?:");
        self.out.push(')');
        if self.out.len() > 64 * 1024 { Err(PatternError::TooBig) } else { Ok(()) }
    }

    /// The rest of `{n}`, `{n,}` or `{n,m}`.
    fn interval(&mut self) -> Result<String, PatternError> {
        let low = self.count().ok_or(PatternError::Interval)?;
        let high = match self.next() {
            Some('}') => return Ok(format!("{{{low}}}")),
            Some(',') if self.peek() == Some('}') => None,
            Some(',') => Some(self.count().filter(|high| *high >= low).ok_or(PatternError::Interval)?),
            _ => return Err(PatternError::Interval),
        };
        if self.next() != Some('}') {
            return Err(PatternError::Interval);
        }
        Ok(high.map_or_else(|| format!("{{{low},}}"), |high| format!("{{{low},{high}}}")))
    }

    fn count(&mut self) -> Option<u32> {
        let mut value = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            self.at += 1;
            value = Some(value.unwrap_or(0) * 10 + digit).filter(|value| *value <= MAX_REPEAT);
            value?;
        }
        value
    }

    fn bracket(&mut self) -> Result<(), PatternError> {
        self.atom = Some(self.out.len());
        self.out.push('[');
        if self.peek() == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let c = self.next().ok_or(PatternError::Bracket)?;
            match (c, self.peek()) {
                (']', _) if !first => break,
                ('[', Some(':')) => self.class()?,
                ('[', Some('=' | '.')) => return Err(PatternError::Collation),
                (low, Some('-')) if !matches!(self.chars.get(self.at + 1), None | Some(']')) => {
                    self.at += 1;
                    let high = self.next().ok_or(PatternError::Bracket)?;
                    if high == '[' && matches!(self.peek(), Some('=' | '.' | ':')) {
                        return Err(PatternError::Collation);
                    }
                    if high < low {
                        return Err(PatternError::Range);
                    }
                    self.class_char(low);
                    self.out.push('-');
                    self.class_char(high);
                }
                (c, _) => self.class_char(c),
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }

    fn class_char(&mut self, c: char) {
        if matches!(c, '[' | ']' | '\\' | '^' | '-' | '&' | '~') {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    /// `[:name:]` behind its first bracket.
    fn class(&mut self) -> Result<(), PatternError> {
        self.at += 1;
        let rest: String = self.chars.get(self.at..).unwrap_or_default().iter().take(16).collect();
        let (name, _) = rest.split_once(":]").ok_or(PatternError::Bracket)?;
        let known = [
            "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit",
        ];
        if !known.contains(&name) {
            return Err(PatternError::Class(name.to_owned()));
        }
        self.at += name.chars().count() + 2;
        self.out.push_str(&format!("[:{name}:]"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn m(pattern: &str, text: &str) -> bool {
        Ere::whole(pattern).unwrap().is_match(text.as_bytes())
    }

    #[test]
    fn whole_names() {
        assert!(m("user/.*", "user/a/INBOX") && !m("user/a", "user/ab") && m("a|b", "b") && !m("a|b", "ab"));
        assert!(m("^user/.*$", "user/x") && m(r"user\/([^\/]+)\/INBOX", "user/x/INBOX"));
        assert!(m("[a-m].*", "joe") && m("[m,-z].*", "M1") && m("[]a]", "]") && m(r"[a\]", "\\") && m("[a-]", "-"));
        assert!(m("[[:alpha:]_]{2,3}", "a_b") && !m("a{2}", "a") && m("a{2,}", "aaaa") && m("(a+)?b", "b"));
        assert!(m("a+?", "") && m("a**", "aa") && m("()", "") && m("a.b", "a\nb") && m("[&&a~~]+", "&a~"));
        assert!(Ere::anywhere("HELLO", true).unwrap().is_match(b"say hello"));
    }

    #[test]
    fn refused() {
        let e = |pattern: &str| Ere::whole(pattern).unwrap_err();
        assert_eq!(e("*a"), PatternError::NothingToRepeat('*'));
        assert_eq!(e("(+)"), PatternError::NothingToRepeat('+'));
        assert_eq!(e("a{"), PatternError::Interval);
        assert_eq!(e("a{3,2}"), PatternError::Interval);
        assert_eq!(e("a{256}"), PatternError::Interval);
        assert_eq!(e("(a"), PatternError::Parenthesis);
        assert_eq!(e("a)"), PatternError::Parenthesis);
        assert_eq!(e("[a"), PatternError::Bracket);
        assert_eq!(e("[z-a]"), PatternError::Range);
        assert_eq!(e(r"(a)\1"), PatternError::Backslash);
        assert_eq!(e("a\\"), PatternError::Backslash);
        assert_eq!(e("[[=a=]]"), PatternError::Collation);
        assert_eq!(e("[[:foo:]]"), PatternError::Class("foo".to_owned()));
        assert_eq!(e("((((a{255}){255}){255}){255})"), PatternError::TooBig);
    }

    proptest! {
        #[test]
        fn translation_always_compiles(pattern in r"[ab()\[\]{}0-3,*+?<>|^$.\\:\-=&~]{0,12}") {
            match Ere::whole(&pattern) {
                Ok(ere) => { let _ = ere.is_match(b"abab"); }
                Err(PatternError::TooBig) => prop_assert!(pattern.contains('{'), "{}", pattern),
                Err(_) => {}
            }
        }
    }
}
