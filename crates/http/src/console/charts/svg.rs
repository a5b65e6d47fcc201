//! The text of a chart: its frame, its axis of time, and paths in whole units.

use std::fmt::Write as _;

use super::{COLUMNS, Frame, TimeSpan};
use crate::page::escape;

/// Where the columns begin; labels stand before it.
pub(super) const LEFT: i32 = 56;
/// Where they end.
pub(super) const RIGHT: i32 = LEFT + 2 * COLUMNS as i32;
/// The width of every chart but the sparkline.
pub(super) const WIDTH: i32 = RIGHT + 8;
/// What the axis of time takes below the columns.
pub(super) const AXIS: i32 = 20;
/// A label of a lane or a value has at most so many characters.
pub(super) const LABEL_CHARACTERS_MAX: usize = 24;

/// About how many ticks an axis of time has.
const TIME_TICKS: usize = 6;

/// A chart that is being written.
#[derive(Debug)]
pub(super) struct Svg(String);

impl Svg {
    /// Begins one. Where there is `data`, the script says of each column under the pointer what it is, by the
    /// `kind` of the chart.
    pub(super) fn begin(frame: &Frame<'_>, kind: &str, (width, height): (i32, i32), data: &str) -> Self {
        let (id, title, description) = (escape(frame.id), escape(frame.title), escape(frame.description));
        let TimeSpan { from, until } = frame.span;
        let mut svg = String::with_capacity(4096);
        add(
            &mut svg,
            format_args!(
                "<svg class=\"chart chart-{kind}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\" \
                 width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\""
            ),
        );
        if !data.is_empty() {
            add(
                &mut svg,
                format_args!(
                    " data-kind=\"{kind}\" data-from=\"{from}\" data-until=\"{until}\" \
                     data-columns=\"{COLUMNS}\" data-left=\"{LEFT}\" data-right=\"{RIGHT}\" \
                     data-values=\"{}\"",
                    escape(data)
                ),
            );
        }
        add(
            &mut svg,
            format_args!("><title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>"),
        );
        Self(svg)
    }

    /// The axis of time: a line below, ticks and their labels.
    pub(super) fn time_axis(&mut self, frame: &Frame<'_>, (top, bottom): (i32, i32)) {
        let ticks = frame.zone.ticks(frame.span, TIME_TICKS);
        let mut grid = Path::default();
        for (time, _) in &ticks {
            let x = x_of(frame.span, *time);
            grid.line((x, top), (x, bottom + 4));
        }
        self.path("chart-grid", &grid);
        let mut axis = Path::default();
        axis.line((LEFT, bottom), (RIGHT, bottom));
        self.path("chart-axis", &axis);
        for (time, label) in ticks {
            self.text("chart-tick", "middle", (x_of(frame.span, time), bottom + 15), &label);
        }
    }

    /// A path that is not filled.
    pub(super) fn path(&mut self, class: &str, path: &Path) {
        self.shape(class, path, "fill=\"none\" stroke=\"currentColor\"");
    }

    /// A path that is filled and has no line around it.
    pub(super) fn area(&mut self, class: &str, path: &Path) {
        self.shape(class, path, "fill=\"currentColor\" fill-opacity=\"0.25\"");
    }

    /// A path with these attributes.
    pub(super) fn shape(&mut self, class: &str, path: &Path, attributes: &str) {
        if !path.d.is_empty() {
            add(&mut self.0, format_args!("<path class=\"{class}\" {attributes} d=\"{}\"/>", path.d));
        }
    }

    /// A text that ends at, begins at, or has its middle at this place.
    pub(super) fn text(&mut self, class: &str, anchor: &str, (x, y): (i32, i32), text: &str) {
        let text = escape(&shortened(text, LABEL_CHARACTERS_MAX));
        add(
            &mut self.0,
            format_args!(
                "<text class=\"{class}\" fill=\"currentColor\" font-size=\"11\" text-anchor=\"{anchor}\" \
                 x=\"{x}\" y=\"{y}\">{text}</text>"
            ),
        );
    }

    /// The whole text.
    pub(super) fn end(mut self) -> String {
        self.0.push_str("</svg>");
        self.0
    }
}

/// Where a time lies.
pub(super) fn x_of(span: TimeSpan, time: i64) -> i32 {
    LEFT + whole(span.share(time) * f64::from(RIGHT - LEFT))
}

/// The middle of a column.
pub(super) fn x_of_column(index: usize) -> i32 {
    LEFT + 1 + 2 * i32::try_from(index.min(COLUMNS)).unwrap_or(0)
}

/// A length in whole units.
pub(super) fn whole(length: f64) -> i32 {
    if length.is_finite() { length.round().clamp(-1e6, 1e6) as i32 } else { 0 }
}

/// A text, cut off behind so many characters.
pub(super) fn shortened(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        None => text.to_owned(),
        Some((end, _)) => {
            let before = text[..end].char_indices().next_back().map_or(0, |(last, _)| last);
            format!("{}…", &text[..before])
        }
    }
}

/// A path in whole units, each step relative to the place before it, which is short.
#[derive(Debug, Default)]
pub(super) struct Path {
    d: String,
    at: (i32, i32),
}

impl Path {
    /// Goes on somewhere else.
    pub(super) fn move_to(&mut self, (x, y): (i32, i32)) {
        add(&mut self.d, format_args!("M{x} {y}"));
        self.at = (x, y);
    }

    /// Draws a line.
    pub(super) fn line_to(&mut self, (x, y): (i32, i32)) {
        match (x - self.at.0, y - self.at.1) {
            (0, 0) => {}
            (right, 0) => add(&mut self.d, format_args!("h{right}")),
            (0, down) => add(&mut self.d, format_args!("v{down}")),
            (right, down) => add(&mut self.d, format_args!("l{right} {down}")),
        }
        self.at = (x, y);
    }

    /// A line from one place to another.
    pub(super) fn line(&mut self, from: (i32, i32), to: (i32, i32)) {
        if self.d.is_empty() || self.at != from {
            self.move_to(from);
        }
        self.line_to(to);
    }

    /// A line through these places.
    pub(super) fn through(&mut self, places: impl IntoIterator<Item = (i32, i32)>) {
        for (n, place) in places.into_iter().enumerate() {
            if n == 0 { self.move_to(place) } else { self.line_to(place) }
        }
    }

    /// A dot: the round end of a line of no length.
    pub(super) fn dot(&mut self, place: (i32, i32)) {
        self.move_to(place);
        self.d.push_str("h0");
    }

    /// Back to where it began.
    pub(super) fn close(&mut self) {
        self.d.push('z');
    }
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Ignored: a string takes everything.
    let _ = text.write_fmt(what);
}
