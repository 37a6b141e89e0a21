//! What the members of a backup archive say: docs/backup-format.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tar::{Member, Type};
use crate::ops::delivery::is_keyword;
use crate::ops::mailbox::show_name;
use crate::store::{
    Account, Acl, AclEntry, Flags, Folder, FolderPath, Former, Guid, MailboxName, Message, Modseq, Rights, SpecialUse,
    Uid,
};

/// The version of the format.
pub const VERSION: u32 = 1;
/// The name of the first member.
pub const HEADER: &str = "msgstore-backup.json";
/// The name of the last member.
pub const MANIFEST: &str = "msgstore-manifest.json";
/// The last component of the name of a folder's member.
const FOLDER: &str = ".folder.json";
/// The last component of the name of an account's member.
const ACCOUNT: &str = ".account.json";
/// The end of the name of a message's member.
const MESSAGE: &str = ".eml";
/// Records of messages: GNU tar and others take them for extended attributes.
const RECORD: &str = "SCHILY.xattr.user.msgstore.";
/// Most bytes of a member in JSON.
pub const JSON_MAX: u64 = 16 << 20;

/// The first member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Version of the format.
    pub format: u32,
    /// The program that wrote it.
    pub program: String,
    /// The host.
    pub host: String,
    /// When, seconds since 1970.
    pub time: i64,
    /// The names that were asked for.
    pub selection: Vec<String>,
    /// Only messages that came into their folders from then on, seconds since 1970.
    pub since: Option<i64>,
    /// Whether messages with several names are there several times.
    pub ignore_links: bool,
}

/// The member of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountState {
    /// The user id.
    pub user: String,
    /// The partition of INBOX.
    pub partition: String,
    /// When it was made, seconds since 1970.
    pub created: i64,
    /// Limit of bytes.
    pub quota_bytes: Option<u64>,
    /// Limit of messages.
    pub quota_messages: Option<u64>,
    /// Names it has subscribed to.
    pub subscriptions: Vec<String>,
}

/// The member of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FolderState {
    /// The mailbox, as `user/joe/INBOX`, in modified UTF-7.
    pub mailbox: String,
    /// Its partition.
    pub partition: String,
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// The next UID.
    pub uidnext: Uid,
    /// The highest modification sequence.
    pub highest_modseq: Modseq,
    /// Messages that follow.
    pub messages: u64,
    /// Messages in the folder at that moment.
    pub exists: u32,
    /// Identifiers and their rights.
    pub acl: Vec<(String, String)>,
    /// Special uses.
    pub special_use: Vec<String>,
    /// A name without a mailbox.
    pub noselect: bool,
    /// The folder whose limits hold here; the account's when there is none.
    pub quota_root: Option<String>,
    /// When it was made, seconds since 1970.
    pub created: i64,
}

/// The last member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// BLAKE3 of every byte before this member's headers.
    pub blake3: String,
    /// How many that are.
    pub bytes: u64,
    /// Accounts.
    pub accounts: u64,
    /// Folders.
    pub folders: u64,
    /// Messages, links included.
    pub messages: u64,
    /// Messages that are links.
    pub links: u64,
    /// Messages that were purged while their folder was read, as `user/joe/INBOX 5`.
    pub purged: Vec<String>,
    /// Messages and mailboxes that could not be read.
    pub unreadable: Vec<String>,
}

/// What an archive says about a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageState {
    /// Its UID.
    pub uid: Uid,
    /// INTERNALDATE, seconds since 1970.
    pub internal_date_s: i64,
    /// Its zone, minutes east of UTC.
    pub internal_zone_min: i16,
    /// When it came into its folder.
    pub saved_s: i64,
    /// System flags.
    pub flags: Flags,
    /// Keywords.
    pub keywords: Vec<String>,
    /// Its modification sequence.
    pub modseq: Modseq,
    /// Its content, if that was known.
    pub guid: Option<Guid>,
    /// Names that the file had; 1: no link can lead to this member.
    pub names: u64,
}

/// What a member is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The whole archive.
    Header,
    /// Its end.
    Manifest,
    /// An account.
    Account,
    /// A folder.
    Folder,
    /// A message.
    Message(Place),
    /// Nothing of a backup.
    Nothing,
}

/// Where a message is, as the name of its member says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition of its account.
    pub partition: String,
    /// The backup group by which it was chosen.
    pub group: String,
    /// Its mailbox.
    pub mailbox: MailboxName,
}

