use proptest::prelude::*;

use super::{
    columns::{Runs, runs, usual_gap},
    scale::{Scale, short},
    *,
};

/// 2026-11-29, midnight of UTC.
const MIDNIGHT: i64 = 1_795_910_400_000;
const HOUR: i64 = 3_600_000;
const DAY: TimeSpan = TimeSpan { from: MIDNIGHT, until: MIDNIGHT + 24 * HOUR };
/// The longest text of a chart, whatever its data.
const BYTES_MAX: usize = 32 * 1024;

fn frame(zone: &Zone) -> Frame<'_> {
    Frame { id: "c1", title: "temp", description: "of a day", span: DAY, zone }
}

fn labels(scale: &Scale) -> Vec<String> {
    scale.ticks().into_iter().map(|(_, label)| label).collect()
}

#[test]
fn a_scale_begins_and_ends_at_a_round_number_and_its_labels_are_short() {
    assert_eq!(labels(&Scale::of(18.2, 23.9, 3)), ["18", "20", "22", "24"]);
    assert_eq!(labels(&Scale::of(0.0, 1.0, 1)), ["0", "1"]);
    assert_eq!(labels(&Scale::of(5.0, 5.0, 3)), ["4.6", "4.8", "5.0", "5.2", "5.4"]);
    assert_eq!(labels(&Scale::of(0.0, 0.0, 3)), ["-1", "0", "1"]);
    assert_eq!(labels(&Scale::of(-0.03, 0.04, 3)), ["-0.05", "0.00", "0.05"]);
    assert_eq!(labels(&Scale::of(0.0, 3e7, 3)), ["0", "1e7", "2e7", "3e7"]);
    // The other way round it is the same.
    assert_eq!(Scale::of(23.9, 18.2, 3), Scale::of(18.2, 23.9, 3));
    let scale = Scale::of(18.2, 23.9, 3);
    assert_eq!([18.0, 21.0, 24.0, 99.0].map(|value| scale.share(value)), [0.0, 0.5, 1.0, 1.0]);
    // Two neighbours among numbers that have none between them.
    let close = Scale::of(1e16, 1e16 + 2.0, 3);
    assert!(close.low < close.high && !close.ticks().is_empty());
    let wide = Scale::of(-1e300, 1e300, 3);
    assert_eq!((wide.share(-1e300), wide.share(0.0), wide.share(1e300)), (0.0, 0.5, 1.0));
}

#[test]
fn numbers_have_as_many_digits_as_are_wanted() {
    let six = |value| short(value, 6);
    for (value, text) in [
        (0.0, "0"),
        (21.456_789, "21.4568"),
        (-21.5, "-21.5"),
        (100.0, "100"),
        (123_456.7, "123457"),
        (0.000_012_34, "1.234e-5"),
        (1e7, "1e7"),
        (-2.5e300, "-2.5e300"),
        (f64::NAN, ""),
        (f64::INFINITY, ""),
    ] {
        assert_eq!(six(value), text, "{value}");
    }
    assert_eq!(short(1013.26, 5), "1013.3");
}

fn ticks(zone: &str, span: TimeSpan) -> Vec<(i64, String)> {
    Zone::named(zone).expect("there is such a zone").ticks(span, 6)
}

fn shown(zone: &str, span: TimeSpan) -> Vec<String> {
    ticks(zone, span).into_iter().map(|(_, label)| label).collect()
}

#[test]
fn ticks_of_time_are_round_on_the_clock_of_the_zone() {
    assert_eq!(shown("UTC", DAY), ["11-29", "06:00", "12:00", "18:00"]);
    assert_eq!(shown("Europe/Berlin", DAY), ["06:00", "12:00", "18:00", "11-30"]);
    assert_eq!(ticks("Europe/Berlin", DAY)[0].0, MIDNIGHT + 5 * HOUR);
    assert_eq!(shown("Asia/Kolkata", DAY), ["06:00", "12:00", "18:00", "11-30"]);
    let of = |length| TimeSpan { from: MIDNIGHT, until: MIDNIGHT + length };
    assert_eq!(shown("UTC", of(30)), ["00:00:00.000", "00:00:00.010", "00:00:00.020"]);
    assert_eq!(shown("UTC", of(60_000))[..2], ["00:00:00", "00:00:10"]);
    assert_eq!(shown("UTC", of(HOUR))[..3], ["11-29", "00:10", "00:20"]);
    assert_eq!(shown("UTC", of(7 * 24 * HOUR))[..2], ["11-29", "12-01"]);
    // 2026-11-29 is a Sunday: the first Monday is the day after.
    assert_eq!(shown("UTC", of(28 * 24 * HOUR))[..2], ["11-30", "12-07"]);
    assert_eq!(shown("UTC", of(150 * 24 * HOUR))[..2], ["2026-12", "2027-01"]);
    assert_eq!(shown("UTC", of(1500 * 24 * HOUR))[..2], ["2027", "2028"]);
    assert!(shown("UTC", TimeSpan { from: 5, until: 5 }).is_empty());
    assert!(shown("UTC", TimeSpan { from: i64::MIN, until: i64::MAX }).is_empty());
    assert!(Zone::named("Europe/Nowhere").is_none());
}

