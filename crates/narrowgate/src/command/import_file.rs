//! The file of `device import`: CSV with a header, or JSON lines, with the place of every fault.
//!
//! Limits: [`ROWS_MAX`] rows, [`FIELD_BYTES_MAX`] bytes in a field. A row with a fault is reported and left out;
//! the others go on.

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read},
};

use serde::{Deserialize, Serialize};

use crate::{
    control::{ImportRow, SecretText},
    failure::Failure,
    output::counted,
};

/// Rows of one file; a longer one is to be split.
pub(super) const ROWS_MAX: usize = 1_000_000;

/// Bytes of a key, a secret or a name.
pub(super) const FIELD_BYTES_MAX: usize = 256;

/// A row that cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    /// From 1; the header is a line.
    pub(super) line: u64,
    /// Name of the field, where it is one.
    pub(super) column: Option<String>,
    pub(super) message: String,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct ImportFile {
    pub(super) rows: Vec<ImportRow>,
    pub(super) faults: Vec<Fault>,
    /// Line of each device key, to find the second of two.
    lines: HashMap<String, u64>,
}

/// Fields by their names in both formats.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonRow {
    device_key: String,
    device_secret: Option<String>,
    name: Option<String>,
}

impl ImportFile {
    /// Reads all rows.
    ///
    /// # Errors
    /// When the file as a whole is not what it should be.
    pub(super) fn read(input: impl Read) -> Result<Self, Failure> {
        let mut input = BufReader::new(input);
        let start = input.fill_buf().map_err(unreadable)?;
        if start.starts_with(b"\xef\xbb\xbf") {
            input.consume(3);
        }
        let mut file = Self::default();
        let start = input.fill_buf().map_err(unreadable)?;
        match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => file.read_json(input)?,
            _ => file.read_csv(input)?,
        }
        Ok(file)
    }

    fn read_csv(&mut self, input: impl Read) -> Result<(), Failure> {
        // A last line without its end gets one; an empty line more is no row.
        let input = LinesOnly(input).chain(&b"\n"[..]);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
        let header = reader.headers().map_err(|error| malformed(error.to_string()))?.clone();
        let columns = Columns::of(&header)?;
        let mut record = csv::StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => return Ok(()),
                Ok(true) => {
                    let line = started_on(&record, reader.position());
                    let optional = |at: Option<usize>| {
                        at.and_then(|at| record.get(at)).filter(|text| !text.is_empty()).map(str::to_owned)
                    };
                    let row = JsonRow {
                        device_key: record.get(columns.device_key).unwrap_or_default().to_owned(),
                        device_secret: optional(columns.device_secret),
                        name: optional(columns.name),
                    };
                    self.add(line, row)?;
                }
                Err(error) if error.is_io_error() => return Err(unreadable(error)),
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    self.fault(line, None, csv_reason(&error));
                }
            }
        }
    }

    fn read_json(&mut self, mut input: impl BufRead) -> Result<(), Failure> {
        /// A line of JSON is never longer, whatever its escapes.
        const LINE_BYTES_MAX: u64 = 64 * 1024;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let length =
                input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(unreadable)?;
            if length == 0 {
                break;
            }
            if length as u64 == LINE_BYTES_MAX {
                return Err(malformed(format!("line {number} is longer than {LINE_BYTES_MAX} bytes")));
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(row) => self.add(number, row)?,
                Err(error) => {
                    // serde_json counts lines inside the row; there is one.
                    let reason = error.to_string();
                    let reason = reason.split(" at line ").next().unwrap_or_default();
                    self.fault(number, None, format!("{reason} (character {})", error.column()));
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, line: u64, row: JsonRow) -> Result<(), Failure> {
        if self.rows.len() + self.faults.len() >= ROWS_MAX {
            return Err(malformed(format!("it has more than {ROWS_MAX} rows")).hint("split the file"));
        }
        let fields = [
            ("deviceKey", Some(&row.device_key)),
            ("deviceSecret", row.device_secret.as_ref()),
            ("name", row.name.as_ref()),
        ];
        for (column, text) in fields {
            if text.is_some_and(|text| text.len() > FIELD_BYTES_MAX) {
                self.fault(line, Some(column), format!("it is longer than {FIELD_BYTES_MAX} bytes"));
                return Ok(());
            }
        }
        if row.device_key.is_empty() {
            self.fault(line, Some("deviceKey"), "it is empty".into());
            return Ok(());
        }
        if let Some(first) = self.lines.get(&row.device_key) {
            let message = format!("{} stands on line {first} already", row.device_key);
            self.fault(line, Some("deviceKey"), message);
            return Ok(());
        }
        self.lines.insert(row.device_key.clone(), line);
        let JsonRow { device_key, device_secret, name } = row;
        self.rows.push(ImportRow {
            line,
            device_key,
            device_secret: device_secret.map(SecretText::new),
            name,
        });
        Ok(())
    }

    fn fault(&mut self, line: u64, column: Option<&str>, message: String) {
        self.faults.push(Fault { line, column: column.map(str::to_owned), message });
    }
}

/// The input without carriage returns, so that a line ends in one way only and the parser's count of lines is exact.
struct LinesOnly<R>(R);

impl<R: Read> Read for LinesOnly<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.0.read(out)?;
            let mut kept = 0;
            for at in 0..length {
                if out[at] != b'\r' {
                    out[kept] = out[at];
                    kept += 1;
                }
            }
            if kept > 0 || length == 0 {
                return Ok(kept);
            }
        }
    }
}

