//! The tables of the registry. Times are Unix milliseconds. Secrets are sealed with the data key.

use narrowgate_platform::{
    ids::{DeviceId, LoginNumber, UnixMillis},
    model::{
        command::{CommandKind, CommandState},
        device::DeviceState,
        product::{ContentCode, DataFormat, Profile},
        property::PropertyKind,
    },
};

use rusqlite::types::{Value, ValueRef};

use super::{
    super::{stream, sum},
    Table,
    access::{self, REQUESTS, TOKENS, UNITS},
    firmware::{self, IMAGES, UPGRADES, VERSIONS},
    happened::{HAPPENED, HAPPENED_KEPT},
    table,
    users::{self, USER_SESSIONS, USERS},
};

table! {
    /// A product, without its model.
    PRODUCTS of ProductRow: "products" as "p", summed as "product" {
        id: i64 = "INTEGER PRIMARY KEY AUTOINCREMENT",
        ou: String = "TEXT NOT NULL",
        product_key: String = "TEXT NOT NULL UNIQUE",
        name: String = "TEXT NOT NULL",
        secret: Vec<u8> = "BLOB NOT NULL",
        enabled: bool = "INTEGER NOT NULL",
        activation_enabled: bool = "INTEGER NOT NULL",
        activation_ends_at: Option<UnixMillis> = "INTEGER",
        activation_quota: u32 = "INTEGER NOT NULL",
        created: UnixMillis = "INTEGER NOT NULL",
        /// Clock hour (since 1970) of the last issued secret.
        issued_hour: i64 = "INTEGER NOT NULL DEFAULT 0",
        /// How many were issued in it.
        issued_count: u32 = "INTEGER NOT NULL DEFAULT 0",
    }
    later {
        /// The class of retention of what its devices report; `None`: the standard one.
        retention: String = "TEXT",
        /// `None`: the default one.
        profile: Profile = "TEXT",
        /// Whether its devices may use short paths; `None`: they may not.
        short_paths: bool = "INTEGER",
        /// `None`: JSON.
        data_format: DataFormat = "TEXT",
        /// `None`: 2.05.
        content_code: ContentCode = "TEXT",
        /// Whether its organisation unit is suspended; `None`: it is not.
        suspended: bool = "INTEGER",
    }
    // The model, which may be long, has a sum of its own.
    ",\n  model_json TEXT,\n  model_sum INTEGER NOT NULL DEFAULT 0\n)"
}

/// A condition: the model of row `p` of the products is as it was stored.
pub(in crate::sqlite) const MODEL_IS_INTACT: &str = "p.model_sum IS row_sum('model', 2, p.id, p.model_json)";

/// The sum of a model.
pub(in crate::sqlite) fn model_sum(product: i64, model_json: Option<&str>) -> i64 {
    sum::of_row("model", 2, [ValueRef::Integer(product), model_json.map_or(ValueRef::Null, ValueRef::from)])
}

table! {
    /// A device.
    DEVICES of DeviceRow: "devices" as "d", summed as "device" {
        id: DeviceId = "INTEGER PRIMARY KEY AUTOINCREMENT",
        product: i64 = "INTEGER NOT NULL REFERENCES products (id)",
        ou: String = "TEXT NOT NULL",
        device_key: String = "TEXT NOT NULL",
        asset_id: String = "TEXT NOT NULL UNIQUE",
        name: String = "TEXT NOT NULL",
        secret: Vec<u8> = "BLOB NOT NULL",
        secret_version: u32 = "INTEGER NOT NULL",
        enabled: bool = "INTEGER NOT NULL",
        state: DeviceState = "TEXT NOT NULL",
        created: UnixMillis = "INTEGER NOT NULL",
        active_time: Option<UnixMillis> = "INTEGER",
        last_online_time: Option<UnixMillis> = "INTEGER",
        last_offline_time: Option<UnixMillis> = "INTEGER",
        last_seen_time: Option<UnixMillis> = "INTEGER",
        lifetime_s: Option<u32> = "INTEGER",
    }
    later {
        /// Of the last login; `None` before the first one and after a reset.
        login_number: LoginNumber = "INTEGER",
    }
    ",\n  UNIQUE (device_key, ou)\n)"
}

table! {
    /// Latest values of a device: a digest of the messages up to the marks, written lazily.
    LATEST of LatestRow: "latest" as "l", summed as "latest" {
        device: DeviceId = "INTEGER PRIMARY KEY",
        /// When the device was last heard.
        seen: Option<UnixMillis> = "INTEGER",
        /// `{"point":{"time":…,"value":…},…}`
        points: String = "TEXT NOT NULL",
    } "\n)"
}

