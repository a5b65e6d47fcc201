"""Ends every suite in the middle, by SIGTERM, SIGINT and kill -9: no process, mount or file may stay.

tests/run interrupt [--only PATTERN]
tests/run interrupt --all            the suites too that `tests/run` does not run
tests/run interrupt --binaries FOLDER --hooks PATH [--only PATTERN]

FOLDER has narrowgate and narrowgate-load; PATH is narrowgate, built with `--features test-hooks`; without the
options they are built. `cargo test` is run and ended with the rest. One line per round, `N passed, N failed`
at the end, exit code 1 on any failure.
"""

import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lib import build, command_line, leave_nothing
from lib.paths import ROOT, TESTS
from lib.report import Report
from lib.waiting import wait_for

START_SECONDS, END_SECONDS = 300, 8
SIGNALS = (signal.SIGTERM, signal.SIGKILL, signal.SIGINT)


def suites(binaries: Path, hooks: Path) -> Iterator[tuple[str, list]]:
    """Each suite, with the command line by which it is started."""
    narrowgate = binaries / "narrowgate"
    yield "interop", ["interop", "--binary", narrowgate]
    yield "power-cut", ["power-cut", "--binaries", binaries]
    yield "learning", ["learning", "--binary", hooks, "--default", narrowgate]
    yield "crash: kills", ["crash", "--binary", narrowgate, "--kills", "100"]
    yield "crash: full disk", ["crash", "--binary", narrowgate, "--full-disk"]
    yield "crash: faults", ["crash", "--binary", narrowgate, "--faults"]
    yield "live", ["live", "--binary", narrowgate]
    yield "console", ["console", "--binary", narrowgate]
    yield "cargo test", ["cargo", "--workspace", "--test", "attacks"]


def long_suites(binaries: Path) -> Iterator[tuple[str, list]]:
    """Those that `tests/run` does not run, as far as they start a server."""
    yield "load", ["load", "hello", "--binaries", binaries]
    yield "bench", ["bench", "--quick", "--no-build", binaries]


def servers(name: str) -> list[str]:
    """The servers that run under the name."""
    return [line for line in leave_nothing.named(name).values() if " serve " in line and "narrowgate" in line]


def interrupt(arguments: list, number: signal.Signals) -> list[str]:
    """Starts a suite, waits for its server, ends it; returns what is wrong afterwards."""
    name = f"interrupted-{secrets.token_hex(6)}"
    folder = Path(tempfile.mkdtemp(prefix="i-"))
    environment = {
        **os.environ,
        leave_nothing.NAMES: f"{os.environ[leave_nothing.NAMES]}:{name}",
        "TMPDIR": str(folder),
    }
    suite = subprocess.Popen(
        [TESTS / "run", "--no-install", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=ROOT,
        start_new_session=True,
    )

    def ended():
        return suite.poll() is not None

    try:
        # Looked for once: a suite that stops its server and starts it anew has none for a moment.
        seen = wait_for(lambda: servers(name) or ended(), START_SECONDS, 0.1)
        if ended() or not seen:
            said = suite.communicate()[0] if ended() else b""
            return ["it has not started a server", *said.decode(errors="replace").splitlines()[-5:]]
        time.sleep(0.5)
        suite.send_signal(number)
        wrong = [] if wait_for(ended, END_SECONDS, 0.1) else ["the suite goes on"]
        return wrong + left(name, folder)
    finally:
        suite.kill()
        suite.stdout.close()
        suite.wait()


def left(name: str, folder: Path) -> list[str]:
    """What is there still of what the name has started, and in the folder."""
    wrong = []
    if not wait_for(lambda: not leave_nothing.named(name), END_SECONDS, 0.1):
        wrong += [f"left behind: {line}" for line in leave_nothing.named(name).values()]
    if not wait_for(lambda: not os.listdir(folder), END_SECONDS, 0.1):
        wrong += [f"left in the folder: {file}" for file in os.listdir(folder)]
    mounts = Path("/proc/mounts").read_text().splitlines()
    return wrong + [f"left mounted: {line}" for line in mounts if str(folder) in line]


def main(arguments: list[str]) -> int:
    """Reads the command line, interrupts each suite by each signal, prints the count."""
    parser = command_line.parser("interrupt", __doc__)
    parser.add_argument("--binaries", help="folder of narrowgate and narrowgate-load")
    parser.add_argument("--hooks", help="narrowgate, built with --features test-hooks")
    parser.add_argument("--only", default="", help="suites whose name contains this")
    parser.add_argument("--all", action="store_true", help="the suites too that tests/run does not run")
    options = parser.parse_args(arguments)
    binaries = command_line.folder(parser, "--binaries", options.binaries)
    hooks = command_line.program(parser, "--hooks", options.hooks, build.with_hooks)
    report = Report()
    for name, command in (*suites(binaries, hooks), *(long_suites(binaries) if options.all else ())):
        for number in SIGNALS if options.only in name else ():
            report.result(f"{name} ended by {number.name}", interrupt(command, number))
    return report.end()
