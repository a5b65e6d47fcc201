//! Counters and gauges of the shards and the gateway, for `/metrics`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use narrowgate_coap as coap;
use narrowgate_dtls as dtls;
use narrowgate_engine::shard::stats::{Counter, Family, Gauges, Stats};
use narrowgate_engine_io::handle::ShardHandle;
use narrowgate_gateway::{Counters, Gateway, Now, Unwritten};
use narrowgate_http::metrics::{Metric, Samples};
use narrowgate_platform::{
    ids::UnixMillis,
    model::{log::Reason, rates::Counting},
    rules::clock::{ArrivalClock, Standing},
};

use super::batches::Counted;

/// The task's counters after its last turn.
#[derive(Debug, Default)]
pub(super) struct Published(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counters: Counters,
    batches: Counted,
    unwritten: Unwritten,
    counting: Option<Arc<Counting>>,
    /// When the task last turned.
    turned: Option<Instant>,
    clock: ArrivalClock,
}

impl Published {
    /// Copies the counters, to be shown.
    pub(super) fn publish(&self, machine: &Gateway, batches: Counted) {
        let mut state = self.lock();
        state.counters = machine.counters();
        state.batches = batches;
        machine.unwritten().copy_to(&mut state.unwritten);
        state.counting = Some(Arc::clone(machine.counting()));
        state.clock = machine.clock();
        state.turned = Some(Instant::now());
    }

    /// When the task last turned, and since when the batch is being committed that is.
    pub(super) fn turns(&self) -> (Option<Instant>, Option<Instant>) {
        let state = self.lock();
        (state.turned, state.batches.under_way_since)
    }

    /// What the wall clock is worth now, and the time that is written down.
    pub(super) fn read_clock(&self, now: Now) -> (Standing, UnixMillis) {
        // A copy: only what devices cause moves the clock on.
        let mut clock = self.lock().clock;
        let arrival = clock.read(now.instant, now.wall);
        (clock.standing(), arrival.time)
    }

    /// What is known of the minutes that are counted; `None`: nothing yet.
    pub(super) fn counting(&self) -> Option<Counting> {
        self.lock().counting.as_deref().cloned()
    }

