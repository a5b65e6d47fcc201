"""What `tests/run install` puts on this machine for the tests."""

import subprocess
import sys
from pathlib import Path

from lib.paths import TESTS, TOOLS


class ToolMissing(Exception):
    """A program that the tests need is not installed."""


def install() -> int:
    """Installs what is missing; returns the exit code."""
    return subprocess.run(["bash", TESTS / "lib" / "install.sh"], check=False).returncode


def need(path: Path, what: str) -> str:
    """The path as it is, if it exists; raises `ToolMissing` with what to do otherwise."""
    if not path.exists():
        raise ToolMissing(f"{what} is missing ({path.name}): run tests/run install")
    return str(path)


def run_in(environment: str, suite: str, arguments: list[str]) -> int:
    """Runs the suite by the Python of an environment of its own; returns the exit code."""
    python = TOOLS / environment / "bin" / "python"
    if not python.exists():
        sys.exit(f"tests/run {suite}: {python} is missing\n  try  tests/run install")
    return subprocess.run([python, "-B", TESTS, "--no-install", suite, *arguments], check=False).returncode
