//! Secrets by dynamic activation, one after the other: the answers leave in the order in which the secrets were
//! committed, so the secret that is valid in the end is the one that was delivered last (device protocol, section 3).

use std::sync::Arc;

use narrowgate_coap::{Code, Response};
use narrowgate_engine::event::{ShardCommand, Ticket};
use narrowgate_platform::{
    device_api::{self, SecretAnswer, SecretWanted},
    ports::{Clock, Store},
    rules::admission::Grant,
    secret::Secret,
};
use tokio::sync::mpsc;

use super::{AFTER_ACTIVATION, Shards, UNAVAILABLE_MAX_AGE_S};
use crate::feed::{Feed, FeedEvent};

/// One wish for a secret.
pub(super) struct Wish {
    /// Which request asks.
    pub(super) ticket: Ticket,
    /// Whose session it is.
    pub(super) grant: Arc<Grant>,
    /// What the request asked for.
    pub(super) wanted: SecretWanted,
    /// The secret to be issued.
    pub(super) secret: Secret,
    /// The peer's address and port.
    pub(super) peer: String,
}

/// The sending side.
pub(super) struct Issuer(mpsc::UnboundedSender<Wish>);

impl Issuer {
    pub(super) fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        shards: Arc<Shards>,
        feed: Feed,
    ) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(wish) = receiver.recv().await {
                issue(wish, &*store, &*clock, &shards, &feed).await;
            }
        });
        Self(sender)
    }

    /// Queues a wish; its request is answered when it was granted or refused.
    pub(super) fn wish(&self, wish: Wish) {
        // The task ends only with the process.
        let _ = self.0.send(wish);
    }
}

async fn issue(wish: Wish, store: &dyn Store, clock: &dyn Clock, shards: &Shards, feed: &Feed) {
    let Wish { ticket, grant, wanted, secret, peer } = wish;
    let at = clock.now();
    let issued = store.issue_secret(grant.device, secret.clone(), at, peer.clone()).await;
    let mut commands = Vec::new();
    let response = match issued {
        Ok(issued) => {
            let SecretAnswer { response, refusal, done } =
                device_api::issued(&grant, &wanted, &issued, &secret);
            if done {
                commands.push(ShardCommand::CloseAfter { session: ticket.session, after: AFTER_ACTIVATION });
            }
            if feed.has_subscribers() {
                let event = if refusal.is_none() { "secret_issued" } else { "refused" };
                feed.publish(FeedEvent {
                    product_key: Some(grant.product_key.clone()),
                    device_key: Some(grant.device_key.clone()),
                    peer: Some(peer),
                    reason: refusal.as_ref().map(|refusal| refusal.reason),
                    code: refusal.as_ref().and_then(|refusal| refusal.code),
                    detail: refusal.map(|refusal| refusal.detail),
                    ..FeedEvent::new(at, event)
                });
            }
            response
        }
        Err(error) => {
            tracing::error!(%error, "a secret could not be issued");
            Response::new(Code::SERVICE_UNAVAILABLE).max_age(UNAVAILABLE_MAX_AGE_S)
        }
    };
    commands.insert(0, ShardCommand::Respond { ticket, response });
    shards.send(ticket.session.shard, commands);
}
