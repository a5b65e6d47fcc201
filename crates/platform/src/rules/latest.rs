//! The latest value of every point of one device, as a small sorted list that reports are folded into.
//!
//! Limit: [`POINTS_MAX`] points of a device; at it the point that was silent longest is forgotten here
//! (its history stays).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    ids::UnixMillis,
    model::{json_text::JsonText, message::PointValue},
};

/// Points of a device whose latest value is kept. A thing model has some dozens; a device without a model
/// could invent names without end.
pub const POINTS_MAX: usize = 1024;

/// Latest values, sorted by point.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LatestPoints(Vec<LatestValue>);

#[derive(Debug, Clone, PartialEq)]
struct LatestValue {
    point: Box<str>,
    /// JSON, as the device sent it.
    value: String,
    time: UnixMillis,
}

impl LatestPoints {
    /// Folds in a report: for each of its points the newer time wins, and on equal times the report.
    pub fn report(&mut self, points_json: &str, time: UnixMillis) {
        for_each_point(points_json, |point, value| self.offer(point, value.get(), time));
    }

    /// Folds in `older`, what was kept before: on equal times it loses.
    pub fn merge_older(&mut self, older: Self) {
        for LatestValue { point, value, time } in older.0 {
            match self.find(&point) {
                Ok(index) if self.0[index].time >= time => {}
                _ => self.offer(&point, &value, time),
            }
        }
    }

    /// The values for people, by point.
    pub fn values(&self) -> Vec<PointValue> {
        let values = self.0.iter().map(|latest| PointValue {
            point: latest.point.to_string(),
            value: JsonText::new(&latest.value),
            time: latest.time,
        });
        values.collect()
    }

    /// One line of JSON: `{"temp":{"time":1767225600000,"value":21.5}}`.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(self.0.len() * 48 + 2);
        json.push('{');
        for (index, latest) in self.0.iter().enumerate() {
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
        #[derive(Deserialize)]
        struct Stored<'a> {
            time: UnixMillis,
            #[serde(borrow)]
            value: &'a RawValue,
        }
        let mut points = Self::default();
        for_each_point(json, |point, stored| {
            if let Ok(Stored { time, value }) = serde_json::from_str(stored.get()) {
                points.offer(point, value.get(), time);
            }
        });
        points
    }

    fn find(&self, point: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|latest| (*latest.point).cmp(point))
    }

    fn offer(&mut self, point: &str, value: &str, time: UnixMillis) {
        match self.find(point) {
            Ok(index) => {
                let latest = &mut self.0[index];
                if latest.time <= time {
                    latest.time = time;
                    latest.value.clear();
                    latest.value.push_str(value);
                }
            }
            Err(index) => {
                self.0.insert(index, LatestValue { point: point.into(), value: value.to_owned(), time });
                if self.0.len() > POINTS_MAX {
                    self.forget_oldest();
                }
            }
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.0.iter().enumerate().min_by_key(|(_, latest)| latest.time).map(|(index, _)| index);
        if let Some(index) = oldest {
            self.0.remove(index);
        }
    }
}

/// Calls `each` with every member of a JSON object: the decoded name and the value as it was written.
/// Anything else has none.
pub fn for_each_point(points_json: &str, each: impl FnMut(&str, &RawValue)) {
    struct Members<F>(F);

    #[derive(Deserialize)]
    struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

    impl<'de, F: FnMut(&str, &RawValue)> Visitor<'de> for Members<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of points")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some(Name(point)) = map.next_key()? {
                (self.0)(&point, map.next_value()?);
            }
            Ok(())
        }
    }

    let mut json = serde_json::Deserializer::from_str(points_json);
    // Ignored: the caller of the store has parsed it already, so an error means damage, which a store finds
    // by its own checksums. What was readable counts.
    let _ = json.deserialize_map(Members(each));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reports: &[(&str, i64)]) -> LatestPoints {
        let mut points = LatestPoints::default();
        for (json, time) in reports {
            points.report(json, UnixMillis(*time));
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
            points.report(&format!(r#"{{"p{n}":{n}}}"#), UnixMillis(n));
        }
        assert_eq!(points.0.len(), POINTS_MAX);
        assert!(points.find("p0").is_err() && points.find("p1").is_err() && points.find("p2").is_ok());
    }
}
