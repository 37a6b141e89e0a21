//! The rule file of imquotacheck (AdminRef 2005Q4 imquotacheck, "Rulefile Format"): who is told, when, and by what.

use std::path::{Path, PathBuf};

use super::method::Method;

/// The largest rule file, bytes.
pub const LARGEST_FILE: usize = 1 << 20;
/// Most rules of a file.
const MOST_RULES: usize = 1000;
/// The highest threshold, percent: a message may carry a mailbox above its quota.
const HIGHEST_PERCENT: u32 = 1000;
/// The longest interval, hours: ten years.
const LONGEST_INTERVAL: u32 = 87_600;

/// What is wrong with a rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {text}")]
pub struct RuleError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub text: String,
}

/// A rule file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFile {
    /// `mailQuotaAttribute`: the attribute of the directory that has the quota, instead of the one that the store knows.
    pub quota_attribute: Option<String>,
    /// `reportMethod`: what writes the report.
    pub report_method: Option<Method>,
    /// The rules that are enabled, by rising threshold.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as it is written.
    pub name: String,
    /// `notificationTriggerPercentage`: the threshold, percent of the quota.
    pub percent: u32,
    /// `notificationInterval`: hours between two notices.
    pub interval_h: u32,
    /// `messageFile`: its template.
    pub message_file: Option<PathBuf>,
    /// `notificationMethod`: what tells the user instead of a message.
    pub method: Option<Method>,
}

/// One section, while it is read.
#[derive(Default)]
struct Section {
    line: usize,
    name: String,
    /// Attributes in lower case, with their lines and values.
    attributes: Vec<(String, usize, String)>,
}

const GENERAL: &str = "general";
const GENERAL_ATTRIBUTES: [&str; 2] = ["mailQuotaAttribute", "reportMethod"];
const RULE_ATTRIBUTES: [&str; 5] =
    ["notificationTriggerPercentage", "notificationInterval", "messageFile", "enabled", "notificationMethod"];

impl RuleFile {
    /// Reads a rule file. Names of sections and attributes, and values other than paths, are read in any case.
    ///
    /// # Errors
    /// [`RuleError`] for the first line that makes no sense.
    pub fn parse(text: &str) -> Result<RuleFile, RuleError> {
        let mut file = RuleFile::default();
        let mut all: Vec<(Rule, usize, bool)> = Vec::new();
        for section in sections(text)? {
            if section.name.eq_ignore_ascii_case(GENERAL) {
                file.quota_attribute = section.quota_attribute()?;
                file.report_method = section.method("reportMethod")?;
            } else {
                let (rule, enabled) = section.rule()?;
                all.push((rule, section.line, enabled));
            }
        }
        for (at, (rule, line, _)) in all.iter().enumerate() {
            let same = all.iter().take(at).find(|(other, ..)| other.percent == rule.percent);
            if let Some((other, ..)) = same {
                let text =
                    format!("[{}] and [{}] have the same threshold, {} percent", other.name, rule.name, rule.percent);
                return Err(RuleError { line: *line, text });
            }
        }
        file.rules = all.into_iter().filter(|(.., enabled)| *enabled).map(|(rule, ..)| rule).collect();
        file.rules.sort_by_key(|rule| rule.percent);
        Ok(file)
    }
}

fn wrong<T>(line: usize, text: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError { line, text: text.into() })
}

