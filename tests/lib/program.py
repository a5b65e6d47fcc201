"""The program under test: the real binary, started on free ports with a data directory of its own, and its
command line.

Relies on nothing but what an operator has: the line `ready` on standard error, exit codes, JSON on standard
output.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lib.ports import free_port
from lib.waiting import wait_for


class Failed(Exception):
    """What was to happen did not: no start, another exit code than 0, no JSON."""


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of this process, but of the program's settings only these.

    Tests and benchmarks connect and report far more often than a device may, so its limits are off unless a
    test sets them.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NARROWGATE_")}
    unlimited = {"NARROWGATE_LIMITS_DEVICE_HANDSHAKES": "off", "NARROWGATE_LIMITS_DEVICE_BYTES": "off"}
    return {**inherited, **unlimited, **(settings or {})}


class Gateway:
    """One data directory, always on the same ports, and the server that runs on it, if one runs."""

    READY_SECONDS, STOP_SECONDS, COMMAND_SECONDS = 15, 12, 20
    # Of the server and of each command.
    SETTINGS: Mapping[str, str] = {}

    def __init__(self, binary: str | Path, folder: Path | None = None, data: Path | None = None):
        self.binary = str(binary)
        self.folder = Path(folder or tempfile.mkdtemp(prefix="gateway-"))
        self.data = Path(data or self.folder / "data")
        self.dtls_host = "127.0.0.1"
        self.dtls_port, self.http_port = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        self.process: subprocess.Popen | None = None
        self._log, self._log_begin = self.folder / "server.log", 0

    def serve_command(self, *more: str, verb: str = "serve") -> list[str]:
        """The command that `spawn` runs."""
        listen = ["--dtls", f"{self.dtls_host}:{self.dtls_port}", "--http", f"127.0.0.1:{self.http_port}"]
        return [self.binary, verb, "--data", str(self.data), *listen, *more]

    def spawn(
        self,
        *more: str,
        verb: str = "serve",
        before: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        stdout=None,
        stderr=None,
        prepare=None,
    ):
        """Starts the server (`serve` or `demo`) without waiting, behind the command `before` (strace, for
        example).

        What it prints goes to its log, unless said otherwise. `prepare()` runs in its process.
        """
        with self._log.open("ab") as log:
            self._log_begin = log.tell()
            self.process = subprocess.Popen(
                [*before, *self.serve_command(*more, verb=verb)],
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=stderr or log,
                cwd=self.folder,
                env=environment({**self.SETTINGS, **(settings or {})}),
                start_new_session=True,
                preexec_fn=prepare,
            )
        return self

    def start(self, *more: str, **options):
        """Starts the server as `spawn` does and waits for `ready`; raises `Failed` with its log."""
        self.spawn(*more, **options).wait_ready()
        return self

    def wait_ready(self, seconds: float | None = None) -> float:
        """Returns the seconds until it was ready; raises `Failed` with what it said."""
        begin = time.monotonic()
        wait_for(lambda: self.is_ready() or not self.running(), seconds or self.READY_SECONDS, 0.004)
        if not self.is_ready():
            raise Failed(f"the server did not get ready (exit code {self.process.poll()})\n{self.tail(60)}")
        return time.monotonic() - begin

    def is_ready(self) -> bool:
        """Whether it has said so since the last start."""
        return "\nready\n" in "\n" + self.said()

    def running(self) -> bool:
        """True while the server's process lives."""
        return self.process is not None and self.process.poll() is None

    def said(self) -> str:
        """What it has printed since the last start."""
        with self._log.open("rb") as log:
            log.seek(self._log_begin)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 12) -> str:
        """The newest lines that it has printed since the last start."""
        return "\n".join(self.said().splitlines()[-lines:])

    def log(self, lines: int = 60) -> str:
        """The newest lines of all that it has ever printed."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> int | None:
        """SIGTERM; returns the exit code, None if the server had to be killed."""
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            return self.process.wait(self.STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self) -> None:
        """kill -9, with whatever it was started behind."""
        if self.process is None:
            return
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        # What strace started ends a moment later than strace.
        wait_for(lambda: not self._group_lives(), self.STOP_SECONDS, 0.002)

    def _group_lives(self):
        try:
            os.killpg(self.process.pid, 0)
            return True
        except ProcessLookupError:
            return False

    def remove(self) -> None:
        """Ends the server and deletes its folder."""
        if self.running():
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *arguments: str) -> list[str]:
        """A command of the program on the data directory."""
        return [self.binary, *arguments, "--data", str(self.data)]

    def run(self, *arguments: str, text: str = "") -> tuple[int, str, str]:
        """Runs a command on the data directory; returns exit code, standard output and standard error."""
        done = subprocess.run(
            self.command(*arguments),
            input=text.encode(),
            capture_output=True,
            timeout=self.COMMAND_SECONDS,
            cwd=self.folder,
            env=environment(self.SETTINGS),
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def json(self, *arguments: str, text: str = ""):
        """Runs a command with `-o json` and returns the document that it printed."""
        code, output, noise = self.run(*arguments, "-o", "json", text=text)
        try:
            if code == 0:
                return json.loads(output)
        except ValueError:
            pass
        raise Failed(f"narrowgate {' '.join(arguments)}: exit code {code}\n{output}{noise}")
