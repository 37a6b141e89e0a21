//! Values: the check of each kind, and how they are read and printed.

use super::catalogue::{Kind, MAX, Parameter};
use super::{ConfigError, catalogue, schedule};

/// Longest value, in bytes.
const LONGEST: usize = 64 * 1024;

/// Reads a boolean: yes no on off 1 0 true false, in any case.
pub fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["yes", "on", "1", "true"]) {
        Some(true)
    } else if is(["no", "off", "0", "false"]) {
        Some(false)
    } else {
        None
    }
}

/// Reads a number; the suffixes K, M and G (in any case) count in 1024. `None` for anything else and for what overflows.
pub fn number(text: &str) -> Option<i64> {
    let factor = match text.bytes().last()? {
        b'k' | b'K' => 1 << 10,
        b'm' | b'M' => 1 << 20,
        b'g' | b'G' => 1 << 30,
        _ => return whole(text),
    };
    whole(text.get(..text.len() - 1)?)?.checked_mul(factor)
}

fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Checks a value against the range of its parameter. An empty value is accepted where an empty text means something (no
/// banner, no password), not where a number or a word is needed: there the setting is removed instead.
///
/// # Errors
/// [`ConfigError::BadValue`] with the range in words.
pub fn check(parameter: &Parameter, value: &str) -> Result<(), ConfigError> {
    let fits = value.len() <= LONGEST
        && !value.chars().any(char::is_control)
        && match parameter.kind {
            Kind::Bool => boolean(value).is_some(),
            Kind::Int(low, high) => whole(value).is_some_and(|n| (low..=high).contains(&n)),
            Kind::Bytes(low, high) => number(value).is_some_and(|n| (low..=high).contains(&n)),
            Kind::Choice(words) => words.iter().any(|word| word.eq_ignore_ascii_case(value)),
            Kind::Text | Kind::Localised | Kind::Secret | Kind::Path => true,
            Kind::AbsolutePath => value.starts_with('/') || value.starts_with("msg_svr_base/"),
            Kind::Nickname => catalogue::is_nickname(value),
            Kind::Words => value.is_empty() || value.split(' ').all(|word| !word.is_empty()),
            Kind::Cron => schedule::job(parameter.name, value).is_ok(),
            Kind::Port => whole(value).is_some_and(|n| (1..=65535).contains(&n)),
            Kind::Dn => value.is_empty() || value.split(',').all(|part| part.contains('=')),
            Kind::Octal => (3..=4).contains(&value.len()) && value.bytes().all(|b| (b'0'..=b'7').contains(&b)),
        };
    if fits {
        return Ok(());
    }
    Err(ConfigError::BadValue {
        name: parameter.name.to_owned(),
        value: value.to_owned(),
        range: match (parameter.kind, schedule::job(parameter.name, value)) {
            (Kind::Cron, Err(problem)) => format!("{}; {problem}", range(Kind::Cron)),
            _ => range(parameter.kind),
        },
    })
}

/// Checks a value for a name: known or not, its language tag included. Unknown names are accepted when `any_name` is set.
///
/// # Errors
/// [`ConfigError::BadName`], [`ConfigError::Unknown`], [`ConfigError::BadValue`].
pub fn check_named(name: &str, value: &str, any_name: bool) -> Result<(), ConfigError> {
    check_name(name)?;
    let (plain, tag) = catalogue::split_tag(name);
    if let Some(nickname) = catalogue::nickname_in(plain).filter(|nickname| !catalogue::is_nickname(nickname)) {
        let problem =
            format!("Unknown/invalid partition: {nickname}; a nickname is made of lower-case letters and digits");
        return Err(ConfigError::BadName { name: name.to_owned(), problem });
    }
    let Some(parameter) = catalogue::find(plain) else {
        if any_name && value.len() <= LONGEST && !value.chars().any(char::is_control) {
            return Ok(());
        }
        if any_name {
            return Err(ConfigError::BadValue {
                name: name.to_owned(),
                value: value.to_owned(),
                range: range(Kind::Text),
            });
        }
        return Err(ConfigError::Unknown { name: name.to_owned(), near: catalogue::near(name) });
    };
    if tag.is_some() && parameter.kind != Kind::Localised && !any_name {
        return Err(ConfigError::BadName {
            name: name.to_owned(),
            problem: "this parameter has no languages".to_owned(),
        });
    }
    check(parameter, value).map_err(|error| match error {
        ConfigError::BadValue { value, range, .. } => ConfigError::BadValue { name: name.to_owned(), value, range },
        other => other,
    })
}

/// Checks that a name can stand in the database: letters, digits and `._-+/:<>`, then possibly `;lang-xx`.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let bad = |problem: &str| ConfigError::BadName { name: name.to_owned(), problem: problem.to_owned() };
    let (plain, tag) = catalogue::split_tag(name);
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-+/:".contains(&b);
    if plain.is_empty() || plain.len() > 255 || !plain.bytes().all(legal) {
        return Err(bad("a name is made of letters, digits and the characters . _ - + / :"));
    }
    match tag.map(|tag| tag.as_bytes()) {
        None => Ok(()),
        Some([b'l', b'a', b'n', b'g', b'-', a, b]) if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => Ok(()),
        Some(_) => Err(bad("a language tag is ;lang- and two letters, such as ;lang-en")),
    }
}

