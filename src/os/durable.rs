//! Durable files: written beside, flushed, renamed, directory flushed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Flushes a directory: the names in it survive a power loss.
///
/// # Errors
/// What `open(2)` or `fsync(2)` said.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Flushes everything of the file system that holds `path` (syncfs(2)).
///
/// # Errors
/// What `open(2)` or `syncfs(2)` said.
pub fn sync_file_system(path: &Path) -> io::Result<()> {
    nix::unistd::syncfs(File::open(path)?).map_err(io::Error::from)
}

/// Replaces `path` by `bytes`, all or nothing: a temporary file beside it is written, flushed and renamed, then the directory is flushed.
/// `mode` are the permission bits of the new file, whatever the mask of the process is. Callers that can race hold a lock of their own.
///
/// # Errors
/// What the system calls said; `path` is then unchanged and the temporary file removed.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".new{}", std::process::id()));
    let temporary = dir.join(name);
    let written = (|| {
        // What is there is from a process that was killed, or was put there by somebody who waits for root to write through it.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        crate::crash_point!("durable.before-rename");
        fs::rename(&temporary, path)
    })();
    if let Err(error) = written {
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    crate::crash_point!("durable.after-rename");
    sync_dir(dir)
}

/// A file without a name in a directory: it is gone with its last descriptor.
///
/// # Errors
/// What open(2) said.
pub fn unnamed(dir: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(dir)
}
