"""Cuts the power of a narrowgate, on paper (attack_189_power_cut): nothing acknowledged may be missing
afterwards, nothing there twice.

tests/run power-cut                              200 cuts, about two minutes
tests/run power-cut --binaries target/release --cuts 1000 --seconds 10

The real server runs under strace while devices of three products, each of another class of retention, report,
take commands and answer them, and devices are created. From the trace of its system calls the disk is rebuilt as it may be after a loss of power at many moments: after what fsync had made sure,
with none, all or any part of the rest. On each such disk the server is started; it has to get ready, and its
files are compared with what was acknowledged until then. A kill -9 cannot show a missing fsync; this can.
"""

import json
import random
import re
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from lib import command_line, leave_nothing, load, retention
from lib.presence import at_odds
from lib.program import Failed, Gateway
from lib.report import Report
from lib.retention import Product, class_of, shares
from power_cut.disk import CALLS, Disk, decoded, read_trace

# A batch goes into several files.
PRODUCTS = (Product("PowerCut"), Product("PowerCut2", "short"), Product("PowerCut3", "long"))
# What the last product is made in turn.
CLASSES = ("short", retention.STANDARD, "long")
TRACE = ["strace", "-f", "-ttt", "-T", "-y", "-xx", "-s", "16777216"]
SHARES = [0, 1, 0.5, 0.9, 0.1]
# What the lines of a fleet's log are about.
KINDS = {
    "S": "sent",
    "E": "sent",
    "A": "acknowledged",
    "K": "acknowledged",
    "C": "received",
    "T": "answered",
    "V": "attribute",
}
# Where a fleet begins to count its events.
EVENTS = 1 << 40


def traced(trace):
    """What a server is started behind to be traced. The tracer is its child: we have started the server."""
    return [TRACE[0], "-D", *TRACE[1:], "-e", f"trace={CALLS}", "-o", trace]


