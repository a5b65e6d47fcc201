//! Messages of a device beside its reports, and commands to it (device protocol, sections 5 and 6).

use std::time::Duration;

use narrowgate_coap::{Request, format};
use narrowgate_platform::model::command::{CommandTopic, Order};
use serde::Deserialize;

use crate::device::{DeviceEvent, Identity};

/// How long a device has to answer a command that it has fetched, seconds.
const TIMEOUT_S: u32 = 30;

/// A command as a device has fetched it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Fetched {
    id: String,
    method: String,
}

impl Fetched {
    /// The command that an answer holds, if it holds one.
    pub(super) fn of(event: &DeviceEvent) -> Option<Self> {
        let payload = match event {
            DeviceEvent::Answered(response) => &*response.payload,
            DeviceEvent::Carried { command, .. } => command,
            _ => return None,
        };
        let fetched: Self = serde_json::from_slice(payload).ok()?;
        fetched.method.starts_with("thing.service.").then_some(fetched)
    }

    /// The device's answer to it.
    pub(super) fn answer(&self, identity: &Identity, code: i32) -> Request {
        let Self { id, method } = self;
        let topic = format!("{}_reply", method.replace('.', "/"));
        let body = format!(r#"{{"id":"{id}","code":{code},"data":{{}}}}"#);
        Request::post(&path(identity, &topic), format::JSON, body)
    }
}

/// A message to a topic of the device.
pub(super) fn message(identity: &Identity, topic: &str, params: &str) -> Request {
    let body = format!(r#"{{"id":"7","version":"1.0","params":{params}}}"#);
    Request::post(&path(identity, topic), format::JSON, body)
}

/// A command that sets points.
pub(super) fn order(points: &str, lasts: Duration) -> Order {
    let pending_ttl_s = u32::try_from(lasts.as_secs()).unwrap_or(u32::MAX);
    Order {
        topic: CommandTopic::Set,
        params_json: points.into(),
        pending_ttl_s,
        timeout_s: TIMEOUT_S,
        raw: None,
    }
}

fn path(identity: &Identity, topic: &str) -> String {
    format!("/topic/sys/{}/{}/{topic}", identity.product_key, identity.device_key)
}
