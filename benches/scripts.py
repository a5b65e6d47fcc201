"""How long reports of one product take beside devices of another one whose script misbehaves.

A server of its own with the durable store: honest devices report at a steady rate, in turns alone and while
devices of the other product, by plain CoAP, send bytes all along, each again as soon as it is answered: its
script loops, allocates, recurses, throws or returns too much. The p99 beside it is to be at most 1.2 times
that alone, by the medians of the turns: a disk that is slow for a moment makes one p99 and not the median.
These devices have the lowest priority, since they would not run on the server's machine.
"""

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
from statistics import median

from lib.coap import CON, Request, build_request, decode, encode
from lib.ports import free_port
from neighbours import HONEST, honest

PRODUCT = "Looping1"
ENCODE = "function jsonStrToRawData(j) { return [0]; }\n"
KINDS = {
    "loops": "for (;;);",
    "allocates": "const all = []; for (;;) all.push(new Array(1000).fill(all.length));",
    "recurses": "const f = n => f(n + 1) + 1; return f(0);",
    "throws": "throw new Error('no');",
    "returns 64 MiB": "return 'x'.repeat(64 << 20);",
}
DEVICES, LIFETIME, OCTETS = 8, 3600, 42
RATIO_MAX, TURNS = 1.2, 3
HEAD = """\
| the other script | reports per second | p99 alone, ms | p99 beside it, ms | medians | failed | its answers |
|---|---|---|---|---|---|---|"""


class Looping(threading.Thread):
    """Devices of the other product, until the end of the block; they send while they are told to."""

    def __init__(self, server, port):
        super().__init__(daemon=True)
        self._over, self._awake, self.codes = threading.Event(), threading.Event(), {}
        self._devices = [_Device(server, port, number) for number in range(DEVICES)]

    def run(self):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        while self._awake.wait() and not self._over.is_set():
            for device in self._devices:
                for code in device.turn():
                    self.codes[code] = self.codes.get(code, 0) + 1
            time.sleep(0.005)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._awake.set()
        self.join()

    @contextlib.contextmanager
    def sending(self):
        """They send in the block."""
        self._awake.set()
        try:
            yield
        finally:
            self._awake.clear()


class _Device:
    """A device that is logged in by plain CoAP and sends bytes, one message at a time."""

    def __init__(self, server, port, number):
        key = f"looping-{number}"
        made = server.json("device", "create", "--product", PRODUCT, "--device-key", key)
        self._path = f"/topic/sys/{PRODUCT}/{key}/thing/model/up_raw"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._mid, self._sent = int.from_bytes(os.urandom(2), "big"), None
        text = f"deviceKey{key}lifetime{LIFETIME}productKey{PRODUCT}secureMode2{made['deviceSecret']}"
        sign = hashlib.sha256(text.encode()).hexdigest().upper()
        body = json.dumps({"secureMode": 2, "lifetime": LIFETIME, "sign": sign}).encode()
        self._socket.settimeout(5)
        self._send(Request("POST", f"/auth/{PRODUCT}/{key}", body))
        answer = decode(self._socket.recv(2048))
        if answer.dotted != "2.04":
            raise SystemExit(f"benches/run: a login was answered {answer.dotted}")
        self._socket.setblocking(False)
        self._sent = None

    def _send(self, request):
        self._mid = self._mid + 1 & 0xFFFF
        self._socket.send(encode(build_request(request, self._mid, b"t", CON)))
        self._sent = time.monotonic()

    def turn(self):
        """Takes what was answered, and sends the next message; an answer that is lost is not waited for."""
        try:
            while True:
                answer = decode(self._socket.recv(2048))
                if answer.code >> 5 >= 2:
                    self._sent = None
                    yield answer.dotted
        except BlockingIOError:
            pass
        if self._sent is None or time.monotonic() - self._sent > 5:
            self._send(Request("POST", self._path, b"\0" * 40, OCTETS))


def scripts(binaries, Server, scale):
    """One row for each kind; exit code 1 where the bound is broken."""
    rate, seconds = 1000, max(5, 10 // scale)
    port = free_port(socket.SOCK_DGRAM)
    print(HEAD, flush=True)
    broken = []
    with Server(binaries, "sqlite", HONEST, NARROWGATE_COAP_LISTEN=f"127.0.0.1:{port}") as server:
        server.json("product", "create", "loop", "--product-key", PRODUCT, "--data-format", "custom")
        # The first run warms up what both need.
        honest(server, rate, 3)
        with Looping(server, port) as looping:
            for kind in KINDS:
                _publish(server, kind)
                looping.codes, pairs = {}, []
                for _ in range(TURNS):
                    alone = honest(server, rate, seconds)
                    with looping.sending():
                        time.sleep(1)
                        pairs.append((alone, honest(server, rate, seconds)))
                ratio = _row(kind, rate, pairs, looping.codes)
                broken += [f"{kind}: {ratio:.2f}"] * (ratio > RATIO_MAX)
    if broken:
        many = ", ".join(broken)
        raise SystemExit(f"benches/run: p99 is {many} times that alone; at most {RATIO_MAX} may be")


def _publish(server, kind):
    source = server.folder / "other.js"
    source.write_text(f"function rawDataToJsonStr(b) {{ {KINDS[kind]} }}\n{ENCODE}")
    server.json("script", "publish", PRODUCT, str(source))


def _row(kind, rate, pairs, answers):
    alone, beside = ([turn["latencyMs"]["p99"] for turn in turns] for turns in zip(*pairs, strict=True))
    ratio = median(beside) / max(0.001, median(alone))
    codes = ", ".join(f"{count:,} times {code}" for code, count in sorted(answers.items()))
    failed = sum(turn["failed"] for pair in pairs for turn in pair)
    figures = " | ".join(", ".join(f"{value:.2f}" for value in turns) for turns in (alone, beside))
    print(f"| {kind} | {rate:,} | {figures} | {ratio:.2f} times | {failed:,} | {codes} |", flush=True)
    return ratio
