//! Secrets by dynamic activation, one after the other: the answers leave in the order in which the secrets
//! were committed, so the secret that is valid in the end is the one that was delivered last (device
//! protocol, section 3).
//!
//! A wish names the version of the secret that it replaces, as far as the gateway knows it, so that one that
//! meets a reset on its way does not void what the operator was shown.
//!
//! Each secret is drawn when the store is asked, from fresh entropy: the caller gives some after every wish.
//! So what was issued before cannot be found out from the memory of the process.

use std::sync::Arc;

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use narrowgate_api::happening::{self, Happening};
use narrowgate_engine::event::{ShardCommand, Ticket};
use narrowgate_platform::{
    device_api::{self, SecretAnswer, SecretWanted},
    ids::{Position, UnixMillis},
    ports::{Issued, StoreError, Write, Written},
    rules::{admission::Grant, names},
    secret::Secret,
};

use crate::{
    AFTER_ACTIVATION,
    effect::Now,
    outbox::{Line, Pending},
    requests::name_of,
    shared::Shared,
};

/// One request for a secret.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Which request asks.
    pub(crate) ticket: Ticket,
    /// Whose session it is.
    pub(crate) grant: Arc<Grant>,
    /// What the request asked for.
    pub(crate) wanted: SecretWanted,
    /// The peer's address and port.
    pub(crate) peer: String,
    /// When the store was asked.
    pub(crate) at: UnixMillis,
    /// The version of the secret that it replaces.
    pub(crate) replaces: u32,
}

/// See the module.
pub(crate) struct Issuing {
    /// No more than the shards have requests in flight.
    line: Line<Wish>,
    random: ChaCha20Rng,
}

impl std::fmt::Debug for Issuing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuing").field("line", &self.line).finish_non_exhaustive()
    }
}

impl Issuing {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { line: Line::new(1), random: ChaCha20Rng::from_seed(seed) }
    }

    /// Mixes fresh bytes in; what was drawn before cannot be found out from what is kept.
    pub(crate) fn handle_entropy(&mut self, mut fresh: [u8; 32]) {
        let mut kept = [0; 32];
        self.random.fill_bytes(&mut kept);
        fresh.iter_mut().zip(kept).for_each(|(fresh, kept)| *fresh ^= kept);
        self.random = ChaCha20Rng::from_seed(fresh);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    fn new_secret(&mut self) -> Secret {
        names::draw_device_secret(&mut |out| self.random.fill_bytes(out))
    }
}

impl Shared {
    /// Queues a wish; its request is answered once the secret is issued or refused.
    pub(crate) fn wish(
        &mut self,
        now: Now,
        ticket: Ticket,
        grant: Arc<Grant>,
        wanted: SecretWanted,
        peer: String,
    ) {
        self.issuing.line.enter(Wish { ticket, grant, wanted, peer, at: now.wall, replaces: 0 });
        self.issue_next(now);
    }

    fn issue_next(&mut self, now: Now) {
        while let Some(mut wish) = self.issuing.line.poll() {
            let device = wish.grant.device;
            let Some(replaces) = self.residence.directory.may_replace(device, wish.ticket.session) else {
                // Its session ended while it waited: a secret that is never delivered would only void one
                // that was.
                self.issuing.line.leave();
                continue;
            };
            (wish.at, wish.replaces) = (now.wall, replaces);
            let (secret, peer) = (self.issuing.new_secret(), wish.peer.clone());
            let write = Write::IssueSecret { device, secret: secret.clone(), replaces, at: wish.at, peer };
            self.out.write(vec![write], Pending::Issue(Box::new(wish), secret));
            self.out.want_entropy();
        }
    }

    /// The store has decided on a wish.
    pub(crate) fn handle_issued(
        &mut self,
        now: Now,
        wish: Wish,
        secret: &Secret,
        position: Option<Position>,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        self.issuing.line.leave();
        let Wish { ticket, grant, wanted, peer, at, replaces } = wish;
        match outcomes {
            Ok(&[Written::Issue(issued)]) if issued != Issued::Damaged => {
                let answer = device_api::answer_secret(&grant, &wanted, &issued, secret);
                if issued == Issued::Done {
                    // Sessions that were given an earlier secret must not hand it out again to a
                    // retransmission.
                    for void in
                        self.residence.directory.note_issued(grant.device, ticket.session, replaces + 1)
                    {
                        self.out.close(void);
                    }
                }
                if let Some(refusal) = &answer.refusal {
                    self.requests.count(refusal.reason);
                }
                if self.out.has_followers {
                    self.out.tell(position, happening_of(&grant, &answer, peer, at), None);
                }
                self.out.respond(ticket, answer.response);
                if answer.done {
                    let session = ticket.session;
                    let close = ShardCommand::CloseAfter { session, after: AFTER_ACTIVATION };
                    self.out.command(session.shard, close);
                }
            }
            other => {
                // The store says more in the log of its own.
                tracing::error!(outcome = ?other, "a secret could not be issued");
                self.requests.count_unavailable();
                self.out.respond(ticket, device_api::unavailable());
            }
        }
        self.issue_next(now);
    }
}

fn happening_of(grant: &Grant, answer: &SecretAnswer, peer: String, time: UnixMillis) -> Happening {
    let device = name_of(grant);
    let (device, peer) = (Some(device), Some(peer));
    match &answer.refusal {
        None => Happening::SecretIssued(happening::Issue { time, device, peer }),
        Some(refusal) => Happening::Refused(happening::Refused {
            time,
            device,
            identity: None,
            reason: refusal.reason,
            code: refusal.code(),
            peer,
            detail: Some(refusal.detail.clone().into_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_bytes_and_what_was_kept_both_count_for_the_next_secret() {
        let drawn = |seed, fresh| {
            let mut issuing = Issuing::new([seed; 32]);
            issuing.handle_entropy([fresh; 32]);
            issuing.new_secret().expose().to_owned()
        };
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert_ne!(drawn(1, 2), drawn(1, 3));
        assert_ne!(drawn(1, 2), drawn(4, 2));
    }
}
