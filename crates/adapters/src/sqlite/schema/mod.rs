//! The tables: each is declared once, as the Rust type of its rows. How the table is made, what a query
//! lists, how a row is read, written and summed, and whether it is as it was stored: all of that follows from
//! the declaration.
//!
//! A list of a table's columns, [`Table::list`], is all of them and their sum. A row is read from such a list
//! by [`Stored::intact`], so nothing is read of a row whose sum has not been compared; and a row is changed
//! by [`Update`], which takes the row as it was read and so never gives a damaged one a sum that is right.
//!
//! A column that a later format adds stands behind the sum, in the part `later`, may be NULL, and is summed
//! only where it is not: so the rows that are there when it is added are right as they are, and none is
//! rewritten.

pub(super) mod access;
pub(super) mod firmware;
pub(super) mod happened;
pub(super) mod log;
pub(super) mod messages;
mod messages_2;
pub(super) mod registry;
pub(super) mod users;
mod write;

use std::sync::LazyLock;

use narrowgate_platform::{
    firmware::{ImageId, PausedBy, Sha256Sum, UpgradeFailure, UpgradeState},
    ids::{DeviceId, LoginNumber, UnixMillis},
    model::{
        access::Role,
        command::{CommandKind, CommandState},
        device::DeviceState,
        log::{LogEvent, Reason},
        message::MessageKind,
        product::{ContentCode, DataFormat, Profile},
        property::PropertyKind,
    },
};
use rusqlite::{
    Connection, Row,
    types::{FromSql, FromSqlError, FromSqlResult, Type, Value, ValueRef},
};

pub(super) use self::write::insert_all;
use self::write::{AT_ONCE, execute};
use super::{names::Named, sum};

/// A table whose rows have a sum in their last column, `sum`.
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// What queries call it.
    pub(super) alias: &'static str,
    /// The word for it in the sums of its rows.
    word: &'static str,
    /// In the order in which they are summed.
    columns: &'static [Column],
    /// How many of them the table's first format had; the others are summed where they are not NULL.
    first: usize,
    /// What follows the columns in `CREATE TABLE`, from a comma on or the closing parenthesis.
    rest: &'static str,
    texts: LazyLock<Texts>,
}

/// A column as SQLite declares it.
struct Column {
    name: &'static str,
    declared: &'static str,
}

/// Pieces of SQL about a table.
struct Texts {
    list: String,
    is_intact: String,
    insert: String,
    insert_many: String,
    insert_numbered: String,
    put_sum: String,
}

impl Table {
    /// The statement that makes it.
    pub(super) fn create(&self) -> String {
        let declare = |columns: &[Column]| -> String {
            columns.iter().map(|Column { name, declared }| format!(",\n  {name} {declared}")).collect()
        };
        let (first, later) = self.columns.split_at(self.first);
        let (name, rest) = (self.name, self.rest);
        let columns = declare(first) + ",\n  sum INTEGER NOT NULL" + &declare(later);
        format!("CREATE TABLE {name} ({}{rest};\n", columns.trim_start_matches(','))
    }

    /// All columns, and the sum after them, as a query lists them.
    pub(super) fn list(&self) -> &str {
        &self.texts.list
    }

    /// How many columns that list has.
    pub(super) fn width(&self) -> usize {
        self.columns.len() + 1
    }

    /// A condition: the row is as it was stored.
    pub(super) fn is_intact(&self) -> &str {
        &self.texts.is_intact
    }

    /// Where a column stands in the list.
    pub(super) fn position(&self, column: &str) -> usize {
        let found = self.columns.iter().position(|known| known.name == column);
        found.expect("a statement names columns of its table; a test runs all of them")
    }

    /// Changes these columns of one row, which is found by the table's first column.
    pub(super) fn update(&'static self, columns: &[&str]) -> Update {
        let (key, sum) = (columns.len() + 2, columns.len() + 1);
        let set: String = columns.iter().zip(1..).map(|(name, n)| format!("{name} = ?{n}, ")).collect();
        let (name, first) = (self.name, self.columns[0].name);
        Update {
            columns: columns.iter().map(|column| self.position(column)).collect(),
            sql: format!("UPDATE {name} SET {set}sum = ?{sum} WHERE {first} = ?{key}"),
        }
    }

