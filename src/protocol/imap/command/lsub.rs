//! LSUB (RFC 3501 section 6.3.9).

use std::collections::{BTreeMap, HashSet};

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::place::SHARED;
use crate::protocol::imap::respond;
use crate::protocol::imap::session::Session;
use crate::store::Rights;
use crate::text::wildcard::Wildcard;

/// Writes the subscribed names that match; with `%` also the names above them, as `\Noselect`.
///
/// # Errors
/// NO: the pattern is too long; what the store says.
pub fn run(session: &mut Session, reference: &str, pattern: &str, out: &mut Vec<u8>) -> Answered {
    if pattern.is_empty() {
        respond::list(out, "LSUB", &["\\Noselect"], "");
        return Ok(Answer::completed());
    }
    let account = session.account()?;
    let view = session.store.view(account)?;
    // In the form in which the client writes names.
    let shown = |name: String| session.shown(&name).into_owned();
    let subscriptions = view.subscriptions()?;
    let shared = subscriptions.iter().filter(|name| name.starts_with(SHARED));
    let shared: Vec<String> =
        shared.filter(|name| session.found(name, Rights::LOOKUP).is_ok()).cloned().map(shown).collect();
    let names: Vec<String> = subscriptions.into_iter().map(shown).collect();
    let there: HashSet<String> = view
        .folders()?
        .into_iter()
        .filter(|(_, folder)| !folder.noselect)
        .map(|(path, _)| shown(path.to_string()))
        .chain(shared)
        .collect();
    drop(view);
    let pattern = super::list::whole(reference, pattern)?;
    for (name, subscribed) in matching(&names, &pattern) {
        let selectable = subscribed && there.contains(&name);
        respond::list(out, "LSUB", if selectable { &[] } else { &["\\Noselect"] }, &name);
    }
    Ok(Answer::completed())
}

/// The names that match, in order; false for one that only stands above a subscribed name.
fn matching(names: &[String], pattern: &str) -> BTreeMap<String, bool> {
    let wildcard = Wildcard::list(pattern);
    let mut found = BTreeMap::new();
    for name in names {
        if wildcard.matches(name) {
            found.insert(name.clone(), true);
        }
        if pattern.contains('%') {
            for (at, _) in name.match_indices('/') {
                let above = name.get(..at).unwrap_or_default();
                if wildcard.matches(above) {
                    found.entry(above.to_owned()).or_insert(false);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::matching;

    #[test]
    fn percent_shows_superiors() {
        let names = ["Work/2004".to_owned(), "Sent".to_owned(), "Sent/old".to_owned()];
        let found = |pattern: &str| matching(&names, pattern).into_iter().collect::<Vec<_>>();
        assert_eq!(found("%"), [("Sent".to_owned(), true), ("Work".to_owned(), false)]);
        assert_eq!(found("*").len(), 3);
        assert_eq!(found("Work"), []);
    }
}
