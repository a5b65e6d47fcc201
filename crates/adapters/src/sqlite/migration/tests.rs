//! A registry of the former format, and what is left of its migration when the process ends at any point.
//! What the directories read as is compared by `tests/formats.rs`.

use std::{
    cell::RefCell,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use narrowgate_platform::{
    ids::UnixMillis,
    ports::{Registry as _, RegistryChanges as _, StoreError},
    rules::models::{Expected, ModelPut, ModelVersion, VersionedModel},
    testing::block_on,
};
use rusqlite::{Connection, types::Value};

use super::*;
use crate::sqlite::{
    SqliteOptions, SqliteStore,
    schema::registry::TABLES,
    sum,
    tests::{crashed, open},
};

/// A directory of format 3.
fn old(folder: &Path) -> Layout {
    let files = ["registry.db", "data.key", "messages/2026-01-01.db", "messages/2026-01-02.db"];
    copied(folder, "3", &files)
}

/// A directory of format 5.
fn old_with_logs(folder: &Path) -> Layout {
    let files = ["registry.db", "log.db", "data.key", "messages/2026-01-01.db", "messages/2026-01-02.db"];
    copied(folder, "5", &files)
}

fn copied(folder: &Path, format: &str, files: &[&str]) -> Layout {
    let data = folder.join("data");
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(format);
    fs::create_dir_all(data.join("messages")).unwrap();
    for file in files {
        fs::copy(checked_in.join(file), data.join(file)).unwrap();
        fs::set_permissions(data.join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    Layout { data }
}

fn format(registry: &Path) -> u32 {
    let connection = Connection::open(registry).unwrap();
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

fn copy_of(layout: &Layout) -> PathBuf {
    with_suffix(&layout.registry(), ".format-3")
}

#[test]
fn the_copy_is_the_registry_as_it_was_and_going_back_is_putting_it_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let before = fs::read(layout.registry()).unwrap();
    drop(open(&layout.data));
    assert_eq!(format(&layout.registry()), REGISTRY.version);
    assert!(fs::read(copy_of(&layout)).unwrap() == before);
    assert_eq!(fs::metadata(copy_of(&layout)).unwrap().permissions().mode() & 0o777, 0o600);

    fs::rename(copy_of(&layout), layout.registry()).unwrap();
    assert!(fs::read(layout.registry()).unwrap() == before, "the program that wrote it can open it");
    drop(open(&layout.data));
    assert!(fs::read(copy_of(&layout)).unwrap() == before, "and the way there is open again");
}

#[test]
fn a_process_that_is_killed_at_any_point_leaves_a_directory_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let before = fs::read(layout.registry()).unwrap();
    let left = RefCell::new(Vec::new());
    migrate_and_tell(&layout, 3, &|point| {
        // Each step passes the same point.
        let name = format!("{point}-{}", left.borrow().len());
        left.borrow_mut().push((point.to_owned(), crashed(&layout.data, &name)));
    })
    .unwrap();
    let left = left.into_inner();
    let points: Vec<&str> = left.iter().map(|(point, _)| point.as_str()).collect();
    let mut all = vec!["migration-before-copy", "migration-copy-drafted", "migration-copied"];
    all.extend(["migration-step"].repeat(STEPS.len()));
    all.extend(["migration-before-commit", "migration-committed"]);
    assert_eq!(points, all);
    for (point, data) in left {
        let layout = Layout { data };
        let right = if point == "migration-committed" { REGISTRY.version } else { 3 };
        assert_eq!(format(&layout.registry()), right, "{point}");
        drop(open(&layout.data));
        assert_eq!(format(&layout.registry()), REGISTRY.version, "{point}");
        assert!(fs::read(copy_of(&layout)).unwrap() == before, "{point}");
    }
}

/// A copy that was cut off, and one of an earlier upgrade, are replaced.
#[test]
fn what_an_earlier_attempt_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let before = fs::read(layout.registry()).unwrap();
    fs::write(copy_of(&layout), "an older one").unwrap();
    fs::write(with_suffix(&copy_of(&layout), ".new"), &before[..5000]).unwrap();
    drop(open(&layout.data));
    assert!(fs::read(copy_of(&layout)).unwrap() == before);
    assert!(!with_suffix(&copy_of(&layout), ".new").exists());
}

#[test]
fn a_migrated_registry_has_the_tables_of_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    drop(open(&layout.data));
    let new = Layout { data: folder.path().join("new") };
    drop(open(&new.data));
    let columns = |layout: &Layout, table: &str| -> Vec<(String, String)> {
        let registry = Connection::open(layout.registry()).unwrap();
        let mut select =
            registry.prepare("SELECT name, type FROM pragma_table_info(?1) ORDER BY name").unwrap();
        let read = select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        read.map(Result::unwrap).collect()
    };
    let others = |layout: &Layout| -> Vec<(String, Option<String>)> {
        let registry = Connection::open(layout.registry()).unwrap();
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type <> 'table' ORDER BY name";
        let mut select = registry.prepare(sql).unwrap();
        let read = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        read.map(Result::unwrap).collect()
    };
    for table in TABLES {
        assert_eq!(columns(&layout, table.name), columns(&new, table.name), "{}", table.name);
    }
    assert_eq!(others(&layout), others(&new), "indexes, and no triggers");
}

