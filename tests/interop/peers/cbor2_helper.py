"""Runs in the environment with cbor2: a question as JSON on its standard input, the answer on its output.

`{"value": JSON}` and `{"python": expression}` (which may use
`CBORTag`, `Decimal`, `datetime`, `timezone`, `undefined`, `CBORSimpleValue`) are answered
`{"bytes": hex}`, and `{"bytes": hex}` is answered `{"value": JSON}`. `"canonical"` wants the shortest form.
"""

import json
import sys
from datetime import datetime, timezone
from decimal import Decimal

import cbor2

NAMES = {
    "CBORTag": cbor2.CBORTag,
    "CBORSimpleValue": cbor2.CBORSimpleValue,
    "Decimal": Decimal,
    "datetime": datetime,
    "timezone": timezone,
    "undefined": cbor2.undefined,
}


def answer(asked):
    """The answer to a question."""
    if "bytes" in asked:
        return {"value": cbor2.loads(bytes.fromhex(asked["bytes"]))}
    value = eval(asked["python"], NAMES) if "python" in asked else asked["value"]  # Only our tests ask.
    return {"bytes": cbor2.dumps(value, canonical=asked.get("canonical", False)).hex()}


print(json.dumps(answer(json.load(sys.stdin))))
