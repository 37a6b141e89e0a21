//! Every command line of the 2004Q2 guide's chapter on the message store, typed as it is printed: testdata/chapter.txt says how its file reads.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;

/// What the lines of later releases wait for; configutil has the same words.
const CAPABILITIES: &[&str] = &["quota", "backup", "shared folders", "the list of connected users"];

/// What a tool must do, and when.
#[derive(Debug, Default, Clone)]
struct Step {
    typed: String,
    exit: i32,
    out: Vec<String>,
    err: Vec<String>,
}

/// One printed command line.
#[derive(Debug, Default)]
struct Entry {
    /// Its line in the file.
    number: usize,
    place: String,
    printed: String,
    lost: Option<String>,
    foreign: Option<String>,
    waits: Option<String>,
    with: Vec<(String, String)>,
    restored: Option<String>,
    users: Vec<String>,
    first: Vec<String>,
    /// The line itself, then what is looked at afterwards.
    steps: Vec<Step>,
}

/// How many lines there are of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    works: usize,
    waits: BTreeMap<String, usize>,
    restored: usize,
    damaged: usize,
    foreign: usize,
}

impl Counts {
    fn of(entries: &[Entry]) -> Counts {
        let mut counts = Counts::default();
        for entry in entries {
            match (&entry.foreign, &entry.lost, &entry.restored, &entry.waits) {
                (Some(_), ..) => counts.foreign += 1,
                (_, Some(_), None, _) => counts.damaged += 1,
                (.., None) => counts.works += 1,
                (.., Some(what)) => *counts.waits.entry(what.clone()).or_default() += 1,
            }
            counts.restored += usize::from(entry.restored.is_some());
        }
        counts
    }

    /// As the file has them.
    fn lines(&self, all: usize) -> Vec<String> {
        let mut lines = vec![format!("= {all} lines"), format!("= {} work", self.works)];
        lines.extend(self.waits.iter().map(|(what, count)| format!("= {count} wait for {what}")));
        lines.push(format!("= {} are of other products", self.foreign));
        lines.push(format!("= {} are lost", self.damaged));
        lines.push(format!("= {} of those that work or wait are damaged in print and restored", self.restored));
        lines
    }
}

/// The entries of the file, and its lines of counts.
fn entries(text: &str) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut counts, mut place) = (Vec::<Entry>::new(), Vec::new(), String::new());
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let wrong = |what: &str| -> ! { panic!("testdata/chapter.txt:{number}: {what}: {line}") };
        if line.is_empty() || line.starts_with('#') {
        } else if line.starts_with("= ") {
            counts.push(line.to_owned());
        } else if let Some(title) = line.strip_prefix("== ") {
            place = title.to_owned();
        } else if let Some(printed) = line.strip_prefix('$') {
            let printed = printed.trim().to_owned();
            entries.push(Entry {
                number,
                place: place.clone(),
                printed,
                steps: vec![Step::default()],
                ..Entry::default()
            });
        } else {
            let Some(entry) = entries.last_mut() else { wrong("no entry begins above") };
            let Some(said) = line.strip_prefix("  ") else { wrong("not understood") };
            let (word, rest) = said.split_once(' ').unwrap_or((said, ""));
            let rest = rest.to_owned();
            let step = entry.steps.last_mut().unwrap();
            match word {
                "with" => {
                    let Some((from, to)) = rest.split_once(" = ") else { wrong("A = B is expected") };
                    entry.with.push((from.to_owned(), to.to_owned()));
                }
                "lost" => entry.lost = Some(rest),
                "restored" => entry.restored = Some(rest),
                "foreign" => entry.foreign = Some(rest),
                "waits" if CAPABILITIES.contains(&rest.as_str()) => entry.waits = Some(rest),
                "user" => entry.users.push(rest),
                "first" => entry.first.push(rest),
                "exit" => step.exit = rest.parse().unwrap(),
                "|" | "..." => step.out.push(if word == "|" { rest } else { word.to_owned() }),
                "!" => step.err.push(rest),
                "then" => entry.steps.push(Step { typed: rest, ..Step::default() }),
                _ => wrong("not understood"),
            }
        }
    }
    for entry in &mut entries {
        let mut typed = entry.restored.clone().unwrap_or_else(|| entry.printed.clone());
        for (from, to) in &entry.with {
            assert!(typed.contains(from), "testdata/chapter.txt:{}: there is no {from} in {typed}", entry.number);
            typed = typed.replace(from, to);
        }
        assert!(
            entry.restored.is_none() || entry.lost.is_some(),
            "testdata/chapter.txt:{}: what is lost?",
            entry.number
        );
        entry.steps[0].typed = typed;
    }
    (entries, counts)
}

