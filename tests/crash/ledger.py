"""What a fleet has sent, what was acknowledged, and what is stored: compared report by report.

A fleet's log has a line for each step (see `narrowgate-load fleet`); the store is read as SQLite files,
beside the program that writes them. A report is named by one number: device << 40 | counter; an event by the
same with a minus.
"""

import re
import sqlite3
import time
from pathlib import Path

from lib.presence import at_odds
from lib.retention import class_of

_REPORT = re.compile(r'\{"d":(\d+),"n":(\d+),"s":"((?:narrowgate)*)"\}\Z')
_EVENT = re.compile(r'\{"event":"tilted","output":\{"d":(\d+),"n":(\d+),"s":0\}\}\Z')
# Where a fleet begins to count its events.
_EVENTS = 1 << 40


def points(device, counter):
    """The text of a report, as the fleet writes it."""
    return '{"d":%d,"n":%d,"s":"%s"}' % (device, counter, "narrowgate" * (counter % 7))


def name(report):
    """A report, or an event, for people."""
    if report < 0:
        return f"device {-report >> 40} event {-report & ((1 << 40) - 1)}"
    return f"device {report >> 40} report {report & ((1 << 40) - 1)}"


class Ledger:
    """A fleet's log, read as far as it was written. Several fleets on one store may share a log."""

    def __init__(self, path):
        self._path, self._position = Path(path), 0
        self.sent, self.acknowledged = set(), set()
        self.unchecked = set()
        self.refused = self.given_up = 0
        self.codes = {}
        self.secrets, self.used, self.in_vain = {}, set(), {}

    def read(self):
        """Takes up what was written since."""
        if not self._path.exists():
            return self
        with self._path.open("rb") as log:
            log.seek(self._position)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            letter, device, *rest = line.split()
            if letter in b"SARG":
                report = int(device) << 40 | int(rest[0])
                if letter == b"S":
                    self.sent.add(report)
                elif letter == b"A":
                    self.acknowledged.add(report)
                    self.unchecked.add(report)
                elif letter == b"R":
                    self.refused += 1
                    code = b" ".join(rest[1:]).decode()
                    self.codes[code] = self.codes.get(code, 0) + 1
                else:
                    self.given_up += 1
            elif letter in b"EK":
                event = -(int(device) << 40 | int(rest[0]))
                self.sent.add(event)
                if letter == b"K":
                    self.acknowledged.add(event)
                    self.unchecked.add(event)
            elif letter == b"X":
                self.secrets[int(device)] = rest[0]
            elif letter == b"W":
                self.used.add(int(device))
            elif letter == b"F":
                self.in_vain[int(device)] = rest[0]
        return self

    def unusable_secrets(self):
        """Devices whose newest secret the server did not take, and never took afterwards."""
        return [
            device
            for device, secret in self.in_vain.items()
            if device not in self.used and self.secrets.get(device) == secret
        ]


