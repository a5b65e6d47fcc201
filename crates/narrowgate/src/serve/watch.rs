//! Watches the parts of a serving process: says in the log when one stands still, and keeps the service
//! manager's watchdog quiet as long as none does that a restart would mend.

use std::time::{Duration, Instant};

use narrowgate_http::{Findings, Health, Phase};
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

use super::notify;
use crate::gateway::{Liveness, Stuck};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where two looks are this far apart the whole process stood still (a stopped process, a paused virtual
/// machine, a starved one): its parts get a moment to turn before they are judged.
const STANDSTILL: Duration = Duration::from_secs(3);

/// What is wrong with the clock, if that is known.
pub(super) type ClockWarning = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Begins to watch; until the task is aborted.
pub(super) fn begin(liveness: Liveness, clock: ClockWarning) -> (Health, AbortHandle) {
    let (health, look) = (Health::default(), liveness.clone());
    health.set_look(Box::new(move || findings(&look, clock().into_iter().collect())));
    let serving = health.clone();
    // What ends because it is to stop stands not still.
    let is_stopping = move || serving.phase() == Phase::Draining;
    let watch = run(liveness, notify::watchdog_interval(), notify::send_state, is_stopping);
    (health, tokio::spawn(watch).abort_handle())
}

/// What `/health/ready` finds.
fn findings(liveness: &Liveness, warnings: Vec<String>) -> Findings {
    let mut stuck: Vec<_> = liveness.stuck().iter().map(Stuck::to_string).collect();
    if liveness.has_trouble() {
        stuck.push("nothing can be stored; the log says why".to_owned());
    }
    Findings { stuck, warnings }
}

/// Looks for ever, and tells the service manager that all is well if it wants to hear it in each `watchdog`.
async fn run(
    liveness: Liveness,
    watchdog: Option<Duration>,
    tell: impl Fn(&str),
    is_stopping: impl Fn() -> bool,
) {
    // Half of the time, as systemd advises.
    let mut look = interval(watchdog.map_or(LOOK_EVERY, |time| (time / 2).min(LOOK_EVERY)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut logged) = (Instant::now(), Vec::new());
    loop {
        look.tick().await;
        liveness.nudge();
        let stood_still = last.elapsed() >= STANDSTILL;
        last = Instant::now();
        let is_judged = !stood_still && !is_stopping();
        let stuck = if is_judged { liveness.stuck() } else { Vec::new() };
        log(&mut logged, &stuck);
        if watchdog.is_some() && !stuck.iter().any(Stuck::is_mended_by_a_restart) {
            tell("WATCHDOG=1");
        }
    }
}

/// One line when something begins to stand still, and one when all turns again.
fn log(logged: &mut Vec<std::mem::Discriminant<Stuck>>, stuck: &[Stuck]) {
    for part in stuck {
        let kind = std::mem::discriminant(part);
        if !logged.contains(&kind) {
            logged.push(kind);
            tracing::error!(found = %part, "not ready: a part of the server stands still");
        }
    }
    if stuck.is_empty() && !logged.is_empty() {
        logged.clear();
        tracing::warn!("ready again: all parts of the server run");
    }
}

#[cfg(test)]
mod tests;
