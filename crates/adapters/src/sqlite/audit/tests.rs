use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicI64, Ordering},
};

use narrowgate_platform::{
    audit_conformance,
    model::audit::AuditOutcome,
    ports::AUDIT_CUT,
    testing::{
        audit::{append_many, entry, read, verify},
        block_on,
    },
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

const DAY_MS: i64 = 86_400_000;

/// At a time at which the entries of the conformance suite are old.
fn options(folder: &TempDir, entries_max: u64) -> AuditOptions {
    let tie = Arc::default();
    AuditOptions { data: folder.path().to_owned(), entries_max, clock: || UnixMillis(100 * DAY_MS), tie }
}

/// A log in a folder that goes with it.
struct Kept {
    log: AuditFile,
    folder: TempDir,
}

impl Kept {
    fn new(entries_max: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { log: AuditFile::new(options(&folder, entries_max)).expect("it starts"), folder }
    }

    /// As another process that opens it, after something was done to the file.
    fn reopened(self, entries_max: u64, meanwhile: impl FnOnce(&TempDir)) -> Self {
        let Self { log, folder } = self;
        drop(log);
        meanwhile(&folder);
        Self { log: AuditFile::new(options(&folder, entries_max)).expect("it starts"), folder }
    }
}

impl AuditLog for Kept {
    fn begin(&self, entry: AuditEntry) -> PortFuture<'static, Result<NoteId, StoreError>> {
        self.log.begin(entry)
    }

    fn end(&self, note: Option<NoteId>, entry: AuditEntry) -> PortFuture<'static, Result<(), StoreError>> {
        self.log.end(note, entry)
    }

    fn read(&self, read: AuditRead) -> PortFuture<'_, Result<AuditPage, StoreError>> {
        self.log.read(read)
    }
}

fn make(entries_max: u64) -> (Kept, impl Fn(Kept) -> Kept) {
    (Kept::new(entries_max), move |kept: Kept| kept.reopened(entries_max, |_| {}))
}

audit_conformance!(make);

/// Changes the file as somebody does who knows SQLite.
fn tamper(folder: &TempDir, sql: &str) {
    let connection = Connection::open(folder.path().join(AUDIT_NAME)).expect("it opens");
    connection.execute_batch(sql).expect("it is changed");
}

/// Where the chain breaks after this was done to a log of five entries.
fn breaks_after(sql: &str) -> Result<ChainEnd, Broken> {
    let kept = Kept::new(1000);
    append_many(&kept, 5);
    let kept = kept.reopened(1000, |folder| tamper(folder, sql));
    let found = verify(&kept);
    let in_background = AuditFile::verify(kept.folder.path()).expect("it reads").expect("there is one");
    assert_eq!(in_background, found);
    found
}

#[test]
fn tampering_with_the_file_is_found_where_it_was_done() {
    let changed = "DROP TRIGGER entries_are_not_changed; UPDATE entries SET ";
    for (sql, at) in [
        (format!("{changed} entry = replace(entry, 'pk-3', 'pk-4') WHERE seq = 3"), 3),
        (format!("{changed} entry = x'00ff' WHERE seq = 1"), 1),
        (format!("{changed} hash = zeroblob(32) WHERE seq = 4"), 4),
        (format!("{changed} hash = 'x' WHERE seq = 5"), 5),
        ("DELETE FROM entries WHERE seq = 3".to_owned(), 3),
        ("DELETE FROM entries WHERE seq = 1".to_owned(), 1),
        (
            format!(
                "{changed} seq = 9 WHERE seq = 2; UPDATE entries SET seq = 2 WHERE seq = 3;
                     UPDATE entries SET seq = 3 WHERE seq = 9"
            ),
            2,
        ),
        ("DELETE FROM entries WHERE seq <= 2; UPDATE anchor SET count = 2".to_owned(), 3),
    ] {
        let broken = breaks_after(&sql).expect_err(&sql);
        assert_eq!(broken.seq, at, "{sql}: {broken}");
    }
    assert_eq!(breaks_after("").map(|end| end.count), Ok(5));
}

