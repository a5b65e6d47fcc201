//! The fleet in numbers, with what the process knows of itself.

use narrowgate_api::{
    fleet::{FleetView, Host, Status},
    problem::Problem,
    rates::{RatesView, RatesWanted},
};

use super::Operator;
use crate::{
    ports::{HOLD_TIME_MAX, Pause, StoreError},
    service::error::ServiceError,
};

impl Operator {
    /// Holds the store's writer between two batches, until the answer is dropped, for
    /// [`HOLD_TIME_MAX`] at most: for the last part of a backup.
    ///
    /// # Errors
    /// The store has no files, or is broken.
    pub async fn hold_writes(&self) -> Result<Pause, Problem> {
        let held = self.registrar.journal.hold(HOLD_TIME_MAX).await.map_err(ServiceError::from);
        self.tell("cannot hold the store for a backup", None, held).await
    }

    /// The part of [`Self::show_status`] that is in the store; it reads every device.
    ///
    /// # Errors
    /// The store cannot be read, or is damaged.
    pub async fn count_fleet(&self) -> Result<FleetView, Problem> {
        self.tell("cannot count the devices", None, self.registrar.overview().await).await
    }

    /// Devices by state and product, recent refusals and reports. A store that cannot work now, as on a full
    /// disk, affects only what it would have counted.
    ///
    /// # Errors
    /// The store is damaged.
    pub async fn show_status(&self, host: Host) -> Result<Status, Problem> {
        let status = put_together(self.registrar.overview().await, host);
        self.tell("cannot count the devices", None, status).await
    }

    /// How many reports came, and what was refused, over the last day; of a caller of one unit, in that.
    ///
    /// # Errors
    /// A unit is named that there is none of; the store cannot be read.
    pub async fn show_rates(&self, wanted: RatesWanted) -> Result<RatesView, Problem> {
        let rates = self.registrar.rates(wanted).await;
        self.tell("cannot show the rates", None, rates).await
    }
}

fn put_together(counted: Result<FleetView, ServiceError>, host: Host) -> Result<Status, ServiceError> {
    let (fleet, unreadable) = match counted {
        Ok(fleet) => (Some(fleet), None),
        Err(ServiceError::Store(StoreError::Unavailable(reason))) => (None, Some(reason)),
        Err(error) => return Err(error),
    };
    let Host { version, since, refused_by_store, disk } = host;
    Ok(Status { version, since, counted_at: None, fleet, unreadable, refused_by_store, disk })
}

#[cfg(test)]
mod tests {
    use narrowgate_api::{fleet::Disk, names::UnixMillis};

    use super::*;

    #[test]
    fn a_store_that_cannot_work_now_leaves_the_rest_of_the_answer() {
        let host = || {
            let disk = Disk {
                registry_bytes: 1,
                logs_bytes: 5,
                messages_bytes: 2,
                backups_bytes: 6,
                other_bytes: 3,
                free_bytes: Some(4),
            };
            Host { version: "0".into(), since: Some(UnixMillis(7)), refused_by_store: None, disk }
        };
        let full = ServiceError::Store(StoreError::Unavailable("the disk is full".into()));
        let status = put_together(Err(full), host()).expect("the rest is known");
        assert_eq!(
            (status.unreadable.as_deref(), status.since),
            (Some("the disk is full"), Some(UnixMillis(7)))
        );
        assert_eq!(status.disk.free_bytes, Some(4));
        let damaged = ServiceError::Store(StoreError::Damaged("a page".into()));
        assert!(put_together(Err(damaged), host()).is_err());
    }
}
