"""DTLS 1.2 on the wire: numbers and names, records and handshake messages, the PRF. No keys and no state
machine.

RFC 6347 section 4.1 (records), RFC 5246 section 5 (PRF), RFC 4279 section 2 (premaster secret). Written from
these documents; shares nothing with the program under test.
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY, CERTIFICATE = 1, 2, 3, 11
SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE, KEY_EXCHANGE, FINISHED = 12, 14, 16, 20
CCM8, CBC = "CCM_8", "CBC_SHA256"
SUITES = {CCM8: 0xC0A8, CBC: 0x00AE}
SUITE_NAMES = {CCM8: "TLS_PSK_WITH_AES_128_CCM_8", CBC: "TLS_PSK_WITH_AES_128_CBC_SHA256"}
VERSION = b"\xfe\xfd"
RECORD_HEADER_BYTES = 13


def plain(kind: int, sequence: int, payload: bytes, version: bytes = VERSION) -> bytes:
    """A record of epoch 0."""
    return bytes([kind]) + version + struct.pack(">QH", sequence, len(payload)) + payload


def split(datagram: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The records of a datagram: (kind, epoch and sequence number in 8 bytes, payload)."""
    while datagram:
        end = RECORD_HEADER_BYTES + struct.unpack(">H", datagram[11:13])[0]
        yield datagram[0], datagram[3:11], datagram[RECORD_HEADER_BYTES:end]
        datagram = datagram[end:]


def message(kind: int, number: int, body: bytes) -> bytes:
    """A handshake message in one fragment."""
    length = len(body).to_bytes(3, "big")
    return bytes([kind]) + length + struct.pack(">H", number) + bytes(3) + length + body


def message_number(datagram: bytes) -> int:
    """The message_seq of the handshake message that a datagram starts with."""
    return int.from_bytes(datagram[17:19], "big")


def is_hello_verify(datagram: bytes) -> bool:
    """Whether a datagram is a HelloVerifyRequest."""
    return _starts_with(datagram, HELLO_VERIFY)


def is_client_hello(datagram: bytes) -> bool:
    """Whether a datagram starts with a ClientHello in epoch 0."""
    return _starts_with(datagram, CLIENT_HELLO) and datagram[4] == 0


def is_last_flight(datagram: bytes) -> bool:
    """Whether a datagram of the server starts its last flight."""
    return datagram[:1] == bytes([CHANGE_CIPHER_SPEC])


def _starts_with(datagram, kind):
    long_enough = len(datagram) > RECORD_HEADER_BYTES
    return long_enough and datagram[0] == HANDSHAKE and datagram[RECORD_HEADER_BYTES] == kind


def prf(secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """P_SHA256 (RFC 5246, section 5)."""
    seed, out = label + seed, b""
    a = seed
    while len(out) < length:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:length]


def master_secret(psk: bytes, client_random: bytes, server_random: bytes) -> bytes:
    """Without the extended master secret extension, which our own client does not offer."""
    premaster = struct.pack(">H", len(psk)) + bytes(len(psk)) + struct.pack(">H", len(psk)) + psk
    return prf(premaster, b"master secret", client_random + server_random, 48)


def verify_data(master: bytes, label: bytes, transcript: bytes) -> bytes:
    """Content of a Finished."""
    return prf(master, label, hashlib.sha256(transcript).digest(), 12)
