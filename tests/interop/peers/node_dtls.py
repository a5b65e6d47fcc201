"""node-dtls-client: a ClientHello without a single extension, so no extended master secret and
MAC-then-encrypt with CBC.

It gives a DTLS channel; the CoAP messages are built here and handed over as bytes.
"""

import shutil
from pathlib import Path

from lib.coap import Malformed, build_request, decode, encode
from lib.dtls import CBC, CCM8
from lib.paths import TOOLS
from lib.tools import ToolMissing, need

from . import PeerFailed
from .helper import exchange_by_helper

NAME = "node-dtls-client"
SUITES = (CCM8, CBC)


def exchange(target, requests):
    """One handshake and the requests over it; ends with close_notify."""
    node = shutil.which("node")
    if node is None:
        raise ToolMissing("node is missing: run tests/run install")
    modules = need(TOOLS / "node" / "node_modules" / "node-dtls-client", "node-dtls-client")
    datagrams = [
        encode(build_request(request, 0x4E00 + number, bytes([0x4E, number]))).hex()
        for number, request in enumerate(requests)
    ]
    command = [node, str(Path(__file__).with_name("node_helper.js")), modules]
    answers = exchange_by_helper(command, target, requests, {"datagrams": datagrams})
    try:
        return [decode(bytes.fromhex(answer.payload.decode())).response() for answer in answers]
    except Malformed as malformed:
        raise PeerFailed(f"not CoAP: {malformed}") from malformed