def record(gateway, binaries, options):
    """Runs a fleet under strace. Returns the acknowledged steps: (time, kind, what), sorted by time."""
    steps = []
    stop = threading.Event()
    creator = threading.Thread(target=_operate, args=(gateway, options.devices, steps, stop))
    creator.start()
    fleets = []
    for number, (product, devices) in enumerate(shares(options.devices, PRODUCTS)):
        tracer = [*TRACE[:3], "-s", "256", "-e", "trace=write", "-o", f"{gateway.folder}/fleet.trace.{number}"]
        fleet = ["--devices", len(devices), "--first", devices.start, "--log", f"{gateway.folder}/fleet.log"]
        fleet += ["--rate", options.rate // len(PRODUCTS), "--time-limit", options.seconds, "--duties"]
        command = load.command(binaries / "narrowgate-load", "fleet", gateway, product.key, *fleet)
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        fleets.append(subprocess.Popen([*tracer, *command], text=True, **pipes))
    said = [fleet.communicate()[0] for fleet in fleets]
    stop.set()
    creator.join()
    if not Path(f"{gateway.folder}/fleet.log").exists():
        raise Failed(f"the fleet did not run: {said}")
    line = re.compile(r'^\d+ +(\d+\.\d+) .*write\(\d+, "([SAEKCTV]) (\d+) (?:a )?(\d+)[ \\]')
    for trace in gateway.folder.glob("fleet.trace.*"):
        with open(trace, encoding="latin-1") as lines:
            for match in filter(None, map(line.match, lines)):
                device, number = int(match[3]), int(match[4])
                what = (device, EVENTS + number) if match[2] in "EK" else (device, number)
                steps.append((float(match[1]), KINDS[match[2]], what))
    return sorted(steps, key=lambda step: step[0])


def _operate(gateway, devices, steps, stop):
    """Creates devices, sends commands, and changes the class of the last product now and then."""
    products = {device: product for product, some in shares(devices, PRODUCTS) for device in some}
    for number in range(1000):
        if stop.wait(0.15):
            return
        gateway.json("device", "create", "--product", PRODUCTS[0].key, "--device-key", f"made-{number}")
        steps.append((time.time(), "device", f"made-{number}"))
        device = 1 + number % devices
        which = [products[device].key, f"load-{device:07}"]
        what = ["--set", json.dumps({"n": number}), "--pending-ttl", "3600"]
        code, output, _ = gateway.run("command", "send", *which, *what, "-o", "json")
        # One that has never logged in takes none.
        if code == 0:
            steps.append((time.time(), "command", (device, int(json.loads(output)["id"]), number)))
        if number % 2 == 1:
            name = CLASSES[number // 2 % len(CLASSES)]
            steps.append((time.time(), "class asked for", name))
            gateway.json("product", "update", PRODUCTS[-1].key, "--retention", name)
            steps.append((time.time(), "class", name))


def wait_for_the_end_of(trace):
    """strace writes on for a moment after the process that it watched has ended."""
    size, deadline = -1, time.monotonic() + 30
    while time.monotonic() < deadline and size != (size := Path(trace).stat().st_size):
        time.sleep(0.5)


def stored(data):
    """Every report in the store as (device, number), with the classes of the files that it is in; the device
    keys; what SQLite says of registry and logs; and devices about which the two are at odds."""
    reports = {}
    for file in sorted((data / "messages").glob("*.db")):
        with sqlite3.connect(file) as connection:
            for (points,) in connection.execute("SELECT points FROM messages"):
                found = re.search(r'"d":(\d+).*?"n":(\d+)', points)
                reports.setdefault((int(found[1]), int(found[2])), []).append(class_of(file))
    with sqlite3.connect(data / "registry.db") as connection:
        keys = {key for (key,) in connection.execute("SELECT device_key FROM devices")}
        states = dict(connection.execute("SELECT id, CAST(state AS BLOB) FROM devices"))
        damage = connection.execute("PRAGMA integrity_check").fetchone()[0]
    with sqlite3.connect(data / "log.db") as connection:
        changes = connection.execute("SELECT device, CAST(state AS BLOB) FROM presence ORDER BY device, n")
        odd = at_odds(states, dict(changes))
        damage = [damage, connection.execute("PRAGMA integrity_check").fetchone()[0]]
    return reports, keys, damage, odd


def stored_commands(data):
    """The states of the commands by device and id, their numbers, and the attributes by device."""
    with sqlite3.connect(data / "registry.db") as connection:
        names = dict(connection.execute("SELECT id, CAST(device_key AS TEXT) FROM devices"))
        devices = {row: int(name[5:]) for row, name in names.items() if name.startswith("load-")}
        states, numbers = {}, Counter()
        rows = "SELECT device, id, CAST(params AS TEXT), CAST(state AS TEXT) FROM commands"
        for device, identifier, params, state in connection.execute(rows):
            states[(devices[device], identifier)] = state
            numbers[json.loads(params)["n"]] += 1
        rows = "SELECT device, CAST(json AS TEXT) FROM properties WHERE CAST(kind AS TEXT) = 'attribute'"
        attributes = {devices[device]: json.loads(text)["a"] for device, text in connection.execute(rows)}
    return states, numbers, attributes


def check_commands(data, done):
    """What is wrong with commands and attributes, after these steps."""
    states, numbers, attributes = stored_commands(data)
    sent = {what[:2] for _, kind, what in done if kind == "command"}
    received = {what for _, kind, what in done if kind == "received"}
    answered = {what for _, kind, what in done if kind == "answered"}
    last = {what[0]: what[1] for _, kind, what in done if kind == "attribute"}
    wrong = []
    if lost := sent - states.keys():
        wrong.append(f"commands that were taken are missing: {sorted(lost)[:3]}")
    if twice := [number for number, count in numbers.items() if count > 1]:
        wrong.append(f"commands are stored twice: {twice[:3]}")
    if unfetched := [which for which in received if states.get(which) in (None, "created")]:
        wrong.append(f"commands that their devices have are not fetched: {unfetched[:3]}")
    if open_again := [which for which in answered if states.get(which) not in ("succeeded", "failed")]:
        wrong.append(f"commands whose answers were acknowledged have not ended: {open_again[:3]}")
    if older := [device for device, value in last.items() if attributes.get(device, 0) < value]:
        wrong.append(f"attributes that were acknowledged are not there: of devices {older[:3]}")
    return wrong


def periods(steps):
    """The classes of the last product in turn: (from when it may have it, until when, which one)."""
    begun = [(0, PRODUCTS[-1].retention), *((at, name) for at, kind, name in steps if kind == "class asked for")]
    ended = [*(at for at, kind, _ in steps if kind == "class"), float("inf")]
    return [(begin, end, name) for (begin, name), end in zip(begun, ended, strict=True)]


def check_classes(data, reports, steps, moment, devices):
    """What is wrong with the files that reports are in, and with the class of the product that changes it."""
    products = {device: product for product, some in shares(devices, PRODUCTS) for device in some}
    sent = {what: at for at, kind, what in steps if kind == "sent"}
    acknowledged = {what: at for at, kind, what in steps if kind == "acknowledged"}
    turns, wrong = periods(steps), []
    for which, files in reports.items():
        product = products[which[0]]
        begin, end = sent.get(which, 0), acknowledged.get(which, float("inf"))
        right = {name for since, until, name in turns if since <= end and begin <= until}
        right = right if product == PRODUCTS[-1] else {product.retention}
        if not right.issuperset(files):
            wrong.append(f"{which} is in {files} and not in one of {sorted(right)}")
    with sqlite3.connect(data / "registry.db") as connection:
        rows = connection.execute("SELECT CAST(product_key AS TEXT), CAST(retention AS TEXT) FROM products")
        stands = dict(rows)[PRODUCTS[-1].key] or retention.STANDARD
    if stands not in {name for since, until, name in turns if since <= moment <= until}:
        wrong.append(f"the product is of class {stands}")
    return wrong[:3]


def check(gateway, steps, moment, devices):
    """Starts the server on a disk after the cut, and compares. Returns what is wrong, or None."""
    try:
        gateway.start()
    except Failed as failed:
        return f"the server does not start: {failed}"
    gateway.kill()
    reports, keys, damage, odd = stored(gateway.data)
    done = [step for step in steps if step[0] <= moment]
    acknowledged = {what for _, kind, what in done if kind == "acknowledged"}
    sent = {what for _, kind, what in steps if kind == "sent"}
    made = {what for _, kind, what in done if kind == "device"}
    wrong = []
    if damage != ["ok", "ok"]:
        wrong.append(f"the registry or the logs are damaged: {damage}")
    if odd:
        wrong.append(f"the registry and the logs are at odds about devices: {odd[:3]}")
    if missing := acknowledged - reports.keys():
        wrong.append(f"{len(missing)} acknowledged and missing, such as {sorted(missing)[:3]}")
    if twice := [what for what, files in reports.items() if len(files) > 1]:
        wrong.append(f"{len(twice)} stored twice, such as {twice[:3]}")
    if foreign := reports.keys() - sent:
        wrong.append(f"{len(foreign)} stored and never sent, such as {sorted(foreign)[:3]}")
    if lost := made - keys:
        wrong.append(f"devices that were created are missing: {sorted(lost)[:3]}")
    wrong += check_classes(gateway.data, reports, steps, moment, devices)
    wrong += check_commands(gateway.data, done)
    return "; ".join(wrong) or None


def moments(calls, count, dice):
    """When to cut: right after calls that end an fsync, in the middle of calls, and anywhere."""
    ends = [call.end for call in calls if call.name in ("fsync", "fdatasync")]
    middles = [(call.begin + call.end) / 2 for call in calls]
    first, last = calls[0].begin, calls[-1].end
    picked = [dice.choice(ends) + 1e-7 for _ in range(count // 2)]
    picked += [dice.choice(middles) for _ in range(count // 4)]
    picked += [dice.uniform(first, last) for _ in range(count - len(picked))]
    return sorted(picked)


def prepare(gateway, binaries, options):
    """Traces a server with its devices; returns the disk of before, the calls, and the acknowledged steps."""
    gateway.start()
    head, *rows = load.devices_csv(binaries / "narrowgate-load", options.devices)
    for product, devices in shares(options.devices, PRODUCTS):
        which = ["--product-key", product.key, "--retention", product.retention]
        gateway.json("product", "create", "power cut", *which)
        load.import_devices(gateway, product.key, [head, *rows[devices.start - 1 : devices.stop - 1]])
    gateway.stop()
    disk, trace = Disk(gateway.data), f"{gateway.folder}/server.trace"
    gateway.start(before=traced(trace))
    steps = record(gateway, binaries, options)
    gateway.stop()
    wait_for_the_end_of(trace)
    calls = list(read_trace(trace))
    syncs = sum(call.name in ("fsync", "fdatasync") for call in calls)
    acknowledged = sum(kind == "acknowledged" for _, kind, _ in steps)
    commands = Counter(kind for _, kind, _ in steps)
    print(f"{len(calls)} calls, {syncs} of them fsync; {acknowledged} reports acknowledged", flush=True)
    print(f"{commands['command']} commands sent, {commands['answered']} answers acknowledged", flush=True)
    print(f"{commands['class']} changes of a class; batches in several files: {shared(calls)}", flush=True)
    if acknowledged < options.seconds or syncs < options.seconds or not commands["answered"]:
        raise Failed(f"too little happened\n{gateway.log()}")
    return disk, calls, steps


def shared(calls):
    """How often the files of two classes or more were made durable right before the registry."""
    count, files = 0, set()
    for call in calls:
        path = re.match(r"\d+<([^>]*)>", call.arguments)
        name = Path(decoded(path[1])).name if path else ""
        if call.name in ("fsync", "fdatasync") and name.endswith("-wal"):
            if name.startswith("registry"):
                count += len(files) > 1
                files = set()
            elif not name.startswith("log"):
                files.add(name)
    return count


def cut(gateway, disk, steps, devices, what, moment, share, dice):
    """One cut; returns what is wrong, with the place where the disk is kept for people."""
    disk.cut(str(gateway.data), dice, share)
    try:
        wrong = check(gateway, steps, moment, devices)
        if wrong is None:
            return []
        kept = tempfile.mkdtemp(prefix=f"power-cut-{what}-", dir=leave_nothing.kept())
        shutil.copytree(gateway.data, f"{kept}/data", ignore=shutil.ignore_patterns("*.sock"))
        return [wrong, f"its disk: {kept}"]
    finally:
        shutil.rmtree(gateway.data)


def main(arguments: list[str]) -> int:
    """Reads the command line, traces, cuts, prints the count."""
    parser = command_line.parser("power-cut", __doc__)
    parser.add_argument(
        "--binaries", help="folder of narrowgate and narrowgate-load; without it they are built"
    )
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--devices", type=int, default=20, help="devices that report")
    parser.add_argument("--rate", type=int, default=200, help="reports per second, over all devices")
    parser.add_argument("--seconds", type=int, default=6, help="how long is recorded")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args(arguments)
    binaries = command_line.folder(parser, "--binaries", options.binaries)
    print(f"seed {options.seed}", flush=True)
    dice, report = random.Random(options.seed), Report()
    gateway = Gateway(binaries / "narrowgate")
    gateway.SETTINGS = retention.SETTINGS
    try:
        disk, calls, steps = prepare(gateway, binaries, options)
        gateway.data, place = gateway.folder / "cut", 0
        for index, moment in enumerate(moments(calls, options.cuts, dice)):
            while place < len(calls) and calls[place].end <= moment:
                disk.feed(calls[place])
                place += 1
            share = SHARES[index % len(SHARES)]
            faults = cut(gateway, disk, steps, options.devices, index, moment, share, dice)
            report.result(f"cut {index + 1} at {moment:.6f}, {share} of the rest arrived", faults)
    finally:
        gateway.remove()
    return report.end()
