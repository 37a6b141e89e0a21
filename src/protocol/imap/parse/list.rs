//! LIST (RFC 3501 section 6.3.8) with the options of RFC 5258 (LIST-EXTENDED), RFC 6154 (SPECIAL-USE), RFC 5819 (LIST-STATUS) and RFC 8440
//! (LIST-MYRIGHTS).

use super::command::{Bad, Command, StatusItem, What};
use super::cursor::{Cursor, Parsed};
use super::status_items;

/// The arguments of LIST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The reference, to be put before each pattern.
    pub reference: String,
    /// One pattern or more; a name is listed if it matches any.
    pub patterns: Vec<String>,
    /// True for a command that only RFC 5258 knows: with selection options, return options or patterns in parentheses, be they empty.
    pub extended: bool,
    /// Which names are wanted.
    pub selection: Selection,
    /// What is wanted of each.
    pub returns: Returns,
}

/// Selection options: a name must satisfy all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Selection {
    pub subscribed: bool,
    pub special_use: bool,
    /// Also the names on other servers.
    pub remote: bool,
    /// RECURSIVEMATCH: also the names above those that satisfy the others.
    pub recursive: bool,
}

/// Return options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Returns {
    pub subscribed: bool,
    pub children: bool,
    pub special_use: bool,
    /// The rights of the user (RFC 8440 section 3).
    pub my_rights: bool,
    /// Data items of a STATUS response; empty: none is wanted.
    pub status: Vec<StatusItem>,
}

/// More patterns than any client sends; each is matched with each name.
pub const PATTERNS: usize = 64;

pub(super) fn command(c: &mut Cursor<'_>) -> Parsed<Command> {
    let mut listing = Listing::default();
    c.space()?;
    if c.peek() == Some(b'(') {
        listing.extended = true;
        listing.selection = selection(c)?;
        c.space()?;
    }
    listing.reference = c.astring_text()?;
    c.space()?;
    if c.peek() == Some(b'(') {
        listing.extended = true;
        listing.patterns = patterns(c)?;
    } else {
        listing.patterns = vec![c.list_mailbox()?];
    }
    if c.has_more() {
        listing.extended = true;
        c.space()?;
        if !c.atom(What::ListOption)?.eq_ignore_ascii_case("RETURN") {
            return Err(Bad::Extra(c.command()));
        }
        c.space()?;
        listing.returns = returns(c)?;
    }
    Ok(Command::List(listing))
}

fn patterns(c: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    let mut left = PATTERNS;
    let patterns = c.list(|c| {
        left = left.checked_sub(1).ok_or(Bad::TooMany(c.command()))?;
        c.list_mailbox()
    })?;
    if patterns.is_empty() { Err(c.invalid(What::Mailbox)) } else { Ok(patterns) }
}

fn selection(c: &mut Cursor<'_>) -> Parsed<Selection> {
    let mut selection = Selection::default();
    c.list(|c| {
        match c.atom(What::ListOption)?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => selection.subscribed = true,
            "SPECIAL-USE" => selection.special_use = true,
            "REMOTE" => selection.remote = true,
            "RECURSIVEMATCH" => selection.recursive = true,
            _ => return Err(c.invalid(What::ListOption)),
        }
        Ok(())
    })?;
    if selection.recursive && !selection.subscribed && !selection.special_use {
        return Err(Bad::Recursive(c.command()));
    }
    Ok(selection)
}

fn returns(c: &mut Cursor<'_>) -> Parsed<Returns> {
    let mut returns = Returns::default();
    c.list(|c| {
        match c.atom(What::ListOption)?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => returns.subscribed = true,
            "CHILDREN" => returns.children = true,
            "SPECIAL-USE" => returns.special_use = true,
            "MYRIGHTS" => returns.my_rights = true,
            "STATUS" => {
                c.space()?;
                // An option counts once, however often it is sent: the items of all together.
                for item in status_items(c)? {
                    if !returns.status.contains(&item) {
                        returns.status.push(item);
                    }
                }
            }
            _ => return Err(c.invalid(What::ListOption)),
        }
        Ok(())
    })?;
    Ok(returns)
}
