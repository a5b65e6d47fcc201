"""A device that observes and is gone: what the operator reads once nobody acknowledges a notification, which
takes a minute and a half.
"""

from interop.harness import case, check, eventually
from interop.peers.aiocoap_tinydtls import Session
from lib.coap import Request
from lib.devices import create_device
from lib.dtls import CCM8


@case("a device that observes and vanishes: its command waits on, and the log says so (100 s)")
def _vanished(world):
    gateway, device = world.gateway, create_device(world.gateway)
    session = Session(gateway.target(device.identity(), device.key, CCM8))
    session.observe(Request("GET", device.topic("thing/commands")))
    session.vanish()
    number = gateway.json("command", "send", *device.names, "--get", "temp", "--pending-ttl", "600")["id"]

    def is_told():
        entries = gateway.json("device", "log", *device.names)
        return [entry for entry in entries if entry.get("reason") == "notification_lost"]

    check(not is_told(), "it is given up at once")
    [entry] = eventually("the log says nothing", is_told, 100)
    check("commands wait (1)" in entry["detail"], f"the log says {entry}")
    state = gateway.json("command", "show", *device.names, number)["state"]
    check(state == "created", f"the command is {state}")
    with Session(gateway.target(device.identity(), device.key, CCM8)) as again:
        told = dict(again.ask(device.report({"temp": 1})).options).get(2100)
        check(told == device.topic("thing/service/measurepoint/get").encode(), f"option 2100 is {told}")
