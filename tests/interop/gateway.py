"""The program under test: the real binary, started on free ports with a data directory of its own, and its command line.

Relies on nothing but what an operator has: the line `ready` on standard error, exit codes, JSON on standard output.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from listener import Listener
from peers import Target

READY_SECONDS, STOP_SECONDS, COMMAND_SECONDS = 15, 12, 20


class CommandFailed(Exception):
    """A command of the program ended with another exit code than 0, or printed no JSON."""


def free_port(kind):
    """A port that is free now; `kind` is SOCK_DGRAM or SOCK_STREAM."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gateway:
    """One data directory and the server that runs on it, if one runs."""

    def __init__(self, binary):
        self._binary = str(binary)
        self.folder = Path(tempfile.mkdtemp(prefix="interop-"))
        self.data = self.folder / "data"
        self.dtls_host = "127.0.0.1"
        self.dtls_port = free_port(socket.SOCK_DGRAM)
        self.http_port = free_port(socket.SOCK_STREAM)
        self._process = None
        self._listener = None
        self._log = self.folder / "server.log"

    def serve_command(self, *more, verb="serve"):
        """The command that `start` runs."""
        listen = ["--dtls", f"{self.dtls_host}:{self.dtls_port}", "--http", f"127.0.0.1:{self.http_port}"]
        return [self._binary, verb, "--data", str(self.data), *listen, *more]

    def start(self, *more, verb="serve", stdout=None):
        """Starts the server (`serve` or `demo`) and waits for `ready`.

        Raises `CommandFailed` with its log when that does not come. Standard output goes there too, or to
        `stdout`.
        """
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                self.serve_command(*more, verb=verb),
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if b"\nready\n" in b"\n" + self._log.read_bytes()[begin:]:
                return self
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise CommandFailed(f"the server did not get ready (exit code {self._process.poll()})\n{self.log()}")

    def start_muted(self, stderr, *more, verb="serve", environment=None, before=None):
        """Starts the server with any standard error, and waits until it answers that it is ready."""
        self._process = subprocess.Popen(
            self.serve_command(*more, verb=verb),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            preexec_fn=before,
        )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.running():
            try:
                if self.http("/health/ready")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.05)
        raise CommandFailed(f"the server did not get ready (exit code {self._process.poll()})")

    def try_to_start(self, *more):
        """Runs `serve` where it should fail at once; returns exit code and standard error. None: it went on running."""
        process = subprocess.Popen(
            self.serve_command(*more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )
        try:
            _, noise = process.communicate(timeout=READY_SECONDS)
            return process.returncode, noise.decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.kill()
            _, noise = process.communicate()
            return None, noise.decode(errors="replace")

    def stop(self):
        """SIGTERM; returns the exit code, None if the server had to be killed."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self):
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def running(self):
        """True while the server's process lives."""
        return self._process is not None and self._process.poll() is None

    def log(self, lines=60):
        """The newest lines of what the server printed."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def listener(self):
        """What follows the events of the running server; the same one until the server ends."""
        if self._listener is None or not self._listener.running():
            self._listener = Listener(self)
        return self._listener

    def remove(self):
        """Ends the server and deletes the data directory."""
        if self.running():
            self.kill()
        if self._listener is not None:
            self._listener.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *arguments):
        """A command of the program on the data directory."""
        return [self._binary, *arguments, "--data", str(self.data)]

    def run(self, *arguments):
        """Runs a command on the data directory; returns exit code, standard output and standard error."""
        command = self.command(*arguments)
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_SECONDS, cwd=self.folder
        )
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    def json(self, *arguments):
        """Runs a command with `-o json` and returns the document that it printed."""
        code, output, noise = self.run(*arguments, "-o", "json")
        try:
            if code == 0:
                return json.loads(output)
        except ValueError:
            pass
        raise CommandFailed(f"narrowgate {' '.join(arguments)}: exit code {code}\n{output}{noise}")

    def http(self, path):
        """Status and body of a GET on the HTTP port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def target(self, identity, key, suite, seconds=10.0, host="127.0.0.1"):
        """The server as a peer sees it."""
        return Target(self.dtls_port, identity, key, suite, seconds, host)

    def fingerprint(self):
        """Every file of the data directory with a hash of its content; the lock file is no content."""
        files = sorted(path for path in self.data.rglob("*") if path.is_file() and path.suffix != ".lock")
        return {str(path.relative_to(self.data)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def parts_of_error(noise):
    """An operator's message in its parts: `error` (what), where it is, `reason` and `try`; {} if there is none."""
    headline = re.search(r"^error: (.+)$", noise, re.MULTILINE)
    if headline is None:
        return {}
    parts = {"error": headline[1]}
    for label, text in re.findall(r"^  (\w+) +(\S.*)$", noise[headline.end() :], re.MULTILINE):
        parts[label] = text
    return parts
