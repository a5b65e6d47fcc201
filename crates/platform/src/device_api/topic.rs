//! The table of topics, and the way from a path to one of them. What a topic is, who may use it and the words
//! about paths all follow from [`TOPICS`]; the table in the parent module is printed from it.

use std::borrow::Cow;

use narrowgate_coap::{Code, UriPath};

pub(super) mod short;

use super::{ota::OtaVerb, points::Verb, properties::PropertyVerb};
use crate::{
    model::{command::CommandKind, property::PropertyKind},
    rules::{admission::Grant, identity::SecureMode},
};

/// A topic of the session's own device: the root, the two keys, the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Topic {
    /// The segments before the two keys.
    pub(super) root: &'static [&'static str],
    /// The segments after them. One that begins with `{` stands for any that ends with what follows the `}`.
    pub(super) rest: &'static [&'static str],
    /// The only method that the topic has.
    pub(super) method: Code,
    /// Sessions that may use it.
    pub(super) modes: &'static [SecureMode],
    /// What a request does.
    pub(super) handler: Handler,
}

/// What a request to a topic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handler {
    /// Does what the message in its body says.
    Message(MessageOf),
    /// Gets the oldest command of this kind.
    FetchCommand(CommandKind),
    /// Answers a command of this kind.
    ReplyToCommand(CommandKind),
    /// Does what the message says that a script makes of the bytes in its body.
    Bytes,
    /// Says how many commands wait; can be observed.
    CountCommands,
    /// Has a secret issued.
    IssueSecret,
    /// Is only acknowledged.
    Acknowledge,
}

/// What the messages of a topic are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageOf {
    /// Reports, which are stored.
    Points(Verb),
    /// Attributes or tags, which are changed or answered.
    Properties(PropertyKind, PropertyVerb),
    /// An event, whose identifier stands in the path, and which is stored.
    Event,
    /// The firmware of the device.
    Ota(OtaVerb),
}

/// Why a path leads to no topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTopic {
    /// It names another device. Whether that device exists, and whether it has such a topic, is not checked.
    Foreign,
    /// There is no such path.
    Unknown,
}

/// The first segment of a topic's path; over MQTT, the topic has none.
pub(super) const PREFIX: &str = "topic";
pub(super) const SYS: &[&str] = &[PREFIX, "sys"];
const SESSION: &[&str] = &[PREFIX, "ext", "session"];
const OWN: &[SecureMode] = &[SecureMode::DeviceSecret];
const PRODUCTS: &[SecureMode] = &[SecureMode::ProductSecret];
const BOTH: &[SecureMode] = &[SecureMode::DeviceSecret, SecureMode::ProductSecret];

