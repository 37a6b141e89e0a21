//! The rule files and the policies that the guides print, each with the messages that must go and those that must stay.

use msgstore::store::{Flags, UidSet};

use super::{Letter, letter};
use crate::instance::Instance;

/// Code example 18-1 of the 2004Q2 guide, the domain of the second rule restored.
const EXAMPLE_18_1: &str = "\
Rule1.regexp: 1
Rule1.folderpattern: user/.*
Rule1.messagesize: 100000
Rule1.messagesizedays: 3
Rule1.deleted: or
Rule1.Subject: Viagra Now!
Rule1.Subject: XXX Porn!
Rule1.messagecount: 1000
Rule1.messagedays: 365
Rule2.regexp: 1
Rule2.folderpattern: user/.*@siroe.com/.*
Rule2.exclusive: yes
Rule2.deleted: or
Rule2.messagedays: 14
Rule2.messagecount: 1000
Rule3.folderpattern: user/f.dostoevski/inbox
Rule3.Subject: *On-line Casino*
";

/// What imexpire says before the sums, with the directory of the configuration taken out.
fn explained(it: &Instance) -> Vec<String> {
    let (out, err) = it.run("imexpire", &["-n", "-e", "--explain"]).ended(2);
    assert_eq!(err, "");
    let out = out.replace(&format!("{}/config/store.expirerule:", it.base().display()), "");
    let bytes = regex::Regex::new(", [0-9]+ bytes:").unwrap();
    out.lines().filter(|line| line.contains(" uid ")).map(|line| bytes.replace(line, ":").into_owned()).collect()
}

/// Puts letters into mailboxes; the first of each pair says whether it must go.
fn fill(it: &Instance, mailbox: &str, letters: Vec<(bool, Letter)>) -> Vec<u32> {
    let (goes, letters): (Vec<bool>, Vec<Letter>) = letters.into_iter().unzip();
    let uids = it.put(mailbox, &letters);
    uids.into_iter().zip(goes).filter(|(_, goes)| !goes).map(|(uid, _)| uid).collect()
}

/// Fills, expires, and compares what is left.
fn check(it: &Instance, mailboxes: Vec<(&str, Vec<(bool, Letter)>)>) {
    let stay: Vec<(&str, Vec<u32>)> =
        mailboxes.into_iter().map(|(mailbox, letters)| (mailbox, fill(it, mailbox, letters))).collect();
    it.run("imexpire", &["-e"]).ok();
    for (mailbox, uids) in stay {
        assert_eq!(it.uids(mailbox), uids, "{mailbox}");
    }
    // Nothing is left to be done.
    it.run("imexpire", &["-n", "-e"]).ended(0);
}

#[test]
fn code_example_18_1() {
    let it = Instance::new();
    it.accounts(&["joe", "ann@siroe.com", "f.dostoevski"]);
    it.rules(EXAMPLE_18_1);
    let stay = [
        (
            "user/joe/INBOX",
            vec![
                (false, letter("new")),
                (true, letter("marked").flags(Flags::DELETED)),
                (true, letter("large").large(100_001).old(3)),
                (false, letter("large, but new").large(100_001).old(2)),
                (true, letter("buy VIAGRA now! cheap")),
                (true, letter("=?utf-8?q?XXX_Porn!?=")),
                (true, letter("old").old(365)),
                (false, letter("not so old").old(364).flags(Flags::SEEN)),
            ],
        ),
        (
            "user/ann@siroe.com/Work",
            vec![
                (true, letter("old").old(14)),
                (false, letter("Viagra Now!").old(13)),
                (false, letter("large").large(100_001).old(4)),
                (true, letter("marked").flags(Flags::DELETED)),
            ],
        ),
        ("user/f.dostoevski/INBOX", vec![(true, letter("Win: on-line casino!")), (false, letter("On-line  Casino"))]),
        ("user/f.dostoevski/Work", vec![(false, letter("On-line Casino"))]),
    ]
    .map(|(mailbox, letters)| (mailbox, fill(&it, mailbox, letters)));
    assert_eq!(
        explained(&it),
        [
            "user/ann@siroe.com/Work: would expire uid 1: Rule2 (10): messagedays: 14",
            "user/ann@siroe.com/Work: would expire uid 4: Rule2 (10): deleted: or",
            "user/f.dostoevski/INBOX: would expire uid 1: Rule3 (16): Subject: *On-line Casino*",
            "user/joe/INBOX: would expire uid 2: Rule1 (1): deleted: or",
            "user/joe/INBOX: would expire uid 3: Rule1 (1): messagesize: 100000, messagesizedays: 3",
            "user/joe/INBOX: would expire uid 5: Rule1 (1): Subject: Viagra Now! | XXX Porn!",
            "user/joe/INBOX: would expire uid 6: Rule1 (1): Subject: Viagra Now! | XXX Porn!",
            "user/joe/INBOX: would expire uid 7: Rule1 (1): messagedays: 365",
        ]
    );
    it.run("imexpire", &["-e"]).ok();
    for (mailbox, uids) in stay {
        assert_eq!(it.uids(mailbox), uids, "{mailbox}");
    }
}

