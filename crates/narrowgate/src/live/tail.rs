//! Reads what is new, once for all who follow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use narrowgate_platform::{model::happened::StreamPlace, ports::StoreError, rules::rate::Seldom};
use tokio::time::sleep;

use super::{AGAIN_AFTER, Hub, PAGE, TICK, ring::Ring};

/// While the store cannot be read, a line of the log comes this often.
const ERRORS_EVERY: Duration = Duration::from_secs(10);

/// Keeps the ring as long as somebody follows.
pub(super) async fn run(hub: Arc<Hub>) {
    let (mut followers, mut errors) = (hub.followers.subscribe(), Seldom::new(ERRORS_EVERY));
    while followers.wait_for(|followers| *followers > 0).await.is_ok() {
        let read = match hub.reading.page(None, 1).await {
            Ok(page) => follow(&hub, page.piece.upto).await,
            Err(error) => Err(error),
        };
        hub.set_ring(None);
        sleep(TICK).await;
        if let Err(error) = read {
            if let Some(left_out) = errors.permit(Instant::now()) {
                tracing::warn!(%error, left_out, "what happens cannot be read for those who follow it");
            }
            sleep(AGAIN_AFTER).await;
        }
    }
}

/// Reads from a place on, until nobody follows.
async fn follow(hub: &Hub, mut at: StreamPlace) -> Result<(), StoreError> {
    hub.set_ring(Some(Ring::new(at)));
    while *hub.followers.borrow() > 0 {
        let page = hub.reading.page(Some(at), PAGE).await?;
        if page.lost.is_some() {
            // Each follower is told by what it reads itself.
            return Ok(());
        }
        at = page.piece.upto;
        let is_up_to_date = at >= page.head;
        hub.push(page.piece);
        if is_up_to_date {
            sleep(TICK).await;
        }
    }
    Ok(())
}
