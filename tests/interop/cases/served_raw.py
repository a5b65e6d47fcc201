"""Topics of bytes of the guide's table, by aiocoap, and the vectors of `vectors/raw` both ways."""

import json
import time
from dataclasses import replace

from interop.harness import case, check, eventually
from interop.peers.aiocoap_tinydtls import Session
from interop.served import ACCEPT, BODY_BYTES_MAX, COMMAND_WAITING, Bad, Bench, bad_paths, row
from lib.coap import Request
from lib.devices import create_device
from lib.dtls import CCM8
from lib.paths import ROOT

OCTETS = 42
TAGGED = ROOT / "vectors/raw/tagged_points.js"
REPORT = bytes.fromhex(
    "0100000014010004000025f502000a6162636465666768696a0300083ff23d70a3d70a3d"
    "0400140000000100000003000000050000000700000009050005000001a703"
)
REPLY = bytes.fromhex("0000001400c8")
POINTS = {
    "mp_int": 9717,
    "mp_string": "abcdefghij",
    "mp_double": 1.14,
    "mp_array": [1, 3, 5, 7, 9],
    "mp_int_quality": {"value": 423, "quality": 3},
}
# The same points in a command, behind its kind and its id.
SET_POINTS = bytes.fromhex(
    "01000025f502000a6162636465666768696a033ff23d70a3d70a3d"
    "0400140000000100000003000000050000000700000009050000"
    "01a703"
)
# What the script of a bad author does with the bytes of a report.
HOSTILE = """
var DEEDS = [
  function () { for (;;); },
  function () { var all = []; for (;;) all.push(new Array(100000).fill(7)); },
  function f() { return f() + 1; },
  function () { throw new Error("no such tag"); },
  function () { print(7); },
  function () { return "no JSON"; },
  function () { return "x".repeat(1000000); },
  function () { return 7; },
  function () { return "[]"; },
  function () { return '{"id":"1"}'; },
  function () { return new Array(1 << 30).join("x"); },
  function () { return /(a+)+b/.test("a".repeat(40)) ? "" : ""; },
];
function rawDataToJsonStr(bytes) {
  if (bytes[0] < DEEDS.length) return DEEDS[bytes[0]]();
  return '{"id":"7","method":"thing.measurepoint.post","params":{"measurepoints":{"n":' + bytes[0] + '}}}';
}
function jsonStrToRawData(json) {
  if (JSON.parse(json).id === "7") return [200];
  throw new Error("cannot encode");
}
"""
DEEDS = 12


class Raw(Bench):
    """A bench whose product takes bytes and everything that its script makes of them."""

    def __init__(self, gateway, source=TAGGED, published=True, **how):
        super().__init__(gateway, **how)
        self.key = self.product.product_key
        gateway.json("product", "update", self.key, "--no-model", "--data-format", "custom")
        if published:
            gateway.json("script", "publish", self.key, str(source))

    def source(self, text):
        """A file with a script."""
        path = self.gateway.folder / f"{self.key}.js"
        path.write_text(text)
        return path

    def up(self, payload, topic="up_raw", **how):
        """The answer to bytes."""
        path = self.device.topic(f"thing/model/{topic}")
        return self.ask(Request("POST", path, payload, OCTETS), **how)

    def fetch(self):
        """The bytes of the oldest command, and the answer that has them."""
        response = self.ask(Request("GET", self.device.topic("thing/model/down_raw")))
        check((response.code, response.content_format) == ("2.05", OCTETS), f"it was answered {response}")
        return response.payload

    def ended(self, message_id):
        """A command as the operator sees it."""
        return self.gateway.json("command", "show", *self.device.names, message_id)

    def logged(self, reason):
        """What the device's log says under a reason; it is written after the answer."""
        return [entry["detail"] for entry in self.shown("log") if entry.get("reason") == reason]


def _register(topic, try_it):
    name = f"topic thing/model/{topic}"

    @case(name)
    def _topic(world):
        with Raw(world.gateway) as bench:
            good, codes = try_it(bench)
        said = row(name).cells
        check(said[3] == good, f"the guide says that it is answered {said[3]}, and it was {good}")
        seen = " ".join(sorted(set(codes), key=lambda code: ("." not in code, code)))
        check(said[4] == seen, f"the guide says that bad input is {said[4]}, and it was {seen}")


def _bad_bytes(bench, request):
    """What is wrong with bytes, whatever the script makes of them."""
    yield from bad_paths(bench.device, bench.other, request, "GET")
    yield Bad("no bytes", replace(request, payload=b""), "4.00")
    yield Bad("bytes of no kind", replace(request, payload=b"\xff" * 9), "4.00")
    yield Bad("bytes that are cut off", replace(request, payload=request.payload[:3]), "4.00")
    yield Bad("bytes as JSON", replace(request, content_format=50), "4.15")
    yield Bad("bytes as CBOR", replace(request, content_format=60), "4.15")
    yield Bad("an answer in JSON", request, "4.06", options=((ACCEPT, b"\x32"),))
    long = replace(request, payload=request.payload + b"\0" * BODY_BYTES_MAX)
    yield Bad("more than 10 KiB, in blocks", long, "4.13")


