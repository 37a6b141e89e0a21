//! CONDSTORE and QRESYNC (RFC 7162), OBJECTID (RFC 8474), SAVEDATE (RFC 8514), and the items of STATUS.

use super::*;

fn opening(text: &str) -> Opening {
    match command(text) {
        Command::Select(opening) | Command::Examine(opening) => opening,
        other => panic!("{other:?}"),
    }
}

#[test]
fn mailboxes_are_opened_with_parameters() {
    let plain = Opening { mailbox: "x".into(), ..Opening::default() };
    assert_eq!(opening("SELECT x"), plain);
    assert_eq!(opening("EXAMINE x (condstore)  "), Opening { condstore: true, ..plain.clone() });
    let resync = |text: &str| opening(&format!("SELECT x (QRESYNC ({text}))")).resync.unwrap();
    let short = Resync { uidvalidity: 67890007, modseq: 90060115194045000, known: None, matched: None };
    assert_eq!(resync("67890007 90060115194045000"), short);
    let known = Some(set(&[(41, 211), (214, 541)]));
    assert_eq!(resync("67890007 90060115194045000 41:211,214:541"), Resync { known: known.clone(), ..short.clone() });
    let matched = Some((set(&[(1, 1), (4, 5)]), set(&[(41, 41), (48, 49)])));
    let both = "67890007 90060115194045000 41:211,214:541 (1,4:5 41,48:49)";
    assert_eq!(resync(both), Resync { known, matched: matched.clone(), ..short.clone() });
    assert_eq!(resync("67890007 90060115194045000 (1,4:5 41,48:49)"), Resync { matched, ..short });
    assert_eq!(resync("1 9223372036854775807").modseq, i64::MAX as u64);
    let two = opening("SELECT x (CONDSTORE QRESYNC (1 0))");
    assert!(two.condstore && two.resync.unwrap().modseq == 0);
    for (text, why) in [
        ("()", "Invalid parameter in Select"),
        ("(X)", "Invalid parameter in Select"),
        ("(CONDSTORE", "Missing required argument to Select"),
        ("(QRESYNC)", "Invalid syntax in Select"),
        ("(QRESYNC (0 1))", "Invalid number in Select"),
        ("(QRESYNC (1 -1))", "Invalid mod-sequence in Select"),
        ("(QRESYNC (1 9223372036854775808))", "Invalid mod-sequence in Select"),
        ("(QRESYNC (1))", "Invalid syntax in Select"),
        ("(QRESYNC (1 1 1:*))", "Invalid sequence in Select"),
        ("(QRESYNC (1 1 1:2 (1:2 3)))", "Invalid sequence in Select"),
        ("(QRESYNC (1 1 1:2 (1 *)))", "Invalid sequence in Select"),
        ("(QRESYNC (1 1 1:2 (1)))", "Invalid syntax in Select"),
        ("(QRESYNC (1 1 1:2 3))", "Invalid syntax in Select"),
        ("(QRESYNC (1 1) QRESYNC (1 1))", "Invalid parameter in Select"),
        ("(CONDSTORE) x", "Unexpected extra arguments to Select"),
    ] {
        assert_eq!(bad(&format!("a SELECT x {text}")), why, "{text}");
    }
}

#[test]
fn fetch_and_store_have_modifiers() {
    let fetch = |text: &str| match command(text) {
        Command::Fetch { items, modifiers, .. } => (items, modifiers),
        other => panic!("{other:?}"),
    };
    assert_eq!(fetch("FETCH 1 MODSEQ"), (vec![Item::Modseq], Modifiers::default()));
    let since = Modifiers { changed_since: Some(12345), ..Modifiers::default() };
    assert_eq!(fetch("FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)"), (vec![Item::Flags], since));
    let both = Modifiers { vanished: true, ..since };
    assert_eq!(fetch("UID FETCH 1:* FLAGS (vanished changedsince 12345)"), (vec![Item::Flags], both));
    let store = |text: &str| match command(text) {
        Command::Store { unchanged_since, op, silent, .. } => (unchanged_since, op, silent),
        other => panic!("{other:?}"),
    };
    assert_eq!(store("STORE 7 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Seen)"), (Some(0), FlagOp::Add, true));
    assert_eq!(store("UID STORE 7 (unchangedsince 320162338) FLAGS x y"), (Some(320162338), FlagOp::Replace, false));
    for (text, why) in [
        ("FETCH 1 FLAGS ()", "Invalid modifier in Fetch"),
        ("FETCH 1 FLAGS (CHANGEDSINCE)", "Invalid syntax in Fetch"),
        ("FETCH 1 FLAGS (CHANGEDSINCE x)", "Invalid mod-sequence in Fetch"),
        ("FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 1)", "Invalid modifier in Fetch"),
        ("FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", "Invalid modifier in Fetch"),
        ("UID FETCH 1 FLAGS (VANISHED)", "Invalid modifier in UID Fetch"),
        ("FETCH 1 FLAGS CHANGEDSINCE 1", "Invalid syntax in Fetch"),
        ("STORE 1 () FLAGS x", "Invalid modifier in Store"),
        ("STORE 1 (CHANGEDSINCE 1) FLAGS x", "Invalid modifier in Store"),
        ("STORE 1 (UNCHANGEDSINCE) FLAGS x", "Invalid syntax in Store"),
        ("STORE 1 (UNCHANGEDSINCE 1)FLAGS x", "Invalid syntax in Store"),
    ] {
        assert_eq!(bad(&format!("a {text}")), why, "{text}");
    }
}