class Stored:
    """The stored reports, read again and again while a server writes more.

    `products` says of which class of retention a report may be (`classes.Classes`).
    """

    def __init__(self, data, products=None):
        self._data, self._products = Path(data), products
        # By class of retention.
        self.counts = {}
        self._keys = {}
        self._floors = {}
        self.reports, self.fresh = set(), set()
        self._unsettled = {}
        self.faults = []

    def _connect(self, file):
        # Read-only, so that the reader neither checkpoints nor repairs anything.
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
        connection.text_factory = bytes
        return connection

    def _device(self, identifier):
        if identifier not in self._keys:
            registry = self._connect(self._data / "registry.db")
            rows = registry.execute("SELECT id, device_key FROM devices")
            self._keys = {row: int(key.rsplit(b"-", 1)[1]) for row, key in rows}
            registry.close()
        return self._keys.get(identifier)

    def files(self):
        """The message files, oldest first."""
        return sorted((self._data / "messages").glob("*.db"))

    def read(self, everything=False):
        """Takes up what was stored since; with `everything` reads all of it again."""
        if everything:
            self._floors, self._unsettled, self.reports, self.counts = {}, {}, set(), {}
        self.fresh = set()
        for file in self.files():
            self._read_file(file)
        return self

    def _read_file(self, file):
        floor, known = self._floors.get(file, (0, 0))
        # What the last look found in a batch that may have been a half is looked at anew.
        again = self._unsettled.pop(file, set())
        self.reports -= again
        if again:
            self.counts[class_of(file)] -= len(again)
        connection = self._connect(file)
        try:
            connection.execute("BEGIN")
            (first,) = connection.execute("SELECT first_id FROM footer").fetchone()
            (old,) = connection.execute("SELECT count(*) FROM messages WHERE id <= ?", (floor,)).fetchone()
            if old != known:
                self.faults.append(f"{file.name}: {known} reports were there up to {floor}, now {old}")
            settled, unsettled, last = known, set(), floor
            rows = connection.execute(
                "SELECT id, device, points FROM messages WHERE id > ? ORDER BY id", (floor,)
            )
            for row, identifier, text in rows:
                report = self._check(file, row, identifier, text)
                if report is None:
                    continue
                if row < first:
                    settled, last = settled + 1, row
                else:
                    unsettled.add(report)
        finally:
            connection.close()
        self._floors[file] = (last, settled)
        self._unsettled[file] = unsettled

    def _check(self, file, row, identifier, text):
        report = self._named(self._device(identifier), text)
        if report is None:
            device = self._device(identifier)
            self.faults.append(f"{file.name} row {row}: nobody sent this: device {device}, {text[:80]!r}")
            return None
        if report in self.reports:
            self.faults.append(f"{file.name} row {row}: stored twice: {name(report)}")
        self.reports.add(report)
        self.fresh.add(report)
        name_of_class = class_of(file)
        self.counts[name_of_class] = self.counts.get(name_of_class, 0) + 1
        if self._products and name_of_class not in (known := self._products.permitted(report)):
            words = f"it is of {' or '.join(sorted(known)) or 'no class'}"
            self.faults.append(f"{file.name} row {row}: in the wrong file: {name(report)}: {words}")
        return report

    @staticmethod
    def _named(device, text):
        """The report or the event of a device that a row is; None if it is neither."""
        event = _EVENT.match(text.decode(errors="replace"))
        if event and int(event[1]) == device and int(event[2]) > _EVENTS:
            return -(device << 40 | int(event[2]) - _EVENTS)
        found = _REPORT.match(text.decode(errors="replace"))
        if found and int(found[1]) == device and points(device, int(found[2])).encode() == text:
            return device << 40 | int(found[2])
        return None

    def of_file(self, name):
        """All reports that are in the file of this name."""
        connection = self._connect(self._data / "messages" / name)
        rows = connection.execute("SELECT device, points FROM messages").fetchall()
        connection.close()
        return {self._named(self._device(identifier), text) for identifier, text in rows}

    def unsettled(self):
        """Reports whose batch the next start may still take away, if nobody was told of it."""
        return set().union(*self._unsettled.values())

    def integrity(self):
        """Faults that SQLite itself finds, and devices whose presence does not alternate."""
        faults = []
        for file in [*self.files(), self._data / "log.db", self._data / "registry.db"]:
            connection = self._connect(file)
            verdict = connection.execute("PRAGMA integrity_check").fetchall()
            if verdict != [(b"ok",)]:
                faults.append(f"{file.name}: integrity_check: {verdict[:3]}")
            connection.close()
        logs = self._connect(self._data / "log.db")
        before = {}
        for device, state in logs.execute("SELECT device, state FROM presence ORDER BY device, n"):
            if before.get(device) == state:
                faults.append(f"log.db: device {device} became {state.decode()} twice in a row")
            before[device] = state
        logs.close()
        # A change that happens between the two looks is not there the next time.
        if self._at_odds():
            time.sleep(0.5)
            faults += [
                f"device {device} is {state} in registry.db and became {last} last in log.db"
                for device, state, last in self._at_odds()
            ]
        return faults

    def _at_odds(self):
        """Devices whose state in the registry is not the last one of their presence, with both."""
        registry, logs = self._connect(self._data / "registry.db"), self._connect(self._data / "log.db")
        states = dict(registry.execute("SELECT id, state FROM devices"))
        last = dict(logs.execute("SELECT device, state FROM presence ORDER BY device, n"))
        registry.close()
        logs.close()
        return at_odds(states, last)


def compare(ledger, stored, everything=False):
    """Faults of the store against the log, report by report; both are read as far as they are.

    What was acknowledged before the store is read must be in it; what is in it must have been sent before the
    log is read for the second time. Without `everything`, what was found before is only counted.
    """
    ledger.read()
    acknowledged, count = (
        set(ledger.acknowledged if everything else ledger.unchecked),
        len(ledger.acknowledged),
    )
    stored.read(everything)
    ledger.read()
    faults, stored.faults = stored.faults, []
    faults += [
        f"acknowledged and not stored: {name(report)}" for report in sorted(acknowledged - stored.reports)
    ]
    looked_at = stored.reports if everything else stored.fresh
    faults += [f"stored and never sent: {name(report)}" for report in sorted(looked_at - ledger.sent)]
    ledger.unchecked -= acknowledged - stored.unsettled()
    return faults, count
