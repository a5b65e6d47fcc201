//! Retention: which days are old, although the clock may be wrong, and how their files are deleted without
//! stopping the writer.
//!
//! Whole days of a class are deleted, as many days after them as the class lasts. Files of a class that is
//! not configured are kept. The writer checks when it starts, every [`INTERVAL`], and
//! before it opens the file of a new day, so neither a pause of the reports nor a disk that is full keeps old
//! messages.
//!
//! A clock that jumps ahead must not delete everything. A day is believed when the clock was known to be
//! right at most [`PAUSE_DAYS_MAX`] before: when the writer checked, or on a day that has a file and follows
//! such a day. One that is further away is doubted, and the age counts from the last known day, until the
//! process has run for [`DOUBT`] and the clock has gone on with it. Files that are made meanwhile prove
//! nothing. Each start doubts again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io, thread,
    time::{Duration, Instant},
};

use narrowgate_platform::{ids::UnixMillis, model::retention::RetentionClass};

use super::{day::Day, files::Layout, volume::Volume};

/// The time between two checks, at which a deletion that failed is tried again too.
pub(super) const INTERVAL: Duration = Duration::from_secs(3600);
/// A clock that is further ahead than this may have jumped.
const PAUSE_DAYS_MAX: u32 = 2;
/// The time that a process runs, not that the clock shows, after which a doubted clock is believed.
const DOUBT: Duration = Duration::from_secs(86_400);
/// A larger file is closed by a thread of its own.
const LARGE_BYTES: u64 = 64 << 20;

/// What is old, and what is being deleted.
#[derive(Debug)]
pub(super) struct Retention {
    /// Each class, with the days that it lasts; `None`: it is kept.
    classes: Vec<(RetentionClass, Option<u32>)>,
    /// The last day on which the clock is known to have been.
    known: Option<Day>,
    /// The day that the registry has for it.
    noted: Option<Day>,
    /// The clock shows days that are not believed yet.
    doubt: Option<Doubt>,
    /// Files that are to be deleted, and whether that has failed before.
    old: BTreeMap<Volume, Attempt>,
    /// Files whose failure was logged.
    logged: BTreeSet<Volume>,
    next_look: Instant,
}

/// Since when a clock is doubted, and what it showed then.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Instant,
    day: Day,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Due,
    /// It has failed, and is tried again at the next check.
    Failed,
}

impl Retention {
    /// `known` is the day on which an earlier process knew the clock to be.
    pub(super) fn new(classes: Vec<(RetentionClass, Option<u32>)>, known: Option<Day>, now: Instant) -> Self {
        Self {
            classes,
            known,
            noted: known,
            doubt: None,
            old: BTreeMap::new(),
            logged: BTreeSet::new(),
            next_look: now,
        }
    }

    /// When the next check is due.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// A check begins: what failed is tried again.
    pub(super) fn look_again(&mut self, now: Instant) {
        self.next_look = now + INTERVAL;
        self.old.values_mut().for_each(|attempt| *attempt = Attempt::Due);
    }

    /// The last day on which the clock is known to have been.
    pub(super) fn known(&self) -> Option<Day> {
        self.known
    }

    /// What the clock shows, where it may be right: else the last day on which it is known to have been.
    pub(super) fn believable(&self, time: UnixMillis) -> UnixMillis {
        self.known.filter(|known| is_far(*known, Day::of(time))).map_or(time, Day::begins)
    }

    /// The last day on which the clock is known to have been, unless it is written down already.
    pub(super) fn unnoted(&self) -> Option<Day> {
        self.known.filter(|known| Some(*known) != self.noted)
    }

    /// That day is written down.
    pub(super) fn noted(&mut self, day: Day) {
        self.noted = Some(day);
    }

