//! Reads a bbolt database file, the storage of another Mercure hub. Never writes one.
//!
//! The file is a copy-on-write B+ tree of pages. This reader does not trust the file: each page is
//! read at most once per walk, every offset is checked, keys must ascend, and depth and sizes have
//! bounds. [`stored_update`](crate::stored_update) interprets the entries. The layout,
//! little-endian:
//!
//! ```text
//! page     id u64 · flags u16 · count u16 · overflow u32 · elements … · keys and values …
//! meta     magic u32 · version u32 · page size u32 · flags u32 · root u64 · sequence u64
//!          · freelist u64 · pages u64 · transaction u64 · FNV-1a of all before u64
//! branch   position u32 · key length u32 · page u64                     (one element, 16 bytes)
//! leaf     flags u32 · position u32 · key length u32 · value length u32 (one element, 16 bytes)
//! bucket   root u64 · sequence u64, and if root is 0 a leaf page right behind (a leaf's value)
//! ```

use std::collections::HashSet;

/// The source of a file's bytes.
pub trait Source {
    /// Why bytes could not be read.
    type Error;

    /// Returns the length of the file in bytes.
    fn bytes(&self) -> u64;

    /// Fills `buffer` from `offset`. The range is within [`bytes`](Self::bytes).
    ///
    /// # Errors
    ///
    /// [`Error`](Self::Error) if the bytes cannot be read.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Self::Error>;
}

/// Why a database file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoltError<E> {
    /// The source failed.
    #[error(transparent)]
    Source(E),
    /// There is no intact meta page: this is not a bbolt file, or its beginning is damaged.
    #[error("this is no bbolt file, or its first pages are damaged")]
    NoMeta,
    /// The file is shorter than its page numbers require.
    #[error("the file is damaged: page {page} lies beyond its end")]
    Truncated {
        /// The page.
        page: u64,
    },
    /// A page breaks the layout.
    #[error("page {page} is damaged: {what}")]
    Page {
        /// The page.
        page: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no bucket of this name.
    #[error("the file has no such bucket")]
    NoBucket,
}

/// An open file.
#[derive(Debug)]
pub struct Bolt<S> {
    source: S,
    page_size: u64,
    pages: u64,
    root: u64,
}

/// A bucket in a file.
#[derive(Clone, Debug)]
pub struct Bucket {
    root: u64,
    /// The leaf page of a small bucket, which has no pages of its own.
    inline: Option<Vec<u8>>,
}

/// Handles one key and value.
type Visit<'a, B> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), B>;

/// Handles one entry of any kind; its flags come first.
type VisitAny<'a, B> = &'a mut dyn FnMut(u32, &[u8], &[u8]) -> Result<(), B>;

/// Why a walk ended early: the file is damaged, or the visitor stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop<E, B> {
    /// The file cannot be read any further.
    Bolt(BoltError<E>),
    /// The visitor stopped the walk.
    Visitor(B),
}

impl<E, B> From<BoltError<E>> for Stop<E, B> {
    fn from(error: BoltError<E>) -> Self {
        Self::Bolt(error)
    }
}

impl<S: Source> Bolt<S> {
    /// Finds the newest intact state of a file.
    ///
    /// # Errors
    ///
    /// [`BoltError`] if this is not a bbolt file, or if it is too damaged.
    pub fn open(source: S) -> Result<Self, BoltError<S::Error>> {
        let mut newest: Option<(u64, Meta)> = None;
        // The meta of the first page contains the page size. If it is damaged, the second meta page
        // is looked for at every possible page size.
        let offsets = std::iter::once(0).chain(PAGE_SIZES);
        for offset in offsets {
            let Some(meta) = meta_at(&source, offset)? else {
                continue;
            };
            if offset != 0 && offset != u64::from(meta.page_size) {
                continue;
            }
            if newest
                .as_ref()
                .is_none_or(|(known, _)| meta.transaction > *known)
            {
                newest = Some((meta.transaction, meta));
            }
        }
        let (_, meta) = newest.ok_or(BoltError::NoMeta)?;
        Ok(Self {
            source,
            page_size: meta.page_size.into(),
            pages: meta.pages,
            root: meta.root,
        })
    }

