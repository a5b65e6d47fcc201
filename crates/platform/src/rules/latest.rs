//! The latest value of every point of one device, as a small sorted list that reports are folded into.
//!
//! Limits: [`POINTS_MAX`] points of a device, [`BYTES_MAX`] bytes of all of them, [`VALUE_BYTES_MAX`] of one.
//! At the first two the point that was silent longest is forgotten here, at the third the point itself. Its
//! history stays; the device alone suffers, and its log says so.

use std::fmt;

use super::clock::supersedes;
use crate::{
    ids::UnixMillis,
    model::{json_piece::Piece, json_text::JsonText, message::PointValue},
};

/// Points of a device whose latest value is kept. A thing model has some dozens; a device without a model
/// could invent names without end.
pub const POINTS_MAX: usize = 1024;
/// Bytes of the names and values of a device that are kept. A store writes all of them down for whatever a
/// device reports: without a bound, one device's reports of 60 bytes could cost ten megabytes each.
pub const BYTES_MAX: usize = 32 << 10;
/// Bytes of one value, whatever `limits.message_bytes` says: three of them fit into [`BYTES_MAX`], so that
/// one long value does not push out all others. A report in JSON of the usual limit has no longer one.
pub const VALUE_BYTES_MAX: usize = 10 << 10;

/// Latest values, sorted by point.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LatestPoints {
    values: Vec<LatestValue>,
    /// Of all names and values.
    bytes: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct LatestValue {
    point: Box<str>,
    /// JSON, as the device sent it.
    value: String,
    time: UnixMillis,
    /// When it arrived; not written down: only what comes later asks for it.
    arrival: UnixMillis,
}

impl LatestValue {
    fn bytes(&self) -> usize {
        self.point.len() + self.value.len()
    }
}

impl LatestPoints {
    /// Folds in a report: for each of its points the newer time wins, and on equal times the report; see
    /// [`supersedes`]. `true`: a point was forgotten, because a limit was reached.
    pub fn report(&mut self, points_json: &str, time: UnixMillis, arrival: UnixMillis) -> bool {
        let mut forgot = false;
        for_each_point(points_json, |point, value| forgot |= self.offer(point, value.get(), time, arrival));
        forgot
    }

    /// Folds in `older`, what was kept before: on equal times it loses. `true`: a point was forgotten.
    pub fn merge_older(&mut self, older: Self) -> bool {
        let mut forgot = false;
        for older in older.values {
            match self.find(&older.point) {
                Ok(index) => {
                    let newer = &self.values[index];
                    if !supersedes(newer.time, newer.arrival, older.time) {
                        self.bytes = self.bytes - newer.bytes() + older.bytes();
                        self.values[index] = older;
                        forgot |= self.forget_beyond_limits();
                    }
                }
                Err(_) => forgot |= self.offer(&older.point, &older.value, older.time, older.arrival),
            }
        }
        forgot
    }

    /// Bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The values for people, by point.
    pub fn values(&self) -> Vec<PointValue> {
        let values = self.values.iter().map(|latest| PointValue {
            point: latest.point.to_string(),
            value: JsonText::new(&latest.value),
            time: latest.time,
        });
        values.collect()
    }

    /// One line of JSON: `{"temp":{"time":1767225600000,"value":21.5}}`.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(self.values.len() * 48 + 2);
        json.push('{');
        for (index, latest) in self.values.iter().enumerate() {
            use fmt::Write as _;
            let comma = if index == 0 { "" } else { "," };
            let point = serde_json::Value::from(&*latest.point);
            write!(json, r#"{comma}{point}:{{"time":{},"value":{}}}"#, latest.time.0, latest.value)
                .expect("a String takes any text");
        }
        json.push('}');
        json
    }

    /// The reverse of [`Self::to_json`]; text of any other form gives fewer or no points.
    pub fn from_json(json: &str) -> Self {
        let mut points = Self::default();
        for_each_point(json, |point, stored| {
            let member =
                |name| stored.members()?.find_map(|(key, piece)| (key == name).then_some(piece.get()));
            let time = member("time").and_then(|time| time.parse().ok());
            if let (Some(time), Some(value)) = (time.map(UnixMillis), member("value")) {
                points.offer(point, value, time, time);
            }
        });
        points
    }

    fn find(&self, point: &str) -> Result<usize, usize> {
        self.values.binary_search_by(|latest| (*latest.point).cmp(point))
    }

    /// `true`: a point was forgotten.
    fn offer(&mut self, point: &str, value: &str, time: UnixMillis, arrival: UnixMillis) -> bool {
        match self.find(point) {
            Ok(index) if !supersedes(time, arrival, self.values[index].time) => return false,
            Ok(index) => {
                if value.len() > VALUE_BYTES_MAX {
                    // The one before is not the latest any more.
                    self.remove(index);
                    return true;
                }
                let latest = &mut self.values[index];
                self.bytes = self.bytes - latest.value.len() + value.len();
                (latest.time, latest.arrival) = (time, arrival);
                latest.value.clear();
                latest.value.push_str(value);
            }
            Err(_) if value.len() > VALUE_BYTES_MAX => return true,
            Err(index) => {
                let (point, value) = (point.into(), value.to_owned());
                let latest = LatestValue { point, value, time, arrival };
                self.bytes += latest.bytes();
                self.values.insert(index, latest);
            }
        }
        self.forget_beyond_limits()
    }

    fn forget_beyond_limits(&mut self) -> bool {
        let mut forgot = false;
        while self.values.len() > POINTS_MAX || self.bytes > BYTES_MAX {
            self.forget_oldest();
            forgot = true;
        }
        forgot
    }

    /// There is one at least.
    fn forget_oldest(&mut self) {
        let by_time = self.values.iter().enumerate().min_by_key(|(_, latest)| latest.time);
        self.remove(by_time.map_or(0, |(index, _)| index));
    }

