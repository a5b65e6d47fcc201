"""What is served: the tables of topics, codes and options in docs/device-guide.md, and how they are tried.

Every row names a case. A case makes what its row says, by a client that we did not write, and compares what
was answered with the row. The rows come from `crates/platform/src/device_api/tests/guide.rs`, whose test
prints them; it fails where a topic has no row.
"""

import json
import re
import sys
from dataclasses import dataclass

from interop.harness import check, eventually
from interop.peers import cbor2_codec
from interop.peers.aiocoap_tinydtls import Session
from lib import build
from lib.coap import Request
from lib.devices import create_device, create_product
from lib.dtls import CCM8
from lib.paths import GUIDE

BEGIN = "<!-- Made from the table of topics; a test compares it. -->"
END = "<!-- The end of what the test compares. -->"

ACCEPT, IF_MATCH, COMMAND_WAITING = 17, 1, 2100
JSON, CBOR, XML = 50, 60, 41
BODY_BYTES_MAX = 10 * 1024
DEPTH_MAX = 32

TEXT = {"type": "STRING", "maxLength": 4096}
MODEL = {
    "modelId": "meter",
    "attributes": [
        {"identifier": "size", "dataType": "DOUBLE"},
        {"identifier": "place", "dataType": TEXT},
        {"identifier": "serial", "dataType": TEXT, "required": True},
    ],
    "measurepoints": [
        {"identifier": "temp", "dataType": "DOUBLE"},
        {"identifier": "count", "dataType": "INT"},
    ],
    "events": [
        {
            "identifier": "tilted",
            "eventType": "WARN",
            "outputData": [{"identifier": "angle", "dataType": "DOUBLE"}],
        }
    ],
    "services": [
        {
            "identifier": "restart",
            "callType": "ASYNC",
            "inputData": [{"identifier": "delay", "dataType": "INT"}],
            "outputData": [],
        }
    ],
}


@dataclass(frozen=True)
class Row:
    """A row of the guide: the case that tries it, and its cells without their quotation marks."""

    test: str
    cells: tuple


def rows():
    """All rows of the tables, in their order."""
    _, _, rest = GUIDE.read_text().partition(BEGIN)
    lines = rest.partition(END)[0].splitlines()
    lines = [line.strip("|") for line in lines if line.startswith("|")]
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    named = [(row, re.fullmatch(r"`((?:topic|code|option) .+)`", row[-1])) for row in cells]
    return [Row(name[1], tuple(cell.replace("`", "") for cell in row)) for row, name in named if name]


