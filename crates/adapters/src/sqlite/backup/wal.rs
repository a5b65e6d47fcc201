//! The committed part of a write-ahead log, as bytes, read while SQLite appends to it.
//!
//! <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>: a header of 32 bytes, then frames of 24
//! bytes and a page. Frames count as far as their salts are the header's and their sums follow from those
//! before; what is behind the last one that ends a transaction may still be overwritten, and is not taken.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

const HEADER_BYTES: usize = 32;
const FRAME_BYTES: usize = 24;
/// The magic number of the header, without its last bit, which tells the order of bytes in sums.
const MAGIC: u32 = 0x377f_0682;
/// SQLite's largest page.
const PAGE_BYTES_MAX: usize = 65_536;

/// What became of the log since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// It is the same one, and may have grown.
    Grown,
    /// It was begun anew: nothing that was taken before belongs to it.
    BegunAnew,
}

/// A log, and how far it was taken.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// Of the log that is being taken; `None`: it is empty.
    header: Option<[u8; HEADER_BYTES]>,
    /// Bytes that were taken: the header and whole transactions.
    taken: u64,
    /// The sums up to there.
    sums: [u32; 2],
}

impl Log {
    /// Of a database.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, header: None, taken: 0, sums: [0; 2] }
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the log is another one than at the last look. Then [`Self::take`] begins at its first byte.
    pub(super) fn look(&mut self) -> io::Result<Since> {
        let header = self.open()?.map(|file| read_header(&file)).transpose()?.flatten();
        if header == self.header {
            return Ok(Since::Grown);
        }
        self.header = header;
        self.taken = 0;
        Ok(Since::BegunAnew)
    }

    /// Hands over the bytes of all transactions that were committed since.
    pub(super) fn take(&mut self, each: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (Some(header), Some(file)) = (self.header, self.open()?) else { return Ok(()) };
        let order = Order::of(&header);
        if self.taken == 0 {
            each(&header)?;
            self.taken = HEADER_BYTES as u64;
            self.sums = order.sums([0; 2], &header[..24]);
        }
        let frame_bytes = FRAME_BYTES + page_bytes(&header);
        let (mut sums, mut waiting) = (self.sums, Vec::new());
        loop {
            let begin = waiting.len();
            waiting.resize(begin + frame_bytes, 0);
            let at = self.taken + begin as u64;
            match file.read_exact_at(&mut waiting[begin..], at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            let frame = &waiting[begin..];
            sums = order.sums(order.sums(sums, &frame[..8]), &frame[FRAME_BYTES..]);
            let is_next = frame[8..16] == header[16..24] && [word(frame, 16), word(frame, 20)] == sums;
            if !is_next {
                return Ok(());
            }
            let ends_transaction = word(frame, 4) != 0;
            if ends_transaction {
                each(&waiting)?;
                self.taken += waiting.len() as u64;
                self.sums = sums;
                waiting.clear();
            }
        }
    }

    fn open(&self) -> io::Result<Option<File>> {
        match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.map(Some),
        }
    }
}

/// The header, where it is one; else the log counts as empty.
fn read_header(file: &File) -> io::Result<Option<[u8; HEADER_BYTES]>> {
    let mut header = [0; HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let page = page_bytes(&header);
    let is_header = word(&header, 0) & !1 == MAGIC
        && page.is_power_of_two()
        && (512..=PAGE_BYTES_MAX).contains(&page)
        && Order::of(&header).sums([0; 2], &header[..24]) == [word(&header, 24), word(&header, 28)];
    Ok(is_header.then_some(header))
}

fn page_bytes(header: &[u8]) -> usize {
    word(header, 8) as usize
}

/// A number of four bytes, big endian.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// In which order the bytes of a sum's words stand.
#[derive(Debug, Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn of(header: &[u8]) -> Self {
        if word(header, 0) & 1 == 1 { Self::Big } else { Self::Little }
    }

    /// Goes on with the sums over `bytes`, of which there are a multiple of eight.
    fn sums(self, [mut first, mut second]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            let (left, right) = match self {
                Self::Little => (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])),
                Self::Big => (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])),
            };
            first = first.wrapping_add(left).wrapping_add(second);
            second = second.wrapping_add(right).wrapping_add(first);
        }
        [first, second]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    fn rows(file: &Path) -> i64 {
        let connection = Connection::open(file).unwrap();
        let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    fn writer(file: &Path) -> Connection {
        let connection = Connection::open(file).unwrap();
        let sql = "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a)";
        connection.execute_batch(sql).unwrap();
        connection
    }

    fn add(connection: &Connection) {
        connection.execute("INSERT INTO t VALUES (randomblob(3000))", []).unwrap();
    }

    /// Takes what is new into the copy of a log.
    fn take(log: &mut Log, copy: &mut Vec<u8>) -> Since {
        let since = log.look().unwrap();
        if since == Since::BegunAnew {
            copy.clear();
        }
        log.take(&mut |bytes| {
            copy.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        since
    }

    #[test]
    fn a_log_that_grows_is_taken_piece_by_piece_up_to_its_last_commit() {
        let folder = tempfile::tempdir().unwrap();
        let (file, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let connection = writer(&file);
        let mut log = Log::new(folder.path().join("a.db-wal"));
        let mut bytes = Vec::new();
        let main = fs::read(&file).unwrap();
        for n in 1..=20 {
            add(&connection);
            let expected = if n == 1 { Since::BegunAnew } else { Since::Grown };
            assert_eq!(take(&mut log, &mut bytes), expected);
            fs::write(&copy, &main).unwrap();
            fs::write(folder.path().join("b.db-wal"), &bytes).unwrap();
            assert_eq!(rows(&copy), n);
        }
        // A transaction that was written in part, and never committed.
        connection.execute_batch("PRAGMA cache_size = 2; BEGIN").unwrap();
        (0..200).for_each(|_| add(&connection));
        assert!(fs::metadata(log.path()).unwrap().len() > bytes.len() as u64 + 100_000, "it is in the log");
        let before = bytes.len();
        take(&mut log, &mut bytes);
        assert_eq!(bytes.len(), before);
        connection.execute_batch("ROLLBACK").unwrap();
        add(&connection);
        take(&mut log, &mut bytes);
        fs::write(&copy, &main).unwrap();
        fs::write(folder.path().join("b.db-wal"), &bytes).unwrap();
        assert_eq!(rows(&copy), 21);
    }

    #[test]
    fn a_log_that_was_begun_anew_is_taken_from_its_first_byte() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let connection = writer(&file);
        let mut log = Log::new(folder.path().join("a.db-wal"));
        let mut bytes = Vec::new();
        (0..5).for_each(|_| add(&connection));
        take(&mut log, &mut bytes);
        let first = bytes.len();
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        add(&connection);
        assert_eq!(take(&mut log, &mut bytes), Since::BegunAnew);
        assert!(bytes.len() < first, "what is left of the earlier log behind it does not count");
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        assert_eq!(take(&mut log, &mut bytes), Since::BegunAnew);
        assert!(bytes.is_empty());
    }

    #[test]
    fn what_is_no_log_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db-wal");
        for text in [None, Some(Vec::new()), Some(vec![7; 31]), Some(vec![7; 100_000])] {
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            let mut bytes = Vec::new();
            assert_eq!(take(&mut Log::new(path.clone()), &mut bytes), Since::Grown);
            assert!(bytes.is_empty());
        }
    }
}
