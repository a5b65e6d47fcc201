//! Files of devices for an import: CSV with a header, JSON lines, a sheet that EnOS exports, or a list of
//! keys as Californium has them; read as a stream, with the place of every fault.
//!
//! A row is one line. A row with a fault is reported and skipped. So every line that is not empty is counted
//! exactly once: as a row or as a fault. A quoted field that spans several lines is a fault of each of these
//! lines, because keys, secrets and names have no line ends; if the quote is not closed soon, it was
//! forgotten, and only its own line is at fault. A list of keys alone is read whole, and has lines that are
//! neither.
//!
//! Limits: [`ROWS_MAX`] rows, [`FIELD_BYTES_MAX`] bytes in a key or a secret, [`PROPERTIES_MAX`] tags and as
//! many attributes in a row, `QUOTED_LINES_MAX` lines read ahead. Of each row only its line and two hashes of
//! its key are kept, to find duplicates.

mod columns;
pub mod csv;
mod csv_row;
mod damage;
mod json_row;
mod key_list;
mod lines;

use std::{
    collections::{HashMap, VecDeque},
    fmt::{self, Display},
    hash::{BuildHasher as _, RandomState},
    io::Read,
};

pub use narrowgate_api::import::ImportFormat as Format;
use narrowgate_api::{
    import::{ImportFault, ImportRow},
    properties::PropertiesView,
    secret::SecretText,
};
use narrowgate_platform::rules::names::DISPLAY_NAME_CHARACTERS_MAX;

use self::{
    columns::Columns,
    csv::Broken,
    csv_row::{Refused, read_csv},
    damage::{Kind, damage},
    json_row::read_json,
    key_list::KeyList,
    lines::{LINE_BYTES_MAX, Line, Lines},
};

/// Rows in one file; a longer file must be split.
pub const ROWS_MAX: usize = 1_000_000;

/// Bytes of a key or a secret.
pub const FIELD_BYTES_MAX: usize = 256;

/// Tags, and attributes, of a row: what a device can have beyond is set by other requests.
pub const PROPERTIES_MAX: usize = 64;

/// How many rows with similar keys are named.
const SIMILAR_SHOWN_MAX: usize = 3;

/// How many lines are searched for the closing quote of a field.
const QUOTED_LINES_MAX: usize = 16;

/// What a line is.
#[derive(Debug)]
pub enum Entry {
    /// A row.
    Row(ImportRow),
    /// What cannot be read as one.
    Fault(ImportFault),
}

/// Why a file cannot be imported at all, or no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What failed.
    pub headline: &'static str,
    /// Why.
    pub reason: String,
    /// What to try.
    pub hint: Option<String>,
}

impl Unusable {
    fn new(reason: String) -> Self {
        Self { headline: "cannot import the devices", reason, hint: None }
    }

    fn hint(self, hint: impl Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }
}

impl Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.headline, self.reason)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// How lines are read.
enum Reading {
    Json,
    Csv(Columns),
    KeyList(Box<KeyList>),
}

/// Reads the rows of a file.
pub struct Rows<R> {
    lines: Lines<R>,
    reading: Reading,
    /// Rows for another product are refused.
    product_key: String,
    seen: Seen,
    count: usize,
    similar: Similar,
    /// Faults of lines that belong to a row already reported.
    queued: VecDeque<ImportFault>,
}

/// A row as both formats give it.
#[derive(Default)]
struct RawRow {
    device_key: String,
    device_secret: Option<String>,
    name: Option<String>,
    product_key: Option<String>,
    tags: Option<PropertiesView>,
    attributes: Option<PropertiesView>,
}

impl<R: Read> Rows<R> {
    /// Detects whether it is CSV or JSON lines, and reads the header.
    ///
    /// # Errors
    /// The file as a whole cannot be imported.
    pub fn open(input: R, product_key: &str) -> Result<Self, Unusable> {
        Self::open_as(input, product_key, None)
    }

    /// Reads a file of this format. `None`: CSV or JSON lines.
    ///
    /// # Errors
    /// The file as a whole cannot be imported.
    pub fn open_as(input: R, product_key: &str, format: Option<Format>) -> Result<Self, Unusable> {
        let mut lines = Lines::open(input).map_err(unreadable)?;
        let reading = match format {
            Some(Format::Psk) => Reading::KeyList(Box::new(KeyList::read(&mut lines)?)),
            Some(Format::Ndjson | Format::Csv | Format::Enos) | None => Self::begin(&mut lines, format)?,
        };
        let product_key = product_key.to_owned();
        let (seen, similar, queued) = (Seen::default(), Similar::default(), VecDeque::new());
        Ok(Self { lines, reading, product_key, seen, count: 0, similar, queued })
    }

