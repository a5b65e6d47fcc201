//! The time of a report or an event: Unix milliseconds, within bounds. See the table in the module above.

use super::{
    AHEAD_MS_MAX, SECONDS_FROM, SECONDS_TO,
    hints::{finer_unit, reckoned},
};
use crate::{
    device_api::{body::Body, diagnosis, envelope::MessageFault},
    ids::UnixMillis,
    model::json_piece::Piece,
    rules::clock::Arrival,
};

/// What times are read against.
#[derive(Clone, Copy)]
pub(in crate::device_api) struct Times<'a> {
    /// When the message arrived.
    pub(in crate::device_api) now: Arrival,
    /// All of it, for the places of faults.
    pub(in crate::device_api) body: &'a Body<'a>,
}

impl Times<'_> {
    /// The `time` that stands in the object at `pointer`; the time of arrival, if it is absent.
    pub(in crate::device_api) fn read(
        self,
        raw: Option<Piece<'_>>,
        pointer: &str,
    ) -> Result<UnixMillis, MessageFault> {
        let Some(raw) = raw else { return Ok(self.now.time) };
        let fault = |what: &str, hint: Option<String>| {
            let fault = MessageFault::new(MessageFault::MODEL, format!("{pointer}/time: {what}"));
            Err(fault.with_hint(hint))
        };
        // As a point of the type TIMESTAMP: -0 is not 0.
        match raw.get().parse::<i64>().ok().filter(|_| raw.get() != "-0") {
            None => {
                let what = "must be an integer, Unix milliseconds";
                let received = self.body.place_of(raw).and_then(|at| diagnosis::value(raw, at, "", what));
                fault(what, received)
            }
            Some(time) if time < 0 => fault("must not be negative", None),
            Some(time) if (SECONDS_FROM..=SECONDS_TO).contains(&time) => {
                fault("looks like seconds; send Unix milliseconds", reckoned(time, self.now))
            }
            Some(time) if time > self.now.latest.0.saturating_add(AHEAD_MS_MAX) => {
                fault("lies more than a day ahead; check the device's clock", finer_unit(time, self.now))
            }
            Some(time) => Ok(UnixMillis(time)),
        }
    }
}