fn sections(text: &str) -> Result<Vec<Section>, RuleError> {
    let mut found: Vec<Section> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (number, line) = (at + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let Some(name) = rest.strip_suffix(']').map(str::trim).filter(|name| !name.is_empty()) else {
                return wrong(number, format!("a section is written [NAME], not {line}"));
            };
            if found.iter().any(|other| other.name.eq_ignore_ascii_case(name)) {
                return wrong(number, format!("the section [{name}] is there already"));
            }
            if found.len() > MOST_RULES {
                return wrong(number, format!("more than {MOST_RULES} rules"));
            }
            found.push(Section { line: number, name: name.to_owned(), attributes: Vec::new() });
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            return wrong(number, format!("an attribute is written NAME=VALUE, not {line}"));
        };
        let Some(section) = found.last_mut() else {
            return wrong(number, "an attribute before the first section, [General] or a rule");
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        let known: &[&str] =
            if section.name.eq_ignore_ascii_case(GENERAL) { &GENERAL_ATTRIBUTES } else { &RULE_ATTRIBUTES };
        if !known.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            return wrong(
                number,
                format!("unknown attribute {name} in [{}]; there are {}", section.name, known.join(", ")),
            );
        }
        if section.attributes.iter().any(|(other, ..)| *other == name) {
            return wrong(number, format!("{name} is there already in [{}]", section.name));
        }
        section.attributes.push((name, number, value));
    }
    Ok(found)
}

impl Section {
    /// The line and the value of an attribute that has one.
    fn value(&self, name: &str) -> Option<(usize, &str)> {
        let found = self.attributes.iter().find(|(other, ..)| other.eq_ignore_ascii_case(name));
        found.map(|(_, line, value)| (*line, value.as_str())).filter(|(_, value)| !value.is_empty())
    }

