//! `store.overquotastatus`: the status in the directory follows the usage, and takes nobody's change back.

use msgstore::directory::Status;
use msgstore::ops::instance::open_directory;
use msgstore::ops::quota::status::follow_user;
use msgstore::store::{FlagChange, FlagOp, Flags, FolderId, Limits};

use super::{Clock, HOUR_S, TEXT, attribute, set, texts};
use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use crate::instance::lmtpd::Lmtpd;

fn status(it: &Instance) -> String {
    let text = std::fs::read_to_string(it.base().join("config/directory.ldif")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("mailUserStatus: ")).next_back().unwrap_or("").to_owned()
}

/// A user with one message too many, and that status.
fn full() -> Instance {
    let it = Instance::with(&[("store.overquotastatus", "on")]);
    it.accounts(&["joe"]);
    attribute(&it, "joe", "mailMsgQuota", "1");
    for _ in 0..2 {
        it.run_with("deliver", &["joe"], TEXT).ok();
    }
    assert_eq!(status(&it), "overquota");
    it
}

#[test]
pub fn the_status_overquota_comes_and_goes_with_the_usage() {
    let it = Instance::with(&[("local.store.overquotastatus", "on")]);
    it.accounts(&["joe"]);
    attribute(&it, "joe", "mailMsgQuota", "1");
    let deliver = || it.run_with("deliver", &["joe"], TEXT).code;
    let status = || {
        let text = std::fs::read_to_string(it.base().join("config/directory.ldif")).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("mailUserStatus: ")).next_back().unwrap_or("").to_owned()
    };
    // The message that carries it over the quota comes in.
    assert_eq!((deliver(), status().as_str()), (0, "active"));
    assert_eq!((deliver(), status().as_str()), (0, "overquota"));
    assert_eq!(deliver(), 75);
    // Its owner makes room.
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    client.ask("select INBOX");
    client.ask("store 1 +flags (\\Deleted)");
    client.ask("close");
    assert_eq!((status().as_str(), deliver(), status().as_str()), ("active", 0, "overquota"));
    // Or an administrator a new limit: the next delivery finds that.
    attribute(&it, "joe", "mailMsgQuota", "9");
    assert_eq!((deliver(), status().as_str()), (0, "active"));
    // Without the parameter nothing is written.
    set(&it, "store.overquotastatus", "off");
    attribute(&it, "joe", "mailMsgQuota", "3");
    assert_eq!((deliver(), status().as_str()), (75, "active"));
    let (account, _) = it.mailbox("user/joe/INBOX");
    it.store().set_limits(account, &Limits::default(), 1).unwrap();
    assert_eq!(it.store().view(account).unwrap().folder(FolderId::INBOX).unwrap().unwrap().exists, 3);
}

#[test]
pub fn a_full_mailbox_gets_mail_back_to_its_senders_after_the_grace_period() {
    let it = full();
    set(&it, "store.quotagraceperiod", "2");
    set(&it, "store.quotaexceededmsg", "Subject: full$$too full");
    set(&it, "store.quotaexceededmsginterval", "1");
    let clock = Clock::new(&it);
    let lmtpd = Lmtpd::start_with(&it, &clock.environment());
    let mut wire = lmtpd.connect();
    let mut rcpt = || {
        wire.ask("MAIL FROM:<a@b>");
        let said = wire.ask("RCPT TO:<joe@example.org>");
        wire.ask("RSET");
        said
    };
    let warnings = || texts(&it, "user/joe/INBOX").iter().filter(|text| text.contains("too full")).count();
    assert!(rcpt().starts_with("452 4.2.2"));
    // Its owner is warned all the same, once a day.
    assert_eq!(warnings(), 1);
    clock.move_to(2 * HOUR_S - 1800);
    assert!(rcpt().starts_with("452 4.2.2"));
    clock.move_to(2 * HOUR_S);
    assert_eq!(rcpt(), "552 5.2.2 Over quota");
    assert_eq!(warnings(), 1);
    clock.move_to(25 * HOUR_S);
    assert!(rcpt().starts_with("552 5.2.2"));
    assert_eq!(warnings(), 2);
    // Mail that passes quotas comes in; what the domain says waits.
    assert_eq!(it.run_with("deliver", &["-q", "joe"], TEXT).code, 0);
    set(&it, "store.quotagraceperiod", "100");
    assert!(rcpt().starts_with("452 4.2.2"));
    // A status of an administrator, without the parameter, has no such end.
    set(&it, "store.quotagraceperiod", "0");
    set(&it, "store.overquotastatus", "off");
    assert!(rcpt().starts_with("452 4.2.2"));
}

