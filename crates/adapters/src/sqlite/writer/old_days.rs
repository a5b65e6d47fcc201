//! The writer deletes old days, one after the other, between its other work. See the module `retention`.

use std::time::Instant;

use narrowgate_platform::ids::Position;

use super::{
    super::{retention::remove, stream},
    Day, Volume, Writer,
};

impl Writer {
    /// Looks for old messages when it is due, and deletes at most one file.
    pub(in crate::sqlite) fn continue_retention(&mut self, now: Instant) {
        self.write_lost();
        if self.retention.next_look() <= now {
            self.retention.look_again(now);
            self.look(Day::of((self.shared.options.clock)()), now);
            self.note_clock();
            self.gone_is_stuck = false;
            self.forget_gone();
            if let Err(error) = self.shared.layout.remove_orphans() {
                tracing::debug!(%error, "logs of deleted days could not be looked for");
            }
        }
        self.delete_old_day();
    }

    /// Hides what is old today; its files are deleted one by one.
    pub(super) fn look(&mut self, today: Day, now: Instant) {
        let files = self.shared.days_before(today);
        let kept = self.retention.kept(today, &files, now);
        let expired = self.shared.expired(&kept);
        // Before they are hidden: who reads meanwhile is told of a gap.
        for volume in &expired {
            // Of a file that cannot be read, all that there is may have been in it.
            let end = stream::end_of(&self.shared.layout.volume(*volume));
            if let Some(end) = end.unwrap_or_else(|_| Some(self.registry.upcoming())) {
                self.shared.raise_messages_lost(end);
            }
        }
        self.shared.hide(&expired);
        self.retention.delete(expired);
    }

    /// Deletes the oldest file whose time is over, if there is one.
    pub(super) fn delete_old_day(&mut self) {
        if let Some(volume) = self.retention.due() {
            let deleted = self.delete(volume);
            self.retention.done(volume, deleted);
        }
    }

    fn delete(&mut self, volume: Volume) -> Result<(), String> {
        if self.files.has(volume) {
            // There were no reports for long. Latest values that are not written down could be restored from
            // this file only.
            self.flush_all().map_err(|error| error.to_string())?;
            self.files.take(volume.class);
        }
        self.purge.leave(volume);
        self.shared.forget_file(volume);
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("removal-begun");
        self.note_deletion(volume);
        self.write_lost();
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("removal-noted");
        remove(&self.shared.layout, volume).map_err(|error| error.to_string())?;
        #[cfg(feature = "test-hooks")]
        crate::failpoint::pass("removal-done");
        // A disk that was full has room for it now. A mark that stays means nothing: it goes before a file of
        // this name is made again.
        let forgotten = self
            .repair()
            .map_err(|error| error.to_string())
            .and_then(|()| self.registry.forget_mark(volume).map_err(|error| error.to_string()));
        if let Err(error) = forgotten {
            tracing::debug!(file = %volume, error, "the mark of a deleted file is not taken away yet");
        }
        self.write_lost();
        Ok(())
    }

    /// Writes down that this file is deleted on purpose, so that the next start does not miss it. On a full
    /// disk that may fail; then the retention explains it.
    fn note_deletion(&mut self, volume: Volume) {
        if self.broken || self.kept_from.is_over(volume) {
            return;
        }
        let Volume { day, class } = volume;
        match self.registry.set_kept_from(class, day.next()) {
            Ok(()) => self.kept_from.raise(class, day.next()),
            Err(error) => tracing::debug!(file = %volume, %error, "a deletion is not written down"),
        }
    }

    /// Messages up to this place are not there any more: who follows from an earlier one is told so.
    pub(in crate::sqlite) fn note_lost(&mut self, upto: Position) {
        self.shared.raise_messages_lost(upto);
        self.write_lost();
    }

