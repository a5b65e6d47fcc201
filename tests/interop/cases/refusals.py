"""Handshakes that have to fail: the peer sees silence and cannot tell the causes apart, the operator reads
the reason.
"""

import base64
import json
from dataclasses import dataclass, replace

from interop.harness import case, check, eventually
from interop.peers import PeerFailed, gnutls, openssl
from interop.peers.mbedtls import MBEDTLS_2, MBEDTLS_3, Options
from lib.coap import Silence
from lib.devices import create_device, create_product, psk, random_name
from lib.dtls import ALERT, CBC, CCM8, HANDSHAKE

from .steps import check_silence, report_by, wait_for_refusal

_QUICK = Options(first_timeout_ms=600, last_timeout_ms=600)


@dataclass(frozen=True)
class Attempt:
    """A handshake that has to be refused, and the device whose log says so (None: only `refused` can)."""

    identity: str
    key: bytes
    device: object = None


def _shake_hands(gateway, attempt, suite=CCM8):
    """Tries; returns what the server sent, as pairs of content type and length."""
    session = MBEDTLS_3.session(gateway.target(attempt.identity, attempt.key, suite), _QUICK)
    check_silence(session.handshake, f"a handshake as {attempt.identity}")
    received = [(datagram[0], len(datagram)) for datagram in session.received]
    session.vanish()
    check(received, "not even a HelloVerifyRequest came: silence for another reason than expected")
    check(all(kind != ALERT for kind, _ in received), f"the server sent an alert: {received}")
    return received


def _wait_until_listed(gateway, identity, reason):
    """Waits until `narrowgate refused` names the identity and the reason together."""
    listed = {}

    def probe():
        listed["all"] = entries = gateway.json("refused", "--limit", "1000")
        return [e for e in entries if e["reason"] == reason and identity.split(",")[0] in json.dumps(e)]

    try:
        return eventually(f"`refused` does not list {identity} as {reason}", probe)
    except AssertionError as failed:
        raise AssertionError(f"{failed}\n{json.dumps(listed['all'][:10], indent=1)}") from failed


def _register(reason, what, make):
    @case(f"refused in silence: {reason} ({what})")
    def _refused(world):
        attempt = make(world.gateway)
        _shake_hands(world.gateway, attempt)
        if attempt.device:
            entry = wait_for_refusal(world.gateway, attempt.device, reason)
            check("127.0.0.1" in (entry["peer"] or ""), f"the entry does not name the peer: {entry}")
        _wait_until_listed(world.gateway, attempt.identity, reason)


def _as_device(**identity):
    def make(gateway):
        device = create_device(gateway)
        return Attempt(device.identity(**identity), device.key, device)

    return make


def _unknown_product(_):
    return Attempt(f"{random_name(8)},{random_name(10)},2,3600", b"x" * 16)


def _unknown_device(gateway):
    return Attempt(f"{create_product(gateway).product_key},{random_name(10)},2,3600", b"x" * 16)


def _malformed(form):
    def make(gateway):
        device = create_device(gateway)
        return Attempt(form.format(pk=device.product.product_key, dk=device.device_key), device.key)

    return make


def _wrong_key(gateway):
    attempt = _as_device()(gateway)
    return replace(attempt, key=b"0123456789abcdef")


def _disabled_device(gateway):
    attempt = _as_device()(gateway)
    gateway.json("device", "disable", *attempt.device.names)
    return attempt


def _disabled_product(gateway):
    attempt = _as_device()(gateway)
    gateway.json("product", "update", attempt.device.product.product_key, "--disable")
    return attempt


_register("identity_malformed", "three fields", _malformed("{pk},{dk},2"))
_register("identity_malformed", "a space", _malformed("{pk}, {dk},2,3600"))
_register("identity_malformed", "five fields", _malformed("{pk},{dk},2,3600,"))
_register("product_unknown", "nobody's product", _unknown_product)
_register("device_unknown", "nobody's device", _unknown_device)
_register("mode_unknown", "mode 1", _as_device(mode=1))
_register("lifetime_out_of_range", "29 s", _as_device(lifetime=29))
_register("lifetime_out_of_range", "86401 s", _as_device(lifetime=86401))
_register("device_disabled", "by an operator", _disabled_device)
_register("product_disabled", "by an operator", _disabled_product)
_register("wrong_key", "a random one", _wrong_key)