#[test]
fn ticks_follow_a_clock_that_is_put_forward_or_back() {
    // 2026-10-24T22:00Z is midnight in Berlin; at 01:00Z its clocks go back to 02:00.
    let from = 1_792_879_200_000;
    let autumn = TimeSpan { from, until: from + 25 * HOUR };
    let expected = [(0, "10-25"), (7, "06:00"), (13, "12:00"), (19, "18:00")];
    let expected = expected.map(|(hours, label)| (from + hours * HOUR, label.to_owned()));
    assert_eq!(ticks("Europe/Berlin", autumn), expected);
    // 2026-03-29T00:00Z is 01:00 in Berlin; at 01:00Z its clocks go from 02:00 to 03:00.
    let from = 1_774_742_400_000;
    let spring = TimeSpan { from, until: from + 6 * HOUR };
    let shown = ["01:00", "03:00", "04:00", "05:00", "06:00", "07:00"];
    let expected: Vec<_> = (0..).zip(shown).map(|(n, label)| (from + n * HOUR, label.to_owned())).collect();
    assert_eq!(ticks("Europe/Berlin", spring), expected);
}

#[test]
fn a_field_for_local_times_is_read_and_written_in_the_zone() {
    let berlin = Zone::named("Europe/Berlin").expect("there is such a zone");
    assert_eq!(berlin.moment("2026-11-29T01:00"), Some(MIDNIGHT));
    assert_eq!(berlin.moment("2026-11-29T01:00:30"), Some(MIDNIGHT + 30_000));
    assert_eq!(berlin.field(MIDNIGHT), "2026-11-29T01:00");
    assert_eq!(Zone::UTC.field(MIDNIGHT), "2026-11-29T00:00");
    assert_eq!((berlin.moment("yesterday"), berlin.moment("")), (None, None));
    assert_eq!(berlin.field(i64::MAX), "1970-01-01T01:00");
}

fn drawn(samples: &[Sample]) -> Runs {
    runs(samples, DAY, 24, None)
}

#[test]
fn a_column_has_the_extent_and_the_mean_of_what_lies_in_it() {
    let at = |minutes: i64, value| Sample::one(MIDNIGHT + minutes * 60_000, value);
    // Out of order, and one before and one behind the span.
    let samples = [at(70, 4.0), at(0, 1.0), at(30, 3.0), at(59, 2.0), at(-1, 99.0), at(24 * 60, 99.0)];
    let found = drawn(&samples);
    let [run] = &found.runs[..] else { panic!("there is no gap: {found:?}") };
    let shown: Vec<_> =
        run.iter().map(|column| (column.index, column.min, column.max, column.mean)).collect();
    assert_eq!(shown, [(0, 1.0, 3.0, 2.0), (1, 4.0, 4.0, 4.0)]);
    assert_eq!(found.extent(), Some((1.0, 4.0)));
    assert!(found.has_envelope());
}

#[test]
fn a_gap_is_where_values_are_four_times_as_far_apart_as_usual() {
    let hours = |hours: &[i64]| -> Vec<Sample> {
        hours.iter().map(|hour| Sample::one(MIDNIGHT + hour * HOUR, 1.0)).collect()
    };
    let lengths = |samples: &[Sample]| drawn(samples).runs.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(lengths(&hours(&[0, 1, 2, 3, 7, 8])), [6]);
    assert_eq!(lengths(&hours(&[0, 1, 2, 3, 8, 9])), [4, 2]);
    assert_eq!(lengths(&hours(&[5])), [1]);
    assert_eq!((usual_gap([5].into_iter()), usual_gap([5, 5].into_iter())), (i64::MAX, 1));
    assert!(lengths(&[]).is_empty());
    let nothing = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|value| Sample::one(MIDNIGHT, value));
    assert!(lengths(&nothing).is_empty());
}

