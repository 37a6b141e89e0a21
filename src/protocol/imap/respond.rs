//! Writers for responses (RFC 3501 section 7): each appends to a buffer that the session sends.

use super::parse::{StatusItem, Window};
use crate::text::quote;

/// How a tagged or untagged status begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Status {
    Ok,
    No,
    Bad,
    Bye,
    Preauth,
}

impl Status {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::No => "NO",
            Status::Bad => "BAD",
            Status::Bye => "BYE",
            Status::Preauth => "PREAUTH",
        }
    }
}

/// A response code (RFC 3501 section 7.1, RFC 3516, RFC 4315, RFC 4978, RFC 5182, RFC 5530, RFC 6154, RFC 7162, RFC 8474, RFC 9585).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Code {
    Alert,
    AlreadyExists,
    AppendUid {
        uidvalidity: u32,
        uids: Vec<(u32, u32)>,
    },
    AuthenticationFailed,
    AuthorizationFailed,
    BadCharset(Vec<String>),
    Cannot,
    /// RFC 9051 section 7.1: a mailbox with others below it.
    HasChildren,
    Capability(String),
    ClientBug,
    Closed,
    CompressionActive,
    CopyUid {
        uidvalidity: u32,
        from: Vec<(u32, u32)>,
        to: Vec<(u32, u32)>,
    },
    Corruption,
    ExpungeIssued,
    HighestModseq(u64),
    /// The tag, if it can stand in a code, how much is done, and of how much.
    InProgress {
        tag: Option<String>,
        done: Option<u64>,
        goal: Option<u64>,
    },
    InUse,
    Limit,
    MailboxId(String),
    Modified(Vec<(u32, u32)>),
    NoPerm,
    NonExistent,
    NotSaved,
    OverQuota,
    Parse,
    PermanentFlags(String),
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TooBig,
    TryCreate,
    UidNext(u32),
    UidNotSticky,
    UidValidity(u32),
    Unavailable,
    UnknownCte,
    Unseen(u32),
    UseAttr,
}

impl Code {
    fn write(&self, out: &mut Vec<u8>) {
        let word = match self {
            Code::Alert => "ALERT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Code::Cannot => "CANNOT",
            Code::HasChildren => "HASCHILDREN",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::CompressionActive => "COMPRESSIONACTIVE",
            Code::Corruption => "CORRUPTION",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::NoPerm => "NOPERM",
            Code::NonExistent => "NONEXISTENT",
            Code::NotSaved => "NOTSAVED",
            Code::OverQuota => "OVERQUOTA",
            Code::Parse => "PARSE",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::ServerBug => "SERVERBUG",
            Code::TooBig => "TOOBIG",
            Code::TryCreate => "TRYCREATE",
            Code::UidNotSticky => "UIDNOTSTICKY",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::UseAttr => "USEATTR",
            _ => return self.write_long(out),
        };
        text(out, word);
    }

    fn write_long(&self, out: &mut Vec<u8>) {
        match self {
            Code::AppendUid { uidvalidity, uids } => {
                text(out, &format!("APPENDUID {uidvalidity} "));
                uid_set(out, uids);
            }
            Code::CopyUid { uidvalidity, from, to } => {
                text(out, &format!("COPYUID {uidvalidity} "));
                uid_set(out, from);
                out.push(b' ');
                uid_set(out, to);
            }
            Code::BadCharset(names) => text(out, &format!("BADCHARSET ({})", names.join(" "))),
            Code::Capability(list) => text(out, &format!("CAPABILITY {list}")),
            Code::HighestModseq(modseq) => text(out, &format!("HIGHESTMODSEQ {modseq}")),
            Code::MailboxId(id) => text(out, &format!("MAILBOXID ({id})")),
            Code::Modified(set) => {
                text(out, "MODIFIED ");
                uid_set(out, set);
            }
            Code::InProgress { tag, done, goal } => {
                let number = |number: &Option<u64>| number.map_or_else(|| "NIL".to_owned(), |n| n.to_string());
                text(out, "INPROGRESS (");
                match tag {
                    Some(tag) => quote::string(out, tag.as_bytes()),
                    None => text(out, "NIL"),
                }
                text(out, &format!(" {} {})", number(done), number(goal)));
            }
            Code::PermanentFlags(flags) => text(out, &format!("PERMANENTFLAGS ({flags})")),
            Code::UidNext(uid) => text(out, &format!("UIDNEXT {uid}")),
            Code::UidValidity(value) => text(out, &format!("UIDVALIDITY {value}")),
            Code::Unseen(number) => text(out, &format!("UNSEEN {number}")),
            _ => {}
        }
    }
}

