"""Files that are cut or in which bits have flipped: found out and named, or never mistaken for data.

Every round changes one file of a copy of what a crash has left, starts the program on it, and reads all
reports back by its command line, as an operator sees them, and the lists of products and devices. It may
refuse to start, naming the file; it may refuse to read, saying that it is damaged; it may have lost the end
of a write-ahead log that was cut. It may not show anything that was never sent or set, and not lose a report
that was acknowledged without saying so.
"""

import json
import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from crash.failpoints import ACTIVATING, DEVICES, RATE
from crash.fleet import Fleet
from crash.ledger import Ledger, points
from crash.server import PRODUCT, Server, copy_of
from lib.program import Failed

JOBS = 3
READERS = 8
LISTS = {"product": [], "device": ["--limit", "1000"]}
# What devices change.
CHANGING = {"state", "activeTime", "lastOnlineTime", "lastOfflineTime", "lastSeenTime", "lifetime"}


def run(report, programs, folder, seed, count):
    """`count` rounds on copies of one data directory, which is partly in its logs and partly in its files."""
    rng = random.Random(seed)
    template = Server(programs, folder)
    template.register(DEVICES, ACTIVATING)
    template.start()
    fleet = Fleet(template, DEVICES, RATE, DEVICES, ACTIVATING)
    time.sleep(1.2)
    # In order, so that the files hold it; then again, so that the logs hold the rest.
    template.stop()
    template.start()
    time.sleep(1.5)
    template.kill()
    fleet.stop()
    ledger = Ledger(fleet.log).read()
    # Of a copy, since who reads it takes up what is in its logs.
    copy = Server(programs, folder, copy_of(template.data, folder / "read"))
    right = {kind: _listed(copy, kind)[0] for kind in LISTS}
    if len(right["device"]) != DEVICES + ACTIVATING or len(right["product"]) != 2:
        raise Failed(f"the lists are not what was registered: {right}")
    tally = {}

    def one(number, name, kind, seed):
        server = Server(programs, folder / f"damage-{number}")
        server.folder.mkdir()
        try:
            copy_of(template.data, server.data)
            change = _change(random.Random(seed), server.data, name, kind)
            faults, outcome = _look(server, ledger, right, name)
        except (Failed, OSError, ValueError, KeyError, subprocess.SubprocessError) as failed:
            faults, change, outcome = [repr(failed)], f"{name} {kind}", "failed"
        finally:
            server.kill()
        tally[outcome] = tally.get(outcome, 0) + 1
        report.result(f"damage {number:3}, {change}", faults, outcome)
        if not faults:
            shutil.rmtree(server.folder)

    day = next((template.data / "messages").glob("*.db")).name
    databases = ["registry.db", "log.db", f"messages/{day}"]
    files = [f"{name}{suffix}" for name in databases for suffix in ("", "-wal")] + ["data.key"]
    with ThreadPoolExecutor(JOBS) as pool:
        for number in range(count):
            name = files[number % len(files)]
            kind = rng.choice(["cut", "bit", "bit", "bit", "page"])
            pool.submit(one, number, name, kind, rng.random())
    print(f"     {json.dumps(tally)}", flush=True)


def _change(rng, data, name, kind):
    file = data / name
    content = bytearray(file.read_bytes())
    if kind == "cut":
        length = rng.randrange(len(content))
        content = content[:length]
        text = f"{name} cut to {length} bytes"
    elif kind == "bit":
        at, bit = rng.randrange(len(content)), rng.randrange(8)
        content[at] ^= 1 << bit
        text = f"{name} byte {at} bit {bit} flipped"
    else:
        at = rng.randrange(len(content)) // 4096 * 4096
        content[at : at + 4096] = bytes(len(content[at : at + 4096]))
        text = f"{name} bytes from {at} zeroed"
    file.write_bytes(content)
    return text