def _up(bench):
    path = bench.device.topic("thing/model/up_raw")
    request = Request("POST", path, REPORT, OCTETS)
    response = bench.ask(request)
    check((response.payload, response.content_format) == (REPLY, OCTETS), f"it was answered {response}")
    kept = bench.shown("points", "--from", "0", "--limit", "1000")
    codes = [bench.refuse(bad) for bad in _bad_bytes(bench, request)]
    check(bench.shown("points", "--from", "0", "--limit", "1000") == kept, "bad input was stored")
    return response.code, codes


def _down(bench):
    bench.up(REPORT)
    path = bench.device.topic("thing/model/down_raw")
    request = Request("GET", path)
    nothing = bench.ask(request)
    check(nothing.code == "4.04", f"without a command it was answered {nothing}")
    bench.send("--set", json.dumps(POINTS))
    bad = [
        *(one for one in bad_paths(bench.device, bench.other, request, "POST") if "block" not in one.what),
        Bad("a block that is none", request, "4.00", options=((23, b"\x07"),)),
        Bad("a command as XML", request, "4.06", options=((ACCEPT, b"\x29"),)),
    ]
    codes = [bench.refuse(one) for one in bad]
    response = bench.ask(request)
    return response.code, codes


def _reply(bench):
    bench.up(REPORT)
    sent = bench.send("--set", json.dumps(POINTS))
    bench.fetch()
    path = bench.device.topic("thing/model/down_raw_reply")
    request = Request("POST", path, b"\x02" + int(sent).to_bytes(4, "big") + b"\xc8", OCTETS)
    codes = [bench.refuse(bad) for bad in _bad_bytes(bench, request)]
    check(bench.ended(sent)["state"] == "sent", f"bad input has ended it: {bench.ended(sent)}")
    response = bench.ask(request)
    check(bench.ended(sent)["state"] == "succeeded", f"it is {bench.ended(sent)}")
    return response.code, codes


_register("up_raw", _up)
_register("down_raw", _down)
_register("down_raw_reply", _reply)


def _told(world, bench):
    """What `listen` told of the device's points."""
    mine = [e for e in world.gateway.listener().events() if e.get("deviceKey") == bench.device.device_key]
    return [event.get("points") for event in mine]


@case("raw vectors: a report in bytes is stored as its points, and shown to who listens")
def _uplink(world):
    with Raw(world.gateway) as bench:
        world.gateway.listener()
        response = bench.up(REPORT)
        check((response.code, response.payload) == ("2.04", REPLY), f"it was answered {response}")
        for row_of in bench.shown("points"):
            value = POINTS[row_of["point"]]
            expected = value if isinstance(value, dict) else {"value": value}
            seen = {key: row_of[key] for key in expected}
            check(seen == expected, f"{row_of['point']} is {row_of}")
        check(len(bench.shown("points")) == len(POINTS), "not every point is stored")
        eventually("`listen` does not tell of the report", lambda: POINTS in _told(world, bench))
        tried = world.gateway.json("script", "try", bench.key, "--from", "/".join(bench.device.names))
        first = tried["items"][0]
        check(first["hex"] == REPORT.hex(), f"what was sent of late is {tried}")
        check(first["published"]["json"]["params"]["measurepoints"] == POINTS, f"a trial says {first}")


@case("raw vectors: commands go out as bytes, and their replies come back as bytes")
def _downlink(world):
    with Raw(world.gateway) as bench:
        bench.up(REPORT)
        sent = bench.send("--set", json.dumps(POINTS))
        waiting = bench.up(REPORT)
        named = [value for number, value in waiting.options if number == COMMAND_WAITING]
        topic = bench.device.topic("thing/model/down_raw").encode()
        check(named == [topic], f"option 2100 is {named}, not {topic}")
        expected = b"\x02" + int(sent).to_bytes(4, "big") + SET_POINTS
        check(bench.fetch() == expected, "the command is other bytes than those of the vector")
        check(bench.fetch() == expected, "the same GET gets the same command")
        done = bench.up(b"\x02" + int(sent).to_bytes(4, "big") + b"\xc8", "down_raw_reply")
        check(done.code == "2.04" and not done.payload, f"the reply was answered {done}")
        check(bench.ended(sent)["state"] == "succeeded", f"the command is {bench.ended(sent)}")

        sent = bench.send("--service", "service1", "--input", '{"input_int":12}')
        head = b"\x11" + int(sent).to_bytes(4, "big")
        check(bench.fetch() == head + bytes.fromhex("0000000c"), "the service is called by other bytes")
        # A reply may come to up_raw too.
        bench.up(head + bytes.fromhex("c80000000e"))
        ended = bench.ended(sent)
        check((ended["state"], ended["data"]) == ("succeeded", {"output_int": 14}), f"it is {ended}")

        raw = "0200003039aa"
        sent = bench.send("--raw", raw)
        check(bench.fetch().hex() == raw, "bytes of an operator are sent as they are")
        bench.up(bytes.fromhex("0200003039c8"), "down_raw_reply")
        check(bench.ended(sent)["state"] == "succeeded", f"the command is {bench.ended(sent)}")