/// Appends text as it is.
pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// `tag OK [CODE] text`; tag `*` for untagged ones. Line breaks inside of `words` become blanks.
pub fn status(out: &mut Vec<u8>, tag: &str, status: Status, code: Option<&Code>, words: &str) {
    text(out, tag);
    out.push(b' ');
    text(out, status.word());
    out.push(b' ');
    if let Some(code) = code {
        out.push(b'[');
        code.write(out);
        text(out, "] ");
    }
    out.extend(words.bytes().map(|byte| if matches!(byte, b'\r' | b'\n' | 0) { b' ' } else { byte }));
    text(out, "\r\n");
}

/// `* OK [INPROGRESS ("a1" 175 1000)] Still working` (RFC 9585 section 4): how much is done, and of how much. A tag with a bracket cannot stand in a
/// code.
pub fn in_progress(out: &mut Vec<u8>, tag: &str, progress: Option<(u64, u64)>) {
    let (done, goal) = progress.unzip();
    let code = Code::InProgress { tag: (!tag.contains(']')).then(|| tag.to_owned()), done, goal };
    status(out, "*", Status::Ok, Some(&code), "Still working");
}

/// `+ words`.
pub fn continuation(out: &mut Vec<u8>, words: &str) {
    text(out, "+ ");
    text(out, words);
    text(out, "\r\n");
}

/// `* 23 EXISTS` and its kin.
pub fn counted(out: &mut Vec<u8>, number: u32, word: &str) {
    text(out, &format!("* {number} {word}\r\n"));
}

/// `* CAPABILITY ...`.
pub fn capability(out: &mut Vec<u8>, list: &str) {
    text(out, &format!("* CAPABILITY {list}\r\n"));
}

/// `* FLAGS (...)`.
pub fn flags(out: &mut Vec<u8>, list: &str) {
    text(out, &format!("* FLAGS ({list})\r\n"));
}

/// `* LIST (attributes) "/" name`, or LSUB.
pub fn list(out: &mut Vec<u8>, word: &str, attributes: &[&str], name: &str) {
    name_with_attributes(out, word, attributes, name);
    text(out, "\r\n");
}

/// `* LIST (attributes) "/" name`, and with `criteria` that names below satisfy them: `("CHILDINFO" ("SUBSCRIBED"))` (RFC 5258 section 3.5).
pub fn list_with_children(out: &mut Vec<u8>, attributes: &[&str], name: &str, criteria: &[&str]) {
    name_with_attributes(out, "LIST", attributes, name);
    if !criteria.is_empty() {
        let quoted: Vec<String> = criteria.iter().map(|word| format!("\"{word}\"")).collect();
        text(out, &format!(" (\"CHILDINFO\" ({}))", quoted.join(" ")));
    }
    text(out, "\r\n");
}

/// `* LIST (attributes) "/" name`, and with `old` how it was called: `("OLDNAME" ("old"))` (RFC 9051 section 6.3.9.7).
pub fn list_with_oldname(out: &mut Vec<u8>, attributes: &[&str], name: &str, old: Option<&str>) {
    name_with_attributes(out, "LIST", attributes, name);
    if let Some(old) = old {
        text(out, " (\"OLDNAME\" (");
        mailbox(out, old);
        text(out, "))");
    }
    text(out, "\r\n");
}

