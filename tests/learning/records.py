"""DTLS 1.2 records and keys for a client with a pre-shared key: the two suites, without any state machine.

RFC 6347 section 4.1 (records), RFC 5246 sections 5 and 6 (PRF, keys, CBC), RFC 6655 (CCM_8), RFC 4279 section 2
(premaster secret). Written from these documents and with `cryptography`; shares nothing with the program under test.
"""

import hashlib
import hmac
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION = 20, 21, 22, 23
SUITES = {"ccm_8": 0xC0A8, "cbc_sha256": 0x00AE}
_VERSION = b"\xfe\xfd"


def plain(kind, sequence, payload, version=_VERSION):
    """A record of epoch 0."""
    return bytes([kind]) + version + struct.pack(">Q", sequence) + struct.pack(">H", len(payload)) + payload


def split(datagram):
    """The records of a datagram: (kind, epoch and sequence number in 8 bytes, payload)."""
    while datagram:
        length = struct.unpack(">H", datagram[11:13])[0]
        yield datagram[0], datagram[3:11], datagram[13 : 13 + length]
        datagram = datagram[13 + length :]


def message(kind, number, body):
    """A handshake message in one fragment."""
    length = len(body).to_bytes(3, "big")
    return bytes([kind]) + length + struct.pack(">H", number) + bytes(3) + length + body


def prf(secret, label, seed, length):
    """P_SHA256 (RFC 5246, section 5)."""
    seed, out = label + seed, b""
    a = seed
    while len(out) < length:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:length]


def master_secret(psk, client_random, server_random):
    """Without the extended master secret extension, which this client does not offer."""
    premaster = struct.pack(">H", len(psk)) + bytes(len(psk)) + struct.pack(">H", len(psk)) + psk
    return prf(premaster, b"master secret", client_random + server_random, 48)


def verify_data(master, label, transcript):
    """Content of a Finished."""
    return prf(master, label, hashlib.sha256(transcript).digest(), 12)


class Keys:
    """Both directions of epoch 1, and the numbers that the client's records have used up."""

    def __init__(self, suite, master, client_random, server_random):
        self._ccm = suite == "ccm_8"
        mac, salt = (0, 4) if self._ccm else (32, 0)
        block = prf(master, b"key expansion", server_random + client_random, 2 * (mac + 16 + salt))
        cuts, parts = [mac, mac, 16, 16, salt, salt], []
        for cut in cuts:
            parts.append(block[:cut])
            block = block[cut:]
        self._client, self._server = parts[0::2], parts[1::2]
        self._sequence = 0

    @classmethod
    def strange(cls, suite):
        """Keys that nobody else has."""
        return cls(suite, os.urandom(48), os.urandom(32), os.urandom(32))

    def take_number(self):
        """The next record number, which is used up."""
        self._sequence += 1
        return self._sequence - 1

    def seal(self, kind, content):
        """A protected record."""
        number = struct.pack(">HHI", 1, 0, self.take_number())
        mac, key, salt = self._client
        head = number + bytes([kind]) + _VERSION + struct.pack(">H", len(content))
        if self._ccm:
            sealed = number + AESCCM(key, tag_length=8).encrypt(salt + number, content, head)
        else:
            content += hmac.digest(mac, head + content, "sha256")
            pad = 15 - len(content) % 16
            content += bytes([pad]) * (pad + 1)
            iv = os.urandom(16)
            encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
            sealed = iv + encryptor.update(content) + encryptor.finalize()
        return bytes([kind]) + _VERSION + number + struct.pack(">H", len(sealed)) + sealed

    def open(self, kind, number, sealed):
        """What the server protected; None if it is not authentic under these keys."""
        mac, key, salt = self._server
        if self._ccm:
            head = number + bytes([kind]) + _VERSION + struct.pack(">H", len(sealed) - 16)
            try:
                return AESCCM(key, tag_length=8).decrypt(salt + sealed[:8], sealed[8:], head)
            except InvalidTag:
                return None
        decryptor = Cipher(algorithms.AES(key), modes.CBC(sealed[:16])).decryptor()
        content = decryptor.update(sealed[16:]) + decryptor.finalize()
        content = content[: len(content) - 1 - content[-1]]
        content, tag = content[:-32], content[-32:]
        head = number + bytes([kind]) + _VERSION + struct.pack(">H", len(content))
        return content if hmac.compare_digest(tag, hmac.digest(mac, head + content, "sha256")) else None
