//! What the values of a point come to, bucket by bucket, across message files.
//!
//! A report is in the file of the day on which it arrived. Every file whose time span touches the query is
//! read, the latest span first and each from its newest message on, until what remains is older than the
//! buckets of the page. Every row that is looked at counts for the bounds of a page, by its bytes: events and
//! damaged ones take as long as reports. Where the latest value of each bucket is all that is asked for, the
//! older rows of a bucket are passed over, by the index.

use std::cmp::Reverse;

use narrowgate_platform::{
    ids::UnixMillis,
    paging::Page,
    ports::BucketQuery,
    rules::{
        buckets::{Aggregation, Bucket, Bucketing, Crowded},
        latest::for_each_point,
    },
};
use rusqlite::{Connection, Rows};

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
    let passes_over = functions.is_last_alone().then(|| bucketing.clone());
    let mut buckets = Aggregation::new(bucketing, functions, from, limit);
    files.retain(|(_, span)| span.min <= last.0);
    files.sort_by_key(|(volume, span)| Reverse((span.max, *volume)));
    for (volume, span) in files {
        if span.max < buckets.needed_from().0 {
            break;
        }
        let Some((file, format)) = reader.volume(volume)? else { continue };
        let passes_over = passes_over.as_ref();
        let source = Source { file, format, volume, device, last: last.0, point: &point, passes_over };
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
    /// Of each of these buckets the newest report with the point is enough.
    passes_over: Option<&'a Bucketing>,
}

impl Source<'_> {
    fn read_into(&self, buckets: &mut Aggregation) -> rusqlite::Result<Result<(), Crowded>> {
        let sql = format!(
            "SELECT {} FROM messages m WHERE device = ?1 AND time <= ?2 AND time >= ?3 ORDER BY time DESC",
            self.format.list()
        );
        let mut select = self.file.prepare_cached(&sql)?;
        let mut last = self.last;
        loop {
            let rows = select.query([self.device, last, buckets.needed_from().0])?;
            match self.read_rows(rows, buckets)? {
                Ok(Some(begins)) => last = begins.saturating_sub(1),
                ended => return Ok(ended.map(drop)),
            }
        }
    }

    /// Reads up to the end, or to a report that is not needed, and returns the begin of its bucket then.
    fn read_rows(
        &self,
        mut rows: Rows<'_>,
        buckets: &mut Aggregation,
    ) -> rusqlite::Result<Result<Option<i64>, Crowded>> {
        // When the last report with the point was, and where its bucket begins.
        let mut found: Option<(UnixMillis, UnixMillis)> = None;
        while let Some(row) = rows.next()? {
            // By this number rows are chosen and in order, whether it is the one that was stored or not.
            let time = UnixMillis(self.format.time(row)?);
            if time < buckets.needed_from() {
                break;
            }
            // Of equal times the later arrival counts.
            if let Some((newest, begins)) = found
                && time < newest
                && time >= begins
            {
                return Ok(Ok(Some(begins.0)));
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
                    found = self.passes_over.map(|bucketing| (report.time, bucketing.begin_of(report.time)));
                }
            });
        }
        Ok(Ok(None))
    }
}