    fn number(&self, name: &str, least: u32, most: u32) -> Result<u32, RuleError> {
        let Some((line, value)) = self.value(name) else {
            return wrong(self.line, format!("[{}] has no {name}", self.name));
        };
        match value.parse::<u32>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => wrong(line, format!("{name} is {value}; a whole number from {least} to {most} is expected")),
        }
    }

    fn method(&self, name: &str) -> Result<Option<Method>, RuleError> {
        let Some((line, value)) = self.value(name) else { return Ok(None) };
        match Method::parse(value) {
            Ok(method) => Ok(Some(method)),
            Err(text) => wrong(line, format!("{name}: {text}")),
        }
    }

    fn quota_attribute(&self) -> Result<Option<String>, RuleError> {
        let Some((line, value)) = self.value("mailQuotaAttribute") else { return Ok(None) };
        // RFC 4512 section 1.4, descr.
        let sound = value.starts_with(|c: char| c.is_ascii_alphabetic())
            && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if sound {
            Ok(Some(value.to_owned()))
        } else {
            wrong(line, format!("{value} cannot be the name of an attribute"))
        }
    }

    /// The rule of this section, and whether it is enabled.
    fn rule(&self) -> Result<(Rule, bool), RuleError> {
        let enabled = match self.value("enabled") {
            None => true,
            Some((line, value)) => match value.to_ascii_lowercase().as_str() {
                "1" | "yes" | "on" | "true" => true,
                "0" | "no" | "off" | "false" => false,
                _ => return wrong(line, format!("enabled is {value}; 1 or 0 is expected")),
            },
        };
        let message_file = match self.value("messageFile") {
            None => None,
            Some((_, value)) if Path::new(value).is_absolute() => Some(PathBuf::from(value)),
            Some((line, value)) => return wrong(line, format!("messageFile is {value}; an absolute path is expected")),
        };
        let rule = Rule {
            name: self.name.clone(),
            percent: self.number("notificationTriggerPercentage", 1, HIGHEST_PERCENT)?,
            interval_h: self.number("notificationInterval", 0, LONGEST_INTERVAL)?,
            message_file,
            method: self.method("notificationMethod")?,
        };
        Ok((rule, enabled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../../testdata/golden/imquotacheck/sample.rulefile");

    #[test]
    fn the_sample_of_the_manual() {
        let file = RuleFile::parse(SAMPLE).unwrap();
        assert_eq!(file.quota_attribute.as_deref(), Some("mailquota"));
        assert_eq!(file.report_method, Some(Method::Library("/xx/yy/libzz.so:myReportMethod".into())));
        let seen: Vec<_> = file.rules.iter().map(|rule| (rule.name.as_str(), rule.percent, rule.interval_h)).collect();
        assert_eq!(seen, [("rule1", 60, 3), ("rule2", 80, 2), ("rule3", 90, 1)]);
        assert_eq!(file.rules[1].message_file, Some(PathBuf::from("/xx/yy/message.txt")));
        assert_eq!(file.rules[1].method, None);
        assert_eq!(file.rules[2].method, Some(Method::Library("/xx/yy/libzz.so:myNotifyMethod_90".into())));
        assert_eq!(RuleFile::parse(&SAMPLE.replace('\n', "\r\n")).unwrap(), file);
        // In capitals all is the same but the paths.
        let loud: String = SAMPLE
            .lines()
            .map(|line| match line.split_once('=') {
                Some((name, value)) if !value.contains('/') => format!("{} = {value}\n", name.to_uppercase()),
                Some((name, value)) => format!("{}= {value}\n", name.to_uppercase()),
                None => format!("{}\n", line.replace("General", "GENERAL")),
            })
            .collect();
        assert_eq!(RuleFile::parse(&loud).unwrap(), file);
    }

    #[test]
    fn rules_rank_by_rising_threshold_and_disabled_ones_do_not_count() {
        let rule = |name: &str, percent: u32, rest: &str| {
            format!("[{name}]\nnotificationTriggerPercentage={percent}\nnotificationInterval=1\n{rest}\n")
        };
        let text = rule("c", 95, "") + &rule("off", 50, "enabled=NO") + &rule("a", 60, "enabled=True");
        let names: Vec<String> = RuleFile::parse(&text).unwrap().rules.into_iter().map(|rule| rule.name).collect();
        assert_eq!(names, ["a", "c"]);
        assert!(RuleFile::parse("").unwrap().rules.is_empty());
        assert_eq!(RuleFile::parse("[General]\nreportMethod =\n").unwrap(), RuleFile::default());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let sound = "notificationTriggerPercentage=60\nnotificationInterval=1\n";
        for (text, line, said) in [
            ("x=1", 1, "before the first section"),
            ("[a", 1, "[NAME]"),
            ("[]", 1, "[NAME]"),
            ("[a]\nenabled", 2, "NAME=VALUE"),
            ("[a]\n# x\nnotificationInterval=1\n", 1, "[a] has no notificationTriggerPercentage"),
            ("[a]\nnotificationTriggerPercentage=60\n", 1, "has no notificationInterval"),
            ("[a]\nnotificationTriggerPercentage=\nnotificationInterval=1", 1, "has no notificationTrigger"),
            ("[a]\nnotificationTriggerPercentage=0\nnotificationInterval=1", 2, "from 1 to 1000"),
            ("[a]\nnotificationTriggerPercentage=60%\nnotificationInterval=1", 2, "is 60%"),
            ("[a]\nnotificationTriggerPercentage=60\nnotificationInterval=-1", 3, "from 0 to 87600"),
            ("[a]\nnotificationInterval=99999999999\nnotificationTriggerPercentage=60", 2, "from 0 to 87600"),
            (&format!("[a]\n{sound}enabled=maybe\n"), 4, "enabled is maybe"),
            (&format!("[a]\n{sound}messageFile=x.txt\n"), 4, "absolute path"),
            (&format!("[a]\n{sound}notificationMethod=x\n"), 4, "notificationMethod: "),
            (&format!("[a]\n{sound}[A]\n{sound}"), 4, "there already"),
            (&format!("[a]\n{sound}[b]\n{sound}"), 4, "[a] and [b] have the same threshold, 60 percent"),
            ("[a]\nenabled=1\nEnabled=0", 3, "there already"),
            ("[a]\ntrigger=1", 2, "unknown attribute trigger"),
            ("[General]\nenabled=1", 2, "there are mailQuotaAttribute, reportMethod"),
            ("[General]\nmailQuotaAttribute=a)(b", 2, "cannot be the name"),
        ] {
            let error = RuleFile::parse(text).unwrap_err();
            assert!(error.line == line && error.text.contains(said), "{text}: {error}");
        }
    }
}
