"""The same life of a device, and an update of its firmware in it, for devices that must save bytes: in CBOR by
short paths, and in bytes of their own with a script. By aiocoap.
"""

import random
import time

from interop.harness import case, check, eventually
from interop.peers.aiocoap_tinydtls import Session
from interop.served import check_success, in_cbor, message
from interop.transports import AiocoapOverDtls
from lib.coap import Request
from lib.dtls import CCM8

from .served_raw import Raw
from .served_short import Short, decoded
from .steps import state, stored

LIFETIME_S = 30
TIME = 1_700_000_000_000
IMAGE = random.Random(11).randbytes(20_000)
HOW = {"mode": 3, "activation": True}

# Kind, id (4 bytes), then what belongs to the kind; temperatures are tenths of a degree.
SCRIPT = """
function number(b, at) { return ((b[at] * 256 + b[at + 1]) * 256 + b[at + 2]) * 256 + b[at + 3]; }
function bytes(n) { return [(n >>> 24) & 255, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]; }
function rawDataToJsonStr(b) {
  var id = String(number(b, 1)), temp = (b[5] * 256 + b[6]) / 10, text = String.fromCharCode(...b.slice(5));
  function message(method, params) {
    return JSON.stringify({ id: id, version: "1.0", method: method, params: params });
  }
  switch (b[0]) {
    case 1: return message("thing.measurepoint.post", { measurepoints: { temp: temp } });
    case 2: return message("thing.measurepoint.resume", { measurepoints: { temp: temp }, time: TIME });
    case 3: return message("thing.attribute.update", { attributes: { serial: text, size: 1.5 } });
    case 4: return message("thing.tag.update", [{ tagKey: "site", tagValue: text }]);
    case 5: return message("thing.event.tilted.post", { events: { angle: temp }, time: TIME });
    case 6: return message("ota.device.inform", { version: text });
    case 7: return message("ota.device.progress", { step: String(b[5]) });
    case 17: return JSON.stringify({ id: id, code: 200, data: { temp: temp } });
    case 18: return JSON.stringify({ id: id, code: 200, data: { temp: temp, count: 3 } });
    case 19: return JSON.stringify({ id: id, code: 200, data: {} });
  }
  throw new Error("no such kind: " + b[0]);
}
function jsonStrToRawData(json) {
  var m = JSON.parse(json), head = bytes(Number(m.id));
  if (m.method === undefined) return [128].concat(head, bytes(m.code).slice(2));
  if (m.method === "thing.service.measurepoint.get") return [18].concat(head);
  if (m.method === "ota.device.upgrade") {
    var image = m.params.fileUrl.split("/").pop();
    return [19].concat(head, bytes(m.params.fileSize), Array.from(image, (c) => c.charCodeAt(0)));
  }
  return [17].concat(head, bytes(Math.round(m.params.temp * 10)).slice(2));
}
""".replace("TIME", str(TIME))


class ShortLife(Short):
    """What a device says by short paths."""

    def report(self, value):
        """One point."""
        return self.succeed("/p", f"{{<temp>: {value}}}")

    def say_all(self):
        """An older value, attributes, a tag, an event."""
        self.succeed("/r", f"[{TIME}, {{<temp>: 18.5}}]")
        self.succeed("/a", "{<serial>: 'A7', <size>: 1.5}")
        answer = decoded(self.post("/a", "[<serial>]"))
        check(list(answer.values()) == ["A7"], f"its attribute is {answer}")
        tag = message(self.device, "thing/tag/update", [{"tagKey": "site", "tagValue": "A7"}])
        check_success(self.ask(in_cbor(tag)), content_format=60)
        self.succeed(f"/e/{self.numbers['tilted']}", f"[{TIME}, {{<angle>: 7.5}}]")

    def fetch(self, kind):
        """The oldest command, when a report has told of it; its id and params."""
        eventually("the device does not hear of its command", lambda: self.waits(self.report(20.5)))
        number, of, *params = decoded(self.ask(Request("GET", "/c")))
        check(of == kind, f"the device got a command of kind {of}")
        return number, params

    def set_temp(self):
        """It is told a temperature, and sets it."""
        number, params = self.fetch(1)
        check(list(params[0].values()) == [30.5], f"the device got {params}")
        self.succeed("/c", f"[{number}, 200, {{'temp': 30.5}}]")
        return str(number)

    def get_temp(self):
        """It is asked for its temperature."""
        number, params = self.fetch(2)
        check(len(params[0]) == 2, f"the device got {params}")
        self.succeed("/c", f"[{number}, 200, {{'temp': 20.5, 'count': 3}}]")
        return str(number)

    def update(self):
        """It takes an update, from the command on."""
        self.succeed("/o", "{'version': '1.0'}")
        image, _ = self.offer(IMAGE)
        number, params = self.fetch(4)
        url = params[0]["fileUrl"]
        check(url.endswith(f"/f/{image}"), f"the device got {params}")
        self.succeed("/c", f"[{number}, 200, {{}}]")
        check(self.ask(Request("GET", f"/f/{image}")).payload == IMAGE, "the image is another one")
        self.succeed("/o", "{'step': '100'}")
        self.succeed("/o", "{'version': '2.0'}")
        return image


