//! Access control lists (RFC 4314) between several users; the dialogues have what one user sees.

use msgstore::store::{Acl, AclEntry, FolderPath, Rights};

use super::{Client, Daemon};

const WORK: &str = "\"Shared Folders/User/joe/Work\"";

fn last(client: &mut Client, command: &str) -> String {
    client.ask(command).pop().unwrap()
}

/// The answer without what differs from mailbox to mailbox.
fn outcome(client: &mut Client, command: &str) -> String {
    let answer = last(client, command);
    let word = |text: &str| text.split(' ').next().unwrap().to_owned();
    match answer.split_once('[') {
        Some((before, code)) => format!("{} {}", word(before), word(code.trim_end_matches(']'))).replace(']', ""),
        None => word(&answer),
    }
}

/// Gives ann these rights in a folder of joe's, besides his own.
pub fn grant(daemon: &Daemon, folder: &str, rights: &str) {
    let store = daemon.store();
    let joe = store.account_id("joe").unwrap().unwrap();
    let row = store.view(joe).unwrap().resolve(&FolderPath::parse(folder).unwrap()).unwrap().unwrap();
    let entry = |identifier: &str, rights| AclEntry { identifier: identifier.into(), rights };
    let mut list = vec![entry("joe", Rights::ALL)];
    let rights = Rights::parse(rights).unwrap();
    list.extend((rights != Rights::NONE).then(|| entry("ann", rights)));
    store.set_acl(joe, row.id, &Acl(list)).unwrap();
}

/// What somebody without `l` hears of a mailbox that is there is what everybody hears of one that is not, of an owner who is there or not.
#[test]
fn a_hidden_mailbox_looks_as_if_it_were_not_there() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let mut joe = daemon.login("joe");
    assert!(last(&mut joe, "create Work/below").starts_with("OK"));
    joe.append("Work", "", "a: 1\r\n\r\n");
    let mut ann = daemon.login("ann");
    ann.append("INBOX", "", "a: 1\r\n\r\n");
    let commands = [
        "select {}",
        "examine {}",
        "status {} (messages)",
        "getacl {}",
        "setacl {} ann lr",
        "setacl {} ann +lr",
        "deleteacl {} ann",
        "listrights {} ann",
        "myrights {}",
        "getquotaroot {}",
        "delete {}",
        "create {}",
        "rename {} Mine",
        "rename INBOX {}",
        "append {} {6}",
        "copy 1 {}",
        "move 1 {}",
        "uid copy 1 {}",
        "list \"\" {}",
        "list \"\" {} return (myrights status (messages))",
        "subscribe {}",
        "lsub \"\" {}",
        "unsubscribe {}",
    ];
    // All rights but those that show it, and none.
    for rights in ["", "swpd"] {
        for folder in ["INBOX", "Work", "Work/below"] {
            grant(&daemon, folder, rights);
        }
        for command in commands {
            let before = if command.contains(" 1 ") { "select INBOX" } else { "unselect" };
            ann.ask(before);
            let mut told = |name: &str| {
                let lines = ann.ask(&command.replacen("{}", &format!("\"{name}\""), 1));
                lines.join("\n").replace(name, "NAME")
            };
            let there = told("Shared Folders/User/joe/Work");
            for name in ["Work/below", "Nowhere", "Work/Nowhere", "INBOX", ""] {
                let name = format!("Shared Folders/User/joe/{name}");
                assert_eq!(told(name.trim_end_matches('/')), there, "{command} {name} with {rights:?}");
            }
            assert_eq!(told("Shared Folders/User/nobody/Work"), there, "{command} of nobody with {rights:?}");
            let tells_nothing = ["list", "subs", "lsub", "unsu"].iter().any(|word| command.starts_with(word));
            assert_eq!(
                there.ends_with("OK Completed"),
                tells_nothing && !command.starts_with("listr"),
                "{command}: {there}"
            );
        }
    }
    assert_eq!(last(&mut joe, "status Work (messages)"), "OK Completed");
}

