//! What the values of a point come to in buckets of time. In a table a bucket begins at the time that a clock
//! of the zone shows.

use narrowgate_api::{device::NamedDevice, history::BucketView, query::PointValuesQuery};
use narrowgate_platform::rules::buckets::clock_time;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::pages::{self, Frame, List};
use crate::{
    cli::{Output, Paging},
    client::Call,
    config::Config,
    failure::Failure,
    output::{Column, Layout},
};

const BUCKETS: &[Column] = &[
    Column { field: "time", title: "TIME" },
    Column { field: "min", title: "MIN" },
    Column { field: "max", title: "MAX" },
    Column { field: "avg", title: "AVG" },
    Column { field: "last", title: "LAST" },
    Column { field: "count", title: "COUNT" },
];

/// A bucket for people.
#[derive(Serialize)]
struct InZone<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: &'a Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: &'a Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avg: &'a Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: &'a Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// Prints them, the newest first.
///
/// # Errors
/// Those of the request.
pub(super) fn print(
    device: &NamedDevice,
    point: &str,
    query: &PointValuesQuery,
    paging: Paging,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    let list = List { layout: Layout::Values(BUCKETS), frame: Frame::Array };
    let call = |limit, cursor| {
        let query = PointValuesQuery { limit: Some(limit), cursor, ..query.clone() };
        Call::list_buckets(device, point, &query)
    };
    match &query.tz {
        Some(zone) => pages::run_shown(&list, paging, config, output, call, &|bucket| in_zone(bucket, zone)),
        None => pages::run(&list, paging, config, output, call),
    }
}

fn in_zone(bucket: &BucketView, zone: &str) -> Result<Box<RawValue>, Failure> {
    let Some(time) = clock_time(zone, bucket.time) else { return pages::shown(bucket) };
    let BucketView { time: _, min, max, avg, last, count } = bucket;
    let shown = InZone { time, min, max, avg, last, count: *count };
    to_raw_value(&shown).map_err(|error| Failure::failed("cannot write the answer").reason(error))
}
