//! Where rules come from: the global file, settings, and the files in the directories of partitions, accounts and folders.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::build::{Fault, Given, build, is_attribute};
use super::rule::{Origin, Rule};
use crate::config::{Conf, Instance};
use crate::store::layout::RULE_FILES;

/// Largest rule file, in bytes.
const LARGEST: u64 = 4 << 20;
/// The family of settings.
const SETTINGS: &str = "store.expirerule.";

/// Rules in the order of loading, with what was wrong beside them.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The rules.
    pub rules: Vec<Arc<Rule>>,
    /// What was refused: the rule that it stands in does not count.
    pub faults: Vec<Fault>,
    /// What should be known and stops nothing.
    pub warnings: Vec<String>,
}

/// Which form the lines of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `RULE.ATTRIBUTE: VALUE`.
    Global,
    /// `ATTRIBUTE: VALUE` of one rule without a name, or as in the global file.
    Local,
}

/// The rules for the whole store: those of `file` alone where one is named, else of the global file, else of the settings.
///
/// # Errors
/// `file` cannot be read.
pub fn global(instance: &Instance, conf: &Conf, file: Option<(&Path, &str)>) -> Loaded {
    if let Some((path, text)) = file {
        return parse(text, path, Form::Global);
    }
    let main = instance.config_dir().join(RULE_FILES[0]);
    let other = instance.store_root().join(RULE_FILES[0]);
    let mut warnings = Vec::new();
    let path = match (main.exists(), other.exists()) {
        (true, both) => {
            if both {
                warnings.push(format!("{} counts, {} does not", main.display(), other.display()));
            }
            main
        }
        (false, true) => other,
        (false, false) => return of_settings(conf),
    };
    let mut names: Vec<String> = Vec::new();
    for setting in conf.settings(SETTINGS) {
        if let Some((name, _)) = parts(&setting.name).filter(|(name, _)| !names.iter().any(|known| known == name)) {
            names.push(name.to_owned());
        }
    }
    if !names.is_empty() {
        warnings.push(format!("{} counts, and not the rules of configutil: {}", path.display(), names.join(", ")));
    }
    let mut loaded = read(&path, Form::Global).unwrap_or_default();
    loaded.warnings.splice(0..0, warnings);
    loaded
}

/// The rules of the file in a directory; none where there is no such file.
pub fn local(dir: &Path) -> Loaded {
    let mut found = RULE_FILES
        .iter()
        .map(|name| dir.join(name))
        .filter_map(|path| read(&path, Form::Local).map(|loaded| (path, loaded)));
    let Some((path, mut loaded)) = found.next() else {
        return Loaded::default();
    };
    if let Some((other, _)) = found.next() {
        loaded.warnings.push(format!("{} counts, {} does not", path.display(), other.display()));
    }
    loaded
}

/// Reads the text of a local rule file that somebody wants to install.
pub fn local_text(text: &str, path: &Path) -> Loaded {
    parse(text, path, Form::Local)
}

/// Reads a rule file that a person named.
///
/// # Errors
/// It cannot be read, is too large or is not text.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    // A pipe in its place would be waited for.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large for a rule file"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Reads a rule file. What is in one that cannot be read is not known, so nothing is removed where it counts.
fn read(path: &Path, form: Form) -> Option<Loaded> {
    match read_text(path) {
        Ok(text) => Some(parse(&text, path, form)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let origin = Origin { place: path.display().to_string(), line: 0 };
            let rule = Rule::exempting(String::new(), origin.clone(), None);
            let fault = Fault { origin, what: format!("{error}; nothing is removed where it counts") };
            Some(Loaded { rules: vec![Arc::new(rule)], faults: vec![fault], warnings: Vec::new() })
        }
    }
}

/// A rule while its lines are collected.
#[derive(Default)]
struct Draft {
    name: String,
    given: Vec<Given>,
    broken: Vec<Fault>,
}

/// The drafts of a file, in the order of their first lines.
#[derive(Default)]
struct Drafts(Vec<Draft>);

impl Drafts {
    fn has(&self, name: &str) -> bool {
        !name.is_empty() && self.0.iter().any(|draft| draft.name.eq_ignore_ascii_case(name))
    }

