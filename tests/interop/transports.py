"""How a device of the story (cases/story.py) talks to the server: over DTLS, by clients that are not ours.

A transport has `activate(device)`, which returns the device with its own secret; `login(device, lifetime)`;
`ask(request)`; `command_of(response)`, the command of which a response tells, or None; `sleep()`, `wake()` and
`close()`.
"""

import json

from interop.harness import check
from interop.peers.aiocoap_tinydtls import Session
from lib.coap import FORMAT_JSON, Request
from lib.devices import psk
from lib.dtls import CCM8

COMMAND_WAITING = 2100


class OverDtls:
    """What is the same for all clients over DTLS: activation in secure mode 3, and option 2100."""

    def __init__(self, gateway):
        self._gateway = gateway

    def activate(self, device):
        """Gets the device's secret by its product's, until libcoap 4.3.1 can use it (its key has no NUL)."""
        identity, key = device.identity(mode=3), psk(device.product.product_secret)
        while True:
            response = self._activate(identity, key, device.activation())
            check(response.code == "2.05", f"the activation was answered {response}")
            check(response.content_format == FORMAT_JSON, f"its content format is {response.content_format}")
            owner = device.with_secret(json.loads(response.payload)["params"]["deviceSecret"])
            if 0 not in owner.key:
                return owner

    def command_of(self, response):
        """The command that a response names, fetched."""
        topics = [value.decode() for number, value in response.options if number == COMMAND_WAITING]
        if not topics:
            return None
        answer = self.ask(Request("GET", topics[0]))
        check(answer.code == "2.05", f"the command was answered {answer}")
        return json.loads(answer.payload)


class AiocoapOverDtls(OverDtls):
    """aiocoap, which keeps its session for all its life."""

    _session = None

    def _activate(self, identity, key, request):
        with Session(self._gateway.target(identity, key, CCM8)) as session:
            return session.ask(request)

    def login(self, device, lifetime):
        """The handshake of secure mode 2."""
        target = self._gateway.target(device.identity(lifetime=lifetime), device.key, CCM8)
        self._session = Session(target)

    def ask(self, request):
        """One request in the session."""
        return self._session.ask(request)

    def sleep(self):
        """Without a word: it keeps its session."""

    def wake(self):
        """It goes on in its session."""

    def close(self):
        """Says good-bye."""
        if self._session:
            self._session.close()


class LibcoapOverDtls(OverDtls):
    """libcoap's client, which makes a session for each message."""

    def __init__(self, gateway, peer, suite):
        super().__init__(gateway)
        self._peer, self._suite = peer, suite

    def _activate(self, identity, key, request):
        return self._peer.exchange(self._gateway.target(identity, key, self._suite), [request])[0]

    def login(self, device, lifetime):
        """It logs in with its first message."""
        self._target = self._gateway.target(device.identity(lifetime=lifetime), device.key, self._suite)

    def ask(self, request):
        """One request in a session of its own."""
        return self._peer.exchange(self._target, [request])[0]

    def sleep(self):
        """It has closed its last session."""

    def wake(self):
        """It logs in with its next message."""

    def close(self):
        """There is nothing to close."""
