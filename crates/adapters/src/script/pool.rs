//! The port: a thread for each process, and the queues that they take calls from.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use narrowgate_platform::{
    ids::UnixMillis,
    ports::{Caller, Circumstances, Fault, FaultKind, PortFuture, Script, Scripts},
};

use super::{
    engine::Limits,
    frame::Task,
    process::{ANSWER_TIME_MAX, Call, Command, Hello, Outcome, Process},
    turns::{Account, Cost, Next, REST_MAX, Turns},
};
use crate::reply::{Reply, reply};

/// A call that waited longer is refused: its device has sent the request again by then, or given up.
const WAIT_TIME_MAX: Duration = Duration::from_secs(2);

/// A trial may wait for longer than trials rest, and for longer than one of another product that is stuck: a
/// person waits for it.
const TRIAL_WAIT_TIME_MAX: Duration = Duration::from_secs(12);
const _: () = assert!(TRIAL_WAIT_TIME_MAX.as_nanos() > REST_MAX.as_nanos());
const _: () = assert!(TRIAL_WAIT_TIME_MAX.as_nanos() > ANSWER_TIME_MAX.as_nanos());

/// Compiled scripts of a process.
const KEPT_MAX: usize = 64;

/// Calls that go to a process together, so that it is not woken for each.
const TOGETHER_MAX: usize = 32;

/// Bytes of their arguments, the last one apart: a socket takes them while the process still writes answers.
const TOGETHER_BYTES_MAX: usize = 16 << 10;

/// After a process could not be started, how long its thread waits before it tries again.
const START_PAUSE: Duration = Duration::from_millis(500);

/// How a pool runs scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What a call may take.
    pub limits: Limits,
    /// Processes, each of which runs one call at a time; at least one.
    pub workers: usize,
    /// Calls of a product that may wait, and as many trials of its scripts; more are refused as busy.
    pub waiting_max: usize,
    /// How a process is started.
    pub command: Command,
}

/// Runs scripts in processes, which are started when they are first needed. Dropped, it ends them; calls that
/// wait are refused.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    options: Options,
}

struct State {
    turns: Turns<Job>,
    is_closed: bool,
}

struct Job {
    task: Task,
    caller: Caller,
    script: Script,
    argument: Vec<u8>,
    circumstances: Circumstances,
    since: Instant,
    reply: Reply<Result<Vec<u8>, Fault>>,
}

impl Job {
    /// Whether somebody still waits for it who has not waited too long.
    fn is_wanted(&self) -> bool {
        self.reply.is_waited_for() && self.since.elapsed() <= self.wait_time_max()
    }

    fn wait_time_max(&self) -> Duration {
        if self.caller == Caller::Trial { TRIAL_WAIT_TIME_MAX } else { WAIT_TIME_MAX }
    }

    fn call(&self) -> Call<'_> {
        let Self { task, script, argument, circumstances, .. } = self;
        Call { task: *task, script, argument, circumstances: *circumstances }
    }
}

impl Pool {
    /// Starts the threads, and no process yet.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let workers = options.workers.max(1);
        let state = State { turns: Turns::new(options.waiting_max, workers), is_closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), options });
        let mut pool = Self { shared, threads: Vec::new() };
        for _ in 0..workers {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name("script".to_owned()).spawn(move || shared.work());
            pool.threads.push(thread?);
        }
        Ok(pool)
    }

    async fn call(
        &self,
        (task, caller): (Task, Caller),
        script: Script,
        argument: Vec<u8>,
        at: Circumstances,
    ) -> Answered {
        let (reply, answer) = reply();
        let since = Instant::now();
        self.shared.put(Job { task, caller, script, argument, circumstances: at, since, reply });
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

#[cfg(test)]
impl Pool {
    /// How many calls wait.
    pub(super) fn waiting(&self) -> usize {
        self.shared.lock().turns.waiting()
    }

    /// Whether the calls of a caller rest.
    pub(super) fn rests(&self, script: &Script, caller: Caller) -> bool {
        self.shared.lock().turns.rests_until(&Account::of(script.product(), caller)).is_some()
    }
}

type Answered = Result<Vec<u8>, Fault>;

impl Scripts for Pool {
    fn check(&self, script: &Script) -> PortFuture<'_, Result<(), Fault>> {
        let script = script.clone();
        let at = Circumstances { arrival: UnixMillis(0), seed: 0 };
        Box::pin(
            async move { self.call((Task::Check, Caller::Trial), script, Vec::new(), at).await.map(drop) },
        )
    }

    fn decode(
        &self,
        script: &Script,
        bytes: &[u8],
        circumstances: Circumstances,
        caller: Caller,
    ) -> PortFuture<'_, Result<String, Fault>> {
        let (script, bytes) = (script.clone(), bytes.to_vec());
        Box::pin(async move {
            let text = self.call((Task::Decode, caller), script, bytes, circumstances).await?;
            String::from_utf8(text).map_err(|_| Fault::new(FaultKind::Unavailable, "the engine gave no text"))
        })
    }

    fn encode(
        &self,
        script: &Script,
        json: &str,
        circumstances: Circumstances,
        caller: Caller,
    ) -> PortFuture<'_, Result<Vec<u8>, Fault>> {
        let (script, json) = (script.clone(), json.as_bytes().to_vec());
        Box::pin(async move { self.call((Task::Encode, caller), script, json, circumstances).await })
    }
}