/// Commands about a mailbox of another user, and the rights that each needs (RFC 4314 section 4 over the letters of RFC 2086). FOLDER is a folder with
/// one message, OTHER and THIRD are empty ones that have the same list.
const NEEDS: &[(&str, &str)] = &[
    ("status FOLDER (messages)", "r"),
    ("examine FOLDER", "r"),
    ("select FOLDER", "r"),
    ("append FOLDER {6+}\r\na: 1\r\n", "i"),
    ("getacl FOLDER", "a"),
    ("listrights FOLDER ann", "a"),
    ("myrights FOLDER", ""),
    ("setacl FOLDER bob +l", "a"),
    ("deleteacl FOLDER bob", "a"),
    ("@INBOX copy 1 FOLDER", "i"),
    ("@FOLDER fetch 1 (flags body[])", "r"),
    ("@FOLDER search all", "r"),
    ("@FOLDER sort (arrival) us-ascii all", "r"),
    ("@FOLDER copy 1 INBOX", "r"),
    ("@FOLDER store 1 +flags (\\Seen)", "rs"),
    ("@FOLDER store 1 -flags (\\Seen)", "rs"),
    ("@FOLDER store 1 +flags (\\Flagged)", "rw"),
    ("@FOLDER store 1 +flags (word)", "rw"),
    ("@FOLDER store 1 -flags (\\Deleted)", "rd"),
    ("@FOLDER expunge", "rd"),
    ("@FOLDER uid expunge 1", "rd"),
    ("@FOLDER move 1 INBOX", "rd"),
    ("create FOLDER/below", "c"),
    ("create FOLDER/deep/down", "c"),
    ("rename OTHER OTHER2", "c"),
    ("delete THIRD", "c"),
];

#[test]
fn each_command_needs_its_rights() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let (mut joe, mut ann) = (daemon.login("joe"), daemon.login("ann"));
    ann.append("INBOX", "", "a: 1\r\n\r\n");
    // Renames at the top need the owner; these folders lie below one whose list is theirs.
    let letters = Rights::LETTERS.chars().filter(|letter| *letter != 'l');
    let alone = letters.clone().map(|letter| format!("l{letter}"));
    let without = letters.map(|letter| Rights::LETTERS.replace(letter, ""));
    let mut cases = 0;
    for (number, rights) in alone.chain(without).chain(["l".into(), Rights::LETTERS.into()]).enumerate() {
        let top = format!("T{number}");
        let folders = [top.clone(), format!("{top}/folder"), format!("{top}/other"), format!("{top}/third")];
        for folder in &folders {
            assert!(last(&mut joe, &format!("create {folder}")).starts_with("OK"));
        }
        joe.append(&folders[1], "", "a: 1\r\n\r\n");
        for folder in &folders {
            grant(&daemon, folder, &rights);
        }
        let shared = |name: &str| format!("\"Shared Folders/User/joe/{top}/{name}\"");
        for (command, needed) in NEEDS {
            let mut words = command.replace("FOLDER/below", &shared("folder/below"));
            words = words.replace("FOLDER/deep/down", &shared("folder/deep/down"));
            words = words.replace("FOLDER", &shared("folder")).replace("OTHER2", &shared("other2"));
            words = words.replace("OTHER", &shared("other")).replace("THIRD", &shared("third"));
            let allowed = needed.chars().all(|letter| rights.contains(letter));
            let answer = match words.strip_prefix('@') {
                None => outcome(&mut ann, &words),
                Some(words) => {
                    let end = words
                        .char_indices()
                        .skip(1)
                        .find(|(at, c)| *c == ' ' && words[..*at].matches('"').count() != 1);
                    let (mailbox, words) = words.split_at(end.unwrap().0);
                    let opened = outcome(&mut ann, &format!("select {mailbox}"));
                    if !opened.starts_with("OK") {
                        assert!(!rights.contains('r') && needed.contains('r'), "{command} with {rights}");
                    }
                    let answer = if opened.starts_with("OK") { outcome(&mut ann, words.trim_start()) } else { opened };
                    ann.ask("unselect");
                    answer
                }
            };
            assert_eq!(answer.starts_with("OK"), allowed, "{command} with {rights}: {answer}");
            assert!(allowed || answer == "NO NOPERM", "{command} with {rights}: {answer}");
            if command.ends_with("move 1 INBOX") && allowed {
                joe.append(&folders[1], "", "a: 1\r\n\r\n");
            }
            cases += 1;
        }
        assert!(!daemon.log().contains("incident"), "{rights}");
    }
    assert_eq!(cases, NEEDS.len() * 18);
    // Nobody but the owner creates at the top, and a mailbox stays with its owner.
    assert_eq!(outcome(&mut ann, "create \"Shared Folders/User/joe/Top\""), "NO NOPERM");
    assert_eq!(outcome(&mut ann, "rename \"Shared Folders/User/joe/T17/folder\" Mine"), "NO CANNOT");
    assert_eq!(
        outcome(&mut ann, "rename \"Shared Folders/User/joe/T17/folder\" \"Shared Folders/User/joe/Top\""),
        "NO NOPERM"
    );
}