/// Every topic. Where a misspelt path is equally near to two, the first is suggested.
pub(super) const TOPICS: [Topic; 29] = [
    Topic::report(&["thing", "measurepoint", "post"], Verb::Post),
    Topic::report(&["thing", "measurepoint", "post", "batch"], Verb::PostBatch),
    Topic::report(&["thing", "measurepoint", "resume"], Verb::Resume),
    Topic::report(&["thing", "measurepoint", "resume", "batch"], Verb::ResumeBatch),
    Topic::attribute(&["thing", "attribute", "update"], PropertyVerb::Update),
    Topic::attribute(&["thing", "attribute", "query"], PropertyVerb::Query),
    Topic::attribute(&["thing", "attribute", "delete"], PropertyVerb::Delete),
    Topic::tag(&["thing", "tag", "update"], PropertyVerb::Update),
    Topic::tag(&["thing", "tag", "query"], PropertyVerb::Query),
    Topic::tag(&["thing", "tag", "delete"], PropertyVerb::Delete),
    Topic::own(&["thing", "event", "{eventId}", "post"], MessageOf::Event),
    Topic::own(&["ota", "device", "inform"], MessageOf::Ota(OtaVerb::Inform)),
    Topic::own(&["ota", "device", "progress"], MessageOf::Ota(OtaVerb::Progress)),
    Topic::own(&["ota", "device", "getversion"], MessageOf::Ota(OtaVerb::GetVersion)),
    Topic::command(&["ota", "device", "upgrade"], CommandKind::Upgrade),
    Topic::reply(&["ota", "device", "upgrade_reply"], CommandKind::Upgrade),
    Topic::command(&["thing", "service", "measurepoint", "set"], CommandKind::Set),
    Topic::reply(&["thing", "service", "measurepoint", "set_reply"], CommandKind::Set),
    Topic::command(&["thing", "service", "measurepoint", "get"], CommandKind::Get),
    Topic::reply(&["thing", "service", "measurepoint", "get_reply"], CommandKind::Get),
    // Before the topic of commands, which it fits too: a service whose id ends like that has no topic.
    Topic::reply(&["thing", "service", "{serviceId}_reply"], CommandKind::Service),
    Topic::command(&["thing", "service", "{serviceId}"], CommandKind::Service),
    Topic {
        root: SYS,
        rest: &["thing", "model", "up_raw"],
        method: Code::POST,
        modes: OWN,
        handler: Handler::Bytes,
    },
    Topic::command(&["thing", "model", "down_raw"], CommandKind::Raw),
    Topic {
        root: SYS,
        rest: &["thing", "model", "down_raw_reply"],
        method: Code::POST,
        modes: OWN,
        handler: Handler::Bytes,
    },
    Topic {
        root: SYS,
        rest: &["thing", "commands"],
        method: Code::GET,
        modes: OWN,
        handler: Handler::CountCommands,
    },
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
        Self::own(rest, MessageOf::Points(verb))
    }

    const fn attribute(rest: &'static [&'static str], verb: PropertyVerb) -> Self {
        Self::own(rest, MessageOf::Properties(PropertyKind::Attribute, verb))
    }

    const fn tag(rest: &'static [&'static str], verb: PropertyVerb) -> Self {
        Self::own(rest, MessageOf::Properties(PropertyKind::Tag, verb))
    }

    const fn own(rest: &'static [&'static str], of: MessageOf) -> Self {
        Self { root: SYS, rest, method: Code::POST, modes: OWN, handler: Handler::Message(of) }
    }

    const fn command(rest: &'static [&'static str], kind: CommandKind) -> Self {
        Self { root: SYS, rest, method: Code::GET, modes: OWN, handler: Handler::FetchCommand(kind) }
    }

    const fn reply(rest: &'static [&'static str], kind: CommandKind) -> Self {
        Self { root: SYS, rest, method: Code::POST, modes: OWN, handler: Handler::ReplyToCommand(kind) }
    }

    /// Whether a session of this mode may use it.
    pub(super) fn is_for(&self, mode: SecureMode) -> bool {
        self.modes.contains(&mode)
    }

    /// Whether it is for devices whose product has the data format `custom` alone.
    pub(super) fn is_of_bytes(&self) -> bool {
        matches!(self.handler, Handler::Bytes | Handler::FetchCommand(CommandKind::Raw))
    }

    /// Whether it ends with these segments.
    fn is_at(&self, rest: &[&str]) -> bool {
        let fits = |(given, own): (&&str, &&str)| given == own || filled(own, given).is_some();
        rest.len() == self.rest.len() && rest.iter().zip(self.rest).all(fits)
    }

    /// What stands in the place of the placeholder.
    fn parameter(&self, rest: &[&str]) -> Option<String> {
        let filled = rest.iter().zip(self.rest).find_map(|(given, own)| filled(own, given));
        filled.map(str::to_owned)
    }

    /// Whether it has a placeholder, and so many paths.
    fn has_placeholder(&self) -> bool {
        self.rest.iter().any(|segment| segment.starts_with('{'))
    }

    /// The keys in a path that begins as the topic does, and what follows them: nothing, if the topic ends
    /// with its keys.
    fn split<'a, 'b>(&self, path: &'a [&'b str]) -> Option<(&'b str, &'b str, &'a [&'b str])> {
        let [product_key, device_key, rest @ ..] = path.strip_prefix(self.root)? else { return None };
        (rest.is_empty() || !self.rest.is_empty()).then_some((*product_key, *device_key, rest))
    }
}

/// What a segment has in the place of a placeholder; `None`: there is none, or the segment does not fit it.
fn filled<'a>(own: &str, given: &'a str) -> Option<&'a str> {
    let (_, end) = own.strip_prefix('{')?.split_once('}')?;
    given.strip_suffix(end).filter(|filled| !filled.is_empty())
}

