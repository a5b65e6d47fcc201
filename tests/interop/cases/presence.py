"""Real time: a device that falls silent goes offline when its lifetime has passed, and comes back by its next
record.

Registered first, since it lasts longest.
"""

import time

from interop.harness import case, check, eventually
from interop.peers.mbedtls import MBEDTLS_3
from lib.devices import create_device
from lib.dtls import CCM8

from .steps import check_reply, reading, state, stored

LIFETIME = 30


@case(
    "30 s of silence take a device offline, a ping keeps another online, "
    "the next record brings the first back"
)
def _silence(world):
    gateway = world.gateway
    silent, pinging = create_device(gateway), create_device(gateway)
    sessions = {}
    for device in (silent, pinging):
        target = gateway.target(device.identity(lifetime=LIFETIME), device.key, CCM8)
        sessions[device] = MBEDTLS_3.session(target).handshake()
        check_reply(sessions[device].ask(device.report({"temp": 1})))
    begin = time.monotonic()
    time.sleep(LIFETIME - 12)
    check(sessions[pinging].ping(), "an empty confirmable message was not answered by RST")
    time.sleep(9)
    check(state(gateway, silent) == "online", "offline before its lifetime had passed")
    eventually("the silent device is still online", lambda: state(gateway, silent) == "offline", 8)
    after = time.monotonic() - begin
    check(after >= LIFETIME - 0.5, f"offline after {after:.1f} s already")
    check(state(gateway, pinging) == "online", "the ping did not restart the lifetime")
    log = [entry["event"] for entry in gateway.json("device", "log", *silent.names)]
    check(log.count("offline") == 1, f"the log says {log}")

    value = reading()
    check_reply(sessions[silent].ask(silent.report({"temp": value})))
    eventually("the device did not come back", lambda: state(gateway, silent) == "online")
    check(stored(gateway, silent, "temp") == [value], "the report after the silence is not stored")
    for session in sessions.values():
        session.close()


def _register_restart(what, end):
    @case(
        f"{what} makes nobody offline: "
        "an online device has a full lifetime from the start on, then goes offline"
    )
    def _restart(world):
        with world.fresh() as gateway:
            gateway.start()
            device = create_device(gateway)
            target = gateway.target(device.identity(lifetime=LIFETIME), device.key, CCM8)
            session = MBEDTLS_3.session(target).handshake()
            check_reply(session.ask(device.report({"temp": 1})))
            before = gateway.json("device", "show", *device.names)
            end(gateway)
            time.sleep(3)
            gateway.start()
            begin = time.monotonic()
            check(state(gateway, device) == "online", "the restart took it offline")
            time.sleep(LIFETIME - 2)
            check(state(gateway, device) == "online", "offline before a full lifetime had passed")
            eventually("it is online for ever", lambda: state(gateway, device) == "offline", 8)
            check(time.monotonic() - begin >= LIFETIME - 1.5, "offline too early")
            after = gateway.json("device", "show", *device.names)
            check(after["lastOnlineTime"] == before["lastOnlineTime"], "the restart counts as a login")
            log = [entry["event"] for entry in gateway.json("device", "log", *device.names)]
            check(log.count("offline") == 1 and log.count("online") == 0, f"the log says {log}")
            session.vanish()


_register_restart("kill -9", lambda gateway: gateway.kill())
_register_restart("SIGTERM", lambda gateway: gateway.stop())
