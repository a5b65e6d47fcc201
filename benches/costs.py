"""What a report costs with a thing model, and beside devices for which commands wait, against a plain one.

Each store is one server; the kinds of report take turns in it, several times, so that what the machine does
meanwhile meets all of them. The commands are sent before each turn of theirs, and taken back after it. Medians
of the turns, how long the shortest and the longest took, and the part that a report costs more than a plain
one.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

from lib import control

PRODUCT = "LoadTest"
HEAD = """\
| report | turns | seconds a turn | per second | server µs each | against a plain one |
|---|---|---|---|---|---|"""
SESSIONS, COMMANDED, TURNS = 4_000, 1_000, 5
WINDOW = 256
# Both points of the load client's reports among others, with what is checked of them.
MODEL = {
    "modelId": "load",
    "measurepoints": [
        {"identifier": "temperature", "dataType": "DOUBLE"},
        {"identifier": "battery", "dataType": "DOUBLE"},
        *({"identifier": f"more{n}", "dataType": "INT"} for n in range(30)),
        {"identifier": "valve", "dataType": "INT"},
    ],
}


def costs(binaries, Server, stores, scale):
    """All rows."""
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.json"
        model.write_text(json.dumps(MODEL), encoding="utf-8")
        for store, name in stores.items():
            with Server(binaries, store, SESSIONS + COMMANDED) as server:
                rows(server, model, name, 400_000 // scale)


def rows(server, model, name, count):
    kinds = {
        "without a model": lambda: server.json("product", "update", PRODUCT, "--no-model"),
        "with a model": lambda: server.json("product", "update", PRODUCT, "--model", str(model)),
    }
    show(name, take_turns(server, kinds, count))
    kinds["without a model"]()
    # The devices that report are others.
    keys = [device["deviceKey"] for device in server.json("device", "list", "--all")["devices"]]
    server.measure("sessions", "--first", SESSIONS + 1, "--count", COMMANDED, "--hold", 0)
    waiting = Commands(server, sorted(keys)[-COMMANDED:])
    kinds = {
        "while no command waits": waiting.take_back,
        f"while commands wait for {COMMANDED:,} others": waiting.send,
    }
    show(name, take_turns(server, kinds, count))


class Commands:
    """A command to each of some devices, where it waits."""

    def __init__(self, server, keys):
        self._data, self._keys, self._sent = server.data, keys, []

    def send(self):
        """They wait from now on."""
        order = {"kind": "set", "points": {"valve": 1}, "pendingTtl": 86_400}
        self._sent = [(key, self._ask(key, "", order)["id"]) for key in self._keys]

    def take_back(self):
        """None waits any more."""
        for key, identifier in self._sent:
            self._ask(key, f"/{identifier}:cancel")
        self._sent = []

    def _ask(self, key, rest, content=None):
        place = f"/api/v1/products/{PRODUCT}/devices/{key}/commands{rest}"
        answer = control.ask(self._data, "POST", place, content)
        if answer is None or answer[0] not in (200, 201):
            sys.exit(f"benches/run: POST {place}: {answer}")
        return answer[1]


def take_turns(server, kinds, count):
    """The outcomes of each kind."""
    taken = {kind: [] for kind in kinds}
    for _ in range(TURNS):
        for kind, prepare in kinds.items():
            prepare()
            arguments = ["--sessions", SESSIONS, "--count", count, "--window", WINDOW]
            taken[kind].append(server.measure("reports", *arguments))
    return taken


def show(name, taken):
    """A line for each kind; the first one is what the others are compared with."""

    def median(outcomes, of):
        return statistics.median(of(outcome) for outcome in outcomes)

    plain, *_ = taken.values()
    base = median(plain, cost)
    for kind, outcomes in taken.items():
        failed = sum(outcome["failed"] for outcome in outcomes)
        notes = f", {failed} failed" if failed else ""
        rate, each = median(outcomes, lambda outcome: outcome["perSecond"]), median(outcomes, cost)
        seconds = [outcome["seconds"] for outcome in outcomes]
        more = "" if outcomes is plain else f"{100 * (each / base - 1):+.1f} %"
        print(
            f"| {kind}, {name} | {len(outcomes)} | {min(seconds):.1f} to {max(seconds):.1f} | {rate:,.0f}{notes} "
            f"| {each:.1f} | {more} |",
            flush=True,
        )


def cost(outcome):
    return outcome["server"]["processorUsPerOperation"]
