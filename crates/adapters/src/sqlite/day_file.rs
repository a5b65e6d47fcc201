//! The writer's side of one day's message file.

use narrowgate_platform::{
    ids::{DeviceId, UnixMillis},
    model::message::{Message, MessageKind},
};
use rusqlite::{Connection, params};

use super::{
    day::Day,
    error::OpenError,
    files::{Layout, MESSAGES},
    options::Synchronous,
};

/// Times of the reports in a file: none is earlier or later. `min > max`: there are none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeSpan {
    pub(super) min: i64,
    pub(super) max: i64,
}

impl TimeSpan {
    fn include(&mut self, time: UnixMillis) {
        self.min = self.min.min(time.0);
        self.max = self.max.max(time.0);
    }
}

/// An open file and what is known of it.
#[derive(Debug)]
pub(super) struct DayFile {
    day: Day,
    connection: Connection,
    /// The last message that belongs to a committed batch.
    committed_id: i64,
    /// Messages of the open transaction.
    added: i64,
    /// Widened by messages of the open transaction too.
    span: TimeSpan,
}

impl DayFile {
    /// Opens a day's file, which is made where there is none.
    pub(super) fn open_or_create(
        layout: &Layout,
        day: Day,
        synchronous: Synchronous,
    ) -> Result<Self, OpenError> {
        if !layout.day(day).exists() {
            MESSAGES.create(&layout.day(day), |_| Ok(()))?;
        }
        Self::open(layout, day, synchronous)
    }

    /// Opens a day's file.
    pub(super) fn open(layout: &Layout, day: Day, synchronous: Synchronous) -> Result<Self, OpenError> {
        let file = layout.day(day);
        let sqlite = |source| OpenError::sqlite(&file, source);
        let connection = MESSAGES.connect(&file, synchronous)?;
        let span = connection
            .query_row("SELECT time_min, time_max FROM footer", [], |row| {
                Ok(TimeSpan { min: row.get(0)?, max: row.get(1)? })
            })
            .map_err(sqlite)?;
        let committed_id = connection
            .query_row("SELECT coalesce(max(id), 0) FROM messages", [], |row| row.get(0))
            .map_err(sqlite)?;
        Ok(Self { day, connection, committed_id, added: 0, span })
    }

    pub(super) fn day(&self) -> Day {
        self.day
    }

    pub(super) fn span(&self) -> TimeSpan {
        self.span
    }

    pub(super) fn committed_id(&self) -> i64 {
        self.committed_id
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.added = 0;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    pub(super) fn add(&mut self, message: &Message) -> rusqlite::Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO messages (device, kind, time, arrival, points) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let kind = match message.kind {
            MessageKind::Points => "points",
            MessageKind::PointsResumed => "resumed",
        };
        let Message { device, time, arrival, points_json, .. } = message;
        insert.execute(params![device.0, kind, time.0, arrival.0, points_json])?;
        self.added += 1;
        self.span.include(message.time);
        Ok(())
    }

