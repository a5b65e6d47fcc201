//! Whether a life went as it has to.

use super::{Fault, Life, Right};

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
                Err(format!("{} of {ended} reports were not answered {code}", ended - refused))
            }
            Some(Right::Refused(_)) => Ok(()),
            _ if acknowledged < ended => {
                Err(format!("{} of {ended} reports were not acknowledged", ended - acknowledged))
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
