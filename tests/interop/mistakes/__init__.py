"""The commonest mistakes of firmware engineers, each made with a client that we did not write.

A `Mistake` says what was done, how to do it again, and what has to be read on both sides. `Workshop.observe`
makes one, against a gateway of its own; the table in docs/device-guide.md (table.py) is made of what was
seen.
"""

import functools
import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interop.harness import eventually
from interop.peers import PeerFailed
from lib.coap import Request, Silence
from lib.devices import psk
from lib.dtls import CCM8
from lib.waiting import wait_for

PRODUCT, PRODUCT_SECRET = "MuGsF6W4", "c3PW03srd6c"
DEVICE, SECRET = "867725030096431", "Z5YtZaQpK5IWocakV7zQ"
OTHER, OTHER_SECRET = "15bBZlRknc", "z8FwQzHg4DAOQQUfrpl4"
# Whose key has a zero byte, its eighth.
ZERO, ZERO_SECRET = "867725030096432", "SecretWithAZero00219"
SECRETS = {DEVICE: SECRET, OTHER: OTHER_SECRET, ZERO: ZERO_SECRET}
KEY = psk(SECRET)
IDENTITY = f"{PRODUCT},{DEVICE},2,3600"
PATH = f"/topic/sys/{PRODUCT}/{DEVICE}/thing/measurepoint/post"
BODY = (
    b'{"id":"1","version":"1.0","method":"thing.measurepoint.post","params":{"measurepoints":{"temp":21.5}}}'
)
ACTIVATION = f"/topic/ext/session/{PRODUCT}/{DEVICE}/thing/activate/info"

NOTHING = "nothing"
SILENT_SECONDS = 2.5  # A client that hears nothing so long is told nothing.
LOG_SECONDS = 3


@dataclass(frozen=True)
class Mistake:
    """`what` was done (Markdown); `make` does it and returns what the client's terminal says.

    `sees` is that, in few words; `reason` and `words`, which the detail holds, are what narrowgate has to
    say. `reason` None: nothing can arrive there, or nothing is wrong with what does.
    """

    what: str
    client: str
    make: Callable
    sees: str
    reason: str | None
    words: str = ""


@dataclass(frozen=True)
class Seen:
    """What was read on the client's terminal, and what narrowgate showed: pairs of reason and detail."""

    sees: str
    entries: tuple


class Bench:
    """A gateway with the product and the devices of this module, and its clients' view of it."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.operate = gateway.json

    @property
    def port(self):
        """Where DTLS is served."""
        return self.gateway.dtls_port

    def target(self, identity=IDENTITY, key=KEY, suite=CCM8):
        """The gateway as a device sees it that does not wait long."""
        return self.gateway.target(identity, key, suite, SILENT_SECONDS)


REPORT = Request("POST", PATH, BODY)


def told(function):
    """What a client's terminal says after `function()`, which returns responses: a code, an alert, or
    nothing.
    """
    try:
        responses = function()
    except Silence:
        return NOTHING
    except PeerFailed as failed:
        return _complaint(str(failed))
    return shown(responses[-1])


def shown(response):
    """A response in few words: its code, and that in the body if it is not 200."""
    try:
        code = json.loads(response.payload).get("code", 200)
    except (ValueError, AttributeError):
        code = 200
    return f"`{response.code}`" if code == 200 else f"`{response.code}`, code {code}"


_COMPLAINTS = (
    (r"alert ([a-z ]+):.*SSL alert number (\d+)", "alert {1} ({0})"),
    (r"Received alert \[(\d+)\]: ([\w ]+)", "alert {0} ({1})"),
    (r"([Cc]onnection refused|connect:errno=111)", "`Connection refused`"),
)


def _complaint(noise):
    """The line of a client's noise that matters."""
    for pattern, text in _COMPLAINTS:
        if found := re.search(pattern, noise):
            return text.format(*(group.strip() for group in found.groups()))
    raise PeerFailed(noise)


class Workshop:
    """Makes each mistake once, however often it is asked for. All start from copies of one data directory."""

    def __init__(self):
        self._lock, self._locks, self._seen = threading.Lock(), {}, {}
        self._template = None

    def observe(self, mistake, world):
        """What is seen where the mistake is made."""
        with self._lock:
            lock = self._locks.setdefault(id(mistake), threading.Lock())
        with lock:
            if id(mistake) not in self._seen:
                with world.fresh() as gateway:
                    self._furnish(gateway)
                    gateway.start()
                    self._seen[id(mistake)] = _make(mistake, gateway)
            return self._seen[id(mistake)]

    def _furnish(self, gateway):
        """Product and devices, made once."""
        with self._lock:
            if self._template is None:
                product = ["--product-key", PRODUCT, "--product-secret", PRODUCT_SECRET]
                gateway.json("product", "create", "water-meter", *product)
                for key, secret in SECRETS.items():
                    device = ["--product", PRODUCT, "--device-key", key, "--device-secret", secret]
                    gateway.json("device", "create", *device)
                self._template = Path(tempfile.mkdtemp(prefix="mistakes-")) / "data"
                shutil.copytree(gateway.data, self._template)
                return
        shutil.copytree(self._template, gateway.data)


def _make(mistake, gateway):
    listener = gateway.listener()
    sees = mistake.make(Bench(gateway))
    wait_for(lambda: _with_reason(listener), LOG_SECONDS if mistake.reason else 0.5)
    time.sleep(0.3)  # Whatever else there is to be said has been said then.
    entries = _with_reason(listener)
    for entry in entries:
        _check_kept(gateway, entry)
    return Seen(sees, tuple(dict.fromkeys((entry["reason"], entry.get("detail") or "") for entry in entries)))


def _with_reason(listener):
    return [event for event in listener.events() if event.get("reason")]


def _check_kept(gateway, entry):
    """What `listen` shows is what `refused` and the device's log keep."""
    places = [("refused",)] if entry["event"] == "refused" else []
    if entry.get("productKey") == PRODUCT and entry.get("deviceKey") in SECRETS:
        places.append(("device", "log", PRODUCT, entry["deviceKey"]))
    shown = (entry["reason"], entry.get("detail"))

    def keeps(place):
        return shown in [(kept["reason"], kept["detail"]) for kept in gateway.json(*place)]

    for place in places:
        eventually(f"`{' '.join(place)}` does not have {entry}", functools.partial(keeps, place))
