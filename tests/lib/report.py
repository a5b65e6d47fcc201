"""Counts and prints results: one line each, what is wrong below it.

At the end there are the names of what failed, and `N passed, N failed`.
"""

import threading
from collections.abc import Sequence

LINES_MAX = 12
FAILURES_MAX = 20


class Report:
    """What has passed and what has not. Threads may share one."""

    def __init__(self, lines_max: int = LINES_MAX):
        self._lock, self._lines_max = threading.Lock(), lines_max
        self.passed = self.failed = 0
        self._failures: list[str] = []

    def ok(self, name: str, text: str = "") -> None:
        """One more that has passed."""
        with self._lock:
            self.passed += 1
            print(f"ok   {name}: {text}" if text else f"ok   {name}", flush=True)

    def fail(self, name: str, text: str = "", faults: Sequence[object] = ()) -> None:
        """One more that has failed."""
        with self._lock:
            self.failed += 1
            self._failures.append(name)
            print(f"FAIL {name}: {text}" if text else f"FAIL {name}", flush=True)
            lines = [line for fault in faults for line in str(fault).splitlines()]
            for line in lines[: self._lines_max]:
                print(f"     | {line}", flush=True)
            if len(lines) > self._lines_max:
                print(f"     | … and {len(lines) - self._lines_max} lines more", flush=True)

    def result(self, name: str, faults: Sequence[object], text: str = "") -> None:
        """One more, which has passed where there are no faults."""
        if faults:
            self.fail(name, text, faults)
        else:
            self.ok(name, text)

    def note(self, text: str) -> None:
        """A line that counts for nothing."""
        with self._lock:
            print(f"     {text}", flush=True)

    def end(self, text: str = "") -> int:
        """Prints what failed and the count, and `text` after it; returns the exit code.

        Of a long run often the last lines alone are kept.
        """
        for name in self._failures[:FAILURES_MAX]:
            print(f"failed: {name}", flush=True)
        print(f"{self.passed} passed, {self.failed} failed{text}", flush=True)
        return 1 if self.failed else 0
