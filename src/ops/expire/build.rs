//! From the lines of a rule to the rule: attributes, their values, and what is wrong with them.

use super::header::{EXPIRY, HeaderTest, Wanted};
use super::rule::{Action, Flagged, Origin, Rule};
use crate::config::{boolean, catalogue};
use crate::ops::mailbox::Selection;
use crate::text::number;

/// Every attribute that is not a header field.
const ATTRIBUTES: [&str; 14] = [
    "action",
    "deleted",
    "exclusive",
    "folderpattern",
    "foldersize",
    "foldersizebytes",
    "match",
    "messagecount",
    "messagedays",
    "messagesize",
    "messagesizedays",
    "regexp",
    "savedays",
    "seen",
];
/// Before the name of a header field.
const HEADER: &str = "messageheader.";
/// Names that differ from an attribute by so few letters are taken for a slip.
const SLIP: usize = 2;

/// What is wrong with a rule, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {what}")]
pub struct Fault {
    /// The line.
    pub origin: Origin,
    /// What is wrong.
    pub what: String,
}

/// One line of a rule.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) attribute: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// True for the name of an attribute that is not a header field.
pub(super) fn is_attribute(name: &str) -> bool {
    ATTRIBUTES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Makes a rule of its lines. A rule that cannot be made lets nothing else apply where it would have been the exclusive one: the rule
/// returned with the faults stands for that.
pub(super) fn build(name: &str, given: &[Given], broken: &[Fault]) -> (Option<Rule>, Vec<Fault>) {
    let Some(origin) =
        given.first().map(|line| line.origin.clone()).or(broken.first().map(|fault| fault.origin.clone()))
    else {
        return (None, Vec::new());
    };
    let mut builder =
        Builder { rule: Rule::empty(name.to_owned(), origin), regexp: false, taken: Vec::new(), size_days: None };
    let mut faults = broken.to_vec();
    // What a pattern means must be known before the patterns are read.
    let (first, others): (Vec<&Given>, Vec<&Given>) =
        given.iter().partition(|line| line.attribute.eq_ignore_ascii_case("regexp"));
    // Of an unreadable line nothing is known.
    let (mut unsure_exclusive, mut unsure_pattern) = (!broken.is_empty(), !broken.is_empty());
    for line in first.into_iter().chain(others) {
        if let Err(what) = builder.take(line) {
            let meant = meant(&line.attribute);
            unsure_exclusive |= meant == Some("exclusive");
            unsure_pattern |= matches!(meant, Some("folderpattern" | "regexp"));
            faults.push(Fault { origin: line.origin.clone(), what });
        }
    }
    // What is missing in a rule with a faulty line may stand in that line.
    if faults.is_empty()
        && let Err((attribute, what)) = builder.check()
    {
        let at = given.iter().find(|line| attribute.is_some_and(|wanted| line.attribute.eq_ignore_ascii_case(wanted)));
        let origin = at.map_or_else(|| builder.rule.origin.clone(), |line| line.origin.clone());
        faults.push(Fault { origin, what });
    }
    let rule = builder.rule;
    if faults.is_empty() {
        return (Some(rule), faults);
    }
    faults.sort_by_key(|fault| fault.origin.line);
    // Where it cannot be told whether it is exclusive, or for which mailboxes, others would remove what it may have protected.
    let pattern = rule.pattern.filter(|_| !unsure_pattern);
    let stays = (rule.exclusive || unsure_exclusive).then(|| Rule::exempting(rule.name, rule.origin, pattern));
    (stays, faults)
}

struct Builder {
    rule: Rule,
    regexp: bool,
    /// Attributes that were given, in lower case.
    taken: Vec<String>,
    size_days: Option<u32>,
}

impl Builder {
    fn take(&mut self, line: &Given) -> Result<(), String> {
        let lower = line.attribute.to_ascii_lowercase();
        let value = line.value.as_str();
        if !is_attribute(&lower) {
            return self.take_header(&line.attribute, value);
        }
        if self.taken.contains(&lower) {
            return Err(format!("{lower} is given twice"));
        }
        self.taken.push(lower.clone());
        let rule = &mut self.rule;
        match lower.as_str() {
            "regexp" => self.regexp = yes(&lower, value)?,
            "exclusive" => rule.exclusive = yes(&lower, value)?,
            "folderpattern" => rule.pattern = Some(pattern(value, self.regexp)?),
            "messagedays" => rule.days = Some(days(&lower, value)?),
            "savedays" => rule.save_days = Some(days(&lower, value)?),
            "messagesizedays" => self.size_days = Some(days(&lower, value)?),
            "messagesize" => rule.size = Some((bytes(&lower, value)?, 0)),
            "messagecount" => rule.count = Some(count(&lower, value)?),
            "foldersize" | "foldersizebytes" => {
                if rule.bytes.replace(bytes(&lower, value)?).is_some() {
                    return Err("foldersize is given twice".to_owned());
                }
            }
            "seen" => rule.seen = Some(flagged(&lower, value)?),
            "deleted" => rule.deleted = Some(flagged(&lower, value)?),
            "match" => rule.all = all(value)?,
            _ => rule.action = action(value)?,
        }
        Ok(())
    }

    fn take_header(&mut self, attribute: &str, value: &str) -> Result<(), String> {
        let named = attribute.get(..HEADER.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(HEADER));
        let name = if named { attribute.get(HEADER.len()..).unwrap_or_default() } else { attribute };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return Err(format!("\"{attribute}\" is neither an attribute nor the name of a header field"));
        }
        let lower = name.to_ascii_lowercase();
        if lower == "sieve" && !named {
            return Err("there are no Sieve scripts in expire rules".to_owned());
        }
        if let Some(meant) = slip(&lower).filter(|_| !named) {
            return Err(format!(
                "unknown attribute {attribute}: {meant} is meant? A header field is written {HEADER}{name}"
            ));
        }
        if let Some(expiry) = EXPIRY.into_iter().find(|known| *known == lower) {
            return self.take_expiry(name, expiry, value);
        }
        let wanted = Wanted::new(value, self.regexp).map_err(|error| format!("{attribute}: {value}: {error}"))?;
        let known = self.rule.headers.iter_mut().find_map(|test| match test {
            HeaderTest::Text { lower: other, any, .. } if *other == lower => Some(any),
            _ => None,
        });
        match known {
            Some(any) => any.push(wanted),
            None => self.rule.headers.push(HeaderTest::text(name, wanted)),
        }
        Ok(())
    }

    fn take_expiry(&mut self, name: &str, lower: &'static str, value: &str) -> Result<(), String> {
        if !matches!(value, "" | "*") {
            return Err(format!("{name} is compared as a date, with messagedays: its value stays empty"));
        }
        let field = (name.to_owned(), lower);
        let known = self.rule.headers.iter_mut().find_map(|test| match test {
            HeaderTest::Expiry { names } => Some(names),
            HeaderTest::Text { .. } => None,
        });
        match known {
            Some(names) if names.iter().any(|(_, known)| *known == lower) => Err(format!("{name} is given twice")),
            Some(names) => {
                names.push(field);
                Ok(())
            }
            None => {
                self.rule.headers.push(HeaderTest::Expiry { names: vec![field] });
                Ok(())
            }
        }
    }

    /// What only the whole rule tells; with the attribute that is wrong.
    fn check(&mut self) -> Result<(), (Option<&'static str>, String)> {
        let given = |name: &str| self.taken.iter().any(|taken| taken == name);
        let rule = &mut self.rule;
        match (&mut rule.size, self.size_days) {
            (Some(size), days) => size.1 = days.unwrap_or(0),
            (None, Some(_)) if given("messagesize") => {}
            (None, Some(_)) => {
                return Err((Some("messagesizedays"), "messagesizedays has no effect without messagesize".to_owned()));
            }
            (None, None) => {}
        }
        if given("action") && !given("match") {
            rule.all = true;
        }
        if !rule.has_criteria() && !rule.exclusive {
            return Err((None, "the rule has no criterion".to_owned()));
        }
        if !rule.has_criteria() && given("action") {
            return Err((Some("action"), "action has no effect without a criterion".to_owned()));
        }
        Ok(())
    }
}

