//! Log entries and changes of presence end in time, also of devices that say nothing any more.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use narrowgate_platform::{
    firmware::Sha256Sum,
    ids::UnixMillis,
    model::{
        command::{CommandTopic, Order},
        device::DeviceState,
    },
    paging::Part,
    ports::{
        Batch, HistoryReads as _, Journal as _, RegistryChanges as _, ReplayChange, Replays as _, Write,
    },
    testing::{
        block_on,
        store::{
            fixtures::{add_device, append, at, log, login, one_device, presence, refusal, refusals},
            replay,
        },
    },
};

use super::{SqliteOptions, SqliteStore, open};
use crate::sqlite::open as opening;

const DAY: i64 = 86_400;

static CLOCK: AtomicI64 = AtomicI64::new(0);

fn set_clock(day: i64) {
    CLOCK.store(at(day * DAY).0, Ordering::Relaxed);
}

#[test]
fn what_is_older_than_its_time_goes_within_a_pass_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        clock: || UnixMillis(CLOCK.load(Ordering::Relaxed)),
        log_days: Some(90),
        ..SqliteOptions::new(folder.path())
    };
    set_clock(0);
    let store = SqliteStore::open(options.clone()).unwrap();
    let silent = one_device(&store, "silent");
    let others: Vec<_> = (0..600).map(|n| add_device(&store, "pk", &format!("dk-{n}")).id).collect();
    let last = *others.last().unwrap();
    for id in [silent, last] {
        append(&store, vec![login(id, at(1)), presence(id, DeviceState::Offline, at(2), "silent")]);
    }
    append(&store, vec![Write::Log(refusal(None, Some("x"), at(1)))]);
    append(&store, vec![login(last, at(50 * DAY)), Write::Log(refusal(None, Some("x"), at(50 * DAY)))]);
    block_on(store.close()).unwrap();
    drop(store);

    let counts = || {
        let store = open(folder.path());
        let moves = |id| block_on(store.presence_history(id, Part::first(10))).unwrap().items.len();
        let counts =
            [silent, last].map(|id| (log(&store, id).len(), moves(id))).into_iter().collect::<Vec<_>>();
        (counts, refusals(&store, 10).len())
    };
    let before = (vec![(4, 2), (5, 3)], 2);
    assert_eq!(counts(), before);
    let pass = |day| {
        set_clock(day);
        let (_, mut writer) = opening::open(&options).unwrap();
        let now = Instant::now();
        writer.continue_retention(now);
        for step in 0..4 {
            writer.continue_sweep(now + Duration::from_secs(step));
        }
    };
    // Every two days, so that the clock is believed.
    for day in (0..=90).step_by(2) {
        pass(day);
    }
    assert_eq!(counts(), before, "nothing is older than 90 days");
    pass(400);
    assert_eq!(counts(), before, "a clock that jumps deletes nothing");
    pass(92);
    assert_eq!(counts(), (vec![(0, 0), (1, 1)], 1));
}

#[test]
fn commands_go_some_days_after_their_end_and_open_ones_stay() {
    static CLOCK: AtomicI64 = AtomicI64::new(0);
    let set_clock = |day: i64| CLOCK.store(at(day * DAY).0, Ordering::Relaxed);
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        clock: || UnixMillis(CLOCK.load(Ordering::Relaxed)),
        command_days: Some(7),
        ..SqliteOptions::new(folder.path())
    };
    set_clock(0);
    let store = SqliteStore::open(options.clone()).unwrap();
    let id = one_device(&store, "dk");
    append(&store, vec![login(id, at(1))]);
    let order = Order {
        topic: CommandTopic::Get,
        params_json: "[]".into(),
        pending_ttl_s: 172_800,
        timeout_s: 30,
        raw: None,
    };
    for cancelled_on in [Some(0), Some(1), None] {
        let sent = block_on(store.send_command(id, order.clone(), at(2))).unwrap().unwrap();
        if let Some(day) = cancelled_on {
            block_on(store.cancel_commands(id, Some(sent.id), at(day * DAY + 3))).unwrap();
        }
    }
    block_on(store.close()).unwrap();
    drop(store);
    let kept_after = |day| {
        set_clock(day);
        let (_, mut writer) = opening::open(&options).unwrap();
        let now = Instant::now();
        writer.continue_retention(now);
        writer.continue_sweep(now);
        drop(writer);
        // With this clock: that of today is another jump.
        let store = SqliteStore::open(options.clone()).unwrap();
        let kept = block_on(store.commands(id, Part::first(10))).unwrap().items;
        kept.into_iter().map(|command| command.id.0).collect::<Vec<_>>()
    };
    // Every two days, so that the clock is believed.
    let kept: Vec<_> = (0..=12).step_by(2).map(kept_after).collect();
    assert_eq!(kept[..4], [[3, 2, 1], [3, 2, 1], [3, 2, 1], [3, 2, 1]]);
    assert_eq!(kept[4..], [vec![3, 2], vec![3], vec![3]]);
}