    /// Reads the header, where there is one.
    fn begin(lines: &mut Lines<R>, format: Option<Format>) -> Result<Reading, Unusable> {
        let first = loop {
            match lines.next().map_err(unreadable)? {
                Some(line) if line.is_blank() => {}
                first => break first,
            }
        };
        Ok(match first {
            Some(line) if format == Some(Format::Ndjson) => {
                if line.bytes.trim_ascii_start().starts_with(b"[") {
                    return Err(json_array());
                }
                lines.unread(vec![line]);
                Reading::Json
            }
            None if format == Some(Format::Ndjson) => Reading::Json,
            Some(line) if format.is_none() && line.bytes.trim_ascii_start().starts_with(b"{") => {
                lines.unread(vec![line]);
                Reading::Json
            }
            Some(line) => Reading::Csv(header(&line, format == Some(Format::Enos))?),
            None => Reading::Csv(Columns::parse(1, "")?),
        })
    }

    /// Rows so far whose keys differ from another row's only in upper and lower case.
    pub fn similar(&self) -> &Similar {
        &self.similar
    }

    /// Whether the file names asset ids, which are not imported.
    pub fn names_assets(&self) -> bool {
        matches!(&self.reading, Reading::Csv(columns) if columns.contains(columns::ASSET_ID))
    }

    /// The next row or fault; `None` at the end.
    ///
    /// # Errors
    /// The rest of the file cannot be read.
    // Not an iterator: after an error there is nothing more.
    #[expect(clippy::should_implement_trait, reason = "an iterator of results goes on after an error")]
    pub fn next(&mut self) -> Result<Option<Entry>, Unusable> {
        if let Some(fault) = self.queued.pop_front() {
            return Ok(Some(Entry::Fault(fault)));
        }
        loop {
            let read = if let Reading::KeyList(keys) = &mut self.reading {
                let Some(read) = keys.next()? else { return Ok(None) };
                read
            } else {
                let Some(line) = self.lines.next().map_err(unreadable)? else { return Ok(None) };
                match self.read(&line)? {
                    Ok(None) => continue,
                    Ok(Some(row)) => Ok((line.number, row)),
                    Err(fault) => Err(fault),
                }
            };
            let read = read.and_then(|(number, row)| self.check(number, row));
            self.count += 1;
            if self.count > ROWS_MAX {
                let reason = format!("it has more than {ROWS_MAX} rows");
                return Err(Unusable::new(reason).hint("split the file"));
            }
            return Ok(Some(read.map_or_else(Entry::Fault, Entry::Row)));
        }
    }

    /// Reads a line; `None` where it is empty.
    fn read(&mut self, line: &Line) -> Result<Result<Option<RawRow>, ImportFault>, Unusable> {
        if line.is_cut {
            let message = format!("it is longer than {LINE_BYTES_MAX} bytes");
            return Ok(Err(fault(line.number, None, message)));
        }
        if line.is_blank() {
            return Ok(Ok(None));
        }
        match &self.reading {
            // Lists of keys are read by themselves.
            Reading::Json | Reading::KeyList(_) => Ok(read_json(line).map(Some)),
            Reading::Csv(columns) => match read_csv(columns, line) {
                Err(Refused::Unclosed(column)) => self.unclosed(line, column.as_deref()).map(Err),
                Err(Refused::Fault(fault)) => Ok(Err(fault)),
                Ok(row) => Ok(Ok(row)),
            },
        }
    }

    /// Handles a line that ends inside quotes. If they close within the next few lines, none of these lines
    /// is a row of its own; otherwise the quote was forgotten, and the next line is a row again.
    fn unclosed(&mut self, opening: &Line, column: Option<&str>) -> Result<ImportFault, Unusable> {
        let number = opening.number;
        let mut joined = String::from_utf8_lossy(&opening.bytes).into_owned();
        let mut ahead = Vec::new();
        while ahead.len() < QUOTED_LINES_MAX {
            let Some(line) = self.lines.next().map_err(unreadable)? else { break };
            joined.push('\n');
            joined.push_str(&String::from_utf8_lossy(&line.bytes));
            ahead.push(line);
            match csv::split(&joined) {
                Err(Broken::Unclosed { .. }) => {}
                Err(Broken::AfterQuote { .. }) => break,
                Ok(_) => {
                    let last = number + ahead.len() as u64;
                    let inside = ahead.iter().filter(|line| !line.is_blank()).map(|line| {
                        fault(
                            line.number,
                            None,
                            format!("it is inside the quotes that are opened on line {number}"),
                        )
                    });
                    self.queued.extend(inside);
                    let message = format!(
                        "the quote that is opened here is closed on line {last}; a row must be on one line"
                    );
                    return Ok(fault(number, column, message));
                }
            }
        }
        self.lines.unread(ahead);
        Ok(fault(number, column, "a quote is opened but not closed"))
    }