/// A topic that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The topic.
    pub(super) topic: &'static Topic,
    /// What stands in the place of its placeholder, where it has one.
    pub(super) parameter: Option<String>,
}

/// Finds the topic. Keys are compared as bytes with those of the identity.
pub(super) fn find(session: &Grant, path: &UriPath) -> Result<Found, NoTopic> {
    /// One more than the longest path has, so that a longer one does not look like it.
    const SEGMENTS_MAX: usize = 9;
    let mut segments = [const { Cow::Borrowed("") }; SEGMENTS_MAX];
    let mut count = 0;
    for (place, segment) in segments.iter_mut().zip(path.segments()) {
        *place = segment;
        count += 1;
    }
    let names: [&str; SEGMENTS_MAX] = std::array::from_fn(|index| &*segments[index]);
    for topic in &TOPICS {
        let Some((product_key, device_key, rest)) = topic.split(&names[..count]) else { continue };
        if product_key != session.product_key() || device_key != session.device_key() {
            return Err(NoTopic::Foreign);
        }
        if topic.is_at(rest) {
            let parameter = if topic.has_placeholder() { topic.parameter(rest) } else { None };
            return Ok(Found { topic, parameter });
        }
    }
    Err(NoTopic::Unknown)
}

/// The paths of the topics that a session may use, and what goes there or comes from there.
/// Those with a placeholder have many paths, and are left out.
/// Topics of bytes only where the product `has_bytes`.
pub(super) fn of_session(session: &Grant, has_bytes: bool) -> impl Iterator<Item = (UriPath, Content)> {
    let is_one_path = move |topic: &&Topic| {
        let is_served = has_bytes || !topic.is_of_bytes();
        topic.is_for(session.mode) && !topic.has_placeholder() && is_served
    };
    TOPICS.iter().filter(is_one_path).map(|topic| {
        let keys = [session.product_key(), session.device_key()];
        let mut path = UriPath::default();
        topic.root.iter().chain(&keys).chain(topic.rest).for_each(|segment| path.push(segment));
        let content = match () {
            () if topic.rest.is_empty() => Content::Nothing,
            () if topic.is_of_bytes() => Content::Bytes,
            () => Content::Json,
        };
        (path, content)
    })
}

/// What goes to a topic or comes from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// No body.
    Nothing,
    /// JSON, or CBOR.
    Json,
    /// What a script reads and writes.
    Bytes,
}

/// What the messages with this method are about, and the identifier in it, where its topic has one.
pub(super) fn of_method(method: &str) -> Option<(MessageOf, Option<String>)> {
    TOPICS.iter().find_map(|topic| {
        let Handler::Message(of) = topic.handler else { return None };
        let own = topic.rest.join(".");
        let Some((begin, rest)) = own.split_once('{') else { return (own == method).then_some((of, None)) };
        let end = rest.split_once('}').map_or("", |(_, end)| end);
        let parameter = method.strip_prefix(begin)?.strip_suffix(end)?;
        Some((of, Some(parameter.to_owned()))).filter(|_| !parameter.is_empty())
    })
}

/// What follows `/topic/sys/{pk}/{dk}/`, for each topic there to which a device sends messages of its own.
pub(super) fn of_reports() -> impl Iterator<Item = String> {
    let is_message = |topic: &&Topic| matches!(topic.handler, Handler::Message(_));
    TOPICS.iter().filter(is_message).map(|topic| topic.rest.join("/"))
}

/// The path of a report, with placeholders for the keys.
pub(super) fn report_path() -> String {
    let rest = of_reports().next().unwrap_or_default();
    format!("/{}/{{productKey}}/{{deviceKey}}/{rest}", SYS.join("/"))
}

/// The two keys in a path that begins as some topic does.
pub(super) fn keys(path: &[String]) -> Option<(&str, &str)> {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let (product_key, device_key, _) = TOPICS.iter().find_map(|topic| topic.split(&names))?;
    Some((product_key, device_key))
}

