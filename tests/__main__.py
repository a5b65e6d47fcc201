"""The one entry to all tests, started by `tests/run`.

Nothing that a suite starts outlives it, however it ends: see lib/leave_nothing.py.
"""

import difflib
import os
import subprocess
import sys

from lib import leave_nothing, tools
from lib.paths import TESTS
from lib.suites import EVERYTHING, SUITES

USAGE = f"""usage: tests/run [--no-install]                      everything that takes minutes
       tests/run [--no-install] SUITE [OPTIONS]      one suite; `tests/run SUITE --help` says more
       tests/run install                             installs what the tests need, as root on Debian 12
       tests/run --list                              the names of the suites, one a line

--no-install: where everything is installed already. Suites build the programs that they run; their options
name others.

suites (* in `tests/run`, in this order: {", ".join(name for name, *_ in EVERYTHING)}):
"""


def usage() -> str:
    """The help of the entry itself."""
    marks = {name: "*" for name, *_ in EVERYTHING}
    return USAGE + "\n".join(
        f"{marks.get(name, ' ')} {name:<12} {suite.what}" for name, suite in SUITES.items()
    )


def everything() -> int:
    """Suite after suite, up to the first that fails."""
    for name, *more in EVERYTHING:
        print(f"\n== {name}", flush=True)
        code = subprocess.run(
            [sys.executable, "-B", TESTS, name, "--no-install", *more], check=False
        ).returncode
        if code:
            print(f"\ntests/run: {name} has failed", file=sys.stderr)
            return code
    return 0


def guarded(name: str, arguments: list[str], install: bool) -> int:
    """Runs one suite, or everything where no name is given; leaves no process behind."""
    leave_nothing.guard()
    needs_tools = name in ("", "install") or SUITES[name].tools
    if name == "install" or (install and needs_tools and not {"-h", "--help", "--list"} & set(arguments)):
        if code := tools.install():
            return code
    if name == "install":
        return 0
    code = SUITES[name].run(arguments) if name else everything()
    left = leave_nothing.left_behind()
    for command in left:
        print(f"left behind: {command}", file=sys.stderr)
    return code if code > 0 else 1 if code < 0 or left else 0


def main(arguments: list[str]) -> int:
    """Reads the command line up to the suite's name."""
    install = "--no-install" not in arguments
    name, *rest = [argument for argument in arguments if argument != "--no-install"] or [""]
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--list":
        print("\n".join(SUITES))
    elif name in ("", "install", *SUITES):
        return guarded(name, rest, install)
    else:
        near = difflib.get_close_matches(name, SUITES, 1)
        hint = f"tests/run {near[0]}" if near else "tests/run --help"
        print(f"tests/run: there is no suite {name!r}\n  try  {hint}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    sys.stdout.flush()
    # A thread that hangs in a peer's C library must not keep the run alive.
    os._exit(exit_code)