#[test]
fn flags_that_may_not_be_set_are_left_out() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let (mut joe, mut ann) = (daemon.login("joe"), daemon.login("ann"));
    assert!(last(&mut joe, "create Work").starts_with("OK"));
    assert!(last(&mut joe, "select Work").starts_with("OK"));
    ann.append("INBOX", "\\Seen \\Deleted \\Draft word", "a: 1\r\n\r\n");
    for (rights, flags) in [
        ("lri", ""),
        ("lris", "\\Seen"),
        ("lrid", "\\Deleted"),
        ("lriw", "\\Draft word"),
        ("lrisw", "\\Draft \\Seen word"),
    ] {
        grant(&daemon, "Work", rights);
        assert!(last(&mut ann, "select INBOX").starts_with("OK"));
        assert!(last(&mut ann, &format!("copy 1 {WORK}")).starts_with("OK [COPYUID"), "{rights}");
        assert!(ann.append(WORK, "\\Seen \\Deleted \\Draft word", "a: 2\r\n\r\n").starts_with("OK"), "{rights}");
        assert!(last(&mut ann, &format!("examine {WORK}")).starts_with("OK"));
        let told = ann.ask("uid fetch *,1:* (flags)");
        for line in &told[told.len() - 3..told.len() - 1] {
            assert!(
                line.replace(" \\Recent", "").replace("\\Recent", "").ends_with(&format!("FLAGS ({flags}))")),
                "{rights}: {line}"
            );
        }
    }
    // The keyword is one of joe's account only since somebody might set it there.
    assert!(joe.ask("select Work").iter().any(|line| line.contains("FLAGS (") && line.contains("word")));
    // A STORE does what it may, and fails when it may do nothing; reading does not fail because of \Seen.
    grant(&daemon, "Work", "lrw");
    assert!(last(&mut ann, &format!("select {WORK}")).starts_with("OK [READ-WRITE]"));
    assert_eq!(ann.ask("store 1 +flags (\\Flagged \\Deleted)"), ["* 1 FETCH (FLAGS (\\Flagged))", "OK Completed"]);
    assert_eq!(last(&mut ann, "store 1 +flags (\\Deleted \\Seen)"), "NO [NOPERM] Permission denied");
    assert!(ann.ask("fetch 1 body[]").iter().all(|line| !line.contains("\\Seen")));
    assert_eq!(ann.ask("store 1 flags (\\Seen)"), ["* 1 FETCH (FLAGS ())", "OK Completed"]);
    assert_eq!(last(&mut ann, "close"), "OK Completed");
}