    /// The values of the row whose list begins at column `first`, where it is as it was stored; `what` names
    /// it for people.
    fn intact<'a>(
        &self,
        row: &'a Row<'_>,
        first: usize,
        what: impl FnOnce() -> String,
    ) -> rusqlite::Result<Vec<ValueRef<'a>>> {
        let end = first + self.columns.len();
        let values = (first..end).map(|column| row.get_ref(column)).collect::<rusqlite::Result<Vec<_>>>()?;
        sum::check(row.get_ref(end)?, self.sum(&values), what)?;
        Ok(values)
    }

    /// Passes where the row whose list begins at column `first` is as it was stored; `what` names it for
    /// people.
    pub(super) fn check(
        &self,
        row: &Row<'_>,
        first: usize,
        what: impl FnOnce() -> String,
    ) -> rusqlite::Result<()> {
        self.intact(row, first, what).map(drop)
    }

    /// The sum of a row with these values.
    fn sum(&self, values: &[ValueRef<'_>]) -> i64 {
        sum::of_row(self.word, self.first, values.iter().copied())
    }

    fn texts(&self) -> Texts {
        let Self { name, alias, word, columns, first, .. } = self;
        let each = |text: &dyn Fn(&str) -> String| -> String {
            columns.iter().map(|column| text(column.name)).collect()
        };
        let count = columns.len();
        let places = (1..=count).map(|n| format!("?{n}, ")).collect::<String>();
        let row = format!("({}?)", "?, ".repeat(count));
        Texts {
            list: each(&|column| format!("{alias}.{column}, ")) + &format!("{alias}.sum"),
            is_intact: format!(
                "{alias}.sum IS row_sum('{word}', {first}{})",
                each(&|column| format!(", {alias}.{column}"))
            ),
            insert: format!(
                "INSERT INTO {name} ({}sum) VALUES ({places}?{})",
                each(&|column| format!("{column}, ")),
                count + 1
            ),
            // `FAIL`: a row that cannot be added fails the whole transaction, so nothing is kept by which the
            // statement alone could be taken back.
            insert_many: format!(
                "INSERT OR FAIL INTO {name} ({}sum) VALUES {}",
                each(&|column| format!("{column}, ")),
                [row.as_str(); AT_ONCE].join(", ")
            ),
            insert_numbered: format!(
                "INSERT INTO {name} ({}sum) VALUES ({}0)",
                columns.iter().skip(1).map(|column| format!("{}, ", column.name)).collect::<String>(),
                (1..count).map(|n| format!("?{n}, ")).collect::<String>()
            ),
            put_sum: format!("UPDATE {name} SET sum = ?1 WHERE {} = ?2", columns[0].name),
        }
    }
}

/// A change of some columns of a row.
pub(super) struct Update {
    columns: Vec<usize>,
    sql: String,
}

impl Update {
    /// Writes those columns of `row`, and its sum; the number of rows that were changed.
    pub(super) fn run<R: Stored>(&self, connection: &Connection, row: &R) -> rusqlite::Result<usize> {
        let values = row.values();
        let changed = self.columns.iter().map(|column| values[*column]);
        let last = [ValueRef::Integer(R::table().sum(&values)), values[0]];
        execute(connection, &self.sql, changed.chain(last))
    }
}

