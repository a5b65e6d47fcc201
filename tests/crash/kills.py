"""kill -9 at random moments, over and over, while a fleet reports."""

import random
import time

from crash.failpoints import finish
from crash.fleet import Fleet
from crash.ledger import Ledger, Stored, compare
from crash.server import Server
from lib.program import Failed

READY_SECONDS_MAX = 5.0
ACTIVATING = 4000
FLEET_DEVICES = 300


def run(report, programs, folder, kills, devices, rate, seed, mean_seconds):
    """One server, `kills` times killed and started; one line for each time, and a summary."""
    rng = random.Random(seed)
    server = Server(programs, folder)
    begin = time.monotonic()
    server.register(devices, ACTIVATING)
    report.note(f"{devices} devices registered in {time.monotonic() - begin:.1f} s (seed {seed})")
    slowest = server.spawn().wait_ready()
    fleet = Fleet(server, min(FLEET_DEVICES, devices), rate, devices, ACTIVATING)
    ledger, stored = Ledger(fleet.log), Stored(server.data)
    begin = time.monotonic()
    try:
        for number in range(1, kills + 1):
            lived = _kill(server, rng, mean_seconds)
            ready = server.spawn().wait_ready()
            slowest = max(slowest, ready)
            faults, acknowledged = compare(ledger, stored)
            if ready > READY_SECONDS_MAX:
                faults.append(f"ready after {ready:.1f} s")
            if not fleet.running():
                faults.append("the fleet has ended")
            text = f"killed after {lived:.2f} s, ready in {ready:.2f} s, "
            text += f"{acknowledged} acknowledged, {len(stored.reports)} stored"
            report.result(f"kill {number:3}", faults, text)
            if faults:
                break
        time.sleep(1)
        summary = fleet.stop()
        elapsed = time.monotonic() - begin
        faults, text = finish(server, fleet, f"{len(ledger.read().sent)} sent")
        if summary["activated"] == 0:
            faults.append("no device was activated: nothing is shown about secrets")
        report.result("all reports, once more from the beginning", faults, text)
        report.note(
            f"kills {kills}, worst time to ready {slowest:.2f} s, "
            f"mean {len(ledger.acknowledged) / elapsed:.0f} reports/s acknowledged over {elapsed:.0f} s; "
            f"{ledger.given_up} given up, {ledger.refused} refused {ledger.codes}; "
            f"{summary['secretsReceived']} secrets received, {summary['activated']} devices activated"
        )
    except Failed as error:
        report.result("kills", [str(error)])
    finally:
        fleet.kill()
        server.kill()


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
