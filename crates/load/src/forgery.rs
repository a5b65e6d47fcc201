//! Records that no session has sealed, sent from the address of one: a stranger's tries to break in, or to
//! have the session closed.

use std::time::{Duration, Instant};

use narrowgate_dtls::RECORD_HEADER_BYTES;

use super::{LoadError, crowd::Crowd};

/// Content of a record: nonce, a small report and a tag.
const BODY_BYTES: usize = 96;
/// Type application data, DTLS 1.2, epoch 1 (RFC 6347, section 4.1).
const HEADER_BEGIN: [u8; 5] = [23, 0xfe, 0xfd, 0, 1];
/// Sent in one go where the sender is behind, so that the devices have their turn in between.
const BURST_MAX: u64 = 64;

/// Forges records at a steady rate, at all devices in turn.
#[derive(Debug)]
pub(super) struct Forger {
    begin: Instant,
    per_second: u32,
    sent: u64,
    devices: u32,
}

impl Forger {
    /// Of `per_second` records, from `begin` on, at devices 1 to `devices`.
    pub(super) const fn new(begin: Instant, per_second: u32, devices: u32) -> Self {
        Self { begin, per_second, sent: 0, devices }
    }

    /// Sends what is due.
    pub(super) fn turn(&mut self, now: Instant, crowd: &Crowd) -> Result<(), LoadError> {
        for _ in 0..self.due(now - self.begin) {
            self.sent += 1;
            let number = 1 + (self.sent % u64::from(self.devices)) as u32;
            crowd.inject(number, &record(self.sent))?;
        }
        Ok(())
    }

    fn due(&self, elapsed: Duration) -> u64 {
        let due = (elapsed.as_secs_f64() * f64::from(self.per_second)) as u64;
        due.saturating_sub(self.sent).min(BURST_MAX)
    }
}

/// A record of full length with a number that the session has not seen, whose tag cannot be right.
fn record(count: u64) -> [u8; RECORD_HEADER_BYTES + BODY_BYTES] {
    let mut record = [0xa5; RECORD_HEADER_BYTES + BODY_BYTES];
    record[..5].copy_from_slice(&HEADER_BEGIN);
    // Far ahead of the session: were the window to move by it, every genuine record would be too old.
    let number = (1_u64 << 40) + count;
    record[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
    record[11..13].copy_from_slice(&(BODY_BYTES as u16).to_be_bytes());
    record[13..21].copy_from_slice(&count.to_be_bytes());
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgeries_come_at_their_rate_and_in_small_bursts() {
        let mut forger = Forger::new(Instant::now(), 10_000, 4);
        assert_eq!(forger.due(Duration::from_micros(1000)), 10);
        forger.sent = 10;
        assert_eq!(forger.due(Duration::from_micros(1000)), 0);
        assert_eq!(forger.due(Duration::from_secs(1)), BURST_MAX);
    }

    #[test]
    fn a_forged_record_has_the_form_of_a_genuine_one() {
        let record = record(7);
        assert_eq!(record[..13], [23, 0xfe, 0xfd, 0, 1, 1, 0, 0, 0, 0, 7, 0, 96]);
        assert_eq!(record.len(), 13 + 96);
    }
}
