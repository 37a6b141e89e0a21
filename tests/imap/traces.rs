//! Dialogues: `testdata/traces/*.trace` line by line against the daemon.
//!
//! `C: ` is sent, `S: ` must come; `C2: ` and `S2: ` are a second connection of the same trace. The greeting is the first `S: ` of a connection. In `S` lines
//! `<*>` stands for any text without a blank. `$USER` is an account of the trace's own, `$UIDVALIDITY` the last one that was told. Lines that begin with `#`
//! are remarks. The README beside the traces has the rest.

use std::collections::{BTreeMap, BTreeSet};

use regex::bytes::Regex;

use super::{Client, Daemon};

fn traces() -> Vec<(String, String)> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/traces");
    let mut found: Vec<(String, String)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "trace"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() >= 8, "traces are missing");
    found
}

fn matches(expected: &str, line: &str) -> bool {
    let mut pattern = String::from("^");
    let expected = expected.replace("<...>", "<<>>");
    for (at, piece) in expected.split("<*>").enumerate() {
        if at > 0 {
            // In the first nine days of a month a date-time begins with a blank (RFC 9051 section 9, date-day-fixed).
            pattern.push_str(if pattern.ends_with('"') { " ?[^ ]*?" } else { "[^ ]*?" });
        }
        pattern.push_str(&regex::escape(piece));
    }
    pattern.push('$');
    regex::Regex::new(&pattern.replace("<<>>", ".*")).unwrap().is_match(line)
}

fn play(daemon: &Daemon, name: &str, user: &str, script: &str) -> Result<(), String> {
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    let mut uidvalidity = String::new();
    for (number, line) in script.lines().enumerate() {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let line = line.replace("$USER", user).replace("$UIDVALIDITY", &uidvalidity).replace("<NUL>", "\0");
        let (who, words) = line.split_once(':').unwrap_or_else(|| panic!("{name}:{}: {line}", number + 1));
        let words = words.strip_prefix(' ').unwrap_or(words);
        let client = clients.entry(who[1..].to_owned()).or_insert_with(|| Client::new(daemon.port));
        match who.as_bytes()[0] {
            b'C' => client.send(format!("{words}\r\n")),
            b'S' => {
                let came = client.line_in_time();
                if let Some(told) = came.strip_prefix("* OK [UIDVALIDITY ") {
                    told.split(']').next().unwrap_or_default().clone_into(&mut uidvalidity);
                }
                if !matches(words, &came) {
                    return Err(format!("{name}.trace:{}:\n  expected {words}\n      came {came}", number + 1));
                }
                if words.ends_with("OK DEFLATE is active") {
                    client.compress();
                }
            }
            _ => panic!("{name}:{}: {line}", number + 1),
        }
    }
    for client in clients.values() {
        understood(&client.seen).map_err(|error| format!("{name}.trace: {error}"))?;
        client.stream.set_nonblocking(true).unwrap();
        let mut rest = [0; 100];
        let left = std::io::Read::read(&mut &client.stream, &mut rest);
        if !matches!(left, Ok(0)) && left.is_ok() {
            return Err(format!("{name}.trace: left over: {}", String::from_utf8_lossy(&rest)));
        }
    }
    Ok(())
}

/// An independent parser understands everything that the daemon said; ID, ACL, LISTRIGHTS, MYRIGHTS, NAMESPACE, ENABLED, ESEARCH, SORT, THREAD, VANISHED, PREVIEW and names in UTF-8
/// are not compiled into it, nor are CHILDINFO, OLDNAME and mod-sequences.
fn understood(seen: &[u8]) -> Result<(), String> {
    use imap_codec::decode::Decoder;
    // RFC 3516 section 4.4 has the origin, its grammar has forgotten it.
    let seen = ORIGIN.replace_all(seen, &b"BINARY[$1]"[..]);
    let (mut rest, _) =
        imap_codec::GreetingCodec::default().decode(&seen).map_err(|error| format!("greeting: {error:?}"))?;
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1));
        let unknown =
            [&b"* ID "[..], b"* NAMESPACE ", b"* ENABLED", b"* ESEARCH ", b"* VANISHED ", b"* SORT", b"* THREAD"]
                .iter()
                .chain(&[&b"* ACL "[..], b"* LISTRIGHTS ", b"* MYRIGHTS "])
                .any(|word| line.starts_with(word));
        let preview = line.windows(9).any(|word| word == b" PREVIEW " || word == b"(PREVIEW ");
        let without = without_later(&CHILDINFO.replace(line, &b"\r\n"[..]));
        if unknown || preview || !line.is_ascii() || without.ends_with(b" ()\r\n") {
            rest = behind;
            if let Some(literal) = LITERAL.captures(line) {
                let count: usize = std::str::from_utf8(&literal[1]).unwrap().parse().unwrap();
                let end = rest[count..].iter().position(|byte| *byte == b'\n').unwrap();
                rest = &rest[count + end + 1..];
            }
            continue;
        }
        if without.len() < line.len() {
            match imap_codec::ResponseCodec::default().decode(&without) {
                Ok((b"", _)) => rest = behind,
                wrong => return Err(format!("{wrong:?}")),
            }
            continue;
        }
        match imap_codec::ResponseCodec::default().decode(rest) {
            Ok((after, _)) => rest = after,
            Err(error) => return Err(format!("{error:?}: {}", String::from_utf8_lossy(&rest[..rest.len().min(200)]))),
        }
    }
    Ok(())
}

