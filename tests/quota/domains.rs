//! Quotas of domains: over IMAP, between users of two domains, and counted again.

use super::{TEXT, set};
use crate::imap::Client;
use crate::instance::Instance;
use crate::instance::imapd::Imapd;

/// Two users of a domain that may hold three messages, and one of another domain.
fn two_domains() -> Instance {
    let it = Instance::new();
    it.accounts(&["ann@siroe.com", "bob@siroe.com", "eve@sesta.com"]);
    let path = it.base().join("config/directory.ldif");
    let text = std::fs::read_to_string(&path).unwrap();
    let domain = "\ndn: o=siroe.com,o=isp\nobjectClass: organization\nobjectClass: mailDomain\no: siroe.com\nmailDomainMsgQuota: 3\n";
    std::fs::write(&path, text + domain).unwrap();
    it
}

fn last(client: &mut Client, command: &str) -> String {
    client.ask(command).pop().unwrap()
}

#[test]
pub fn the_quota_of_a_domain_holds_over_imap() {
    let it = two_domains();
    let imapd = Imapd::start(&it);
    let (mut ann, mut bob, mut eve) =
        (imapd.login("ann@siroe.com"), imapd.login("bob@siroe.com"), imapd.login("eve@sesta.com"));
    let append = |client: &mut Client| last(client, &format!("append INBOX {{{}+}}\r\n{TEXT}", TEXT.len()));
    assert!(last(&mut ann, "create Work").starts_with("OK"));
    for other in ["bob@siroe.com", "eve@sesta.com"] {
        for mailbox in ["Work", "INBOX"] {
            assert!(last(&mut ann, &format!("setacl {mailbox} {other} lrswit")).starts_with("OK"));
        }
    }
    assert!(append(&mut ann).starts_with("OK"));
    for client in [&mut ann, &mut bob, &mut eve] {
        assert!(append(client).starts_with("OK"));
        assert!(last(client, "select INBOX").starts_with("OK"));
    }
    let over = "NO [OVERQUOTA] Over quota";
    let work = "\"Shared Folders/User/ann@siroe.com/Work\"";
    assert_eq!((append(&mut ann).as_str(), append(&mut bob).as_str()), (over, over));
    assert_eq!(last(&mut ann, "copy 1 Work"), over);
    // From the other domain nothing comes in, whichever way; within the domain a move takes no room.
    assert_eq!(last(&mut eve, &format!("copy 1 {work}")), over);
    assert_eq!(last(&mut eve, &format!("move 1 {work}")), over);
    assert!(last(&mut bob, &format!("move 1 {work}")).starts_with("OK"));
    assert!(last(&mut ann, "move 1 Work").starts_with("OK"));
    assert_eq!((it.uids("user/ann@siroe.com/Work").len(), it.uids("user/eve@sesta.com/INBOX").len()), (2, 1));
    // A replacement takes no room, and out of the domain everything may go.
    assert!(last(&mut ann, &format!("replace 1 INBOX {{{}+}}\r\n{TEXT}", TEXT.len())).starts_with("OK"));
    assert_eq!(it.store().domain_usage("siroe.com").unwrap().messages, 3);
    set(&it, "store.quotaenforcement", "off");
    assert!(last(&mut eve, &format!("move 1 {work}")).starts_with("OK"));
    assert_eq!(it.store().domain_usage("siroe.com").unwrap().messages, 4);
    assert_eq!(it.store().domain_usage("sesta.com").unwrap().messages, 0);
}

#[test]
pub fn a_row_of_a_domain_that_cannot_be_read_is_counted_again() {
    let it = two_domains();
    for to in ["ann@siroe.com", "bob@siroe.com"] {
        it.run_with("deliver", &[to], TEXT).ok();
    }
    let size = it.store().domain_usage("siroe.com").unwrap().bytes;
    for repair in [&["reconstruct", "-q"][..], &["iminitquota", "-a"]] {
        it.store().spoil_domain("siroe.com").unwrap();
        assert!(it.store().domain_usage("siroe.com").is_err());
        it.run(repair[0], &repair[1..]).ok();
        let usage = it.store().domain_usage("siroe.com").unwrap();
        assert_eq!((usage.bytes, usage.messages), (size, 2), "{repair:?}");
    }
}
