//! Changes of a directory file: one entry is added, changed or removed, every other byte of the text stays as it is.
//! A lock file (`<file>.lock`) keeps two writers apart; the new text replaces the old one in one step.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::DirectoryError;
use super::ldif::{self, Entry, Parsed};
use crate::os::durable;
use crate::os::lock::LockFile;

/// Adds an entry at the end. `attributes` are names and values in the order in which they are written.
///
/// # Errors
/// [`DirectoryError::Exists`] when an entry of this name is there; [`DirectoryError::Malformed`] when the file has a fault
/// (it is then refused as a whole); [`DirectoryError::Io`].
pub fn add(path: &Path, dn: &str, attributes: &[(&str, &str)]) -> Result<(), DirectoryError> {
    change(path, |text, parsed| {
        if parsed.entries.iter().any(|entry| super::dn::same(&entry.dn, dn)) {
            return Err(DirectoryError::Exists(dn.to_owned()));
        }
        let mut new = String::new();
        if !text.is_empty() {
            if !text.ends_with(b"\n") {
                new.push('\n');
            }
            new.push('\n');
        }
        ldif::write_attribute(&mut new, "dn", dn);
        for (name, value) in attributes {
            ldif::write_attribute(&mut new, name, value);
        }
        Ok(splice(text, text.len()..text.len(), new.as_bytes()))
    })
}

/// An attribute and its new values; none: the attribute is removed.
pub type Change<'a> = (&'a str, &'a [&'a str]);

/// Sets attributes of an entry, all in one step: the old values of each are replaced. The new lines stand where the first old value stood,
/// else at the end of the entry.
///
/// # Errors
/// [`DirectoryError::NoUser`] when there is no such entry; else as [`add`].
pub fn replace(path: &Path, dn: &str, changes: &[Change<'_>]) -> Result<(), DirectoryError> {
    change(path, |text, _| {
        changes.iter().try_fold(text.to_vec(), |text, (attribute, values)| {
            Ok(replaced(&text, find(&ldif::parse(&text), dn)?, attribute, values))
        })
    })
}

/// Sets an attribute of an entry to one value, if the entry is `as_expected`, in one step. Returns whether it was.
///
/// # Errors
/// As [`replace`].
pub(super) fn replace_if(
    path: &Path,
    dn: &str,
    as_expected: impl FnOnce(&Entry) -> bool,
    (attribute, value): (&str, &str),
) -> Result<bool, DirectoryError> {
    let mut expected = false;
    change(path, |text, parsed| {
        let entry = find(parsed, dn)?;
        expected = as_expected(entry);
        Ok(if expected { replaced(text, entry, attribute, &[value]) } else { text.to_vec() })
    })?;
    Ok(expected)
}

fn replaced(text: &[u8], entry: &Entry, attribute: &str, values: &[&str]) -> Vec<u8> {
    let mut new = String::new();
    for value in values {
        ldif::write_attribute(&mut new, attribute, value);
    }
    let wanted = attribute.to_ascii_lowercase();
    let old: Vec<Range<usize>> =
        entry.attributes.iter().filter(|present| present.name == wanted).map(|present| present.span.clone()).collect();
    let at = old.first().map_or(entry.span.end, |span| span.start);
    if at == text.len() && !text.ends_with(b"\n") {
        new.insert(0, '\n');
    }
    let mut result = text.to_vec();
    for span in old.into_iter().rev() {
        result = splice(&result, span, b"");
    }
    splice(&result, at..at, new.as_bytes())
}

/// Removes an entry and the empty line after it.
///
/// # Errors
/// As [`replace`].
pub fn delete(path: &Path, dn: &str) -> Result<(), DirectoryError> {
    change(path, |text, parsed| {
        let mut span = find(parsed, dn)?.span.clone();
        let rest = text.get(span.end..).unwrap_or_default();
        if rest.starts_with(b"\r\n") {
            span.end += 2;
        } else if rest.starts_with(b"\n") {
            span.end += 1;
        }
        Ok(splice(text, span, b""))
    })
}

fn find<'a>(parsed: &'a Parsed, dn: &str) -> Result<&'a Entry, DirectoryError> {
    parsed
        .entries
        .iter()
        .find(|entry| super::dn::same(&entry.dn, dn))
        .ok_or_else(|| DirectoryError::NoUser(dn.to_owned()))
}

