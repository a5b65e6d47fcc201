//! The answer to a device that asks for its secret (dynamic activation; device protocol, section 3).
//!
//! ```json
//! {"id":"…","version":"1.0","method":"thing.activate.info",
//!  "params":{"assetId":"…","productKey":"…","deviceKey":"…","deviceSecret":"…"}}
//! ```
//!
//! All values are strings, the order is fixed. `id` is the time of the request in milliseconds modulo 2^31,
//! so that it fits an `int` on the device and two answers in a row differ.

use narrowgate_coap::{Code, Response, format};
use serde::Serialize;
use zeroize::Zeroizing;

use super::cbor;
use crate::{
    ids::UnixMillis,
    ports::Issued,
    rules::{admission::Grant, issuing::NotIssued, refusal::Refusal},
    secret::Secret,
};

/// A device's request for its secret, kept until the store has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretWanted {
    /// When the request arrived.
    pub asked: UnixMillis,
    /// Content-Format of the answer.
    pub content_format: u16,
}

/// What to say to the device, and what becomes of its session.
#[derive(Debug)]
pub struct SecretAnswer {
    /// The answer.
    pub response: Response,
    /// Why it was refused, for listeners. The store has written it into the device's log already.
    pub refusal: Option<Refusal>,
    /// Whether the session has no further use: it is closed 5 s after the answer.
    pub done: bool,
}

#[derive(Serialize)]
struct ActivateInfo<'a> {
    id: &'a str,
    version: &'static str,
    method: &'static str,
    params: Params<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Params<'a> {
    asset_id: &'a str,
    product_key: &'a str,
    device_key: &'a str,
    device_secret: &'a str,
}

/// Answers the device once the store has decided. `secret` is the one that the store was asked to issue.
pub fn answer_secret(
    session: &Grant,
    wanted: &SecretWanted,
    outcome: &Issued,
    secret: &Secret,
) -> SecretAnswer {
    let why = match outcome {
        Issued::Done => {
            let response = deliver(session, wanted, secret);
            return SecretAnswer { response, refusal: None, done: true };
        }
        Issued::Refused(why) => *why,
        Issued::Damaged => {
            return SecretAnswer { response: super::unavailable(), refusal: None, done: false };
        }
    };
    let (response, done) = match why {
        NotIssued::QuotaExceeded => {
            // RFC 8516, section 3: Max-Age says when it may work again.
            let response = Response::new(Code::TOO_MANY_REQUESTS);
            (response.max_age(seconds_to_next_hour(wanted.asked)), false)
        }
        // Not the device's fault: it asks again in a new session.
        NotIssued::SecretSuperseded => (super::unavailable(), true),
        NotIssued::UnitSuspended
        | NotIssued::ProductUnavailable
        | NotIssued::DeviceUnavailable
        | NotIssued::AlreadyActivated
        | NotIssued::ProductSecretReplaced
        | NotIssued::DynamicActivationOff => (Response::new(Code::FORBIDDEN), true),
    };
    SecretAnswer { response, refusal: Some(why.refusal()), done }
}

fn deliver(session: &Grant, wanted: &SecretWanted, secret: &Secret) -> Response {
    let id = wanted.asked.0.rem_euclid(1 << 31).to_string();
    let info = ActivateInfo {
        id: &id,
        version: "1.0",
        method: "thing.activate.info",
        params: Params {
            asset_id: session.asset_id(),
            product_key: session.product_key(),
            device_key: session.device_key(),
            device_secret: secret.expose(),
        },
    };
    // Large enough for all but the strangest keys: a vector that grows leaves a copy of the secret behind.
    let mut payload = Zeroizing::new(Vec::with_capacity(768));
    serde_json::to_writer(&mut *payload, &info).expect("strings can always be written as JSON, into memory");
    let payload = match wanted.content_format {
        // Shorter than its JSON, for which it has room from the beginning.
        format::CBOR => cbor::from_json(&payload),
        _ => std::mem::take(&mut *payload),
    };
    let response = Response::new(Code::CONTENT).content_format(wanted.content_format).max_age(0);
    response.secret_payload(payload)
}

fn seconds_to_next_hour(now: UnixMillis) -> u32 {
    // At most an hour, so it fits.
    (3600 - now.0.div_euclid(1000).rem_euclid(3600)) as u32
}

#[cfg(test)]
mod tests {
    use narrowgate_coap::OptionNumber;

    use super::*;
    use crate::{ids::DeviceId, model::log::Reason, rules::identity::SecureMode};

    fn named(device_key: &str) -> Grant {
        let names = ["MuGsF6W4", device_key, "As5etId1"];
        Grant::new(DeviceId(1), names, SecureMode::ProductSecret, (60, 1))
    }

