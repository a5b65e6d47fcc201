//! The requests of the device protocol, and how a device reads the answers.

use std::{borrow::Cow, fmt, sync::Arc, time::Instant};

use narrowgate_coap::{Code, OptionNumber, Request, Response, format};
use narrowgate_platform::device_api::cbor::{self, Limits};
use serde::Deserialize;
use zeroize::ZeroizeOnDrop;

use super::config::{DeviceConfig, Identity};
use crate::key::key_of;

/// Values of measuring points, and the number under which they are acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The `id` of the message; the caller keeps it unique per device.
    pub id: u64,
    /// When it was measured, Unix ms; without it the time of arrival is used.
    pub time_ms: Option<i64>,
    /// The points, as the text of a JSON object: `{"temp":21.5}`.
    pub points: Arc<str>,
}

/// A report that the server has answered 2.04 with code 200: it must be in the store, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcknowledgedReport {
    /// What was reported.
    pub report: Report,
    /// When the answer came.
    pub at: Instant,
}

/// A secret that the server issued to the device.
#[derive(ZeroizeOnDrop)]
pub struct IssuedSecret(String);

impl IssuedSecret {
    /// The secret's text, for deriving the key.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl PartialEq for IssuedSecret {
    /// Compares the derived keys, which takes the same time for all.
    fn eq(&self, other: &Self) -> bool {
        key_of(self.as_bytes()) == key_of(other.as_bytes())
    }
}

impl Eq for IssuedSecret {}

impl fmt::Debug for IssuedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IssuedSecret(…)")
    }
}

/// A POST of this JSON in a format: JSON or CBOR.
pub fn post_json(target: &str, content_format: u16, json: &str) -> Request {
    let body = match content_format {
        format::CBOR => cbor::from_json(json.as_bytes()),
        _ => json.as_bytes().to_vec(),
    };
    Request::post(target, content_format, body)
}

/// The JSON of a response, also where it came as CBOR.
pub fn json_of(response: &Response) -> Cow<'_, [u8]> {
    match response.options.find_uint(OptionNumber::CONTENT_FORMAT) {
        Some(number) if number == u32::from(format::CBOR) => {
            let json = cbor::to_json(&response.payload, Limits::BODY, None).unwrap_or_default();
            Cow::Owned(json.into_bytes())
        }
        _ => Cow::Borrowed(&response.payload),
    }
}

