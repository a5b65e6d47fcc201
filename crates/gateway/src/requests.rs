//! What became of requests that were not served: each leaves an entry in its device's log and is counted by
//! its reason. A 5.03, which is the server's fault, is only counted: the store, which would keep the entry,
//! is not available.

use std::{
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    ops::Deref,
    sync::Arc,
};

use narrowgate_coap::{Code, OptionNumber, Response};
use narrowgate_platform::{
    device_api::{Answer, Warning, commands::with_command_waiting, short},
    ids::{DeviceName, LoginNumber},
    model::{command::CommandTopic, log::Reason, product::ContentCode, thing_model::ThingModel},
    ports::{StoreError, Written},
    rules::{admission::Grant, identity::SecureMode, refusal::Refusal},
};

use crate::{
    effect::Now, limits::Door, products::CachedProduct, raw::Conversation, refusals::Refused, shared::Shared,
    unwritten::Unwritten,
};

/// The reasons for which a request is refused, with the labels of the metric. Two more labels follow them.
const REASONS: [(Reason, &str); 15] = [
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
    (Reason::UnitSuspended, "unit_suspended"),
    (Reason::DynamicActivationOff, "dynamic_activation_off"),
    (Reason::AlreadyActivated, "already_activated"),
    (Reason::RateLimited, "rate_limited"),
];
/// A reason that has no label of its own.
const OTHER: usize = REASONS.len();
/// Not the device's fault: 5.03 because the store, or what runs scripts, is not available or is too busy.
const UNAVAILABLE: usize = REASONS.len() + 1;
const LABELS: usize = REASONS.len() + 2;

/// Whose request it is, and in which form it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    whose: Arc<Whose>,
    form: Form,
    content_code: ContentCode,
}

/// The form of a request and of its answer.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// JSON, or CBOR that stands for it.
    Long,
    /// That of a short path, with the product whose numbers its answer has.
    Short(Arc<CachedProduct>),
    /// Bytes, which a script of the product reads and writes.
    Bytes(Arc<Conversation>),
}

/// Whose session it is: behind one pointer, because each session has one.
#[derive(Debug)]
pub(crate) struct Whose {
    /// Whose session.
    pub(crate) grant: Grant,
    peer: Peer,
    /// See [`Self::login`].
    number: LoginNumber,
}

// There is one for each session, with the two counters of its `Arc`.
const _: () = assert!(size_of::<Whose>() + 2 * size_of::<usize>() <= 80);

/// The peer's address and port: one of IPv6 is kept apart, so that those of IPv4 do not pay for it.
#[derive(Debug)]
enum Peer {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl Asker {
    /// The asker of a request in a session; `short`: the product, where it is to a short path.
    pub(crate) fn new(
        whose: &Arc<Whose>,
        short: Option<Arc<CachedProduct>>,
        content_code: ContentCode,
    ) -> Self {
        Self { whose: Arc::clone(whose), form: short.map_or(Form::Long, Form::Short), content_code }
    }

    /// The same, of a request of bytes.
    pub(crate) fn of_bytes(self, conversation: Arc<Conversation>) -> Self {
        Self { form: Form::Bytes(conversation), ..self }
    }

    /// What is known of a request of bytes; `None` for any other.
    pub(crate) fn conversation(&self) -> Option<&Arc<Conversation>> {
        match &self.form {
            Form::Bytes(conversation) => Some(conversation),
            Form::Long | Form::Short(_) => None,
        }
    }

    /// Whether the request came to a short path.
    pub(crate) fn is_short(&self) -> bool {
        matches!(self.form, Form::Short(_))
    }

    /// The thing model by which an answer to a short path is written; `None` for any other path.
    pub(crate) fn short_model(&self) -> Option<Option<&ThingModel>> {
        match &self.form {
            Form::Short(product) => Some(product.model.as_ref()),
            Form::Long | Form::Bytes(_) => None,
        }
    }

    /// An answer in the form of its path.
    pub(crate) fn in_its_form(&self, answer: Answer) -> Answer {
        if self.is_short() { short::shorten(answer) } else { answer }
    }

    /// A response to a GET with the code that the product's devices take for a success. What a device
    /// observes has 2.05, as its notifications do (RFC 7641, section 4.2).
    pub(crate) fn with_its_code(&self, mut response: Response) -> Response {
        let is_observed = || response.options.find(OptionNumber::OBSERVE).is_some();
        if self.content_code == ContentCode::Changed && response.code == Code::CONTENT && !is_observed() {
            response.code = Code::CHANGED;
        }
        response
    }

    /// A response with the option that says that a command waits, by the kind of its path.
    pub(crate) fn with_command_waiting(&self, response: Response, oldest: &CommandTopic) -> Response {
        match self.is_short() {
            true => short::with_command_waiting(response),
            false => with_command_waiting(response, &self.grant, oldest),
        }
    }
}

impl Whose {
    /// `login` as in [`Whose::login`].
    pub(crate) fn new(grant: Grant, peer: SocketAddr, login: Option<LoginNumber>) -> Arc<Self> {
        let peer = match peer {
            SocketAddr::V4(peer) => Peer::V4(peer),
            SocketAddr::V6(peer) => Peer::V6(Box::new(peer)),
        };
        Arc::new(Self { grant, peer, number: login.unwrap_or(LoginNumber(0)) })
    }

    /// The peer's address and port.
    pub(crate) fn peer(&self) -> SocketAddr {
        match &self.peer {
            Peer::V4(peer) => (*peer).into(),
            Peer::V6(peer) => (**peer).into(),
        }
    }

    /// The login that the session is; `None` for one by the product's secret.
    pub(crate) fn login(&self) -> Option<LoginNumber> {
        (self.grant.mode == SecureMode::DeviceSecret).then_some(self.number)
    }
}

impl Deref for Asker {
    type Target = Whose;

