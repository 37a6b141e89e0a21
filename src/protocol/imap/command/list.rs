//! LIST (RFC 3501 section 6.3.8) with the attributes of RFC 3348 (CHILDREN).

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond;
use crate::protocol::imap::session::Session;
use crate::text::wildcard::Wildcard;

/// Writes the mailboxes that match.
///
/// # Errors
/// What the store says.
pub fn run(session: &mut Session, reference: &str, pattern: &str, out: &mut Vec<u8>) -> Answered {
    if pattern.is_empty() {
        // The root of the reference: every reference has the same.
        respond::list(out, "LIST", &["\\Noselect"], "");
        return Ok(Answer::completed());
    }
    let account = session.account()?;
    let wildcard = Wildcard::list(&format!("{reference}{pattern}"));
    let folders = session.server.store.view(account)?.folders()?;
    for (at, (path, folder)) in folders.iter().enumerate() {
        let name = path.to_string();
        if !wildcard.matches(&name) {
            continue;
        }
        // Depth first: a child stands right behind its parent.
        let parent = folders.get(at + 1).is_some_and(|(next, _)| next.starts_with(path));
        let mut attributes = Vec::new();
        if folder.noselect {
            attributes.push("\\Noselect");
        }
        attributes.push(if parent { "\\HasChildren" } else { "\\HasNoChildren" });
        respond::list(out, "LIST", &attributes, &name);
    }
    Ok(Answer::completed())
}
