//! Space of file systems.

use std::io;
use std::path::Path;

/// The space of a file system, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// All of it, without what is kept for root.
    pub total_bytes: u64,
    /// What the services may still use.
    pub available_bytes: u64,
}

impl Space {
    /// Hundredths that are available, rounded down; 0 where there is nothing at all.
    pub fn percent_available(self) -> u64 {
        percent(self.available_bytes, self.total_bytes)
    }

    /// Hundredths that are used.
    pub fn percent_used(self) -> u64 {
        100 - self.percent_available().min(100)
    }
}

fn percent(part: u64, all: u64) -> u64 {
    let all = u128::from(all);
    (u128::from(part) * 100).checked_div(all).map_or(0, |percent| u64::try_from(percent).unwrap_or(100))
}

/// The space of the file system that a path lies on (statvfs(3)). With the feature `failpoints` the file that the environment variable `DISK_FILE`
/// names has lines `PATH TOTAL AVAILABLE`, in bytes, which count instead.
///
/// # Errors
/// What the system said.
pub fn space(path: &Path) -> io::Result<Space> {
    if let Some(space) = told(path) {
        return Ok(space);
    }
    let stat = nix::sys::statvfs::statvfs(path)?;
    let available = stat.blocks_available();
    let used = stat.blocks().saturating_sub(stat.blocks_free());
    let bytes = |blocks: u64| blocks.saturating_mul(stat.fragment_size());
    Ok(Space { total_bytes: bytes(used.saturating_add(available)), available_bytes: bytes(available) })
}

#[cfg(feature = "failpoints")]
fn told(path: &Path) -> Option<Space> {
    let text = std::fs::read_to_string(std::env::var_os("DISK_FILE")?).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.rsplitn(3, ' ');
        let (available, total) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (Path::new(words.next()?) == path).then_some(Space { total_bytes: total, available_bytes: available })
    })
}

#[cfg(not(feature = "failpoints"))]
fn told(_: &Path) -> Option<Space> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_has_space() {
        let here = space(Path::new("/")).unwrap();
        assert!(here.total_bytes >= here.available_bytes && here.total_bytes > 0);
        assert!(space(Path::new("/nowhere/at/all")).is_err());
        let half = Space { total_bytes: 200, available_bytes: 99 };
        assert_eq!((half.percent_available(), half.percent_used()), (49, 51));
        assert_eq!((Space::default().percent_available(), Space::default().percent_used()), (0, 100));
    }
}
