//! From a secret to the key of a session, as a device has it.

use narrowgate_dtls::Psk;
use narrowgate_platform::rules::psk;

/// The key that belongs to a secret.
pub fn key_of(secret: &[u8]) -> Psk {
    Psk::new(&*psk::derive(secret)).expect("16 bytes are within 1 to 64")
}
