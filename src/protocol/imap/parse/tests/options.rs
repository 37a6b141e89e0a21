//! Options that came after RFC 3501: of LIST, CREATE and SEARCH.

use super::*;

#[test]
fn extended_lists() {
    let list = |text: &str| match command(&format!("LIST {text}")) {
        Command::List(listing) => listing,
        other => panic!("{other:?}"),
    };
    let plain = Listing { reference: "a/".into(), patterns: vec!["%".into()], ..Listing::default() };
    assert_eq!(list("a/ %"), plain);
    // Each of these makes it an extended one.
    let extended = Listing { extended: true, ..plain };
    for text in ["() a/ %", "a/ (%)", "a/ % RETURN ()", "() \"a/\" ({1}\r\n%) return ()  "] {
        assert_eq!(list(text), extended, "{text}");
    }
    assert_eq!(
        list("(recursivematch SUBSCRIBED REMOTE SPECIAL-USE SUBSCRIBED) \"\" (INBOX \"a\\\"b\" \"\" Sent/%)").selection,
        Selection { subscribed: true, special_use: true, remote: true, recursive: true }
    );
    assert_eq!(list("\"\" (INBOX \"a\\\"b\" \"\" Sent/%)").patterns, ["INBOX", "a\"b", "", "Sent/%"]);
    assert_eq!(
        list(
            "\"\" * RETURN (CHILDREN STATUS (MESSAGES unseen) SPECIAL-USE MyRights subscribed status (UNSEEN UIDNEXT))"
        )
        .returns,
        Returns {
            subscribed: true,
            children: true,
            special_use: true,
            my_rights: true,
            status: vec![StatusItem::Messages, StatusItem::Unseen, StatusItem::UidNext]
        }
    );
    for (text, why) in [
        ("(RECURSIVEMATCH) \"\" *", "RECURSIVEMATCH needs another selection option in List"),
        ("(REMOTE RECURSIVEMATCH) \"\" *", "RECURSIVEMATCH needs another selection option in List"),
        ("(CHILDREN) \"\" *", "Invalid list option in List"),
        ("(SUBSCRIBED  REMOTE) \"\" *", "Invalid list option in List"),
        ("(SUBSCRIBED)", "Missing required argument to List"),
        ("(SUBSCRIBED", "Missing required argument to List"),
        ("(SUBSCRIBED)\"\" *", "Invalid syntax in List"),
        ("\"\" ()", "Invalid mailbox name in List"),
        ("\"\" (a b", "Missing required argument to List"),
        ("\"\" * x", "Unexpected extra arguments to List"),
        ("\"\" * RETURN", "Missing required argument to List"),
        ("\"\" * RETURN CHILDREN", "Invalid syntax in List"),
        ("\"\" * RETURN (REMOTE)", "Invalid list option in List"),
        ("\"\" * RETURN (STATUS)", "Invalid syntax in List"),
        ("\"\" * RETURN (STATUS ())", "Invalid status item in List"),
        ("\"\" * RETURN (STATUS (SIZES))", "Invalid status item in List"),
        ("\"\" * RETURN (CHILDREN) x", "Unexpected extra arguments to List"),
    ] {
        assert_eq!(bad(&format!("a LIST {text}")), why, "{text}");
    }
    let patterns = |count: usize| format!("a LIST \"\" ({})", vec!["x"; count].join(" "));
    assert!(parse(patterns(list::PATTERNS).as_bytes()).is_ok());
    assert_eq!(bad(&patterns(list::PATTERNS + 1)), "Too many arguments to List");
    assert_eq!(bad("a LSUB (SUBSCRIBED) \"\" *"), "Invalid string in Lsub");
}

#[test]
fn uses_and_result_options() {
    let uses = |text: &str| match command(&format!("CREATE {text}")) {
        Command::Create { mailbox, uses } => (mailbox, uses),
        other => panic!("{other:?}"),
    };
    assert_eq!(uses("x "), ("x".into(), None));
    assert_eq!(uses("\"a b\" (USE ())"), ("a b".into(), Some(vec![])));
    assert_eq!(uses("x (use (\\Sent \\x-Own))").1, Some(vec!["\\Sent".into(), "\\x-Own".into()]));
    for (text, why) in [
        ("x ()", "Invalid parameter in Create"),
        ("x (USE)", "Invalid syntax in Create"),
        ("x (USE (Sent))", "Invalid special use in Create"),
        ("x (USE (\\))", "Invalid special use in Create"),
        ("x (USE (\\Sent) USE (\\Junk))", "Invalid parameter in Create"),
        ("x (PARTITION second)", "Invalid parameter in Create"),
        ("x (USE (\\Sent)", "Missing required argument to Create"),
        ("x y", "Invalid syntax in Create"),
    ] {
        assert_eq!(bad(&format!("a CREATE {text}")), why, "{text}");
    }
    let returned = |text: &str| match command(&format!("UID SEARCH {text}")) {
        Command::Search { returned, key, .. } => (returned, key),
        other => panic!("{other:?}"),
    };
    let seen = Key::Flag(SystemFlag::Seen, true);
    assert_eq!(returned("SEEN"), (None, seen.clone()));
    assert_eq!(returned("RETURN () SEEN").0, Some(Returned { all: true, ..Returned::default() }));
    assert_eq!(returned("return (min COUNT min) CHARSET UTF-8 SEEN"), {
        (Some(Returned { min: true, count: true, ..Returned::default() }), seen)
    });
    assert_eq!(returned("RETURN (MAX ALL) 1:*").1, Key::Sequence(set(&[(1, 0)])));
    for (text, why) in [
        ("RETURN (UPDATE) SEEN", "Invalid return option in Search"),
        ("RETURN MIN SEEN", "Invalid syntax in Search"),
        ("RETURN (MIN)", "Missing required argument to Search"),
        ("RETURN", "Missing required argument to Search"),
        ("CHARSET UTF-8 RETURN (MIN) SEEN", "Invalid criteria in Search"),
        ("SEEN RETURN (MIN)", "Invalid criteria in Search"),
    ] {
        assert_eq!(bad(&format!("a SEARCH {text}")), why, "{text}");
    }
}