    /// The clock shows `today`; `files` are the earlier days that have a file, oldest first. Returns what is
    /// kept.
    pub(super) fn kept(&mut self, today: Day, files: &[Day], now: Instant) -> Kept {
        let counted = self.believe(today, files, now);
        let first = |(class, days): &(RetentionClass, Option<u32>)| Some((*class, counted.minus((*days)?)));
        Kept(self.classes.iter().filter_map(first).collect())
    }

    /// The day from which the age of messages counts.
    fn believe(&mut self, today: Day, files: &[Day], now: Instant) -> Day {
        // What is later than today is no evidence: the clock was set back.
        let known = last_sure(self.known.filter(|known| *known <= today), files);
        let Some(known) = known.filter(|known| is_far(*known, today)) else {
            self.known = Some(today);
            self.doubt = None;
            return today;
        };
        let doubt = match self.doubt.filter(|doubt| doubt.goes_on(today, now)) {
            Some(doubt) => doubt,
            None => {
                if self.classes.iter().any(|(_, days)| days.is_some()) {
                    let words = "the clock is days ahead: old messages are kept for a day";
                    tracing::warn!(%today, %known, "{words}");
                }
                Doubt { since: now, day: today }
            }
        };
        if now.saturating_duration_since(doubt.since) >= DOUBT {
            self.known = Some(today);
            self.doubt = None;
            return today;
        }
        self.known = Some(known);
        self.doubt = Some(doubt);
        known
    }

    /// These are to be deleted.
    pub(super) fn delete(&mut self, files: impl IntoIterator<Item = Volume>) {
        for volume in files {
            self.old.entry(volume).or_insert(Attempt::Due);
        }
    }

    /// This file is written again.
    pub(super) fn keep(&mut self, volume: Volume) {
        self.old.remove(&volume);
    }

    /// Whether something is to be done at once.
    pub(super) fn has_work(&self) -> bool {
        self.due().is_some()
    }

    /// The oldest file that is to be deleted now.
    pub(super) fn due(&self) -> Option<Volume> {
        self.old.iter().find(|(_, attempt)| **attempt == Attempt::Due).map(|(volume, _)| *volume)
    }

    /// What became of the deletion of a file.
    pub(super) fn done(&mut self, volume: Volume, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.old.remove(&volume);
                self.logged.remove(&volume);
                tracing::info!(file = %volume, "messages deleted after their retention time");
            }
            Err(error) => {
                self.old.insert(volume, Attempt::Failed);
                if self.logged.insert(volume) {
                    let words = "old messages could not be deleted; tried again every hour";
                    tracing::warn!(file = %volume, error, "{words}");
                }
            }
        }
    }
}

/// The first day of each class whose messages are kept. Of a class that is not there, all are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Kept(Vec<(RetentionClass, Day)>);

impl Kept {
    /// The first day that is kept of a class; `None`: all are.
    pub(super) fn first(&self, class: RetentionClass) -> Option<Day> {
        self.0.iter().find(|(known, _)| *known == class).map(|(_, first)| *first)
    }

    /// Whether the time of a file is over.
    pub(super) fn is_over(&self, volume: Volume) -> bool {
        self.first(volume.class).is_some_and(|first| volume.day < first)
    }

    /// Notes that messages of a class are kept from this day on, or a later one that is known already.
    pub(super) fn raise(&mut self, class: RetentionClass, day: Day) {
        match self.0.iter_mut().find(|(known, _)| *known == class) {
            Some((_, first)) => *first = (*first).max(day),
            None => self.0.push((class, day)),
        }
    }
}

impl Doubt {
    /// Whether the clock has gone on from there as time went by.
    fn goes_on(self, today: Day, now: Instant) -> bool {
        let days = now.saturating_duration_since(self.since).as_secs() / 86_400;
        // It may have begun right before midnight.
        today >= self.day && today.minus(u32::try_from(days + 1).unwrap_or(u32::MAX)) <= self.day
    }
}

/// Whether a clock that was right on one day and shows the other may have jumped.
fn is_far(known: Day, today: Day) -> bool {
    today.minus(PAUSE_DAYS_MAX) > known
}

