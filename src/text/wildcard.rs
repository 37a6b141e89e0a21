//! Wildcards over folder names: IMAP LIST (RFC 3501 section 6.3.8) and the patterns of the administration tools.
//!
//! `*` stands for any characters, `%` for any characters but the hierarchy separator `/`, and `?` (tools only) for
//! one character. Time is pattern length times name length, whatever the pattern.

/// The hierarchy separator.
pub const SEPARATOR: char = '/';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Char(char),
    Any,
    AnyInLevel,
    One,
}

/// A pattern, ready to be matched against whole names.
#[derive(Debug, Clone)]
pub struct Wildcard {
    items: Vec<Item>,
    inbox: bool,
}

impl Wildcard {
    /// A LIST pattern: `*` and `%`; a first level INBOX of the name is compared without letter case.
    #[must_use]
    pub fn list(pattern: &str) -> Wildcard {
        Wildcard::new(pattern, false, true, true)
    }

    /// A tool's pattern: `*`, `%` and `?`; letter case counts everywhere.
    #[must_use]
    pub fn tool(pattern: &str) -> Wildcard {
        Wildcard::new(pattern, true, true, false)
    }

    /// A pattern over any text: `*` and `?`; letter case counts.
    #[must_use]
    pub fn text(pattern: &str) -> Wildcard {
        Wildcard::new(pattern, true, false, false)
    }

    /// `one`: `?` is a wildcard; `levels`: `%` is one.
    fn new(pattern: &str, one: bool, levels: bool, inbox: bool) -> Wildcard {
        let mut items: Vec<Item> = Vec::with_capacity(pattern.len());
        for c in pattern.chars() {
            let item = match c {
                '*' => Item::Any,
                '%' if levels => Item::AnyInLevel,
                '?' if one => Item::One,
                c => Item::Char(c),
            };
            if matches!(item, Item::Any | Item::AnyInLevel) && items.last() == Some(&item) {
                continue;
            }
            items.push(item);
        }
        Wildcard { items, inbox }
    }

    /// Whether the pattern has no wildcard: it can match one name only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.items.iter().all(|item| matches!(item, Item::Char(_)))
    }

    /// The characters before the first wildcard: every name that matches starts with them (for LIST patterns, up to
    /// letter case of INBOX).
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        let plain = self.items.iter().map_while(|item| match item {
            Item::Char(c) => Some(*c),
            _ => None,
        });
        plain.collect()
    }

    /// Whether the whole name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.run(name).last() == Some(&true)
    }

    /// Whether some name below `name` (that starts with `name/` and is longer) could match.
    #[must_use]
    pub fn may_match_below(&self, name: &str) -> bool {
        let states = self.run(&format!("{name}{SEPARATOR}"));
        let items = states.len().saturating_sub(1);
        states.iter().take(items).any(|state| *state)
    }

    /// Reachable places in the pattern after the whole of `name`; the last one is its end.
    fn run(&self, name: &str) -> Vec<bool> {
        let first = name.split(SEPARATOR).next().unwrap_or_default();
        let inbox_len = if self.inbox && first.eq_ignore_ascii_case("INBOX") { first.len() } else { 0 };
        let mut now = vec![false; self.items.len() + 1];
        now[0] = true;
        self.pass_empty(&mut now);
        for (at, c) in name.char_indices() {
            let mut next = vec![false; now.len()];
            for (i, item) in self.items.iter().enumerate().filter(|(i, _)| now[*i]) {
                match item {
                    Item::Any => next[i] = true,
                    Item::AnyInLevel if c != SEPARATOR => next[i] = true,
                    Item::AnyInLevel => {}
                    Item::One => next[i + 1] = true,
                    Item::Char(p) if at < inbox_len => next[i + 1] = next[i + 1] || p.eq_ignore_ascii_case(&c),
                    Item::Char(p) => next[i + 1] = next[i + 1] || *p == c,
                }
            }
            self.pass_empty(&mut next);
            now = next;
        }
        now
    }

    /// `*` and `%` also stand for nothing.
    fn pass_empty(&self, states: &mut [bool]) {
        for (i, item) in self.items.iter().enumerate() {
            if states[i] && matches!(item, Item::Any | Item::AnyInLevel) {
                states[i + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn list_patterns() {
        let m = |pattern: &str, name: &str| Wildcard::list(pattern).matches(name);
        assert!(m("*", "a/b") && m("%", "a") && !m("%", "a/b") && m("%/%", "a/b"));
        assert!(m("", "") && !m("", "a") && m("a*", "a") && m("*b*", "abc") && !m("a%c", "ab/c"));
        assert!(m("inbox", "INBOX") && m("InBox/Sub", "INBOX/Sub") && !m("inbox/sub", "INBOX/Sub"));
        assert!(!m("inboxes", "INBOXES") && !m("x/inbox", "x/INBOX"));
        assert!(m("?", "?") && !m("?", "a"));
    }

    #[test]
    fn tool_patterns() {
        let m = |pattern: &str, name: &str| Wildcard::tool(pattern).matches(name);
        assert!(m("user/usr44*", "user/usr44/INBOX") && m("user/%/INBOX", "user/a/INBOX"));
        assert!(m("user/?/x", "user/\u{e9}/x") && !m("user/?", "user/") && !m("user/inbox", "user/INBOX"));
        assert_eq!(Wildcard::tool("user/us*r?").literal_prefix(), "user/us");
        assert!(Wildcard::list("a?b").is_literal() && !Wildcard::tool("a?b").is_literal());
    }

    #[test]
    fn text_patterns() {
        let m = |pattern: &str, text: &str| Wildcard::text(pattern).matches(text);
        assert!(m("*100%%*", "now 100%% free") && !m("*100%%*", "100% free") && m("a?c*", "a/c/d") && !m("%", "a"));
    }

    #[test]
    fn below() {
        assert!(Wildcard::list("a/%").may_match_below("a"));
        assert!(!Wildcard::list("%").may_match_below("a"));
        assert!(!Wildcard::list("a/").may_match_below("a"));
        assert!(Wildcard::list("*x").may_match_below("q"));
    }

    #[test]
    fn hostile_pattern_is_quick() {
        let pattern = "*a%".repeat(300);
        assert!(!Wildcard::list(&format!("{pattern}b")).matches(&"a".repeat(1000)));
    }

    /// The plain definition.
    fn slow(items: &[char], name: &[char]) -> bool {
        match items.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|n| slow(rest, &name[n..])),
            Some(('%', rest)) => {
                (0..=name.len()).take_while(|n| !name[..*n].contains(&'/')).any(|n| slow(rest, &name[n..]))
            }
            Some(('?', rest)) => !name.is_empty() && slow(rest, &name[1..]),
            Some((c, rest)) => name.first() == Some(c) && slow(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn as_defined(pattern in "[ab/*%?]{0,7}", name in "[ab/]{0,8}") {
            let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(Wildcard::tool(&pattern).matches(&name), slow(&p, &n));
        }
    }
}
