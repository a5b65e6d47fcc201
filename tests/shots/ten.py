"""The world of ten devices, each in another state, with one of everything else: a thing model, a script, a
rollout, commands in all their states, refusals of several kinds, people, tokens and units."""

import contextlib
import json
import math
import random
import signal
import subprocess
import time

from interop.peers import Target
from interop.peers.libcoap import Libcoap
from lib import control
from lib.coap import Request
from lib.devices import Device, Product, new_secret
from lib.dtls import CCM8
from lib.program import Failed
from lib.waiting import wait_for

METERS, SOIL = "MuGsF6W4", "Kx81PqLm"
MODEL = {
    "modelId": "water-meter",
    "name": "Water meter",
    "attributes": [{"identifier": "place", "name": "Where it hangs", "dataType": "STRING"}],
    "measurepoints": [
        {"identifier": "temp", "name": "Temperature", "dataType": "DOUBLE", "unit": "°C"},
        {"identifier": "volume", "name": "Water since it was built in", "dataType": "DOUBLE", "unit": "m³"},
        {"identifier": "valve", "name": "Valve", "dataType": "STRING"},
        {"identifier": "leak", "name": "Leak", "dataType": "BOOL"},
    ],
    "services": [
        {
            "identifier": "restart",
            "name": "Restart",
            "inputData": [{"identifier": "delay", "dataType": "INT"}],
        }
    ],
    "events": [
        {
            "identifier": "opened",
            "name": "Lid opened",
            "eventType": "WARN",
            "outputData": [{"identifier": "angle", "dataType": "FLOAT"}],
        }
    ],
}
SCRIPT = """\
// A report is a number of four bytes and a temperature of two, in tenths of a degree.
function rawDataToJsonStr(rawData) {
  var view = new DataView(new Uint8Array(rawData).buffer);
  return JSON.stringify({
    id: String(view.getUint32(0)),
    version: "1.0",
    method: "thing.measurepoint.post",
    params: { measurepoints: { temp: view.getInt16(4) / 10 } },
  });
}

function jsonStrToRawData(jsonStr) {
  var message = JSON.parse(jsonStr);
  return [message.code >> 8, message.code & 255];
}
"""
# By the end of the key: what people call them.
NAMES = {
    "online": ("867725030096431", "Cellar 3"),
    "asleep": ("867725030096432", "Roof, east wing"),
    "offline": ("867725030096433", "Pump house"),
    "refused": ("867725030096434", "Gate north"),
    "never": ("867725030096435", "Spare, not yet mounted"),
    "disabled": ("867725030096436", "Boiler room"),
    "garage": ("867725030096437", "Garage"),
    "updated": ("867725030096438", "Greenhouse"),
    "yard": ("867725030096439", "Yard"),
    "soil": ("soil-sensor-01", "Field 12, behind the barn"),
}
# Two of its rows are broken, and a key is there twice.
CSV = "deviceKey,deviceSecret,name\n" + "".join(
    f"86772503009{number:04},,House {number}\n" for number in range(7000, 7020)
) + "8677 2503,,With a blank\n867725030097001,,Twice\n86772503007777,short,A secret of five letters\n"

QUARTER_MS = 900_000
BATCH = 48
FETCH_SECONDS, FAULT_SECONDS = 20, 90


