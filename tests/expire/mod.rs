//! Expiry rules, imexpire and purge: the examples of the guide, every option, random rules against a plain evaluator, and kills.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::print_stderr)]

mod golden;
mod kill;
mod memory;
mod races;
mod reference;
pub mod tool;

use std::fs;
use std::io::Write;

use msgstore::os::clock;
use msgstore::store::{Flags, NewMessage, Uid};

use crate::instance::Instance;

/// Seconds of a day.
pub const DAY_S: i64 = 86_400;

/// A message to be put into a mailbox.
#[derive(Clone, Debug)]
pub struct Letter {
    head: String,
    days: i64,
    flags: Flags,
    bytes: usize,
}

/// A letter that came just now.
pub fn letter(subject: &str) -> Letter {
    Letter { head: format!("From: ann@example.org\r\nSubject: {subject}\r\n"), days: 0, flags: Flags::NONE, bytes: 0 }
}

impl Letter {
    /// It came so many days, and a minute, ago.
    pub fn old(mut self, days: i64) -> Letter {
        self.days = days;
        self
    }

    pub fn flags(mut self, flags: Flags) -> Letter {
        self.flags = flags;
        self
    }

    /// It has at least so many bytes.
    pub fn large(mut self, bytes: usize) -> Letter {
        self.bytes = bytes;
        self
    }

    pub fn header(mut self, line: &str) -> Letter {
        self.head.push_str(line);
        self.head.push_str("\r\n");
        self
    }

    fn text(&self) -> String {
        let body = "x".repeat(70) + "\r\n";
        format!("{}\r\n{}", self.head, body.repeat(self.bytes.div_ceil(72)))
    }
}

impl Instance {
    /// Puts letters into a mailbox, which is made when it is missing.
    pub fn put(&self, mailbox: &str, letters: &[Letter]) -> Vec<Uid> {
        let (account, folder) = self.mailbox(mailbox);
        let store = self.store();
        let partition = store.view(account).unwrap().folder(folder).unwrap().unwrap().partition;
        let now_s = clock::now_s();
        let mut uids = Vec::new();
        for letter in letters {
            let came_s = now_s - letter.days * DAY_S - 60;
            let mut staging = store.stage(&partition).unwrap();
            staging.write_all(letter.text().as_bytes()).unwrap();
            let staged = staging.finish().unwrap();
            let item = NewMessage {
                staged: &staged,
                flags: letter.flags,
                keywords: Vec::new(),
                internal_date_s: came_s,
                internal_zone_min: 0,
            };
            uids.extend(store.append(account, folder, &[item], came_s).unwrap().uids);
        }
        uids
    }

    /// Writes the global rule file.
    pub fn rules(&self, text: &str) {
        fs::write(self.base().join("config/store.expirerule"), text).unwrap();
    }

    /// The lines that imexpire wrote to the default log.
    pub fn expire_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.base().join("data/log/default")).unwrap_or_default();
        let said =
            text.lines().filter_map(|line| line.split_once(" imexpire[").and_then(|(_, rest)| rest.split_once("]: ")));
        said.map(|(_, text)| text.to_owned()).filter(|text| !text.contains("Log created")).collect()
    }
}
