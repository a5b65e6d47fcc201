//! What is left in the memory of a test: whether a secret was wiped before its memory was given back.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{Mutex, PoisonError},
};

/// What turns the bytes of a [`Needle`] into those that are searched.
const MASK: u8 = 0xa5;
const CHUNK_BYTES: usize = 1 << 16;

/// Held by who searches: what one search has read would be a copy to another one in the same process.
static SEARCH: Mutex<()> = Mutex::new(());

/// A text that is searched in the memory of this process, in which it is not kept itself.
#[derive(Debug)]
pub struct Needle {
    masked: Vec<u8>,
}

impl Needle {
    /// A text of this many letters and digits, another one for each `seed`. With 40 of them an allocator that
    /// writes into freed memory leaves most of it alone.
    pub fn new(seed: u64, letters: usize) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"abcdefghijklmnopqrstuvwxyz0123456789"[(state >> 33) as usize % 36] ^ MASK
        };
        Self { masked: (0..letters).map(|_| next()).collect() }
    }

    /// The text. The caller wipes it, and what it makes of it.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.masked.len());
        text.extend(self.masked.iter().map(|byte| char::from(byte ^ MASK)));
        text
    }

    /// How often the last 16 letters stand in memory that this process can write to.
    ///
    /// # Panics
    /// The system does not show a process its own memory.
    pub fn copies(&self) -> usize {
        let _alone = SEARCH.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = &self.masked[self.masked.len() - 16..];
        let memory = File::open("/proc/self/mem").expect("a process may read its own memory");
        let maps = std::fs::read_to_string("/proc/self/maps").expect("and where it is");
        let ranges = maps.lines().filter_map(writable_range);
        let mut chunk = vec![0; CHUNK_BYTES];
        // What is read is not counted a second time.
        let own = chunk.as_ptr().addr() as u64;
        let behind = own + CHUNK_BYTES as u64;
        let ranges: Vec<_> = ranges
            .flat_map(|(start, end)| [(start, end.min(own)), (start.max(behind), end)])
            .filter(|(start, end)| start < end)
            .collect();
        let found = ranges.into_iter().map(|range| count(&memory, range, tail, &mut chunk)).sum();
        chunk.fill(0);
        found
    }
}

/// Begin and end of a line of the table of mappings, if it can be written.
fn writable_range(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-').filter(|_| rest.starts_with("rw"))?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

fn count(memory: &File, (start, end): (u64, u64), masked: &[u8], chunk: &mut [u8]) -> usize {
    let (mut at, mut found) = (start, 0);
    while at < end {
        let wanted = CHUNK_BYTES.min(usize::try_from(end - at).unwrap_or(CHUNK_BYTES));
        let read = memory.read_at(&mut chunk[..wanted], at).unwrap_or(0);
        if read < masked.len() {
            break;
        }
        let is_here = |window: &&[u8]| {
            window[0] == masked[0] ^ MASK && window.iter().zip(masked).all(|(byte, it)| *byte == it ^ MASK)
        };
        found += chunk[..read].windows(masked.len()).filter(is_here).count();
        if read < wanted || at + read as u64 == end {
            break;
        }
        // What stands on the border is in the next chunk as a whole.
        at += (read - masked.len() + 1) as u64;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_and_what_was_overwritten_is_not() {
        let needle = Needle::new(1, 40);
        assert_eq!(needle.copies(), 0);
        let mut text = needle.text().into_bytes();
        let other = text.clone();
        assert_eq!(needle.copies(), 2);
        text.fill(0);
        assert_eq!(needle.copies(), 1);
        assert_eq!(other.len(), 40);
    }

    #[test]
    fn what_another_search_has_read_is_not_found() {
        let needle = Needle::new(3, 40);
        let text = needle.text().into_bytes();
        let counts = std::thread::scope(|scope| {
            let search = || (0..8).map(|_| needle.copies()).collect::<Vec<_>>();
            let searches: Vec<_> = (0..4).map(|_| scope.spawn(search)).collect();
            searches.into_iter().flat_map(|it| it.join().expect("a search ends")).collect::<Vec<_>>()
        });
        assert_eq!(counts, [1; 32]);
        assert_eq!(text.len(), 40);
    }

    #[test]
    fn what_is_only_freed_is_found() {
        let needle = Needle::new(2, 400);
        drop(needle.text());
        assert_eq!(needle.copies(), 1);
    }
}
