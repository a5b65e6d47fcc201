//! Secrets by dynamic activation, one after the other: the answers leave in the order in which the secrets were
//! committed, so the secret that is valid in the end is the one that was delivered last (device protocol, section 3).
//! Each is a transaction of its own, beside the batches of `ingest`: listeners hear of it before the device is
//! answered, but not exactly in its place among what `ingest` commits in the same moment.

use std::sync::Arc;

use narrowgate_engine::event::{ShardCommand, Ticket};
use narrowgate_platform::{
    device_api::{self, SecretAnswer, SecretWanted},
    ids::UnixMillis,
    ports::{Clock, Issued, Journal, StoreError, Write, Written},
    rules::{admission::Grant, refusal::Refusal},
    secret::Secret,
};
use tokio::sync::{mpsc, oneshot};

use super::feed::{Feed, FeedEvent};
use super::{AFTER_ACTIVATION, Shards, directory::Directory, ingest::BatchNumbers, requests::Requests};

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

enum Input {
    Wish(Box<Wish>),
    Flush(oneshot::Sender<()>),
}

/// The sending side.
pub(super) struct Issuer(mpsc::UnboundedSender<Input>);

impl Issuer {
    pub(super) fn start(
        journal: Arc<dyn Journal>,
        numbers: Arc<BatchNumbers>,
        clock: Arc<dyn Clock>,
        shards: Arc<Shards>,
        feed: Feed,
        directory: Arc<Directory>,
        requests: Arc<Requests>,
    ) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let task = Task { journal, numbers, clock, shards, feed, directory, requests };
        tokio::spawn(async move {
            while let Some(input) = receiver.recv().await {
                match input {
                    Input::Wish(wish) => task.issue(*wish).await,
                    // Whoever waited may have gone.
                    Input::Flush(done) => drop(done.send(())),
                }
            }
        });
        Self(sender)
    }

    /// Queues a wish; its request is answered when it was granted or refused.
    pub(super) fn wish(&self, wish: Wish) {
        // The task ends only with the process.
        let _ = self.0.send(Input::Wish(Box::new(wish)));
    }

    /// Returns when every wish queued before is answered.
    pub(super) async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        // The task ends only with the process.
        let _ = self.0.send(Input::Flush(done));
        let _ = wait.await;
    }
}

struct Task {
    journal: Arc<dyn Journal>,
    numbers: Arc<BatchNumbers>,
    clock: Arc<dyn Clock>,
    shards: Arc<Shards>,
    feed: Feed,
    directory: Arc<Directory>,
    requests: Arc<Requests>,
}

impl Task {
    async fn issue(&self, wish: Wish) {
        let Wish { ticket, grant, wanted, secret, peer } = wish;
        if !self.directory.is_activating(grant.device, ticket.session) {
            // Its session ended while it waited: a secret that nobody gets would only void one that somebody has.
            return;
        }
        let at = self.clock.now();
        #[cfg(feature = "test-hooks")]
        narrowgate_adapters::failpoint::pass("issuer-before-commit");
        let write =
            Write::IssueSecret { device: grant.device, secret: secret.clone(), at, peer: peer.clone() };
        let issued = self.commit(write).await;
        #[cfg(feature = "test-hooks")]
        narrowgate_adapters::failpoint::pass("issuer-before-answer");
        let mut commands = Vec::new();
        let response = match issued {
            Ok(issued) => {
                let answer = device_api::answer_secret(&grant, &wanted, &issued, &secret);
                if issued == Issued::Done {
                    // Sessions that were given an earlier secret must not hand it out again to a retransmission.
                    for void in self.directory.answered(grant.device, ticket.session) {
                        self.shards.close(void);
                    }
                }
                if answer.done {
                    commands
                        .push(ShardCommand::CloseAfter { session: ticket.session, after: AFTER_ACTIVATION });
                }
                if let Some(refusal) = &answer.refusal {
                    self.requests.count(refusal.reason);
                }
                self.publish(&grant, &answer, peer, at);
                answer.response
            }
            Err(error) => {
                tracing::error!(%error, "a secret could not be issued");
                self.requests.count_unavailable();
                device_api::unavailable()
            }
        };
        commands.insert(0, ShardCommand::Respond { ticket, response });
        self.shards.send(ticket.session.shard, commands);
        #[cfg(feature = "test-hooks")]
        narrowgate_adapters::failpoint::pass("issuer-after-answer");
    }

    async fn commit(&self, write: Write) -> Result<Issued, StoreError> {
        match self.journal.append(self.numbers.batch(vec![write])).await?.outcomes.first() {
            Some(Written::Issue(issued)) => Ok(*issued),
            other => panic!("the store answers a wish for a secret with {other:?}"),
        }
    }

    fn publish(&self, grant: &Grant, answer: &SecretAnswer, peer: String, at: UnixMillis) {
        if !self.feed.has_subscribers() {
            return;
        }
        let refusal = answer.refusal.as_ref();
        let event = if refusal.is_none() { "secret_issued" } else { "refused" };
        self.feed.publish(FeedEvent {
            product_key: Some(grant.product_key.clone()),
            device_key: Some(grant.device_key.clone()),
            peer: Some(peer),
            reason: refusal.and_then(|refusal| refusal.reason),
            code: refusal.and_then(Refusal::code),
            detail: refusal.map(|refusal| refusal.detail.clone().into_owned()),
            ..FeedEvent::new(at, event)
        });
    }
}