    /// Finds a top-level bucket.
    ///
    /// # Errors
    ///
    /// [`BoltError::NoBucket`] if none has this name; another [`BoltError`] if the file is damaged.
    pub fn bucket(&self, name: &[u8]) -> Result<Bucket, BoltError<S::Error>> {
        let mut found = None;
        self.walk_buckets(&mut |key, value| {
            if key == name {
                found = Some(value.to_vec());
            }
        })?;
        let value = found.ok_or(BoltError::NoBucket)?;
        let damaged = BoltError::Page {
            page: self.root,
            what: "a bucket's head is cut off",
        };
        let root = u64_at(&value, 0).ok_or(damaged)?;
        let inline = match root {
            0 => Some(
                value
                    .get(BUCKET_HEAD..)
                    .ok_or(BoltError::NoBucket)?
                    .to_vec(),
            ),
            _ => None,
        };
        Ok(Bucket { root, inline })
    }

    /// Returns the names of the top-level buckets, at most `names_max`. A file that was opened but
    /// never written to has none.
    ///
    /// # Errors
    ///
    /// [`BoltError`] if the file is damaged.
    pub fn bucket_names(&self, names_max: usize) -> Result<Vec<String>, BoltError<S::Error>> {
        let mut names = Vec::new();
        self.walk_buckets(&mut |key, _value| {
            if names.len() < names_max {
                names.push(String::from_utf8_lossy(key).into_owned());
            }
        })?;
        Ok(names)
    }

    /// Calls `visit` with the name and the header of each top-level bucket.
    fn walk_buckets(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BoltError<S::Error>> {
        let mut visit = |flags: u32, key: &[u8], value: &[u8]| {
            if flags & BUCKET != 0 {
                visit(key, value);
            }
            Ok::<(), std::convert::Infallible>(())
        };
        match Walk::new(self).page(self.root, 0, &mut visit) {
            Ok(()) => Ok(()),
            Err(Stop::Bolt(error)) => Err(error),
            Err(Stop::Visitor(never)) => match never {},
        }
    }

    /// Calls `visit` with each key and value of a bucket, in key order. Nested buckets are skipped.
    ///
    /// # Errors
    ///
    /// [`Stop::Bolt`] for the first damage, or [`Stop::Visitor`] with the error of `visit`.
    pub fn walk<B>(&self, bucket: &Bucket, visit: Visit<'_, B>) -> Result<(), Stop<S::Error, B>> {
        let mut visit = |flags: u32, key: &[u8], value: &[u8]| {
            if flags & BUCKET == 0 {
                visit(key, value)?;
            }
            Ok(())
        };
        let mut walk = Walk::new(self);
        match &bucket.inline {
            Some(page) => walk.leaf(0, page, &mut visit),
            None => walk.page(bucket.root, 0, &mut visit),
        }
    }
}

/// A meta page.
#[derive(Debug)]
struct Meta {
    page_size: u32,
    root: u64,
    pages: u64,
    transaction: u64,
}

/// One walk through a tree.
struct Walk<'a, S> {
    bolt: &'a Bolt<S>,
    seen: HashSet<u64>,
    last_key: Option<Vec<u8>>,
}

impl<'a, S: Source> Walk<'a, S> {
    fn new(bolt: &'a Bolt<S>) -> Self {
        Self {
            bolt,
            seen: HashSet::new(),
            last_key: None,
        }
    }

    fn page<B>(
        &mut self,
        id: u64,
        depth: usize,
        visit: VisitAny<'_, B>,
    ) -> Result<(), Stop<S::Error, B>> {
        let damaged = |what| BoltError::Page { page: id, what };
        if depth > DEPTH_MAX {
            return Err(damaged("the tree is too deep").into());
        }
        if !self.seen.insert(id) {
            return Err(damaged("it is its own descendant, or has two parents").into());
        }
        let page = self.read(id)?;
        let (flags, count) = u16_at(&page, 8)
            .zip(u16_at(&page, 10))
            .ok_or_else(|| damaged("its head is cut off"))?;
        if u64_at(&page, 0) != Some(id) {
            return Err(damaged("it has another number").into());
        }
        match flags {
            LEAF => self.leaf(id, &page, visit),
            BRANCH => {
                if count == 0 {
                    return Err(damaged("it has no children").into());
                }
                for index in 0..usize::from(count) {
                    let element = HEAD + index * ELEMENT;
                    let child = u64_at(&page, element + 8);
                    let child = child.ok_or_else(|| damaged("an element is cut off"))?;
                    self.page(child, depth + 1, visit)?;
                }
                Ok(())
            }
            _ => Err(damaged("it is neither a branch nor a leaf").into()),
        }
    }

