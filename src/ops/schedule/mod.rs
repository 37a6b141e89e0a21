//! Scheduled tasks: which there are by the configuration, when they are due ([`plan`]), and what is remembered of them ([`record`]).

pub mod plan;
pub mod record;

use std::path::{Path, PathBuf};

use crate::config::schedule::{self, PREFIX};
use crate::config::{Conf, Instance, Origin};
use crate::text::crontab::Crontab;

/// The variable of the environment that tells a command which task it is run for.
pub const TASK_VARIABLE: &str = "SCHED_TASK";

/// The schedule of the expiry by `store.expirestart`, an hour.
const EXPIRE: &str = "local.schedule.expire";

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its name: the setting is `local.schedule.NAME`.
    pub name: String,
    /// The five fields and the command, as they are in effect.
    pub schedule: String,
    /// When it runs.
    pub crontab: Crontab,
    /// What runs: a command of the shell, in msg_svr_base.
    pub command: String,
}

/// A task that cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting.
    pub setting: String,
    /// What is wrong.
    pub problem: String,
}

/// The tasks of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// Those that run, by name.
    pub tasks: Vec<Task>,
    /// Those that cannot be understood.
    pub faults: Vec<Fault>,
    /// Those among the first whose program is not there (yet): it is looked for again when they are due.
    pub absent: Vec<Fault>,
}

/// The tasks by the configuration: those that are set, and those of the defaults whose program is there. `store.expirestart`, where it is set and
/// `local.schedule.expire` is not, is the hour of the expiry.
pub fn tasks(instance: &Instance, conf: &Conf) -> Tasks {
    let mut found = Tasks::default();
    for setting in conf.settings(PREFIX) {
        let Some(name) = setting.name.get(PREFIX.len()..).filter(|name| !name.contains('.')) else {
            continue;
        };
        if !conf.bool(&format!("{PREFIX}{name}.enable")) {
            continue;
        }
        let is_set = setting.origin == Origin::Explicit;
        let hour = conf
            .number("store.expirestart")
            .filter(|_| !is_set && setting.name.eq_ignore_ascii_case(EXPIRE) && conf.explicit("store.expirestart"));
        let value = hour.map_or(setting.value, |hour| format!("0 {hour} * * *"));
        match schedule::job(&setting.name, &value) {
            Ok(None) => {}
            Err(problem) => found.faults.push(Fault { setting: setting.name, problem }),
            Ok(Some(job)) => {
                if let Some(program) = missing_program(instance.base(), &job.command) {
                    if !is_set {
                        continue;
                    }
                    let problem = format!("{} is not there", program.display());
                    found.absent.push(Fault { setting: setting.name.clone(), problem });
                }
                let fields: Vec<&str> = value.split_ascii_whitespace().take(5).collect();
                let schedule = format!("{} {}", fields.join(" "), job.command);
                let name = name.to_ascii_lowercase();
                found.tasks.push(Task { name, schedule, crontab: job.crontab, command: job.command });
            }
        }
    }
    found
}

