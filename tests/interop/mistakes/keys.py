"""Keys: what was hashed, where the hash was cut, and in which form the client got the key."""

import base64
import hashlib

from interop.peers import aiocoap_tinydtls, gnutls, node_dtls, openssl, python_mbedtls
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.peers.mbedtls import MBEDTLS_2, MBEDTLS_3
from lib.devices import psk
from lib.dtls import CBC, CCM8

from . import (
    DEVICE,
    IDENTITY,
    KEY,
    NOTHING,
    OTHER_SECRET,
    PRODUCT,
    PRODUCT_SECRET,
    REPORT,
    SECRET,
    ZERO,
    ZERO_SECRET,
    Mistake,
    told,
)

TITLE = "Keys"
_HASH = hashlib.sha256(SECRET.encode()).digest()
_MODE_3 = f"{PRODUCT},{DEVICE},3,3600"


def _key(what, peer, key, words, identity=IDENTITY, suite=CCM8):
    def make(bench):
        return told(lambda: peer.exchange(bench.target(identity, key, suite), [REPORT]))

    return Mistake(what, peer.NAME, make, NOTHING, "wrong_key", words)


def _replaced(bench):
    """The device goes on with the secret that it had before an operator reset it."""
    bench.operate("device", "reset", PRODUCT, DEVICE, "--yes")
    return told(lambda: gnutls.exchange(bench.target(), [REPORT]))


MISTAKES = [
    _key("the first 16 bytes of the hash", openssl, _HASH[:16], "start of the hash"),
    _key("the last 16 bytes of the hash", gnutls, _HASH[16:], "end of the hash"),
    _key("bytes 9 to 24 counted from 0", openssl, _HASH[9:25], "one byte too late"),
    _key("bytes 8 to 23 counted from 1", gnutls, _HASH[7:23], "one byte too early"),
    _key("bytes 9 to 23: a slice `[8:23]`", MBEDTLS_3, _HASH[8:23], "15 bytes"),
    _key("bytes 9 to 25: a slice `[8:25]`", openssl, _HASH[8:25], "17 bytes"),
    _key("the whole hash, 32 bytes", openssl, _HASH, "whole hash"),
    _key("characters 9 to 24 of the hash's hex text", OPENSSL, _HASH.hex()[8:24].encode(), "hex text"),
    _key("the key's hex text: `-k 2e87da0c…`", OPENSSL, KEY.hex().encode(), "hex text of the right key"),
    _key("the key's hex text in upper case", GNUTLS, KEY.hex().upper().encode(), "hex text of the right key"),
    _key("`-k 0x2e87da0c…`, which libcoap knows from 4.3.5 on", OPENSSL, b"0x" + KEY.hex().encode(), "0x"),
    _key("the 64 hex digits of the hash as text", node_dtls, _HASH.hex().encode(), "hex"),
    _key("the key's base64 text", GNUTLS, base64.b64encode(KEY), "base64"),
    _key("the secret itself", OPENSSL, SECRET.encode(), "the secret itself"),
    _key(
        "the first 16 characters of the secret", aiocoap_tinydtls, SECRET[:16].encode(), "start of the secret"
    ),
    _key("`echo` instead of `printf %s` before `sha256sum`", openssl, psk(SECRET + "\n"), "line end"),
    _key("a secret from a file with lines that end in CR LF", gnutls, psk(SECRET + "\r\n"), "CR LF"),
    _key("`sizeof` instead of `strlen`: the NUL was hashed too", MBEDTLS_2, psk(SECRET + "\0"), "NUL"),
    _key("a space behind the secret", python_mbedtls, psk(SECRET + " "), "space"),
    _key("the secret with its quotation marks", MBEDTLS_3, psk(f'"{SECRET}"'), "quotation marks", suite=CBC),
    _key("the product's secret with secure mode 2", openssl, psk(PRODUCT_SECRET), "product's secret"),
    _key("the device's secret with secure mode 3", gnutls, psk(SECRET), "device's secret", _MODE_3),
    _key(
        "the secret of another device of the product", aiocoap_tinydtls, psk(OTHER_SECRET), "another device"
    ),
    Mistake(
        "the secret of before `device reset`", gnutls.NAME, _replaced, NOTHING, "wrong_key", "had before"
    ),
    _key(
        "a key with a zero byte, through `$(…)` or a string function",
        OPENSSL,
        psk(ZERO_SECRET).split(b"\0")[0],
        "zero byte",
        f"{PRODUCT},{ZERO},2,3600",
    ),
    _key("16 zeros: the key was never set", MBEDTLS_2, bytes(16), "zero"),
]
