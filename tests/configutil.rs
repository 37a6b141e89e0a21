//! configutil: the documented outputs, every option, two writers at once, a writer killed at any point.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use msgstore::config::{Instance, catalogue};
use tempfile::TempDir;

/// An instance without a store, for configutil alone.
pub struct Site {
    pub dir: TempDir,
}

impl Site {
    /// An instance with both files, as `configure` leaves it.
    pub fn new() -> Site {
        let site = Site { dir: tempfile::tempdir().unwrap() };
        Instance::at(site.dir.path()).create_files(&[]).unwrap();
        site
    }

    pub fn conf(&self) -> PathBuf {
        self.dir.path().join("config/msg.conf")
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.conf()).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("msgstore"));
        command.arg("configutil").args(args);
        command.env_clear();
        command.env("CONFIGROOT", self.dir.path().join("config"));
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> (i32, String, String) {
        parts(self.command(args).output().unwrap())
    }

    /// Standard output of a call that must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let (code, out, err) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {err}");
        out
    }

    /// Standard error of a call that must end with `code` and print nothing.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let (got, out, err) = self.run(args);
        assert_eq!((got, out.as_str()), (code, ""), "{args:?}: {err}");
        assert!(!err.is_empty(), "{args:?} fails silently");
        err
    }
}

