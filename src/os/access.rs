//! What an account may do with a directory, asked before it tries.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};

use super::user::SystemAccount;

/// Checks that an account may make files in a directory, or make the directory where it is missing.
///
/// Access control lists beside the permission bits are seen only when the account itself asks.
///
/// # Errors
/// The path at which it fails, and why: `PermissionDenied`, `NotADirectory`, `ReadOnlyFilesystem` or what the system says.
pub fn may_fill(account: &SystemAccount, directory: &Path) -> Result<(), (PathBuf, io::Error)> {
    let there = existing(directory)?;
    let at = |error: io::Error| (there.clone(), error);
    let meta = fs::metadata(&there).map_err(at)?;
    if !meta.is_dir() {
        return Err(at(io::ErrorKind::NotADirectory.into()));
    }
    // Who asks must be able to as well: that also finds file systems that are read-only.
    access(&there, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| at(errno.into()))?;
    if account.uid == geteuid().as_raw() || account.uid == 0 {
        return Ok(());
    }
    const WRITE: u32 = 0o2;
    const SEARCH: u32 = 0o1;
    for above in there.ancestors() {
        let wanted = if above == there { WRITE | SEARCH } else { SEARCH };
        let meta = fs::metadata(above).map_err(|error| (above.to_owned(), error))?;
        let bits = if meta.uid() == account.uid {
            meta.mode() >> 6
        } else if meta.gid() == account.gid {
            meta.mode() >> 3
        } else {
            meta.mode()
        };
        if bits & wanted != wanted {
            return Err((above.to_owned(), io::ErrorKind::PermissionDenied.into()));
        }
    }
    Ok(())
}

/// The directory, or the nearest above it that exists.
fn existing(directory: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    for above in directory.ancestors() {
        match fs::symlink_metadata(above) {
            Ok(_) => return Ok(above.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((above.to_owned(), error)),
        }
    }
    Ok(PathBuf::from("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::user::current;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn directories_that_are_there_and_that_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let me = current();
        may_fill(&me, dir.path()).unwrap();
        may_fill(&me, &dir.path().join("a/b")).unwrap();
        let file = dir.path().join("file");
        fs::File::create(&file).unwrap();
        for below in [file.clone(), file.join("x")] {
            let (_, error) = may_fill(&me, &below).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
        }
    }

    #[test]
    fn another_account_is_judged_by_the_permission_bits() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("disk");
        fs::create_dir(&place).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        // Temporary files may lie where others do not come.
        let open = dir.path().ancestors().skip(1).all(|above| fs::metadata(above).unwrap().mode() & 1 == 1);
        // Nobody whom the files belong to, by number or by group.
        let other = SystemAccount { user: "other".into(), group: "other".into(), uid: 54_321, gid: 54_321 };
        for (above, own, allowed) in [(0o711, 0o777, open), (0o711, 0o775, false), (0o700, 0o777, false)] {
            mode(dir.path(), above);
            mode(&place, own);
            assert_eq!(may_fill(&other, &place.join("store")).is_ok(), allowed, "{above:o} {own:o}");
        }
        let ours = SystemAccount { gid: fs::metadata(&place).unwrap().gid(), ..other };
        mode(dir.path(), 0o711);
        mode(&place, 0o775);
        assert_eq!(may_fill(&ours, &place).is_ok(), open);
    }
}
