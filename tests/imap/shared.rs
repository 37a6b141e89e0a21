//! Folders of others: who is told of them, and how (RFC 4314 section 4; RFC 2342; 2004Q2 Administration Guide, "About Shared Folders").

use super::{Client, Daemon};

/// The LIST responses to a command: attributes and name.
fn listed(client: &mut Client, command: &str) -> Vec<String> {
    let mut lines = client.ask(command);
    assert!(lines.pop().unwrap().starts_with("OK"), "{lines:?}");
    let shown = lines.iter().map(|line| line.strip_prefix("* LIST ").unwrap_or(line).replace(" \"/\" ", " "));
    shown.filter(|line| line.contains("Shared Folders")).collect()
}

fn ok(client: &mut Client, command: &str) {
    let last = client.ask(command).pop().unwrap();
    assert!(last.starts_with("OK"), "{command}: {last}");
}

#[test]
fn those_who_may_look_a_folder_up_are_told_of_it() {
    let daemon = Daemon::start(&["joe", "ann", "bob"], &[]);
    let (mut joe, mut ann, mut bob) = (daemon.login("joe"), daemon.login("ann"), daemon.login("bob"));
    for command in ["create Work/secret/open", "create Golf", "setacl Work/secret/open ann lr", "setacl Golf anyone lr"]
    {
        ok(&mut joe, command);
    }
    assert_eq!(
        listed(&mut ann, "list \"\" *"),
        [
            "(\\Noselect \\HasChildren) \"Shared Folders\"",
            "(\\Noselect \\HasChildren) \"Shared Folders/User\"",
            "(\\Noselect \\HasChildren) \"Shared Folders/User/joe\"",
            "(\\HasNoChildren) \"Shared Folders/User/joe/Golf\"",
            "(\\Noselect \\HasChildren) \"Shared Folders/User/joe/Work\"",
            "(\\Noselect \\HasChildren) \"Shared Folders/User/joe/Work/secret\"",
            "(\\HasNoChildren) \"Shared Folders/User/joe/Work/secret/open\"",
        ]
    );
    assert_eq!(listed(&mut ann, "list \"\" %"), ["(\\Noselect \\HasChildren) \"Shared Folders\""]);
    assert_eq!(
        listed(&mut ann, "list \"Shared Folders/User/\" %"),
        ["(\\Noselect \\HasChildren) \"Shared Folders/User/joe\""]
    );
    assert_eq!(listed(&mut ann, "list \"\" Sha"), [""; 0]);
    // The owner has his own names, and nobody is told of what he may not look up.
    assert_eq!(listed(&mut joe, "list \"\" *"), [""; 0]);
    let golf = "(\\HasNoChildren) \"Shared Folders/User/joe/Golf\"";
    assert_eq!(listed(&mut bob, "list \"\" *").last().unwrap(), golf);
    assert_eq!(listed(&mut bob, "list \"\" *").len(), 4);
    // Rights and figures come with the list.
    let lines = ann.ask("list \"\" \"Shared Folders/*/open\" return (myrights status (messages))").join("\n");
    assert!(lines.contains("* MYRIGHTS \"Shared Folders/User/joe/Work/secret/open\" lr"), "{lines}");
    assert!(lines.contains("* STATUS \"Shared Folders/User/joe/Work/secret/open\" (MESSAGES 0)"), "{lines}");
    // INBOX is the owner's own name; subscriptions are shown.
    ok(&mut joe, "setacl INBOX ann lrs");
    ok(&mut ann, "subscribe \"Shared Folders/User/joe\"");
    assert_eq!(
        listed(&mut ann, "list \"\" \"Shared Folders/User/%\" return (subscribed children)"),
        ["(\\Subscribed \\HasChildren) \"Shared Folders/User/joe\""]
    );
    // What is denied is gone at once, and so is what is renamed or deleted.
    ok(&mut joe, "setacl Golf -bob l");
    assert_eq!(listed(&mut bob, "list \"\" *"), [""; 0]);
    ok(&mut joe, "rename Golf Tennis");
    ok(&mut joe, "delete Work/secret/open");
    ok(&mut joe, "deleteacl INBOX ann");
    assert_eq!(
        listed(&mut ann, "list \"\" \"Shared Folders/User/*\""),
        [
            "(\\Noselect \\HasChildren) \"Shared Folders/User/joe\"",
            "(\\HasNoChildren) \"Shared Folders/User/joe/Tennis\""
        ]
    );
}

#[test]
fn an_owner_s_new_name_leads_to_the_same_folders() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let mut joe = daemon.login("joe");
    for command in ["create Golf", "setacl Golf ann lr", "create Jim", "setacl Jim jim lr", "logout"] {
        ok(&mut joe, command);
    }
    let store = daemon.store();
    let account = store.account_id("joe").unwrap().unwrap();
    let said = || store.lookups().unwrap().iter().map(|(who, name)| format!("{who}: {name}")).collect::<Vec<_>>();
    assert_eq!(said(), ["ann: user/joe/Golf", "jim: user/joe/Jim"]);
    store.account_rename(account, "jim", 1).unwrap();
    assert_eq!(said(), ["ann: user/jim/Golf"]);
    let mut ann = daemon.login("ann");
    assert_eq!(listed(&mut ann, "list \"\" */Golf"), ["(\\HasNoChildren) \"Shared Folders/User/jim/Golf\""]);
    store.account_delete(account, 1).unwrap();
    assert_eq!(said(), [""; 0]);
    assert_eq!(listed(&mut ann, "list \"\" *"), [""; 0]);
}

#[test]
pub fn listing_can_be_switched_off() {
    let daemon = Daemon::start(&["joe", "ann"], &[("local.store.sharedfolders", "off")]);
    let mut joe = daemon.login("joe");
    ok(&mut joe, "create Golf");
    ok(&mut joe, "setacl Golf ann lr");
    let mut ann = daemon.login("ann");
    assert_eq!(listed(&mut ann, "list \"\" *"), [""; 0]);
    // What is subscribed to stays in LSUB, and what may be read can be selected.
    ok(&mut ann, "subscribe \"Shared Folders/User/joe/Golf\"");
    assert_eq!(listed(&mut ann, "lsub \"\" *"), ["* LSUB () \"Shared Folders/User/joe/Golf\""]);
    ok(&mut ann, "select \"Shared Folders/User/joe/Golf\"");
}