impl Report {
    pub(super) fn request(&self, config: &DeviceConfig) -> Request {
        let Identity { product_key, device_key, .. } = &config.identity;
        let Self { id, points, .. } = self;
        let time = self.time_ms.map(|time| format!(r#","time":{time}"#)).unwrap_or_default();
        let target = format!("/topic/sys/{product_key}/{device_key}/thing/measurepoint/post");
        let body = format!(
            "{{\"id\":\"{id}\",\"version\":\"1.0\",\"params\":{{\"measurepoints\":{points}{time}}},\
             \"method\":\"thing.measurepoint.post\"}}"
        );
        post_json(&target, config.content_format, &body)
    }

    /// The `code` of the reply; `None` when the answer is not 2.04 with a reply to this report.
    pub(super) fn reply_code(&self, response: &Response) -> Option<i64> {
        #[derive(Deserialize)]
        struct Reply<'a> {
            id: &'a str,
            code: i64,
        }
        if response.code != Code::CHANGED {
            return None;
        }
        let json = json_of(response);
        let reply: Reply<'_> = serde_json::from_slice(&json).ok()?;
        (reply.id.parse() == Ok(self.id)).then_some(reply.code)
    }
}

/// The login by plain CoAP (device protocol, section 8).
pub(super) fn login_request(config: &DeviceConfig, sign: &str) -> Request {
    let Identity { product_key, device_key, lifetime_s, .. } = &config.identity;
    let body = format!(r#"{{"secureMode":2,"lifetime":{lifetime_s},"sign":"{sign}"}}"#);
    post_json(&format!("/auth/{product_key}/{device_key}"), config.content_format, &body)
}

/// The request for the device's own secret.
pub(super) fn activation_request(config: &DeviceConfig) -> Request {
    let Identity { product_key, device_key, .. } = &config.identity;
    let get = Request::get(&format!("/topic/ext/session/{product_key}/{device_key}/thing/activate/info"));
    match config.content_format {
        format::JSON => get,
        other => get.accept(other),
    }
}

/// The secret in the answer to it; `None` if the answer is anything else.
pub(super) fn issued_secret(identity: &Identity, response: &Response) -> Option<IssuedSecret> {
    #[derive(Deserialize)]
    struct Answer {
        method: String,
        params: Params,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        product_key: String,
        device_key: String,
        device_secret: String,
    }
    if !matches!(response.code, Code::CONTENT | Code::CHANGED) {
        return None;
    }
    let Answer { method, params } = serde_json::from_slice(&json_of(response)).ok()?;
    let secret = IssuedSecret(params.device_secret);
    let ours = params.product_key == identity.product_key && params.device_key == identity.device_key;
    (method == "thing.activate.info" && ours).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report { id: 7, time_ms: Some(1_700_000_000_000), points: r#"{"temp":21.5}"#.into() }
    }

    #[test]
    fn a_report_is_written_as_the_protocol_says() {
        let config = DeviceConfig::new(Identity::new("MuGsF6W4", "15bBZlRknc"), key_of(b"secret"));
        let request = report().request(&config);
        assert_eq!(request.path_text(), "/topic/sys/MuGsF6W4/15bBZlRknc/thing/measurepoint/post");
        assert_eq!(
            String::from_utf8_lossy(&request.payload),
            concat!(
                r#"{"id":"7","version":"1.0","params":{"measurepoints":{"temp":21.5},"#,
                r#""time":1700000000000},"method":"thing.measurepoint.post"}"#
            )
        );
        let untimed = Report { time_ms: None, ..report() }.request(&config);
        assert!(!String::from_utf8_lossy(&untimed.payload).contains("time\""));
        let in_cbor = report().request(&DeviceConfig { content_format: format::CBOR, ..config });
        assert_eq!(in_cbor.content_format, Some(format::CBOR));
        let json = cbor::to_json(&in_cbor.payload, Limits::BODY, None).expect("it is CBOR");
        assert_eq!(json.as_bytes(), request.payload);
    }

    #[test]
    fn only_a_reply_to_this_report_counts() {
        let answer = |code, payload: &str| Response::new(code).payload(payload);
        let good = answer(Code::CHANGED, r#"{"id":"7","code":200,"data":{}}"#);
        assert_eq!(report().reply_code(&good), Some(200));
        let refused = answer(Code::CHANGED, r#"{"id":"7","code":1204,"message":"no such point"}"#);
        assert_eq!(report().reply_code(&refused), Some(1204));
        let in_cbor = good.clone().content_format(format::CBOR).payload(cbor::from_json(&good.payload));
        assert_eq!(report().reply_code(&in_cbor), Some(200));
        let of_another = answer(Code::CHANGED, r#"{"id":"8","code":200,"data":{}}"#);
        assert_eq!(report().reply_code(&of_another), None);
        assert_eq!(report().reply_code(&answer(Code::CHANGED, "")), None);
        assert_eq!(report().reply_code(&answer(Code::CONTENT, r#"{"id":"7","code":200}"#)), None);
    }

    #[test]
    fn a_secret_is_taken_only_when_it_is_ours() {
        let identity = Identity::new("MuGsF6W4", "15bBZlRknc");
        let text = concat!(
            r#"{"id":"1","version":"1.0","method":"thing.activate.info","params":{"assetId":"a","#,
            r#""productKey":"MuGsF6W4","deviceKey":"15bBZlRknc","deviceSecret":"Z5YtZaQpK5IWocakV7zQ"}}"#
        );
        let response = Response::new(Code::CONTENT).payload(text);
        let secret = issued_secret(&identity, &response).expect("it is for us");
        assert_eq!(secret.as_bytes(), b"Z5YtZaQpK5IWocakV7zQ");
        assert_eq!(format!("{secret:?}"), "IssuedSecret(…)");
        let as_changed = Response { code: Code::CHANGED, ..response.clone() };
        assert!(issued_secret(&identity, &as_changed).is_some(), "a product may be set to answer so");
        let refused = Response { code: Code::FORBIDDEN, ..response.clone() };
        assert!(issued_secret(&identity, &refused).is_none());
        assert_eq!(issued_secret(&Identity::new("MuGsF6W4", "another"), &response), None);
    }
}