/// Exit code and both outputs.
pub fn parts(output: Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Writes a file.
pub fn write(path: &Path, text: &str) {
    msgstore::os::durable::replace(path, text.as_bytes(), 0o600).unwrap();
}

fn golden(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/configutil");
    fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn the_printed_pop_listing() {
    // Exceptions: createtimestamp and creatorsname are the directory's bookkeeping, which a local database does not have; parameters of this
    // product's own stand between the others.
    let wanted: String = golden("m-service.pop.txt")
        .lines()
        .filter(|line| !line.contains(".createtimestamp") && !line.contains(".creatorsname"))
        .map(|line| format!("{line}\n"))
        .collect();
    let listing = Site::new().ok(&["-m", "-p", "service.pop"]);
    let is_ours = |line: &&str| {
        let name = line.split(' ').next().unwrap();
        msgstore::config::catalogue::find(name).is_some_and(msgstore::config::catalogue::Parameter::is_ours)
    };
    let manual: String = listing.lines().filter(|line| !is_ours(line)).map(|line| format!("{line}\n")).collect();
    assert!(manual.starts_with(&wanted), "{listing}");
    let mut sorted: Vec<&str> = listing.lines().collect();
    sorted.sort();
    assert_eq!(listing.lines().collect::<Vec<_>>(), sorted);
}

#[test]
fn the_shipped_schedule_imports_and_lists() {
    let site = Site::new();
    let golden = golden("schedule.txt");
    let file = site.dir.path().join("jobs");
    let mut shipped: Vec<String> = Vec::new();
    for line in golden.lines() {
        // One line of the manual is printed without the blanks.
        let (name, value) = line.split_once('=').unwrap();
        shipped.push(format!("{} = {}", name.trim(), value.trim()));
    }
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/configutil/schedule.txt"), &file).unwrap();
    site.ok(&["-i", file.to_str().unwrap()]);
    shipped.sort();
    let listed = site.ok(&["-l", "-p", "local.schedule"]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), shipped);
}

#[test]
fn one_value_is_bare() {
    let site = Site::new();
    assert_eq!(site.ok(&["-o", "service.imap.port"]), "143\n");
    assert_eq!(site.ok(&["-o", "SERVICE.IMAP.PORT"]), "143\n");
    assert_eq!(site.ok(&["service.imap.port"]), "143\n");
    assert_eq!(site.ok(&["-o", "service.pop.banner"]), "%h %p service (%P %V)\n");
    assert_eq!(site.ok(&["-o", "local.defdomain"]), "\n");
    assert_eq!(
        site.ok(&["-o", "store.partition.primary.path"]),
        format!("{}\n", site.dir.path().canonicalize().unwrap().join("data/store/partition/primary").display())
    );
}

#[test]
fn set_clear_and_remove() {
    let site = Site::new();
    site.ok(&["-o", "Service.Imap.Banner", "-v", "hello there"]);
    assert_eq!(site.text(), "\"service.imap.banner\" = \"hello there\"\n");
    assert_eq!(site.ok(&["-o", "service.imap.banner"]), "hello there\n");
    site.ok(&["-o", "service.imap.banner", "-v", ""]);
    assert_eq!(site.ok(&["-o", "service.imap.banner"]), "\n");
    assert!(!site.ok(&["-p", "service.imap"]).contains("banner"));
    assert!(site.ok(&["-e", "-p", "service.imap"]).contains("service.imap.banner = \"\"\n"));
    site.ok(&["-o", "service.imap.banner", "-d"]);
    assert_eq!(site.text(), "");
    assert_eq!(site.ok(&["-o", "service.imap.banner"]), "%h %p service (%P %V)\n");
    site.ok(&["-o", "service.imap.banner", "-d"]);
    site.ok(&["service.imap.plaintextmincipher", "-1"]);
    site.ok(&["-o", "service.pop.plaintextmincipher", "-v", "-1"]);
    assert_eq!(site.ok(&["-l"]), "service.imap.plaintextmincipher = -1\nservice.pop.plaintextmincipher = -1\n");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(site.conf()).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn languages_are_values_of_their_own() {
    let site = Site::new();
    site.ok(&["-o", "store.quotaexceededmsg", "-v", "Subject: full$$text"]);
    site.ok(&["-o", "store.quotaexceededmsg;lang-jp", "-v", "other"]);
    assert_eq!(site.ok(&["-o", "store.quotaexceededmsg"]), "Subject: full$$text\n");
    assert_eq!(site.ok(&["-o", "store.quotaexceededmsg;lang-jp"]), "other\n");
    assert_eq!(site.ok(&["-o", "store.quotaexceededmsg;lang-de"]), "\n");
    assert_eq!(site.ok(&["-l"]), "store.quotaexceededmsg = \"Subject: full$$text\"\n");
    assert_eq!(site.ok(&["-p", "store.quota;lang-jp"]), "store.quotaexceededmsg;lang-jp = other\n");
    site.fails(64, &["-o", "service.imap.port;lang-jp", "-v", "1"]);
    site.fails(64, &["-o", "store.quotaexceededmsg;fr", "-v", "1"]);
}

#[test]
fn names_that_are_not_known() {
    let site = Site::new();
    let said = site.fails(64, &["-o", "service.imap.prot", "-v", "1"]);
    assert!(said.contains("service.imap.port"), "{said}");
    site.fails(64, &["-o", "no.such.name"]);
    site.fails(64, &["-o", "no.such.name", "-d"]);
    site.fails(64, &["-p", "no.such"]);
    assert_eq!(site.text(), "");
    site.ok(&["-l", "-o", "no.such.name", "-v", "mine"]);
    assert_eq!(site.ok(&["-o", "no.such.name"]), "mine\n");
    assert_eq!(site.ok(&["-p", "no.such"]), "no.such.name = mine\n");
    site.ok(&["-o", "no.such.name", "-d"]);
    assert_eq!(site.text(), "");
}

#[test]
fn values_outside_of_their_range_are_refused_with_the_range() {
    let site = Site::new();
    for (name, value, said) in [
        ("service.http.port", "0", "1 to 65535"),
        ("service.imap.idletimeout", "29", "30 or more"),
        ("service.imap.enable", "maybe", "yes, no, on, off"),
        ("store.quotawarn", "101", "0 to 100"),
        ("local.schedule.expire", "0 25 * * *", "hour 0-23"),
        ("logfile.imap.loglevel", "Loud", "Notice"),
        ("store.umask", "022", "077"),
        ("service.imap.port", "", "-d"),
    ] {
        let error = site.fails(64, &["-o", name, "-v", value]);
        assert!(error.contains(said) && error.contains(name), "{error}");
    }
    assert_eq!(site.text(), "");
}

#[test]
fn a_setting_without_effect_is_stored_with_a_warning() {
    let site = Site::new();
    let (code, out, err) = site.run(&["-o", "local.snmp.enable", "-v", "1"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("no effect"), "{err}");
    assert_eq!(site.ok(&["-o", "local.snmp.enable"]), "1\n");
}

#[test]
fn a_default_partition_without_a_path_is_told() {
    let site = Site::new();
    let (code, _, err) = site.run(&["-o", "store.defaultpartition", "-v", "second"]);
    assert_eq!(code, 0);
    assert!(err.contains("store.partition.second.path"), "{err}");
    assert!(err.contains("Unknown/invalid partition: store.defaultpartition names second"), "{err}");
    let second = site.dir.path().join("second");
    let (_, _, err) = site.run(&["-o", "store.partition.second.path", "-v", second.to_str().unwrap()]);
    assert!(!err.contains("is not set"), "{err}");
    site.ok(&["-V"]);
}

#[test]
fn import_is_all_or_nothing() {
    let site = Site::new();
    let file = site.dir.path().join("import");
    let import = |text: &str| {
        write(&file, text);
        site.run(&["-i", file.to_str().unwrap()])
    };
    let (code, _, err) =
        import("# ours\nservice.imap.port=1143\n\nservice.imap.banner = \"a \\\"b\\\"\"\nstore.admins=x y\n");
    assert_eq!(code, 0, "{err}");
    assert_eq!(site.ok(&["-o", "service.imap.banner"]), "a \"b\"\n");
    let before = site.text();
    for (text, line) in [
        ("service.pop.port=1110\nservice.imap.port=x\n", ":2:"),
        ("service.pop.port=1110\nno.such=x\n", ":2:"),
        ("service.pop.port=1110\n\nnothing here\n", ":3:"),
        ("service.pop.port=\"1110\n", ":1:"),
        ("service.pop.port=1110\nservice.POP.port=1111\n", ":2:"),
    ] {
        let (code, _, err) = import(text);
        assert_eq!(code, 65, "{text}: {err}");
        assert!(err.contains(line), "{text}: {err}");
        assert_eq!(site.text(), before);
    }
    site.fails(66, &["-i", "/nonexistent/file"]);
    let listing = site.ok(&["-l"]);
    let again = Site::new();
    write(&file, &listing);
    again.ok(&["-i", file.to_str().unwrap()]);
    assert_eq!(again.ok(&["-l"]), listing);
    let mut child = again.command(&["-i"]).stdin(fs::File::open(&file).unwrap()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn options_that_make_no_sense_together() {
    let site = Site::new();
    for args in [
        &["-o", "service.imap.port", "-p", "service"][..],
        &["-v", "1"],
        &["-d"],
        &["-o", "service.imap.port", "-v", "1", "-d"],
        &["-o", "service.imap.port", "-m"],
        &["-o", "service.imap.port", "-e"],
        &["-i", "x", "-p", "service"],
        &["-V", "-p", "service"],
        &["-V", "-o", "service.imap.port"],
        &["-l", "-e"],
        &["-H", "-e"],
        &["-H", "-o", "service.imap.port", "-v", "1"],
        &["service.imap.port", "-o", "service.imap.port"],
        &["service.imap.port", "1", "2"],
        &["-V", "service.imap.port"],
        &["-z"],
    ] {
        site.fails(64, args);
    }
}

#[test]
fn help_explains() {
    let site = Site::new();
    let help = site.ok(&["-H", "-p", "service.imap.port"]);
    assert!(help.starts_with("service.imap.port = 143\n    "), "{help}");
    assert!(help.contains("0 to 65535") && help.contains("default: 143"));
    let all = site.ok(&["-H"]);
    for row in catalogue::all().filter(|row| !row.is_alias()) {
        assert!(
            all.lines().any(|line| line == row.name || line.starts_with(&format!("{} = ", row.name))),
            "{}",
            row.name
        );
    }
    assert!(site.ok(&["-H", "-p", "store.expirerule.r1"]).contains("<rulename>"));
    assert!(site.ok(&["-h"]).contains("Usage: configutil"));
}

#[test]
fn json_is_one_object_a_line() {
    let site = Site::new();
    for line in site.ok(&["--json", "-p", "service.pop"]).lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["v"], 1);
        assert!(object["name"].as_str().unwrap().starts_with("service.pop."));
        assert!(object["value"].is_string() && object["refreshable"].is_boolean());
    }
}

#[test]
fn validation_names_file_and_line() {
    let site = Site::new();
    assert!(site.ok(&["-V"]).contains("nothing wrong"));
    write(
        &site.conf(),
        "# mine\n\"service.imap.port\" = \"99999\"\n\"my.own.setting\" = \"1\"\n\"service.imap.prot\" = \"1\"\n\"store.defaultpartition\" = \"other\"\n",
    );
    let (code, out, err) = site.run(&["-V"]);
    assert_eq!(code, 78);
    assert!(out.contains("msg.conf:2: service.imap.port"), "{out}");
    assert!(out.contains("msg.conf:3: note:"), "{out}");
    assert!(out.contains("msg.conf:4: unknown parameter: service.imap.prot"), "{out}");
    assert!(out.contains("store.partition.other.path"), "{out}");
    assert!(err.contains("3 problems"), "{err}");
    write(&site.conf(), "\"service.imap.port\" \"143\"\n");
    let (code, out, _) = site.run(&["-V"]);
    assert!(code == 78 && out.contains("msg.conf:1:"), "{out}");
    let said = site.fails(78, &["-o", "service.imap.port"]);
    assert!(said.contains("msg.conf:1:"), "{said}");
    // A value out of range can be repaired with the tool itself.
    write(&site.conf(), "\"service.imap.port\" = \"99999\"\n");
    site.ok(&["-o", "service.imap.port", "-v", "143"]);
    site.ok(&["-V"]);
}

#[test]
fn another_file_and_no_instance() {
    let site = Site::new();
    let other = site.dir.path().join("other.conf");
    let name = other.to_str().unwrap();
    site.fails(66, &["-f", name, "-o", "service.imap.port"]);
    site.ok(&["-f", name, "-o", "service.imap.port", "-v", "2143"]);
    assert_eq!(site.ok(&["-f", name, "-l"]), "service.imap.port = 2143\n");
    assert_eq!(site.text(), "");
    let mut command = site.command(&["-o", "service.imap.port"]);
    command.env("CONFIGROOT", "/nonexistent/config");
    let (code, _, err) = parts(command.output().unwrap());
    assert_eq!(code, 78);
    assert!(err.contains("CONFIGROOT") && err.contains("configure --base"), "{err}");
    command.env_remove("CONFIGROOT");
    assert_eq!(command.output().unwrap().status.code(), Some(78));
}

#[test]
fn the_link_finds_its_own_instance() {
    let site = Site::new();
    site.ok(&["-o", "service.imap.port", "-v", "3143"]);
    let sbin = site.dir.path().join("sbin");
    fs::create_dir(&sbin).unwrap();
    let link = sbin.join("configutil");
    std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin!("msgstore"), &link).unwrap();
    let by_path = Command::new(&link).env_clear().args(["-o", "service.imap.port"]).output().unwrap();
    assert_eq!(parts(by_path).1, "3143\n");
    let by_name = Command::new("sh")
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", sbin.display()))
        .args(["-c", "configutil -o service.imap.port"])
        .output()
        .unwrap();
    assert_eq!(parts(by_name).1, "3143\n");
}

#[test]
fn two_writers_at_once_both_land() {
    let site = Site::new();
    thread::scope(|scope| {
        for writer in ["one", "two"] {
            let site = &site;
            scope.spawn(move || {
                for count in 0..50 {
                    let name = format!("mine.{writer}.{count}");
                    site.ok(&["-l", "-o", &name, "-v", "1"]);
                }
            });
        }
    });
    assert_eq!(site.ok(&["-p", "mine."]).lines().count(), 100);
}

#[cfg(feature = "failpoints")]
#[test]
fn a_killed_writer_leaves_the_old_or_the_new_file() {
    for (point, after) in [("durable.before-rename", "1143\n"), ("durable.after-rename", "2143\n")] {
        let site = Site::new();
        site.ok(&["-o", "service.imap.port", "-v", "1143"]);
        let mut command = site.command(&["-o", "service.imap.port", "-v", "2143"]);
        let status = command.env("CRASH_POINT", point).status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert_eq!(site.ok(&["-o", "service.imap.port"]), after);
        site.ok(&["-V"]);
        // The next writer is not locked out, and clears away what was left.
        site.ok(&["-o", "service.imap.port", "-v", "3143"]);
        let left: Vec<String> = fs::read_dir(site.dir.path().join("config"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".new"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
