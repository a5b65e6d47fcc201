"""Devices that report until they are stopped, and log what they sent and what was acknowledged."""

import json
import subprocess
from pathlib import Path

from crash.server import ACTIVATING, ACTIVATING_SECRET, PRODUCT
from lib import load
from lib.program import Failed

STOP_SECONDS = 20


class Fleet:
    """Devices that report until they are stopped; with duties they take commands, too."""

    def __init__(
        self, server, devices, rate, registered, activating, seconds=7200, log=None, first=1, duties=False
    ):
        self.log = Path(log or server.folder / "fleet.log")
        options = [
            "--devices",
            devices,
            "--rate",
            rate,
            "--log",
            self.log,
            "--first",
            first,
            "--time-limit",
            seconds,
        ]
        options += ["--until-input-ends", "-o", "json", *(["--duties"] if duties else [])]
        command = load.command(server.load, "fleet", server, PRODUCT, *options)
        if activating:
            command += ["--activation-product", ACTIVATING, "--activation-secret", ACTIVATING_SECRET]
            command += ["--activation-first", str(registered + 1), "--activation-count", str(activating)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.summary = None

    def running(self):
        """False once it has ended, wanted or not."""
        return self._process.poll() is None

    def stop(self):
        """Waits for the answers under way; the summary."""
        if self.summary is None:
            try:
                output, _ = self._process.communicate(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise Failed("the fleet does not end") from None
            if self._process.returncode != 0:
                raise Failed(f"the fleet ended with {self._process.returncode}")
            self.summary = json.loads(output)
        return self.summary

    def kill(self):
        """Ends it at once."""
        if self.running():
            self._process.kill()
        self._process.wait()
