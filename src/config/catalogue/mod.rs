//! The catalogue: one row a parameter. The rows stand in files by group; a family is a row whose name has a part in angle brackets.

mod base;
mod notify;
mod ours;
mod page;
mod removal;
mod service;
mod store;

pub use page::{index, page};

/// No upper bound.
pub(super) const MAX: i64 = i64::MAX;

/// What values a parameter takes; the bounds are included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// yes no on off 1 0 true false, in any case.
    Bool,
    /// A whole number between two bounds.
    Int(i64, i64),
    /// A number of bytes between two bounds; the suffixes K, M and G count in 1024.
    Bytes(i64, i64),
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// Any text of one line.
    Text,
    /// Text that may exist once a language, `name;lang-xx`.
    Localised,
    /// Words separated by single spaces.
    Words,
    /// Five crontab fields, then a command.
    Cron,
    /// A file or directory; a relative one starts at msg_svr_base.
    Path,
    /// A directory by its absolute path, which may begin with `msg_svr_base/`.
    AbsolutePath,
    /// The nickname of a partition.
    Nickname,
    /// A TCP port.
    Port,
    /// A distinguished name, or empty.
    Dn,
    /// A password.
    Secret,
    /// An octal number of three or four digits.
    Octal,
}

/// When a change of a parameter is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At the next use: the tools that read it start anew each time.
    Immediate,
    /// After `refresh` of the service.
    Refresh,
    /// After a restart of the service.
    Restart,
    /// Only when the store is created.
    Creation,
}

impl Effect {
    /// The same in words.
    pub fn words(self) -> &'static str {
        match self {
            Effect::Immediate => "at the next use",
            Effect::Refresh => "after a refresh",
            Effect::Restart => "after a restart",
            Effect::Creation => "when the store is created",
        }
    }
}

/// One parameter, or one family of parameters.
#[derive(Debug)]
pub struct Parameter {
    /// The name; a family has parts such as `<nickname>` in it.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The default; empty where there is none. A path beginning with `msg_svr_base/` lies below the base directory.
    pub default: &'static str,
    /// The unit of a number; empty where there is none.
    pub unit: &'static str,
    /// When a change is noticed.
    pub effect: Effect,
    /// What it does, one line.
    pub doc: &'static str,
}

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    unit: &'static str,
    effect: Effect,
    doc: &'static str,
) -> Parameter {
    Parameter { name, kind, default, unit, effect, doc }
}

/// Other spellings that mean the same setting: (spelling, name).
const ALIASES: &[(&str, &str)] = &[
    ("local.store.overquotastatus", "store.overquotastatus"),
    ("store.cleanup", "store.cleanupage"),
    ("store.defaultmessage.quota", "store.defaultmessagequota"),
];

/// The tables: (name of the page in docs/options, what it is about, rows).
pub static TABLES: [(&str, &str, &[Parameter]); 6] = [
    ("store", "The store: partitions, database, snapshots, message types, shared folders", store::TABLE),
    ("removal", "Quota, expiry, purge and schedules", removal::TABLE),
    ("notify", "Notification plug-ins and alarms", notify::TABLE),
    ("service", "IMAP, POP, web mail, access and encryption", service::TABLE),
    ("base", "The instance, the directory and the log files", base::TABLE),
    ("ours", "Additions of this product", ours::TABLE),
];

/// Every row, group after group.
pub fn all() -> impl Iterator<Item = &'static Parameter> {
    TABLES.into_iter().flat_map(|(_, _, rows)| rows)
}

/// The name that `name` is another spelling of, else `name` itself; a language tag is kept.
pub fn canonical(name: &str) -> String {
    match (alias_of(name), split_tag(name).1) {
        (None, _) => name.to_owned(),
        (Some(name), None) => name.to_owned(),
        (Some(name), Some(tag)) => format!("{name};{tag}"),
    }
}

/// The name that `name` is another spelling of, when it is one.
pub fn alias_of(name: &str) -> Option<&'static str> {
    let (plain, _) = split_tag(name);
    ALIASES.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(plain)).map(|(_, name)| *name)
}

/// The form in which names compare: the name that a spelling means, in lower case.
pub fn key(name: &str) -> String {
    canonical(name).to_ascii_lowercase()
}

/// The name and its language tag (`lang-xx`), parted at the semicolon.
pub fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.split_once(';') {
        Some((plain, tag)) => (plain, Some(tag)),
        None => (name, None),
    }
}

/// The row for a name without its language tag, by whatever spelling: the row of that very name, else the family with the most literal
/// text.
pub fn find(name: &str) -> Option<&'static Parameter> {
    let plain = alias_of(name).unwrap_or(split_tag(name).0);
    let mut best: Option<&'static Parameter> = None;
    for row in all() {
        if !row.is_family() {
            if row.name.eq_ignore_ascii_case(plain) {
                return Some(row);
            }
        } else if matches(row.name, plain) && best.is_none_or(|other| literal_len(row.name) > literal_len(other.name)) {
            best = Some(row);
        }
    }
    best
}

impl Parameter {
    /// True for a family: a name with a part in angle brackets.
    pub fn is_family(&self) -> bool {
        self.name.contains('<')
    }

    /// The literal text before the first part in angle brackets.
    pub fn literal_prefix(&self) -> &'static str {
        self.name.split('<').next().unwrap_or(self.name)
    }

    /// True when the row is only another spelling of a parameter.
    pub fn is_alias(&self) -> bool {
        ALIASES.iter().any(|(spelling, _)| *spelling == self.name)
    }

    /// True when the parameter is an addition of this product, not one of the documented ones.
    pub fn is_ours(&self) -> bool {
        ours::TABLE.iter().any(|row| row.name == self.name)
    }

    /// True when the default of a documented parameter is this product's own choice.
    pub fn has_own_default(&self) -> bool {
        ours::DEFAULTS.contains(&self.name)
    }
}

