//! The files of a new instance: `msg.conf.defaults` from the catalogue, `msg.conf` with what was decided at installation.

use std::fs;

use super::file::{Database, line};
use super::instance::Instance;
use super::{ConfigError, catalogue, value};

/// What [`Instance::create_files`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// `msg.conf.defaults` was written, because it was missing or the catalogue has changed.
    pub defaults_written: bool,
    /// How many settings were added to `msg.conf`; those that were there keep their value.
    pub settings_added: usize,
}

/// The text of `msg.conf.defaults`: every default of the catalogue that is not empty, each with what it means.
pub fn defaults_text() -> String {
    let mut text = String::from(
        "# Defaults of this release, written by configure. Never edit this file: it is replaced.\n\
         # A setting of your own goes into msg.conf: configutil -o NAME -v VALUE\n",
    );
    let rows = catalogue::all().filter(|row| !row.is_family() && !row.is_alias() && !row.default.is_empty());
    for row in rows {
        text.push_str(&format!("\n# {}\n", row.doc));
        text.push_str(&line(row.name, row.default));
    }
    text
}

impl Instance {
    /// Writes both files below `config_dir` (created when missing): the defaults whenever they differ, and those of `settings`
    /// that `msg.conf` does not have yet. Done twice it changes nothing.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], [`ConfigError::BadValue`] for a setting, before anything is written; [`ConfigError::Write`].
    pub fn create_files(&self, settings: &[(String, String)]) -> Result<Created, ConfigError> {
        for (name, value) in settings {
            value::check_named(name, value, false)?;
        }
        fs::create_dir_all(self.config_dir())
            .map_err(|source| ConfigError::Write { path: self.config_dir().to_path_buf(), source })?;
        let settings: Vec<(String, String)> =
            settings.iter().map(|(name, value)| (catalogue::canonical(name), value.clone())).collect();
        let defaults_written = Database::at(self.msg_conf_defaults()).rewrite(&defaults_text())?;
        let settings_added = Database::at(self.msg_conf()).add(&settings)?;
        Ok(Created { defaults_written, settings_added })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn files_are_created_once_and_explicit_values_stay() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::at(dir.path());
        let first = instance.create_files(&[pair("service.imap.port", "1143")]).unwrap();
        assert_eq!(first, Created { defaults_written: true, settings_added: 1 });
        let again = instance.create_files(&[pair("Service.IMAP.port", "2143"), pair("store.admins", "a")]).unwrap();
        assert_eq!(again, Created { defaults_written: false, settings_added: 1 });
        let conf = instance.conf().unwrap();
        assert_eq!(conf.int("service.imap.port"), 1143);
        assert_eq!(conf.list("store.admins"), ["a"]);
        assert!(instance.create_files(&[pair("no.such", "1")]).is_err());
        assert!(instance.create_files(&[pair("service.imap.port", "x")]).is_err());
    }

    #[test]
    fn an_instance_without_settings_has_both_files() {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::at(dir.path());
        instance.create_files(&[]).unwrap();
        assert!(instance.msg_conf().is_file());
        assert_eq!(instance.conf().unwrap().int("service.pop.port"), 110);
    }
}
