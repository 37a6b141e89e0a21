//! The file of the registry: a header, then a place of the same size for each object, with the counters as lines of text.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use super::{Counters, Object, Value};
use crate::os::process::{self, Identity};

/// Size of the header, bytes.
const HEAD: u64 = 4096;
/// Size of the place of an object, bytes. What has no room in it is left out, and the object says so.
const PLACE: usize = 64 * 1024;
/// The first line of the file.
const MAGIC: &str = "msgstore counters 1";
/// Room for the line that tells that counters were left out.
const SPARE: usize = 64;
/// How often an object is read again that is just being written.
const TRIES: u32 = 50;

/// An open registry.
#[derive(Debug)]
pub struct Registry {
    file: File,
    /// When it was made, seconds since 1970.
    pub created_s: i64,
    /// Its inode.
    pub inode: u64,
}

/// An object as it was published last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When, seconds since 1970.
    pub at_s: i64,
    /// The process that published it lives.
    pub live: bool,
    /// The process.
    pub pid: i32,
    /// The counters.
    pub counters: Counters,
}

impl Snapshot {
    /// The number of a counter.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.counters.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.number())
    }
}

impl Registry {
    /// Opens the registry for who publishes; made, with its directory, when it is missing or is no registry.
    ///
    /// # Errors
    /// What the system said.
    pub fn open_or_create(path: &Path, now_s: i64) -> io::Result<Registry> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // One of several that start at the same time writes the header.
        file.lock()?;
        let made = match head(&file) {
            Ok(created_s) => Ok(created_s),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let head = format!("{MAGIC}\ncreated {now_s}\n");
                file.set_len(0).and_then(|()| file.write_all_at(head.as_bytes(), 0)).map(|()| now_s)
            }
            Err(error) => Err(error),
        };
        file.unlock()?;
        Registry::of(file, made?)
    }

    /// Opens a registry to read it.
    ///
    /// # Errors
    /// What the system said; `InvalidData`: it is no registry.
    pub fn open(path: &Path) -> io::Result<Registry> {
        let file = File::open(path)?;
        let created_s = head(&file)?;
        Registry::of(file, created_s)
    }

    fn of(file: File, created_s: i64) -> io::Result<Registry> {
        use std::os::unix::fs::MetadataExt;
        let inode = file.metadata()?.ino();
        Ok(Registry { file, created_s, inode })
    }

    /// Where the place of an object begins.
    pub fn offset(object: Object) -> u64 {
        let at = Object::ALL.iter().position(|known| *known == object).unwrap_or(0);
        HEAD + (at * PLACE) as u64
    }

    /// Publishes an object.
    ///
    /// # Errors
    /// What the system said.
    pub fn publish(&self, object: Object, counters: &Counters, now_s: i64) -> io::Result<()> {
        let me = Identity::me();
        let mut body = format!("{} {} {now_s}\n", me.pid, me.started);
        let mut left_out = 0u32;
        for (name, value) in counters {
            let (kind, text) = match value {
                Value::Number(number) => ('n', number.to_string()),
                Value::Open(number) => ('o', number.to_string()),
                Value::Bytes(number) => ('b', number.to_string()),
                Value::Time(at_s) => ('t', at_s.to_string()),
                Value::Text(text) => ('s', one_line(text)),
            };
            let line = format!("{}\t{kind}\t{text}\n", one_line(name));
            if body.len() + line.len() + SPARE > PLACE {
                left_out += 1;
            } else {
                body.push_str(&line);
            }
        }
        if left_out > 0 {
            body.push_str(&format!("global.leftOut\tn\t{left_out}\n"));
        }
        let sealed = format!("{:08x} {:08x}\n{body}", body.len(), crc32fast::hash(body.as_bytes()));
        self.file.write_all_at(sealed.as_bytes(), Registry::offset(object))
    }

    /// An object as it was published last; `None`: nobody has published it.
    ///
    /// # Errors
    /// What the system said; `InvalidData`: it is damaged.
    pub fn read(&self, object: Object) -> io::Result<Option<Snapshot>> {
        let mut tries = 0;
        loop {
            let mut place = vec![0; PLACE + SPARE];
            let mut have = 0;
            while let Some(room) = place.get_mut(have..).filter(|room| !room.is_empty()) {
                match self.file.read_at(room, Registry::offset(object) + have as u64) {
                    Ok(0) => break,
                    Ok(count) => have += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            place.truncate(have);
            if place.iter().take(PLACE.min(8)).all(|byte| *byte == 0) {
                return Ok(None);
            }
            match parse(&place) {
                Some(snapshot) => return Ok(Some(snapshot)),
                None if tries < TRIES => {
                    tries += 1;
                    process::pause(std::time::Duration::from_millis(2));
                }
                None => return Err(damaged(&format!("the object {} is damaged", object.name()))),
            }
        }
    }

    /// All objects that somebody has published.
    ///
    /// # Errors
    /// As [`Registry::read`].
    pub fn objects(&self) -> io::Result<Vec<(Object, Snapshot)>> {
        let mut found = Vec::new();
        for object in Object::ALL {
            found.extend(self.read(object)?.map(|snapshot| (object, snapshot)));
        }
        Ok(found)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn head(file: &File) -> io::Result<i64> {
    let mut bytes = [0; 128];
    let count = file.read_at(&mut bytes, 0)?;
    let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned();
    let mut lines = text.lines();
    let magic = lines.next() == Some(MAGIC);
    let created = lines.next().and_then(|line| line.strip_prefix("created ")).and_then(|text| text.parse().ok());
    created.filter(|_| magic).ok_or_else(|| damaged("it is no registry of counters of this release"))
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Reads the place of an object; `None`: it is not whole.
fn parse(place: &[u8]) -> Option<Snapshot> {
    let seal = std::str::from_utf8(place.get(..17)?).ok()?;
    let (length, sum) = seal.split_once(' ')?;
    let (length, sum) = (usize::from_str_radix(length, 16).ok()?, u32::from_str_radix(sum, 16).ok()?);
    let body = place.get(18..)?.get(..length)?;
    if crc32fast::hash(body) != sum {
        return None;
    }
    let mut lines = std::str::from_utf8(body).ok()?.lines();
    let mut first = lines.next()?.split(' ');
    let (pid, started) = (first.next()?.parse().ok()?, first.next()?.parse().ok()?);
    let at_s = first.next()?.parse().ok()?;
    let live = Identity { pid, started }.is_alive();
    let mut counters = Vec::new();
    for line in lines {
        let mut words = line.splitn(3, '\t');
        let (name, kind, text) = (words.next()?, words.next()?, words.next()?);
        let value = match kind {
            "n" => Value::Number(text.parse().ok()?),
            "o" if live => Value::Open(text.parse().ok()?),
            "o" => Value::Open(0),
            "b" => Value::Bytes(text.parse().ok()?),
            "t" => Value::Time(text.parse().ok()?),
            _ => Value::Text(text.to_owned()),
        };
        counters.push((name.to_owned(), value));
    }
    Some(Snapshot { at_s, live, pid, counters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counter/counter");
        let registry = Registry::open_or_create(&path, 7).unwrap();
        assert!(registry.objects().unwrap().is_empty());
        let counters = vec![
            ("global.a".to_owned(), Value::Number(u64::MAX)),
            ("global.open".to_owned(), Value::Open(3)),
            ("my disk.x".to_owned(), Value::Text("/a\n\tb".into())),
            ("global.t".to_owned(), Value::Time(-5)),
            ("global.b".to_owned(), Value::Bytes(1 << 40)),
        ];
        registry.publish(Object::Imap, &counters, 9).unwrap();
        // Somebody else, and again by who publishes: nothing is made anew.
        let again = Registry::open_or_create(&path, 100).unwrap();
        assert_eq!((again.created_s, again.inode), (7, registry.inode));
        let mut read = Registry::open(&path).unwrap().read(Object::Imap).unwrap().unwrap();
        assert_eq!((read.at_s, read.live, read.number("global.open")), (9, true, Some(3)));
        assert_eq!(read.counters.remove(2).1, Value::Text("/a  b".into()));
        // A shorter one replaces it whole; others are not touched.
        registry.publish(Object::Pop, &counters, 9).unwrap();
        registry.publish(Object::Imap, &vec![("x.y".to_owned(), Value::Number(1))], 10).unwrap();
        assert_eq!(registry.read(Object::Imap).unwrap().unwrap().counters.len(), 1);
        let names: Vec<&str> = registry.objects().unwrap().iter().map(|(object, _)| object.name()).collect();
        assert_eq!(names, ["imapstat", "popstat"]);
    }

    #[test]
    fn a_torn_write_is_seen_and_a_foreign_file_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("counter");
        let registry = Registry::open_or_create(&path, 7).unwrap();
        registry.publish(Object::Alarm, &vec![("x.y".to_owned(), Value::Number(1))], 10).unwrap();
        registry.file.write_all_at(b"2", Registry::offset(Object::Alarm) + 20).unwrap();
        assert_eq!(registry.read(Object::Alarm).unwrap_err().kind(), io::ErrorKind::InvalidData);
        crate::os::durable::replace(&path, b"something else", 0o600).unwrap();
        assert_eq!(Registry::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(Registry::open_or_create(&path, 8).unwrap().created_s, 8);
    }

    #[test]
    fn a_place_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open_or_create(&dir.path().join("counter"), 7).unwrap();
        let many = (0..5000).map(|at| (format!("partition{at}.percent"), Value::Number(at))).collect();
        registry.publish(Object::Imap, &vec![("x.y".to_owned(), Value::Number(1))], 1).unwrap();
        registry.publish(Object::DiskUsage, &many, 1).unwrap();
        let read = registry.read(Object::DiskUsage).unwrap().unwrap();
        let left_out = usize::try_from(read.number("global.leftOut").unwrap()).unwrap();
        assert_eq!(read.counters.len() - 1 + left_out, 5000);
        assert_eq!(registry.read(Object::Imap).unwrap().unwrap().number("x.y"), Some(1));
    }

    #[test]
    fn what_a_dead_process_had_open_is_closed() {
        let body = b"1 1 5\nglobal.open\to\t3\nglobal.all\tn\t4\n";
        let mut place = format!("{:08x} {:08x}\n", body.len(), crc32fast::hash(body)).into_bytes();
        place.extend_from_slice(body);
        let read = parse(&place).unwrap();
        assert_eq!((read.live, read.number("global.open"), read.number("global.all")), (false, Some(0), Some(4)));
    }
}
