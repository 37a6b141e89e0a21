//! Names of mailboxes: `user/joe/INBOX`, `user/joe@siroe.com/Work/2004`. Folder names are kept in modified UTF-7, as on the wire.

use std::fmt;

use super::layout;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum NameError {
    #[error("a mailbox name is empty or has an empty component")]
    Empty,
    #[error("\"{0}\" is not the name of a mailbox: it begins with user/USERID/")]
    NotUser(String),
    #[error("the character {0:?} is not allowed in a mailbox name")]
    Character(char),
    #[error("the character {0:?} is not allowed in a user id")]
    UserCharacter(char),
    #[error("the user id \"{0}\" is reserved")]
    Reserved(String),
    #[error("a component of a mailbox name takes {0} bytes on disk (the limit is 255)")]
    TooLong(usize),
    #[error("\".\" and \"..\" are not names of mailboxes")]
    Dot,
    #[error("a mailbox name has more than {0} levels")]
    TooDeep(usize),
}

/// As deep as folders may be nested.
pub const LEVELS: usize = 64;

/// The way from an account's root to a folder; never empty. INBOX is `["INBOX"]`, whatever case it was written in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderPath(Vec<String>);

/// A mailbox of the store: the owner's user id and the folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName {
    /// User id, `uid` or `uid@domain`.
    pub owner: String,
    /// The folder.
    pub folder: FolderPath,
}

impl FolderPath {
    /// INBOX.
    pub fn inbox() -> FolderPath {
        FolderPath(vec!["INBOX".to_owned()])
    }

    /// Reads a name such as `Work/2004`; one trailing separator is tolerated.
    ///
    /// # Errors
    /// [`NameError`] says which rule the name breaks.
    pub fn parse(name: &str) -> Result<FolderPath, NameError> {
        let name = name.strip_suffix('/').unwrap_or(name);
        let mut parts = Vec::new();
        for part in name.split('/') {
            check_component(part)?;
            let first_inbox = parts.is_empty() && part.eq_ignore_ascii_case("INBOX");
            parts.push(if first_inbox { "INBOX".to_owned() } else { part.to_owned() });
        }
        if parts.len() > LEVELS {
            return Err(NameError::TooDeep(LEVELS));
        }
        Ok(FolderPath(parts))
    }

    /// From components that were checked when they were stored.
    pub(crate) fn from_components(parts: Vec<String>) -> FolderPath {
        FolderPath(parts)
    }

    /// The components, outermost first.
    pub fn components(&self) -> &[String] {
        &self.0
    }

    /// The innermost component.
    pub fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// True for INBOX itself.
    pub fn is_inbox(&self) -> bool {
        matches!(self.0.as_slice(), [only] if only == "INBOX")
    }

    /// The folder above, if there is one.
    pub fn parent(&self) -> Option<FolderPath> {
        self.0.split_last().filter(|(_, above)| !above.is_empty()).map(|(_, above)| FolderPath(above.to_vec()))
    }

    /// A folder below.
    ///
    /// # Errors
    /// [`NameError`] for a component that breaks a rule.
    pub fn child(&self, component: &str) -> Result<FolderPath, NameError> {
        FolderPath::parse(&format!("{self}/{component}"))
    }

    /// True for `above` itself and everything below it.
    pub fn starts_with(&self, above: &FolderPath) -> bool {
        self.0.starts_with(&above.0)
    }
}

impl fmt::Display for FolderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl MailboxName {
    /// A user's INBOX.
    pub fn inbox(owner: &str) -> MailboxName {
        MailboxName { owner: owner.to_owned(), folder: FolderPath::inbox() }
    }