#[test]
fn attack_206_a_leap_of_the_clock_forgets_no_answer() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let set = |seconds: i64| NOW.store(at(seconds).0, Ordering::Relaxed);
    let folder = tempfile::tempdir().unwrap();
    let clock = || UnixMillis(NOW.load(Ordering::Relaxed));
    let options = SqliteOptions { clock, ..SqliteOptions::new(folder.path()) };
    set(0);
    let key = replay::key("user ann", 1);
    let store = SqliteStore::open(options.clone()).unwrap();
    let (request, old) = (Sha256Sum([7; 32]), at(-DAY));
    let begin = ReplayChange::Begin { key: key.clone(), request, at: at(0), old };
    block_on(store.change_replay(begin)).unwrap();
    block_on(store.close()).unwrap();
    drop(store);
    let is_there = || {
        let store = SqliteStore::open(options.clone()).unwrap();
        block_on(store.asked_before(key.clone())).unwrap().is_some()
    };
    // It leaps while the process runs, a little or by a year.
    let (_, mut writer) = opening::open(&options).unwrap();
    let began = Instant::now();
    writer.continue_retention(began);
    writer.continue_sweep(began);
    for (second, leap) in [(1, DAY + DAY / 2), (2, 365 * DAY), (3, 0)] {
        set(leap + i64::try_from(second).unwrap());
        writer.continue_retention(began + Duration::from_secs(second));
        writer.continue_sweep(began + Duration::from_secs(second));
    }
    drop(writer);
    assert!(is_there());
    // It is a year ahead when the process begins. A day of the process is a day.
    set(365 * DAY);
    for (seconds, expected) in [(86_399, true), (86_400, false)] {
        let (_, mut writer) = opening::open(&options).unwrap();
        let began = Instant::now();
        writer.continue_retention(began);
        writer.continue_sweep(began);
        writer.continue_sweep(began + Duration::from_secs(seconds));
        drop(writer);
        assert_eq!(is_there(), expected, "after {seconds} s");
    }
}

#[test]
fn attack_206_a_start_with_the_clock_a_day_ahead_forgets_no_answer() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    NOW.store(at(0).0, Ordering::Relaxed);
    let folder = tempfile::tempdir().unwrap();
    let clock = || UnixMillis(NOW.load(Ordering::Relaxed));
    let options = SqliteOptions { clock, ..SqliteOptions::new(folder.path()) };
    let store = SqliteStore::open(options.clone()).unwrap();
    let key = replay::key("user ann", 1);
    let begin =
        ReplayChange::Begin { key: key.clone(), request: Sha256Sum([7; 32]), at: at(0), old: at(-DAY) };
    block_on(store.change_replay(begin)).unwrap();
    block_on(store.append(Batch { confirmed: Some(at(0)), ..Batch::new(0, vec![]) })).unwrap();
    block_on(store.close()).unwrap();
    drop(store);
    NOW.store(at(DAY + 60).0, Ordering::Relaxed);
    for (seconds, is_there) in [(0, true), (86_399, true), (86_400, false)] {
        let (_, mut writer) = opening::open(&options).unwrap();
        let began = Instant::now();
        writer.continue_retention(began);
        writer.continue_sweep(began);
        writer.continue_sweep(began + Duration::from_secs(seconds));
        drop(writer);
        let store = SqliteStore::open(options.clone()).unwrap();
        assert_eq!(block_on(store.asked_before(key.clone())).unwrap().is_some(), is_there, "{seconds}");
    }
}

#[test]
fn answers_go_after_a_day_also_where_nobody_asks_any_more() {
    static NOW: AtomicI64 = AtomicI64::new(0);
    let set = |seconds: i64| NOW.store(at(seconds).0, Ordering::Relaxed);
    let folder = tempfile::tempdir().unwrap();
    let clock = || UnixMillis(NOW.load(Ordering::Relaxed));
    // Nothing else ends by its age.
    let options =
        SqliteOptions { clock, log_days: None, command_days: None, ..SqliteOptions::new(folder.path()) };
    set(0);
    let store = SqliteStore::open(options.clone()).unwrap();
    let key = replay::key("user ann", 1);
    let (request, old) = (Sha256Sum([7; 32]), at(-DAY));
    let begin = ReplayChange::Begin { key: key.clone(), request, at: at(0), old };
    block_on(store.change_replay(begin)).unwrap();
    block_on(store.close()).unwrap();
    drop(store);
    for (seconds, is_there) in [(DAY - 1, true), (DAY, false)] {
        set(seconds);
        let (_, mut writer) = opening::open(&options).unwrap();
        writer.continue_sweep(Instant::now());
        drop(writer);
        let store = open(folder.path());
        assert_eq!(block_on(store.asked_before(key.clone())).unwrap().is_some(), is_there, "{seconds}");
    }
}