    /// Requests answered 5.03 because the store cannot write.
    pub(super) fn unwritten(&self) -> Unwritten {
        self.lock().unwritten.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const DTLS_DISCARDS: Metric =
    Metric::counter("narrowgate_dtls_discards_total", "DTLS records and messages dropped, by reason.")
        .by("reason");

const COAP_DISCARDS: Metric =
    Metric::counter("narrowgate_coap_discards_total", "CoAP messages dropped, by reason.").by("reason");

const REQUESTS_REFUSED: Metric = Metric::counter(
    "narrowgate_requests_refused_total",
    "Requests not served, by reason; unavailable: the store could not read or write, or too much waited for \
     it, or a script could not be run.",
)
.by("reason");

const COMMANDS_EXPECTED: Metric = Metric::counter(
    "narrowgate_commands_expected_total",
    "Commands for which it was said when the device would fetch them: within the spread, early or late.",
)
.by("outcome");

const UPGRADES: Metric = Metric::counter(
    "narrowgate_firmware_upgrades_total",
    "Upgrades of devices to an image of firmware that are done or have failed, by outcome.",
)
.by("outcome");

const RESPONSES: Metric = Metric::counter(
    "narrowgate_responses_total",
    "Responses to requests of devices by their code; those that the CoAP layer gives by itself left out.",
)
.by("code");

const REFUSALS: Metric = Metric::counter(
    "narrowgate_refusals_total",
    "Refusals of handshakes, logins and requests by their reason, also those that are not written down; \
     other: those without a name.",
)
.by("reason");

const COMMITS: Metric = Metric::histogram(
    "narrowgate_store_commit_seconds",
    "How long transactions of what devices send took, until they were durable or had failed.",
);

/// Reads a gauge of a shard.
type GaugeOf = fn(&Gauges) -> usize;

/// Gauges, summed over all shards.
const SHARD_GAUGES: [(Metric, GaugeOf); 6] = [
    (Metric::gauge("narrowgate_sessions", "Sessions of devices, by DTLS and by plain CoAP."), |gauges| {
        gauges.sessions
    }),
    (Metric::gauge("narrowgate_handshakes", "DTLS handshakes and plain logins under way."), |gauges| {
        gauges.handshakes
    }),
    (Metric::gauge("narrowgate_lookups", "Key look-ups that wait for the store."), |gauges| gauges.lookups),
    (Metric::gauge("narrowgate_requests_in_flight", "CoAP requests that wait for their answer."), |gauges| {
        gauges.requests_in_flight
    }),
    (
        Metric::gauge(
            "narrowgate_stored_answer_bytes",
            "CoAP answers kept for duplicates, and bodies in transfer, bytes.",
        ),
        |gauges| gauges.stored_answer_bytes,
    ),
    (
        Metric::gauge(
            "narrowgate_timers",
            "Timers of handshakes and sessions; those of sessions that ended stay for minutes.",
        ),
        |gauges| gauges.timers,
    ),
];

/// Reads a number of the machine or its batches.
type ValueOf = fn(&State) -> u64;

/// Metrics of the machine and its batches.
const MACHINE: [(Metric, ValueOf); 15] = [
    (Metric::gauge("narrowgate_devices_online", "Devices online."), |state| state.counters.online as u64),
    (Metric::gauge("narrowgate_devices_connected", "Devices with a session."), |state| {
        state.counters.connected as u64
    }),
    (Metric::gauge("narrowgate_devices_observing", "Devices that observe their commands."), |state| {
        state.counters.observing as u64
    }),
    (Metric::counter("narrowgate_store_batches_total", "Transactions committed."), |state| {
        state.batches.batches
    }),
    (Metric::counter("narrowgate_store_writes_total", "Writes in committed transactions."), |state| {
        state.batches.writes
    }),
    (
        Metric::gauge(
            "narrowgate_store_writes_waiting",
            "Writes of what devices send that wait for their transaction, or are in it.",
        ),
        |state| state.batches.waiting,
    ),
    (
        Metric::counter(
            "narrowgate_store_failed_batches_total",
            "Transactions that the store could not commit.",
        ),
        |state| state.batches.failed,
    ),
    (
        Metric::counter(
            "narrowgate_refusals_unlogged_total",
            "Refusals beyond the limit of entries per second: counted, not written down.",
        ),
        |state| state.counters.refusals_unlogged,
    ),
    (
        Metric::counter(
            "narrowgate_refusals_folded_total",
            "Refusals that came again within seconds: counted, written down once.",
        ),
        |state| state.counters.refusals_folded,
    ),
    (
        Metric::counter(
            "narrowgate_activations_deferred_total",
            "Requests for a secret answered 5.03, because too many of their product wait.",
        ),
        |state| state.counters.activations_deferred,
    ),
    (
        Metric::counter(
            "narrowgate_activations_closed_total",
            "Sessions with a product's secret closed, because their device had too many.",
        ),
        |state| state.counters.activations_closed,
    ),
    (
        Metric::counter(
            "narrowgate_secret_shared_alarms_total",
            "Alarms in a device's log that two devices probably use its secret.",
        ),
        |state| state.counters.secret_shared_alarms,
    ),
    (
        Metric::counter(
            "narrowgate_firmware_blocks_total",
            "Blocks of images of firmware that devices were given.",
        ),
        |state| state.counters.image_blocks().0,
    ),
    (
        Metric::counter(
            "narrowgate_firmware_bytes_total",
            "Bytes of images in those blocks, without what carries them.",
        ),
        |state| state.counters.image_blocks().1,
    ),
    (
        Metric::counter(
            "narrowgate_handshakes_uncounted_total",
            "Handshakes not counted for limits.device_handshakes, as too many pairs are: none is held back.",
        ),
        |state| state.counters.handshakes_uncounted,
    ),
];

const CLOCK_WRONG: Metric = Metric::gauge(
    "narrowgate_clock_wrong_seconds",
    "How far off the server's clock is, where it is known to be wrong or not believed yet.",
)
.by("direction");

/// Everything on the devices' side. Counters and gauges of shards are summed.
pub(super) fn collect(shards: &[ShardHandle], published: &Published, now: Now) -> Vec<Samples> {
    let stats: Vec<_> = shards.iter().map(ShardHandle::stats).collect();
    let mut metrics: Vec<Samples> = Counter::ALL
        .chunk_by(|a, b| a.family() == b.family())
        // They are told apart by their codes, below.
        .filter(|counters| counters[0] != Counter::Responses)
        .map(|counters| family(counters, |counter| stats.iter().map(|stats| stats.value(counter)).sum()))
        .collect();
    metrics.push(DTLS_DISCARDS.are(dtls::Discard::ALL.iter().map(|discard| {
        let count = stats.iter().map(|stats| stats.dtls_discarded(*discard)).sum();
        (discard.name(), count)
    })));
    metrics.push(COAP_DISCARDS.are(coap::Discard::ALL.iter().map(|discard| {
        let count = stats.iter().map(|stats| stats.coap_discarded(*discard)).sum();
        (discard.name(), count)
    })));
    metrics.push(RESPONSES.are(responses(&stats)));
    metrics.extend(
        SHARD_GAUGES
            .map(|(metric, of)| metric.is(stats.iter().map(|stats| of(&stats.gauges) as u64).sum::<u64>())),
    );
    let (behind, ahead) = match published.read_clock(now).0 {
        Standing::Right => (0, 0),
        Standing::Behind { by } | Standing::WentBack { by } => (by.as_secs(), 0),
        Standing::Ahead { by } => (0, by.as_secs()),
    };
    metrics.push(CLOCK_WRONG.are([("behind", behind), ("ahead", ahead)]));
    let state = published.lock();
    metrics.extend(MACHINE.map(|(metric, of)| metric.is(of(&state))));
    metrics.push(COMMITS.took(&state.batches.took));
    metrics.push(REFUSALS.are(state.counters.refusals().map(|(reason, count)| (name_of(reason), count))));
    metrics.push(REQUESTS_REFUSED.are(state.counters.requests_refused()));
    metrics.push(COMMANDS_EXPECTED.are(state.counters.commands_expected()));
    metrics.push(UPGRADES.are(state.counters.upgrades_ended()));
    metrics
}

/// Codes of responses with their counts, all shards together.
fn responses(stats: &[Stats]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (code, count) in stats.iter().flat_map(Stats::responses) {
        *counts.entry(code.to_string()).or_default() += count;
    }
    counts
}

/// The stable name of a reason.
fn name_of(reason: Option<Reason>) -> String {
    let name = reason.and_then(|reason| serde_json::to_value(reason).ok());
    name.as_ref().and_then(|name| name.as_str()).unwrap_or("other").to_owned()
}

/// The metric of counters that belong together, which explains the values of its label.
fn family(counters: &[Counter], value: impl Fn(Counter) -> u64) -> Samples {
    let Family { name, label, help } = counters[0].family();
    let Some(label) = label else {
        return Metric::counter(name, counters[0].help()).is(value(counters[0]));
    };
    let values = counters.iter().map(|counter| (counter.label_value(), value(*counter)));
    let mut samples = Metric::counter(name, help).by(label).are(values);
    let explained = counters.iter().map(|counter| format!(" {}: {}", counter.label_value(), counter.help()));
    samples.explained = explained.collect();
    samples
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use narrowgate_http::metrics::MetricKind;

    use super::*;

    #[test]
    fn names_are_unique_and_only_counters_end_in_total() {
        let mut names = HashSet::new();
        let now = Now { instant: std::time::Instant::now(), wall: UnixMillis(0) };
        let metrics = collect(&[], &Published::default(), now);
        for Samples { metric: Metric { name, kind, help, label }, values, .. } in metrics {
            assert!(name.starts_with("narrowgate_") && names.insert(name), "{name}");
            assert_eq!(name.ends_with("_total"), kind == MetricKind::Counter, "{name}");
            assert!(help.ends_with('.'), "{name}: {help}");
            let series: HashSet<_> = values.iter().map(|it| (it.suffix, it.labels.clone())).collect();
            assert_eq!(series.len(), values.len(), "{name}");
            let is_labelled = values.iter().any(|it| it.labels.iter().any(|(label, _)| *label != "le"));
            assert!(label.is_some() || !is_labelled, "{name}");
        }
    }
}
