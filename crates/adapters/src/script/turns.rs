//! Whose turn it is: the calls of products wait in queues of their own, and the product that has taken the
//! least time of late goes first. Within a product its callers take turns, those whose last call ran into a
//! limit behind the others (`callers`).
//!
//! Trials of a product have an account of their own: neither they nor what its devices need pay or rest for
//! the other. Of all trials one runs at a time, calls of devices that wait go before it, but for so many, and
//! none goes to a process behind it.
//!
//! Three rules keep a bad script from the others. Its product pays for the time that it takes, and ten times
//! that where it ran into a limit, so that its next call waits behind all that cost less. After a limit the
//! product rests for nine times as long as the call held its process, and then runs one call at a time: it
//! holds a process for a tenth of the time, where calls do not take longer than half a second. After each
//! further limit in a row it rests for twice as long, up to a second. And a product whose last call took long
//! never holds the last free process.

mod callers;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_platform::ports::Caller;

use self::callers::Callers;

/// How many times a call that ran into a limit is paid for.
const LIMIT_PRICE: u32 = 10;

/// How many times as long as such a call its product rests.
const REST: u32 = 9;

/// How often in a row the rest is doubled: a script that always runs into the limit of 50 ms soon gets a
/// twentieth of a processor, and one that takes less until its limit gets less.
const DOUBLED_MAX: u32 = 4;

/// Doubling ends here, well below the time that a call may wait: after a rest those go first whose calls are
/// not known to run into limits.
const DOUBLED_REST_MAX: Duration = Duration::from_secs(1);

/// For so long after a rest it is known how many limits came in a row, and who ran into them.
const ROW_KEPT: Duration = Duration::from_secs(1);

/// It never rests longer.
pub(super) const REST_MAX: Duration = Duration::from_secs(5);

/// Calls of devices that go before a trial that could begin, counted while it waits.
const BEFORE_TRIAL_MAX: u32 = 64;

/// A product whose last call took this long leaves one process to the others.
const LONG: Duration = Duration::from_millis(5);

/// Queues of products, with calls `J`.
#[derive(Debug)]
pub(super) struct Turns<J> {
    queues: BTreeMap<Account, Queue<J>>,
    /// Those with a call that may begin, the one that has paid least first.
    ready: BTreeSet<(Duration, Account)>,
    /// The same of trials, one of which runs at a time.
    trials: BTreeSet<(Duration, Account)>,
    trial_runs: bool,
    /// Calls of devices that went before the trial that could begin.
    before_trial: u32,
    /// Those that rest, by the end of it.
    resting: BTreeSet<(Instant, Account)>,
    /// Those that have rested and are known for it, by the end of that.
    rested: BTreeSet<(Instant, Account)>,
    /// What the last one whose turn came had paid: one that comes anew begins here, so that nobody saves up.
    floor: Duration,
    /// The same of trials.
    trial_floor: Duration,
    /// Calls that wait, of accounts in `ready`.
    ready_calls: usize,
    waiting_max: usize,
    workers: usize,
}

/// Who pays for a call: a product, or the trials of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Account {
    product: Arc<str>,
    is_trial: bool,
}

#[derive(Debug)]
struct Queue<J> {
    waiting: Callers<J>,
    running: usize,
    paid: Duration,
    /// What it had paid when it became ready.
    ready_at: Option<Duration>,
    /// Its part of `ready_calls`.
    counts: usize,
    pace: Pace,
    /// Rests that limits brought since the last call that ran into none.
    limits_in_row: u32,
    rests_until: Option<Instant>,
    /// When its last rest ended, or ends.
    rested_until: Option<Instant>,
    /// Until when that is not forgotten.
    known_until: Option<Instant>,
}

/// How long the last call of a product took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// There was none.
    Unknown,
    /// Little: several calls may go to a process together.
    Quick,
    /// Long, or into a limit.
    Long,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<J> {
    Run(Account, J),
    /// Nothing before this time, or before something is put in or done.
    Wait(Option<Instant>),
}

