"""Runs the real binary against DTLS and CoAP implementations that this project did not write.

tests/run interop                    all cases, about two minutes
tests/run interop --only PATTERN     those whose name contains or matches it
tests/run interop --write-table      writes the table of mistakes in docs/device-guide.md
tests/run interop --write-topics     writes its tables of topics, codes and options

One line per case, `N passed, N failed` at the end, exit code 1 on any failure. A peer that is missing is a
failure.
"""

from interop import cases, harness, served
from interop.mistakes import table
from lib import build, command_line


def main(arguments: list[str]) -> int:
    """Reads the command line, runs the cases, prints the count."""
    parser = command_line.parser("interop", __doc__)
    parser.add_argument("--binary", help="the narrowgate program to test; without it one is built")
    parser.add_argument(
        "--only", metavar="PATTERN", help="cases whose name contains this, or matches it as a glob"
    )
    parser.add_argument("--jobs", type=int, default=6, help="cases at a time (most of them wait; default 6)")
    parser.add_argument("--list", action="store_true", help="print the names of the cases and end")
    parser.add_argument("--write-table", action="store_true", help="write the guide's table of mistakes")
    parser.add_argument("--write-topics", action="store_true", help="write the guide's tables of topics")
    options = parser.parse_args(arguments)
    if options.write_topics:
        return served.write()
    if options.list:
        print("\n".join(harness.names()))
        return 0
    binary = command_line.program(parser, "--binary", options.binary, build.shipped)
    if options.write_table:
        table.write(cases.mistakes.seen_table(harness.World(binary), options.jobs))
        return 0
    return harness.run_all(binary, options.only, options.jobs).end()
