"""kill -9 while a device is deleted with what it sent, at each of its steps (`purge-…`).

One device says a word that no other one says. The operator's purge ends with the server. After the next start
the device is there, disabled, and the same command again finishes it; or it is gone already. Then the word is
in no file, the other device has all that it had, and the files are in order.
"""

import shutil
import sqlite3
import subprocess

from crash.failpoints import die_there
from crash.server import Server, copy_of
from lib import program
from lib.program import Failed
from lib.waiting import wait_for

# A step takes at most 256 messages: the second time is in the middle.
STEPS = ["purge-before-commit:1", "purge-before-commit:2", "purge-after-commit:1", "purge-after-commit:2"]
# Nothing is left of it before these; behind the last one the device is gone.
LAST = ["purge-before-delete:1", "purge-deleted:1"]
PRODUCT, WORD, OTHER, REPORTS, SECONDS = "purged", "canary-of-cellar-3", "in-cellar-4", 700, 10
# Device and what it says.
DEVICES = {"dk-1": WORD, "dk-2": OTHER}


def run(report, programs, folder):
    """Each step."""
    template = Server(programs, folder)
    template.json("product", "create", "meters", "--product-key", PRODUCT)
    for device in DEVICES:
        template.json("device", "create", "--product", PRODUCT, "--device-key", device)
    template.start()
    try:
        _say(template)
    finally:
        code = template.stop()
    if code != 0 or _files_with(template.data, WORD) == []:
        raise Failed(f"there is nothing to purge: {template.tail()}")
    for point in STEPS + LAST:
        place = folder / point.replace(":", "-")
        place.mkdir()
        try:
            faults, text = _round(programs, place, template.data, point)
        except Failed as error:
            faults, text = [str(error)], ""
        report.result(f"killed at {point}", faults, text)
        if not faults:
            shutil.rmtree(place)


def _say(server):
    """Each device reports, tells of an event, and has an attribute."""
    for device, word in DEVICES.items():
        secret = server.json("device", "secret", PRODUCT, device)["deviceSecret"]
        options = ["--server", f"127.0.0.1:{server.dtls_port}", "--secret", secret, "--interval", "0"]
        options += ["--count", str(REPORTS), "--points", '{"n":"%s-{n}"}' % word]
        options += ["--event", 'tilted={"by":"%s"}' % word, "--attributes", '{"place":"%s"}' % word]
        subprocess.run(
            server.command("device", "simulate", f"{PRODUCT}/{device}", *options),
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=server.COMMAND_SECONDS,
            env=program.environment(),
        )


def _round(programs, place, template, point):
    server = Server(programs, place)
    copy_of(template, server.data)
    server.spawn(settings={"NARROWGATE_KILL_AT": point}).wait_ready()
    try:
        code, _, noise = server.run("device", "delete", PRODUCT, "dk-1", "--purge", "--yes")
        die_there(server)
        faults = [] if code == 1 else [f"the command ended with {code}: {noise}"]
        server.start()
        is_gone = point == LAST[-1]
        removed = 0 if is_gone else _finish(server, point, faults)
        if not wait_for(lambda: not _files_with(server.data, WORD), SECONDS):
            faults.append(f"what it said is in {_files_with(server.data, WORD)}")
        faults += _compare(server)
        if (code := server.stop()) != 0:
            faults.append(f"it ended with {code}: {server.tail()}")
        if left := _files_with(server.data, WORD):
            faults.append(f"after the end what it said is in {left}")
        return faults + _integrity(server.data), f"{removed} messages were left for the second attempt"
    finally:
        server.kill()


def _finish(server, point, faults):
    """Gives the command again; how many messages it found."""
    shown = server.json("device", "show", PRODUCT, "dk-1")
    if shown["enabled"]:
        faults.append("the device is enabled in the middle of its purge")
    purged = server.json("device", "delete", PRODUCT, "dk-1", "--purge", "--yes")
    removed, whole = purged["messagesRemoved"], REPORTS + 1
    whole_is_left = point == STEPS[0]
    if not purged["done"] or (removed == whole) != whole_is_left or (removed == 0) != (point in LAST):
        faults.append(f"the second attempt says {purged}")
    return removed


def _compare(server):
    """Faults of what can be read of both devices."""
    faults = []
    code, _, noise = server.run("device", "show", PRODUCT, "dk-1")
    if code != 1 or "there is no device" not in noise:
        faults.append(f"the purged device is shown: {code} {noise}")
    server.json("device", "create", "--product", PRODUCT, "--device-key", "dk-1")
    for device, reports in (("dk-1", 0), ("dk-2", REPORTS)):
        names = (PRODUCT, device)
        history = server.json("device", "points", *names, "--from", "0", "--all")
        events = server.json("device", "events", *names)
        attributes = server.json("device", "attributes", *names)
        if (len(history), len(events), len(attributes)) != (reports, bool(reports), bool(reports)):
            faults.append(f"{device} has {len(history)} values, {events}, {attributes}")
    return faults


def _files_with(data, word):
    """Files below a directory that have this word anywhere."""
    files = (path for path in data.rglob("*") if path.is_file())
    return [path.name for path in files if word.encode() in path.read_bytes()]


def _integrity(data):
    """What SQLite finds in the message files."""
    faults = []
    for file in sorted((data / "messages").glob("*.db")):
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        found = connection.execute("PRAGMA integrity_check").fetchall()
        connection.close()
        if found != [("ok",)]:
            faults.append(f"{file.name}: {found}")
    return faults
