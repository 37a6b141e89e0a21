//! The text database: flat TOML, one quoted key a line. Edits change the bytes of one value or one line and leave the rest alone.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, lchown};
use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, Value};

use super::ConfigError;
use super::catalogue::key;
use crate::os::durable;

/// Largest file that is read, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// One setting of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as spelled in the file, with its language tag.
    pub name: String,
    /// The value; numbers and booleans without quotes as their text.
    pub value: String,
    /// The line it stands on, counted from 1.
    pub line: usize,
}

/// A change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Give `name` this value.
    Set(String, String),
    /// Remove the setting, so that the default counts again.
    Remove(String),
}

/// One configuration file, by its path.
#[derive(Clone, Debug)]
pub struct Database {
    path: PathBuf,
}

/// Where an entry stands in the text: the bytes of its value, and of its whole line.
struct Place {
    entry: Entry,
    value: Range<usize>,
    line: Range<usize>,
}

impl Database {
    /// The database in the file `path`, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Database {
        Database { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every setting in the order of the file; none when there is no file.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::Line`].
    pub fn read(&self) -> Result<Vec<Entry>, ConfigError> {
        let text = self.text()?;
        let places = places(&self.path, &text)?;
        Ok(places.into_iter().map(|place| place.entry).collect())
    }

    /// Makes all the changes or none: the file is locked, read again, changed and replaced. Returns how many changes were not
    /// already so. Callers have checked names and values.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::Line`], [`ConfigError::Write`]; the file is unchanged then.
    pub fn apply(&self, changes: &[Change]) -> Result<usize, ConfigError> {
        let _lock = self.lock()?;
        self.apply_locked(changes)
    }

    /// Like [`Database::apply`] for settings that are not there yet: those that are keep their value. A missing file is created.
    ///
    /// # Errors
    /// As [`Database::apply`].
    pub fn add(&self, settings: &[(String, String)]) -> Result<usize, ConfigError> {
        let _lock = self.lock()?;
        let present = self.read()?;
        let changes: Vec<Change> = settings
            .iter()
            .filter(|(name, _)| !present.iter().any(|entry| key(&entry.name) == key(name)))
            .map(|(name, value)| Change::Set(name.clone(), value.clone()))
            .collect();
        if changes.is_empty() && !self.path.exists() {
            self.write("")?;
        }
        self.apply_locked(&changes)
    }

    /// Replaces the whole text, under the lock, when it differs. Returns whether it did.
    ///
    /// # Errors
    /// [`ConfigError::Read`], [`ConfigError::Write`].
    pub fn rewrite(&self, text: &str) -> Result<bool, ConfigError> {
        let _lock = self.lock()?;
        if self.path.exists() && self.text().is_ok_and(|old| old == text) {
            return Ok(false);
        }
        self.write(text)?;
        Ok(true)
    }

    fn apply_locked(&self, changes: &[Change]) -> Result<usize, ConfigError> {
        let mut text = self.text()?;
        let mut done = 0;
        for change in changes {
            if let Some(new) = changed(&self.path, &text, change)? {
                text = new;
                done += 1;
            }
        }
        if done > 0 {
            self.write(&text)?;
        }
        Ok(done)
    }

    fn text(&self) -> Result<String, ConfigError> {
        let failed = |source| ConfigError::Read { path: self.path.clone(), source };
        let bytes = match fs::metadata(&self.path) {
            Ok(found) if found.len() > LARGEST => {
                return Err(failed(io::Error::other("larger than 16 MB")));
            }
            Ok(_) => fs::read(&self.path).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(failed(error)),
        };
        String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = line_of(error.as_bytes(), good);
            self.wrong(line, "not UTF-8")
        })
    }

    fn wrong(&self, line: usize, problem: &str) -> ConfigError {
        ConfigError::Line { path: self.path.clone(), line, problem: problem.to_owned() }
    }

    /// Waits for the exclusive lock on `<file>.lock`; it ends with the returned file, or with the process.
    fn lock(&self) -> Result<File, ConfigError> {
        let path = beside(&self.path, ".lock");
        let failed = |source| ConfigError::Write { path: path.clone(), source };
        let owner = owner_for(&self.path);
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        give(&path, owner);
        file.lock().map_err(failed)?;
        Ok(file)
    }

    /// Replaces the file; what a killed writer left beside it goes too. The lock is held.
    fn write(&self, text: &str) -> Result<(), ConfigError> {
        let owner = owner_for(&self.path);
        let prefix = beside(&self.path, ".new");
        if let (Some(dir), Some(prefix)) = (self.path.parent(), prefix.file_name())
            && let Ok(names) = fs::read_dir(dir)
        {
            for name in names.flatten().map(|entry| entry.file_name()) {
                let left = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
                if left.is_some_and(|pid| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit)) {
                    drop(fs::remove_file(dir.join(name)));
                }
            }
        }
        durable::replace(&self.path, text.as_bytes(), 0o600)
            .map_err(|source| ConfigError::Write { path: self.path.clone(), source })?;
        give(&self.path, owner);
        Ok(())
    }
}

