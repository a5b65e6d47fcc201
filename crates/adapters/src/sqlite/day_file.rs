//! The writer's side of a message file.

use narrowgate_platform::{
    ids::{LoginNumber, Position, UnixMillis},
    model::{message::Message, retention::RetentionClass},
};
use rusqlite::Connection;

use super::{
    belonging::Origin,
    error::OpenError,
    files::{Layout, MESSAGES},
    options::SqliteOptions,
    schema::{
        Stored,
        messages::{FileFormat, FooterRow, MessageRow},
    },
    volume::Volume,
    watch::{Loss, Watched},
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
    volume: Volume,
    connection: Connection,
    format: FileFormat,
    /// The last message that belongs to a committed batch.
    committed_id: i64,
    /// Messages of the open transaction.
    added: i64,
    /// Widened by messages of the open transaction too.
    span: TimeSpan,
    watched: Watched,
}

impl DayFile {
    /// Opens a file, and makes it where there is none, with its `origin`.
    pub(super) fn open_or_create(
        layout: &Layout,
        volume: Volume,
        options: &SqliteOptions,
        origin: &Origin,
    ) -> Result<Self, OpenError> {
        if !layout.volume(volume).exists() {
            MESSAGES.create(&layout.volume(volume), |file| {
                Footer::EMPTY.row().insert(file)?;
                origin.write(file)
            })?;
        }
        Self::open(layout, volume, options)
    }

    /// Opens a file.
    pub(super) fn open(layout: &Layout, volume: Volume, options: &SqliteOptions) -> Result<Self, OpenError> {
        let file = layout.volume(volume);
        let sqlite = |source| OpenError::sqlite(&file, source);
        let connection = MESSAGES.connect(&file, options)?;
        let format = FileFormat::of(&connection).map_err(sqlite)?;
        let Footer { span, .. } = Footer::read(&connection, format).map_err(sqlite)?;
        let committed_id = connection
            .query_row("SELECT coalesce(max(id), 0) FROM messages", [], |row| row.get(0))
            .map_err(sqlite)?;
        let watched = Watched::new(file.clone())
            .map_err(|source| OpenError::io(&file, "cannot be looked at", source))?;
        Ok(Self { volume, connection, format, committed_id, added: 0, span, watched })
    }

    pub(super) fn volume(&self) -> Volume {
        self.volume
    }

    pub(super) fn span(&self) -> TimeSpan {
        self.span
    }

    pub(super) fn committed_id(&self) -> i64 {
        self.committed_id
    }

    /// The id that the next message gets.
    pub(super) fn upcoming_id(&self) -> i64 {
        self.committed_id + self.added + 1
    }

    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.added = 0;
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    /// Adds a message, with its `place` among all events.
    pub(super) fn add(&mut self, message: &Message, place: Position) -> rusqlite::Result<()> {
        let row = MessageRow {
            id: self.upcoming_id(),
            device: message.device,
            kind: message.kind,
            time: message.time,
            arrival: message.arrival,
            points: message.points_json.clone(),
            login_number: message.login.unwrap_or(LoginNumber(0)),
            session: message.session,
            epoch: place.epoch,
            sequence: place.sequence,
        };
        self.format.add(&self.connection, &row)?;
        self.added += 1;
        self.span.include(message.time);
        Ok(())
    }

