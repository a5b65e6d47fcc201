//! The table of topics, and the way from a path to one of them. What a topic is, who may use it and what words
//! about paths are made of all follow from [`TOPICS`]; the table in the module above is printed from it.

use std::borrow::Cow;

use narrowgate_coap::{Code, UriPath};

use super::points::Verb;
use crate::rules::{admission::Grant, identity::SecureMode};

/// A topic of the session's own device: `/root/{pk}/{dk}/rest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Topic {
    /// The segments before the two keys.
    root: &'static [&'static str],
    /// Those behind them.
    rest: &'static [&'static str],
    /// The only method that the topic has.
    pub(super) method: Code,
    /// Sessions that may use it.
    modes: &'static [SecureMode],
    /// What a request does.
    pub(super) handler: Handler,
}

/// What a request to a topic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handler {
    /// Stores reports.
    Report(Verb),
    /// Has a secret issued.
    IssueSecret,
    /// Is acknowledged.
    Acknowledge,
}

/// Why a path leads to no topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTopic {
    /// It names another device. Whether that exists, and whether it has such a topic, is not looked at.
    Foreign,
    /// There is no such path.
    Unknown,
}

const SYS: &[&str] = &["topic", "sys"];
const SESSION: &[&str] = &["topic", "ext", "session"];
const OWN: &[SecureMode] = &[SecureMode::DeviceSecret];
const PRODUCTS: &[SecureMode] = &[SecureMode::ProductSecret];
const BOTH: &[SecureMode] = &[SecureMode::DeviceSecret, SecureMode::ProductSecret];

/// Every topic. Of two that a misspelt path is as near to, the first is named.
pub(super) const TOPICS: [Topic; 7] = [
    Topic::report(&["thing", "measurepoint", "post"], Verb::Post),
    Topic::report(&["thing", "measurepoint", "post", "batch"], Verb::PostBatch),
    Topic::report(&["thing", "measurepoint", "resume"], Verb::Resume),
    Topic::report(&["thing", "measurepoint", "resume", "batch"], Verb::ResumeBatch),
    Topic {
        root: SESSION,
        rest: &["thing", "activate", "info"],
        method: Code::GET,
        modes: PRODUCTS,
        handler: Handler::IssueSecret,
    },
    Topic {
        root: SESSION,
        rest: &["thing", "activate", "info_reply"],
        method: Code::POST,
        modes: BOTH,
        handler: Handler::Acknowledge,
    },
    Topic { root: &["auth"], rest: &[], method: Code::POST, modes: OWN, handler: Handler::Acknowledge },
];

impl Topic {
    const fn report(rest: &'static [&'static str], verb: Verb) -> Self {
        Self { root: SYS, rest, method: Code::POST, modes: OWN, handler: Handler::Report(verb) }
    }

    /// Whether a session of this mode may use it.
    pub(super) fn is_for(&self, mode: SecureMode) -> bool {
        self.modes.contains(&mode)
    }

    /// The keys in a path that begins as the topic does, and what follows them. A topic that ends with its keys
    /// has nothing behind them.
    fn split<'a, 'b>(&self, path: &'a [&'b str]) -> Option<(&'b str, &'b str, &'a [&'b str])> {
        let [product_key, device_key, rest @ ..] = path.strip_prefix(self.root)? else { return None };
        (rest.is_empty() || !self.rest.is_empty()).then_some((*product_key, *device_key, rest))
    }
}

/// Finds the topic. Keys are compared as bytes with those of the identity.
pub(super) fn find(session: &Grant, path: &UriPath) -> Result<&'static Topic, NoTopic> {
    /// One more than the longest path has, so that a longer one does not look like it.
    const SEGMENTS_MAX: usize = 9;
    let segments: Vec<Cow<'_, str>> = path.segments().take(SEGMENTS_MAX).collect();
    let mut names = [""; SEGMENTS_MAX];
    for (name, segment) in names.iter_mut().zip(&segments) {
        *name = segment;
    }
    for topic in &TOPICS {
        let Some((product_key, device_key, rest)) = topic.split(&names[..segments.len()]) else { continue };
        if product_key != session.product_key || device_key != session.device_key {
            return Err(NoTopic::Foreign);
        }
        if rest == topic.rest {
            return Ok(topic);
        }
    }
    Err(NoTopic::Unknown)
}

/// What stands behind `/topic/sys/{pk}/{dk}/`, of each topic there.
pub(super) fn of_reports() -> impl Iterator<Item = String> {
    TOPICS.iter().filter(|topic| topic.root == SYS).map(|topic| topic.rest.join("/"))
}

/// The word of the protocol that this one is but for the case of its letters.
pub(super) fn word(like: &str) -> Option<&'static str> {
    let words = TOPICS.iter().flat_map(|topic| topic.root.iter().chain(topic.rest));
    words.copied().find(|word| like.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of the table in the module above.
    fn row(topic: &Topic) -> String {
        let method = if topic.method == Code::GET { "GET" } else { "POST" };
        let modes: Vec<_> = topic.modes.iter().map(|mode| mode.digit().to_string()).collect();
        let action = match topic.handler {
            Handler::Report(Verb::Post | Verb::Resume) => "store a report, then 2.04",
            Handler::Report(Verb::PostBatch | Verb::ResumeBatch) => {
                "store several reports or none, then 2.04"
            }
            Handler::IssueSecret => "issue a device secret, then 2.05",
            Handler::Acknowledge => "2.04, no effect",
        };
        let path = [topic.root, &["{pk}", "{dk}"], topic.rest].concat().join("/");
        format!("//! | `/{path}` | {method} | {} | {action} |", modes.join(", "))
    }

    #[test]
    fn the_table_of_the_docs_is_the_table_of_topics() {
        let printed: Vec<_> = TOPICS.iter().map(row).collect();
        println!("{}", printed.join("\n"));
        let docs = include_str!("mod.rs").lines().filter(|line| line.starts_with("//! | `/"));
        assert_eq!(docs.collect::<Vec<_>>(), printed);
    }
}
