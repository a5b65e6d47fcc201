"""Every code of the guide's tables, by clients that are not ours: in an answer, in its body, in the log."""

import json
import resource
import socket

from interop.harness import case, check, eventually
from interop.peers import Target, openssl
from interop.peers.aiocoap_tinydtls import Session
from interop.peers.libcoap import OPENSSL
from interop.served import Bench, check_success, message, row
from lib.coap import Request, Silence
from lib.devices import Device, Product, create_device, create_product, new_secret, psk, random_name
from lib.dtls import CCM8
from lib.ports import free_port

from .steps import check_reply, wait_for_refusal

BLOCK1, ETAG, MAX_AGE, SIZE1 = 27, 4, 14, 60


def _register_code(code):
    """Registers the case of a CoAP code: `ask(bench)` returns the answer."""

    def register(ask):
        @case(f"code {code}")
        def _code(world):
            row(f"code {code}")
            with Bench(world.gateway) as bench:
                response = ask(bench)
                check(response.code == code, f"it was answered {response}")
                quiet = code[0] == "2" or code == "4.02" or not response.payload
                check(quiet, f"it was answered with {response.payload!r}")
                check_reply(bench.ask(bench.device.report({"temp": 2.5})))

        return ask

    return register


def _simple(code, request, *options):
    """`request` is made of the bench; options are pairs of number and bytes."""
    _register_code(code)(lambda bench: bench.ask(request(bench), options, blockwise=False))


def _report(bench):
    return bench.device.report({"temp": 1.5})


def _post(payload, content_format=50):
    path = "thing/measurepoint/post"
    return lambda bench: Request("POST", bench.device.topic(path), payload, content_format)


_simple("2.04", _report)
@_register_code("2.03")
def _valid(bench):
    bench.tell("thing/measurepoint/post", {"measurepoints": {"temp": 1}})
    image, _ = bench.offer()
    request = Request("GET", f"/ota/{image}")
    tags = [value for number, value in bench.ask(request).options if number == ETAG]
    response = bench.ask(request, ((ETAG, tags[0]),), blockwise=False)
    check((ETAG, tags[0]) in response.options and not response.payload, f"it was answered {response}")
    response = bench.ask(request, ((ETAG, b"another"), (ETAG, tags[0])), blockwise=False)
    check(response.code == "2.03" and not response.payload, f"with two ETags it was answered {response}")
    return response


_simple("2.05", lambda bench: Request("GET", "/.well-known/core"))
_simple("2.31", _post(b"{" + b" " * 63), (BLOCK1, b"\x0a"))
_simple("4.00", _post(b"temp=21.5"))
_simple("4.02", _report, (2101, b"x"))
_simple("4.03", lambda bench: bench.other.report({"temp": 1}))
_simple("4.04", lambda bench: Request("POST", bench.device.topic("thing/nothing"), b"{}"))
_simple("4.05", lambda bench: Request("GET", bench.device.topic("thing/measurepoint/post")))
_simple("4.06", _report, (17, b"\x29"))
_simple("4.08", _post(b" " * 64), (BLOCK1, b"\x1a"))
_simple("4.12", _report, (5, b""))
_simple("4.15", _post(b"<a/>", 41))
_simple("5.05", _report, (35, b"coap://other/path"))


@_register_code("4.13")
def _too_large(bench):
    response = bench.ask(_post(b"{" + b" " * 10_240)(bench))
    check((SIZE1, (10_240).to_bytes(2, "big")) in response.options, f"Size1 is not there: {response}")
    return response


@case("code 4.01")
def _no_login(world):
    row("code 4.01")
    port = free_port(socket.SOCK_DGRAM)
    with world.fresh() as gateway:
        gateway.start("--coap", f"127.0.0.1:{port}")
        device = create_device(gateway)
        with Session(Target(port, "", b"\1" * 16, CCM8), scheme="coap") as session:
            response = session.ask(device.report({"temp": 1}))
            check((response.code, response.payload) == ("4.01", b""), f"it was answered {response}")
            check(gateway.json("device", "points", *device.names) == [], "the report is stored")


