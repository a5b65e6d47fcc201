//! `listen`: events as they happen, from a running server.

use std::{
    thread,
    time::{Duration, Instant},
};

use narrowgate_api::query::EventsQuery;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    cli::{ListenArgs, Output},
    client::{Call, Client, StreamEvent},
    config::Config,
    failure::Failure,
    output::{self, printable},
};

/// A server that stops is waited for so long: it may be restarted.
const RESUME_TIME_MAX: Duration = Duration::from_secs(60);
/// Time between two looks whether it is there.
const RESUME_STEP: Duration = Duration::from_millis(100);

pub(super) fn run(arguments: ListenArgs, config: &Config, output: Output) -> Result<(), Failure> {
    let resumes = !arguments.no_resume;
    let ListenArgs { product, device, types, from: cursor, with_cursor, strangers, .. } = arguments;
    let mut query = EventsQuery { product, device, types, cursor, strangers };
    let Some(mut client) = Client::connect(&config.data)? else {
        return Err(Failure::failed("there is nothing to listen to")
            .file(config.data.display())
            .reason("no server is running on this data directory")
            .hint("start narrowgate serve with the same --data"));
    };
    client.listen(Call::listen(&query))?;
    output::note("listening; press Ctrl-C to stop");
    loop {
        let end = match client.receive()? {
            Some(StreamEvent::Happening(json)) => {
                let line = match output {
                    Output::Json if with_cursor => with(client.cursor(), &json),
                    Output::Json => json,
                    Output::Table => readable(&json),
                };
                if !output::stream_line(&line)? {
                    return Ok(());
                }
                continue;
            }
            Some(StreamEvent::Gap(reason)) => {
                output::note(gap(&reason));
                continue;
            }
            Some(StreamEvent::Ended) => End::Stopped,
            None => End::WentAway,
        };
        query.cursor = client.cursor().map(str::to_owned).or(query.cursor);
        let Some(next) = (if resumes { resume(config, &query)? } else { None }) else { return end.tell() };
        client = next;
        output::note("the server was restarted; listening goes on where it was");
    }
}

/// How a stream ended.
#[derive(Clone, Copy)]
enum End {
    Stopped,
    WentAway,
}

impl End {
    fn tell(self) -> Result<(), Failure> {
        match self {
            Self::Stopped => {
                output::note("the server stopped");
                Ok(())
            }
            Self::WentAway => {
                Err(Failure::failed("the server went away").hint("look at its log, and start it again"))
            }
        }
    }
}

/// Follows from where the stream ended, once a server is there again; `None`: there is none for long.
fn resume(config: &Config, query: &EventsQuery) -> Result<Option<Client>, Failure> {
    let until = Instant::now() + RESUME_TIME_MAX;
    while Instant::now() < until {
        // One that stops refuses, or does not answer: the next one is asked.
        if let Ok(Some(mut client)) = Client::connect(&config.data) {
            match client.listen(Call::listen(query)) {
                Ok(()) => return Ok(Some(client)),
                Err(failure) if failure.headline == "cannot listen" => return Err(failure),
                Err(_) => {}
            }
        }
        thread::sleep(RESUME_STEP);
    }
    Ok(None)
}

/// What a reader is told that has lost something.
fn gap(reason: &str) -> String {
    let why = match reason {
        "expired" => "its time was over, or there was too much of it",
        "restored" => "the store was restored or copied since",
        "damaged" => "it is damaged",
        "unknown" => "the cursor is none of this store",
        other => return format!("some events are not there any more: {}", printable(other)),
    };
    format!("some events are not there any more: {why}")
}

/// An event with where the stream stands after it.
fn with(cursor: Option<&str>, json: &str) -> String {
    match (cursor, json.strip_prefix('{')) {
        (Some(cursor), Some(rest)) => format!("{{\"cursor\":\"{cursor}\",{rest}"),
        _ => json.to_owned(),
    }
}

