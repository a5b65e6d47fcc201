//! What the values of one bucket come to.

use std::cmp::Ordering;

use super::BucketFault;
use crate::{
    ids::UnixMillis,
    model::{json_text::JsonText, message::split_quality},
};

/// What is asked of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The smallest number.
    Min,
    /// The greatest number.
    Max,
    /// The mean of all numbers.
    Avg,
    /// The latest value.
    Last,
    /// How many values there are.
    Count,
}

impl Function {
    const ALL: [(&'static str, Self); 5] = [
        ("min", Self::Min),
        ("max", Self::Max),
        ("avg", Self::Avg),
        ("last", Self::Last),
        ("count", Self::Count),
    ];
}

/// Some functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Functions(u8);

impl Functions {
    /// Each of them.
    pub const ALL: Self = Self(0b1_1111);

    /// Reads a list: `min,max,avg`.
    ///
    /// # Errors
    /// One is none.
    pub fn parse(list: &str) -> Result<Self, BucketFault> {
        let mut functions = Self(0);
        for name in list.split(',') {
            let Some((_, function)) = Function::ALL.into_iter().find(|(known, _)| *known == name) else {
                let message = format!("has {name:?}; it must be some of min,max,avg,last,count");
                return Err(BucketFault { field: "fn", message });
            };
            functions.0 |= 1 << function as u8;
        }
        Ok(functions)
    }

    /// Whether this one is among them.
    pub fn contains(self, function: Function) -> bool {
        self.0 & (1 << function as u8) != 0
    }

    /// Whether the latest value is all: of a bucket the newest report with the point is enough then.
    pub fn is_last_alone(self) -> bool {
        self.0 == 1 << Function::Last as u8
    }
}

/// What the values of a bucket come to. Smallest, greatest and mean are those of its numbers: they are `None`
/// where it has none. A number with a quality counts by its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// When it begins.
    pub time: UnixMillis,
    /// The smallest number, as it was sent.
    pub min: Option<JsonText>,
    /// The greatest number, as it was sent.
    pub max: Option<JsonText>,
    /// The mean; `None` also where the sum is beyond an `f64`.
    pub avg: Option<f64>,
    /// The latest value, a number or not; `None` where it was not asked for.
    pub last: Option<JsonText>,
    /// How many values, numbers or not.
    pub count: u64,
}

/// See [`Bucket`].
#[derive(Debug, Default)]
pub(super) struct Sums {
    min: Option<Number>,
    max: Option<Number>,
    last: Option<((i64, [i64; 3]), JsonText)>,
    count: u64,
    numbers: u64,
    /// Of all numbers, and what adding them has lost to rounding (Neumaier's summation).
    sum: f64,
    lost: f64,
}

impl Sums {
    /// Adds a value; `order` is its place among all.
    pub(super) fn add(&mut self, order: (i64, [i64; 3]), value: &str, functions: Functions) {
        let (value, _) = split_quality(value);
        self.count += 1;
        if functions.contains(Function::Last) && self.last.as_ref().is_none_or(|(last, _)| *last < order) {
            self.last = Some((order, JsonText::new(value)));
        }
        let Some(float) = number(value) else { return };
        self.numbers += 1;
        let sum = self.sum + float;
        self.lost +=
            if self.sum.abs() >= float.abs() { (self.sum - sum) + float } else { (float - sum) + self.sum };
        self.sum = sum;
        for (kept, wanted) in [(&mut self.min, Ordering::Less), (&mut self.max, Ordering::Greater)] {
            let is_better = kept.as_ref().is_none_or(|kept| match kept.compare(value, float).reverse() {
                // The same whatever order they come in.
                Ordering::Equal => value < kept.text.get(),
                found => found == wanted,
            });
            if is_better {
                *kept = Some(Number { text: JsonText::new(value), float });
            }
        }
    }

    /// Of the values that it holds.
    pub(super) fn bytes(&self) -> usize {
        let numbers = [&self.min, &self.max].into_iter().flatten().map(|number| number.text.get().len());
        numbers.sum::<usize>() + self.last.as_ref().map_or(0, |(_, last)| last.get().len())
    }

    pub(super) fn bucket(self, time: UnixMillis) -> Bucket {
        let sum = if self.lost.is_finite() { self.sum + self.lost } else { self.sum };
        let avg = Some(sum / self.numbers as f64).filter(|avg| avg.is_finite());
        let text = |number: Option<Number>| number.map(|number| number.text);
        Bucket {
            time,
            min: text(self.min),
            max: text(self.max),
            avg,
            last: self.last.map(|(_, value)| value),
            count: self.count,
        }
    }
}

/// A number as it was sent, and the `f64` next to it.
#[derive(Debug)]
struct Number {
    text: JsonText,
    float: f64,
}

impl Number {
    /// Compares with another, to the last digit of both.
    fn compare(&self, text: &str, float: f64) -> Ordering {
        match self.float.partial_cmp(&float) {
            Some(Ordering::Equal) | None => Decimal::of(self.text.get()).compare(&Decimal::of(text)),
            Some(other) => other,
        }
    }
}

/// A number of JSON: its digits without zeros at either end, behind a point, times a power of ten.
struct Decimal {
    is_negative: bool,
    exponent: i64,
    digits: Vec<u8>,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        // One beyond 64 bits stands beside a zero, or for what is nearly one.
        let most = if exponent.starts_with('-') { i64::MIN } else { i64::MAX };
        let exponent: i64 = exponent.parse().unwrap_or(most);
        let point = mantissa.find('.').unwrap_or(mantissa.len());
        let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Self { is_negative: false, exponent: i64::MIN, digits };
        }
        let exponent = exponent.saturating_add(point as i64).saturating_sub(zeros as i64);
        Self { is_negative, exponent, digits }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let size = |one: &Self, other: &Self| {
            one.exponent.cmp(&other.exponent).then_with(|| one.digits.cmp(&other.digits))
        };
        match (self.is_negative, other.is_negative) {
            (false, false) => size(self, other),
            (true, true) => size(other, self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

/// The `f64` next to a number of JSON; of any other value, and of a number beyond all of them, `None`.
fn number(value: &str) -> Option<f64> {
    let first = value.bytes().next()?;
    let float = (first == b'-' || first.is_ascii_digit()).then(|| value.parse::<f64>().ok()).flatten();
    float.filter(|float| float.is_finite())
}
