//! From values to heights, with ticks that are round.

/// Most ticks of a scale.
const TICKS_MAX: usize = 8;
/// Digits of a label that is very large or very small.
const LABEL_DIGITS: u8 = 6;

/// A scale that begins and ends at a tick.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    /// The distance of two ticks: 1, 2 or 5 times a power of ten.
    step: f64,
}

impl Scale {
    /// One on which these values lie, with about so many ticks.
    pub(super) fn of(min: f64, max: f64, about: usize) -> Self {
        let (mut low, mut high) = (min.min(max), max.max(min));
        if low == high {
            // A twentieth of the value, so that it lies in the middle; 0 lies between -1 and 1.
            let margin = if low == 0.0 { 1.0 } else { (low.abs() / 20.0).max(f64::MIN_POSITIVE) };
            (low, high) = (low - margin, high + margin);
        }
        let step = round_step(high / 2.0 - low / 2.0, about);
        let (below, above) = ((low / step).floor() * step, (high / step).ceil() * step);
        // Where numbers are so large or so close that they cannot be told apart, the values themselves.
        if !(below.is_finite() && above.is_finite() && below < above) {
            return Self { low, high, step: high - low };
        }
        Self { low: below, high: above, step }
    }

    /// Where a value lies: 0 at the low end, 1 at the high one.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0);
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The ticks, rising, with their labels.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        // Where it begins at a tick, the quotient may be a little more than whole.
        let first = (self.low / self.step - 1e-6).ceil();
        let values = (0..=TICKS_MAX).map(|n| (first + n as f64) * self.step);
        // What is added up from steps may miss the end by a little.
        let end = self.high + self.step * 1e-6;
        let mut ticks: Vec<(f64, String)> = Vec::new();
        for value in values.take_while(|value| *value <= end) {
            let value = if value.abs() < self.step * 1e-6 { 0.0 } else { value };
            if ticks.last().is_none_or(|(last, _)| *last < value) {
                ticks.push((value, label(value, self.step)));
            }
        }
        if ticks.is_empty() {
            ticks.push((self.low, short(self.low, LABEL_DIGITS)));
        }
        ticks
    }
}

/// The smallest round step of which at most about so many cover twice this distance.
fn round_step(half: f64, about: usize) -> f64 {
    let least = (half / about.max(1) as f64) * 2.0;
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least);
    match step {
        Some(step) if step.is_finite() && step > 0.0 => step,
        _ => f64::MIN_POSITIVE,
    }
}

/// A tick's label: as many decimals as tell it from its neighbours.
fn label(value: f64, step: f64) -> String {
    let digits = -step.log10().floor();
    if value.abs() >= 1e7 || digits > 6.0 {
        return short(value, LABEL_DIGITS);
    }
    let decimals = if digits > 0.0 { digits as usize } else { 0 };
    format!("{value:.decimals$}")
}

/// A number in at most so many digits that count, one to nine, without zeros behind them.
pub(super) fn short(value: f64, digits: u8) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { String::new() };
    }
    if !(1e-4..1e7).contains(&value.abs()) {
        let text = format!("{value:.*e}", usize::from(digits.saturating_sub(1)));
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", without_zeros(digits));
    }
    let decimals = (f64::from(digits) - 1.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn without_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}