#[test]
fn a_file_that_is_just_being_made_is_not_a_broken_one() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(AuditFile::verify(folder.path()).expect("there is none").is_none());
    fs::write(folder.path().join(AUDIT_NAME), "").expect("it is made");
    assert!(AuditFile::verify(folder.path()).expect("it has no tables").is_none());
    let log = AuditFile::new(options(&folder, 9)).expect("it starts");
    append_many(&log, 1);
    assert_eq!(verify(&log).map(|end| end.count), Ok(1));
}

#[test]
fn an_entry_cannot_be_changed_by_a_slip() {
    let kept = Kept::new(1000);
    append_many(&kept, 1);
    let connection = Connection::open(kept.folder.path().join(AUDIT_NAME)).expect("it opens");
    let refused = connection.execute("UPDATE entries SET entry = '{}'", []).expect_err("it is refused");
    assert!(refused.to_string().contains("never changed"), "{refused}");
}

/// The last entry that says that others are missing.
fn cut(kept: &Kept) -> Option<String> {
    let entries = read(kept, AuditRead::Newest { before: None }).lines;
    let entries = entries.iter().filter_map(|line| line.entry());
    entries.filter(|entry| entry.action == AUDIT_CUT).map(|entry| entry.target).next()
}

#[test]
fn a_log_that_was_cut_short_goes_on_with_an_entry_that_says_so() {
    let kept = Kept::new(1000);
    append_many(&kept, 5);
    let had = read(&kept, AuditRead::Behind(4)).lines[0].clone();
    let kept = kept.reopened(1000, |folder| tamper(folder, "DELETE FROM entries WHERE seq > 3"));
    assert_eq!(cut(&kept), Some(format!("/audit/5/{}", had.hash)));
    append_many(&kept, 1);
    assert_eq!(verify(&kept).map(|end| end.count), Ok(5));
    // Once, and not with each start.
    let kept = kept.reopened(1000, |_| {});
    assert_eq!(read(&kept, AuditRead::Behind(0)).lines.len(), 5);
}

#[test]
fn a_log_that_is_gone_or_an_older_copy_is_noticed() {
    for is_older in [true, false] {
        let kept = Kept::new(1000);
        append_many(&kept, 2);
        let kept = kept.reopened(1000, |folder| {
            fs::copy(folder.path().join(AUDIT_NAME), folder.path().join("copy")).expect("it is copied");
        });
        append_many(&kept, 3);
        let kept = kept.reopened(1000, |folder| {
            let file = folder.path().join(AUDIT_NAME);
            fs::remove_file(&file).expect("it is there");
            if is_older {
                fs::rename(folder.path().join("copy"), file).expect("it is put back");
            }
        });
        assert!(cut(&kept).is_some_and(|target| target.starts_with("/audit/5/")), "{is_older}");
        assert_eq!(verify(&kept).map(|end| end.count), Ok(if is_older { 3 } else { 1 }));
    }
}

#[test]
fn a_log_that_is_cut_while_it_is_open_is_noticed_with_the_next_entry() {
    let kept = Kept::new(1000);
    append_many(&kept, 5);
    tamper(&kept.folder, "DELETE FROM entries WHERE seq > 2");
    assert_eq!(verify(&kept).expect_err("it is shorter than noted").seq, 3);
    append_many(&kept, 1);
    assert!(cut(&kept).is_some_and(|target| target.starts_with("/audit/5/")));
}

#[test]
fn a_log_that_loses_its_name_while_it_is_open_is_begun_anew_and_says_so() {
    let kept = Kept::new(1000);
    append_many(&kept, 3);
    fs::rename(kept.folder.path().join(AUDIT_NAME), kept.folder.path().join("away")).expect("it is there");
    append_many(&kept, 1);
    assert!(cut(&kept).is_some_and(|target| target.starts_with("/audit/3/")));
    assert_eq!(verify(&kept).map(|end| end.count), Ok(2));
    let kept = kept.reopened(1000, |_| {});
    assert_eq!(verify(&kept).map(|end| end.count), Ok(2));
}