fn name_with_attributes(out: &mut Vec<u8>, word: &str, attributes: &[&str], name: &str) {
    text(out, &format!("* {word} ({}) \"/\" ", attributes.join(" ")));
    mailbox(out, name);
}

/// A mailbox name, quoted as the original server did; one in UTF-8, for a client that wants these, too (RFC 6855 section 3).
pub fn mailbox(out: &mut Vec<u8>, name: &str) {
    quote::utf8(out, name);
}

/// `* STATUS name (ITEM n ...)`.
pub fn mailbox_status(out: &mut Vec<u8>, name: &str, items: &[(StatusItem, String)]) {
    text(out, "* STATUS ");
    mailbox(out, name);
    text(out, " (");
    for (at, (item, value)) in items.iter().enumerate() {
        let word = match item {
            StatusItem::Messages => "MESSAGES",
            StatusItem::Recent => "RECENT",
            StatusItem::UidNext => "UIDNEXT",
            StatusItem::UidValidity => "UIDVALIDITY",
            StatusItem::Unseen => "UNSEEN",
            StatusItem::HighestModseq => "HIGHESTMODSEQ",
            StatusItem::Size => "SIZE",
            StatusItem::MailboxId => "MAILBOXID",
            StatusItem::AppendLimit => "APPENDLIMIT",
            StatusItem::Deleted => "DELETED",
            StatusItem::DeletedStorage => "DELETED-STORAGE",
        };
        let blank = if at == 0 { "" } else { " " };
        text(out, &format!("{blank}{word} {value}"));
    }
    text(out, ")\r\n");
}

/// A number in decimal, without the detour over a string: some answers have one or two for each message.
pub fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut from = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        from = at;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}

/// `1:3,7`, for sorted disjoint ranges.
pub fn uid_set(out: &mut Vec<u8>, ranges: &[(u32, u32)]) {
    for (at, (from, to)) in ranges.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        number(out, u64::from(*from));
        if to > from {
            out.push(b':');
            number(out, u64::from(*to));
        }
    }
}

/// `* ESEARCH (TAG "a1") UID MIN 1 COUNT 3 ALL 1:3` (RFC 4731, RFC 4466 section 2.6.2): what is `None` is left out.
pub fn esearch(out: &mut Vec<u8>, tag: &str, uid: bool, found: &Found<'_>) {
    text(out, "* ESEARCH (TAG ");
    quote::string(out, tag.as_bytes());
    text(out, if uid { ") UID" } else { ")" });
    for (word, number) in [("MIN", found.min), ("MAX", found.max), ("COUNT", found.count)] {
        if let Some(number) = number {
            text(out, &format!(" {word} {number}"));
        }
    }
    if let Some(ranges) = found.all.filter(|ranges| !ranges.is_empty()) {
        text(out, " ALL ");
        uid_set(out, ranges);
    }
    if let Some((window, piece)) = found.partial {
        // RFC 9394 section 3.1: the range as it was asked for, then what it holds.
        let sign = if window.from_end { "-" } else { "" };
        text(out, &format!(" PARTIAL ({sign}{}:{sign}{} ", window.first, window.last));
        match piece {
            [] => text(out, "NIL"),
            piece => uid_set(out, piece),
        }
        out.push(b')');
    }
    if let Some(modseq) = found.modseq {
        text(out, &format!(" MODSEQ {modseq}"));
    }
    text(out, "\r\n");
}

/// `* VANISHED 41,43:116`, or with `(EARLIER)` (RFC 7162 section 3.2.10); nothing for an empty set.
pub fn vanished(out: &mut Vec<u8>, earlier: bool, uids: &[(u32, u32)]) {
    if uids.is_empty() {
        return;
    }
    text(out, if earlier { "* VANISHED (EARLIER) " } else { "* VANISHED " });
    uid_set(out, uids);
    text(out, "\r\n");
}

