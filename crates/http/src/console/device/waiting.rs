//! Waiting for a device that never came: its first contact, or the exact reason why it was refused, as soon
//! as it happens.

use maud::{Markup, html};
use narrowgate_api::{
    history::{LogView, PointView},
    log::LogEvent,
    names::UnixMillis,
};

use super::{Detail, overview::values, units::Units};
use crate::console::{
    overview::REFUSALS,
    parts::Tone,
    visit::Visit,
    words::{self, of_reason},
};

/// How long the first login is told of in this way, in milliseconds.
const FRESH_MS: i64 = 10 * 60_000;

/// Whether it has never come, or has just come for the first time.
pub(super) fn is_awaited(visit: &Visit, detail: &Detail) -> bool {
    let device = &detail.device;
    device.enabled && device.active_time.is_none_or(|time| visit.now.0.saturating_sub(time.0) < FRESH_MS)
}

pub(super) fn panel(
    visit: &Visit,
    detail: &Detail,
    (points, units): (&[PointView], &Units),
    log: &[LogView],
) -> Markup {
    let refused = log.iter().find(|entry| entry.event == LogEvent::Refused);
    html! {
        section.panel.waiting #waiting data-live aria-live="polite" {
            @if let Some(time) = detail.device.active_time {
                h2 { (visit.word(Tone::Good, &ago(visit, words::WAITING_IN, time))) }
                @if points.is_empty() { p { (visit.t(words::WAITING_NO_VALUE)) } }
                @else { (values(visit, points, units)) }
            } @else if let Some(entry) = refused {
                @let (reason, advice) = of_reason(entry.reason);
                @let time = visit.preferences.ago(entry.time, visit.now);
                @let values = [("time", &*time), ("reason", visit.t(reason))];
                h2 { (visit.word(Tone::Act, &visit.say(words::WAITING_REFUSED, &values))) }
                @if let Some(detail) = &entry.detail { p lang="en" { (detail) } }
                p { b { (visit.t(words::ADVICE)) } " " (visit.t(advice)) }
            } @else {
                h2 {
                    span.dot aria-hidden="true" { "● " }
                    (visit.say(words::WAITING, &[("device", &detail.device.device_key)]))
                }
                p { (visit.t(words::WAITING_TEXT)) }
                @if visit.has(REFUSALS) {
                    p.hint { a href=(REFUSALS) { (visit.t(words::WAITING_STRANGERS)) } }
                }
            }
        }
    }
}

fn ago(visit: &Visit, word: words::Word, time: UnixMillis) -> String {
    visit.say(word, &[("time", &visit.preferences.ago(time, visit.now))])
}
