//! ClientHellos, compared with a second reader that was written from the RFCs in a different way.

use std::{
    cell::RefCell,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use narrowgate_dtls::{DecoySecret, FrontDoor, Listener, ServerConfig, limits, test_support};

use crate::script::{Counting, start};

const SUITES: [u16; 2] = [0xc0a8, 0x00ae];
/// Record header and handshake header.
const HEAD_BYTES: usize = 13 + 12;

thread_local! {
    static LISTENER: RefCell<Listener> = RefCell::new(Listener::new(
        Arc::new(ServerConfig::new(DecoySecret::new([7; 32]))), start(), &mut Counting(1),
    ));
    static ROOM: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::default();
}

/// The body of a ClientHello: accepted and understood as by the other reader; at the front door it is
/// answered by at most as many bytes as it has, and begins nothing, since no cookie was ever given out.
pub fn client_hello(data: &[u8]) {
    check(data);
    if data.len() > limits::MESSAGE_BYTES_MAX {
        return;
    }
    ROOM.with_borrow_mut(|(datagram, reply)| {
        datagram.clear();
        let length = (data.len() as u32).to_be_bytes();
        let message_seq = data.last().copied().unwrap_or(0) & 7;
        datagram.extend_from_slice(&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0]);
        datagram.extend_from_slice(&((data.len() + 12) as u16).to_be_bytes());
        datagram.extend_from_slice(&[
            1,
            length[1],
            length[2],
            length[3],
            0,
            message_seq,
            0,
            0,
            0,
            length[1],
            length[2],
            length[3],
        ]);
        datagram.extend_from_slice(data);
        let start_is_good = Other::start(data).is_some();
        assert_eq!(
            test_support::client_hello_random(datagram).is_some(),
            start_is_good,
            "the front door reads what the handshake reads"
        );
        let peer = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 9), 5684));
        LISTENER.with_borrow_mut(|listener| {
            let outcome = listener.handle_datagram(start(), peer, datagram, &mut Counting(1), reply);
            assert!(reply.len() <= datagram.len(), "{} bytes for {}", reply.len(), datagram.len());
            match outcome {
                FrontDoor::Discard(_) => assert!(reply.is_empty(), "a discard is silent"),
                FrontDoor::HelloVerify => assert!(start_is_good && datagram.len() >= HEAD_BYTES),
                FrontDoor::Refuse(_) | FrontDoor::Accept(_) => panic!("a cookie was guessed"),
            }
        });
    });
}

/// The extensions of a ClientHello that is good otherwise.
pub fn extension(data: &[u8]) {
    ROOM.with_borrow_mut(|(body, _)| {
        body.clear();
        body.extend_from_slice(&[0xfe, 0xfd]);
        body.extend_from_slice(&[9; 32]);
        body.extend_from_slice(&[0, 0, 0, 2, 0xc0, 0xa8, 1, 0]);
        body.extend_from_slice(&(data.len() as u16).to_be_bytes());
        body.extend_from_slice(data);
        check(body);
    });
}

fn check(body: &[u8]) {
    let read = test_support::client_hello(body, SUITES);
    let other = Other::read(body);
    match (&read, &other) {
        (Ok(hello), Some(other)) => {
            assert_eq!(hello.version, other.version);
            assert_eq!(hello.random.as_slice(), other.random);
            assert_eq!((hello.session_id, hello.cookie), (other.session_id, other.cookie));
            assert_eq!(hello.offers, SUITES.map(|suite| other.offers(suite)));
            let scsv = other.offers(test_support::EMPTY_RENEGOTIATION_INFO_SCSV);
            assert_eq!(hello.renegotiation_info, scsv || other.extension(0xff01).is_some());
            assert_eq!(hello.extended_master_secret, other.extension(23).is_some());
            assert_eq!(hello.encrypt_then_mac, other.extension(22).is_some());
            let length = other.extension(1).map(|data| 256 << data[0]);
            assert_eq!(hello.fragment_bytes_max, length);
        }
        (Err(_), None) => {}
        _ => panic!("the readers disagree: {read:?} and {}", other.is_some()),
    }
}

/// The other reader: by positions.
struct Other<'a> {
    version: u16,
    random: &'a [u8],
    session_id: &'a [u8],
    cookie: &'a [u8],
    suites: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Other<'a> {
    /// Where session_id and cookie end.
    fn start(body: &[u8]) -> Option<(usize, usize)> {
        let session_id_end = 35 + usize::from(*body.get(34)?);
        let cookie_end = session_id_end + 1 + usize::from(*body.get(session_id_end)?);
        (session_id_end <= 35 + 32 && cookie_end <= body.len()).then_some((session_id_end, cookie_end))
    }

    fn read(body: &'a [u8]) -> Option<Self> {
        let (session_id_end, cookie_end) = Self::start(body)?;
        let suites_at = cookie_end + 2;
        let suites_end = suites_at + u16_at(body, cookie_end)?;
        let compressions_end = suites_end + 1 + usize::from(*body.get(suites_end)?);
        let compressions = body.get(suites_end + 1..compressions_end)?;
        let suites = body.get(suites_at..suites_end)?;
        let extensions = match body.get(compressions_end..)? {
            [] => &[][..],
            [_] => return None,
            block if u16_at(block, 0)? + 2 == block.len() => &block[2..],
            _ => return None,
        };
        let hello = Self {
            version: u16_at(body, 0)? as u16,
            random: &body[2..34],
            session_id: &body[35..session_id_end],
            cookie: &body[session_id_end + 1..cookie_end],
            suites,
            extensions,
        };
        let good = !suites.is_empty() && suites.len() % 2 == 0 && compressions.contains(&0);
        (good && hello.extensions_are_good()).then_some(hello)
    }

    fn offers(&self, suite: u16) -> bool {
        (0..self.suites.len() / 2).any(|index| u16_at(self.suites, 2 * index) == Some(usize::from(suite)))
    }

    fn extension(&self, wanted: usize) -> Option<&'a [u8]> {
        let mut at = 0;
        while at < self.extensions.len() {
            let length = u16_at(self.extensions, at + 2)?;
            if u16_at(self.extensions, at) == Some(wanted) {
                return self.extensions.get(at + 4..at + 4 + length);
            }
            at += 4 + length;
        }
        None
    }

    fn extensions_are_good(&self) -> bool {
        let (mut at, mut count) = (0, 0);
        while at < self.extensions.len() {
            let (Some(kind), Some(length)) = (u16_at(self.extensions, at), u16_at(self.extensions, at + 2))
            else {
                return false;
            };
            let Some(data) = self.extensions.get(at + 4..at + 4 + length) else { return false };
            let fits = match kind {
                22 | 23 => data.is_empty(),
                0xff01 => data == [0],
                1 => matches!(data, [1..=4]),
                _ => true,
            };
            if !fits || self.comes_before(kind, at) {
                return false;
            }
            at += 4 + length;
            count += 1;
        }
        count <= limits::EXTENSIONS_MAX
    }

    fn comes_before(&self, kind: usize, end: usize) -> bool {
        let mut at = 0;
        while at < end {
            if u16_at(self.extensions, at) == Some(kind) {
                return true;
            }
            at += 4 + u16_at(self.extensions, at + 2).unwrap_or(end);
        }
        false
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(*bytes.get(at)?) << 8 | usize::from(*bytes.get(at + 1)?))
}
