"""GnuTLS's `gnutls-cli --udp`: both suites, extended master secret, encrypt-then-MAC, record_size_limit.

`%COMPAT` would take away the last three, so the priorities name only what is wanted. Chatter goes to a log
file, standard output carries the records' contents alone.
"""

import shutil
import tempfile
from pathlib import Path

from lib.coap import Conversation
from lib.dtls import CBC, CCM8
from lib.tools import ToolMissing

from . import PeerFailed, Piped

NAME = "gnutls"
SUITES = (CCM8, CBC)
_BASE = "NONE:+VERS-DTLS1.2:+PSK:+SIGN-ALL:+GROUP-ALL:+COMP-NULL"
_PRIORITIES = {CCM8: f"{_BASE}:+AES-128-CCM-8:+AEAD", CBC: f"{_BASE}:+AES-128-CBC:+SHA256"}


def exchange(target, requests, priority=None):
    """One handshake and the requests; ends with close_notify. `priority` replaces the suite's."""
    program = shutil.which("gnutls-cli")
    if program is None:
        raise ToolMissing("gnutls-cli is missing: run tests/run install")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [program, "--udp", "--port", str(target.port)]
        command += ["--priority", priority or _PRIORITIES[target.suite]]
        command += [
            "--pskusername",
            target.identity,
            "--pskkey",
            target.key.hex(),
            "--logfile",
            str(log),
            target.host,
        ]
        piped = Piped(command)
        conversation = Conversation(piped.send, piped.receive, retransmit=False)
        try:
            responses = [conversation.ask(request, target.seconds) for request in requests]
        except PeerFailed as failed:
            raise PeerFailed(f"{failed}{log.read_text(errors='replace') if log.exists() else ''}") from failed
        finally:
            piped.end_input()
        return responses
