"""Counts and prints results, one line per round."""

import threading

FAULTS_SHOWN = 12


class Report:
    """What has passed and what has not."""

    def __init__(self):
        self._lock = threading.Lock()
        self.passed = self.failed = 0

    def result(self, name, faults, text=""):
        """One round: passed where there are no faults."""
        with self._lock:
            if not faults:
                self.passed += 1
                print(f"ok   {name}: {text}" if text else f"ok   {name}", flush=True)
                return
            self.failed += 1
            print(f"FAIL {name}: {text}", flush=True)
            for fault in faults[:FAULTS_SHOWN]:
                for line in str(fault).splitlines():
                    print(f"     | {line}", flush=True)
            if len(faults) > FAULTS_SHOWN:
                print(f"     | … and {len(faults) - FAULTS_SHOWN} more", flush=True)
