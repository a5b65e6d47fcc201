use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use tempfile::TempDir;

use super::*;

/// Backups of a store, made by a script in the place of the program: it is called with `backup TARGET …`.
fn backups(script: &str) -> (TempDir, OwnBackups) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join(BACKUPS)).unwrap();
    let data_key = data.join("data.key");
    (folder, OwnBackups { program, data, data_key })
}

const WHOLE: &str = r#"mkdir "$2"; echo {} > "$2/manifest.json"; echo '{"files":1,"bytes":2,"batch":3}'"#;

/// Names in the directory of backups.
fn names(own: &OwnBackups) -> Vec<String> {
    let entries = fs::read_dir(own.data.join(BACKUPS)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn make(own: &OwnBackups) -> Result<BackupView, Problem> {
    own.make(true, &Running::default())
}

#[test]
fn a_backup_is_called_by_its_time() {
    assert_eq!(name_of(UnixMillis(1_795_500_757_000)), "20261124T061237Z");
}

#[test]
fn a_backup_has_its_name_when_it_is_whole() {
    let (_folder, own) = backups(&format!(r#"case "$2" in *.partial) ;; *) exit 1 ;; esac; {WHOLE}"#));
    let made = make(&own).unwrap();
    assert_eq!((made.files, made.bytes, made.batch), (1, 2, 3));
    assert_eq!(names(&own), [made.name]);
}

#[test]
fn what_was_cut_off_is_no_backup_and_is_removed_with_its_key() {
    let (_folder, own) = backups(WHOLE);
    let directory = own.data.join(BACKUPS);
    for number in 10..30 {
        let cut_off = directory.join(format!("202611{number}T000000Z.partial"));
        fs::create_dir(&cut_off).unwrap();
        fs::write(cut_off.join("data.key"), "key").unwrap();
    }
    // Those of others are left alone, and are no backups either.
    fs::create_dir(directory.join("lost+found")).unwrap();
    fs::create_dir(directory.join("mine.partial")).unwrap();
    let made = make(&own).unwrap();
    assert_eq!(names(&own), [made.name.as_str(), "lost+found", "mine.partial"]);
    // A program that prints nothing has made nothing.
    let (_folder, own) = backups(r#"mkdir "$2"; touch "$2/data.key"; exit 1"#);
    make(&own).unwrap_err();
    assert_eq!(names(&own), [""; 0]);
}

#[test]
fn ten_backups_are_kept_and_the_next_one_may_be_asked_for_again() {
    let (_folder, own) = backups(WHOLE);
    for _ in 0..BACKUPS_MAX {
        make(&own).unwrap();
        // Each has another name.
        thread::sleep(Duration::from_millis(2));
    }
    let refused = make(&own).unwrap_err();
    assert_eq!((refused.status, refused.code), (429, Code::NoRoom));
    let one = names(&own).remove(0);
    fs::remove_dir_all(own.data.join(BACKUPS).join(one)).unwrap();
    make(&own).unwrap();
}

#[test]
fn a_backup_that_would_fill_the_disk_is_not_begun() {
    let (_folder, own) = backups(WHOLE);
    // It takes no place, and says that it does.
    fs::create_dir(own.data.join("messages")).unwrap();
    let sparse = File::create(own.data.join("messages/2026-11-30.db")).unwrap();
    sparse.set_len(1 << 43).unwrap();
    let refused = make(&own).unwrap_err();
    assert_eq!((refused.status, refused.code), (429, Code::NoRoom));
    let detail = refused.detail.unwrap();
    assert!(detail.contains("8796093022208 bytes") && detail.contains("1073741824 have to stay"), "{detail}");
    assert_eq!(names(&own), [""; 0]);
    sparse.set_len(0).unwrap();
    make(&own).unwrap();
}

#[test]
fn one_is_made_at_a_time_also_where_a_server_has_ended_before_its_command() {
    let (_folder, own) = backups(WHOLE);
    let held = lock(&own.data.join(BACKUPS)).unwrap().expect("nobody else has it");
    // As the command has it.
    let copy = held.try_clone().unwrap();
    drop(held);
    let refused = make(&own).unwrap_err();
    assert_eq!((refused.status, refused.code), (429, Code::Busy));
    drop(copy);
    make(&own).unwrap();
}

#[test]
fn a_command_ends_with_whoever_waits_for_it() {
    let (_folder, own) = backups(r#"mkdir "$2"; exec sleep 600"#);
    let running = Arc::new(Running::default());
    let waiting = Waiting(Arc::clone(&running));
    let directory = own.data.join(BACKUPS);
    let making = thread::spawn(move || own.make(true, &running));
    while fs::read_dir(&directory).unwrap().count() == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    drop(waiting);
    let refused = making.join().unwrap().unwrap_err();
    assert_eq!(refused.status, 503, "{refused}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    assert!(lock(&directory).unwrap().is_some(), "it is not held any more");
}
