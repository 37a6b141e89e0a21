//! LIST (RFC 3501 section 6.3.8) with attributes for children (RFC 3348) and special uses (RFC 6154), the extended form of RFC 5258, and STATUS
//! (RFC 5819) and MYRIGHTS (RFC 8440) with it. The whole answer is of one snapshot.

mod shared;

use std::collections::{BTreeMap, HashSet};

use super::acl::write_my_rights;
use super::status;
use crate::log::{self, Category};
use crate::protocol::imap::answer::{Answer, Answered};
use crate::protocol::imap::parse::{Listing, Selection};
use crate::protocol::imap::place::SHARED;
use crate::protocol::imap::respond::{self, Code};
use crate::protocol::imap::session::Session;
use crate::store::{AccountId, Folder, FolderPath, Rights, StoreError, View};
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

/// The patterns of a command, ready; empty ones match nothing (RFC 5258 section 3). All together are not longer than one may be.
fn wildcards(session: &Session, listing: &Listing) -> Result<Vec<Wildcard>, Answer> {
    let mut bytes = 0usize;
    let mut found = Vec::new();
    for pattern in listing.patterns.iter().filter(|pattern| !pattern.is_empty()) {
        let pattern = whole(&listing.reference, pattern)?;
        bytes = bytes.saturating_add(pattern.len());
        if bytes > PATTERN {
            return Err(Answer::no_with(Code::Limit, "Patterns too long"));
        }
        found.extend(session.normal_form(&pattern).map(|pattern| Wildcard::list(&pattern)));
        found.push(Wildcard::list(&pattern));
    }
    Ok(found)
}

/// A name that may be listed.
struct Name {
    path: FolderPath,
    text: String,
    /// `None`: there is no such folder.
    folder: Option<Folder>,
    /// Whose it is, where that is somebody else.
    owner: Option<AccountId>,
    subscribed: bool,
    has_children: bool,
    /// It satisfies the selection options.
    selected: bool,
    /// A pattern matches it.
    matched: bool,
    /// Some name below it satisfies the selection options.
    selected_below: bool,
    /// Some name below it does, and no pattern matches that one.
    hidden_below: bool,
}

impl Name {
    fn new(path: FolderPath, folder: Option<Folder>) -> Name {
        Name {
            text: path.to_string(),
            path,
            folder,
            owner: None,
            subscribed: false,
            has_children: false,
            selected: false,
            matched: false,
            selected_below: false,
            hidden_below: false,
        }
    }

    fn satisfies(&self, selection: Selection) -> bool {
        let exists = self.folder.is_some();
        let special = self.folder.as_ref().is_some_and(|folder| !folder.special_use.is_empty());
        (self.subscribed || (exists && !selection.subscribed)) && (special || !selection.special_use)
    }

    /// The folder, if it can be selected.
    fn mailbox(&self) -> Option<&Folder> {
        self.folder.as_ref().filter(|folder| !folder.noselect)
    }
}

/// Writes the mailboxes that match.
///
/// # Errors
/// NO: a pattern is too long; what the store says.
pub fn run(session: &mut Session, listing: &Listing, out: &mut Vec<u8>) -> Answered {
    if !listing.extended && listing.patterns.iter().all(String::is_empty) {
        // The root of the reference: every reference has the same.
        respond::list(out, "LIST", &["\\Noselect"], "");
        return Ok(Answer::completed());
    }
    let account = session.account()?;
    let wildcards = wildcards(session, listing)?;
    let view = session.store.view(account)?;
    let mut names = names(
        session,
        &view,
        listing,
        wildcards.iter().any(|pattern| pattern.matches(SHARED) || pattern.may_match_below(SHARED)),
    )?;
    for name in &mut names {
        name.selected = name.satisfies(listing.selection);
        // In the form in which the client writes names: modified UTF-7 cannot be cut anywhere.
        let shown = session.shown(&name.text);
        name.matched = wildcards.iter().any(|wildcard| wildcard.matches(&shown));
    }
    if listing.selection.recursive {
        look_below(&mut names);
    }
    for name in names.iter().filter(|name| name.matched && (name.selected || name.hidden_below)) {
        let shown = session.shown(&name.text);
        write(name, &shown, listing, out);
        let Some(folder) = name.mailbox().filter(|_| name.selected) else { continue };
        let owner = name.owner.unwrap_or(account);
        let rights = session.store.rights(owner, folder);
        if listing.returns.my_rights {
            write_my_rights(&shown, rights, out);
        }
        if !listing.returns.status.is_empty() && rights.contains(Rights::READ) {
            // One that cannot be read is left out (RFC 5819 section 2).
            let other = name.owner.map(|owner| session.store.view(owner)).transpose()?;
            let view = other.as_ref().unwrap_or(&view);
            match status::values(&session.server, view, owner, folder, &listing.returns.status) {
                Ok(values) => respond::mailbox_status(out, &shown, &values),
                Err(error) => log::error(Category::Store, format!("status of {}: {error}", name.text)),
            }
        }
    }
    Ok(Answer::completed())
}

