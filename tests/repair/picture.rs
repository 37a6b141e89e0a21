//! What a store holds, as far as its users see it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::ControlFlow;

use msgstore::store::{Store, Uid};

/// A message: GUID, internal date, flags, keywords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub guid: String,
    pub date_s: i64,
    pub flags: u8,
    pub keywords: Vec<String>,
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub uidvalidity: u32,
    pub mailbox_id: String,
    pub acl: String,
    pub special_use: String,
    pub partition: String,
    pub messages: BTreeMap<Uid, Message>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    pub mailboxes: BTreeMap<String, Mailbox>,
    pub subscriptions: BTreeMap<String, Vec<String>>,
}

impl Picture {
    pub fn of(store: &Store) -> Picture {
        let mut picture = Picture::default();
        for (userid, account) in store.accounts().unwrap() {
            let view = store.view(account).unwrap();
            let names = view.keywords().unwrap();
            picture.subscriptions.insert(userid.clone(), view.subscriptions().unwrap());
            for (path, row) in view.folders().unwrap() {
                let mut messages = BTreeMap::new();
                view.messages(row.id, 0..=Uid::MAX, &mut |message| {
                    let seen = Message {
                        guid: message.guid.to_string(),
                        date_s: message.internal_date_s,
                        flags: 0,
                        keywords: Vec::new(),
                        size: message.size,
                    };
                    messages.insert(message.uid, seen);
                    ControlFlow::Continue(())
                })
                .unwrap();
                view.states(row.id, 0..=Uid::MAX, &mut |run| {
                    for (_, message) in messages.range_mut(run.first..=run.last()) {
                        message.flags = run.flags.0;
                        message.keywords = run.keywords.bits().map(|bit| names[bit].clone()).collect();
                    }
                })
                .unwrap();
                let mailbox = Mailbox {
                    uidvalidity: row.uidvalidity,
                    mailbox_id: row.mailbox_id.to_string(),
                    acl: row.acl.to_string(),
                    special_use: row.special_use.to_string(),
                    partition: row.partition.clone(),
                    messages,
                };
                picture.mailboxes.insert(format!("user/{userid}/{path}"), mailbox);
            }
        }
        picture
    }

    pub fn mailbox(&mut self, name: &str) -> &mut Mailbox {
        self.mailboxes.get_mut(&format!("user/joe/{name}")).unwrap()
    }

    /// What is different, in words; empty: nothing.
    pub fn difference(&self, expected: &Picture) -> String {
        let mut text = String::new();
        if self.subscriptions != expected.subscriptions {
            writeln!(text, "subscriptions {:?}, not {:?}", self.subscriptions, expected.subscriptions).unwrap();
        }
        let names: Vec<_> = self.mailboxes.keys().collect();
        if names != expected.mailboxes.keys().collect::<Vec<_>>() {
            writeln!(text, "mailboxes {names:?}").unwrap();
        }
        for (name, mailbox) in &self.mailboxes {
            let Some(wanted) = expected.mailboxes.get(name) else { continue };
            let head = |mailbox: &Mailbox| Mailbox { messages: BTreeMap::new(), ..mailbox.clone() };
            if head(mailbox) != head(wanted) {
                writeln!(text, "{name}: {:?}, not {:?}", head(mailbox), head(wanted)).unwrap();
            }
            for uid in mailbox.messages.keys().chain(wanted.messages.keys()) {
                let (here, there) = (mailbox.messages.get(uid), wanted.messages.get(uid));
                if here != there {
                    writeln!(text, "{name}: {uid}: {here:?}, not {there:?}").unwrap();
                }
            }
        }
        text
    }
}
