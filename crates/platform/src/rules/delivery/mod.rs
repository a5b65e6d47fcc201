//! When a device will probably be heard next, from the times at which it was heard: then it fetches the
//! command that waits for it. And how good that was, afterwards.
//!
//! A device wakes, sends one message or several, and sleeps. The time from one waking to the next is a *gap*.
//! Nothing is assumed of how gaps are distributed, but that the next one is like those before:
//!
//! 1. Messages that belong to one waking count once, unless it may still be awake.
//! 2. The device keeps a rhythm where half of its gaps lie close together. Else nothing is said.
//! 3. It has been silent for a while already, so only gaps that were longer than that count: the newest
//!    128 of them. So a hole in the coverage, the night of a device that works by day, and a rhythm
//!    that became slower need no rule of their own: once the silence is longer than usual, what is looked at
//!    are the silences that were that long.
//! 4. Where the newest of those gaps do not fit the older ones, the rhythm became faster, and the older ones
//!    do not count.
//! 5. The shortest span that holds 95 % of those gaps is what is expected: rare long gaps fall out of
//!    it, frequent ones widen it. Of few gaps the span is wider than they are, as an interval of prediction.
//!
//! A device that observes its commands is told of one at once, so it is expected at once
//! ([`expect_observer`]).
//!
//! So a device whose contacts are often lost gets a wide spread, and one that was never silent for so long
//! gets none.

#[cfg(test)]
mod tests;

use crate::{
    ids::UnixMillis,
    model::{
        command::{Command, Expected, ExpectedOutcome},
        product::Profile,
    },
};

/// Contacts that are looked at: the newest ones. On a disk each may be a read of its own.
pub const CONTACTS_MAX: usize = 500;

/// Contacts of two years ago say nothing.
const AGE_MS_MAX: i64 = 2 * 366 * 86_400_000;

/// Fewer gaps say nothing.
const GAPS_MIN: usize = 8;
/// Gaps that are looked at, of those that are longer than the silence so far.
const GAPS_MAX: usize = 128;
/// The newest gaps, which show whether the rhythm has changed.
const GAPS_NEWEST: usize = 24;
/// Of them, these are compared with the older ones: not those that are rare.
const GAPS_NEWEST_ALIKE: usize = 18;
/// From so many gaps on, the span is one of them; of fewer it is computed.
const GAPS_ENOUGH: usize = 20;
/// The part of the gaps that the span holds. More than the nine tenths that are promised, because the
/// shortest span is picked, which fits the past better than the future.
const COVERED: f64 = 0.95;
/// The shortest span that fits the past is a little too short for the future: it gets this part of its length
/// at each end.
const MARGIN_PART: i64 = 16;
/// Half of the gaps lie within this part of their middle, to either side: else there is no rhythm.
const RHYTHM: f64 = 0.35;
/// Messages of one waking follow each other within this time, milliseconds: a confirmable message is given up
/// after 93 s (RFC 7252, section 4.8.2).
const BURST_GAP_MS_MAX: i64 = 120_000;
/// A waking has at most so many messages, on average.
const BURST_MAX: usize = 8;
/// Gaps between wakings are so many times as long as those within one.
const BURST_RATIO: f64 = 8.0;
/// From a contact to the GET of the command: a round trip or two, at most this time, milliseconds …
const FETCH_MS_MAX: i64 = 6_000;
/// … and this part of a gap.
const FETCH_PART: i64 = 20;
/// The same time over a radio that may take seconds each way, where a notification may have to be repeated.
const FETCH_MS_MAX_NBIOT: i64 = 30_000;

/// When the device will probably fetch a command that is sent now; `None` where that cannot be said: it was
/// heard too rarely, keeps no rhythm, or was never silent for so long. `contacts` in any order.
pub fn expect(contacts: Vec<UnixMillis>, now: UnixMillis) -> Option<Expected> {
    let contacts = sorted(contacts, now);
    let burst = Burst::of(&gaps_of(&contacts));
    let begins = wakings(&contacts, burst.apart);
    let begins = if has_rhythm(&begins) { begins } else { contacts.clone() };
    if !has_rhythm(&begins) {
        return None;
    }
    // Where it may be awake, its next message may be one of this waking.
    let may_be_awake = now.0 - contacts.last()? <= burst.within;
    let times = if may_be_awake { &contacts } else { &begins };
    let last = *times.last()?;
    let silent = now.0 - last;
    let longer = gaps_of(times).into_iter().rev().filter(|gap| *gap > silent);
    let longer: Vec<i64> = longer.take(GAPS_MAX).collect();
    let (first, until) = span(like_the_newest(&longer))?;
    let until = last.saturating_add(until).saturating_add((until / FETCH_PART).clamp(0, FETCH_MS_MAX));
    let first = last.saturating_add(first).max(now.0);
    let spread = until.saturating_sub(first).saturating_add(1) / 2;
    Some(Expected { at: UnixMillis(first.saturating_add(spread)), spread })
}

