//! What a device probably meant by a path that leads nowhere, by another device's, or by the wrong method:
//! words for its log. They are made only after the request was refused, and the work is bounded:
//! [`SEGMENTS_MAX`] segments, the topics without a placeholder.

use std::borrow::Cow;

use narrowgate_coap::{Code, Request, UriPath};

use super::topic::{self, Handler, NoTopic, Topic, short};
use crate::rules::admission::Grant;

/// Segments of a path that are looked at; the longest path of the protocol has eight.
const SEGMENTS_MAX: usize = 32;
/// Characters of a path that are shown.
const SHOWN_BYTES_MAX: usize = 160;
/// Longest rest of a path that is compared with topics.
const REST_BYTES_MAX: usize = 64;
/// Most letters by which a slip may differ from a topic.
const SLIPS_MAX: usize = 3;

/// The path for a log: percent-encoded by CoAP's rules, so it is plain ASCII, and cut.
pub(super) fn shown(path: &UriPath) -> Cow<'_, str> {
    match path.as_str().get(..SHOWN_BYTES_MAX) {
        Some(head) if head.len() < path.as_str().len() => Cow::Owned(format!("{head}…")),
        _ => Cow::Borrowed(path.as_str()),
    }
}

/// Words about a path that does not exist.
pub(super) fn unknown(session: &Grant, path: &UriPath) -> String {
    let shown = shown(path);
    let said = format!("there is no path {shown}");
    match mistake(session, path) {
        _ if short::is_one(path) => {
            let product_key = session.product_key();
            format!(
                "{said}: short paths are off for this product. Switch them on with narrowgate product \
                 update {product_key} --short-paths on, or use the long one"
            )
        }
        Some(mistake) => format!("{said}: {mistake}"),
        None if path.as_str() == "/" => {
            format!("{said}: the request has no Uri-Path option; send one for each segment of the topic")
        }
        None => format!("{said}; a report goes to {}", topic::report_path()),
    }
}

/// Words about a path that names another device.
pub(super) fn foreign(session: &Grant, path: &UriPath) -> String {
    let said = format!("the path names another device: {}", shown(path));
    match mistake(session, path).or_else(|| wrong_keys(session, path)) {
        Some(mistake) => format!("{said}; {mistake}"),
        None => format!("{said}; this session is {}/{}", session.product_key(), session.device_key()),
    }
}

/// Words about a method that a topic does not have.
pub(super) fn wrong_method(request: &Request, topic: &Topic) -> String {
    let (path, method, own) = (shown(&request.path), name_of(request.method), name_of(topic.method));
    let hint = match (request.method, topic.method) {
        _ if matches!(topic.handler, Handler::FetchCommand(_)) => {
            "; a command is the answer to a GET (code 0.01), and its reply goes to the topic with _reply"
        }
        (Code::GET, _) if matches!(topic.handler, Handler::ReplyToCommand(_)) => {
            "; the reply to a command goes into the body of a POST (code 0.02)"
        }
        (Code::GET, Code::POST) => {
            "; a GET carries no body, a report goes into the body of a POST (code 0.02)"
        }
        (_, Code::GET) => match topic.handler {
            Handler::IssueSecret => "; the secret is the answer to a GET (code 0.01)",
            Handler::CountCommands => "; how many commands wait is the answer to a GET (code 0.01)",
            _ => "",
        },
        _ => "",
    };
    format!("{method} does not fit {path}: it takes {own} only{hint}")
}

/// A method as people know it.
pub(super) fn name_of(method: Code) -> Cow<'static, str> {
    // RFC 7252 5.8; RFC 8132.
    Cow::Borrowed(match method.0 {
        1 => "GET",
        2 => "POST",
        3 => "PUT",
        4 => "DELETE",
        5 => "FETCH",
        6 => "PATCH",
        7 => "iPATCH",
        _ => return Cow::Owned(format!("method {method}")),
    })
}

