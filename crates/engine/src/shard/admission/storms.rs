//! Devices near and far, with timers short and long, that all come at once or beside a flood, under virtual
//! time: no kind of them is worse off than if hellos at a limit were only dropped, and the near are in at
//! once. A device repeats a flight as RFC 6347, section 4.2.4, says, with intervals that double. Links lose
//! nothing, or one datagram of fifty, and then round trips vary and devices compute for half a second.

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr};

use narrowgate_testkit::SeededRandom;

use super::{super::hellos::tests::hello_ids, *};

const SECOND: Duration = Duration::from_secs(1);
const LIMIT: usize = 400;
const LIMITS: AdmissionLimits = AdmissionLimits {
    handshakes_max: LIMIT,
    handshakes_per_address_max: LIMIT,
    lookups_max: LIMIT,
    slow_round_trip: Duration::from_secs(10),
};
/// Round trips and timers, in milliseconds.
const KINDS: [(u64, u64); 8] = [
    (20, 1000),
    (20, 9000),
    (500, 1000),
    (500, 9000),
    (2000, 1000),
    (2000, 9000),
    (8000, 1000),
    (8000, 9000),
];
const REPETITIONS: u32 = 5;

/// Who decides.
enum Rules {
    Ours(Box<Admission>),
    /// What there was before some places were passing: at the limit a hello is dropped, unless one has stood
    /// still, and in a flood all are that come for the first time.
    Drops {
        is_flood: bool,
        noted: BTreeMap<usize, Instant>,
    },
}

struct Device {
    round_trip: Duration,
    timer: Duration,
    begins: Instant,
    repeated: u32,
    first_came: Option<Instant>,
    /// The handshake whose flight 4 it has.
    answered: Option<u64>,
    done: Option<Duration>,
    /// How many of its datagrams, and of those for it, were lost.
    lost: u32,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Begin(usize),
    Hello(usize),
    Answer(usize, u64),
    Finished(usize),
    /// It has computed its answer.
    Compute(usize),
    /// A timer, set when there was an answer or not.
    Timer(usize, bool),
    Flood(usize),
}

struct Storm {
    now: Instant,
    rules: Rules,
    hello: HelloId,
    /// Under way, by device: those of the flood have numbers behind all devices.
    under_way: BTreeMap<usize, Held>,
    by_slot: BTreeMap<u32, usize>,
    slots: u32,
    devices: Vec<Device>,
    /// Devices that are not in yet.
    left: usize,
    next: BinaryHeap<Reverse<(Instant, u64, Next)>>,
    planned: u64,
    /// Links lose datagrams, where there is something.
    loss: Option<SeededRandom>,
    /// Round trip of who floods.
    flood_from: Duration,
}

fn address(device: usize) -> IpAddr {
    let [.., a, b, c] = (device as u32).to_be_bytes();
    IpAddr::from([10, a, b, c])
}

impl Storm {
    #[expect(clippy::disallowed_methods, reason = "any instant serves as the start of virtual time")]
    fn new(rules: Rules) -> Self {
        let now = Instant::now();
        Self {
            now,
            rules,
            hello: hello_ids(now, 1)[0],
            under_way: BTreeMap::new(),
            by_slot: BTreeMap::new(),
            slots: 0,
            devices: Vec::new(),
            left: 0,
            next: BinaryHeap::new(),
            planned: 0,
            loss: None,
            flood_from: Duration::ZERO,
        }
    }

    /// Plans what comes of a datagram of a device, or for it, unless it is lost.
    fn send(&mut self, device: usize, next: Next) {
        let Device { round_trip, lost, .. } = &mut self.devices[device];
        let mut arrives = self.now + *round_trip / 2;
        if let Some(random) = &mut self.loss {
            if random.below(50) == 0 {
                *lost += 1;
                return;
            }
            let thousandths = u32::try_from(random.below(1000)).unwrap_or(0);
            arrives += *round_trip / 20 * thousandths / 1000;
        }
        self.plan(arrives, next);
    }

    /// How long a device computes its answer.
    fn computes(&self) -> Duration {
        if self.loss.is_some() { SECOND / 2 } else { Duration::ZERO }
    }

    fn plan(&mut self, at: Instant, next: Next) {
        self.planned += 1;
        self.next.push(Reverse((at, self.planned, next)));
    }