/// Every name that the selection options could mean, depth first: the folders; where subscriptions select, also those that are subscribed to and are not
/// there; with RECURSIVEMATCH also the missing ones above these. Folders of others come last, where they can match.
fn names(session: &Session, view: &View<'_>, listing: &Listing, others: bool) -> Result<Vec<Name>, StoreError> {
    let mut names: Vec<Name> =
        view.folders()?.into_iter().map(|(path, folder)| Name::new(path, Some(folder))).collect();
    if others && session.server.lists_shared {
        names.extend(shared::names(session)?);
    }
    for at in 1..names.len() {
        if let Some([above, below]) = names.get_mut(at - 1..=at) {
            // Depth first: a child stands right behind its parent.
            above.has_children = below.path.starts_with(&above.path);
        }
    }
    if !listing.selection.subscribed && !listing.returns.subscribed {
        return Ok(names);
    }
    let subscriptions: HashSet<String> = view.subscriptions()?.into_iter().collect();
    for name in &mut names {
        name.subscribed = subscriptions.contains(&name.text);
    }
    if !listing.selection.subscribed {
        return Ok(names);
    }
    let there: HashSet<&str> = names.iter().map(|name| name.text.as_str()).collect();
    let mut missing: BTreeMap<FolderPath, bool> = BTreeMap::new();
    for name in subscriptions.iter().filter(|name| !there.contains(name.as_str())) {
        // A name that is none was subscribed to by nobody.
        let Ok(path) = FolderPath::parse(name) else { continue };
        let mut above = path.parent().filter(|_| listing.selection.recursive);
        while let Some(path) = above.filter(|path| !there.contains(path.to_string().as_str())) {
            above = path.parent();
            missing.entry(path).or_insert(false);
        }
        missing.insert(path, true);
    }
    if !missing.is_empty() {
        for (path, subscribed) in missing {
            let there = if subscribed { shared::subscribed(session, &path)? } else { None };
            names.push(Name { subscribed, ..there.unwrap_or_else(|| Name::new(path, None)) });
        }
        let inbox = |path: &FolderPath| path.components().first().is_some_and(|first| first == "INBOX");
        names.sort_by(|a, b| (!inbox(&a.path), &a.path).cmp(&(!inbox(&b.path), &b.path)));
    }
    Ok(names)
}

/// Tells the names above each selected one of it. At most one step for each level of each name.
fn look_below(names: &mut [Name]) {
    let mut above: Vec<usize> = Vec::new();
    for at in 0..names.len() {
        let Some((before, Some(name))) = names.split_at_mut_checked(at).map(|(before, rest)| (before, rest.first()))
        else {
            return;
        };
        while above.last().and_then(|parent| before.get(*parent)).is_some_and(|last| !name.path.starts_with(&last.path))
        {
            above.pop();
        }
        if name.selected {
            for parent in &above {
                if let Some(parent) = before.get_mut(*parent) {
                    parent.selected_below = true;
                    parent.hidden_below |= !name.matched;
                }
            }
        }
        above.push(at);
    }
}

/// Writes the LIST response of a name; `shown` is how the client is told it.
fn write(name: &Name, shown: &str, listing: &Listing, out: &mut Vec<u8>) {
    let (plain, returns, selection) = (!listing.extended, &listing.returns, listing.selection);
    let mut attributes = Vec::new();
    match &name.folder {
        None => attributes.push("\\NonExistent"),
        Some(folder) if folder.noselect => attributes.push("\\Noselect"),
        Some(_) => {}
    }
    if name.subscribed {
        attributes.push("\\Subscribed");
    }
    if plain || returns.children {
        attributes.push(if name.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
    }
    if let Some(folder) = name.folder.as_ref().filter(|_| plain || returns.special_use || selection.special_use) {
        attributes.extend(folder.special_use.attributes());
    }
    let mut criteria = Vec::new();
    if selection.recursive && name.selected_below {
        criteria.extend(selection.subscribed.then_some("SUBSCRIBED"));
        criteria.extend(selection.special_use.then_some("SPECIAL-USE"));
    }
    respond::list_with_children(out, &attributes, shown, &criteria);
}
