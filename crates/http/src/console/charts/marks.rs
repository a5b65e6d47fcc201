//! What happened at a time and is no number and no state: a text, an event. A mark for each column, with the
//! number of what happened in it where that is more than one.

use super::{
    COLUMNS, Frame,
    svg::{AXIS, LEFT, Path, RIGHT, Svg, WIDTH, x_of_column},
};

const HEIGHT: i32 = 48;
const TOP: i32 = 4;
const MIDDLE: i32 = 18;
/// Half of a mark's width.
const HALF: i32 = 4;
/// Marks closer than this have no number.
const NUMBER_EVERY: usize = 12;

/// What happened at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// When, Unix milliseconds.
    pub(crate) time: i64,
}

/// Draws marks.
pub(crate) fn marks(frame: &Frame<'_>, marks: &[Mark]) -> String {
    let mut counts = vec![0_u64; COLUMNS];
    for mark in marks {
        if let Some(column) = frame.span.column(mark.time, COLUMNS) {
            counts[column] += 1;
        }
    }
    let marked = || counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let said: Vec<String> = marked().map(|(index, count)| format!("{index}:{count}")).collect();
    let mut svg = Svg::begin(frame, "marks", (WIDTH, HEIGHT), &said.join(" "));
    svg.time_axis(frame, (TOP, HEIGHT - AXIS));
    let (mut base, mut shapes) = (Path::default(), Path::default());
    base.line((LEFT, MIDDLE), (RIGHT, MIDDLE));
    let mut numbered = None;
    for (index, count) in marked() {
        let x = x_of_column(index);
        shapes.through([(x - HALF, MIDDLE), (x, MIDDLE - HALF), (x + HALF, MIDDLE), (x, MIDDLE + HALF)]);
        shapes.close();
        if *count > 1 && numbered.is_none_or(|last| index >= last + NUMBER_EVERY) {
            svg.text("chart-tick", "middle", (x, MIDDLE - HALF - 2), &count.to_string());
            numbered = Some(index);
        }
    }
    svg.path("chart-grid", &base);
    svg.shape("chart-mark", &shapes, "fill=\"currentColor\"");
    svg.end()
}