#[test]
fn the_message_count_of_the_example() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.rules(EXAMPLE_18_1);
    it.put(
        "user/joe/INBOX",
        &[letter("marked").flags(Flags::DELETED), letter("newest"), letter("oldest").old(9), letter("middle").old(8)],
    );
    copies(&it, 3, 1000);
    // 1,004 messages: the marked one goes by itself, then the three oldest.
    it.run("imexpire", &["-e"]).ended(0);
    let uids = it.uids("user/joe/INBOX");
    assert_eq!((uids.len(), uids[..3].to_vec()), (1000, vec![2, 4, 7]));
}

/// Copies a message of joe's INBOX into it so many times.
fn copies(it: &Instance, uid: u32, count: u32) {
    let (account, folder) = it.mailbox("user/joe/INBOX");
    let store = it.store();
    let mut made = UidSet::one(uid);
    let mut left = count;
    while left > 0 {
        let some: UidSet = made.iter().take(left as usize).collect();
        let done = store.copy((account, folder), &some, (account, folder), 1).unwrap();
        left -= u32::try_from(done.pairs.len()).unwrap();
        done.pairs.iter().for_each(|(_, new)| made.insert(*new));
    }
}

#[test]
fn two_rules_with_the_slip_of_the_guide() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.rules(
        "Rule1.regexp: 1\nRule1.folderpattern: user/.*/trash\nRule1.messagedays: 2\nRule2:regexp: 1\n\
         Rule2.folderpattern: user/.*\nRule2.messagedays: 14\n",
    );
    check(
        &it,
        vec![
            ("user/joe/trash", vec![(true, letter("a").old(2)), (false, letter("b").old(1))]),
            ("user/joe/Work", vec![(true, letter("a").old(14)), (false, letter("b").old(13))]),
            ("user/joe/Work/trash", vec![(true, letter("a").old(3)), (false, letter("b"))]),
        ],
    );
}

#[test]
fn message_types_are_filed_and_saved_for_days() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.rules(
        "TextInbox.folderpattern: user/%/INBOX
TextInbox.messageheader.Content-Type: text/plain
TextInbox.messagedays: 365
TextInbox.action: fileinto:Archive


VoiceInbox.folderpattern: user/%/INBOX
VoiceInbox.messageheader.Content-Type: multipart/voice-message
VoiceInbox.savedays: 14
VoiceInbox.action: fileinto:OldMail

VoiceOldMail.folderpattern: user/%/OldMail
VoiceOldMail.messageheader.Content-Type: multipart/voice-message
VoiceOldMail.savedays: 30
VoiceOldMail.action: fileinto:Trash

Trash.folderpattern: user/%/Trash
Trash.savedays: 7
Trash.action: discard
",
    );
    for mailbox in ["user/joe/OldMail", "user/joe/Trash"] {
        it.mailbox(mailbox);
    }
    let text = || letter("t").header("Content-Type: text/plain; charset=utf-8");
    let voice = || letter("v").header("Content-Type: Multipart/Voice-Message; boundary=x");
    check(
        &it,
        vec![(
            "user/joe/INBOX",
            vec![
                (true, text().old(365)),
                (false, text().old(364)),
                (false, letter("no type").old(400)),
                (true, voice().old(14)),
                (false, voice().old(13)),
            ],
        )],
    );
    // What was filed came just now: it stays there for its days.
    assert_eq!((it.uids("user/joe/Archive").len(), it.uids("user/joe/OldMail").len()), (1, 1));
    let voice_stays =
        fill(&it, "user/joe/OldMail", vec![(true, voice().old(30)), (false, text().old(31)), (false, voice().old(29))]);
    let trash_stays = fill(&it, "user/joe/Trash", vec![(true, letter("a").old(7)), (false, letter("b").old(6))]);
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(it.uids("user/joe/OldMail"), [vec![1], voice_stays].concat());
    assert_eq!(it.uids("user/joe/Trash"), [trash_stays, vec![3]].concat());
}

