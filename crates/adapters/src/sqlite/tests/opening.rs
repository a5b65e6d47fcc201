//! Opening: what is restored, what is refused, and that a refusal changes nothing.
//!
//! Longer than 500 lines: one list of what an opening can meet.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use narrowgate_platform::{
    ids::{LoginNumber, UnixMillis},
    model::log::LogEntry,
    paging::{DamagedRows, Page, Part},
    ports::{
        Batch, DeviceQuery, HistoryQuery, HistoryReads as _, Issued, Journal as _, Registry as _,
        RegistryChanges as _, StoreError, Write, Written,
    },
    testing::{
        block_on,
        store::fixtures::{
            append, at, credentials, devices, history, issue, log, login, one_device, presence, products,
            refusal, refusals, report, resumed, write,
        },
    },
};
use rusqlite::Connection;

use super::{SqliteStore, contents, crashed, open};
use crate::sqlite::{OpenError, SqliteOptions};

/// A store with a device that has some history, closed properly.
fn lived(data: &Path) {
    let store = open(data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"temp":1}"#)]);
    block_on(store.close()).unwrap();
}

fn refused(data: &Path) -> OpenError {
    let before = contents(data);
    let error = SqliteStore::open(SqliteOptions::new(data)).unwrap_err();
    assert!(contents(data) == before, "{error}: something was changed");
    assert!(!error.advice().is_empty());
    error
}

/// Everything that can be read of a store with one device.
fn everything(store: &SqliteStore) -> String {
    let device = devices(store, DeviceQuery { limit: 10, ..DeviceQuery::default() }).remove(0);
    let query = HistoryQuery { limit: 100, ..HistoryQuery::default() };
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        products(store),
        credentials(store, &device.product_key, &device.device_key).device_secret.expose(),
        log(store, device.id),
        block_on(store.points_latest(device.id)).unwrap().items,
        history(store, device.id, query),
        block_on(store.presence_history(device.id, Part::first(100))).unwrap(),
        refusals(store, 100),
        block_on(store.recover()).unwrap().online,
        device,
    )
}