/// As on a full disk: what is inserted into a table is refused.
fn refuse_inserts(folder: &TempDir, table: &str, begin: bool) {
    let name = format!("full_{table}");
    let sql = match begin {
        true => {
            format!("CREATE TRIGGER {name} BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, 'full'); END")
        }
        false => format!("DROP TRIGGER {name}"),
    };
    tamper(folder, &sql);
}

#[test]
fn an_entry_that_cannot_be_written_follows_as_soon_as_it_can() {
    let kept = Kept::new(1000);
    let notes: Vec<_> = (1..=3).map(|n| block_on(kept.begin(entry(n))).expect("it is noted")).collect();
    refuse_inserts(&kept.folder, "entries", true);
    for (note, n) in notes.iter().zip(1..).take(2) {
        let refused = block_on(kept.end(Some(*note), entry(n))).expect_err("it is full").to_string();
        assert!(refused.contains("full") && refused.contains(AUDIT_NAME), "{refused}");
    }
    // Nothing is noted that might hide them, and nothing is lost.
    assert!(block_on(kept.begin(entry(4))).is_err());
    refuse_inserts(&kept.folder, "entries", false);
    block_on(kept.end(Some(notes[2]), entry(3))).expect("there is room");
    let times = |kept: &Kept| {
        let lines = read(kept, AuditRead::Behind(0)).lines;
        let entries: Vec<_> = lines.iter().filter_map(|line| line.entry()).collect();
        entries.iter().map(|entry| (entry.time.0, entry.outcome)).collect::<Vec<_>>()
    };
    let done = [1, 2, 3].map(|n| (n, AuditOutcome::Done));
    assert_eq!(times(&kept), done);
    let kept = kept.reopened(1000, |_| {});
    assert_eq!((times(&kept), verify(&kept).map(|end| end.count)), (done.to_vec(), Ok(3)));
}

#[test]
fn an_entry_that_could_not_be_written_before_the_end_is_noted_for_the_next_process() {
    let kept = Kept::new(1000);
    let note = block_on(kept.begin(AuditEntry { outcome: AuditOutcome::Unknown, ..entry(1) }));
    refuse_inserts(&kept.folder, "entries", true);
    assert!(block_on(kept.end(note.ok(), entry(1))).is_err());
    let kept = kept.reopened(1000, |folder| refuse_inserts(folder, "entries", false));
    let lines = read(&kept, AuditRead::Behind(0)).lines;
    let outcomes: Vec<_> = lines.iter().filter_map(|line| line.entry()).map(|entry| entry.outcome).collect();
    assert_eq!(outcomes, [AuditOutcome::Unknown]);
}

#[test]
fn a_file_that_cannot_be_used_refuses_deeds_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(AUDIT_NAME);
    fs::write(&file, "not a database, which is longer than the header".repeat(9)).expect("it is written");
    let log = AuditFile::new(options(&folder, 9)).expect("it starts");
    let refused = block_on(log.begin(entry(1))).expect_err("it cannot be noted").to_string();
    assert!(refused.contains("not a database"), "{refused}");
    assert!(block_on(log.read(AuditRead::Behind(0))).is_err());
    // What cannot be written is owed, and comes as soon as it can.
    assert!(block_on(log.end(None, entry(2))).is_err());
    fs::remove_file(&file).expect("it is there");
    block_on(log.end(None, entry(3))).expect("a new one is made");
    let lines = block_on(log.read(AuditRead::Behind(0))).expect("it reads").lines;
    let times: Vec<_> = lines.iter().filter_map(|line| line.entry()).map(|entry| entry.time.0).collect();
    assert_eq!(times, [2, 3]);
}

