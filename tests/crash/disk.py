"""A disk that is full and then is not: a small file system in memory, filled while a fleet reports."""

import subprocess
import time

from failpoints import DEVICES, finish, wait_for_reports
from ledger import Ledger
from server import Failed, Fleet, Server

MIB = 24
RATE = 600


def run(report, programs, folder, rounds):
    """Fills the disk `rounds` times and makes space again; the last time it is killed and started on the full disk."""
    mount = folder / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MIB}m", "narrowgate-test", str(mount)])
    if mounted.returncode != 0:
        report.result("a full disk", ["a small file system cannot be mounted: run it as root"])
        return
    server = Server(programs, folder, mount / "data")
    fleet = None
    try:
        server.register(DEVICES, 1)
        server.start()
        fleet = Fleet(programs, server, DEVICES, RATE, DEVICES, 0)
        wait_for_reports(fleet)
        for number in range(1, rounds + 1):
            faults, text = _round(server, fleet, mount, number == rounds)
            report.result(f"a full disk, {number}", faults, text)
        fleet.stop()
        faults, text = finish(server, fleet, "")
        report.result("a full disk: all reports afterwards", faults, text)
    except Failed as failed:
        report.result("a full disk", [str(failed)])
    finally:
        if fleet is not None:
            fleet.kill()
        server.kill()
        subprocess.run(["umount", "-l", str(mount)], check=True)


def _round(server, fleet, mount, crash):
    faults, ledger = [], Ledger(fleet.log)
    before, process = dict(ledger.read().codes), server.process.pid
    filler = mount / "filler"
    _fill(filler)
    deadline = time.monotonic() + 15
    while ledger.read().codes == before and time.monotonic() < deadline:
        time.sleep(0.05)
        _fill(filler)
    time.sleep(1)
    _fill(filler)
    refused = sum(ledger.read().codes.values()) - sum(before.values())
    if refused == 0:
        faults.append(f"nothing was refused on a full disk: {server.tail()}")
    if strange := [code for code in ledger.codes if not code.startswith("5.03 30")]:
        faults.append(f"refused by {strange}")
    if crash:
        server.kill()
        try:
            server.start()
        except Failed as failed:
            if "  try " not in server.said() or "panicked" in server.said():
                faults.append(f"the start on a full disk: {failed}")
    filler.unlink()
    if crash and server.process.poll() is not None:
        server.start()
    begin = time.monotonic()
    wait_for_reports(fleet, seconds=15)
    if not crash and server.process.pid != process:
        faults.append("it was started anew")
    return faults, f"{refused} reports refused by 5.03 with Max-Age 30, stored again {time.monotonic() - begin:.1f} s after there was space"


def _fill(filler):
    """Takes all space that is left."""
    try:
        with filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1 << 12))
    except OSError:
        pass