/// The extended data at the end of a LIST response (RFC 5258 section 6).
static CHILDINFO: std::sync::LazyLock<regex::bytes::Regex> = std::sync::LazyLock::new(|| {
    regex::bytes::Regex::new(r#" \("(?:CHILDINFO|OLDNAME)" \("[^"]+"(?: "[A-Z-]+")*\)\)\r\n$"#).unwrap()
});

/// A FETCH, SEARCH or STATUS response of one line without the items of later extensions.
fn without_later(line: &[u8]) -> Vec<u8> {
    let head = Regex::new(r"^\* (?:[0-9]+ FETCH \(|STATUS |SEARCH )").unwrap();
    let (items, blanks) = (Regex::new(LATER).unwrap(), Regex::new(r"(\() | (\))").unwrap());
    if !head.is_match(line) || line.ends_with(b"}\r\n") {
        return line.to_vec();
    }
    let bare = items.replace_all(line, &b""[..]);
    // RFC 8438; in a FETCH response the word is part of another one.
    let size = Regex::new(r"\bSIZE [0-9]+ ?").unwrap();
    let bare = if line.starts_with(b"* STATUS ") { size.replace_all(&bare, &b""[..]) } else { bare };
    blanks.replace_all(&bare, &b"$1$2"[..]).into_owned()
}

/// RFC 7162, 7889, 8474, 8514.
const LATER: &str = concat!(
    r"(?: \(MODSEQ [0-9]+\)|\b(?:MODSEQ|MAILBOXID|EMAILID) \(\w+\)|\b(?:HIGHESTMODSEQ|APPENDLIMIT) [0-9]+",
    r#"|\bTHREADID NIL|\bSAVEDATE "[^"]*") ?"#
);
static LITERAL: std::sync::LazyLock<regex::bytes::Regex> =
    std::sync::LazyLock::new(|| regex::bytes::Regex::new(r"\{([0-9]+)\}\r\n$").unwrap());

static ORIGIN: std::sync::LazyLock<regex::bytes::Regex> =
    std::sync::LazyLock::new(|| regex::bytes::Regex::new(r"BINARY\[([0-9.]*)\]<[0-9]+>").unwrap());

const SETTINGS: [(&str, &str); 2] = [("local.hostname", "mail1.example.org"), ("store.admins", "admin")];

/// The account of a dialogue.
fn user_of(name: &str) -> String {
    name.replace('.', "-")
}

/// The settings that a dialogue asks for: it gets a daemon of its own.
fn settings(script: &str) -> Vec<(&str, &str)> {
    script.lines().filter_map(|line| line.strip_prefix("! ")).map(|line| line.split_once(' ').unwrap()).collect()
}

#[test]
fn dialogues() {
    let traces = traces();
    let users: Vec<String> = traces.iter().map(|(name, _)| user_of(name)).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).chain(["admin"]).collect();
    let daemon = Daemon::start(&names, &SETTINGS);
    let failed: Vec<String> = traces
        .iter()
        .zip(&users)
        .filter_map(|((name, script), user)| {
            let wanted = settings(script);
            if wanted.is_empty() {
                return play(&daemon, name, user, script).err();
            }
            let other = Daemon::start(&[user, "admin"], &[&SETTINGS[..], &wanted].concat());
            play(&other, name, user, script).err()
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The words of the capability line as a client with these commands is told them.
fn capabilities(client: &mut Client) -> BTreeSet<String> {
    let lines = client.ask("capability");
    let words = lines[0].strip_prefix("* CAPABILITY ").unwrap();
    // The number behind APPENDLIMIT is no part of the word.
    // The number behind APPENDLIMIT is no part of the word.
    let word =
        |text: &str| if text.starts_with("APPENDLIMIT=") { "appendlimit".to_owned() } else { text.to_lowercase() };
    words.split(' ').map(|text| word(text).replace('=', "-").replace('+', "-plus")).collect()
}

/// The name of a dialogue is a word of the capability line, perhaps with a dot and a subject behind it; each word has one.
#[test]
fn each_capability_has_a_dialogue_and_the_other_way_round() {
    let daemon = Daemon::start(&["joe"], &SETTINGS);
    let mut words = capabilities(&mut daemon.connect());
    words.extend(capabilities(&mut daemon.login("joe")));
    let strict = Daemon::start(&["joe"], &[("service.imap.plaintextmincipher", "128")]);
    words.extend(capabilities(&mut strict.connect()));
    let named = traces().into_iter().map(|(name, _)| name.split('.').next().unwrap().to_owned());
    assert_eq!(named.collect::<BTreeSet<_>>(), words);
}
