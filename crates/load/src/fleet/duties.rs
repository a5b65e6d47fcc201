//! What the devices of a fleet do beside their reports: they fetch commands and answer them, set attributes
//! and tags, and tell of events. What they are about to do and what came of it is in the fleet's log.

use std::time::Instant;

use narrowgate_coap::{Code, Request, Response};
use narrowgate_sim::{
    campaign::agent::duties::{Done, Duties, EVENTS, Trait},
    devices,
    random::SeededRandom,
};

use super::log::Log;
use crate::LoadError;

/// The duties of each device, by its number in the fleet; of nobody where there are none.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<Duties>,
    random: SeededRandom,
}

impl Workers {
    /// Those of nobody.
    pub(super) const fn none() -> Self {
        Self { workers: Vec::new(), random: SeededRandom::new(0) }
    }

    /// Of as many devices, from this one on. What they choose follows from `seed`.
    pub(super) fn new(product_key: &str, first_device: u32, count: u32, seed: u64) -> Self {
        let duties = |device| Duties::new(device, product_key, &devices::device_key(device));
        let workers = (first_device..first_device + count).map(duties).collect();
        Self { workers, random: SeededRandom::new(seed) }
    }

    fn find(&mut self, number: u32) -> Option<&mut Duties> {
        self.workers.get_mut(number as usize - 1)
    }

    /// What a device asks next, if it is no report. `waiting`: what the last response said of a command.
    pub(super) fn next(
        &mut self,
        now: Instant,
        (number, device): (u32, u32),
        waiting: Option<&str>,
        log: &mut Log,
    ) -> Result<Option<Request>, LoadError> {
        let Self { workers, random } = self;
        let Some(duties) = workers.get_mut(number as usize - 1) else { return Ok(None) };
        let mut done = Vec::new();
        let request = duties.next((now, random), waiting, 0, &mut done);
        write(device, &done, log)?;
        Ok(request)
    }

    /// A device is answered. Returns whether it goes on in its session: not where something could not be
    /// done.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        (number, device): (u32, u32),
        response: &Response,
        log: &mut Log,
    ) -> Result<bool, LoadError> {
        let Self { workers, random } = self;
        let Some(duties) = workers.get_mut(number as usize - 1) else { return Ok(true) };
        let mut done = Vec::new();
        duties.answered((now, random), response, &mut done);
        write(device, &done, log)?;
        Ok([Code::CHANGED, Code::CONTENT, Code::NOT_FOUND].contains(&response.code))
    }

    /// The session of a device has ended. Returns whether something of its duties was under way; an answer to
    /// a command is given again.
    pub(super) fn interrupt(&mut self, now: Instant, number: u32) -> bool {
        self.find(number).is_some_and(|duties| {
            let was_asked = duties.has_asked();
            duties.stays_after_silence(now);
            duties.forget_asked();
            was_asked
        })
    }
}

fn write(device: u32, done: &[Done], log: &mut Log) -> Result<(), LoadError> {
    let letter = |which: &Trait| match which {
        Trait::Attribute => 'a',
        Trait::Tag => 'k',
    };
    let text = |value: &Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
    for done in done {
        match done {
            Done::Got { id, number, topic } => log.line(format_args!("C {device} {id} {number} {topic}")),
            Done::Answers { id, code } => log.line(format_args!("B {device} {id} {code}")),
            Done::AnswerTaken { id } => log.line(format_args!("T {device} {id}")),
            Done::Edits(which, value) => {
                log.line(format_args!("U {device} {} {}", letter(which), text(value)))
            }
            Done::EditTaken(which, value) => {
                log.line(format_args!("V {device} {} {}", letter(which), text(value)))
            }
            Done::Told(which, value) => {
                log.line(format_args!("Q {device} {} {}", letter(which), text(value)))
            }
            Done::Tells(event) => log.line(format_args!("E {device} {}", event - EVENTS)),
            Done::TellingTaken(event) => log.line(format_args!("K {device} {}", event - EVENTS)),
            Done::Puzzled(what) => log.line(format_args!("P {device} {what}")),
        }?;
    }
    Ok(())
}
