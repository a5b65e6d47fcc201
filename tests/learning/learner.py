"""Learns machines from the wire and compares them with what was read and found right. Needs AALpy."""

import difflib
import socket
import time
from pathlib import Path

from aalpy.base import SUL
from aalpy.learning_algs import run_KV

from learning import CLOCK
from learning.client import ORDER, TIME, Client, TestClock
from learning.model import ESSENTIAL, Model, check_decoy, check_paths
from learning.oracle import Thorough
from lib.devices import create_device
from lib.ports import free_port
from lib.program import Gateway

SEED = 20
GOLDEN = Path(__file__).resolve().parent / "golden"


class Subject(SUL):
    """The server, as AALpy wants a system under learning: one client per query."""

    def __init__(self, new_client):
        super().__init__()
        self._new_client, self._client = new_client, None

    def pre(self):
        """A fresh address."""
        self._client = self._new_client()

    def post(self):
        """Its socket is given back."""
        self._client.close()

    def step(self, letter):
        """One word."""
        return self._client.step(letter)


class Nondeterministic(Exception):
    """The same words had different answers."""


def learn(what, subject, words, options):
    """The machine that answers as the server does."""
    begin = time.monotonic()
    oracle = Thorough(words, subject, options.depth, options.walks, SEED)
    try:
        automaton, data = run_KV(words, subject, oracle, "mealy", print_level=0, return_data=True)
    except SystemExit:
        # AALpy ends the program, with code 0, when the same words had two answers; it has printed which.
        raise Nondeterministic(what) from None
    queries = data["queries_learning"] + data["queries_eq_oracle"]
    model = Model.of(automaton, words)
    seconds = time.monotonic() - begin
    print(f"     {what}: {len(model.table)} states, {queries} queries in {seconds:.1f} s", flush=True)
    return model


def golden(report, what, path, model, update):
    """Compares with the file, whose lines that start with # are for people, or writes it anew."""
    old = path.read_text().splitlines() if path.exists() else []
    notes = [line for line in old if line.startswith("#")]
    known = [line for line in old if not line.startswith("#")]
    learned = model.text().splitlines()
    if update:
        path.write_text("\n".join([*notes, *learned]).rstrip() + "\n")
        known = learned
    known, learned = ("\n".join(lines).rstrip().splitlines() for lines in (known, learned))
    report.result(what, list(difflib.unified_diff(known, learned, "golden", "learned", lineterm="")))


def run_suite(report, suite, options, clock, gateway, device):
    """Both machines of a suite, and what has to hold of them."""
    name = suite.lower()

    def client(psk):
        return lambda: Client(clock, gateway.dtls_port, suite, device.identity(), psk)

    right, stranger = client(device.key), client(bytes(16))
    model = learn(f"{name}, all inputs", Subject(right), ORDER, options)
    golden(report, f"{name}: all inputs, without time", GOLDEN / f"{name}.txt", model, options.update)
    report.result(f"{name}: exactly one way leads in", check_paths(model))
    stranger = learn(f"{name}, wrong key", Subject(stranger), ORDER, options)
    wrong = check_decoy(model, stranger)
    report.result(f"{name}: an unknown identity looks like a wrong key, and neither gets in", wrong)
    timed = learn(f"{name}, time", Subject(right), TIME, options)
    golden(report, f"{name}: with time", GOLDEN / f"{name}-time.txt", timed, options.update)
    ways = [word for word in ESSENTIAL if timed.reaches(0, forbidden=[word])]
    wrong = [f"there is a way in without {word}" for word in ways]
    report.result(f"{name}: time opens no other way in", wrong)


def learn_all(report, binary, suites, options):
    """The machines of these suites, by a server whose time stands still."""
    clock_port = free_port(socket.SOCK_DGRAM)
    gateway = Gateway(binary)
    try:
        device = create_device(gateway)
        gateway.start("--shards", "1", settings={CLOCK: f"127.0.0.1:{clock_port}"})
        clock = TestClock(clock_port)
        for suite in suites:
            try:
                run_suite(report, suite, options, clock, gateway, device)
            except (Nondeterministic, TimeoutError) as failed:
                wrong = [repr(failed), gateway.log(20)]
                report.result(f"{suite.lower()}: the server answers, and the same in the same state", wrong)
    finally:
        gateway.remove()
