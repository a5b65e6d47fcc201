//! Traces as OTLP has them in JSON: the mapping of `opentelemetry-proto`, in which ids are hex and 64-bit
//! integers are text.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use narrowgate_platform::ports::Entropy;
use serde_json::{Value, json};

use super::Trace;

/// `SPAN_KIND_INTERNAL`
const INTERNAL: u8 = 1;
/// `SPAN_KIND_SERVER`
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;

/// An `ExportTraceServiceRequest`. `now` is the same moment by both clocks.
pub(super) fn document(traces: &[Trace], now: (Instant, SystemTime), entropy: &dyn Entropy) -> Value {
    let spans: Vec<Value> = traces.iter().flat_map(|trace| spans(trace, now, entropy)).collect();
    let resource =
        [attribute("service.name", "narrowgate"), attribute("service.version", env!("CARGO_PKG_VERSION"))];
    let scoped = json!([{"scope": {"name": "narrowgate"}, "spans": spans}]);
    json!({"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": scoped}]})
}

fn spans(trace: &Trace, now: (Instant, SystemTime), entropy: &dyn Entropy) -> Vec<Value> {
    let (trace_id, root) = (id::<16>(entropy), id::<8>(entropy));
    let span = |name: &str, from: Instant, to: Instant| {
        json!({
            "traceId": trace_id,
            "name": name,
            "startTimeUnixNano": unix_nanos(from, now),
            "endTimeUnixNano": unix_nanos(to, now),
        })
    };
    let mut request = span("request", trace.taken, trace.answered);
    request["spanId"] = root.as_str().into();
    request["kind"] = SERVER.into();
    request["attributes"] = json!([attribute("url.path", &trace.path)]);
    if !trace.is_stored {
        request["status"] = json!({"code": ERROR, "message": "the store refused it"});
    }
    let parts = [
        ("decide", trace.taken, trace.decided),
        ("gather", trace.decided, trace.gathered),
        ("commit", trace.gathered, trace.committed),
        ("answer", trace.committed, trace.answered),
    ];
    let parts = parts.map(|(name, from, to)| {
        let mut part = span(name, from, to);
        part["spanId"] = id::<8>(entropy).into();
        part["parentSpanId"] = root.as_str().into();
        part["kind"] = INTERNAL.into();
        part
    });
    [request].into_iter().chain(parts).collect()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Random bytes as hex.
fn id<const BYTES: usize>(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; BYTES];
    entropy.fill(&mut bytes);
    hex::encode(bytes)
}

fn unix_nanos(at: Instant, (instant, wall): (Instant, SystemTime)) -> String {
    let wall = wall.checked_sub(instant.saturating_duration_since(at)).unwrap_or(UNIX_EPOCH);
    wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use narrowgate_platform::testing::SeededEntropy;

    use super::*;

    #[test]
    fn a_trace_has_a_span_for_the_request_and_one_for_each_part() {
        let taken = Instant::now();
        let at = |ms| taken + Duration::from_millis(ms);
        let trace = Trace {
            path: "/topic/x".to_owned(),
            taken,
            decided: at(1),
            gathered: at(3),
            committed: at(10),
            answered: at(11),
            is_stored: true,
        };
        let now = (at(1000), UNIX_EPOCH + Duration::from_secs(100));
        let document = document(std::slice::from_ref(&trace), now, &SeededEntropy::new(1));
        let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().expect("there are");
        let times: Vec<_> = spans
            .iter()
            .map(|span| [&span["name"], &span["startTimeUnixNano"], &span["endTimeUnixNano"]])
            .collect();
        let expected = [
            ["request", "99000000000", "99011000000"],
            ["decide", "99000000000", "99001000000"],
            ["gather", "99001000000", "99003000000"],
            ["commit", "99003000000", "99010000000"],
            ["answer", "99010000000", "99011000000"],
        ];
        assert_eq!(times, expected);
        let ids: std::collections::BTreeSet<_> =
            spans.iter().map(|span| span["spanId"].as_str().expect("it is text")).collect();
        assert!(ids.len() == 5 && ids.iter().all(|id| id.len() == 16), "{ids:?}");
        for part in &spans[1..] {
            assert_eq!(
                (&part["parentSpanId"], &part["traceId"]),
                (&spans[0]["spanId"], &spans[0]["traceId"])
            );
        }
        assert_eq!(spans[0]["traceId"].as_str().map(str::len), Some(32));
        assert_eq!(spans[0]["status"], Value::Null);
        let refused = Trace { is_stored: false, ..trace };
        let document = super::document(&[refused], now, &SeededEntropy::new(1));
        assert_eq!(document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"]["code"], 2);
    }
}
