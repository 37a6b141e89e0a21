//! SORT and THREAD against what is known of messages that were made at random, and while others change the mailbox.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::cmp::Ordering;

use super::{Client, Daemon};
use msgstore::store::FolderId;

/// Chance from a seed: xorshift.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}

/// A message of which all keys are known.
#[derive(Clone, Debug)]
struct Made {
    from: Option<(usize, usize)>,
    to: Option<(usize, usize)>,
    cc: Option<(usize, usize)>,
    subject: Option<usize>,
    sent_s: Option<i64>,
    arrived_s: i64,
    size: usize,
}

/// Display names as they are written, and how they compare; the empty one is none.
const NAMES: [(&str, &str); 5] = [
    ("", ""),
    ("Carol", "CAROL"),
    ("\"alice B.\"", "ALICE B."),
    ("=?utf-8?q?J=C3=B6rg?=", "JO\u{308}RG"),
    ("bob", "BOB"),
];
const BOXES: [(&str, &str); 4] = [("zoe", "ZOE"), ("Adam", "ADAM"), ("mark.two", "MARK.TWO"), ("b", "B")];
/// Subjects as they are written, and their base.
const SUBJECTS: [(&str, &str); 8] = [
    ("plums", "PLUMS"),
    ("Re: Plums", "PLUMS"),
    ("[fruit] re: PLUMS (fwd)", "PLUMS"),
    ("apples", "APPLES"),
    ("Fwd: [fwd: apples]", "APPLES"),
    ("=?iso-8859-1?q?Re=3A_=C4pfel?=", "A\u{308}PFEL"),
    ("=?utf-8?b?w4RwZmVs?=", "A\u{308}PFEL"),
    ("", ""),
];

fn date(at_s: i64) -> String {
    chrono::DateTime::from_timestamp(at_s, 0).unwrap().format("%d-%b-%Y %H:%M:%S +0000").to_string()
}

impl Made {
    fn random(random: &mut Chance) -> (Made, String) {
        let mut address = || (random.below(5) > 0).then(|| (random.below(5), random.below(4)));
        let (from, to, cc) = (address(), address(), address());
        let subject = (random.below(10) > 0).then(|| random.below(SUBJECTS.len()));
        let base_s = 1_076_000_000;
        let sent_s = (random.below(5) > 0).then(|| base_s + random.below(40) as i64 * 600);
        let zone_h = random.below(23) as i64 - 11;
        let arrived_s = base_s + random.below(40) as i64 * 600;
        let mut text = String::new();
        for (field, value) in [("From", from), ("To", to), ("Cc", cc)] {
            if let Some((name, mailbox)) = value {
                text += &format!("{field}: {} <{}@example.org>, x@y\r\n", NAMES[name].0, BOXES[mailbox].0);
            }
        }
        if let Some(subject) = subject {
            text += &format!("Subject: {}\r\n", SUBJECTS[subject].0);
        }
        if let Some(sent_s) = sent_s {
            let local = chrono::DateTime::from_timestamp(sent_s + zone_h * 3600, 0).unwrap();
            let sign = if zone_h < 0 { '-' } else { '+' };
            text += &format!("Date: {} {sign}{:02}00\r\n", local.format("%a, %d %b %Y %H:%M:%S"), zone_h.abs());
        }
        text += &format!("\r\n{}\r\n", "x".repeat(random.below(30)));
        (Made { from, to, cc, subject, sent_s, arrived_s, size: text.len() }, text)
    }