    /// Checks everything that does not need the registry.
    fn check(&mut self, line: u64, row: RawRow) -> Result<ImportRow, ImportFault> {
        let RawRow { device_key, device_secret, name, product_key, tags, attributes } = row;
        let of = |column, message: &str| Err(fault(line, Some(column), message));
        for (column, text) in
            [(columns::DEVICE_KEY, Some(&device_key)), (columns::DEVICE_SECRET, device_secret.as_ref())]
        {
            if text.is_some_and(|text| text.len() > FIELD_BYTES_MAX) {
                return of(column, &format!("it is longer than {FIELD_BYTES_MAX} bytes"));
            }
        }
        // The registry checks this too; here it keeps the request within its size limit.
        let characters = name.as_ref().map_or(0, |name| name.chars().count());
        if characters > DISPLAY_NAME_CHARACTERS_MAX {
            let message =
                format!("it has {characters} characters; at most {DISPLAY_NAME_CHARACTERS_MAX} are allowed");
            return of(columns::NAME, &message);
        }
        for (column, all) in [(columns::TAGS, &tags), (columns::ATTRIBUTES, &attributes)] {
            if all.as_ref().is_some_and(|all| all.0.len() > PROPERTIES_MAX) {
                return of(column, &format!("there are more than {PROPERTIES_MAX}"));
            }
        }
        if device_key.is_empty() {
            return of(columns::DEVICE_KEY, "it is empty");
        }
        if product_key.is_some_and(|product_key| product_key != self.product_key) {
            let wanted = &self.product_key;
            let message = format!("it is not {wanted}, the product that the devices are imported for");
            return of(columns::PRODUCT_KEY, &message);
        }
        if let Some(what) = damage(Kind::Key, &device_key) {
            return of(columns::DEVICE_KEY, what);
        }
        if let Some(what) = device_secret.as_deref().and_then(|secret| damage(Kind::Secret, secret)) {
            return of(columns::DEVICE_SECRET, what);
        }
        if let Some(first) = self.seen.first(&device_key, line) {
            return of(columns::DEVICE_KEY, &format!("{device_key} is already on line {first}"));
        }
        if let Some(first) = self.seen.first_in_any_case(&device_key, line) {
            self.similar.count += 1;
            if self.similar.lines.len() < SIMILAR_SHOWN_MAX {
                self.similar.lines.push((line, first));
            }
        }
        Ok(ImportRow {
            line,
            device_key,
            device_secret: device_secret.map(SecretText::new),
            is_generated: false,
            name,
            tags,
            attributes,
        })
    }
}

fn header(line: &Line, is_sheet: bool) -> Result<Columns, Unusable> {
    let number = line.number;
    if line.bytes.contains(&b'\r') {
        return Err(Unusable::new(format!("line {number} contains a carriage return"))
            .hint("save the file with line feeds at the ends of its lines"));
    }
    match std::str::from_utf8(&line.bytes) {
        Ok(text) if text.trim_start().starts_with('[') => Err(json_array()),
        Ok(text) if is_sheet => Columns::parse_sheet(number, text),
        Ok(text) => Columns::parse(number, text),
        Err(_) => Err(Unusable::new(format!("line {number} is not UTF-8")).hint("save the file as UTF-8")),
    }
}

fn json_array() -> Unusable {
    Unusable::new("it is a JSON array".into())
        .hint("use JSON lines: one object on each line, without brackets around them or commas between them")
}

/// The keys read so far, as keyed hashes: two different keys collide as rarely as 64 bits are guessed.
#[derive(Default)]
struct Seen {
    lines: HashMap<u64, u64>,
    /// The same for keys with letters, in lower case.
    lower_case: HashMap<u64, u64>,
    hasher: RandomState,
}

impl Seen {
    /// The earlier line with this key, if there is one.
    fn first(&mut self, key: &str, line: u64) -> Option<u64> {
        let first = *self.lines.entry(self.hasher.hash_one(key)).or_insert(line);
        (first != line).then_some(first)
    }

    /// The earlier line with this key in other upper and lower case; the key itself has no earlier line.
    fn first_in_any_case(&mut self, key: &str, line: u64) -> Option<u64> {
        if !key.contains(|letter: char| letter.is_ascii_alphabetic()) {
            return None;
        }
        let hash = self.hasher.hash_one(key.to_ascii_lowercase());
        let first = *self.lower_case.entry(hash).or_insert(line);
        (first != line).then_some(first)
    }
}

/// Rows whose keys differ from another row's only in upper and lower case: both are imported, one perhaps by
/// mistake.
#[derive(Debug, Clone, Default)]
pub struct Similar {
    /// How many.
    pub count: u64,
    /// The first few, each with the line of the other.
    pub lines: Vec<(u64, u64)>,
}

fn fault(line: u64, column: Option<&str>, message: impl Into<String>) -> ImportFault {
    ImportFault { line, column: column.map(str::to_owned), message: message.into() }
}

fn unreadable(error: impl Display) -> Unusable {
    Unusable { headline: "cannot read the devices", reason: error.to_string(), hint: None }
}

#[cfg(test)]
mod tests;
