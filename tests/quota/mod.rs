//! Quota and the states of accounts through the services and tools, with a clock that the test moves.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::print_stderr)]

mod day;
mod domains;
mod states;
pub mod status;

use msgstore::store::Flags;

use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use crate::instance::lmtpd::{Lmtpd, Wire};

const HOUR_S: i64 = 3600;
const TEXT: &str = "Subject: one\r\n\r\nhello\r\n";

fn set(it: &Instance, name: &str, value: &str) {
    it.run("configutil", &["-o", name, "-v", value]).ended(0);
}

/// Replaces an attribute in the entry of a user, or adds it.
fn attribute(it: &Instance, user: &str, name: &str, value: &str) {
    let path = it.base().join("config/directory.ldif");
    let text = std::fs::read_to_string(&path).unwrap();
    let entries: Vec<String> = text
        .split("\n\n")
        .map(|entry| {
            if !entry.lines().any(|line| line == format!("uid: {user}")) {
                return entry.to_owned();
            }
            let kept: Vec<&str> = entry.lines().filter(|line| !line.starts_with(&format!("{name}:"))).collect();
            format!("{}\n{name}: {value}", kept.join("\n"))
        })
        .collect();
    let new = path.with_extension("new");
    std::fs::write(&new, entries.join("\n\n") + "\n").unwrap();
    std::fs::rename(new, path).unwrap();
}

/// A clock for the processes of a test: the system's, moved.
struct Clock {
    file: std::path::PathBuf,
}

impl Clock {
    fn new(it: &Instance) -> Clock {
        let clock = Clock { file: it.base().join("clock") };
        clock.move_to(0);
        clock
    }

    /// Moves it to so many seconds from the system's time.
    fn move_to(&self, seconds: i64) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, seconds.to_string()).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }

    fn environment(&self) -> [(&str, &str); 1] {
        [("CLOCK_FILE", self.file.to_str().unwrap())]
    }
}

/// Delivers over LMTP; the answer without the name.
fn lmtp(wire: &mut Wire, to: &str, text: &str) -> String {
    let answer = wire.deliver(&[to], text).pop().unwrap();
    answer.rsplit_once(" <").unwrap().0.to_owned()
}

fn texts(it: &Instance, mailbox: &str) -> Vec<String> {
    let dir = it.directory_of(mailbox);
    let text = |uid: &u32| std::fs::read_to_string(dir.join(msgstore::store::layout::message_file(*uid))).unwrap();
    it.uids(mailbox).iter().map(text).collect()
}

#[test]
pub fn mail_waits_for_the_grace_period_and_goes_back_after_it() {
    let it = Instance::with(&[("store.quotagraceperiod", "2")]);
    it.accounts(&["joe"]);
    attribute(&it, "joe", "mailMsgQuota", "1");
    let clock = Clock::new(&it);
    let lmtpd = Lmtpd::start_with(&it, &clock.environment());
    let mut wire = lmtpd.connect();
    let deliver = |more: &[&str]| {
        let mut command = it.command("deliver", &[more, &["joe"]].concat());
        command.envs(clock.environment()).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), TEXT.as_bytes()).unwrap();
        child.wait().unwrap().code()
    };
    assert_eq!(lmtp(&mut wire, "joe@example.org", TEXT), "250 2.1.5 Delivered");
    assert_eq!(lmtp(&mut wire, "joe@example.org", TEXT), "452 4.2.2 Over quota");
    assert_eq!(deliver(&[]), Some(75));
    // Some minutes for the test itself.
    clock.move_to(2 * HOUR_S - 1800);
    assert_eq!((lmtp(&mut wire, "joe@example.org", TEXT).as_str(), deliver(&[])), ("452 4.2.2 Over quota", Some(75)));
    clock.move_to(2 * HOUR_S);
    assert_eq!((lmtp(&mut wire, "joe@example.org", TEXT).as_str(), deliver(&[])), ("552 5.2.2 Over quota", Some(73)));
    // Mail that passes quotas comes in all the same.
    assert_eq!(deliver(&["-q"]), Some(0));
    // A longer grace period counts at once; so does that nothing is enforced.
    set(&it, "store.quotagraceperiod", "3");
    assert_eq!((lmtp(&mut wire, "joe@example.org", TEXT).as_str(), deliver(&[])), ("452 4.2.2 Over quota", Some(75)));
    set(&it, "store.quotaenforcement", "off");
    assert_eq!((lmtp(&mut wire, "joe@example.org", TEXT).as_str(), deliver(&[])), ("250 2.1.5 Delivered", Some(0)));
    set(&it, "store.quotaenforcement", "on");
    assert_eq!(deliver(&[]), Some(75));
    // There is room: mail comes in at once, and the period begins anew.
    let (account, inbox) = it.mailbox("user/joe/INBOX");
    it.store().remove(account, inbox, &it.uids("user/joe/INBOX").into_iter().collect(), 1).unwrap();
    assert_eq!(lmtp(&mut wire, "joe@example.org", TEXT), "250 2.1.5 Delivered");
    assert_eq!(lmtp(&mut wire, "joe@example.org", TEXT), "452 4.2.2 Over quota");
}