/// A row of a table.
pub(super) trait Stored: Sized {
    /// The table.
    fn table() -> &'static Table;
    /// Reads it from the values of all columns but the sum, in their order. Only [`Self::intact`] calls it.
    fn read(values: &[ValueRef<'_>]) -> rusqlite::Result<Self>;
    /// The values of all columns but the sum.
    fn values(&self) -> Vec<ValueRef<'_>>;

    /// Reads it where it is as it was stored; `what` names it for people.
    fn intact(row: &Row<'_>, first: usize, what: impl FnOnce() -> String) -> rusqlite::Result<Self> {
        Self::read(&Self::table().intact(row, first, what)?)
    }

    /// Adds it under a number that SQLite assigns, in place of its own, and returns that number.
    /// [`Self::put_sum`] must follow, once the row has it.
    fn insert_numbered(&self, connection: &Connection) -> rusqlite::Result<i64> {
        let values = self.values().into_iter().skip(1);
        execute(connection, &Self::table().texts.insert_numbered, values)?;
        Ok(connection.last_insert_rowid())
    }

    /// Writes its sum.
    fn put_sum(&self, connection: &Connection) -> rusqlite::Result<()> {
        let values = self.values();
        let values = [ValueRef::Integer(Self::table().sum(&values)), values[0]];
        execute(connection, &Self::table().texts.put_sum, values.into_iter()).map(drop)
    }

    /// Adds it.
    fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.insert_or(connection, &Self::table().texts.insert)
    }

    /// Runs an `INSERT` of its own that has the same values in the same places; made by [`insert_or`].
    fn insert_or(&self, connection: &Connection, sql: &str) -> rusqlite::Result<()> {
        let values = self.values();
        let sum = ValueRef::Integer(Self::table().sum(&values));
        execute(connection, sql, values.into_iter().chain([sum])).map(drop)
    }
}

/// An `INSERT` into the table with a clause at its end: what to do on a conflict.
pub(super) fn insert_or(table: &Table, rest: &str) -> String {
    format!("{} {rest}", table.texts.insert)
}

/// What a column can hold.
pub(super) trait Cell: Sized {
    /// From what SQLite has.
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self>;
    /// For SQLite.
    fn value(&self) -> ValueRef<'_>;
}

/// Reads a column.
pub(super) fn cell<T: Cell>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    value_of_cell(row.get_ref(column)?, column)
}

/// Reads the value of a column.
fn value_of_cell<T: Cell>(value: ValueRef<'_>, column: usize) -> rusqlite::Result<T> {
    let failed =
        |error: FromSqlError| rusqlite::Error::FromSqlConversionFailure(column, Type::Null, Box::new(error));
    T::of(value).map_err(failed)
}

macro_rules! integers {
    ($($type:ty: $read:expr, $write:expr;)+) => {
        $(impl Cell for $type {
            fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
                FromSql::column_result(value).map($read)
            }
            fn value(&self) -> ValueRef<'_> {
                ValueRef::Integer($write(*self))
            }
        })+
    };
}
integers! {
    i64: |value: i64| value, |value| value;
    u32: |value: u32| value, i64::from;
    u16: |value: u16| value, i64::from;
    bool: |value: bool| value, i64::from;
    UnixMillis: UnixMillis, |value: UnixMillis| value.0;
    DeviceId: DeviceId, |value: DeviceId| value.0;
    // SQLite's integers are signed: the same 64 bits.
    u64: |value: i64| value.cast_unsigned(), u64::cast_signed;
    LoginNumber: |value: i64| LoginNumber(value.cast_unsigned()), |value: LoginNumber| value.0.cast_signed();
}

macro_rules! words {
    ($($type:ty),+) => {
        $(impl Cell for $type {
            fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::of_word(value.as_str()?)
            }
            fn value(&self) -> ValueRef<'_> {
                ValueRef::Text(self.word().as_bytes())
            }
        })+
    };
}
words!(
    DeviceState,
    Role,
    LogEvent,
    Reason,
    Profile,
    DataFormat,
    ContentCode,
    PropertyKind,
    CommandKind,
    CommandState,
    UpgradeState,
    UpgradeFailure,
    PausedBy
);

impl Cell for ImageId {
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let no_id = |_| FromSqlError::Other("no id of an image".into());
        value.as_str()?.parse().map_err(no_id)
    }

    fn value(&self) -> ValueRef<'_> {
        ValueRef::Text(self.as_str().as_bytes())
    }
}

impl Cell for Sha256Sum {
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?.try_into();
        bytes.map(Self).map_err(|_| FromSqlError::Other("no SHA-256".into()))
    }

    fn value(&self) -> ValueRef<'_> {
        ValueRef::Blob(&self.0)
    }
}