/// The attribute that a line is about, or seems to be.
fn meant(attribute: &str) -> Option<&'static str> {
    let lower = attribute.to_ascii_lowercase();
    ATTRIBUTES.into_iter().find(|known| *known == lower).or_else(|| slip(&lower))
}

/// The attribute that a name may be a slip of.
fn slip(name: &str) -> Option<&'static str> {
    let letters: Vec<char> = name.chars().take(40).collect();
    ATTRIBUTES
        .into_iter()
        .map(|known| (catalogue::distance(&letters, &known.chars().collect::<Vec<_>>()), known))
        .filter(|(distance, _)| *distance <= SLIP)
        .min()
        .map(|(_, known)| known)
}

fn yes(name: &str, value: &str) -> Result<bool, String> {
    boolean(value).ok_or_else(|| format!("{name}: \"{value}\" is neither yes nor no"))
}

fn days(name: &str, value: &str) -> Result<u32, String> {
    number::decimal(value.as_bytes()).ok_or_else(|| format!("{name}: \"{value}\" is not a number of days"))
}

fn count(name: &str, value: &str) -> Result<u64, String> {
    number::decimal(value.as_bytes()).ok_or_else(|| format!("{name}: \"{value}\" is not a number of messages"))
}

fn bytes(name: &str, value: &str) -> Result<u64, String> {
    number::size(value).ok_or_else(|| format!("{name}: \"{value}\" is not a number of bytes"))
}

