//! SETACL, DELETEACL and LISTRIGHTS (RFC 4314 section 3).

use super::command::{Bad, Command, What};
use super::cursor::{Cursor, Parsed};
use crate::store::{AclChange, Rights};

/// `mailbox identifier rights`, with `+` or `-` before the rights.
pub(super) fn set(c: &mut Cursor<'_>) -> Parsed<Command> {
    let (mailbox, identifier) = entry(c)?;
    c.space()?;
    let change = change(&c.astring_text()?).ok_or_else(|| c.invalid(What::Rights))?;
    Ok(Command::SetAcl { mailbox, identifier, change })
}

pub(super) fn delete(c: &mut Cursor<'_>) -> Parsed<Command> {
    let (mailbox, identifier) = entry(c)?;
    Ok(Command::DeleteAcl { mailbox, identifier })
}

pub(super) fn list_rights(c: &mut Cursor<'_>) -> Parsed<Command> {
    let (mailbox, identifier) = entry(c)?;
    Ok(Command::ListRights { mailbox, identifier })
}

/// A mailbox and an identifier, which is not empty (RFC 4314 section 3).
fn entry(c: &mut Cursor<'_>) -> Parsed<(String, String)> {
    c.space()?;
    let mailbox = c.mailbox()?;
    c.space()?;
    let identifier = c.astring_text()?;
    if identifier.is_empty() {
        return Err(Bad::Invalid { what: What::Identifier, command: c.command() });
    }
    Ok((mailbox, identifier))
}

/// `None`: a letter that is no right. All are small ones, and there are no others (RFC 4314 section 3.1).
fn change(text: &str) -> Option<AclChange> {
    if let Some(more) = text.strip_prefix('+') {
        return granted(more).map(AclChange::Add);
    }
    match text.strip_prefix('-') {
        Some(less) => touched(less).map(AclChange::Remove),
        None => granted(text).map(AclChange::Replace),
    }
}

/// `c` is `k` and `x`, `d` is `t` and `e` (RFC 4314 section 2.1.1), each pair one right here: it is granted when all of it is named, as section 2
/// demands.
fn granted(letters: &str) -> Option<Rights> {
    let pair = |one, other, both| if letters.contains(one) && letters.contains(other) { both } else { Rights::NONE };
    let whole = Rights::parse(&letters.replace(['k', 'x', 't', 'e'], ""))?;
    Some(whole.with(pair('k', 'x', Rights::CREATE)).with(pair('t', 'e', Rights::DELETE)))
}

/// What is taken away goes with what it is tied to.
fn touched(letters: &str) -> Option<Rights> {
    Rights::parse(&letters.replace(['k', 'x'], "c").replace(['t', 'e'], "d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_are_tied_are_granted_together_and_go_together() {
        let rights = |text| Rights::parse(text).unwrap();
        for (text, expected) in [
            ("lrswipkxtea", AclChange::Replace(rights("lrswipcda"))),
            ("lrswicda", AclChange::Replace(rights("lrswicda"))),
            ("lrk", AclChange::Replace(rights("lr"))),
            ("lrkt", AclChange::Replace(rights("lr"))),
            ("ckd", AclChange::Replace(rights("cd"))),
            ("+et", AclChange::Add(rights("d"))),
            ("+e", AclChange::Add(Rights::NONE)),
            ("-e", AclChange::Remove(rights("d"))),
            ("-xl", AclChange::Remove(rights("lc"))),
            ("", AclChange::Replace(Rights::NONE)),
            ("+", AclChange::Add(Rights::NONE)),
        ] {
            assert_eq!(change(text), Some(expected), "{text}");
        }
        for bad in ["lrQ", "lrq", "L", "0", "+-l", "--l", "n", "l r", "\u{e9}"] {
            assert_eq!(change(bad), None, "{bad}");
        }
    }
}
