"""aiocoap over DTLSSocket (tinydtls): CCM_8 only, CoAP of its own. Identities up to 32 bytes, keys up to 16."""

from pathlib import Path

from . import CCM8, TOOLS, need
from .helper import exchange_by_helper

NAME = "aiocoap-tinydtls"
SUITES = (CCM8,)


def exchange(target, requests):
    """One handshake and the requests over it."""
    python = need(TOOLS / "venv" / "bin" / "python", "the Python environment of aiocoap")
    return exchange_by_helper([python, str(Path(__file__).with_name("aiocoap_helper.py"))], target, requests)