#[test]
fn a_store_shows_the_same_after_it_was_closed_dropped_or_killed() {
    use narrowgate_platform::model::device::DeviceState::Offline;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"temp":1,"power":2}"#)]);
    append(&store, vec![resumed(id, at(1), r#"{"temp":0}"#), presence(id, Offline, at(3), "silent")]);
    append(
        &store,
        vec![Write::Seen { device: id, login: None, at: at(4) }, Write::Log(refusal(None, Some("x"), at(5)))],
    );
    append(&store, vec![report(id, at(86_400 * 2), r#"{"temp":5}"#), login(id, at(86_400 * 2))]);
    let before = everything(&store);

    let copy = crashed(&data, "killed");
    assert_eq!(everything(&open(&copy)), before, "killed");
    drop(store);
    let store = open(&data);
    assert_eq!(everything(&store), before, "dropped");
    block_on(store.close()).unwrap();
    let logs =
        contents(&data).into_iter().filter(|(path, _)| path.to_string_lossy().ends_with("-wal")).count();
    assert_eq!(logs, 0, "a closed store has no logs left");
    assert_eq!(everything(&open(&data)), before, "closed");
}

#[test]
fn every_opening_begins_an_epoch_and_what_is_stored_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    let mut epochs = vec![block_on(store.recover()).unwrap().epoch];
    let place = |store: &SqliteStore, writes| {
        let committed = block_on(store.append(Batch::new(0, writes))).unwrap();
        (committed.epoch, committed.first_sequence)
    };
    let first = place(&store, vec![login(id, at(1)), report(id, at(2), "{}")]);
    // Neither a crash nor an opening by a command repeats one, nor does a copy of the store.
    let copy = crashed(&data, "killed");
    drop(store);
    for data in [&copy, &copy, &data] {
        epochs.push(block_on(open(data).recover()).unwrap().epoch);
    }
    let leap = epochs[1];
    assert!(leap > 1_000_000_000, "{epochs:?}");
    assert_eq!(epochs, [1, leap, leap + 1, 2]);
    let store = open(&copy);
    let second = place(&store, vec![login(id, at(3)), report(id, at(4), "{}")]);
    assert_eq!((first.0, second.0), (1, leap + 2));
    drop(store);

    let logs = Connection::open(copy.join("log.db")).unwrap();
    let messages = Connection::open(copy.join("messages/2026-01-01.db")).unwrap();
    let all = |connection: &Connection, sql: &str| -> Vec<(u64, u64)> {
        let mut select = connection.prepare(sql).unwrap();
        let read = |row: &rusqlite::Row<'_>| {
            let (epoch, sequence): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok((epoch.cast_unsigned(), sequence.cast_unsigned()))
        };
        select.query_map([], read).unwrap().map(Result::unwrap).collect()
    };
    let logins = all(&logs, "SELECT epoch, sequence FROM log WHERE event = 'login' ORDER BY n");
    assert_eq!(logins, [first, second]);
    let reports = all(&messages, "SELECT epoch, sequence FROM messages ORDER BY id");
    assert_eq!(reports, [first, second].map(|(epoch, sequence)| (epoch, sequence + 1)));
}

#[test]
fn who_only_reads_begins_no_epoch() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    let epoch = || -> i64 {
        let registry = Connection::open(folder.path().join("registry.db")).unwrap();
        registry.query_row("SELECT value FROM meta WHERE name = 'epoch'", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(epoch(), 1);
    let store = open(folder.path());
    assert_eq!(products(&store).len(), 1);
    drop(store);
    assert_eq!(epoch(), 1);
    // A server that starts does, once.
    let store = open(folder.path());
    assert_eq!([(), ()].map(|()| block_on(store.recover()).unwrap().epoch), [2, 2]);
    append(&store, vec![Write::Log(refusal(None, Some("x"), at(5)))]);
    drop(store);
    assert_eq!(epoch(), 2);
}

#[test]
fn an_epoch_that_cannot_be_read_stops_no_start_and_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    hurt_registry(folder.path(), "meta", "value = 0 WHERE name = 'epoch'");
    let epoch = block_on(open(folder.path()).recover()).unwrap().epoch;
    assert!(epoch > 1_000_000_000, "{epoch}");
    assert_eq!(block_on(open(folder.path()).recover()).unwrap().epoch, epoch + 1);
}

/// … even where the clock shows 1970: else every login would count as an older one.
#[test]
fn an_epoch_that_cannot_be_read_is_replaced_by_one_after_all_logins() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk-1");
    let login_in = |epoch| match login(id, at(1)) {
        Write::Login { device, at, lifetime_s, secret_version, peer, over, .. } => {
            let number = LoginNumber::first_of(epoch);
            Write::Login { device, number, at, lifetime_s, secret_version, peer, over }
        }
        other => other,
    };
    append(&store, vec![login_in(3_000)]);
    drop(store);
    hurt_registry(folder.path(), "meta", "value = 0 WHERE name = 'epoch'");
    let options = SqliteOptions { clock: || UnixMillis(7_000), ..SqliteOptions::new(folder.path()) };
    let store = SqliteStore::open(options).unwrap();
    let epoch = block_on(store.recover()).unwrap().epoch;
    assert_eq!(epoch, 3_001);
    assert_ne!(append(&store, vec![login_in(7)]), append(&store, vec![login_in(epoch)]));
}

/// It is not refused for good: the device may try again once the row is mended.
#[test]
fn a_damaged_row_answers_a_wish_for_a_secret_with_an_outcome_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let id = one_device(&store, "dk-1");
    drop(store);
    hurt_registry(folder.path(), "devices", "name = 'other'");
    let store = open(folder.path());
    assert_eq!(issue(&store, id, "second", at(1)), Issued::Damaged);
}

#[test]
fn a_file_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    Connection::open(folder.path().join("registry.db")).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Foreign { .. }));
    assert!(error.to_string().ends_with("registry.db: this is not a narrowgate registry"));
}