/// How a line ended.
struct Ran {
    exit: i32,
    out: String,
    err: String,
}

/// An instance in a directory of the name that the manual has for it.
struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let site = Site { dir: tempfile::tempdir().unwrap() };
        let base = site.base();
        let mut configure = Command::new(env!("CARGO_BIN_EXE_msgstore"));
        configure.args(["configure", "--base", base.to_str().unwrap(), "--domain", "example.org"]);
        configure.args([
            "--set",
            "service.imap.port=0",
            "--set",
            "service.pop.port=0",
            "--set",
            "service.listenaddr=127.0.0.1",
            "--set",
            "service.lmtp.enable=no",
        ]);
        let made = configure.env_clear().output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        site
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("msg_svr_base")
    }

    /// What a person has who goes to the directory above msg_svr_base and has its commands in the search path.
    fn types(&self, line: &str) -> Ran {
        let base = self.base();
        let path = format!("{}:{}:/usr/bin:/bin", base.join("sbin").display(), base.join("lib").display());
        // A line in the background is waited for, to see how it ends.
        let line = if line.ends_with('&') { format!("{line}\nwait $!") } else { line.to_owned() };
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &line]).current_dir(self.dir.path()).stdin(Stdio::null());
        shell.env_clear().env("PATH", path).env("LC_ALL", "C").env("TZ", "UTC");
        // Files, for a daemon that is started would keep a pipe open.
        let capture = |name: &str| fs::File::create(self.dir.path().join(name)).unwrap();
        let status = shell.stdout(capture("out")).stderr(capture("err")).status().unwrap();
        let captured = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap();
        Ran { exit: status.code().unwrap_or(-1), out: captured("out"), err: captured("err") }
    }

    fn user(&self, name: &str) {
        let path = self.base().join("config/directory.ldif");
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        let entry = format!(
            "\ndn: uid={name},ou=People,dc=example,dc=org\nobjectClass: inetMailUser\nuid: {name}\nmail: {name}@example.org\n"
        );
        file.write_all(entry.as_bytes()).unwrap();
    }

    fn has_link(&self, tool: &str) -> bool {
        ["sbin", "lib"].iter().any(|place| self.base().join(place).join(tool).symlink_metadata().is_ok())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Whatever runs of it must not outlive the test.
        drop(Command::new(self.base().join("sbin/stop-msg")).arg("-f").env_clear().output());
    }
}

/// Lines against patterns: `*` any text, `...` any lines.
fn fits(patterns: &[String], text: &str) -> bool {
    let mut regex = String::from("(?s)^");
    for pattern in patterns {
        if pattern == "..." {
            regex.push_str("(?:[^\n]*\n)*");
        } else {
            let parts: Vec<String> = pattern.split('*').map(regex::escape).collect();
            regex.push_str(&parts.join("[^\n]*"));
            regex.push('\n');
        }
    }
    regex.push('$');
    Regex::new(&regex).unwrap().is_match(text)
}

/// What is wrong with how a step ended, if anything.
fn differs(step: &Step, ran: &Ran) -> Option<String> {
    let said = |text: &String| {
        let parts: Vec<String> = text.split('*').map(regex::escape).collect();
        Regex::new(&parts.join("[^\n]*")).unwrap().is_match(&ran.err)
    };
    let what = if ran.exit != step.exit {
        format!("ends with {}, not {}", ran.exit, step.exit)
    } else if !fits(&step.out, &ran.out) {
        format!("should print\n{}", step.out.join("\n"))
    } else if let Some(missing) = step.err.iter().find(|text| !said(text)) {
        format!("should say on standard error: {missing}")
    } else if step.err.is_empty() && !ran.err.is_empty() {
        "should say nothing on standard error".to_owned()
    } else {
        return None;
    };
    Some(what)
}

