//! SEARCH with RETURN (RFC 4731): the same messages as without, and no more looked at than an end needs.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use super::{Client, Daemon};
use crate::instance::Instance;
use crate::instance::imapd::Imapd;
use msgstore::store::Flags;

/// The numbers of a SEARCH response.
fn searched(client: &mut Client, arguments: &str) -> Vec<u32> {
    let lines = client.ask(arguments);
    assert_eq!(lines.last().unwrap(), "OK Completed", "{arguments}");
    let numbers = lines[0].strip_prefix("* SEARCH").unwrap();
    numbers.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// The data of an ESEARCH response, behind the tag.
fn returned(client: &mut Client, arguments: &str) -> String {
    let lines = client.ask(arguments);
    assert_eq!((lines.len(), lines[1].as_str()), (2, "OK Completed"), "{arguments}: {lines:?}");
    let (_, data) = lines[0].strip_prefix("* ESEARCH (TAG \"").unwrap().split_once("\")").unwrap();
    data.to_owned()
}

/// `1:3,7`.
fn set(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.1 + 1 == *number => last.1 = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let words = ranges.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}:{b}") });
    words.collect::<Vec<_>>().join(",")
}

#[test]
fn every_form_tells_of_the_same_messages() {
    let daemon = Daemon::start(&["joe"], &[]);
    let mut client = daemon.login("joe");
    // Enough for several steps of a search that reads files.
    for number in 1..=120 {
        let flag = if number % 3 == 0 { "\\Seen" } else { "" };
        client.append("inbox", flag, &format!("Subject: n{number}\r\n\r\nbody {}\r\n", number % 7));
    }
    client.ask("select inbox");
    client.ask("store 1:5,40,119:120 +flags.silent (\\Deleted)");
    client.ask("expunge");
    let keys = [
        "all",
        "seen",
        "not seen",
        "flagged",
        "body \"body 4\"",
        "body nothing",
        "text n77",
        "subject n1",
        "7:9",
        "uid 100:*",
        "larger 35 unseen",
        "or text n20 text n90",
    ];
    for key in keys {
        for uid in ["", "uid "] {
            let numbers = searched(&mut client, &format!("{uid}search {key}"));
            let lead = if uid.is_empty() { "" } else { " UID" };
            let number = |word: &str, number: Option<&u32>| number.map_or(String::new(), |n| format!(" {word} {n}"));
            let (min, max) = (number("MIN", numbers.first()), number("MAX", numbers.last()));
            let all = if numbers.is_empty() { String::new() } else { format!(" ALL {}", set(&numbers)) };
            let count = format!(" COUNT {}", numbers.len());
            for (options, expected) in [
                ("", format!("{lead}{all}")),
                ("all", format!("{lead}{all}")),
                ("min", format!("{lead}{min}")),
                ("max", format!("{lead}{max}")),
                ("max min", format!("{lead}{min}{max}")),
                ("count", format!("{lead}{count}")),
                ("min count", format!("{lead}{min}{count}")),
                ("min max all count", format!("{lead}{min}{max}{count}{all}")),
            ] {
                let command = format!("{uid}search return ({options}) {key}");
                assert_eq!(returned(&mut client, &command), expected, "{command}");
            }
        }
    }
}

#[test]
fn a_search_for_an_end_ends_there() {
    let mut it = Instance::new();
    it.leave_unchecked();
    it.accounts(&["joe"]);
    for _ in 0..5 {
        it.append("user/joe/INBOX", "Subject: one\r\n\r\nhello\r\n", Flags::NONE);
    }
    // Who opens this message notices.
    std::fs::remove_file(it.directory_of("user/joe/INBOX").join("00/3.msg")).unwrap();
    let imapd = Imapd::start(&it);
    let mut client = imapd.login("joe");
    client.ask("select inbox");
    let damaged = "NO [CORRUPTION] Some of the messages could not be read";
    for (options, data, end) in [
        ("min", " MIN 1", "OK Completed"),
        ("max", " MAX 5", "OK Completed"),
        ("min max", " MIN 1 MAX 5", "OK Completed"),
        ("min count", " MIN 1 COUNT 4", damaged),
        ("all", " ALL 1:2,4:5", damaged),
    ] {
        let lines = client.ask(&format!("search return ({options}) body hello"));
        assert_eq!((lines.len(), lines[1].as_str()), (2, end), "{options}");
        assert!(lines[0].starts_with("* ESEARCH (TAG \"") && lines[0].ends_with(&format!("\"){data}")), "{lines:?}");
    }
}