/// The last day that is as sure as `known`, or as the oldest file: one of them, or a file's that is reached
/// from there without a jump.
fn last_sure(known: Option<Day>, files: &[Day]) -> Option<Day> {
    files.iter().fold(known, |sure, &file| match sure {
        Some(sure) if file <= sure || is_far(sure, file) => Some(sure),
        _ => Some(file),
    })
}

/// Removes a message file. The space of a large one is given back by a thread of its own: the file system
/// takes some tenths of a second for each GiB, and the writer must not wait for that.
pub(super) fn remove(layout: &Layout, volume: Volume) -> io::Result<()> {
    let file = File::open(layout.volume(volume)).ok();
    let large = file.filter(|file| file.metadata().is_ok_and(|file| file.len() > LARGE_BYTES));
    // A file that is open loses its name only.
    layout.remove_volume(volume)?;
    if let Some(large) = large {
        // If no thread can be started, it is closed here.
        let _ = thread::Builder::new().name("old-day".to_owned()).spawn(move || drop(large));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// The first day that is kept of two, as the clock shows these days, each so many hours of the process's
    /// life after its start; each leaves a file.
    fn first_kept(known: Option<u32>, days: &[(u32, u32)]) -> Vec<u32> {
        let start = Instant::now();
        let mut retention = Retention::new(lasting(Some(2)), known.map(day), start);
        let mut files = BTreeSet::new();
        days.iter()
            .map(|(number, hour)| {
                let today = day(*number);
                let earlier: Vec<Day> = files.range(..today).copied().collect();
                let first = retention.kept(today, &earlier, start + *hour * HOUR);
                let first = first.first(RetentionClass::STANDARD).expect("there is a retention");
                files.insert(today);
                (0..=*number).find(|number| day(*number) == first).expect("a day before")
            })
            .collect()
    }

    /// The standard class lasts so many days.
    fn lasting(days: Option<u32>) -> Vec<(RetentionClass, Option<u32>)> {
        vec![(RetentionClass::STANDARD, days)]
    }

    fn volume(number: u32) -> Volume {
        Volume { day: day(number), class: RetentionClass::STANDARD }
    }

    fn day(number: u32) -> Day {
        Day::parse("2026-12-31").expect("a day").minus(1000 - number)
    }

    #[test]
    fn days_that_follow_each_other_are_believed_and_a_jump_is_not() {
        assert_eq!(first_kept(None, &[(10, 0), (11, 24), (12, 48), (13, 72)]), [8, 9, 10, 11]);
        assert_eq!(first_kept(None, &[(10, 0), (12, 48)]), [8, 10], "a day without a look is no jump");
        assert_eq!(first_kept(None, &[(10, 0), (400, 1), (400, 2), (400, 23)]), [8, 8, 8, 8]);
        assert_eq!(first_kept(Some(10), &[(400, 0)]), [8], "nor after a restart");
    }

    #[test]
    fn a_clock_that_jumps_right_before_midnight_is_doubted_for_a_whole_day_of_the_process() {
        assert_eq!(first_kept(None, &[(10, 0), (400, 1), (401, 1), (401, 24)]), [8, 8, 8, 8]);
        assert_eq!(first_kept(None, &[(10, 0), (400, 1), (401, 25)]), [8, 8, 399]);
        assert_eq!(first_kept(None, &[(10, 0), (400, 1), (401, 24), (402, 26)]), [8, 8, 8, 400]);
    }

    #[test]
    fn a_doubted_clock_that_jumps_again_is_doubted_anew() {
        assert_eq!(first_kept(None, &[(10, 0), (400, 1), (800, 25), (801, 49)]), [8, 8, 8, 799]);
        assert_eq!(first_kept(None, &[(10, 0), (400, 1), (395, 25)]), [8, 8, 8], "also back");
    }

    #[test]
    fn files_that_were_made_in_doubt_prove_nothing_after_a_restart() {
        let start = Instant::now();
        for (known, files, today, first) in
            [(Some(10), [9, 10, 400], 401, 8), (None, [9, 10, 400], 401, 8), (Some(8), [9, 11, 13], 15, 13)]
        {
            let mut retention = Retention::new(lasting(Some(2)), known.map(day), start);
            assert_eq!(
                retention.kept(day(today), &files.map(day), start).first(RetentionClass::STANDARD),
                Some(day(first))
            );
        }
    }

    #[test]
    fn a_clock_that_was_set_right_again_goes_on_from_there() {
        let days = [(10, 0), (400, 1), (10, 2), (11, 26), (12, 50)];
        assert_eq!(first_kept(None, &days), [8, 8, 8, 9, 10]);
        assert_eq!(first_kept(Some(400), &[(10, 0), (11, 24)]), [8, 9], "known days to come do not count");
    }

    #[test]
    fn without_files_the_clock_is_known_by_the_looks_alone() {
        let start = Instant::now();
        let mut retention = Retention::new(lasting(Some(1)), Some(day(10)), start);
        for number in 10..30 {
            let kept = retention.kept(day(number), &[day(3)], start);
            assert_eq!(kept.first(RetentionClass::STANDARD), Some(day(number - 1)));
        }
        let mut off = Retention::new(lasting(None), Some(day(10)), start);
        assert_eq!(off.kept(day(11), &[], start), Kept::default());
        assert_eq!(off.unnoted(), Some(day(11)));
        off.noted(day(11));
        assert_eq!(off.unnoted(), None);
    }

    #[test]
    fn what_cannot_be_deleted_is_tried_again_at_the_next_look_and_hinders_nothing_else() {
        let now = Instant::now();
        let mut retention = Retention::new(lasting(Some(1)), None, now);
        retention.delete([volume(1), volume(2)]);
        assert_eq!(retention.due(), Some(volume(1)));
        retention.done(volume(1), Err("no".to_owned()));
        assert_eq!(retention.due(), Some(volume(2)));
        retention.done(volume(2), Ok(()));
        assert!(!retention.has_work());
        retention.look_again(now);
        assert_eq!(retention.due(), Some(volume(1)));
        retention.keep(volume(1));
        assert!(!retention.has_work());
        assert_eq!(retention.next_look(), now + INTERVAL);
    }

    #[test]
    fn each_class_lasts_its_own_time_and_one_that_is_not_configured_is_kept() {
        let now = Instant::now();
        let class = |name| RetentionClass::parse(name).unwrap();
        let classes =
            vec![(RetentionClass::STANDARD, Some(10)), (class("short"), Some(2)), (class("long"), None)];
        let mut retention = Retention::new(classes, Some(day(100)), now);
        let kept = retention.kept(day(100), &[], now);
        let is_over = |number, name| kept.is_over(Volume { day: day(number), class: class(name) });
        assert!(is_over(89, "standard") && !is_over(90, "standard"));
        assert!(is_over(97, "short") && !is_over(98, "short"));
        assert!(!is_over(1, "long") && !is_over(1, "other"));
    }

    #[test]
    fn a_day_is_gone_at_once_however_large_it_is_and_other_names_of_its_file_stay() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { data: folder.path().to_owned() };
        fs::create_dir(layout.messages()).unwrap();
        for bytes in [1, LARGE_BYTES + 1] {
            let file = File::create(layout.volume(volume(1))).unwrap();
            file.set_len(bytes).unwrap();
            let backup = folder.path().join(bytes.to_string());
            fs::hard_link(layout.volume(volume(1)), &backup).unwrap();
            remove(&layout, volume(1)).unwrap();
            assert!(!layout.volume(volume(1)).exists());
            assert_eq!(fs::metadata(&backup).unwrap().len(), bytes);
        }
        // A file that is gone already is not a failure.
        remove(&layout, volume(1)).unwrap();
    }
}