type Segments = Vec<String>;
/// Looks for one fault: its name, and the path without it; `None` if the path does not have it.
type Fix = fn(&[String]) -> Option<(&'static str, Segments)>;

/// Tried in this order, each on the result of those before, until the path is one of the session's own.
const FIXES: [Fix; 9] = [
    whole_uri,
    escaped_twice,
    one_option,
    query_in_path,
    not_printable,
    leading_slash,
    trailing_slash,
    topic_missing,
    other_case,
];

/// The mistake without which the path would be right.
fn mistake(session: &Grant, path: &UriPath) -> Option<String> {
    let mut segments: Segments = path.segments().take(SEGMENTS_MAX).map(Cow::into_owned).collect();
    let mut found = Vec::new();
    for fix in FIXES {
        let Some((words, better)) = fix(&segments) else { continue };
        segments = better;
        found.push(words);
        let mut fixed = UriPath::default();
        segments.iter().for_each(|segment| fixed.push(segment));
        if topic::find(session, &fixed).is_ok() {
            return Some(format!("{}; {} is right", found.join(", and "), shown(&fixed)));
        }
    }
    let rest = own_rest(session, &segments)?;
    let nearest = topic::of_reports().min_by_key(|topic| distance(topic, &rest))?;
    (distance(&nearest, &rest) <= SLIPS_MAX).then(|| format!("perhaps {nearest} is meant"))
}

/// What follows the session's own keys.
fn own_rest(session: &Grant, segments: &[String]) -> Option<String> {
    let (product_key, device_key, rest) = topic::split_report(segments)?;
    let is_own = product_key == session.product_key() && device_key == session.device_key();
    is_own.then_some(rest).filter(|rest| rest.len() <= REST_BYTES_MAX)
}

fn whole_uri(segments: &[String]) -> Option<(&'static str, Segments)> {
    let first = segments.first()?;
    let is_scheme = ["coap:", "coaps:"].iter().any(|scheme| first.eq_ignore_ascii_case(scheme));
    let rest = if is_scheme { segments.get(3..)? } else { return None };
    Some(("scheme and host stand in the path", rest.to_vec()))
}

fn one_option(segments: &[String]) -> Option<(&'static str, Segments)> {
    let split = || segments.iter().flat_map(|segment| segment.split('/')).map(str::to_owned);
    segments
        .iter()
        .any(|segment| segment.contains('/'))
        .then(|| ("several segments stand in one Uri-Path option, each needs its own", split().collect()))
}

fn escaped_twice(segments: &[String]) -> Option<(&'static str, Segments)> {
    let decode = |segment: &String| -> String {
        UriPath::parse(segment).segments().next().map_or_else(String::new, Cow::into_owned)
    };
    segments.iter().any(|segment| segment.contains('%') && decode(segment) != *segment).then(|| {
        ("the segments are percent-encoded, options carry plain text", segments.iter().map(decode).collect())
    })
}

fn query_in_path(segments: &[String]) -> Option<(&'static str, Segments)> {
    let at = segments.iter().position(|segment| segment.contains('?'))?;
    let mut better = segments[..=at].to_vec();
    better[at] = better[at].split('?').next().unwrap_or_default().to_owned();
    Some(("the query stands in the path", better))
}

fn not_printable(segments: &[String]) -> Option<(&'static str, Segments)> {
    let is_stray = |c: char| c.is_whitespace() || c.is_control();
    segments.iter().any(|segment| segment.starts_with(is_stray) || segment.ends_with(is_stray)).then(|| {
        let trim = |segment: &String| segment.trim_matches(is_stray).to_owned();
        ("a segment begins or ends with a space or a NUL", segments.iter().map(trim).collect())
    })
}

fn leading_slash(segments: &[String]) -> Option<(&'static str, Segments)> {
    let first = segments.iter().position(|segment| !segment.is_empty())?;
    (first > 0)
        .then(|| ("an empty segment stands at the start (a slash too many)", segments[first..].to_vec()))
}

fn trailing_slash(segments: &[String]) -> Option<(&'static str, Segments)> {
    let last = segments.iter().rposition(|segment| !segment.is_empty())?;
    let words = "an empty segment stands at the end (a trailing slash)";
    (last + 1 < segments.len()).then(|| (words, segments[..=last].to_vec()))
}

fn topic_missing(segments: &[String]) -> Option<(&'static str, Segments)> {
    let is_mqtt = segments.first().is_some_and(|first| topic::lacks_prefix(first));
    let words = "this is the MQTT topic, a CoAP path begins with /topic";
    is_mqtt.then(|| (words, [&[topic::PREFIX.to_owned()], segments].concat()))
}

/// The words of the protocol in their own case. Keys are left as they are: they are case-sensitive.
fn other_case(segments: &[String]) -> Option<(&'static str, Segments)> {
    let own =
        |segment: &String| -> String { topic::word(segment).map_or_else(|| segment.clone(), str::to_owned) };
    let better: Segments = segments.iter().map(own).collect();
    (better != segments).then_some(("the case of a letter is wrong", better))
}

/// Keys that are nearly the session's own.
fn wrong_keys(session: &Grant, path: &UriPath) -> Option<String> {
    let segments: Segments = path.segments().take(SEGMENTS_MAX).map(Cow::into_owned).collect();
    let (product_key, device_key) = topic::keys(&segments)?;
    let (own_product, own_device) = (session.product_key(), session.device_key());
    let is_placeholder = |key: &str| key.contains(['{', '}', '$', '<', '>', '%']);
    let words = if is_placeholder(product_key) || is_placeholder(device_key) {
        "a placeholder was not filled in"
    } else if product_key == own_device && device_key == own_product {
        "productKey and deviceKey are swapped"
    } else if product_key.eq_ignore_ascii_case(own_product) && device_key.eq_ignore_ascii_case(own_device) {
        "the keys differ in the case of a letter"
    } else {
        return None;
    };
    Some(format!("{words}; this session is {own_product}/{own_device}"))
}

/// How many letters must be added, left out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other = other.as_bytes();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (at, &same) in other.iter().enumerate() {
            let change = diagonal + usize::from(letter != same);
            diagonal = row[at + 1];
            row[at + 1] = change.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Words about a path that leads to no topic.
pub(super) fn no_topic(session: &Grant, path: &UriPath, why: NoTopic) -> String {
    match why {
        NoTopic::Foreign => foreign(session, path),
        NoTopic::Unknown => unknown(session, path),
    }
}