fn flagged(name: &str, value: &str) -> Result<Flagged, String> {
    match value.to_ascii_lowercase().as_str() {
        "and" => Ok(Flagged::And),
        "or" => Ok(Flagged::Or),
        _ => Err(format!("{name}: \"{value}\" is neither \"and\" nor \"or\"")),
    }
}

fn all(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "all" => Ok(true),
        "any" => Ok(false),
        _ => Err(format!("match: \"{value}\" is neither \"any\" nor \"all\"")),
    }
}

fn action(value: &str) -> Result<Action, String> {
    let (word, folder) =
        value.split_once(':').map_or((value, None), |(word, folder)| (word.trim(), Some(folder.trim())));
    match (word.to_ascii_lowercase().as_str(), folder) {
        ("discard", None) => Ok(Action::Discard),
        ("report", None) => Ok(Action::Report),
        ("archive", None) => Err("action: there is no archive in this product".to_owned()),
        ("fileinto", Some(folder)) => {
            // As a person writes it, in UTF-8 or as on the wire.
            let name = crate::ops::mailbox::read_name(&format!("user/x/{folder}"));
            name.map(|name| Action::FileInto(name.folder)).map_err(|error| format!("action: {folder}: {error}"))
        }
        ("fileinto", None) => Err("action: fileinto:FOLDER names a folder".to_owned()),
        _ => Err(format!("action: \"{value}\" is not discard, report or fileinto:FOLDER")),
    }
}

fn pattern(value: &str, regexp: bool) -> Result<Selection, String> {
    let begin = if regexp { value.strip_prefix('^').unwrap_or(value) } else { value };
    if !begin.starts_with("user/") {
        return Err(format!("folderpattern: \"{value}\" does not begin with user/"));
    }
    if !regexp {
        return Ok(Selection::wildcard(value));
    }
    Selection::regex(value).map_err(|error| format!("folderpattern: {value}: {error}"))
}
