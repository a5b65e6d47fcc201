"""The life of a device from the factory on, told once, and lived over each transport by clients that are not
ours: activation, login, reports, an attribute, a tag, an event, a command and its answer, sleep.

The months of sleep are virtual: scenarios/a_life_with_months_of_sleep.story. Here it sleeps for its lifetime.
"""

import json
import time

from interop.harness import case, check, eventually
from interop.peers.libcoap import GNUTLS, OPENSSL
from interop.transports import AiocoapOverDtls, LibcoapOverDtls
from lib.coap import Request
from lib.devices import create_device, create_product
from lib.dtls import CBC, CCM8

from .steps import check_reply, state, stored

LIFETIME_S = 30
TIME = 1_700_000_000_000


class Life:
    """A device of a product, what it knows, and how it talks."""

    def __init__(self, gateway, transport):
        self.gateway, self.transport = gateway, transport
        self.device = create_device(gateway, create_product(gateway, dynamic_activation=True))

    def say(self, topic, params):
        """A message of the device, which must be taken; returns `data` of the reply, and the response."""
        body = {"id": "7", "version": "1.0", "params": params}
        response = self.transport.ask(Request("POST", self.device.topic(topic), json.dumps(body).encode()))
        check_reply(response, "7")
        return json.loads(response.payload)["data"], response

    def report(self, value):
        """One point."""
        return self.say("thing/measurepoint/post", {"measurepoints": {"temp": value}})[1]

    def send(self, *what):
        """An operator's command, which waits for the device; returns its id."""
        names = self.device.names
        return self.gateway.json("command", "send", *names, *what, "--pending-ttl", "600")["id"]

    def obey(self, number, params, data):
        """The device hears of a command with its next report, gets it, and answers; the operator reads it."""

        def next_report():
            return self.transport.command_of(self.report(20.5))

        command = eventually("the device does not hear of its command", next_report)
        check((command["id"], command["params"]) == (number, params), f"the device got {command}")
        topic = command["method"].replace(".", "/")
        answer = json.dumps({"id": number, "code": 200, "data": data}).encode()
        response = self.transport.ask(Request("POST", self.device.topic(f"{topic}_reply"), answer))
        check(response.code == "2.04", f"its answer was answered {response}")
        shown = self.gateway.json("command", "show", *self.device.names, number)
        is_done = (shown["state"], shown["code"], shown["data"])
        check(is_done == ("succeeded", 200, data), f"the operator reads {shown}")

    def shown(self, what, *more):
        """What the operator reads of the device."""
        return self.gateway.json("device", what, *self.device.names, *more)


def live(gateway, transport):
    """The whole story. What a transport has stands in transports.py."""
    life = Life(gateway, transport)
    check(state(gateway, life.device) == "inactive", "in the factory it is not inactive")
    life.device = transport.activate(life.device)
    check(state(gateway, life.device) == "inactive", "asking has activated it")
    transport.login(life.device, LIFETIME_S)

    life.report(21.5)
    batch = [{"measurepoints": {"temp": 19.5 - n}, "time": TIME + n} for n in range(2)]
    life.say("thing/measurepoint/resume/batch", batch)
    check(stored(gateway, life.device, "temp") == [21.5], "an old value became the latest one")
    history = stored(gateway, life.device, "temp", history=True)
    check(sorted(history) == [18.5, 19.5, 21.5], f"stored is {history}")

    life.say("thing/attribute/update", {"attributes": {"serial": "A7", "size": 1.5}})
    data, _ = life.say("thing/attribute/query", {"attributes": ["serial"]})
    check(data == {"serial": "A7"} and life.shown("attributes")["size"] == 1.5, f"its attributes are {data}")
    life.say("thing/tag/update", [{"tagKey": "site", "tagValue": "north"}])
    check(life.shown("tags") == {"site": "north"}, f"its tags are {life.shown('tags')}")
    life.say("thing/event/opened/post", {"events": {"angle": 7.5}, "time": TIME})
    events = [(event["event"], event["output"]) for event in life.shown("events")]
    check(events == [("opened", {"angle": 7.5})], f"its events are {events}")

    life.obey(life.send("--set", '{"temp":30.5}'), {"temp": 30.5}, {"temp": 30.5})

    number = life.send("--get", "temp,count")
    transport.sleep()
    eventually("it is not offline", lambda: state(gateway, life.device) == "offline", LIFETIME_S + 5)
    time.sleep(1)
    transport.wake()
    life.obey(number, ["temp", "count"], {"temp": 20.5, "count": 3})
    log = [entry["event"] for entry in reversed(life.shown("log"))]
    first = [name for name in log if name in ("created", "secret_issued", "activated", "offline")]
    check(first[:4] == ["created", "secret_issued", "activated", "offline"], f"its log says {log}")


def _register(name, transport):
    @case(f"the story of a device, from the factory to its sleep: {name}")
    def _lives(world):
        used = transport(world.gateway)
        try:
            live(world.gateway, used)
        finally:
            used.close()


_register("aiocoap over DTLS, one session", AiocoapOverDtls)
for _peer, _suite in ((OPENSSL, CCM8), (GNUTLS, CBC)):
    _register(
        f"{_peer.NAME} over DTLS with {_suite}, a session for each message",
        lambda gateway, peer=_peer, suite=_suite: LibcoapOverDtls(gateway, peer, suite),
    )
