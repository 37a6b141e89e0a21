//! Dialogues: `testdata/traces/*.trace` line by line against the daemon.
//!
//! `C: ` is sent, `S: ` must come; `C2: ` and `S2: ` are a second connection of the same trace. The greeting is the first `S: ` of a connection. In `S` lines
//! `<*>` stands for any text without a blank. `$USER` is an account of the trace's own, `$UIDVALIDITY` the last one that was told. Lines that begin with `#` are remarks.

use std::collections::BTreeMap;

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
    for (at, piece) in expected.split("<*>").enumerate() {
        if at > 0 {
            pattern.push_str("[^ ]*?");
        }
        pattern.push_str(&regex::escape(piece));
    }
    pattern.push('$');
    regex::Regex::new(&pattern).unwrap().is_match(line)
}

fn play(daemon: &Daemon, name: &str, user: &str, script: &str) -> Result<(), String> {
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    let mut uidvalidity = String::new();
    for (number, line) in script.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.replace("$USER", user).replace("$UIDVALIDITY", &uidvalidity);
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

/// An independent parser understands everything that the daemon said; ID, NAMESPACE, ENABLED, ESEARCH, SORT, THREAD and VANISHED are not compiled into
/// it, nor are CHILDINFO and mod-sequences.
fn understood(seen: &[u8]) -> Result<(), String> {
    use imap_codec::decode::Decoder;
    let (mut rest, _) =
        imap_codec::GreetingCodec::default().decode(seen).map_err(|error| format!("greeting: {error:?}"))?;
    while !rest.is_empty() {
        let unknown =
            [&b"* ID "[..], b"* NAMESPACE ", b"* ENABLED", b"* ESEARCH ", b"* VANISHED ", b"* SORT", b"* THREAD"]
                .iter()
                .any(|word| rest.starts_with(word));
        let (line, behind) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1));
        let without = without_later(&CHILDINFO.replace(line, &b"\r\n"[..]));
        if unknown || without.ends_with(b" ()\r\n") {
            rest = behind;
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
    regex::bytes::Regex::new(r#" \("CHILDINFO" \("[A-Z-]+"(?: "[A-Z-]+")*\)\)\r\n$"#).unwrap()
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

#[test]
fn dialogues() {
    let traces = traces();
    let users: Vec<String> = (0..traces.len()).map(|number| format!("user{number}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).chain(["other"]).collect();
    let daemon = Daemon::start(&names, &[("local.hostname", "mail1.example.org"), ("store.admins", "user0")]);
    let failed: Vec<String> = traces
        .iter()
        .zip(&users)
        .filter_map(|((name, script), user)| play(&daemon, name, user, script).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
