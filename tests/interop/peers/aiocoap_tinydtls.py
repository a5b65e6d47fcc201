"""aiocoap over DTLSSocket (tinydtls): CCM_8 only, CoAP of its own. Identities to 32 bytes, keys to 16."""

from pathlib import Path

from lib.dtls import CCM8
from lib.paths import TOOLS
from lib.tools import need
from .helper import exchange_by_helper

NAME = "aiocoap-tinydtls"
SUITES = (CCM8,)


def exchange(target, requests):
    """One handshake and the requests over it."""
    return _by_helper("aiocoap_helper.py", target, requests)


def connect_and_close_twice(target):
    """Two sessions of one tinydtls context, each closed by it; raises where one does not begin or end."""
    _by_helper("tinydtls_again_helper.py", target, [])


def _by_helper(program, target, requests):
    python = need(TOOLS / "venv" / "bin" / "python", "the Python environment of aiocoap")
    return exchange_by_helper([python, str(Path(__file__).with_name(program))], target, requests)
