//! The settings in effect: a snapshot of both files over the catalogue.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::catalogue::{self, Kind, Parameter, key};
use super::file::{Database, Entry};
use super::{ConfigError, value};

/// Stands for the base directory at the beginning of a path value.
const BASE: &str = "msg_svr_base";

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `msg.conf`.
    Explicit,
    /// `msg.conf.defaults`.
    Defaults,
    /// The catalogue.
    Catalogue,
}

/// One setting in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, in the catalogue's spelling where it is known.
    pub name: String,
    /// Its value, possibly empty.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// A snapshot of the settings in effect. Names compare without regard to case; `name;lang-xx` is a name of its own.
#[derive(Clone, Debug)]
pub struct Conf {
    base: PathBuf,
    explicit: BTreeMap<String, Entry>,
    defaults: BTreeMap<String, Entry>,
}

impl Conf {
    /// Reads the file of explicit settings and the file of defaults; either may be missing. Relative paths start at `base`.
    ///
    /// A scheduled job that cannot be understood is no error here: the scheduler names it, and everything else goes on.
    ///
    /// # Errors
    /// [`ConfigError::Read`]; [`ConfigError::Line`] for what cannot be parsed and for a value outside of its range.
    pub fn load(base: &Path, explicit: &Path, defaults: &Path) -> Result<Conf, ConfigError> {
        let conf = Conf::load_unchecked(base, explicit, defaults)?;
        for (path, entries) in [(explicit, &conf.explicit), (defaults, &conf.defaults)] {
            let is_job = |name: &str| catalogue::find(name).is_some_and(|row| row.kind == Kind::Cron);
            for entry in entries.values().filter(|entry| !is_job(&entry.name)) {
                value::check_named(&entry.name, &entry.value, true).map_err(|error| ConfigError::Line {
                    path: path.to_path_buf(),
                    line: entry.line,
                    problem: error.to_string(),
                })?;
            }
        }
        Ok(conf)
    }

    /// The same without a look at the values: for the tool that repairs them.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::Line`] for what cannot be parsed.
    pub fn load_unchecked(base: &Path, explicit: &Path, defaults: &Path) -> Result<Conf, ConfigError> {
        let read = |path: &Path| -> Result<BTreeMap<String, Entry>, ConfigError> {
            let entries = Database::at(path).read()?;
            Ok(entries.into_iter().map(|entry| (key(&entry.name), entry)).collect())
        };
        Ok(Conf { base: base.to_path_buf(), explicit: read(explicit)?, defaults: read(defaults)? })
    }

    /// The catalogue's defaults alone, for an instance in `base` without files.
    pub fn of_defaults(base: &Path) -> Conf {
        Conf { base: base.to_path_buf(), explicit: BTreeMap::new(), defaults: BTreeMap::new() }
    }

    /// The value in effect: explicit, else from the file of defaults, else the catalogue's. `None` when there is none at all;
    /// an explicit empty value is `Some("")`. `msg_svr_base/` at the beginning of a path is replaced by the base directory.
    pub fn get(&self, name: &str) -> Option<String> {
        self.setting(name).map(|setting| setting.value)
    }

    /// The setting in effect with the place it comes from.
    pub fn setting(&self, name: &str) -> Option<Setting> {
        let key = key(name);
        let row = catalogue::find(&key);
        let (value, origin) = if let Some(entry) = self.explicit.get(&key) {
            (entry.value.as_str(), Origin::Explicit)
        } else if let Some(entry) = self.defaults.get(&key) {
            (entry.value.as_str(), Origin::Defaults)
        } else {
            // A text of one language has no default: the default is the untagged one.
            let row = row.filter(|row| !row.default.is_empty() && !key.contains(';'))?;
            (row.default, Origin::Catalogue)
        };
        let value = match row.map(|row| row.kind) {
            Some(Kind::Path | Kind::AbsolutePath) => self.expanded(value),
            _ => value.to_owned(),
        };
        Some(Setting { name: self.spelled(name, row), value, origin })
    }

    fn spelled(&self, name: &str, row: Option<&'static Parameter>) -> String {
        let known = row.filter(|row| !row.is_family() && !name.contains(';'));
        match (known, self.explicit.get(&key(name))) {
            (Some(row), _) => row.name.to_owned(),
            (None, Some(entry)) => entry.name.clone(),
            (None, None) => catalogue::canonical(name),
        }
    }

    fn expanded(&self, value: &str) -> String {
        match value.strip_prefix(BASE) {
            Some("") => self.base.display().to_string(),
            Some(below) if below.starts_with('/') => format!("{}{below}", self.base.display()),
            _ => value.to_owned(),
        }
    }

    /// Was the setting made explicitly, in `msg.conf`?
    pub fn explicit(&self, name: &str) -> bool {
        self.explicit.contains_key(&key(name))
    }

    /// The value as text; empty when there is none.
    pub fn string(&self, name: &str) -> String {
        self.get(name).unwrap_or_default()
    }

    /// The value as a boolean; false when there is none.
    pub fn bool(&self, name: &str) -> bool {
        value::boolean(&self.string(name)).unwrap_or(false)
    }

    /// The value as a number (K, M and G counted out); `None` when there is none.
    pub fn number(&self, name: &str) -> Option<i64> {
        value::number(&self.string(name))
    }

    /// The value as a number; 0 when there is none.
    pub fn int(&self, name: &str) -> i64 {
        self.number(name).unwrap_or(0)
    }

