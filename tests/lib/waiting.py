"""Waiting for what another process does."""

import time


def wait_for(probe, seconds: float, pause: float = 0.05):
    """Returns what `probe()` returns as soon as that is true, or its last result when the time is up."""
    deadline = time.monotonic() + seconds
    while not (result := probe()) and time.monotonic() < deadline:
        time.sleep(pause)
    return result
