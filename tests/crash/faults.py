"""System calls on the data directory that fail, one by one: at the first start, at the next one, while
reports come. And a send buffer that is full again and again.

strace lets the N-th call fail that touches a file of the store, and counts for each thread on its own, so one
number may mean several failures. After each round the program is killed with kill -9 and started without
failures: it must start, and every report that was acknowledged must be there once. What strace cannot do is
to lose what was written before a failed fsync; the page cache keeps it.
"""

import datetime
import json
import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from crash.failpoints import ACTIVATING, DEVICES, RATE, finish, wait_for_reports
from crash.fleet import Fleet
from crash.ledger import Ledger
from crash.server import PRODUCT, Server, copy_of
from lib import load
from lib.program import Failed
from lib.waiting import wait_for

JOBS = 3
REPORTING = 10
START_SECONDS = 15

# System calls, errors, the step between the places of a start that a sample takes, places of a running server
# (0: it makes no such call).
CALLS = [
    ("fsync,fdatasync", ["EIO"], 1, 150),
    ("pwrite64", ["ENOSPC", "EIO"], 3, 60),
    ("write", ["ENOSPC", "EIO"], 1, 0),
    ("rename", ["EIO"], 1, 0),
    ("openat", ["EMFILE", "EACCES", "EIO"], 3, 12),
    ("ftruncate", ["EIO"], 1, 2),
    ("mkdir", ["ENOSPC"], 1, 0),
    ("unlink", ["EIO"], 1, 0),
    ("pread64,read", ["EIO"], 40, 60),
    ("mmap", ["ENOMEM"], 1, 0),
]
LATER_NUMBERS = 3000


