//! What stands before a message: APPEND and REPLACE.

use super::*;

fn head(text: &str) -> AppendHead {
    append_head(text.as_bytes(), Names::Utf7).unwrap().1
}

fn refused(text: &str) -> String {
    append_head(text.as_bytes(), Names::Utf7).unwrap_err().bad.to_string()
}

#[test]
fn append_heads() {
    let text = b"A003 APPEND saved-messages (\\Seen $Junk) \"17-Jul-1996 02:44:25 -0700\" ";
    let (tag, head) = append_head(text, Names::Utf7).unwrap();
    assert_eq!(tag, "A003");
    assert_eq!(head.mailbox, "saved-messages");
    assert_eq!(head.item.flags, [Flag::Seen, Flag::Keyword("$Junk".into())]);
    assert_eq!(head.item.date, Some(InternalDate { epoch_s: 837_596_665, zone_min: -420 }));
    assert_eq!((head.item.utf8, head.replaced), (false, None));
    assert_eq!(append_next(b" ", false).unwrap(), AppendItem::default());
    assert_eq!(super::append::head("a APPEND {2}\r\nxy ").mailbox, "xy");
    for text in ["x (\\Seen)", "x \"31-Feb-1996 02:44:25 -0700\" ", "x CATENATE (TEXT "] {
        assert!(append_head(format!("a APPEND {text}").as_bytes(), Names::Utf7).is_err(), "{text}");
    }
}

#[test]
fn messages_in_utf8() {
    assert!(head("a APPEND x (\\Seen) utf8 (").item.utf8);
    assert!(append_next(b") UTF8 (", true).unwrap().utf8);
    assert_eq!(append_next(b") ", true).unwrap(), AppendItem::default());
    assert!(append_next(b" ", true).is_err() && append_next(b") ", false).is_err());
    assert_eq!(refused("a APPEND x UTF8 "), "Missing required argument to Append");
    assert_eq!(refused("a APPEND x UTF8 ( "), "Invalid syntax in Append");
    assert_eq!(refused("a APPEND x \"r\u{e9}\""), "Invalid date-time in Append");
    let name = |names| append_head("a APPEND \"r\u{e9}\" ".as_bytes(), names).map(|(_, head)| head.mailbox);
    assert_eq!(name(Names::Utf8).unwrap(), "r&AOk-");
    assert!(name(Names::Utf7).is_err());
}

/// RFC 8508 section 4.
#[test]
fn replace_heads() {
    let found = head("R01 REPLACE 4 Drafts (\\Seen \\Draft $MDNSent) ");
    assert_eq!(found.replaced, Some(Replaced { uid: false, bound: Bound::Number(4) }));
    assert_eq!((found.mailbox.as_str(), found.item.flags.len()), ("Drafts", 3));
    assert_eq!(head("R02 uid replace * \"a b\" ").replaced, Some(Replaced { uid: true, bound: Bound::Last }));
    for (text, why) in [
        ("a REPLACE 0 x ", "Invalid sequence in Replace"),
        ("a REPLACE 1:2 x ", "Invalid syntax in Replace"),
        ("a UID REPLACE 1,2 x ", "Invalid syntax in UID Replace"),
        ("a REPLACE 1 ", "Missing required argument to Replace"),
        ("a REPLACE 1 x (Seen) (", "Invalid syntax in Replace"),
    ] {
        assert_eq!(refused(text), why, "{text}");
    }
    for (text, why) in [
        ("a REPLACE", "Missing required argument to Replace"),
        ("a REPLACE 1 x", "Missing required argument to Replace"),
        ("a UID REPLACE x x", "Invalid sequence in Replace"),
    ] {
        assert_eq!(bad(text), why, "{text}");
    }
}
