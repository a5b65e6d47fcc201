//! Rows as lines of CSV (RFC 4180, UTF-8) or of JSON.
//!
//! A cell of CSV that a spreadsheet would take for a formula has an apostrophe before it: one that begins
//! with `=`, `+`, `-`, `@`, their full-width forms, a tab or an end of a line, unless it is a number of a
//! device. JSON has every text as it is.

mod lists;

use narrowgate_api::{
    audit::AuditEntry,
    command::CommandView,
    device::{DeviceRow, DeviceView},
    history::{BucketView, EventView, LogView, PointView, PresenceView, RefusalView, ValueView},
    names::UnixMillis,
};
use serde::Serialize;
use serde_json::value::RawValue;

/// What lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// CSV with a header.
    Csv,
    /// A JSON object each.
    Ndjson,
}

/// A row of a list.
pub trait Row: Serialize {
    /// The columns as CSV.
    const COLUMNS: &'static [&'static str];

    /// Writes a cell for each of them.
    fn cells(&self, cells: &mut Cells<'_>);
}

impl Lines {
    /// Their media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Writes what comes before the first row.
    pub fn begin<T: Row>(self, out: &mut String) {
        if self == Self::Csv {
            out.push_str(&T::COLUMNS.join(","));
            out.push_str("\r\n");
        }
    }

    /// Writes a row.
    ///
    /// # Errors
    /// It cannot be written as JSON, which no row of ours is.
    pub fn write<T: Row>(self, row: &T, out: &mut String) -> serde_json::Result<()> {
        match self {
            Self::Csv => {
                row.cells(&mut Cells::new(out));
                out.push_str("\r\n");
            }
            Self::Ndjson => {
                out.push_str(&serde_json::to_string(row)?);
                out.push('\n');
            }
        }
        Ok(())
    }
}

/// What a cell begins with that a spreadsheet takes for a formula.
const FORMULA: [char; 11] =
    ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// A text as it was before it had an apostrophe; `None`: it has none of ours.
pub(crate) fn unescaped(text: &str) -> Option<&str> {
    text.strip_prefix('\'').filter(|text| text.starts_with(FORMULA))
}

/// The cells of a row of CSV, one after another.
pub struct Cells<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl<'a> Cells<'a> {
    /// Writes the cells of a row behind this text.
    pub fn new(out: &'a mut String) -> Self {
        Self { out, is_first: true }
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        let is_formula = text.starts_with(FORMULA);
        self.next();
        let is_quoted = text.contains(['"', ',', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ');
        if is_quoted {
            self.out.push('"');
        }
        if is_formula {
            self.out.push('\'');
        }
        match is_quoted {
            true => {
                self.out.push_str(&text.replace('"', "\"\""));
                self.out.push('"');
            }
            false => self.out.push_str(text),
        }
        self
    }

    /// A number, or nothing.
    pub fn number(&mut self, number: Option<i64>) -> &mut Self {
        self.next();
        if let Some(number) = number {
            self.out.push_str(&number.to_string());
        }
        self
    }

    /// A time in Unix milliseconds, or nothing.
    pub fn time(&mut self, time: Option<UnixMillis>) -> &mut Self {
        self.number(time.map(|time| time.0))
    }

    /// A value: a number as the device sent it, a text without its quotes, anything else as JSON.
    pub fn value(&mut self, value: &RawValue) -> &mut Self {
        let json = value.get();
        if json.starts_with('"') {
            return match serde_json::from_str::<String>(json) {
                Ok(text) => self.text(&text),
                Err(_) => self.text(json),
            };
        }
        let is_number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !is_number {
            return self.text(json);
        }
        self.next();
        self.out.push_str(json);
        self
    }

    /// A word as JSON has it, without its quotes; nothing for null.
    pub fn word(&mut self, word: &impl Serialize) -> &mut Self {
        let json = serde_json::to_string(word).unwrap_or_default();
        self.text(if json == "null" { "" } else { json.trim_matches('"') })
    }

    fn next(&mut self) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(',');
        }
    }
}

