//! An environment's data file read page by page, without LMDB: what damage there is becomes an error that names the page, never a crash.
//!
//! The layout is that of LMDB 0.9 on 64 bits. A page begins with its number (8 bytes), padding (2), kind (2), and the ends of its free space (2 + 2) or, at
//! the first of several overflow pages, their number (4). Pages 0 and 1 are the metas: magic (4), version (4), address (8), size of the map (8), the
//! trees of free pages and of rows (48 each), last page (8), transaction (8). The one with the greater transaction counts.

use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::store::error::StoreError;

const PAGE: usize = 4096;
const HEAD: usize = 16;
const NODE: usize = 8;
const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const OVERFLOW: u16 = 4;
const META: u16 = 8;
const BIG: u16 = 1;
const NONE: u64 = u64::MAX;
/// No tree of an environment that fits on a disk is deeper.
const DEPTH: u16 = 32;

/// Called with each key and value; breaks to end the walk.
pub(crate) type Look<'v> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'v;

struct Pages<'p> {
    file: File,
    path: &'p Path,
    /// Pages that the file holds.
    held: u64,
    seen: Vec<u64>,
}

struct Tree {
    depth: u16,
    pages: u64,
    entries: u64,
    root: u64,
}

struct Meta {
    rows: Tree,
    last: u64,
    transaction: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Reads every row of the data file in key order; gives their number, or `None` when `look` ended the walk.
/// Nobody may write to the file meanwhile.
///
/// # Errors
/// `Corrupt`: which page is damaged, and how; or what `look` said.
pub(crate) fn walk(data: &Path, look: &mut Look<'_>) -> Result<Option<u64>, StoreError> {
    let fail = |error| StoreError::io("read the mailbox database", data, error);
    let file = File::open(data).map_err(fail)?;
    let held = file.metadata().map_err(fail)?.len() / PAGE as u64;
    let mut pages = Pages { file, path: data, held, seen: vec![0; usize::try_from(held / 64 + 1).unwrap_or(0)] };
    let (one, other) = (pages.meta(0)?, pages.meta(1)?);
    let meta = if other.transaction > one.transaction { other } else { one };
    let Tree { depth, root, entries, pages: counted } = meta.rows;
    if root == NONE {
        return if entries == 0 { Ok(Some(0)) } else { Err(pages.bad(0, "it names no tree, and rows")) };
    }
    let mut walked = Walked { last: meta.last, rows: 0, pages: 0, before: Vec::new() };
    if pages.branch(root, depth, &mut walked, look)?.is_break() {
        return Ok(None);
    }
    if (walked.rows, walked.pages) != (entries, counted) {
        let what =
            format!("{entries} rows in {counted} pages are recorded, {} in {} are there", walked.rows, walked.pages);
        return Err(StoreError::corrupt(what, data.display().to_string()));
    }
    Ok(Some(walked.rows))
}

struct Walked {
    last: u64,
    rows: u64,
    pages: u64,
    before: Vec<u8>,
}

impl Pages<'_> {
    fn bad(&self, page: u64, what: &str) -> StoreError {
        StoreError::corrupt(format!("page {page}: {what}"), self.path.display().to_string())
    }

    fn read(&mut self, number: u64, count: usize) -> Result<Vec<u8>, StoreError> {
        let end = number.checked_add(count as u64).filter(|end| *end <= self.held);
        if end.is_none() {
            return Err(self.bad(number, "it lies behind the end of the file"));
        }
        for one in number..number.saturating_add(count as u64) {
            let bit = 1u64 << (one % 64);
            match usize::try_from(one / 64).ok().and_then(|at| self.seen.get_mut(at)) {
                Some(word) if *word & bit == 0 => *word |= bit,
                _ => return Err(self.bad(one, "it is used twice")),
            }
        }
        let mut bytes = vec![0; count * PAGE];
        self.file
            .read_exact_at(&mut bytes, number * PAGE as u64)
            .map_err(|error| StoreError::io("read the mailbox database", self.path, error))?;
        if u64_at(&bytes, 0) != number {
            return Err(self.bad(number, "it does not name itself"));
        }
        Ok(bytes)
    }