def _register_shapes(suite):
    @case(f"a stranger cannot tell an unknown identity from a wrong key {suite}")
    def _shapes(world):
        makers = (_wrong_key, _unknown_product, _unknown_device, _malformed("{pk},{dk},2"), _disabled_device)
        shapes = []
        for make in makers:
            # A flight that the server repeats by its timer may come once more or less.
            received = _shake_hands(world.gateway, make(world.gateway), suite)
            shapes.append(list(dict.fromkeys(received)))
        check(all(shape == shapes[0] for shape in shapes), f"the answers differ: {shapes}")
        check(all(kind == HANDSHAKE for kind, _ in shapes[0]), f"more than handshake records: {shapes[0]}")


for _suite in (CCM8, CBC):
    _register_shapes(_suite)


def _register_mistake(what, wrong, hint):
    @case(f"a wrong key is explained: {what}")
    def _explained(world):
        device = create_device(world.gateway)
        _shake_hands(world.gateway, Attempt(device.identity(), wrong(device)))
        entry = wait_for_refusal(world.gateway, device, "wrong_key")
        check(hint in (entry["detail"] or "").lower(), f"the entry does not explain it: {entry}")


_register_mistake("the product's secret", lambda device: psk(device.product.product_secret), "product")
_register_mistake("the secret itself as key", lambda device: device.device_secret.encode(), "secret")
_register_mistake("a trailing newline", lambda device: psk(device.device_secret + "\n"), "line end")
_register_mistake(
    "a trailing carriage return", lambda device: psk(device.device_secret + "\r"), "carriage return"
)
_register_mistake("base64 of the key", lambda device: base64.b64encode(device.key), "base64 text")
_register_mistake(
    "the device's key hashed", lambda device: psk(device.device_key), "the device's key was hashed"
)


@case("a wrong key is explained: another device's secret")
def _another_devices(world):
    device = create_device(world.gateway)
    other = create_device(world.gateway, device.product)
    _shake_hands(world.gateway, Attempt(device.identity(), other.key))
    entry = wait_for_refusal(world.gateway, device, "wrong_key")
    check("/".join(other.names) in (entry["detail"] or ""), f"the entry does not name {other.names}: {entry}")


def _register_peer(peer):
    @case(f"{peer.NAME} sees silence for a wrong key, and is served with the right one")
    def _peer(world):
        device = create_device(world.gateway)
        wrong = world.gateway.target(device.identity(), b"0123456789abcdef", CCM8, 3)
        check_silence(lambda: peer.exchange(wrong, [device.report({"temp": 1})]), "a wrong key")
        wait_for_refusal(world.gateway, device, "wrong_key")
        report_by(peer, world.gateway, device, CCM8)


for _peer in (openssl, gnutls, MBEDTLS_2):
    _register_peer(_peer)


def _register_hello(reason, what, cipher, version="-dtls1_2"):
    @case(f"a ClientHello that cannot be served: {reason} ({what})")
    def _hello(world):
        device = create_device(world.gateway)
        target = world.gateway.target(device.identity(), device.key, CCM8, 3)
        session = openssl.Session(target, more=["-cipher", cipher], version=version)
        try:
            answer = session.ask(device.report({"temp": 1}))
            raise AssertionError(f"it was served: {answer}")
        except (Silence, PeerFailed):
            pass  # An alert is allowed here: the peer has learnt nothing but what the server speaks.
        finally:
            session.vanish()
        eventually(
            f"`refused` does not list {reason}",
            lambda: [e for e in world.gateway.json("refused", "--limit", "1000") if e["reason"] == reason],
        )


_register_hello("no_common_cipher_suite", "only AES-256-GCM", "PSK-AES256-GCM-SHA384:@SECLEVEL=0")
_register_hello("version_unsupported", "only DTLS 1.0", "PSK-AES128-CBC-SHA:@SECLEVEL=0", "-dtls1")