#[test]
fn policy_1_old_messages_of_crowded_folders() {
    let it = Instance::new();
    it.accounts(&["joe", "ann"]);
    it.rules("P.folderpattern: user/*\nP.match: all\nP.messagedays: 365\nP.messagecount: 1000\n");
    it.put("user/joe/INBOX", &[letter("new"), letter("old").old(365), letter("older").old(366)]);
    it.put("user/ann/INBOX", &[letter("old, in a folder of one").old(400)]);
    copies(&it, 1, 997);
    // 1,000 messages are not more than 1,000.
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(it.uids("user/joe/INBOX").len(), 1000);
    it.put("user/joe/INBOX", &[letter("one more")]);
    it.run("imexpire", &["-e"]).ok();
    let uids = it.uids("user/joe/INBOX");
    assert!(uids.len() == 999 && !uids.contains(&2) && !uids.contains(&3));
    assert_eq!(it.uids("user/ann/INBOX"), [1]);
}

#[test]
fn policy_2_a_domain() {
    let it = Instance::new();
    it.accounts(&["joe", "ann@siroe.com"]);
    it.rules("P.folderpattern: user/*@siroe.com/*\nP.messagedays: 180\n");
    check(
        &it,
        vec![
            ("user/ann@siroe.com/INBOX", vec![(true, letter("a").old(180)), (false, letter("b").old(179))]),
            ("user/joe/INBOX", vec![(false, letter("a").old(181))]),
        ],
    );
}

#[test]
fn policy_3_whatever_is_marked_as_deleted() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.rules("P.regexp: yes\nP.folderpattern: user/.*\nP.deleted: or\n");
    check(
        &it,
        vec![(
            "user/joe/Work/x",
            vec![
                (true, letter("a").flags(Flags::DELETED | Flags::SEEN)),
                (false, letter("b").flags(Flags::SEEN).old(999)),
            ],
        )],
    );
}

#[test]
fn policy_4_everything_together() {
    let it = Instance::new();
    it.accounts(&["joe@sesta.com", "joe"]);
    it.rules(
        "P.folderpattern: user/*@sesta.com/*\nP.match: all\nP.seen: and\nP.messagedays: 30\nP.messagesize: 100K\n\
         P.messagecount: 3\nP.X-spam:\n",
    );
    let all = || letter("s").flags(Flags::SEEN).old(31).large(102_401).header("X-Spam: yes");
    check(
        &it,
        vec![
            (
                "user/joe@sesta.com/INBOX",
                vec![
                    (true, all()),
                    (false, all().flags(Flags::NONE)),
                    (false, all().old(29)),
                    (false, letter("small").flags(Flags::SEEN).old(31).header("X-Spam: yes")),
                    (false, letter("no spam").flags(Flags::SEEN).old(31).large(102_401)),
                ],
            ),
            ("user/joe@sesta.com/Few", vec![(false, all()), (false, all()), (false, all())]),
            ("user/joe/INBOX", vec![(false, all()), (false, all()), (false, all()), (false, all())]),
        ],
    );
}

#[test]
fn dates_of_expiry() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    it.rules("P.folderpattern: user/*\nP.match: all\nP.messagedays: 2\nP.Expires:\nP.Expiry-Date:\n");
    let date = |days: i64| {
        let time =
            chrono::DateTime::from_timestamp(msgstore::os::clock::now_s() - days * super::DAY_S - 60, 0).unwrap();
        time.to_rfc2822()
    };
    let expires = |days: i64| letter("e").old(5).header(&format!("Expires: {}", date(days)));
    check(
        &it,
        vec![(
            "user/joe/INBOX",
            vec![
                (true, expires(2)),
                (false, expires(1)),
                // The earliest date counts.
                (true, expires(-9).header(&format!("Expiry-Date: {}", date(3)))),
                (false, letter("no date").old(9)),
                (false, letter("no good date").old(9).header("Expires: soon")),
            ],
        )],
    );
    it.rules("P.folderpattern: user/*\nP.Expires: *\n");
    check(&it, vec![("user/joe/Work", vec![(true, expires(0)), (false, expires(-1))])]);
}