fn change(
    path: &Path,
    edit: impl FnOnce(&[u8], &Parsed) -> Result<Vec<u8>, DirectoryError>,
) -> Result<(), DirectoryError> {
    let failed = |source: io::Error| DirectoryError::Io { path: path.to_path_buf(), source };
    let mut lock = path.as_os_str().to_os_string();
    lock.push(".lock");
    let _lock = LockFile::acquire(Path::new(&lock)).map_err(failed)?;
    let (text, meta) = match fs::read(path) {
        Ok(text) => (text, Some(fs::metadata(path).map_err(failed)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
        Err(error) => return Err(failed(error)),
    };
    let parsed = ldif::parse(&text);
    if let Some(problem) = parsed.problems.first() {
        return Err(DirectoryError::Malformed {
            path: path.to_path_buf(),
            line: problem.line,
            text: problem.text.clone(),
        });
    }
    let new = edit(&text, &parsed)?;
    if new == text {
        return Ok(());
    }
    let mode = meta.as_ref().map_or(0o600, |meta| meta.permissions().mode() & 0o777);
    durable::replace(path, &new, mode).map_err(failed)?;
    if let Some(meta) = meta {
        keep_owner(path, &meta).map_err(failed)?;
    }
    Ok(())
}

/// The new file belongs to whom the old one belonged (it differs only when root edits).
fn keep_owner(path: &Path, old: &fs::Metadata) -> io::Result<()> {
    let new = fs::symlink_metadata(path)?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::lchown(path, Some(old.uid()), Some(old.gid()))?;
    }
    Ok(())
}

fn splice(text: &[u8], at: Range<usize>, new: &[u8]) -> Vec<u8> {
    let mut result = text.get(..at.start).unwrap_or_default().to_vec();
    result.extend_from_slice(new);
    result.extend_from_slice(text.get(at.end..).unwrap_or_default());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# ours\ndn: uid=a,o=x\nUid: a\nmail: a@x.y\nmail:\n  other@x.y\ncn: A\n\n# b\ndn: uid=b,o=x\nuid: b";

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.ldif");
        durable::replace(&path, text.as_bytes(), 0o640).unwrap();
        (dir, path)
    }

    #[test]
    fn only_the_named_entry_changes() {
        let (_dir, path) = file(TEXT);
        replace(&path, "UID=a, o=x", &[("mail", &["new@x.y"]), ("cn", &["A"])]).unwrap();
        let expected = TEXT.replace("mail: a@x.y\nmail:\n  other@x.y\n", "mail: new@x.y\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        replace(&path, "uid=b,o=x", &[("cn", &["B"]), ("sn", &[])]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{expected}\ncn: B\n"));
        delete(&path, "uid=a,o=x").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "# ours\n# b\ndn: uid=b,o=x\nuid: b\ncn: B\n");
        add(&path, "uid=c,o=x", &[("uid", "c")]).unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("cn: B\n\ndn: uid=c,o=x\nuid: c\n"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_broken_file_is_not_written() {
        let text = format!("{TEXT}\n\nnot ldif\n");
        let (_dir, path) = file(&text);
        let error = delete(&path, "uid=a,o=x").unwrap_err();
        assert!(matches!(error, DirectoryError::Malformed { line: 13, .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn names_are_unique_and_must_exist() {
        let (_dir, path) = file(TEXT);
        assert!(matches!(add(&path, "uid=A,o=x", &[]), Err(DirectoryError::Exists(_))));
        assert!(matches!(delete(&path, "uid=z,o=x"), Err(DirectoryError::NoUser(_))));
    }
}
