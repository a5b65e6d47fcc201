//! What operators change, which secrets they read, and what they export, is written down: every route that is
//! added takes its place in the audit log by itself ([`Rule`]).
//!
//! A deed is noted before the handler runs, and its entry is durable before the answer goes out; where it
//! cannot be noted, it is not done. What the caller's role does not permit is written down too. A request of
//! nobody never comes here.

mod place;
mod sparing;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::{
    RequestExt as _,
    extract::{Path, Request},
    http::{Extensions, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use narrowgate_api::{audit::AuditOutcome, device::NamedDevice};
use narrowgate_platform::{
    model::access::Needs,
    service::{AskedFrom, Deed, DeedPlace, DeedTo, Noted, Operator, path_part},
};

pub(super) use self::place::{Made, Place};
use self::sparing::Sparing;
use super::{
    asked::{Asker, forbidden, nobody},
    export::accepted,
    extract::{given, malformed},
    idempotency,
};
use crate::{
    gate::Peer,
    metrics::{Metric, Samples},
    problem::{ProblemOf, Refused},
    request_id::RequestId,
};

/// What every path begins with.
const ROOT: &str = "/api/v1";

/// The header of the first page of an export that is read in pages of JSON: as the command line does.
pub const BEGINS_EXPORT: &str = "x-narrowgate-export";

/// The end of the path of a route that answers nothing but lines: the values of all devices of a product.
const ONLY_STREAMED: &str = "/products/{product}/values";

/// What only administrators read, and what is no secret.
const NO_SECRETS: [&str; 4] = ["/api/v1/ous", "/api/v1/tokens", "/api/v1/users", "/api/v1/audit"];

/// The code of an entry whose request was not carried out again.
const REPLAYED: &str = "replayed";

const WRITTEN: Metric = Metric::counter(
    "narrowgate_audit_entries_total",
    "Requests of operators that were written into the audit log.",
);

const UNWRITTEN: Metric = Metric::counter(
    "narrowgate_audit_unwritten_total",
    "Requests of operators that were not done, or whose entries wait: the audit log cannot be written.",
);

const LEFT_OUT: Metric = Metric::counter(
    "narrowgate_audit_left_out_total",
    "Exports, and requests that a role does not permit, without an entry of their own in the audit log.",
);

/// Of this process, whichever of its routers was asked: written, not written, left out.
static COUNTS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// What was written so far, and what was not.
pub(crate) fn samples() -> [Samples; 3] {
    let [written, unwritten, left_out] = COUNTS.each_ref().map(|count| count.load(Ordering::Relaxed));
    [WRITTEN.is(written), UNWRITTEN.is(unwritten), LEFT_OUT.is(left_out)]
}

/// Counts an attempt to write.
fn count<T, E>(written: &Result<T, E>) {
    COUNTS[usize::from(written.is_err())].fetch_add(1, Ordering::Relaxed);
}

/// Counts a login, a logout or a password that was not possible for that.
pub(crate) fn count_unwritten() {
    count(&Err::<(), ()>(()));
}

/// Writes the log; in the extensions of every request.
#[derive(Clone)]
pub(super) struct Recorder(Operator, Arc<Sparing>);

impl Recorder {
    pub(super) fn new(operator: Operator) -> Self {
        Self(operator, Arc::default())
    }
}

/// A route, as far as the log needs it.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    method: Method,
    /// With the names of its parts in braces.
    path: String,
    /// What follows the last colon.
    pub(super) act: Option<&'static str>,
    needs: Needs,
    /// Whether it answers with all there is, line by line, where it is asked to.
    streams: bool,
}

impl Rule {
    pub(super) fn new(method: Method, path: &str, act: Option<&'static str>, needs: Needs) -> Self {
        Self { method, path: path.to_owned(), act, needs, streams: false }
    }

    pub(super) fn that_streams(self, streams: bool) -> Self {
        Self { streams, ..self }
    }

    /// Whether a request exports: it asks for all there is. HEAD is answered with nothing of it.
    fn exports(&self, request: &Request) -> bool {
        let headers = request.headers();
        self.streams
            && request.method() != Method::HEAD
            && (accepted(headers).is_some()
                || headers.contains_key(BEGINS_EXPORT)
                || self.path.ends_with(ONLY_STREAMED))
    }

