//! SORT, THREAD, and the search keys, result options and modifiers that came with SEARCHRES, WITHIN and PARTIAL.

use super::*;

fn sorted(text: &str) -> (bool, Option<Returned>, Vec<Criterion>, String, Key) {
    match command(text) {
        Command::Sort { uid, returned, criteria, charset, key } => (uid, returned, criteria, charset, key),
        other => panic!("{other:?}"),
    }
}

fn window(from_end: bool, first: u32, last: u32) -> Option<Window> {
    Some(Window { from_end, first, last })
}

#[test]
fn sorts() {
    // The examples of RFC 5256 section 3.
    let (uid, returned, criteria, charset, key) = sorted("SORT (SUBJECT) UTF-8 SINCE 1-Feb-1994");
    let plain = |by| Criterion { reverse: false, by };
    assert_eq!((uid, returned, criteria, charset.as_str()), (false, None, vec![plain(By::Subject)], "UTF-8"));
    assert_eq!(key, Key::Internal(DateOp::Since, chrono::NaiveDate::from_ymd_opt(1994, 2, 1).unwrap()));
    let (_, _, criteria, charset, key) = sorted("SORT (SUBJECT REVERSE DATE) UTF-8 ALL");
    assert_eq!(criteria, [plain(By::Subject), Criterion { reverse: true, by: By::Date }]);
    assert_eq!((charset.as_str(), key), ("UTF-8", Key::All));
    assert!(sorted("uid sort (arrival) us-ascii text {5}\r\nhello").0);
    let all = "(ARRIVAL CC DATE DISPLAYFROM DISPLAYTO FROM SIZE SUBJECT TO)";
    assert_eq!(sorted(&format!("SORT {all} \"utf-8\" 1:* SEEN")).2.len(), 9);
    // RFC 5267 section 3.
    let returned = sorted("SORT RETURN (MIN PARTIAL -1:-5) (DATE) UTF-8 UNDELETED UNSEEN").1.unwrap();
    assert_eq!(returned, Returned { min: true, partial: window(true, 1, 5), ..Returned::default() });
    for (text, why) in [
        ("SORT", "Missing required argument to Sort"),
        ("SORT ()", "Invalid sort criterion in Sort"),
        ("SORT () UTF-8 ALL", "Invalid sort criterion in Sort"),
        ("SORT (BCC) UTF-8 ALL", "Invalid sort criterion in Sort"),
        ("SORT (REVERSE) UTF-8 ALL", "Invalid syntax in Sort"),
        ("SORT (REVERSE REVERSE DATE) UTF-8 ALL", "Invalid sort criterion in Sort"),
        ("SORT (DATE", "Missing required argument to Sort"),
        ("SORT DATE UTF-8 ALL", "Invalid sort criterion in Sort"),
        ("SORT (DATE) UTF-8", "Missing required argument to Sort"),
        ("SORT (DATE)", "Missing required argument to Sort"),
        ("SORT (DATE) UTF-8 SUNDAY", "Invalid criteria in Sort"),
        ("SORT RETURN (MIN PARTIAL 1:2 ALL) (DATE) UTF-8 ALL", "Invalid return option in Sort"),
        ("SORT RETURN (MIN) UTF-8 ALL", "Invalid syntax in Sort"),
        ("UID SORT (DATE) UTF-8", "Missing required argument to UID Sort"),
    ] {
        assert_eq!(bad(&format!("a {text}")), why, "{text}");
    }
    let many = |count: usize| format!("a SORT ({}) UTF-8 ALL", vec!["DATE"; count].join(" "));
    assert!(parse(many(super::super::sort::CRITERIA).as_bytes()).is_ok());
    assert_eq!(bad(&many(super::super::sort::CRITERIA + 1)), "Too many arguments to Sort");
}

#[test]
fn threads() {
    let threaded = |text: &str| match command(text) {
        Command::Thread { uid, algorithm, charset, key } => (uid, algorithm, charset, key),
        other => panic!("{other:?}"),
    };
    // RFC 5256 section 3.
    assert_eq!(threaded("THREAD ORDEREDSUBJECT UTF-8 SINCE 5-MAR-2000").1, Algorithm::OrderedSubject);
    let (uid, algorithm, charset, key) = threaded("uid thread references us-ascii text \"gewp\"");
    assert_eq!((uid, algorithm, charset.as_str()), (true, Algorithm::References, "us-ascii"));
    assert_eq!(key, Key::Text(b"gewp".to_vec()));
    for (text, why) in [
        ("THREAD", "Missing required argument to Thread"),
        ("THREAD REFS UTF-8 ALL", "Invalid thread algorithm in Thread"),
        ("THREAD REFERENCES", "Missing required argument to Thread"),
        ("THREAD REFERENCES UTF-8", "Missing required argument to Thread"),
        ("THREAD (REFERENCES) UTF-8 ALL", "Invalid thread algorithm in Thread"),
        ("THREAD RETURN (MIN) REFERENCES UTF-8 ALL", "Invalid thread algorithm in Thread"),
    ] {
        assert_eq!(bad(&format!("a {text}")), why, "{text}");
    }
}

