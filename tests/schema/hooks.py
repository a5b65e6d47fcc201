"""What schemathesis loads beside the document (`SCHEMATHESIS_HOOKS`): real names in paths, a server that
keeps what the cases work on, a check, and a count of what was answered.

What it has to know is in the environment: see `suite`.
"""

import atexit
import json
import os
import threading
import zlib
from collections import Counter
from pathlib import Path

import schemathesis

from schema.world import KEPT, SPARE, World

WORLD = World(os.environ["SCHEMA_URL"], os.environ["SCHEMA_TOKEN"])
COUNTED = Path(os.environ["SCHEMA_COUNTED"])
# Of so many cases all but one get names of what exists.
REAL_OF = 4

_answered: Counter[tuple[str, int]] = Counter()
_lock = threading.Lock()


WORLD.fill()


@schemathesis.serializer("application/x-ndjson")
def write_json_lines(context, value):
    """What an example of JSON lines is on the wire: itself."""
    del context
    return value if isinstance(value, bytes) else str(value).encode()


@atexit.register
def write_counts() -> None:
    """Writes how often each operation was answered how."""
    counts = [[operation, status, count] for (operation, status), count in sorted(_answered.items())]
    COUNTED.write_text(json.dumps(counts))


def takes_away(method: str, path: str) -> bool:
    """Whether something is gone afterwards, or its secret."""
    return method.upper() == "DELETE" or path.endswith(":reset")


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Puts in names of what exists."""
    if not path_parameters or zlib.crc32(repr(sorted(path_parameters.items())).encode()) % REAL_OF == 0:
        return path_parameters
    names = WORLD.names(takes_away(context.operation.method, context.operation.path))
    return {part: names.get(part, value) for part, value in path_parameters.items()}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Waits for no device, since none would answer, and takes away only what is there for it.

    What would change many devices changes none.
    """
    del context, kwargs
    body = case.body
    if case.path.endswith("/commands") and isinstance(body, dict):
        wait = body.get("wait")
        if isinstance(wait, int) and not isinstance(wait, bool) and 0 < wait <= 60:
            body["wait"] = 0
    if case.path.endswith("/devices:bulk") and isinstance(body, dict):
        body["dryRun"] = True
    if takes_away(case.method, case.path):
        spare = dict(zip(KEPT, SPARE, strict=True))
        for part, value in (case.path_parameters or {}).items():
            if isinstance(value, str):
                case.path_parameters[part] = spare.get(value, value)


@schemathesis.hook
def after_call(context, case, response):
    """Counts, and makes anew what is gone."""
    del context
    documented = case.method == case.operation.method.upper()
    name = f"{case.method} {case.path}" if documented else "other methods"
    with _lock:
        _answered[name, response.status_code] += 1
    if response.status_code >= 300:
        return
    if case.path.endswith(":cancel"):
        WORLD.send_command()
    elif takes_away(case.method, case.path) or case.path.endswith((":disable", "/products/{product}")):
        if case.method != "GET":
            WORLD.fill()


@schemathesis.check
def no_fault_of_the_server(ctx, response, case):
    """No 5xx, but for 504 of a command whose device has not answered, which the document has."""
    del ctx
    waited = response.status_code == 504 and case.method == "POST" and case.path.endswith("/commands")
    if response.status_code >= 500 and not waited:
        raise AssertionError(f"{case.method} {case.path}: {response.status_code}")