def paths(data):
    """Everything that the program may touch in a data directory, as options of strace."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    days = [f"messages/{today + datetime.timedelta(days=more)}.db" for more in (0, 1)]
    databases = [f"{name}{draft}" for name in ["registry.db", "log.db", *days] for draft in ("", ".new")]
    files = [f"{name}{suffix}" for name in databases for suffix in ("", "-wal", "-shm", "-journal")]
    names = ["", "messages", "data.key", "data.key.new", "narrowgate.lock", *files]
    return [option for name in names for option in ("-P", str(data / name) if name else str(data))]


def injected(server, calls, error, when):
    """Starts the server with this failure."""
    trace = server.folder / "strace.log"
    command = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", str(trace), *paths(server.data)]
    return server.spawn(
        before=[*command, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}:when={when}"]
    )


def hits(server):
    """How many calls were made to fail."""
    trace = server.folder / "strace.log"
    return trace.read_text(errors="replace").count("(INJECTED)") if trace.exists() else 0


class Faults:
    """All rounds, against copies of two data directories: none at all, and one that a crash has left."""

    def __init__(self, report, programs, folder, seed, every):
        self._report, self._programs, self._folder = report, programs, folder
        self._rng, self._every = random.Random(seed), every
        template = Server(programs, folder)
        template.register(DEVICES, ACTIVATING)
        template.start()
        # The other devices report in the rounds.
        fleet = Fleet(template, DEVICES - REPORTING, RATE, DEVICES, ACTIVATING)
        time.sleep(1)
        template.kill()
        fleet.stop()
        self._template, self._log = template.data, fleet.log
        self._number = 0

    def run(self):
        """The starts until nothing more is hit, then the running server."""
        self._guard(self._one_sync_each)
        self._guard(self._full_send_buffer)
        with ThreadPoolExecutor(JOBS) as pool:
            for calls, errors, step, _ in CALLS:
                for error in errors:
                    for first in (True, False):
                        pool.submit(
                            self._guard, self._starts, calls, error, first, 1 if self._every else step
                        )
            for calls, error, when in self._running_rounds():
                pool.submit(self._guard, self._running, calls, error, when)

    def _guard(self, function, *arguments):
        try:
            function(*arguments)
        except Exception as error:  # A fault of the tests themselves is a failure, too.
            self._report.result(f"{function.__name__} {arguments}", [repr(error)])

    def _server(self):
        self._number += 1
        place = self._folder / f"fault-{self._number}"
        place.mkdir()
        return Server(self._programs, place)

    def _one_sync_each(self):
        """A device that reports alone, one after the other: no answer without an fsync of its own. What kill
        -9 cannot show, since the page cache outlives the process.
        """
        server = self._server()
        copy_of(self._template, server.data)
        server.start()
        fleet = Fleet(server, 1, 50, DEVICES, 0, first=DEVICES)
        try:
            wait_for_reports(fleet)
            trace = server.folder / "strace.log"
            tracer = subprocess.Popen(
                [
                    "strace",
                    "-f",
                    "-y",
                    "-qq",
                    "-o",
                    str(trace),
                    "-e",
                    "trace=fsync,fdatasync",
                    "-p",
                    str(server.process.pid),
                ]
            )
            wait_for_reports(fleet, more=3)
            begin = len(Ledger(fleet.log).read().acknowledged)
            wait_for_reports(fleet, more=40)
            fleet.stop()
            end = len(Ledger(fleet.log).read().acknowledged)
            tracer.terminate()
            tracer.wait()
            synced = trace.read_text().count(".db-wal>)")
            faults = (
                []
                if synced >= end - begin
                else [f"{end - begin} reports were acknowledged after {synced} fsyncs"]
            )
            self._report.result(
                "a lone report is acknowledged after an fsync of its own",
                faults,
                f"{synced} fsyncs for {end - begin}",
            )
        finally:
            fleet.kill()
            server.kill()

    def _full_send_buffer(self):
        """Every third attempt to send finds the buffer full. Each answer comes all the same, and sooner than
        its device would send again, after two seconds.
        """
        server = self._server()
        copy_of(self._template, server.data)
        trace = ["strace", "-f", "-qq", "-o", str(server.folder / "strace.log"), "-e", "trace=sendmmsg"]
        server.spawn(before=[*trace, "-e", "inject=sendmmsg:error=EAGAIN:when=3+3"])
        try:
            server.wait_ready(START_SECONDS)
            options = ["--sessions", REPORTING, "--count", 1000, "--window", REPORTING, "-o", "json"]
            command = load.command(server.load, "reports", server, PRODUCT, *options)
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            outcome = json.loads(done.stdout) if done.stdout else {"failed": done.stderr}
            full, slowest = hits(server), outcome.get("latencyMs", {}).get("max", 0)
            faults = []
            if outcome["failed"]:
                faults.append(f"failed: {outcome['failed']}")
            if full < 20:
                faults.append(f"only {full} attempts were made to fail")
            if slowest >= 1900:
                faults.append(f"an answer took {slowest} ms: it was dropped")
            text = f"{full} times full, slowest {slowest:.0f} ms"
            self._report.result("what finds the send buffer full waits", faults, text)
        finally:
            server.kill()

    def _starts(self, calls, error, first, step):
        """One failure after the other while it starts."""
        kind = "first start" if first else "start"
        numbers, faults, refused, when = 0, [], 0, self._rng.randint(1, step)
        while True:
            server = self._server()
            if not first:
                copy_of(self._template, server.data)
            injected(server, calls, error, when)
            refused += self._outcome(server, f"{calls} {error} {when}", faults)
            was_hit = hits(server) > 0
            server.kill()
            if was_hit:
                numbers += 1
                self._starts_again(server, first, f"{calls} {error} {when}", faults)
            shutil.rmtree(server.folder)
            when += step
            if not was_hit or len(faults) > 10:
                break
        self._report.result(
            f"{kind}, {calls} fails with {error}",
            faults,
            f"{numbers} places, {refused} refused with a reason",
        )

    def _outcome(self, server, what, faults):
        """It gets ready all the same (0), or ends with a reason (1)."""
        try:
            server.wait_ready(START_SECONDS)
            return 0
        except Failed:
            said = server.said()
            if server.process.poll() is None:
                faults.append(f"{what}: neither ready nor ended: {server.tail()}")
            elif (
                "panicked" in said
                or server.process.returncode != 1
                or "error: " not in said
                or "  try " not in said
            ):
                faults.append(f"{what}: ended with {server.process.returncode}: {server.tail()}")
            return 1

    def _starts_again(self, server, first, what, faults):
        try:
            server.start()
            if first:
                server.register(2, 1)
                server.stop()
                return
            shutil.copy(self._log, server.folder / "fleet.log")
            fleet = Fleet(server, 1, 1, DEVICES, 0, seconds=0)
            fleet.stop()
            faults += [f"{what}: {fault}" for fault in finish(server, fleet, "")[0]]
        except Failed as failed:
            faults.append(f"{what}: afterwards: {failed}")
        finally:
            server.kill()

    def _running_rounds(self):
        rounds = []
        for calls, errors, _, places in CALLS:
            for error in errors if places else ():
                if self._every:
                    numbers = [*range(1, places + 1), *self._rng.sample(range(places + 1, LATER_NUMBERS), 5)]
                else:
                    numbers = self._rng.sample(range(1, places + 1), 2)
                rounds += [(calls, error, str(number)) for number in numbers]
                # From there on all fail, and the crash comes before anything is mended.
                count, last = (6, 120) if self._every else (1, 60)
                rounds += [
                    (calls, error, f"{self._rng.randint(1, min(places, last))}+") for _ in range(count)
                ]
        return rounds

    def _running(self, calls, error, when):
        server = self._server()
        copy_of(self._template, server.data)
        shutil.copy(self._log, server.folder / "fleet.log")
        fleet = None
        faults, text = [], ""
        try:
            injected(server, calls, error, when)
            refused = self._outcome(server, "it", faults)
            fleet = Fleet(server, REPORTING, 200, DEVICES, 0, first=DEVICES - REPORTING + 1)
            if not refused:
                if when.endswith("+"):
                    time.sleep(1.5)
                else:
                    wait_for(lambda: hits(server), 2.5)
                if server.running() and not when.endswith("+"):
                    # A single failure: it goes on.
                    wait_for_reports(fleet)
            count = hits(server)
            if "panicked" in server.said():
                faults.append(server.tail())
            ended = server.process.poll()
            if ended is not None and not refused:
                text = f"ended with {ended}, "
                if ended != 1:
                    faults.append(f"it ended with {ended}: {server.tail()}")
            server.kill()
            server.start()
            wait_for_reports(fleet)
            fleet.stop()
            more, figures = finish(server, fleet, f"{count} hit, {text}{Ledger(fleet.log).read().codes}")
            faults += more
            text = figures
        except Failed as failed:
            faults.append(str(failed))
        finally:
            if fleet is not None:
                fleet.kill()
            server.kill()
        self._report.result(f"running, {calls} fails with {error} at {when}", faults, text)
        if not faults:
            shutil.rmtree(server.folder)
