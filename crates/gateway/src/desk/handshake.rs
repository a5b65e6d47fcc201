//! Handshakes: which key they get, and what is written down about those that are refused.

use std::net::SocketAddr;

use narrowgate_dtls::{FailedFinished, Psk, PskAnswer};
use narrowgate_engine::event::{HandshakeId, ShardCommand};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName},
    model::credential::CredentialLookup,
    ports::StoreError,
    rules::{
        admission::{Decision, Grant, decide},
        identity::{Identity, IdentityFault},
        psk::psk,
        rate::Taken,
        refusal::Refusal,
    },
};

use super::{Desk, plain::WrongSign};
use crate::{
    diagnosis::Proof,
    effect::Now,
    limits::Door,
    lookups::Waiter,
    outbox::Pending,
    pace,
    refusals::{Refused, shown_identity},
    shared::Shared,
};

/// A handshake that asked for its key, until it ends.
#[derive(Debug)]
pub(crate) enum Asked {
    /// The store has not answered.
    Waiting,
    /// It runs with its key: what it will be when its Finished verifies.
    Admitted(Box<(Identity, Grant)>),
    /// It runs with a decoy, for this reason; `None`: that is written down, or the store could not answer.
    Refused(Option<Box<(Refused, SocketAddr)>>),
    /// A login by plain CoAP that is refused for its sign; that is not written down yet.
    WrongSign(Box<WrongSign>),
}

/// A look-up for a handshake.
#[derive(Debug)]
pub(crate) struct LookupAsked {
    pub(crate) handshake: HandshakeId,
    peer: SocketAddr,
    /// The identity as it is shown to people.
    shown: String,
    identity: Result<Identity, IdentityFault>,
}

impl Desk {
    pub(super) fn want_psk(
        &mut self,
        shared: &mut Shared,
        now: Now,
        handshake: HandshakeId,
        peer: SocketAddr,
        bytes: &[u8],
    ) {
        let shown = shown_identity(bytes);
        let identity = Identity::parse(bytes);
        if let Taken::No { wait, is_first } = shared.pace.permit(now.instant, peer.ip(), &identity, bytes) {
            shared.out.command(self.shard, ShardCommand::DropHandshake { handshake });
            if is_first {
                let refusal = pace::refusal(peer.ip(), wait);
                let name = identity.map_or_else(|fault| fault.name, |identity| Some(identity.name));
                let refused =
                    Refused { door: Door::Dtls, device: None, name, identity: Some(shown), refusal };
                shared.refusals.record_claimed(&mut shared.out, now, refused, peer);
            }
            return;
        }
        // Every identity causes a look-up, also one that cannot be served: all take the same path.
        let name = match &identity {
            Ok(identity) => identity.name.clone(),
            Err(fault) => fault
                .name
                .clone()
                .unwrap_or(DeviceName { product_key: String::new(), device_key: String::new() }),
        };
        self.handshakes.insert(handshake, Asked::Waiting);
        let asked = LookupAsked { handshake, peer, shown, identity };
        shared.out.look_up(Waiter::Handshake(handshake), name, Pending::Handshake(Box::new(asked)));
    }

    /// The store has answered.
    pub(crate) fn decide_handshake(
        &mut self,
        shared: &mut Shared,
        now: Now,
        asked: LookupAsked,
        answer: Result<CredentialLookup, StoreError>,
    ) {
        let handshake = asked.handshake;
        let Some(state) = self.handshakes.get_mut(&handshake) else {
            // The handshake ended before the store answered.
            return;
        };
        *state = Asked::Refused(None);
        let answer = match answer {
            Ok(lookup) => match decide(&asked.identity, Some(&lookup)) {
                Decision::Admit { secret, grant } => {
                    if let Ok(identity) = asked.identity {
                        *state = Asked::Admitted(Box::new((identity, grant)));
                    }
                    PskAnswer::key(Psk::new(&*psk(&secret)).expect("16 bytes are within 1 to 64"))
                }
                Decision::Refuse { refusal, device } => {
                    refuse(state, shared, now, asked, (refusal, device));
                    PskAnswer::decoy()
                }
            },
            Err(error) => {
                // The peer sees silence and tries again.
                if let Some(left_out) = shared.lookup_errors.permit(now.instant) {
                    tracing::error!(%error, left_out, "the store cannot look up credentials");
                }
                PskAnswer::decoy()
            }
        };
        shared.out.command(self.shard, ShardCommand::ProvidePsk { handshake, answer });
    }