    fn compare(&self, other: &Made, by: &str) -> Ordering {
        let mailbox = |address: Option<(usize, usize)>| address.map_or("", |(_, mailbox)| BOXES[mailbox].1);
        let shown = |address: Option<(usize, usize)>| match address {
            Some((0, mailbox)) => format!("{}@EXAMPLE.ORG", BOXES[mailbox].1),
            Some((name, _)) => NAMES[name].1.to_owned(),
            None => String::new(),
        };
        match by {
            "ARRIVAL" => self.arrived_s.cmp(&other.arrived_s),
            "DATE" => self.sent_s.unwrap_or(self.arrived_s).cmp(&other.sent_s.unwrap_or(other.arrived_s)),
            "SIZE" => self.size.cmp(&other.size),
            "SUBJECT" => {
                let base = |made: &Made| made.subject.map_or("", |subject| SUBJECTS[subject].1);
                base(self).cmp(base(other))
            }
            "FROM" => mailbox(self.from).cmp(mailbox(other.from)),
            "TO" => mailbox(self.to).cmp(mailbox(other.to)),
            "CC" => mailbox(self.cc).cmp(mailbox(other.cc)),
            "DISPLAYFROM" => shown(self.from).cmp(&shown(other.from)),
            _ => shown(self.to).cmp(&shown(other.to)),
        }
    }
}

