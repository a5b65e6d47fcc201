"""Cases and how they are run: several at a time, each with its own devices, one line of output per case."""

import fnmatch
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from interop.gateway import Gateway
from interop.listener import NotListening
from interop.peers import PeerFailed
from lib.coap import Malformed, Silence
from lib.program import Failed
from lib.report import Report
from lib.tools import ToolMissing
from lib.waiting import wait_for

SUITE_SECONDS = 600  # What still runs then has failed.
LINES_MAX = 200
_EXPECTED = (AssertionError, Silence, Malformed, PeerFailed, ToolMissing, Failed, NotListening)
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
    """Waits until `probe()` gives something true, and returns that; fails with `what` and the last result
    otherwise.
    """
    if result := wait_for(probe, seconds, 0.1):
        return result
    raise AssertionError(f"{what}, even after {seconds:g} s")


class World:
    """What a case works with: the gateway that all share, and fresh ones for those that break theirs."""

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
        return (
            f"the shared server {'had ended' if crashed else 'ended'} with {code}\n{log}"
            if code != 0
            else None
        )


def _run_one(name, function, world, report):
    def fail(reason, captured):
        # The first line goes beside the name, the rest below.
        first, _, rest = reason.partition("\n")
        report.fail(name, first, (rest + "\n" + captured).strip().splitlines())

    begin = time.monotonic()
    try:
        function(world)
    except _EXPECTED as failed:
        location = traceback.extract_tb(failed.__traceback__)
        ours = [frame for frame in location if "/cases/" in frame.filename]
        where = f"{ours[-1].name}:{ours[-1].lineno}: " if ours else ""
        reason = (
            f"{where}{type(failed).__name__ + ': ' if not isinstance(failed, AssertionError) else ''}{failed}"
        )
        fail(reason, getattr(failed, "server_log", None) or world.shared_log())
    except Exception:  # A fault of the tests themselves still has to be counted as a failure.
        fail("unexpected error", traceback.format_exc() + world.shared_log())
    else:
        report.ok(f"{name} ({time.monotonic() - begin:.1f})")


def run_all(binary, pattern, jobs):
    """Runs the cases whose name contains or matches the pattern; returns the report."""
    report, world = Report(LINES_MAX), World(binary)
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
        report.fail("the shared server survives all of it and stops with 0", faults=[crashed])
    return report


def names():
    """The names of all cases."""
    return [name for name, _ in _cases]
