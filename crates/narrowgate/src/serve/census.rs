//! Devices by product and state, for metrics. Counting looks at every device, so a scrape gets the numbers of
//! the last count and never waits; counts follow each other at the earliest every [`COUNTED_EVERY`], and only
//! while somebody scrapes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use narrowgate_api::fleet::{CountsView, FleetView};
use narrowgate_http::{Metric, Samples};
use narrowgate_platform::service::Operator;

/// A count reads the whole table: some 0.5 to 1 s for a million devices.
const COUNTED_EVERY: Duration = Duration::from_secs(60);

const DEVICES: Metric = Metric::gauge(
    "narrowgate_devices",
    "Registered devices by state, as they were counted within the last minutes.",
)
.by("state");

const BY_PRODUCT: Metric = Metric::gauge(
    "narrowgate_product_devices",
    "Registered devices by product and state, of the products that have most; others: all the rest.",
)
.by("product");

/// See the module.
pub(super) struct Census {
    operator: Operator,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    latest: Option<FleetView>,
    /// When the last count began, and whether it goes on.
    began: Option<Instant>,
    is_counting: bool,
}

impl Census {
    pub(super) fn new(operator: Operator) -> Self {
        Self { operator, state: Arc::default() }
    }

    /// The numbers of the last count, which may begin the next one; none before the first is over.
    pub(super) fn samples(&self, by_product: bool) -> Vec<Samples> {
        self.begin(Instant::now());
        let state = lock(&self.state);
        let Some(fleet) = &state.latest else { return Vec::new() };
        let mut samples = vec![DEVICES.are(by_state(&fleet.devices))];
        if by_product {
            let products = fleet.products.iter().map(|it| (&*it.product_key, &it.devices));
            let others = fleet.other_products.iter().map(|it| ("others", &it.devices));
            let series = products
                .chain(others)
                .flat_map(|(key, counts)| by_state(counts).map(|(state, count)| (key, state, count)));
            samples.push(BY_PRODUCT.are_by("state", series));
        }
        samples
    }

    /// Begins a count in the background if it is time.
    fn begin(&self, now: Instant) {
        let mut state = lock(&self.state);
        if state.is_counting || state.began.is_some_and(|began| now < began + COUNTED_EVERY) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        state.is_counting = true;
        state.began = Some(now);
        let (operator, state) = (self.operator.clone(), Arc::clone(&self.state));
        runtime.spawn_blocking(move || {
            let counted = tokio::runtime::Handle::current().block_on(operator.count_fleet());
            let mut state = lock(&state);
            state.is_counting = false;
            match counted {
                Ok(fleet) => state.latest = Some(fleet),
                Err(error) => tracing::debug!(%error, "devices cannot be counted for metrics"),
            }
        });
    }
}

fn by_state(counts: &CountsView) -> [(&'static str, u64); 5] {
    let CountsView { total: _, inactive, online, offline, disabled, damaged_devices } = *counts;
    [
        ("inactive", inactive),
        ("online", online),
        ("offline", offline),
        ("disabled", disabled),
        ("damaged", damaged_devices.unwrap_or(0)),
    ]
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use narrowgate_api::fleet::{OtherProductsView, ProductCountsView, ReportRate};

    use super::*;

    fn counts(online: u64) -> CountsView {
        CountsView { total: online, online, ..CountsView::default() }
    }

    #[tokio::test]
    async fn products_are_shown_to_those_who_may_see_them_and_their_number_is_bounded() {
        let store = Arc::new(narrowgate_platform::memory::MemoryStore::default());
        let (clock, entropy) = (crate::system::SystemClock, crate::system::SystemEntropy);
        let nobody = Arc::new(narrowgate_platform::ports::NobodyConnected);
        let census = Census::new(Operator::new(store, Arc::new(clock), Arc::new(entropy), nobody));
        assert!(census.samples(true).is_empty(), "nothing is counted yet");
        // What it begins to count is there before what the test says.
        while lock(&census.state).is_counting {
            tokio::task::yield_now().await;
        }
        let product =
            ProductCountsView { product_key: "pk".into(), name: None, damaged: false, devices: counts(2) };
        let fleet = FleetView {
            devices: counts(7),
            products: vec![product],
            other_products: Some(OtherProductsView { products: 3, devices: counts(5) }),
            refusals_last_hour: Vec::new(),
            reports_per_minute: ReportRate { last_minute: 0, last_hour: 0.0 },
        };
        lock(&census.state).latest = Some(fleet);
        let text = narrowgate_http::metrics::prometheus_text(&census.samples(false));
        assert!(text.contains("narrowgate_devices{state=\"online\"} 7\n") && !text.contains("pk"), "{text}");
        let text = narrowgate_http::metrics::prometheus_text(&census.samples(true));
        for line in ["product=\"pk\",state=\"online\"} 2", "product=\"others\",state=\"online\"} 5"] {
            assert!(text.contains(line), "{text}");
        }
    }
}