#[test]
fn two_processes_that_meet_for_a_moment_write_one_chain() {
    let first = Kept::new(1000);
    append_many(&first, 2);
    let second = AuditFile::new(options(&first.folder, 1000)).expect("it starts");
    append_many(&second, 2);
    append_many(&first, 2);
    append_many(&second, 1);
    assert_eq!(verify(&second).map(|end| end.count), Ok(7));
    assert_eq!(cut(&first), None);
}

#[test]
fn many_callers_share_commits_and_all_are_answered() {
    let kept = Kept::new(1000);
    let asked: Vec<_> = (1..=200).map(|n| kept.begin(entry(n))).collect();
    let notes: Vec<_> = asked.into_iter().map(|asked| block_on(asked).expect("it is noted")).collect();
    let ended: Vec<_> = notes.iter().zip(1..).map(|(note, n)| kept.end(Some(*note), entry(n))).collect();
    ended.into_iter().for_each(|ended| block_on(ended).expect("it is appended"));
    assert_eq!(verify(&kept).map(|end| end.count), Ok(200));
}

/// An entry of so many days ago that changed something, or was refused.
fn aged(days: i64, outcome: AuditOutcome) -> AuditEntry {
    AuditEntry { time: UnixMillis((100 - days) * DAY_MS), outcome, ..entry(1) }
}

/// The outcomes of all entries that are kept, with what each says has none.
fn kept_outcomes(kept: &Kept) -> Vec<(AuditOutcome, Option<u64>)> {
    let lines = read(kept, AuditRead::Behind(0)).lines;
    let entries = lines.iter().filter_map(|line| line.entry());
    entries.map(|entry| (entry.outcome, entry.left_out)).collect()
}

#[test]
fn what_was_refused_pushes_no_change_out_that_is_younger_than_ninety_days() {
    let kept = Kept::new(10);
    let add = |count: usize, days: i64, outcome: AuditOutcome| {
        for _ in 0..count {
            block_on(kept.end(None, aged(days, outcome))).expect("it is answered");
        }
    };
    add(8, 89, AuditOutcome::Done);
    add(500, 0, AuditOutcome::Refused);
    let (done, refused) = (AuditOutcome::Done, AuditOutcome::Refused);
    let expected = [vec![(done, None); 8], vec![(refused, None); 2]].concat();
    assert_eq!(kept_outcomes(&kept), expected);
    // A failure does not either, and leaves no note.
    let note = block_on(kept.begin(aged(0, AuditOutcome::Unknown))).expect("it is noted");
    block_on(kept.end(Some(note), aged(0, AuditOutcome::Failed))).expect("it is answered");
    assert_eq!(kept_outcomes(&kept), expected);
    // A change does: the log grows, up to twice as many.
    add(15, 0, done);
    assert_eq!(kept_outcomes(&kept), [&expected[5..], &vec![(done, None); 15]].concat());
    assert_eq!(verify(&kept).map(|end| end.count), Ok(25));
    let kept = kept.reopened(10, |_| {});
    assert_eq!(kept_outcomes(&kept).len(), 20, "no note is left");
}

#[test]
fn attack_206_a_leap_of_the_clock_makes_no_entry_old() {
    static NOW: AtomicI64 = AtomicI64::new(100 * DAY_MS);
    let folder = tempfile::tempdir().expect("a folder");
    let clock = || UnixMillis(NOW.load(Ordering::Relaxed));
    let log = AuditFile::new(AuditOptions { clock, ..options(&folder, 10) }).expect("it starts");
    let kept = Kept { log, folder };
    let add = |outcome: AuditOutcome| block_on(kept.end(None, aged(1, outcome))).expect("it is answered");
    (0..10).for_each(|_| add(AuditOutcome::Done));
    NOW.store(500 * DAY_MS, Ordering::Relaxed);
    (0..5).for_each(|_| add(AuditOutcome::Refused));
    assert_eq!(kept_outcomes(&kept), [(AuditOutcome::Done, None); 10]);
}