    /// Whether it is written down: what changes something, or shows a secret. Only administrators read
    /// those, so what they alone may read is taken for one.
    pub(super) fn is_audited(&self) -> bool {
        match self.method {
            Method::GET => {
                let is_for_all = matches!(self.needs, Needs::Read | Needs::ReadAll | Needs::Operate);
                !is_for_all && !NO_SECRETS.iter().any(|path| self.path.starts_with(path))
            }
            // What a viewer ends is its own, and something that was there.
            Method::DELETE => true,
            _ => !matches!(self.needs, Needs::Read | Needs::ReadAll),
        }
    }

    /// The word of what it does, which follows from its path and method: `devices.tags.update`. What reads is
    /// said to do so by this verb.
    pub(super) fn action(&self, read: &'static str) -> String {
        let path = self.path.strip_prefix(ROOT).unwrap_or(&self.path);
        let path = match path.strip_prefix("/products/{product}/devices") {
            Some(rest) => format!("/devices{rest}"),
            None => path.to_owned(),
        };
        let fixed = path.split('/').filter(|part| !part.is_empty() && !part.starts_with('{'));
        let mut words: Vec<&str> = fixed.flat_map(|part| part.split(':')).collect();
        let has_verb = path.rsplit('/').next().is_some_and(|last| last.contains(':'));
        match self.act {
            Some(act) => words.push(act),
            None if has_verb => {}
            None => words.push(match self.method {
                Method::POST => "create",
                Method::PUT => "replace",
                Method::PATCH => "update",
                Method::DELETE => "delete",
                _ => read,
            }),
        }
        words.join(".")
    }

    /// What the path names.
    fn named(&self, parameters: &[(String, String)]) -> Named {
        let value = |name: &str| {
            let (_, value) = parameters.iter().find(|(known, _)| known == name)?;
            Some(value.as_str())
        };
        let path = self.path.strip_prefix(ROOT).unwrap_or(&self.path);
        let mut parts = Vec::new();
        let (mut product, mut device, mut image) = (None, None, None);
        let last = path.split('/').count() - 1;
        for (at, part) in path.split('/').enumerate().skip(1) {
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                parts.push(part.split_once(':').map_or(part, |(noun, _)| noun).to_owned());
                continue;
            };
            let value = value(name).unwrap_or_default();
            let value = match (self.act, value.rsplit_once(':')) {
                (Some(_), Some((named, _))) if at == last => named,
                _ => value,
            };
            parts.push(path_part(without_secret(value)));
            match name {
                "product" => product = Some(given(value.to_owned())),
                "device" => device = Some((given(value.to_owned()), parts.len())),
                "image" => image = Some(value.to_owned()),
                _ => {}
            }
        }
        let rest = device.as_ref().map(|(_, at)| parts[*at..].to_vec());
        let to = match (product, device, image) {
            (product, Some((device, _)), _) => DeedTo::Device(NamedDevice { product, device }),
            (Some(product), None, _) => DeedTo::Product(product),
            (None, None, Some(image)) => DeedTo::Image(image),
            (None, None, None) => DeedTo::Nothing,
        };
        Named { to, parts, behind_device: rest.unwrap_or_default() }
    }
}

/// What a request names.
struct Named {
    to: DeedTo,
    /// The parts of its path, escaped.
    parts: Vec<String>,
    /// Those behind the name of a device.
    behind_device: Vec<String>,
}

impl Named {
    /// The path, with both keys of a device.
    fn target(&self, place: &DeedPlace) -> String {
        match &place.device {
            Some(name) => {
                let keys =
                    [&*path_part(&name.product_key), "devices", &*path_part(&name.device_key)].join("/");
                joined(["products".to_owned(), keys].iter().chain(&self.behind_device))
            }
            None => joined(self.parts.iter()),
        }
    }
}

fn joined<'a>(parts: impl Iterator<Item = &'a String>) -> String {
    parts.fold(String::new(), |path, part| path + "/" + part)
}

