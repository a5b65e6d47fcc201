"""Pictures of every page of the console, light and dark, wide and on a phone, by Debian's Chromium.

tests/run shots [--binary PATH] [--into DIR] [--world NAME] [--only PAGE] [--language en|zh]
tests/run shots --million     also with a million devices, which `narrowgate-load` beside the program makes
tests/run shots --docs        nothing but the few pictures of docs/pictures, made anew

There are three worlds: `empty`, a server after its first start; `ten`, with ten devices, each in another
state, and one of everything else; `million`. A picture is DIR/WORLD/PAGE-THEME-WIDTH.png; without --into
DIR is a new folder, whose name is printed. --world and --only may be given several times; --only takes
every page whose name begins so. --language decides in which language the pages are.

They are made to be looked at: would somebody who sees nothing else know what the page tells, and what to do
next? What a program can see is looked at as well: no page is wider than its window, no script fails, and each
page answers with the status that it should. Ends with `N passed, N failed`; exit code 1 on any failure.
"""

import importlib.util
import tempfile
import time
from pathlib import Path

from lib import build, command_line, leave_nothing, tools
from lib.paths import ROOT
from lib.report import Report
from shots import worlds
from shots.pages import DOCS, pages_of

LINES_MAX = 20
# A picture of the documentation, so that the repository stays small.
DOCS_BYTES_MAX = 150_000
PICTURES = ROOT / "docs" / "pictures"


def _parser():
    parser = command_line.parser("shots", __doc__)
    parser.add_argument("--binary", help="narrowgate; without it one is built")
    parser.add_argument("--into", type=Path, help="where the pictures go")
    parser.add_argument("--world", action="append", default=[], choices=tuple(worlds.WORLDS))
    parser.add_argument("--only", action="append", default=[], metavar="PAGE")
    parser.add_argument("--million", action="store_true", help="also with a million devices: minutes")
    parser.add_argument("--docs", action="store_true", help=f"the pictures of {PICTURES}, and no others")
    parser.add_argument("--language", choices=("en", "zh"), default="en")
    return parser


def main(arguments: list[str]) -> int:
    """Reads the command line, takes the pictures, prints the count."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("playwright") is None:
        return tools.run_in("console-venv", "shots", arguments)
    binary = command_line.program(parser, "--binary", options.binary, build.shipped)
    chosen = options.world or ["empty", "ten"] + ["million"] * options.million
    if options.docs:
        chosen = [name for name in worlds.WORLDS if any(picture.world == name for picture in DOCS)]
    if "million" in chosen:
        command_line.load_beside(parser, binary)
    into = options.into or Path(tempfile.mkdtemp(prefix="shots-", dir=leave_nothing.kept()))

    report, begin = Report(LINES_MAX), time.monotonic()
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="shots-") as folder:
            with worlds.WORLDS[name](binary, Path(folder)) as world:
                report.note(f"{name}: filled after {time.monotonic() - begin:.0f} s")
                _take(report, world, options, into)
    report.result("no process is left behind", leave_nothing.left_behind())
    return report.end(f" in {time.monotonic() - begin:.0f} s; {PICTURES if options.docs else into}")


def _take(report, world, options, into):
    # Not before it is known to be there.
    from shots.camera import Camera

    with Camera(world, options.language) as camera:
        pages = {page.name: page for page in pages_of(world)}
        if options.docs:
            for picture in DOCS:
                if picture.world == world.name:
                    _document(report, camera, picture, pages[picture.page])
            return
        for page in pages.values():
            if not options.only or page.name.startswith(tuple(options.only)):
                faults = camera.take(page, into / world.name)
                report.result(f"{world.name}/{page.name}", faults)


def _document(report, camera, picture, page):
    file = PICTURES / f"{picture.name}.png"
    faults = camera.take_one(page, picture, file)
    if (size := file.stat().st_size) > DOCS_BYTES_MAX:
        faults.append(f"it has {size} bytes; {DOCS_BYTES_MAX} are permitted")
    report.result(str(file), faults, f"{size} bytes")