@case("code 5.00")
def _does_not_fit(world):
    """Option 2100, with keys of many signs that are escaped in it, is longer than the client takes."""
    row("code 5.00")
    gateway, secret = world.gateway, new_secret(11)
    product = Product(random_name(8) + "%" * 60, secret)
    device = Device(product, random_name(8) + "%" * 58, new_secret(20))
    names = ["--product-key", product.product_key, "--product-secret", secret]
    gateway.json("product", "create", "long keys", *names)
    names = ["--product", product.product_key, "--device-key", device.device_key]
    gateway.json("device", "create", *names, "--device-secret", device.device_secret)
    target = gateway.target(device.identity(), device.key, CCM8)
    session = openssl.Session(target, more=("-maxfraglen", "512"))
    check_reply(session.ask(device.report({"temp": 1})))
    gateway.json("command", "send", *device.names, "--service", "s" * 128, "--pending-ttl", "600")
    response = session.ask(device.report({"temp": 2}))
    check((response.code, response.payload) == ("5.00", b""), f"it was answered {response}")
    session.close()
    wait_for_refusal(gateway, device, "too_large")


@case("code 4.29")
def _too_many(world):
    row("code 4.29")
    with world.fresh() as gateway:
        gateway.start(settings={"NARROWGATE_LIMITS_DEVICE_BYTES": "1B/s burst 16KiB"})
        with Bench(gateway) as bench:
            answers = [bench.ask(bench.device.report({"temp": n}), blockwise=False) for n in range(200)]
            early = [answer for answer in answers if answer.code == "4.29"]
            check(early and not early[0].payload, f"none of 200 reports was too many: {answers[-1]}")
            check(any(number == MAX_AGE for number, _ in early[0].options), f"no Max-Age: {early[0]}")
            wait_for_refusal(gateway, bench.device, "rate_limited")


@case("code 5.03")
def _not_durable(world):
    """No file of the server may grow for a while, as on a full disk."""
    row("code 5.03")
    with world.fresh() as gateway:
        gateway.start()
        with Bench(gateway) as bench:
            check_reply(bench.ask(bench.device.report({"temp": 1})))
            before = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            response = bench.ask(bench.device.report({"temp": 2}))
            check(response.code == "5.03" and not response.payload, f"it was answered {response}")
            check(any(number == MAX_AGE for number, _ in response.options), f"no Max-Age: {response}")
            resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, before)

            def stored():
                return bench.ask(bench.device.report({"temp": 3})).code == "2.04"

            eventually("the server does not recover", stored, 15)
            values = [point["value"] for point in bench.shown("points", "--from", "0")]
            check(2 not in values and 3 in values, f"stored is {values}")


TIME = 1_700_000_000_000


def _register_reply(code, topic, params, words, prepare=None, **more):
    """The case of a code in the body of a 2.04, with the place at which it points."""

    @case(f"code {code}")
    def _reply(world):
        row(f"code {code}")
        with Bench(world.gateway) as bench:
            if prepare:
                prepare(bench)
            response = bench.ask(message(bench.device, topic, params, **more))
            reply = json.loads(response.payload)
            said = (response.code, reply["code"], reply["id"])
            check(said == ("2.04", code, "7"), f"it was answered {response}")
            check(reply.get("message", "").startswith(words), f"the message is {reply}")
            if code != 200:
                wait_for = {1008: "too_large", 1204: "model_invalid", 1212: "topic_foreign"}
                wait_for |= {764: "no_upgrade", 765: "no_upgrade"}
                wait_for_refusal(bench.gateway, bench.device, wait_for.get(code, "body_malformed"), words)


def _has_serial(bench):
    check_success(bench.tell("thing/attribute/update", {"attributes": {"serial": "A7"}}))


def _has_upgrade(bench):
    check_success(bench.tell("ota/device/inform", {"version": "1.0"}))
    bench.offer()