    fn deref(&self) -> &Whose {
        &self.whose
    }
}

/// How many requests were not served, by label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts([u64; LABELS]);

impl Counts {
    pub(crate) fn labelled(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let labels = REASONS.iter().map(|(_, label)| *label).chain(["other", "unavailable"]);
        labels.zip(self.0)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) counts: Counts,
    /// Those that are answered 5.03, for `status`.
    pub(crate) unwritten: Unwritten,
}

impl Requests {
    /// Counts a request that was refused and is written down already.
    pub(crate) fn count(&mut self, reason: Option<Reason>) {
        let label = REASONS.iter().position(|(known, _)| Some(*known) == reason);
        self.counts.0[label.unwrap_or(OTHER)] += 1;
    }

    /// Counts a request that is answered 5.03: the store cannot read or write, or a script is not run.
    pub(crate) fn count_unavailable(&mut self) {
        self.counts.0[UNAVAILABLE] += 1;
    }

    /// What the store answered to a write, for `status`.
    pub(crate) fn note_outcome(
        &mut self,
        now: Now,
        is_report: bool,
        outcomes: Result<&[Written], &StoreError>,
    ) {
        match outcomes {
            Ok(_) => self.unwritten.succeed(),
            Err(StoreError::Unavailable(reason)) => {
                self.unwritten.fail(now.wall, u64::from(is_report), reason);
            }
            Err(error) => self.unwritten.fail(now.wall, u64::from(is_report), &error.to_string()),
        }
    }
}

impl Shared {
    /// Counts and writes down a request that was refused.
    pub(crate) fn refuse(&mut self, now: Now, asker: &Whose, refusal: Refusal) {
        self.requests.count(refusal.reason);
        self.write_down(now, asker, refusal);
    }

    /// Writes down that a device's requests are held back for the bytes that it has spent.
    pub(crate) fn hold_back(&mut self, now: Now, asker: &Whose, wait_s: u32) {
        let detail = format!(
            "the device sends, or is sent, more than limits.device_bytes permits: its requests are answered \
             4.29, and the next one is served in {wait_s} s"
        );
        self.write_down(now, asker, Refusal::new(Reason::RateLimited, detail));
    }

    /// Writes down what is no request that was refused, or is counted elsewhere.
    pub(crate) fn write_down(&mut self, now: Now, asker: &Whose, refusal: Refusal) {
        let refused = entry(asker, refusal);
        self.refusals.record_request(&mut self.out, now, asker.grant.device, refused, asker.peer());
    }

    /// Writes down what was served but probably not meant; returns whether the limits permitted it.
    pub(crate) fn warn(&mut self, now: Now, asker: &Whose, warning: Warning) -> bool {
        let Warning { reason, detail } = warning;
        let warned = entry(asker, Refusal::new(reason, detail));
        self.refusals.warn(&mut self.out, now, asker.grant.device, warned, asker.peer())
    }

    /// Counts and writes down a report that the store refused.
    pub(crate) fn note(&mut self, now: Now, asker: &Whose, outcomes: Result<&[Written], &StoreError>) {
        match outcomes {
            Ok(outcomes) if outcomes.iter().all(|outcome| *outcome == Written::Done) => {}
            // The server's fault too: it could not write the login, or the report beside a damaged row.
            Ok(outcomes)
                if outcomes.contains(&Written::LoginUnknown) || outcomes.contains(&Written::Damaged) =>
            {
                self.requests.count_unavailable();
            }
            Ok(outcomes) => self.refuse(now, asker, not_stored(outcomes)),
            Err(_) => self.requests.count_unavailable(),
        }
    }
}

/// Why the store did not take a report.
fn not_stored(outcomes: &[Written]) -> Refusal {
    if outcomes.contains(&Written::LoginSuperseded) {
        let detail = "the device logged in anew while a report of its older session was under way; \
                      nothing was stored";
        Refusal::unnamed(detail)
    } else if outcomes.contains(&Written::SecretSuperseded) {
        let detail = "the device's secret was replaced while its report was under way; nothing was stored";
        Refusal::new(Reason::WrongKey, detail)
    } else {
        let detail = "the device was switched off or deleted, or its organisation unit suspended, while its \
                      report was under way; nothing was stored";
        Refusal::new(Reason::DeviceDisabled, detail)
    }
}

fn entry(asker: &Whose, refusal: Refusal) -> Refused {
    let grant = &asker.grant;
    let (device, name) = (Some(grant.device), Some(name_of(grant)));
    Refused { door: Door::Dtls, device, name, identity: None, refusal }
}

/// The keys of a session's device.
pub(crate) fn name_of(grant: &Grant) -> DeviceName {
    DeviceName { product_key: grant.product_key().to_owned(), device_key: grant.device_key().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_was_not_stored_is_logged_with_the_reason_that_it_has() {
        let reason = |outcome| not_stored(&[Written::Done, outcome]).reason;
        assert_eq!(reason(Written::DeviceUnavailable), Some(Reason::DeviceDisabled));
        assert_eq!(reason(Written::SecretSuperseded), Some(Reason::WrongKey));
        assert_eq!(reason(Written::LoginSuperseded), None);
        let detail = not_stored(&[Written::LoginSuperseded]).detail;
        assert!(detail.starts_with("the device logged in anew"), "{detail}");
    }

    #[test]
    fn every_label_is_the_stable_name_of_its_reason_and_stands_there_once() {
        for (reason, label) in REASONS {
            assert_eq!(serde_json::to_string(&reason).expect("it is a word"), format!("{label:?}"));
            assert_eq!(REASONS.iter().filter(|(other, _)| *other == reason).count(), 1, "{label}");
        }
    }
}