#[test]
fn saved_results_and_windows() {
    let saved = SequenceSet(vec![(Bound::Saved, Bound::Saved)]);
    assert!(saved.is_saved() && !set(&[(1, 0)]).is_saved());
    assert_eq!((saved.resolve(9), saved.largest(), saved.has_last()), (vec![], 0, false));
    assert_eq!(command("UID EXPUNGE $"), Command::UidExpunge(saved.clone()));
    assert_eq!(command("COPY $ x"), Command::Copy { uid: false, set: saved.clone(), mailbox: "x".into() });
    let key = |text: &str| match command(&format!("SEARCH {text}")) {
        Command::Search { returned, key, .. } => (returned, key),
        other => panic!("{other:?}"),
    };
    assert_eq!(key("$").1, Key::Sequence(saved.clone()));
    assert_eq!(key("UID $ SEEN").1, Key::And(vec![Key::Uid(saved), Key::Flag(SystemFlag::Seen, true)]));
    assert_eq!(key("RETURN (SAVE) ALL").0, Some(Returned { save: true, ..Returned::default() }));
    assert!(!key("RETURN (SAVE) ALL").0.unwrap().tells() && key("RETURN (SAVE MIN) ALL").0.unwrap().tells());
    assert_eq!(key("RETURN (PARTIAL 500:1) ALL").0.unwrap().partial, window(false, 500, 1));
    assert_eq!(key("OR OLDER 1 YOUNGER 4294967295").1, {
        Key::Or(Box::new(Key::Older(1)), Box::new(Key::Younger(u32::MAX)))
    });
    let fetched = |text: &str| match command(&format!("UID FETCH {text}")) {
        Command::Fetch { set, items, modifiers, .. } => (set.is_saved(), items.len(), modifiers.partial),
        other => panic!("{other:?}"),
    };
    assert_eq!(fetched("$ (UID FLAGS) (PARTIAL -1:-30)"), (true, 2, window(true, 1, 30)));
    assert_eq!(fetched("1:* FLAGS (partial 1:1)  "), (false, 1, window(false, 1, 1)));
    for (text, why) in [
        ("SEARCH $,1", "Invalid syntax in Search"),
        ("FETCH 1,$ FLAGS", "Invalid sequence in Fetch"),
        ("FETCH $:* FLAGS", "Invalid syntax in Fetch"),
        ("SEARCH OLDER 0", "Invalid number in Search"),
        ("SEARCH YOUNGER -1", "Invalid number in Search"),
        ("SEARCH OLDER", "Missing required argument to Search"),
        ("SEARCH RETURN (PARTIAL) ALL", "Invalid syntax in Search"),
        ("SEARCH RETURN (PARTIAL 0:1) ALL", "Invalid partial range in Search"),
        ("SEARCH RETURN (PARTIAL 1:*) ALL", "Invalid partial range in Search"),
        ("SEARCH RETURN (PARTIAL -1:5) ALL", "Invalid partial range in Search"),
        ("SEARCH RETURN (PARTIAL 1) ALL", "Invalid partial range in Search"),
        ("SEARCH RETURN (PARTIAL 1:4294967296) ALL", "Invalid partial range in Search"),
        ("SEARCH RETURN (ALL PARTIAL 1:2) ALL", "Invalid return option in Search"),
        ("SEARCH RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL", "Invalid return option in Search"),
        ("FETCH 1 FLAGS (PARTIAL 1:2 PARTIAL 1:2)", "Invalid modifier in Fetch"),
        ("FETCH 1 FLAGS (PARTIAL)", "Invalid syntax in Fetch"),
        ("FETCH 1 FLAGS ()", "Invalid modifier in Fetch"),
        ("FETCH 1 FLAGS (LAST 5)", "Invalid modifier in Fetch"),
        ("FETCH 1 FLAGS PARTIAL", "Invalid syntax in Fetch"),
    ] {
        assert_eq!(bad(&format!("a {text}")), why, "{text}");
    }
}