def rows_without_test():
    """Rows of the tables that name no case, or have an empty cell."""
    _, _, rest = GUIDE.read_text().partition(BEGIN)
    lines = [line for line in rest.partition(END)[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    named = {row.test for row in rows()}
    return [row for row in cells if row[-1] != "test" and (row[-1].strip("`") not in named or not all(row))]


def write():
    """Puts the tables that the test prints into the guide; returns the exit code."""
    test = "the_guide_names_every_topic_code_and_option_with_its_test"
    done = build.cargo("test", "-p", "narrowgate-platform", "--lib", test, capture_output=True, text=True)
    _, found, printed = done.stdout.partition(BEGIN)
    if done.returncode == 0:
        return 0
    if not found:
        print(done.stdout + done.stderr, file=sys.stderr)
        return 1
    before, _, rest = GUIDE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    GUIDE.write_text(f"{before}{BEGIN}{printed.partition(END)[0]}{END}{after}")
    return 0


def row(test):
    """The row that a case tries."""
    found = [row for row in rows() if row.test == test]
    check(len(found) == 1, f"the guide has {len(found)} rows for {test!r}")
    return found[0]


@dataclass(frozen=True)
class Bad:
    """What is wrong with a request, the request, and the answer to it: a CoAP code, or the `code` in a 2.04.

    `words` begin the `message` of the reply. `options` are pairs of number and bytes; with them aiocoap makes
    no blocks of its own.
    """

    what: str
    request: Request
    answer: str | int
    words: str = ""
    options: tuple = ()


class Bench:
    """Two devices of a product with a thing model, and a session of the first with aiocoap."""

    def __init__(self, gateway, mode=2, activation=False):
        self.gateway = gateway
        self.product = create_product(gateway, activation)
        (gateway.folder / f"{self.product.product_key}.json").write_text(json.dumps(MODEL))
        model = str(gateway.folder / f"{self.product.product_key}.json")
        gateway.json("product", "update", self.product.product_key, "--model", model)
        self.device, self.other = (create_device(gateway, self.product) for _ in range(2))
        if mode == 2:
            self.session = Session(gateway.target(self.device.identity(), self.device.key, CCM8))

    @classmethod
    def again(cls, bench):
        """The same devices, after a restart of the server, with a session of their own."""
        other = object.__new__(cls)
        other.__dict__.update(bench.__dict__)
        target = bench.gateway.target(bench.device.identity(), bench.device.key, CCM8)
        other.session = Session(target)
        return other

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session.close()

    def ask(self, request, options=(), **how):
        """One question in the session."""
        return self.session.ask(request, options, **how)

    def tell(self, topic, params, **more):
        """The answer to a message of the device."""
        return self.ask(message(self.device, topic, params, **more))

    def send(self, *what):
        """Has an operator send a command; returns its id."""
        return self.gateway.json("command", "send", *self.device.names, *what, "--pending-ttl", "600")["id"]

    def upload(self, content=b"firmware", version="2.0"):
        """Has an operator upload an image; returns its id."""
        file = self.gateway.folder / f"{self.product.product_key}-{version}.bin"
        file.write_bytes(content)
        what = ("--product", self.product.product_key, "--version", version)
        return self.gateway.json("firmware", "upload", str(file), *what)["imageId"]

    def offer(self, content=b"firmware", version="2.0"):
        """Has an operator upload an image and offer it to the device; returns its id and the command's."""
        image = self.upload(content, version)
        self.gateway.json("firmware", "offer", image, "--device", self.device.device_key)

        def sent():
            commands = self.gateway.json("command", "list", *self.device.names)
            return [command["id"] for command in commands if command["state"] == "created"]

        return image, eventually("no command offers the image", sent, 20)[0]

    def shown(self, *what):
        """What the operator reads of the device."""
        verb, *more = what
        return self.gateway.json("device", verb, *self.device.names, *more)

    def refuse(self, bad):
        """Makes what is wrong; returns the answer as a row names it."""
        response = self.ask(bad.request, bad.options, blockwise=not bad.options)
        said, words = response.code, ""
        if said == "2.04" and response.payload:
            reply = content(response)
            said, words = reply["code"], reply.get("message", "")
        expected = said == bad.answer and words.startswith(bad.words)
        check(expected, f"{bad.what} was answered {said} {words}, not {bad.answer} {bad.words}")
        quiet = response.code[0] == "2" or response.code == "4.02" or not response.payload
        check(quiet, f"{bad.what} was answered {response.code} with {response.payload!r}")
        return str(said)


def message(device, topic, params, method=None, **more):
    """A message of the device protocol to one of its topics."""
    body = {"id": "7", "version": "1.0", "method": method or topic.replace("/", ".")}
    body = {**body, "params": params, **more}
    return Request("POST", device.topic(topic), json.dumps(body).encode())


def in_cbor(request):
    """The same request in CBOR."""
    return Request(request.method, request.path, cbor2_codec.encode(json.loads(request.payload)), CBOR)


def content(response):
    """The content of an answer, by the format that it says it has."""
    if response.content_format == CBOR:
        return cbor2_codec.decode(response.payload)
    return json.loads(response.payload)


def check_success(response, data=None, content_format=JSON, message_id="7"):
    """2.04 with code 200, in this format."""
    check(response.code == "2.04", f"it was answered {response}")
    check(response.content_format == content_format, f"its format is {response.content_format}")
    reply = content(response)
    right = {"id": message_id, "code": 200, "data": {} if data is None else data}
    check(reply == right, f"the reply is {reply}")


def bad_paths(device, other, request, wrong_method):
    """What is wrong with the path, the method and the options, whatever a topic does."""
    foreign = request.path.replace("/".join(device.names), "/".join(other.names))

    def but(**changed):
        return Request(**{**vars(request), **changed})

    yield Bad("another device's path", but(path=foreign), "4.03")
    yield Bad(f"the method {wrong_method}", but(method=wrong_method), "4.05")
    yield Bad("the method PUT", but(method="PUT"), "4.05")
    yield Bad("a slash at the end", but(path=request.path + "/"), "4.04")
    yield Bad("If-Match", request, "4.12", options=((IF_MATCH, b"tag"),))
    yield Bad("Proxy-Scheme", request, "5.05", options=((39, b"coap"),))
    yield Bad("a critical option", request, "4.02", options=((2101, b"x"),))
    yield Bad("a block that is none", request, "4.00", options=((27, b"\x07"),))


def bad_bodies(request):
    """What is wrong with a body, whatever its message says."""

    def body(payload, content_format=50):
        return Request("POST", request.path, payload, content_format)

    deep = b'{"id":"7","params":' + b"[" * DEPTH_MAX + b"]" * DEPTH_MAX + b"}"
    yield Bad("no body", body(b""), "4.00")
    yield Bad("no JSON", body(b"temp=21.5"), "4.00")
    yield Bad("an array", body(b"[]"), "4.00")
    yield Bad("a body that is cut off", body(request.payload[:-1]), "4.00")
    yield Bad("a body that is nested too deep", body(deep), "4.00")
    yield Bad("a key twice", body(b'{"id":"7","id":"8"}'), "4.00")
    yield Bad("a NUL at the end", body(request.payload + b"\0"), "4.00")
    yield Bad("XML", body(b"<a/>", XML), "4.15")
    yield Bad("an answer in XML", request, "4.06", options=((ACCEPT, bytes([XML])),))
    cbor = in_cbor(request).payload
    yield Bad("JSON under the format of CBOR", body(request.payload, CBOR), "4.00")
    yield Bad("CBOR under the format of JSON", body(cbor), "4.00")
    yield Bad("CBOR with a byte behind it", body(cbor + b"\xf6", CBOR), "4.00")
    yield Bad("CBOR that is cut off", body(cbor[:-1], CBOR), "4.00")
    yield Bad("an array in CBOR", body(b"\x80", CBOR), "4.00")
    yield Bad("CBOR that is nested too deep", body(b"\xa1\x61a" * (DEPTH_MAX + 1) + b"\x00", CBOR), "4.00")
    yield Bad("CBOR that claims to be long", body(b"\xbb" + b"\xff" * 8, CBOR), "4.00")
    yield Bad("a key twice in CBOR", body(b"\xa2\x62id\x01\x62id\x02", CBOR), "4.00")
    yield Bad("an integer as a key", body(cbor2_codec.encode_python("{1: 2}"), CBOR), "4.00")
    yield Bad("bytes in CBOR", body(cbor2_codec.encode_python("{'id': b'7'}"), CBOR), "4.00")
    yield Bad("NaN in CBOR", body(cbor2_codec.encode_python("{'id': float('nan')}"), CBOR), "4.00")
    yield Bad("a text in CBOR that is not UTF-8", body(b"\xa1\x62id\x61\xff", CBOR), "4.00")
    grows = cbor2_codec.encode({"id": "\1" * 7000})
    yield Bad("CBOR that has more than 40 KiB as JSON, in blocks", body(grows, CBOR), "4.13")
    too_long = body(request.payload + b" " * BODY_BYTES_MAX)
    yield Bad("a body of more than 10 KiB, in blocks", too_long, "4.13")


def bad_envelopes(request, form):
    """What is wrong with the message around `params`; `form` is the topic's code where they are missing."""
    message = json.loads(request.payload)

    def but(**changed):
        return Request("POST", request.path, json.dumps({**message, **changed}).encode())

    def in_cbor_but(**changed):
        return in_cbor(but(**changed))

    without = json.dumps({key: value for key, value in message.items() if key != "params"}).encode()
    yield Bad("no params", Request("POST", request.path, without), form, "/params: is missing")
    yield Bad("an id that is an object", but(id={}), 1200, "/id: ")
    yield Bad("the method of another topic", but(method="thing.other.post"), 1260, "/method: ")
    yield Bad("the same in CBOR", in_cbor_but(method="thing.other.post"), 1260, "/method: ")
    yield Bad("an id in CBOR that is an array", in_cbor_but(id=[]), 1200, "/id: ")
    yield Bad("a method that is a number", but(method=7), 1200, "/method: ")
