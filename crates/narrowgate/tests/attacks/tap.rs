//! Somebody on the wire who only listens.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    client::{APPLICATION_DATA, HANDSHAKE, Protection},
    crypto::{Keys, premaster, prf},
};

/// A place on the wire between one client and the server, where all datagrams pass and are recorded.
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    recorded: Arc<Mutex<Vec<Vec<u8>>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let outside = UdpSocket::bind("127.0.0.1:0").unwrap();
        let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
        inside.connect(server).unwrap();
        for socket in [&outside, &inside] {
            socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
        let address = outside.local_addr().unwrap();
        let (recorded, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (record, end) = (Arc::clone(&recorded), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut client = None;
            while !end.load(Ordering::Relaxed) {
                if let Ok((length, from)) = outside.recv_from(&mut buffer) {
                    client = Some(from);
                    record.lock().unwrap().push(buffer[..length].to_vec());
                    inside.send(&buffer[..length]).unwrap();
                }
                if let (Ok(length), Some(client)) = (inside.recv(&mut buffer), client) {
                    record.lock().unwrap().push(buffer[..length].to_vec());
                    outside.send_to(&buffer[..length], client).unwrap();
                }
            }
        });
        Self { address, recorded, ended, thread: Some(thread) }
    }

    /// What passed, in order.
    pub(crate) fn recorded(&self) -> Vec<Vec<u8>> {
        self.recorded.lock().unwrap().clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Reads a recorded conversation with the pre-shared key alone: the application data that the server sent.
/// For handshakes without the extended master secret, which binds the keys to the handshake but hides nothing
/// from who has seen all of it.
pub(crate) fn decrypt(recorded: &[Vec<u8>], protection: Protection, psk: &[u8]) -> Vec<Vec<u8>> {
    let records = recorded.iter().flat_map(|datagram| records_of(datagram));
    let (mut client_random, mut server_random, mut opened) = (Vec::new(), Vec::new(), Vec::new());
    for record in records {
        // Epoch, and kind of handshake message; its body begins with the version and the random.
        match (record[0], &record[3..5], record.get(13)) {
            (HANDSHAKE, [0, 0], Some(1)) => client_random = record[27..59].to_vec(),
            (HANDSHAKE, [0, 0], Some(2)) => server_random = record[27..59].to_vec(),
            (APPLICATION_DATA, [0, 1], _) => {
                let master =
                    prf(&premaster(psk), "master secret", &[&client_random[..], &server_random].concat(), 48);
                let keys = Keys::new(protection, &master, &[&server_random[..], &client_random].concat());
                opened.extend(keys.open(record).map(|(_, content)| content));
            }
            _ => {}
        }
    }
    opened
}

fn records_of(mut datagram: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while datagram.len() >= 13 {
        let length = usize::from(u16::from_be_bytes([datagram[11], datagram[12]]));
        let (record, rest) = datagram.split_at((13 + length).min(datagram.len()));
        records.push(record);
        datagram = rest;
    }
    records
}
