//! What clients and administrators send.

use std::sync::OnceLock;

use msgstore::config::file::{Change, edited, entries};
use msgstore::daemon::proxy::{self, Header};
use msgstore::directory::filter::Filters;
use msgstore::directory::scram::Hash;
use msgstore::directory::{Directory, Options, access, ldif};
use msgstore::protocol::imap::frame::{Event, Framer, Limits};
use msgstore::protocol::imap::parse::{self, Command, Names};
use msgstore::protocol::pop;
use msgstore::protocol::sasl::{Exchange, Mechanism, Step};
use msgstore::text::network::Network;
use msgstore::text::utf7;
use msgstore::text::wildcard::Wildcard;

use super::{choice, pieces};

/// Small limits, so that small input meets them.
const LIMITS: Limits = Limits { line_bytes: 200, command_bytes: 600, swallow_bytes: 2_000 };

/// What a connection would do with the bytes; the events as text, chunks of messages joined.
fn events<'a>(input: impl Iterator<Item = &'a [u8]>, refuse: bool) -> Vec<String> {
    let mut framer = Framer::new(LIMITS);
    let mut found = Vec::new();
    let mut message = Vec::new();
    for piece in input {
        let mut rest = piece;
        loop {
            let (used, event) = framer.step(rest);
            rest = &rest[used..];
            match event {
                Event::More => {
                    assert!(rest.is_empty(), "More with {} bytes left", rest.len());
                    break;
                }
                Event::Chunk(bytes) => message.extend_from_slice(bytes),
                Event::MessageEnd => found.push(format!("message {:?}", std::mem::take(&mut message))),
                Event::Message { head, literal } => {
                    let head = parse::append_head(&head, Names::Utf7).map_err(|_| parse::append_next(&head, refuse));
                    found.push(format!("{literal:?} {head:?}"));
                    if refuse { framer.refuse() } else { framer.accept() }
                }
                Event::Command(bytes) => {
                    // Without the CR that an end of a line may have.
                    assert!(bytes.len() <= LIMITS.command_bytes + 1, "{} bytes", bytes.len());
                    let parsed = parse::parse(&bytes);
                    if matches!(&parsed, Ok(request) if matches!(request.command, Command::Idle)) {
                        framer.expect_line();
                    }
                    found.push(format!("{parsed:?}"));
                }
                Event::Fatal => {
                    found.push("Fatal".to_owned());
                    return found;
                }
                other => found.push(format!("{other:?}")),
            }
        }
    }
    found.push(format!("idle {} {message:?}", framer.is_idle()));
    found
}

/// The framer and the parser behind it: however the bytes are cut, the same comes out.
pub fn imap(bytes: &[u8]) {
    let (seed, bytes) = choice(bytes);
    let refuse = seed & 1 == 1;
    assert_eq!(events(std::iter::once(bytes), refuse), events(pieces(bytes, seed), refuse));
}

/// What a POP connection would read.
fn lines<'a>(input: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut framer = pop::frame::Framer::default();
    let mut found = Vec::new();
    for piece in input {
        let mut rest = piece;
        loop {
            let (used, event) = framer.step(rest);
            rest = &rest[used..];
            match event {
                pop::frame::Event::More => {
                    assert!(rest.is_empty(), "More with {} bytes left", rest.len());
                    break;
                }
                pop::frame::Event::Line(line) => {
                    assert!(line.len() <= pop::frame::LINE_BYTES + 1 && !line.contains(&b'\n'));
                    let parsed = pop::parse::parse(&line);
                    // It goes into an answer, so it must stay on its line.
                    assert!(!matches!(&parsed, Err(bad) if bad.to_string().contains(['\r', '\n', '\0'])));
                    found.push(format!("{parsed:?}"));
                }
                other => found.push(format!("{other:?}")),
            }
        }
    }
    found.push(format!("idle {}", framer.is_idle()));
    found
}

