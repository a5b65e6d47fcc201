"""In the file of which class of retention a report has to be, while an operator changes the class of a
product and the server is killed.

A device reports one thing after the other, so its numbers say what was before a change and what came after
it: what was acknowledged before the operator asked for another class is of the old one, what was sent after
the answer is of the new one, and what was under way may be of either. Where the operator got no answer, the
product says at the next start whether it was changed.
"""

import bisect
import random
import shutil
import sqlite3
import tempfile
import threading
from pathlib import Path

from lib import control
from lib.retention import STANDARD

PAUSE_SECONDS = 0.25
NAMES = (STANDARD, "short", "long")


class _Counters:
    """The newest report and the newest event of each device, sent and acknowledged, as its log says."""

    def __init__(self, log):
        self._log, self._position = log, 0
        self.sent, self.acknowledged = {}, {}

    def read(self):
        """Takes up what was written since."""
        if not self._log.exists():
            return self
        with self._log.open("rb") as log:
            log.seek(self._position)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            letter, device, *rest = line.split()
            if letter in (b"S", b"E"):
                self.sent[(int(device), letter == b"E")] = int(rest[0])
            elif letter in (b"A", b"K"):
                self.acknowledged[(int(device), letter == b"K")] = int(rest[0])
        return self


class _Step:
    """A class that a product has, from a moment between two on."""

    def __init__(self, name, acknowledged):
        self.name = name
        # What was acknowledged when it was asked for, and what had been sent when it was answered.
        self.acknowledged, self.sent = acknowledged, None


class Classes:
    """The classes of the products of a fleet. `log` is the fleet's; `products` its products by device."""

    def __init__(self, products, log):
        self._products = products
        self._counters = _Counters(log)
        self._steps = {product.key: [_Step(product.retention, {})] for product in set(products.values())}
        self._lock = threading.Lock()
        self.changes = self.unanswered = self.undone = 0
        self.faults = []

    def permitted(self, report):
        """The classes of which a report, as the ledger names it, may be."""
        device, number = abs(report) >> 40, abs(report) & ((1 << 40) - 1)
        if device not in self._products:
            return {STANDARD}
        which = (device, report < 0)
        with self._lock:
            steps = list(self._steps[self._products[device].key])
        # The steps that had begun when it was sent are the first ones, those that were over come before them.
        last = bisect.bisect_left(steps, number, lo=1, key=lambda step: step.acknowledged.get(which, 0))
        found = set()
        for place in range(last - 1, -1, -1):
            found.add(steps[place].name)
            if place > 0 and (sent := steps[place].sent) is not None and number > sent.get(which, 0):
                break
        return found

    def change(self, data, product, name):
        """Asks for another class; returns whether that was answered. Else `settle` must follow."""
        before = dict(self._counters.read().acknowledged)
        with self._lock:
            self._steps[product.key].append(_Step(name, before))
        self.changes += 1
        answer = control.ask(data, "PATCH", _path(product), {"retention": name})
        if answer is None or answer[0] in (503, 504):
            self.unanswered += 1
            return False
        if answer[0] != 200:
            self.faults.append(f"class {name} for {product.key} is answered {answer}")
        self._answered(product)
        return True

    def settle(self, data, product):
        """Reads the class of a product whose change was not answered; False: nobody answers yet."""
        answer = control.ask(data, "GET", _path(product))
        if answer is None or answer[0] != 200:
            return False
        with self._lock:
            steps = self._steps[product.key]
            if answer[1]["retention"] == steps[-1].name:
                is_changed = True
            elif answer[1]["retention"] == steps[-2].name:
                is_changed = False
                del steps[-1]
            else:
                self.faults.append(f"{product.key} is of class {answer[1]['retention']}, which it never was")
                is_changed = True
        if is_changed:
            self._answered(product)
        else:
            self.undone += 1
        return True

    def _answered(self, product):
        sent = dict(self._counters.read().sent)
        with self._lock:
            self._steps[product.key][-1].sent = sent


def _path(product):
    return f"/api/v1/products/{product.key}"


class Changes:
    """A thread that changes the class of one product again and again, until it is stopped."""

    def __init__(self, classes, data, product, seed):
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(classes, data, product, random.Random(seed)), daemon=True
        )
        self._thread.start()

    def stop(self):
        """Ends the thread."""
        self._stop.set()
        self._thread.join()

    def _work(self, classes, data, product, rng):
        name, is_settled = product.retention, True
        while not self._stop.wait(PAUSE_SECONDS):
            if is_settled:
                name = rng.choice([other for other in NAMES if other != name])
                is_settled = classes.change(data, product, name)
            else:
                # Whether it was changed or not, the next one is another class than the newest that was
                # asked for, and may be the one of before.
                is_settled = classes.settle(data, product)


def last_batches(data):
    """Of a server that was killed: in how many message files the newest batch is, and in how many there is a
    part of one that was not complete."""
    with tempfile.TemporaryDirectory() as folder:
        registry = _copied(data / "registry.db", folder)
        (complete,) = registry.execute("SELECT value FROM meta WHERE CAST(name AS TEXT) = 'batch'").fetchone() or (0,)
        registry.close()
        newest = []
        for file in (data / "messages").glob("*.db"):
            connection = _copied(file, folder)
            newest += connection.execute("SELECT batch FROM footer").fetchone()
            connection.close()
    parts = sum(batch > int(complete) for batch in newest)
    return max((newest.count(batch) for batch in newest if batch > 0), default=0), parts


def _copied(file, folder):
    """A database as it lies there: who opened it would write its log back."""
    for name in (file, file.with_name(file.name + "-wal")):
        if name.exists():
            shutil.copy(name, folder)
    return sqlite3.connect(Path(folder, file.name))