    /// Reads `user/USERID/FOLDER`. `User/` is accepted as the manual's examples write it; `user/USERID` alone is the INBOX.
    ///
    /// # Errors
    /// [`NameError`] says which rule the name breaks.
    pub fn parse(name: &str) -> Result<MailboxName, NameError> {
        let mut parts = name.splitn(3, '/');
        let root = parts.next().unwrap_or_default();
        let owner = parts.next().unwrap_or_default();
        if !root.eq_ignore_ascii_case("user") || owner.is_empty() {
            return Err(NameError::NotUser(name.to_owned()));
        }
        check_userid(owner)?;
        let folder = match parts.next() {
            None | Some("") => FolderPath::inbox(),
            Some(folder) => FolderPath::parse(folder)?,
        };
        Ok(MailboxName { owner: owner.to_owned(), folder })
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user/{}/{}", self.owner, self.folder)
    }
}

fn check_component(part: &str) -> Result<(), NameError> {
    if part.is_empty() {
        return Err(NameError::Empty);
    }
    if part == "." || part == ".." {
        return Err(NameError::Dot);
    }
    if let Some(bad) = part.chars().find(|c| !(' '..='~').contains(c) || matches!(c, '%' | '*' | '?' | '/')) {
        return Err(NameError::Character(bad));
    }
    let bytes = layout::directory_name(part).len();
    if bytes > 255 { Err(NameError::TooLong(bytes)) } else { Ok(()) }
}

/// Checks a user id (`uid` or `uid@domain`): printable ASCII without `% ? * & / : \`, not beginning with `-` or `group=`, not a reserved name.
///
/// # Errors
/// [`NameError`] says which rule it breaks.
pub fn check_userid(userid: &str) -> Result<(), NameError> {
    if userid.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(bad) =
        userid.chars().find(|c| !('!'..='~').contains(c) || matches!(c, '%' | '?' | '*' | '&' | '/' | ':' | '\\'))
    {
        return Err(NameError::UserCharacter(bad));
    }
    let uid = userid.split('@').next().unwrap_or_default();
    if userid.starts_with('-')
        || userid.starts_with("group=")
        || matches!(uid, "anonymous" | "anybody" | "anyone" | "" | "." | "..")
    {
        return Err(NameError::Reserved(userid.to_owned()));
    }
    let bytes = layout::directory_name(userid).len();
    if bytes > 255 { Err(NameError::TooLong(bytes)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_and_print() {
        for (text, printed) in [
            ("user/joe/INBOX", "user/joe/INBOX"),
            ("user/joe/inbox", "user/joe/INBOX"),
            ("user/joe", "user/joe/INBOX"),
            ("user/joe/", "user/joe/INBOX"),
            ("User/joe@siroe.com/Work/2004", "user/joe@siroe.com/Work/2004"),
            ("user/joe/inbox/Sub", "user/joe/INBOX/Sub"),
            ("user/joe/&AOk-t&AOk-", "user/joe/&AOk-t&AOk-"),
        ] {
            assert_eq!(MailboxName::parse(text).map(|name| name.to_string()), Ok(printed.to_owned()), "{text}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        assert_eq!(MailboxName::parse("user/joe/../x"), Err(NameError::Dot));
        assert_eq!(MailboxName::parse("user/joe/a//b"), Err(NameError::Empty));
        assert_eq!(MailboxName::parse("user/joe/a\u{1}"), Err(NameError::Character('\u{1}')));
        assert_eq!(MailboxName::parse("user/joe/a*"), Err(NameError::Character('*')));
        assert_eq!(MailboxName::parse("joe"), Err(NameError::NotUser("joe".into())));
        assert_eq!(MailboxName::parse("user/../x"), Err(NameError::Reserved("..".into())));
        assert!(matches!(MailboxName::parse(&format!("user/joe/{}", "x".repeat(300))), Err(NameError::TooLong(301))));
        assert!(matches!(MailboxName::parse(&format!("user/joe/{}", "X".repeat(130))), Err(NameError::TooLong(261))));
        assert_eq!(check_userid("anyone@x"), Err(NameError::Reserved("anyone@x".into())));
        assert_eq!(check_userid("group=x"), Err(NameError::Reserved("group=x".into())));
        assert_eq!(check_userid("a b"), Err(NameError::UserCharacter(' ')));
    }
}
