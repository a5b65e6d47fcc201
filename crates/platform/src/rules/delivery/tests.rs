use super::*;
use crate::model::command::{CommandId, CommandState, CommandTopic, Order};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const BEGIN: i64 = 1_767_225_600_000;

/// Contacts with these gaps, from [`BEGIN`] on.
fn contacts(gaps: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let mut times = vec![BEGIN];
    for gap in gaps {
        times.push(times[times.len() - 1] + gap);
    }
    times
}

/// What is expected this long after the last contact: earliest and latest, from that contact on.
fn after(times: &[i64], silent: i64) -> Option<(i64, i64)> {
    let last = times.iter().max().copied().unwrap_or(BEGIN);
    let now = UnixMillis(last + silent);
    let Expected { at, spread } = expect(times.iter().copied().map(UnixMillis).collect(), now)?;
    assert!(at.0 - spread >= now.0 && spread >= 0, "{at:?} {spread}");
    Some((at.0 - spread - last, at.0 + spread - last))
}

/// Numbers that look random, below a bound.
fn numbers(bound: i64) -> impl Iterator<Item = i64> {
    let mut state = 7_u64;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(((state >> 33) % bound.unsigned_abs()).cast_signed())
    })
}

/// A quarter of an hour, up to half a minute off.
fn quarters(count: usize) -> impl Iterator<Item = i64> {
    numbers(MINUTE).map(|off| 15 * MINUTE + off - MINUTE / 2).take(count)
}

#[track_caller]
fn assert_about(found: Option<(i64, i64)>, first: i64, until: i64, off: i64) {
    let (begin, end) = found.expect("something is expected");
    assert!(
        (begin - first).abs() <= off && (end - until).abs() <= off,
        "{} to {} s",
        begin / 1000,
        end / 1000
    );
}

#[test]
fn a_device_that_keeps_its_interval_is_expected_an_interval_after_it_was_heard() {
    for count in [12, 30, 400] {
        let times = contacts(quarters(count));
        for silent in [0, MINUTE, 14 * MINUTE] {
            assert_about(
                after(&times, silent),
                15 * MINUTE - 30 * SECOND,
                15 * MINUTE + 36 * SECOND,
                25 * SECOND,
            );
        }
    }
}

#[test]
fn of_few_contacts_and_of_none_nothing_is_said() {
    for count in 0..GAPS_MIN {
        assert_eq!(after(&contacts(quarters(count)), MINUTE), None, "{count}");
    }
    assert!(after(&contacts(quarters(GAPS_MIN)), MINUTE).is_some());
    assert_eq!(expect(Vec::new(), UnixMillis(BEGIN)), None);
}

#[test]
fn a_device_without_a_rhythm_is_not_expected() {
    // Exponentially distributed, as of many causes that know nothing of each other.
    let gaps = numbers(1_000_000).map(|number| {
        let uniform = (number + 1) as f64 / 1_000_000.0;
        (-uniform.ln() * 15.0 * MINUTE as f64) as i64
    });
    let times = contacts(gaps.take(300));
    for silent in [0, MINUTE, 10 * MINUTE, HOUR] {
        assert_eq!(after(&times, silent), None, "{silent}");
    }
}

#[test]
fn messages_of_one_waking_count_once() {
    let burst = [3 * SECOND, 9 * SECOND, 2 * SECOND];
    let times = contacts(quarters(100).flat_map(|gap| burst.into_iter().chain([gap - 14 * SECOND])));
    let times = &times[..times.len() - 1];
    // The last message came 14 s after its waking began.
    let silent = MINUTE;
    assert_about(after(times, silent), 14 * MINUTE + 16 * SECOND, 15 * MINUTE + 22 * SECOND, 15 * SECOND);
    // It may be awake: its next message may come at once, or with its next waking.
    let (first, until) = after(times, SECOND).expect("it has a rhythm");
    assert!(first < 5 * SECOND && until > 14 * MINUTE, "{first} {until}");
}

