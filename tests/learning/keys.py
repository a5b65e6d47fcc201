"""Keys of a DTLS 1.2 session with a pre-shared key, for a client: the two suites, without any state machine.

RFC 5246 section 6 (keys, CBC), RFC 6655 (CCM_8). Written from these documents and with `cryptography`; shares
nothing with the program under test.
"""

import hmac
import os
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from lib.dtls import CCM8, VERSION, prf


class Keys:
    """Both directions of epoch 1, and the numbers that the client's records have used up."""

    def __init__(self, suite, master, client_random, server_random):
        self._ccm = suite == CCM8
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
        head = number + bytes([kind]) + VERSION + struct.pack(">H", len(content))
        if self._ccm:
            sealed = number + AESCCM(key, tag_length=8).encrypt(salt + number, content, head)
        else:
            content += hmac.digest(mac, head + content, "sha256")
            pad = 15 - len(content) % 16
            content += bytes([pad]) * (pad + 1)
            iv = os.urandom(16)
            encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
            sealed = iv + encryptor.update(content) + encryptor.finalize()
        return bytes([kind]) + VERSION + number + struct.pack(">H", len(sealed)) + sealed

    def open(self, kind, number, sealed):
        """What the server protected; None if it is not authentic under these keys."""
        mac, key, salt = self._server
        if self._ccm:
            head = number + bytes([kind]) + VERSION + struct.pack(">H", len(sealed) - 16)
            try:
                return AESCCM(key, tag_length=8).decrypt(salt + sealed[:8], sealed[8:], head)
            except InvalidTag:
                return None
        decryptor = Cipher(algorithms.AES(key), modes.CBC(sealed[:16])).decryptor()
        content = decryptor.update(sealed[16:]) + decryptor.finalize()
        content = content[: len(content) - 1 - content[-1]]
        content, tag = content[:-32], content[-32:]
        head = number + bytes([kind]) + VERSION + struct.pack(">H", len(content))
        return content if hmac.compare_digest(tag, hmac.digest(mac, head + content, "sha256")) else None
