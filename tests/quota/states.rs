//! The states of an account (2004Q2 guide, table 18-6) in every service.

use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use crate::instance::lmtpd::Lmtpd;
use crate::instance::popd::{self, Popd};

use super::{TEXT, attribute};

/// The state, may its owner log in, the reply to RCPT (or to the message), the exit code of deliver.
const STATES: &[(&str, bool, &str, i32)] = &[
    ("active", true, "250", 0),
    ("inactive", false, "450", 75),
    ("hold", false, "450", 75),
    ("overquota", true, "452", 75),
    ("deleted", false, "550", 67),
    ("removed", false, "550", 67),
    ("disabled", false, "550", 67),
    ("nonsense", false, "450", 75),
];

fn every_service(it: &Instance, change: &dyn Fn(&str), only: &[&str]) {
    let (imapd, popd, lmtpd) = (Imapd::start(it), Popd::start(it), Lmtpd::start(it));
    for (state, in_, reply, code) in STATES.iter().filter(|row| only.is_empty() || only.contains(&row.0)) {
        change(state);
        let said = imapd.connect().ask("login joe secret");
        assert_eq!(said[0].starts_with("OK "), *in_, "{state}: {said:?}");
        if !in_ {
            assert_eq!(said, ["NO [AUTHORIZATIONFAILED] Account disabled"], "{state}");
        }
        let mut pop = popd.connect();
        popd::say(&mut pop, "USER joe");
        let said = popd::say(&mut pop, "PASS secret");
        assert_eq!(said.starts_with("+OK"), *in_, "{state}: {said}");
        let mut wire = lmtpd.connect();
        wire.ask("MAIL FROM:<a@b>");
        let said = wire.ask("RCPT TO:<joe@example.org>");
        assert!(said.starts_with(reply), "{state}: {said}");
        assert_eq!(it.run_with("deliver", &["joe"], TEXT).code, *code, "{state}");
    }
}

#[test]
fn each_state_means_the_same_everywhere() {
    let it = Instance::with(&[("service.authfailpause", "0")]);
    it.accounts(&["joe"]);
    every_service(&it, &|state| attribute(&it, "joe", "mailUserStatus", state), &[]);
    assert_eq!(it.uids("user/joe/INBOX").len(), 1);
    let log = |name: &str| std::fs::read_to_string(it.base().join("data/log").join(name)).unwrap();
    for (name, states) in [
        ("imap", ["inactive", "hold", "deleted"]),
        ("pop", ["inactive", "hold", "deleted"]),
        ("lmtp", ["inactive", "hold", "deleted"]),
    ] {
        for state in states {
            assert!(log(name).contains(&format!("account disabled ({state})")), "{name}: {state}: {}", log(name));
        }
    }
    // Mail that passes quotas passes that state, and no other.
    attribute(&it, "joe", "mailUserStatus", "overquota");
    assert_eq!(it.run_with("deliver", &["-q", "joe"], TEXT).code, 0);
    attribute(&it, "joe", "mailUserStatus", "hold");
    assert_eq!(it.run_with("deliver", &["-q", "joe"], TEXT).code, 75);
}

#[test]
fn the_state_of_the_domain_and_inetuserstatus_count_too() {
    let it = Instance::with(&[("service.authfailpause", "0")]);
    it.accounts(&["joe"]);
    every_service(&it, &|state| attribute(&it, "joe", "inetUserStatus", state), &["inactive", "deleted"]);
    attribute(&it, "joe", "inetUserStatus", "active");
    let path = it.base().join("config/directory.ldif");
    let before = std::fs::read_to_string(&path).unwrap();
    let domain = |state: &str| {
        let entry =
            format!("\ndn: o=example.org,o=isp\nobjectClass: mailDomain\no: example.org\nmailDomainStatus: {state}\n");
        let new = path.with_extension("new");
        std::fs::write(&new, before.clone() + &entry).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    every_service(&it, &domain, &[]);
}