/// What a call took: processor time, and the time for which it held its process, which is more on a busy
/// machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) spent: Duration,
    pub(super) held: Duration,
    pub(super) hit_limit: bool,
}

impl Cost {
    /// Of a call that was not run.
    pub(super) const NONE: Self = Self { spent: Duration::ZERO, held: Duration::ZERO, hit_limit: false };
}

impl Account {
    /// Who pays for the calls of this caller.
    pub(super) fn of(product: &Arc<str>, caller: Caller) -> Self {
        Self { product: Arc::clone(product), is_trial: caller == Caller::Trial }
    }

    /// The other account of its product.
    fn other(&self) -> Self {
        Self { product: Arc::clone(&self.product), is_trial: !self.is_trial }
    }

    /// What its calls are, in a sentence for people.
    pub(super) fn calls(&self) -> &'static str {
        match self.is_trial {
            true => "trials of scripts of this product",
            false => "calls of the script of this product",
        }
    }

    /// Among which calls its own take turns, in a sentence for people: of all trials one runs at a time.
    pub(super) fn calls_beside(&self) -> &'static str {
        if self.is_trial { "trials of scripts of this server" } else { self.calls() }
    }
}

impl<J> Turns<J> {
    /// Queues of so many calls of a product, for so many workers.
    pub(super) fn new(waiting_max: usize, workers: usize) -> Self {
        Self {
            queues: BTreeMap::new(),
            ready: BTreeSet::new(),
            trials: BTreeSet::new(),
            trial_runs: false,
            before_trial: 0,
            resting: BTreeSet::new(),
            rested: BTreeSet::new(),
            floor: Duration::ZERO,
            trial_floor: Duration::ZERO,
            ready_calls: 0,
            waiting_max,
            workers,
        }
    }

    /// Lets a call wait.
    ///
    /// # Errors
    /// The call, where too many of its account wait already.
    pub(super) fn put(&mut self, account: &Account, caller: Caller, call: J) -> Result<(), J> {
        let floor = self.floor_of(account);
        let queue = self.queues.entry(account.clone()).or_insert_with(|| Queue::new(floor));
        if queue.waiting.len() >= self.waiting_max {
            return Err(call);
        }
        if queue.waiting.is_empty() && queue.running == 0 {
            queue.paid = queue.paid.max(floor);
        }
        queue.waiting.put(caller, call);
        self.place(account);
        Ok(())
    }

    /// Takes out the calls of an account that nobody waits for any more.
    pub(super) fn drop_unwanted(&mut self, account: &Account, is_wanted: impl Fn(&J) -> bool) -> Vec<J> {
        let Some(queue) = self.queues.get_mut(account) else { return Vec::new() };
        let unwanted = queue.waiting.drop_unwanted(is_wanted);
        self.place(account);
        unwanted
    }

    /// Takes the call whose turn it is.
    pub(super) fn take(&mut self, now: Instant) -> Next<J> {
        self.wake(now);
        let first = match self.before_trial >= BEFORE_TRIAL_MAX {
            true => self.pop_trial().or_else(|| self.ready.pop_first()),
            false => self.ready.pop_first().or_else(|| self.pop_trial()),
        };
        let Some((paid, account)) = first else {
            return Next::Wait(self.resting.first().map(|(end, _)| *end));
        };
        let call = self.begin(paid, &account);
        Next::Run(account, call)
    }

    fn pop_trial(&mut self) -> Option<(Duration, Account)> {
        if self.trial_runs { None } else { self.trials.pop_first() }
    }

    /// Takes the call whose turn it is next, if it is one that may go to a process behind another, which was
    /// taken before: both will take little time, which nobody knows of a trial, and no trial is to go first.
    pub(super) fn take_along(&mut self, behind: &Account) -> Option<(Account, J)> {
        if behind.is_trial || self.before_trial >= BEFORE_TRIAL_MAX {
            return None;
        }
        let (_, account) = self.ready.first()?;
        if self.queues.get(account)?.pace != Pace::Quick {
            return None;
        }
        let (paid, account) = self.ready.pop_first()?;
        let call = self.begin(paid, &account);
        Some((account, call))
    }

