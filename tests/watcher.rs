//! The watcher with real services that really die. Every test ends what it started.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::path::PathBuf;

use msgstore::os::process::{Order, ServiceState, service_state, tell};

use super::instance::{Instance, wait_until};

/// An instance whose services are not those of the test, and end with it however it ends.
struct Site(Instance);

impl Site {
    fn new(settings: &[(&str, &str)]) -> Site {
        let always = [
            ("logfile.watcher.loglevel", "Information"),
            ("service.imap.port", "0"),
            ("service.pop.enable", "no"),
            ("service.listenaddr", "127.0.0.1"),
        ];
        Site(Instance::stopped(&[&always[..], &[("local.watcher.enable", "on")], settings].concat()))
    }

    fn proc(&self) -> PathBuf {
        self.0.base().join("data/proc")
    }

    fn pid(&self, service: &str) -> Option<i32> {
        match service_state(&self.proc(), service).unwrap() {
            ServiceState::Ready(pid) => Some(pid),
            _ => None,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.base().join("data/log/watcher")).unwrap_or_default()
    }

    fn says(&self, text: &str) {
        wait_until(&format!("no line with {text:?}"), || self.log().contains(text));
    }

    /// Kills a service; its pid.
    fn kill(&self, service: &str) -> i32 {
        wait_until("it does not run", || self.pid(service).is_some());
        let pid = self.pid(service).unwrap();
        if service != "watcher" {
            self.says(&format!("watches {service} server, pid {pid}\n"));
        }
        tell(pid, Order::Kill).unwrap();
        pid
    }

    /// Waits for another process of a service than this one.
    fn other(&self, service: &str, before: i32) -> i32 {
        wait_until("it is not started again", || self.pid(service).is_some_and(|pid| pid != before));
        self.pid(service).unwrap()
    }

    /// True when the service does not come again for some looks of the watcher.
    fn stays_away(&self, service: &str) -> bool {
        (0..20).all(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            service_state(&self.proc(), service).unwrap() == ServiceState::Stopped
        })
    }

    fn run(&self, tool: &str, words: &[&str]) -> (String, String) {
        self.0.run(tool, words).ended(0)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for service in ["watcher", "imap", "store"] {
            if let Some(pid) = service_state(&self.proc(), service).ok().and_then(ServiceState::pid) {
                let _ = tell(pid, Order::Kill);
            }
        }
    }
}

#[test]
fn what_dies_is_told_and_nothing_more_as_long_as_nobody_wants_it() {
    let it = Site::new(&[]);
    let (out, err) = it.run("start-msg", &[]);
    assert!(
        out.starts_with("Connecting to watcher ...\nLaunching watcher ...\nStarting store server .... "),
        "{out}{err}"
    );
    let (out, _) = it.run("start-msg", &[]);
    assert!(out.starts_with("Connecting to watcher ...\nstore server is already running, pid "), "{out}");
    let pid = it.kill("imap");
    it.says(&format!("General Error: imap server (pid {pid}) died\n"));
    assert!(it.stays_away("imap"));
    let (out, _) = it.run("stop-msg", &[]);
    assert!(out.starts_with("Stopping watcher server .... "), "{out}");
    assert!(it.log().ends_with("watcher ends\n"), "{}", it.log());
}

#[test]
pub fn what_dies_is_started_again_until_it_dies_too_often() {
    let it = Site::new(&[("local.autorestart", "yes")]);
    it.run("start-msg", &[]);
    let mut pid = it.kill("imap");
    pid = it.other("imap", pid);
    it.says(&format!("imap server restarted, pid {pid}\n"));
    // Who is stopped stays so, asked or killed.
    for words in [&["imap"][..], &["-f", "imap"]] {
        it.says(&format!("watches imap server, pid {}\n", it.pid("imap").unwrap()));
        it.run("stop-msg", words);
        assert!(it.stays_away("imap"), "{words:?}");
        it.run("start-msg", &["imap"]);
    }
    // The store comes first: what needs it waits.
    let imap = it.pid("imap").unwrap();
    it.says(&format!("watches imap server, pid {imap}\n"));
    let store = it.kill("store");
    tell(imap, Order::Kill).unwrap();
    it.other("store", store);
    pid = it.other("imap", imap);
    assert_ne!(it.kill("imap"), 0);
    it.says(" died 3 times within 600 seconds, it is not restarted any more\n");
    assert!(it.stays_away("imap"));
    // Who starts it by hand begins anew; the time can be changed meanwhile.
    it.run("configutil", &["-o", "local.autorestart.timeout", "-v", "1"]);
    it.run("refresh", &["watcher"]);
    it.says("watcher has read the configuration again");
    it.run("start-msg", &["imap"]);
    for _ in 0..4 {
        assert_ne!(it.other("imap", pid), pid);
        pid = it.kill("imap");
    }
    it.other("imap", pid);
    it.run("stop-msg", &[]);
}

#[test]
fn a_watcher_that_is_killed_is_followed_by_one_that_goes_on() {
    let it = Site::new(&[("local.autorestart", "yes")]);
    it.run("start-msg", &[]);
    let (watcher, imap) = (it.kill("watcher"), it.pid("imap").unwrap());
    wait_until("it stays", || it.pid("watcher").is_none());
    assert_eq!(it.run("start-msg", &["watcher"]).0, "Connecting to watcher ...\nLaunching watcher ...\n");
    assert_ne!(it.pid("watcher").unwrap(), watcher);
    assert_eq!(it.pid("imap"), Some(imap));
    it.kill("imap");
    it.other("imap", imap);
    it.run("stop-msg", &[]);
}

