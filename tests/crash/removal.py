"""kill -9 while retention removes the file of a class whose time is over, at each of its steps (`removal-…`).

Devices of three classes report on three days (the test moves the clock); one class is kept for a day. What
goes is that class's file of the first day and nothing else, whichever step the crash was at.
"""

import shutil
import time

from crash.classes import Classes
from crash.failpoints import ACTIVATING, DEVICES, RATE, die_there, wait_for_reports
from crash.fleet import Fleet
from crash.ledger import Ledger, Stored, compare, name
from crash.server import THREE_CLASSES, Server, copy_of, set_days
from lib.program import Failed
from lib.waiting import wait_for

POINTS = ["removal-begun", "removal-noted", "removal-file-gone", "removal-done"]
REMOVED = ".short.db"
SECONDS = 20


def run(report, programs, folder):
    """Each step."""
    template = Server(programs, folder)
    template.register(DEVICES, ACTIVATING, THREE_CLASSES)
    for point in POINTS:
        place = folder / point
        place.mkdir()
        try:
            faults, text = _round(programs, place, template.data, point)
        except Failed as error:
            faults, text = [str(error)], ""
        report.result(f"killed at {point}", faults, text)
        if not faults:
            shutil.rmtree(place)


def _round(programs, place, template, point):
    server, days = Server(programs, place), place / "days"
    settings = {"NARROWGATE_TEST_DAYS": str(days), "NARROWGATE_STORE_RETENTION": "off"}
    settings["NARROWGATE_STORE_RETENTION_CLASSES"] = "short=1d,long=3650d"
    set_days(days, 0)
    copy_of(template, server.data)
    server.spawn(settings={**settings, "NARROWGATE_KILL_AT": point}).wait_ready()
    fleet = Fleet(server, DEVICES, RATE, DEVICES, ACTIVATING, products=THREE_CLASSES)
    products = Classes(fleet.products, fleet.log)
    try:
        _wait_for_files(server, 3)
        set_days(days, 1)
        _wait_for_files(server, 6)
        old = _files(server)[:3]
        gone = next(file for file in old if file.endswith(REMOVED))
        stored = Stored(server.data, products).read()
        removed = stored.of_file(gone)
        set_days(days, 2)
        die_there(server)
        server.spawn(settings=settings).wait_ready()
        wait_for_reports(fleet)
        if not wait_for(lambda: gone not in _files(server), SECONDS):
            raise Failed(f"{gone} is not removed: {_files(server)}")
        _wait_for_files(server, 8)
        fleet.stop()
        server.kill()
        # What was removed is not missed by a start either.
        server.start(settings=settings)
        faults = _compare(server, fleet, products, removed)
        left = _files(server)
        if left[:2] != [file for file in old if file != gone] or len(left) != 8:
            faults.append(f"of {old} and the later ones there are {left}")
        if (code := server.stop()) != 0:
            faults.append(f"it ended with {code}: {server.tail()}")
        return faults, f"{len(removed)} reports went with {gone}, {len(left)} files are left"
    finally:
        fleet.kill()
        server.kill()


def _compare(server, fleet, products, removed):
    """Faults of what is stored but for what was removed."""
    stored = Stored(server.data, products)
    faults, _ = compare(Ledger(fleet.log), stored, everything=True)
    missing = {f"acknowledged and not stored: {which}" for which in map(name, removed)}
    faults = [fault for fault in faults if fault not in missing]
    if len(removed) == 0 or removed & stored.reports:
        faults.append(f"{len(removed & stored.reports)} of {len(removed)} reports of the removed file are there")
    return faults + stored.integrity()


def _files(server):
    return sorted(file.name for file in (server.data / "messages").glob("*.db"))


def _wait_for_files(server, count):
    """Waits until there are so many files, and a moment longer for their reports."""
    if not wait_for(lambda: len(_files(server)) == count, SECONDS):
        raise Failed(f"there are {_files(server)}, not {count} files: {server.tail()}")
    time.sleep(0.5)