/// Answers where the caller may, and writes it down.
pub(super) async fn permit(rule: Rule, mut request: Request, next: Next) -> Response {
    let Some(asker) = request.extensions().get::<Asker>() else { return nobody().into_response() };
    let caller = asker.caller.clone();
    let is_permitted = rule.needs.permits(&caller);
    let exports = rule.exports(&request);
    if !rule.is_audited() && !exports {
        return match is_permitted {
            true => idempotency::run(rule.needs, request, next).await,
            false => forbidden(rule.needs, &caller).into_response(),
        };
    }
    let Some(Recorder(operator, sparing)) = request.extensions().get() else {
        return nobody().into_response();
    };
    let left_out = match is_permitted && rule.is_audited() {
        true => 0,
        false => match sparing.take(&caller, Instant::now()) {
            Some(left_out) => left_out,
            None => {
                COUNTS[2].fetch_add(1, Ordering::Relaxed);
                return match is_permitted {
                    true => idempotency::run(rule.needs, request, next).await,
                    false => forbidden(rule.needs, &caller).into_response(),
                };
            }
        },
    };
    let operator = operator.of(caller.clone());
    let deed = match deed(&rule, exports, &operator, &mut request).await {
        Ok(deed) => deed,
        Err(refused) => return refused.into_response(),
    };
    if !is_permitted {
        let answer = forbidden(rule.needs, &caller).into_response();
        let mut noted = operator.refused_deed(deed);
        noted.entry.left_out = (left_out > 0).then_some(left_out);
        return written_down(&operator, noted, answer).await;
    }
    match operator.note_deed(deed).await {
        Ok(mut noted) => {
            noted.entry.left_out = (left_out > 0).then_some(left_out);
            let answer = idempotency::run(rule.needs, request, next).await;
            written_down(&operator, noted, answer).await
        }
        Err(problem) => {
            count(&Err::<(), _>(&problem));
            Refused(problem).into_response()
        }
    }
}

/// What a request is about to do.
async fn deed(
    rule: &Rule,
    exports: bool,
    operator: &Operator,
    request: &mut Request,
) -> Result<Deed, Refused> {
    let parameters = request.extract_parts::<Path<Vec<(String, String)>>>().await;
    let Path(parameters) =
        parameters.map_err(|rejection| malformed(format!("the path: {}", rejection.body_text())))?;
    let named = rule.named(&parameters);
    let place = operator.deed_place(&named.to).await;
    let asked = asked_from(request.extensions());
    let action = rule.action(if exports { "export" } else { "read" });
    Ok(Deed { action, target: named.target(&place), ou: place.ou, asked })
}

/// Where a request comes from.
pub(crate) fn asked_from(extensions: &Extensions) -> AskedFrom {
    AskedFrom {
        address: extensions.get::<Peer>().map(|Peer(address)| *address),
        request_id: extensions.get::<RequestId>().map(|RequestId(id)| id.clone()),
    }
}

/// The answer, once its entry is written.
async fn written_down(operator: &Operator, mut noted: Noted, answer: Response) -> Response {
    let (status, entry) = (answer.status(), &mut noted.entry);
    let problem = answer.extensions().get::<ProblemOf>();
    let place = answer.extensions().get::<Place>();
    entry.status = Some(status.as_u16());
    entry.outcome = match status {
        _ if place.is_some_and(|place| place.is_partly) => AuditOutcome::Partly,
        StatusCode::FORBIDDEN => AuditOutcome::Refused,
        // A command that was sent goes on.
        StatusCode::GATEWAY_TIMEOUT if problem.is_none() => AuditOutcome::Done,
        status if status.is_client_error() => AuditOutcome::Failed,
        // It may come after the change: what was changed is read again for the answer.
        status if status.is_server_error() => AuditOutcome::Unknown,
        _ => AuditOutcome::Done,
    };
    let replayed = || idempotency::is_replayed(&answer).then(|| REPLAYED.to_owned());
    entry.code = problem.and_then(|ProblemOf(Refused(problem))| problem.code.word()).or_else(replayed);
    if let Some(Place { target, of, detail, .. }) = place {
        entry.detail.clone_from(detail);
        if let Some(target) = target {
            entry.target.clone_from(target);
        }
        if entry.ou.is_none() {
            entry.ou = operator.deed_place(of).await.ou;
        }
    }
    // Where that fails it was done all the same, and its note is durable: the entry follows.
    count(&operator.end_deed(noted).await);
    answer
}