#[test]
fn what_has_no_entry_is_counted_by_the_next_one_and_old_entries_go() {
    let kept = Kept::new(10);
    let add = |days: i64, outcome: AuditOutcome, left_out: Option<u64>| {
        let entry = AuditEntry { left_out, ..aged(days, outcome) };
        block_on(kept.end(None, entry)).expect("it is answered");
    };
    (0..10).for_each(|_| add(1, AuditOutcome::Done, None));
    (0..3).for_each(|_| add(0, AuditOutcome::Refused, Some(5)));
    assert_eq!(kept_outcomes(&kept), [(AuditOutcome::Done, None); 10]);
    // As if they had become old.
    tamper(
        &kept.folder,
        "DROP TRIGGER entries_are_not_changed;
         UPDATE entries SET entry = replace(entry, '\"time\":85', '\"time\":1')",
    );
    add(0, AuditOutcome::Refused, None);
    let expected = [vec![(AuditOutcome::Done, None); 9], vec![(AuditOutcome::Refused, Some(18))]].concat();
    assert_eq!(kept_outcomes(&kept), expected);
}

/// A log of a store with this name, whose registry knows this end.
fn tied(folder: &TempDir, store_id: &str, end: Option<ChainEnd>) -> AuditFile {
    let tie = Arc::new(AuditTie::new(Some(store_id.to_owned()), end));
    AuditFile::new(AuditOptions { tie, ..options(folder, 100) }).expect("it starts")
}

/// The actions of all entries, with what they say of themselves.
fn actions(log: &AuditFile) -> Vec<(String, String)> {
    let lines = read(log, AuditRead::Behind(0)).lines;
    let entries = lines.iter().filter_map(|line| line.entry());
    entries.map(|entry| (entry.action, entry.detail.into_values().collect())).collect()
}

#[test]
fn a_log_of_another_store_says_so_once_and_one_that_is_of_none_yet_becomes_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = AuditFile::new(options(&folder, 100)).expect("it starts");
    append_many(&log, 1);
    drop(log);
    let update = ("products.update".to_owned(), String::new());
    for _ in 0..2 {
        assert_eq!(actions(&tied(&folder, "first", None)), std::slice::from_ref(&update));
    }
    let foreign = ("audit.foreign".to_owned(), "first".to_owned());
    for _ in 0..2 {
        assert_eq!(actions(&tied(&folder, "second", None)), [update.clone(), foreign.clone()]);
    }
}

#[test]
fn an_end_that_the_registry_knows_must_be_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = tied(&folder, "s", None);
    append_many(&log, 3);
    let end = read(&log, AuditRead::Behind(0)).end;
    drop(log);
    let tie = |end| {
        fs::remove_file(folder.path().join(HEAD_NAME)).expect("it is there");
        tied(&folder, "s", Some(end))
    };
    let whole = tie(end);
    assert_eq!(verify(&whole).map(|end| end.count), Ok(3));
    append_many(&whole, 1);
    assert_eq!(whole.options.tie.end().map(|end| end.count), Some(4), "the store hears of it");
    drop(whole);
    let cut = tie(ChainEnd { count: 9, ..end });
    assert_eq!(actions(&cut)[4].0, AUDIT_CUT);
    assert_eq!(verify(&cut).map(|end| end.count), Ok(5));
}

#[test]
fn a_file_of_the_first_format_goes_on() {
    let kept = Kept::new(100);
    append_many(&kept, 2);
    let kept = kept.reopened(100, |folder| tamper(folder, "DROP TABLE store; PRAGMA user_version = 1"));
    append_many(&kept, 1);
    assert_eq!(verify(&kept).map(|end| end.count), Ok(3));
    let Kept { log, folder } = kept;
    drop(log);
    assert_eq!(actions(&tied(&folder, "s", None)).len(), 3);
}

