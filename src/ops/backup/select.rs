//! Which mailboxes are meant: names of backup objects, and the groups of `config/backup-groups.conf`.

use crate::ops::mailbox::read_name;
use crate::store::{FolderPath, MailboxName, check_userid};
use crate::text::pattern::Ere;

/// The names of the group of all users; the first is what archives have.
pub const EVERYBODY: [&str; 3] = ["user", "ALL", "DEFAULT"];

/// Backup groups: names with regular expressions over user ids.
#[derive(Debug, Default)]
pub struct Groups(Vec<(String, Ere)>);

impl Groups {
    /// Reads lines `name=expression`; empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// The number of the first wrong line, and what is wrong.
    pub fn parse(text: &str) -> Result<Groups, (usize, String)> {
        let mut groups = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: String| (number + 1, what);
            let (name, pattern) =
                line.split_once('=').ok_or_else(|| wrong("a line is group_name=expression".to_owned()))?;
            let name = name.trim();
            if name.is_empty() || name.contains('/') || name.starts_with('.') {
                return Err(wrong(format!("{name:?} is no name of a group")));
            }
            if EVERYBODY.contains(&name) || groups.iter().any(|(known, _)| known == name) {
                return Err(wrong(format!("the group {name} is there already")));
            }
            let pattern = Ere::whole(pattern.trim()).map_err(|error| wrong(error.to_string()))?;
            groups.push((name.to_owned(), pattern));
        }
        Ok(Groups(groups))
    }

    /// True if there is a group of that name.
    pub fn knows(&self, name: &str) -> bool {
        EVERYBODY.contains(&name) || self.0.iter().any(|(known, _)| known == name)
    }

    /// True if the user is in the group.
    pub fn holds(&self, name: &str, userid: &str) -> bool {
        EVERYBODY.contains(&name)
            || self.0.iter().any(|(known, pattern)| known == name && pattern.is_match(userid.as_bytes()))
    }
}

/// A backup object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// As it was written.
    pub text: String,
    /// Its partition; any without one.
    pub partition: Option<String>,
    /// Its group; everybody without one.
    pub group: Option<String>,
    /// Its user.
    pub user: Option<String>,
    /// A mailbox of the user, with those below it.
    pub folder: Option<FolderPath>,
}

impl Object {
    /// Reads `/`, `/partition`, `/partition/group`, `/partition/group/user`, `/partition/user`, each of the last two with a folder behind it, a
    /// mailbox (`user/joe/INBOX`) or a user id. What stands in the place of a group is one if `groups` or the archive know it, else a user.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, is_group: &dyn Fn(&str) -> bool) -> Result<Object, String> {
        let mut object = Object { text: text.to_owned(), ..Object::default() };
        let Some(path) = text.strip_prefix('/') else {
            if text.contains('/') {
                let MailboxName { owner, folder } = read_name(text).map_err(|error| format!("{text}: {error}"))?;
                (object.user, object.folder) = (Some(owner), Some(folder));
            } else {
                check_userid(text).map_err(|error| format!("{text}: {error}"))?;
                object.user = Some(text.to_owned());
            }
            return Ok(object);
        };
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut parts = path.split('/').peekable();
        object.partition = parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        object.group = parts.next_if(|part| is_group(part)).map(str::to_owned);
        object.user = parts.next().map(str::to_owned);
        if let Some(user) = &object.user {
            check_userid(user).map_err(|error| format!("{text}: {error}"))?;
            let rest: Vec<&str> = parts.collect();
            if !rest.is_empty() {
                let name = read_name(&format!("user/{user}/{}", rest.join("/")));
                object.folder = Some(name.map_err(|error| format!("{text}: {error}"))?.folder);
            }
        }
        Ok(object)
    }

    /// True if it means the account, or folders of it.
    pub fn takes_user(&self, groups: &Groups, partition: &str, archived_group: Option<&str>, userid: &str) -> bool {
        self.partition.as_ref().is_none_or(|wanted| wanted == partition)
            && self.user.as_ref().is_none_or(|wanted| wanted == userid)
            && self.group.as_ref().is_none_or(|wanted| archived_group == Some(wanted) || groups.holds(wanted, userid))
    }

    /// True if it means a folder of an account that it takes.
    pub fn takes_folder(&self, folder: &FolderPath) -> bool {
        self.folder.as_ref().is_none_or(|above| folder.starts_with(above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_groups() {
        let groups = Groups::parse("# three\ngroupA=[a-l].*\ngroupB=[m,-z].*\n\ngroupC=[0-9].*\n").unwrap();
        assert!(groups.holds("groupA", "amy") && !groups.holds("groupA", "mary") && !groups.holds("groupA", "3x"));
        assert!(groups.holds("groupB", "zelda") && groups.holds("groupC", "123go") && !groups.holds("groupC", "amy"));
        assert!(EVERYBODY.iter().all(|name| groups.holds(name, "anybody") && groups.knows(name)));
        assert!(!groups.holds("none", "amy"));
        for (text, line) in [("x", 1), ("a=b\na=c", 2), ("\nuser=.*", 2), ("a/b=c", 1), ("a=(", 1)] {
            assert_eq!(Groups::parse(text).unwrap_err().0, line, "{text}");
        }
    }

    #[test]
    fn objects_are_read() {
        let read = |text: &str| Object::parse(text, &|name| name == "user" || name == "groupA");
        let parts = |text: &str| {
            let one = read(text).unwrap();
            [one.partition, one.group, one.user, one.folder.map(|folder| folder.to_string())]
                .map(|part| part.unwrap_or_default())
                .join("|")
        };
        for (text, wanted) in [
            ("/", "|||"),
            ("/primary", "primary|||"),
            ("/primary/user", "primary|user||"),
            ("/primary/groupA/", "primary|groupA||"),
            ("/primary/user/joe", "primary|user|joe|"),
            ("/primary/user1", "primary||user1|"),
            ("/primary/joe/Work/x", "primary||joe|Work/x"),
            ("/primary/user/joe/inbox", "primary|user|joe|INBOX"),
            ("user/joe/Work", "||joe|Work"),
            ("joe", "||joe|"),
        ] {
            assert_eq!(parts(text), wanted, "{text}");
        }
        for wrong in ["", "/primary/user/joe/../x", "a*", "/primary/user/a%"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
