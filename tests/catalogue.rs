//! The catalogue and configutil beside it: partitions, other spellings, and the rule that a parameter is called working only when something
//! reads it; the pages in docs/options.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Stdio;

use msgstore::config::catalogue;
use msgstore::config::works::{Status, WORKS, status};

use crate::configutil::{Site, parts, write};

#[test]
fn partitions_are_looked_at_when_they_are_set() {
    let site = Site::new();
    let there = site.dir.path().canonicalize().unwrap();
    write(&there.join("file"), "");
    for dir in ["one", "closed"] {
        fs::create_dir(there.join(dir)).unwrap();
    }
    let path = |name: &str| there.join(name).to_str().unwrap().to_owned();
    let root = nix::unistd::geteuid().is_root();
    if root {
        // Root itself may write everywhere: whether the services may is what counts.
        site.ok(&["-o", "local.serveruid", "-v", "nobody"]);
        std::os::unix::fs::chown(there.join("one"), Some(65534), Some(65534)).unwrap();
        fs::set_permissions(&there, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        fs::set_permissions(there.join("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    } else {
        fs::set_permissions(there.join("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    }
    let before = site.text();
    for (nickname, place, code, said) in [
        ("Second", path("one"), 64, "Unknown/invalid partition: Second"),
        ("se-cond", path("one"), 64, "Unknown/invalid partition: se-cond"),
        ("se.cond", path("one"), 64, "Unknown/invalid partition: se.cond"),
        ("second", "one".to_owned(), 64, "an absolute path"),
        ("second", String::new(), 64, "an absolute path"),
        ("second", path("file"), 73, "is not a directory"),
        ("second", path("file/below"), 73, "is not a directory"),
        ("second", path("closed"), 73, "is not writable for the account"),
        ("second", path("closed/below"), 73, "is not writable for the account"),
        ("second", path("data/store/partition/primary"), 64, "is the directory of partition primary"),
    ] {
        let name = format!("store.partition.{nickname}.path");
        let error = site.fails(code, &["-o", &name, "-v", &place]);
        assert!(error.contains(&name) && error.contains(said), "{error}");
        // A name of one's own is no way around.
        site.fails(code, &["-l", "-o", &name, "-v", &place]);
        let file = there.join("import");
        write(&file, &format!("service.imap.port=1143\n{name}={place}\n"));
        let (got, _, error) = site.run(&["-i", file.to_str().unwrap()]);
        assert!(got != 0 && error.contains(said), "{error}");
        assert_eq!(site.text(), before, "{name} = {place}");
    }
    for wrong in ["Second", "a b", ""] {
        site.fails(64, &["-o", "store.defaultpartition", "-v", wrong]);
    }
    site.ok(&["-o", "store.partition.second.path", "-v", &path("one/below")]);
    assert!(site.fails(64, &["-o", "store.partition.third.path", "-v", &path("one/below")]).contains("second"));
    site.ok(&["-V"]);
    // By hand: the line is named.
    write(&site.conf(), "\"store.partition.Third.path\" = \"/third\"\n");
    let (code, out, _) = site.run(&["-V"]);
    assert!(code == 78 && out.contains("msg.conf:1:") && out.contains("Unknown/invalid partition: Third"), "{out}");
    fs::set_permissions(there.join("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn other_spellings_say_which_name_they_stand_for() {
    for (spelling, name, value) in [
        ("local.store.overquotastatus", "store.overquotastatus", "on"),
        ("store.cleanup", "store.cleanupage", "12"),
        ("Store.DefaultMessage.Quota", "store.defaultmessagequota", "5000"),
    ] {
        let site = Site::new();
        let told = format!("configutil: {spelling} stands for {name}\n");
        let (code, out, err) = site.run(&["-o", spelling, "-v", value]);
        assert!(code == 0 && out.is_empty() && err.starts_with(&told), "{err}");
        assert_eq!(site.text(), format!("\"{name}\" = \"{value}\"\n"));
        assert_eq!(site.run(&["-o", spelling]), (0, format!("{value}\n"), told.clone()));
        assert_eq!(site.run(&[spelling]), (0, format!("{value}\n"), told.clone()));
        assert_eq!(site.run(&["-o", name]), (0, format!("{value}\n"), String::new()));
        assert_eq!(site.run(&["-o", spelling, "-d"]), (0, String::new(), told.clone()));
        assert_eq!(site.text(), "");
        let mut child = site.command(&["-i"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let line = format!("{spelling} = {value}\n");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), line.as_bytes()).unwrap();
        let (code, _, err) = parts(child.wait_with_output().unwrap());
        assert!(code == 0 && err.starts_with(&told), "{err}");
        assert_eq!(site.text(), format!("\"{name}\" = \"{value}\"\n"));
    }
}

#[test]
fn a_value_may_follow_the_name() {
    let site = Site::new();
    // As the 2004Q2 guide prints it, "To Enable Quota Enforcement" and "Setting imexpire Rules Textually".
    site.ok(&["-o", "store.overquotastatus", "on"]);
    assert_eq!(site.ok(&["-o", "store.overquotastatus"]), "on\n");
    site.ok(&["store.expirerule.rule1.Subject", "Viagra", "Now!"]);
    assert_eq!(site.ok(&["-o", "store.expirerule.rule1.Subject"]), "Viagra Now!\n");
    site.ok(&["-o", "store.admins", "joe", "ann"]);
    assert_eq!(site.ok(&["store.admins"]), "joe ann\n");
    assert!(site.fails(64, &["-o", "service.imap.port", "143", "-H"]).contains("not both"));
    site.fails(64, &["-o", "service.imap.port", "143", "-v", "143"]);
    site.fails(64, &["-o", "service.imap.port", "143", "-d"]);
}

/// Every source file outside of the room `config` and of configutil itself, as one text.
fn other_sources() -> String {
    fn collect(dir: &Path, into: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if name != "config" && name != "configutil" {
                    collect(&path, into);
                }
            } else if name.ends_with(".rs") && name != "configutil.rs" {
                into.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    text
}

#[test]
fn what_is_called_working_is_read_somewhere() {
    let sources = other_sources();
    for (name, read_as) in WORKS {
        let wanted = match *read_as {
            "" => format!("\"{name}\""),
            read_as => read_as.to_owned(),
        };
        assert!(
            sources.contains(&wanted),
            "src/config/works.rs lists {name}, but nothing outside of src/config reads {wanted}"
        );
    }
}

#[test]
fn what_is_read_is_known_and_called_working() {
    let call = regex::Regex::new(
        r#"\.(?:get|string|bool|int|number|list|path|setting)\(\s*"((?:store|local|service|logfile|alarm)\.[A-Za-z0-9_.]+)""#,
    )
    .unwrap();
    for found in call.captures_iter(&other_sources()) {
        let name = found.get(1).unwrap().as_str();
        let row = catalogue::find(name).unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        assert_eq!(status(row), Status::Works, "{name} is read: add {} to WORKS in src/config/works.rs", row.name);
    }
}

/// The number before each of these words in a text, in order.
fn numbers(text: &str) -> Vec<usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[test]
fn every_parameter_works_or_says_why_not_and_the_page_counts_both() {
    let documented: Vec<_> = catalogue::all().filter(|row| !row.is_ours()).collect();
    let ours: Vec<_> = catalogue::all().filter(|row| row.is_ours()).collect();
    let works = |rows: &[&msgstore::config::Parameter]| rows.iter().filter(|row| status(row) == Status::Works).count();
    assert_eq!(documented.len(), 259);
    assert_eq!(works(&documented) + works(&ours), WORKS.len());
    let index = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/options/README.md")).unwrap();
    let line = index.lines().find(|line| line.starts_with("Of the ")).unwrap();
    let working = works(&documented);
    assert_eq!(numbers(line), [259, working, 259 - working, ours.len(), works(&ours)], "{line}");
    // The pages say the same of each, and the tool says the same as the pages.
    let site = Site::new();
    let told = site.ok(&["-H", "--json"]);
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut inert = 0;
    for (name, _, rows) in catalogue::TABLES {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/options/{name}.md")));
        let page = page.unwrap();
        for row in rows {
            let section = page.split("\n## ").find(|text| text.starts_with(&format!("`{}`\n", row.name)));
            let state = section.unwrap_or_else(|| panic!("{}", row.name)).lines().find(|l| l.starts_with("* state: "));
            let state = state.unwrap_or_else(|| panic!("{}", row.name));
            let working = state == "* state: works";
            assert!(working || state.strip_prefix("* state: inert: ").is_some_and(|why| why.len() > 10), "{state}");
            inert += usize::from(!working);
            if !row.is_alias() {
                let object = told.iter().find(|object| object["name"] == row.name);
                assert_eq!(object.unwrap_or_else(|| panic!("{}", row.name))["works"], working, "{}", row.name);
            }
        }
    }
    assert_eq!(inert + WORKS.len(), catalogue::all().count());
}

#[test]
fn the_option_pages_are_those_of_the_catalogue() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/options");
    let mut pages = vec![("README", catalogue::index())];
    for (name, title, rows) in catalogue::TABLES {
        pages.push((name, catalogue::page(title, rows)));
    }
    for (name, text) in pages {
        let path = dir.join(format!("{name}.md"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(&dir).unwrap();
            write(&path, &text);
            continue;
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{} is not what the catalogue says: UPDATE_DOCS=1 cargo test --features failpoints option_pages",
            path.display()
        );
    }
}
