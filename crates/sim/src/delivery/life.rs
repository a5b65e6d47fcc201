//! When a simulated device wakes and is heard.

use crate::random::SeededRandom;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What devices do, each a part of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Sleeps for its interval after each report: what its timer is off adds up.
    Timer,
    /// Reports at times of a schedule, and a little off each of them.
    Schedule,
    /// Sends several messages each time that it wakes.
    Bursts,
    /// Sleeps through the night.
    DayWorker,
    /// Was told another interval of late.
    Changed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Timer, Self::Schedule, Self::Bursts, Self::DayWorker, Self::Changed];
}

/// How a device lives.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) kind: Kind,
    /// Between two reports, milliseconds.
    pub(super) interval: i64,
    /// How far a report may be off, in thousandths of the interval, to either side.
    jitter: i64,
    /// Reports that nobody hears, of a thousand.
    lost: u16,
    /// Mean time between two holes in the coverage, and their mean length, milliseconds.
    holes: (i64, i64),
    /// Reports that the past has.
    past: i64,
}

/// What comes of a life: when the device was heard until a command was sent, and after that.
#[derive(Debug)]
pub(super) struct Heard {
    /// Arrivals before the command, in order.
    pub(super) before: Vec<i64>,
    /// When the command is sent.
    pub(super) now: i64,
    /// The first arrival after it.
    pub(super) next: i64,
}

impl Life {
    /// With an interval of at most `longest` minutes.
    pub(super) fn draw(kind: Kind, longest: i64, random: &mut SeededRandom) -> Self {
        let minutes: &[i64] = match kind {
            Kind::DayWorker => &[5, 10, 15, 20, 30],
            _ => &[1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440],
        };
        let minutes = &minutes[..minutes.partition_point(|minutes| *minutes <= longest).max(1)];
        let interval = random.pick(minutes) * MINUTE;
        // A device of a short interval is in the same holes as one of a long interval.
        let (apart, long) = (random.pick(&[12, 24, 48, 96]), random.pick(&[1, 2, 4]));
        Self {
            kind,
            interval,
            jitter: random.pick(&[5, 10, 20, 30, 50, 80]),
            lost: random.pick(&[0, 5, 10, 20, 30]),
            holes: ((apart * HOUR).max(40 * interval), (long * HOUR / 2).max(2 * interval)),
            past: random.pick(&[20, 50, 100, 300, 600]),
        }
    }

    /// Lives from `begin` on, at least through a past of a day where it works by day.
    pub(super) fn live(&self, begin: i64, random: &mut SeededRandom) -> Heard {
        let mut span = self.past * self.interval;
        if self.kind == Kind::DayWorker {
            span = span.max(4 * DAY);
        }
        // At any time of its last day, or of its last few intervals.
        let now = begin
            + span
            + random.below((DAY.min(span)).max(10 * self.interval).cast_unsigned()).cast_signed();
        // The change was long enough ago to be seen, and not so long that all before is forgotten.
        let changed = now - self.interval * (20 + random.below(60).cast_signed());
        let mut holes = Holes::new(begin, self.holes);
        let (mut before, mut scheduled, mut at) = (Vec::new(), begin, begin);
        loop {
            let interval = match self.kind {
                Kind::Changed if scheduled < changed => self.interval * 3,
                _ => self.interval,
            };
            let off = around(random, interval * self.jitter / 1000);
            (scheduled, at) = match self.kind {
                Kind::Schedule => (scheduled + interval, (scheduled + interval + off).max(at + 1)),
                _ => (at + interval + off, at + interval + off),
            };
            if self.kind == Kind::DayWorker && is_night(at) {
                continue;
            }
            let is_lost = random.chance(self.lost);
            if is_lost || holes.cover(at, random) {
                continue;
            }
            for arrival in self.arrivals(at, random) {
                if arrival > now {
                    return Heard { before, now, next: arrival };
                }
                before.push(arrival);
            }
        }
    }

    /// The messages of one waking. One in eight comes late: it was sent again.
    fn arrivals(&self, at: i64, random: &mut SeededRandom) -> Vec<i64> {
        let count = if self.kind == Kind::Bursts { 2 + random.below(4) } else { 1 };
        let mut arrival = at;
        let mut arrivals = Vec::new();
        for _ in 0..count {
            arrival += if random.chance(125) { 2 * SECOND + below(random, 4 * SECOND) } else { 0 };
            arrivals.push(arrival);
            arrival += 300 + below(random, 3 * SECOND);
        }
        arrivals
    }
}

/// From an arrival to the GET of the command: round trips over a slow radio.
pub(super) fn fetch_delay(random: &mut SeededRandom) -> i64 {
    200 + below(random, 3 * SECOND)
}

/// From 20:00 to 06:00.
fn is_night(at: i64) -> bool {
    !(6 * HOUR..20 * HOUR).contains(&at.rem_euclid(DAY))
}

/// Where there is no coverage.
struct Holes {
    apart: i64,
    long: i64,
    /// The one that is, or the next one.
    next: (i64, i64),
}

impl Holes {
    fn new(begin: i64, (apart, long): (i64, i64)) -> Self {
        Self { apart, long, next: (begin, begin) }
    }

    /// Whether a time is in one; times only grow.
    fn cover(&mut self, at: i64, random: &mut SeededRandom) -> bool {
        while self.next.1 <= at {
            let from = self.next.1 + exponential(random, self.apart);
            self.next = (from, from + exponential(random, self.long) + 1);
        }
        self.next.0 <= at
    }
}

fn below(random: &mut SeededRandom, bound: i64) -> i64 {
    random.below(bound.cast_unsigned()).cast_signed()
}

/// As likely before as after, up to `most`.
fn around(random: &mut SeededRandom, most: i64) -> i64 {
    below(random, 2 * most + 1) - most
}

/// Exponentially distributed with this mean.
fn exponential(random: &mut SeededRandom, mean: i64) -> i64 {
    let uniform = (random.below(1 << 32) as f64 + 1.0) / (1_u64 << 32) as f64;
    (-uniform.ln() * mean as f64) as i64
}