    /// Writes down which messages are gone, for the next process. Where that cannot be done (the disk is
    /// full), it is tried again after the deletion, and from time to time.
    fn write_lost(&mut self) {
        let Some(upto) = self.shared.messages_lost().filter(|upto| self.lost_noted < Some(*upto)) else {
            return;
        };
        if self.broken {
            return;
        }
        let raised = self.registry.raise_messages_lost(upto);
        #[cfg(test)]
        let raised = raised.and_then(|()| self.shared.faults.lost_noted());
        match raised {
            Ok(()) => self.lost_noted = Some(upto),
            Err(error) => tracing::debug!(%upto, %error, "which messages are deleted is not written down"),
        }
    }

    /// Writes down on which day the clock is known to have been, for the next start.
    fn note_clock(&mut self) {
        let Some(day) = self.retention.unnoted().filter(|_| !self.broken) else { return };
        match self.registry.set_clock_day(day) {
            Ok(()) => self.retention.noted(day),
            // Tried again at the next check.
            Err(error) => tracing::debug!(%day, %error, "the day is not written down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
            mpsc,
        },
        thread,
        time::Duration,
    };

    use narrowgate_platform::{
        ids::{DeviceId, UnixMillis},
        ports::{HistoryReads as _, Journal as _, StoreError, Write},
        testing::{
            block_on,
            store::fixtures::{append, at, one_device, report, write},
        },
    };

    use super::{
        super::{
            super::{open, readers::Size},
            Append, Job,
        },
        *,
    };
    use crate::sqlite::{SqliteOptions, SqliteStore, reply::reply, retention::INTERVAL};

    const DAY: i64 = 86_400;

    fn numbered(device: DeviceId, day: i64) -> Write {
        report(device, at(day * DAY), &format!(r#"{{"n":{day}}}"#))
    }

    /// A closed store with a report of each of these days, and its device.
    fn store_with(data: &Path, days: &[i64]) -> DeviceId {
        let options = SqliteOptions { clock: || at(0), ..SqliteOptions::new(data) };
        let store = SqliteStore::open(options).unwrap();
        let id = one_device(&store, "dk-1");
        days.iter().for_each(|day| drop(append(&store, vec![numbered(id, *day)])));
        block_on(store.close()).unwrap();
        id
    }

    /// Keeps one day.
    fn options(data: &Path, clock: fn() -> UnixMillis) -> SqliteOptions {
        SqliteOptions { retention_days: Some(1), clock, ..SqliteOptions::new(data) }
    }

    /// Days of January that have a file.
    fn files(data: &Path) -> Vec<i64> {
        let names = fs::read_dir(data.join("messages")).unwrap().map(|entry| entry.unwrap().file_name());
        let day = |name: &str| Some(name.strip_prefix("2026-01-")?.strip_suffix(".db")?.parse().unwrap());
        let mut days: Vec<i64> = names.filter_map(|name| day(name.to_str().unwrap())).collect();
        days.sort_unstable();
        days
    }

    /// Everything that is due now, step by step; how many steps it takes.
    fn run(writer: &mut Writer, now: Instant) -> usize {
        writer.continue_retention(now);
        let mut steps = 1;
        while writer.retention.has_work() {
            writer.continue_retention(now);
            steps += 1;
        }
        steps
    }

    fn report_by(writer: &mut Writer, device: DeviceId, day: i64) -> Result<(), StoreError> {
        let (reply, answer) = reply();
        writer.commit(vec![Job::Append(Append {
            batch: vec![numbered(device, day)],
            confirmed: None,
            written: Vec::new(),
            first: None,
            reply,
        })]);
        block_on(answer).map(drop)
    }

    #[test]
    fn what_is_hidden_is_lost_at_once_and_is_written_down_as_soon_as_that_can_be() {
        let folder = tempfile::tempdir().unwrap();
        store_with(folder.path(), &[0, 1, 2, 3]);
        let (shared, mut writer) = open::open(&options(folder.path(), || at(3 * DAY))).unwrap();
        shared.faults.fail_lost_notes(2);
        assert_eq!(shared.messages_lost(), None);
        writer.look(Day::of(at(3 * DAY)), Instant::now());
        let lost = shared.messages_lost().expect("two days are hidden");
        assert_eq!(shared.spans().len(), 2);
        assert_eq!(files(folder.path()), [1, 2, 3, 4], "they are there");
        // As on a full disk: the first file goes before it can be written down.
        writer.delete_old_day();
        assert_eq!((files(folder.path()), writer.lost_noted), (vec![2, 3, 4], None));
        writer.delete_old_day();
        assert_eq!((files(folder.path()), writer.lost_noted), (vec![3, 4], Some(lost)));
        assert_eq!(shared.messages_lost(), Some(lost));
    }

    #[test]
    fn what_is_old_goes_at_the_start_day_by_day() {
        let folder = tempfile::tempdir().unwrap();
        store_with(folder.path(), &[0, 1, 2, 3, 4]);
        let (shared, mut writer) = open::open(&options(folder.path(), || at(4 * DAY))).unwrap();
        let now = Instant::now();
        writer.continue_retention(now);
        assert_eq!(files(folder.path()), [2, 3, 4, 5], "one day in a step");
        assert_eq!(shared.spans().len(), 2, "but none of the old ones is shown any more");
        run(&mut writer, now);
        assert_eq!(files(folder.path()), [4, 5]);
    }

    #[test]
    fn the_log_that_a_deletion_left_goes_at_the_next_look() {
        let folder = tempfile::tempdir().unwrap();
        store_with(folder.path(), &[4]);
        let log = folder.path().join("messages/2026-01-01.db-wal");
        fs::write(&log, "").unwrap();
        let (_, mut writer) = open::open(&options(folder.path(), || at(4 * DAY))).unwrap();
        run(&mut writer, Instant::now());
        assert!(!log.exists());
        assert_eq!(files(folder.path()), [5]);
    }

    #[test]
    fn a_store_that_hears_nothing_deletes_what_is_old_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let id = store_with(folder.path(), &[0, 1]);
        let store = SqliteStore::open(options(folder.path(), || at(2 * DAY))).unwrap();
        // The writer checks before it does anything else.
        write(&store, Write::Seen { device: id, login: None, at: at(2 * DAY) });
        block_on(store.close()).unwrap();
        assert_eq!(files(folder.path()), [2]);
    }

    #[test]
    fn every_hour_what_has_become_old_goes() {
        static CLOCK: AtomicI64 = AtomicI64::new(0);
        let set = |seconds: i64| CLOCK.store(at(seconds).0, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        store_with(folder.path(), &[0, 1, 2]);
        set(2 * DAY + DAY / 2);
        let clock = || UnixMillis(CLOCK.load(Ordering::Relaxed));
        let (_, mut writer) = open::open(&options(folder.path(), clock)).unwrap();
        let start = Instant::now();
        run(&mut writer, start);
        assert_eq!(files(folder.path()), [2, 3]);
        set(3 * DAY);
        run(&mut writer, start + INTERVAL - Duration::from_secs(1));
        assert_eq!(files(folder.path()), [2, 3]);
        run(&mut writer, start + INTERVAL);
        assert_eq!(files(folder.path()), [3]);
        set(4 * DAY);
        run(&mut writer, start + 2 * INTERVAL);
        assert_eq!(files(folder.path()), [] as [i64; 0], "also without any report since");
    }

    #[test]
    fn the_day_that_is_open_goes_too_and_leaves_its_latest_values() {
        static CLOCK: AtomicI64 = AtomicI64::new(0);
        let set = |seconds: i64| CLOCK.store(at(seconds).0, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let id = store_with(folder.path(), &[]);
        set(0);
        let clock = || UnixMillis(CLOCK.load(Ordering::Relaxed));
        let (_, mut writer) = open::open(&options(folder.path(), clock)).unwrap();
        let start = Instant::now();
        run(&mut writer, start);
        report_by(&mut writer, id, 0).unwrap();
        for day in 1..=2 {
            set(day * DAY);
            run(&mut writer, start + 25 * INTERVAL * day as u32);
        }
        assert_eq!(files(folder.path()), [] as [i64; 0]);
        report_by(&mut writer, id, 2).unwrap();
        assert_eq!(files(folder.path()), [3]);
        drop(writer);
        let store = SqliteStore::open(options(folder.path(), || at(2 * DAY))).unwrap();
        assert_eq!(block_on(store.points_latest(id)).unwrap().items.len(), 1);
    }

    #[test]
    fn before_the_file_of_a_new_day_is_made_an_old_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let id = store_with(folder.path(), &[0, 1]);
        let (_, mut writer) = open::open(&options(folder.path(), || at(DAY))).unwrap();
        run(&mut writer, Instant::now());
        assert_eq!(files(folder.path()), [1, 2]);
        // There is no room for a new file: a folder of that name stands in its way.
        let new = folder.path().join("messages/2026-01-03.db.new");
        fs::create_dir(&new).unwrap();
        report_by(&mut writer, id, 2).unwrap_err();
        assert_eq!(files(folder.path()), [2]);
        fs::remove_dir(&new).unwrap();
        report_by(&mut writer, id, 2).unwrap();
        assert_eq!(files(folder.path()), [2, 3]);
    }

    #[test]
    fn a_deletion_that_fails_is_tried_again_and_hinders_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let id = store_with(folder.path(), &[0, 1, 2]);
        let (_, mut writer) = open::open(&options(folder.path(), || at(3 * DAY))).unwrap();
        // A folder cannot be removed as a file is.
        let file = folder.path().join("messages/2026-01-01.db");
        fs::rename(&file, folder.path().join("elsewhere")).unwrap();
        fs::create_dir_all(file.join("in the way")).unwrap();
        let start = Instant::now();
        assert_eq!(run(&mut writer, start), 2, "it does not go on trying");
        assert_eq!(files(folder.path()), [1, 3]);
        report_by(&mut writer, id, 3).unwrap();
        run(&mut writer, start + INTERVAL);
        assert_eq!(files(folder.path()), [1, 3, 4]);
        fs::remove_dir_all(&file).unwrap();
        run(&mut writer, start + 2 * INTERVAL);
        assert!(!writer.retention.has_work());
        assert_eq!(files(folder.path()), [3, 4]);
    }

    #[test]
    fn a_clock_that_jumps_right_before_midnight_deletes_nothing_with_its_next_report() {
        static CLOCK: AtomicI64 = AtomicI64::new(0);
        let set = |seconds: i64| CLOCK.store(at(seconds).0, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let id = store_with(folder.path(), &[0, 1]);
        let clock = || UnixMillis(CLOCK.load(Ordering::Relaxed));
        set(DAY);
        let (_, mut writer) = open::open(&options(folder.path(), clock)).unwrap();
        let start = Instant::now();
        run(&mut writer, start);
        for day in [20, 21, 22] {
            set(day * DAY);
            report_by(&mut writer, id, day).unwrap();
            run(&mut writer, start + INTERVAL);
            assert!(files(folder.path()).starts_with(&[1, 2]), "on day {day}");
        }
        drop(writer);
        // The files that the wrong clock made are no evidence after a restart either.
        let (_, mut writer) = open::open(&options(folder.path(), clock)).unwrap();
        run(&mut writer, Instant::now());
        assert_eq!(files(folder.path()), [1, 2, 21, 22, 23]);
    }

    #[test]
    fn a_read_that_takes_long_does_not_stop_a_deletion() {
        let folder = tempfile::tempdir().unwrap();
        store_with(folder.path(), &[0, 1]);
        let (shared, mut writer) = open::open(&options(folder.path(), || at(2 * DAY))).unwrap();
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel();
        let readers = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            readers.readers.read(Size::Long, |reader| {
                reader.volume(Volume::parse("2026-01-01").unwrap())?.expect("it is there");
                begun.send(()).unwrap();
                may_end.recv_timeout(Duration::from_secs(10)).expect("the deletion does not wait");
                let count = |file: &rusqlite::Connection| {
                    file.query_row("SELECT count(*) FROM messages", [], |row| row.get::<_, i64>(0))
                };
                count(reader.volume(Volume::parse("2026-01-01").unwrap())?.expect("it is open").0)
            })
        });
        has_begun.recv().unwrap();
        run(&mut writer, Instant::now());
        assert_eq!(files(folder.path()), [2]);
        end.send(()).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 1, "a file that is open stays readable");
        // It is released then, and nobody can read it any more.
        let open_files =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        let deleted = folder.path().join("messages/2026-01-01.db");
        assert!(
            !open_files
                .into_iter()
                .any(|open| open.to_string_lossy().starts_with(&*deleted.to_string_lossy()))
        );
        let again = shared
            .readers
            .read(Size::Long, |reader| Ok(reader.volume(Volume::parse("2026-01-01").unwrap())?.is_none()));
        assert!(again.unwrap());
    }