#[test]
fn messages_go_from_one_user_to_another() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let (mut joe, mut ann) = (daemon.login("joe"), daemon.login("ann"));
    assert!(last(&mut joe, "create Work").starts_with("OK"));
    for number in 1..=3 {
        joe.append("Work", "", &format!("a: {number}\r\n\r\n"));
    }
    assert!(last(&mut joe, "setacl Work ann lrswid").starts_with("OK"));
    assert!(last(&mut joe, "select Work").starts_with("OK"));
    assert!(ann.ask(&format!("select {WORK}")).contains(&"* 0 RECENT".to_owned()));
    assert!(ann.ask("move 2 INBOX").iter().any(|line| line.starts_with("* 2 EXPUNGE")));
    assert!(last(&mut ann, "copy 1 INBOX").starts_with("OK [COPYUID"));
    assert_eq!(ann.ask("status INBOX (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 2)");
    // The other session is told, and \Recent is still the owner's.
    assert!(joe.ask("noop").contains(&"* 2 EXPUNGE".to_owned()));
    ann.append(WORK, "", "a: 4\r\n\r\n");
    assert!(joe.ask("noop").contains(&"* 3 RECENT".to_owned()));
    // One transaction is one account's.
    assert_eq!(
        last(&mut ann, "replace 1 INBOX {6+}\r\na: 5\r\n"),
        "NO [CANNOT] The mailboxes belong to different users"
    );
    assert!(last(&mut ann, &format!("replace 1 {WORK} {{6+}}\r\na: 5\r\n")).starts_with("OK"));
    assert!(last(&mut joe, "setacl Work ann lrswi").starts_with("OK"));
    assert_eq!(last(&mut ann, &format!("replace 1 {WORK} {{6+}}\r\na: 5\r\n")), "NO [NOPERM] Permission denied");
    assert_eq!(last(&mut ann, "move 1 INBOX"), "NO [NOPERM] Permission denied");
    assert_eq!(ann.ask("status INBOX (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 2)");
    // How full the owner's account is is his business.
    assert_eq!(
        ann.ask(&format!("getquotaroot {WORK}")),
        [format!("* QUOTAROOT {WORK} user/joe"), "OK Completed".into()]
    );
    let log = daemon.log();
    assert!(log.contains("acl: joe at user/joe/Work: ann lrswid (was nothing)"), "{log}");
    assert!(log.contains("acl: joe at user/joe/Work: ann lrswi (was lrswid)"), "{log}");
}

/// Rights that are taken away while a mailbox is selected count from the next command on, and nothing is told of it any more.
#[test]
fn who_may_not_read_any_more_is_told_nothing() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let (mut joe, mut ann) = (daemon.login("joe"), daemon.login("ann"));
    assert!(last(&mut joe, "create Work").starts_with("OK"));
    joe.append("Work", "", "a: 1\r\n\r\n");
    assert!(last(&mut joe, "setacl Work anyone lrs").starts_with("OK"));
    assert!(last(&mut ann, &format!("select {WORK}")).starts_with("OK [READ-WRITE]"));
    assert!(last(&mut joe, "setacl Work anyone lrswd").starts_with("OK"));
    let told = ann.ask("noop");
    assert_eq!(told[1], "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Draft \\Deleted \\Seen \\*)] Ok", "{told:?}");
    assert!(last(&mut joe, "setacl Work -ann r").starts_with("OK"));
    joe.append("Work", "", "a: 2\r\n\r\n");
    assert_eq!(ann.ask("noop"), ["OK Completed"]);
    for command in [
        "fetch 1 flags",
        "search all",
        "sort (arrival) utf-8 all",
        "sort (subject) utf-8 all",
        "thread references utf-8 all",
        "store 1 +flags (\\Seen)",
        "copy 1 INBOX",
        "expunge",
    ] {
        assert_eq!(ann.ask(command), ["NO [NOPERM] Permission denied"], "{command}");
    }
    assert_eq!(ann.ask(&format!("myrights {WORK}"))[0], format!("* MYRIGHTS {WORK} lswted"));
    assert!(last(&mut joe, "deleteacl Work -ann").starts_with("OK"));
    assert!(ann.ask("noop").contains(&"* 2 EXISTS".to_owned()));
    assert_eq!(ann.ask("fetch 2 flags")[0], "* 2 FETCH (FLAGS (\\Recent))");
}

#[test]
pub fn only_administrators_give_rights_to_everybody_where_that_is_restricted() {
    let daemon = Daemon::start(
        &["joe", "boss"],
        &[("store.privatesharedfolders.restrictanyone", "yes"), ("store.admins", "boss")],
    );
    let (mut joe, mut boss) = (daemon.login("joe"), daemon.login("boss"));
    assert!(last(&mut joe, "create Work").starts_with("OK"));
    for identifier in ["anyone", "ANYONE", "anyone@example.org"] {
        assert_eq!(last(&mut joe, &format!("setacl Work {identifier} lr")), "NO [NOPERM] Permission denied");
        let nothing = format!("* LISTRIGHTS \"Work\" \"{identifier}\" \"\"");
        assert_eq!(joe.ask(&format!("listrights Work {identifier}")), [nothing, "OK Completed".into()]);
    }
    assert_eq!(last(&mut joe, "setacl Work -anyone w"), "OK Completed");
    assert_eq!(last(&mut boss, &format!("setacl {WORK} anyone lr")), "OK Completed");
    assert_eq!(last(&mut joe, "deleteacl Work anyone"), "OK Completed");
}

