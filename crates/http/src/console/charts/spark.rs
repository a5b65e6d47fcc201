//! A sparkline: one number over time, from zero on, as small as a word. The greatest and the last value stand
//! beside it; where nothing is known, there is no ground line.

use super::{
    Frame, Sample,
    columns::{Column, runs},
    scale::short,
    svg::{Path, Svg, whole},
};

/// Columns of a sparkline, each a unit wide.
const COLUMNS: usize = 144;
const WIDTH: i32 = 144 + 72;
const HEIGHT: i32 = 56;
/// Digits of its numbers.
const DIGITS: u8 = 5;
const TOP: i32 = 12;
const BOTTOM: i32 = HEIGHT - 6;

/// Numbers at equal distances from the beginning of the span on; `None`: not known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spark<'a> {
    /// The numbers.
    pub(crate) values: &'a [Option<u64>],
    /// Their distance, milliseconds.
    pub(crate) step: i64,
}

/// Draws a sparkline.
pub(crate) fn sparkline(frame: &Frame<'_>, Spark { values, step }: Spark<'_>) -> String {
    let step = step.max(1);
    let times = (0..).map(|n: i64| frame.span.from.saturating_add(n.saturating_mul(step)));
    let known = times.zip(values).filter_map(|(time, value)| Some(Sample::one(time, (*value)? as f64)));
    let known: Vec<Sample> = known.collect();
    // Several columns may be without a value where these are further apart than columns.
    let gap = step.saturating_add(step / 2);
    let drawn = runs(&known, frame.span, COLUMNS, Some(gap));
    let mut svg = Svg::begin(frame, "spark", (WIDTH, HEIGHT), "");
    let (_, max) = drawn.extent().unwrap_or((0.0, 0.0));
    let y = |value: f64| BOTTOM - whole(value / max.max(1.0) * f64::from(BOTTOM - TOP));
    let x = |column: &Column| i32::try_from(column.index).unwrap_or(0);
    let (mut ground, mut area, mut line) = (Path::default(), Path::default(), Path::default());
    for run in &drawn.runs {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        ground.line((x(first), BOTTOM), (x(last) + 1, BOTTOM));
        // How far the numbers of a column go: its greatest.
        area.move_to((x(first), BOTTOM));
        for column in run {
            area.line_to((x(column), y(column.max)));
        }
        area.line_to((x(last) + 1, y(last.max)));
        area.line_to((x(last) + 1, BOTTOM));
        area.close();
        line.through(run.iter().map(|column| (x(column), y(column.mean))));
        line.line_to((x(last) + 1, y(last.mean)));
    }
    svg.path("chart-axis", &ground);
    svg.area("chart-envelope", &area);
    svg.path("chart-line", &line);
    // The newest value itself: a column may have several.
    if let Some(last) = values.iter().rev().flatten().next() {
        let right = WIDTH - 68;
        svg.text("chart-tick", "start", (right, TOP), &format!("↑ {}", short(max, DIGITS)));
        svg.text("chart-now", "start", (right, BOTTOM), &format!("→ {}", short(*last as f64, DIGITS)));
    }
    svg.end()
}
