"""A relay between a peer and the server, like a NAT: it can lose datagrams and go on from another port."""

import contextlib
import random
import select
import socket
import threading
from dataclasses import replace


def _pass(_relay, _datagram):
    return True


class Relay:
    """One peer's way to the server. `on_answer(relay, datagram)`: whether to pass it on; it may `move`.
    `on_request` is the same for the other direction.
    """

    def __init__(self, port, on_answer=_pass, on_request=_pass):
        self._server, self._on_answer, self._on_request = ("127.0.0.1", port), on_answer, on_request
        self._inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._inside.bind(("127.0.0.1", 0))
        self._outside, self._peer, self._running = self._open(), None, True
        self.port = self._inside.getsockname()[1]
        self.sent, self.received = [], []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _open(self):
        outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        outside.bind(("127.0.0.1", 0))
        return outside

    def move(self):
        """Goes on from another port; what comes to the old one is lost."""
        old, self._outside = self._outside, self._open()
        old.close()

    def _run(self):
        while self._running:
            ready, _, _ = select.select([self._inside, self._outside], [], [], 0.05)
            if self._inside in ready:
                datagram, self._peer = self._inside.recvfrom(65536)
                self.sent.append(datagram)
                if self._on_request(self, datagram):
                    self._outside.sendto(datagram, self._server)
            if self._outside in ready:
                with contextlib.suppress(ConnectionError):
                    self._answer(self._outside.recv(65536))

    def _answer(self, datagram):
        self.received.append(datagram)
        if self._on_answer(self, datagram) and self._peer:
            self._inside.sendto(datagram, self._peer)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._running = False
        self._thread.join()
        self._inside.close()
        self._outside.close()


def lossy(port, seed, lost=0.2, on_request=_pass):
    """A relay that loses this part of the datagrams, each way, by a seed; `on_request` sees the others."""
    dice = random.Random(seed)
    is_passed = lambda: dice.random() >= lost  # noqa: E731
    return Relay(
        port,
        lambda _relay, _datagram: is_passed(),
        lambda relay, datagram: is_passed() and on_request(relay, datagram),
    )


class Relayed:
    """A gateway whose devices come by the relay."""

    def __init__(self, gateway, relay):
        self._gateway, self._relay = gateway, relay

    def target(self, *arguments, **more):
        """The relay as a peer sees it: as the server."""
        return replace(self._gateway.target(*arguments, **more), port=self._relay.port)

    def __getattr__(self, name):
        return getattr(self._gateway, name)