/// When a device fetches a command that is sent now and of which it is told at once, because it observes
/// its commands: within the round trips that this takes. What it does otherwise says nothing.
pub fn expect_observer(profile: Profile, now: UnixMillis) -> Expected {
    let spread = match profile {
        Profile::Default => FETCH_MS_MAX,
        Profile::Nbiot => FETCH_MS_MAX_NBIOT,
    } / 2;
    Expected { at: UnixMillis(now.0.saturating_add(spread)), spread }
}

impl Command {
    /// How good what was expected of it was, once that is known.
    pub fn expected_outcome(&self) -> Option<ExpectedOutcome> {
        let Expected { at, spread } = self.expected?;
        let (first, until) = (at.0.saturating_sub(spread), at.0.saturating_add(spread));
        match (self.fetched, self.ended) {
            (Some(fetched), _) if fetched.0 < first => Some(ExpectedOutcome::Early),
            (Some(fetched), _) if fetched.0 <= until => Some(ExpectedOutcome::Within),
            (Some(_), _) => Some(ExpectedOutcome::Late),
            // It waited longer than was expected, and nobody came.
            (None, Some(ended)) if ended.0 > until => Some(ExpectedOutcome::Late),
            // Taken back, or over, before that is known.
            (None, _) => None,
        }
    }
}

/// In their order, the newest [`CONTACTS_MAX`] of them; what is later than now, or very old, is left out.
fn sorted(contacts: Vec<UnixMillis>, now: UnixMillis) -> Vec<i64> {
    let span = now.0.saturating_sub(AGE_MS_MAX)..=now.0;
    let mut times: Vec<i64> = contacts.into_iter().map(|at| at.0).filter(|at| span.contains(at)).collect();
    times.sort_unstable();
    times.dedup();
    let surplus = times.len().saturating_sub(CONTACTS_MAX);
    times.split_off(surplus)
}

fn gaps_of(times: &[i64]) -> Vec<i64> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// When each waking began: at a contact that comes at least `burst` after the one before.
fn wakings(contacts: &[i64], burst: i64) -> Vec<i64> {
    let first = contacts.first().copied();
    let later = contacts.windows(2).filter(|pair| pair[1] - pair[0] >= burst).map(|pair| pair[1]);
    first.into_iter().chain(later).collect()
}

/// How messages of one waking follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Burst {
    /// The longest gap within a waking; 0 where each has one message.
    within: i64,
    /// The shortest gap between two.
    apart: i64,
}

impl Burst {
    /// Gaps within a waking and between wakings differ in their order of magnitude: the cut is where the two
    /// groups of logarithms are farthest apart (Otsu's method).
    fn of(gaps: &[i64]) -> Self {
        let mut sorted = gaps.to_vec();
        sorted.sort_unstable();
        let logarithms: Vec<f64> = sorted.iter().map(|gap| (*gap as f64).max(1.0).ln()).collect();
        let sum: f64 = logarithms.iter().sum();
        let (mut below, mut best) = (0.0, (0.0, 0));
        for index in 1..sorted.len() {
            below += logarithms[index - 1];
            let left = sorted.len() - index;
            let is_short = sorted[index - 1] <= BURST_GAP_MS_MAX;
            if is_short && left >= GAPS_MIN && left * BURST_MAX >= sorted.len() {
                let (lower, upper) = (index as f64, left as f64);
                let apart = (sum - below) / upper - below / lower;
                let variance = lower * upper * apart * apart;
                best = if variance > best.0 { (variance, index) } else { best };
            }
        }
        let (lower, upper) = sorted.split_at(best.1);
        match (lower.last(), upper.first()) {
            (Some(within), Some(apart)) if median(upper) as f64 >= BURST_RATIO * median(lower) as f64 => {
                Self { within: *within, apart: *apart }
            }
            _ => Self::default(),
        }
    }
}