/// POP: however the bytes are cut, the same lines and commands come out; and as a message they come through to a client that splits at LF.
pub fn pop(bytes: &[u8]) {
    let (seed, bytes) = choice(bytes);
    assert_eq!(lines(std::iter::once(bytes)), lines(pieces(bytes, seed)));
    let mut stuffer = pop::respond::Stuffer::default();
    let mut wire = Vec::new();
    pieces(bytes, seed).for_each(|piece| stuffer.push(piece, &mut wire));
    stuffer.finish(&mut wire);
    let body = wire.strip_suffix(b".\r\n").expect("the end");
    let mut back = Vec::new();
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        assert!(!matches!(line, b".\n" | b".\r\n"), "{:?}", body.escape_ascii().to_string());
        back.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    assert!(back.strip_prefix(bytes).is_some_and(|rest| matches!(rest, b"" | b"\r\n")));
}

/// The parser of one command, without a framer before it.
pub fn command(bytes: &[u8]) {
    for names in [Names::Utf7, Names::Utf8] {
        let _ = parse::append_head(bytes, names);
        one_command(bytes, names);
    }
    for closing in [false, true] {
        let _ = parse::append_next(bytes, closing);
    }
}

fn one_command(bytes: &[u8], names: Names) {
    match parse::parse_with(bytes, names) {
        Ok(request) => assert!(!request.tag.is_empty()),
        Err(refused) => {
            assert!(refused.tag == "*" || refused.tag.bytes().all(parse::is_tag_byte));
            // It goes into an answer, so it must stay on its line.
            let said = refused.bad.to_string();
            assert!(!said.contains(['\r', '\n', '\0']), "{said:?}");
        }
    }
}

/// A sequence set, and what it means in mailboxes of several sizes.
pub fn sequence(bytes: &[u8]) {
    let Ok(request) = parse::parse(&[b"a FETCH ", bytes, b" FLAGS"].concat()) else { return };
    let Command::Fetch { set, .. } = request.command else { return };
    for last in [0, 1, 7, u32::MAX] {
        let ranges = set.resolve(last);
        assert!(ranges.iter().all(|(from, to)| 0 < *from && from <= to), "{ranges:?}");
        assert!(ranges.windows(2).all(|pair| pair[0].1.saturating_add(1) < pair[1].0), "{ranges:?}");
        let named = |number: u32| ranges.iter().any(|(from, to)| (*from..=*to).contains(&number));
        // `$` alone (RFC 5182) names what a search found, which is nothing here.
        assert!(set.has_last() || set.largest() == 0 || named(set.largest()));
        assert!(set.largest() != 0 || set.has_last() || ranges.is_empty(), "{ranges:?}");
        assert!(!set.has_last() || last == 0 || named(last), "{ranges:?}");
    }
}

/// The messages of an exchange, one a line, against a directory with nobody in it. `r=*` stands for the nonce, which nobody can guess.
pub fn sasl(bytes: &[u8]) {
    static DIRECTORY: OnceLock<Directory> = OnceLock::new();
    let path = std::path::Path::new("/dev/null");
    let directory = DIRECTORY.get_or_init(|| Directory::open(path, Options::default()));
    let (seed, bytes) = choice(bytes);
    let scram = if seed < 128 { Hash::Sha256 } else { Hash::Sha1 };
    let mechanism = [Mechanism::Plain, Mechanism::Login, Mechanism::Scram(scram)][usize::from(seed % 3)];
    let mut exchange = Exchange::start(mechanism);
    let mut nonce = Vec::new();
    for message in bytes.split(|byte| *byte == b'\n').take(8) {
        let mut message = message.to_vec();
        if let Some(at) = message.windows(3).position(|three| three == b"r=*") {
            message.splice(at..at + 3, nonce.iter().copied());
        }
        match exchange.respond(&message, directory, str::to_owned) {
            Ok(Step::Ask(challenge)) => {
                assert!(!challenge.contains(&b'\n'));
                nonce = challenge.split(|byte| *byte == b',').next().unwrap_or_default().to_vec();
            }
            Ok(_) | Err(_) => break,
        }
    }
}

