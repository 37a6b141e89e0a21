//! `lost/` of a partition: files that belong to no message, or hold nothing, with a list of where they came from. Nothing there is ever removed.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::super::body;
use super::super::error::StoreError;
use crate::os::durable;

/// The directory in a partition.
pub(super) const LOST: &str = "lost";
/// The list in it: a line each, its fields divided by tabs: time, where it is now, where it was, why.
const LIST: &str = "list";

/// Sets a file (or directory) of the partition at `root` aside; gives its new place. Done again after a crash it ends the same.
pub(super) fn set_aside(root: &Path, path: &Path, why: &str, now_s: i64) -> Result<PathBuf, StoreError> {
    let fail = |error| StoreError::io("set aside", path, error);
    let inside = path.strip_prefix(root).unwrap_or(path);
    let wanted = root.join(LOST).join(inside);
    let above = wanted.parent().unwrap_or(&wanted).to_owned();
    body::make_durable_dir(&above)?;
    let meta = fs::symlink_metadata(path).map_err(fail)?;
    let mut to = wanted.clone();
    for number in 1.. {
        if meta.is_dir() {
            if fs::symlink_metadata(&to).is_err() {
                break;
            }
        } else {
            match fs::hard_link(path, &to) {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    use std::os::unix::fs::MetadataExt;
                    let there = fs::symlink_metadata(&to).map_err(fail)?;
                    // An earlier attempt came so far.
                    if (there.dev(), there.ino()) == (meta.dev(), meta.ino()) {
                        break;
                    }
                }
                Err(error) => return Err(fail(error)),
            }
        }
        let mut name = wanted.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{number}"));
        to = wanted.with_file_name(name);
    }
    list(root, &format!("{now_s}\t{}\t{}\t{why}\n", to.display(), path.display()))?;
    crate::crash_point!("repair.before-removal");
    if meta.is_dir() { fs::rename(path, &to) } else { fs::remove_file(path) }.map_err(fail)?;
    for dir in [Some(above.as_path()), path.parent()].into_iter().flatten() {
        durable::sync_dir(dir).map_err(|error| StoreError::io("flush", dir, error))?;
    }
    Ok(to)
}

fn list(root: &Path, line: &str) -> Result<(), StoreError> {
    let path = root.join(LOST).join(LIST);
    let written = (|| {
        let mut file =
            OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(&path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    })();
    written.map_err(|error| StoreError::io("write", &path, error))
}