#[test]
fn a_damaged_registry_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    let file = folder.path().join("registry.db");
    let whole = fs::read(&file).unwrap();
    let mut wrong_page = whole.clone();
    wrong_page[4096..].fill(0xa5);
    let mut wrong_schema = whole.clone();
    wrong_schema[100..4096].fill(0);
    for damage in [
        Vec::new(),
        b"no database".to_vec(),
        vec![0; 8192],
        whole[..50].to_vec(),
        whole[..4096 * 2].to_vec(),
        wrong_page,
        wrong_schema,
    ] {
        fs::write(&file, damage).unwrap();
        assert!(matches!(refused(folder.path()), OpenError::Damaged { .. }));
    }
    fs::write(&file, whole).unwrap();
    open(folder.path());
}

#[test]
fn a_damaged_message_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    let file = folder.path().join("messages/2026-01-01.db");
    let text = "not messages, but long enough to have a header of one hundred bytes, which it then does not \
                have at all";
    fs::write(&file, text).unwrap();
    assert!(matches!(refused(folder.path()), OpenError::Damaged { file: named, .. } if named == file));
}

/// Changes a file behind the store's back, as a bad disk does: the checksums stay the same.
fn hurt(file: &Path, sql: &str) {
    assert_eq!(Connection::open(file).unwrap().execute(sql, []).unwrap(), 1);
}

#[test]
fn a_message_that_has_changed_on_the_disk_is_never_shown_and_stops_no_start() {
    for change in [
        r#"points = '{"temp":2}'"#,
        "points = x'7b7d'",
        "time = time + 1",
        "arrival = 0",
        "kind = 'resumed'",
        "sum = 0",
        "sum = 'x'",
        "id = 7",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = open(&data);
        let id = one_device(&store, "dk-1");
        append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"temp":1}"#)]);
        // Its message is not in the latest values yet and will be folded in at the next start.
        let copy = crashed(&data, "crashed");
        hurt(&copy.join("messages/2026-01-01.db"), &format!("UPDATE messages SET {change}"));
        let store = open(&copy);
        let page = block_on(store.points_history(id, HistoryQuery { limit: 9, ..HistoryQuery::default() }));
        let page = page.unwrap();
        assert_eq!((page.items, page.damaged.count), (vec![], 1), "{change}");
        let what = page.damaged.first.unwrap();
        assert!(
            what.starts_with("message ") && what.ends_with(" of 2026-01-01 is not as it was stored"),
            "{what}"
        );
        assert!(block_on(store.points_latest(id)).unwrap().items.is_empty(), "{change}");
        write(&store, report(id, at(3), r#"{"temp":3}"#));
        assert_eq!(block_on(store.points_latest(id)).unwrap().items.len(), 1, "{change}");
    }
}

#[test]
fn a_footer_that_has_changed_takes_no_message_away() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    let file = folder.path().join("messages/2026-01-01.db");
    for change in ["batch = batch + 64", "first_id = 0", "time_min = time_max + 1", "sum = 1"] {
        let whole = fs::read(&file).unwrap();
        hurt(&file, &format!("UPDATE footer SET {change}"));
        let error = SqliteStore::open(SqliteOptions::new(folder.path())).unwrap_err();
        let OpenError::Damaged { file: named, reason } = error else { panic!("{change}: {error}") };
        assert_eq!((named, reason.as_str()), (file.clone(), "the footer is not as it was stored"));
        for part in ["-wal", "-shm"] {
            // There may be none.
            let _ = fs::remove_file(folder.path().join(format!("messages/2026-01-01.db{part}")));
        }
        fs::write(&file, whole).unwrap();
        open(folder.path());
    }
}