#[test]
fn no_log_that_was_put_aside_takes_the_place_of_another() {
    let kept = Kept::new(100);
    let kept = ["first", "second"].into_iter().fold(kept, |kept, text| {
        kept.reopened(100, |folder| {
            fs::remove_file(folder.path().join(AUDIT_NAME)).expect("it is there");
            fs::write(folder.path().join("audit.db-wal"), text).expect("it is written");
        })
    });
    append_many(&kept, 1);
    let left =
        [".left-wal", ".left-wal.1"].map(|name| kept.folder.path().join(format!("{AUDIT_NAME}{name}")));
    assert_eq!(left.map(|file| fs::read_to_string(file).expect("it is kept")), ["first", "second"]);
}

#[test]
fn after_a_commit_that_the_disk_lost_nothing_is_written_before_a_new_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = Log::new(options(&folder, 100));
    let commit = |log: &mut Log, job: &dyn Fn(Reply<()>) -> Job| log.commit(&[job(reply().0)]).is_ok();
    let entry_of = |n: i64| move |reply| Job::End(None, entry(n), reply);
    assert!(commit(&mut log, &entry_of(1)));
    for code in [rusqlite::ffi::SQLITE_FULL, rusqlite::ffi::SQLITE_IOERR_FSYNC] {
        log.fault = Some(code);
        assert!(!commit(&mut log, &entry_of(2)));
        let goes_on = code == rusqlite::ffi::SQLITE_FULL;
        assert_eq!(commit(&mut log, &entry_of(3)), goes_on, "{code}");
    }
    // In another file it goes on.
    let (file, away) = (folder.path().join(AUDIT_NAME), folder.path().join("away"));
    fs::rename(&file, &away).expect("it is there");
    assert!(commit(&mut log, &entry_of(4)));
    drop(log);
    fs::rename(&away, &file).expect("it is put back");
    assert!(commit(&mut Log::new(options(&folder, 100)), &entry_of(5)));
}

#[test]
fn what_is_there_can_be_read_where_notes_of_before_cannot_become_entries() {
    let kept = Kept::new(100);
    append_many(&kept, 2);
    block_on(kept.begin(entry(3))).expect("it is noted");
    let kept = kept.reopened(100, |folder| refuse_inserts(folder, "entries", true));
    assert_eq!(read(&kept, AuditRead::Behind(0)).lines.len(), 2);
    assert!(block_on(kept.begin(entry(4))).is_err());
    refuse_inserts(&kept.folder, "entries", false);
    append_many(&kept, 1);
    assert_eq!(verify(&kept).map(|end| end.count), Ok(4));
}

#[test]
fn a_log_with_a_hole_is_pruned_all_the_same() {
    for hole in ["seq = 1", "seq BETWEEN 1 AND 3", "seq = 2"] {
        let kept = Kept::new(10);
        append_many(&kept, 10);
        let kept = kept.reopened(10, |folder| tamper(folder, &format!("DELETE FROM entries WHERE {hole}")));
        append_many(&kept, 20);
        let left = read(&kept, AuditRead::Behind(0)).lines;
        assert_eq!((left.len(), left[9].seq), (10, 30), "{hole}");
    }
}

#[test]
fn its_files_are_for_their_owner_only() {
    let kept = Kept::new(1000);
    append_many(&kept, 1);
    for name in [AUDIT_NAME, HEAD_NAME, "audit.db-wal"] {
        let mode = fs::metadata(kept.folder.path().join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_note_that_somebody_destroyed_still_leaves_an_entry() {
    let kept = Kept::new(1000);
    block_on(kept.begin(entry(1))).expect("it is noted");
    let kept = kept.reopened(1000, |folder| tamper(folder, "UPDATE notes SET entry = '{'"));
    let lines = read(&kept, AuditRead::Behind(0)).lines;
    let entries: Vec<_> = lines.iter().filter_map(|line| line.entry()).collect();
    let [entry] = &*entries else { panic!("{entries:?}") };
    assert_eq!((entry.outcome, &*entry.action), (AuditOutcome::Unknown, "audit.note"));
}