fn literal_len(pattern: &str) -> usize {
    pattern.split('.').filter(|part| !part.starts_with('<')).map(str::len).sum()
}

/// Does `name` belong to the family `pattern`? A last part `<hostname>` or `<headername>` may hold dots, any other is one component.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut wanted = pattern.split('.').peekable();
    let mut rest = Some(name);
    while let Some(part) = wanted.next() {
        let Some(left) = rest else { return false };
        let last = wanted.peek().is_none();
        if last && matches!(part, "<hostname>" | "<headername>") {
            return is_part(part, left);
        }
        let (given, after) = match left.split_once('.') {
            Some((given, after)) => (given, Some(after)),
            None => (left, None),
        };
        let fits = if part.starts_with('<') { is_part(part, given) } else { part.eq_ignore_ascii_case(given) };
        if !fits {
            return false;
        }
        rest = after;
    }
    rest.is_none()
}

/// May `text` stand for the part `<...>` of a family?
fn is_part(part: &str, text: &str) -> bool {
    if text.is_empty() {
        return false;
    }
    match part {
        "<nickname>" => is_nickname(text),
        "<x>" => text.parse::<u8>().is_ok_and(|x| (1..=63).contains(&x)),
        _ => text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+/:".contains(&b)),
    }
}

/// May `text` be the nickname of a partition? Source: 2004Q2 guide, "To Add a Partition": alphanumeric, lower-case letters.
pub fn is_nickname(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The nickname in the name of a setting `store.partition.NICKNAME.ATTRIBUTE`, whether it may be one or not.
pub fn nickname_in(name: &str) -> Option<&str> {
    const PREFIX: &str = "store.partition.";
    let begins = name.get(..PREFIX.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(PREFIX));
    let (nickname, attribute) = name.get(PREFIX.len()..).filter(|_| begins)?.rsplit_once('.')?;
    let known = ["path", "messagepath"].iter().any(|known| attribute.eq_ignore_ascii_case(known));
    known.then_some(nickname)
}

/// Known names that differ from `name` by few letters, nearest first, at most three.
pub fn near(name: &str) -> Vec<String> {
    let (plain, _) = split_tag(name);
    let wanted: Vec<char> = plain.to_ascii_lowercase().chars().take(100).collect();
    let limit = (wanted.len() / 5).clamp(2, 6);
    let mut found: Vec<(usize, &'static str)> = all()
        .filter_map(|row| {
            let candidate: Vec<char> = row.name.to_ascii_lowercase().chars().collect();
            let distance = distance(&wanted, &candidate);
            (distance <= limit).then_some((distance, row.name))
        })
        .collect();
    found.sort();
    found.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// Edit distance: insertions, deletions, replacements.
pub fn distance(a: &[char], b: &[char]) -> usize {
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = previous.get(j).copied().unwrap_or(0) + usize::from(x != y);
            let deleted = previous.get(j + 1).copied().unwrap_or(0) + 1;
            let inserted = current.last().copied().unwrap_or(0) + 1;
            current.push(replaced.min(deleted).min(inserted));
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_default_is_inside_its_own_range() {
        for row in all() {
            if !row.default.is_empty() {
                let checked = super::super::value::check(row, row.default);
                assert!(checked.is_ok(), "{}: {checked:?}", row.name);
            }
        }
    }

    #[test]
    fn rows_are_complete_and_unique() {
        let mut seen = HashSet::new();
        for row in all() {
            assert!(seen.insert(row.name.to_ascii_lowercase()), "{}", row.name);
            assert!(!row.doc.is_empty() && row.doc.len() <= 120, "{}", row.name);
            assert!(row.doc.ends_with('.'), "{}", row.name);
        }
        assert_eq!(all().filter(|row| !row.is_ours()).count(), 259);
        for name in ours::DEFAULTS {
            assert!(all().any(|row| row.name == *name), "{name}");
        }
    }

    #[test]
    fn the_most_literal_row_wins() {
        let name = |given: &str| find(given).map(|row| row.name);
        assert_eq!(name("STORE.Partition.primary.PATH"), Some("store.partition.primary.path"));
        assert_eq!(name("store.partition.second2.path"), Some("store.partition.<nickname>.path"));
        assert_eq!(name("store.partition.Second.path"), None);
        assert_eq!(name("local.schedule.mine.enable"), Some("local.schedule.<taskname>.enable"));
        assert_eq!(name("local.service.proxy.admin.a.example.com"), Some("local.service.proxy.admin.<hostname>"));
        assert_eq!(name("store.expirerule.r1.messagedays"), Some("store.expirerule.<rulename>.messagedays"));
        assert_eq!(name("store.quotaexceededmsg;lang-jp"), Some("store.quotaexceededmsg"));
        assert_eq!(name("store.messagetype.64"), None);
        assert_eq!(name("service.imap.prot"), None);
        assert_eq!(name("store.cleanup"), Some("store.cleanupage"));
        assert_eq!(name("local.store.overquotastatus"), Some("store.overquotastatus"));
        assert_eq!(name(""), None);
    }

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(near("service.imap.prot").first().map(String::as_str), Some("service.imap.port"));
        assert!(near("nothing.of.the.kind.at.all").is_empty());
    }
}
