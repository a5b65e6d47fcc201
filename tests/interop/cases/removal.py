"""What is kept of a device: a backup and its restoration hold all of it, a deletion leaves nothing to be
read, and a purge nothing in any file.
"""

import json
import sqlite3

from interop.gateway import Gateway
from interop.harness import case, check, eventually
from interop.peers.aiocoap_tinydtls import Session
from interop.served import MODEL, Bench, check_success, message
from lib.coap import Request
from lib.devices import create_device
from lib.dtls import CCM8
from lib.retention import SETTINGS

TIME = 1_700_000_000_000
SHOWN = ("attributes", "tags", "events", "points", "log")
# Of commands.
STATES = ["cancelled", "created", "expired", "failed", "sent", "succeeded", "timed_out"]
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


def _command_in_each_state(bench):
    """One command of the device that has ended in each way, one that is under way, and one that waits."""
    topic = bench.device.topic("thing/service/measurepoint/set")
    names = bench.device.names

    def send(*options, ttl=600):
        options = ["--set", '{"temp":30.5}', "--pending-ttl", str(ttl), *options]
        return bench.gateway.json("command", "send", *names, *options)["id"]

    def fetch(command):
        asked = Request("GET", topic)
        seen = eventually("no command is handed out", lambda: json.loads(bench.ask(asked).payload or b"null"))
        check(seen["id"] == command, f"{seen} is handed out, not {command}")

    def wait_for(command, state):
        def is_so():
            return bench.gateway.json("command", "show", *names, command)["state"] == state

        eventually(f"command {command} is not {state}", is_so, 10)

    for code in (200, 1102):
        command = send()
        fetch(command)
        reply = json.dumps({"id": command, "code": code}).encode()
        check(bench.ask(Request("POST", f"{topic}_reply", reply)).code == "2.04", "the reply was not taken")
    # It is offered again as long as its time to live lasts.
    command = send("--timeout", "1", ttl=2)
    fetch(command)
    wait_for(command, "timed_out")
    wait_for(send(ttl=1), "expired")
    bench.gateway.json("command", "cancel", *names, send())
    fetch(send("--timeout", "60"))
    send()


def _kept_of_product(gateway, product_key):
    """What an operator can read of a product, with all versions of its model."""
    versions = gateway.json("model", "versions", product_key)
    numbers = [str(version["version"]) for version in versions]
    models = [gateway.json("model", "show", product_key, "--version", number) for number in numbers]
    return gateway.json("product", "show", product_key), versions, models


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


@case("a backup holds commands in every state, all versions of a model, and the files of every class")
def _backup_of_everything(world):
    with world.fresh() as gateway, world.fresh() as other:
        gateway.SETTINGS = other.SETTINGS = SETTINGS
        gateway.start()
        with Bench(gateway) as bench:
            device, product_key = bench.device, bench.product.product_key
            report = {"measurepoints": {"temp": 21.5}, "time": TIME}
            check_success(bench.tell("thing/measurepoint/post", report))
            check_success(bench.tell("thing/event/tilted/post", {"events": {"angle": 7.5}, "time": TIME}))
            model = gateway.folder / "second.json"
            points = [*MODEL["measurepoints"], {"identifier": "power", "dataType": "DOUBLE"}]
            model.write_text(json.dumps({**MODEL, "measurepoints": points}))
            gateway.json("product", "update", product_key, "--model", str(model), "--retention", "short")
            report = {"measurepoints": {"power": 7}, "time": TIME}
            check_success(bench.tell("thing/measurepoint/post", report))
            _command_in_each_state(bench)
            before, of_product = _kept(gateway, device), _kept_of_product(gateway, product_key)
            states = sorted(command["state"] for command in before["commands"])
            check(states == STATES, f"its commands are {before['commands']}")
            check(len(of_product[1]) == 2, f"the versions of its model are {of_product[1]}")
            gateway.json("backup", str(gateway.folder / "backup"))
        files = _message_files(gateway)
        check(len(files) == 2 and any(".short" in file for file in files), f"the message files are {files}")
        other.json("restore", str(gateway.folder / "backup"))
        check(_message_files(other) == files, f"restored are {_message_files(other)}, of {files}")
        for serving in (False, True):
            if serving:
                other.start()
            after = _kept(other, device)
            check(after == before, f"restored is {after}, before it was {before}")
            after = _kept_of_product(other, product_key)
            check(after == of_product, f"restored is {after}, before it was {of_product}")


def _message_files(gateway):
    return sorted(file.name for file in (gateway.data / "messages").glob("*.db"))


@case("a purged device is in no file, beside another one that reports, and a backup has it")
def _purge(world):
    with world.fresh() as gateway, world.fresh() as other:
        gateway.start()
        with Bench(gateway) as bench:
            device, neighbour = bench.other, bench.device
            word = "canary-of-cellar-3"
            with Session(gateway.target(device.identity(), device.key, CCM8)) as session:
                for topic, params in (
                    ("thing/attribute/update", {"attributes": {"serial": "A7", "place": word}}),
                    ("thing/tag/update", [{"tagKey": "site", "tagValue": word}]),
                    ("thing/event/tilted/post", {"events": {"angle": 7.123456789}, "time": TIME}),
                    ("thing/measurepoint/post", {"measurepoints": {"temp": 7.123456789}, "time": TIME}),
                ):
                    check_success(session.ask(message(device, topic, params)))
                before = _kept(gateway, device)
                gateway.json("backup", str(gateway.folder / "backup"))
                purged = gateway.json("device", "delete", *device.names, "--purge", "--yes")
                check(purged["messagesRemoved"] == 2 and purged["done"], f"the answer is {purged}")
            for said in (word, "7.123456789"):
                found = [path.name for path in gateway.data.rglob("*") if _holds(path, said.encode())]
                check(not found, f"{said} is in {found}")
            report = {"measurepoints": {"temp": 1}, "time": TIME}
            check_success(bench.tell("thing/measurepoint/post", report))
            points = gateway.json("device", "points", *neighbour.names)
            check(len(points) == 1, f"its neighbour has {points}")
        names = ["--product", bench.product.product_key, "--device-key", device.device_key]
        gateway.json("device", "create", *names, "--device-secret", device.device_secret)
        anew = _kept(gateway, device)
        for what in ("attributes", "tags", "events", "points", "history", "commands"):
            check(not anew[what], f"a device that has its key sees {what}: {anew[what]}")
        other.json("restore", str(gateway.folder / "backup"))
        check(_kept(other, device) == before, "the backup does not have what the device was")


def _holds(path, word):
    return path.is_file() and word in path.read_bytes()


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
