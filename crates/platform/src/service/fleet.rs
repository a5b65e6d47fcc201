//! The fleet in numbers, as operators see it. Its size does not grow with the fleet's.

use serde::Serialize;

use crate::model::{
    log::Reason,
    overview::{DeviceCounts, Overview},
};

/// The fleet in numbers.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetView {
    /// All devices by state.
    pub devices: CountsView,
    /// Products with most devices.
    pub products: Vec<ProductCountsView>,
    /// All other products together; null where there are none.
    pub other_products: Option<OtherProductsView>,
    /// Refusals of the last hour that are kept, most first.
    pub refusals_last_hour: Vec<RefusalCount>,
    /// Reports.
    pub reports_per_minute: ReportRate,
}

/// Devices by state.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CountsView {
    total: u64,
    inactive: u64,
    online: u64,
    offline: u64,
    disabled: u64,
    /// Left out where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged_devices: Option<u64>,
}

/// Devices of a product.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductCountsView {
    product_key: String,
    /// Null where the row is damaged.
    name: Option<String>,
    /// The product's own row is; left out where it is not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    damaged: bool,
    #[serde(flatten)]
    devices: CountsView,
}

/// Devices of products that are not shown by themselves.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherProductsView {
    products: u64,
    #[serde(flatten)]
    devices: CountsView,
}

/// How often something was refused.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalCount {
    /// Why; null for reasons that have no name.
    reason: Option<Reason>,
    count: u64,
}

/// Reports per minute.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportRate {
    /// In the last minute.
    last_minute: u64,
    /// On the average of the last hour, to a tenth.
    last_hour: f64,
}

impl From<DeviceCounts> for CountsView {
    fn from(counts: DeviceCounts) -> Self {
        let DeviceCounts { inactive, online, offline, disabled, damaged } = counts;
        let damaged_devices = (damaged > 0).then_some(damaged);
        Self { total: counts.total(), inactive, online, offline, disabled, damaged_devices }
    }
}

impl From<Overview> for FleetView {
    fn from(overview: Overview) -> Self {
        let Overview { devices, products, others, refusals, reports_last_minute, reports_last_hour } =
            overview;
        let product = |product: crate::model::overview::ProductCounts| ProductCountsView {
            product_key: product.product_key,
            damaged: product.name.is_none(),
            name: product.name,
            devices: product.devices.into(),
        };
        let (count, counts) = others;
        Self {
            devices: devices.into(),
            products: products.into_iter().map(product).collect(),
            other_products: (count > 0)
                .then(|| OtherProductsView { products: count, devices: counts.into() }),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::overview::ProductCounts;

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
            serde_json::to_string(&FleetView::from(overview)).expect("it can be written"),
            r#"{"devices":{"total":4,"inactive":0,"online":3,"offline":0,"disabled":1},"products":[{"productKey":"pk","name":"meters","total":3,"inactive":0,"online":2,"offline":0,"disabled":1}],"otherProducts":{"products":4,"total":2,"inactive":0,"online":1,"offline":0,"disabled":1},"refusalsLastHour":[{"reason":"wrong_key","count":7},{"reason":null,"count":1}],"reportsPerMinute":{"lastMinute":5,"lastHour":1.7}}"#
        );
        let hurt = DeviceCounts { damaged: 2, ..DeviceCounts::default() };
        let product = ProductCounts { product_key: "pk".into(), name: None, devices: hurt };
        let view = FleetView::from(Overview { products: vec![product], ..Overview::default() });
        assert_eq!(
            serde_json::to_string(&view.products).expect("it can be written"),
            r#"[{"productKey":"pk","name":null,"damaged":true,"total":2,"inactive":0,"online":0,"offline":0,"disabled":0,"damagedDevices":2}]"#
        );
        assert_eq!(FleetView::from(Overview::default()).other_products, None);
    }
}
