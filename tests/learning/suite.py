"""Learns the server's handshake from the wire, and compares it with what was read and found right.

tests/run learning [--binary PATH] [--default PATH] [--depth N] [--walks N] [--update]

PATH of --binary: the program, built with `--features test-hooks`, whose time stands still unless it is told
to move; PATH of --default: a build as it is shipped, which must not know the test clock. Without the options
both are built.

The learner (KV of AALpy) plays words against it over UDP, each query from a fresh address, until it knows a
machine that answers in the same way; oracle.py then looks for a difference, thoroughly with --depth 2. For
each suite there is a machine of all inputs without time and one of few inputs with time; both stand in
golden/ and are compared line by line. `--update` writes them: read the difference before you commit it. Ends
with `N passed, N failed`; exit code 1 on any failure.
"""

import importlib.util
import time

from learning import CLOCK
from lib import build, command_line, leave_nothing, tools
from lib.dtls import SUITES
from lib.report import Report

LINES_MAX = 60


def main(arguments: list[str]) -> int:
    """Reads the command line, learns, prints the count."""
    parser = command_line.parser("learning", __doc__)
    parser.add_argument("--binary", help="narrowgate, built with --features test-hooks")
    parser.add_argument("--default", help="narrowgate as it is shipped")
    parser.add_argument("--suite", choices=[suite.lower() for suite in SUITES], help="only this one")
    parser.add_argument(
        "--depth", type=int, default=1, help="inputs between a state and the words that tell it apart"
    )
    parser.add_argument("--walks", type=int, default=20, help="random walks from each state at the end")
    parser.add_argument("--update", action="store_true", help="write the golden files")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("aalpy") is None:
        return tools.run_in("learning-venv", "learning", arguments)
    from learning.learner import learn_all

    report, begin = Report(LINES_MAX), time.monotonic()
    default = command_line.program(parser, "--default", options.default, build.shipped)
    known = CLOCK.encode() in default.read_bytes()
    report.result("the shipped program has no test clock", [f"it contains {CLOCK}"] if known else [])
    binary = command_line.program(parser, "--binary", options.binary, build.with_hooks)
    learn_all(report, binary, [suite for suite in SUITES if options.suite in (None, suite.lower())], options)
    report.result("no process is left behind", leave_nothing.left_behind())
    return report.end(f" in {time.monotonic() - begin:.0f} s")