/// The two keys in a path that begins as the topics of reports do, and what follows them.
pub(super) fn split_report(path: &[String]) -> Option<(&str, &str, String)> {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let report = TOPICS.iter().find(|topic| topic.root == SYS)?;
    let (product_key, device_key, rest) = report.split(&names)?;
    Some((product_key, device_key, rest.join("/")))
}

/// Whether a path that begins like this lacks only the prefix, as the topics of MQTT do.
pub(super) fn lacks_prefix(first: &str) -> bool {
    TOPICS.iter().any(|topic| topic.root.starts_with(&[PREFIX, first]))
}

/// The word of the protocol that equals this one, ignoring case.
pub(super) fn word(like: &str) -> Option<&'static str> {
    let words = TOPICS.iter().flat_map(|topic| topic.root.iter().chain(topic.rest));
    words.copied().find(|word| like.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of the table in the parent module.
    fn row(topic: &Topic) -> String {
        let method = if topic.method == Code::GET { "GET" } else { "POST" };
        let modes: Vec<_> = topic.modes.iter().map(|mode| mode.digit().to_string()).collect();
        let action = match topic.handler {
            Handler::Message(of) => match of {
                MessageOf::Points(Verb::Post | Verb::Resume) => "store a report, then 2.04",
                MessageOf::Points(Verb::PostBatch | Verb::ResumeBatch) => "store all or none, then 2.04",
                MessageOf::Properties(PropertyKind::Attribute, PropertyVerb::Query) => "2.04 with attributes",
                MessageOf::Properties(PropertyKind::Attribute, _) => "change attributes, then 2.04",
                MessageOf::Properties(PropertyKind::Tag, PropertyVerb::Query) => "2.04 with tags",
                MessageOf::Properties(PropertyKind::Tag, _) => "change tags, then 2.04",
                MessageOf::Event => "store an event, then 2.04",
                MessageOf::Ota(OtaVerb::Inform) => "note the version, then 2.04",
                MessageOf::Ota(OtaVerb::Progress) => "note how far it is, then 2.04",
                MessageOf::Ota(OtaVerb::GetVersion) => "2.04 with versions",
            },
            Handler::FetchCommand(_) => "the oldest command, 2.05",
            Handler::ReplyToCommand(_) => "take a reply, then 2.04",
            Handler::Bytes => "what a script makes of bytes, 2.04",
            Handler::CountCommands => "how many commands wait, 2.05; can be observed",
            Handler::IssueSecret => "issue a device secret, then 2.05",
            Handler::Acknowledge => "2.04, no effect",
        };
        let path = [topic.root, &["{pk}", "{dk}"], topic.rest].concat().join("/");
        format!("//! | `/{path}` | {method} | {} | {action} |", modes.join(", "))
    }

    #[test]
    fn the_table_of_the_docs_is_the_table_of_topics() {
        let printed: Vec<_> = TOPICS.iter().map(row).collect();
        let docs = include_str!("mod.rs").lines().filter(|line| line.starts_with("//! | `/"));
        assert_eq!(docs.collect::<Vec<_>>(), printed, "the table is:\n{}", printed.join("\n"));
    }

    /// In both directions: no topic lacks its row, and no row names a topic that there is not.
    #[test]
    fn every_topic_has_its_row_in_the_guide_for_devices() {
        let guide = include_str!("../../../../docs/device-guide.md");
        let topics = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let is_message = |topic: &&str| topic.starts_with("thing/") || topic.starts_with("ota/");
        let described: Vec<String> = topics.filter(is_message).map(str::to_owned).collect();
        assert_eq!(described, of_reports().collect::<Vec<_>>());
        let is_command = |topic: &&Topic| topic.root == SYS && !matches!(topic.handler, Handler::Message(_));
        for topic in TOPICS.iter().filter(is_command) {
            let path = format!("`P/{}`", topic.rest.join("/"));
            assert!(guide.contains(&path), "the guide does not name {path}");
        }
        for topic in TOPICS.iter().filter(|topic| topic.root != SYS) {
            let root = topic.root.iter().copied();
            let path: Vec<&str> =
                root.chain(["{productKey}", "{deviceKey}"]).chain(topic.rest.iter().copied()).collect();
            assert!(guide.contains(&path.join("/")), "the guide does not name {}", path.join("/"));
        }
    }
}
