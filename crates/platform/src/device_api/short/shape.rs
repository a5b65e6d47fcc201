//! The forms of bodies: the JSON of the long topic that they become, and the places of faults in them.

use super::{super::points::Verb, keys::Names, keys::nameless};
use crate::{
    device_api::{envelope::MessageFault, ota::OtaVerb, properties::PropertyVerb},
    model::json_piece::Piece,
};

/// Which form a body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A map, or an array of names.
    Map,
    /// `[ms, map]`
    Pair,
    /// An array of pairs.
    Batch,
}

/// What a body becomes: its form, the JSON of the long topic, and what its handler is to know.
type Shaped<Of> = Result<(Shape, String, Of), MessageFault>;

/// Reports: a map of points, `[ms, map]`, or an array of such pairs. `text` is an object or an array.
pub(super) fn points(text: &str, verb: Verb) -> Shaped<Verb> {
    let piece = Piece::of(text);
    let Some(mut elements) = piece.elements() else {
        return Ok((Shape::Map, format!(r#"{{"params":{{"measurepoints":{}}}}}"#, piece.get()), verb));
    };
    let is_batch = elements.clone().next().is_none_or(|first| first.get().starts_with('['));
    if !is_batch {
        let report = pair(piece, "measurepoints", "")?;
        return Ok((Shape::Pair, format!(r#"{{"params":{report}}}"#), verb));
    }
    let report = |(index, element): (usize, Piece<'_>)| {
        let pointer = format!("/{index}");
        if element.elements().is_none_or(|members| members.count() != 2) {
            let what = format!("{pointer}: an element of a batch is [ms, a map of points]");
            return Err(MessageFault::new(MessageFault::BATCH, what));
        }
        pair(element, "measurepoints", &pointer)
    };
    let reports = elements.by_ref().enumerate().map(report).collect::<Result<Vec<_>, _>>()?;
    let verb = match verb {
        Verb::Post | Verb::PostBatch => Verb::PostBatch,
        Verb::Resume | Verb::ResumeBatch => Verb::ResumeBatch,
    };
    Ok((Shape::Batch, format!(r#"{{"params":[{}]}}"#, reports.join(",")), verb))
}

/// An event: a map of its parameters, or `[ms, map]`.
pub(super) fn event(text: &str) -> Shaped<()> {
    let piece = Piece::of(text);
    if piece.elements().is_none() {
        return Ok((Shape::Map, format!(r#"{{"params":{{"events":{}}}}}"#, piece.get()), ()));
    }
    Ok((Shape::Pair, format!(r#"{{"params":{}}}"#, pair(piece, "events", "")?), ()))
}

/// Firmware: a map with `version` informs, one with `step` reports progress.
pub(super) fn firmware(text: &str) -> Shaped<OtaVerb> {
    let piece = Piece::of(text);
    let verb = match piece.named(["version", "step"]) {
        Some([Some(_), None]) => OtaVerb::Inform,
        Some([None, Some(_)]) => OtaVerb::Progress,
        _ => {
            let what = "must be a map with version, or with step and desc";
            return Err(MessageFault::new(MessageFault::FORM, what));
        }
    };
    Ok((Shape::Map, format!(r#"{{"params":{}}}"#, piece.get()), verb))
}

/// Attributes: a map updates them, an array asks for them.
pub(super) fn attributes(text: &str, names: &Names<'_>) -> Shaped<PropertyVerb> {
    let piece = Piece::of(text);
    let Some(elements) = piece.elements() else {
        let json = format!(r#"{{"params":{{"attributes":{}}}}}"#, piece.get());
        return Ok((Shape::Map, json, PropertyVerb::Update));
    };
    // An attribute that there is not is left out of the answer, also where its number is given.
    let named = |element: Piece<'_>| match element.get().parse::<u64>() {
        Ok(number) => {
            let name = names.name_of(number).map_or_else(|| nameless(number), str::to_owned);
            format!("\"{name}\"")
        }
        Err(_) => element.get().to_owned(),
    };
    let asked: Vec<String> = elements.map(named).collect();
    let json = format!(r#"{{"params":{{"attributes":[{}]}}}}"#, asked.join(","));
    Ok((Shape::Map, json, PropertyVerb::Query))
}

/// `[ms, map]` as the object that the long topic takes.
fn pair(piece: Piece<'_>, name: &str, pointer: &str) -> Result<String, MessageFault> {
    let elements: Vec<Piece<'_>> = piece.elements().into_iter().flatten().take(3).collect();
    let [time, map] = elements[..] else {
        let what = "must be a map, [ms, map], or, of reports, an array of such pairs";
        return Err(MessageFault::new(MessageFault::FORM, what));
    };
    if !time.get().bytes().all(|byte| byte.is_ascii_digit()) {
        let what = format!("{pointer}/0: must be an unsigned integer, Unix milliseconds");
        return Err(MessageFault::new(MessageFault::MODEL, what));
    }
    Ok(format!(r#"{{"{name}":{},"time":{}}}"#, map.get(), time.get()))
}

/// A message of the long topic's handler with the place that its fault has in a body of this form:
/// `/params/3/measurepoints/temp: …` is `/3/1/temp: …` in a batch.
pub(super) fn short_message(message: &str, shape: Shape) -> String {
    let Some(rest) = message.strip_prefix("/params") else { return message.to_owned() };
    let (index, rest) = match rest.strip_prefix('/').and_then(|rest| Some((rest, rest.find(['/', ':'])?))) {
        Some((rest, end)) if shape == Shape::Batch => rest.split_at(end),
        _ => ("", rest),
    };
    let index = if index.is_empty() { String::new() } else { format!("/{index}") };
    let members = ["/measurepoints", "/attributes", "/events"];
    let inside = members.iter().find_map(|member| rest.strip_prefix(member));
    let place = match (inside, rest.strip_prefix("/time"), shape) {
        (Some(rest), _, Shape::Map) => rest.to_owned(),
        (Some(rest), ..) => format!("/1{rest}"),
        (None, Some(rest), _) => format!("/0{rest}"),
        (None, None, _) => rest.to_owned(),
    };
    let message = format!("{index}{place}");
    message.strip_prefix(": ").map_or(message.clone(), str::to_owned)
}
