//! A registry of the former format, and what is left of its migration when the process ends at any point.
//! What the directories read as is compared by `tests/formats.rs`.

use std::{
    cell::RefCell,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::*;
use crate::sqlite::{
    SqliteOptions, SqliteStore,
    schema::registry::TABLES,
    tests::{crashed, open},
};

/// A directory of format 3.
fn old(folder: &Path) -> Layout {
    let data = folder.join("data");
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/3");
    fs::create_dir_all(data.join("messages")).unwrap();
    for file in ["registry.db", "data.key", "messages/2026-01-01.db", "messages/2026-01-02.db"] {
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
    assert_eq!(format(&layout.registry()), 4);
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
        left.borrow_mut().push((point.to_owned(), crashed(&layout.data, point)));
    })
    .unwrap();
    let left = left.into_inner();
    let points: Vec<&str> = left.iter().map(|(point, _)| point.as_str()).collect();
    let all = [
        "migration-before-copy",
        "migration-copy-drafted",
        "migration-copied",
        "migration-step",
        "migration-before-commit",
        "migration-committed",
    ];
    assert_eq!(points, all);
    for (point, data) in left {
        let layout = Layout { data };
        let right = if point == "migration-committed" { 4 } else { 3 };
        assert_eq!(format(&layout.registry()), right, "{point}");
        drop(open(&layout.data));
        assert_eq!(format(&layout.registry()), 4, "{point}");
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

#[test]
fn without_room_for_the_copy_nothing_is_changed_and_the_operator_is_told_how_much_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let layout = old(folder.path());
    let size = fs::metadata(layout.registry()).unwrap().len();
    let needed = size + ROOM_BYTES;
    check_room(&layout.registry(), |_| Some(needed)).unwrap();
    check_room(&layout.registry(), |_| None).unwrap();
    let error = check_room(&layout.registry(), |_| Some(needed - 1)).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with("upgrading it takes 2 MB of free space for a copy, and 1 MB are free"), "{text}");
    assert_eq!(error.file(), layout.registry());
    assert!(error.advice().contains("free some space (df -h "), "{}", error.advice());
    assert!(free_bytes(folder.path()).is_some_and(|free| free > 0));
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
