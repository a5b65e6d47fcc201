//! Server-sent events, as `listen` receives them.

use narrowgate_api::happening::Happening;
use serde::Deserialize;

use super::problem::other_version;
use crate::failure::Failure;

/// An event of the stream.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// Something happened: the JSON text as it was sent.
    Happening(String),
    /// Something is not there any more, for this reason.
    Gap(String),
    /// The server is stopping.
    Ended,
}

/// The part of the stream received so far.
#[derive(Debug, Default)]
pub(super) struct Events {
    bytes: Vec<u8>,
    /// Leading bytes in which no event ends.
    searched: usize,
    /// The last one, by which the stream goes on elsewhere.
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct Gap {
    reason: String,
}

impl Events {
    /// Adds received bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Where the stream stands.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The next complete event; comments and events without data are skipped.
    ///
    /// # Errors
    /// The event is not one that this program knows.
    pub(super) fn next(&mut self) -> Result<Option<StreamEvent>, Failure> {
        loop {
            let from = self.searched.saturating_sub(1);
            let Some(end) = self.bytes[from..].windows(2).position(|pair| pair == b"\n\n") else {
                self.searched = self.bytes.len();
                return Ok(None);
            };
            let event: Vec<u8> = self.bytes.drain(..from + end + 2).collect();
            self.searched = 0;
            let event = String::from_utf8(event).map_err(|error| other_version(&error.to_string()))?;
            if let Some(cursor) = field(&event, "id") {
                self.cursor = Some(cursor.to_owned());
            }
            if let Some(event) = read(&event)? {
                return Ok(Some(event));
            }
        }
    }
}

/// A field of an event.
fn field<'a>(event: &'a str, name: &str) -> Option<&'a str> {
    let values = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    values.map(|value| value.strip_prefix(' ').unwrap_or(value)).next_back()
}

fn read(event: &str) -> Result<Option<StreamEvent>, Failure> {
    let Some(data) = field(event, "data") else { return Ok(None) };
    let unknown = |error: serde_json::Error| other_version(&error.to_string());
    Ok(Some(match field(event, "event") {
        Some("gap") => StreamEvent::Gap(serde_json::from_str::<Gap>(data).map_err(unknown)?.reason),
        Some("ended") => StreamEvent::Ended,
        _ => {
            serde_json::from_str::<Happening>(data).map_err(unknown)?;
            StreamEvent::Happening(data.to_owned())
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_from_pieces_of_any_size() {
        let login = r#"{"time":1,"event":"login","productKey":"pk","deviceKey":"dk"}"#;
        let stream = format!(
            ": hello\n\nevent: presence\ndata: {login}\nid: 1f\n\nevent:gap\n\
             data:{{\"reason\":\"expired\"}}\n\nid: 2a\n\nevent: ended\ndata: {{}}\n\n"
        );
        for size in [1, 2, 7, 1000] {
            let mut events = Events::default();
            let mut told = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                events.add(piece);
                while let Some(next) = events.next().unwrap() {
                    told.push(next);
                }
            }
            let [StreamEvent::Happening(json), StreamEvent::Gap(reason), StreamEvent::Ended] = &told[..]
            else {
                panic!("{told:?}")
            };
            assert_eq!((json.as_str(), &**reason, events.cursor()), (login, "expired", Some("2a")));
        }
    }

    #[test]
    fn a_happening_of_another_kind_of_server_is_named_as_such() {
        let mut events = Events::default();
        events.add(b"data: {\"when\":1}\n\n");
        assert!(events.next().unwrap_err().headline.contains("does not know"));
    }
}