/// The places in which a command without a path is looked for, in order.
pub fn search_path(base: &Path) -> Vec<PathBuf> {
    let ours = ["sbin", "lib"].map(|place| base.join(place));
    ours.into_iter().chain(["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from)).collect()
}

/// The program that a command begins with, when it is not there. `None` also where the first word is more than the plain name of a program.
pub fn missing_program(base: &Path, command: &str) -> Option<PathBuf> {
    let word = command.split_ascii_whitespace().next()?;
    if !word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._+-".contains(&b)) {
        return None;
    }
    if word.contains('/') {
        let path = base.join(word);
        return (!path.exists()).then_some(path);
    }
    // What the shell does itself: `cd`, `test` and their like have no file.
    let inner = [
        ".", ":", "cd", "command", "eval", "exec", "exit", "export", "if", "for", "set", "trap", "ulimit", "umask",
        "unset", "until", "while",
    ];
    let found = inner.contains(&word) || search_path(base).iter().any(|dir| dir.join(word).exists());
    (!found).then(|| PathBuf::from(word))
}

/// True when messages are purged by a schedule of their own: the task `purge` is set and can run. The expiry that the scheduler runs does not purge then.
pub fn purges_by_itself(instance: &Instance, conf: &Conf) -> bool {
    let value = conf.string("local.schedule.purge");
    let job = schedule::job("local.schedule.purge", &value).ok().flatten();
    conf.bool("local.schedule.purge.enable")
        && job.is_some_and(|job| missing_program(instance.base(), &job.command).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable;

    fn instance(links: &[&str], explicit: &str) -> (tempfile::TempDir, Instance, Conf) {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::at(dir.path());
        instance.create_files(&[]).unwrap();
        for link in links {
            let path = dir.path().join(link);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            durable::replace(&path, b"", 0o700).unwrap();
        }
        durable::replace(&instance.msg_conf(), explicit.as_bytes(), 0o600).unwrap();
        let conf = instance.conf().unwrap();
        (dir, instance, conf)
    }

    fn listed(links: &[&str], explicit: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
        let (_dir, instance, conf) = instance(links, explicit);
        let found = tasks(&instance, &conf);
        let names = |faults: Vec<Fault>| faults.into_iter().map(|fault| fault.setting).collect();
        let tasks = found.tasks.into_iter().map(|task| format!("{}: {}", task.name, task.schedule)).collect();
        (tasks, names(found.faults), names(found.absent))
    }

    #[test]
    fn defaults_run_whose_programs_are_there() {
        let expire = "expire: 0 23 * * * sbin/imexpire";
        let all = ["sbin/imexpire", "sbin/imdbverify", "lib/msprobe", "lib/purge"];
        assert_eq!(listed(&[], "").0, [""; 0]);
        assert_eq!(listed(&["sbin/imexpire", "lib/purge"], "").0, [expire]);
        assert_eq!(
            listed(&all, "").0,
            [
                expire,
                "msprobe: 5,15,25,35,45,55 * * * * lib/msprobe",
                "snapshot: 0 2 * * * sbin/imdbverify -s -m",
                "snapshotverify: 0 0,4,8,12,16,20 * * * sbin/imdbverify -m"
            ]
        );
    }

    #[test]
    fn what_is_set_counts() {
        let (tasks, faults, absent) = listed(
            &["sbin/imexpire", "lib/purge"],
            "\"local.schedule.expire\" = \"0  1 * * 6\"\n\"store.expirestart\" = \"21\"\n\
             \"local.schedule.Mine\" = \"* * * * * lib/gone x\"\n\"local.schedule.off\" = \"* * * * * true\"\n\
             \"local.schedule.off.enable\" = \"no\"\n\"local.schedule.bad\" = \"0 25 * * * true\"\n\
             \"local.schedule.purge\" = \"0 4 * * *\"\n",
        );
        assert_eq!(
            tasks,
            ["expire: 0 1 * * 6 sbin/imexpire", "mine: * * * * * lib/gone x", "purge: 0 4 * * * lib/purge -num=5"]
        );
        assert_eq!((faults, absent), (vec!["local.schedule.bad".to_owned()], vec!["local.schedule.Mine".to_owned()]));
    }

    #[test]
    fn the_old_hour_of_expiry_counts_until_there_is_a_schedule() {
        let expire = |explicit| listed(&["sbin/imexpire"], explicit).0;
        assert_eq!(expire("\"store.expirestart\" = \"21\"\n"), ["expire: 0 21 * * * sbin/imexpire"]);
        assert_eq!(expire("\"store.expirestart\" = \"21\"\n\"local.schedule.expire\" = \"\"\n"), [""; 0]);
        assert_eq!(expire("\"store.expirestart\" = \"21\"\n\"local.schedule.expire.enable\" = \"0\"\n"), [""; 0]);
    }

    #[test]
    fn the_purge_has_its_own_schedule_only_when_it_can_run() {
        let own = |links: &[&str], explicit: &str| {
            let (_dir, instance, conf) = instance(links, explicit);
            purges_by_itself(&instance, &conf)
        };
        let set = "\"local.schedule.purge\" = \"0 4 * * *\"\n";
        assert!(own(&["lib/purge"], set) && !own(&["lib/purge"], "") && !own(&[], set));
        assert!(!own(&["lib/purge"], &format!("{set}\"local.schedule.purge.enable\" = \"no\"\n")));
        // The shipped line of a later release purges the log files of a transport that is not here.
        assert!(!own(&["lib/purge"], "\"local.schedule.purge\" = \"0 4 * * * sbin/imsimta purge -num=5\"\n"));
        assert!(!own(&["lib/purge"], "\"local.schedule.purge\" = \"0 24 * * *\"\n"));
    }

    #[test]
    fn programs_are_looked_for_as_the_shell_does() {
        let (dir, ..) = instance(&["sbin/here"], "");
        let missing = |command| missing_program(dir.path(), command);
        for there in ["here -x", "sbin/here", "/bin/sh -c x", "cd /tmp && x", "X=1 y", "$HOME/x", "'a b'", ""] {
            assert_eq!(missing(there), None, "{there}");
        }
        assert_eq!(missing("lib/here"), Some(dir.path().join("lib/here")));
        assert_eq!(missing("/no/such x"), Some(PathBuf::from("/no/such")));
        assert_eq!(missing("no-such-program-x"), Some(PathBuf::from("no-such-program-x")));
    }
}
