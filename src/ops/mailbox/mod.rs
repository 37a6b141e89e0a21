//! **Here**: what mboxutil does: mailboxes by name and by pattern, and changes of them as a plan that is shown or carried out.
//! **Not here**: columns, options, exit codes (`cli::mboxutil`); how a change is made durable (`store`).
//! **Start**: [`each_account`] for listings, [`change::Mailboxes`] for changes.
//! **Rules**: no snapshot is open while a visitor runs; a dry run and a real one make the same plan.
//! **Sources**: AdminRef mboxutil; decisions in docs/tools/mboxutil.md.

pub mod change;

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::store::{Account, AccountId, Folder, FolderPath, Kind, MailboxName, NameError, Store, StoreError, layout};
use crate::text::pattern::{Ere, PatternError};
use crate::text::utf7;
use crate::text::wildcard::Wildcard;

/// The first level of INBOX and of the folders below it.
const INBOX: &str = "INBOX";

/// Reads the name of a mailbox as a person writes it: folder names in UTF-8, or in the modified UTF-7 of the protocol. A name that is
/// printable ASCII and well-formed modified UTF-7 is taken as that.
///
/// # Errors
/// [`NameError`] says which rule the name breaks.
pub fn read_name(text: &str) -> Result<MailboxName, NameError> {
    // Before the encoding would hide it: a line feed or an escape sequence is no part of a name.
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Err(NameError::Character(bad));
    }
    let mut parts = text.splitn(3, '/');
    let (Some(root), Some(owner), Some(folder)) = (parts.next(), parts.next(), parts.next()) else {
        return MailboxName::parse(text);
    };
    let folder: Vec<String> = folder.split('/').map(wire_form).collect();
    MailboxName::parse(&format!("{root}/{owner}/{}", folder.join("/")))
}

fn wire_form(component: &str) -> String {
    if utf7::decode(component.as_bytes()).is_some() { component.to_owned() } else { utf7::encode(component) }
}

/// The name of a mailbox for a person, in UTF-8; [`read_name`] reads it back. A component whose UTF-8 form would be read as another name,
/// or could not be seen, stays in modified UTF-7.
pub fn show_name(owner: &str, folder: &FolderPath) -> String {
    let mut name = format!("user/{owner}");
    for component in folder.components() {
        name.push('/');
        let shown = utf7::decode(component.as_bytes())
            .filter(|text| !text.contains(|c: char| c.is_control() || c == '/'))
            .filter(|text| wire_form(text) == *component);
        name.push_str(shown.as_deref().unwrap_or(component));
    }
    name
}

/// Which mailboxes are meant.
#[derive(Debug, Clone)]
pub struct Selection {
    pattern: Pattern,
    /// The pattern is compared with names in UTF-8, because it holds other than ASCII.
    local: bool,
}

#[derive(Debug, Clone)]
enum Pattern {
    All,
    Wildcard(Wildcard),
    Regex(Ere),
}

impl Selection {
    /// Every mailbox.
    pub fn all() -> Selection {
        Selection { pattern: Pattern::All, local: false }
    }

    /// Names that a pattern such as `user/usr44*` matches as a whole: `*` any characters, `%` any but `/`, `?` one. It is in modified
    /// UTF-7 when it is ASCII.
    pub fn wildcard(pattern: &str) -> Selection {
        Selection { pattern: Pattern::Wildcard(Wildcard::tool(pattern)), local: !pattern.is_ascii() }
    }

    /// Names that a POSIX extended regular expression matches as a whole.
    ///
    /// # Errors
    /// The expression is wrong.
    pub fn regex(pattern: &str) -> Result<Selection, PatternError> {
        Ok(Selection { pattern: Pattern::Regex(Ere::whole(pattern)?), local: !pattern.is_ascii() })
    }

    /// Whether a mailbox is meant.
    pub fn takes(&self, owner: &str, folder: &FolderPath) -> bool {
        self.matches(&self.name(owner, folder))
    }

    /// The same where INBOX may also have been written `inbox` or `Inbox`.
    pub fn takes_any_inbox(&self, owner: &str, folder: &FolderPath) -> bool {
        if self.takes(owner, folder) {
            return true;
        }
        if folder.components().first().is_none_or(|first| first != INBOX) {
            return false;
        }
        let name = self.name(owner, folder);
        let home = format!("user/{owner}/");
        let below = name.get(home.len() + INBOX.len()..).unwrap_or_default();
        ["inbox", "Inbox"].into_iter().any(|first| self.matches(&format!("{home}{first}{below}")))
    }

    /// The name that the pattern is compared with.
    fn name(&self, owner: &str, folder: &FolderPath) -> String {
        if self.local { show_name(owner, folder) } else { format!("user/{owner}/{folder}") }
    }

    fn matches(&self, name: &str) -> bool {
        match &self.pattern {
            Pattern::All => true,
            Pattern::Wildcard(wildcard) => wildcard.matches(name),
            Pattern::Regex(regex) => regex.is_match(name.as_bytes()),
        }
    }

