//! A point that is a number, as a line. Where a column has several values, an area shows how far they go.

use super::{
    COLUMNS, Frame, Sample,
    columns::{Column, Runs, runs},
    scale::{Scale, short},
    svg::{AXIS, LEFT, Path, RIGHT, Svg, WIDTH, whole, x_of_column},
};

/// Height of the chart.
const HEIGHT: i32 = 120;
const TOP: i32 = 8;
const BOTTOM: i32 = HEIGHT - AXIS;
/// About how many ticks the values have.
const TICKS: usize = 3;
/// Digits of a value under the pointer; the table has all.
const DIGITS: u8 = 5;

/// Draws a line. Samples that lie further apart than `gap` milliseconds are not joined; `None`: than four
/// times what is usual.
pub(crate) fn line(frame: &Frame<'_>, samples: &[Sample], gap: Option<i64>) -> String {
    let drawn = runs(samples, frame.span, COLUMNS, gap);
    let mut svg = Svg::begin(frame, "line", (WIDTH, HEIGHT), &said(&drawn));
    svg.time_axis(frame, (TOP, BOTTOM));
    if let Some((min, max)) = drawn.extent() {
        draw(&mut svg, &drawn, &Scale::of(min, max, TICKS));
    }
    svg.end()
}

/// What each column says: `@` and the number of a column, then its value and those of the columns behind it,
/// one after another; of a column with several, `min~max`.
fn said(drawn: &Runs) -> String {
    let (mut said, mut next) = (Vec::new(), None);
    for column in drawn.runs.iter().flatten() {
        if next != Some(column.index) {
            said.push(format!("@{}", column.index));
        }
        next = Some(column.index + 1);
        said.push(match column.min < column.max {
            true => format!("{}~{}", short(column.min, DIGITS), short(column.max, DIGITS)),
            false => short(column.mean, DIGITS),
        });
    }
    said.join(" ")
}

fn draw(svg: &mut Svg, drawn: &Runs, scale: &Scale) {
    let y = |value: f64| BOTTOM - whole(scale.share(value) * f64::from(BOTTOM - TOP));
    let mut grid = Path::default();
    for (value, label) in scale.ticks() {
        grid.line((LEFT, y(value)), (RIGHT, y(value)));
        svg.text("chart-tick", "end", (LEFT - 6, y(value) + 4), &label);
    }
    svg.path("chart-grid", &grid);
    let (mut line, mut envelope, mut dots) = (Path::default(), Path::default(), Path::default());
    for run in &drawn.runs {
        let at =
            |value: fn(&Column) -> f64| move |column: &Column| (x_of_column(column.index), y(value(column)));
        if let [only] = &run[..] {
            dots.dot((x_of_column(only.index), y(only.mean)));
            if only.min < only.max {
                let x = x_of_column(only.index);
                dots.line((x, y(only.min)), (x, y(only.max)));
            }
            continue;
        }
        line.through(run.iter().map(at(|column| column.mean)));
        if drawn.has_envelope() {
            envelope.through(run.iter().map(at(|column| column.max)));
            for place in run.iter().rev().map(at(|column| column.min)) {
                envelope.line_to(place);
            }
            envelope.close();
        }
    }
    svg.area("chart-envelope", &envelope);
    svg.shape(
        "chart-line",
        &line,
        "fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\" stroke-linejoin=\"round\"",
    );
    svg.shape(
        "chart-dots",
        &dots,
        "fill=\"none\" stroke=\"currentColor\" stroke-width=\"4\" stroke-linecap=\"round\"",
    );
}
