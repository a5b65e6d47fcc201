"""All suites, with what each is for and how it is started."""

import importlib
import subprocess
from dataclasses import dataclass

from lib.paths import ROOT


@dataclass(frozen=True)
class Package:
    """A suite in a folder beside this one, whose `suite.py` has `main(arguments)`."""

    what: str
    package: str
    # Whether it needs what `tests/run install` installs.
    tools: bool = False

    def run(self, arguments: list[str]) -> int:
        """Runs it; returns the exit code."""
        return importlib.import_module(f"{self.package}.suite").main(arguments)


@dataclass(frozen=True)
class Command:
    """A suite that is a command with these arguments, unless others are given."""

    what: str
    command: tuple[str, ...]
    default: tuple[str, ...] = ()
    # Whether it explains itself; others would have to be built for it.
    explains: bool = False
    tools: bool = False

    def run(self, arguments: list[str]) -> int:
        """Runs it; returns the exit code."""
        if {"-h", "--help"} & set(arguments) and not self.explains:
            print(f"{self.what}\n\n    {' '.join((*self.command, *self.default))}\n")
            print(f"Arguments take the place of: {' '.join(self.default)}")
            return 0
        return subprocess.run([*self.command, *(arguments or self.default)], cwd=ROOT, check=False).returncode


def _release(*more):
    return ("cargo", "run", "--release", "--locked", *more, "--")


SUITES = {
    "cargo": Command(
        "unit, vector, property and table tests, attacks, the simulation and the fuzz corpora, of all crates",
        ("cargo", "test", "--locked"),
        ("--workspace",),
    ),
    "interop": Package("the real program against clients that we did not write", "interop", tools=True),
    "power-cut": Package(
        "what a loss of power leaves of the disk, rebuilt from system calls", "power_cut", tools=True
    ),
    "learning": Package("the handshake's state machine, learnt from the wire", "learning", tools=True),
    "schema": Package("the HTTP API with inputs that are made of its document", "schema", tools=True),
    "shots": Package("pictures of every page of the console, to be looked at", "shots", tools=True),
    "crash": Package(
        "kill -9, named points, failing system calls, a full disk, damaged files", "crash", tools=True
    ),
    "live": Package("followers of live events over kill -9 and restarts: each gets everything once", "live"),
    "console": Package(
        "the console in a browser: by mouse, by keyboard, without script; axe, bytes, layout shifts",
        "console",
        tools=True,
    ),
    "interrupt": Package("suites that are ended in the middle: nothing stays", "interrupt", tools=True),
    "mutants": Package("rules broken on purpose, each noticed by a test", "mutants"),
    "coverage": Package("line coverage of the protocol core", "coverage"),
    "load": Package("floods and mutations at the real program", "load"),
    "simulation": Command(
        "the whole gateway in virtual time, by seeds; `reports`: reports over a bad network against theory; "
        "`delivery`: commands, when they are fetched against what was said; `update`: firmware for a fleet",
        _release("-p", "narrowgate-load", "--bin", "narrowgate-simulation"),
        ("seeds", "--count", "10000"),
    ),
    "mutations": Command(
        "mutated datagrams at the protocol core, in process",
        _release("-p", "narrowgate-dtls", "--example", "mutations"),
        ("10000000",),
    ),
    "timing": Command(
        "time as a side channel",
        _release("-p", "narrowgate-dtls", "--example", "timing"),
        ("1000000", "100000"),
    ),
    "fuzz": Command("coverage-guided fuzzing", (str(ROOT / "fuzz" / "run"),), explains=True),
    "bench": Command("the figures of docs/benchmarks.md", (str(ROOT / "benches" / "run"),), explains=True),
    "package": Package("the Debian package and the container file, in a fresh Debian", "package"),
    "bare-debian": Package("the tests in a bare Debian with nothing but a toolchain", "bare_debian"),
}

# What `tests/run` alone runs, in this order.
EVERYTHING = (
    ("cargo",),
    ("interop",),
    ("power-cut", "--cuts", "100"),
    ("learning",),
    ("schema", "--quick"),
    ("crash", "--quick"),
    ("live", "--quick"),
    ("console",),
    ("interrupt",),
)
