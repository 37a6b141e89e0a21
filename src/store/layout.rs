//! Where things lie on disk: the hash rule, directory names, message files, and the way back from a path to a mailbox.
//!
//! ```text
//! partition/=user/53/53/=mack1/store.idx, 00/1.msg    INBOX of mack1
//! partition/=user/53/53/=mack1/=projx/00/1.msg        folder projx
//! ```

use std::path::{Path, PathBuf};

use super::ids::Uid;
use super::name::{FolderPath, MailboxName};

/// Files with rules of automatic removal that may lie in the directory of a partition, an account or a folder; the first that is there counts.
pub const RULE_FILES: [&str; 2] = ["store.expirerule", "store.expire"];

/// The hash directory of a user id, `53/53` for `mack1`: over the bytes, h = 31 h + c; level 1 is bits 0-3 and 4-6, level 2 bits 7-10 and 11-13.
pub fn hash(userid: &str) -> String {
    let h = userid.bytes().fold(0u32, |h, c| (h.wrapping_mul(31).wrapping_add(u32::from(c))) & 0x3fff);
    format!("{:x}{:x}/{:x}{:x}", h & 15, h >> 4 & 7, h >> 7 & 15, h >> 11 & 7)
}

/// The directory name of one component: `=` in front, `+` before each capital, `%d` for a dot, `%p` for a plus sign, `%XX` for what some file
/// systems forbid.
pub fn directory_name(component: &str) -> String {
    let mut name = String::with_capacity(component.len() + 4);
    name.push('=');
    for c in component.chars() {
        match c {
            'A'..='Z' => {
                name.push('+');
                name.push(c);
            }
            '.' => name.push_str("%d"),
            '+' => name.push_str("%p"),
            '"' | '<' | '>' | '|' | '\\' | ':' | '%' | '*' | '?' => name.push_str(&format!("%{:02X}", u32::from(c))),
            _ => name.push(c),
        }
    }
    name
}

/// The component that a directory name stands for; `None` if no component is written so.
pub fn component_of(directory: &str) -> Option<String> {
    let mut rest = directory.strip_prefix('=')?.chars();
    let mut component = String::new();
    while let Some(c) = rest.next() {
        match c {
            '+' => component.push(rest.next()?),
            '%' => match rest.next()? {
                'd' => component.push('.'),
                'p' => component.push('+'),
                high => {
                    let code = high.to_digit(16)? * 16 + rest.next()?.to_digit(16)?;
                    component.push(char::from_u32(code)?);
                }
            },
            c => component.push(c),
        }
    }
    (directory_name(&component) == directory).then_some(component)
}

/// The directory of an account, below its partition.
pub fn account_directory(userid: &str) -> PathBuf {
    PathBuf::from(format!("=user/{}/{}", hash(userid), directory_name(userid)))
}

/// The directory of a folder, below its partition.
pub fn folder_directory(userid: &str, folder: &FolderPath) -> PathBuf {
    let mut path = account_directory(userid);
    if !folder.is_inbox() {
        path.extend(folder.components().iter().map(|component| directory_name(component)));
    }
    path
}

/// The file of a message, below its folder's directory: `00/1.msg`.
pub fn message_file(uid: Uid) -> PathBuf {
    PathBuf::from(format!("{:02}/{uid}.msg", uid / 100 % 100))
}

/// What a path of the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// The message, if the path is one's file.
    pub uid: Option<Uid>,
}

/// The mailbox (and message) that lies at `path`, which contains `=user/XX/YY/=userid...`; `None` if nothing of a store lies there.
/// Whether XX/YY is where the rule puts that user is not asked here; compare with [`hash`].
pub fn place_of(path: &Path) -> Option<Place> {
    let parts: Vec<&str> = path.components().filter_map(|part| part.as_os_str().to_str()).collect();
    let root = parts.iter().rposition(|part| *part == "=user")?;
    let owner = component_of(parts.get(root + 3)?)?;
    let mut folder = Vec::new();
    let mut uid = None;
    let mut rest = parts.get(root + 4..)?.iter().peekable();
    while let Some(part) = rest.next() {
        if part.starts_with('=') {
            folder.push(component_of(part)?);
        } else if part.len() == 2 && part.bytes().all(|c| c.is_ascii_digit()) {
            if let Some(file) = rest.next() {
                let number: Uid = file.strip_suffix(".msg")?.parse().ok()?;
                if message_file(number) != Path::new(part).join(file) {
                    return None;
                }
                uid = Some(number);
            }
            break;
        } else {
            break;
        }
    }
    let folder = if folder.is_empty() { FolderPath::inbox() } else { FolderPath::parse(&folder.join("/")).ok()? };
    Some(Place { mailbox: MailboxName { owner, folder }, uid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors() {
        for (userid, path) in [
            ("mack1", "53/53"),
            ("user1", "64/b1"),
            ("user2", "74/b1"),
            ("crowe", "e2/13"),
            ("daphne", "c2/70"),
            ("joe", "04/73"),
            ("jdoe", "01/96"),
            ("a", "16/00"),
            ("a1", "07/71"),
            ("delilah", "51/64"),
            ("druscilla", "f0/16"),
            ("desdemona", "86/a1"),
            ("dulcinea", "94/47"),
            ("dimitria", "77/05"),
            ("admin", "f4/60"),
            ("public", "96/46"),
            ("test", "21/90"),
            ("jdoe@siroe.com", "51/b1"),
            ("Mack1", "51/55"),
            ("mailboxpurgeuser202@mailboxpurge.com", "85/01"),
            ("", "00/00"),
        ] {
            assert_eq!(hash(userid), path, "{userid}");
        }
    }

    #[test]
    fn directories_and_back() {
        assert_eq!(directory_name("Sent"), "=+Sent");
        assert_eq!(directory_name("mailboxpurgeuser202@mailboxpurge.com"), "=mailboxpurgeuser202@mailboxpurge%dcom");
        for component in ["Sent", "a+B", "x.y", "C++", "q\"<>|:\\", "&AOk-", "=x", "%"] {
            assert_eq!(component_of(&directory_name(component)).as_deref(), Some(component));
        }
        assert_eq!(component_of("=Sent"), None);
        assert_eq!(component_of("=a%zz"), None);
        assert_eq!(message_file(1), Path::new("00/1.msg"));
        assert_eq!(message_file(9999), Path::new("99/9999.msg"));
        assert_eq!(message_file(10_000), Path::new("00/10000.msg"));
    }

    #[test]
    fn paths_lead_back() {
        let place = place_of(Path::new("/p/primary/=user/53/53/=mack1/=projx/=2004/01/100.msg"));
        assert_eq!(
            place,
            Some(Place { mailbox: MailboxName::parse("user/mack1/projx/2004").unwrap(), uid: Some(100) })
        );
        let place = place_of(Path::new("/p/primary/=user/53/53/=mack1/00/1.msg"));
        assert_eq!(place, Some(Place { mailbox: MailboxName::inbox("mack1"), uid: Some(1) }));
        assert_eq!(place_of(Path::new("/p/primary/=user/53/53/=mack1/00/100.msg")), None);
        assert_eq!(place_of(Path::new("/etc/passwd")), None);
    }
}