#[test]
#[allow(clippy::disallowed_methods)]
fn groups_domains_and_denials_count() {
    let daemon = Daemon::start(&["joe", "ann", "eve@other.org"], &[]);
    let file = daemon.dir.path().join("config/directory.ldif");
    let entries = std::fs::read_to_string(&file).unwrap();
    let changed = entries.replacen("uid: ann\n", "uid: ann\naclGroupAddr: Staff@example.org\n", 1);
    assert_ne!(entries, changed);
    std::fs::write(&file, changed).unwrap();
    let (mut joe, mut ann, mut eve) = (daemon.login("joe"), daemon.login("ann"), daemon.login("eve@other.org"));
    assert!(last(&mut joe, "create Work").starts_with("OK"));
    let mut rights = |changes: &[&str], client: &mut Client| {
        for change in changes {
            assert!(last(&mut joe, &format!("setacl Work {change}")).starts_with("OK"), "{change}");
        }
        client.ask(&format!("myrights {WORK}")).remove(0)
    };
    let told = |letters: &str| format!("* MYRIGHTS {WORK} {letters}");
    let nothing = "NO [NONEXISTENT] Mailbox does not exist";
    assert_eq!(rights(&["group=staff@example.org lrs"], &mut ann), told("lrs"));
    assert_eq!(rights(&[], &mut eve), nothing);
    assert_eq!(rights(&["anyone@other.org lr"], &mut eve), told("lr"));
    assert_eq!(rights(&["anyone@example wi"], &mut ann), told("lrswi"));
    assert_eq!(rights(&["-group=STAFF@example.org w"], &mut ann), told("lrsi"));
    assert_eq!(rights(&["-anyone i", "anyone p"], &mut ann), told("lrsp"));
    assert_eq!(rights(&["-eve@other.org lr"], &mut eve), nothing);
    assert_eq!(rights(&["eve@other.org lra"], &mut eve), told("pa"));
}

/// RENAME of INBOX moves its messages into a folder with another list: who may not read and remove them may not do that.
#[test]
fn the_messages_of_an_inbox_do_not_go_by_rename_without_the_rights_of_move() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let mut joe = daemon.login("joe");
    last(&mut joe, "create Work");
    joe.append("INBOX", "", "a: 1\r\n\r\n");
    grant(&daemon, "Work", "lrc");
    let mut ann = daemon.login("ann");
    let command = format!("rename \"Shared Folders/User/joe\" {}", WORK.replace("Work", "Work/Taken"));
    for rights in ["lc", "lrc", "lcd"] {
        grant(&daemon, "INBOX", rights);
        assert_eq!(outcome(&mut ann, &command), "NO NOPERM", "{rights}");
    }
    assert_eq!(joe.ask("status INBOX (messages)")[0], "* STATUS \"INBOX\" (MESSAGES 1)");
    grant(&daemon, "INBOX", "lrcd");
    assert_eq!(outcome(&mut ann, &command), "OK");
    assert_eq!(joe.ask("status Work/Taken (messages)")[0], "* STATUS \"Work/Taken\" (MESSAGES 1)");
}

/// A name that DELETE leaves has the list of a new mailbox: nobody could change the old one.
#[test]
fn a_name_without_a_mailbox_keeps_nobodys_rights() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let mut joe = daemon.login("joe");
    last(&mut joe, "create Work/below");
    grant(&daemon, "Work", "lrc");
    last(&mut joe, "delete Work");
    let mut ann = daemon.login("ann");
    assert_eq!(outcome(&mut ann, &format!("create {}", WORK.replace("Work", "Work/hers"))), "NO NOPERM");
    assert_eq!(outcome(&mut ann, &format!("rename {WORK} {}", WORK.replace("Work", "Gone"))), "NO NONEXISTENT");
    assert_eq!(outcome(&mut joe, "delete Work"), "NO HASCHILDREN");
}

