"""A log that cannot be written, or that nobody reads, ends no server and keeps no device waiting; what a
terminal shows.
"""

import fcntl
import json
import os
import pty
import re
import resource
import struct
import subprocess
import termios
import threading
import time

from interop.harness import case, check, eventually
from interop.peers import openssl
from lib.coap import Silence
from lib.devices import create_device, psk
from lib.dtls import CCM8

from .steps import check_reply, report_by, stored

_DEBUG = {"NARROWGATE_LOG_FILTER": "trace"}
_PIPE_BYTES = 65_536  # What a pipe of Linux holds.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def _refuse_one(gateway, device):
    """A handshake with a wrong key: one refusal, and its line in a log at debug."""
    session = openssl.Session(gateway.target(device.identity(), psk("another secret"), CCM8, 1.5))
    try:
        session.ask(device.report({"temp": 1}))
    except Silence:
        pass
    session.vanish()


def _goes_on(gateway):
    """Devices, commands, health and the stop work as if somebody read the log."""
    device = create_device(gateway)
    _refuse_one(gateway, device)
    report_by(openssl, gateway, device, CCM8)
    check(stored(gateway, device, "temp"), "the report is not stored")
    eventually("no refusal is listed", lambda: "wrong_key" in json.dumps(gateway.json("refused")))
    check(gateway.http("/health/live")[0] == 200, "health is not answered")
    begin = time.monotonic()
    check(gateway.stop() == 0, "the server did not stop with 0")
    check(time.monotonic() - begin < 10.5, "the stop took more than 10 s")


def _dropped(gateway):
    return int(
        re.search(r"^narrowgate_log_lines_dropped_total (\d+)$", gateway.http("/metrics")[1], re.MULTILINE)[1]
    )


@case("a log on a full disk: devices are served, the lost lines are counted")
def _full(world):
    with world.fresh() as gateway, open("/dev/full", "wb") as full:
        gateway.start_muted(full, settings=_DEBUG)
        check(_dropped(gateway) > 0, "no lost line is counted")
        _goes_on(gateway)


@case("a log whose reader has gone (serve 2>&1 | head): devices are served")
def _gone(world):
    with world.fresh() as gateway:
        reader, writer = os.pipe()
        gateway.start_muted(writer, settings=_DEBUG)
        os.close(writer)
        os.close(reader)
        _goes_on(gateway)


@case("a log that nobody reads, a full pipe: devices are served, and what was kept is read later")
def _stuck(world):
    with world.fresh() as gateway:
        reader, writer = os.pipe()
        os.write(writer, b"." * _PIPE_BYTES)
        gateway.start_muted(writer, settings=_DEBUG)
        device = create_device(gateway)
        report_by(openssl, gateway, device, CCM8)
        check(len(os.read(reader, _PIPE_BYTES)) == _PIPE_BYTES, "the pipe was not full")
        eventually("the banner does not come", lambda: b"\nready\n" in os.read(reader, _PIPE_BYTES))
        os.write(writer, b"." * (_PIPE_BYTES - 4096))
        _goes_on(gateway)
        os.close(writer)
        os.close(reader)


@case("a log file at the limit of file sizes: no signal ends the server")
def _limited(world):
    with world.fresh() as gateway, (gateway.folder / "limited.log").open("ab") as log:
        limit = 32 << 20
        log.truncate(limit)
        bound = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # noqa: E731
        gateway.start_muted(log, settings=_DEBUG, before=bound)
        check(_dropped(gateway) > 0, "no lost line is counted")
        _goes_on(gateway)


class _Terminal:
    """A terminal of a width; what is written to it is read all the time, for it holds a few KiB."""

    def __init__(self, columns):
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self._written = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            while piece := os.read(self._ours, 65_536):
                self._written += piece
        except OSError:  # EIO: everybody has closed it.
            pass

    def text(self):
        os.close(self.theirs)
        self._reader.join(20)
        os.close(self._ours)
        return self._written.decode().replace("\r\n", "\n")


def _log_on_terminal(world, **environment):
    """What the log shows on a terminal."""
    with world.fresh() as gateway:
        terminal = _Terminal(100)
        gateway.start_muted(terminal.theirs, settings={"TERM": "xterm", "NO_COLOR": "", **environment})
        check(gateway.stop() == 0, "the server did not stop with 0")
        return terminal.text()


@case("the log has colours on a terminal, not with NO_COLOR, not where TERM is dumb")
def _colours(world):
    coloured = _log_on_terminal(world)
    check(_COLOUR.search(coloured) and "stopped" in coloured, f"no colours: {coloured!r}")
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        plain = _log_on_terminal(world, **environment)
        check("\x1b" not in plain and "stopped" in plain, f"colours with {environment}: {plain!r}")


@case("tables are folded to the terminal's width; into a pipe they are not")
def _folded(world):
    gateway = world.gateway
    command = gateway.command("config")
    for columns in (60, 80, 132):
        terminal = _Terminal(columns)
        subprocess.run(command, stdout=terminal.theirs, timeout=20, check=True)
        text = terminal.text()
        widest = max(len(line) for line in text.splitlines())
        check(columns // 2 < widest <= columns, f"{widest} columns on a terminal of {columns}\n{text}")
    piped = subprocess.run(command, capture_output=True, timeout=20, check=True).stdout.decode()
    check(
        all(line.startswith(" ") and line.split()[0].count(".") == 1 for line in piped.splitlines()[1:]),
        piped,
    )


@case("nothing that a device or an operator sent steers or hides on a terminal")
def _escaped(world):
    gateway = world.gateway
    device = create_device(gateway)
    hidden = "\u2028\u2029\ufeff\u061c\u200b\u200d\u202e\u2066\u00ad\u3164\U000e0041"
    gateway.json("product", "update", device.product.product_key, "--name", f"a{hidden}b")
    request = device.report({"note": f"a{hidden}b"})
    [response] = openssl.exchange(gateway.target(device.identity(), device.key, CCM8), [request])
    check_reply(response)
    table = gateway.run("product", "list")[1] + gateway.run("device", "points", *device.names)[1]
    check(not any(letter in table for letter in hidden), f"a table shows it raw: {table!r}")
    check("\\u{200b}" in table and "\\u{e0041}" in table, f"a table does not show it: {table!r}")
    name = next(
        p["name"] for p in gateway.json("product", "list") if p["productKey"] == device.product.product_key
    )
    check(name == f"a{hidden}b", "JSON is not exact")
    code, _, noise = gateway.run("device", "show", f"x{hidden}\x1b[2Jy")
    check(
        code == 1 and "\x1b" not in noise and not any(letter in noise for letter in hidden),
        f"an error: {noise!r}",
    )


@case("a listener that cannot write ends with 1 and says so, one whose reader has gone ends with 0")
def _listeners(world):
    gateway = world.gateway
    device = create_device(gateway)
    command = gateway.command("listen", "--device", device.device_key)
    reader, writer = os.pipe()
    with open("/dev/full", "wb") as full:
        listeners = [subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE) for out in (full, writer)]
    os.close(writer)
    os.close(reader)
    for listener in listeners:
        check(listener.stderr.readline().startswith(b"listening"), "a listener does not listen")
    report_by(openssl, gateway, device, CCM8)
    ended = [(listener.communicate(timeout=20)[1].decode(), listener.returncode) for listener in listeners]
    check(
        "cannot write to standard output" in ended[0][0] and ended[0][1] == 1, f"on a full disk: {ended[0]}"
    )
    check(ended[1] == ("", 0), f"without a reader: {ended[1]}")