impl Row for DeviceRow {
    const COLUMNS: &'static [&'static str] = &[
        "assetId",
        "productKey",
        "deviceKey",
        "name",
        "state",
        "enabled",
        "createdTime",
        "activeTime",
        "lastOnlineTime",
        "lastOfflineTime",
        "lastSeenTime",
        "lifetime",
    ];

    fn cells(&self, cells: &mut Cells<'_>) {
        match self {
            Self::Intact(device) => device_cells(device, cells),
            Self::Damaged(device) => {
                let product_key = device.product_key.as_deref().unwrap_or_default();
                cells.text(&device.asset_id).text(product_key).text(&device.device_key).text("");
                cells.text("damaged").text("");
                (0..6).for_each(|_| {
                    cells.number(None);
                });
            }
        }
    }
}

fn device_cells(device: &DeviceView, cells: &mut Cells<'_>) {
    cells.text(&device.asset_id).text(&device.product_key).text(&device.device_key).text(&device.name);
    cells.word(&device.state).text(if device.enabled { "true" } else { "false" });
    cells.time(Some(device.created_time)).time(device.active_time).time(device.last_online_time);
    cells.time(device.last_offline_time).time(device.last_seen_time);
    cells.number(device.lifetime.map(i64::from));
}

impl Row for PointView {
    const COLUMNS: &'static [&'static str] = &["time", "point", "value", "quality"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.time(Some(self.time)).text(&self.point).value(&self.value);
        cells.number(self.quality.map(i64::from));
    }
}

impl Row for ValueView {
    const COLUMNS: &'static [&'static str] = &["time", "value", "quality"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.time(Some(self.time)).value(&self.value).number(self.quality.map(i64::from));
    }
}

impl Row for BucketView {
    const COLUMNS: &'static [&'static str] = &["time", "min", "max", "avg", "last", "count"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.time(Some(self.time));
        for value in [&self.min, &self.max, &self.avg, &self.last] {
            // What a bucket has not is as empty as what was not asked for.
            match value.as_deref().filter(|value| value.get() != "null") {
                Some(value) => cells.value(value),
                None => cells.number(None),
            };
        }
        cells.number(self.count.and_then(|count| count.try_into().ok()));
    }
}

impl Row for EventView {
    const COLUMNS: &'static [&'static str] = &["time", "event", "output"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.time(Some(self.time)).text(&self.event).value(&self.output);
    }
}

fn log_cells(entry: &LogView, cells: &mut Cells<'_>) {
    cells.time(Some(entry.time)).word(&entry.event).word(&entry.reason);
    cells.number(entry.code.map(i64::from));
    cells.text(entry.peer.as_deref().unwrap_or_default()).text(entry.detail.as_deref().unwrap_or_default());
}

fn advice_cells(entry: &LogView, cells: &mut Cells<'_>) {
    cells.text(entry.mistake.as_deref().unwrap_or_default());
    cells.text(entry.advice.as_deref().unwrap_or_default());
}

impl Row for LogView {
    const COLUMNS: &'static [&'static str] =
        &["time", "event", "reason", "code", "peer", "detail", "mistake", "advice"];

    fn cells(&self, cells: &mut Cells<'_>) {
        log_cells(self, cells);
        advice_cells(self, cells);
    }
}

impl Row for RefusalView {
    const COLUMNS: &'static [&'static str] = &[
        "time",
        "event",
        "reason",
        "code",
        "peer",
        "detail",
        "identity",
        "productKey",
        "deviceKey",
        "mistake",
        "advice",
    ];

    fn cells(&self, cells: &mut Cells<'_>) {
        log_cells(&self.entry, cells);
        for text in [&self.identity, &self.product_key, &self.device_key] {
            cells.text(text.as_deref().unwrap_or_default());
        }
        advice_cells(&self.entry, cells);
    }
}