    #[test]
    fn a_pause_of_days_is_made_up_for_after_a_day_of_the_process() {
        static CLOCK: AtomicI64 = AtomicI64::new(0);
        let set = |seconds: i64| CLOCK.store(at(seconds).0, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let id = store_with(folder.path(), &[0, 1]);
        let clock = || UnixMillis(CLOCK.load(Ordering::Relaxed));
        set(6 * DAY + DAY / 2);
        let (_, mut writer) = open::open(&options(folder.path(), clock)).unwrap();
        let start = Instant::now();
        for hour in 0..=24 {
            set(6 * DAY + DAY / 2 + i64::from(hour) * 3600);
            run(&mut writer, start + hour * INTERVAL);
            report_by(&mut writer, id, if hour < 12 { 6 } else { 7 }).unwrap();
            let expected: &[i64] = match hour {
                0..12 => &[1, 2, 7],
                12..24 => &[1, 2, 7, 8],
                _ => &[7, 8],
            };
            assert_eq!(files(folder.path()), expected, "after {hour} hours");
        }
    }

    #[test]
    fn reports_that_come_once_a_week_are_deleted_too() {
        static CLOCK: AtomicI64 = AtomicI64::new(0);
        let folder = tempfile::tempdir().unwrap();
        let id = store_with(folder.path(), &[]);
        let clock = || UnixMillis(CLOCK.load(Ordering::Relaxed));
        CLOCK.store(at(0).0, Ordering::Relaxed);
        let (_, mut writer) = open::open(&options(folder.path(), clock)).unwrap();
        let start = Instant::now();
        for day in 0..=22 {
            CLOCK.store(at(i64::from(day) * DAY).0, Ordering::Relaxed);
            run(&mut writer, start + 24 * day * INTERVAL);
            if day % 7 == 0 {
                report_by(&mut writer, id, i64::from(day)).unwrap();
            }
        }
        assert_eq!(files(folder.path()), [22]);
    }

    #[test]
    fn a_clock_far_ahead_at_the_start_deletes_nothing_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        store_with(folder.path(), &[0, 1, 2]);
        static CLOCK: AtomicI64 = AtomicI64::new(0);
        let set = |day: i64| CLOCK.store(at(day * DAY).0, Ordering::Relaxed);
        let clock = || UnixMillis(CLOCK.load(Ordering::Relaxed));
        set(400);
        // However often it is started.
        for _ in 0..3 {
            let (_, mut writer) = open::open(&options(folder.path(), clock)).unwrap();
            run(&mut writer, Instant::now());
            assert_eq!(files(folder.path()), [2, 3]);
        }
        let (_, mut writer) = open::open(&options(folder.path(), clock)).unwrap();
        let start = Instant::now();
        run(&mut writer, start);
        set(401);
        run(&mut writer, start + 24 * INTERVAL);
        assert_eq!(files(folder.path()), [] as [i64; 0]);
    }
}