/// What a token, a session, a link or a browser's mark begins with: in the place of a name it is a mistake,
/// and the log keeps what it is told.
const SECRETS: [&str; 4] = ["ngt_", "ngs_", "ngl_", "ngb_"];

/// Longer than a name that somebody chose by such a beginning would be.
const SECRET_BYTES_MIN: usize = 36;

/// The name, or of a secret that is given in its place only what kind it is of.
fn without_secret(name: &str) -> &str {
    let kind = SECRETS.into_iter().find(|kind| name.starts_with(kind));
    kind.filter(|_| name.len() >= SECRET_BYTES_MIN).unwrap_or(name)
}

/// The words of what a route does in the log, of those that leave an entry.
#[cfg(test)]
pub(crate) fn actions_of(row: &super::asked::Row) -> Vec<String> {
    let rule = Rule::new(row.method.clone(), &row.path, row.act, row.needs);
    let read = rule.is_audited().then(|| rule.action("read"));
    let export = row.sketch.streams.then(|| rule.action("export"));
    read.into_iter().chain(export).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(method: Method, path: &str, act: Option<&'static str>) -> Rule {
        Rule::new(method, &format!("{ROOT}{path}"), act, Needs::Administer)
    }

    #[test]
    fn an_action_follows_from_the_path_and_the_method() {
        for (method, path, act, action) in [
            (Method::POST, "/products", None, "products.create"),
            (Method::PATCH, "/products/{product}", None, "products.update"),
            (Method::POST, "/products/{product}/secret:rotate", None, "products.secret.rotate"),
            (Method::POST, "/products/{product}/devices", None, "devices.create"),
            (Method::POST, "/products/{product}/devices:import", None, "devices.import"),
            (Method::GET, "/products/{product}/devices/{device}/secret", None, "devices.secret.read"),
            (Method::GET, "/devices/{device}/secret", None, "devices.secret.read"),
            (Method::POST, "/devices/{device}/secret:rotate", None, "devices.secret.rotate"),
            (Method::POST, "/devices/{device}", Some("reset"), "devices.reset"),
            (Method::PUT, "/devices/{device}/tags", None, "devices.tags.replace"),
            (Method::POST, "/devices/{device}/commands/{id}", Some("cancel"), "devices.commands.cancel"),
            (Method::POST, "/devices/{device}/commands:cancel", None, "devices.commands.cancel"),
            (Method::PUT, "/firmware:content", None, "firmware.content"),
            (Method::DELETE, "/tokens/{token}", None, "tokens.delete"),
            (Method::POST, "/backup:hold", None, "backup.hold"),
        ] {
            assert_eq!(rule(method, path, act).action("read"), action);
        }
        assert_eq!(rule(Method::GET, "/devices", None).action("export"), "devices.export");
    }

    #[test]
    fn a_target_is_the_path_with_both_keys_of_a_device_and_without_the_act() {
        let device = |product: &str, device: &str| DeedPlace {
            device: Some(narrowgate_api::names::DeviceName {
                product_key: product.into(),
                device_key: device.into(),
            }),
            ou: None,
        };
        let none = DeedPlace::default();
        let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let token = format!("ngt_{}", "0f".repeat(32));
        for (path, act, parameters, place, target) in [
            ("/products", None, vec![], &none, "/products"),
            ("/tokens/{token}", None, vec![value("token", &token)], &none, "/tokens/ngt_"),
            ("/tokens/{token}", None, vec![value("token", "ngt_mine")], &none, "/tokens/ngt_mine"),
            (
                "/products/{product}/secret:rotate",
                None,
                vec![value("product", "a/b")],
                &none,
                "/products/a%2Fb/secret",
            ),
            ("/devices/{device}", Some("reset"), vec![value("device", "d:1:reset")], &none, "/devices/d%3A1"),
            (
                "/devices/{device}",
                Some("reset"),
                vec![value("device", "d:reset")],
                &device("pk", "d"),
                "/products/pk/devices/d",
            ),
            (
                "/products/{product}/devices/{device}/commands/{id}",
                Some("cancel"),
                vec![value("product", "pk"), value("device", "d:x"), value("id", "7:cancel")],
                &device("pk", "d:x"),
                "/products/pk/devices/d%3Ax/commands/7",
            ),
        ] {
            assert_eq!(rule(Method::POST, path, act).named(&parameters).target(place), target);
        }
    }
}