impl Row for PresenceView {
    const COLUMNS: &'static [&'static str] = &["time", "state", "cause"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.time(Some(self.time)).word(&self.state).text(&self.cause);
    }
}

impl Row for CommandView {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "kind",
        "service",
        "params",
        "hex",
        "state",
        "code",
        "data",
        "message",
        "createdAt",
        "sentAt",
        "fetchedAt",
        "endedAt",
        "expectedAt",
        "expectedSpread",
        "expectedOutcome",
    ];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.text(&self.id).word(&self.kind).text(self.service.as_deref().unwrap_or_default());
        cells.value(&self.params).text(self.hex.as_deref().unwrap_or_default()).word(&self.state);
        cells.number(self.code);
        match self.data.as_deref() {
            Some(data) => cells.value(data),
            None => cells.number(None),
        };
        cells.text(self.message.as_deref().unwrap_or_default()).time(Some(self.created_at));
        cells.time(self.sent_at).time(self.fetched_at).time(self.ended_at);
        cells.time(self.expected.map(|expected| expected.at));
        cells.number(self.expected.map(|expected| expected.spread)).word(&self.expected_outcome);
    }
}

impl Row for AuditEntry {
    const COLUMNS: &'static [&'static str] = &[
        "seq",
        "time",
        "user",
        "token",
        "callerOu",
        "address",
        "action",
        "target",
        "ou",
        "outcome",
        "status",
        "code",
        "detail",
        "leftOut",
        "requestId",
        "hash",
    ];

    fn cells(&self, cells: &mut Cells<'_>) {
        let number = |number: Option<u64>| number.and_then(|number| i64::try_from(number).ok());
        cells.number(number(Some(self.seq).filter(|seq| *seq > 0))).time(Some(self.time));
        for text in [&self.user, &self.token, &self.caller_ou, &self.address] {
            cells.text(text.as_deref().unwrap_or_default());
        }
        cells.text(&self.action).text(&self.target).text(self.ou.as_deref().unwrap_or_default());
        cells.word(&self.outcome).number(self.status.map(i64::from));
        cells.text(self.code.as_deref().unwrap_or_default());
        // Texts can always be written.
        let detail = serde_json::to_string(&self.detail).unwrap_or_default();
        cells.text(if self.detail.is_empty() { "" } else { &detail }).number(number(self.left_out));
        cells.text(self.request_id.as_deref().unwrap_or_default()).text(&self.hash);
    }
}

/// A value of a point of one of many devices.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePoint {
    /// Key of the product.
    pub product_key: String,
    /// Key of the device.
    pub device_key: String,
    /// The value.
    #[serde(flatten)]
    pub point: PointView,
}