    fn remove(&mut self, index: usize) {
        self.bytes -= self.values.remove(index).bytes();
    }
}

/// Calls `each` with every member of a JSON object: the decoded name and the value as it was written.
/// Anything else has none. Of a damaged text, which a store finds by its own checksums, what is readable
/// counts.
pub fn for_each_point(points_json: &str, mut each: impl FnMut(&str, Piece<'_>)) {
    for (point, value) in Piece::of(points_json).members().into_iter().flatten() {
        each(&point, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reports: &[(&str, i64)]) -> LatestPoints {
        let mut points = LatestPoints::default();
        for (json, time) in reports {
            points.report(json, UnixMillis(*time), UnixMillis(*time));
        }
        points
    }

    #[test]
    fn the_newer_time_wins_and_on_equal_times_the_later_report() {
        let points = of(&[(r#"{"a":1,"b":1}"#, 5), (r#"{"a":2}"#, 4), (r#"{"b":3}"#, 5)]);
        assert_eq!(points.to_json(), r#"{"a":{"time":5,"value":1},"b":{"time":5,"value":3}}"#);
    }

    #[test]
    fn merging_what_was_kept_before_is_as_if_it_had_been_reported_first() {
        let reports =
            [(r#"{"a":1,"b":1}"#, 5), (r#"{"a":2,"c":9}"#, 4), (r#"{"b":3}"#, 5), (r#"{"c":7}"#, 1)];
        for cut in 0..=reports.len() {
            let mut newer = of(&reports[cut..]);
            newer.merge_older(of(&reports[..cut]));
            assert_eq!(newer, of(&reports), "cut at {cut}");
        }
    }

    #[test]
    fn attack_206_a_value_of_a_wrong_year_does_not_stand_when_the_clock_is_right_again() {
        const RIGHT: i64 = 1_795_824_000_000;
        let wrong = RIGHT + 12 * 365 * 86_400_000;
        let mut points = of(&[(r#"{"a":"wrong","b":"wrong"}"#, wrong)]);
        points.report(r#"{"a":"right"}"#, UnixMillis(RIGHT), UnixMillis(RIGHT));
        // One that was written down before.
        let stored = LatestPoints::from_json(&points.to_json());
        let mut newer = of(&[(r#"{"b":"right"}"#, RIGHT + 1)]);
        newer.merge_older(stored);
        let values: Vec<String> = newer.values().iter().map(|value| value.time.0.to_string()).collect();
        assert_eq!(values, [RIGHT.to_string(), (RIGHT + 1).to_string()]);
    }

    #[test]
    fn the_stored_form_reads_back_with_any_name() {
        let points = of(&[(r#"{"\"quoted\"":"x","名":{"value":1.50},"":null}"#, -3)]);
        assert_eq!(LatestPoints::from_json(&points.to_json()), points);
        assert_eq!(points.values().len(), 3);
    }

    #[test]
    fn text_that_is_no_object_gives_nothing() {
        for text in ["", "[1]", "7", "{", r#"{"a":1"#, "\u{0}"] {
            of(&[(text, 1)]);
            assert_eq!(LatestPoints::from_json(text), LatestPoints::default(), "{text}");
        }
    }

    #[test]
    fn at_the_limit_the_point_that_was_silent_longest_is_forgotten() {
        let mut points = LatestPoints::default();
        for n in 0..POINTS_MAX as i64 + 2 {
            points.report(&format!(r#"{{"p{n}":{n}}}"#), UnixMillis(n), UnixMillis(n));
        }
        assert_eq!(points.values.len(), POINTS_MAX);
        assert!(points.find("p0").is_err() && points.find("p1").is_err() && points.find("p2").is_ok());
    }

    #[test]
    fn attack_205_fat_values_take_a_bounded_number_of_bytes() {
        let mut points = LatestPoints::default();
        let fat = format!("\"{}\"", "x".repeat(10_000));
        assert!(!points.report(r#"{"small":1}"#, UnixMillis(0), UnixMillis(0)));
        for n in 0..1024 {
            let forgot = points.report(&format!(r#"{{"p{n}":{fat}}}"#), UnixMillis(n + 1), UnixMillis(n + 1));
            assert_eq!(forgot, n >= 3, "{n}");
            assert!(points.bytes() <= BYTES_MAX);
        }
        let kept: Vec<String> = points.values().into_iter().map(|value| value.point).collect();
        assert_eq!(kept, ["p1021", "p1022", "p1023"], "the newest");
        // A row of earlier times is bounded by reading it.
        let row: Vec<String> = (0..1024).map(|n| format!(r#""p{n}":{{"time":{n},"value":{fat}}}"#)).collect();
        let mut read = LatestPoints::from_json(&format!("{{{}}}", row.join(",")));
        assert!(read.bytes() <= BYTES_MAX && read.to_json().len() <= BYTES_MAX + 200);
        let small = of(&[(r#"{"small":1}"#, 5000)]);
        assert!(!read.merge_older(small), "there is room for it");
        assert_eq!(read.values.len(), 4);
        let counted: usize = read.values.iter().map(LatestValue::bytes).sum();
        assert_eq!(read.bytes(), counted);
    }

    #[test]
    fn a_value_that_is_too_long_is_not_kept_nor_is_the_one_before_it() {
        let mut points = of(&[(r#"{"a":1,"b":1}"#, 5)]);
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(VALUE_BYTES_MAX));
        assert!(!points.report(&long, UnixMillis(4), UnixMillis(4)), "an older one changes nothing");
        assert!(points.report(&long, UnixMillis(6), UnixMillis(6)));
        assert_eq!(points, of(&[(r#"{"b":1}"#, 5)]));
    }
}