#[test]
fn for_a_cluster_it_ends_when_it_gives_up() {
    let it = Site::new(&[]);
    let (_, err) = it.0.run("start-msg", &["ha", "imap"]).ended(64);
    assert!(err.contains("ha starts all services"), "{err}");
    it.run("start-msg", &["ha"]);
    let (_, err) = it.0.run("start-msg", &["ha"]).ended(69);
    assert!(err.contains("the watcher is already running"), "{err}");
    let mut pid = 0;
    for _ in 0..3 {
        it.other("imap", pid);
        pid = it.kill("imap");
    }
    it.says("General Critical: watcher ends: the imap server died 3 times within 600 seconds: ");
    wait_until("the watcher stays", || it.pid("watcher").is_none());
    it.run("stop-msg", &[]);
}

#[test]
pub fn without_it_nothing_is_watched() {
    let it = Site::new(&[("local.watcher.enable", "off")]);
    let (out, _) = it.run("start-msg", &["store"]);
    assert!(out.starts_with("Starting store server"), "{out}");
    let (_, err) = it.0.run("start-msg", &["ha"]).ended(78);
    assert!(err.contains("local.watcher.enable is off"), "{err}");
    it.0.run("start-msg", &["watcher"]).ended(78);
    it.run("stop-msg", &["store"]);
}

/// The watcher stays root, and the directories belong to others: it does not write where a link leads.
#[test]
fn planted_links_are_not_followed() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: planted_links_are_not_followed needs root");
        return;
    }
    let it = Site::new(&[]);
    let mine = it.0.base().join("mine");
    fs::write(&mine, "mine").unwrap();
    let (pid, log) = (it.proc().join("watcher"), it.0.base().join("data/log/watcher"));
    std::os::unix::fs::symlink(&mine, &pid).unwrap();
    it.0.run("watcher", &[]).ended(74);
    fs::remove_file(&pid).unwrap();
    std::os::unix::fs::symlink(&mine, &log).unwrap();
    it.run("start-msg", &["watcher"]);
    it.run("stop-msg", &["watcher"]);
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
}

/// Units for systemd: one for each service but the watcher, whose work systemd does; where systemd-analyze is there, it finds nothing to say.
#[test]
fn units_for_systemd_are_installed_and_sound() {
    use msgstore::daemon::process::SERVICES;
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("pre&fix");
    let done = std::process::Command::new(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"))
        .args(["--prefix", prefix.to_str().unwrap()])
        .env("MSGSTORE_BINARY", env!("CARGO_BIN_EXE_msgstore"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let units = prefix.join("share/msgstore/systemd");
    let mut found: Vec<String> =
        fs::read_dir(&units).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let services = SERVICES.iter().filter(|service| service.name != "watcher");
    let mut wanted = vec!["msgstore@.target".to_owned()];
    for service in services {
        let name = format!("msgstore-{}@.service", service.name);
        let text = fs::read_to_string(units.join(&name)).unwrap();
        let words = [&[service.tool], service.arguments].concat().join(" ");
        assert!(text.contains(&format!("\nExecStart={}/lib/{words}\n", prefix.display())), "{name}: {text}");
        assert!(prefix.join("lib").join(service.tool).exists());
        wanted.push(name);
    }
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let Some(analyze) = super::lmtpd::counterpart("systemd-analyze") else { return };
    // Instances of the templates, as they would be called for /srv/mail.
    let here = dir.path().join("units");
    fs::create_dir(&here).unwrap();
    let mut command = std::process::Command::new(analyze);
    command
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .env("SYSTEMD_UNIT_PATH", format!("{}:", here.display()));
    for name in &found {
        fs::copy(units.join(name), here.join(name)).unwrap();
        command.arg(here.join(name.replace("@.", "@srv-mail.")));
        fs::copy(units.join(name), here.join(name.replace("@.", "@srv-mail."))).unwrap();
    }
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("msgstore")).collect();
    assert!(done.status.success() && ours.is_empty(), "{said}");
}

/// A service that ends by an error died, whatever it could still tidy up; what keeps failing is given up.
#[test]
fn a_service_that_ends_by_an_error_died() {
    let it = Site::new(&[("local.autorestart", "yes")]);
    it.run("start-msg", &[]);
    it.says(&format!("watches imap server, pid {}\n", it.pid("imap").unwrap()));
    // The next start fails: its certificate is none.
    let certificate = it.0.base().join("config/server.crt");
    let kept = fs::read(&certificate).unwrap();
    it.run("configutil", &["-o", "service.imap.enablesslport", "-v", "yes"]);
    it.run("configutil", &["-o", "service.imap.sslport", "-v", "0"]);
    fs::write(&certificate, "none").unwrap();
    it.kill("imap");
    it.says(" died 3 times within 600 seconds, it is not restarted any more\n");
    assert!(it.stays_away("imap"));
    fs::write(&certificate, kept).unwrap();
    it.run("start-msg", &["imap"]);
    it.run("stop-msg", &[]);
}