const FLAGS: [(&str, Flags); 5] = [
    ("\\Answered", Flags::ANSWERED),
    ("\\Flagged", Flags::FLAGGED),
    ("\\Deleted", Flags::DELETED),
    ("\\Seen", Flags::SEEN),
    ("\\Draft", Flags::DRAFT),
];

/// The directory of an account in the archive.
pub fn account_dir(partition: &str, group: &str, userid: &str) -> String {
    format!("{partition}/{group}/{userid}")
}

/// The name of an account's member.
pub fn account_member(dir: &str) -> String {
    format!("{dir}/{ACCOUNT}")
}

/// The directory of a folder: its name for people, such that no component looks like a member.
pub fn folder_dir(dir: &str, userid: &str, path: &FolderPath) -> String {
    let shown = show_name(userid, path);
    let below = shown.get("user/".len() + userid.len() + 1..).unwrap_or_default();
    let marked = |part: &str| {
        let clash = part.starts_with(['=', '.']) || part.ends_with(MESSAGE);
        if clash { format!("={part}") } else { part.to_owned() }
    };
    format!("{dir}/{}", below.split('/').map(marked).collect::<Vec<_>>().join("/"))
}

/// The name of a folder's member.
pub fn folder_member(dir: &str) -> String {
    format!("{dir}/{FOLDER}")
}

/// The name of a message's member.
pub fn message_member(dir: &str, uid: Uid) -> String {
    format!("{dir}/{uid}{MESSAGE}")
}

/// What the name of a member is about.
pub fn about(name: &str) -> About {
    match name.rsplit_once('/') {
        None if name == HEADER => About::Header,
        None if name == MANIFEST => About::Manifest,
        Some((_, ACCOUNT)) => About::Account,
        Some((_, FOLDER)) => About::Folder,
        Some((dir, last)) if last.ends_with(MESSAGE) => place(dir).map_or(About::Nothing, About::Message),
        _ => About::Nothing,
    }
}

/// Where the folder of this directory is.
pub fn place(dir: &str) -> Option<Place> {
    let mut parts = dir.splitn(4, '/');
    let (partition, group, userid, folder) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let plain = |part: &str| part.strip_prefix('=').unwrap_or(part).to_owned();
    let folder = folder.split('/').map(plain).collect::<Vec<_>>().join("/");
    let mailbox = crate::ops::mailbox::read_name(&format!("user/{userid}/{folder}")).ok()?;
    Some(Place { partition: partition.to_owned(), group: group.to_owned(), mailbox })
}

impl FolderState {
    /// That of a row.
    pub fn of(userid: &str, path: &FolderPath, row: &Folder, owner: &Account, messages: u64) -> FolderState {
        let mut above = Some(path.clone());
        let mut quota_root = None;
        while let Some(path) = above {
            quota_root = quota_root.or_else(|| {
                owner.folder_limits.iter().find(|limit| limit.path == path.to_string()).map(|limit| limit.path.clone())
            });
            above = path.parent();
        }
        FolderState {
            mailbox: format!("user/{userid}/{path}"),
            partition: row.partition.clone(),
            uidvalidity: row.uidvalidity,
            uidnext: row.uidnext,
            highest_modseq: row.highest_modseq,
            messages,
            exists: row.exists,
            acl: row.acl.0.iter().map(|entry| (entry.identifier.clone(), entry.rights.to_string())).collect(),
            special_use: row.special_use.attributes().map(str::to_owned).collect(),
            noselect: row.noselect,
            quota_root,
            created: row.created_s,
        }
    }

    /// What the store takes over of it. Entries of the list that are none are left out.
    pub fn former(&self) -> Former {
        let entry = |(identifier, letters): &(String, String)| {
            Some(AclEntry { identifier: identifier.clone(), rights: Rights::parse(letters)? })
        };
        Former {
            uidvalidity: self.uidvalidity,
            uidnext: self.uidnext,
            highest_modseq: self.highest_modseq,
            acl: Acl(self.acl.iter().filter_map(entry).collect()),
        }
    }

    /// Its special uses.
    pub fn uses(&self) -> SpecialUse {
        let known = self.special_use.iter().filter_map(|attribute| SpecialUse::parse(attribute));
        known.fold(SpecialUse::default(), SpecialUse::with)
    }
}

