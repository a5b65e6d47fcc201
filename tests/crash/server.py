"""The program under test on a data directory, and a fleet that reports to it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

READY_SECONDS, STOP_SECONDS, COMMAND_SECONDS = 30, 20, 120
PRODUCT, ACTIVATING = "CrashPk1", "CrashPk2"
ACTIVATING_SECRET = "c3PW03srd6c"


class Failed(Exception):
    """What was to happen did not."""


def free_port(kind):
    """A port that is free now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Programs:
    """The two programs."""

    def __init__(self, narrowgate, load):
        self.narrowgate, self.load = str(narrowgate), str(load)


class Server:
    """One data directory, always on the same ports."""

    def __init__(self, programs, folder, data=None):
        self._programs = programs
        self.folder, self.data = Path(folder), Path(data or Path(folder) / "data")
        self.dtls, self.http = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        self.log = self.folder / "server.log"
        self.process = None
        self._log_begin = 0

    def spawn(self, before=(), environment=None):
        """Starts it, behind the command `before` (strace, for example), without waiting."""
        command = [*before, self._programs.narrowgate, "serve", "--data", str(self.data)]
        command += ["--dtls", f"127.0.0.1:{self.dtls}", "--http", f"127.0.0.1:{self.http}"]
        with self.log.open("ab") as log:
            self._log_begin = log.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        return self

    def said(self):
        """What it has printed since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_begin)
            return log.read().decode(errors="replace")

    def is_ready(self):
        """Whether it has said so since the last start."""
        return "\nready\n" in "\n" + self.said()

    def wait_ready(self, seconds=READY_SECONDS):
        """Seconds until it was ready; raises `Failed` with what it said."""
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            if self.is_ready():
                return time.monotonic() - begin
            if self.process.poll() is not None:
                break
            time.sleep(0.004)
        raise Failed(f"not ready (exit code {self.process.poll()}): {self.tail()}")

    def start(self):
        """Starts it; returns the seconds until it was ready."""
        return self.spawn().wait_ready()

    def tail(self, lines=12):
        """The newest lines that it printed."""
        return "\n".join(self.said().splitlines()[-lines:])

    def kill(self):
        """kill -9, with whatever it was started behind."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            # What strace started ends a moment later than strace.
            while self._group_lives():
                time.sleep(0.002)

    def _group_lives(self):
        try:
            os.killpg(self.process.pid, 0)
            return True
        except ProcessLookupError:
            return False

    def stop(self):
        """SIGTERM; the exit code."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def ended_within(self, seconds):
        """Whether it ends by itself."""
        try:
            self.process.wait(seconds)
            return True
        except subprocess.TimeoutExpired:
            return False

    def run(self, *arguments, text=None):
        """Runs a command on the data directory; returns its document."""
        command = [self._programs.narrowgate, *arguments, "--data", str(self.data), "-o", "json"]
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=COMMAND_SECONDS, cwd=self.folder
        )
        if done.returncode != 0:
            raise Failed(f"narrowgate {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
        return json.loads(done.stdout or "null")

    def register(self, devices, activating):
        """Two products with their devices; the second one's fetch their secrets."""
        csv = subprocess.run(
            [self._programs.load, "devices", "--count", str(devices + activating)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines(keepends=True)
        self.run("product", "create", "crash", "--product-key", PRODUCT)
        options = ["--product-key", ACTIVATING, "--product-secret", ACTIVATING_SECRET]
        self.run("product", "create", "activating", *options, "--dynamic-activation", "--quota", "1000000")
        for product, lines in [(PRODUCT, csv[1 : devices + 1]), (ACTIVATING, csv[devices + 1 :])]:
            self.run("device", "import", "-", "--product", product, text="".join([csv[0], *lines]))
        return self


class Fleet:
    """Devices that report until they are stopped."""

    def __init__(self, programs, server, devices, rate, registered, activating, seconds=7200, log=None, first=1):
        self.log = Path(log or server.folder / "fleet.log")
        command = [programs.load, "fleet", "--server", f"127.0.0.1:{server.dtls}", "--product-key", PRODUCT]
        command += ["--devices", str(devices), "--rate", str(rate), "--log", str(self.log)]
        command += ["--first", str(first), "--time-limit", str(seconds), "--until-input-ends", "-o", "json"]
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


def copy_of(data, target):
    """A copy of a data directory, without what is not a file (the control socket)."""
    shutil.copytree(data, target, ignore=lambda folder, names: [n for n in names if Path(folder, n).is_socket()])
    return Path(target)
