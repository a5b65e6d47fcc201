"""A disk that is full and then is not: a small file system in memory, filled while a fleet reports."""

import contextlib
import subprocess
import time

from crash.failpoints import DEVICES, finish, wait_for_reports
from crash.fleet import Fleet
from crash.ledger import Ledger
from crash.server import Server, set_days
from lib.program import Failed
from lib.waiting import wait_for

MIB = 24
RATE = 600


def run(report, programs, folder, rounds):
    """Fills the disk `rounds` times and makes space again; the last time with a start on the full disk."""
    mount = folder / "small"

    def work(server, new_fleet):
        server.register(DEVICES, 1)
        server.start()
        fleet = new_fleet()
        wait_for_reports(fleet)
        for number in range(1, rounds + 1):
            faults, text = _round(server, fleet, mount, number == rounds)
            report.result(f"a full disk, {number}", faults, text)
        fleet.stop()
        faults, text = finish(server, fleet, "")
        report.result("a full disk: all reports afterwards", faults, text)
        report.result("a full disk: no start after an orderly stop", _start_in_vain(server, mount))

    on_small_disk(report, "a full disk", programs, mount, work)


def midnight(report, programs, folder):
    """A new day on a full disk, and a start on one: what retention allows to delete makes room.

    Needs a clock that is moved.
    """
    mount, days = folder / "midnight", folder / "days"
    settings = {"NARROWGATE_TEST_DAYS": str(days), "NARROWGATE_STORE_RETENTION": "1d"}
    filler = mount / "filler"

    def work(server, new_fleet):
        set_days(days, 0)
        server.register(DEVICES, 1)
        server.start(settings=settings)
        ledger = Ledger(new_fleet().log)
        # Enough that each file, once it is deleted, makes room for a new day and a few reports of it. The
        # first makes room also for what is still in the log of the second, which is written back before.
        _next_day(server, ledger, 1, more=4000)
        set_days(days, 1)
        _next_day(server, ledger, 2, more=2500)
        _fill_until_refused(server, ledger, filler)
        before = _days(server)
        set_days(days, 2)
        _next_day(server, ledger, 2, before[0], more=10)
        report.result("a full disk at midnight", [], f"{before[0]} deleted, {_days(server)[-1]} begun")
        _fill_until_refused(server, ledger, filler)
        server.kill()
        # What ended the old log files left some room.
        fill(filler)
        before = _days(server)
        set_days(days, 3)
        seconds = server.spawn(settings=settings).wait_ready()
        _next_day(server, ledger, 2, before[0], more=10)
        said = "the disk is full: messages deleted" in server.said()
        faults = [] if said else [f"it had room: {server.tail()}"]
        report.result("a start on a full disk", faults, f"{before[0]} deleted, ready after {seconds:.1f} s")

    on_small_disk(report, "a full disk at midnight", programs, mount, work)


def on_small_disk(report, name, programs, mount, work):
    """`work(server, new_fleet)` with a server on a small file system, of which nothing stays."""
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={MIB}m", "narrowgate-test", str(mount)]
    if subprocess.run(command, check=False).returncode != 0:
        report.fail(name, "a small file system cannot be mounted: run it as root")
        return
    server = Server(programs, mount.parent, mount / "data")
    try:
        with contextlib.ExitStack() as ends:
            ends.callback(server.kill)

            def new_fleet():
                fleet = Fleet(server, DEVICES, RATE, DEVICES, 0)
                ends.callback(fleet.kill)
                return fleet

            work(server, new_fleet)
    except Failed as failed:
        report.result(name, [str(failed)])
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def _days(server):
    return sorted(path.name for path in (server.data / "messages").glob("????-??-??.db"))


def _next_day(server, ledger, files, gone=None, more=3000, seconds=30):
    """Waits until there are so many files of days, one is gone, and more reports than before are
    acknowledged.
    """
    deadline, enough = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        time.sleep(0.05)
        ledger.read()
        if len(_days(server)) == files and gone not in _days(server):
            enough = enough or len(ledger.acknowledged) + more
            if len(ledger.acknowledged) >= enough:
                return
    raise Failed(
        f"after {seconds} s there are {_days(server)}, "
        f"{len(ledger.acknowledged)} acknowledged: {server.tail()}"
    )


def _fill_until_refused(server, ledger, filler, seconds=30):
    before = sum(ledger.read().codes.values())

    def refused():
        fill(filler)
        return sum(ledger.read().codes.values()) > before

    if not wait_for(refused, seconds):
        raise Failed(f"nothing was refused on a full disk: {server.tail()}")


def _round(server, fleet, mount, crash):
    faults, ledger = [], Ledger(fleet.log)
    before, process = dict(ledger.read().codes), server.process.pid
    filler = mount / "filler"

    def refused():
        fill(filler)
        return ledger.read().codes != before

    wait_for(refused, 15)
    time.sleep(1)
    fill(filler)
    count = sum(ledger.read().codes.values()) - sum(before.values())
    if count == 0:
        faults.append(f"nothing was refused on a full disk: {server.tail()}")
    if strange := [code for code in ledger.codes if not code.startswith("5.03 30")]:
        faults.append(f"refused by {strange}")
    if crash:
        server.kill()
        try:
            server.start()
        except Failed as failed:
            faults += _faults_of_refusal(server, failed)
    filler.unlink()
    if crash and server.process.poll() is not None:
        server.start()
    begin = time.monotonic()
    wait_for_reports(fleet, seconds=15)
    if not crash and server.process.pid != process:
        faults.append("it was started anew")
    return (
        faults,
        f"{count} reports refused by 5.03 with Max-Age 30, "
        f"stored again {time.monotonic() - begin:.1f} s after there was space",
    )


def _start_in_vain(server, mount):
    """A start that needs new files beside its database, on a full disk; what is wrong with what it says."""
    filler = mount / "filler"
    fill(filler)
    try:
        server.start()
    except Failed as failed:
        return _faults_of_refusal(server, failed)
    finally:
        filler.unlink()
    return ["it started on a full disk"]


def _faults_of_refusal(server, failed):
    said = server.said()
    wanted = [
        "error: ",
        f"  file    {server.data}",
        "  reason  the disk is full",
        f"  try     free some space (df -h {server.data}",
    ]
    missing = [part for part in wanted if part not in said]
    return (
        [f"the start on a full disk does not say {missing}: {failed}"]
        if missing or "panicked" in said
        else []
    )


def fill(filler):
    """Takes all space that is left."""
    try:
        with filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))
    except OSError:
        pass
