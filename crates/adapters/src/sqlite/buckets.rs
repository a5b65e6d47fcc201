//! What the values of a point come to, bucket by bucket, across message files.
//!
//! A report is in the file of the day on which it arrived. Every file whose time span touches the query is
//! read, the latest span first and each from its newest message on, until what remains is older than the
//! buckets of the page. Every row that is looked at counts for the bounds of a page, by its bytes: events and
//! damaged ones take as long as reports.

use std::cmp::Reverse;

use narrowgate_platform::{
    ids::UnixMillis,
    paging::Page,
    ports::BucketQuery,
    rules::{
        buckets::{Aggregation, Bucket, Crowded},
        latest::for_each_point,
    },
};
use rusqlite::Connection;

use super::{
    day_file::TimeSpan, history::commit_of, readers::Reader, rows::is_fault_of_row,
    schema::messages::FileFormat, volume::Volume,
};

/// Buckets of the values of a point of `device`, newest first.
pub(super) fn read(
    reader: &mut Reader,
    mut files: Vec<(Volume, TimeSpan)>,
    device: i64,
    query: BucketQuery,
) -> rusqlite::Result<Result<Page<Bucket>, Crowded>> {
    let Some(last) = query.last_time() else { return Ok(Ok(Page::empty())) };
    let BucketQuery { point, bucketing, functions, from, limit, .. } = query;
    let mut buckets = Aggregation::new(bucketing, functions, from, limit);
    files.retain(|(_, span)| span.min <= last.0);
    files.sort_by_key(|(volume, span)| Reverse((span.max, *volume)));
    for (volume, span) in files {
        if span.max < buckets.needed_from().0 {
            break;
        }
        let Some((file, format)) = reader.volume(volume)? else { continue };
        let source = Source { file, format, volume, device, last: last.0, point: &point };
        if let Err(crowded) = source.read_into(&mut buckets)? {
            return Ok(Err(crowded));
        }
    }
    Ok(Ok(buckets.finish()))
}

/// Reports of a device in one file.
struct Source<'a> {
    file: &'a Connection,
    format: FileFormat,
    volume: Volume,
    device: i64,
    /// Times up to here.
    last: i64,
    point: &'a str,
}

impl Source<'_> {
    fn read_into(&self, buckets: &mut Aggregation) -> rusqlite::Result<Result<(), Crowded>> {
        let sql = format!(
            "SELECT {} FROM messages m WHERE device = ?1 AND time <= ?2 AND time >= ?3 ORDER BY time DESC",
            self.format.list()
        );
        let mut select = self.file.prepare_cached(&sql)?;
        let mut rows = select.query([self.device, self.last, buckets.needed_from().0])?;
        while let Some(row) = rows.next()? {
            // By this number rows are chosen and in order, whether it is the one that was stored or not.
            let time = UnixMillis(self.format.time(row)?);
            if time < buckets.needed_from() {
                break;
            }
            if let Err(crowded) = buckets.note_message(time, self.format.bytes(row)) {
                return Ok(Err(crowded));
            }
            if self.format.is_event(row) {
                continue;
            }
            let id: i64 = row.get(0)?;
            let report = match self.format.read(row, || format!("message {id} of {}", self.volume)) {
                Ok(report) => report,
                Err(error) if is_fault_of_row(&error) => {
                    buckets.note_damaged(format!("message {id} of {} is not as it was stored", self.volume));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (first, second) = commit_of(&report, self.volume, self.format);
            let mut index = 0;
            for_each_point(&report.points, |name, value| {
                index += 1;
                if name == self.point {
                    buckets.take(report.time, [first, second, index], value.get());
                }
            });
        }
        Ok(Ok(()))
    }
}
