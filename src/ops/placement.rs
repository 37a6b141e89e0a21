//! Whether the directories of a partition are where the hash rule puts them; looks at the file system only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::layout;

/// What is wrong with a directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// It is an account's, and belongs at this path.
    Belongs(PathBuf),
    /// No account or folder is written so.
    NoName,
    /// It is not of a kind that lies at this level.
    Loose,
}

/// Where the account of a path belongs, when that is not where the path has it. The path contains `=user/XX/YY/=account`.
pub fn misplaced(path: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = path.components().collect();
    let root = parts.iter().rposition(|part| part.as_os_str() == "=user")?;
    let owner = layout::component_of(parts.get(root + 3)?.as_os_str().to_str()?)?;
    let right = layout::account_directory(&owner);
    let given: PathBuf = parts.get(root..root + 4)?.iter().collect();
    (given != right).then(|| parts.iter().take(root).collect::<PathBuf>().join(right))
}

/// Visits every directory of a partition that is not where the rule puts it.
///
/// # Errors
/// A directory cannot be read.
pub fn walk(partition: &Path, visit: &mut dyn FnMut(&Path, Misplaced)) -> io::Result<()> {
    let users = partition.join("=user");
    if !users.try_exists()? {
        // A partition without accounts; that it is mounted is seen by the directory above.
        return fs::read_dir(partition).map_err(|error| named(partition, error)).map(drop);
    }
    for first in subdirectories(&users)? {
        if !is_hash_level(&first) {
            visit(&first, Misplaced::Loose);
            continue;
        }
        for second in subdirectories(&first)? {
            if !is_hash_level(&second) {
                visit(&second, Misplaced::Loose);
                continue;
            }
            for account in subdirectories(&second)? {
                match (owner_of(&account), misplaced(&account)) {
                    (None, _) => visit(&account, Misplaced::NoName),
                    (Some(_), Some(right)) => visit(&account, Misplaced::Belongs(right)),
                    (Some(_), None) => folders(&account, visit)?,
                }
            }
        }
    }
    Ok(())
}

/// Looks at the directories below an account: folders begin with `=`, message directories have two digits.
fn folders(account: &Path, visit: &mut dyn FnMut(&Path, Misplaced)) -> io::Result<()> {
    let mut stack = vec![account.to_owned()];
    while let Some(dir) = stack.pop() {
        for below in subdirectories(&dir)? {
            let name = below.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.len() == 2 && name.bytes().all(|c| c.is_ascii_digit()) {
                continue;
            }
            match (name.starts_with('='), layout::component_of(&name)) {
                (true, Some(_)) => stack.push(below),
                (true, None) => visit(&below, Misplaced::NoName),
                (false, _) => visit(&below, Misplaced::Loose),
            }
        }
    }
    Ok(())
}

fn owner_of(account: &Path) -> Option<String> {
    layout::component_of(account.file_name()?.to_str()?)
}

/// `XY`: a hexadecimal digit and one below 8.
fn is_hash_level(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default().as_bytes();
    matches!(name, [b'0'..=b'9' | b'a'..=b'f', b'0'..=b'7'])
}

fn subdirectories(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| named(dir, error))? {
        let entry = entry.map_err(|error| named(dir, error))?;
        if entry.file_type().map_err(|error| named(dir, error))?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directory_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for path in [
            "=user/53/53/=mack1/=projx/=2004/00",
            "=user/53/53/=mack1/00",
            "=user/53/53/=Bad",
            "=user/53/53/=mack1/=x%zz",
            "=user/53/53/=mack1/odd",
            "=user/53/54/=joe/00",
            "=user/99/00",
            "=user/53/xx",
        ] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let mut seen = Vec::new();
        walk(root, &mut |path, wrong| {
            let right = match wrong {
                Misplaced::Belongs(right) => right.strip_prefix(root).unwrap().display().to_string(),
                other => format!("{other:?}"),
            };
            seen.push((path.strip_prefix(root).unwrap().display().to_string(), right));
        })
        .unwrap();
        let seen: Vec<(&str, &str)> = seen.iter().map(|(path, right)| (path.as_str(), right.as_str())).collect();
        assert_eq!(
            seen,
            [
                ("=user/53/53/=Bad", "NoName"),
                ("=user/53/53/=mack1/=x%zz", "NoName"),
                ("=user/53/53/=mack1/odd", "Loose"),
                ("=user/53/54/=joe", "=user/04/73/=joe"),
                ("=user/53/xx", "Loose"),
                ("=user/99", "Loose"),
            ]
        );
        assert!(walk(&root.join("nowhere"), &mut |_, _| {}).is_err());
    }

    #[test]
    fn a_path_tells_where_it_belongs() {
        assert_eq!(misplaced(Path::new("/p/=user/53/53/=mack1/=projx/00/1.msg")), None);
        assert_eq!(
            misplaced(Path::new("/p/=user/53/54/=mack1/00/1.msg")),
            Some(PathBuf::from("/p/=user/53/53/=mack1"))
        );
    }
}