/// The header that a proxy sends: it ends where it says, and the beginning of one is never taken for another.
pub fn proxy(bytes: &[u8]) {
    let whole = proxy::parse(bytes);
    if let Ok(Header::Complete { used, .. }) = whole {
        assert!(used <= bytes.len() && used <= proxy::LONGEST);
        for cut in 0..used {
            let Ok(Header::More { least }) = proxy::parse(&bytes[..cut]) else { panic!("{cut} of {used}") };
            assert!(least > 0 && cut + least <= used, "{cut} of {used}: {least}");
        }
        assert_eq!(proxy::parse(&bytes[..used]), whole);
    }
    if let Ok(Header::More { least }) = whole {
        assert!(bytes.len() + least <= proxy::LONGEST);
    }
}

/// Names and patterns: modified UTF-7, wildcards of LIST, filters of access.
pub fn names(bytes: &[u8]) {
    if let Some(name) = utf7::decode(bytes) {
        assert_eq!(utf7::decode(utf7::encode(&name).as_bytes()).as_ref(), Some(&name));
    }
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(utf7::decode(utf7::encode(&text).as_bytes()).as_deref(), Some(&*text));
    let (pattern, name) = text.split_once('\n').unwrap_or((&text, "INBOX/a"));
    let wildcard = Wildcard::list(pattern);
    if wildcard.is_literal() {
        assert!(wildcard.matches(&wildcard.literal_prefix()));
    }
    if wildcard.matches(name) {
        let prefix = wildcard.literal_prefix();
        // INBOX has no letter case.
        assert!(
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(&prefix)),
            "{prefix:?} {name:?}"
        );
    }
    let peer = "192.0.2.1".parse().unwrap();
    access::allows(&text, "imap", peer);
    let filters = Filters::new(&text, name);
    filters.permit("imap", peer);
    filters.unknown();
    if let Some(network) = Network::parse(&text) {
        network.contains(peer);
    }
}

/// A directory: spans lie in the text, and values survive being written.
pub fn ldif(bytes: &[u8]) {
    let parsed = ldif::parse(bytes);
    let mut end = 0;
    for entry in &parsed.entries {
        assert!(end <= entry.span.start && entry.span.start <= entry.span.end && entry.span.end <= bytes.len());
        end = entry.span.end;
        let mut text = format!("dn: {}\n", "uid=x");
        let mut values = Vec::new();
        for attribute in &entry.attributes {
            if let Ok(value) = std::str::from_utf8(&attribute.value) {
                ldif::write_attribute(&mut text, "cn", value);
                values.push(value.to_owned());
            }
        }
        let again = ldif::parse(text.as_bytes());
        assert!(again.problems.is_empty(), "{:?} in {text:?}", again.problems);
        assert_eq!(again.entries[0].all("cn").collect::<Vec<_>>(), values);
    }
}

/// A configuration file: an edit changes the one setting.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(before) = entries(text) else { return };
    let pairs = |text: &str| {
        let entries = entries(text).unwrap();
        entries.into_iter().map(|entry| (entry.name, entry.value)).collect::<Vec<_>>()
    };
    let value = "a \"b\" \\ \u{1}\n\u{fc}";
    for entry in before.iter().take(8) {
        let new = edited(text, &Change::Set(entry.name.clone(), value.to_owned())).unwrap();
        let mut wanted = pairs(text);
        wanted.iter_mut().filter(|(name, _)| *name == entry.name).for_each(|pair| pair.1 = value.to_owned());
        assert_eq!(pairs(new.as_deref().unwrap_or(text)), wanted);
        let new = edited(text, &Change::Remove(entry.name.clone())).unwrap().unwrap();
        wanted.retain(|(name, _)| *name != entry.name);
        assert_eq!(pairs(&new), wanted);
    }
}
