//! Tar archives in the pax interchange format, written and read as a stream of blocks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes of a header and the unit of all lengths.
pub const BLOCK: usize = 512;
/// Most bytes of the records of a member.
const RECORDS_MAX: u64 = 1 << 20;
/// From this size on the number does not fit into a header (ustar: eleven octal digits).
const SIZE_MAX: u64 = 0o77_777_777_777;

/// What a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// A file with bytes.
    #[default]
    File,
    /// A further name of a file.
    Link,
    /// Anything else: no part of a backup.
    Other(u8),
}

/// A member of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Type,
    /// The name that a link has its bytes from.
    pub link: String,
    /// Bytes of data; 0 for links.
    pub size: u64,
    /// Seconds since 1970, not before.
    pub mtime_s: i64,
    /// The owner that listings show.
    pub owner: String,
    /// Further pax records.
    pub records: BTreeMap<String, String>,
    /// When read: the byte of the archive at which the data begins.
    pub offset: u64,
}

/// Writes an archive in blocks of one size.
pub struct Writer<W> {
    out: W,
    block: Vec<u8>,
    block_bytes: usize,
    hasher: blake3::Hasher,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// A writer of blocks of `factor` times 512 bytes.
    pub fn new(out: W, factor: usize) -> Writer<W> {
        let block_bytes = BLOCK * factor.max(1);
        Writer { out, block: Vec::with_capacity(block_bytes), block_bytes, hasher: blake3::Hasher::new(), written: 0 }
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// BLAKE3 of all bytes so far, in hexadecimal digits.
    pub fn digest(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.block_bytes - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == self.block_bytes {
                self.out.write_all(&self.block)?;
                self.block.clear();
            }
        }
        Ok(())
    }

    fn pad(&mut self) -> io::Result<()> {
        let over = usize::try_from(self.written % BLOCK as u64).unwrap_or(0);
        if over == 0 { Ok(()) } else { self.put([0; BLOCK].get(over..).unwrap_or_default()) }
    }

    /// Writes the headers of a member. Its data follow by [`Writer::data`].
    ///
    /// # Errors
    /// What write(2) said.
    pub fn member(&mut self, member: &Member) -> io::Result<()> {
        let mut records = String::new();
        let plain = |text: &str| text.is_ascii() && text.len() <= 100;
        if !plain(&member.name) {
            records.push_str(&record("path", &member.name));
        }
        if !plain(&member.link) {
            records.push_str(&record("linkpath", &member.link));
        }
        if member.size > SIZE_MAX {
            records.push_str(&record("size", &member.size.to_string()));
        }
        for (key, value) in &member.records {
            records.push_str(&record(key, value));
        }
        if !records.is_empty() {
            let header = Member {
                name: "././@PaxHeader".to_owned(),
                size: records.len() as u64,
                mtime_s: member.mtime_s,
                owner: member.owner.clone(),
                ..Member::default()
            };
            self.put(&header_block(&header, b'x'))?;
            self.put(records.as_bytes())?;
            self.pad()?;
        }
        let kind = match member.kind {
            Type::File => b'0',
            Type::Link => b'1',
            Type::Other(kind) => kind,
        };
        self.put(&header_block(member, kind))
    }

    /// The data of a member, exactly `size` bytes: what `input` has less is made up of zeros. Returns how many bytes came.
    ///
    /// # Errors
    /// What write(2) said. That `input` could not be read is no error here: see what is returned.
    pub fn data(&mut self, input: &mut dyn Read, size: u64) -> io::Result<u64> {
        let mut buffer = vec![0; 64 * 1024];
        let (mut left, mut came, mut broken) = (size, 0, false);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            let Some(part) = buffer.get_mut(..most) else { break };
            let count = match if broken { Ok(0) } else { input.read(part) } {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            if count == 0 {
                broken = true;
                part.fill(0);
                self.put(part)?;
                left -= part.len() as u64;
            } else {
                self.put(part.get(..count).unwrap_or_default())?;
                came += count as u64;
                left -= count as u64;
            }
        }
        self.pad()?;
        Ok(came)
    }

