"""Values in CBOR, by cbor2 and aiocoap: none is changed, and what cannot be a value in a message is refused."""

import re

from interop.harness import case, check
from interop.peers import cbor2_codec
from interop.peers.aiocoap_tinydtls import Session
from interop.served import CBOR, content
from lib.coap import Request
from lib.devices import create_device
from lib.dtls import CCM8
from lib.paths import GUIDE

from .steps import wait_for_refusal

# A Python expression, and what the operator reads of the point.
VALUES = (
    ("0", 0),
    ("-1", -1),
    ("2**64 - 1", 2**64 - 1),
    ("-2**64", -(2**64)),
    ("2**64", 2**64),
    ("-2**200", -(2**200)),
    ("1.1", 1.1),
    ("5e-324", 5e-324),
    ("1.7976931348623157e308", 1.7976931348623157e308),
    ("Decimal('273.15')", 273.15),
    ("Decimal('-0.00000000000000000001')", -1e-20),
    ("True", True),
    ("'\u00e4\U0001f600\\n\"'", '\u00e4\U0001f600\n"'),
    ("[1, [2.5, {'x': None}]]", [1, [2.5, {"x": None}]]),
    ("datetime(2013, 3, 21, 20, 4, tzinfo=timezone.utc)", "2013-03-21T20:04:00Z"),
    ("CBORTag(1, 1363896240)", 1363896240),
    ("CBORTag(55799, CBORTag(100, 7))", 7),
    ("CBORTag(21, b'\\xfb\\xef')", "--8"),
    ("CBORTag(23, b'\\x01\\xab')", "01AB"),
)
# A Python expression, and the beginning of what the log says.
REFUSED = (
    ("float('nan')", "the body is refused at byte"),
    ("float('-inf')", "the body is refused at byte"),
    ("b'bytes'", "the body is refused at byte"),
    ("2**1024", "the body is refused at byte"),
    ("{1: 2}", "the body is refused at byte"),
    ("CBORSimpleValue(99)", "the body is refused at byte"),
    ("CBORTag(25, 0)", "the body is refused at byte"),
)


def _report(expression, canonical):
    body = "{'id': '7', 'params': {'measurepoints': {'p': " + expression + "}}}"
    return cbor2_codec.encode_python(body, canonical)


@case("cbor: values of every kind are stored as cbor2 has written them, in any of its encodings")
def _values(world):
    device = create_device(world.gateway)
    with Session(world.gateway.target(device.identity(), device.key, CCM8)) as session:
        path = device.topic("thing/measurepoint/post")
        for expression, value in VALUES:
            for canonical in (False, True):
                body = _report(expression, canonical)
                response = session.ask(Request("POST", path, body, CBOR))
                reply = content(response)
                check(response.content_format == CBOR, f"{expression} was answered {response}")
                check(reply == {"id": "7", "code": 200, "data": {}}, f"{expression} was answered {reply}")
                [point] = world.gateway.json("device", "points", *device.names)
                same = point["value"] == value and isinstance(point["value"], type(value))
                check(same, f"of {expression} is stored {point['value']!r}")
        for expression, words in REFUSED:
            response = session.ask(Request("POST", path, _report(expression, False), CBOR))
            check(response.code == "4.00" and not response.payload, f"{expression} was answered {response}")
            wait_for_refusal(world.gateway, device, "body_malformed", words)


@case("cbor: indefinite lengths, and the guide's example to the byte")
def _indefinite(world):
    device = create_device(world.gateway)
    example = re.search(r"^(A3  .*(?:\n   .*)+)$", GUIDE.read_text(), re.MULTILINE)
    lines = [line.partition("#")[0] for line in example[1].splitlines()]
    example = bytes.fromhex("".join("".join(lines).split()))
    # {_ "params": {_ "measurepoints": {_ (_ "te", "mp"): [_ 1, (_ "x", "y")]}}}
    pieces = "bf66706172616d73bf6d6d656173757265706f696e7473bf7f627465626d70ff9f017f61786179ffffffffff"
    with Session(world.gateway.target(device.identity(), device.key, CCM8)) as session:
        path = device.topic("thing/measurepoint/post")
        for body, reply, value in (
            (example, {"id": 123, "code": 200, "data": {}}, 21.5),
            (bytes.fromhex(pieces), {"code": 200, "data": {}}, [1, "xy"]),
        ):
            response = session.ask(Request("POST", path, body, CBOR))
            check(content(response) == reply, f"it was answered {response}")
            shown = world.gateway.json("device", "points", *device.names)
            check([(point["point"], point["value"]) for point in shown] == [("temp", value)], f"{shown}")
