//! Whether a life went as it has to.

use super::{Fault, Life, Right};
use crate::output::counted;

/// `1 of 3 reports was`, `2 of 3 reports were`.
fn of_reports(count: u32, all: u32) -> String {
    let verb = if count == 1 { "was" } else { "were" };
    format!("{count} of {} {verb}", counted(all, "report"))
}

impl Life {
    /// Whether all went as it has to; else what did not.
    pub(in super::super) fn verdict(&self) -> Result<(), String> {
        let Self { ended, acknowledged, refused, .. } = *self;
        let right = self.plan.fault.map(Fault::right);
        if right == Some(Right::Silence) {
            return self.silence();
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        match right {
            Some(_) if ended == 0 => Err("the device was ended before a report was answered".to_owned()),
            Some(Right::Refused(code)) if refused < ended => {
                Err(format!("{} not answered {code}", of_reports(ended - refused, ended)))
            }
            Some(Right::Refused(_)) => Ok(()),
            _ if acknowledged < ended => {
                Err(format!("{} not acknowledged", of_reports(ended - acknowledged, ended)))
            }
            _ => Ok(()),
        }
    }

    /// The same of a handshake that has to fail without a word. A server that is not there does not count.
    fn silence(&self) -> Result<(), String> {
        let wrong = match self {
            Self { connected: true, .. } => "the server accepted a handshake that it has to refuse",
            Self { failure: None, .. } => "the device was ended before the handshake had failed",
            Self { refused_handshake: true, .. } => "the server said that it refuses, and has to be silent",
            Self { heard: false, .. } => {
                "nothing came from the server: nobody is there, or nothing gets through"
            }
            _ => return Ok(()),
        };
        Err(wrong.to_owned())
    }
}
