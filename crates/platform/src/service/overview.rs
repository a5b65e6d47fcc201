//! The fleet in numbers.

use super::{Operator, ServiceError};
use crate::{model::overview::OverviewQuery, service::fleet::FleetView};

/// Products that are shown each by itself.
const PRODUCTS_MAX: usize = 20;

impl Operator {
    /// Devices by state and product, refusals and reports of late.
    ///
    /// # Errors
    /// Only the store's.
    pub async fn overview(&self) -> Result<FleetView, ServiceError> {
        let query = OverviewQuery { now: self.clock.now(), products_max: PRODUCTS_MAX };
        Ok(FleetView::from(self.registry.overview(query).await?))
    }
}
