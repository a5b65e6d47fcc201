"""CBOR by cbor2, a codec that is not ours: what devices send in CBOR, and what they are answered."""

import json
from functools import cache
from pathlib import Path

from lib.paths import TOOLS
from lib.tools import need

from . import PeerFailed, run_peer

SECONDS = 10


def encode(value, canonical=False):
    """A value of JSON in CBOR."""
    return bytes.fromhex(_ask(value=value, canonical=canonical)["bytes"])


def encode_python(expression, canonical=False):
    """What a Python expression is, in CBOR; see the helper for the names that it may use."""
    return bytes.fromhex(_ask(python=expression, canonical=canonical)["bytes"])


def decode(encoded):
    """The value of CBOR that JSON has, too."""
    return _ask(bytes=encoded.hex())["value"]


def _ask(**question):
    return json.loads(_answer(json.dumps(question)))


@cache
def _answer(question):
    python = need(TOOLS / "venv" / "bin" / "python", "the Python environment of cbor2")
    program = str(Path(__file__).with_name("cbor2_helper.py"))
    code, answer, noise = run_peer([python, program], SECONDS, text=question.encode())
    if code != 0:
        raise PeerFailed(f"the helper of cbor2 ended with {code}: {noise}")
    return answer
