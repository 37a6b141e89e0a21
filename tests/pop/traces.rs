//! Dialogues: `testdata/traces/pop/*.trace` line by line against the daemon. The README there says how they are written.

use std::collections::BTreeMap;
use std::path::Path;

use msgstore::store::Flags;

use crate::imap::Client;
use crate::instance::Instance;
use crate::instance::popd::Popd;

fn traces() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/traces/pop");
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<(String, String)> = paths
        .filter(|path| path.extension().is_some_and(|ext| ext == "trace"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() >= 6, "traces are missing");
    found
}

fn matches(expected: &str, line: &str) -> bool {
    let expected = regex::escape(expected).replace("<\\*>", "[^ ]*?").replace("<\\.\\.\\.>", ".*");
    regex::Regex::new(&format!("^{expected}$")).unwrap().is_match(line)
}

/// The lines that begin with `mark`, without it.
fn marked<'s>(script: &'s str, mark: &str) -> Vec<&'s str> {
    script.lines().filter_map(|line| line.strip_prefix(mark)).collect()
}

fn play(popd: &Popd, name: &str, user: &str, script: &str) -> Result<(), String> {
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    for (number, line) in script.lines().enumerate() {
        if line.is_empty() || line.starts_with(['#', '!', 'M']) {
            continue;
        }
        let line = line.replace("$USER", user).replace("<NUL>", "\0");
        let (who, words) = line.split_once(':').unwrap_or_else(|| panic!("{name}:{}: {line}", number + 1));
        let words = words.strip_prefix(' ').unwrap_or(words);
        let client = clients.entry(who[1..].to_owned()).or_insert_with(|| popd.dial());
        match who.as_bytes()[0] {
            b'C' => client.send(format!("{words}\r\n")),
            b'S' => {
                let came = client.line_in_time();
                if !matches(words, &came) {
                    return Err(format!("{name}.trace:{}:\n  expected {words}\n      came {came}", number + 1));
                }
            }
            _ => panic!("{name}:{}: {line}", number + 1),
        }
    }
    for client in clients.values() {
        client.stream.set_nonblocking(true).unwrap();
        let mut rest = [0; 100];
        if let Ok(1..) = std::io::Read::read(&mut &client.stream, &mut rest) {
            return Err(format!("{name}.trace: left over: {}", String::from_utf8_lossy(&rest)));
        }
    }
    Ok(())
}

#[test]
fn dialogues() {
    let mut failed = Vec::new();
    let it = Instance::with(&[("local.hostname", "mail1.example.org"), ("store.admins", "admin")]);
    it.user("admin");
    let popd = Popd::start(&it);
    for (name, script) in traces() {
        let user = name.replace('.', "-");
        let settings = marked(&script, "! ");
        let mut own = None;
        if !settings.is_empty() {
            let mut all = vec![("local.hostname", "mail1.example.org"), ("store.admins", "admin")];
            all.extend(settings.into_iter().map(|line| line.split_once(' ').unwrap()));
            let it = Instance::with(&all);
            it.user("admin");
            let popd = Popd::start(&it);
            own = Some((popd, it));
        }
        let (popd, it) = own.as_ref().map_or((&popd, &it), |(popd, it)| (popd, it));
        it.user(&user);
        for message in marked(&script, "M: ") {
            let text = message.replace("\\n", "\n").replace("\\r", "\r");
            it.append(&format!("user/{user}/INBOX"), &text, Flags::NONE);
        }
        failed.extend(play(popd, &name, &user, &script).err());
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