impl Shared {
    fn put(&self, job: Job) {
        let mut state = self.lock();
        if state.is_closed {
            drop(state);
            return job.reply.send(Ok(Err(ended())));
        }
        let account = Account::of(job.script.product(), job.caller);
        let rest = state.turns.rests_until(&account);
        if rest.is_some_and(|end| end > job.since + job.wait_time_max()) {
            drop(state);
            return job.reply.send(Ok(Err(resting(&account))));
        }
        let caller = job.caller;
        let (mut unwanted, mut put) = (Vec::new(), state.turns.put(&account, caller, job));
        if let Err(job) = put {
            unwanted = state.turns.drop_unwanted(&account, Job::is_wanted);
            put = state.turns.put(&account, caller, job);
        }
        drop(state);
        for job in unwanted {
            job.reply.send(Ok(Err(late(&account))));
        }
        match put {
            Ok(()) => self.changed.notify_one(),
            Err(job) => job.reply.send(Ok(Err(full(&account)))),
        }
    }

    /// Runs calls until the pool is dropped.
    fn work(&self) {
        let mut process = None;
        while let Some(turn) = self.next() {
            let (turn, unwanted): (Vec<_>, _) = turn.into_iter().partition(|(_, job)| job.is_wanted());
            for (account, job) in unwanted {
                let has_rested = self.lock().turns.has_rested_since(&account, job.since);
                let fault = if has_rested { resting(&account) } else { late(&account) };
                let caller = job.caller;
                job.reply.send(Ok(Err(fault)));
                self.finish(&account, caller, Cost::NONE);
            }
            let together = if turn.len() > 1 { self.run_all(&mut process, &turn) } else { Vec::new() };
            let mut together = together.into_iter();
            for (account, job) in turn {
                let outcome = together.next().flatten();
                let Outcome { result, spent, held } = outcome.unwrap_or_else(|| self.run(&mut process, &job));
                let hit_limit = result.as_ref().is_err_and(|fault| fault.kind.is_limit());
                self.finish(&account, job.caller, Cost { spent, held, hit_limit });
                job.reply.send(Ok(result));
            }
        }
    }

    fn finish(&self, account: &Account, caller: Caller, cost: Cost) {
        self.lock().turns.finish(account, caller, cost, Instant::now());
        // What was kept back by it may go to another thread.
        self.changed.notify_one();
    }

    /// The call whose turn it is, and those that go along with it.
    fn next(&self) -> Option<Vec<(Account, Job)>> {
        let mut state = self.lock();
        while !state.is_closed {
            let now = Instant::now();
            state = match state.turns.take(now) {
                Next::Run(account, job) => {
                    let mut bytes = job.argument.len();
                    let mut turn = vec![(account, job)];
                    let share = state.turns.share().min(TOGETHER_MAX);
                    while turn.len() < share && bytes < TOGETHER_BYTES_MAX {
                        let Some((account, job)) = state.turns.take_along(&turn[0].0) else { break };
                        bytes += job.argument.len();
                        turn.push((account, job));
                    }
                    return Some(turn);
                }
                Next::Wait(None) => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Next::Wait(Some(until)) => {
                    let waited = self.changed.wait_timeout(state, until.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        None
    }

    /// Runs calls together; what has no outcome is to be run alone.
    fn run_all(&self, process: &mut Option<Process>, turn: &[(Account, Job)]) -> Vec<Option<Outcome>> {
        let calls: Vec<_> = turn.iter().map(|(_, job)| job.call()).collect();
        match process.as_mut().filter(|_| calls.iter().all(|call| call.task != Task::Check)) {
            Some(process) => process.call_all(&calls),
            None => Vec::new(),
        }
    }

    fn run(&self, process: &mut Option<Process>, job: &Job) -> Outcome {
        if process.as_mut().is_some_and(|process| !process.is_running()) {
            *process = None;
        }
        if process.is_none() {
            let hello = Hello { limits: self.options.limits, kept_max: KEPT_MAX };
            match Process::start(&self.options.command, &hello) {
                Ok(started) => *process = Some(started),
                Err(error) => {
                    thread::sleep(START_PAUSE);
                    let words = format!("the script engine could not be started: {error}");
                    let result = Err(Fault::new(FaultKind::Unavailable, words));
                    return Outcome::not_run(result);
                }
            }
        }
        let Some(running) = process.as_mut() else {
            return Outcome::not_run(Err(ended()));
        };
        running.call(&job.call()).unwrap_or_else(|outcome| {
            *process = None;
            outcome
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.shared.lock();
            state.is_closed = true;
            state.turns.clear()
        };
        self.shared.changed.notify_all();
        drop(waiting);
        for thread in self.threads.drain(..) {
            // Ignored: what it ran is over.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({:?})", self.shared.options)
    }
}

fn full(account: &Account) -> Fault {
    Fault::new(FaultKind::Busy, format!("too many {} wait", account.calls()))
}

fn late(account: &Account) -> Fault {
    let among = account.calls_beside();
    Fault::new(FaultKind::Busy, format!("it has waited too long for its turn among {among}"))
}

fn resting(account: &Account) -> Fault {
    let rest_s = REST_MAX.as_secs();
    let said = format!("{} rest for up to {rest_s} s, since one of them ran into a limit", account.calls());
    Fault::new(FaultKind::Busy, said)
}

fn ended() -> Fault {
    Fault::new(FaultKind::Unavailable, "the script engine has ended")
}
