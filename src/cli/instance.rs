//! The instance a tool works on, and what to tell a person when the configuration is wrong.

use std::io;

use super::exit::{Exit, Failure};
use super::ui::Ui;
use crate::config::{Conf, ConfigError, Instance};
use crate::directory::{DirectoryError, ErrorKind};
use crate::ops;
use crate::os::process::is_ready;
use crate::os::user::UserError;
use crate::store::{Kind, Store, StoreError};

/// The instance that this call belongs to.
///
/// # Errors
/// A [`Failure`] with [`Exit::Config`] and the way to make or name an instance.
pub fn instance(_ui: &mut Ui) -> anyhow::Result<Instance> {
    let argv0 = std::env::args_os().next();
    Ok(Instance::find(argv0.as_deref()).map_err(failure)?)
}

/// The store of the instance, for a tool that works on it: the store daemon must be ready, and the process becomes the account of the
/// services for good. Files named on the command line are opened before this.
///
/// # Errors
/// A [`Failure`]: [`Exit::Unavailable`] while the daemon does not serve, [`Exit::NoPerm`] for another account than root and the server's,
/// else what [`store_failure`] says.
pub fn ready_store(instance: &Instance, conf: &Conf) -> anyhow::Result<Store> {
    server_account(conf)?;
    if !is_ready(&instance.proc_dir(), "store") {
        return Err(Failure::new(Exit::Unavailable, "the store daemon is not ready").hint("start-msg store").into());
    }
    Ok(ops::store::open(instance, conf).map_err(store_failure)?)
}

/// Becomes the account of the services for good, as every tool does before it touches their files.
///
/// # Errors
/// A [`Failure`]: [`Exit::NoPerm`] for another account than root and the server's, [`Exit::Config`] for one that does not exist.
pub fn server_account(conf: &Conf) -> Result<(), Failure> {
    ops::instance::become_server(conf).map_err(|error| {
        let (exit, hint) = match error {
            UserError::NotPermitted { .. } => (Exit::NoPerm, "run it as the mail server's account or as root"),
            _ => (Exit::Config, "configutil -o local.serveruid; configutil -o local.servergid"),
        };
        Failure::new(exit, error.to_string()).hint(hint)
    })
}

/// How a tool ends after an error of the store.
pub fn store_failure(error: StoreError) -> Failure {
    let exit = match error.kind() {
        Kind::NotFound | Kind::Expunged => Exit::NoInput,
        Kind::Exists | Kind::SpecialUse => Exit::CantCreate,
        Kind::Denied => Exit::NoPerm,
        Kind::OverQuota | Kind::InUse => Exit::TempFail,
        Kind::Invalid | Kind::Limit => Exit::Usage,
        Kind::TooLarge => Exit::DataErr,
        Kind::Corrupt | Kind::Internal => Exit::Software,
        Kind::Unavailable => Exit::Unavailable,
        Kind::NoSpace | Kind::Io => Exit::IoErr,
    };
    let failure = Failure::new(exit, error.to_string());
    if matches!(error, StoreError::NoPartition { .. }) {
        return failure.hint("configutil -p store.partition");
    }
    match error.kind() {
        Kind::InUse => failure.hint("try again later"),
        Kind::Corrupt => failure.hint("reconstruct -n -r shows what is damaged"),
        _ => failure,
    }
}

/// How a tool ends after an error of the directory.
pub fn directory_failure(error: DirectoryError) -> Failure {
    let exit = match error.kind() {
        ErrorKind::NotFound => Exit::NoUser,
        ErrorKind::Exists => Exit::CantCreate,
        ErrorKind::Denied => Exit::NoPerm,
        ErrorKind::Invalid => Exit::DataErr,
        ErrorKind::Unavailable => Exit::TempFail,
        ErrorKind::Io => Exit::IoErr,
    };
    Failure::new(exit, error.to_string())
}

/// How a tool ends after a configuration error, and what to do about it.
pub fn failure(error: ConfigError) -> Failure {
    let message = error.to_string();
    let (exit, hint) = match &error {
        ConfigError::NoInstance { .. } => (
            Exit::Config,
            "make one with: msgstore configure --base DIR; or set CONFIGROOT to the config directory of one".to_owned(),
        ),
        ConfigError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            (Exit::NoPerm, "run it as the mail server's account or as root".to_owned())
        }
        ConfigError::Write { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            (Exit::NoPerm, "run it as the mail server's account or as root".to_owned())
        }
        ConfigError::Read { .. } | ConfigError::Write { .. } => return Failure::new(Exit::IoErr, message),
        ConfigError::Line { .. } => {
            (Exit::Config, "correct the line; configutil -V lists all that is wrong".to_owned())
        }
        ConfigError::Unknown { near, .. } if near.is_empty() => {
            (Exit::Usage, "configutil -H explains the known ones; -l stores a name of your own".to_owned())
        }
        ConfigError::Unknown { near, .. } => {
            (Exit::Usage, format!("did you mean {}? -l stores a name of your own", near.join(" or ")))
        }
        ConfigError::BadName { .. } | ConfigError::BadValue { .. } => {
            return Failure::new(Exit::Usage, message);
        }
    };
    Failure::new(exit, message).hint(hint)
}