table! {
    /// Up to which message of a day's file the latest values are complete.
    MARKS of MarkRow: "marks" as "marks", summed as "mark" {
        day: String = "TEXT PRIMARY KEY",
        id: i64 = "INTEGER NOT NULL",
    } "\n) WITHOUT ROWID"
}

table! {
    /// All attributes, or all tags, of a device that has some.
    PROPERTIES of PropertiesRow: "properties" as "y", summed as "properties" {
        device: DeviceId = "INTEGER NOT NULL",
        kind: PropertyKind = "TEXT NOT NULL",
        /// When they were last changed.
        changed: UnixMillis = "INTEGER NOT NULL",
        /// `{"identifier":value,…}`
        json: String = "TEXT NOT NULL",
    } ",\n  PRIMARY KEY (device, kind)\n) WITHOUT ROWID"
}

table! {
    /// A command to a device. `n` is the order of their sending.
    COMMANDS of CommandRow: "commands" as "c", summed as "command" {
        n: i64 = "INTEGER PRIMARY KEY AUTOINCREMENT",
        device: DeviceId = "INTEGER NOT NULL",
        /// As the device knows it.
        id: u32 = "INTEGER NOT NULL",
        kind: CommandKind = "TEXT NOT NULL",
        service: Option<String> = "TEXT",
        /// JSON.
        params: String = "TEXT NOT NULL",
        pending_ttl_s: u32 = "INTEGER NOT NULL",
        timeout_s: u32 = "INTEGER NOT NULL",
        created: UnixMillis = "INTEGER NOT NULL",
        state: CommandState = "TEXT NOT NULL",
        code: Option<i64> = "INTEGER",
        /// JSON.
        data: Option<String> = "TEXT",
        sent: Option<UnixMillis> = "INTEGER",
        ended: Option<UnixMillis> = "INTEGER",
    }
    later {
        /// When it was sent: when the device would probably fetch it; how far that may be off, milliseconds.
        expected_at: UnixMillis = "INTEGER",
        expected_spread: i64 = "INTEGER",
        /// When it was fetched first.
        fetched: UnixMillis = "INTEGER",
        /// What the device says of it, for people.
        message: String = "TEXT",
        /// The bytes that the device gets; `None`: it gets JSON.
        raw: Vec<u8> = "BLOB",
    }
    ",\n  UNIQUE (device, id)\n)"
}

table! {
    /// A version of a product's model; that of the newest stands in the product's row too.
    MODELS of ModelRow: "models" as "m", summed as "model version" {
        product: i64 = "INTEGER NOT NULL",
        version: u32 = "INTEGER NOT NULL",
        created: UnixMillis = "INTEGER NOT NULL",
        model_id: Option<String> = "TEXT",
        /// NULL: the model was removed.
        json: Option<String> = "TEXT",
    } ",\n  PRIMARY KEY (product, version)\n)"
}

table! {
    /// All numbers that the models of a product ever gave.
    MODEL_NUMBERS of ModelNumbersRow: "model_numbers" as "b", summed as "model numbers" {
        product: i64 = "INTEGER PRIMARY KEY",
        json: String = "TEXT NOT NULL",
    } "\n)"
}

table! {
    /// A version of a product's script, the newest of which runs, or as version 0 its draft.
    SCRIPTS of ScriptRow: "scripts" as "i", summed as "script" {
        product: i64 = "INTEGER NOT NULL",
        version: u32 = "INTEGER NOT NULL",
        created: UnixMillis = "INTEGER NOT NULL",
        /// Who published it; empty of a draft.
        author: String = "TEXT NOT NULL",
        /// The version that was published again by it.
        restores: Option<u32> = "INTEGER",
        source: String = "TEXT NOT NULL",
    } ",\n  PRIMARY KEY (product, version)\n)"
}

table! {
    /// What was counted in a minute. A registry of this format that an earlier program made has no such
    /// table: it is made when that is opened.
    RATES of RateRow: "rates" as "w", summed as "rate" {
        /// The organisation unit; empty: all, also strangers.
        ou: String = "TEXT NOT NULL",
        /// Since 1970.
        minute: i64 = "INTEGER NOT NULL",
        /// The minute since which it was counted without a pause, and nothing before this one.
        since: i64 = "INTEGER NOT NULL",
        reports: u64 = "INTEGER NOT NULL",
        /// JSON: `[["wrong_key",3],[null,1]]`.
        refusals: String = "TEXT NOT NULL",
    } ",\n  PRIMARY KEY (ou, minute)\n) WITHOUT ROWID"
}