#[test]
fn latest_values_that_have_changed_are_not_shown_and_replaced_by_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    hurt(&folder.path().join("registry.db"), r#"UPDATE latest SET points = replace(points, '1', '2')"#);
    let store = open(folder.path());
    let id = devices(&store, DeviceQuery { limit: 1, ..DeviceQuery::default() })[0].id;
    let shown = block_on(store.points_latest(id)).unwrap();
    assert_eq!((shown.items.len(), shown.damaged.count), (0, 1));
    write(&store, report(id, at(3), r#"{"power":3}"#));
    drop(store);
    let latest = block_on(open(folder.path()).points_latest(id)).unwrap().items;
    assert_eq!(latest.iter().map(|value| value.point.as_str()).collect::<Vec<_>>(), ["power"]);
}

/// Changes rows of the registry, or of the logs, as a bad disk does: their sums stay the same.
pub(super) fn hurt_registry(data: &Path, table: &str, change: &str) {
    let file = if ["log", "presence"].contains(&table) { "log.db" } else { "registry.db" };
    let registry = Connection::open(data.join(file)).unwrap();
    registry.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(registry.execute(&format!("UPDATE {table} SET {change}"), []).unwrap() > 0, "{table}: {change}");
}

/// As [`everything`], and the damage where something is damaged.
fn everything_or_damage(store: &SqliteStore) -> [Result<String, StoreError>; 8] {
    let id = narrowgate_platform::ids::DeviceId(1);
    let page = block_on(store.devices(DeviceQuery { limit: 10, ..DeviceQuery::default() })).unwrap();
    let query = HistoryQuery { limit: 100, ..HistoryQuery::default() };
    let listed = |log: Page<LogEntry>| match log.damaged.first {
        None => Ok(format!("{:?}", log.items)),
        Some(what) => Err(StoreError::Damaged(what)),
    };
    [
        match block_on(store.products()).unwrap().remove(0) {
            Ok(product) => Ok(format!("[{product:?}]")),
            Err(damaged) => Err(StoreError::Damaged(damaged.what)),
        },
        match page.into_iter().next().unwrap() {
            Ok(device) => Ok(format!("{device:?}")),
            Err(damaged) => Err(StoreError::Damaged(damaged.what)),
        },
        listed(block_on(store.device_log(id, Part::first(100))).unwrap()),
        block_on(store.presence_history(id, Part::first(100))).map(|read| format!("{read:?}")),
        match block_on(store.points_latest(id)).unwrap() {
            Page { damaged: DamagedRows { first: Some(what), .. }, .. } => Err(StoreError::Damaged(what)),
            page => Ok(format!("{:?}", page.items)),
        },
        Ok(format!("{:?}", history(store, id, query))),
        block_on(store.credentials("pk", "dk-1")).map(|_| String::new()),
        block_on(store.credentials("pk", "dk-2")).map(|_| String::new()),
    ]
}

/// Everybody but device 1, whose row is damaged, is served.
fn check_others_are_served(store: &SqliteStore, change: &str) {
    let id = narrowgate_platform::ids::DeviceId(1);
    let other = narrowgate_platform::testing::store::fixtures::add_device(store, "pk", "dk-9").id;
    let batch = vec![login(id, at(9)), login(other, at(9)), report(other, at(9), r#"{"temp":9}"#)];
    let written = append(store, batch);
    assert_eq!(written[1..], [Written::Activated, Written::Done], "{change}");
    assert_ne!(written[0], Written::Activated, "{change}");
    assert!(block_on(store.set_device_enabled(id, true, at(9))).is_err(), "{change}");
    assert!(block_on(store.credentials("pk", "dk-9")).is_ok());
}

/// Changes of one row each, which no reader may show.
const CHANGES: &[(&str, &str)] = &[
    ("products", "ou = 'x'"),
    ("products", "name = name || 'x'"),
    ("products", "enabled = 0"),
    ("products", "activation_enabled = 1"),
    ("products", "activation_quota = 7"),
    ("products", "activation_ends_at = 7"),
    ("products", "created = created + 1"),
    ("products", "model_json = '{}'"),
    ("products", "sum = sum + 1"),
    ("devices", "name = 'x'"),
    ("devices", "enabled = 0"),
    ("devices", "device_key = 'dk-2'"),
    ("devices", "asset_id = 'AAAAAAAA'"),
    ("devices", "secret_version = 2"),
    ("devices", "state = 'offline'"),
    ("devices", "lifetime_s = 1"),
    ("devices", "active_time = 1"),
    ("devices", "last_seen_time = 1"),
    ("devices", "sum = 0"),
    ("log", "time = time + 1"),
    ("log", "event = 'reset'"),
    ("log", "peer = '198.51.100.7:1'"),
    ("log", "detail = 'x'"),
    ("presence", "at = at + 1"),
    ("presence", "state = 'offline'"),
    ("presence", "cause = 'x'"),
    ("latest", "seen = seen + 1"),
];

#[test]
fn a_row_of_the_registry_that_has_changed_on_the_disk_is_never_shown() {
    for &(table, change) in CHANGES {
        let folder = tempfile::tempdir().unwrap();
        lived(folder.path());
        let store = open(folder.path());
        let right = everything(&store);
        drop(store);
        hurt_registry(folder.path(), table, change);
        let store = open(folder.path());
        let read = everything_or_damage(&store);
        let damaged = read.iter().filter(|read| matches!(read, Err(StoreError::Damaged(_)))).count();
        assert!(damaged > 0, "{table}: {change}: nobody notices: {read:?}");
        for shown in read.iter().flatten() {
            // Without its row of latest values a device was last seen when it logged in.
            let is_right = right.contains(shown) || table == "latest" && shown.starts_with("Device ");
            assert!(is_right, "{table}: {change}: {shown}");
        }
        if table == "devices" {
            check_others_are_served(&store, change);
        }
    }
}

#[test]
fn an_index_that_hides_a_message_is_found_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    let file = folder.path().join("messages/2026-01-01.db");
    let hurt = Connection::open(&file).unwrap();
    // The index says that it is over a table without this row.
    hurt.execute_batch(
        "PRAGMA writable_schema = on; CREATE TABLE other AS SELECT * FROM messages WHERE 0; \
                        CREATE INDEX other_index ON other (device, time); \
                        UPDATE sqlite_schema SET rootpage = \
                        (SELECT rootpage FROM sqlite_schema WHERE name = 'other_index') \
                        WHERE name = 'messages_device_time'; \
                        DELETE FROM sqlite_schema WHERE name = 'other_index'",
    )
    .unwrap();
    drop(hurt);
    assert!(matches!(SqliteStore::open(SqliteOptions::new(folder.path())), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_newer_format_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    Connection::open(folder.path().join("registry.db"))
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert!(matches!(refused(folder.path()), OpenError::Newer { found: 99, known: 19, .. }));
}

#[test]
fn an_older_format_is_told_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    let registry = Connection::open(folder.path().join("registry.db")).unwrap();
    registry.pragma_update(None, "user_version", 2).unwrap();
    drop(registry);
    assert!(matches!(refused(folder.path()), OpenError::Older { found: 2, known: 19, .. }));
}

#[test]
fn a_store_without_its_key_does_not_open_and_gets_no_new_one() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    let key = folder.path().join("data.key");
    let text = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert!(matches!(refused(folder.path()), OpenError::KeyMissing { .. }));

    fs::write(&key, "0".repeat(64)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(refused(folder.path()), OpenError::KeyWrong { .. }));
    fs::write(&key, &text[..60]).unwrap();
    assert!(matches!(refused(folder.path()), OpenError::KeyMalformed { .. }));
    fs::write(&key, text).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::KeyPermissions { mode: 0o604, .. }));
    assert!(error.advice().starts_with("chmod 600 "));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    open(folder.path());
}

#[test]
fn a_refused_open_after_a_crash_changes_nothing_either() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    append(&store, vec![login(id, at(1)), report(id, at(2), r#"{"temp":1}"#)]);
    let copy = crashed(&data, "crashed");
    let key = fs::read(copy.join("data.key")).unwrap();
    fs::write(copy.join("data.key"), "0".repeat(64)).unwrap();
    let kept = |folder: &Path| -> Vec<_> {
        // The index of the log is rebuilt whenever it is read.
        contents(folder).into_iter().filter(|(path, _)| !path.to_string_lossy().ends_with("-shm")).collect()
    };
    let before = kept(&copy);
    let error = SqliteStore::open(SqliteOptions::new(&copy)).unwrap_err();
    assert!(matches!(error, OpenError::KeyWrong { .. }));
    assert!(kept(&copy) == before, "something was changed");
    fs::write(copy.join("data.key"), key).unwrap();
    assert_eq!(everything(&open(&copy)), everything(&store));
}

#[test]
fn messages_without_a_registry_are_not_given_to_new_devices() {
    let folder = tempfile::tempdir().unwrap();
    lived(folder.path());
    fs::remove_file(folder.path().join("registry.db")).unwrap();
    assert!(matches!(refused(folder.path()), OpenError::RegistryMissing { .. }));
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let data = folder.path().join("file/data");
    let error = SqliteStore::open(SqliteOptions::new(&data)).unwrap_err();
    assert!(error.file().starts_with(folder.path()), "{error}");
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let error = SqliteStore::open(SqliteOptions::new(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
    block_on(store.close()).unwrap();
    open(folder.path());
}

#[test]
fn files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    let store = open(&data);
    let id = one_device(&store, "dk-1");
    write(&store, report(id, at(1), "{}"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("messages"))), (0o700, 0o700));
    for (path, _) in contents(&data) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_key_elsewhere_is_used_and_a_provided_one_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data_key = folder.path().join("the.key");
    fs::write(&data_key, format!("{}\n", "5a".repeat(32))).unwrap();
    fs::set_permissions(&data_key, fs::Permissions::from_mode(0o600)).unwrap();
    let options =
        SqliteOptions { data_key: data_key.clone(), ..SqliteOptions::new(folder.path().join("data")) };
    let store = SqliteStore::open(options.clone()).unwrap();
    let decoy = store.decoy_secret();
    drop(store);
    assert!(!folder.path().join("data/data.key").exists());
    assert_eq!(fs::read_to_string(&data_key).unwrap().trim(), "5a".repeat(32));
    assert_eq!(SqliteStore::open(options).unwrap().decoy_secret(), decoy);
}

/// What a start knows of arrivals, of a store with reports of these times (days, in hundredths) and with what
/// was confirmed in its batches.
fn newest(data: &Path, batches: &[(i64, Option<i64>)]) -> Option<(i64, bool)> {
    let hundredth = 864;
    let store = open(data);
    let id =
        devices(&store, DeviceQuery { limit: 1, ..DeviceQuery::default() }).first().map(|found| found.id);
    let id = id.unwrap_or_else(|| one_device(&store, "dk-1"));
    for (time, confirmed) in batches {
        let confirmed = confirmed.map(|time| at(time * hundredth));
        let batch = Batch { confirmed, ..Batch::new(0, vec![report(id, at(time * hundredth), "{}")]) };
        block_on(store.append(batch)).unwrap();
    }
    block_on(store.close()).unwrap();
    let newest = block_on(open(data).recover()).unwrap().newest_arrival?;
    Some(((newest.time.0 - at(0).0) / (hundredth * 1000), newest.is_confirmed))
}

#[test]
fn attack_206_two_short_starts_with_a_wrong_clock_confirm_nothing() {
    let years = 12 * 36_500;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert_eq!(newest(&data, &[]), None);
    // A clock that is never confirmed.
    assert_eq!(newest(&data, &[(years, None)]), Some((years, false)));
    assert_eq!(newest(&data, &[(1, None)]), Some((1, false)));
    assert_eq!(newest(&data, &[(2, Some(2)), (3, Some(3))]), Some((3, true)));
    // Each start has the wrong year for a minute, half an hour after the one before.
    for start in 1..40 {
        let (wrong, right) = ((years + start * 2, None), (start * 2 + 3, Some(start * 2 + 3)));
        assert_eq!(newest(&data, &[wrong, right]), Some((right.0, true)), "start {start}");
    }
    // One that goes on is believed.
    assert_eq!(newest(&data, &[(years + 500, Some(years + 500))]), Some((years + 500, true)));
}

#[test]
fn attack_206_a_store_of_an_older_version_takes_most_days_in_a_row_for_right() {
    let (days, years) = (|days: i64| (days * 100, None), 12 * 365);
    for (reports, known) in [
        (vec![0, 1, years, years + 1], (1, false)),
        (vec![0, 1, 2, years, years + 1], (2, true)),
        (vec![0, 5, 6, 7, 8, years], (8, true)),
        (vec![0, 5, 10, 15, 20], (0, false)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        newest(&data, &reports.iter().map(|day| days(*day)).collect::<Vec<_>>());
        let registry = Connection::open(data.join("registry.db")).unwrap();
        registry.execute("DELETE FROM meta WHERE name = 'confirmed_arrival'", []).unwrap();
        drop(registry);
        assert_eq!(newest(&data, &[]), Some((known.0 * 100, known.1)), "{reports:?}");
    }
}