class RawLife(Raw):
    """What a device says in bytes of its own."""

    def _say(self, kind, rest, number=7, topic="up_raw"):
        """A message, which must be taken."""
        head = number.to_bytes(4, "big")
        response = self.up(bytes([kind]) + head + rest, topic)
        check(response.code == "2.04", f"kind {kind} was answered {response}")
        if topic == "up_raw":
            check(response.payload == b"\x80" + head + b"\x00\xc8", f"kind {kind}: {response.payload.hex()}")
        return response

    def report(self, value):
        """One point."""
        return self._say(1, round(10 * value).to_bytes(2, "big"))

    def say_all(self):
        """An older value, attributes, a tag, an event."""
        self._say(2, (185).to_bytes(2, "big"))
        self._say(3, b"A7")
        self._say(4, b"A7")
        self._say(5, (75).to_bytes(2, "big"))

    def _command(self, kind):
        """The bytes of the oldest command, when a report has told of it; its id, and what follows."""
        down = self.device.topic("thing/model/down_raw").encode()
        hears = lambda: (2100, down) in self.report(20.5).options  # noqa: E731
        eventually("the device does not hear of its command", hears)
        payload = self.fetch()
        check(payload[0] == kind, f"the device got {payload.hex()}")
        return int.from_bytes(payload[1:5], "big"), payload[5:]

    def set_temp(self):
        """It is told a temperature, and sets it."""
        number, rest = self._command(17)
        check(int.from_bytes(rest, "big") == 305, f"the device got {rest.hex()}")
        self._say(17, rest, number, "down_raw_reply")
        return str(number)

    def get_temp(self):
        """It is asked for its temperature."""
        number, _ = self._command(18)
        self._say(18, (205).to_bytes(2, "big"), number, "down_raw_reply")
        return str(number)

    def update(self):
        """It takes an update: the offer and what the device says of it are bytes."""
        self._say(6, b"1.0")
        image, offered = self.offer(IMAGE)
        number, rest = self._command(19)
        check(str(number) == offered, f"the device got the offer {number}, and {offered} was sent")
        expected = len(IMAGE).to_bytes(4, "big") + image.encode()
        check(rest == expected, f"the device got {rest.hex()}")
        self._say(19, b"", number, "down_raw_reply")
        command = self.gateway.json("command", "show", *self.device.names, offered)
        check((command["state"], command["code"]) == ("succeeded", 200), f"the operator reads {command}")
        check(self.ask(Request("GET", f"/ota/{image}")).payload == IMAGE, "the image is another one")
        self._say(7, bytes([100]))
        self._say(6, b"2.0")
        return image


def live(life):
    """The whole story, for whoever has its words."""
    gateway, transport = life.gateway, AiocoapOverDtls(life.gateway)
    check(state(gateway, life.device) == "inactive", "in the factory it is not inactive")
    life.device = transport.activate(life.device)
    target = gateway.target(life.device.identity(lifetime=LIFETIME_S), life.device.key, CCM8)
    with Session(target) as life.session:
        life.report(21.5)
        life.say_all()
        check(stored(gateway, life.device, "temp") == [21.5], "an old value became the latest one")
        history = stored(gateway, life.device, "temp", history=True)
        check(sorted(history) == [18.5, 21.5], f"stored is {history}")
        check(life.shown("attributes") == {"serial": "A7", "size": 1.5}, f"{life.shown('attributes')}")
        check(life.shown("tags") == {"site": "A7"}, f"its tags are {life.shown('tags')}")
        events = [(event["event"], event["output"]) for event in life.shown("events")]
        check(events == [("tilted", {"angle": 7.5})], f"its events are {events}")

        _obeyed(life, life.send("--set", '{"temp":30.5}'), life.set_temp(), {"temp": 30.5})

        image = life.update()
        status = gateway.json("firmware", "status", image)
        check(status["done"] == 1, f"the operator reads {status}")
        check(life.shown("show")["firmware"] == "2.0", "the operator reads another version")

        number = life.send("--get", "temp,count")
        eventually("it is not offline", lambda: state(gateway, life.device) == "offline", LIFETIME_S + 5)
        time.sleep(1)
        _obeyed(life, number, life.get_temp(), {"temp": 20.5, "count": 3})


def _obeyed(life, number, answered, data):
    """The operator reads what the device has answered."""
    shown = life.gateway.json("command", "show", *life.device.names, number)
    is_done = (answered, shown["state"], shown["code"], shown["data"])
    check(is_done == (number, "succeeded", 200, data), f"the operator reads {shown}")


@case("the story of a device, with an update of its firmware: short paths in CBOR")
def _short(world):
    live(ShortLife(world.gateway, **HOW))


@case("the story of a device, with an update of its firmware: bytes of its own and a script")
def _raw(world):
    source = world.gateway.folder / "story.js"
    source.write_text(SCRIPT)
    live(RawLife(world.gateway, source, **HOW))
