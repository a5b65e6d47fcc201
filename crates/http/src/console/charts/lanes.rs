//! A point that is one of few words, as lanes: one for each word, with a bar while it holds.

use std::collections::BTreeMap;

use super::{
    COLUMNS, Frame,
    columns::usual_gap,
    svg::{AXIS, LABEL_CHARACTERS_MAX, LEFT, Path, RIGHT, Svg, WIDTH, shortened, x_of_column},
};

/// Lanes of words; all further ones share one more.
const LANES_MAX: usize = 6;
/// Height of a lane, and of the bar in it.
const LANE: i32 = 18;
const BAR: i32 = 10;
const TOP: i32 = 6;

/// A value from a time on, until the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stay<'a> {
    /// Since when, Unix milliseconds.
    pub(crate) time: i64,
    /// The word.
    pub(crate) word: &'a str,
}

/// Draws lanes for these, in any order. A word holds until the next one, but no longer than `gap`
/// milliseconds; `None`: than four times what is usual, and a single one to the end. `words` are those that
/// have lanes in any case, from above; `others` is the label of what has none.
pub(crate) fn lanes(
    frame: &Frame<'_>,
    stays: &[Stay<'_>],
    words: &[&str],
    (gap, others): (Option<i64>, &str),
) -> String {
    let lanes = lanes_of(stays, words);
    let mut sorted: Vec<&Stay<'_>> = stays.iter().collect();
    sorted.sort_by_key(|stay| stay.time);
    let gap = gap.unwrap_or_else(|| usual_gap(sorted.iter().map(|stay| stay.time)));
    let rows = lanes.values().max().map_or(1, |lane| lane + 1);
    let occupied = occupied(frame, &sorted, &lanes, gap);
    let mut labels: BTreeMap<usize, &str> = BTreeMap::new();
    for (word, lane) in &lanes {
        labels.entry(*lane).or_insert(if *lane == LANES_MAX { others } else { word });
    }
    let said = said(&occupied, labels.values());
    let height = TOP + LANE * i32::try_from(rows).unwrap_or(1) + AXIS;
    let mut svg = Svg::begin(frame, "lanes", (WIDTH, height), &said);
    svg.time_axis(frame, (TOP, height - AXIS));
    for (lane, label) in labels {
        let middle = TOP + LANE * i32::try_from(lane).unwrap_or(0) + LANE / 2;
        svg.text("chart-lane", "end", (LEFT - 6, middle + 4), &shortened(label, LABEL_CHARACTERS_MAX / 3));
        let mut base = Path::default();
        base.line((LEFT, middle), (RIGHT, middle));
        svg.path("chart-grid", &base);
        let mut bars = Path::default();
        for (first, last) in stretches(&occupied, lane) {
            bars.line((x_of_column(first) - 1, middle), (x_of_column(last) + 1, middle));
        }
        let attributes = format!("fill=\"none\" stroke=\"currentColor\" stroke-width=\"{BAR}\"");
        svg.shape("chart-bar", &bars, &attributes);
    }
    svg.end()
}

/// The lane of each word: first those that have one in any case, then as they come in the order of letters.
fn lanes_of<'a>(stays: &[Stay<'a>], words: &[&'a str]) -> BTreeMap<&'a str, usize> {
    let mut lanes = BTreeMap::new();
    let mut more: Vec<&str> = stays.iter().map(|stay| stay.word).collect();
    more.sort_unstable();
    for word in words.iter().copied().chain(more) {
        let next = lanes.len().min(LANES_MAX);
        lanes.entry(word).or_insert(next);
    }
    lanes
}

/// What holds in each column, in the order in which it does.
fn occupied(
    frame: &Frame<'_>,
    sorted: &[&Stay<'_>],
    lanes: &BTreeMap<&str, usize>,
    gap: i64,
) -> Vec<Vec<usize>> {
    let mut columns = vec![Vec::new(); COLUMNS];
    for (n, stay) in sorted.iter().enumerate() {
        let next = sorted.get(n + 1).map_or(frame.span.until, |next| next.time);
        let until = next.min(stay.time.saturating_add(gap)).min(frame.span.until);
        let begin = stay.time.max(frame.span.from);
        // What held before the span, and does not in it, is in none of its columns.
        if until < begin || (until == begin && stay.time < begin) {
            continue;
        }
        let Some(first) = frame.span.column(begin, COLUMNS) else { continue };
        let end = until.saturating_sub(1).max(begin);
        let last = frame.span.column(end, COLUMNS).unwrap_or(first);
        let Some(lane) = lanes.get(stay.word) else { continue };
        for column in &mut columns[first..=last] {
            // The last one goes last; each stands there once.
            column.retain(|known| known != lane);
            column.push(*lane);
        }
    }
    columns
}

/// `column:lane` of each column in which that changes, with `column:` where nothing holds any more; and in
/// further lines the words of the lanes.
fn said<'a>(occupied: &[Vec<usize>], labels: impl Iterator<Item = &'a &'a str>) -> String {
    let (mut changes, mut before) = (Vec::new(), None);
    for (index, lanes) in occupied.iter().enumerate() {
        let now = lanes.last().copied();
        if now != before {
            changes.push(format!("{index}:{}", now.map(|lane| lane.to_string()).unwrap_or_default()));
        }
        before = now;
    }
    let mut said = changes.join(" ");
    for label in labels {
        said.push('\n');
        said.push_str(&shortened(label, LABEL_CHARACTERS_MAX).replace('\n', " "));
    }
    said
}

/// Columns one after another in which a lane is occupied.
fn stretches(occupied: &[Vec<usize>], lane: usize) -> Vec<(usize, usize)> {
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    for (index, _) in occupied.iter().enumerate().filter(|(_, lanes)| lanes.contains(&lane)) {
        match stretches.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => stretches.push((index, index)),
        }
    }
    stretches
}
