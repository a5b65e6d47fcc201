"""kill -9 at random moments, over and over, while a fleet reports, takes commands and answers them.

The devices are of three products, each with a class of retention of its own, so that one batch goes into
several files; one of the products changes its class all the time.
"""

import random
import time

from crash import commands
from crash.classes import Changes, Classes, last_batches
from crash.failpoints import finish
from crash.fleet import Fleet
from crash.ledger import Ledger, Stored, compare
from crash.server import THREE_CLASSES, Server
from lib.program import Failed

READY_SECONDS_MAX = 5.0
ACTIVATING = 4000
FLEET_DEVICES = 300


def run(report, programs, folder, kills, devices, rate, seed, mean_seconds):
    """One server, `kills` times killed and started; one line for each time, and a summary."""
    rng = random.Random(seed)
    server = Server(programs, folder)
    begin = time.monotonic()
    server.register(devices, ACTIVATING, THREE_CLASSES)
    report.note(f"{devices} devices registered in {time.monotonic() - begin:.1f} s (seed {seed})")
    slowest = server.spawn().wait_ready()
    members = min(FLEET_DEVICES, devices)
    fleet = Fleet(server, members, rate, devices, ACTIVATING, duties=True, products=THREE_CLASSES)
    products = Classes(fleet.products, fleet.log)
    operators, workers = commands.Operators(server, fleet.products, seed), commands.Devices(fleet.log)
    changes = Changes(products, server.data, THREE_CLASSES[-1], seed)
    ledger, stored, batches = Ledger(fleet.log), Stored(server.data, products), []
    begin = time.monotonic()
    try:
        for number in range(1, kills + 1):
            lived = _kill(server, rng, mean_seconds)
            batches.append(last_batches(server.data))
            ready = server.spawn().wait_ready()
            slowest = max(slowest, ready)
            faults, acknowledged = compare(ledger, stored)
            more, states = commands.compare(server.data, operators, workers)
            faults += more
            if ready > READY_SECONDS_MAX:
                faults.append(f"ready after {ready:.1f} s")
            if not fleet.running():
                faults.append("the fleet has ended")
            text = f"killed after {lived:.2f} s, ready in {ready:.2f} s, "
            text += f"{acknowledged} acknowledged, {len(stored.reports)} stored, commands {states}"
            report.result(f"kill {number:3}", faults, text)
            if faults:
                break
        time.sleep(1)
        operators.stop()
        changes.stop()
        summary = fleet.stop()
        elapsed = time.monotonic() - begin
        faults, states = commands.compare(server.data, operators, workers)
        if not workers.acknowledged or not operators.cancelled or not workers.edits:
            faults.append("too little was done: nothing is shown about commands")
        report.result("all commands, once more", faults, f"{states}")
        faults, text = finish(server, fleet, f"{len(ledger.read().sent)} sent", products)
        faults += products.faults
        if not products.changes or all(files < 2 for files, _ in batches):
            faults.append("no class was changed, or no batch was in two files: nothing is shown about classes")
        if summary["activated"] == 0:
            faults.append("no device was activated: nothing is shown about secrets")
        report.result("all reports, once more from the beginning", faults, text)
        report.note(f"kills {kills}, worst time to ready {slowest:.2f} s")
        _tell(report, elapsed, summary, ledger, operators, workers)
        _tell_classes(report, products, batches)
    except Failed as error:
        report.result("kills", [str(error)])
    finally:
        operators.stop()
        changes.stop()
        fleet.kill()
        server.kill()


def _tell(report, elapsed, summary, ledger, operators, workers):
    """What devices and operators did in these seconds."""
    report.note(
        f"mean {len(ledger.acknowledged) / elapsed:.0f} reports/s acknowledged over {elapsed:.0f} s; "
        f"{ledger.given_up} given up, {ledger.refused} refused {ledger.codes}; "
        f"{summary['secretsReceived']} secrets received, {summary['activated']} devices activated"
    )
    report.note(
        f"{len(operators.sent)} commands sent, {len(operators.taken)} taken, {workers.fetched} times "
        f"received, {len(workers.acknowledged)} answers and {workers.edits} attributes acknowledged, "
        f"{len(operators.cancelled)} cancelled, {operators.full} for a full queue not taken"
    )


def _tell_classes(report, products, batches):
    """What became of products' retention, and of the batches that were under way."""
    report.note(
        f"{products.changes} changes of a class, {products.unanswered} of them cut off, of which "
        f"{products.undone} were not made; the newest batch was {_count(batches, 2)} times in two files "
        f"and {_count(batches, 3)} times in three when it was killed, and "
        f"{sum(parts > 0 for _, parts in batches)} times a part of one was there"
    )


def _count(batches, wanted):
    return sum(files == wanted for files, _ in batches)


def _kill(server, rng, mean_seconds):
    """Kills it after a while, now and then again while it starts; returns the seconds that it lived."""
    lived = rng.uniform(0.02, 2 * mean_seconds)
    if server.ended_within(lived):
        raise Failed(f"it ended by itself: {server.tail()}")
    server.kill()
    if rng.random() < 0.12:
        server.spawn()
        time.sleep(rng.uniform(0, 0.15))
        server.kill()
    return lived
