"""Identities: their four fields, and what the server knows of them."""

from interop.peers import gnutls, openssl
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.peers.mbedtls import MBEDTLS_2, MBEDTLS_3
from lib.coap import Request
from lib.devices import psk

from . import (
    ACTIVATION,
    DEVICE,
    IDENTITY,
    NOTHING,
    OTHER,
    OTHER_SECRET,
    PRODUCT,
    PRODUCT_SECRET,
    REPORT,
    Mistake,
    told,
)

TITLE = "Identities, and what an operator has to do first"


def _identity(what, peer, identity, reason, words, **target):
    def make(bench):
        return told(lambda: peer.exchange(bench.target(identity, **target), [REPORT]))

    return Mistake(what, peer.NAME, make, NOTHING, reason, words)


def _fields(what, peer, fields, reason, words):
    return _identity(f"{what}: `…,{fields}`", peer, f"{PRODUCT},{DEVICE},{fields}", reason, words)


def _activate(bench, peer):
    target = bench.target(f"{PRODUCT},{DEVICE},3,3600", psk(PRODUCT_SECRET))
    return told(lambda: peer.exchange(target, [Request("GET", ACTIVATION)]))


def _activation_off(bench):
    return _activate(bench, OPENSSL)


def _already_activated(bench):
    bench.operate("product", "update", PRODUCT, "--dynamic-activation", "on")
    openssl.exchange(bench.target(), [REPORT])
    return _activate(bench, gnutls)


def _device_off(bench):
    bench.operate("device", "disable", PRODUCT, DEVICE)
    return told(lambda: openssl.exchange(bench.target(), [REPORT]))


def _product_off(bench):
    bench.operate("product", "update", PRODUCT, "--disable")
    return told(lambda: gnutls.exchange(bench.target(), [REPORT]))


def _unit_suspended(bench):
    bench.operate("ou", "create", "north")
    bench.operate("product", "create", "north's", "--product-key", "2zp6A70r", "--ou", "north")
    device = ["--device-key", "SwnkrZjJ1T", "--device-secret", OTHER_SECRET]
    bench.operate("device", "create", "--product", "2zp6A70r", *device)
    bench.operate("ou", "suspend", "north")
    target = bench.target("2zp6A70r,SwnkrZjJ1T,2,3600", psk(OTHER_SECRET))
    return told(lambda: openssl.exchange(target, [REPORT]))


_MALFORMED = "identity_malformed"
_LIFETIME = "lifetime_out_of_range"
MISTAKES = [
    _identity("a space after the commas", openssl, f"{PRODUCT}, {DEVICE}, 2, 3600", _MALFORMED, "a space"),
    _identity(
        "no lifetime: `MuGsF6W4,867725030096431,2`", GNUTLS, f"{PRODUCT},{DEVICE},2", _MALFORMED, "3 fields"
    ),
    _identity("a comma at the end", openssl, IDENTITY + ",", _MALFORMED, "5 fields"),
    _identity("`;` instead of `,`", OPENSSL, IDENTITY.replace(",", ";"), _MALFORMED, "1 field"),
    _identity("only the device's key", gnutls, DEVICE, _MALFORMED, "1 field"),
    _identity(
        "`sizeof` instead of `strlen`: a NUL at the end", MBEDTLS_3, IDENTITY + "\0", _MALFORMED, "NUL"
    ),
    _identity("a line end at the end, from `fgets`", openssl, IDENTITY + "\n", _MALFORMED, "line end"),
    _identity("quotation marks around it", MBEDTLS_2, f'"{IDENTITY}"', _LIFETIME, '3600"'),
    _fields("lifetime 0", OPENSSL, "2,0", _LIFETIME, "0"),
    _fields("a lifetime below 30 s", GNUTLS, "2,29", _LIFETIME, "29"),
    _fields("a lifetime of more than a day", openssl, "2,86401", _LIFETIME, "86401"),
    _fields("a lifetime with its unit", gnutls, "2,3600s", _LIFETIME, "3600s"),
    _fields("a lifetime in milliseconds", MBEDTLS_2, "2,3600000", _LIFETIME, "3600000"),
    _fields("secure mode 1", openssl, "1,3600", "mode_unknown", "2"),
    _identity(
        "product key and device key swapped",
        gnutls,
        f"{DEVICE},{PRODUCT},2,3600",
        "product_unknown",
        "begins with the product key",
    ),
    _identity(
        "a product of another server, or mistyped", GNUTLS, f"MuGsF6W5,{DEVICE},2,3600", "product_unknown", ""
    ),
    _identity(
        "the product's key in lower case", openssl, f"mugsf6w4,{DEVICE},2,3600", "product_unknown", "case"
    ),
    _identity(
        "a device that nobody has registered",
        OPENSSL,
        f"{PRODUCT},867725030099999,2,3600",
        "device_unknown",
        "",
    ),
    _identity(
        "the device's key in lower case",
        gnutls,
        f"{PRODUCT},{OTHER.lower()},2,3600",
        "device_unknown",
        "case",
        key=psk(OTHER_SECRET),
    ),
    Mistake(
        "secure mode 3 while dynamic activation is off",
        OPENSSL.NAME,
        _activation_off,
        "`4.03`",
        "dynamic_activation_off",
        "dynamic activation",
    ),
    Mistake(
        "asking for the secret again after the first login",
        gnutls.NAME,
        _already_activated,
        "`4.03`",
        "already_activated",
        "reset",
    ),
    Mistake("a device that was switched off", openssl.NAME, _device_off, NOTHING, "device_disabled", ""),
    Mistake(
        "a device whose product was switched off", gnutls.NAME, _product_off, NOTHING, "product_disabled", ""
    ),
    Mistake(
        "a device whose organisation unit was suspended",
        openssl.NAME,
        _unit_suspended,
        NOTHING,
        "unit_suspended",
        "",
    ),
]