/// A model gets its numbers and is version 1, as old as its product; one that is damaged stays as it is, and
/// so does a text that is no model.
#[test]
fn the_models_of_products_get_numbers_and_are_their_first_versions() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old_with_logs(folder.path());
    let registry = Connection::open(layout.registry()).unwrap();
    sum::teach(&registry).unwrap();
    let model = r#"{ "modelId":"m", "measurepoints":[{"identifier":"t","dataType":"INT"}],
        "services":[{"identifier":"s",
            "inputData":[{"identifier":"x","dataType":"INT"}]}] }"#;
    let put = "UPDATE products SET model_json = ?1, model_sum = row_sum('model', 2, id, ?1) \
               WHERE product_key = 'off'";
    assert_eq!(registry.execute(put, [model]).unwrap(), 1);
    registry.close().unwrap();
    let store = open(&layout.data);
    let product = |key: &str| block_on(store.product(key)).unwrap().unwrap();
    let versions = |key: &str| block_on(store.model_versions(key)).unwrap().items;
    let numbered = r#"{ "modelId":"m", "measurepoints":[{"identifier":"t","dataType":"INT","number":1}],
        "services":[{"identifier":"s",
            "inputData":[{"identifier":"x","dataType":"INT","number":1}],"number":2}] }"#;
    let off = product("off");
    assert_eq!(off.model_json.as_deref(), Some(numbered));
    let first = ModelVersion { version: 1, created: off.created, model_id: Some("m".to_owned()) };
    assert_eq!(versions("off"), std::slice::from_ref(&first));
    let kept = block_on(store.model_version("off", 1)).unwrap();
    assert_eq!(kept, Some(VersionedModel { about: first, model_json: Some(numbered.to_owned()) }));
    let other = ModelPut {
        model_json: Some(r#"{"modelId":"n","events":[{"identifier":"e"}]}"#.to_owned()),
        expected: Expected::OneOf(vec![1]),
    };
    let stands = block_on(store.put_model("off".to_owned(), other, None, UnixMillis(7))).unwrap().unwrap();
    let after = r#"{"modelId":"n","events":[{"identifier":"e","number":3}]}"#;
    assert_eq!((stands.version, stands.model_json.as_deref()), (2, Some(after)));
    let meters = product("meters").model_json;
    assert_eq!(meters.as_deref(), Some(r#"{"measurepoints":[{"identifier":"temp","type":"double"}]}"#));
    let first = ModelVersion { version: 1, created: product("meters").created, model_id: None };
    assert_eq!(versions("meters"), [first]);
}

#[test]
fn a_damaged_model_is_migrated_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old_with_logs(folder.path());
    let registry = Connection::open(layout.registry()).unwrap();
    let hurt = r#"UPDATE products SET model_json = '{"modelId":"x"}' WHERE product_key = 'meters'"#;
    assert_eq!(registry.execute(hurt, []).unwrap(), 1);
    registry.close().unwrap();
    let store = open(&layout.data);
    let product = block_on(store.product("meters"));
    assert!(matches!(product, Err(StoreError::Damaged(_))), "{product:?}");
    assert_eq!(block_on(store.model_versions("meters")).unwrap().items.len(), 0);
}

/// Rows are copied as they are, also such as are damaged; the registry gives their space back.
#[test]
fn logs_and_presence_move_to_a_file_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let registry = Connection::open(layout.registry()).unwrap();
    registry
        .execute_batch(
            "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 100000) \
             INSERT INTO log SELECT 100 + n / 100, n, n, 'login', NULL, NULL, NULL, 'no peer of ours', n, n \
             FROM i; \
             INSERT INTO presence VALUES (100, 1, 7, 'no state', x'ff', 'no sum')",
        )
        .unwrap();
    let all = |file: &Connection, table: &str| -> Vec<Vec<Value>> {
        let columns = match table {
            "log" => "device, n, time, event, identity, reason, code, peer, detail, sum",
            _ => "device, n, at, state, cause, sum",
        };
        let mut select = file.prepare(&format!("SELECT {columns} FROM {table} ORDER BY device, n")).unwrap();
        let width = select.column_count();
        let read = select.query_map([], |row| (0..width).map(|column| row.get(column)).collect());
        read.unwrap().map(Result::unwrap).collect()
    };
    let before = ["log", "presence"].map(|table| all(&registry, table));
    assert!(before[0].len() > 100_000);
    registry.close().unwrap();
    let size = |file: PathBuf| fs::metadata(file).unwrap().len();
    let large = size(layout.registry());
    // One of an attempt that was cut off, or from before a way back.
    fs::write(layout.log(), "anything").unwrap();
    drop(open(&layout.data));
    let logs = Connection::open(layout.log()).unwrap();
    assert!(["log", "presence"].map(|table| all(&logs, table)) == before);
    // A page for each table and index, and a few for what they are.
    let registry = Connection::open(layout.registry()).unwrap();
    let roots = "SELECT count(*) + 8 FROM sqlite_master WHERE rootpage > 0";
    let pages: u32 = registry.query_row(roots, [], |row| row.get(0)).unwrap();
    let small = size(layout.registry());
    assert!(small < 4096 * u64::from(pages) && large > 5_000_000, "{small} of {large}, {pages} pages");
    let found: String = logs.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok");
}