impl MessageState {
    /// That of a row with its flags.
    pub fn of(message: &Message, flags: Flags, keywords: Vec<String>, modseq: Modseq, names: u64) -> MessageState {
        MessageState {
            uid: message.uid,
            internal_date_s: message.internal_date_s,
            internal_zone_min: message.internal_zone_min,
            saved_s: message.saved_s,
            flags,
            keywords,
            modseq,
            guid: Some(message.guid).filter(|guid| *guid != Guid::default()),
            names,
        }
    }

    /// The member of a message: a file of `size` bytes, or a further name of the member `link`.
    pub fn member(&self, name: String, owner: &str, size: u64, link: Option<String>) -> Member {
        let flags: Vec<&str> =
            FLAGS.iter().filter(|(_, flag)| self.flags.contains(*flag)).map(|(name, _)| *name).collect();
        let mut records = BTreeMap::new();
        let mut put = |key: &str, value: String| records.insert(format!("{RECORD}{key}"), value);
        put("uid", self.uid.to_string());
        put("date", self.internal_date_s.to_string());
        put("zone", self.internal_zone_min.to_string());
        put("saved", self.saved_s.to_string());
        put("modseq", self.modseq.to_string());
        if !flags.is_empty() {
            put("flags", flags.join(" "));
        }
        if !self.keywords.is_empty() {
            put("keywords", self.keywords.join(" "));
        }
        if let Some(guid) = self.guid {
            put("guid", guid.to_string());
        }
        if self.names > 1 {
            put("names", self.names.to_string());
        }
        Member {
            name,
            kind: if link.is_some() { Type::Link } else { Type::File },
            link: link.unwrap_or_default(),
            size,
            mtime_s: self.internal_date_s,
            owner: owner.to_owned(),
            records,
            offset: 0,
        }
    }

    /// What a member says; `None` when it lacks a UID or a date.
    pub fn read(member: &Member) -> Option<MessageState> {
        let text = |key: &str| member.records.get(&format!("{RECORD}{key}"));
        fn number<T: std::str::FromStr>(text: Option<&String>) -> Option<T> {
            text.and_then(|text| text.parse().ok())
        }
        let words = |key| text(key).map(|words| words.split(' ').collect::<Vec<_>>()).unwrap_or_default();
        let flags = words("flags").into_iter().filter_map(|word| FLAGS.iter().find(|(name, _)| *name == word));
        Some(MessageState {
            uid: number(text("uid")).filter(|uid| *uid > 0)?,
            internal_date_s: number(text("date"))?,
            internal_zone_min: number(text("zone")).unwrap_or(0),
            saved_s: number(text("saved")).or_else(|| number(text("date")))?,
            flags: flags.fold(Flags::NONE, |all, (_, flag)| all | *flag),
            keywords: words("keywords").into_iter().filter(|word| is_keyword(word)).map(str::to_owned).collect(),
            modseq: number(text("modseq")).unwrap_or(0),
            guid: text("guid").and_then(|text| Guid::parse(text)),
            names: number(text("names")).unwrap_or(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_mailboxes() {
        for folder in ["INBOX", "Work/2004", "Entw&APw-rfe", "a/5.eml", ".folder.json", "=x/.y", "R&-D"] {
            let path = FolderPath::parse(folder).unwrap();
            let dir = folder_dir(&account_dir("primary", "user", "joe@siroe.com"), "joe@siroe.com", &path);
            let About::Message(place) = about(&message_member(&dir, 7)) else { panic!("{dir}") };
            assert_eq!(place.mailbox, MailboxName { owner: "joe@siroe.com".into(), folder: path }, "{dir}");
            assert_eq!(about(&folder_member(&dir)), About::Folder);
        }
        for hostile in ["/etc/passwd", "../../x.eml", "primary/user/../x/1.eml", "a/b/c/../1.eml", "x.eml", ""] {
            assert_eq!(about(hostile), About::Nothing, "{hostile}");
        }
    }

    #[test]
    fn messages_say_what_they_were() {
        let state = MessageState {
            uid: 5,
            internal_date_s: -3,
            internal_zone_min: -90,
            saved_s: 1_795_000_000,
            flags: Flags::SEEN | Flags::DRAFT,
            keywords: vec!["$Work".into(), "plan".into()],
            modseq: 77,
            guid: Some(Guid([7; 16])),
            names: 3,
        };
        let member = state.member("primary/user/joe/INBOX/5.eml".into(), "joe", 10, None);
        assert_eq!(MessageState::read(&member), Some(state));
        assert_eq!(MessageState::read(&Member::default()), None);
    }
}
