//! The server's numbers on a page. Devices are counted while nobody waits for it: where that takes long, a
//! page shows the last count, says of when it is, and looks again soon.

use narrowgate_api::{fleet::Status, names::UnixMillis};

use super::{
    layout::Sheet,
    locale::Preferences,
    visit::{Trouble, Visit},
    words,
};

/// A count that is older is said to be so.
const YOUNG_MS: i64 = 5_000;
/// After so many seconds a page looks again: where the next count is on its way, and else.
pub(super) const SOON_S: u32 = 2;
const LATER_S: u32 = 15;

/// What the server says, and of which time its count is.
pub(super) struct Counted {
    pub(super) status: Status,
    /// What is to be said of the count; `None`: it is of now, or there cannot be one.
    pub(super) said: Option<String>,
}

impl Counted {
    /// Asks the server.
    ///
    /// # Errors
    /// The API's problem.
    pub(super) async fn read(visit: &Visit) -> Result<Self, Trouble> {
        let status: Status = visit.read("/api/v1/system?counted=lately").await?;
        Ok(Self { said: said(&status, &visit.preferences, visit.now), status })
    }

    /// The page looks again when there is something new.
    pub(super) fn refreshed(&self, sheet: Sheet) -> Sheet {
        sheet.refreshed_every(if self.said.is_some() { SOON_S } else { LATER_S })
    }
}

fn said(status: &Status, preferences: &Preferences, now: UnixMillis) -> Option<String> {
    match (&status.fleet, &status.unreadable, status.counted_at) {
        (None, None, _) => Some(preferences.t(words::COUNTING).to_owned()),
        (Some(_), _, Some(at)) if now.0.saturating_sub(at.0) > YOUNG_MS => {
            let ago = preferences.ago(at, now);
            Some(preferences.say(words::COUNTED_AGO, &[("time", &ago)]))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;
    use crate::forwarded::Way;

    #[test]
    fn a_count_that_is_not_of_now_is_said_to_be_so() {
        let fleet = r#""devices":{"total":2,"inactive":0,"online":2,"offline":0,"disabled":0},"products":[],
            "otherProducts":null,"refusalsLastHour":[],"reportsPerMinute":{"lastMinute":5,"lastHour":1.7},"#;
        let said_of = |part: &str| {
            let disk = r#""disk":{"registryBytes":1,"logsBytes":3,"messagesBytes":2,"otherBytes":0,
                "freeBytes":null}"#;
            let head = r#"{"version":"0.1.0","since":7,"refusedByStore":null,"unreadable":null,"#;
            let status = serde_json::from_str(&[head, part, disk, "}"].concat()).expect("it can be read");
            said(&status, &Preferences::of(&HeaderMap::new(), Way::Direct), UnixMillis(100_000))
        };
        assert_eq!(said_of(fleet), None, "of now");
        assert_eq!(said_of(&format!("\"countedAt\":96000,{fleet}")), None);
        let late = said_of(&format!("\"countedAt\":70000,{fleet}")).expect("it is late");
        assert!(late.contains("30 s ago"), "{late}");
        let first = said_of("").expect("the first count goes on");
        assert!(first.contains("being counted"), "{first}");
    }
}
