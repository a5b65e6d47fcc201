//! Every limit of the crate, with its reason. What happens at a limit is documented where it is enforced.

use std::time::Duration;

/// Longest handshake message that is reassembled. A real ClientHello has 70 to 400 bytes.
pub const MESSAGE_BYTES_MAX: usize = 2048;

/// Most fragments that one handshake message may arrive in.
pub const FRAGMENTS_MAX: usize = 16;

/// How many messages that overtake the awaited one are kept.
pub const MESSAGES_AHEAD_MAX: usize = 2;

/// Bytes of all protected records that are kept until their keys exist: a Finished, perhaps in pieces, and
/// duplicates of it.
pub const EARLY_BYTES_MAX: usize = 512;

/// Longest record that is kept so. A Finished takes 53 to 93 bytes; one with more CBC padding must be
/// retransmitted.
pub const EARLY_RECORD_BYTES_MAX: usize = 160;

/// Most extensions in one ClientHello; finding duplicates costs the square of this.
pub const EXTENSIONS_MAX: usize = 128;

/// Longest pre-shared key (RFC 4279, section 5.3).
pub const PSK_BYTES_MAX: usize = 64;

/// Longest PSK identity that a client may be configured with; its ClientKeyExchange fits
/// [`MESSAGE_BYTES_MAX`].
pub const PSK_IDENTITY_BYTES_MAX: usize = 1024;

/// Bytes kept of an identity that cannot be used: enough to recognise it.
pub const REJECTED_IDENTITY_BYTES_MAX: usize = 512;

/// Longest plaintext of a record (RFC 5246, section 6.2.1).
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 14;

/// Longest fragment of a protected record (RFC 5246, section 6.2.3).
pub const CIPHERTEXT_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 2048;

/// Highest record sequence number, 48 bits (RFC 6347, section 4.1). The last one is kept for an alert.
pub const SEQUENCE_MAX: u64 = (1 << 48) - 1;

/// Highest record number of a ClientHello. Our numbers start at the ClientHello's, so a stranger must not
/// push them to the end.
pub const CLIENT_HELLO_SEQUENCE_MAX: u64 = 1 << 31;

/// Highest message_seq of a ClientHello: three cookie exchanges, because a peer may move or a key may change
/// between two hellos. The client's later messages, and ours, continue from there.
pub const CLIENT_HELLO_MESSAGE_SEQ_MAX: u16 = 3;

/// How long a cookie key is used; the previous key is still accepted.
pub const COOKIE_KEY_LIFETIME: Duration = Duration::from_secs(60);

/// No cookie is valid for longer.
pub const COOKIE_LIFETIME_MAX: Duration = Duration::from_secs(2 * COOKIE_KEY_LIFETIME.as_secs());

/// Bytes of a cookie. Some clients keep at most 32; 16 save radio time and make the answer 44 bytes.
pub const COOKIE_BYTES: usize = 16;

/// Most repetitions of a flight that a peer can demand by repeating its own.
pub const DEMANDED_RESENDS_MAX: u8 = 16;

/// Empty application records accepted in a row.
pub const EMPTY_RECORDS_MAX: u8 = 32;

/// Warning alerts accepted in one session; the next one ends it.
pub const WARNING_ALERTS_MAX: u8 = 32;

/// Failed opens after which the operator is alerted: somebody forges records of this session. There is no
/// number that ends the session, or a stranger who knows its addresses could end it. One forgery succeeds
/// with 2^-64 where tags are shortest, so 10,000 a second need millions of years for an even chance.
pub const FAILED_OPENS_ALARM: u32 = 128;

/// Memory of one half-open handshake, everything included.
pub const HANDSHAKE_BYTES_MAX: usize = 4096;

/// Size of a session, without what keys of CBC take apart from it.
pub const SESSION_BYTES_MAX: usize = 112;
