"""How long reports of honest devices take beside something else, against the same without it.

Each row is a server of its own with the durable store: honest devices report at a steady rate, alone, then
beside what the row names. A row that breaks a bound is named at the end, with exit code 1; so is one where
something failed already alone, or where not all was there that the row names.
"""

import re
import threading
import time
import urllib.request

from lib import load

PRODUCT = "LoadTest"
HEAD = """\
| beside | reports per second | alone: p50, p99 ms | beside it: p50, p99 ms | p99 | failed | more |
|---|---|---|---|---|---|---|"""
# The p99 of honest devices beside something, in times of that alone.
FAT_RATIO_MAX = 2.0
FORGERIES_RATIO_MAX = 2.0
IMPORT_RATIO_MAX = 2.0
HERD_RATIO_MAX = 2.0
# Of their reports.
FAILED_MAX = 0
# Numbers of devices: the honest ones, then the others.
HONEST, OTHERS = 500, 1001
# With what is around it nearly as much as a body may have.
VALUE_BYTES = 10_000
# Runs of the client, each of which ends after a minute, in which the fat values are sent.
FILLS_MAX = 6


def neighbours(binaries, Server, scale):
    """All rows; exit code 1 where a bound is broken."""
    print(HEAD, flush=True)
    broken = []
    for part in (fat_values, forgeries, importing, herd):
        broken += part(binaries, Server, scale)
    if broken:
        raise SystemExit("benches/run: broken:\n  " + "\n  ".join(broken))


def honest(server, rate, seconds, *more):
    """What honest devices measure in so many seconds."""
    arguments = ["--sessions", HONEST, "--rate", rate, "--seconds", seconds, "--window", HONEST]
    return server.measure("reports", *arguments, *more, seconds=seconds)


def row(name, rate, alone, beside, ratio_max, more, present):
    """Prints one, and returns the bounds that it breaks. `present`: what the reports were beside, as
    (what, how many, at least how many)."""
    latencies = [outcome["latencyMs"] for outcome in (alone, beside)]
    figures = [f"{latency['p50']:.1f}, {latency['p99']:.1f}" for latency in latencies]
    ratio = latencies[1]["p99"] / max(0.001, latencies[0]["p99"])
    failed = beside["failed"]
    cells = [name, f"{rate:,}", *figures, f"{ratio:.2f} times", f"{failed:,}", more]
    print(f"| {' | '.join(cells)} |", flush=True)
    broken = [
        f"{name}: {there:,} {what}; at least {least:,} must be"
        for what, there, least in present
        if there < least
    ]
    if alone["failed"] > FAILED_MAX:
        broken.append(f"{name}: {alone['failed']:,} reports failed alone; at most {FAILED_MAX} may")
    if ratio > ratio_max:
        broken.append(f"{name}: p99 is {ratio:.2f} times that alone; at most {ratio_max} may be")
    if failed > FAILED_MAX:
        broken.append(f"{name}: {failed:,} reports failed; at most {FAILED_MAX} may")
    return broken


class Meanwhile(threading.Thread):
    """Something that goes on meanwhile; the end of the block waits for it."""

    def __init__(self, what):
        super().__init__(target=self._run, daemon=True)
        self._what, self.result, self.seconds = what, None, 0.0

    def _run(self):
        begin = time.monotonic()
        self.result = self._what()
        self.seconds = time.monotonic() - begin

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.join()