    /// False when no mailbox of this owner can be meant.
    fn may_take_of(&self, owner: &str) -> bool {
        let Pattern::Wildcard(wildcard) = &self.pattern else {
            return true;
        };
        let prefix = wildcard.literal_prefix();
        let home = format!("user/{owner}/");
        prefix.starts_with(&home) || home.starts_with(&prefix)
    }
}

/// The mailboxes of one account that are meant.
#[derive(Debug)]
pub struct Found {
    /// The account.
    pub id: AccountId,
    /// Its row.
    pub account: Account,
    /// The mailboxes, INBOX first, then by name.
    pub folders: Vec<(FolderPath, Folder)>,
}

impl Found {
    /// The directory of one of its folders; `None` when the partition is not configured.
    pub fn directory(&self, store: &Store, path: &FolderPath, folder: &Folder) -> Option<PathBuf> {
        let partitions = &store.settings().partitions;
        let (_, partition) = partitions.iter().find(|(nickname, _)| *nickname == folder.partition)?;
        Some(partition.join(layout::folder_directory(&self.account.userid, path)))
    }
}

/// Calls `visit` for every account that has a mailbox that is meant, by user id, until it breaks. Accounts that cannot be read are left
/// out and returned with the reason.
///
/// # Errors
/// The list of accounts cannot be read.
pub fn each_account(
    store: &Store,
    selection: &Selection,
    visit: &mut dyn FnMut(Found) -> ControlFlow<()>,
) -> Result<Vec<(String, StoreError)>, StoreError> {
    let mut unreadable = Vec::new();
    for (userid, id) in store.accounts()? {
        if !selection.may_take_of(&userid) {
            continue;
        }
        let read = || -> Result<Found, StoreError> {
            let view = store.view(id)?;
            let account = view.account()?;
            let mut folders = view.folders()?;
            folders.retain(|(path, row)| !row.noselect && selection.takes(&account.userid, path));
            Ok(Found { id, account, folders })
        };
        match read() {
            Ok(found) if found.folders.is_empty() => {}
            Ok(found) => {
                if visit(found).is_break() {
                    break;
                }
            }
            // Deleted meanwhile.
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => unreadable.push((userid, error)),
        }
    }
    Ok(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> FolderPath {
        FolderPath::parse(text).unwrap()
    }

    #[test]
    fn names_are_read_and_shown() {
        for (text, stored, shown) in [
            ("user/joe/Entw\u{fc}rfe", "user/joe/Entw&APw-rfe", "user/joe/Entw\u{fc}rfe"),
            ("user/joe/Entw&APw-rfe", "user/joe/Entw&APw-rfe", "user/joe/Entw\u{fc}rfe"),
            ("user/joe/R&D", "user/joe/R&-D", "user/joe/R&D"),
            ("user/joe/R&-D", "user/joe/R&-D", "user/joe/R&D"),
            ("user/joe/&-APw-", "user/joe/&-APw-", "user/joe/&-APw-"),
            ("user/joe/&AAo-x", "user/joe/&AAo-x", "user/joe/&AAo-x"),
            ("user/joe", "user/joe/INBOX", "user/joe/INBOX"),
        ] {
            let name = read_name(text).unwrap();
            assert_eq!(name.to_string(), stored, "{text}");
            assert_eq!(show_name(&name.owner, &name.folder), shown, "{text}");
            assert_eq!(read_name(shown), Ok(name), "{shown}");
        }
        assert_eq!(read_name("user/joe/a\nb"), Err(NameError::Character('\n')));
        assert_eq!(read_name("user/joe/../x"), Err(NameError::Dot));
    }

    #[test]
    fn patterns_take_whole_names() {
        let wildcard = Selection::wildcard("user/usr44*");
        assert!(wildcard.takes("usr441", &FolderPath::inbox()) && !wildcard.takes("usr45", &FolderPath::inbox()));
        assert!(wildcard.may_take_of("usr44") && !wildcard.may_take_of("usr4"));
        let one = Selection::wildcard("user/joe/Work/%");
        assert!(one.takes("joe", &folder("Work/a")) && !one.takes("joe", &folder("Work/a/b")));
        assert!(one.may_take_of("joe") && !one.may_take_of("jo") && !one.may_take_of("joey"));
        let local = Selection::wildcard("user/%/Entw\u{fc}*");
        assert!(local.takes("joe", &folder("Entw&APw-rfe")));
        let regex = Selection::regex("user/[^@]*/.*").unwrap();
        assert!(regex.takes("joe", &folder("x")) && !regex.takes("joe@siroe.com", &folder("x")));
        assert!(!Selection::regex("joe").unwrap().takes("joe", &folder("x")));
        for pattern in [Selection::wildcard("user/joe/inbox"), Selection::regex("user/.*/Inbox").unwrap()] {
            let inbox = FolderPath::inbox();
            assert!(pattern.takes_any_inbox("joe", &inbox) && !pattern.takes("joe", &inbox));
            assert!(!pattern.takes_any_inbox("joe", &folder("Work/INBOX")));
        }
        assert!(Selection::wildcard("user/%/inbox/x").takes_any_inbox("joe", &folder("INBOX/x")));
    }
}