/// The parts of an event that a line for people shows. Points stay text: they are shown as sent.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Shown<'a> {
    time: i64,
    received_at: Option<i64>,
    event: String,
    product_key: Option<String>,
    device_key: Option<String>,
    identity: Option<String>,
    reason: Option<String>,
    detail: Option<String>,
    peer: Option<String>,
    #[serde(borrow)]
    points: Option<&'a RawValue>,
    event_id: Option<String>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    #[serde(borrow)]
    set: Option<&'a RawValue>,
    deleted: Vec<String>,
    /// Of a command, as the five that follow.
    id: Option<String>,
    kind: Option<String>,
    state: Option<String>,
    code: Option<i64>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    message: Option<String>,
    /// Of an upgrade or a rollout, as what follows.
    image_id: Option<String>,
    progress: Option<i64>,
    fetched: Option<u64>,
    desc: Option<String>,
    version: Option<String>,
    paused_by: Option<String>,
    waiting: u64,
    under_way: u64,
    done: u64,
    failed: u64,
}

impl Shown<'_> {
    /// How far the upgrade of a device is, or a rollout; `None`: it is another event.
    fn firmware(&self) -> Option<String> {
        let Self { image_id: Some(image), waiting, under_way, done, failed, .. } = self else { return None };
        let Some(state) = &self.state else {
            let version = self.version.as_deref().unwrap_or_default();
            let counts = format!("{waiting} waiting, {under_way} under way, {done} done, {failed} failed");
            let paused = self.paused_by.as_deref().map(|by| format!("  paused by {by}"));
            return Some(format!("{image}  {version}  {counts}{}", paused.unwrap_or_default()));
        };
        let mut line = format!("{image}  {state}");
        if let Some(reason) = &self.reason {
            line += &format!(": {reason}");
        }
        if let Some(code) = self.code {
            line += &format!("  code {code}");
        }
        if let Some(fetched) = self.fetched {
            line += &format!("  {fetched} % fetched");
        } else if let Some(progress) = self.progress {
            line += &format!("  step {progress}");
        }
        if let Some(desc) = &self.desc {
            line += &format!("  {desc}");
        }
        Some(line)
    }
}

