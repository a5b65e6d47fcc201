"""What is kept of a device: a backup and its restoration hold all of it, and a deletion leaves nothing to be
read.
"""

import json
import sqlite3

from interop.gateway import Gateway
from interop.harness import case, check, eventually
from interop.served import Bench, check_success
from lib.coap import Request
from lib.devices import create_device

TIME = 1_700_000_000_000
SHOWN = ("attributes", "tags", "events", "points", "log")
# Tables of the registry that have rows of devices, and how a row names its device.
TABLES = {"devices": "id", "latest": "device", "properties": "device", "commands": "device"}


def _fill(bench):
    """A device that has sent one of everything, with a command of each state that it can leave behind."""
    report = {"measurepoints": {"temp": 21.5}, "time": TIME}
    check_success(bench.tell("thing/measurepoint/post", report))
    check_success(bench.tell("thing/measurepoint/resume", {**report, "time": TIME - 1}))
    check_success(bench.tell("thing/attribute/update", {"attributes": {"size": 1.5, "serial": "A7"}}))
    check_success(bench.tell("thing/tag/update", [{"tagKey": "site", "tagValue": "north"}]))
    check_success(bench.tell("thing/event/tilted/post", {"events": {"angle": 7.5}, "time": TIME}))
    answered, sent, _waiting = (bench.send("--set", '{"temp":30.5}') for _ in range(3))
    topic = bench.device.topic("thing/service/measurepoint/set")

    def fetch():
        return json.loads(bench.ask(Request("GET", topic)).payload or b"null")

    check(eventually("no command is handed out", fetch)["id"] == answered, "another command is handed out")
    reply = json.dumps({"id": answered, "code": 200}).encode()
    check(bench.ask(Request("POST", f"{topic}_reply", reply)).code == "2.04", "the reply was not taken")
    check(fetch()["id"] == sent, "the next command is not handed out")


def _kept(gateway, device):
    """All that an operator can read of a device, and what of it does not change by itself."""
    kept = {what: gateway.json("device", what, *device.names) for what in SHOWN}
    kept["history"] = gateway.json("device", "points", *device.names, "--from", "0")
    kept["commands"] = gateway.json("command", "list", *device.names)
    kept["secret"] = gateway.json("device", "secret", *device.names)["deviceSecret"]
    kept["log"] = [entry for entry in kept["log"] if entry["event"] not in ("offline", "secret_shown")]
    # Who looks for the delivery of a command looks at the clock.
    return {**kept, "commands": [{**row, "expected": None} for row in kept["commands"]]}


def _check_full(kept):
    states = sorted(command["state"] for command in kept["commands"])
    check(states == ["created", "sent", "succeeded"], f"its commands are {kept['commands']}")
    check(kept["attributes"] == {"size": 1.5, "serial": "A7"}, f"its attributes are {kept['attributes']}")
    check(kept["tags"] == {"site": "north"}, f"its tags are {kept['tags']}")
    check(len(kept["events"]) == 1 and len(kept["history"]) == 2, f"it has sent {kept}")


@case("a backup beside the server holds reports, events, attributes, tags and commands, and restores them")
def _backup(world):
    with world.fresh() as gateway, world.fresh() as other:
        gateway.start()
        with Bench(gateway) as bench:
            _fill(bench)
            before = _kept(gateway, bench.device)
            _check_full(before)
            backup = gateway.folder / "backup"
            gateway.json("backup", str(backup))
            bench.tell("thing/tag/update", [{"tagKey": "site", "tagValue": "after the backup"}])
        other.json("restore", str(backup))
        after = _kept(other, bench.device)
        check(after == before, f"restored is {after}, before it was {before}")
        other.start()
        after = _kept(other, bench.device)
        check(after == before, f"with a server it is {after}, before it was {before}")


@case("a deleted device leaves no command, attribute, tag, event or report to be read, and a backup has them")
def _delete(world):
    with world.fresh() as gateway, world.fresh() as other:
        gateway.start()
        with Bench(gateway) as bench:
            device, product = bench.device, bench.product
            _fill(bench)
            before = _kept(gateway, device)
            gateway.json("backup", str(gateway.folder / "backup"))
            gateway.json("device", "delete", *device.names, "--yes")
        for what in (("device", "attributes"), ("device", "tags"), ("device", "events"), ("command", "list")):
            code, _, noise = gateway.run(*what, *device.names)
            check(code == 1 and "there is no device" in noise, f"{' '.join(what)}: exit code {code}, {noise}")
        # Whoever gets its key and its secret afterwards inherits nothing.
        names = ["--product", product.product_key, "--device-key", device.device_key]
        gateway.json("device", "create", *names, "--device-secret", device.device_secret)
        anew = _kept(gateway, device)
        for what in ("attributes", "tags", "events", "points", "history", "commands"):
            check(not anew[what], f"a device that has its key sees {what}: {anew[what]}")
        check([entry["event"] for entry in anew["log"]] == ["created"], f"its log is {anew['log']}")
        gateway.json("device", "delete", *device.names, "--yes")
        gateway.json("device", "delete", *bench.other.names, "--yes")
        check(gateway.stop() == 0, "the server did not stop with 0")
        check(_rows(gateway) == dict.fromkeys(TABLES, 0), f"the registry has {_rows(gateway)}")
        other.json("restore", str(gateway.folder / "backup"))
        check(_kept(other, device) == before, "the backup does not have what the device was")


def _rows(gateway: Gateway):
    """How many rows of devices the registry has."""
    with sqlite3.connect(f"file:{gateway.data}/registry.db?mode=ro", uri=True) as registry:
        selects = {table: f"SELECT count({name}) FROM {table}" for table, name in TABLES.items()}
        return {table: registry.execute(select).fetchone()[0] for table, select in selects.items()}


@case("a deleted product takes the commands, attributes and tags of its devices along")
def _delete_product(world):
    with world.fresh() as gateway:
        gateway.start()
        with Bench(gateway) as bench:
            _fill(bench)
            create_device(gateway, bench.product)
            gateway.json("product", "delete", bench.product.product_key, "--force", "--yes")
        check(gateway.stop() == 0, "the server did not stop with 0")
        check(_rows(gateway) == dict.fromkeys(TABLES, 0), f"the registry has {_rows(gateway)}")
