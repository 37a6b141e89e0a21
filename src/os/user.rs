//! System accounts: names to numbers, and becoming the mail server's account for good.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{self, Gid, Group, Uid, User};

/// A system account with the group it works in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemAccount {
    /// Its name.
    pub user: String,
    /// The name of the group.
    pub group: String,
    /// Its number.
    pub uid: u32,
    /// The number of the group.
    pub gid: u32,
}

/// Why an account cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The system does not know the user.
    #[error("Cannot find user in name service: {0}")]
    NoUser(String),
    /// The system does not know the group.
    #[error("Cannot find group in name service: {0}")]
    NoGroup(String),
    /// This process runs as somebody else, who may not become the account.
    #[error("this runs as {current}, it must run as {wanted} or as root")]
    NotPermitted {
        /// Who runs it.
        current: String,
        /// Who should.
        wanted: String,
    },
    /// A system call refused.
    #[error("{what}: {source}")]
    System {
        /// The call.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// Root could be regained, or threads exist that would keep it.
    #[error("the rights of root could not be given up: {0}")]
    Kept(&'static str),
}

/// Finds an account by name, or by number; without a group its primary one.
///
/// # Errors
/// [`UserError::NoUser`], [`UserError::NoGroup`], [`UserError::System`].
pub fn resolve(user: &str, group: Option<&str>) -> Result<SystemAccount, UserError> {
    let found = match user.parse::<u32>() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(user),
    };
    let found = found.map_err(|errno| system("getpwnam", errno))?.ok_or_else(|| UserError::NoUser(user.to_owned()))?;
    let (gid, group) = match group.filter(|group| !group.is_empty()) {
        None => (found.gid.as_raw(), group_name(found.gid)),
        Some(group) => {
            let known = match group.parse::<u32>() {
                Ok(number) => Group::from_gid(Gid::from_raw(number)),
                Err(_) => Group::from_name(group),
            };
            let known = known
                .map_err(|errno| system("getgrnam", errno))?
                .ok_or_else(|| UserError::NoGroup(group.to_owned()))?;
            (known.gid.as_raw(), known.name)
        }
    };
    Ok(SystemAccount { uid: found.uid.as_raw(), user: found.name, group, gid })
}

/// The account that runs this process. An unknown number is its own name.
pub fn current() -> SystemAccount {
    let (uid, gid) = (unistd::geteuid(), unistd::getegid());
    let user = match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.as_raw().to_string(),
    };
    SystemAccount { user, group: group_name(gid), uid: uid.as_raw(), gid: gid.as_raw() }
}

/// Gives a file to the owner of the directory that it lies in, where this process is root and may. A file of several names is refused: the owner of the
/// directory may have put a name of somebody else's file there.
///
/// # Errors
/// `AlreadyExists`: it is no file, or has several names; what `stat(2)` or `fchown(2)` said.
pub fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    if is_root() {
        let found = file.metadata()?;
        if !found.is_file() || found.nlink() > 1 {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let dir = fs::metadata(path.parent().unwrap_or(path))?;
        std::os::unix::fs::fchown(file, Some(dir.uid()), Some(dir.gid()))?;
    }
    Ok(())
}

/// What this process makes from now on is for its own account only, unless it says otherwise (umask 077).
pub fn close_mask() {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// True when this process has the rights of root.
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

/// Becomes the account for good: supplementary groups, group, user; then checks that root cannot be regained. Does nothing when
/// the process runs as the account already. To be called before the first thread is started.
///
/// # Errors
/// [`UserError::NotPermitted`] when another account than root runs the process; [`UserError::System`]; [`UserError::Kept`].
pub fn become_account(account: &SystemAccount) -> Result<(), UserError> {
    if !is_root() {
        let now = current();
        if now.uid == account.uid {
            return Ok(());
        }
        return Err(UserError::NotPermitted { current: now.user, wanted: account.user.clone() });
    }
    if account.uid == 0 {
        return Ok(());
    }
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(UserError::Kept("threads are running already"));
    }
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    unistd::setgroups(&[gid]).map_err(|errno| system("setgroups", errno))?;
    unistd::setgid(gid).map_err(|errno| system("setgid", errno))?;
    unistd::setuid(uid).map_err(|errno| system("setuid", errno))?;
    if unistd::setuid(Uid::from_raw(0)).is_ok() || unistd::geteuid() != uid {
        return Err(UserError::Kept("root came back"));
    }
    Ok(())
}

fn group_name(gid: Gid) -> String {
    match Group::from_gid(gid) {
        Ok(Some(group)) => group.name,
        _ => gid.as_raw().to_string(),
    }
}

fn system(what: &'static str, errno: nix::errno::Errno) -> UserError {
    UserError::System { what, source: io::Error::from(errno) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_resolved() {
        let root = resolve("root", None).unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(resolve("0", Some("root")).unwrap(), root);
        assert!(matches!(resolve("no-such-user-here", None), Err(UserError::NoUser(_))));
        assert!(matches!(resolve("root", Some("no-such-group-here")), Err(UserError::NoGroup(_))));
    }

    #[test]
    fn becoming_oneself_is_nothing() {
        become_account(&current()).unwrap();
    }
}