/// Every setting of a text, in its order.
///
/// # Errors
/// [`ConfigError::Line`], with an empty path.
pub fn entries(text: &str) -> Result<Vec<Entry>, ConfigError> {
    Ok(places(Path::new(""), text)?.into_iter().map(|place| place.entry).collect())
}

/// The text after one change; `None` when it is so already.
///
/// # Errors
/// [`ConfigError::Line`], with an empty path.
pub fn edited(text: &str, change: &Change) -> Result<Option<String>, ConfigError> {
    changed(Path::new(""), text, change)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

/// Owner and group that the file has, else those of its directory: root's edits must not lock the server's account out.
fn owner_for(path: &Path) -> Option<(u32, u32)> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = fs::metadata(path).or_else(|_| fs::metadata(dir)).ok()?;
    Some((found.uid(), found.gid()))
}

/// Gives the file to its owner; only root can, and only root needs to.
fn give(path: &Path, owner: Option<(u32, u32)>) {
    if let Some((uid, gid)) = owner
        && fs::metadata(path).is_ok_and(|now| (now.uid(), now.gid()) != (uid, gid))
    {
        drop(lchown(path, Some(uid), Some(gid)));
    }
}

fn line_of(text: &[u8], offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.iter().filter(|b| **b == b'\n').count() + 1
}

/// Finds every entry of the text.
fn places(path: &Path, text: &str) -> Result<Vec<Place>, ConfigError> {
    let wrong = |offset: usize, problem: String| ConfigError::Line {
        path: path.to_path_buf(),
        line: line_of(text.as_bytes(), offset),
        problem,
    };
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(at, error.message().replace('\n', "; "))
    })?;
    let mut found = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (name, item) in document.as_table().iter() {
        let at = document.as_table().key(name).and_then(|key| key.span());
        let start = at.map_or(0, |span| span.start);
        let (Item::Value(value), Some(span)) = (item, item.span()) else {
            return Err(wrong(start, format!("{name}: not one setting a line; put the whole name in double quotes")));
        };
        let raw = text.get(span.clone()).unwrap_or_default();
        let value = match value {
            Value::String(text) => text.value().clone(),
            Value::Integer(_) | Value::Boolean(_) => raw.to_owned(),
            Value::InlineTable(table) if table.is_dotted() => {
                return Err(wrong(start, format!("{name}: put the whole name in double quotes")));
            }
            _ => {
                return Err(wrong(start, format!("{name}: put the value in double quotes")));
            }
        };
        if raw.contains('\n') {
            return Err(wrong(start, format!("{name}: the value takes more than one line")));
        }
        let line = line_of(text.as_bytes(), start);
        if let Some(first) = seen.insert(key(name), line) {
            return Err(wrong(start, format!("{name} stands on line {first} already")));
        }
        let begin = text.get(..start).and_then(|t| t.rfind('\n')).map_or(0, |n| n + 1);
        let end = text.get(span.end..).and_then(|t| t.find('\n'));
        found.push(Place {
            entry: Entry { name: name.to_owned(), value, line },
            line: begin..end.map_or(text.len(), |n| span.end + n + 1),
            value: span,
        });
    }
    found.sort_by_key(|place| place.line.start);
    Ok(found)
}

