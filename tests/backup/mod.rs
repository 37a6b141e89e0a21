//! imsbackup and imsrestore: as processes, with other readers of tar, with damaged and hostile archives.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod archive;
mod partial;
mod round;

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;

use msgstore::store::{FlagChange, FlagOp, Flags, Uid, UidSet, layout};

use crate::instance::Instance;

/// What a message is, whatever store it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub text: Vec<u8>,
    pub date: (i64, i16),
    pub saved_s: i64,
    pub flags: Flags,
    pub keywords: Vec<String>,
}

/// What a folder is: UIDVALIDITY, UIDNEXT, rights, special uses, messages by UID.
pub type Picture = (u32, Uid, String, String, BTreeMap<Uid, Told>);

/// Every folder of some users, their subscriptions under the name `(subscriptions)`, and which messages share a file.
pub fn picture(it: &Instance, users: &[&str]) -> (BTreeMap<String, Picture>, Vec<Vec<String>>) {
    let store = it.store();
    let (mut folders, mut files) = (BTreeMap::new(), BTreeMap::<u64, Vec<String>>::new());
    for user in users {
        let account = store.account_id(user).unwrap().unwrap();
        let view = store.view(account).unwrap();
        let names = view.keywords().unwrap();
        let subscriptions = view.subscriptions().unwrap().join(" ");
        folders.insert(format!("user/{user} (subscriptions)"), (0, 0, subscriptions, String::new(), BTreeMap::new()));
        for (path, row) in view.folders().unwrap() {
            let dir = view.folder_dir(row.id).unwrap();
            let mut messages = BTreeMap::new();
            view.messages(row.id, 1..=Uid::MAX, &mut |message| {
                let file = dir.join(layout::message_file(message.uid));
                let inode = std::fs::metadata(&file).unwrap().ino();
                files.entry(inode).or_default().push(format!("user/{user}/{path} {}", message.uid));
                let told = Told {
                    text: std::fs::read(file).unwrap(),
                    date: (message.internal_date_s, message.internal_zone_min),
                    saved_s: message.saved_s,
                    flags: Flags::NONE,
                    keywords: Vec::new(),
                };
                messages.insert(message.uid, told);
                ControlFlow::Continue(())
            })
            .unwrap();
            view.states(row.id, 1..=Uid::MAX, &mut |run| {
                for uid in run.first..=run.last() {
                    let told = messages.get_mut(&uid).unwrap();
                    told.flags = run.flags;
                    told.keywords = run.keywords.bits().map(|bit| names[bit].clone()).collect();
                    told.keywords.sort();
                }
            })
            .unwrap();
            let rest = (row.acl.to_string(), row.special_use.to_string());
            folders.insert(format!("user/{user}/{path}"), (row.uidvalidity, row.uidnext, rest.0, rest.1, messages));
        }
    }
    let mut shared: Vec<Vec<String>> = files.into_values().filter(|names| names.len() > 1).collect();
    shared.iter_mut().for_each(|names| names.sort());
    shared.sort();
    (folders, shared)
}

/// The text of a message.
pub fn text(number: usize) -> String {
    format!("Subject: {number}\r\nFrom: a@example.org\r\n\r\n{}\r\n", "body ".repeat(number % 400))
}

/// A store with a bit of everything for amy, bob and mary.
pub fn furnish(it: &Instance) {
    it.accounts(&["amy", "bob", "mary"]);
    let store = it.store();
    for number in 0..130 {
        it.append("user/amy/INBOX", &text(number), if number % 3 == 0 { Flags::SEEN } else { Flags::NONE });
    }
    let (amy, inbox) = it.mailbox("user/amy/INBOX");
    for name in ["user/amy/Sent", "user/amy/Work/Entw&APw-rfe", "user/amy/7.eml", "user/bob/Sent Items"] {
        it.mailbox(name);
    }
    let keywords = FlagChange {
        op: FlagOp::Add,
        flags: Flags::FLAGGED | Flags::DELETED,
        keywords: vec!["$Work".into(), "plan".into()],
    };
    store.store_flags(amy, inbox, &UidSet::from_ranges([(10, 20)]), &keywords, None).unwrap();
    // Links within an account and to others.
    for to in ["user/amy/Work/Entw&APw-rfe", "user/bob/INBOX", "user/mary/INBOX"] {
        store.copy((amy, inbox), &UidSet::from_ranges([(5, 9)]), it.mailbox(to), 1_795_100_000).unwrap();
    }
    store.expunge_uids(amy, inbox);
    let (bob, folder) = it.mailbox("user/bob/Sent Items");
    it.append("user/bob/Sent Items", "Subject: sent\r\n\r\nx\r\n", Flags::SEEN);
    let acl = msgstore::store::AclChange::Replace(msgstore::store::Rights::parse("lrs").unwrap());
    store.change_acl(bob, folder, "amy", acl).unwrap();
    store.change_acl(bob, folder, "-anyone", acl).unwrap();
    store.subscribe(amy, "Work/Entw&APw-rfe", true).unwrap();
    store.subscribe(amy, "gone", true).unwrap();
    it.settle();
}

/// Expunges a few messages, the last one too, so that UIDNEXT is more than the last UID and one.
trait ExpungeUids {
    fn expunge_uids(&self, account: msgstore::store::AccountId, folder: msgstore::store::FolderId);
}

impl ExpungeUids for msgstore::store::Store {
    fn expunge_uids(&self, account: msgstore::store::AccountId, folder: msgstore::store::FolderId) {
        let doomed = UidSet::from_ranges([(3, 4), (129, 130)]);
        let trash = self.folder_create(
            account,
            &msgstore::store::FolderPath::parse("Trash").unwrap(),
            &Default::default(),
            1_795_000_000,
        );
        self.move_messages((account, folder), &doomed, (account, trash.unwrap().id), 1_795_000_000).unwrap();
    }
}

/// Takes away the accounts of users, who stay in the directory.
pub fn wipe(it: &Instance, users: &[&str]) {
    let store = it.store();
    for user in users {
        store.account_delete(store.account_id(user).unwrap().unwrap(), 1_795_000_000).unwrap();
    }
}

/// Runs a tool with bytes on standard input.
pub fn run_bytes(it: &Instance, tool: &str, words: &[&str], input: &[u8]) -> (i32, String) {
    use std::process::Stdio;
    let mut child =
        it.command(tool, words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A tool that stops early does not read all of it.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// The path of a file in the instance.
pub fn file(it: &Instance, name: &str) -> String {
    it.base().join(name).to_str().unwrap().to_owned()
}
