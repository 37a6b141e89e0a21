//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 section 3). Lists hold the nine letters of RFC 2086; on the wire `c` stands with `k`
//! and `x`, `d` with `t` and `e` (section 2.1.1).

use crate::log::{self, Category};
use crate::ops::acl;
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::place::denied;
use crate::protocol::imap::respond;
use crate::protocol::imap::session::Session;
use crate::store::{AclChange, Rights};
use crate::text::quote;

/// Any of these shows that the mailbox is there (RFC 4314 section 4, "Any").
const ANY: Rights =
    Rights::LOOKUP.with(Rights::READ).with(Rights::INSERT).with(Rights::CREATE).with(Rights::ADMINISTER);
/// What can be granted, in the order in which it is listed: pairs are tied (RFC 4314 sections 2.1.1 and 3.7).
const GRANTS: [&str; 11] = ["l", "r", "s", "w", "i", "p", "kx", "c", "te", "d", "a"];

/// Changes the entry of an identifier.
///
/// # Errors
/// NO: there is no such mailbox, or the user may not administer it; BAD: that is no identifier.
pub fn set(session: &mut Session, name: &str, identifier: &str, change: AclChange) -> Answered {
    let identifier = canonical(session, identifier)?;
    let (place, folder) = session.found(name, Rights::ADMINISTER)?;
    let gives = matches!(change, AclChange::Replace(rights) | AclChange::Add(rights) if rights != Rights::NONE);
    if gives && is_restricted(session, &identifier) {
        return Err(denied());
    }
    let changed = session.store.change_acl(place.account, folder.id, &identifier, change)?;
    if let Some(line) = acl::change_line(session.userid().unwrap_or_default(), &identifier, &changed) {
        log::notice(Category::Store, line);
    }
    Ok(Answer::completed())
}

/// Takes the entry of an identifier away; one that is not there is gone already.
///
/// # Errors
/// As [`set`].
pub fn delete(session: &mut Session, name: &str, identifier: &str) -> Answered {
    set(session, name, identifier, AclChange::Replace(Rights::NONE))
}

/// Writes the list.
///
/// # Errors
/// NO: there is no such mailbox, or the user may not administer it.
pub fn get(session: &mut Session, name: &str, out: &mut Vec<u8>) -> Answered {
    let (place, folder) = session.found(name, Rights::ADMINISTER)?;
    begin(session, "ACL", &place.name, out);
    for entry in &folder.acl.0 {
        out.push(b' ');
        quote::string(out, entry.identifier.as_bytes());
        respond::text(out, &format!(" {}", letters(entry.rights)));
    }
    respond::text(out, "\r\n");
    Ok(Answer::completed())
}

/// Writes what an identifier can be granted. The identifier comes back as it was sent (RFC 4314 section 3.4).
///
/// # Errors
/// As [`set`].
pub fn list_rights(session: &mut Session, name: &str, identifier: &str, out: &mut Vec<u8>) -> Answered {
    let userid = canonical(session, identifier)?;
    let (place, _) = session.found(name, Rights::ADMINISTER)?;
    let owner = session.store.view(place.account)?.account()?.userid;
    let always = owner == userid || session.server.admins.contains(&userid);
    begin(session, "LISTRIGHTS", &place.name, out);
    out.push(b' ');
    quote::string(out, identifier.as_bytes());
    respond::text(out, if always { " la" } else { " \"\"" });
    let grants: &[&str] = if is_restricted(session, &userid) { &[] } else { &GRANTS };
    for grant in grants.iter().filter(|grant| !always || !matches!(**grant, "l" | "a")) {
        respond::text(out, &format!(" {grant}"));
    }
    respond::text(out, "\r\n");
    Ok(Answer::completed())
}

/// Writes what the user himself may do.
///
/// # Errors
/// NO: there is no such mailbox that he may know of.
pub fn my_rights(session: &mut Session, name: &str, out: &mut Vec<u8>) -> Answered {
    let (place, folder) = session.found(name, ANY)?;
    let rights = session.store.rights(place.account, &folder);
    write_my_rights(&session.shown(&place.name), rights, out);
    Ok(Answer::completed())
}

/// `* MYRIGHTS name rights`; `shown` is how the client is told the name.
pub(super) fn write_my_rights(shown: &str, rights: Rights, out: &mut Vec<u8>) {
    respond::text(out, "* MYRIGHTS ");
    respond::mailbox(out, shown);
    respond::text(out, &format!(" {}\r\n", letters(rights)));
}

fn begin(session: &Session, word: &str, name: &str, out: &mut Vec<u8>) {
    respond::text(out, &format!("* {word} "));
    respond::mailbox(out, &session.shown(name));
}

/// Rights as they go over the wire: those of RFC 4314, and the two of RFC 2086 that were split.
fn letters(rights: Rights) -> String {
    let rights = rights.to_string().replace('c', "kxc").replace('d', "ted");
    if rights.is_empty() { "\"\"".to_owned() } else { rights }
}

/// The identifier as lists hold it (RFC 4314 section 3: one that is none is BAD).
fn canonical(session: &Session, identifier: &str) -> Result<String, Answer> {
    acl::identifier(identifier, session.server.default_domain.as_deref())
        .map_err(|why| Answer::bad(format!("Invalid identifier: {}", why.escape_debug())))
}

/// Rights for everybody, and only administrators may give them (`store.privatesharedfolders.restrictanyone`).
fn is_restricted(session: &Session, identifier: &str) -> bool {
    let everybody = identifier == "anyone" || identifier.starts_with("anyone@");
    everybody && session.server.restrict_anyone && !session.is_admin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_both_documents_go_out() {
        let wire = |text| letters(Rights::parse(text).unwrap());
        assert_eq!(wire("lrswipcda"), "lrswipkxcteda");
        assert_eq!((wire("lrd"), wire("c"), wire("")), ("lrted".into(), "kxc".into(), "\"\"".into()));
        // What goes out comes in as the same.
        assert_eq!(GRANTS.concat().len(), letters(Rights::ALL).len());
    }
}