/// The line on which a record begins. The reader's own position of a record is before the empty lines that precede
/// it, so the line is counted back from the record's end: one line, and those inside its fields.
fn started_on(record: &csv::StringRecord, end: &csv::Position) -> u64 {
    let inside: usize = record.iter().map(|field| field.matches('\n').count()).sum();
    (end.line() - 1).saturating_sub(inside as u64).max(1)
}

/// Which field is which, by the header.
#[derive(Debug)]
struct Columns {
    device_key: usize,
    device_secret: Option<usize>,
    name: Option<usize>,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Result<Self, Failure> {
        let shown = header.iter().collect::<Vec<_>>().join(",");
        if header.len() == 1 && shown.contains([';', '\t']) {
            return Err(malformed(format!("the header is {shown:?}")).hint("separate the fields by commas"));
        }
        for (at, name) in header.iter().enumerate() {
            if !["deviceKey", "deviceSecret", "name"].contains(&name) {
                return Err(malformed(format!("line 1, column {}: unknown field {name:?}", at + 1))
                    .hint("the first line names the fields: deviceKey,deviceSecret,name"));
            }
            if header.iter().take(at).any(|other| other == name) {
                return Err(malformed(format!("line 1, column {}: {name} stands there twice", at + 1)));
            }
        }
        let at = |wanted: &str| header.iter().position(|name| name == wanted);
        match at("deviceKey") {
            Some(device_key) => Ok(Self { device_key, device_secret: at("deviceSecret"), name: at("name") }),
            None => Err(malformed("line 1 does not name deviceKey".into())
                .hint("the first line names the fields: deviceKey,deviceSecret,name")),
        }
    }
}

fn csv_reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {}; the header has {expected_len}", counted(*len, "field"))
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("field {} is not UTF-8", err.field() + 1),
        _ => error.to_string(),
    }
}

fn malformed(reason: String) -> Failure {
    Failure::failed("cannot import the devices").reason(reason)
}

fn unreadable(error: impl std::fmt::Display) -> Failure {
    Failure::failed("cannot read the devices").reason(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ImportFile {
        ImportFile::read(text.as_bytes()).unwrap()
    }

    fn rows(file: &ImportFile) -> Vec<String> {
        let secret = |row: &ImportRow| row.device_secret.as_ref().map(|secret| secret.expose().to_owned());
        file.rows
            .iter()
            .map(|row| format!("{} {} {:?} {:?}", row.line, row.device_key, secret(row), row.name))
            .collect()
    }

    #[test]
    fn columns_stand_in_any_order_and_the_last_two_are_optional() {
        let file = read("\u{feff}name, deviceSecret ,deviceKey\r\n\"cellar, 3\",s1, d1\r\n\r\n,,d2\r\n");
        assert_eq!(rows(&file), [r#"2 d1 Some("s1") Some("cellar, 3")"#, "4 d2 None None"]);
        assert_eq!(file.faults, []);
        assert_eq!(rows(&read("deviceKey\nd1\n")), ["2 d1 None None"]);
    }

    #[test]
    fn json_lines_have_the_same_names() {
        let file =
            read("{\"deviceKey\":\"d1\",\"name\":\"n\"}\n\n{\"deviceKey\":\"d2\",\"deviceSecret\":\"s\"}");
        assert_eq!(rows(&file), [r#"1 d1 None Some("n")"#, r#"3 d2 Some("s") None"#]);
        let file = read("{\"deviceKey\":\"d1\"}\n{\"devicekey\":\"d2\"}\n{\"deviceKey\":\"d3\"}\n");
        assert_eq!(file.rows.len(), 2);
        assert_eq!(file.faults[0].line, 2);
        assert!(file.faults[0].message.contains("unknown field `devicekey`"), "{:?}", file.faults);
    }

    #[test]
    fn a_row_with_a_fault_is_told_its_place_and_the_others_go_on() {
        let long = "x".repeat(257);
        let text = format!("deviceKey,name\nd1,a\nd2\n,b\nd1,c\n{long},d\nd3,e\n");
        let file = read(&text);
        assert_eq!(file.rows.len(), 2);
        let faults: Vec<String> = file
            .faults
            .iter()
            .map(|fault| format!("{} {:?} {}", fault.line, fault.column, fault.message))
            .collect();
        assert_eq!(
            faults,
            [
                "3 None it has 1 field; the header has 2",
                "4 Some(\"deviceKey\") it is empty",
                "5 Some(\"deviceKey\") d1 stands on line 2 already",
                "6 Some(\"deviceKey\") it is longer than 256 bytes",
            ]
        );
    }

    #[test]
    fn a_quoted_field_over_two_lines_does_not_shift_the_lines_behind_it() {
        let file = read("deviceKey,name\nd1,\"a\nb\"\nd2,c\n");
        assert_eq!(rows(&file), [r#"2 d1 None Some("a\nb")"#, r#"4 d2 None Some("c")"#]);
    }

    #[test]
    fn a_header_that_is_none_is_refused() {
        for (text, reason) in [
            ("d1,s1\n", "unknown field \"d1\""),
            ("deviceKey;name\nd1;a\n", "by commas"),
            ("name\na\n", "does not name deviceKey"),
            ("deviceKey,deviceKey\n", "column 2: deviceKey stands there twice"),
            ("", "does not name deviceKey"),
        ] {
            let failure = ImportFile::read(text.as_bytes()).unwrap_err().to_string();
            assert!(failure.contains(reason), "{text}: {failure}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_fail_their_row_only() {
        let file = ImportFile::read(&b"deviceKey,name\nd1,\xff\nd2,b\n"[..]).unwrap();
        assert_eq!(rows(&file), [r#"3 d2 None Some("b")"#]);
        assert_eq!((file.faults[0].line, file.faults[0].message.as_str()), (2, "field 2 is not UTF-8"));
    }
}
