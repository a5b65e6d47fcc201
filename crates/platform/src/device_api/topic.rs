//! From a path to a topic of the session's own device.

use std::borrow::Cow;

use narrowgate_coap::{Code, UriPath};

use super::points::Verb;
use crate::rules::admission::Grant;

/// A topic of the session's own device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// `/auth/{pk}/{dk}`
    Login,
    /// `/topic/ext/session/{pk}/{dk}/thing/activate/info`
    ActivateInfo,
    /// `/topic/ext/session/{pk}/{dk}/thing/activate/info_reply`
    ActivateInfoReply,
    /// `/topic/sys/{pk}/{dk}/thing/measurepoint/…`
    Points(Verb),
}

/// Why a path leads to no topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTopic {
    /// It names another device. Whether that exists, and whether it has such a topic, is not looked at.
    Foreign,
    /// There is no such path.
    Unknown,
}

impl Topic {
    /// The only method that the topic has.
    pub(super) fn method(self) -> Code {
        match self {
            Self::ActivateInfo => Code::GET,
            Self::Login | Self::ActivateInfoReply | Self::Points(_) => Code::POST,
        }
    }
}

/// Finds the topic. Keys are compared as bytes with those of the identity.
pub(super) fn find(session: &Grant, path: &UriPath) -> Result<Topic, NoTopic> {
    /// One more than the longest path has, so that a longer one does not look like it.
    const SEGMENTS_MAX: usize = 9;
    let segments: Vec<Cow<'_, str>> = path.segments().take(SEGMENTS_MAX).collect();
    let mut names = [""; SEGMENTS_MAX];
    for (name, segment) in names.iter_mut().zip(&segments) {
        *name = segment;
    }
    let (product_key, device_key, topic) = match &names[..segments.len()] {
        ["auth", product_key, device_key] => (product_key, device_key, Some(Topic::Login)),
        ["topic", "sys", product_key, device_key, rest @ ..] => (product_key, device_key, sys(rest)),
        ["topic", "ext", "session", product_key, device_key, rest @ ..] => {
            (product_key, device_key, ext_session(rest))
        }
        _ => return Err(NoTopic::Unknown),
    };
    if *product_key != session.product_key || *device_key != session.device_key {
        return Err(NoTopic::Foreign);
    }
    topic.ok_or(NoTopic::Unknown)
}

fn sys(rest: &[&str]) -> Option<Topic> {
    match rest {
        ["thing", "measurepoint", "post"] => Some(Topic::Points(Verb::Post)),
        ["thing", "measurepoint", "post", "batch"] => Some(Topic::Points(Verb::PostBatch)),
        ["thing", "measurepoint", "resume"] => Some(Topic::Points(Verb::Resume)),
        ["thing", "measurepoint", "resume", "batch"] => Some(Topic::Points(Verb::ResumeBatch)),
        _ => None,
    }
}

fn ext_session(rest: &[&str]) -> Option<Topic> {
    match rest {
        ["thing", "activate", "info"] => Some(Topic::ActivateInfo),
        ["thing", "activate", "info_reply"] => Some(Topic::ActivateInfoReply),
        _ => None,
    }
}
