//! What became of requests that were not served: each leaves an entry in its device's log and is counted by
//! its reason. What the server owes, a 5.03, is only counted: the store that would keep the entry is what is
//! missing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use narrowgate_platform::{
    device_api::Warning,
    ids::DeviceName,
    model::log::Reason,
    ports::{StoreError, Written},
    rules::{admission::Grant, refusal::Refusal},
};

use super::refusals::{Refusals, Refused};

/// The reasons for which a request is refused, with the labels of the metric. Two labels come behind them.
const REASONS: [(Reason, &str); 14] = [
    (Reason::TopicForeign, "topic_foreign"),
    (Reason::PathUnknown, "path_unknown"),
    (Reason::MethodWrong, "method_wrong"),
    (Reason::OptionUnsupported, "option_unsupported"),
    (Reason::NotAcceptable, "not_acceptable"),
    (Reason::MessageMalformed, "message_malformed"),
    (Reason::BodyMalformed, "body_malformed"),
    (Reason::ModelInvalid, "model_invalid"),
    (Reason::TooLarge, "too_large"),
    (Reason::DeviceDisabled, "device_disabled"),
    (Reason::ProductDisabled, "product_disabled"),
    (Reason::DynamicActivationOff, "dynamic_activation_off"),
    (Reason::AlreadyActivated, "already_activated"),
    (Reason::RateLimited, "rate_limited"),
];
/// A reason that has no label of its own.
const OTHER: usize = REASONS.len();
/// No reason of the device's: 5.03 for want of the store.
const UNAVAILABLE: usize = REASONS.len() + 1;
const LABELS: usize = REASONS.len() + 2;

/// Whose request it is.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    /// Whose session.
    pub(super) grant: Arc<Grant>,
    /// The peer's address and port.
    pub(super) peer: SocketAddr,
}

/// See the module.
pub(super) struct Requests {
    refusals: Arc<Refusals>,
    counts: [AtomicU64; LABELS],
}

impl Requests {
    pub(super) fn new(refusals: Arc<Refusals>) -> Self {
        Self { refusals, counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Counts and writes down a request that was refused.
    pub(super) fn refuse(&self, asker: &Asker, refusal: Refusal) {
        self.count(refusal.reason);
        self.refusals.record_request(asker.grant.device, entry(asker, refusal), asker.peer);
    }

    /// Writes down what was served and probably not meant; returns whether the limits permitted it.
    pub(super) fn warn(&self, asker: &Asker, warning: Warning) -> bool {
        let Warning { reason, detail } = warning;
        self.refusals.warn(asker.grant.device, entry(asker, Refusal::new(reason, detail)), asker.peer)
    }

    /// Counts a request that was refused and is written down already.
    pub(super) fn count(&self, reason: Option<Reason>) {
        self.add(REASONS.iter().position(|(known, _)| Some(*known) == reason).unwrap_or(OTHER));
    }

    /// Counts a request that is answered 5.03 because the store cannot read or write.
    pub(super) fn count_unavailable(&self) {
        self.add(UNAVAILABLE);
    }

    /// Counts and writes down a report that the store did not take.
    pub(super) fn note(&self, asker: &Asker, outcomes: Result<&[Written], &StoreError>) {
        match outcomes {
            Ok(outcomes) if outcomes.iter().all(|outcome| *outcome == Written::Done) => {}
            Ok(_) => {
                let detail = "the device was switched off, reset or deleted while its report was under way; \
                              nothing was stored";
                self.refuse(asker, Refusal::new(Reason::DeviceDisabled, detail));
            }
            Err(_) => self.count_unavailable(),
        }
    }

    /// The labels of the metric with their counts.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let labels = REASONS.iter().map(|(_, label)| *label).chain(["other", "unavailable"]);
        labels.zip(&self.counts).map(|(label, count)| (label, count.load(Ordering::Relaxed)))
    }

    fn add(&self, index: usize) {
        self.counts[index].fetch_add(1, Ordering::Relaxed);
    }
}

fn entry(asker: &Asker, refusal: Refusal) -> Refused {
    let Grant { device, product_key, device_key, .. } = &*asker.grant;
    let name = DeviceName { product_key: product_key.clone(), device_key: device_key.clone() };
    Refused { device: Some(*device), name: Some(name), identity: None, refusal }
}
