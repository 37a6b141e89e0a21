//! LIST (RFC 3501 section 6.3.8) with the attributes of RFC 3348 (CHILDREN).

use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::Session;
use crate::text::wildcard::Wildcard;

/// Bytes of a pattern: no name is longer, and the time of a match is pattern times name.
const PATTERN: usize = 64 * 256;

/// The pattern that a reference and a name of a command make (RFC 3501 section 6.3.8).
///
/// # Errors
/// NO: it is longer than any name.
pub(super) fn whole(reference: &str, pattern: &str) -> Result<String, Answer> {
    if reference.len().saturating_add(pattern.len()) > PATTERN {
        return Err(Answer::no_with(Code::Limit, "Pattern too long"));
    }
    Ok(format!("{reference}{pattern}"))
}

/// Writes the mailboxes that match.
///
/// # Errors
/// NO: the pattern is too long; what the store says.
pub fn run(session: &mut Session, reference: &str, pattern: &str, out: &mut Vec<u8>) -> Answered {
    if pattern.is_empty() {
        // The root of the reference: every reference has the same.
        respond::list(out, "LIST", &["\\Noselect"], "");
        return Ok(Answer::completed());
    }
    let account = session.account()?;
    let wildcard = Wildcard::list(&whole(reference, pattern)?);
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
