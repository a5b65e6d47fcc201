//! Charts as SVG, from data alone: no clock, no request, no text of ours. What they say is given by the
//! caller, in the language of the page, and escaped here.
//!
//! * Each has a title and a description for those who do not see it, and says nothing by colour alone: lines,
//!   lanes, marks and rows are told apart by their place and their label, and what is not known is a gap.
//! * No inline style and no colour: classes, whose colours `charts.css` says for light and dark, and
//!   attributes that draw the same in black where no style is.
//! * Width and height are fixed before there is data, so nothing jumps.
//! * However many values there are, a chart has [`COLUMNS`] columns, and its text is bounded with them.
//!
//! None of the crates does that: `plotters` writes colours into its elements, `poloto` and `splot` bring a
//! style of their own and draw no gaps, `charming` runs a script engine; and scales are 200 lines.

mod bars;
mod columns;
mod lanes;
mod lines;
mod marks;
mod scale;
mod spark;
mod svg;
mod ticks;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    bars::{BarRow, bars},
    columns::Sample,
    lanes::{Stay, lanes},
    lines::line,
    marks::{Mark, marks},
    spark::{Spark, sparkline},
    ticks::Zone,
};

/// Columns in which values are drawn, each two units wide.
pub(crate) const COLUMNS: usize = 288;

/// A time span, Unix milliseconds. Its end does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeSpan {
    /// Where it begins.
    pub(crate) from: i64,
    /// Where it ends.
    pub(crate) until: i64,
}

impl TimeSpan {
    /// How long it is, at least a millisecond.
    pub(crate) fn length(self) -> i64 {
        self.until.saturating_sub(self.from).max(1)
    }

    /// Which part of it lies before `time`: 0 to 1.
    fn share(self, time: i64) -> f64 {
        let before = time.clamp(self.from, self.until.max(self.from)).saturating_sub(self.from);
        before as f64 / self.length() as f64
    }

    /// The column that `time` lies in; `None`: it lies outside.
    fn column(self, time: i64, columns: usize) -> Option<usize> {
        if time < self.from || time >= self.until {
            return None;
        }
        Some(((self.share(time) * columns as f64) as usize).min(columns.saturating_sub(1)))
    }
}

/// What every chart is given beside its data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Unique in its page: it names the title and the description.
    pub(crate) id: &'a str,
    /// What is drawn.
    pub(crate) title: &'a str,
    /// What it comes to, in words.
    pub(crate) description: &'a str,
    /// The time that is drawn.
    pub(crate) span: TimeSpan,
    /// Where the ticks of time are round.
    pub(crate) zone: &'a Zone,
}
