//! What the store noted, and what is said when a promise is broken.

use std::fmt;

use narrowgate_platform::ports::Write;

use super::{Campaign, ledger::Violation};
use crate::world::{start, store::Note};

impl Campaign {
    pub(super) fn take_notes(&mut self) {
        for note in self.store.take_notes() {
            let checked = match note {
                Note::Asked(write) => self.decided(&write),
                Note::TakenUp { device, login, peer } => {
                    self.ledger.taken_up(device, login, &peer);
                    Ok(())
                }
                Note::Applied(write, outcome) => self.ledger.applied(&write, outcome, self.now),
                Note::CommandsRead(device) => {
                    let number = self.ledger.number_of(device);
                    self.ledger.commands.read(number, self.now);
                    Ok(())
                }
                Note::Responded(ticket, response) => {
                    let now = self.wall();
                    self.ledger.responded(ticket, &response, (now.wall, now.instant))
                }
                Note::Refused => {
                    self.ledger.refused();
                    Ok(())
                }
                Note::Issued(device, secret) => {
                    self.ledger.issued(device, &secret);
                    Ok(())
                }
            };
            self.check(checked);
        }
    }

    /// The store is asked to note a change of presence.
    fn decided(&mut self, write: &Write) -> Result<(), Violation> {
        let Write::Presence { device, at, .. } = write else { return Ok(()) };
        let what = format!("a change of presence that nobody decided: {write:?}");
        let mut wrong = Err(Violation { device: None, what });
        // Of several moments one has to be right.
        for decided in self.store.decided(*device, *at) {
            wrong = self.ledger.presence_decided(write, *decided);
            if wrong.is_ok() {
                break;
            }
        }
        wrong
    }

    pub(super) fn check(&self, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            self.violated(&violation);
        }
    }

    fn violated(&self, violation: &Violation) -> ! {
        let Violation { device, what } = violation;
        let seconds = (self.now - start()).as_secs_f64();
        let whose = device.map_or_else(String::new, |number| format!("device {number}: "));
        let trace =
            device.and_then(|number| self.agents.get(number as usize)).map(|agent| agent.trace(start()));
        panic!(
            "seed {}, {seconds:.3} s: {whose}{what}\n{}\
             replay it: narrowgate-simulation replay --seed {} ({} devices)",
            self.plan.seed,
            trace.unwrap_or_default(),
            self.plan.seed,
            self.plan.devices,
        )
    }

    pub(super) fn require(&self, holds: bool, device: Option<u32>, what: impl fmt::Display) {
        if !holds {
            self.violated(&Violation { device, what: what.to_string() });
        }
    }
}
