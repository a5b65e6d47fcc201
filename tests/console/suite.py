"""The console of the real program in Debian's Chromium: one journey by three hands, and a look at each page.

tests/run console [--binary PATH] [--only PATTERN] [--show FOLDER]

From the one-time link of the first start to a password, a product and a device; libcoap's client is the
device, by a line that is pasted from its page. It is refused and explained, is seen live, gets a command, and
a thousand more are imported. Thrice: with a mouse, by the keyboard alone, and where no script runs. Then each
page is found by its links and looked at: axe-core in light, dark and narrow, bytes, layout shifts, where the
focus is seen, and whether it is whole without script; a table has the figures.

`--only`: parts whose name contains this: mouse, keyboard, no script, pages (which takes the mouse, too).
`--show FOLDER`: keeps a picture of where a journey has failed.
Ends with `N passed, N failed`; exit code 1 on any failure.
"""

import importlib.util
import time

from lib import build, command_line, leave_nothing, tools
from lib.program import Failed
from lib.report import Report

LINES_MAX = 60


def main(arguments: list[str]) -> int:
    """Reads the command line, makes the journeys, looks at the pages, prints the count."""
    parser = command_line.parser("console", __doc__)
    parser.add_argument("--binary", help="the narrowgate program to test; without it one is built")
    parser.add_argument("--only", default="", help="parts whose name contains this")
    parser.add_argument("--show", metavar="FOLDER", help="where a picture of what has failed goes")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("playwright") is None:
        return tools.run_in("console-venv", "console", arguments)
    binary = command_line.program(parser, "--binary", options.binary, build.shipped)
    # The driver of the browser is in this suite's environment alone.
    from console import parts

    report, begin = Report(LINES_MAX), time.monotonic()
    try:
        parts.run(report, binary, options.only, options.show)
    except (tools.ToolMissing, Failed) as error:
        report.fail("console", faults=[error])
    report.result("no process is left behind", leave_nothing.left_behind())
    return report.end(f" in {time.monotonic() - begin:.0f} s")
