"""`narrowgate listen` beside a gateway: what happened, as it happened."""

import json
import subprocess
import time

from lib.waiting import wait_for

LISTEN_SECONDS = 10


class NotListening(Exception):
    """`narrowgate listen` did not start, or has ended."""


class Listener:
    """Listens from now on until the server ends or `stop`."""

    def __init__(self, gateway):
        self._output = gateway.folder / f"listen-{time.monotonic_ns()}"
        noise = gateway.folder / "listen.noise"
        with self._output.open("wb") as output, noise.open("wb") as errors:
            command = gateway.command("listen", "-o", "json")
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        wait_for(lambda: b"listening" in noise.read_bytes() or not self.running(), LISTEN_SECONDS, 0.02)
        if b"listening" not in noise.read_bytes():
            raise NotListening(noise.read_text(errors="replace"))

    def running(self):
        """False once the server has ended."""
        return self._process.poll() is None

    def events(self):
        """The events so far."""
        lines = self._output.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def stop(self):
        """Ends it."""
        self._process.kill()
        self._process.wait()
