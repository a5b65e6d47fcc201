//! How sessions begin, and logins by plain CoAP: with which secret, and for how long.

use std::{
    collections::HashSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use narrowgate_coap::Request;
use narrowgate_engine::event::{HandshakeId, SessionId};
use narrowgate_platform::{
    ids::{DeviceId, DeviceName, LoginNumber},
    rules::{
        identity::{Identity, SecureMode},
        sign,
    },
    secret::Secret,
};
use serde_json::Value;

use super::{Checked, Claim, Ledger, Standing, broken, tag_of};

/// A login ends with its lifetime, at most so much later.
const ENDED_WITHIN: Duration = Duration::from_secs(2);

/// What belongs to the secret that is valid.
#[derive(Debug, Default)]
pub(super) struct Valid {
    secret: Option<String>,
    /// The logins that became durable since then.
    logins: HashSet<LoginNumber>,
}

impl Valid {
    /// From now on another secret is valid; `None`: it is not known yet.
    pub(super) fn renew(&mut self, secret: Option<&str>) {
        self.secret = secret.map(str::to_owned);
        self.logins.clear();
    }

    /// Whether this login is durable, and was so before nothing else.
    pub(super) fn has(&self, login: LoginNumber) -> bool {
        self.logins.contains(&login)
    }
}

/// What a login claims.
pub(super) fn claimed(request: &Request) -> Option<Claim> {
    let number = request.path.segments().nth(2)?.strip_prefix("device-")?.parse().ok()?;
    let body = serde_json::from_slice::<Value>(&request.payload).ok()?;
    Some((number, true, body.get("sign").and_then(Value::as_str).map(tag_of)))
}

impl Standing {
    /// It is heard; returns after how long a silence, of one by plain CoAP.
    pub(super) fn is_heard(&mut self, now: Instant) -> Option<Duration> {
        let before = std::mem::replace(&mut self.heard, now);
        self.is_plain.then(|| now.saturating_duration_since(before))
    }
}

impl Ledger {
    /// A session has begun.
    pub(super) fn begun(
        &mut self,
        handshake: HandshakeId,
        session: SessionId,
        peer: SocketAddr,
        (begun, is_plain): (Instant, bool),
    ) {
        self.totals.sessions += 1;
        if let Some((number, is_login, sign)) = self.handshakes.remove(&handshake) {
            let (login, superseded, heard) = (None, None, begun);
            let standing =
                Standing { number, begun, peer, is_login, is_plain, sign, heard, login, superseded };
            self.sessions.insert(session, standing);
            self.of_device.entry(number).or_default().push(session);
            if is_login {
                self.heard(number, begun);
            }
        }
    }

    /// A report is stored by plain CoAP: whether it may be stored already, for a crash has taken what the
    /// server knew of it, or its device was elsewhere when it said it first. Where there is little room for
    /// stored answers, also in a later login: what the one before knew may have been forgotten.
    pub(super) fn may_be_stored_again(
        &mut self,
        report: (u32, u64),
        from: SocketAddr,
        login: Option<LoginNumber>,
    ) -> bool {
        let now = (self.crashes, from, login.filter(|_| self.has_little_room));
        self.plainly_stored.insert(report, now).is_some_and(|before| before != now)
    }

    /// A login by plain CoAP was heard again after so long a silence.
    pub(super) fn is_within(&self, number: u32, silence: Duration) -> Checked {
        let known = self.ids.get(&number).and_then(|id| self.devices.get(id));
        let lifetime = known.map_or(Duration::MAX, |known| known.lifetime);
        if silence <= lifetime.saturating_add(ENDED_WITHIN) {
            return Ok(());
        }
        let what =
            format!("its login has lasted through {silence:?} of silence, and its lifetime is {lifetime:?}");
        broken(number, what)
    }

    /// A login is durable; one by plain CoAP must have proved the secret that is valid.
    pub(super) fn plainly_logged_in(&mut self, device: DeviceId, login: LoginNumber) -> Checked {
        let Some(known) = self.devices.get_mut(&device) else { return Ok(()) };
        known.plain.logins.insert(login);
        let number = known.number;
        let sessions = self.of_device.get(&number).into_iter().flatten();
        let mut standing = sessions.filter_map(|session| self.sessions.get(session));
        let Some(standing) = standing.find(|standing| standing.login == Some(login)) else { return Ok(()) };
        let (Some(given), Some(secret)) = (standing.sign, &known.plain.secret) else { return Ok(()) };
        let right = |product_key: &str| {
            let device_key = format!("device-{number}");
            let name = DeviceName { product_key: product_key.to_owned(), device_key };
            let lifetime_s = known.lifetime.as_secs() as u32;
            let identity = Identity { name, mode: SecureMode::DeviceSecret, lifetime_s };
            tag_of(&sign::sign(&identity, &Secret::new(secret.clone())))
        };
        if crate::campaign::PRODUCTS.into_iter().any(|product_key| right(product_key) == given) {
            return Ok(());
        }
        broken(number, "a login is durable, and its sign is not made with the secret that is valid")
    }
}
