//! Secrets by dynamic activation, one after the other: the answers leave in the order in which the secrets
//! were committed, so the secret that is valid in the end is the one that was delivered last (device
//! protocol, section 3).
//!
//! Whoever has a product's secret may ask as fast as sessions are made. So products take turns, and a wish is
//! looked up first: one that is refused costs no write of its own. Its entry goes the way of all refusals,
//! with the next batch and within their limits. Limits: [`OF_ONE_MAX`] wishes of a product wait; more are
//! answered 5.03.
//!
//! A wish names the version of the secret that it replaces, as far as the gateway knows it, so that one that
//! meets a reset on its way does not void what the operator was shown; and the mark of the product's secret
//! that its session proved, so that one that meets a rotation on its way is issued nothing.
//!
//! Each secret is drawn when the store is asked, from fresh entropy: the caller gives some after every wish.
//! So what was issued before cannot be found out from the memory of the process.
//!
//! [`OF_ONE_MAX`]: crate::turns::OF_ONE_MAX

use std::collections::BTreeMap;

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};
use narrowgate_api::happening::{self, Happening};
use narrowgate_engine::event::{SessionId, ShardCommand, Ticket};
use narrowgate_platform::{
    device_api::{self, SecretAnswer, SecretWanted},
    ids::{Position, UnixMillis},
    model::credential::CredentialLookup,
    ports::{Issued, StoreError, Write, Written},
    rules::{
        admission::Grant,
        issuing::{NotIssued, clock_hour, permit_wish},
        names,
        rate::Seldom,
    },
    secret::Secret,
};

use crate::{
    AFTER_ACTIVATION, ERRORS_EVERY,
    effect::Now,
    outbox::Pending,
    requests::{Asker, name_of},
    shared::Shared,
    turns::Turns,
};

/// One request for a secret.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Which request asks.
    pub(crate) ticket: Ticket,
    /// Whose session it is.
    pub(crate) asker: Asker,
    /// What the request asked for.
    pub(crate) wanted: SecretWanted,
    /// When the store was asked.
    pub(crate) at: UnixMillis,
    /// The version of the secret that it replaces.
    pub(crate) replaces: u32,
}

/// See the module.
pub(crate) struct Issuing {
    /// By product.
    turns: Turns<Wish>,
    /// Products whose secrets of a clock hour are used up: they are refused without a question to the store.
    used_up: BTreeMap<String, i64>,
    /// Wishes that were answered 5.03 because too many of their product wait.
    pub(crate) deferred: u64,
    errors: Seldom,
    random: ChaCha20Rng,
}

impl std::fmt::Debug for Issuing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuing").field("turns", &self.turns).finish_non_exhaustive()
    }
}

impl Issuing {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            turns: Turns::new(),
            used_up: BTreeMap::new(),
            deferred: 0,
            errors: Seldom::new(ERRORS_EVERY),
            random: ChaCha20Rng::from_seed(seed),
        }
    }

    /// Mixes fresh bytes in; what was drawn before cannot be found out from what is kept.
    pub(crate) fn handle_entropy(&mut self, mut fresh: [u8; 32]) {
        let mut kept = [0; 32];
        self.random.fill_bytes(&mut kept);
        fresh.iter_mut().zip(kept).for_each(|(fresh, kept)| *fresh ^= kept);
        self.random = ChaCha20Rng::from_seed(fresh);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// A product was changed: it may issue more from now on.
    pub(crate) fn forget_used_up(&mut self, product_key: &str) {
        self.used_up.remove(product_key);
    }

    /// Whether the product's secrets of this clock hour are used up, as far as the store said so.
    fn is_used_up(&self, product_key: &str, now: UnixMillis) -> bool {
        self.used_up.get(product_key) == Some(&clock_hour(now))
    }

    fn new_secret(&mut self) -> Secret {
        names::draw_device_secret(&mut |out| self.random.fill_bytes(out))
    }
}

impl Shared {
    /// Queues a wish; its request is answered once the secret is issued or refused.
    pub(crate) fn wish(&mut self, now: Now, ticket: Ticket, asker: Asker, wanted: SecretWanted) {
        if self.residence.directory.was_issued(asker.grant.device, ticket.session) {
            return self.refuse_second(ticket);
        }
        let product_key = asker.grant.product_key().to_owned();
        let wish = Wish { ticket, asker, wanted, at: now.wall, replaces: 0 };
        if self.issuing.turns.enter(&product_key, wish).is_err() {
            self.issuing.deferred += 1;
            return self.out.respond(ticket, device_api::unavailable());
        }
        self.look_up_next_wish();
    }

    /// A session is issued one secret. What asks again may be a late copy of a request that was answered 5.03
    /// before: it would void the secret that the device has. Whoever lost the answer asks in a new session.
    fn refuse_second(&mut self, ticket: Ticket) {
        self.requests.count_unavailable();
        self.out.respond(ticket, device_api::unavailable());
    }

    fn look_up_next_wish(&mut self) {
        while let Some(wish) = self.issuing.turns.poll() {
            if self.may_replace(&wish).is_some() {
                let name = name_of(&wish.asker.grant);
                self.out.look_up_wish(name, Pending::Wish(Box::new(wish)));
            } else {
                // Its session ended while it waited: a secret that is never delivered would only void one
                // that was.
                self.issuing.turns.leave();
            }
        }
    }

