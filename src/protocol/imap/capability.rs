//! What CAPABILITY names (RFC 3501 section 6.1.1): only what works, and what is of use to the client now.

use super::session::Session;
use crate::directory::scram::Hash;

/// What is named by CAPABILITY, without the login mechanisms.
const CAPABILITIES: &[&str] = &[
    "IMAP4rev1",
    "IMAP4rev2",
    "LITERAL+",
    "SASL-IR",
    "ID",
    "ENABLE",
    "NAMESPACE",
    "UIDPLUS",
    "CHILDREN",
    "UNSELECT",
    "IDLE",
    "MOVE",
    "MULTIAPPEND",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "ESEARCH",
    "CONDSTORE",
    "QRESYNC",
    "OBJECTID",
    "SAVEDATE",
    "STATUS=SIZE",
    "SEARCHRES",
    "WITHIN",
    "PARTIAL",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "INPROGRESS",
    "BINARY",
    "PREVIEW",
    "REPLACE",
    "UTF8=ACCEPT",
    "QUOTA",
    "QUOTASET",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "ACL",
    "RIGHTS=kxte",
    "LIST-MYRIGHTS",
];

/// What is named only after the login: these commands are of use only then.
const AUTHENTICATED: &[&str] = &["UNAUTHENTICATE", "COMPRESS=DEFLATE"];

impl Session {
    /// The list of capabilities as it is now.
    pub fn capabilities(&self) -> String {
        let limit = format!("APPENDLIMIT={}", self.server.message_bytes);
        let mut list: Vec<&str> = CAPABILITIES.iter().copied().chain([limit.as_str()]).collect();
        if self.login.is_some() {
            list.extend(AUTHENTICATED);
        } else {
            if self.starttls() {
                list.push("STARTTLS");
            }
            list.extend(if self.password_allowed() { &["AUTH=PLAIN", "AUTH=LOGIN"][..] } else { &["LOGINDISABLED"] });
            for (hash, name) in [(Hash::Sha256, "AUTH=SCRAM-SHA-256"), (Hash::Sha1, "AUTH=SCRAM-SHA-1")] {
                if self.login_allowed() && self.server.directory.scram_for_all(hash) {
                    list.push(name);
                }
            }
        }
        let word = |name: &str| match name {
            "IMAP4rev2" => "IMAP4REV2".to_owned(),
            name if name == limit => "APPENDLIMIT".to_owned(),
            name => name.to_owned(),
        };
        list.retain(|name| !self.server.hidden.contains(&word(name)));
        list.join(" ")
    }
}