    fn leaf<B>(
        &mut self,
        id: u64,
        page: &[u8],
        visit: VisitAny<'_, B>,
    ) -> Result<(), Stop<S::Error, B>> {
        let damaged = |what| BoltError::Page { page: id, what };
        let count = u16_at(page, 10).ok_or_else(|| damaged("its head is cut off"))?;
        for index in 0..usize::from(count) {
            let element = HEAD + index * ELEMENT;
            let (flags, key, value) =
                entry(page, element).ok_or_else(|| damaged("an entry is cut off"))?;
            if self.last_key.as_deref().is_some_and(|last| last >= key) {
                return Err(damaged("its keys do not ascend").into());
            }
            self.last_key = Some(key.to_vec());
            visit(flags, key, value).map_err(Stop::Visitor)?;
        }
        Ok(())
    }

    /// Reads a page with its overflow pages.
    fn read(&self, id: u64) -> Result<Vec<u8>, BoltError<S::Error>> {
        let bolt = self.bolt;
        let truncated = BoltError::Truncated { page: id };
        let damaged = |what| BoltError::Page { page: id, what };
        if id >= bolt.pages {
            return Err(damaged("there is no such page"));
        }
        let offset = id.checked_mul(bolt.page_size);
        let Some(offset) = offset.filter(|offset| offset + HEAD as u64 <= bolt.source.bytes())
        else {
            return Err(truncated);
        };
        let mut head = [0; HEAD];
        bolt.source
            .read(offset, &mut head)
            .map_err(BoltError::Source)?;
        let overflow = u64::from(u32_at(&head, 12).unwrap_or_default());
        let length = (overflow + 1) * bolt.page_size;
        if length > PAGE_BYTES_MAX {
            return Err(damaged("it is larger than any page may be"));
        }
        if offset
            .checked_add(length)
            .is_none_or(|end| end > bolt.source.bytes())
        {
            return Err(truncated);
        }
        let Ok(length) = usize::try_from(length) else {
            return Err(truncated);
        };
        let mut page = vec![0; length];
        bolt.source
            .read(offset, &mut page)
            .map_err(BoltError::Source)?;
        Ok(page)
    }
}

/// Reads one entry of a leaf.
fn entry(page: &[u8], element: usize) -> Option<(u32, &[u8], &[u8])> {
    let number = |offset| usize::try_from(u32_at(page, element + offset)?).ok();
    let flags = u32_at(page, element)?;
    let start = element.checked_add(number(4)?)?;
    let middle = start.checked_add(number(8)?)?;
    let end = middle.checked_add(number(12)?)?;
    Some((flags, page.get(start..middle)?, page.get(middle..end)?))
}

/// Reads the meta page at `offset`, if there is an intact one.
fn meta_at<S: Source>(source: &S, offset: u64) -> Result<Option<Meta>, BoltError<S::Error>> {
    let mut page = [0; HEAD + META];
    if offset + page.len() as u64 > source.bytes() {
        return Ok(None);
    }
    source.read(offset, &mut page).map_err(BoltError::Source)?;
    Ok(meta(&page))
}

fn meta(page: &[u8]) -> Option<Meta> {
    let meta = page.get(HEAD..)?;
    let (checked, _) = meta.split_at_checked(META - 8)?;
    let intact = u16_at(page, 8)? == META_FLAG
        && u32_at(meta, 0)? == MAGIC
        && u32_at(meta, 4)? == VERSION
        && u64_at(meta, META - 8)? == fnv1a(checked);
    let page_size = u32_at(meta, 8)?;
    if !intact || !PAGE_SIZES.contains(&u64::from(page_size)) {
        return None;
    }
    Some(Meta {
        page_size,
        root: u64_at(meta, 16)?,
        pages: u64_at(meta, 40)?,
        transaction: u64_at(meta, 48)?,
    })
}

/// The 64-bit FNV-1a hash.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// Bytes of a page header.
const HEAD: usize = 16;
/// Bytes of an element.
const ELEMENT: usize = 16;
/// Bytes of a meta page after the page header.
const META: usize = 64;
/// Bytes of a bucket header.
const BUCKET_HEAD: usize = 16;
const MAGIC: u32 = 0xed0c_daed;
const VERSION: u32 = 2;
const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META_FLAG: u16 = 0x04;
/// The flag of a leaf entry that is a bucket.
const BUCKET: u32 = 0x01;
/// The page size of a file is the memory page size of the machine that made it.
const PAGE_SIZES: [u64; 7] = [1024, 2048, 4096, 8192, 16384, 32768, 65536];
/// Levels of a tree. A full tree of this depth is larger than any disk.
const DEPTH_MAX: usize = 32;
/// Bytes of one page with its overflow. No single entry is larger than this.
const PAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests;