/// What ESEARCH tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found<'a> {
    /// The lowest number or UID.
    pub min: Option<u32>,
    /// The highest one.
    pub max: Option<u32>,
    /// How many there are.
    pub count: Option<u32>,
    /// All of them: disjoint ranges, for SEARCH in ascending order.
    pub all: Option<&'a [(u32, u32)]>,
    /// The greatest mod-sequence of what was found, where the search was about them (RFC 7162 section 3.1.10).
    pub modseq: Option<u64>,
    /// A piece of them (RFC 9394).
    pub partial: Option<(Window, &'a [(u32, u32)])>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn status_lines() {
        assert_eq!(
            written(|out| status(out, "a1", Status::Ok, Some(&Code::ReadWrite), "Completed")),
            "a1 OK [READ-WRITE] Completed\r\n"
        );
        assert_eq!(written(|out| status(out, "*", Status::Bye, None, "a\r\nb")), "* BYE a  b\r\n");
        let copied = Code::CopyUid { uidvalidity: 38505, from: vec![(304, 304), (319, 320)], to: vec![(3956, 3958)] };
        assert_eq!(
            written(|out| status(out, "A004", Status::Ok, Some(&copied), "Completed")),
            "A004 OK [COPYUID 38505 304,319:320 3956:3958] Completed\r\n"
        );
    }

    #[test]
    fn numbers() {
        for n in [0, 7, 10, 1_234_567_890, u64::MAX] {
            assert_eq!(written(|out| number(out, n)), n.to_string());
        }
    }

    #[test]
    fn signs_of_life() {
        assert_eq!(
            written(|out| in_progress(out, "a1", Some((175, 1000)))),
            "* OK [INPROGRESS (\"a1\" 175 1000)] Still working\r\n"
        );
        assert_eq!(written(|out| in_progress(out, "a]", None)), "* OK [INPROGRESS (NIL NIL NIL)] Still working\r\n");
    }

    #[test]
    fn lists_and_names() {
        assert_eq!(
            written(|out| list(out, "LIST", &["\\HasNoChildren"], "a\"b")),
            "* LIST (\\HasNoChildren) \"/\" \"a\\\"b\"\r\n"
        );
        assert_eq!(
            written(|out| list_with_children(out, &["\\NonExistent"], "a", &["SUBSCRIBED", "SPECIAL-USE"])),
            "* LIST (\\NonExistent) \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\" \"SPECIAL-USE\"))\r\n"
        );
        assert_eq!(written(|out| list_with_children(out, &[], "a", &[])), "* LIST () \"/\" \"a\"\r\n");
        assert_eq!(written(|out| mailbox(out, "r\u{e9} \"")), "\"r\u{e9} \\\"\"");
        assert_eq!(
            written(|out| mailbox_status(
                out,
                "INBOX",
                &[(StatusItem::Messages, "3".into()), (StatusItem::Unseen, "1".into())]
            )),
            "* STATUS \"INBOX\" (MESSAGES 3 UNSEEN 1)\r\n"
        );
    }

    #[test]
    fn search_results() {
        let all = Found {
            min: Some(1),
            max: Some(9),
            count: Some(4),
            all: Some(&[(1, 3), (9, 9)]),
            modseq: Some(7),
            partial: None,
        };
        assert_eq!(
            written(|out| esearch(out, "a]1", true, &all)),
            "* ESEARCH (TAG \"a]1\") UID MIN 1 MAX 9 COUNT 4 ALL 1:3,9 MODSEQ 7\r\n"
        );
        let none = Found { count: Some(0), all: Some(&[]), ..Found::default() };
        assert_eq!(written(|out| esearch(out, "x", false, &none)), "* ESEARCH (TAG \"x\") COUNT 0\r\n");
        assert_eq!(written(|out| esearch(out, "x", false, &Found::default())), "* ESEARCH (TAG \"x\")\r\n");
    }
}