    /// Commits. `batch`: the batch's number where it touches the registry too, else the negative number of
    /// the registry's last one; see [`before`].
    pub(super) fn commit(&mut self, batch: i64) -> rusqlite::Result<()> {
        Footer { batch, first_id: self.committed_id + 1, span: self.span }
            .write(&self.connection, self.format)?;
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// The batch of the last [`Self::commit`] is complete.
    pub(super) fn settle(&mut self) {
        self.committed_id += self.added;
        self.added = 0;
    }

    /// Says in the footer that the registry has durably got as far as transaction `number`, so that the last
    /// batch is complete. Not fsynced: nothing is wrong where that is lost.
    pub(super) fn note_registry(&self, number: i64) -> rusqlite::Result<()> {
        let footer = Footer::read(&self.connection, self.format)?;
        let level: i64 = self.connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        self.connection.pragma_update(None, "synchronous", "normal")?;
        let written = Footer { batch: -number, ..footer }.write(&self.connection, self.format);
        self.connection.pragma_update(None, "synchronous", level)?;
        written
    }

    /// Takes back what was added since [`Self::begin`], if it was called.
    pub(super) fn rollback(&mut self) -> rusqlite::Result<()> {
        self.added = 0;
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK")
    }

    /// Whether the file that is written still has its name.
    pub(super) fn look(&mut self) -> Result<(), Loss> {
        self.watched.look()
    }

    /// Removes the messages after `committed_id`, and with them the last batch's mark.
    pub(super) fn undo_after(&mut self, committed_id: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute("DELETE FROM messages WHERE id > ?1", [committed_id])?;
        // `first_id` changes with every undo, so that a page is written even where nothing was stored: what a
        // failed commit may have left at the end of the log is overwritten by it.
        let footer = Footer::read(&transaction, self.format)?;
        Footer { batch: before(footer.batch), first_id: footer.first_id + 1, ..footer }
            .write(&transaction, self.format)?;
        transaction.commit()?;
        self.committed_id = committed_id;
        Ok(())
    }

    /// Counts messages after `committed_id` as not committed, whether they can be removed yet or not.
    pub(super) fn trust_only(&mut self, committed_id: i64) {
        self.committed_id = committed_id;
    }

    /// After a crash: removes the last batch where its other half is not in the registry, whose last batch is
    /// `registry_batch`. `true` if there was one.
    pub(super) fn undo_half_batch(&mut self, registry_batch: i64) -> rusqlite::Result<bool> {
        let Footer { batch, first_id, .. } = Footer::read(&self.connection, self.format)?;
        if batch <= registry_batch {
            return Ok(false);
        }
        self.undo_after(first_id - 1)?;
        Ok(true)
    }

    /// Says to which store the file belongs, where it does not say so yet.
    pub(super) fn take_into(&self, origin: &Origin) -> rusqlite::Result<()> {
        match Origin::read(&self.connection)? {
            Some(_) => Ok(()),
            None => origin.write(&self.connection),
        }
    }

    /// Calls `each` with at most `limit` messages after `id`, in order; returns the id of the last one. A
    /// damaged message is left out, with an entry in the log: one of them must not keep a server from
    /// starting.
    pub(super) fn read_after(
        &self,
        id: i64,
        limit: usize,
        mut each: impl FnMut(Message) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<i64> {
        let sql = format!("SELECT {} FROM messages m WHERE id > ?1 ORDER BY id", self.format.list());
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut rows = select.query([id])?;
        let mut last = id;
        for _ in 0..limit {
            let Some(row) = rows.next()? else { break };
            last = row.get(0)?;
            match self.format.read(row, || format!("message {last}")) {
                Ok(row) => each(message(row))?,
                Err(error) if error.sqlite_error_code().is_some() => return Err(error),
                Err(error) => {
                    tracing::error!(file = %self.volume, id = last, %error, "a stored message is damaged");
                }
            }
        }
        Ok(last)
    }

    pub(super) fn format(&self) -> FileFormat {
        self.format
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Writes the log back into the file; `false`: another program reads it.
    pub(super) fn checkpoint(&self) -> rusqlite::Result<bool> {
        checkpoint(&self.connection)
    }
}

fn message(row: MessageRow) -> Message {
    let MessageRow { device, kind, time, arrival, points, login_number, session, .. } = row;
    let login = (login_number != LoginNumber(0)).then_some(login_number);
    // The version of its secret was judged when it was stored, and which file it is in.
    let retention = RetentionClass::STANDARD;
    Message { device, kind, time, arrival, login, secret_version: 0, session, retention, points_json: points }
}

/// What a footer says without its last batch: the negative number of a transaction that was durable in the
/// registry before. A file that knows of a later one than the registry has is newer than the registry.
pub(super) fn before(batch: i64) -> i64 {
    if batch > 0 { 1 - batch } else { batch }
}

/// The one row that says how far a file's batches are complete.
#[derive(Debug, Clone, Copy)]
struct Footer {
    batch: i64,
    first_id: i64,
    span: TimeSpan,
}

impl Footer {
    const EMPTY: Self = Self { batch: 0, first_id: 1, span: TimeSpan { min: i64::MAX, max: i64::MIN } };

    fn read(file: &Connection, format: FileFormat) -> rusqlite::Result<Self> {
        let FooterRow { batch, first_id, time_min, time_max, .. } = format.footer(file)?;
        Ok(Self { batch, first_id, span: TimeSpan { min: time_min, max: time_max } })
    }

    fn write(self, file: &Connection, format: FileFormat) -> rusqlite::Result<()> {
        format.put_footer(file, &self.row())
    }

    fn row(self) -> FooterRow {
        let Self { batch, first_id, span: TimeSpan { min, max } } = self;
        FooterRow { one: 1, batch, first_id, time_min: min, time_max: max }
    }
}

/// Writes a database's log back into its file and empties it. `false`: another program reads the database, so
/// the log is still needed, and the file may lack what is in it.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        let blocked: bool = row.get(0)?;
        Ok(!blocked)
    })
}

#[cfg(test)]
mod tests {
    use narrowgate_platform::{ids::DeviceId, model::message::MessageKind};

    use super::*;
    use crate::sqlite::files::make_directory;

    fn message(n: i64) -> Message {
        let time = UnixMillis(n);
        let kind = if n % 2 == 0 { MessageKind::PointsResumed } else { MessageKind::Points };
        Message {
            device: DeviceId(n),
            kind,
            time,
            arrival: UnixMillis(n + 1),
            login: None,
            secret_version: 0,
            session: 0,
            retention: RetentionClass::STANDARD,
            points_json: "{}".into(),
        }
    }

    fn commit(file: &mut DayFile, batch: i64, numbers: std::ops::RangeInclusive<i64>) {
        file.begin().unwrap();
        for n in numbers {
            file.add(&message(n), Position { epoch: 1, sequence: n.unsigned_abs() }).unwrap();
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
        let open = || {
            let origin = Origin { store_id: "id".to_owned(), epoch: 1 };
            let options = SqliteOptions::new(folder.path());
            DayFile::open_or_create(&layout, Volume::parse("1970-01-01").unwrap(), &options, &origin).unwrap()
        };
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