_POINT = {"measurepoints": {"temp": 1}, "time": TIME}
_TEXT = {"measurepoints": {"temp": "21.5"}}
_REQUIRED = {"attributes": ["serial"]}
_TOO_MUCH = {"attributes": {"serial": "x" * 4090, "place": "y" * 4090}}
_register_reply(200, "thing/measurepoint/post", _POINT, "")
_register_reply(764, "ota/device/progress", {"step": "5"}, "no upgrade is offered")
_register_reply(765, "ota/device/progress", {"step": "5"}, "the upgrade has not begun", _has_upgrade)
_register_reply(1008, "thing/attribute/update", _TOO_MUCH, "/params: the device's attributes would take")
_register_reply(1200, "thing/measurepoint/post", [], "/params: must be an object")
_register_reply(1204, "thing/measurepoint/post", _TEXT, "/params/measurepoints/temp: must be a number")
_register_reply(1206, "thing/measurepoint/post/batch", {}, "/params: ")
_register_reply(1207, "thing/attribute/update", {}, "/params/attributes: is missing")
_register_reply(1208, "thing/attribute/query", {"attributes": 1}, "/params/attributes: must be an array")
_register_reply(1209, "thing/attribute/delete", _REQUIRED, "/params/attributes/0: ", _has_serial)
_register_reply(1212, "thing/measurepoint/post/batch", [{**_POINT, "deviceKey": "other"}], "/params/0")
_register_reply(1260, "thing/measurepoint/post", _POINT, "/method: ", method="thing.event.post")


SILENT_SECONDS = 2.5


def _register_log(code, reason, answer, ask):
    """The case of a code that only the log has, by libcoap: `ask(gateway)` returns the device and answers, or
    meets silence.
    """

    @case(f"code {code}")
    def _logged(world):
        row(f"code {code}")
        device, exchange = ask(world.gateway)
        try:
            said = exchange()[-1].code
        except Silence:
            said = "silence"
        check(said == answer, f"it was answered {said}")
        if code == 705:
            refused = world.gateway.json("refused")
            mine = [entry for entry in refused if device.device_key in (entry["identity"] or "")]
            check([(entry["reason"], entry["code"]) for entry in mine[:1]] == [(reason, code)], f"{mine}")
        else:
            entry = wait_for_refusal(world.gateway, device, reason)
            check(entry["code"] == code, f"the log has {entry}")


def _asking(gateway, device, request, mode=2, key=None):
    target = gateway.target(device.identity(mode), key or device.key, CCM8, SILENT_SECONDS)
    return device, lambda: OPENSSL.exchange(target, [request])


def _unknown(gateway):
    device = create_device(gateway)
    gone = type(device)(device.product, device.device_key[::-1] + "x", device.device_secret)
    return _asking(gateway, gone, gone.report({"temp": 1}))


def _disabled(gateway):
    device = create_device(gateway)
    gateway.json("device", "disable", *device.names)
    return _asking(gateway, device, device.report({"temp": 1}))


def _wrong_key(gateway):
    device = create_device(gateway)
    return _asking(gateway, device, device.report({"temp": 1}), key=psk("no secret of it"))


def _activation(gateway, on, active=False):
    device = create_device(gateway, create_product(gateway, dynamic_activation=on))
    if active:
        target = gateway.target(device.identity(), device.key, CCM8)
        check_reply(OPENSSL.exchange(target, [device.report({"temp": 1})])[0])
    return _asking(gateway, device, device.activation(), 3, psk(device.product.product_secret))


def _foreign(gateway):
    device = create_device(gateway)
    other = create_device(gateway, device.product)
    return _asking(gateway, device, other.report({"temp": 1}))


_register_log(705, "device_unknown", "silence", _unknown)
_register_log(723, "device_disabled", "silence", _disabled)
_register_log(742, "wrong_key", "silence", _wrong_key)
_register_log(770, "dynamic_activation_off", "4.03", lambda gateway: _activation(gateway, False))
_register_log(771, "already_activated", "4.03", lambda gateway: _activation(gateway, True, active=True))
_register_log(1009, "topic_foreign", "4.03", _foreign)
