"""python-mbedtls: Mbed TLS 2.28.8 by its Python binding, whose records go through buffers in memory. CoAP as
in lib/coap.py.
"""

from pathlib import Path

from lib.dtls import CBC, CCM8
from lib.paths import TOOLS
from lib.tools import need
from .helper import exchange_by_helper

NAME = "python-mbedtls"
SUITES = (CCM8, CBC)


def exchange(target, requests):
    """One handshake and the requests over it; ends with close_notify."""
    python = need(TOOLS / "venv" / "bin" / "python", "the Python environment of python-mbedtls")
    return exchange_by_helper(
        [python, str(Path(__file__).with_name("python_mbedtls_helper.py"))], target, requests
    )