    fn may_replace(&self, wish: &Wish) -> Option<u32> {
        self.residence.directory.may_replace(wish.asker.grant.device, wish.ticket.session)
    }

    /// One wish is answered, and the next one begins.
    fn end_wish(&mut self) {
        self.issuing.turns.leave();
        self.look_up_next_wish();
    }

    /// The store has answered whether a wish may be granted; it decides once more when it issues the secret.
    pub(crate) fn handle_wish(
        &mut self,
        now: Now,
        mut wish: Wish,
        answer: Result<CredentialLookup, StoreError>,
    ) {
        let grant = &wish.asker.grant;
        let permitted = match answer {
            Ok(CredentialLookup::Found(found)) if found.device == grant.device => {
                let used_up = self.issuing.is_used_up(grant.product_key(), now.wall);
                permit_wish(&found, grant.product_secret_mark, used_up, now.wall)
            }
            Ok(_) => Err(NotIssued::DeviceUnavailable),
            Err(error) => {
                self.fail_wish(now, wish.ticket, &error);
                return self.end_wish();
            }
        };
        let Some(replaces) = self.may_replace(&wish) else { return self.end_wish() };
        if self.residence.directory.was_issued(wish.asker.grant.device, wish.ticket.session) {
            self.refuse_second(wish.ticket);
            return self.end_wish();
        }
        if let Err(why) = permitted {
            self.refuse_wish(now, &wish, why);
            return self.end_wish();
        }
        (wish.at, wish.replaces) = (now.wall, replaces);
        let (device, peer) = (wish.asker.grant.device, wish.asker.peer().to_string());
        let secret = self.issuing.new_secret();
        let write = Write::IssueSecret {
            device,
            secret: secret.clone(),
            replaces,
            product_secret_mark: wish.asker.grant.product_secret_mark,
            at: wish.at,
            peer,
        };
        self.out.write(vec![write], Pending::Issue(Box::new(wish), secret));
        self.out.want_entropy();
    }

    /// Answers a wish that the look-up refused; the entry follows with the next batch.
    fn refuse_wish(&mut self, now: Now, wish: &Wish, why: NotIssued) {
        let Wish { ticket, asker, wanted, .. } = wish;
        let none = Secret::new(String::new());
        let answer = device_api::answer_secret(&asker.grant, wanted, &Issued::Refused(why), &none);
        self.out.respond(*ticket, asker.with_its_code(answer.response));
        if answer.done {
            self.close_soon(ticket.session);
        }
        self.refuse(now, asker, why.refusal());
    }

    fn fail_wish(&mut self, now: Now, ticket: Ticket, error: &dyn std::fmt::Display) {
        if let Some(left_out) = self.issuing.errors.permit(now.instant) {
            tracing::error!(%error, left_out, "a secret could not be issued");
        }
        self.requests.count_unavailable();
        self.out.respond(ticket, device_api::unavailable());
    }

    fn close_soon(&mut self, session: SessionId) {
        self.out.command(session.shard, ShardCommand::CloseAfter { session, after: AFTER_ACTIVATION });
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
        let Wish { ticket, asker, wanted, at, replaces } = wish;
        let (grant, peer) = (&asker.grant, asker.peer());
        match outcomes {
            Ok(&[Written::Issue(issued)]) if issued != Issued::Damaged => {
                let answer = device_api::answer_secret(grant, &wanted, &issued, secret);
                match issued {
                    Issued::Done => {
                        // Sessions that were given an earlier secret must not hand it out again to a
                        // retransmission, and older ones must not void this one for a late copy.
                        let directory = &mut self.residence.directory;
                        for void in directory.note_issued(grant.device, ticket.session, replaces + 1) {
                            self.out.close(void);
                        }
                    }
                    Issued::Refused(NotIssued::QuotaExceeded) => {
                        self.issuing.used_up.insert(grant.product_key().to_owned(), clock_hour(at));
                    }
                    Issued::Refused(_) | Issued::Damaged => {}
                }
                if let Some(refusal) = &answer.refusal {
                    self.requests.count(refusal.reason);
                }
                if self.out.has_followers {
                    self.out.tell(position, happening_of(grant, &answer, peer.to_string(), at), None);
                }
                self.out.respond(ticket, asker.with_its_code(answer.response));
                if answer.done {
                    self.close_soon(ticket.session);
                }
            }
            // The store says more in the log of its own.
            Err(error) => self.fail_wish(now, ticket, error),
            Ok(other) => self.fail_wish(now, ticket, &format_args!("the store's answer is {other:?}")),
        }
        self.end_wish();
    }
}

fn happening_of(grant: &Grant, answer: &SecretAnswer, peer: String, time: UnixMillis) -> Happening {
    let (device, peer) = (Some(name_of(grant)), Some(peer));
    match &answer.refusal {
        None => Happening::SecretIssued(happening::Issue { time, device, peer }),
        Some(refusal) => Happening::Refused(happening::Refused {
            time,
            device,
            is_claimed: false,
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
