//! The session of a device, as operators see it.

use narrowgate_api::device::SessionView;
use narrowgate_dtls::CipherSuite;
use narrowgate_platform::ids::{DeviceId, UnixMillis};

use crate::{effect::Now, gateway::Gateway};

impl Gateway {
    /// The session of a device's newest login; `None`: it has none by its own secret.
    pub fn session_of(&self, now: Now, device: DeviceId) -> Option<SessionView> {
        let (session, verified) = self.shared.residence.directory.newest_of(device)?;
        let known = self.desks.get(usize::from(session.shard))?.known(session)?;
        let stood_ms = now.instant.saturating_duration_since(verified).as_millis();
        let stood_ms = i64::try_from(stood_ms).unwrap_or(i64::MAX);
        Some(SessionView {
            peer: known.asker.peer().to_string(),
            suite: known.suite.map(CipherSuite::name).map(str::to_owned),
            cid: None,
            since: UnixMillis(now.wall.0.saturating_sub(stood_ms)),
        })
    }
}
