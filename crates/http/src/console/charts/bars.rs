//! Counts over time by what they are of: a row of bars for each, one below the other, all on one scale. Rows
//! are told apart by their labels, and each has its sum.

use super::{
    Frame,
    scale::Scale,
    svg::{AXIS, LEFT, Path, RIGHT, Svg, WIDTH, whole},
};

/// Rows at most; the caller puts the rest together.
const ROWS_MAX: usize = 8;
/// Bars of a row at most.
const BARS_MAX: usize = 96;
/// Height of a row, and of its label in it.
const ROW: i32 = 44;
const LABEL: i32 = 15;
const TOP: i32 = 4;

/// A row of bars.
#[derive(Debug, Clone)]
pub(crate) struct BarRow<'a> {
    /// What is counted.
    pub(crate) label: &'a str,
    /// How many in each part of the span, which are equally long; `None`: not known.
    pub(crate) counts: Vec<Option<u64>>,
}

/// Draws rows of bars, the first one at the top. Rows and bars beyond the most there can be are left out.
pub(crate) fn bars(frame: &Frame<'_>, rows: &[BarRow<'_>]) -> String {
    let rows = &rows[..rows.len().min(ROWS_MAX)];
    let count = rows.iter().map(|row| row.counts.len()).max().unwrap_or(0).clamp(1, BARS_MAX);
    let most = rows.iter().flat_map(|row| &row.counts).filter_map(|count| *count).max().unwrap_or(0);
    let scale = Scale::of(0.0, most.max(1) as f64, 1);
    let height = TOP + ROW * i32::try_from(rows.len().max(1)).unwrap_or(1) + AXIS;
    let mut svg = Svg::begin(frame, "bars", (WIDTH, height), "");
    svg.time_axis(frame, (TOP, height - AXIS));
    let x = |n: usize| LEFT + whole(f64::from(RIGHT - LEFT) * n as f64 / count as f64);
    let width = (x(1) - LEFT - 1).max(1);
    for (row, top) in rows.iter().zip((0..).map(|n| TOP + ROW * n)) {
        let base = top + ROW - 2;
        let (mut bars, mut known, mut unknown) = (Path::default(), Path::default(), Path::default());
        for (n, bar) in row.counts.iter().take(count).enumerate() {
            let ground = if bar.is_some() { &mut known } else { &mut unknown };
            ground.line((x(n), base), (x(n + 1), base));
            let high = f64::from(ROW - LABEL - 4) * scale.share(bar.unwrap_or(0) as f64);
            let middle = x(n) + width / 2;
            // One is seen, however many the others are.
            if let Some(1..) = bar {
                bars.line((middle, base), (middle, base - whole(high).max(1)));
            }
        }
        svg.path("chart-grid", &known);
        svg.shape(
            "chart-unknown",
            &unknown,
            "fill=\"none\" stroke=\"currentColor\" stroke-dasharray=\"1 4\"",
        );
        svg.shape(
            "chart-bar",
            &bars,
            &format!("fill=\"none\" stroke=\"currentColor\" stroke-width=\"{width}\""),
        );
        svg.text("chart-lane", "start", (LEFT, top + LABEL - 4), row.label);
        let sum: u64 = row.counts.iter().flatten().fold(0, |sum, count| sum.saturating_add(*count));
        svg.text("chart-sum", "end", (RIGHT, top + LABEL - 4), &sum.to_string());
    }
    let highest = scale.ticks().into_iter().next_back().map(|(_, label)| label).unwrap_or_default();
    svg.text("chart-tick", "end", (LEFT - 6, TOP + LABEL + 8), &highest);
    svg.end()
}
