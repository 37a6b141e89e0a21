//! The instance a tool works on, and what to tell a person when the configuration is wrong.

use std::io;

use super::exit::{Exit, Failure};
use super::ui::Ui;
use crate::config::{Conf, ConfigError, Instance};
use crate::log;

/// The instance that this call belongs to.
///
/// # Errors
/// A [`Failure`] with [`Exit::Config`] and the way to make or name an instance.
pub fn instance(_ui: &mut Ui) -> anyhow::Result<Instance> {
    let argv0 = std::env::args_os().next();
    Ok(Instance::find(argv0.as_deref()).map_err(failure)?)
}

/// How a process logs: the parameters `logfile.<service>.*` for `log::init`. `service` names the file (`imap`; `default` for
/// stored and the tools), `process` the program in each line.
pub fn log_settings(conf: &Conf, service: &str, process: &str) -> log::Settings {
    let of = |attribute: &str| format!("logfile.{service}.{attribute}");
    let bytes = |attribute: &str| u64::try_from(conf.int(&of(attribute))).unwrap_or(0);
    let mut settings = log::Settings::new(service, process, conf.path(&of("logdir")));
    if let Some(level) = log::Level::parse(&conf.string(&of("loglevel"))) {
        settings.level = level;
    }
    settings.max_file_bytes = bytes("maxlogfilesize");
    settings.max_total_bytes = bytes("maxlogsize");
    settings.max_files = usize::try_from(conf.int(&of("maxlogfiles"))).unwrap_or(0);
    settings.rollover_s = conf.int(&of("rollovertime"));
    settings.expire_s = conf.int(&of("expirytime"));
    settings.min_free_bytes = bytes("minfreediskspace");
    settings
}

/// How a tool ends after a configuration error, and what to do about it.
pub fn failure(error: ConfigError) -> Failure {
    let message = error.to_string();
    let (exit, hint) = match &error {
        ConfigError::NoInstance { .. } => (
            Exit::Config,
            "make one with: msgstore configure --base DIR; or set CONFIGROOT to the config directory of one".to_owned(),
        ),
        ConfigError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => (
            Exit::NoPerm,
            "run it as the mail server's account or as root".to_owned(),
        ),
        ConfigError::Write { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => (
            Exit::NoPerm,
            "run it as the mail server's account or as root".to_owned(),
        ),
        ConfigError::Read { .. } | ConfigError::Write { .. } => return Failure::new(Exit::IoErr, message),
        ConfigError::Line { .. } => (
            Exit::Config,
            "correct the line; configutil -V lists all that is wrong".to_owned(),
        ),
        ConfigError::Unknown { near, .. } if near.is_empty() => (
            Exit::Usage,
            "configutil -H explains the known ones; -l stores a name of your own".to_owned(),
        ),
        ConfigError::Unknown { near, .. } => (
            Exit::Usage,
            format!("did you mean {}? -l stores a name of your own", near.join(" or ")),
        ),
        ConfigError::BadName { .. } | ConfigError::BadValue { .. } => {
            return Failure::new(Exit::Usage, message);
        }
    };
    Failure::new(exit, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_log_follows_its_parameters() {
        let settings = log_settings(&Conf::of_defaults(Path::new("/b")), "imap", "imapd");
        assert_eq!(settings.dir, Path::new("/b/data/log"));
        assert_eq!(settings.level, log::Level::Notice);
        assert_eq!((settings.max_files, settings.expire_s), (10, 604_800));
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::at(dir.path());
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let chosen = [
            set("logfile.imap.loglevel", "debug"),
            set("logfile.imap.maxlogsize", "3M"),
            set("logfile.imap.logdir", "/elsewhere"),
            set("logfile.pop.maxlogfiles", "3"),
        ];
        instance.create_files(&chosen).unwrap();
        let settings = log_settings(&instance.conf().unwrap(), "imap", "imapd");
        assert_eq!(settings.level, log::Level::Debug);
        assert_eq!(settings.max_total_bytes, 3 << 20);
        assert_eq!(settings.dir, Path::new("/elsewhere"));
        assert_eq!(settings.max_files, 10);
    }
}
