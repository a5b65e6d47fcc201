"""OpenSSL's `s_client`: both suites, extended master secret, encrypt-then-MAC; fragments a long ClientHello
with `-mtu 256`.

It gives a DTLS channel only: CoAP goes through standard input and output as raw bytes. `-quiet` switches off
the commands that it would otherwise see in a leading Q or R, `-no_ign_eof` lets the end of the input send
close_notify.
"""

import shutil

from lib.coap import Conversation, Silence
from lib.dtls import CBC, CCM8
from lib.tools import ToolMissing

from . import PeerFailed, Piped

NAME = "openssl"
SUITES = (CCM8, CBC)
_CIPHERS = {CCM8: "PSK-AES128-CCM8:@SECLEVEL=0", CBC: "PSK-AES128-CBC-SHA256:@SECLEVEL=0"}
# Every suite of OpenSSL, so that the ClientHello does not fit into one datagram of 256 bytes.
_MANY_CIPHERS = {CCM8: "ALL:PSK:@SECLEVEL=0", CBC: "ALL:PSK:!AESCCM8:@SECLEVEL=0"}


class Session:
    """A DTLS channel held by a running `s_client`; `more` are options that come last and so win, but for the
    version.
    """

    def __init__(self, target, mtu=None, more=(), version="-dtls1_2"):
        program = shutil.which("openssl")
        if program is None:
            raise ToolMissing("openssl is missing: run tests/run install")
        ciphers = _CIPHERS if mtu is None else _MANY_CIPHERS
        command = [
            program,
            "s_client",
            version,
            "-connect",
            f"{target.host}:{target.port}",
            "-quiet",
            "-no_ign_eof",
        ]
        command += [
            "-psk_identity",
            target.identity,
            "-psk",
            target.key.hex(),
            "-cipher",
            ciphers[target.suite],
        ]
        command += ["-mtu", str(mtu)] if mtu else []
        self._piped = Piped(command + list(more))
        self._conversation = Conversation(self._piped.send, self._receive, retransmit=False)
        self._seconds = target.seconds

    def _receive(self, seconds):
        data = self._piped.receive(seconds)
        if "alert" in self._piped.noise:
            raise PeerFailed(self._piped.noise)
        return data

    def ask(self, request):
        """One request; input is buffered until the handshake is done, so the time covers both."""
        return self._conversation.ask(request, self._seconds)

    def exchange(self, message):
        """As `ask`, for a message that the caller built."""
        return self._conversation.exchange(message, self._seconds)

    def close(self):
        """Ends with a close_notify."""
        self._piped.end_input()

    def vanish(self):
        """Ends without a word, as a device does whose battery was pulled."""
        self._piped.kill()


def exchange(target, requests, mtu=None):
    """One handshake and the requests, then close_notify."""
    session = Session(target, mtu)
    try:
        responses = [session.ask(request) for request in requests]
    except (Silence, PeerFailed):
        session.vanish()
        raise
    session.close()
    return responses