    /// Devices of each kind that come after a time, within another.
    fn devices(&mut self, of_each: usize, after: Duration, within: Duration) {
        for number in 0..of_each * KINDS.len() {
            let (round_trip, timer) = KINDS[number % KINDS.len()];
            let [round_trip, timer] = [round_trip, timer].map(Duration::from_millis);
            // Anywhere within the time: evenly one kind would always find the place of another.
            let anywhere = (number as u32).wrapping_mul(2_654_435_761) >> 16;
            let begins = self.now + after + within * anywhere / (1 << 16);
            let device = self.devices.len();
            self.devices.push(Device {
                round_trip,
                timer,
                begins,
                repeated: 0,
                first_came: None,
                answered: None,
                done: None,
                lost: 0,
            });
            self.left += 1;
            self.plan(begins, Next::Begin(device));
            self.plan(begins + timer, Next::Timer(device, false));
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, _, next))) = self.next.pop() {
            if at > end || self.left == 0 {
                return;
            }
            self.now = at;
            match next {
                Next::Begin(device) => self.send(device, Next::Hello(device)),
                Next::Compute(device) => self.send(device, Next::Finished(device)),
                Next::Hello(device) => self.hello(device),
                Next::Answer(device, handshake) => self.answer(device, handshake),
                Next::Finished(device) => self.finished(device),
                Next::Timer(device, had_answer) => self.timer(device, had_answer),
                Next::Flood(number) => {
                    self.come(1_000_000 + number, self.flood_from);
                    self.plan(self.now + 2 * SECOND / LIMIT as u32, Next::Flood(number + 1));
                }
            }
        }
    }

    fn hello(&mut self, device: usize) {
        if self.devices[device].done.is_some() {
            // A late copy of the hello of a session.
            return;
        }
        let first = *self.devices[device].first_came.get_or_insert(self.now);
        let round_trip = self.devices[device].round_trip;
        if let Some(handshake) = self.come(device, round_trip + (self.now - first)) {
            self.send(device, Next::Answer(device, handshake));
        }
    }

    /// A hello comes; the handshake that answers it.
    fn come(&mut self, device: usize, mut round_trip: Duration) -> Option<u64> {
        if let Some(held) = self.under_way.get_mut(&device) {
            if let Rules::Ours(admission) = &mut self.rules {
                admission.handle_again(self.now, address(device), held, &LIMITS);
            }
            return Some(held.begun);
        }
        let (evicted, stay) = match &mut self.rules {
            Rules::Ours(admission) => {
                let path = Path::from(SocketAddr::new(address(device), 5684));
                let answered = admission.permit(self.now, &path, &self.hello, round_trip, &LIMITS);
                round_trip = answered.round_trip;
                match answered.permit {
                    Permit::Yes(stay) => (None, stay),
                    Permit::Evict { slot, stay } => (Some(self.by_slot[&slot]), stay),
                    Permit::No | Permit::Share => return None,
                }
            }
            Rules::Drops { is_flood, noted } => {
                let first = *noted.entry(device).or_insert(self.now);
                let is_again = self.now - first >= SOON;
                let stood = || {
                    let (who, held) = self.under_way.iter().min_by_key(|(_, held)| held.last)?;
                    (self.now - held.last > LIMITS.slow_round_trip).then_some(*who)
                };
                match (self.under_way.len() < LIMIT, *is_flood && !is_again) {
                    (_, true) => return None,
                    (true, false) => (None, Stay::Kept),
                    (false, false) => (Some(stood()?), Stay::Kept),
                }
            }
        };
        if let Some(evicted) = evicted {
            self.end(evicted);
        }
        self.slots += 1;
        let (now, slot) = (self.now, self.slots);
        let held = match &mut self.rules {
            Rules::Ours(admission) => admission.begin(now, address(device), slot, stay, round_trip, &LIMITS),
            Rules::Drops { .. } => Held {
                begun: slot.into(),
                slot,
                since: now,
                last: now,
                stage: Stage::Begun,
                stay,
                round_trip,
                patience: LIMITS.slow_round_trip,
                class: 0,
            },
        };
        self.by_slot.insert(slot, device);
        self.under_way.insert(device, held);
        Some(held.begun)
    }

    fn end(&mut self, device: usize) {
        let Some(held) = self.under_way.remove(&device) else { return };
        self.by_slot.remove(&held.slot);
        if let Rules::Ours(admission) = &mut self.rules {
            admission.end(address(device), &held);
        }
    }

    fn answer(&mut self, number: usize, handshake: u64) {
        let device = &mut self.devices[number];
        if device.answered.is_none() {
            (device.answered, device.repeated) = (Some(handshake), 0);
            let timer = device.timer;
            let computed = self.now + self.computes();
            self.plan(computed, Next::Compute(number));
            self.plan(computed + timer, Next::Timer(number, true));
        }
    }

    fn finished(&mut self, number: usize) {
        let Some(&held) = self.under_way.get(&number) else { return };
        let device = &mut self.devices[number];
        if device.answered == Some(held.begun) {
            device.done = Some(self.now - device.begins);
            self.left -= 1;
            if let Rules::Ours(admission) = &mut self.rules {
                admission.finish(self.now, address(number), &held, &LIMITS);
            }
            self.end(number);
        }
    }

    /// It repeats what it has sent last.
    fn timer(&mut self, number: usize, had_answer: bool) {
        let device = &mut self.devices[number];
        let is_old = device.answered.is_some() != had_answer;
        if is_old || device.done.is_some() || device.repeated == REPETITIONS {
            return;
        }
        device.repeated += 1;
        let due = self.now + (device.timer * 2_u32.pow(device.repeated)).min(60 * SECOND);
        self.send(number, if had_answer { Next::Finished(number) } else { Next::Hello(number) });
        self.plan(due, Next::Timer(number, had_answer));
    }

    /// When half of each kind, and all of them, were in.
    fn outcome(&self) -> Vec<(Duration, Duration)> {
        let times = |kind: usize| {
            let mine = self.devices.iter().skip(kind).step_by(KINDS.len());
            let mut done: Vec<_> = mine.map(|device| device.done.unwrap_or(Duration::MAX)).collect();
            done.sort();
            (done[done.len() / 2], done[done.len() - 1])
        };
        (0..KINDS.len()).map(times).collect()
    }
}

