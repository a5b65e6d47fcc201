//! Records and handshake messages of DTLS, written by hand: every field as the test wants it.

/// Content type of a ChangeCipherSpec.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// Content type of an alert.
pub const ALERT: u8 = 21;
/// Content type of a handshake message.
pub const HANDSHAKE: u8 = 22;
/// Content type of application data.
pub const APPLICATION_DATA: u8 = 23;

/// A record.
pub fn record(content_type: u8, version: u16, epoch: u16, sequence: u64, fragment: &[u8]) -> Vec<u8> {
    let mut record = vec![content_type];
    record.extend(version.to_be_bytes());
    record.extend(epoch.to_be_bytes());
    record.extend(&sequence.to_be_bytes()[2..]);
    record.extend((fragment.len() as u16).to_be_bytes());
    record.extend(fragment);
    record
}

/// A fragment of a handshake message, whatever its header then says about the whole.
pub fn fragment(kind: u8, message_seq: u16, offset: usize, bytes: &[u8], length: usize) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(&(length as u32).to_be_bytes()[1..]);
    message.extend(message_seq.to_be_bytes());
    message.extend(&(offset as u32).to_be_bytes()[1..]);
    message.extend(&(bytes.len() as u32).to_be_bytes()[1..]);
    message.extend(bytes);
    message
}

/// A whole handshake message.
pub fn message(kind: u8, message_seq: u16, body: &[u8]) -> Vec<u8> {
    fragment(kind, message_seq, 0, body, body.len())
}

/// An extension of a hello.
pub fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat()
}