class Fleet:
    """The devices of a world, as they are simulated."""

    def __init__(self, world):
        self.world, self.gateway = world, world.gateway
        self.devices: dict[str, Device] = {}

    def create(self) -> None:
        """Products and devices."""
        model = self.gateway.folder / "model.json"
        model.write_text(json.dumps(MODEL))
        script = self.gateway.folder / "soil.js"
        script.write_text(SCRIPT)
        run = self.gateway.json
        run("product", "create", "Water meters", "--product-key", METERS, "--model", str(model))
        run("product", "create", "Soil sensors", "--product-key", SOIL, "--data-format", "custom")
        run("script", "publish", SOIL, str(script))
        for name, (key, called) in NAMES.items():
            product, secret = SOIL if name == "soil" else METERS, new_secret(20)
            options = ("--product", product, "--device-key", key, "--device-secret", secret)
            run("device", "create", *options, "--name", called)
            self.devices[name] = Device(Product(product, ""), key, secret)

    def name_of(self, name: str) -> str:
        """A device, as the command line wants it named."""
        return "/".join(self.devices[name].names)

    def command(self, name: str, *more: str) -> list[str]:
        """The command that is the device."""
        server = f"{self.gateway.dtls_host}:{self.gateway.dtls_port}"
        secret = self.devices[name].device_secret
        common = ("--server", server, "--secret", secret)
        return self.gateway.command("device", "simulate", self.name_of(name), *common, *more)

    def begin(self, name: str, *more: str) -> subprocess.Popen:
        """The device in the background."""
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(self.command(name, *more), cwd=self.gateway.folder, **quiet)

    @contextlib.contextmanager
    def running(self, name: str, *more: str):
        """The device, as long as something is done with it; it logs out at the end."""
        process = self.begin(name, *more)
        try:
            self.wait_state(name, "online")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(FETCH_SECONDS)
        self.wait_state(name, "offline")

    def wait_state(self, name: str, state: str) -> None:
        """Waits until the server says that the device is so."""
        show = ("device", "show", self.name_of(name))
        if not wait_for(lambda: self.gateway.json(*show)["state"] == state, FETCH_SECONDS, 0.2):
            raise Failed(f"{name} is not {state}")

    def report_day(self, name: str) -> None:
        """What the device measured in the last 24 hours, a quarter of an hour apart."""
        device, now = self.devices[name], time.time_ns() // 1_000_000
        rng, volume = random.Random(7), 1284.0
        elements = []
        for at in range(now - 96 * QUARTER_MS, now, QUARTER_MS):
            hour = (at // 3_600_000 + 1) % 24
            volume += rng.uniform(0, 0.02) * (1 if 5 < hour < 23 else 0.1)
            temp = 12 + 4 * math.sin((hour - 9) / 24 * 2 * math.pi) + rng.uniform(-0.3, 0.3)
            points = {"temp": round(temp, 1), "volume": round(volume, 3), "leak": 3 <= hour < 4}
            points["valve"] = "closed" if 3 <= hour < 6 else "open"
            elements.append({"measurepoints": points, "time": at})
        peer = Libcoap("openssl", (CCM8,))
        target = Target(self.gateway.dtls_port, device.identity(), device.key, CCM8)
        for begin in range(0, len(elements), BATCH):
            method = "thing.measurepoint.post.batch"
            body = {"id": "1", "version": "1.0", "method": method, "params": elements[begin : begin + BATCH]}
            path = device.topic("thing/measurepoint/post/batch")
            request = Request("POST", path, json.dumps(body).encode())
            (answer,) = peer.exchange(target, [request], block_size=1024)
            if json.loads(answer.payload)["code"] != 200:
                raise Failed(f"the batch is refused: {answer}")

    def send(self, name: str, *what: str) -> str:
        """Sends a command; returns its id."""
        return self.gateway.json("command", "send", self.name_of(name), *what)["id"]

    def wait_command(self, name: str, number: str, state: str) -> None:
        """Waits until the command has come to this."""
        show = ("command", "show", self.name_of(name), number)
        if not wait_for(lambda: self.gateway.json(*show)["state"] == state, FETCH_SECONDS, 0.2):
            raise Failed(f"command {number} is not {state}: {self.gateway.json(*show)}")


@contextlib.contextmanager
def filled(world):
    """Fills the world; one device goes on reporting."""
    fleet = Fleet(world)
    fleet.create()
    _people(world)
    online = None
    faults = _faults(fleet)
    try:
        fleet.report_day("online")
        points = '{"temp":15.4,"volume":1284.694,"valve":"open","leak":false}'
        more = ("--attributes", '{"place":"under the stairs"}', "--event", 'opened={"angle":12.5}')
        online = fleet.begin("online", "--interval", "5", "--points", points, "--firmware", "2.0", *more)
        fleet.wait_state("online", "online")
        _commands(fleet, points)
        _asleep_and_offline(fleet)
        _firmware(fleet)
        _acts(fleet)
        for process in faults:
            process.wait(FAULT_SECONDS)
        yield
    finally:
        for process in (*faults, *([online] if online else [])):
            process.kill()
            process.wait()


def _faults(fleet):
    """Devices that do something wrong, each of them for some seconds."""
    kinds = {
        "refused": ("wrong-key", "wrong-key"),
        "yard": ("bad-json", "bad-lifetime"),
        "offline": ("unknown-device",),
        "soil": ("bad-identity",),
    }
    return [fleet.begin(name, "--fault", fault) for name, faults in kinds.items() for fault in faults]


def _commands(fleet, points):
    """Commands of one device in all states, and one that the device which is online has done."""
    fleet.wait_command("online", fleet.send("online", "--set", '{"valve":"closed"}'), "succeeded")
    often = ("--interval", "1", "--points", points, "--lifetime", "86400")
    with fleet.running("garage", *often):
        fleet.wait_command("garage", fleet.send("garage", "--set", '{"valve":"closed"}'), "succeeded")
    with fleet.running("garage", *often, "--reply", "500"):
        service = ("--service", "restart", "--input", '{"delay":5}')
        fleet.wait_command("garage", fleet.send("garage", *service), "failed")
    with fleet.running("garage", *often, "--reply", "none"):
        number = fleet.send("garage", "--get", "temp", "--timeout", "1")
        fleet.wait_command("garage", number, "timed_out")
    late = fleet.send("garage", "--set", '{"valve":"open"}', "--pending-ttl", "1")
    taken_back = fleet.send("garage", "--set", '{"valve":"open"}', "--pending-ttl", "86400")
    fleet.gateway.run("command", "cancel", fleet.name_of("garage"), taken_back)
    fleet.send("garage", "--get", "temp,volume", "--pending-ttl", "86400")
    fleet.send("garage", "--set", '{"valve":"open"}', "--pending-ttl", "172800")
    fleet.wait_command("garage", late, "expired")


def _asleep_and_offline(fleet):
    """One that sleeps without having logged out, one that has logged out, one that is switched off."""
    asleep = fleet.begin("asleep", "--interval", "600", "--lifetime", "86400")
    fleet.wait_state("asleep", "online")
    points = f"/api/v1/products/{METERS}/devices/{NAMES['asleep'][0]}/points"
    wait_for(lambda: control.ask(fleet.gateway.data, "GET", points)[1]["items"], FETCH_SECONDS, 0.2)
    asleep.kill()
    asleep.wait()
    for name in ("offline", "disabled", "soil"):
        fleet.begin(name, "--count", "1").wait(FETCH_SECONDS)
        fleet.wait_state(name, "offline")
    fleet.gateway.run("device", "disable", fleet.name_of("disabled"))
    fleet.gateway.run("device", "tags", fleet.name_of("online"), "--set", '{"site":"north","floor":"-1"}')


def _firmware(fleet):
    """An image that one device has taken and others wait for, and one that is not offered."""
    world, run = fleet.world, fleet.gateway.json
    for version, size in (("2.0", 9_000), ("2.1", 20_000)):
        file = fleet.gateway.folder / f"meter-{version}.bin"
        file.write_bytes(random.Random(size).randbytes(size))
        image = run("firmware", "upload", str(file), "--product", METERS, "--version", version)
        world.found[f"image-{version}"] = f"/console/firmware/{image['imageId']}"
    run("firmware", "offer", image["imageId"], "--share", "100")
    updating = fleet.begin("updated", "--interval", "1", "--firmware", "2.0", "--update")
    updating.wait(FAULT_SECONDS)
    with fleet.running("yard", "--interval", "600", "--firmware", "2.0"):
        pass


def _people(world):
    """Users, tokens, a unit with a product of its own."""
    run = world.gateway.json
    unit = run("ou", "create", "north")["ou"]
    world.found["unit"] = f"/console/ous/{unit}"
    world.invite("nora", "operator", "--ou", "north")
    world.invite("bob", "viewer")
    run("user", "update", "bob", "--disable")
    world.invite("eve", "operator")
    run("token", "create", "dashboard", "--role", "viewer", "--expires", "90")
    run("token", "create", "night-job", "--role", "administrator", "--expires", "3", "--ou", "north")


def _acts(fleet):
    """What operators did to many, and an act that was refused."""
    data, world = fleet.gateway.data, fleet.world
    tag = {"action": "tag", "filter": {"product": METERS}, "tags": {"owner": "waterworks"}}
    _, job = control.ask(data, "POST", "/api/v1/devices:bulk", tag)
    world.found["job"] = f"/console/jobs/{job['id']}"
    path = f"/api/v1/jobs/{job['id']}"
    wait_for(lambda: control.ask(data, "GET", path)[1]["state"] == "done", FETCH_SECONDS, 0.1)
    fleet.gateway.run("product", "secret", METERS)
    fleet.gateway.run("device", "delete", f"{METERS}/000000", "--yes")
