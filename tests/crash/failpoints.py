"""kill -9 at every named point of the program (see `failpoint` in crates/adapters), the first three times and a
later one.
"""

import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from crash.classes import Classes
from crash.fleet import Fleet
from crash.ledger import Ledger, Stored, compare
from crash.server import THREE_CLASSES, Server, copy_of
from lib.program import Failed
from lib.waiting import wait_for

DEVICES, ACTIVATING, RATE = 30, 60, 400
JOBS = 4
REACHED_SECONDS = 12

# Where a point lies: passed once when a store is made, when a store is opened after a crash, while reports
# come, at the end.
FIRST_START = [
    "key-begun",
    "key-drafted",
    "registry-begun",
    "registry-drafted",
    "registry-renamed",
    "log file-begun",
    "log file-drafted",
    "log file-renamed",
]
RESTART = ["restore-file-opened"]
FIRST_REPORT = ["message file-begun", "message file-drafted", "message file-renamed"]
RUNNING = [
    "batch-before-begin",
    "batch-after-begin",
    "batch-between-writes",
    "batch-before-commit",
    "batch-between-commits",
    "log-committed",
    "batch-after-commit",
    "ingest-before-append",
    "ingest-before-answer",
    "issuer-before-commit",
    "issuer-before-answer",
    "issuer-after-answer",
]
# Written by a start itself: the link for the first administrator, and where the audit log stands.
START_BATCHES = 2
# Passed only while devices are activated or come online: a later time than this may never come.
REGISTRY_PASSES, MESSAGE_PASSES = 12, 60
REGISTRY = (
    "issuer-before-commit",
    "issuer-before-answer",
    "issuer-after-answer",
    "batch-between-commits",
    "log-committed",
)
STOP = [
    "close-begun",
    "latest-before-commit",
    "latest-after-commit",
    "close-before-checkpoint",
    "close-between-checkpoints",
    "close-after-checkpoint",
]


def rounds(rng):
    """Each point with how it is reached and how often it is passed before the end."""
    chosen = [(FIRST_START, point, 1) for point in FIRST_START]
    chosen += [(RESTART, point, 1) for point in RESTART]
    chosen += [(FIRST_REPORT, point, 1) for point in FIRST_REPORT]
    for point in RUNNING:
        most = REGISTRY_PASSES if point in REGISTRY else MESSAGE_PASSES
        chosen += [(RUNNING, point, count) for count in (1, 2, 3, rng.randint(4, most))]
    return chosen + [(STOP, point, 1) for point in STOP]


def run(report, programs, folder, seed):
    """All points, some at a time."""
    rng = random.Random(seed)
    template = Server(programs, folder)
    template.register(DEVICES, ACTIVATING, THREE_CLASSES)

    def one(number, kind, point, count):
        place = folder / f"point-{number}"
        place.mkdir()
        name = f"killed at {point}:{count}"
        try:
            faults, text = _round(programs, place, template.data, kind, point, count)
        except Failed as error:
            faults, text = [str(error)], ""
        report.result(name, faults, text)
        if not faults:
            shutil.rmtree(place)

    with ThreadPoolExecutor(JOBS) as pool:
        for number, (kind, point, count) in enumerate(rounds(rng)):
            pool.submit(one, number, kind, point, count)


def _round(programs, place, template, kind, point, count):
    server = Server(programs, place)
    at = {"NARROWGATE_KILL_AT": f"{point}:{count}"}
    if kind is FIRST_START:
        server.spawn(settings=at)
        die_there(server)
        server.start()
        server.stop()
        server.register(DEVICES, ACTIVATING, THREE_CLASSES)
    else:
        copy_of(template, server.data)
    died_at_start = False
    if kind is RUNNING and count <= START_BATCHES:
        died_at_start = start_or_die(server, at)
    elif kind in (FIRST_REPORT, RUNNING, STOP):
        server.spawn(settings=at).wait_ready()
    else:
        server.start()
    fleet = Fleet(server, DEVICES, RATE, DEVICES, ACTIVATING, products=THREE_CLASSES)
    try:
        if kind in (FIRST_START, RESTART, STOP):
            time.sleep(0.5)
        if kind is RESTART:
            server.kill()
            server.spawn(settings=at)
        if kind is STOP:
            server.process.send_signal(signal.SIGTERM)
        if kind is not FIRST_START and not died_at_start:
            die_there(server)
            ready = server.spawn().wait_ready()
        else:
            ready = 0
        wait_for_reports(fleet)
        summary = fleet.stop()
        return finish(server, fleet, f"ready in {ready:.2f} s, {summary['activated']} activated")
    finally:
        fleet.kill()
        server.kill()


def start_or_die(server, at) -> bool:
    """Starts the server that is to end at a point; returns whether it did so in a batch of its start, and was
    started again.
    """
    try:
        server.spawn(settings=at).wait_ready()
        return False
    except Failed:
        die_there(server)
        server.spawn().wait_ready()
        return True


def wait_for_reports(fleet, seconds=8, more=3):
    """Waits until some reports more are acknowledged."""
    ledger = Ledger(fleet.log)
    wanted = len(ledger.read().acknowledged) + more
    if not wait_for(lambda: len(ledger.read().acknowledged) >= wanted, seconds, 0.02):
        raise Failed("no report is acknowledged")


def finish(server, fleet, text, products=None):
    """Compares everything, stops the server; faults, and the text with the figures."""
    ledger, stored = Ledger(fleet.log), Stored(server.data, products or Classes(fleet.products, fleet.log))
    faults, acknowledged = compare(ledger, stored, everything=True)
    faults += [
        f"device {device} holds a secret that the server does not know"
        for device in ledger.unusable_secrets()
    ]
    faults += stored.integrity()
    if acknowledged == 0:
        faults.append("nothing was acknowledged: nothing is shown")
    if (code := server.stop()) != 0:
        faults.append(f"it ended with {code}: {server.tail()}")
    return faults, f"{acknowledged} acknowledged, {stored.counts} stored, {text}"


def die_there(server):
    """Waits until it has ended at its point."""
    if not server.ended_within(REACHED_SECONDS):
        raise Failed("the point was not reached")
    if server.process.returncode != -signal.SIGKILL:
        raise Failed(f"ended with {server.process.returncode} before the point: {server.tail()}")
