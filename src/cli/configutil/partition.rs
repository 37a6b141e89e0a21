//! A partition whose place is set is looked at first: what is wrong is told now, and not when mail comes.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::exit::{Exit, Failure};
use super::super::instance::failure;
use super::Files;
use crate::config::{Conf, catalogue};
use crate::ops::instance::server_account;
use crate::os::access::may_fill;
use crate::os::user;

/// Checks the paths of partitions among settings that are about to be made.
///
/// # Errors
/// Two partitions would have one directory, or the account of the services cannot make files there.
pub(super) fn check(files: &Files, set: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<(), Failure> {
    let paths: Vec<(&str, &str)> = set
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
        .filter(|(name, _)| name.to_ascii_lowercase().ends_with(".path"))
        .filter_map(|(name, value)| Some((catalogue::nickname_in(name)?, value)))
        .collect();
    if paths.is_empty() {
        return Ok(());
    }
    let conf = Conf::load_unchecked(&files.base, &files.explicit, &files.defaults).map_err(failure)?;
    let known = conf.partitions();
    // An account that cannot be found is told by the services; who calls is then the best guess.
    let account = server_account(&conf).unwrap_or_else(|_| user::current());
    for (at, (nickname, path)) in paths.iter().enumerate() {
        let directory = placed(&files.base, path);
        let wrong = |exit, text: String| Failure::new(exit, format!("store.partition.{nickname}.path: {text}"));
        let twin = |other: &str, place: &Path| other != *nickname && same(place, &directory);
        let set_now = paths.iter().take(at).find(|(other, place)| twin(other, &placed(&files.base, place)));
        let set_before = known
            .iter()
            .find(|(other, place)| twin(other, place) && !paths.iter().any(|(changed, _)| *changed == other.as_str()));
        if let Some(other) = set_now.map(|(other, _)| *other).or(set_before.map(|(other, _)| other.as_str())) {
            return Err(wrong(Exit::Usage, format!("{} is the directory of partition {other}", directory.display())));
        }
        may_fill(&account, &directory).map_err(|(place, error)| {
            let what = match error.kind() {
                ErrorKind::NotADirectory => "is not a directory".to_owned(),
                ErrorKind::PermissionDenied => format!("is not writable for the account {}", account.user),
                _ => format!("cannot be written: {error}"),
            };
            wrong(Exit::CantCreate, format!("{} {what}", place.display()))
        })?;
    }
    Ok(())
}

fn placed(base: &Path, path: &str) -> PathBuf {
    match path.strip_prefix("msg_svr_base/") {
        Some(below) => base.join(below),
        None => base.join(path),
    }
}

/// Do two paths lead to one directory?
fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