#[test]
fn a_line_is_drawn_where_its_values_are_and_not_over_a_gap() {
    let zone = Zone::UTC;
    let samples: Vec<_> = [0, 1, 2, 20]
        .map(|hour| Sample::one(MIDNIGHT + hour * HOUR, if hour == 1 { 1.0 } else { 0.0 }))
        .into();
    let svg = line(&frame(&zone), &samples, None);
    // 12 columns an hour, two units each, from 57 on; from 8 to 100 in height; the last one is a dot.
    assert!(svg.contains("d=\"M57 100l24 -92l24 92\""), "{svg}");
    assert!(svg.contains("d=\"M537 100h0\""), "{svg}");
    assert!(svg.contains("data-values=\"@0 0 @12 1 @24 0 @240 0\""), "{svg}");
    assert!(!svg.contains("chart-envelope"), "{svg}");
    let several = Sample { time: MIDNIGHT + 3 * HOUR, min: -1.0, max: 1.0, mean: 0.0 };
    let svg = line(&frame(&zone), &[&samples[..], &[several]].concat(), None);
    assert!(svg.contains("class=\"chart-envelope\"") && svg.contains("@36 -1~1"), "{svg}");
}

#[test]
fn a_chart_has_a_title_and_a_description_and_whatever_it_is_told_stays_text() {
    let zone = Zone::UTC;
    let evil = "</title><script>alert('1')</script>\" onload=\"x&";
    let frame = Frame { id: evil, title: evil, description: evil, ..frame(&zone) };
    let stays = [Stay { time: MIDNIGHT, word: evil }];
    let rows = [BarRow { label: evil, counts: vec![Some(1)] }];
    for svg in [
        line(&frame, &[Sample::one(MIDNIGHT, 1.0)], None),
        lanes(&frame, &stays, &[], (Some(HOUR), evil)),
        marks(&frame, &[Mark { time: MIDNIGHT }]),
        bars(&frame, &rows),
        sparkline(&frame, Spark { values: &[Some(1)], step: HOUR }),
    ] {
        assert!(!svg.contains("<script") && !svg.contains("\" onload"), "{svg}");
        assert!(svg.contains("role=\"img\"") && svg.contains("&lt;/title&gt;&lt;script&gt;"), "{svg}");
        assert_eq!((svg.matches("<title").count(), svg.matches("<desc").count()), (1, 1), "{svg}");
        assert!(!svg.contains("style="), "{svg}");
    }
}

#[test]
fn a_word_holds_until_the_next_one_or_until_a_gap() {
    let zone = Zone::UTC;
    let at = |hour: i64, word| Stay { time: MIDNIGHT + hour * HOUR, word };
    let stays = [at(6, "true"), at(-1, "false"), at(20, "true")];
    let svg = lanes(&frame(&zone), &stays, &["true", "false"], (Some(8 * HOUR), "others"));
    // False from the beginning (since an hour before) to 6; true from 6 to 14, where eight hours are over,
    // and from 20 on: in the lanes whose middles are 15 and 33.
    assert!(svg.contains("d=\"M200 15h192M536 15h96\""), "{svg}");
    assert!(svg.contains("d=\"M56 33h144\"") && svg.contains("height=\"62\""), "{svg}");
    assert!(svg.contains("data-values=\"0:1 72:0 168: 240:0\ntrue\nfalse\""), "{svg}");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let many: Vec<_> = (0..).zip(names).map(|(hour, word)| at(hour, word)).collect();
    let svg = lanes(&frame(&zone), &many, &[], (Some(HOUR), "others"));
    assert!(svg.contains(">f<") && svg.contains(">others<") && !svg.contains(">g<"), "{svg}");
}

#[test]
fn bars_have_one_scale_and_say_their_sums_and_what_is_not_known() {
    let zone = Zone::UTC;
    let row = |label, counts: [Option<u64>; 4]| BarRow { label, counts: counts.to_vec() };
    let rows = [
        row("wrong key", [Some(10), None, Some(0), Some(1)]),
        row("unknown", [Some(5), None, Some(0), Some(0)]),
    ];
    let svg = bars(&frame(&zone), &rows);
    assert!(svg.contains(">11<") && svg.contains(">5<") && svg.contains(">wrong key<"), "{svg}");
    // 25 of a row's height are the highest bar; one of them is seen.
    assert!(svg.contains("v-25") && svg.contains("v-3\"") && svg.contains("v-13\""), "{svg}");
    assert!(svg.contains("d=\"M200 46h144\""), "what is not known is dashed: {svg}");
}