/// Whether there are enough gaps between these, and half of the newest ones are alike.
fn has_rhythm(times: &[i64]) -> bool {
    let mut newest: Vec<i64> = gaps_of(times).into_iter().rev().take(GAPS_MAX).collect();
    newest.sort_unstable();
    let Some((first, last)) = shortest(&newest, newest.len().div_ceil(2)) else { return false };
    let (middle, half) = ((first + last) as f64 / 2.0, (last - first) as f64 / 2.0);
    newest.len() >= GAPS_MIN && half <= RHYTHM * middle
}

/// Of gaps, newest first: all, or only the newest ones where most of the older ones are not like them.
fn like_the_newest(gaps: &[i64]) -> &[i64] {
    let (newest, older) = gaps.split_at(GAPS_NEWEST.min(gaps.len()));
    let mut sorted = newest.to_vec();
    sorted.sort_unstable();
    let Some((least, most)) = shortest(&sorted, GAPS_NEWEST_ALIKE) else { return gaps };
    let is_alike = |gap: &i64| (least..=most).contains(gap);
    let are_alike = |gaps: &[i64]| gaps.iter().filter(|gap| is_alike(gap)).count() * 2 >= gaps.len();
    if are_alike(older) {
        return gaps;
    }
    let alike = older.chunks(GAPS_NEWEST / 3).take_while(|gaps| are_alike(gaps)).map(<[i64]>::len);
    let alike = &gaps[..newest.len() + alike.sum::<usize>()];
    let count = alike.iter().rposition(is_alike).map_or(0, |last| last + 1);
    &alike[..count]
}

/// The span in which the next gap probably is; `None` of fewer than two.
fn span(gaps: &[i64]) -> Option<(i64, i64)> {
    let mut sorted = gaps.to_vec();
    sorted.sort_unstable();
    if (GAPS_MIN..2 * GAPS_ENOUGH).contains(&sorted.len()) {
        leave_out_the_rarest(&mut sorted);
    }
    if sorted.len() < GAPS_ENOUGH {
        return span_of_few(&sorted);
    }
    // Between neighbours, the first and the last ones of the order included, a new gap falls equally often.
    let held = (COVERED * (sorted.len() + 1) as f64).ceil() as usize + 1;
    let (first, last) = shortest(&sorted, held.min(sorted.len()))?;
    let margin = (last - first) / MARGIN_PART;
    Some((first - margin, last + margin))
}

/// Leaves out the longest of a few gaps, where it lies far from the others.
fn leave_out_the_rarest(sorted: &mut Vec<i64>) {
    let middle = median(sorted);
    let mut deviations: Vec<i64> = sorted.iter().map(|gap| (gap - middle).abs()).collect();
    deviations.sort_unstable();
    // Of gaps that are nearly equal, one is not far for being a little longer.
    let far = 6 * median(&deviations).max(middle / 50);
    if sorted.last().is_some_and(|longest| longest - middle > far) {
        sorted.pop();
    }
}

/// An interval of prediction, as if gaps were normally distributed.
fn span_of_few(sorted: &[i64]) -> Option<(i64, i64)> {
    /// Quantiles 0.975 of Student's distribution, by degrees of freedom, from 1 on.
    const STUDENT: [f64; 18] = [
        12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12,
        2.11, 2.10,
    ];
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    let student = STUDENT.get(sorted.len().checked_sub(2)?)?;
    let count = sorted.len() as f64;
    let mean = sorted.iter().map(|gap| *gap as f64).sum::<f64>() / count;
    let squares = sorted.iter().map(|gap| (*gap as f64 - mean).powi(2)).sum::<f64>();
    let reach = student * (squares / (count - 1.0) * (1.0 + 1.0 / count)).sqrt();
    Some((first.min((mean - reach) as i64), last.max((mean + reach) as i64)))
}

/// The shortest span that holds `held` of sorted numbers.
fn shortest(sorted: &[i64], held: usize) -> Option<(i64, i64)> {
    let spans = sorted.windows(held.max(1)).map(|window| (window[0], window[window.len() - 1]));
    spans.min_by_key(|(first, last)| last - first)
}

/// The middle one of sorted numbers, of which there is one at least.
fn median(sorted: &[i64]) -> i64 {
    sorted[sorted.len() / 2]
}