/// An event as a line for people. It begins with the server's time; the device's time follows if it differs.
pub(super) fn readable(json: &str) -> String {
    let event: Shown<'_> = serde_json::from_str(json).unwrap_or_default();
    let received = event.received_at.unwrap_or(event.time);
    let mut line = crate::time::rfc3339(received);
    let mut add = |text: &str| {
        line.push_str("  ");
        line.push_str(&printable(text));
    };
    add(&event.event);
    match (&event.product_key, &event.device_key, &event.identity) {
        (Some(product), Some(device), _) => add(&format!("{product}/{device}")),
        (_, _, Some(identity)) => add(&format!("identity {identity}")),
        (Some(product), None, None) => add(product),
        _ => {}
    }
    let firmware = event.firmware();
    let reason = event.reason.as_ref().filter(|_| firmware.is_none());
    for text in [reason, event.detail.as_ref(), event.peer.as_ref(), firmware.as_ref()].into_iter().flatten()
    {
        add(text);
    }
    if event.time != received {
        add(&format!("device's time {}", crate::time::rfc3339(event.time)));
    }
    if let Some(event_id) = &event.event_id {
        add(event_id);
    }
    if let (Some(id), Some(kind), Some(state)) = (&event.id, &event.kind, &event.state) {
        let code = event.code.map(|code| format!(" with code {code}")).unwrap_or_default();
        let message = event.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        add(&format!("{id}  {kind}  {state}{code}{message}"));
    }
    for json in [event.points, event.output, event.set, event.data].into_iter().flatten() {
        add(json.get());
    }
    if !event.deleted.is_empty() {
        add(&format!("deleted {}", event.deleted.join(", ")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_as_lines() {
        assert_eq!(
            readable(
                r#"{"time":0,"event":"report","productKey":"p","deviceKey":"d","points":{"temp":21.5}}"#
            ),
            "1970-01-01T00:00:00Z  report  p/d  {\"temp\":21.5}"
        );
        assert_eq!(
            readable(r#"{"time":0,"event":"tags","productKey":"p","deviceKey":"d","deleted":["a","b"]}"#),
            "1970-01-01T00:00:00Z  tags  p/d  deleted a, b"
        );
        assert_eq!(
            readable(r#"{"time":0,"event":"attributes","productKey":"p","deviceKey":"d","set":{"a":1.50}}"#),
            "1970-01-01T00:00:00Z  attributes  p/d  {\"a\":1.50}"
        );
        assert_eq!(
            readable(
                r#"{"time":0,"event":"event","productKey":"p","deviceKey":"d","eventId":"e","output":{}}"#
            ),
            "1970-01-01T00:00:00Z  event  p/d  e  {}"
        );
        let points = r#"{"z":123456789012345678901234567890,"a":23.308445025757262,"m":1.50}"#;
        let line = readable(&format!(r#"{{"time":0,"event":"report","points":{points}}}"#));
        assert_eq!(line, format!("1970-01-01T00:00:00Z  report  {points}"));
        assert_eq!(
            readable(r#"{"time":1000,"receivedAt":61000,"event":"report","productKey":"p","deviceKey":"d"}"#),
            "1970-01-01T00:01:01Z  report  p/d  device's time 1970-01-01T00:00:01Z"
        );
        assert_eq!(
            readable(concat!(
                r#"{"time":0,"event":"refused","identity":"a\u001b,b","reason":"wrong_key","#,
                r#""peer":"1.2.3.4:5"}"#
            )),
            "1970-01-01T00:00:00Z  refused  identity a\\u{1b},b  wrong_key  1.2.3.4:5"
        );
        assert_eq!(
            readable(concat!(
                r#"{"time":0,"event":"command","productKey":"p","deviceKey":"d","id":"20","kind":"set","#,
                r#""state":"failed","code":1102}"#
            )),
            "1970-01-01T00:00:00Z  command  p/d  20  set  failed with code 1102"
        );
        assert_eq!(
            readable(concat!(
                r#"{"time":0,"event":"command","productKey":"p","deviceKey":"d","id":"20","kind":"set","#,
                r#""state":"succeeded","code":200,"message":"done","data":{"temp":1.50}}"#
            )),
            "1970-01-01T00:00:00Z  command  p/d  20  set  succeeded with code 200: done  {\"temp\":1.50}"
        );
    }

    #[test]
    fn steps_of_upgrades_and_rollouts_read_as_lines() {
        for (of, words) in [
            (r#""state":"downloading","fetched":30,"progress":25"#, "downloading  30 % fetched"),
            (r#""state":"burning","progress":90,"desc":"a\u001bb""#, "burning  step 90  a\\u{1b}b"),
            (r#""state":"failed","reason":"burn","progress":-4"#, "failed: burn  step -4"),
            (r#""state":"failed","reason":"refused","code":1102"#, "failed: refused  code 1102"),
            (r#""state":"done""#, "done"),
        ] {
            let json = format!(
                r#"{{"time":0,"event":"upgrade","productKey":"p","deviceKey":"d","imageId":"i",{of}}}"#
            );
            assert_eq!(readable(&json), format!("1970-01-01T00:00:00Z  upgrade  p/d  i  {words}"));
        }
        let json = concat!(
            r#"{"time":0,"event":"rollout","productKey":"p","imageId":"i","version":"2.1","#,
            r#""pausedBy":"failures","waiting":1,"underWay":2,"done":3,"failed":4}"#
        );
        let words = "i  2.1  1 waiting, 2 under way, 3 done, 4 failed  paused by failures";
        assert_eq!(readable(json), format!("1970-01-01T00:00:00Z  rollout  p  {words}"));
    }
}