/// What becomes of the devices by our rules, and by those that only drop.
fn compare(is_flood: bool, of_each: usize, within: Duration) {
    let ours = Rules::Ours(Box::new(Admission::new(1)));
    let drops = Rules::Drops { is_flood, noted: BTreeMap::new() };
    let [ours, drops] = [ours, drops].map(|rules| {
        let mut storm = Storm::new(rules);
        let after = if is_flood { 40 * SECOND } else { Duration::ZERO };
        storm.devices(of_each, after, within);
        if is_flood {
            storm.plan(storm.now, Next::Flood(0));
        }
        storm.run(400 * SECOND);
        storm.outcome()
    });
    for (kind, (round_trip, timer)) in KINDS.into_iter().enumerate() {
        let shown = format!("{round_trip} ms, timer {timer} ms: {:?} against {:?}", ours[kind], drops[kind]);
        // As long as it takes to come again once: each interval is as long as all before, and one more.
        let more = |took: Duration| took.saturating_mul(2).saturating_add(Duration::from_millis(timer));
        let bounds = (more(drops[kind].0), more(drops[kind].1));
        assert!(ours[kind].0 <= bounds.0 && ours[kind].1 <= bounds.1, "{shown}");
        if round_trip == 20 {
            assert!(ours[kind].1 < SECOND / 10, "{shown}");
        }
    }
}

#[test]
fn attack_098_in_a_herd_nobody_is_worse_off_than_if_hellos_were_only_dropped() {
    compare(false, 300, 3 * SECOND);
}

#[test]
fn in_a_flood_nobody_is_worse_off_than_if_hellos_were_only_dropped_and_the_near_are_in_at_once() {
    compare(true, 10, 10 * SECOND);
}

/// Devices with the timer of RFC 6347, at a limit that one of another class of distance presses all the time.
#[test]
fn attack_207_what_is_lost_once_costs_a_timer_and_no_place() {
    let mut storm = Storm::new(Rules::Ours(Box::new(Admission::new(1))));
    storm.loss = Some(SeededRandom::new(7));
    storm.devices(60, Duration::ZERO, 40 * SECOND);
    storm.flood_from = SECOND * 3 / 10;
    storm.plan(storm.now, Next::Flood(0));
    storm.run(400 * SECOND);
    for device in storm.devices.iter().filter(|device| device.timer == SECOND && device.lost <= 1) {
        let Device { round_trip, timer, done, .. } = *device;
        // A timer and its doubling, for a hello, and for an answer.
        let bound = 2 * (3 * timer + 2 * round_trip) + SECOND;
        assert!(done.is_some_and(|done| done <= bound), "{round_trip:?}: {done:?}");
    }
}