@case("raw: a command or an offer that the script cannot encode is refused with 11810, and nothing is queued")
def _not_encoded(world):
    with Raw(world.gateway) as bench:
        names = bench.device.names
        code, _, said = world.gateway.run("command", "send", *names, "--get", "a", "--pending-ttl", "60")
        check(code == 1 and "11810" in said and "unknown method" in said, f"exit code {code}: {said}")
        image = bench.upload(b"firmware", "2.0")
        offer = ("firmware", "offer", image, "--device", bench.device.device_key)
        code, _, said = world.gateway.run(*offer)
        check(code == 1 and "11810" in said and "unknown method" in said, f"exit code {code}: {said}")
        status = world.gateway.json("firmware", "status", image)
        check(not status["waiting"] and not status["offered"], f"an offer that was refused is one: {status}")
        check(not world.gateway.json("command", "list", *names), "a command that was refused is queued")


@case("raw: without a script, and where the format is JSON, bytes are 4.03; what is published counts at once")
def _no_script(world):
    with Raw(world.gateway, published=False) as bench:
        check(bench.up(REPORT).code == "4.03", "bytes were taken without a script")
        eventually(
            "the log does not say why",
            lambda: any("no script is published" in said for said in bench.logged("topic_foreign")),
        )
        world.gateway.json("script", "publish", bench.key, str(TAGGED))
        check(bench.up(REPORT).payload == REPLY, "what is published does not run")
        world.gateway.json("product", "update", bench.key, "--data-format", "json")
        for topic in ("up_raw", "down_raw_reply"):
            check(bench.up(REPORT, topic).code == "4.03", f"{topic} is served where the format is JSON")
        fetched = bench.ask(Request("GET", bench.device.topic("thing/model/down_raw")))
        check(fetched.code == "4.03", f"down_raw is answered {fetched}")


@case("attack 173: whatever a script does is 4.00 with its line in the log, and others are served meanwhile")
def _hostile(world):
    gateway = world.gateway
    with Raw(gateway, published=False) as bench, Raw(gateway) as good:
        source = bench.source(HOSTILE)
        gateway.json("script", "publish", bench.key, str(source))
        check(bench.up(bytes([50])).payload == b"\xc8", "a good report is not answered")
        for deed in range(DEEDS):
            deadline = time.monotonic() + 30
            # A product whose script ran into a limit rests, and is answered 5.03 meanwhile.
            while (response := bench.up(bytes([deed]))).code == "5.03" and time.monotonic() < deadline:
                time.sleep(0.3)
            check(response.code == "4.00" and not response.payload, f"deed {deed} was answered {response}")
            check(good.up(REPORT).payload == REPLY, f"after deed {deed} another product is not served")
        said = bench.logged("body_malformed")
        check(any("no such tag (line 6)" in detail for detail in said), f"the log says {said}")
        values = bench.shown("points", "--from", "0", "--limit", "1000")
        check([value["value"] for value in values] == [50], f"what is stored is {values}")


@case("raw: a device of a product whose script loops delays no other, and is told to come again")
def _looping(world):
    gateway = world.gateway
    with Raw(gateway, published=False) as bench, Bench(gateway) as other:
        gateway.json("script", "publish", bench.key, str(bench.source(HOSTILE)))
        devices = [create_device(gateway, bench.product) for _ in range(4)]
        sessions = [Session(gateway.target(one.identity(), one.key, CCM8)) for one in devices]
        try:
            slowest = 0.0
            for _ in range(5):
                for device, session in zip(devices, sessions, strict=True):
                    path = device.topic("thing/model/up_raw")
                    answer = session.ask(Request("POST", path, b"\0", OCTETS))
                    check(answer.code in ("4.00", "5.03"), f"a loop was answered {answer}")
                    begin = time.monotonic()
                    stored_one = other.tell("thing/measurepoint/post", {"measurepoints": {"temp": 1}})
                    slowest = max(slowest, time.monotonic() - begin)
                    check(stored_one.code == "2.04", f"another product's report was answered {stored_one}")
            check(slowest < 2, f"another product's report took {slowest:.2f} s")
        finally:
            for session in sessions:
                session.close()
