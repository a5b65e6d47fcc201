//! Records of DTLS: no number is used twice by the server, and no record is taken twice.

use std::net::SocketAddr;

use narrowgate_dtls::{RecordSeen, records_seen};

use super::{Checked, Ledger, Violation};

impl Ledger {
    /// The server sends a datagram: its record numbers must rise within a session.
    pub fn transmitted(&mut self, to: SocketAddr, datagram: &[u8]) -> Checked {
        for RecordSeen { epoch, sequence: number, .. } in records_seen(datagram) {
            if epoch != 1 || self.fresh.contains(&to) {
                continue;
            }
            self.totals.records += 1;
            if self.numbers.insert(to, number).is_some_and(|last| number <= last) {
                let what = format!("record number {number} was used again in the session at {to}");
                return Err(Violation { device: None, what });
            }
        }
        Ok(())
    }

    /// A server has taken a record: never the same one twice, whoever sent the copy.
    pub fn accepted(&mut self, from: SocketAddr, record: Vec<u8>) -> Checked {
        if self.accepted.insert((from, record)) {
            return Ok(());
        }
        Err(Violation { device: None, what: format!("a copy of a record from {from} was taken as new") })
    }

    /// A step is over: what was sent after a new session began belongs to it.
    pub fn end_of_step(&mut self) {
        self.fresh.clear();
    }
}
