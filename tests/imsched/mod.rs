//! imsched: the real scheduler under a clock that the tests move, its commands, and what it lists.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, clippy::disallowed_methods)]

mod simulated;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use msgstore::os::process::{Identity, Order, ServiceState, service_state, tell};

use crate::imap::PATIENCE;
use crate::instance::Instance;

/// 2030-01-01 00:00 UTC, a Tuesday.
const MIDNIGHT: i64 = 1_893_456_000;

fn until(what: &str, true_now: impl Fn() -> bool) {
    let begun = Instant::now();
    while !true_now() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// An instance whose scheduler lives by a clock of its own.
struct Site {
    it: Instance,
    daemon: Option<Child>,
}

impl Site {
    /// With tasks, each a name and a value.
    fn new(tasks: &[(&str, &str)]) -> Site {
        let settings: Vec<(String, &str)> =
            tasks.iter().map(|(name, value)| (format!("local.schedule.{name}"), *value)).collect();
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        Site { it: Instance::stopped(&settings), daemon: None }
    }

    /// It is this time from now on, and goes on from there.
    fn clock(&self, time: i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let moved = time - i64::try_from(now).unwrap();
        msgstore::os::durable::replace(&self.clock_file(), moved.to_string().as_bytes(), 0o644).unwrap();
    }

    fn clock_file(&self) -> PathBuf {
        self.it.base().join("clock")
    }

    fn start(&mut self, environment: &[(&str, &str)]) {
        let mut command = self.it.command("imsched", &[]);
        command
            .env("CLOCK_FILE", self.clock_file())
            .env("SECRET", "of the scheduler")
            .envs(environment.iter().copied());
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.daemon = Some(child);
        until("imsched does not get ready", || self.state() == ServiceState::Ready(pid));
    }

    fn state(&self) -> ServiceState {
        service_state(&self.it.base().join("data/proc"), "sched").unwrap()
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.daemon.as_ref().unwrap().id()).unwrap()
    }

    fn kill(&mut self) {
        tell(self.pid(), Order::Kill).unwrap();
        self.daemon.take().unwrap().wait().unwrap();
    }

    fn stop(&mut self) {
        tell(self.pid(), Order::Stop).unwrap();
        assert!(self.daemon.take().unwrap().wait().unwrap().success());
    }

    /// All of the log: it begins a new file with each day.
    fn log(&self) -> String {
        let names = fs::read_dir(self.it.base().join("data/log")).unwrap().map(|entry| entry.unwrap().path());
        let is_part = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().split('.').next() == Some("default");
        let mut names: Vec<PathBuf> =
            names.filter(is_part).filter(|path| path.extension().is_none_or(|e| e != "lock")).collect();
        // default.1.TIME before default.
        names.sort_by_key(|path| std::cmp::Reverse(path.to_str().unwrap().len()));
        names.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }

    /// Waits until the log has a text so many times.
    fn logged(&self, text: &str, times: usize) {
        let begun = Instant::now();
        while self.log().matches(text).count() < times {
            assert!(begun.elapsed() < PATIENCE, "not {times} times {text} in\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(self.log().matches(text).count(), times, "{text} in\n{}", self.log());
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.it.base().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn set(&self, name: &str, value: &str) {
        self.it.run("configutil", &["-o", name, "-v", value]).ok();
    }

    /// What `--next` lists: task and command.
    fn next(&self, count: &str) -> Vec<(String, String)> {
        let out = self.it.run("imsched", &["--next", count, "--json"]).ok();
        let row = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(row["v"], 1);
            (row["task"].as_str().unwrap().to_owned(), row["command"].as_str().unwrap().to_owned())
        };
        out.lines().map(row).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _ = tell(i32::try_from(child.id()).unwrap(), Order::Stop);
            let _ = child.wait();
        }
    }
}

#[test]
fn a_task_runs_once_when_it_is_due_in_a_place_of_its_own() {
    let command = "0 0 * * * echo \"$SCHED_TASK $CONFIGROOT ${SECRET-no secret} $(pwd) $HOME $PATH\" >> ran; \
                   echo \"$(ps -o pgid= -p $$) $$\" | tr -s ' ' > group; echo said; echo complained >&2; exit 3";
    let mut site = Site::new(&[("mine", command)]);
    site.clock(MIDNIGHT - 3_600);
    site.start(&[]);
    site.clock(MIDNIGHT);
    site.logged("task mine (pid ", 2);
    site.logged("task mine: said", 1);
    site.logged("task mine: complained", 1);
    let base = site.it.base().canonicalize().unwrap();
    let shown = base.display();
    let log = site.log();
    assert!(log.contains("General Error: task mine (pid ") && log.contains("exit status: 3"), "{log}");
    let path = format!("{0}/sbin:{0}/lib:/usr/local/bin:/usr/bin:/bin", site.it.base().display());
    let wanted = format!("mine {shown}/config no secret {shown} {} {path}", site.it.base().display());
    assert_eq!(site.lines("ran"), [wanted]);
    let group = site.lines("group").remove(0);
    let (group, own) = group.trim().split_once(' ').unwrap();
    assert_eq!(group, own, "a process group of its own");
    assert_ne!(group, site.pid().to_string());
    // The same minute again, and the one after it.
    site.clock(MIDNIGHT);
    site.clock(MIDNIGHT + 60);
    site.clock(MIDNIGHT + 86_400);
    site.logged("task mine (pid ", 4);
    site.stop();
    assert_eq!(site.lines("ran").len(), 2);
    assert!(site.log().contains("imsched ends") && site.state() == ServiceState::Stopped);
}

#[test]
fn a_scheduler_that_is_killed_runs_nothing_twice_and_names_what_was_missed() {
    let mut site = Site::new(&[("mine", "0 * * * * echo ran >> ran")]);
    site.clock(MIDNIGHT - 100);
    site.start(&[]);
    site.clock(MIDNIGHT);
    site.logged("ended after", 1);
    for _ in 0..2 {
        site.kill();
        site.clock(MIDNIGHT + 1);
        site.start(&[]);
    }
    site.clock(MIDNIGHT + 3_600);
    site.logged("ended after", 2);
    site.kill();
    // Two are too late, 03:00 is not.
    site.clock(MIDNIGHT + 4 * 3_600 + 60);
    site.start(&[]);
    site.logged("task mine: 2 runs due 2030-01-01 02:00 +0000 to 2030-01-01 03:00 +0000 were missed", 1);
    site.logged("ended after", 3);
    site.stop();
    site.clock(MIDNIGHT + 5 * 3_600 + 1_000);
    site.start(&[]);
    site.logged("task mine: the run due 2030-01-01 05:00 +0000 was missed", 1);
    site.clock(MIDNIGHT + 6 * 3_600);
    site.logged("ended after", 4);
    assert_eq!(site.lines("ran").len(), 4);
    assert_eq!(site.log().matches("missed").count(), 2);
    // The clock is set back by a day.
    site.clock(MIDNIGHT - 18 * 3_600 - 10);
    site.logged("the clock was set back", 1);
    site.clock(MIDNIGHT - 18 * 3_600);
    site.logged("ended after", 5);
}

#[test]
fn death_at_the_worst_moment_is_told() {
    for (point, ran) in [("imsched.before-run", 0), ("imsched.after-run", 1)] {
        let mut site = Site::new(&[("mine", "0 * * * * echo ran >> ran")]);
        site.clock(MIDNIGHT - 100);
        site.start(&[("CRASH_POINT", point)]);
        site.clock(MIDNIGHT);
        assert!(!site.daemon.take().unwrap().wait().unwrap().success());
        until("the task did not run", || site.lines("ran").len() == ran);
        site.clock(MIDNIGHT + 2);
        site.start(&[]);
        let text = "task mine: the run due 2030-01-01 00:00 +0000 was under way when the scheduler was ended";
        site.logged(text, 1);
        site.clock(MIDNIGHT + 3_600);
        site.logged("ended after", 1);
        assert_eq!(site.lines("ran").len(), ran + 1, "{point}");
        site.kill();
        site.start(&[]);
        site.logged(text, 1);
    }
}

#[test]
fn a_task_that_hangs_runs_alone_and_ends_with_the_scheduler() {
    let mut site =
        Site::new(&[("stuck", "* * * * * echo $$ >> pids; sleep 6000"), ("other", "* * * * * echo ran >> ran")]);
    site.clock(MIDNIGHT - 100);
    site.start(&[]);
    site.clock(MIDNIGHT);
    until("it does not run", || site.lines("pids").len() == 1);
    let stuck: i32 = site.lines("pids")[0].parse().unwrap();
    let process = Identity::of(stuck).unwrap();
    site.clock(MIDNIGHT + 60);
    site.logged(&format!("is left out, the one before (pid {stuck}) still runs"), 1);
    // A refresh leaves it alone, also when there is no such task any more; and so does the end of the scheduler by force.
    site.it.run("configutil", &["-o", "local.schedule.stuck.enable", "-v", "no"]).ok();
    site.set("local.sched.enable", "yes");
    site.it.run("refresh", &["sched"]).ended(0);
    site.logged("imsched has read the configuration again", 1);
    assert!(process.is_alive());
    site.kill();
    site.it.run("configutil", &["-o", "local.schedule.stuck.enable", "-v", "yes"]).ok();
    site.start(&[]);
    site.logged(
        &format!("task stuck (pid {stuck}), due 2030-01-01 00:00 +0000, still runs since before this start"),
        1,
    );
    site.clock(MIDNIGHT + 180);
    site.logged(&format!("is left out, the one before (pid {stuck}) still runs"), 2);
    assert!(process.is_alive());
    site.stop();
    until("the task outlives the scheduler", || !process.is_alive());
    assert!(site.log().contains(&format!("task stuck (pid {stuck}) is told to end")), "{}", site.log());
    assert_eq!(site.lines("pids").len(), 1);
    assert!(site.lines("ran").len() >= 2);
    // One that does not listen.
    let mut site = Site::new(&[("deaf", "* * * * * trap '' TERM; echo $$ >> pids; while :; do sleep 1; done")]);
    site.clock(MIDNIGHT - 100);
    site.start(&[("MINUTE_MS", "300")]);
    site.clock(MIDNIGHT);
    until("it does not run", || site.lines("pids").len() == 1);
    let deaf = Identity::of(site.lines("pids")[0].parse().unwrap()).unwrap();
    site.stop();
    assert!(!deaf.is_alive() && site.log().contains("is killed"), "{}", site.log());
}

#[test]
fn a_task_that_is_wrong_hinders_no_other() {
    let mut site = Site::new(&[("good", "0 0 * * * echo ran >> ran"), ("off", "0 0 * * * echo off >> ran")]);
    site.it.run("configutil", &["-o", "local.schedule.off.enable", "-v", "no"]).ok();
    let (_, err) = site.it.run("configutil", &["-o", "local.schedule.gone", "-v", "0 0 * * * lib/gone -x"]).ended(0);
    assert!(err.contains("local.schedule.gone: ") && err.contains("lib/gone is not there"), "{err}");
    for (value, said) in [
        ("0 24 * * * true", "hour: 24 is not within 0-23"),
        ("0 0 31 2 * true", "never comes"),
        ("0 0 * * *", "there is no command behind the five fields"),
        ("0 0 * *", "4 of the five fields"),
        ("0 0 * * Fri true", "day of week: \"Fri\""),
    ] {
        let (_, err) = site.it.run("configutil", &["-o", "local.schedule.bad", "-v", value]).ended(64);
        assert!(err.contains("local.schedule.bad") && err.contains(said), "{err}");
    }
    // By hand it can be written all the same; the services start, and it is told where it matters.
    let conf = site.it.base().join("config/msg.conf");
    let text = fs::read_to_string(&conf).unwrap() + "\"local.schedule.bad\" = \"0 24 * * * echo bad >> ran\"\n";
    msgstore::os::durable::replace(&conf, text.as_bytes(), 0o600).unwrap();
    site.it.start();
    let (out, _) = site.it.run("configutil", &["-V"]).ended(78);
    assert!(out.contains("local.schedule.bad") && out.contains("hour: 24"), "{out}");
    let (out, err) = site.it.run("imsched", &["--next", "2"]).ended(1);
    assert!(err.contains("local.schedule.bad: hour: 24 is not within 0-23"), "{err}");
    assert!(out.lines().count() == 2 && !out.contains("bad"), "{out}");
    site.clock(MIDNIGHT - 100);
    site.start(&[]);
    site.logged("local.schedule.bad: hour: 24 is not within 0-23; this task does not run, the others do", 1);
    site.logged("lib/gone is not there", 1);
    site.clock(MIDNIGHT);
    site.logged("task good (pid ", 2);
    site.logged("task gone (pid ", 2);
    site.logged("exit status: 127", 1);
    assert_eq!(site.lines("ran"), ["ran"]);
    // It is mended while the scheduler runs.
    site.set("local.sched.enable", "yes");
    let (_, err) = site.it.run("refresh", &["sched"]).ended(0);
    assert!(err.contains("local.schedule.bad: hour: 24"), "{err}");
    site.logged("imsched has read the configuration again", 1);
    site.set("local.schedule.bad", "1 0 * * * echo mended >> ran");
    site.it.run("refresh", &["sched"]).ok();
    site.logged("imsched has read the configuration again", 2);
    site.clock(MIDNIGHT + 60);
    site.logged("task bad (pid ", 2);
    assert_eq!(site.lines("ran"), ["ran", "mended"]);
}

#[test]
fn bad_input_is_refused() {
    let mut site = Site::new(&[
        ("mine", "0 0 * * * echo ran >> ran"),
        ("loud", "0 0 * * * yes 'x y' | head -n 1500; printf '%9000d' 1"),
    ]);
    for words in [&["--next", "0"][..], &["--json"], &["--next", "x"], &["now"], &["--next=100001"]] {
        site.it.run("imsched", words).ended(64);
    }
    let out = site.it.run("imsched", &["--next"]).ok();
    assert_eq!(out.lines().count(), 10, "{out}");
    let bare = tempfile::tempdir().unwrap();
    let nowhere = site.it.command("imsched", &["--next"]).env("CONFIGROOT", bare.path()).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(78));
    // A record that is no record.
    let record = site.it.base().join("data/sched.state");
    msgstore::os::durable::replace(&record, b"{\"v\":2}", 0o600).unwrap();
    site.clock(MIDNIGHT - 100);
    site.start(&[]);
    site.logged("sched.state cannot be read, so runs that were missed are not known", 1);
    let (_, err) = site.it.run("imsched", &[]).ended(69);
    assert!(err.contains(&format!("sched is running already, pid {}", site.pid())), "{err}");
    site.clock(MIDNIGHT);
    site.logged("ended after", 2);
    assert_eq!(site.lines("ran").len(), 1);
    // What a task prints is bounded.
    let log = site.log();
    assert_eq!(log.matches("task loud: x y").count(), 1_000);
    assert!(log.contains("task loud: 503 more lines of output"), "{}", &log[log.len() - 500..]);
    assert!(fs::read_to_string(&record).unwrap().contains("\"mine\""));
    assert_eq!(fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_comes_is_listed_where_clocks_change() {
    let site = Site::new(&[("night", "30 2 * * *  true"), ("often", "*/30 1-2 25 10 * true"), ("expire", "")]);
    let listed = |time: i64, zone: &str, count: &str| {
        site.clock(time);
        let mut command = site.it.command("imsched", &["--next", count]);
        let out = command.env("CLOCK_FILE", site.clock_file()).env("TZ", zone).output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    // Berlin, by its rule: 28 March 2026, the clock is put forward on the 29th.
    let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
    assert_eq!(
        listed(1_774_684_800, berlin, "3"),
        "2026-03-29 03:00 +0200  night  true\n2026-03-30 02:30 +0200  night  true\n2026-03-31 02:30 +0200  night  true\n"
    );
    // 24 October, it is put back on the 25th.
    assert_eq!(
        listed(1_792_828_800, berlin, "6"),
        "2026-10-25 01:00 +0200  often  true\n2026-10-25 01:30 +0200  often  true\n2026-10-25 02:00 +0200  often  true\n\
         2026-10-25 02:30 +0200  night  true\n2026-10-25 02:30 +0200  often  true\n2026-10-26 02:30 +0100  night  true\n"
    );
    assert_eq!(listed(MIDNIGHT - 86_400, "UTC", "1"), "2029-12-31 02:30 +0000  night  true\n");
}

#[test]
fn the_expiry_runs_by_itself() {
    let mut site = Site::new(&[]);
    site.it.start();
    site.clock(MIDNIGHT - 3_600 - 100);
    site.start(&[]);
    site.clock(MIDNIGHT - 3_600);
    site.logged("task expire (pid ", 2);
    let log = site.log();
    assert!(log.contains("begins: sbin/imexpire") && log.contains("exit status: 0"), "{log}");
    assert!(log.contains(" imexpire["), "its own summary: {log}");
}

#[test]
fn the_account_of_the_services_runs_the_tasks() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can change the account of the services");
        return;
    }
    let mut site = Site::new(&[("mine", "0 0 * * * id -un > data/who; id -gn >> data/who")]);
    fs::set_permissions(site.it.base(), fs::Permissions::from_mode(0o711)).unwrap();
    for dir in ["config", "data"] {
        let chown =
            std::process::Command::new("chown").args(["-R", "nobody:daemon"]).arg(site.it.base().join(dir)).status();
        assert!(chown.unwrap().success());
    }
    site.set("local.serveruid", "nobody");
    site.set("local.servergid", "daemon");
    site.clock(MIDNIGHT - 100);
    site.start(&[]);
    site.clock(MIDNIGHT);
    site.logged("ended after", 1);
    assert_eq!(site.lines("data/who"), ["nobody", "daemon"]);
}

/// For tests/parameters.rs.
#[test]
pub fn each_job_has_its_schedule_and_its_switch() {
    let site = Site::new(&[]);
    let row = |task: &str, command: &str| (task.to_owned(), command.to_owned());
    assert_eq!(site.next("1"), [row("expire", "sbin/imexpire")]);
    site.set("local.schedule.expire", "");
    let (out, err) = site.it.run("imsched", &["--next"]).ended(0);
    assert!(out.is_empty() && err.contains("no task is scheduled"), "{out}{err}");
    for (name, command) in [
        ("local.schedule.expire", "sbin/imexpire -e"),
        ("local.schedule.purge", "lib/purge -num=9"),
        ("local.schedule.mspurge", "sbin/imexpire -c"),
        ("local.schedule.snapshotverify", "true verify"),
        ("local.schedule.snapshot", "true"),
        ("local.schedule.return_job", "/bin/true"),
        ("local.schedule.msprobe", "true probe"),
        ("local.schedule.mine", "echo mine"),
    ] {
        let task = name.strip_prefix("local.schedule.").unwrap();
        site.set(name, &format!("0 5 17 * 2 {command}"));
        assert_eq!(site.next("1"), [row(task, command)]);
        let switch = format!("{name}.enable");
        site.set(&switch, "no");
        assert_eq!(site.it.run("imsched", &["--next"]).ended(0).0, "");
        site.set(&switch, "yes");
        // The 17th is a Tuesday.
        let out = site.it.run("imsched", &["--next", "1"]).ok();
        assert!(out.contains("-17 05:00 +0000  "), "{out}");
        site.it.run("configutil", &["-o", name, "-v", ""]).ok();
    }
    site.set("local.schedule.mine", "0 5 * * * true");
    site.set("local.schedule.mine.enable", "no");
    assert!(site.it.run("imsched", &["--next"]).ended(0).0.is_empty());
}

/// For tests/parameters.rs.
#[test]
pub fn the_old_hour_of_the_expiry_counts() {
    let site = Site::new(&[]);
    let hour = || site.it.run("imsched", &["--next", "1"]).ok().split(' ').nth(1).unwrap().to_owned();
    assert_eq!(hour(), "23:00");
    site.set("store.expirestart", "21");
    assert_eq!(hour(), "21:00");
    site.set("local.schedule.expire", "30 4 * * *");
    assert_eq!(hour(), "04:30");
}

/// For tests/parameters.rs.
#[test]
pub fn the_scheduler_is_started_with_the_services() {
    let mut site = Site::new(&[]);
    site.set("service.imap.enable", "no");
    site.set("service.pop.enable", "no");
    site.it.start();
    let (out, _) = site.it.run("start-msg", &[]).ended(0);
    assert!(!out.contains("sched"), "{out}");
    let (_, err) = site.it.run("start-msg", &["sched"]).ended(78);
    assert!(err.contains("local.sched.enable"), "{err}");
    site.it.run("configutil", &["-o", "local.sched.enable", "-d"]).ok();
    let (out, _) = site.it.run("start-msg", &[]).ended(0);
    assert!(out.contains("Starting sched server .... "), "{out}");
    assert!(matches!(site.state(), ServiceState::Ready(_)));
    let out = site.it.run("refresh", &["sched"]).ok();
    assert!(out.contains("Refreshing sched server"), "{out}");
    let out = site.it.run("stop-msg", &["sched"]).ok();
    assert!(out.contains("Stopping sched server .... ") && !out.contains("killed"), "{out}");
    assert_eq!(site.state(), ServiceState::Stopped);
}
