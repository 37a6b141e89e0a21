//! What comes again, and what goes round.

use super::{log, set, texts};
use crate::instance::Instance;
use crate::instance::lmtpd::Lmtpd;

const ONE: &str = "Message-ID: <one@example.net>\r\nSubject: one\r\n\r\nbody\r\n";

#[test]
pub fn a_message_that_comes_again_is_dropped_where_that_is_wanted() {
    let it = Instance::new();
    it.accounts(&["joe", "jane"]);
    set(&it, "local.delivery.duplicatewindow", "600");
    let lmtpd = Lmtpd::start(&it);
    let good = |user: &str| format!("250 2.1.5 Delivered <{user}>");
    assert_eq!(lmtpd.connect().deliver(&["joe"], ONE), [good("joe")]);
    let again = format!("Received: by another way\r\n{ONE}");
    assert_eq!(lmtpd.connect().deliver(&["joe", "jane"], &again), [good("joe"), good("jane")]);
    assert_eq!(["joe", "jane"].map(|user| it.uids(&format!("user/{user}/INBOX")).len()), [1, 1]);
    // The memory is in the store: a process that was killed has not taken it along, and all ways in share it.
    lmtpd.kill();
    let lmtpd = Lmtpd::start(&it);
    assert_eq!(lmtpd.connect().deliver(&["joe"], ONE), [good("joe")]);
    it.run_with("deliver", &["joe"], ONE).ok();
    assert_eq!(it.uids("user/joe/INBOX").len(), 1);
    let line = "duplicate <one@example.net> for user/joe/INBOX: dropped, it came within 600 s";
    assert_eq!(log(&it).matches(line).count(), 2, "{}", log(&it));
    let tools = std::fs::read_to_string(it.base().join("data/log/default")).unwrap();
    assert_eq!(tools.matches(line).count(), 1, "{tools}");
    lmtpd.stop();
    // Off, as it is unless somebody says otherwise.
    it.run("configutil", &["-d", "-o", "local.delivery.duplicatewindow"]).ended(0);
    let lmtpd = Lmtpd::start(&it);
    assert_eq!(lmtpd.connect().deliver(&["joe"], ONE), [good("joe")]);
    assert_eq!(it.uids("user/joe/INBOX").len(), 2);
    lmtpd.stop();
}

#[test]
pub fn a_message_that_goes_round_is_given_up() {
    let it = Instance::new();
    it.accounts(&["joe", "jane"]);
    let lmtpd = Lmtpd::start(&it);
    let round = |count: usize| "Delivered-To: Joe@Example.org\r\n".repeat(count) + ONE;
    let (joe, jane) = ("joe@example.org", "jane@example.org");
    let good = |user: &str| format!("250 2.1.5 Delivered <{user}>");
    assert_eq!(lmtpd.connect().deliver(&[joe], &round(5)), [good(joe)]);
    let wanted = [format!("554 5.4.6 Mail loop <{joe}>"), good(jane)];
    assert_eq!(lmtpd.connect().deliver(&[joe, jane], &round(6)), wanted);
    let hops = |count: usize| "Received: from a\r\n\tby b\r\n".repeat(count) + ONE;
    assert_eq!(lmtpd.connect().deliver(&["joe"], &hops(100)), [good("joe")]);
    assert_eq!(lmtpd.connect().deliver(&["joe"], &hops(101)), ["554 5.4.6 Mail loop <joe>"]);
    lmtpd.stop();
    assert_eq!(["joe", "jane"].map(|user| texts(&it, &format!("user/{user}/INBOX")).len()), [2, 1]);
    set(&it, "local.delivery.maxreceived", "1");
    set(&it, "local.delivery.maxdeliveredto", "0");
    it.run_with("deliver", &["joe"], &hops(1)).ok();
    let (_, err) = it.run_with("deliver", &["joe", "jane"], &hops(2)).ended(65);
    assert_eq!(err.matches("mail loop: 2 Received lines").count(), 2, "{err}");
    it.run_with("deliver", &[joe], &round(50)).ok();
}

#[test]
fn what_takes_no_room_in_a_domain_keeps_nobody_out() {
    let it = Instance::new();
    it.accounts(&["bob@siroe.com", "eve@siroe.com"]);
    let path = it.base().join("config/directory.ldif");
    let text = std::fs::read_to_string(&path).unwrap();
    let domain = |messages: u32| {
        let entry = "dn: o=siroe.com,o=isp\nobjectClass: organization\nobjectClass: mailDomain\no: siroe.com\n";
        std::fs::write(&path, format!("{text}\n{entry}mailDomainMsgQuota: {messages}\n")).unwrap();
    };
    set(&it, "local.delivery.duplicatewindow", "600");
    set(&it, "store.quotaenforcement", "on");
    domain(1);
    let lmtpd = Lmtpd::start(&it);
    let (bob, eve) = ("bob@siroe.com", "eve@siroe.com");
    let good = |user: &str| format!("250 2.1.5 Delivered <{user}>");
    assert_eq!(lmtpd.connect().deliver(&[bob], ONE), [good(bob)]);
    // The domain is full, by this very message.
    assert_eq!(lmtpd.connect().deliver(&[bob], ONE), [good(bob)]);
    let full = |user: &str| format!("452 4.2.2 Over quota <{user}>");
    assert_eq!(lmtpd.connect().deliver(&[bob, eve], ONE), [good(bob), full(eve)]);
    // There is room for one more, and Bob, who is asked first, takes nothing: he has it, or is full himself.
    domain(2);
    assert_eq!(lmtpd.connect().deliver(&[bob, eve], ONE), [good(bob), good(eve)]);
    domain(3);
    let text = std::fs::read_to_string(&path).unwrap();
    let mail = format!("mail: {bob}\n");
    assert!(text.contains(&mail), "{text}");
    std::fs::write(&path, text.replace(&mail, &format!("{mail}mailMsgQuota: 0\n"))).unwrap();
    let two = ONE.replace("one", "two");
    assert_eq!(lmtpd.connect().deliver(&[bob, eve], &two), [full(bob), good(eve)]);
    assert_eq!([bob, eve].map(|user| it.uids(&format!("user/{user}/INBOX")).len()), [1, 2]);
    lmtpd.stop();
}