/// The text after one change; `None` when it is so already.
fn changed(path: &Path, text: &str, change: &Change) -> Result<Option<String>, ConfigError> {
    let (Change::Set(name, _) | Change::Remove(name)) = change;
    let wanted = key(name);
    let found = places(path, text)?.into_iter().find(|place| key(&place.entry.name) == wanted);
    let mut new = text.to_owned();
    match (change, found) {
        (Change::Remove(_), None) => return Ok(None),
        (Change::Remove(_), Some(place)) => new.replace_range(place.line, ""),
        (Change::Set(_, value), Some(place)) if place.entry.value == *value => return Ok(None),
        (Change::Set(_, value), Some(place)) => new.replace_range(place.value, &quoted(value)),
        (Change::Set(name, value), None) => {
            if !new.is_empty() && !new.ends_with('\n') {
                new.push('\n');
            }
            new.push_str(&line(name, value));
        }
    }
    // What was written must be readable: the check costs nothing beside the flush.
    places(path, &new)?;
    Ok(Some(new))
}

/// One line of the database.
pub(super) fn line(name: &str, value: &str) -> String {
    format!("{} = {}\n", quoted(name), quoted(value))
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(text: &str) -> (tempfile::TempDir, Database) {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::at(dir.path().join("msg.conf"));
        durable::replace(database.path(), text.as_bytes(), 0o600).unwrap();
        (dir, database)
    }

    fn set(name: &str, value: &str) -> Change {
        Change::Set(name.to_owned(), value.to_owned())
    }

    #[test]
    fn comments_order_and_spelling_survive() {
        let before =
            "# head\n\n\"service.imap.port\" = \"143\" # why\n# about the next\n\"Store.Admins\" = 'a b'\nbare = 7\n";
        let (_dir, database) = database(before);
        let done = database
            .apply(&[
                set("service.IMAP.port", "1143"),
                set("store.admins", "a \"c\" \\"),
                set("new.one", "x"),
                set("bare", "7"),
            ])
            .unwrap();
        assert_eq!(done, 3);
        assert_eq!(
            fs::read_to_string(database.path()).unwrap(),
            "# head\n\n\"service.imap.port\" = \"1143\" # why\n# about the next\n\"Store.Admins\" = \"a \\\"c\\\" \\\\\"\nbare = 7\n\"new.one\" = \"x\"\n"
        );
        database.apply(&[Change::Remove("SERVICE.imap.port".to_owned())]).unwrap();
        let entries = database.read().unwrap();
        let names: Vec<(&str, usize)> = entries.iter().map(|entry| (entry.name.as_str(), entry.line)).collect();
        assert_eq!(names, [("Store.Admins", 4), ("bare", 5), ("new.one", 6)]);
        assert_eq!(fs::metadata(database.path()).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn names_that_begin_one_another_live_together() {
        let (_dir, database) = database("");
        database.apply(&[set("a.b", "1"), set("a.b.c", "2"), set("a.b;lang-en", "3")]).unwrap();
        assert_eq!(database.read().unwrap().len(), 3);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, line) in [
            ("\"a\" = \"1\"\n\"b\" \"2\"\n", 2),
            ("\"a\" = \"1\"\nb.c = \"2\"\n", 2),
            ("\"a\" = \"1\"\n\n\"A\" = \"2\"\n", 3),
            ("\"a\" = [\"1\"]\n", 1),
            ("# x\n[table]\n\"a\" = \"1\"\n", 2),
            ("\"a\" = \"\"\"1\n2\"\"\"\n", 1),
            ("\"a\" = 1.5\n", 1),
        ] {
            let (_dir, database) = database(text);
            match database.read() {
                Err(ConfigError::Line { line: at, .. }) => assert_eq!(at, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
            assert!(database.apply(&[set("z", "1")]).is_err());
            assert_eq!(fs::read_to_string(database.path()).unwrap(), text);
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_an_error() {
        let (_dir, database) = database("");
        durable::replace(database.path(), b"\"a\" = \"1\"\n\xff\n", 0o600).unwrap();
        assert!(matches!(database.read(), Err(ConfigError::Line { line: 2, .. })));
    }
}
