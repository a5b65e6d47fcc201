//! The time of rollouts: every few seconds, what is due of upgrades is done.

use std::time::Duration;

use narrowgate_platform::service::Operator;
use tokio::{
    task::AbortHandle,
    time::{MissedTickBehavior, interval},
};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Steps of one look: after them devices get their turn, however many upgrades are due.
const STEPS_MAX: usize = 5;

/// Begins; until the task is aborted.
pub(super) fn begin(operator: Operator) -> AbortHandle {
    tokio::spawn(run(operator)).abort_handle()
}

async fn run(operator: Operator) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut has_failed = false;
    loop {
        look.tick().await;
        match advance(&operator).await {
            Ok(()) => has_failed = false,
            // One line, however long the store cannot work.
            Err(error) if !has_failed => {
                has_failed = true;
                tracing::warn!(%error, "firmware is not offered now");
            }
            Err(_) => {}
        }
    }
}

async fn advance(operator: &Operator) -> Result<(), narrowgate_api::problem::Problem> {
    for _ in 0..STEPS_MAX {
        let advanced = operator.advance_upgrades().await?;
        for image in advanced.paused {
            tracing::warn!(%image, "a rollout has paused: too many upgrades failed");
        }
        if !advanced.more {
            break;
        }
    }
    Ok(())
}