    fn session() -> Grant {
        named("15bBZlRknc")
    }

    fn answer(outcome: &Issued, session: &Grant) -> SecretAnswer {
        // 2024-01-01T00:10:00Z
        let wanted = SecretWanted { asked: UnixMillis(1_704_067_800_000), content_format: 50 };
        answer_secret(session, &wanted, outcome, &Secret::new("Z5YtZaQpK5IWocakV7zQ".into()))
    }

    #[test]
    fn the_secret_is_delivered_in_the_protocols_form() {
        let answer = answer(&Issued::Done, &session());
        assert_eq!((answer.response.code, answer.refusal, answer.done), (Code::CONTENT, None, true));
        assert_eq!(answer.response.options.find_uint(OptionNumber::CONTENT_FORMAT), Some(50));
        assert_eq!(answer.response.options.find_uint(OptionNumber::MAX_AGE), Some(0));
        let id = 1_704_067_800_000_i64 % (1 << 31);
        let expected = format!(
            "{{\"id\":\"{id}\",\"version\":\"1.0\",\"method\":\"thing.activate.info\",\
             \"params\":{{\"assetId\":\"As5etId1\",\"productKey\":\"MuGsF6W4\",\
             \"deviceKey\":\"15bBZlRknc\",\"deviceSecret\":\"Z5YtZaQpK5IWocakV7zQ\"}}}}"
        );
        assert_eq!(String::from_utf8(answer.response.payload.to_vec()), Ok(expected));
    }

    #[test]
    fn attack_158_every_refusal_has_its_code_and_reason() {
        for (outcome, code, reason, number, done) in [
            (NotIssued::AlreadyActivated, Code::FORBIDDEN, Reason::AlreadyActivated, Some(771), true),
            (NotIssued::DynamicActivationOff, Code::FORBIDDEN, Reason::DynamicActivationOff, Some(770), true),
            (NotIssued::DeviceUnavailable, Code::FORBIDDEN, Reason::DeviceDisabled, Some(723), true),
            (NotIssued::ProductUnavailable, Code::FORBIDDEN, Reason::ProductDisabled, Some(723), true),
            (NotIssued::UnitSuspended, Code::FORBIDDEN, Reason::UnitSuspended, Some(723), true),
            (NotIssued::QuotaExceeded, Code::TOO_MANY_REQUESTS, Reason::RateLimited, None, false),
            (NotIssued::ProductSecretReplaced, Code::FORBIDDEN, Reason::WrongKey, Some(742), true),
            (NotIssued::SecretSuperseded, Code::SERVICE_UNAVAILABLE, Reason::WrongKey, Some(742), true),
        ] {
            let answer = answer(&Issued::Refused(outcome), &session());
            let refusal = answer.refusal.expect("it is refused");
            assert_eq!(
                (answer.response.code, refusal.reason, refusal.code(), answer.done),
                (code, Some(reason), number, done)
            );
            assert!(answer.response.payload.is_empty());
        }
    }

    #[test]
    fn a_used_up_quota_says_when_the_next_hour_begins() {
        let answer = answer(&Issued::Refused(NotIssued::QuotaExceeded), &session());
        assert_eq!(answer.response.options.find_uint(OptionNumber::MAX_AGE), Some(50 * 60));
        assert_eq!(seconds_to_next_hour(UnixMillis(3_599_999)), 1);
        assert_eq!(seconds_to_next_hour(UnixMillis(3_600_000)), 3600);
    }

    #[test]
    fn the_answer_and_the_wish_do_not_show_the_secret_when_debugged() {
        assert!(!format!("{:?}", answer(&Issued::Done, &session())).contains("Z5Yt"));
    }

    #[test]
    fn the_answer_is_wiped_when_it_is_dropped_and_did_not_grow_before() {
        let json = answer(&Issued::Done, &session()).response.payload;
        assert!(json.is_secret() && json.capacity() == 768);
        let wanted = SecretWanted { asked: UnixMillis(1_704_067_800_000), content_format: 60 };
        let secret = Secret::new("Z5YtZaQpK5IWocakV7zQ".into());
        let cbor = answer_secret(&session(), &wanted, &Issued::Done, &secret).response.payload;
        assert!(cbor.is_secret() && cbor.capacity() == json.len(), "{} {}", cbor.capacity(), json.len());
    }

    #[test]
    fn keys_with_quotation_marks_stay_inside_their_strings() {
        let session = named("a\"b\\c");
        let payload = answer(&Issued::Done, &session).response.payload;
        let value: serde_json::Value = serde_json::from_slice(&payload).expect("it is JSON");
        assert_eq!(value["params"]["deviceKey"], "a\"b\\c");
    }
}
