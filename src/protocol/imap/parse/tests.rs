mod append;
mod options;
mod resync;
mod sort;
mod wire;

use super::*;
use chrono::NaiveDate;

fn command(text: &str) -> Command {
    parse(format!("a1 {text}").as_bytes()).unwrap().command
}

fn bad(text: &str) -> String {
    parse(text.as_bytes()).unwrap_err().bad.to_string()
}

fn set(ranges: &[(u32, u32)]) -> SequenceSet {
    let bound = |n: u32| {
        if n == 0 { Bound::Last } else { Bound::Number(n) }
    };
    SequenceSet(ranges.iter().map(|(a, b)| (bound(*a), bound(*b))).collect())
}

#[test]
fn rfc_3501_examples() {
    assert_eq!(
        command("LOGIN SMITH SESAME"),
        Command::Login { user: "SMITH".into(), password: Secret(b"SESAME".to_vec()) }
    );
    assert_eq!(
        command("LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man"),
        Command::Login { user: "FRED FOOBAR".into(), password: Secret(b"fat man".to_vec()) }
    );
    assert_eq!(
        command("LIST \"\" \"/usr/staff/%\""),
        Command::List(Listing { patterns: vec!["/usr/staff/%".into()], ..Listing::default() })
    );
    assert_eq!(
        command("STATUS blurdybloop (UIDNEXT MESSAGES)"),
        Command::Status { mailbox: "blurdybloop".into(), items: vec![StatusItem::UidNext, StatusItem::Messages] }
    );
    assert_eq!(
        command("STORE 2:4 +FLAGS (\\Deleted)"),
        Command::Store {
            uid: false,
            set: set(&[(2, 4)]),
            op: FlagOp::Add,
            silent: false,
            flags: vec![Flag::Deleted],
            unchanged_since: None
        }
    );
    assert_eq!(
        command("uid copy 443:557,* MEETING"),
        Command::Copy { uid: true, set: set(&[(443, 557), (0, 0)]), mailbox: "MEETING".into() }
    );
    assert_eq!(
        command("AUTHENTICATE plain AHRlc3QAdGVzdA=="),
        Command::Authenticate { mechanism: "PLAIN".into(), initial: Some(Secret(b"AHRlc3QAdGVzdA==".to_vec())) }
    );
    assert_eq!(
        command("ID (\"name\" \"sodr\" \"version\" NIL)"),
        Command::Id(vec![("name".into(), Some("sodr".into())), ("version".into(), None)])
    );
    assert_eq!(command("ID NIL"), Command::Id(vec![]));
    assert_eq!(command("ENABLE condstore X"), Command::Enable(vec!["CONDSTORE".into(), "X".into()]));
    assert_eq!(command("UID EXPUNGE 3000:3002"), Command::UidExpunge(set(&[(3000, 3002)])));
}

