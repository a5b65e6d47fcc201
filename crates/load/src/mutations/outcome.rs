//! The outcome of the mutations.

use std::fmt;

use serde::Serialize;

/// Most violations that are reported.
const VIOLATIONS_MAX: usize = 20;

/// What was done, and what was wrong.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MutationsOutcome {
    /// Mutated datagrams and messages that were sent.
    pub mutations: u32,
    /// The part of them that were CoAP messages inside authentic records.
    pub messages: u32,
    /// Handshakes of honest devices.
    pub handshakes: u32,
    /// Handshakes that mutations ruined, so that the device started again.
    pub ruined: u32,
    /// Handshakes that the server has begun behind a valid cookie, those of mutations included.
    pub handshakes_begun: u64,
    /// How long all of it took.
    pub seconds: f64,
    /// The server's.
    pub memory: Memory,
    /// The server's at the end.
    pub gauges: Vec<(&'static str, f64)>,
    /// What should not have happened.
    pub violations: Vec<String>,
}

/// Resident bytes of the server's process.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// After a tenth of the mutations, when what they left half open was gone.
    pub after_warm_up: u64,
    /// After all of them, likewise.
    pub at_end: u64,
}

impl Memory {
    /// Growth from the first to the second, percent.
    pub fn growth_percent(&self) -> f64 {
        100.0 * (self.at_end as f64 - self.after_warm_up as f64) / (self.after_warm_up as f64).max(1.0)
    }
}

impl MutationsOutcome {
    pub(super) fn violate(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what);
        }
    }
}

impl fmt::Display for MutationsOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(f, "mutations          {}", self.mutations)?;
        writeln!(f, "  inside records   {}", self.messages)?;
        writeln!(f, "handshakes         {} ({} ruined and begun anew)", self.handshakes, self.ruined)?;
        writeln!(f, "  at the server    {}", self.handshakes_begun)?;
        writeln!(f, "seconds            {:.1}", self.seconds)?;
        let (before, after) = (mib(self.memory.after_warm_up), mib(self.memory.at_end));
        let growth = self.memory.growth_percent();
        writeln!(f, "resident           {before:.2} -> {after:.2} MiB ({growth:+.2} %)")?;
        for (name, value) in &self.gauges {
            writeln!(f, "{name:<18} {value}")?;
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION          {violation}")?;
        }
        writeln!(f, "violations         {}", self.violations.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_in_percent_and_violations_are_bounded() {
        let memory = Memory { after_warm_up: 200, at_end: 203 };
        assert!((memory.growth_percent() - 1.5).abs() < 1e-9);
        let mut outcome = MutationsOutcome { memory, ..MutationsOutcome::default() };
        (0..100).for_each(|number| outcome.violate(number.to_string()));
        assert!(outcome.to_string().ends_with("violations         20\n"), "{outcome}");
    }
}