def _look(server, ledger, right, name):
    try:
        server.start()
    except Failed:
        said = server.said()
        named = name.removesuffix("-wal") in said and "  try " in said and "error: " in said
        if server.process.poll() != 1 or "panicked" in said or not named:
            return [f"no clear reason: exit code {server.process.poll()}: {server.tail()}"], "refused"
        return [], "refused to start with a reason"
    faults = []
    # The end of a log may be lost without a word: nobody can tell that it was there.
    may_be_lost = name.endswith("-wal")
    found, told = _look_at_points(server, faults)
    told = _look_at_lists(server, right, told or may_be_lost, faults) or told or _tells(server)
    if wrong := found - ledger.sent:
        faults.append(f"{len(wrong)} reports are shown that nobody sent")
    lost = ledger.acknowledged - found
    if lost and not told and not may_be_lost:
        faults.append(f"{len(lost)} acknowledged reports are missing, and nothing says so")
    if not server.running() or "panicked" in server.said():
        faults.append(f"it has ended: {server.tail()}")
    if may_be_lost and lost:
        return faults, "the end of the log is lost"
    return faults, "told while reading" if told else "nothing is lost"


def _look_at_points(server, faults):
    """The reports that the program shows, and whether it says that something is damaged."""
    found, told = set(), _tells(server)
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(lambda n: _points(server, n), range(1, DEVICES + 1))
        for device, (values, warned, refusal) in enumerate(read, 1):
            told = told or warned
            if refusal is not None:
                faults += _faults_of_refusal(f"device {device}", refusal)
                continue
            for report in _reports(device, values, faults):
                if report in found:
                    faults.append(f"shown twice: device {device} report {report & 0xFFFFFFFF}")
                found.add(report)
    return found, told


def _look_at_lists(server, right, silent, faults):
    """Whether the program calls something in its lists damaged. `silent`: rows may be missing without it."""
    told = False
    for kind in LISTS:
        shown, warned, refusal = _listed(server, kind)
        told = told or warned
        if refusal is not None:
            faults += _faults_of_refusal(f"{kind} list", refusal)
            continue
        faults += [f"{kind} list: nobody made it so: {row}" for row in shown if row not in right[kind]]
        if len(shown) < len(right[kind]) and not told and not silent:
            faults.append(f"{kind} list: {len(right[kind]) - len(shown)} are missing, and nothing says so")
    return told


def _faults_of_refusal(what, refusal):
    return [f"{what}: {refusal}"] if "panicked" in refusal or "error: " not in refusal else []


def _tells(server):
    """Whether the program says that something is damaged."""
    said = server.said()
    return "damaged" in said.lower() or "not as it was stored" in said


def _listed(server, kind):
    """What the list shows of what only operators change, whether it says that rows are damaged, or why it
    shows nothing.
    """
    rows, warned, refusal = _read(server, kind, "list", *LISTS[kind])
    if refusal is not None:
        return [], True, refusal
    rows = rows["devices"] if kind == "device" else rows
    # A damaged row shows the names that are read of it and claims nothing.
    intact = [row for row in rows if not row.get("damaged")]
    shown = [{name: value for name, value in row.items() if name not in CHANGING} for row in intact]
    return shown, warned, None


def _points(server, device):
    """What the program shows of a device, whether it says that reports are damaged, or why it shows none."""
    return _read(server, "device", "points", f"{PRODUCT}/load-{device:07}", "--from", "0", "--limit", "10000")


def _read(server, *arguments):
    """What a command prints, whether it says that something is damaged, or why it prints nothing."""
    code, output, noise = server.run(*arguments, "-o", "json")
    return ([], True, noise) if code != 0 else (json.loads(output), "damaged" in noise, None)


def _reports(device, values, faults):
    """The reports that were shown, put together from their points; `faults` gets what none has said."""
    for first in range(0, len(values) - len(values) % 3, 3):
        three = values[first : first + 3]
        said = {value["point"]: value["value"] for value in three}
        if not isinstance(said.get("n"), int) or set(said) != {"d", "n", "s"}:
            faults.append(f"device {device}: nobody sent {three}")
            continue
        text = json.dumps({"d": said["d"], "n": said["n"], "s": said["s"]}, separators=(",", ":"))
        if text != points(device, said["n"]):
            faults.append(f"device {device}: nobody sent {text}")
        yield device << 40 | said["n"]