#[test]
fn fetch_items() {
    let items = |text: &str| match command(&format!("FETCH 1 {text}")) {
        Command::Fetch { items, .. } => items,
        other => panic!("{other:?}"),
    };
    assert_eq!(items("FAST"), [Item::Flags, Item::InternalDate, Item::Rfc822Size]);
    assert_eq!(items("(BODY BODYSTRUCTURE)"), [Item::Body, Item::BodyStructure]);
    assert_eq!(
        items("body.peek[4.2.HEADER.FIELDS.NOT (DATE \"FROM\")]<0.2048>"),
        [Item::Section {
            peek: true,
            section: Section { part: vec![4, 2], text: Text::HeaderFieldsNot(vec!["DATE".into(), "FROM".into()]) },
            partial: Some(Partial { offset: 0, length: 2048 })
        }]
    );
    let whole = |part: Vec<u32>, text| Item::Section { peek: false, section: Section { part, text }, partial: None };
    assert_eq!(
        items("(BODY[] BODY[3] BODY[1.MIME] BODY[TEXT] BODY[2.HEADER])"),
        [
            whole(vec![], Text::Whole),
            whole(vec![3], Text::Whole),
            whole(vec![1], Text::Mime),
            whole(vec![], Text::Text),
            whole(vec![2], Text::Header)
        ]
    );
    let many = format!("a FETCH 1 ({})", vec!["FLAGS"; 201].join(" "));
    assert_eq!(bad(&many), "Too many arguments to Fetch");
    for wrong in [
        "",
        "()",
        "(ALL)",
        "BODY[MIME]",
        "BODY[0]",
        "BODY[1.]",
        "BODY[1]<0>",
        "BODY[]<1.0>",
        "BODY.PEEK",
        "FLAGS FLAGS",
        "BODY[HEADER.FIELDS ()]",
        "X",
    ] {
        assert!(parse(format!("a FETCH 1 {wrong}").as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn search_keys() {
    let search = |text: &str| match command(&format!("SEARCH {text}")) {
        Command::Search { charset, key, .. } => (charset, key),
        other => panic!("{other:?}"),
    };
    let date = NaiveDate::from_ymd_opt(1994, 2, 1).unwrap();
    assert_eq!(
        search("FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"").1,
        Key::And(vec![
            Key::Flag(SystemFlag::Flagged, true),
            Key::Internal(DateOp::Since, date),
            Key::Not(Box::new(Key::Header("FROM".into(), b"Smith".to_vec())))
        ])
    );
    assert_eq!(
        search("CHARSET UTF-8 TEXT {6}\r\n\u{434}\u{434}\u{434}"),
        (Some("UTF-8".into()), Key::Text("\u{434}\u{434}\u{434}".into()))
    );
    assert_eq!(
        search("OR (1:* UNSEEN) SENTON \"01-Feb-1994\"").1,
        Key::Or(
            Box::new(Key::And(vec![Key::Sequence(set(&[(1, 0)])), Key::Flag(SystemFlag::Seen, false)])),
            Box::new(Key::Sent(DateOp::On, date))
        )
    );
    assert_eq!(search("HEADER Message-ID \"\"").1, Key::Header("Message-ID".into(), vec![]));
    assert_eq!(bad("a SEARCH"), "Missing required argument to Search");
    assert_eq!(bad("a SEARCH CHARSET UTF-8"), "Missing required argument to Search");
    assert_eq!(bad("a UID SEARCH ON 30-Feb-2000"), "Invalid date in UID Search");
    assert_eq!(bad("a SEARCH FOO"), "Invalid criteria in Search");
    // As clients write a list of alternatives.
    assert!(parse(format!("a SEARCH {}ALL", "OR FROM x ".repeat(150)).as_bytes()).is_ok());
    let deep = format!("a SEARCH {}ALL{}", "(".repeat(2000), ")".repeat(2000));
    assert_eq!(bad(&deep), "Nesting too deep in Search");
    assert_eq!(bad(&format!("a SEARCH {}ALL", "NOT ".repeat(2000))), "Nesting too deep in Search");
    assert_eq!(bad(&format!("a SEARCH{}", " ALL".repeat(20_000))), "Too many arguments to Search");
}

#[test]
fn refusals() {
    assert_eq!(bad(""), "Invalid tag");
    assert_eq!(bad("+ NOOP"), "Invalid tag");
    assert_eq!(bad("a"), "Null command");
    assert_eq!(bad("a "), "Null command");
    assert_eq!(bad("a FROB x"), "Unrecognized command");
    assert_eq!(bad("a UID FROB 1"), "Unrecognized UID subcommand");
    assert_eq!(bad("a NOOP x"), "Unexpected extra arguments to Noop");
    assert_eq!(bad("a LOGIN x"), "Missing required argument to Login");
    assert_eq!(bad("a FETCH 0 FLAGS"), "Invalid sequence in Fetch");
    assert_eq!(bad("a FETCH 4294967296 FLAGS"), "Invalid sequence in Fetch");
    assert_eq!(bad("a STORE 1 FLAGS (\\Recent)"), "Invalid system flag in Store");
    assert_eq!(bad("a SELECT b&"), "Invalid mailbox name in Select");
    assert_eq!(bad("a SELECT \"\u{e9}\""), "Invalid mailbox name in Select");
    assert_eq!(bad("a APPEND INBOX"), "Missing required argument to Append");
    assert_eq!(
        command("SELECT &AOk-t&AOk-"),
        Command::Select(Opening { mailbox: "&AOk-t&AOk-".into(), ..Opening::default() })
    );
    assert_eq!(command("NOOP  "), Command::Noop);
    assert_eq!(
        command("LOGIN \"j\u{f6}\" \"a\\\"b\\\\\""),
        Command::Login { user: "j\u{f6}".into(), password: Secret(b"a\"b\\".to_vec()) }
    );
}

#[test]
fn sets_resolve() {
    let parsed = match command("FETCH 5,*:3,1 FLAGS") {
        Command::Fetch { set, .. } => set,
        other => panic!("{other:?}"),
    };
    assert_eq!(parsed.resolve(9), [(1, 1), (3, 9)]);
    assert_eq!(parsed.resolve(2), [(1, 3), (5, 5)]);
    assert_eq!(parsed.resolve(0), [(1, 1), (5, 5)]);
    assert!(parsed.has_last());
    assert_eq!(parsed.largest(), 5);
    assert_eq!(set(&[(u32::MAX, u32::MAX), (1, u32::MAX - 1)]).resolve(1), [(1, u32::MAX)]);
}

/// Commands of the shared grammar as text.
mod generate {
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = String> {
        prop_oneof![(1u32..50).prop_map(|n| n.to_string()), Just("*".to_owned()), Just("4294967295".to_owned())]
    }

    pub fn sequence() -> impl Strategy<Value = String> {
        let range =
            (number(), proptest::option::of(number())).prop_map(|(a, b)| b.map_or(a.clone(), |b| format!("{a}:{b}")));
        proptest::collection::vec(range, 1..4).prop_map(|ranges| ranges.join(","))
    }

    pub fn astring() -> impl Strategy<Value = String> {
        prop_oneof![
            "[A-Za-z0-9._+-]{1,8}",
            "[A-Za-z0-9 (){%*]{0,8}".prop_map(|text| format!("\"{text}\"")),
            "[A-Za-z0-9 \r\n\"]{0,8}".prop_map(|text| format!("{{{}}}\r\n{text}", text.len())),
            "[A-Za-z0-9 ]{0,8}".prop_map(|text| format!("{{{}+}}\r\n{text}", text.len())),
        ]
    }

    pub fn mailbox() -> impl Strategy<Value = String> {
        prop_oneof!["[A-Za-z0-9.][A-Za-z0-9._/-]{0,8}", Just("inbox".to_owned()), Just("\"a b/&AOk-\"".to_owned())]
    }

    fn flags() -> impl Strategy<Value = String> {
        let flag = prop_oneof![
            proptest::sample::select(vec!["\\Seen", "\\answered", "\\Flagged", "\\Deleted", "\\Draft"])
                .prop_map(str::to_owned),
            "[a-z$][a-z0-9]{0,6}"
        ];
        proptest::collection::vec(flag, 0..4).prop_map(|flags| format!("({})", flags.join(" ")))
    }

    fn section() -> impl Strategy<Value = String> {
        let part = proptest::collection::vec(1u32..20, 0..4)
            .prop_map(|part| part.iter().map(u32::to_string).collect::<Vec<_>>().join("."));
        let text = proptest::sample::select(vec![
            "",
            "HEADER",
            "TEXT",
            "MIME",
            "HEADER.FIELDS (Subject \"To\")",
            "HEADER.FIELDS.NOT (x)",
        ]);
        let partial = proptest::option::of((0u32..100, 1u32..100));
        (any::<bool>(), part, text, partial).prop_filter_map("MIME needs a part", |(peek, part, text, partial)| {
            if part.is_empty() && text == "MIME" {
                return None;
            }
            let dot = if part.is_empty() || text.is_empty() { "" } else { "." };
            let peek = if peek { ".PEEK" } else { "" };
            let partial = partial.map_or(String::new(), |(from, length)| format!("<{from}.{length}>"));
            Some(format!("BODY{peek}[{part}{dot}{text}]{partial}"))
        })
    }

    fn items() -> impl Strategy<Value = String> {
        let item = prop_oneof![
            proptest::sample::select(vec![
                "ENVELOPE",
                "FLAGS",
                "INTERNALDATE",
                "RFC822",
                "RFC822.HEADER",
                "RFC822.SIZE",
                "RFC822.TEXT",
                "BODY",
                "BODYSTRUCTURE",
                "UID"
            ])
            .prop_map(str::to_owned),
            section()
        ];
        prop_oneof![
            proptest::sample::select(vec!["ALL", "FAST", "FULL"]).prop_map(str::to_owned),
            item.clone(),
            proptest::collection::vec(item, 1..5).prop_map(|items| format!("({})", items.join(" ")))
        ]
    }

    pub fn key() -> impl Strategy<Value = String> {
        let date = (1u32..29, proptest::sample::select(vec!["Jan", "feb", "DEC"]), 1970u32..2040)
            .prop_map(|(day, month, year)| format!("{day}-{month}-{year}"));
        let leaf = prop_oneof![
            proptest::sample::select(vec![
                "ALL",
                "ANSWERED",
                "DELETED",
                "FLAGGED",
                "NEW",
                "OLD",
                "RECENT",
                "SEEN",
                "UNANSWERED",
                "UNDELETED",
                "UNFLAGGED",
                "UNSEEN",
                "DRAFT",
                "UNDRAFT"
            ])
            .prop_map(str::to_owned),
            (
                proptest::sample::select(vec!["BCC", "BODY", "CC", "FROM", "SUBJECT", "TEXT", "TO", "HEADER X-A"]),
                astring()
            )
                .prop_map(|(word, text)| format!("{word} {text}")),
            (proptest::sample::select(vec!["BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE"]), date)
                .prop_map(|(word, date)| format!("{word} {date}")),
            (proptest::sample::select(vec!["LARGER", "SMALLER"]), any::<u32>())
                .prop_map(|(word, n)| format!("{word} {n}")),
            (proptest::sample::select(vec!["KEYWORD", "UNKEYWORD"]), "[a-z]{1,5}")
                .prop_map(|(word, k)| format!("{word} {k}")),
            sequence(),
            sequence().prop_map(|set| format!("UID {set}")),
        ];
        leaf.prop_recursive(4, 20, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|key| format!("NOT {key}")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("OR {a} {b}")),
                proptest::collection::vec(inner, 1..4).prop_map(|keys| format!("({})", keys.join(" "))),
            ]
        })
    }

    pub fn command() -> impl Strategy<Value = String> {
        let uid = proptest::sample::select(vec!["", "UID "]);
        prop_oneof![
            proptest::sample::select(vec![
                "CAPABILITY",
                "noop",
                "LOGOUT",
                "CHECK",
                "CLOSE",
                "UNSELECT",
                "EXPUNGE",
                "IDLE"
            ])
            .prop_map(str::to_owned),
            (astring(), astring()).prop_map(|(user, password)| format!("LOGIN {user} {password}")),
            (
                proptest::sample::select(vec!["SELECT", "EXAMINE", "CREATE", "DELETE", "SUBSCRIBE", "UNSUBSCRIBE"]),
                mailbox()
            )
                .prop_map(|(word, mailbox)| format!("{word} {mailbox}")),
            (mailbox(), mailbox()).prop_map(|(a, b)| format!("RENAME {a} {b}")),
            (proptest::sample::select(vec!["LIST", "LSUB"]), mailbox(), "[A-Za-z.%*]{1,6}")
                .prop_map(|(word, a, b)| format!("{word} {a} {b}")),
            mailbox().prop_map(|a| format!("STATUS {a} (MESSAGES UNSEEN recent UIDNEXT UIDVALIDITY)")),
            (uid.clone(), sequence(), items()).prop_map(|(uid, set, items)| format!("{uid}FETCH {set} {items}")),
            (
                uid.clone(),
                sequence(),
                proptest::sample::select(vec!["", "+", "-"]),
                proptest::sample::select(vec!["", ".SILENT"]),
                flags()
            )
                .prop_map(|(uid, set, op, silent, flags)| format!("{uid}STORE {set} {op}FLAGS{silent} {flags}")),
            (uid.clone(), proptest::sample::select(vec!["COPY", "MOVE"]), sequence(), mailbox())
                .prop_map(|(uid, word, set, mailbox)| format!("{uid}{word} {set} {mailbox}")),
            (uid, proptest::collection::vec(key(), 1..3))
                .prop_map(|(uid, keys)| format!("{uid}SEARCH {}", keys.join(" "))),
        ]
    }
}

/// What a reading of a command says in short, for both parsers: its kind, its names and its sets.
type Gist = (String, Vec<Vec<u8>>);

fn our_gist(command: &Command) -> Gist {
    let set_text = |set: &SequenceSet| format!("{:?}", set.resolve(77)).into_bytes();
    let name = |name: &String| {
        if name.eq_ignore_ascii_case("inbox") { b"INBOX".to_vec() } else { name.clone().into_bytes() }
    };
    let (kind, fields) = match command {
        Command::Login { user, password } => ("login", vec![user.clone().into_bytes(), password.0.clone()]),
        Command::Select(opening) => ("select", vec![name(&opening.mailbox)]),
        Command::Examine(opening) => ("examine", vec![name(&opening.mailbox)]),
        Command::Create { mailbox: m, .. } => ("create", vec![name(m)]),
        Command::Delete(m) => ("delete", vec![name(m)]),
        Command::Subscribe(m) => ("subscribe", vec![name(m)]),
        Command::Unsubscribe(m) => ("unsubscribe", vec![name(m)]),
        Command::Rename { from, to } => ("rename", vec![name(from), name(to)]),
        Command::List(Listing { reference, patterns, .. }) => {
            ("list", vec![name(reference), patterns.join(" ").into_bytes()])
        }
        Command::Lsub { reference, pattern } => ("lsub", vec![name(reference), pattern.clone().into_bytes()]),
        Command::Fetch { uid, set, items, .. } => {
            ("fetch", vec![vec![u8::from(*uid)], set_text(set), items.len().to_string().into_bytes()])
        }
        Command::Store { uid, set, op, silent, flags, .. } => (
            "store",
            vec![vec![u8::from(*uid)], set_text(set), format!("{op:?} {silent} {}", flags.len()).into_bytes()],
        ),
        Command::Copy { uid, set, mailbox } => ("copy", vec![vec![u8::from(*uid)], set_text(set), name(mailbox)]),
        Command::Move { uid, set, mailbox } => ("move", vec![vec![u8::from(*uid)], set_text(set), name(mailbox)]),
        _ => ("other", vec![]),
    };
    (kind.to_owned(), fields)
}

/// What imap-codec makes of the same bytes.
fn oracle(bytes: &[u8]) -> Result<Gist, String> {
    use imap_codec::decode::Decoder;
    use imap_codec::imap_types::command::CommandBody as B;
    use imap_codec::imap_types::core::AString;
    use imap_codec::imap_types::fetch::{Macro, MacroOrMessageDataItemNames as Names};
    use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
    use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet as Set};
    let set_text = |set: &Set| {
        let bound = |one: &SeqOrUid| match one {
            SeqOrUid::Value(value) => Bound::Number(value.get()),
            SeqOrUid::Asterisk => Bound::Last,
        };
        let ranges = set.0.as_ref().iter().map(|range| match range {
            Sequence::Single(one) => (bound(one), bound(one)),
            Sequence::Range(a, b) => (bound(a), bound(b)),
        });
        format!("{:?}", SequenceSet(ranges.collect()).resolve(77)).into_bytes()
    };
    let name = |mailbox: &Mailbox<'_>| match mailbox {
        Mailbox::Inbox => b"INBOX".to_vec(),
        Mailbox::Other(other) => other.inner().as_ref().to_vec(),
    };
    let pattern = |list: &ListMailbox<'_>| match list {
        ListMailbox::Token(token) => token.as_ref().to_vec(),
        ListMailbox::String(string) => string.as_ref().to_vec(),
    };
    let astring = |text: &AString<'_>| text.as_ref().to_vec();
    let mut line = bytes.to_vec();
    line.extend_from_slice(b"\r\n");
    let (rest, command) = imap_codec::CommandCodec::default().decode(&line).map_err(|error| format!("{error:?}"))?;
    if !rest.is_empty() {
        return Err("rest".into());
    }
    let (kind, fields) = match &command.body {
        B::Login { username, password } => ("login", vec![astring(username), astring(password.declassify())]),
        B::Select { mailbox, .. } => ("select", vec![name(mailbox)]),
        B::Examine { mailbox, .. } => ("examine", vec![name(mailbox)]),
        B::Create { mailbox } => ("create", vec![name(mailbox)]),
        B::Delete { mailbox } => ("delete", vec![name(mailbox)]),
        B::Subscribe { mailbox } => ("subscribe", vec![name(mailbox)]),
        B::Unsubscribe { mailbox } => ("unsubscribe", vec![name(mailbox)]),
        B::Rename { from, to } => ("rename", vec![name(from), name(to)]),
        B::List { reference, mailbox_wildcard } => ("list", vec![name(reference), pattern(mailbox_wildcard)]),
        B::Lsub { reference, mailbox_wildcard } => ("lsub", vec![name(reference), pattern(mailbox_wildcard)]),
        B::Fetch { uid, sequence_set, macro_or_item_names, .. } => {
            let count = match macro_or_item_names {
                Names::Macro(Macro::All) => 4,
                Names::Macro(Macro::Fast) => 3,
                Names::Macro(Macro::Full) => 5,
                Names::Macro(_) => 0,
                Names::MessageDataItemNames(names) => names.len(),
            };
            ("fetch", vec![vec![u8::from(*uid)], set_text(sequence_set), count.to_string().into_bytes()])
        }
        B::Store { uid, sequence_set, kind, response, flags, .. } => {
            let silent = format!("{response:?}") == "Silent";
            (
                "store",
                vec![
                    vec![u8::from(*uid)],
                    set_text(sequence_set),
                    format!("{kind:?} {silent} {}", flags.len()).into_bytes(),
                ],
            )
        }
        B::Copy { uid, sequence_set, mailbox } => {
            ("copy", vec![vec![u8::from(*uid)], set_text(sequence_set), name(mailbox)])
        }
        B::Move { uid, sequence_set, mailbox } => {
            ("move", vec![vec![u8::from(*uid)], set_text(sequence_set), name(mailbox)])
        }
        _ => ("other", vec![]),
    };
    Ok((kind.to_owned(), fields))
}

