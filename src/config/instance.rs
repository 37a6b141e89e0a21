//! The instance: which msg_svr_base a call belongs to, and where things are below it.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Conf, ConfigError};

/// One installation: a base directory (msg_svr_base) with its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    base: PathBuf,
    config: PathBuf,
}

impl Instance {
    /// The instance that a call belongs to: `$CONFIGROOT` (the directory of msg.conf), else the directory of the link it was
    /// called by (`sbin/..`, `lib/..`), else the prefix of the executable. `argv0` is the first word of the command line.
    ///
    /// # Errors
    /// [`ConfigError::NoInstance`] with the places that were tried.
    pub fn find(argv0: Option<&OsStr>) -> Result<Instance, ConfigError> {
        if let Some(config) = env::var_os("CONFIGROOT").filter(|value| !value.is_empty()) {
            return Instance::from_config_root(Path::new(&config));
        }
        let link = argv0.and_then(link_dir);
        let executable = env::current_exe()
            .and_then(|path| path.canonicalize())
            .ok()
            .and_then(|path| path.parent().map(Path::to_path_buf));
        let mut looked = Vec::new();
        for dir in [link, executable].into_iter().flatten() {
            // `lib/msg/imsasm` lies one level deeper than the others.
            for base in dir.ancestors().skip(1).take(2) {
                if base.join("config/msg.conf").is_file() {
                    return Ok(Instance::at(base));
                }
                looked.push(base.join("config/msg.conf").display().to_string());
            }
        }
        looked.dedup();
        Err(ConfigError::NoInstance {
            looked: format!("CONFIGROOT is not set, and there is no {}", looked.join(", no ")),
        })
    }

    fn from_config_root(config: &Path) -> Result<Instance, ConfigError> {
        let none = || ConfigError::NoInstance {
            looked: format!("CONFIGROOT is {}, which holds no msg.conf", config.display()),
        };
        let config = config.canonicalize().map_err(|_| none())?;
        if !config.join("msg.conf").is_file() {
            return Err(none());
        }
        let base = config.parent().unwrap_or(&config).to_path_buf();
        Ok(Instance { base, config })
    }

    /// The instance in the directory `base`, whether it is there or not.
    pub fn at(base: impl AsRef<Path>) -> Instance {
        let base = base.as_ref().to_path_buf();
        let config = base.join("config");
        Instance { base, config }
    }

    /// msg_svr_base.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The directory of msg.conf.
    pub fn config_dir(&self) -> &Path {
        &self.config
    }

    /// The directory of everything that changes while the product runs.
    pub fn data_dir(&self) -> PathBuf {
        self.base.join("data")
    }

    /// The directory of the log files, unless `logfile.<service>.logdir` says otherwise.
    pub fn log_dir(&self) -> PathBuf {
        self.base.join("data/log")
    }

    /// The directory of the pid files.
    pub fn proc_dir(&self) -> PathBuf {
        self.base.join("data/proc")
    }

    /// The registry of counters.
    pub fn counters(&self) -> PathBuf {
        self.data_dir().join("counter/counter")
    }

    /// The directory of the mailbox databases (store_root).
    pub fn store_root(&self) -> PathBuf {
        self.base.join("data/store")
    }

    /// What the scheduler remembers: up to when everything that was due has been seen to.
    pub fn schedule_record(&self) -> PathBuf {
        self.base.join("data/sched.state")
    }

    /// The user directory in a file.
    pub fn directory_ldif(&self) -> PathBuf {
        self.config.join("directory.ldif")
    }

    /// A secret of the instance, random bytes, by which logins of users who do not exist are answered.
    pub fn login_secret(&self) -> PathBuf {
        self.config.join("login.secret")
    }

    /// The file of the explicit settings.
    pub fn msg_conf(&self) -> PathBuf {
        self.config.join("msg.conf")
    }

    /// The file of the defaults.
    pub fn msg_conf_defaults(&self) -> PathBuf {
        self.config.join("msg.conf.defaults")
    }

    /// Reads both files: the settings as they are now.
    ///
    /// # Errors
    /// [`ConfigError::Read`]; [`ConfigError::Line`] for what cannot be parsed and for a value outside of its range.
    pub fn conf(&self) -> Result<Conf, ConfigError> {
        Conf::load(&self.base, &self.msg_conf(), &self.msg_conf_defaults())
    }
}

/// The directory of the link that `argv0` names: by its path, else by PATH. The link itself is not followed.
fn link_dir(argv0: &OsStr) -> Option<PathBuf> {
    let called = Path::new(argv0);
    if called.parent().is_some_and(|dir| !dir.as_os_str().is_empty()) {
        return called.parent()?.canonicalize().ok();
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).find(|dir| dir.join(called).is_file())?.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::durable;
    use std::fs;

    #[test]
    fn the_link_leads_to_the_base() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for sub in ["config", "sbin", "lib/msg", "elsewhere"] {
            fs::create_dir_all(base.join(sub)).unwrap();
        }
        durable::replace(&base.join("config/msg.conf"), b"", 0o600).unwrap();
        durable::replace(&base.join("elsewhere/real"), b"", 0o700).unwrap();
        for link in ["sbin/configutil", "lib/msg/imasm"] {
            std::os::unix::fs::symlink(base.join("elsewhere/real"), base.join(link)).unwrap();
            let dir = link_dir(base.join(link).as_os_str()).unwrap();
            assert_eq!(dir, base.join(link).parent().unwrap());
        }
        // The environment of the test process is shared: CONFIGROOT is tested through the binary.
        if env::var_os("CONFIGROOT").is_none() {
            for link in ["sbin/configutil", "lib/msg/imasm"] {
                let found = Instance::find(Some(base.join(link).as_os_str())).unwrap();
                assert_eq!(found, Instance::at(&base));
            }
        }
        let found = Instance::from_config_root(&base.join("config")).unwrap();
        assert_eq!(found, Instance::at(&base));
        assert!(Instance::from_config_root(&base.join("sbin")).is_err());
    }
}
