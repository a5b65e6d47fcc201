//! The fleet in numbers, as operators see it.

use narrowgate_api::fleet::{
    CountsView, FleetView, OtherProductsView, ProductCountsView, RefusalCount, ReportRate,
};

use super::{error::ServiceError, registrar::Registrar};
use crate::model::overview::{DeviceCounts, Overview, OverviewQuery};

/// How many products are shown separately.
const PRODUCTS_MAX: usize = 20;

impl Registrar {
    /// Devices by state and product, recent refusals and reports.
    ///
    /// # Errors
    /// Only the store's.
    pub(super) async fn overview(&self) -> Result<FleetView, ServiceError> {
        let query = OverviewQuery { now: self.clock.now(), products_max: PRODUCTS_MAX };
        Ok(fleet(self.registry.overview(query).await?))
    }
}

fn counts(counts: DeviceCounts) -> CountsView {
    let DeviceCounts { inactive, online, offline, disabled, damaged } = counts;
    let damaged_devices = (damaged > 0).then_some(damaged);
    CountsView { total: counts.total(), inactive, online, offline, disabled, damaged_devices }
}

/// The fleet as operators see it.
fn fleet(overview: Overview) -> FleetView {
    let Overview { devices, products, others, refusals, reports_last_minute, reports_last_hour } = overview;
    let product = |product: crate::model::overview::ProductCounts| ProductCountsView {
        product_key: product.product_key,
        damaged: product.name.is_none(),
        name: product.name,
        devices: counts(product.devices),
    };
    let (count, rest) = others;
    FleetView {
        devices: counts(devices),
        products: products.into_iter().map(product).collect(),
        other_products: (count > 0).then(|| OtherProductsView { products: count, devices: counts(rest) }),
        refusals_last_hour: refusals
            .into_iter()
            .map(|(reason, count)| RefusalCount { reason, count })
            .collect(),
        reports_per_minute: ReportRate {
            last_minute: reports_last_minute,
            last_hour: (reports_last_hour as f64 / 6.0).round() / 10.0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{log::Reason, overview::ProductCounts};

    #[test]
    fn the_fleet_is_shown_in_camel_case_and_in_bounds() {
        let counts = |online| DeviceCounts { online, disabled: 1, ..DeviceCounts::default() };
        let product =
            ProductCounts { product_key: "pk".into(), name: Some("meters".into()), devices: counts(2) };
        let overview = Overview {
            devices: counts(3),
            products: vec![product],
            others: (4, counts(1)),
            refusals: vec![(Some(Reason::WrongKey), 7), (None, 1)],
            reports_last_minute: 5,
            reports_last_hour: 100,
        };
        assert_eq!(
            serde_json::to_string(&fleet(overview)).expect("it can be written"),
            concat!(
                r#"{"devices":{"total":4,"inactive":0,"online":3,"offline":0,"disabled":1},"#,
                r#""products":[{"productKey":"pk","name":"meters","total":3,"inactive":0,"online":2,"#,
                r#""offline":0,"disabled":1}],"otherProducts":{"products":4,"total":2,"inactive":0,"#,
                r#""online":1,"offline":0,"disabled":1},"refusalsLastHour":[{"reason":"wrong_key","#,
                r#""count":7},{"reason":null,"count":1}],"reportsPerMinute":{"lastMinute":5,"#,
                r#""lastHour":1.7}}"#,
            )
        );
        let hurt = DeviceCounts { damaged: 2, ..DeviceCounts::default() };
        let product = ProductCounts { product_key: "pk".into(), name: None, devices: hurt };
        let view = fleet(Overview { products: vec![product], ..Overview::default() });
        assert_eq!(
            serde_json::to_string(&view.products).expect("it can be written"),
            concat!(
                r#"[{"productKey":"pk","name":null,"damaged":true,"total":2,"inactive":0,"online":0,"#,
                r#""offline":0,"disabled":0,"damagedDevices":2}]"#,
            )
        );
        assert_eq!(fleet(Overview::default()).other_products, None);
    }
}
