"""Backups of a server that a fleet reports to; the server is killed, and the backup restored."""

import shutil
import sqlite3
import time
from pathlib import Path

from crash.failpoints import wait_for_reports
from crash.fleet import Fleet
from crash.ledger import Ledger, Stored
from crash.server import PRODUCT, Server
from lib.program import Failed

DEVICES = 300
RESTORED_NOTE = "was removed after a crash"


def run(report, programs, folder, count, rate):
    """`count` servers, each backed up and killed; one line for each."""
    for number in range(1, count + 1):
        place = folder / f"round-{number}"
        place.mkdir()
        server, fleet = Server(programs, place, place / "data"), None
        try:
            server.register(DEVICES, 1).start()
            fleet = Fleet(server, DEVICES, rate, DEVICES, 0)
            faults, text = _round(server, programs, fleet, place)
        except Failed as error:
            faults, text = [str(error)], ""
        finally:
            if fleet is not None:
                fleet.kill()
            server.kill()
        report.result(f"backup {number:2}", faults, text)


def _round(server, programs, fleet, place):
    wait_for_reports(fleet)
    time.sleep(1)
    _registry_now(server.data, place / "earlier")
    # What an earlier registry lacks: without a change since then it would be as good as the newest one.
    server.json("device", "create", "--product", PRODUCT, "--device-key", "later-0")
    begin = time.monotonic()
    copied = server.json("backup", str(place / "backup"))
    took = time.monotonic() - begin
    # What the fleet has written down by now was acknowledged before the command had ended.
    acknowledged = set(Ledger(fleet.log).read().acknowledged)
    time.sleep(1)
    server.kill()
    fleet.kill()
    ledger = Ledger(fleet.log).read()

    restored = Server(programs, place, place / "restored")
    restored.json("restore", str(place / "backup"))
    stored = Stored(restored.data).read()
    faults = stored.faults + stored.integrity()
    lost = acknowledged - stored.reports
    if lost:
        faults.append(f"{len(lost)} of {len(acknowledged)} were acknowledged before the end and are not in it")
    restored.start()
    if RESTORED_NOTE in restored.said():
        faults.append("the first start has taken a batch away")
    restored.stop()
    after = Stored(restored.data).read()
    if after.reports != stored.reports:
        faults.append(f"the first start has changed the reports: {len(stored.reports)}, {len(after.reports)}")
    faults += _earlier_registry(server, place)
    server.start()
    server.stop()
    kept = Stored(server.data).read()
    faults += kept.faults
    if missing := ledger.acknowledged - kept.reports:
        faults.append(f"the killed server has lost {len(missing)} acknowledged reports")
    text = f"{copied['bytes'] / 1e6:.1f} MB in {took:.2f} s, {len(acknowledged)} acknowledged before its end, "
    text += f"{len(stored.reports)} restored, {len(ledger.acknowledged)} acknowledged in all"
    return faults, text


def _registry_now(data, to):
    """The registry of a running server, of one moment."""
    to.mkdir()
    source = sqlite3.connect(f"file:{data / 'registry.db'}?mode=ro", uri=True, timeout=10)
    source.execute("BEGIN")
    source.execute("SELECT count(*) FROM meta").fetchone()
    copy = sqlite3.connect(to / "registry.db")
    source.backup(copy)
    copy.close()
    source.close()


def _copy_registry(data, to):
    to.mkdir(exist_ok=True)
    for name in ("registry.db", "registry.db-wal", "registry.db-shm"):
        Path(to, name).unlink(missing_ok=True)
        if Path(data, name).exists():
            shutil.copy(Path(data, name), to)


def _earlier_registry(server, place):
    """An earlier registry beside the newest files: the start says so and changes nothing."""
    _copy_registry(server.data, place / "newest")
    _copy_registry(place / "earlier", server.data)
    before = _contents(server.data)
    server.spawn()
    faults = []
    if not server.ended_within(20) or server.process.returncode != 1:
        faults.append("an earlier registry beside newer files does not stop the start")
        server.kill()
    elif "it is older than the files beside it" not in server.said():
        faults.append(f"the reason is not clear: {server.tail()}")
    if _contents(server.data) != before:
        faults.append("the refused start has changed something")
    _copy_registry(place / "newest", server.data)
    return faults


def _contents(data):
    return {file: file.read_bytes() for file in Path(data).rglob("*") if file.is_file()}