    pub(super) fn handle_wrong_key(
        &mut self,
        shared: &mut Shared,
        now: Now,
        handshake: HandshakeId,
        peer: SocketAddr,
        failed: Box<FailedFinished>,
    ) {
        match self.handshakes.get_mut(&handshake) {
            Some(Asked::Admitted(admitted)) => {
                let claimed = (admitted.0.clone(), admitted.1.device);
                let proof = Proof::Finished(failed);
                shared.refusals.diagnose(&mut shared.out, now, claimed, peer, proof);
            }
            // It ran with a decoy: this is the true cause.
            Some(Asked::Refused(held)) => record_held(shared, now, held.take()),
            Some(Asked::Waiting | Asked::WrongSign(_)) | None => {}
        }
    }

    pub(super) fn end_handshake(&mut self, shared: &mut Shared, now: Now, handshake: HandshakeId) {
        match self.handshakes.remove(&handshake) {
            Some(Asked::Waiting) => shared.out.drop_look_up(Waiter::Handshake(handshake)),
            Some(Asked::Refused(held)) => record_held(shared, now, held),
            Some(Asked::WrongSign(wrong)) => look_into(shared, now, *wrong),
            Some(Asked::Admitted(_)) | None => {}
        }
    }

    /// Writes down why the handshakes under way are refused: nothing more will be heard of them.
    pub(crate) fn record_all_held(&mut self, shared: &mut Shared, now: Now) {
        for asked in self.handshakes.values_mut() {
            match asked {
                Asked::Refused(held) => record_held(shared, now, held.take()),
                Asked::WrongSign(_) => {
                    if let Asked::WrongSign(wrong) = std::mem::replace(asked, Asked::Refused(None)) {
                        look_into(shared, now, *wrong);
                    }
                }
                Asked::Waiting | Asked::Admitted(_) => {}
            }
        }
    }
}

fn refuse(
    state: &mut Asked,
    shared: &mut Shared,
    now: Now,
    asked: LookupAsked,
    (refusal, device): (Refusal, Option<DeviceId>),
) {
    let LookupAsked { peer, shown, identity, .. } = asked;
    let (name, is_well_formed) = match identity {
        Ok(identity) => (Some(identity.name), true),
        Err(fault) => (fault.name, false),
    };
    let refused = Refused { door: Door::Dtls, device, name, identity: Some(shown), refusal };
    if is_well_formed {
        // Not yet: the peer could measure a write or a look-up of names while the handshake runs, and a
        // registered name causes none before the Finished.
        *state = Asked::Refused(Some(Box::new((refused, peer))));
    } else {
        // That follows from its text, whoever is registered.
        shared.refusals.record(&mut shared.out, now, refused, peer);
    }
}

/// Has a wrong sign looked into, and then written down.
fn look_into(shared: &mut Shared, now: Now, WrongSign { claimed, peer, sign }: WrongSign) {
    shared.refusals.diagnose(&mut shared.out, now, claimed, peer, Proof::Sign(sign));
}

/// Writes down why an identity was refused: at the first Finished of the handshake, as with a wrong key, or
/// at its end.
fn record_held(shared: &mut Shared, now: Now, held: Option<Box<(Refused, SocketAddr)>>) {
    if let Some(held) = held {
        let (refused, peer) = *held;
        shared.refusals.record_identity(&mut shared.out, now, refused, peer);
    }
}
