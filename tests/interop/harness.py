"""Cases and how they are run: several at a time, each with its own devices, one line of output per case."""

import fnmatch
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from coap import Malformed, Silence
from gateway import CommandFailed, Gateway
from listener import NotListening
from peers import PeerFailed, ToolMissing

SUITE_SECONDS = 600  # What still runs then has failed.
_EXPECTED = (AssertionError, Silence, Malformed, PeerFailed, ToolMissing, CommandFailed, NotListening)
_cases = []


def case(name):
    """Registers a function of one argument, the `World`, as a case. Slow ones should be registered first."""

    def register(function):
        _cases.append((name, function))
        return function

    return register


def check(condition, message):
    """Fails the case with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def eventually(what, probe, seconds=3.0):
    """Waits until `probe()` gives something true, and returns that; fails with `what` and the last result otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}, even after {seconds:g} s")
        time.sleep(0.1)


class World:
    """What a case works with: the gateway that all share, and fresh ones for cases that end or break theirs."""

    def __init__(self, binary):
        self._binary = binary
        self._shared, self._lock = None, threading.Lock()

    @property
    def gateway(self):
        """The shared gateway, started by the first case that wants it."""
        with self._lock:
            if self._shared is None:
                self._shared = Gateway(self._binary).start()
            return self._shared

    @contextmanager
    def fresh(self):
        """A gateway of this case alone, not started yet. Its log is part of the failure."""
        gateway = Gateway(self._binary)
        try:
            yield gateway
        except _EXPECTED as failed:
            failed.server_log = gateway.log()
            raise
        finally:
            gateway.remove()

    def shared_log(self):
        """The newest lines of the shared gateway."""
        return self._shared.log(25) if self._shared else ""

    def close(self):
        """Ends the shared gateway; a crash of it is a failure of its own."""
        if self._shared is None:
            return None
        crashed = not self._shared.running()
        code, log = self._shared.stop(), self._shared.log()
        self._shared.remove()
        return f"the shared server {'had ended' if crashed else 'ended'} with {code}\n{log}" if code != 0 else None


class Report:
    """Counts and prints results."""

    def __init__(self):
        self._lock = threading.Lock()
        self.passed, self.failed = 0, 0

    def ok(self, name, seconds):
        """One case has passed."""
        with self._lock:
            self.passed += 1
            print(f"ok   {name} ({seconds:.1f})", flush=True)

    def fail(self, name, reason, captured=""):
        """One case has failed; the reason's first line goes beside the name, the rest below."""
        with self._lock:
            self.failed += 1
            first, _, rest = str(reason).partition("\n")
            print(f"FAIL {name}: {first}", flush=True)
            for line in (rest + "\n" + captured).strip().splitlines():
                print(f"     | {line}", flush=True)


def _run_one(name, function, world, report):
    begin = time.monotonic()
    try:
        function(world)
    except _EXPECTED as failed:
        location = traceback.extract_tb(failed.__traceback__)
        ours = [frame for frame in location if "/cases/" in frame.filename]
        where = f"{ours[-1].name}:{ours[-1].lineno}: " if ours else ""
        reason = f"{where}{type(failed).__name__ + ': ' if not isinstance(failed, AssertionError) else ''}{failed}"
        report.fail(name, reason, getattr(failed, "server_log", None) or world.shared_log())
    except Exception:  # A fault of the tests themselves still has to be counted as a failure.
        report.fail(name, "unexpected error", traceback.format_exc() + world.shared_log())
    else:
        report.ok(name, time.monotonic() - begin)


def run_all(binary, pattern, jobs):
    """Runs the cases whose name contains or matches the pattern; returns the report."""
    report, world = Report(), World(binary)
    chosen = [(n, f) for n, f in _cases if pattern is None or pattern in n or fnmatch.fnmatch(n, pattern)]
    if not chosen:
        report.fail("selection", f"no case matches {pattern!r}")
        return report
    pool = ThreadPoolExecutor(jobs)
    futures = {pool.submit(_run_one, name, function, world, report): name for name, function in chosen}
    _, unfinished = wait(futures, timeout=SUITE_SECONDS)
    for future in unfinished:
        report.fail(futures[future], f"still running or waiting after {SUITE_SECONDS} s")
    pool.shutdown(wait=False, cancel_futures=True)
    if crashed := world.close():
        report.fail("the shared server survives all of it and stops with 0", crashed)
    return report


def names():
    """The names of all cases."""
    return [name for name, _ in _cases]
