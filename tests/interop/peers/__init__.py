"""The independent peers, one file each: programs and libraries that this project did not write.

A peer offers `exchange(target, requests) -> responses`: one DTLS handshake as the target says, then the
requests one after the other. A handshake or request that is met with silence raises `Silence`;
an alert or anything else that goes wrong raises `PeerFailed` with what the peer printed.
"""

import contextlib
import os
import queue
import subprocess
import threading
import time
from dataclasses import dataclass


class PeerFailed(Exception):
    """A peer refused, crashed or printed something that it should not."""


@dataclass(frozen=True)
class Target:
    """Whom to talk to and as whom. `key` is the PSK, 16 raw bytes; `seconds` limits the handshake."""

    port: int
    identity: str
    key: bytes
    suite: str
    seconds: float = 10.0
    host: str = "127.0.0.1"


QUIET_SECONDS = 0.08


class Piped:
    """A program whose standard input and output carry datagrams.

    One write is one datagram. A program may print what it received in pieces, so a datagram ends where
    nothing follows for `QUIET_SECONDS`; two that come at once are taken for one.
    """

    def __init__(self, command, environment=None):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            bufsize=0,
        )
        self._received = queue.Queue()
        self._noise = bytearray()
        threading.Thread(target=self._pump_output, daemon=True).start()
        threading.Thread(target=self._pump_noise, daemon=True).start()

    def _pump_output(self):
        while data := self._process.stdout.read(65536):
            self._received.put(data)
        self._received.put(None)

    def _pump_noise(self):
        while data := self._process.stderr.read(4096):
            self._noise += data

    @property
    def noise(self):
        """What the program said on standard error so far."""
        return self._noise.decode(errors="replace")

    def send(self, data):
        """Hands one datagram to the program."""
        try:
            self._process.stdin.write(data)
        except BrokenPipeError as broken:
            raise PeerFailed(f"the peer has ended: {self.noise}") from broken

    def receive(self, seconds):
        """The next datagram that the program printed, or None when the time is up."""
        try:
            data = self._received.get(timeout=seconds)
        except queue.Empty:
            return None
        if data is None:
            time.sleep(0.1)  # Its last words may still be in the other pipe.
            raise PeerFailed(f"the peer has ended: {self.noise}")
        with contextlib.suppress(queue.Empty):
            while more := self._received.get(timeout=QUIET_SECONDS):
                data += more
            self._received.put(None)  # The program has ended; the next call says so.
        return data

    def end_input(self):
        """Closes standard input and waits up to 3 s for the program to say good-bye and end."""
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(3)
        self.kill()

    def kill(self):
        """Ends the program at once, without a close_notify, and gives its pipes back."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            pipe.close()


def run_peer(command, seconds, environment=None, text=b""):
    """Runs a program to its end; returns exit code, standard output and standard error. A time-out is exit
    code None.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        output, noise = process.communicate(text, seconds)
        return process.returncode, output, noise.decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        output, noise = process.communicate()
        return None, output, noise.decode(errors="replace")