#[test]
pub fn whoever_makes_room_gives_the_status_back() {
    let it = full();
    let fill = || {
        while status(&it) == "active" {
            it.run_with("deliver", &["joe"], TEXT).ok();
        }
        assert_eq!(status(&it), "overquota");
    };
    // imexpire
    std::fs::write(it.base().join("config/store.expirerule"), "All.folderpattern: user/*\nAll.messagecount: 1\n")
        .unwrap();
    it.run("imexpire", &["-n"]).ended(2);
    assert_eq!(status(&it), "overquota");
    it.run("imexpire", &["-e"]).ok();
    assert_eq!(status(&it), "active");
    fill();
    // A folder that is deleted, by IMAP and by mboxutil.
    let into_old = || {
        let (account, inbox) = it.mailbox("user/joe/INBOX");
        it.run("mboxutil", &["-c", "user/joe/Old"]).ok();
        let (_, old) = it.mailbox("user/joe/Old");
        let all = it.uids("user/joe/INBOX").into_iter().collect();
        it.store().move_messages((account, inbox), &all, (account, old), 1).unwrap();
    };
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    into_old();
    assert_eq!(client.ask("delete Old"), ["OK Completed"]);
    assert_eq!(status(&it), "active");
    fill();
    into_old();
    it.run("mboxutil", &["-d", "user/joe/Old"]).ok();
    assert_eq!(status(&it), "active");
    fill();
    // Expunged by mboxutil.
    let uids = it.uids("user/joe/INBOX").into_iter().collect();
    let (account, inbox) = it.mailbox("user/joe/INBOX");
    let change = FlagChange { op: FlagOp::Add, flags: Flags::DELETED, keywords: Vec::new() };
    it.store().store_flags(account, inbox, &uids, &change, None).unwrap();
    it.run("mboxutil", &["-e"]).ok();
    assert_eq!(status(&it), "active");
}

#[test]
pub fn a_change_of_an_administrator_in_between_stays() {
    let it = full();
    let instance = msgstore::config::Instance::at(it.base());
    let directory = open_directory(&instance, &instance.conf().unwrap());
    let store = it.store();
    let (account, inbox) = it.mailbox("user/joe/INBOX");
    let rules = store.quota_rules();
    let follow = |seen| follow_user(&rules, &store, &directory, account, seen).unwrap();
    let seen = directory.entry("joe").unwrap().unwrap();
    store.remove(account, inbox, &it.uids("user/joe/INBOX").into_iter().collect(), 1).unwrap();
    // There is room, and the status was read as overquota; meanwhile somebody closes the account.
    attribute(&it, "joe", "mailUserStatus", "hold");
    assert_eq!(follow(&seen), Status::Hold);
    assert_eq!(status(&it), "hold");
    // Somebody else was faster.
    attribute(&it, "joe", "mailUserStatus", "active");
    assert_eq!(follow(&seen), Status::Active);
    // Read as active, and used up; meanwhile it is disabled.
    let seen = directory.entry("joe").unwrap().unwrap();
    store.set_limits(account, &Limits { bytes: Some(0), ..Limits::default() }, 1).unwrap();
    attribute(&it, "joe", "mailUserStatus", "disabled");
    assert_eq!(follow(&seen), Status::Disabled);
    assert_eq!(status(&it), "disabled");
    attribute(&it, "joe", "mailUserStatus", "active");
    assert_eq!(follow(&seen), Status::Overquota);
    assert_eq!(status(&it), "overquota");
    // imquotacheck -f sees the same.
    attribute(&it, "joe", "mailUserStatus", "hold");
    it.run("imquotacheck", &["-f"]).ok();
    assert_eq!(status(&it), "hold");
}