/// The page of the file that holds this text is damaged.
fn damage_page_with(file: &Path, text: &str) {
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.windows(text.len()).position(|found| found == text.as_bytes()).expect("it is there");
    let page_bytes = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let page = at / page_bytes * page_bytes;
    bytes[page..page + 8].fill(0xff);
    fs::write(file, bytes).unwrap();
}

#[test]
fn what_cannot_be_read_of_the_logs_is_left_out_and_keeps_no_directory_from_its_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let registry = Connection::open(layout.registry()).unwrap();
    registry
        .execute_batch(
            "WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 300) \
             INSERT INTO log SELECT d.id, 1000 + n, n, 'login', NULL, NULL, NULL, \
             'peer ' || d.id || '-' || n, NULL, 0 FROM devices d, i; \
             INSERT INTO presence SELECT d.id, 1000, 7, 'online', 'cause ' || d.id, 0 FROM devices d",
        )
        .unwrap();
    let count = |file: &Connection, table: &str, what: &str| -> i64 {
        let sql = format!("SELECT count(*) FROM {table} WHERE {what}");
        file.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let (hurt, devices): (i64, i64) = registry
        .query_row("SELECT min(id), count(*) FROM devices", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let others = format!("device <> {hurt}");
    let before = count(&registry, "log", &others);
    assert!(devices > 1 && before >= 300);
    registry.close().unwrap();
    damage_page_with(&layout.registry(), &format!("peer {hurt}-150"));
    let damaged = fs::read(layout.registry()).unwrap();
    drop(open(&layout.data));
    let logs = Connection::open(layout.log()).unwrap();
    let left = count(&logs, "log", &format!("device = {hurt} AND n > 1000"));
    assert!((150..300).contains(&left), "{left}: only the rows of one page are lost");
    for n in [1001, 1300] {
        assert_eq!(count(&logs, "log", &format!("device = {hurt} AND n = {n}")), 1, "{n}");
    }
    assert_eq!(count(&logs, "log", &others), before);
    assert_eq!(count(&logs, "presence", "n = 1000"), devices);
    let registry = Connection::open(layout.registry()).unwrap();
    for file in [&registry, &logs] {
        let found: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(found, "ok");
    }
    assert_eq!(count(&registry, "sqlite_schema", "tbl_name IN ('log', 'presence')"), 0);
    assert!(fs::read(copy_of(&layout)).unwrap() == damaged, "the copy has all that was there");
}

#[test]
fn without_room_for_the_copy_nothing_is_changed_and_the_operator_is_told_how_much_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let size = fs::metadata(layout.registry()).unwrap().len();
    let needed = 2 * size + ROOM_BYTES;
    let copy = copy_of(&layout);
    check_room(&layout.registry(), &copy, |_| Some(needed)).unwrap();
    check_room(&layout.registry(), &copy, |_| None).unwrap();
    let error = check_room(&layout.registry(), &copy, |_| Some(needed - 1)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("upgrading it takes 2 MB of free space for a copy and for log.db, and 1 MB are free"),
        "{text}"
    );
    assert_eq!(error.file(), layout.registry());
    assert!(error.advice().contains("free some space (df -h "), "{}", error.advice());
    assert!(free_bytes(folder.path()).is_some_and(|free| free > 0));
}