#[test]
fn frequent_losses_widen_the_spread_and_rare_ones_do_not() {
    let lossy = |every: usize| {
        let doubled = move |(index, gap)| if index % every == every - 1 { gap * 2 } else { gap };
        contacts(quarters(400).enumerate().map(doubled))
    };
    assert_about(after(&lossy(50), MINUTE), 15 * MINUTE, 15 * MINUTE, MINUTE);
    assert_about(after(&lossy(5), MINUTE), 15 * MINUTE, 30 * MINUTE, 2 * MINUTE);
    // Silent for longer than one interval: it is the second one then.
    assert_about(after(&lossy(5), 17 * MINUTE), 30 * MINUTE, 30 * MINUTE, 2 * MINUTE);
}

#[test]
fn nothing_is_said_of_a_silence_that_never_was_so_long() {
    let times = contacts(quarters(200));
    assert_eq!(after(&times, 20 * MINUTE), None);
}

#[test]
fn a_device_that_works_by_day_is_expected_in_the_morning() {
    let times = contacts((0..6).flat_map(|_| quarters(40).chain([14 * HOUR])).chain(quarters(40)));
    assert_about(after(&times, MINUTE), 15 * MINUTE, 15 * MINUTE, MINUTE);
    assert_about(after(&times, 2 * HOUR), 14 * HOUR, 14 * HOUR, MINUTE + FETCH_MS_MAX);
}

#[test]
fn another_interval_is_seen_after_some_reports() {
    let faster = contacts(quarters(100).map(|gap| 4 * gap).chain(quarters(30)));
    assert_about(after(&faster, MINUTE), 15 * MINUTE, 15 * MINUTE, MINUTE);
    let slower = contacts(quarters(100).chain(quarters(30).map(|gap| 4 * gap)));
    assert_about(after(&slower, 16 * MINUTE), HOUR, HOUR, 4 * MINUTE);
}

#[test]
fn the_order_of_contacts_says_nothing_and_those_to_come_are_ignored() {
    let times = contacts(quarters(50));
    let expected = after(&times, MINUTE);
    let mut turned: Vec<i64> = times.iter().rev().copied().collect();
    assert_eq!(after(&turned, MINUTE), expected);
    turned.extend(times.iter().copied());
    assert_eq!(after(&turned, MINUTE), expected);
    let now = UnixMillis(times[50] + MINUTE);
    let with = |more: &[i64]| expect(times.iter().chain(more).copied().map(UnixMillis).collect(), now);
    assert_eq!(with(&[now.0 + 1, i64::MAX]), with(&[]));
}

#[test]
fn no_times_whatsoever_panic() {
    for count in [0, 1, 2, 8, 9, 20, 30, 600] {
        let wild = || numbers(5).map(|kind| [i64::MIN, i64::MIN + 1, 0, BEGIN, i64::MAX][kind as usize]);
        let near = || numbers(30).map(|off| BEGIN + off);
        let far = || numbers(i64::from(u32::MAX)).map(|number| (number << 31).wrapping_neg());
        let all: [Vec<i64>; 3] =
            [wild().take(count).collect(), near().take(count).collect(), far().take(count).collect()];
        for times in all {
            for now in [i64::MIN, 0, BEGIN, BEGIN + DAY, i64::MAX] {
                expect(times.iter().copied().map(UnixMillis).collect(), UnixMillis(now));
            }
        }
    }
}

#[test]
fn how_good_it_was_is_known_when_the_device_has_come_or_the_command_is_over() {
    use ExpectedOutcome::{Early, Late, Within};
    let params_json = "{}".into();
    let order = Order { topic: CommandTopic::Set, params_json, pending_ttl_s: 600, timeout_s: 30, raw: None };
    let command = Command::new(CommandId(1), order, UnixMillis(0));
    let expected = Some(Expected { at: UnixMillis(1000), spread: 100 });
    let at = |time: i64| Some(UnixMillis(time));
    for (fetched, ended, outcome) in [
        (None, None, None),
        (at(899), None, Some(Early)),
        (at(900), None, Some(Within)),
        (at(1100), None, Some(Within)),
        (at(1101), at(1200), Some(Late)),
        (at(950), at(5000), Some(Within)),
        (None, at(1100), None),
        (None, at(1101), Some(Late)),
    ] {
        let state = if ended.is_some() { CommandState::Expired } else { CommandState::Created };
        let command = Command { fetched, ended, state, expected, ..command.clone() };
        assert_eq!(command.expected_outcome(), outcome, "{fetched:?} {ended:?}");
        assert_eq!(Command { expected: None, ..command }.expected_outcome(), None);
    }
}
