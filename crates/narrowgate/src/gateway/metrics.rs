//! Counters and gauges of shards and gateway, in the form that `/metrics` shows.

use std::sync::{Mutex, MutexGuard, PoisonError};

use narrowgate_engine::shard::stats::{Counter, Gauges};
use narrowgate_engine_io::handle::ShardHandle;
use narrowgate_gateway::{Counters, Gateway, Unwritten};
use narrowgate_http::metrics::Metric;

use super::batches::Counted;

/// What the task counted, as it was after its last turn.
#[derive(Debug, Default)]
pub(super) struct Published(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counters: Counters,
    batches: Counted,
    unwritten: Unwritten,
}

impl Published {
    /// Shows what was counted up to now.
    pub(super) fn publish(&self, machine: &Gateway, batches: Counted) {
        let mut state = self.lock();
        state.counters = machine.counters();
        state.batches = batches;
        machine.unwritten().copy_to(&mut state.unwritten);
    }

    /// Requests that are answered 5.03 because the store cannot write.
    pub(super) fn unwritten(&self) -> Unwritten {
        self.lock().unwritten.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything on the devices' side. Counters of shards are summed; drop reasons are labels.
pub(super) fn collect(shards: &[ShardHandle], published: &Published) -> Vec<Metric> {
    let stats: Vec<_> = shards.iter().map(ShardHandle::stats).collect();
    let mut metrics = Vec::new();
    for &counter in Counter::ALL {
        let total = stats.iter().map(|stats| stats.value(counter)).sum();
        metrics.push(
            Metric::counter("narrowgate_shard_events_total", "What the shards counted, by event.", total)
                .with("event", counter.name()),
        );
    }
    for index in 0..narrowgate_dtls::Discard::ALL.len() {
        let values = stats.iter().filter_map(|stats| stats.dtls_discards().nth(index));
        let total = values.map(|(_, count)| count).sum();
        metrics.push(
            Metric::counter(
                "narrowgate_dtls_discards_total",
                "DTLS records and messages dropped, by reason.",
                total,
            )
            .with("reason", narrowgate_dtls::Discard::ALL[index].name()),
        );
    }
    for index in 0..narrowgate_coap::Discard::ALL.len() {
        let values = stats.iter().filter_map(|stats| stats.coap_discards().nth(index));
        let total = values.map(|(_, count)| count).sum();
        metrics.push(
            Metric::counter("narrowgate_coap_discards_total", "CoAP messages dropped, by reason.", total)
                .with("reason", narrowgate_coap::Discard::ALL[index].name()),
        );
    }
    let gauge = |name, help, value: usize| Metric::gauge(name, help, value as f64);
    let sum = |of: fn(&Gauges) -> usize| stats.iter().map(|stats| of(&stats.gauges)).sum();
    metrics.push(gauge("narrowgate_sessions", "Established DTLS sessions.", sum(|gauges| gauges.sessions)));
    metrics.push(gauge(
        "narrowgate_handshakes",
        "DTLS handshakes under way.",
        sum(|gauges| gauges.handshakes),
    ));
    metrics.push(gauge(
        "narrowgate_lookups",
        "Key look-ups that wait for the store.",
        sum(|gauges| gauges.lookups),
    ));
    metrics.push(gauge(
        "narrowgate_requests_in_flight",
        "CoAP requests that wait for their answer.",
        sum(|gauges| gauges.requests_in_flight),
    ));
    metrics.push(gauge(
        "narrowgate_stored_answer_bytes",
        "CoAP answers kept for duplicates, bytes.",
        sum(|gauges| gauges.stored_answer_bytes),
    ));
    let (counters, batches) = {
        let state = published.lock();
        (state.counters, state.batches)
    };
    metrics.push(gauge("narrowgate_devices_online", "Devices online.", counters.online));
    metrics.push(gauge("narrowgate_devices_connected", "Devices with a session.", counters.connected));
    metrics.extend([
        Metric::counter("narrowgate_store_batches_total", "Transactions committed.", batches.batches),
        Metric::counter("narrowgate_store_writes_total", "Writes in committed transactions.", batches.writes),
        Metric::counter(
            "narrowgate_store_failed_batches_total",
            "Transactions that the store could not commit.",
            batches.failed,
        ),
    ]);
    metrics.extend(counters.requests_refused().map(|(reason, count)| {
        let help = "Requests not served, by reason; unavailable: the store could not read or write.";
        Metric::counter("narrowgate_requests_refused_total", help, count).with("reason", reason)
    }));
    metrics.push(Metric::counter(
        "narrowgate_refusals_unlogged_total",
        "Refusals beyond the limit of entries per second: counted, not written down.",
        counters.refusals_unlogged,
    ));
    metrics.push(Metric::counter(
        "narrowgate_refusals_folded_total",
        "Refusals by an alert that came again within seconds: counted, written down once.",
        counters.refusals_folded,
    ));
    metrics
}
