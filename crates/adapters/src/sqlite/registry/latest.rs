//! Latest values as they are written down, and the marks that say how far they are complete.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::log::LogEntry,
    rules::clock::heard_by_news,
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    super::{
        aside::is_corrupt,
        pending::Activity,
        rows,
        schema::{
            Stored, insert_or,
            registry::{LATEST, LatestRow, MARKS, MarkRow},
            sql,
        },
        volume::Volume,
    },
    Registry, unless_damaged,
};

/// What became of news of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite) enum Put {
    /// Its row has them, and so many bytes.
    Done(usize),
    /// What it had before cannot be read and is made anew first.
    Later,
}

/// Devices that are remembered as told; at the limit all are forgotten, and told again.
const TOLD_MAX: usize = 1 << 16;

/// Every file that has a mark, with the message that it names. A damaged one says nothing.
pub(in crate::sqlite) fn marks(registry: &Connection) -> rusqlite::Result<Vec<(Volume, i64)>> {
    let sql = sql!("SELECT {} FROM marks ORDER BY day", MARKS.list());
    let mut select = registry.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        let mark = MarkRow::intact(row, 0, || "the mark of a day".to_owned()).map(Some);
        let mark = unless_damaged(mark)?;
        marks.extend(mark.and_then(|mark| Some((Volume::parse(&mark.day)?, mark.id))));
    }
    Ok(marks)
}

/// Forgets how far a file's latest values are complete: all its messages are read again.
pub(in crate::sqlite) fn forget_mark(registry: &Connection, volume: Volume) -> rusqlite::Result<()> {
    registry.execute("DELETE FROM marks WHERE day = ?1", [volume.to_string()]).map(drop)
}

/// Writes the row of a device; returns how many bytes its values have.
pub(super) fn write(registry: &Connection, device: DeviceId, activity: &Activity) -> rusqlite::Result<usize> {
    let sql = sql!(
        "{}",
        insert_or(
            &LATEST,
            "ON CONFLICT DO UPDATE SET seen = excluded.seen, points = excluded.points, sum = excluded.sum"
        )
    );
    let row = LatestRow { device, seen: activity.seen, points: activity.points.to_json() };
    row.insert_or(registry, sql)?;
    Ok(row.points.len())
}

impl Registry {
    /// Applies news of a device to its row of latest values. A device that was deleted meanwhile gets none.
    pub(in crate::sqlite) fn put_activity(
        &mut self,
        device: DeviceId,
        news: &Activity,
    ) -> rusqlite::Result<Put> {
        let heard = "SELECT last_seen_time FROM devices WHERE id = ?1";
        let heard = self.connection.prepare_cached(heard)?.query_row([device.0], |row| Ok(row.get(0).ok()));
        let Some(heard) = heard.optional()? else { return Ok(Put::Done(0)) };
        let older = match rows::latest(&self.connection, device) {
            Ok(None) => match self.row_aside(device) {
                Err(error) if is_corrupt(&error) => return Ok(Put::Later),
                found => found.map(|row| row.map(Activity::from)),
            },
            found => found,
        };
        let heard = heard.map(UnixMillis);
        let right = heard_by_news(heard, news.seen);
        if let Some(seen) = right
            && right < heard
        {
            self.correct_last_seen(device, seen)?;
        }
        let mut activity = news.clone();
        match older {
            Ok(Some(stored)) => activity.merge_older(stored),
            Ok(None) => {}
            Err(error) if rows::is_fault_of_row(&error) => {
                let device = device.0;
                tracing::error!(device, %error, "latest values are damaged; new ones replace them");
            }
            Err(error) => return Err(error),
        }
        let bytes = write(&self.connection, device, &activity)?;
        if activity.forgot {
            self.tell_that_points_are_forgotten(device, activity.seen)?;
        }
        Ok(Put::Done(bytes))
    }

    /// Once in a process: the log of a device whose latest values are more than are kept says so.
    fn tell_that_points_are_forgotten(
        &mut self,
        device: DeviceId,
        at: Option<UnixMillis>,
    ) -> rusqlite::Result<()> {
        // A start that folds messages in has no epoch yet.
        if self.places.epoch() == 0 || self.told_forgotten.contains(&device) {
            return Ok(());
        }
        if self.told_forgotten.len() >= TOLD_MAX {
            self.told_forgotten.clear();
        }
        self.told_forgotten.insert(device);
        self.next_happening();
        self.note(LogEntry::latest_bounded(device, at.unwrap_or(UnixMillis(0))))
    }

    /// A device that was reset was never heard. A row that is not as it was stored stays so until a report
    /// replaces it.
    pub(super) fn forget_last_seen(&self, device: DeviceId) -> rusqlite::Result<()> {
        let sql = sql!("SELECT {} FROM latest l WHERE l.device = ?1", LATEST.list());
        let what = || format!("the row of latest values of device {}", device.0);
        let found = self
            .connection
            .prepare_cached(sql)?
            .query_row([device.0], |row| LatestRow::intact(row, 0, what))
            .optional();
        if let Some(row) = unless_damaged(found)? {
            LATEST.update(&["seen"]).run(&self.connection, &LatestRow { seen: None, ..row })?;
        } else if let Ok(Some(row)) = self.row_aside(device) {
            let sql = sql!("{}", insert_or(&LATEST, "ON CONFLICT DO NOTHING"));
            LatestRow { seen: None, ..row }.insert_or(&self.connection, sql)?;
        }
        Ok(())
    }

    /// Message of a file up to which the latest values are complete.
    pub(in crate::sqlite) fn mark(&self, volume: Volume) -> rusqlite::Result<i64> {
        let sql = sql!("SELECT {} FROM marks WHERE day = ?1", MARKS.list());
        let mark = self.connection.prepare_cached(sql)?.query_row([volume.to_string()], |row| {
            MarkRow::intact(row, 0, || format!("the mark of {volume}"))
        });
        // Without it all its messages are read.
        Ok(unless_damaged(mark.optional())?.map_or(0, |mark| mark.id))
    }

    pub(in crate::sqlite) fn set_mark(&self, volume: Volume, id: i64) -> rusqlite::Result<()> {
        let sql =
            sql!("{}", insert_or(&MARKS, "ON CONFLICT DO UPDATE SET id = excluded.id, sum = excluded.sum"));
        MarkRow { day: volume.to_string(), id }.insert_or(&self.connection, sql)
    }

    pub(in crate::sqlite) fn forget_mark(&self, volume: Volume) -> rusqlite::Result<()> {
        self.forget_newest(volume)?;
        forget_mark(&self.connection, volume)
    }
}
