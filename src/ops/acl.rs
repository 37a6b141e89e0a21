//! Identifiers of access control lists as people write them: one form for whoever changes a list.

use crate::directory::{canonical_userid, check_userid};
use crate::store::{AclChanged, Rights};

/// An identifier in the form in which lists hold it: small letters, users of the default domain without it.
///
/// # Errors
/// A sentence about a text that is none: it must be a userid, `anyone`, `anyone@DOMAIN`, `anonymous` or `group=NAME`, perhaps behind one `-`.
pub fn identifier(text: &str, default_domain: Option<&str>) -> Result<String, String> {
    let (minus, name) = text.strip_prefix('-').map_or(("", text), |name| ("-", name));
    let lower = name.to_lowercase();
    if name.len() > 256 || name.chars().any(char::is_control) {
        return Err("it is too long or has control characters".to_owned());
    }
    let plain = match (lower.as_str(), lower.strip_prefix("anyone@"), lower.strip_prefix("group=")) {
        ("anyone" | "anonymous", ..) => true,
        (_, Some(rest), _) | (_, _, Some(rest)) if rest.trim() != rest || rest.is_empty() => {
            return Err(format!("{name:?} names no domain or group"));
        }
        (_, Some(_), _) | (_, _, Some(_)) => true,
        _ => false,
    };
    if plain {
        return Ok(format!("{minus}{lower}"));
    }
    let userid = canonical_userid(name, default_domain);
    check_userid(&userid)?;
    Ok(format!("{minus}{userid}"))
}

/// The line of the log about a change: `acl: joe at user/joe/Work: fred lrs (was lr)`. `None`: nothing changed.
pub fn change_line(who: &str, identifier: &str, changed: &AclChanged) -> Option<String> {
    let AclChanged { mailbox, before, after } = changed;
    let shown = |rights: &Rights| if *rights == Rights::NONE { "nothing".to_owned() } else { rights.to_string() };
    (before != after).then(|| format!("acl: {who} at {mailbox}: {identifier} {} (was {})", shown(after), shown(before)))
}

#[cfg(test)]
mod tests {
    use super::identifier;

    #[test]
    fn one_form_for_each() {
        let form = |text| identifier(text, Some("example.org"));
        for (text, expected) in [
            ("Joe@Example.ORG", "joe"),
            ("-JOE", "-joe"),
            ("fred@other.org", "fred@other.org"),
            ("Anyone", "anyone"),
            ("-anyone@Sesta", "-anyone@sesta"),
            ("group=Lee Staff@siroe.com", "group=lee staff@siroe.com"),
            ("anonymous", "anonymous"),
        ] {
            assert_eq!(form(text).as_deref(), Ok(expected), "{text}");
        }
        for bad in
            ["", "-", "--joe", "anyone@", "group=", "group= x", "a/b", "jo\u{7}e", "j\u{f6}", "anyone@example.org@x@"]
        {
            let checked = form(bad);
            assert!(checked.is_err() || bad.starts_with("anyone@e"), "{bad}: {checked:?}");
        }
        assert!(form(&"x".repeat(300)).is_err());
    }
}