#[test]
fn search_knows_mod_sequences() {
    let key = |text: &str| match command(&format!("SEARCH {text}")) {
        Command::Search { key, .. } => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key("MODSEQ 0"), Key::Modseq(0));
    assert_eq!(key("MODSEQ \"/flags/\\\\draft\" all 620162338"), Key::Modseq(620162338));
    assert_eq!(key("modseq \"/flags/$Work\" PRIV 1"), Key::Modseq(1));
    assert!(key("OR SEEN (NOT MODSEQ 3 DELETED)").has_modseq() && !key("OR SEEN NOT (DELETED 1)").has_modseq());
    for (text, why) in [
        ("MODSEQ", "Missing required argument to Search"),
        ("MODSEQ x", "Invalid mod-sequence in Search"),
        ("MODSEQ \"/flags/\" all 1", "Invalid criteria in Search"),
        ("MODSEQ \"/comment\" all 1", "Invalid criteria in Search"),
        ("MODSEQ \"/flags/x\" some 1", "Invalid criteria in Search"),
        ("MODSEQ \"/flags/x\" all", "Missing required argument to Search"),
    ] {
        assert_eq!(bad(&format!("a SEARCH {text}")), why, "{text}");
    }
    assert_eq!(
        command("STATUS x (HIGHESTMODSEQ)"),
        Command::Status { mailbox: "x".into(), items: vec![StatusItem::HighestModseq] }
    );
}

#[test]
fn objects_and_save_dates() {
    let key = |text: &str| match command(&format!("SEARCH {text}")) {
        Command::Search { key, .. } => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key("EMAILID M6d-99_ac"), Key::EmailId("M6d-99_ac".into()));
    assert_eq!(key("threadid T1"), Key::ThreadId("T1".into()));
    assert_eq!(key("SAVEDATESUPPORTED"), Key::All);
    let day = NaiveDate::from_ymd_opt(2004, 2, 1).unwrap();
    for (word, op) in [("BEFORE", DateOp::Before), ("ON", DateOp::On), ("SINCE", DateOp::Since)] {
        assert_eq!(key(&format!("SAVED{word} 1-Feb-2004")), Key::Saved(op, day));
    }
    assert!(matches!(
        command("FETCH 1 (EMAILID threadid SaveDate)"),
        Command::Fetch { items, .. } if items == [Item::EmailId, Item::ThreadId, Item::SaveDate]
    ));
    assert_eq!(
        command("STATUS x (size MAILBOXID AppendLimit)"),
        Command::Status {
            mailbox: "x".into(),
            items: vec![StatusItem::Size, StatusItem::MailboxId, StatusItem::AppendLimit]
        }
    );
    let long = "x".repeat(256);
    for (text, why) in [
        ("SEARCH EMAILID", "Missing required argument to Search"),
        ("SEARCH EMAILID \"M1\"", "Invalid object id in Search"),
        ("SEARCH THREADID a.b", "Invalid object id in Search"),
        (&format!("SEARCH THREADID {long}"), "Invalid object id in Search"),
        ("SEARCH SAVEDON 31-Feb-2004", "Invalid date in Search"),
        ("FETCH 1 EMAILIDS", "Invalid attribute in Fetch"),
        ("STATUS x (MAILBOXID (F1))", "Invalid status item in Status"),
    ] {
        assert_eq!(bad(&format!("a {text}")), why, "{text}");
    }
}