impl Cell for MessageKind {
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "points" => Ok(Self::Points),
            "resumed" => Ok(Self::PointsResumed),
            "event" => Ok(Self::Event),
            word => Err(FromSqlError::Other(format!("unknown word {word:?}").into())),
        }
    }

    fn value(&self) -> ValueRef<'_> {
        match self {
            Self::Points => ValueRef::Text(b"points"),
            Self::PointsResumed => ValueRef::Text(b"resumed"),
            Self::Event => ValueRef::Text(b"event"),
        }
    }
}

impl Cell for Box<str> {
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(Self::from)
    }

    fn value(&self) -> ValueRef<'_> {
        ValueRef::Text(self.as_bytes())
    }
}

impl Cell for String {
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str().map(str::to_owned)
    }

    fn value(&self) -> ValueRef<'_> {
        ValueRef::Text(self.as_bytes())
    }
}

impl Cell for Value {
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
        FromSql::column_result(value)
    }

    fn value(&self) -> ValueRef<'_> {
        self.into()
    }
}

impl Cell for Vec<u8> {
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_blob().map(<[u8]>::to_vec)
    }

    fn value(&self) -> ValueRef<'_> {
        ValueRef::Blob(self)
    }
}

impl<T: Cell> Cell for Option<T> {
    fn of(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(None),
            value => T::of(value).map(Some),
        }
    }

    fn value(&self) -> ValueRef<'_> {
        self.as_ref().map_or(ValueRef::Null, T::value)
    }
}

/// Declares a table: `static` and type of its rows, then its name, what queries call it and its word in sums,
/// then its columns in the order in which they are summed, those of later formats behind the others, then the
/// rest of `CREATE TABLE`.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $table:ident of $row:ident: $name:literal as $alias:literal, summed as $word:literal {
            $($(#[$column_doc:meta])* $column:ident: $type:ty = $declared:literal,)+
        }
        $(later { $($(#[$later_doc:meta])* $later:ident: $later_type:ty = $later_declared:literal,)+ })?
        $rest:literal
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(in crate::sqlite) struct $row {
            $($(#[$column_doc])* pub(in crate::sqlite) $column: $type,)+
            $($($(#[$later_doc])* pub(in crate::sqlite) $later: Option<$later_type>,)+)?
        }

        pub(in crate::sqlite) static $table: crate::sqlite::schema::Table = crate::sqlite::schema::Table {
            name: $name,
            alias: $alias,
            word: $word,
            columns: &[
                $(crate::sqlite::schema::Column { name: stringify!($column), declared: $declared },)+
                $($(crate::sqlite::schema::Column { name: stringify!($later), declared: $later_declared },)+)?
            ],
            first: [$(stringify!($column)),+].len(),
            rest: $rest,
            texts: std::sync::LazyLock::new(|| $table.texts()),
        };

        impl crate::sqlite::schema::Stored for $row {
            fn table() -> &'static crate::sqlite::schema::Table {
                &$table
            }

            fn read(values: &[rusqlite::types::ValueRef<'_>]) -> rusqlite::Result<Self> {
                let mut next = 0;
                $(
                    let $column = crate::sqlite::schema::value_of_cell(values[next], next)?;
                    next += 1;
                )+
                $($(
                    let $later = crate::sqlite::schema::value_of_cell(values[next], next)?;
                    next += 1;
                )+)?
                debug_assert_eq!(next, values.len());
                Ok(Self { $($column,)+ $($($later,)+)? })
            }

            fn values(&self) -> Vec<rusqlite::types::ValueRef<'_>> {
                vec![
                    $(crate::sqlite::schema::Cell::value(&self.$column),)+
                    $($(crate::sqlite::schema::Cell::value(&self.$later),)+)?
                ]
            }
        }
    };
}
pub(super) use table;

/// SQL that is made once: like `format!`, but kept.
macro_rules! sql {
    ($($part:tt)+) => {{
        static SQL: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| format!($($part)+));
        SQL.as_str()
    }};
}
pub(super) use sql;

#[cfg(test)]
mod tests;
