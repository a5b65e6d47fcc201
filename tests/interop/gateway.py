"""The program under test as the cases use it: starts that must fail, logs that cannot be written, events,
HTTP.
"""

import hashlib
import re
import subprocess
import time
import urllib.error
import urllib.request

from interop.listener import Listener
from interop.peers import Target
from lib import program
from lib.program import Failed


class Gateway(program.Gateway):
    """One data directory and the server that runs on it, if one runs."""

    _listener = None

    def start_muted(self, stderr, *more, verb="serve", settings=None, before=None):
        """Starts the server with any standard error, and waits until it answers that it is ready."""
        self.spawn(
            *more, verb=verb, settings=settings, stdout=subprocess.DEVNULL, stderr=stderr, prepare=before
        )
        deadline = time.monotonic() + self.READY_SECONDS
        while time.monotonic() < deadline and self.running():
            try:
                if self.http("/health/ready")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.05)
        raise Failed(f"the server did not get ready (exit code {self.process.poll()})")

    def try_to_start(self, *more):
        """Runs `serve` where it should fail at once; returns exit code and standard error. None: it went on
        running.
        """
        process = subprocess.Popen(
            self.serve_command(*more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=program.environment(),
        )
        try:
            _, noise = process.communicate(timeout=self.READY_SECONDS)
            return process.returncode, noise.decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.kill()
            _, noise = process.communicate()
            return None, noise.decode(errors="replace")

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
        super().remove()

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
        return {
            str(path.relative_to(self.data)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
        }


def parts_of_error(noise):
    """An operator's message in its parts: `error` (what), where it is, `reason` and `try`; {} if there is
    none.
    """
    headline = re.search(r"^error: (.+)$", noise, re.MULTILINE)
    if headline is None:
        return {}
    parts = {"error": headline[1]}
    for label, text in re.findall(r"^  (\w+) +(\S.*)$", noise[headline.end() :], re.MULTILINE):
        parts[label] = text
    return parts