impl Row for DevicePoint {
    const COLUMNS: &'static [&'static str] =
        &["productKey", "deviceKey", "time", "point", "value", "quality"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.text(&self.product_key).text(&self.device_key);
        self.point.cells(cells);
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{
        device::ShownState,
        log::{LogEvent, Reason},
    };

    use super::*;

    fn line<T: Row>(lines: Lines, row: &T) -> String {
        let mut out = String::new();
        lines.begin::<T>(&mut out);
        lines.write(row, &mut out).expect("it can be written");
        out
    }

    fn point(point: &str, json: &str) -> PointView {
        let value = RawValue::from_string(json.to_owned()).expect("it is JSON");
        PointView { point: point.to_owned(), value, time: UnixMillis(7), quality: None }
    }

    #[test]
    fn attack_174_a_cell_that_a_spreadsheet_would_execute_is_text() {
        let cell = |text: &str| {
            let mut out = String::new();
            Cells::new(&mut out).text(text);
            out
        };
        for formula in ["=cmd()", "=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\tx", "\u{ff1d}1+1"] {
            assert_eq!(cell(formula), format!("'{formula}"));
            assert_eq!(unescaped(&cell(formula)), Some(formula));
        }
        assert_eq!(cell("\r=1"), "\"'\r=1\"");
        assert_eq!(cell("\n=1"), "\"'\n=1\"");
        assert_eq!(cell("=HYPERLINK(\"http://x\",1)"), "\"'=HYPERLINK(\"\"http://x\"\",1)\"");
        // One that is cut off from its cell by what is in it.
        assert_eq!(cell("a\n=1"), "\"a\n=1\"");
        assert_eq!(cell("a\",=1"), "\"a\"\",=1\"");
        for text in ["", "a=1", "<script>alert(1)</script>", "1-2", "d-1"] {
            assert_eq!(cell(text), text);
        }
        let formula = point("=a", "\"=1+1\"");
        assert_eq!(line(Lines::Csv, &formula), "time,point,value,quality\r\n7,'=a,'=1+1,\r\n");
        let json = "{\"point\":\"=a\",\"value\":\"=1+1\",\"time\":7}\n";
        assert_eq!(line(Lines::Ndjson, &formula), json);
    }

    #[test]
    fn attack_174_what_a_stranger_says_of_itself_is_no_formula_in_any_list() {
        let entry = LogView {
            time: UnixMillis(7),
            event: LogEvent::Refused,
            reason: Some(Reason::WrongKey),
            code: Some(742),
            peer: None,
            detail: Some("@SUM(A1)".into()),
            mistake: Some("@SUM(A1)".into()),
            advice: Some("compare".into()),
        };
        let csv = "time,event,reason,code,peer,detail,mistake,advice\r\n\
                   7,refused,wrong_key,742,,'@SUM(A1),'@SUM(A1),compare\r\n";
        assert_eq!(line(Lines::Csv, &entry), csv);
        let product_key = Some("+pk".into());
        let refusal = RefusalView { entry, identity: Some("=cmd()".into()), product_key, device_key: None };
        let cells = "\r\n7,refused,wrong_key,742,,'@SUM(A1),'=cmd(),'+pk,,'@SUM(A1),compare\r\n";
        assert!(line(Lines::Csv, &refusal).ends_with(cells));
        let cause = "-1+2".to_owned();
        let presence = PresenceView { time: UnixMillis(7), state: ShownState::Offline, cause };
        assert_eq!(line(Lines::Csv, &presence), "time,state,cause\r\n7,offline,'-1+2\r\n");
    }

    #[test]
    fn a_bucket_has_an_empty_cell_for_what_it_has_not_and_for_what_was_not_asked_for() {
        let bucket = r#"{"time":7,"min":null,"avg":0.10000000000000002,"last":"=x","count":3}"#;
        let bucket: BucketView = serde_json::from_str(bucket).expect("it can be read");
        let csv = "time,min,max,avg,last,count\r\n7,,,0.10000000000000002,'=x,3\r\n";
        assert_eq!(line(Lines::Csv, &bucket), csv);
    }

    #[test]
    fn values_are_written_to_the_last_digit() {
        for (json, cell) in [
            ("-12.50", "-12.50"),
            ("12345678901234567890.10", "12345678901234567890.10"),
            ("1e-7", "1e-7"),
            ("true", "true"),
            ("null", "null"),
            ("\"a b\"", "a b"),
            ("{\"x\":1}", "\"{\"\"x\"\":1}\""),
        ] {
            let written = line(Lines::Csv, &point("a", json));
            assert_eq!(written, format!("time,point,value,quality\r\n7,a,{cell},\r\n"));
        }
        let of = DevicePoint {
            product_key: "pk".into(),
            device_key: "dk".into(),
            point: PointView { quality: Some(9), ..point("a", "12345678901234567890.10") },
        };
        let json = "{\"productKey\":\"pk\",\"deviceKey\":\"dk\",\"point\":\"a\",\
                    \"value\":12345678901234567890.10,\"time\":7,\"quality\":9}\n";
        assert_eq!(line(Lines::Ndjson, &of), json);
        assert!(line(Lines::Csv, &of).ends_with("\r\npk,dk,7,a,12345678901234567890.10,9\r\n"));
    }
}