/// What is hidden is not told by the ways around the commands: normal forms, children, numbers of messages.
#[test]
fn nothing_is_told_of_what_may_not_be_looked_up() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let mut joe = daemon.login("joe");
    for folder in ["Work/below", "Drop", "cafe&AwE-"] {
        assert!(last(&mut joe, &format!("create {folder}")).starts_with("OK"));
    }
    grant(&daemon, "Work", "lr");
    grant(&daemon, "Work/below", "");
    grant(&daemon, "Drop", "i");
    let mut ann = daemon.login("ann");
    ann.append("INBOX", "", "a: 1\r\n\r\n");
    ann.ask("enable imap4rev2");
    for name in ["cafe\u{301}", "the\u{301}"] {
        assert_eq!(last(&mut ann, &format!("subscribe \"Shared Folders/User/joe/{name}\"")), "OK Completed");
    }
    let listed = ann.ask("lsub \"\" \"*\"").join("\n");
    assert!(listed.contains("joe/caf\u{e9}\"") && listed.contains("joe/th\u{e9}\""), "{listed}");
    let list = |lines: Vec<String>| lines.into_iter().find(|line| line.starts_with("* LIST")).unwrap();
    assert!(list(ann.ask(&format!("select {WORK}"))).contains("\\HasNoChildren"));
    // A subscribed folder of somebody else is there.
    last(&mut ann, &format!("subscribe {WORK}"));
    let listed = list(ann.ask("list (subscribed) \"\" \"*Work\" return (children status (messages))"));
    assert_eq!(listed, format!("* LIST (\\Subscribed \\HasNoChildren) \"/\" {WORK}"));
    grant(&daemon, "Work/below", "l");
    assert!(list(ann.ask(&format!("examine {WORK}"))).contains("\\HasChildren"));
    // Who may not select a mailbox is not told of its UIDs.
    ann.ask("select INBOX");
    let drop = WORK.replace("Work", "Drop");
    for command in [format!("append {drop} {{6+}}\r\na: 1\r\n"), format!("copy 1 {drop}"), format!("move 1 {drop}")] {
        let answer = ann.ask(&command);
        assert!(answer.last().unwrap().starts_with("OK Completed"), "{answer:?}");
        assert!(!answer.iter().any(|line| line.contains("UID ")), "{answer:?}");
    }
}

/// A long command looks at the rights before each step.
#[test]
fn a_fetch_that_lasts_ends_when_the_right_is_taken() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let mut joe = daemon.login("joe");
    last(&mut joe, "create Work");
    let body = format!("a: 1\r\n\r\n{}", "0123456789abcdef\r\n".repeat(6000));
    for _ in 0..20 {
        joe.append("Work", "", &body);
    }
    joe.ask("select Work");
    for _ in 0..4 {
        joe.ask("copy 1:20 Work");
        joe.ask("noop");
    }
    for _ in 0..2 {
        joe.ask("copy 1:* Work");
        joe.ask("noop");
    }
    grant(&daemon, "Work", "lr");
    let mut ann = daemon.login("ann");
    ann.ask(&format!("select {WORK}"));
    ann.send("z fetch 1:* (body.peek[])\r\n");
    // The client reads one line and no more: the server is stuck in the middle of 40 megabytes.
    assert!(ann.line().starts_with("* 1 FETCH"));
    grant(&daemon, "Work", "");
    let answer = ann.until("z");
    assert!(answer.last().unwrap().starts_with("NO [NOPERM]"), "{:?}", answer.last());
    assert!(answer.len() > 1);
}

/// Keywords belong to the account: who is not the owner leaves half of the places to him.
#[test]
fn others_do_not_use_up_the_keywords() {
    let daemon = Daemon::start(&["joe", "ann"], &[]);
    let mut joe = daemon.login("joe");
    last(&mut joe, "create Work");
    joe.append("Work", "", "a: 1\r\n\r\n");
    grant(&daemon, "Work", "lrw");
    let mut ann = daemon.login("ann");
    ann.ask(&format!("select {WORK}"));
    let names = |from: u32, to: u32| (from..to).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
    assert_eq!(outcome(&mut ann, &format!("store 1 +flags ({})", names(0, 64))), "OK");
    assert_eq!(outcome(&mut ann, "store 1 +flags (more)"), "NO LIMIT");
    assert_eq!(outcome(&mut ann, "store 1 -flags (word1)"), "OK");
    assert_eq!(outcome(&mut ann, "store 1 +flags (WORD1)"), "OK");
    joe.ask("select Work");
    assert_eq!(outcome(&mut joe, &format!("store 1 +flags ({})", names(64, 128))), "OK");
}
