"""kill -9 at random moments, over and over, while a fleet reports."""

import random
import time

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
    print(f"     {devices} devices registered in {time.monotonic() - begin:.1f} s (seed {seed})", flush=True)
    slowest = server.spawn().wait_ready()
    fleet = Fleet(server, min(FLEET_DEVICES, devices), rate, devices, ACTIVATING)
    ledger, stored = Ledger(fleet.log), Stored(server.data)
    begin = time.monotonic()
    failed = False
    try:
        for number in range(1, kills + 1):
            lived = _live(server, rng, mean_seconds)
            server.kill()
            if rng.random() < 0.12:
                # A second crash while it starts.
                server.spawn()
                time.sleep(rng.uniform(0, 0.15))
                server.kill()
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
                failed = True
                break
        time.sleep(1)
        summary = fleet.stop()
        elapsed = time.monotonic() - begin
        faults, acknowledged = compare(ledger, stored, everything=True)
        faults += [
            f"device {device} holds a secret that the server does not know"
            for device in ledger.unusable_secrets()
        ]
        faults += stored.integrity()
        if server.stop() != 0:
            faults.append(f"it did not stop in order: {server.tail()}")
        if summary["activated"] == 0:
            faults.append("no device was activated: nothing is shown about secrets")
        report.result(
            "all reports, once more from the beginning",
            faults,
            f"{acknowledged} acknowledged, {len(stored.reports)} stored, {len(ledger.sent)} sent",
        )
        print(
            f"     kills {kills}, acknowledged {acknowledged}, stored {len(stored.reports)}, "
            f"worst time to ready {slowest:.2f} s, "
            f"mean {acknowledged / elapsed:.0f} reports/s acknowledged over {elapsed:.0f} s; "
            f"{ledger.given_up} given up, {ledger.refused} refused {ledger.codes}; "
            f"{summary['secretsReceived']} secrets received, {summary['activated']} devices activated",
            flush=True,
        )
    except Failed as error:
        failed = True
        report.result("kills", [str(error)])
    finally:
        fleet.kill()
        server.kill()
    return not failed


def _live(server, rng, mean_seconds):
    """Lets it live for a while; it must not end by itself."""
    lived = rng.uniform(0.02, 2 * mean_seconds)
    if server.ended_within(lived):
        raise Failed(f"it ended by itself: {server.tail()}")
    return lived