#[test]
pub fn the_default_quota_and_the_overdraft_are_the_configuration_s() {
    let it = Instance::with(&[("store.defaultmessagequota", "1"), ("store.defaultmailboxquota", "1000")]);
    it.accounts(&["joe", "ann", "own"]);
    attribute(&it, "ann", "mailMsgQuota", "-1");
    attribute(&it, "own", "mailQuota", "2K;#text%1K;Archive%3K");
    attribute(&it, "own", "mailMsgQuota", "-2");
    let deliver = |to: &str| it.run_with("deliver", &[to], TEXT).code;
    assert_eq!((deliver("joe"), deliver("joe")), (0, 75));
    assert_eq!((deliver("ann"), deliver("ann")), (0, 0));
    assert_eq!(deliver("own"), 0);
    let (account, _) = it.mailbox("user/own/INBOX");
    let limits = it.store().view(account).unwrap().account().unwrap().limits();
    assert_eq!((limits.bytes, limits.messages), (Some(2048), Some(1)));
    assert_eq!((limits.folders[0].path.as_str(), limits.folders[0].bytes), ("Archive", Some(3072)));
    set(&it, "local.store.quotaoverdraft", "on");
    assert_eq!((deliver("joe"), deliver("joe")), (0, 75));
    set(&it, "store.defaultmessagequota", "-1");
    assert_eq!(deliver("joe"), 0);
}

#[test]
pub fn owners_are_warned_in_their_language_once_in_an_interval() {
    let it = Instance::with(&[
        ("store.quotaexceededmsginterval", "1"),
        ("store.quotaexceededmsg", "Subject: full$$[ID]: [NUMMSG] of [MSGQUOTA], [PERCENT]"),
        ("store.quotawarn", "75"),
    ]);
    set(&it, "store.quotaexceededmsg;lang-de", "Subject: voll$$zu voll");
    it.accounts(&["joe", "ute"]);
    attribute(&it, "ute", "preferredLanguage", "de-AT");
    for user in ["joe", "ute"] {
        attribute(&it, user, "mailMsgQuota", "4");
    }
    let clock = Clock::new(&it);
    let lmtpd = Lmtpd::start_with(&it, &clock.environment());
    let mut wire = lmtpd.connect();
    let mut send = |to: &str| lmtp(&mut wire, &format!("{to}@example.org"), TEXT);
    let warnings = |user: &str| -> Vec<String> {
        let all = texts(&it, &format!("user/{user}/INBOX"));
        all.into_iter().filter(|text| text.contains("Auto-Submitted: auto-generated")).collect()
    };
    send("joe");
    send("joe");
    assert!(warnings("joe").is_empty());
    assert_eq!(send("joe"), "250 2.1.5 Delivered");
    let first = warnings("joe");
    assert_eq!(first.len(), 1);
    assert!(
        first[0].contains("To: joe@example.org\r\n") && first[0].ends_with("Subject: full\r\n\r\njoe: 3 of 4, 75%\r\n"),
        "{first:?}"
    );
    // The warning has taken the last place: nothing else comes in, and nobody is warned again before a day has passed.
    clock.move_to(23 * HOUR_S);
    assert_eq!((send("joe").as_str(), warnings("joe").len()), ("452 4.2.2 Over quota", 1));
    clock.move_to(24 * HOUR_S);
    assert_eq!((send("joe").as_str(), warnings("joe").len()), ("452 4.2.2 Over quota", 2));
    for _ in 0..3 {
        send("ute");
    }
    assert!(warnings("ute")[0].ends_with("Subject: voll\r\n\r\nzu voll\r\n"));
    // Switched off.
    set(&it, "store.quotanotification", "no");
    clock.move_to(72 * HOUR_S);
    assert_eq!((send("joe").as_str(), warnings("joe").len()), ("452 4.2.2 Over quota", 2));
    // Each day has a file of its own.
    let files = std::fs::read_dir(it.base().join("data/log")).unwrap().map(|file| file.unwrap().path());
    let lmtp = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("lmtp"));
    let log: String = lmtp.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!(log.matches("quota warning to user/joe").count(), 2, "{log}");
}

