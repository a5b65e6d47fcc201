"""The profile of a product, as aiocoap meets it: when the empty acknowledgement comes, when the server
repeats, and how long the blocks of an answer are.

By plain CoAP the messages can be read on their way. strace holds the store up, so that an answer takes long.
"""

import contextlib
import hashlib
import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from interop.harness import case, check, eventually
from interop.peers import Target
from interop.peers.aiocoap_tinydtls import Session
from interop.peers.libcoap import GNUTLS
from interop.relay import Relay
from lib.coap import ACK, CON, Request
from lib.devices import create_device
from lib.dtls import CCM8
from lib.ports import free_port

_BLOCK2 = 23
_EMPTY, _CHANGED = 0x00, 0x44
# RFC 7252, section 4.8, with ACK_RANDOM_FACTOR 1.5: seconds to the empty acknowledgement and to the first
# repetition.
_PROFILES = {"default": ((2, 3), (2, 3)), "nbiot": ((6, 7), (9, 13.5))}
# Beyond the exact time: the way, and how soon a machine that does much else wakes up.
_LATE = 0.9
_HELD_SECONDS = 60


class _Seen:
    """A relay that notes what the server sends, and when, and loses what it is told to."""

    def __init__(self, port):
        self.answers, self.loses_acknowledgements = [], False
        self.relay = Relay(port, self._note, self._is_passed)

    def _note(self, _relay, datagram):
        self.answers.append((time.monotonic(), datagram))
        return True

    def _is_passed(self, _relay, datagram):
        return not (self.loses_acknowledgements and _kind(datagram) == ACK)

    def wait_for(self, count, seconds):
        """Waits for so many messages of the server; returns when the last came, and what it is."""
        eventually(f"{count} messages have not come", lambda: len(self.answers) >= count, seconds)
        return self.answers[count - 1]


def _kind(datagram):
    return datagram[0] >> 4 & 0b11


@contextlib.contextmanager
def _store_held(gateway):
    """Nothing is written to the disk meanwhile: each call that syncs a file waits."""
    calls = "fsync,fdatasync"
    delay = f"inject={calls}:delay_enter={_HELD_SECONDS * 1_000_000}"
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", delay]
    with subprocess.Popen(
        [*command, "-p", str(gateway.process.pid)], stderr=subprocess.PIPE, text=True
    ) as tracer:
        try:
            said = tracer.stderr.readline()
            check("attached" in said, f"strace says {said}")
            yield
        finally:
            tracer.terminate()


def _device(gateway, profile):
    device = create_device(gateway)
    gateway.json("product", "update", device.product.product_key, "--profile", profile)
    return device


def _login(device):
    """The login by plain CoAP."""
    product_key, device_key = device.names
    text = f"deviceKey{device_key}lifetime3600productKey{product_key}secureMode2{device.device_secret}"
    sign = hashlib.sha256(text.encode()).hexdigest().upper()
    body = json.dumps({"secureMode": 2, "lifetime": 3600, "sign": sign})
    return Request("POST", f"/auth/{product_key}/{device_key}", body.encode())


def _check_within(what, seconds, bounds):
    least, most = bounds
    check(least - 0.05 <= seconds <= most + _LATE, f"{what} after {seconds:.2f} s, not {least} to {most}")


@case("plain CoAP: the empty acknowledgement and the repetitions come by the profile of the product (20 s)")
def _timers(world):
    port = free_port(socket.SOCK_DGRAM)
    with world.fresh() as gateway, ThreadPoolExecutor(len(_PROFILES)) as pool:
        gateway.start("--coap", f"127.0.0.1:{port}")
        ready, reported = [], []
        with contextlib.ExitStack() as open_ones:
            for profile in _PROFILES:
                device, seen = _device(gateway, profile), _Seen(port)
                relay = open_ones.enter_context(seen.relay)
                # It repeats nothing itself.
                patient = {"ack_timeout": 100.0, "retransmissions": 0, "scheme": "coap"}
                session = open_ones.enter_context(Session(Target(relay.port, "", b"\1" * 16, CCM8), **patient))
                check(session.ask(_login(device)).code == "2.04", "the login")
                check(session.ask(device.report({"temp": 1})).code == "2.04", "a report")
                ready.append((profile, device, session, seen))
            with _store_held(gateway):
                for profile, device, session, seen in ready:
                    seen.answers.clear()
                    seen.loses_acknowledgements = True
                    answer = session.begin(device.report({"temp": 2}), seconds=_HELD_SECONDS)
                    reported.append((profile, device, answer, seen, time.monotonic()))
                acknowledged = [
                    (profile, seen.wait_for(1, 12)[0] - asked, seen.answers[0][1])
                    for profile, _, _, seen, asked in reported
                ]
            for profile, seconds, message in acknowledged:
                empty = (_kind(message), message[1], len(message))
                check(empty == (ACK, _EMPTY, 4), f"{profile}: the server sent {message.hex()}")
                _check_within(f"{profile}: the empty acknowledgement came", seconds, _PROFILES[profile][0])
            list(pool.map(lambda one: _check_repetition(*one[:4]), reported))
        for _, device, *_ in reported:
            points = gateway.json("device", "points", *device.names, "--from", "0")
            check([point["value"] for point in points] == [2, 1], f"stored: {points}")