    /// Commits. `batch`: number of a batch that touches the registry too, else 0.
    pub(super) fn commit(&mut self, batch: i64) -> rusqlite::Result<()> {
        let mut footer = self
            .connection
            .prepare_cached("UPDATE footer SET batch = ?1, first_id = ?2, time_min = ?3, time_max = ?4")?;
        footer.execute(params![batch, self.committed_id + 1, self.span.min, self.span.max])?;
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// The batch of the last [`Self::commit`] is complete.
    pub(super) fn settle(&mut self) {
        self.committed_id += self.added;
        self.added = 0;
    }

    /// Takes away messages after `committed_id`, and with them the last batch's mark.
    pub(super) fn undo_after(&mut self, committed_id: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute("DELETE FROM messages WHERE id > ?1", [committed_id])?;
        // `first_id` changes with every undo, so that a page is written even where nothing was stored: what a
        // failed commit may have left at the end of the log is overwritten by it.
        transaction.execute("UPDATE footer SET batch = 0, first_id = first_id + 1", [])?;
        transaction.commit()?;
        self.committed_id = committed_id;
        Ok(())
    }

    /// Counts messages after `committed_id` as not committed, whether they can be taken away yet or not.
    pub(super) fn trust_only(&mut self, committed_id: i64) {
        self.committed_id = committed_id;
    }

    /// After a crash: takes away the last batch where its other half is not in the registry, whose last batch is
    /// `registry_batch`. `true` if there was one.
    pub(super) fn undo_half_batch(&mut self, registry_batch: i64) -> rusqlite::Result<bool> {
        let footer = "SELECT batch, first_id FROM footer";
        let (batch, first_id): (i64, i64) =
            self.connection.query_row(footer, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if batch <= registry_batch {
            return Ok(false);
        }
        self.undo_after(first_id - 1)?;
        Ok(true)
    }

    /// Calls `each` with at most `limit` messages after `id`, in order; the id of the last one.
    pub(super) fn read_after(
        &self,
        id: i64,
        limit: usize,
        mut each: impl FnMut(Message) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<i64> {
        let sql = "SELECT device, kind, time, arrival, points, id FROM messages WHERE id > ?1 ORDER BY id";
        let mut select = self.connection.prepare_cached(sql)?;
        let mut rows = select.query([id])?;
        let mut last = id;
        for _ in 0..limit {
            let Some(row) = rows.next()? else { break };
            each(Message {
                device: DeviceId(row.get(0)?),
                kind: match row.get_ref(1)?.as_str()? {
                    "resumed" => MessageKind::PointsResumed,
                    _ => MessageKind::Points,
                },
                time: UnixMillis(row.get(2)?),
                arrival: UnixMillis(row.get(3)?),
                points_json: row.get::<_, String>(4)?.into(),
            })?;
            last = row.get(5)?;
        }
        Ok(last)
    }

    /// Writes the log back into the file.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<()> {
        checkpoint(&self.connection)
    }
}

/// Writes a database's log back into its file and empties it.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::files::make_directory;

    fn message(n: i64) -> Message {
        let time = UnixMillis(n);
        let kind = if n % 2 == 0 { MessageKind::PointsResumed } else { MessageKind::Points };
        Message { device: DeviceId(n), kind, time, arrival: UnixMillis(n + 1), points_json: "{}".into() }
    }

    fn commit(file: &mut DayFile, batch: i64, numbers: std::ops::RangeInclusive<i64>) {
        file.begin().unwrap();
        for n in numbers {
            file.add(&message(n)).unwrap();
        }
        file.commit(batch).unwrap();
    }

    fn times(file: &DayFile) -> Vec<i64> {
        let mut times = Vec::new();
        file.read_after(0, usize::MAX, |message| {
            times.push(message.time.0);
            Ok(())
        })
        .unwrap();
        times
    }

    #[test]
    fn a_half_batch_is_undone_and_a_whole_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { data: folder.path().to_owned() };
        make_directory(&layout.messages()).unwrap();
        let open = || DayFile::open_or_create(&layout, Day::of(UnixMillis(0)), Synchronous::Full).unwrap();
        let mut file = open();
        commit(&mut file, 0, 1..=3);
        file.settle();
        commit(&mut file, 7, 4..=5);
        drop(file);

        let mut file = open();
        assert_eq!((file.span(), file.committed_id()), (TimeSpan { min: 1, max: 5 }, 5));
        assert!(!file.undo_half_batch(7).unwrap());
        assert_eq!(times(&file), [1, 2, 3, 4, 5]);
        assert!(file.undo_half_batch(6).unwrap());
        assert_eq!((times(&file), file.committed_id()), (vec![1, 2, 3], 3));
        assert!(!file.undo_half_batch(6).unwrap());
        commit(&mut file, 0, 9..=9);
        file.settle();
        assert_eq!((times(&file), file.committed_id()), (vec![1, 2, 3, 9], 4));
    }
}
