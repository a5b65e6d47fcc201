//! The tables of a day's message file: reports that arrived on one day (UTC), in the order of their commits.
//! Times are Unix milliseconds.
//!
//! A file keeps the format in which it was begun, so a server that was upgraded today goes on with today's
//! file as it is: [`FileFormat`] reads and writes either.

use std::sync::LazyLock;

use narrowgate_platform::{
    ids::{DeviceId, LoginNumber, UnixMillis},
    model::message::MessageKind,
};
use rusqlite::{Connection, Row};

use super::{Cell as _, Stored, Table, Update, cell, messages_2, sql, table};

table! {
    /// A report, or an event.
    MESSAGES of MessageRow: "messages" as "m", summed as "message" {
        id: i64 = "INTEGER PRIMARY KEY",
        device: DeviceId = "INTEGER NOT NULL",
        kind: MessageKind = "TEXT NOT NULL",
        time: UnixMillis = "INTEGER NOT NULL",
        arrival: UnixMillis = "INTEGER NOT NULL",
        points: Box<str> = "TEXT NOT NULL",
        /// Of the login that made the session.
        login_number: LoginNumber = "INTEGER NOT NULL",
        /// The session, by its name in the gateway.
        session: u64 = "INTEGER NOT NULL",
        /// With `sequence` the place among all events, in the order of the commits.
        epoch: u64 = "INTEGER NOT NULL",
        sequence: u64 = "INTEGER NOT NULL",
    } "\n)"
}

table! {
    /// The one row that says how far the file's batches are complete. See "Several files, one batch" in the
    /// module `writer`.
    FOOTER of FooterRow: "footer" as "f", summed as "footer" {
        one: i64 = "INTEGER PRIMARY KEY CHECK (one = 1)",
        /// Number of the last batch if it touched the registry too, else the negative number of the
        /// registry's last one before it (0 in older files).
        batch: i64 = "INTEGER NOT NULL",
        /// Its first message.
        first_id: i64 = "INTEGER NOT NULL",
        /// No message is earlier …
        time_min: i64 = "INTEGER NOT NULL",
        /// … or later.
        time_max: i64 = "INTEGER NOT NULL",
    } "\n)"
}

table! {
    /// To which store the file belongs. A file of an older program gets it when it is first opened.
    ORIGIN of OriginRow: "origin" as "o", summed as "origin" {
        one: i64 = "INTEGER PRIMARY KEY CHECK (one = 1)",
        store_id: String = "TEXT NOT NULL",
        /// The store's epoch when the file was made, or got this.
        epoch: u64 = "INTEGER NOT NULL",
    } "\n)"
}

/// Where `kind` and `time` stand in the list of columns; the time also in that of format 2.
const KIND: usize = 2;
const TIME: usize = 3;
const POINTS: usize = 5;

/// The statements that make them, with their index.
pub(in crate::sqlite) fn schema() -> String {
    let tables: String = [&MESSAGES, &FOOTER, &ORIGIN].map(Table::create).concat();
    tables + "CREATE INDEX messages_device_time ON messages (device, time);\n"
}

/// How the rows of a file are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sqlite) enum FileFormat {
    /// Without login, session and place; see [`messages_2`].
    Two,
    /// The tables above.
    Four,
}

impl FileFormat {
    /// Of a file whose format this program knows.
    pub(in crate::sqlite) fn of(file: &Connection) -> rusqlite::Result<Self> {
        let format: u32 = file.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        Ok(if format == messages_2::FORMAT { Self::Two } else { Self::Four })
    }

