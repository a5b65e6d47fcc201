"""Runs the tests in a bare Debian, to see whether `tests/run install` installs all that they need.

tests/run bare-debian                     tests/run, the whole of it
tests/run bare-debian tests/run install   another command, in the clone
tests/run bare-debian --base FOLDER …     copies the root from FOLDER, which is made if it is missing: quicker
tests/run bare-debian --keep …            keeps the root and says where it is

A fresh root with what debootstrap calls minbase, a C compiler, this machine's Rust toolchain, and a clone of
what is committed. As root, on Debian; needs debootstrap, a network, and some 10 GB.
"""

import argparse
import os
import subprocess
from pathlib import Path

from lib import command_line, leave_nothing


def main(arguments: list[str]) -> int:
    """Reads the command line and hands over to the script beside this file: the rest is work for a shell."""
    parser = command_line.parser("bare-debian", __doc__)
    parser.add_argument("--base", metavar="FOLDER", help="a root to copy")
    parser.add_argument("--keep", action="store_true", help="keep the root")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what is run instead of tests/run")
    options = parser.parse_args(arguments)
    environment = {"BASE": os.path.abspath(options.base) if options.base else "", "KEEP": ""}
    if options.keep:
        environment |= {"KEEP": "yes", "TMPDIR": leave_nothing.kept()}
    script = ["bash", Path(__file__).with_name("bare-debian.sh"), *(options.command or ["tests/run"])]
    return subprocess.run(script, env=os.environ | environment, check=False).returncode