    /// How many of the calls of devices that may begin are one worker's share.
    pub(super) fn share(&self) -> usize {
        self.ready_calls / self.workers
    }

    /// How many calls wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queues.values().map(|queue| queue.waiting.len()).sum()
    }

    /// Until when an account rests.
    pub(super) fn rests_until(&self, account: &Account) -> Option<Instant> {
        self.queues.get(account)?.rests_until
    }

    /// Whether an account has rested since, and not only waited.
    pub(super) fn has_rested_since(&self, account: &Account, since: Instant) -> bool {
        let rested_until = self.queues.get(account).and_then(|queue| queue.rested_until);
        rested_until.is_some_and(|end| end > since)
    }

    fn begin(&mut self, paid: Duration, account: &Account) -> J {
        let waits_trial = !self.trials.is_empty() && !self.trial_runs;
        match account.is_trial {
            true => (self.trial_floor, self.trial_runs, self.before_trial) = (paid, true, 0),
            false if waits_trial => (self.floor, self.before_trial) = (paid, self.before_trial + 1),
            false => (self.floor, self.before_trial) = (paid, 0),
        }
        let queue = self.queues.get_mut(account).expect("only accounts with a queue are ready");
        queue.ready_at = None;
        self.ready_calls -= std::mem::take(&mut queue.counts);
        queue.running += 1;
        let call = queue.waiting.take().expect("only accounts whose queue has a call are ready");
        self.place_both(account);
        call
    }

    /// A call that was taken is over.
    pub(super) fn finish(&mut self, account: &Account, caller: Caller, cost: Cost, now: Instant) {
        if account.is_trial {
            self.trial_runs = false;
        }
        let Some(queue) = self.queues.get_mut(account) else { return };
        queue.running = queue.running.saturating_sub(1);
        let Cost { spent, held, hit_limit } = cost;
        if hit_limit {
            let spent = spent.max(held);
            queue.paid += spent * LIMIT_PRICE;
            queue.pace = Pace::Long;
            queue.waiting.set_limited(caller, true);
            self.rest(account, spent, now);
        } else if !spent.is_zero() {
            // A call that came too late and was not run says nothing of how long others take.
            queue.paid += spent;
            queue.pace = if spent >= LONG { Pace::Long } else { Pace::Quick };
            queue.waiting.set_limited(caller, false);
            queue.limits_in_row = 0;
        }
        self.place_both(account);
    }

    /// Lets an account rest after a limit that cost this. What ran beside it neither makes the row longer nor
    /// the rest shorter.
    fn rest(&mut self, account: &Account, spent: Duration, now: Instant) {
        let Some(queue) = self.queues.get_mut(account) else { return };
        let earlier = queue.rests_until;
        if earlier.is_none_or(|end| end <= now) {
            queue.limits_in_row = queue.limits_in_row.saturating_add(1);
        }
        let end = (now + rest_after(spent, queue.limits_in_row)).max(earlier.unwrap_or(now));
        queue.rests_until = Some(end);
        queue.rested_until = Some(end);
        queue.known_until = Some(end + ROW_KEPT);
        if let Some(earlier) = earlier {
            self.resting.remove(&(earlier, account.clone()));
        }
        self.resting.insert((end, account.clone()));
    }

    /// Takes out all calls that wait.
    pub(super) fn clear(&mut self) -> Vec<J> {
        self.ready.clear();
        self.trials.clear();
        self.resting.clear();
        self.rested.clear();
        self.ready_calls = 0;
        std::mem::take(&mut self.queues).into_values().flat_map(|queue| queue.waiting.into_all()).collect()
    }

    /// Ends the rests that are over, and forgets those that were over long ago.
    fn wake(&mut self, now: Instant) {
        while let Some((end, account)) = pop_until(&mut self.resting, now) {
            if let Some(queue) = self.queues.get_mut(&account) {
                queue.rests_until = None;
            }
            self.rested.insert((end + ROW_KEPT, account.clone()));
            self.place(&account);
        }
        while let Some((end, account)) = pop_until(&mut self.rested, now) {
            if let Some(queue) = self.queues.get_mut(&account).filter(|queue| queue.known_until == Some(end))
            {
                queue.known_until = None;
                // What a call that still runs means for the row is seen at its end.
                queue.limits_in_row = if queue.running > 0 { queue.limits_in_row } else { 0 };
            }
            self.place(&account);
        }
    }

    /// Puts an account where its state says, and the other one of its product, which shares processes with
    /// it.
    fn place_both(&mut self, account: &Account) {
        self.place(account);
        self.place(&account.other());
    }

    fn place(&mut self, account: &Account) {
        let may_run = self.queues.get(account).is_some_and(|queue| self.may_run(account, queue));
        let floor = self.floor_of(account);
        let Some(queue) = self.queues.get_mut(account) else { return };
        let ready_at = may_run.then_some(queue.paid);
        let counts = if may_run && !account.is_trial { queue.waiting.len() } else { 0 };
        self.ready_calls = self.ready_calls + counts - std::mem::replace(&mut queue.counts, counts);
        if queue.ready_at != ready_at {
            let ready = if account.is_trial { &mut self.trials } else { &mut self.ready };
            if let Some(earlier) = std::mem::replace(&mut queue.ready_at, ready_at) {
                ready.remove(&(earlier, account.clone()));
            }
            if let Some(paid) = ready_at {
                ready.insert((paid, account.clone()));
            }
        }
        // One that has paid more than others keeps its place for as long as it would wait.
        let is_idle = queue.waiting.is_empty() && queue.running == 0 && queue.known_until.is_none();
        if is_idle && queue.paid <= floor {
            self.queues.remove(account);
        }
    }

    fn floor_of(&self, account: &Account) -> Duration {
        if account.is_trial { self.trial_floor } else { self.floor }
    }

    /// Whether a call of this account may begin.
    fn may_run(&self, account: &Account, queue: &Queue<J>) -> bool {
        if queue.waiting.is_empty() || queue.rests_until.is_some() {
            return false;
        }
        match queue.pace {
            _ if queue.limits_in_row > 0 && queue.running > 0 => false,
            Pace::Quick => true,
            Pace::Unknown if !account.is_trial => queue.running < self.workers,
            // A script that is tried is not known to be good. With what its product holds already, it holds
            // no more than the product alone.
            Pace::Unknown | Pace::Long => {
                let other = self.queues.get(&account.other()).filter(|other| other.pace != Pace::Quick);
                let running = queue.running + other.map_or(0, |other| other.running);
                running < (self.workers - 1).max(1)
            }
        }
    }
}

impl<J> Queue<J> {
    fn new(paid: Duration) -> Self {
        let (waiting, pace) = (Callers::new(), Pace::Unknown);
        Self {
            waiting,
            running: 0,
            paid,
            ready_at: None,
            counts: 0,
            pace,
            limits_in_row: 0,
            rests_until: None,
            rested_until: None,
            known_until: None,
        }
    }
}

/// The first whose time has come.
fn pop_until(times: &mut BTreeSet<(Instant, Account)>, now: Instant) -> Option<(Instant, Account)> {
    let is_over = times.first().is_some_and(|(end, _)| *end <= now);
    if is_over { times.pop_first() } else { None }
}

/// How long a product rests after so many limits in a row, the last of which cost this.
fn rest_after(spent: Duration, in_row: u32) -> Duration {
    let rest = (spent * REST).min(REST_MAX);
    let doubled = rest * (1 << in_row.saturating_sub(1).min(DOUBLED_MAX));
    rest.max(doubled.min(DOUBLED_REST_MAX))
}