table! {
    /// What is about the whole store, by name:
    ///
    /// * `key_check`: identifies the data key.
    /// * `batch`: raised by every transaction of the writer; the number of the last one.
    /// * `epoch`: increased by each process before the first event that it writes down.
    /// * `confirmed_arrival`: the newest confirmed arrival, up to an hour older; 0: none was confirmed.
    ///   Stores of older versions have none.
    /// * `clock_day`: the last day on which the clock is known to have been, by which one that jumps ahead is
    ///   recognised.
    /// * `store_id`: random, in every message file too; a restored store gets another one.
    /// * `files_named`: all message files have it.
    /// * `newest`: the last message of the last batch that touched messages and registry, as `DAY ID`.
    /// * `log_batch`: the number of the last batch that touched the file of logs too.
    /// * `repairs`: how often the store went on after a failure.
    /// * `kept_from`: messages of earlier days were deleted after their retention time.
    /// * `messages_lost`: messages up to this place, `EPOCH-SEQUENCE`, may be among those that were deleted.
    /// * `leapt`: the epoch that began last by a leap, in a copy or after a restore.
    /// * `file`: device and inode of the registry when the last epoch began: a copy has others.
    /// * `command_of_gone`: the greatest id of a command of a device that has been deleted since.
    /// * `damaged:KEY`: when a device of this key was deleted because its row was damaged.
    META of MetaRow: "meta" as "meta", summed as "meta" {
        name: String = "TEXT PRIMARY KEY",
        value: Value = "NOT NULL",
    } "\n) WITHOUT ROWID"
}

/// All of them.
pub(in crate::sqlite) static TABLES: [&Table; 21] = [
    &META,
    &PRODUCTS,
    &DEVICES,
    &LATEST,
    &MARKS,
    &PROPERTIES,
    &COMMANDS,
    &MODELS,
    &MODEL_NUMBERS,
    &SCRIPTS,
    &IMAGES,
    &UPGRADES,
    &VERSIONS,
    &UNITS,
    &TOKENS,
    &USERS,
    &USER_SESSIONS,
    &REQUESTS,
    &HAPPENED,
    &HAPPENED_KEPT,
    &RATES,
];

/// The statements that make them, with their indexes.
pub(in crate::sqlite) fn schema() -> String {
    let tables: String = TABLES.iter().map(|table| table.create()).collect();
    tables
        + "CREATE INDEX devices_product ON devices (product);\n\
           CREATE INDEX commands_device ON commands (device, n);\n\
           CREATE INDEX commands_open ON commands (device, n) WHERE ended IS NULL;\n"
        + firmware::INDEXES
        + users::INDEXES
        + access::INDEXES
        + stream::INDEX
        + DEVICES_ONLINE
        + ";\n"
        + DEVICES_FOUND
}

/// The index by which a start finds the devices that are online without reading all others. A registry of
/// this format that an earlier program made has none: it is made when that is opened.
pub(in crate::sqlite) const DEVICES_ONLINE: &str =
    "CREATE INDEX IF NOT EXISTS devices_by_online ON devices (id) WHERE state = 'online'";

/// The indexes by which a search finds devices; they are made as the one above is. What reports change is in
/// none of them, and what logins change in one alone, which a device leaves at its first one.
pub(in crate::sqlite) const DEVICES_FOUND: &str = "\
     CREATE INDEX IF NOT EXISTS devices_by_unit ON devices (ou);\n\
     CREATE INDEX IF NOT EXISTS devices_by_name ON devices (name) WHERE name <> '';\n\
     CREATE INDEX IF NOT EXISTS devices_by_inactive ON devices (id) WHERE state = 'inactive';\n\
     CREATE INDEX IF NOT EXISTS devices_by_disabled ON devices (id) WHERE enabled = 0;\n\
     CREATE INDEX IF NOT EXISTS versions_by_version ON versions (version, device);\n\
     CREATE INDEX IF NOT EXISTS properties_tags ON properties (device) WHERE kind = 'tag';\n";

/// The index that earlier programs made for this, by a text that is the same in all of its rows.
pub(in crate::sqlite) const DEVICES_ONLINE_BEFORE: &str = "DROP INDEX IF EXISTS devices_online";
