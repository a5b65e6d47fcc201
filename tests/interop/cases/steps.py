"""Steps that many cases share: report, activate, and see what the operator sees."""

import json
import random

from interop.harness import check, eventually
from lib.coap import FORMAT_JSON, Silence
from lib.devices import psk
from lib.dtls import SUITE_NAMES


def check_reply(response, message_id="123"):
    """2.04 with the JSON reply of success (device protocol, section 5)."""
    check(response.code == "2.04", f"the report was answered {response.code} {response.payload!r}")
    if response.payload:
        reply = json.loads(response.payload)
        check(reply.get("code") == 200 and reply.get("id") == message_id, f"the reply is {reply}")


def stored(gateway, device, point, history=False):
    """The values stored for a point: the latest, or all."""
    more = ["--from", "0", "--limit", "1000"] if history else []
    rows = gateway.json("device", "points", *device.names, "--point", point, *more)
    return [row["value"] for row in rows]


def state(gateway, device):
    """The device's state as the operator sees it."""
    return gateway.json("device", "show", *device.names)["state"]


def reading():
    """A value that no other report has."""
    return random.randrange(1, 10**9) / 100


def report_by(peer, gateway, device, suite, restarts=False, **options):
    """One report by a peer in mode 2; the server must have acknowledged, stored it, and seen the device.

    A server that restarts meanwhile takes its listener along.
    """
    value = reading()
    request = device.report({"temp": value})
    listener = None if restarts else gateway.listener()
    [response] = peer.exchange(gateway.target(device.identity(), device.key, suite), [request], **options)
    check_reply(response)
    check(
        json.loads(response.payload) == {"id": "123", "code": 200, "data": {}},
        f"the reply is {response.payload!r}",
    )
    check(
        stored(gateway, device, "temp") == [value],
        f"stored is {stored(gateway, device, 'temp')}, sent was {value}",
    )
    if listener:
        _check_suite(listener, device, suite)
    shown = gateway.json("device", "show", *device.names)
    check(shown["activeTime"] and shown["lastOnlineTime"], f"the device never came online: {shown}")
    check(shown["state"] in ("online", "offline"), f"the device is {shown['state']}")


def _check_suite(listener, device, suite):
    """The session has the suite that the peer was to offer."""

    def logins():
        mine = [event for event in listener.events() if event.get("deviceKey") == device.device_key]
        return [event["detail"] for event in mine if event["event"] in ("activated", "login")]

    eventually("`listen` does not tell of the login", logins)
    check(logins()[-1] == SUITE_NAMES[suite], f"the session has the suite {logins()[-1]}")


def activate_by(peer, gateway, device, suite):
    """Activation by a peer in mode 3; returns the device with its new secret."""
    target = gateway.target(device.identity(mode=3), psk(device.product.product_secret), suite)
    while True:  # One new secret in 16 has a NUL in its PSK, which one peer cannot use: ask again.
        [response] = peer.exchange(target, [device.activation()])
        check(response.code == "2.05", f"activation was answered {response.code} {response.payload!r}")
        check(response.content_format == FORMAT_JSON, f"its content format is {response.content_format}")
        params = json.loads(response.payload)["params"]
        names = (params["productKey"], params["deviceKey"])
        check(names == device.names, f"the answer is for {names}")
        check(params["deviceSecret"] != device.device_secret, "the secret is not a new one")
        check(state(gateway, device) == "inactive", "asking has activated the device")
        device = device.with_secret(params["deviceSecret"])
        if 0 not in device.key:
            return device


def check_silence(function, what):
    """The call has to end in `Silence`."""
    try:
        answer = function()
    except Silence:
        return
    raise AssertionError(f"{what} was answered: {answer!r}")


def refusals_of(gateway, device):
    """The reasons in the device's log, newest first."""
    return [
        entry["reason"]
        for entry in gateway.json("device", "log", *device.names)
        if entry["event"] == "refused"
    ]


def wait_for_refusal(gateway, device, reason, words=""):
    """Waits until the device's log names the reason, with these words; returns the entry."""

    def probe():
        log = gateway.json("device", "log", *device.names)
        refused = [entry for entry in log if entry["event"] == "refused" and entry["reason"] == reason]
        return next((entry for entry in refused if words in entry["detail"]), None)

    try:
        return eventually(f"the log of the device does not name {reason} {words}", probe)
    except AssertionError as failed:
        raise AssertionError(f"{failed}: {gateway.json('device', 'log', *device.names)}") from failed
