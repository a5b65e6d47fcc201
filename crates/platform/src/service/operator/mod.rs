//! The operator's verbs, by subject. Each finds what is named, has it done by the [`Registrar`], ends the
//! sessions that it concerns, and says what went wrong as one [`Problem`].
//!
//! The command line and HTTP give the same requests and get the same answers. What belongs to another
//! organisation unit than the caller's does not exist for it ([`Operator::of`]).

mod access;
mod audit;
mod bulk;
mod commands;
mod devices;
mod events;
mod firmware;
mod fleet;
mod history;
mod imports;
mod meant;
mod models;
mod over;
mod problem;
mod products;
mod properties;
mod replay;
mod scripts;
mod user_sessions;
mod users;
mod vouched;

use std::{fmt, sync::Arc};

use narrowgate_api::{device::NamedDevice, problem::Problem};

use self::meant::Named;
pub use self::{
    audit::UNWRITTEN,
    bulk::{Acted, BulkAct, Member},
    events::EventFilter,
    firmware::UpgradesAdvanced,
    replay::{ANSWER_BYTES_MAX, sum_of},
};
use super::{error::ServiceError, find::Found, rates::CountingNow, registrar::Registrar};
#[cfg(doc)]
use crate::firmware::IMAGE_BYTES_MAX;
use crate::{
    device_api::MessageLimit,
    firmware::ServerName,
    ids::{DeviceId, DeviceName, UnixMillis},
    model::{device::Device, retention::RetentionClass},
    ports::{Clock, Entropy, LiveSessions, Scripts, Stores},
};

/// The verbs. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    registrar: Registrar,
    sessions: Arc<dyn LiveSessions>,
}

impl Operator {
    /// Verbs over these ports.
    pub fn new(
        stores: impl Into<Stores>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        sessions: Arc<dyn LiveSessions>,
    ) -> Self {
        Self { registrar: Registrar::new(stores, clock, entropy), sessions }
    }

    /// Products may name these classes of retention, and no others. Without it they have the standard one.
    #[must_use]
    pub fn with_retention_classes(mut self, classes: Vec<RetentionClass>) -> Self {
        self.registrar.retention_classes = classes.into();
        self
    }

    /// Scripts are checked, tried, and run for commands by these. Without it every one is refused.
    #[must_use]
    pub fn with_scripts(mut self, scripts: Arc<dyn Scripts>) -> Self {
        self.registrar.scripts = scripts;
        self
    }

    /// Tokens end by this clock, too, by whichever is ahead. Without it, by the clock of all else.
    #[must_use]
    pub fn with_wall_clock(mut self, wall: Arc<dyn Clock>) -> Self {
        self.registrar.wall = wall;
        self
    }

    /// Images of firmware have so many bytes at most. Without it, [`IMAGE_BYTES_MAX`].
    #[must_use]
    pub fn with_image_bytes_max(mut self, bytes: u64) -> Self {
        self.registrar.image_bytes_max = bytes;
        self
    }

    /// Bytes of a device that a script is tried on are as long as its messages may be. Without it,
    /// [`MessageLimit::default`].
    #[must_use]
    pub fn with_message_limit(mut self, limit: MessageLimit) -> Self {
        self.registrar.message_limit = limit;
        self
    }

    /// Offers of firmware name this server as the host of images. Without it, `localhost`.
    #[must_use]
    pub fn with_server_name(mut self, server: ServerName) -> Self {
        self.registrar.server = server;
        self
    }

    /// What the process knows of minutes that it counts. Without it, only what is stored is known.
    #[must_use]
    pub fn with_counting(mut self, counting: Arc<CountingNow>) -> Self {
        self.registrar.counting = Some(counting);
        self
    }

    /// What time it is, by the clock of all that is stored.
    pub fn now(&self) -> UnixMillis {
        self.registrar.clock.now()
    }

    /// The keys of a device; `None` where it is gone.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn device_name(&self, device: DeviceId) -> Result<Option<DeviceName>, Problem> {
        self.tell("cannot find the device", None, self.registrar.device_name(device).await).await
    }

    /// The intact device that a name means, as the store keeps it.
    ///
    /// # Errors
    /// There is none, several may be meant, or it is damaged.
    pub async fn resolve(&self, name: &NamedDevice) -> Result<Device, Problem> {
        self.tell("cannot find the device", Named::device(name), self.resolved(name).await).await
    }

    async fn resolved(&self, name: &NamedDevice) -> Result<Device, ServiceError> {
        let (first, second) = name.parts();
        self.registrar.resolve(first, second).await
    }

    async fn found(&self, name: &NamedDevice) -> Result<Found, ServiceError> {
        let (first, second) = name.parts();
        self.registrar.find(first, second).await
    }

    /// The outcome of a verb. A failure has the headline of what was tried, and what was probably meant by a
    /// name that does not exist.
    async fn tell<T>(
        &self,
        title: &'static str,
        named: Option<Named>,
        outcome: Result<T, ServiceError>,
    ) -> Result<T, Problem> {
        let error = match outcome {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let meant = match named {
            Some(named) => named.meant(&self.registrar, &error).await,
            None => None,
        };
        let problem = match self.caller().unit() {
            Some(_) => problem::for_unit(title, &error),
            None => problem::of(title, &error),
        };
        Err(Problem { hint: meant.or(problem.hint), ..problem })
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator")
    }
}

#[cfg(test)]
mod tests;