    fn meta(&mut self, number: u64) -> Result<Meta, StoreError> {
        let page = self.read(number, 1)?;
        if u16_at(&page, 10) & META == 0 || u32_at(&page, HEAD) != MAGIC {
            return Err(self.bad(number, "it is no first page of a database"));
        }
        if u32_at(&page, HEAD + 4) != VERSION || u32_at(&page, HEAD + 24) != u32::try_from(PAGE).unwrap_or(0) {
            return Err(self.bad(number, "it is of another version or page size"));
        }
        let at = HEAD + 24 + 48;
        Ok(Meta {
            rows: Tree {
                depth: u16_at(&page, at + 6),
                pages: (1..=3).fold(0, |sum, part: usize| u64_at(&page, at + part * 8).saturating_add(sum)),
                entries: u64_at(&page, at + 32),
                root: u64_at(&page, at + 40),
            },
            last: u64_at(&page, at + 48),
            transaction: u64_at(&page, at + 56),
        })
    }

    /// The places of the nodes of a page.
    fn nodes(&self, number: u64, page: &[u8]) -> Result<Vec<usize>, StoreError> {
        let (lower, upper) = (usize::from(u16_at(page, 12)), usize::from(u16_at(page, 14)));
        if lower < HEAD || lower > upper || upper > PAGE || lower % 2 != 0 {
            return Err(self.bad(number, "its free space is impossible"));
        }
        let places = (HEAD..lower).step_by(2).map(|at| usize::from(u16_at(page, at)));
        places
            .map(|at| {
                let inside = at >= upper && at + NODE + usize::from(u16_at(page, at + 6)) <= PAGE;
                if inside { Ok(at) } else { Err(self.bad(number, "a row lies outside of it")) }
            })
            .collect()
    }

    fn branch(
        &mut self,
        number: u64,
        depth: u16,
        walked: &mut Walked,
        look: &mut Look<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        if number < 2 || number > walked.last || depth == 0 || depth > DEPTH {
            return Err(self.bad(number, "no tree has such a page"));
        }
        let page = self.read(number, 1)?;
        walked.pages += 1;
        let kind = u16_at(&page, 10) & (BRANCH | LEAF | OVERFLOW | META);
        let nodes = self.nodes(number, &page)?;
        match (kind, depth) {
            (LEAF, 1) => self.leaf(number, &page, &nodes, walked, look),
            (BRANCH, 2..) if !nodes.is_empty() => {
                for at in nodes {
                    let child = u64::from(u16_at(&page, at))
                        | u64::from(u16_at(&page, at + 2)) << 16
                        | u64::from(u16_at(&page, at + 4)) << 32;
                    if self.branch(child, depth - 1, walked, look)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            _ => Err(self.bad(number, "it is of another kind than its place in the tree asks for")),
        }
    }

    fn leaf(
        &mut self,
        number: u64,
        page: &[u8],
        nodes: &[usize],
        walked: &mut Walked,
        look: &mut Look<'_>,
    ) -> Result<ControlFlow<()>, StoreError> {
        for at in nodes {
            let key_len = usize::from(u16_at(page, at + 6));
            let size = usize::from(u16_at(page, *at)) | usize::from(u16_at(page, at + 2)) << 16;
            let begin = at + NODE + key_len;
            let key = page.get(at + NODE..begin).unwrap_or_default();
            if walked.rows > 0 && key <= walked.before.as_slice() {
                return Err(self.bad(number, "its keys are not in order"));
            }
            walked.before.clear();
            walked.before.extend_from_slice(key);
            walked.rows += 1;
            let flow = if u16_at(page, at + 4) & BIG == 0 {
                let value =
                    page.get(begin..begin + size).ok_or_else(|| self.bad(number, "a row lies outside of it"))?;
                look(key, value)?
            } else {
                let (value, within) = self.big(u64_at(page, begin), size, walked)?;
                look(key, value.get(within).unwrap_or_default())?
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A value on pages of its own.
    fn big(&mut self, number: u64, size: usize, walked: &mut Walked) -> Result<(Vec<u8>, Range<usize>), StoreError> {
        let count = (HEAD + size).div_ceil(PAGE);
        if number < 2 || number > walked.last {
            return Err(self.bad(number, "no row has such a page"));
        }
        let bytes = self.read(number, count)?;
        if u16_at(&bytes, 10) & OVERFLOW == 0 || usize::try_from(u32_at(&bytes, 12)).ok() != Some(count) {
            return Err(self.bad(number, "it holds no large row"));
        }
        walked.pages += count as u64;
        Ok((bytes, HEAD..HEAD + size))
    }
}