#[test]
pub fn imap_alerts_at_each_select_from_the_threshold_on() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    for _ in 0..9 {
        it.append("user/joe/INBOX", TEXT, Flags::NONE);
    }
    attribute(&it, "joe", "mailMsgQuota", "10");
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    let alert = "* NO [ALERT] Mailbox is at 90% of quota";
    let mut select = |wanted: bool| {
        for command in ["select INBOX", "examine INBOX"] {
            let said = client.ask(command);
            assert_eq!(said.iter().any(|line| line == alert), wanted, "{said:?}");
        }
    };
    select(true);
    for (percent, wanted) in [("91", false), ("100", false), ("90", true)] {
        set(&it, "store.quotawarn", percent);
        select(wanted);
    }
    set(&it, "store.quotawarn", "50");
    set(&it, "local.store.quotaoverdraft", "on");
    select(false);
    let log = std::fs::read_to_string(it.base().join("data/log/imap")).unwrap();
    assert!(log.contains("user joe: Mailbox is at 90% of quota"), "{log}");
}

#[test]
pub fn telephony_mail_comes_by_a_socket_of_its_own() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    attribute(&it, "joe", "mailQuota", "0");
    set(&it, "service.lmtp.overquotasocket", "msg_svr_base/data/proc/voice.socket");
    let lmtpd = Lmtpd::start(&it);
    assert_eq!(lmtp(&mut lmtpd.dial_local().greeted(), "joe@example.org", TEXT), "452 4.2.2 Over quota");
    let voice = Lmtpd::dial_file(&it.base().join("data/proc/voice.socket"));
    assert_eq!(lmtp(&mut voice.greeted(), "joe@example.org", TEXT), "250 2.1.5 Delivered");
    assert_eq!(it.uids("user/joe/INBOX").len(), 1);
}

#[test]
fn a_full_domain_takes_no_mail() {
    let it = Instance::new();
    it.accounts(&["joe", "ann@siroe.com", "bob@siroe.com", "eve@sesta.com"]);
    let path = it.base().join("config/directory.ldif");
    let text = std::fs::read_to_string(&path).unwrap();
    let domain = "\ndn: o=siroe.com,o=isp\nobjectClass: organization\nobjectClass: mailDomain\no: siroe.com\nmailDomainMsgQuota: 3\n";
    std::fs::write(&path, text + domain).unwrap();
    it.run_with("deliver", &["ann@siroe.com", "bob@siroe.com"], TEXT).ok();
    let (_, err) = it.run_with("deliver", &["ann@siroe.com", "eve@sesta.com", "bob@siroe.com"], TEXT).ended(75);
    assert_eq!(err, "deliver: bob@siroe.com: over quota: domain siroe.com\n");
    assert_eq!(it.uids("user/eve@sesta.com/INBOX").len(), 1);
    it.run_with("deliver", &["-q", "bob@siroe.com"], TEXT).ok();
    it.run_with("deliver", &["joe"], TEXT).ok();
    set(&it, "store.quotaenforcement", "off");
    it.run_with("deliver", &["ann@siroe.com"], TEXT).ok();
    assert_eq!(it.store().domain_usage("siroe.com").unwrap().messages, 5);
}
