//! Scheduled jobs: the value of `local.schedule.<taskname>`, five crontab fields and a command.

use crate::text::crontab::Crontab;

/// The name of a job begins with this.
pub const PREFIX: &str = "local.schedule.";

/// What jobs run whose value has the five fields alone, as the 2004Q2 guide writes `local.schedule.expire`.
const COMMANDS: &[(&str, &str)] = &[
    ("local.schedule.expire", "sbin/imexpire"),
    ("local.schedule.purge", "lib/purge -num=5"),
    ("local.schedule.mspurge", "sbin/imexpire -c"),
    ("local.schedule.snapshotverify", "sbin/imdbverify -m"),
    ("local.schedule.snapshot", "sbin/imdbverify -s -m"),
    ("local.schedule.msprobe", "lib/msprobe"),
    ("local.sched.userpurge", "lib/msuserpurge"),
];

/// A job that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// When.
    pub crontab: Crontab,
    /// What: a command of the shell, in the directory msg_svr_base.
    pub command: String,
}

/// Reads the value of the setting `name`. `Ok(None)`: it is empty, there is no job.
///
/// # Errors
/// What is wrong, in words.
pub fn job(name: &str, value: &str) -> Result<Option<Job>, String> {
    if value.trim().is_empty() {
        return Ok(None);
    }
    let (crontab, command) = Crontab::parse(value).map_err(|error| error.to_string())?;
    let usual = COMMANDS.iter().find(|(job, _)| job.eq_ignore_ascii_case(name)).map(|(_, command)| *command);
    let command = match (command, usual) {
        ("", Some(usual)) => usual,
        ("", None) => return Err("there is no command behind the five fields".to_owned()),
        (command, _) => command,
    };
    Ok(Some(Job { crontab, command: command.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_alone_are_enough_where_the_command_is_known() {
        let command = |name, value| job(name, value).map(|job| job.map(|job| job.command));
        assert_eq!(command("local.schedule.expire", "0 23 * * *"), Ok(Some("sbin/imexpire".to_owned())));
        assert_eq!(command("Local.Schedule.Purge", "0 4 * * *"), Ok(Some("lib/purge -num=5".to_owned())));
        assert_eq!(
            command("local.schedule.expire", "0 23 * * * sbin/imexpire -e"),
            Ok(Some("sbin/imexpire -e".to_owned()))
        );
        assert_eq!(command("local.schedule.mine", "0 23 * * * true"), Ok(Some("true".to_owned())));
        assert_eq!(command("local.schedule.mine", " "), Ok(None));
        assert!(command("local.schedule.mine", "0 23 * * *").unwrap_err().contains("no command"));
        assert!(command("local.schedule.mine", "0 25 * * * true").unwrap_err().contains("hour: 25"));
    }
}