def _check_repetition(profile, device, answer, seen):
    """The answer comes in a message of its own, and again where nobody acknowledges it."""
    first, message = seen.wait_for(2, 10)
    check((_kind(message), message[1]) == (CON, _CHANGED), f"{profile}: the answer is {message.hex()}")
    again, repeated = seen.wait_for(3, 16)
    check(repeated == message, f"{profile}: then came {repeated.hex()}")
    _check_within(f"{profile}: it was repeated", again - first, _PROFILES[profile][1])
    seen.loses_acknowledgements = False
    response = answer()
    check(json.loads(response.payload)["code"] == 200, f"{device} got {response}")


def _asked(device):
    return Request("POST", device.topic("thing/attribute/query"), b'{"id":"7","params":{"attributes":[]}}')


def _with_attribute(gateway, profile, letters):
    device = _device(gateway, profile)
    gateway.json("device", "attributes", *device.names, "--set", json.dumps({"a": "x" * letters}))
    return device


def _block(session, device):
    """Bytes of the first block where aiocoap names none, and of the payload; no block: None."""
    response = session.ask(_asked(device), blockwise=False)
    check(response.code == "2.04", f"the answer is {response}")
    value = dict(response.options).get(_BLOCK2)
    if value is None:
        return None, len(response.payload)
    number = int.from_bytes(value, "big")
    check(number >> 4 == 0 and number & 0b1000, f"Block2 is {value.hex()}")
    return 1 << (number & 0b111) + 4, len(response.payload)


@case("the blocks of an answer are those of the profile, which a session that stands takes up at once")
def _blocks(world):
    gateway = world.gateway
    device = _with_attribute(gateway, "default", 700)
    product_key = device.product.product_key
    answer = json.dumps({"id": "7", "code": 200, "data": {"a": "x" * 700}}, separators=(",", ":"))
    with Session(gateway.target(device.identity(), device.key, CCM8)) as session:
        whole = (None, len(answer))
        check(_block(session, device) == whole, "an answer that fits a message is cut")
        gateway.json("product", "update", product_key, "--profile", "nbiot")
        eventually("the profile is not taken up", lambda: _block(session, device) == (512, 512))
        # aiocoap fetches the rest by itself.
        response = session.ask(_asked(device))
        check(response.payload.decode() == answer, f"aiocoap has put together {response}")
        gateway.json("product", "update", product_key, "--profile", "default")
        eventually("the profile stays", lambda: _block(session, device) == whole)
    gateway.json("product", "update", product_key, "--profile", "nbiot")
    target = gateway.target(device.identity(), device.key, CCM8)
    [response] = GNUTLS.exchange(target, [_asked(device)])
    check(response.payload.decode() == answer, f"libcoap has put together {response}")


@case("the blocks of the profile nbiot are those of the configuration")
def _configured(world):
    for bytes_, expected in (("128", (128, 128)), ("off", None)):
        with world.fresh() as gateway:
            gateway.start(settings={"NARROWGATE_NBIOT_BLOCK_BYTES": bytes_})
            device = _with_attribute(gateway, "nbiot", 300)
            with Session(gateway.target(device.identity(), device.key, CCM8)) as session:
                found = _block(session, device)
                check(found == expected or expected is None and found[0] is None, f"{bytes_}: {found}")