/// Types one entry; returns what is wrong.
fn try_entry(site: &Site, entry: &Entry) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut failed = |typed: &str, what: String, ran: &Ran| {
        let mut text = format!("testdata/chapter.txt:{}: {}\n$ {typed}\n{what}", entry.number, entry.place);
        let _ = write!(text, "\nexit {}, standard output:\n{}standard error:\n{}", ran.exit, ran.out, ran.err);
        wrong.push(text);
    };
    for user in &entry.users {
        site.user(user);
    }
    for line in &entry.first {
        let ran = site.types(line);
        if ran.exit != 0 {
            failed(line, "must succeed before".to_owned(), &ran);
        }
    }
    for (at, step) in entry.steps.iter().enumerate() {
        let ran = site.types(&step.typed);
        let waits = entry.waits.as_ref().filter(|_| at == 0);
        let what = match waits {
            None => differs(step, &ran),
            Some(what) => refused(site, step, &ran, what),
        };
        if let Some(what) = what {
            failed(&step.typed, what, &ran);
        }
    }
    wrong
}

/// What is wrong with how a line ended that waits for `what`: it must be refused, or say that it changes nothing.
fn refused(site: &Site, step: &Step, ran: &Ran, what: &str) -> Option<String> {
    let line = step.typed.rsplit('|').next().unwrap_or_default();
    let tool = Path::new(line.split_whitespace().next().unwrap_or_default());
    if !site.has_link(tool.file_name()?.to_str()?) {
        return (ran.exit != 127).then(|| "there is no such tool, and yet something was found".to_owned());
    }
    let warned = format!("has no effect in this release: waits for {what}");
    if step.exit == 0 && ran.exit == 0 && ran.err.contains(&warned) {
        return (!ran.out.is_empty()).then(|| "should print nothing".to_owned());
    }
    let stale = "it is not refused any more: take the mark \"waits\" away and say what it does";
    if ran.exit == 0 || step.exit == 0 { Some(stale.to_owned()) } else { differs(step, ran) }
}

#[test]
fn every_printed_command_line_is_typed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/chapter.txt");
    let (entries, counted) = entries(&fs::read_to_string(path).unwrap());
    let counts = Counts::of(&entries);
    let lines = counts.lines(entries.len());
    eprintln!("{}", lines.join("\n"));
    assert_eq!(counted, lines, "testdata/chapter.txt: the counts at its beginning");
    let site = Site::new();
    let started = site.types("start-msg store");
    assert_eq!(started.exit, 0, "{}", started.err);
    let mut wrong = Vec::new();
    for entry in entries.iter().filter(|entry| entry.foreign.is_none()) {
        if entry.lost.is_none() || entry.restored.is_some() {
            wrong.extend(try_entry(&site, entry));
        }
    }
    assert!(wrong.is_empty(), "{} lines of the chapter differ:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn the_test_of_the_chapter_can_fail() {
    let text = "== A\n$ true x\n  with x = y\n  | a*c\n  ! said\n$ tool\n  waits quota\n$ \n  lost all\n$ other\n  foreign them\n";
    let (entries, _) = entries(text);
    let counts = Counts::of(&entries);
    assert_eq!((counts.works, counts.waits["quota"], counts.damaged, counts.foreign), (1, 1, 1, 1));
    let step = &entries[0].steps[0];
    assert_eq!(step.typed, "true y");
    let ran = |exit, out: &str, err: &str| Ran { exit, out: out.to_owned(), err: err.to_owned() };
    assert!(differs(step, &ran(0, "abc\n", "it said so\n")).is_none());
    for ran in [ran(1, "abc\n", "said"), ran(0, "ab\n", "said"), ran(0, "abc\nd\n", "said"), ran(0, "abc\n", "")] {
        assert!(differs(step, &ran).is_some());
    }
    assert!(fits(&["a".into(), "...".into(), "c".into()], "a\nb\nb\nc\n") && fits(&[], ""));
    assert!(!fits(&["...".into(), "c".into()], "c\nd\n") && !fits(&[], "x\n"));
    // A line that works by now is not refused any more.
    let site = Site::new();
    let ended = Step::default();
    for (typed, exit, err, stale) in [
        ("imsconnutil", 127, "not found", false),
        ("imsconnutil", 0, "", true),
        ("configutil -o x -v y", 0, "x is stored, but has no effect in this release: waits for quota", false),
        ("configutil -o x -v y", 0, "", true),
        ("configutil -o x -v y", 0, "x is stored, but has no effect in this release: waits for repair", true),
        ("reconstruct -m", 0, "", true),
    ] {
        let step = Step { typed: typed.to_owned(), ..ended.clone() };
        assert_eq!(refused(&site, &step, &ran(exit, "", err), "quota").is_some(), stale, "{typed}: {err}");
    }
}
