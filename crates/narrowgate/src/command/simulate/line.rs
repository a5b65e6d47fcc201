//! What a simulated device prints: a JSON object for each thing that happens to it.

use std::net::SocketAddr;

use narrowgate_coap::{Code, Request, Response, format};
use narrowgate_platform::device_api::cbor::{self, Limits};
use narrowgate_sim::device::json_of;
use serde::Serialize;
use serde_json::value::RawValue;

use super::life::{What, topic_of_waiting};

/// A line, without its time.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub(super) enum Line {
    Connecting {
        server: String,
        /// The address that the name has.
        address: SocketAddr,
        identity: String,
    },
    Connected {
        suite: &'static str,
    },
    /// The handshake had no answer, or a bad one.
    NotConnected {
        reason: String,
    },
    /// The server has issued the device's secret.
    Secret {
        device_secret: String,
    },
    Sent {
        what: What,
        method: String,
        path: String,
        payload: Option<Text>,
    },
    Received {
        what: What,
        code: String,
        payload: Option<Text>,
        /// The topic of a command that waits: option 2100.
        command_waiting: Option<String>,
        ms: u64,
    },
    Unanswered {
        what: What,
    },
    Command {
        id: Box<RawValue>,
        method: String,
        params: Box<RawValue>,
    },
    /// How far an update of the firmware is: begun, fetched, done, failed, stopped.
    Update {
        state: &'static str,
        version: String,
        /// Of the image, so far.
        bytes: usize,
        of: usize,
    },
    /// A datagram was lost, because that was asked for.
    Lost {
        direction: &'static str,
        bytes: usize,
    },
    /// The system says that nobody is there.
    Unreachable,
    /// The server has ended the session.
    Closed,
    Done {
        reports: u32,
        acknowledged: u32,
        commands: u32,
    },
}

/// A payload: JSON as it is, CBOR as its JSON, anything else as a text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Text {
    Json(Box<RawValue>),
    Other(String),
}

impl Text {
    pub(super) fn of_request(request: &Request) -> Option<Self> {
        let json = match request.content_format {
            Some(format::CBOR) => cbor::to_json(&request.payload, Limits::BODY, None).ok(),
            _ => None,
        };
        json.map_or_else(|| Self::of(&request.payload), |json| Self::of(json.as_bytes()))
    }

    /// `None` for no bytes.
    fn of(payload: &[u8]) -> Option<Self> {
        if payload.is_empty() {
            return None;
        }
        let json = serde_json::from_slice::<Box<RawValue>>(payload).ok();
        // One line each: JSON with line breaks is shown as a text.
        let json = json.filter(|json| !json.get().contains(['\n', '\r'])).map(Self::Json);
        Some(json.unwrap_or_else(|| Self::Other(String::from_utf8_lossy(payload).into_owned())))
    }
}

impl Line {
    pub(super) fn sent(what: What, request: &Request) -> Self {
        Self::Sent {
            what,
            method: if request.method == Code::GET { "GET" } else { "POST" }.to_owned(),
            path: request.path_text().to_owned(),
            payload: Text::of_request(request),
        }
    }

    pub(super) fn received(what: What, response: &Response, ms: u64) -> Self {
        Self::Received {
            what,
            code: response.code.to_string(),
            payload: Text::of(&json_of(response)),
            command_waiting: topic_of_waiting(response),
            ms,
        }
    }

    /// As it is printed, at this time.
    pub(super) fn text(&self, time_ms: i64) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{{\"time\":{time_ms},{}", json.trim_start_matches('{'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_with_its_time_first() {
        let waiting = "/topic/sys/p/d/thing/service/restart";
        let response = Response::new(Code::CHANGED).payload(r#"{"id":"1","code":200}"#);
        let response = response.option(narrowgate_coap::OptionNumber(2100), waiting);
        let line = Line::received(What::Report, &response, 12).text(7);
        let right = concat!(
            r#"{"time":7,"event":"received","what":"report","code":"2.04","payload":{"id":"1","code":200},"#,
            r#""commandWaiting":"/topic/sys/p/d/thing/service/restart","ms":12}"#
        );
        assert_eq!(line, right);
        assert_eq!(Line::Closed.text(7), r#"{"time":7,"event":"closed"}"#);
        assert!(matches!(Text::of(b"no\nJSON"), Some(Text::Other(_))));
        assert!(matches!(Text::of(b"{\n}"), Some(Text::Other(_))));
    }
}