    /// The words of the value.
    pub fn list(&self, name: &str) -> Vec<String> {
        let value = self.string(name);
        value.split_whitespace().map(str::to_owned).collect()
    }

    /// The value as a path; a relative one starts at the base directory, an empty one is the base directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.base.join(self.string(name))
    }

    /// Nickname and directory of every partition, by nickname.
    pub fn partitions(&self) -> Vec<(String, PathBuf)> {
        let mut found: Vec<(String, PathBuf)> = self
            .settings("store.partition.")
            .into_iter()
            .filter(|setting| !setting.value.is_empty())
            .filter_map(|setting| {
                let rest = setting.name.get("store.partition.".len()..)?;
                let (nickname, attribute) = rest.split_once('.')?;
                attribute.eq_ignore_ascii_case("path").then(|| (nickname.to_owned(), self.base.join(&setting.value)))
            })
            .collect();
        found.sort();
        found
    }

    /// The nickname of the partition of new mailboxes.
    pub fn default_partition(&self) -> String {
        self.string("store.defaultpartition")
    }

    /// Every setting in effect whose name begins with `prefix`, sorted by name, empty ones included; of families the members
    /// that were set.
    pub fn settings(&self, prefix: &str) -> Vec<Setting> {
        let prefix = prefix.to_ascii_lowercase();
        let mut found: BTreeMap<String, Setting> = BTreeMap::new();
        let rows = catalogue::all().filter(|row| !row.is_family() && !row.is_alias());
        let set = self.explicit.values().chain(self.defaults.values());
        let names = rows.map(|row| row.name).chain(set.map(|entry| entry.name.as_str()));
        for name in names {
            let key = key(name);
            if !key.starts_with(&prefix) || found.contains_key(&key) {
                continue;
            }
            let setting = self.setting(name).unwrap_or_else(|| Setting {
                name: catalogue::canonical(name),
                value: String::new(),
                origin: Origin::Catalogue,
            });
            found.insert(key, setting);
        }
        found.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Instance;
    use crate::os::durable;

    fn conf(explicit: &str, defaults: &str) -> (tempfile::TempDir, Result<Conf, ConfigError>) {
        let dir = tempfile::tempdir().unwrap();
        let instance = Instance::at(dir.path());
        std::fs::create_dir(instance.config_dir()).unwrap();
        durable::replace(&instance.msg_conf(), explicit.as_bytes(), 0o600).unwrap();
        durable::replace(&instance.msg_conf_defaults(), defaults.as_bytes(), 0o600).unwrap();
        let conf = instance.conf();
        (dir, conf)
    }

    #[test]
    fn explicit_beats_defaults_beat_the_catalogue() {
        let (_dir, conf) = conf(
            "\"Service.IMAP.port\" = \"1143\"\n\"service.imap.banner\" = \"\"\n",
            "\"service.imap.port\" = \"144\"\n\"service.pop.port\" = \"1110\"\n",
        );
        let conf = conf.unwrap();
        assert_eq!(conf.int("service.imap.PORT"), 1143);
        assert_eq!(conf.int("service.pop.port"), 1110);
        assert_eq!(conf.int("service.http.port"), 80);
        assert_eq!(conf.get("service.imap.banner").as_deref(), Some(""));
        assert_eq!(conf.get("local.hostname"), None);
        assert_eq!(conf.number("store.cleanupsize"), None);
        assert!(conf.explicit("service.imap.port") && !conf.explicit("service.pop.port"));
        let setting = conf.setting("service.pop.port").unwrap();
        assert_eq!(setting.origin, Origin::Defaults);
        assert!(conf.bool("service.imap.enable") && !conf.bool("local.snmp.enable"));
    }

    #[test]
    fn families_paths_aliases_and_languages() {
        let (dir, conf) = conf(
            "\"store.partition.second.path\" = \"/two\"\n\"store.partition.third.path\" = \"msg_svr_base/data/three\"\n\
             \"local.store.overquotastatus\" = \"on\"\n\"store.admins\" = \"a b\"\n\"store.quotaexceededmsg;lang-jp\" = \"x\"\n",
            "",
        );
        let conf = conf.unwrap();
        assert_eq!(
            conf.partitions(),
            [
                ("primary".to_owned(), dir.path().join("data/store/partition/primary")),
                ("second".to_owned(), PathBuf::from("/two")),
                ("third".to_owned(), dir.path().join("data/three")),
            ]
        );
        assert_eq!(conf.default_partition(), "primary");
        assert_eq!(conf.string("logfile.imap.loglevel"), "Notice");
        assert_eq!(conf.path("logfile.imap.logdir"), dir.path().join("data/log"));
        assert!(conf.bool("store.overquotastatus"));
        assert_eq!(conf.list("store.admins"), ["a", "b"]);
        assert_eq!(conf.string("store.quotaexceededmsg;LANG-jp"), "x");
        assert_eq!(conf.get("store.quotaexceededmsg"), None);
        assert_eq!(conf.number("store.maxcachefilesize"), Some(500 << 20));
    }

    #[test]
    fn a_value_outside_of_its_range_is_named_with_its_line() {
        let (_dir, conf) = conf("# x\n\"service.http.port\" = \"70000\"\n", "");
        match conf {
            Err(ConfigError::Line { line, problem, .. }) => {
                assert_eq!(line, 2);
                assert!(problem.contains("1 to 65535"), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }
}