const CRITERIA: [&str; 9] = ["ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "SIZE", "SUBJECT", "TO"];

fn numbers(client: &mut Client, command: &str) -> Vec<u32> {
    let lines = client.ask(command);
    assert_eq!(lines.last().unwrap(), "OK Completed", "{command}");
    lines[0].strip_prefix("* SORT").unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn random_messages_in_the_order_of_their_keys() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let mut random = Chance(5256);
    let mut made = Vec::new();
    for _ in 0..6 {
        let mut command = "append inbox".to_owned();
        for _ in 0..50 {
            let (one, text) = Made::random(&mut random);
            command += &format!(" \"{}\" {{{}+}}\r\n{text}", date(one.arrived_s), text.len());
            made.push(one);
        }
        assert!(client.ask(&command).last().unwrap().starts_with("OK"));
    }
    client.ask("select inbox");
    client.ask("store 1,3,150:160 +flags.silent (\\Deleted)");
    client.ask("expunge");
    let left: Vec<(u32, Made)> =
        (1..).zip(made).filter(|(uid, _)| ![1, 3].contains(uid) && !(150..=160).contains(uid)).collect();
    for round in 0..60 {
        // Each criterion alone, each reversed, then any of them.
        let count = if round < 18 { 1 } else { 2 + random.below(2) };
        let criteria: Vec<(bool, &str)> = (0..count)
            .map(|_| match round {
                0..18 => (round >= 9, CRITERIA[round % 9]),
                _ => (random.below(5) < 2, CRITERIA[random.below(9)]),
            })
            .collect();
        let mut expected: Vec<&(u32, Made)> = left.iter().collect();
        expected.sort_by(|one, other| {
            criteria.iter().fold(Ordering::Equal, |decided, (reverse, by)| {
                let order = one.1.compare(&other.1, by);
                decided.then(if *reverse { order.reverse() } else { order })
            })
        });
        let words: Vec<String> =
            criteria.iter().map(|(reverse, by)| format!("{}{by}", if *reverse { "REVERSE " } else { "" })).collect();
        let uids: Vec<u32> = expected.iter().map(|(uid, _)| *uid).collect();
        let words = words.join(" ");
        assert_eq!(numbers(&mut client, &format!("uid sort ({words}) utf-8 all")), uids, "{words}");
        let number = |uid: &u32| left.iter().position(|(known, _)| known == uid).unwrap() as u32 + 1;
        let by_number: Vec<u32> = uids.iter().map(number).collect();
        assert_eq!(numbers(&mut client, &format!("sort ({words}) utf-8 all")), by_number, "{words}");
    }
}

#[test]
fn messages_that_go_away_meanwhile_are_left_out() {
    let daemon = Daemon::start(&["joe"], &[]);
    let (mut one, mut other) = (daemon.login("joe"), daemon.login("joe"));
    for number in 1..=6 {
        one.append("inbox", "", &format!("Subject: {}\r\nMessage-ID: <{number}@x>\r\n\r\nx\r\n", 9 - number));
    }
    one.ask("select inbox");
    other.ask("select inbox");
    other.ask("store 2,4 +flags.silent (\\Deleted)");
    other.ask("expunge");
    // The numbers stay what they were until EXPUNGE may be told, which SORT by UID may.
    assert_eq!(one.ask("sort (subject) utf-8 all"), ["* SORT 6 5 3 1", "OK Completed"]);
    assert_eq!(one.ask("thread orderedsubject utf-8 all")[0], "* THREAD (1)(3)(5)(6)");
    let lines = one.ask("uid sort (subject) utf-8 all");
    assert_eq!(lines, ["* SORT 6 5 3 1", "* 2 EXPUNGE", "* 3 EXPUNGE", "OK Completed"]);
    assert_eq!(one.ask("thread references utf-8 all"), ["* THREAD (1)(2)(3)(4)", "OK Completed"]);
}

#[test]
fn a_large_mailbox_takes_several_steps() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let count = 2500u32;
    for first in (0..count).step_by(100) {
        let mut command = "append inbox".to_owned();
        for number in first..first + 100 {
            // A chain of replies, and subjects that run backwards.
            let text = format!(
                "Subject: {:05}\r\nMessage-ID: <{number}@x>\r\nReferences: <{}@x>\r\n\r\n",
                count - number,
                number.wrapping_sub(1)
            );
            command += &format!(" {{{}+}}\r\n{text}", text.len());
        }
        client.ask(&command);
    }
    client.ask("select inbox");
    let backward: Vec<u32> = (1..=count).rev().collect();
    assert_eq!(numbers(&mut client, "sort (subject) utf-8 all"), backward);
    assert_eq!(numbers(&mut client, "sort (reverse subject) utf-8 all").first(), Some(&1));
    let chain: Vec<String> = (1..=count).map(|number| number.to_string()).collect();
    assert_eq!(client.ask("thread references utf-8 all")[0], format!("* THREAD ({})", chain.join(" ")));
    assert_eq!(client.ask("search return (partial -1:-2) subject 0")[1], "OK Completed");
    // Without store.idx the messages are read, fewer in a step, and the order is the same.
    let by_subject = client.ask("thread orderedsubject utf-8 all");
    assert_eq!(by_subject[0].matches('(').count(), 2500);
    let store = daemon.store();
    let view = store.view(store.account_id("joe").unwrap().unwrap()).unwrap();
    let index = view.folder_dir(FolderId::INBOX).unwrap().join("store.idx");
    drop(view);
    std::fs::remove_file(&index).unwrap();
    assert_eq!(client.ask("thread orderedsubject utf-8 all"), by_subject);
    assert_eq!(client.ask("thread references utf-8 all")[0], format!("* THREAD ({})", chain.join(" ")));
    assert_eq!(numbers(&mut client, "sort (subject) utf-8 all"), backward);
    assert_eq!(numbers(&mut client, "sort (to reverse subject) utf-8 all").last(), Some(&count));
    // What the daemon has not made again by itself.
    store.repair(store.account_id("joe").unwrap().unwrap(), None, Default::default(), 1).unwrap();
}

#[test]
fn headers_without_measure_are_sorted_like_others() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    let fold = |piece: &dyn Fn(usize) -> String| (0..6000).map(|at| format!("{}\r\n ", piece(at))).collect::<String>();
    for number in 0..3 {
        let message = format!(
            "Message-ID: <{number}@x>\r\nReferences: {}\r\nSubject: {}\r\nTo: {}\r\nFrom: {}a@b\r\n\r\nx\r\n",
            fold(&|at| format!("<{at}@{number}>")),
            fold(&|_| ["re:", "[fwd:", "[a]"][number].to_owned()),
            fold(&|at| format!("z{number}{at}@x,")),
            "(".repeat(5000)
        );
        assert!(client.append("inbox", "", &message).starts_with("OK"));
    }
    client.ask("select inbox");
    assert_eq!(client.ask("sort (reverse to subject from displayfrom) utf-8 all"), ["* SORT 3 2 1", "OK Completed"]);
    assert_eq!(client.ask("thread references utf-8 all"), ["* THREAD (1)(2)(3)", "OK Completed"]);
    assert_eq!(client.ask("thread orderedsubject utf-8 all").last().unwrap(), "OK Completed");
}
