//! The instance a tool works on, and what to tell a person when the configuration is wrong.

use std::io;

use super::exit::{Exit, Failure};
use super::ui::Ui;
use crate::config::{ConfigError, Instance};

/// The instance that this call belongs to.
///
/// # Errors
/// A [`Failure`] with [`Exit::Config`] and the way to make or name an instance.
pub fn instance(_ui: &mut Ui) -> anyhow::Result<Instance> {
    let argv0 = std::env::args_os().next();
    Ok(Instance::find(argv0.as_deref()).map_err(failure)?)
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
