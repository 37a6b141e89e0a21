//! COMPRESS, UNAUTHENTICATE, QUOTA, the items of BINARY and PREVIEW, names in UTF-8.

use super::*;

#[test]
fn commands_about_the_connection() {
    assert_eq!(command("unauthenticate"), Command::Unauthenticate);
    assert_eq!(command("COMPRESS deflate"), Command::Compress("DEFLATE".into()));
    assert_eq!(bad("a UNAUTHENTICATE x"), "Unexpected extra arguments to Unauthenticate");
    assert_eq!(bad("a COMPRESS"), "Missing required argument to Compress");
    assert_eq!(bad("a COMPRESS (DEFLATE)"), "Invalid mechanism in Compress");
}

/// The examples of RFC 9208 section 4.1.
#[test]
fn quota() {
    assert_eq!(command("GETQUOTA \"!partition/sda4\""), Command::GetQuota("!partition/sda4".into()));
    assert_eq!(command("GETQUOTAROOT INBOX"), Command::GetQuotaRoot("INBOX".into()));
    assert_eq!(
        command("SETQUOTA \"\" (storage 512 MESSAGE 9223372036854775807)"),
        Command::SetQuota {
            root: String::new(),
            limits: vec![("STORAGE".into(), 512), ("MESSAGE".into(), i64::MAX as u64)]
        }
    );
    assert_eq!(command("SETQUOTA x ()"), Command::SetQuota { root: "x".into(), limits: vec![] });
    assert_eq!(
        command("STATUS x (deleted DELETED-STORAGE)"),
        Command::Status { mailbox: "x".into(), items: vec![StatusItem::Deleted, StatusItem::DeletedStorage] }
    );
    for (text, why) in [
        ("GETQUOTA", "Missing required argument to Getquota"),
        ("SETQUOTA x", "Missing required argument to Setquota"),
        ("SETQUOTA x STORAGE 1", "Invalid syntax in Setquota"),
        ("SETQUOTA x (STORAGE)", "Invalid syntax in Setquota"),
        ("SETQUOTA x (STORAGE -1)", "Invalid number in Setquota"),
        ("SETQUOTA x (STORAGE 9223372036854775808)", "Invalid number in Setquota"),
    ] {
        assert_eq!(bad(&format!("a {text}")), why, "{text}");
    }
    let many = vec!["STORAGE 1"; 17].join(" ");
    assert_eq!(bad(&format!("a SETQUOTA x ({many})")), "Too many arguments to Setquota");
}

fn items(text: &str) -> Vec<Item> {
    match command(&format!("FETCH 1 {text}")) {
        Command::Fetch { items, .. } => items,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fetch_items() {
    let binary = |peek, part: &[u32], partial| Item::Binary { peek, part: part.to_vec(), partial };
    assert_eq!(items("binary[]"), [binary(false, &[], None)]);
    assert_eq!(
        items("(BINARY.PEEK[1.2]<0.10> BINARY.SIZE[3])"),
        [binary(true, &[1, 2], Some(Partial { offset: 0, length: 10 })), Item::BinarySize(vec![3])]
    );
    assert_eq!(items("PREVIEW"), [Item::Preview]);
    assert_eq!(items("preview (lazy)"), [Item::Preview]);
    assert_eq!(
        items("(PREVIEW UID PREVIEW (LAZY LAZY) FLAGS)"),
        [Item::Preview, Item::Uid, Item::Preview, Item::Flags]
    );
    for (text, why) in [
        ("BINARY", "Invalid body section in Fetch"),
        ("BINARY[0]", "Invalid body section in Fetch"),
        ("BINARY[1.]", "Invalid body section in Fetch"),
        ("BINARY[HEADER]", "Invalid body section in Fetch"),
        ("BINARY.SIZE[1]<0.1>", "Invalid syntax in Fetch"),
        ("PREVIEW ()", "Invalid attribute in Fetch"),
        ("PREVIEW (EAGER)", "Invalid attribute in Fetch"),
        ("PREVIEW LAZY", "Invalid syntax in Fetch"),
    ] {
        assert_eq!(bad(&format!("a FETCH 1 {text}")), why, "{text}");
    }
}

/// RFC 6855 section 3.
#[test]
fn names_in_utf8() {
    let name = |text: &str, names| match parse_with(text.as_bytes(), names) {
        Ok(Request { command: Command::Select(opening), .. }) => Ok(opening.mailbox),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => Err(refused.bad.to_string()),
    };
    assert_eq!(name("a SELECT \"Entw\u{fc}rfe & mehr\"", Names::Utf8).unwrap(), "Entw&APw-rfe &- mehr");
    assert_eq!(name("a SELECT {2}\r\n\u{fc}", Names::Utf8).unwrap(), "&APw-");
    // An ampersand is one and no shift.
    assert_eq!(name("a SELECT Entw&APw-rfe", Names::Utf8).unwrap(), "Entw&-APw-rfe");
    assert_eq!(name("a SELECT \"a\u{85}b\"", Names::Utf8).unwrap_err(), "Invalid mailbox name in Select");
    assert_eq!(name("a SELECT \"Entw\u{fc}rfe\"", Names::Utf7).unwrap_err(), "Invalid mailbox name in Select");
    let listed = parse_with("a LIST \"\u{fc}/\" (\"\u{e4}%\" *&)".as_bytes(), Names::Utf8).unwrap().command;
    let Command::List(listing) = listed else { panic!("{listed:?}") };
    assert_eq!(listing.reference, "\u{fc}/");
    assert_eq!(listing.patterns, ["\u{e4}%", "*&"]);
}