    fn named(&mut self, name: &str) -> &mut Draft {
        let at = self.0.iter().position(|draft| draft.name.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
            self.0.push(Draft { name: name.to_owned(), ..Draft::default() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    fn build(self, warnings: Vec<String>) -> Loaded {
        let mut loaded = Loaded { warnings, ..Loaded::default() };
        for draft in self.0 {
            let (rule, faults) = build(&draft.name, &draft.given, &draft.broken);
            loaded.rules.extend(rule.map(Arc::new));
            loaded.faults.extend(faults);
        }
        loaded.without_lost_patterns()
    }
}

impl Loaded {
    /// Beside a fault a named rule without a pattern removes nothing: the pattern may stand in the fault, as under a misspelt name.
    fn without_lost_patterns(mut self) -> Loaded {
        if self.faults.is_empty() {
            return self;
        }
        for rule in std::mem::take(&mut self.rules) {
            if rule.name.is_empty() || rule.pattern.is_some() || !rule.has_criteria() {
                self.rules.push(rule);
                continue;
            }
            let what = "there is no folderpattern, and a fault in this place may be about it".to_owned();
            self.faults.push(Fault { origin: rule.origin.clone(), what });
            if rule.exclusive {
                self.rules.push(Arc::new(Rule::exempting(rule.name.clone(), rule.origin.clone(), None)));
            }
        }
        self.faults.sort_by_key(|fault| fault.origin.line);
        self
    }
}

fn parse(text: &str, path: &Path, form: Form) -> Loaded {
    let place = path.display().to_string();
    let mut drafts = Drafts::default();
    let mut unreadable: Vec<(&str, Origin)> = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let origin = Origin { place: place.clone(), line: at + 1 };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match divide(line, form) {
            Some((name, attribute, value)) if !value.chars().any(char::is_control) => {
                let given = Given { attribute: attribute.to_owned(), value: value.to_owned(), origin };
                drafts.named(name).given.push(given);
            }
            _ => unreadable.push((line, origin)),
        }
    }
    let what = match form {
        Form::Global => "RULE.ATTRIBUTE: VALUE is expected",
        Form::Local => "ATTRIBUTE: VALUE is expected",
    };
    // Such a line may have held what kept a rule away from messages. Whose it is, its beginning tells, if there is a rule of that name.
    let mut nobodys: Option<Origin> = None;
    let mut faults = Vec::new();
    for (line, origin) in unreadable {
        match line.split_once('.').filter(|(name, _)| drafts.has(name.trim())) {
            Some((name, _)) => drafts.named(name.trim()).broken.push(Fault { origin, what: what.to_owned() }),
            None => {
                nobodys.get_or_insert_with(|| origin.clone());
                faults.push(Fault { origin, what: format!("{what}; no rule of this file removes anything") });
            }
        }
    }
    let mut loaded = drafts.build(Vec::new());
    if let Some(origin) = nobodys {
        loaded.rules = vec![Arc::new(Rule::exempting(String::new(), origin, None))];
        loaded.faults.extend(faults);
        loaded.faults.sort_by_key(|fault| fault.origin.line);
    }
    loaded
}

/// Divides a line into the name of the rule, the attribute and the value.
fn divide(line: &str, form: Form) -> Option<(&str, &str, &str)> {
    let (left, value) = line.split_once(':')?;
    let (left, value) = (left.trim(), value.trim());
    if let Some((name, attribute)) = left.split_once('.')
        && !name.eq_ignore_ascii_case("messageheader")
    {
        return (!name.is_empty() && !attribute.is_empty()).then_some((name, attribute, value));
    }
    if form == Form::Local {
        return (!left.is_empty()).then_some(("", left, value));
    }
    // The guides print `Rule2:regexp: 1` once.
    let (attribute, value) = value.split_once(':')?;
    let attribute = attribute.trim();
    (!left.is_empty() && is_attribute(attribute)).then_some((left, attribute, value.trim()))
}

/// The rules that configutil has: the settings by name, so the last name is the last rule.
fn of_settings(conf: &Conf) -> Loaded {
    let mut drafts = Drafts::default();
    for setting in conf.settings(SETTINGS) {
        if let Some((name, attribute)) = parts(&setting.name) {
            let origin = Origin { place: setting.name.clone(), line: 0 };
            let given = Given { attribute: attribute.to_owned(), value: setting.value.trim().to_owned(), origin };
            drafts.named(name).given.push(given);
        }
    }
    drafts.build(Vec::new())
}

/// The rule and the attribute in the name of a setting.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.get(SETTINGS.len()..)?.split_once('.')
}

/// The users whose mailboxes no rule touches: a file of user ids, one a line; empty lines and lines that begin with `#` do not count.
///
/// # Errors
/// The file is there and cannot be read: who is in it is not known.
pub fn excluded(instance: &Instance) -> Result<Vec<String>, (PathBuf, io::Error)> {
    let path = instance.config_dir().join("expire_exclude_list");
    match read_text(&path) {
        Ok(text) => Ok(text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err((path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(text: &str) -> Loaded {
        parse(text, Path::new("F"), Form::Global)
    }

    fn faults(loaded: &Loaded) -> Vec<String> {
        loaded.faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_are_divided() {
        let global = |line| divide(line, Form::Global);
        assert_eq!(global("Rule1.Subject: a: b"), Some(("Rule1", "Subject", "a: b")));
        assert_eq!(global("Rule2:regexp: 1"), Some(("Rule2", "regexp", "1")));
        assert_eq!(global("R.messageheader.Content-Type:x"), Some(("R", "messageheader.Content-Type", "x")));
        for wrong in ["Rule1", "messagedays: 3", "Rule2:Subject: 1", ".x: 1", "x.: 1", ": 1"] {
            assert_eq!(global(wrong), None, "{wrong}");
        }
        let local = |line| divide(line, Form::Local);
        assert_eq!(local("Subject: regexp: 1"), Some(("", "Subject", "regexp: 1")));
        assert_eq!(local("messageheader.To:"), Some(("", "messageheader.To", "")));
        assert_eq!(local("R.To: x"), Some(("R", "To", "x")));
        assert_eq!(local(": x"), None);
    }

    #[test]
    fn a_bad_line_spoils_its_rule_and_no_other() {
        let text = "A.messagedays: 3\nA.seen: adn\nB.messagedays: 2\nB.seen and\nC.messagedays: x\nD.messagedays: 9\nD.folderpattern: user/*\n";
        let loaded = global(text);
        assert_eq!(
            faults(&loaded),
            [
                "F:2: seen: \"adn\" is neither \"and\" nor \"or\"",
                "F:4: RULE.ATTRIBUTE: VALUE is expected",
                "F:5: messagedays: \"x\" is not a number of days",
            ]
        );
        // What B's line says is not known: it may have protected something.
        let shown: Vec<String> = loaded.rules.iter().map(|rule| rule.shown()).collect();
        assert_eq!(shown, ["B (F:3)", "D (F:6)"]);
        assert!(loaded.rules[0].exclusive && !loaded.rules[0].has_criteria());
    }

    #[test]
    fn an_unreadable_line_lets_no_rule_lose_its_pattern() {
        let text =
            "Old.messagedays: 365\nOld.folderpattern: user/*\nTrash.folderpattern user/%/Trash\nTrash.messagedays: 2\n";
        let loaded = global(text);
        assert_eq!(faults(&loaded), ["F:3: RULE.ATTRIBUTE: VALUE is expected"]);
        let shown: Vec<String> = loaded.rules.iter().map(|rule| rule.shown()).collect();
        assert_eq!(shown, ["Old (F:1)", "Trash (F:4)"]);
        assert!(loaded.rules[1].exclusive && !loaded.rules[1].has_criteria());
        // Nobody knows whose it is: nothing of the file counts.
        for line in
            ["Trash folderpattern user/%/Trash", "Trsh.folderpattern user/%/Trash", "T.folderpattern: user/\u{1}"]
        {
            let loaded = global(&format!("{line}\nTrash.messagedays: 2\nOld.messagedays: 365\n"));
            assert_eq!(
                faults(&loaded),
                ["F:1: RULE.ATTRIBUTE: VALUE is expected; no rule of this file removes anything"],
                "{line}"
            );
            assert_eq!(loaded.rules.len(), 1, "{line}");
            assert!(loaded.rules[0].exclusive && loaded.rules[0].pattern.is_none() && !loaded.rules[0].has_criteria());
        }
    }

    #[test]
    fn a_rule_that_may_be_exclusive_protects() {
        for line in ["exclusve: yes", "exclusive yes", "exclusive: yse"] {
            let loaded = global(&format!(
                "Keep.folderpattern: user/joe/*\nKeep.{line}\nOld.folderpattern: user/*\nOld.messagedays: 3\n"
            ));
            assert_eq!(loaded.faults.len(), 1, "{line}");
            let keep = loaded.rules.iter().find(|rule| rule.name == "Keep").unwrap_or_else(|| panic!("{line}"));
            // The line without a colon may have said how the pattern is meant.
            assert!(keep.exclusive && keep.pattern.is_some() == line.contains(':'), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, wanted) in [
            ("A.folderpattern: joe/*\nA.messagedays: 1", "F:1: folderpattern: \"joe/*\" does not begin with user/"),
            ("A.regexp: 1\nA.folderpattern: user/[a\nA.messagedays: 1", "F:2: folderpattern: user/[a: unmatched ["),
            (
                "A.messageday: 1",
                "F:1: unknown attribute messageday: messagedays is meant? A header field is written messageheader.messageday",
            ),
            (
                "A.regex: 1\nA.messagedays: 1",
                "F:1: unknown attribute regex: regexp is meant? A header field is written messageheader.regex",
            ),
            ("A.messagesizedays: 1", "F:1: messagesizedays has no effect without messagesize"),
            ("A.folderpattern: user/*", "F:1: the rule has no criterion"),
            ("A.messagedays: 1\nA.messagedays: 2", "F:2: messagedays is given twice"),
            ("A.messagedays: 1\nA.action: archive", "F:2: action: there is no archive in this product"),
            (
                "A.messagedays: 1\nA.action: fileinto:../x",
                "F:2: action: ../x: \".\" and \"..\" are not names of mailboxes",
            ),
            ("A.Expires: tomorrow", "F:1: Expires is compared as a date, with messagedays: its value stays empty"),
            ("A.regexp: maybe\nA.messagedays: 1", "F:1: regexp: \"maybe\" is neither yes nor no"),
            ("A.messagecount: -1", "F:1: messagecount: \"-1\" is not a number of messages"),
            ("A.foldersize: 1X", "F:1: foldersize: \"1X\" is not a number of bytes"),
            ("A.sieve: x", "F:1: there are no Sieve scripts in expire rules"),
        ] {
            let loaded = global(text);
            assert_eq!(faults(&loaded), [wanted], "{text}");
            assert!(loaded.rules.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_refused_exclusive_rule_still_protects() {
        let loaded = global("A.exclusive: yes\nA.folderpattern: user/joe/*\nA.messagedays: x\n");
        assert_eq!(loaded.faults.len(), 1);
        let [rule] = loaded.rules.as_slice() else { panic!("{loaded:?}") };
        assert!(rule.exclusive && !rule.has_criteria());
        let inbox = crate::store::FolderPath::inbox();
        assert!(rule.applies("joe", &inbox) && !rule.applies("ann", &inbox));
        // Nobody knows whether this one is.
        assert!(global("A.exclusive: yse\nA.messagedays: 3\n").rules[0].exclusive);
    }

    /// Whether any rule of the file that removes something is for this mailbox, after exclusive ones have had their say.
    fn removes(text: &str, owner: &str) -> bool {
        let loaded = global(text);
        let inbox = crate::store::FolderPath::inbox();
        super::super::policy::applicable(loaded.rules.iter(), owner, &inbox).iter().any(|rule| rule.has_criteria())
    }

    #[test]
    fn a_pattern_under_a_misspelt_name_is_missed() {
        assert!(!removes("Trsh.folderpattern: user/%/Trash\nTrash.messagedays: 2\n", "joe"));
    }

    #[test]
    fn a_pattern_of_unsure_meaning_protects_every_mailbox() {
        for line in ["regex: 1", "regexp: yess", "regexp yes"] {
            let text = format!(
                "Old.folderpattern: user/*\nOld.messagedays: 3\nKeep.{line}\nKeep.folderpattern: user/(joe|ann)/.*\nKeep.exclusive: yes\n"
            );
            assert!(!removes(&text, "joe"), "{line}");
        }
    }

    #[test]
    fn two_patterns_of_an_exclusive_rule_protect_both() {
        let text = "Old.folderpattern: user/*\nOld.messagedays: 3\nKeep.folderpattern: user/joe/*\nKeep.folderpattern: user/ann/*\nKeep.exclusive: yes\n";
        assert!(!removes(text, "ann"));
    }

    #[test]
    fn exclusive_twice_protects() {
        let text = "Old.folderpattern: user/*\nOld.messagedays: 3\nKeep.folderpattern: user/joe/*\nKeep.exclusive: no\nKeep.exclusive: yes\n";
        assert!(!removes(text, "joe"));
    }
}