    /// What a query lists of `messages m`.
    pub(in crate::sqlite) fn list(self) -> &'static str {
        match self {
            Self::Two => messages_2::LIST,
            Self::Four => MESSAGES.list(),
        }
    }

    /// Whether a row of that list says that it is an event. Its sum is not compared.
    pub(in crate::sqlite) fn is_event(self, row: &Row<'_>) -> bool {
        let kind = match self {
            Self::Two => messages_2::KIND,
            Self::Four => KIND,
        };
        row.get_ref(kind).is_ok_and(|kind| kind == MessageKind::Event.value())
    }

    /// The time by which a row of that list was found. Its sum is not compared.
    pub(in crate::sqlite) fn time(self, row: &Row<'_>) -> rusqlite::Result<i64> {
        // In both formats it is in the index: a number, unless the file is damaged.
        row.get(TIME)
    }

    /// How long the points of a row of that list are. Its sum is not compared.
    pub(in crate::sqlite) fn bytes(self, row: &Row<'_>) -> usize {
        // In both formats at the same place.
        row.get_ref(POINTS).ok().and_then(|points| points.as_bytes().ok()).map_or(0, <[u8]>::len)
    }

    /// Reads a row of that list, where it is as it was stored; `what` names it for people.
    pub(in crate::sqlite) fn read(
        self,
        row: &Row<'_>,
        what: impl FnOnce() -> String,
    ) -> rusqlite::Result<MessageRow> {
        match self {
            Self::Two => messages_2::read(row, what),
            Self::Four => MessageRow::intact(row, 0, what),
        }
    }

    /// Adds a message. What the file's format does not have of it is left out.
    pub(in crate::sqlite) fn add(self, file: &Connection, message: &MessageRow) -> rusqlite::Result<()> {
        match self {
            Self::Two => messages_2::add(file, message),
            Self::Four => message.insert(file),
        }
    }

    /// Makes a message unreadable, be it damaged or not: nobody's, of no time, and with blanks in place of
    /// its text. Its id, its arrival and its place stay; so does its length, so that SQLite writes over it in
    /// the page where it is, and moves no other row.
    pub(in crate::sqlite) fn blank(self, file: &Connection, id: i64) -> rusqlite::Result<()> {
        let places = match self {
            Self::Two => "0, 0",
            Self::Four => "m.epoch, m.sequence",
        };
        let sql = format!(
            "SELECT m.kind, m.arrival, length(CAST(m.points AS BLOB)), {places} FROM messages m \
             WHERE m.id = ?1"
        );
        let row = file.prepare_cached(&sql)?.query_row([id], |row| {
            let number = |column| row.get::<_, i64>(column).unwrap_or(0);
            Ok(MessageRow {
                id,
                device: DeviceId(0),
                kind: cell(row, 0).unwrap_or(MessageKind::Points),
                time: UnixMillis(0),
                arrival: UnixMillis(number(1)),
                points: blanks(usize::try_from(number(2)).unwrap_or(0)),
                login_number: LoginNumber(0),
                session: 0,
                epoch: number(3).cast_unsigned(),
                sequence: number(4).cast_unsigned(),
            })
        })?;
        match self {
            Self::Two => messages_2::replace(file, &row),
            Self::Four => REPLACE_MESSAGE.run(file, &row).map(drop),
        }
    }

    pub(in crate::sqlite) fn footer(self, file: &Connection) -> rusqlite::Result<FooterRow> {
        let what = || "the footer".to_owned();
        match self {
            Self::Two => messages_2::footer(file, what),
            Self::Four => {
                let sql = sql!("SELECT {} FROM footer f", FOOTER.list());
                file.prepare_cached(sql)?.query_row([], |row| FooterRow::intact(row, 0, what))
            }
        }
    }

    pub(in crate::sqlite) fn put_footer(self, file: &Connection, footer: &FooterRow) -> rusqlite::Result<()> {
        match self {
            Self::Two => messages_2::put_footer(file, footer),
            Self::Four => PUT_FOOTER.run(file, footer).map(drop),
        }
    }
}

/// A text of so many bytes in which nobody reads a value.
fn blanks(bytes: usize) -> Box<str> {
    let blank = format!("{:<bytes$}", "{}");
    if blank.len() > bytes { " ".repeat(bytes).into() } else { blank.into() }
}

static REPLACE_MESSAGE: LazyLock<Update> = LazyLock::new(|| {
    let all = ["device", "kind", "time", "arrival", "points", "login_number", "session", "epoch", "sequence"];
    MESSAGES.update(&all)
});
static PUT_FOOTER: LazyLock<Update> =
    LazyLock::new(|| FOOTER.update(&["batch", "first_id", "time_min", "time_max"]));