proptest::proptest! {
    #[test]
    fn imap_codec_agrees(text in generate::command()) {
        let line = format!("a1 {text}");
        let ours = parse(line.as_bytes());
        let theirs = oracle(line.as_bytes());
        let gist = ours.as_ref().map(|request| our_gist(&request.command)).map_err(|_| ());
        proptest::prop_assert_eq!(gist, theirs.clone().map_err(|_| ()), "{:?}\n{:?}\n{:?}", line, ours, theirs);
    }

    /// One byte of a good command is damaged.
    #[test]
    fn damaged_commands(text in generate::command(), at: proptest::sample::Index, byte: u8) {
        let mut line = format!("a1 {text}").into_bytes();
        let at = at.index(line.len());
        line[at] = byte;
        let _ = parse(&line);
    }

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse_with(&bytes, Names::Utf8);
        let _ = append_head(&bytes, Names::Utf8);
        let _ = append_next(&bytes, true);
    }

    #[test]
    fn arbitrary_words(text in "a (FETCH|SEARCH|UID|STORE|REPLACE|SETQUOTA|FETCH 1 BINARY|SORT|SORT RETURN|THREAD|SEARCH RETURN \\(PARTIAL|LIST|ID|STATUS|APPEND|CREATE|LIST \\(|SEARCH RETURN \\(|LIST x y RETURN \\()[ ()\\[\\]<>{}\"\\\\A-Z0-9.:,*\r\n]{0,60}") {
        let _ = parse(text.as_bytes());
        let _ = append_head(text.as_bytes(), Names::Utf7);
    }
}