/// The range in words, for messages and help.
pub fn range(kind: Kind) -> String {
    match kind {
        Kind::Bool => "yes, no, on, off, 1, 0, true or false".to_owned(),
        Kind::Int(low, high) => between("a whole number", low, high),
        Kind::Bytes(low, high) => between("a number of bytes (K, M, G)", low, high),
        Kind::Choice(words) => words.join(", "),
        Kind::Text | Kind::Secret => "one line of text".to_owned(),
        Kind::Localised => "one line of text, also per language (;lang-xx)".to_owned(),
        Kind::Words => "words separated by single spaces".to_owned(),
        Kind::Cron => "minute 0-59, hour 0-23, day 1-31, month 1-12, weekday 0-6 (each *, a number, a list with commas or a range, also with a step), then a command"
            .to_owned(),
        Kind::Path => "a path, absolute or below msg_svr_base".to_owned(),
        Kind::AbsolutePath => "an absolute path, or one that begins with msg_svr_base/".to_owned(),
        Kind::Nickname => "the nickname of a partition, lower-case letters and digits".to_owned(),
        Kind::Port => "a port, 1 to 65535".to_owned(),
        Kind::Dn => "a distinguished name".to_owned(),
        Kind::Octal => "three or four octal digits".to_owned(),
    }
}

fn between(what: &str, low: i64, high: i64) -> String {
    if high == MAX { format!("{what}, {low} or more") } else { format!("{what}, {low} to {high}") }
}

/// A value as listings print it: bare when it is a single plain token, else in double quotes with `"` and `\` escaped.
pub fn listed(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-+/:@%,".contains(&b);
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// Reads a value as listings print it: the inverse of [`listed`]; text that is not in double quotes stands for itself.
/// `None` when a quote is left open or something follows the closing one.
pub fn unlisted(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else {
        return Some(text.to_owned());
    };
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(value),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(kind: Kind, value: &str) -> bool {
        let row = Parameter { name: "x", kind, default: "", unit: "", effect: crate::config::Effect::Restart, doc: "" };
        check(&row, value).is_ok()
    }

    fn table(kind: Kind, good: &[&str], bad: &[&str]) {
        for value in good {
            assert!(fits(kind, value), "{kind:?} refuses {value:?}");
        }
        for value in bad {
            assert!(!fits(kind, value), "{kind:?} accepts {value:?}");
        }
    }

    #[test]
    fn each_kind_accepts_its_range_and_nothing_else() {
        table(Kind::Bool, &["yes", "NO", "On", "off", "1", "0", "true", "False"], &["", "2", "ja", " yes"]);
        table(Kind::Int(-1, 30), &["-1", "0", "30"], &["-2", "31", "", "+3", "3.5", "1K", "99999999999999999999"]);
        table(Kind::Bytes(1, 1 << 31), &["1", "500M", "2g", "2048"], &["0", "3G", "M", "", "-1", "9999999999999999G"]);
        table(Kind::Choice(&["and", "or"]), &["and", "OR"], &["", "an", "and or"]);
        table(Kind::Text, &["", "a b", "Gr\u{fc}\u{df}e"], &["a\nb", "\u{7}"]);
        table(Kind::Words, &["", "a", "a b"], &["a  b", " a", "a "]);
        table(
            Kind::Cron,
            &["", "0 23 * * * sbin/imexpire", "0 1 * * 6 /opt/x -e", "5,15 0-4,8 1 12 0-6 a"],
            &[
                "x",
                "0 23 * * *",
                "60 * * * * a",
                "0 24 * * * a",
                "0 0 0 * * a",
                "0 0 * 13 * a",
                "0 0 * * 7 a",
                "0 5-1 * * * a",
                "* * * *",
            ],
        );
        table(Kind::Port, &["1", "65535"], &["0", "65536", "", "imap"]);
        table(Kind::Dn, &["", "cn=a,o=b", "uid=msg admin, o=x"], &["joe", "cn=a,b"]);
        table(Kind::Octal, &["077", "0022"], &["78", "088", "", "00000"]);
        table(Kind::Path, &["/a/b", "data/store"], &["a\0b"]);
        table(Kind::AbsolutePath, &["/a/b", "msg_svr_base/data/x"], &["", "a/b", "./a", "msg_svr_base"]);
        table(Kind::Nickname, &["primary", "2nd"], &["", "Second", "a.b", "a b", "a-b"]);
        assert!(!fits(Kind::Text, &"x".repeat(LONGEST + 1)));
    }

    #[test]
    fn names_and_tags() {
        assert!(check_named("store.quotaexceededmsg;lang-jp", "x", false).is_ok());
        assert!(check_named("store.quotaexceededmsg;lang-jpn", "x", false).is_err());
        assert!(check_named("service.imap.port;lang-en", "143", false).is_err());
        assert!(check_named("no.such", "x", false).is_err());
        assert!(check_named("no.such", "x", true).is_ok());
        assert!(check_named("a b", "x", true).is_err());
        assert!(check_named("", "x", true).is_err());
        assert!(check_named("service.http.port", "0", true).is_err());
        for name in ["store.partition.Second.path", "store.partition.a-b.path", "store.partition.a.b.path"] {
            let said = check_named(name, "/x", true).unwrap_err().to_string();
            assert!(said.contains("Unknown/invalid partition: "), "{said}");
        }
        assert!(check_named("Store.Partition.second.Path", "/x", false).is_ok());
    }

    #[test]
    fn listed_values_read_back() {
        for value in ["", "a", "a b", "say \"hi\" \\ x", "%h %p", "cn=x", "/a/b", "$$"] {
            assert_eq!(unlisted(&listed(value)).as_deref(), Some(value));
        }
        assert_eq!(listed("20030315011827Z"), "20030315011827Z");
        assert_eq!(listed("%h %p service (%P %V)"), "\"%h %p service (%P %V)\"");
        assert_eq!(unlisted("\"open"), None);
        assert_eq!(unlisted("\"a\" b"), None);
    }
}