    /// Two blocks of zeros and the rest of the last block; gives the output back.
    ///
    /// # Errors
    /// What write(2) said.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(&[0; 2 * BLOCK])?;
        if !self.block.is_empty() {
            self.block.resize(self.block_bytes, 0);
            self.out.write_all(&self.block)?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A pax record: its own length, key and value.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn header_block(member: &Member, kind: u8) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, most: usize, text: &str| {
        let bytes = text.as_bytes();
        let bytes = bytes.get(..bytes.len().min(most)).unwrap_or_default();
        if let Some(place) = block.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    let plain = |text: &str| text.chars().map(|c| if c.is_ascii() { c } else { '_' }).collect::<String>();
    put(0, 100, &plain(&member.name));
    put(100, 8, "0000600\0");
    put(108, 8, "0000000\0");
    put(116, 8, "0000000\0");
    put(124, 12, &format!("{:011o}\0", if member.size > SIZE_MAX { 0 } else { member.size }));
    put(136, 12, &format!("{:011o}\0", member.mtime_s.clamp(0, i64::from(u32::MAX))));
    put(148, 8, "        ");
    put(156, 1, &char::from(kind).to_string());
    put(157, 100, &plain(&member.link));
    put(257, 8, "ustar\x0000");
    put(265, 31, &plain(&member.owner));
    put(297, 31, "msgstore");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    if let Some(place) = block.get_mut(148..156) {
        place.copy_from_slice(sum.as_bytes());
    }
    block
}

/// What comes next in an archive.
#[derive(Debug)]
pub enum Next {
    /// A member; its data can be read now.
    Member(Box<Member>),
    /// So many bytes from this offset on are no archive. The next member comes after them.
    Damage {
        /// Where it begins.
        offset: u64,
        /// How many bytes were passed over.
        bytes: u64,
    },
    /// The end, with its blocks of zeros (`true`) or cut off (`false`).
    End(bool),
}

/// Reads an archive from its beginning to its end.
pub struct Reader {
    input: File,
    seekable: bool,
    block: Vec<u8>,
    filled: usize,
    used: usize,
    /// Offset of the next byte that is given out.
    at: u64,
    /// Data and padding of the member that were not read.
    left: u64,
    padding: u64,
    hasher: Option<blake3::Hasher>,
    /// The same before the headers of the member, and their offset.
    before: (Option<blake3::Hasher>, u64),
    /// A header that was found behind a damaged place.
    found: Option<[u8; BLOCK]>,
}

impl Reader {
    /// Reads blocks of `factor` times 512 bytes. Where it may seek it passes over data without reading them.
    pub fn new(input: File, factor: usize, seekable: bool) -> Reader {
        let block = vec![0; BLOCK * factor.max(1)];
        let hasher = Some(blake3::Hasher::new());
        Reader {
            input,
            seekable,
            block,
            filled: 0,
            used: 0,
            at: 0,
            left: 0,
            padding: 0,
            hasher,
            before: (None, 0),
            found: None,
        }
    }

    /// The next byte's offset in the archive.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// True if data can be read again from their offset.
    pub fn is_seekable(&self) -> bool {
        self.seekable
    }

    /// The file, for reading at offsets.
    pub fn input(&self) -> &File {
        &self.input
    }

    /// How many bytes lie before the headers of the member, and their BLAKE3: `None` when something of them was not read.
    pub fn before(&self) -> (u64, Option<String>) {
        (self.before.1, self.before.0.as_ref().map(|hasher| hasher.finalize().to_hex().to_string()))
    }

    fn fill(&mut self) -> io::Result<bool> {
        if self.used < self.filled {
            return Ok(true);
        }
        self.used = 0;
        self.filled = loop {
            match self.input.read(&mut self.block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                count => break count?,
            }
        };
        Ok(self.filled > 0)
    }

    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < into.len() && self.fill()? {
            let there = self.block.get(self.used..self.filled).unwrap_or_default();
            let now = there.len().min(into.len() - count);
            if let (Some(to), Some(from)) = (into.get_mut(count..count + now), there.get(..now)) {
                to.copy_from_slice(from);
            }
            count += now;
            self.used += now;
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(into.get(..count).unwrap_or_default());
        }
        self.at += count as u64;
        Ok(count)
    }

    /// Passes over bytes; returns whether they were all there.
    fn skip(&mut self, mut bytes: u64) -> io::Result<bool> {
        let there = (self.filled - self.used) as u64;
        if self.seekable && bytes > there {
            let to = self.at + bytes;
            // At the end a seek would go too far without a word.
            if to <= self.input.seek(SeekFrom::End(0))? {
                self.input.seek(SeekFrom::Start(to))?;
                (self.filled, self.used, self.at, self.hasher) = (0, 0, to, None);
                return Ok(true);
            }
            self.input.seek(SeekFrom::Start(self.at + there))?;
        }
        let mut buffer = vec![0; 64 * 1024];
        while bytes > 0 {
            let most = usize::try_from(bytes).unwrap_or(buffer.len()).min(buffer.len());
            let count = self.take(buffer.get_mut(..most).unwrap_or_default())?;
            if count == 0 {
                return Ok(false);
            }
            bytes -= count as u64;
        }
        Ok(true)
    }

    /// The next member. What was not read of the last one is passed over.
    ///
    /// # Errors
    /// What read(2) said.
    pub fn advance(&mut self) -> io::Result<Next> {
        let rest = std::mem::take(&mut self.left) + std::mem::take(&mut self.padding);
        if rest > 0 && !self.skip(rest)? {
            return Ok(Next::End(false));
        }
        self.before = (self.hasher.clone(), self.at);
        let mut records = BTreeMap::new();
        loop {
            let mut block = [0; BLOCK];
            match self.found.take() {
                Some(found) => block = found,
                None if self.take(&mut block)? < BLOCK => return Ok(Next::End(false)),
                None => {}
            }
            if block.iter().all(|byte| *byte == 0) {
                return Ok(Next::End(true));
            }
            let Some((member, kind)) = read_header(&block) else {
                return self.resynchronise();
            };
            match kind {
                b'x' if member.size <= RECORDS_MAX => {
                    let mut text = vec![0; usize::try_from(member.size).unwrap_or(0)];
                    if self.take(&mut text)? < text.len() || !self.skip(padding(member.size))? {
                        return Ok(Next::End(false));
                    }
                    records = read_records(&text);
                }
                _ => return Ok(self.begin(member, kind, records)),
            }
        }
    }

    fn begin(&mut self, mut member: Member, kind: u8, mut records: BTreeMap<String, String>) -> Next {
        if let Some(name) = records.remove("path") {
            member.name = name;
        }
        if let Some(link) = records.remove("linkpath") {
            member.link = link;
        }
        if let Some(size) = records.remove("size").and_then(|size| size.parse().ok()) {
            member.size = size;
        }
        member.kind = match kind {
            b'0' | 0 => Type::File,
            b'1' => Type::Link,
            kind => Type::Other(kind),
        };
        if member.kind == Type::Link {
            member.size = 0;
        }
        member.size = member.size.min(i64::MAX as u64);
        member.offset = self.at;
        member.records = records;
        (self.left, self.padding) = (member.size, padding(member.size));
        Next::Member(Box::new(member))
    }

    /// Passes over blocks that are no headers.
    fn resynchronise(&mut self) -> io::Result<Next> {
        let offset = self.at - BLOCK as u64;
        loop {
            let mut block = [0; BLOCK];
            if self.take(&mut block)? < BLOCK {
                return Ok(Next::Damage { offset, bytes: self.at - offset });
            }
            if read_header(&block).is_some() {
                self.found = Some(block);
                return Ok(Next::Damage { offset, bytes: self.at - BLOCK as u64 - offset });
            }
        }
    }
}

impl Read for Reader {
    /// The data of the member. An archive that ends within them is an error (`UnexpectedEof`).
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(into.len()).min(into.len());
        let count = self.take(into.get_mut(..most).unwrap_or_default())?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends here"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// The fields of a header whose checksum is right.
fn read_header(block: &[u8; BLOCK]) -> Option<(Member, u8)> {
    let field = |at: usize, most: usize| {
        let bytes = block.get(at..at + most).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.get(..end).unwrap_or_default()
    };
    let number = |at: usize, most: usize| {
        let text = std::str::from_utf8(field(at, most)).ok()?.trim();
        if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
    };
    let sum: u64 =
        block.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum();
    if block.get(257..262) != Some(b"ustar") || number(148, 8)? != sum {
        return None;
    }
    let text = |at, most| String::from_utf8_lossy(field(at, most)).into_owned();
    let (name, prefix) = (text(0, 100), text(345, 155));
    let member = Member {
        name: if prefix.is_empty() { name } else { format!("{prefix}/{name}") },
        link: text(157, 100),
        size: number(124, 12)?,
        mtime_s: i64::try_from(number(136, 12)?).ok()?,
        owner: text(265, 32),
        ..Member::default()
    };
    Some((member, *block.get(156)?))
}

/// The records of a pax header as far as they are well formed.
fn read_records(mut text: &[u8]) -> BTreeMap<String, String> {
    let mut records = BTreeMap::new();
    while let Some(space) = text.iter().position(|byte| *byte == b' ') {
        let length = std::str::from_utf8(text.get(..space).unwrap_or_default()).ok().and_then(|n| n.parse().ok());
        let Some(one) = length.and_then(|length: usize| text.get(space + 1..length)) else { break };
        let pair = one.strip_suffix(b"\n").and_then(|one| std::str::from_utf8(one).ok());
        let Some((key, value)) = pair.and_then(|pair| pair.split_once('=')) else { break };
        records.insert(key.to_owned(), value.to_owned());
        text = text.get(space + 1 + one.len()..).unwrap_or_default();
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_their_own_length() {
        assert_eq!(record("path", "abc"), "12 path=abc\n");
        for length in 80..110 {
            let one = record("k", &"v".repeat(length));
            assert!(one.starts_with(&format!("{} ", one.len())), "{one}");
            let two = format!("{one}{}", record("l", "m=n\no"));
            let read = read_records(two.as_bytes());
            assert_eq!(read["k"].len(), length);
            assert_eq!(read["l"], "m=n\no");
        }
    }
}