/// A file that says that it is 8 TB large, and is not.
fn pretend_to_be_large(file: &Path) {
    fs::File::create(file).unwrap().set_len(8 << 40).unwrap();
}

#[test]
fn without_room_for_the_copy_no_messages_are_deleted_either() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    pretend_to_be_large(&with_suffix(&layout.registry(), "-wal"));
    let two_days_later = || UnixMillis(1_767_484_800_000);
    let options =
        SqliteOptions { retention_days: Some(1), clock: two_days_later, ..SqliteOptions::new(&layout.data) };
    let error = SqliteStore::open(options).unwrap_err();
    assert!(matches!(error, OpenError::NoRoomToMigrate { .. }), "{error}");
    assert_eq!(layout.volumes().unwrap().len(), 2);
}

/// The process was killed between the copy and the commit, on a disk that has room for one copy only.
#[test]
fn a_copy_that_is_there_makes_room_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let (registry, copy) = (layout.registry(), copy_of(&layout));
    let before = fs::read(&registry).unwrap();
    fs::copy(&registry, &copy).unwrap();
    fs::copy(&registry, draft_of(&copy)).unwrap();
    check_room(&registry, &copy, |_| Some(ROOM_BYTES)).unwrap();
    check_room(&registry, &copy, |_| Some(ROOM_BYTES - 1)).unwrap_err();
    let met = RefCell::new(false);
    migrate_and_tell(&layout, 3, &|point| {
        if point == "migration-copy-drafted" {
            assert!(!copy.exists(), "never two of them");
            met.replace(true);
        }
    })
    .unwrap();
    assert!(met.into_inner());
    assert!(fs::read(&copy).unwrap() == before);
}

/// What a killed server left in the log belongs to the copy; while a reader holds the log, it cannot be
/// written back.
#[test]
fn a_registry_that_is_being_read_is_not_copied_without_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let reader = Connection::open(layout.registry()).unwrap();
    reader.pragma_update(None, "journal_mode", "wal").unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM meta").unwrap();
    let writer = Connection::open(layout.registry()).unwrap();
    writer.execute_batch("CREATE TABLE in_the_log (a); INSERT INTO in_the_log VALUES (7)").unwrap();

    let error = migrate(&layout, 3).unwrap_err();
    assert!(matches!(error, OpenError::ReadByOthers { .. }), "{error}");
    assert!(error.advice().contains("fuser "), "{}", error.advice());
    assert!(!copy_of(&layout).exists());
    assert_eq!(format(&layout.registry()), 3);

    reader.execute_batch("ROLLBACK").unwrap();
    migrate(&layout, 3).unwrap();
    let copy = Connection::open(copy_of(&layout)).unwrap();
    let kept: i64 = copy.query_row("SELECT a FROM in_the_log", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 7);
}

#[test]
fn what_is_refused_is_refused_before_anything_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let before = fs::read(layout.registry()).unwrap();
    fs::write(layout.data.join("data.key"), "0".repeat(64)).unwrap();
    let error = SqliteStore::open(SqliteOptions::new(&layout.data)).unwrap_err();
    assert!(matches!(error, OpenError::KeyWrong { .. }));
    assert!(fs::read(layout.registry()).unwrap() == before && !copy_of(&layout).exists());
}
