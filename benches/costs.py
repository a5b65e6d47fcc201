"""What a report costs with a thing model, and beside devices for which commands wait, against a plain one.

Each store is one server; the kinds of report take turns in it, several times, so that what the machine does
meanwhile meets all of them. Medians of the turns, and the part that a report costs more than a plain one.
"""

import json
import statistics
import tempfile
from pathlib import Path

PRODUCT = "LoadTest"
HEAD = """\
| report | turns | per second | server µs each | against a plain one |
|---|---|---|---|---|"""
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
    taken = take_turns(server, kinds, count)
    show(name, taken)
    # The devices that report are others.
    kinds["without a model"]()
    keys = [device["deviceKey"] for device in server.json("device", "list", "--all")["devices"]]
    server.measure("sessions", "--first", SESSIONS + 1, "--count", COMMANDED, "--hold", 0)
    plain = {"without a model": taken["without a model"]}
    for key in sorted(keys)[-COMMANDED:]:
        server.json("command", "send", f"{PRODUCT}/{key}", "--set", '{"valve":1}', "--pending-ttl", "86400")
    waits = f"while commands wait for {COMMANDED:,} others"
    show(name, {**plain, **take_turns(server, {waits: lambda: None}, count)}, skip=1)


def take_turns(server, kinds, count):
    """The outcomes of each kind."""
    taken = {kind: [] for kind in kinds}
    for _ in range(TURNS):
        for kind, prepare in kinds.items():
            prepare()
            arguments = ["--sessions", SESSIONS, "--count", count, "--window", WINDOW]
            taken[kind].append(server.measure("reports", *arguments))
    return taken


def show(name, taken, skip=0):
    """A line for each kind; the first one is what the others are compared with."""

    def median(outcomes, of):
        return statistics.median(of(outcome) for outcome in outcomes)

    plain, *_ = taken.values()
    base = median(plain, cost)
    for kind, outcomes in list(taken.items())[skip:]:
        failed = sum(outcome["failed"] for outcome in outcomes)
        notes = f", {failed} failed" if failed else ""
        rate, each = median(outcomes, lambda outcome: outcome["perSecond"]), median(outcomes, cost)
        more = 100 * (each / base - 1)
        print(
            f"| {kind}, {name} | {len(outcomes)} | {rate:,.0f}{notes} | {each:.1f} | {more:+.1f} % |", flush=True
        )


def cost(outcome):
    return outcome["server"]["processorUsPerOperation"]