#[test]
fn a_sparkline_says_the_greatest_and_the_last_number() {
    let zone = Zone::UTC;
    let mut values = vec![Some(3); 1440];
    values[700] = Some(40);
    values[1439] = Some(7);
    values[100..160].fill(None);
    let svg = sparkline(&frame(&zone), Spark { values: &values, step: 60_000 });
    // The last column has ten minutes; the number beside it is the newest one, as the words below say it.
    assert!(svg.contains("↑ 40<") && svg.contains("→ 7<"), "{svg}");
    assert!(svg.contains("d=\"M0 50h10M16 50h128\""), "{svg}");
    let empty = sparkline(&frame(&zone), Spark { values: &[], step: 0 });
    assert!(empty.ends_with("</svg>") && !empty.contains("↑"), "{empty}");
}

fn is_sound(svg: &str) {
    assert!(svg.len() <= BYTES_MAX, "{} bytes", svg.len());
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{svg}");
}

#[test]
fn a_million_values_make_no_longer_chart_than_some_hundred() {
    let zone = Zone::UTC;
    let step = 86;
    let value = |n: i64| if n % 2 == 0 { -1.234_567e-100 } else { 7.654_321e-101 };
    let samples: Vec<_> = (0..1_000_000).map(|n| Sample::one(MIDNIGHT + n * step, value(n))).collect();
    is_sound(&line(&frame(&zone), &samples, None));
    let words = ["idle", "running", "failed"];
    let stays: Vec<_> = (0..1_000_000)
        .map(|n: i64| Stay { time: MIDNIGHT + n * step, word: words[(n % 3) as usize] })
        .collect();
    is_sound(&lanes(&frame(&zone), &stays, &words, (None, "others")));
    let times: Vec<_> = samples.iter().map(|sample| Mark { time: sample.time }).collect();
    is_sound(&marks(&frame(&zone), &times));
    let counts = vec![Some(u64::MAX); 1_000_000];
    is_sound(&sparkline(&frame(&zone), Spark { values: &counts, step }));
    let rows: Vec<_> = (0..100).map(|_| BarRow { label: "x", counts: counts[..1000].to_vec() }).collect();
    is_sound(&bars(&frame(&zone), &rows));
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), MIDNIGHT - HOUR..MIDNIGHT + 25 * HOUR, Just(MIDNIGHT)]
}

fn any_span() -> impl Strategy<Value = TimeSpan> {
    let any = (any_time(), any_time()).prop_map(|(from, until)| TimeSpan { from, until });
    prop_oneof![Just(DAY), any]
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let number = || prop_oneof![prop::num::f64::ANY, -100.0..100.0, Just(7.0), Just(f64::NAN)];
    (any_time(), number(), number(), number()).prop_map(|(time, min, max, mean)| Sample {
        time,
        min,
        max,
        mean,
    })
}

proptest! {
    #[test]
    fn no_data_breaks_a_chart_or_makes_it_long(
        span in any_span(),
        samples in prop::collection::vec(any_sample(), 0..200),
        words in prop::collection::vec((any_time(), "\\PC{0,30}"), 0..50),
        counts in prop::collection::vec(prop::option::of(any::<u64>()), 0..200),
        (gap, step) in (any::<i64>(), any::<i64>()),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]),
    ) {
        let zone = Zone::named(zone).expect("there is such a zone");
        let frame = Frame { span, ..frame(&zone) };
        is_sound(&line(&frame, &samples, None));
        is_sound(&line(&frame, &samples, Some(gap)));
        let stays: Vec<_> = words.iter().map(|(time, word)| Stay { time: *time, word }).collect();
        let svg = lanes(&frame, &stays, &[], (Some(gap), "others"));
        prop_assert!(svg.len() <= BYTES_MAX && svg.ends_with("</svg>"));
        is_sound(&marks(&frame, &samples.iter().map(|it| Mark { time: it.time }).collect::<Vec<_>>()));
        is_sound(&sparkline(&frame, Spark { values: &counts, step }));
        is_sound(&bars(&frame, &[BarRow { label: "a", counts }]));
    }

    #[test]
    fn every_value_lies_on_its_scale_and_ticks_rise(
        a in prop::num::f64::NORMAL,
        b in prop::num::f64::NORMAL,
    ) {
        let (a, b) = (a.clamp(-1e300, 1e300), b.clamp(-1e300, 1e300));
        let scale = Scale::of(a, b, 3);
        let little = (scale.high / 2.0 - scale.low / 2.0) * 1e-9;
        prop_assert!(scale.low <= a.min(b) + little && scale.high >= a.max(b) - little, "{:?}", scale);
        let ticks = scale.ticks();
        prop_assert!((1..=9).contains(&ticks.len()), "{:?} {:?}", scale, ticks);
        prop_assert!(ticks.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", ticks);
    }
}