def fat_values(binaries, Server, scale):
    """50 devices, each of which has sent 1,024 points of 10 kB, report small values every second."""
    rate, seconds, fat = 1000, max(5, 30 // scale), 50
    with Server(binaries, "sqlite", OTHERS + fat) as server:
        alone = honest(server, rate, seconds)
        others = ["--first", OTHERS, "--sessions", fat, "--window", fat]
        wanted = fat * 1024 // scale
        filled, fills, took = fill(server, others, wanted)
        small = ["--rate", fat, "--seconds", seconds]
        with Meanwhile(lambda: server.measure("reports", *others, *small, seconds=seconds)) as fat_devices:
            beside = honest(server, rate, seconds)
        more = f"{filled:,} of {wanted:,} fat values before, in {fills} runs of {took:.0f} s together; "
        more += f"theirs: p99 {fat_devices.result['latencyMs']['p99']:.1f} ms"
        name = f"{fat} devices that have sent {filled // fat:,} points of {VALUE_BYTES // 1000} kB each"
        present = [
            ("fat values acknowledged before", filled, wanted),
            ("small reports of these devices", fat_devices.result["done"], 1),
        ]
        return row(name, rate, alone, beside, FAT_RATIO_MAX, more, present)


def fill(server, others, wanted):
    """Sends so many fat values, each of a point of its own, in as many runs as that takes. How many were
    acknowledged, in how many runs, and how long these took."""
    done, fills, took = 0, 0, 0.0
    while done < wanted and fills < FILLS_MAX:
        fills += 1
        points = f'{{"fat-{fills}-{{number}}":"{"x" * VALUE_BYTES}"}}'
        outcome = server.measure("reports", *others, "--count", wanted - done, "--points", points)
        if outcome["done"] == 0:
            break
        done += outcome["done"]
        took += outcome["seconds"]
    return done, fills, took


def forgeries(binaries, Server, scale):
    """Forged records of full length at the sessions that report."""
    rate, seconds, forged = 1000, max(5, 30 // scale), 10_000
    with Server(binaries, "sqlite", HONEST) as server:
        alone = honest(server, rate, seconds)
        beside = honest(server, rate, seconds, "--forgeries", forged)
        share = 100 * beside["done"] / max(1, beside["done"] + beside["failed"])
        dropped = forgeries_dropped(server)
        name, more = f"{forged:,} forged records/s at these sessions", f"{share:.2f} % answered"
        present = [("forged records dropped", dropped, forged * seconds // 2)]
        return row(name, rate, alone, beside, FORGERIES_RATIO_MAX, f"{more}, {dropped:,} dropped", present)


def forgeries_dropped(server):
    """How many records the server has dropped because their sessions' keys did not seal them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}/metrics", timeout=10) as response:
        metrics = response.read().decode()
    counts = re.findall(r'^narrowgate_dtls_discards_total\{[^}]*"unauthentic"[^}]*\} (\d+)$', metrics, re.M)
    return sum(map(int, counts))


def importing(binaries, Server, scale):
    """An import of 50,000 devices, which takes most of the time."""
    rate, seconds, count = 5000, 4, 50_000 // scale
    lines = load.devices_csv(binaries / "narrowgate-load", OTHERS + count)
    with Server(binaries, "sqlite", OTHERS) as server:
        alone = honest(server, rate, seconds)
        with Meanwhile(lambda: load.import_devices(server, PRODUCT, lines)) as importer:
            beside = honest(server, rate, seconds)
        created = importer.result["created"]
        more = f"{created:,} devices in {importer.seconds:.0f} s"
        present = [("devices created", created, count)]
        return row("an import", rate, alone, beside, IMPORT_RATIO_MAX, more, present)


def herd(binaries, Server, scale):
    """Devices that were online when the server was killed, and stay silent: all of them go offline at once."""
    rate, lifetime, count = 1000, 30, 100_000 // scale
    with Server(binaries, "sqlite", OTHERS + count) as server:
        arguments = ["--first", OTHERS, "--count", count, "--lifetime", lifetime, "--hold", 0]
        online = server.measure("sessions", *arguments)["done"]
        server.kill()
        server.start("--shards", "1", settings=server.settings)
        begin = time.monotonic()
        # After the start until the first may go offline, then until the last has.
        alone = honest(server, rate, lifetime - 12)
        time.sleep(max(0.0, lifetime - 3 - (time.monotonic() - begin)))
        beside = honest(server, rate, 12)
        gone = offline(server)
        more = f"{online:,} devices, {gone:,} went offline"
        present = [("devices online before", online, count), ("devices went offline", gone, count)]
        return row("the end of their lifetimes", rate, alone, beside, HERD_RATIO_MAX, more, present)


def offline(server):
    """How many devices are offline."""
    return len(server.json("device", "list", "--state", "offline", "--all")["devices"])
