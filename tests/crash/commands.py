"""Commands under way while the server is killed: operators who send and take back, devices that fetch and
answer, and what the registry holds of both. Attributes and tags beside them.

Every command has a number of its own in it, so that one that is stored twice, or handed out under two ids, is
found. What an operator was told is kept as it was told; of what he was not told (the server died meanwhile)
either is right.
"""

import json
import random
import re
import sqlite3
import threading

from lib import control

OPERATORS = 2
PAUSE_SECONDS = 0.02
PENDING_TTL, TIMEOUT = 7200, 60
ENDED_KEPT = 1000
TOPICS = ("set", "get", "restart", "open")


def body(number, topic):
    """A command with a number in it."""
    common = {"pendingTtl": PENDING_TTL, "timeout": TIMEOUT}
    if topic == "set":
        return {"kind": "set", "points": {"n": number}, **common}
    if topic == "get":
        return {"kind": "get", "ids": [f"n{number}"], **common}
    return {"kind": "service", "service": topic, "input": {"n": number}, **common}


class Operators:
    """Threads that send commands and take some back, each to devices of its own, until they are stopped.

    `products` has the product of each device by its number.
    """

    def __init__(self, server, products, seed):
        self._data, self._products, self._seed = server.data, products, seed
        self._stop = threading.Event()
        # By number: of which device, and as which id it was taken; and the numbers of a device in the order of
        # their sending. Each list is written by one thread.
        self.sent, self.taken, self.order = {}, {}, {device: [] for device in products}
        self.cancelled, self.perhaps_cancelled, self.faults = set(), set(), []
        self.full = 0
        groups = [sorted(products)[part::OPERATORS] for part in range(OPERATORS)]
        self._threads = [
            threading.Thread(target=self._work, args=(part, group), daemon=True)
            for part, group in enumerate(groups)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self):
        """Ends the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, part, devices):
        rng, number = random.Random(self._seed * OPERATORS + part), part
        while not self._stop.wait(PAUSE_SECONDS):
            device = rng.choice(devices)
            if rng.random() < 0.05 and self.order[device]:
                self._cancel(device, rng.choice(self.order[device]))
            else:
                number += OPERATORS
                self._send(device, number, rng.choice(TOPICS))

    def _ask(self, device, rest, content=None):
        place = f"/api/v1/products/{self._products[device].key}/devices/load-{device:07}/commands{rest}"
        return control.ask(self._data, "POST", place, content)

    def _send(self, device, number, topic):
        self.sent[number] = device
        answer = self._ask(device, "", body(number, topic))
        if answer is None or answer[0] in (503, 504):
            return
        status, document = answer
        if status == 201:
            self.order[device].append(number)
            self.taken[number] = document["id"]
        elif status == 409 and document["code"] == "11902":
            self.full += 1
        elif status != 409 or document["code"] != "11888":
            self.faults.append(f"command {number} is answered {status} {document}")

    def _cancel(self, device, number):
        identifier = self.taken[number]
        self.perhaps_cancelled.add(number)
        answer = self._ask(device, f"/{identifier}:cancel")
        if answer is None or answer[0] in (503, 504):
            return
        status, document = answer
        if status == 200:
            self.cancelled.add(number)
        elif status != 409 or document["code"] != "ended":
            self.faults.append(f"cancelling {number} is answered {status} {document}")


class Devices:
    """What the devices of a fleet have written about their duties, read as far as it was written."""

    def __init__(self, log):
        self._log, self._position = log, 0
        self.got, self.ids, self.said, self.acknowledged = {}, {}, {}, {}
        # By device and name: what may be stored, the last one that was acknowledged first.
        self.may_be = {}
        # All that they wanted to be, in its order.
        self.asked = []
        self.faults = []
        self.fetched = self.edits = 0

    def read(self):
        """Takes up what was written since."""
        with self._log.open("rb") as log:
            log.seek(self._position)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.decode().splitlines():
            letter, device, *rest = line.split(" ")
            if letter in "CBT":
                self._command(letter, (int(device), rest[0]), rest[1:])
            elif letter in "UVQ":
                self._edit(letter, (int(device), rest[0]), rest[1])
            elif letter == "P":
                self.faults.append(line)
        return self

    def _command(self, letter, which, rest):
        if letter == "C":
            self.fetched += 1
            if which in self.acknowledged:
                self.faults.append(f"{which} was handed out after its answer was acknowledged")
            if self.got.setdefault(which, rest[0]) != rest[0]:
                self.faults.append(f"{which} is {self.got[which]} and {rest[0]}")
            if self.ids.setdefault((which[0], rest[0]), which[1]) != which[1]:
                self.faults.append(f"command {rest[0]} was handed out as {which} and under another id")
        elif letter == "B":
            self.said[which] = int(rest[0])
        else:
            self.acknowledged[which] = self.said[which]

    def _edit(self, letter, which, value):
        known = self.may_be.setdefault(which, ["-"])
        if letter == "U":
            known.append(value)
            self.asked.append((which, value))
        elif letter == "V":
            self.edits += 1
            self.may_be[which] = [value]
        elif value not in known:
            self.faults.append(f"{which} was told {value}, and it can be {known}")


class Before:
    """What operators and devices had been told before the registry is read: it must be in it."""

    def __init__(self, operators, devices):
        self.taken, self.cancelled = dict(operators.taken), set(operators.cancelled)
        # An operator goes on meanwhile: one that is taken stands in its order already, and not the reverse.
        self.order = {
            device: [number for number in some if number in self.taken]
            for device, some in operators.order.items()
        }
        devices.read()
        self.got, self.acknowledged = dict(devices.got), set(devices.acknowledged)
        self.may_be = {which: list(some) for which, some in devices.may_be.items()}
        self.asked = len(devices.asked)


def _state_of(which, row, before, perhaps_cancelled, said):
    """What is wrong with a stored command, if anything is."""
    number, state, code = row
    answered = ("succeeded" if said in (0, 200) else "failed", said)
    cancelled = state == "cancelled" and number in perhaps_cancelled
    if number in before.cancelled and state != "cancelled":
        return f"{which}: it was cancelled, and is {state}"
    if which in before.acknowledged and (state, code) != answered and not cancelled:
        return f"{which}: the answer {said} was acknowledged, and it is {state} {code}"
    if state in ("succeeded", "failed") and (state, code) != answered:
        return f"{which}: it is {state} {code}, and its device has said {said}"
    if state == "cancelled" and not cancelled or state in ("expired", "timed_out"):
        return f"{which}: it is {state}, and nobody did that"
    if which in before.got and state == "created":
        return f"{which}: its device has it, and it is {state}"
    return None


def compare(data, operators, devices):
    """Faults of the registry against what operators and devices were told, and how many commands have which
    state."""
    before = Before(operators, devices)
    commands, properties = _stored(data)
    devices.read()
    faults, operators.faults, devices.faults = operators.faults + devices.faults, [], []
    states, numbers, kept, names = {}, {}, {}, {}
    for device, identifier, params, state, code in commands:
        which, number = (device, identifier), int(re.search(r"\d+", params)[0])
        states[state] = states.get(state, 0) + 1
        if operators.sent.get(number) != device:
            faults.append(f"{which} is stored with {params}, and nobody has sent that")
        if number in numbers:
            faults.append(f"command {number} is stored as {numbers[number]} and as {identifier}")
        if before.got.get(which, str(number)) != str(number):
            faults.append(f"{which} is stored with {number}, and was received with {before.got[which]}")
        wrong = _state_of(
            which, (number, state, code), before, operators.perhaps_cancelled, devices.said.get(which)
        )
        faults += [wrong] if wrong else []
        numbers[number] = identifier
        kept.setdefault(device, []).append(number)
        names.setdefault(device, set()).add(identifier)
    faults += [
        f"{which} was received, and is not stored"
        for which in before.got
        if which[1] not in names.get(which[0], ()) and len(kept.get(which[0], ())) < ENDED_KEPT
    ]
    for device, sent in before.order.items():
        stored = [number for number in kept.get(device, []) if number in before.taken]
        if stored != sent and len(stored) < ENDED_KEPT:
            faults.append(f"device {device} was sent {sent[-60:]}, and has {stored[-60:]}")
    faults += [
        f"command {number} was taken as {identifier}, and is stored as {numbers[number]}"
        for number, identifier in before.taken.items()
        if numbers.get(number, identifier) != identifier
    ]
    return faults + _properties_of(before, properties, devices.asked[before.asked :]), states


def _properties_of(before, properties, asked):
    """Faults of attributes and tags."""
    may_be = dict(before.may_be)
    for which, value in asked:
        may_be[which] = [*may_be.get(which, ["-"]), value]
    return [
        f"{which} is stored as {properties.get(which)}, and can be {some}"
        for which, some in may_be.items()
        if properties.get(which, "-") not in some
    ]


def _stored(data):
    """The commands of all devices in the order of their sending, and attributes and tags by device and
    name."""
    registry = sqlite3.connect(f"file:{data / 'registry.db'}?mode=ro", uri=True, timeout=10)
    registry.execute("BEGIN")
    names = registry.execute("SELECT id, CAST(device_key AS TEXT) FROM devices")
    keys = {row: int(name.rsplit("-", 1)[1]) for row, name in names}
    rows = registry.execute(
        "SELECT device, id, CAST(params AS TEXT), CAST(state AS TEXT), code FROM commands ORDER BY n"
    )
    commands = [(keys[device], str(identifier), *rest) for device, identifier, *rest in rows]
    properties = {}
    for device, text in registry.execute("SELECT device, CAST(json AS TEXT) FROM properties"):
        for name, value in json.loads(text).items():
            properties[(keys[device], name)] = str(value)
    registry.close()
    return commands, properties
