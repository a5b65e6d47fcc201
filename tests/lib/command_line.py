"""Command lines of the suites."""

import argparse
import os
from pathlib import Path

from lib import build


def parser(suite: str, description: str) -> argparse.ArgumentParser:
    """The parser of a suite's options; its help is the docstring of the suite."""
    return argparse.ArgumentParser(
        prog=f"tests/run {suite}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def program(arguments: argparse.ArgumentParser, option: str, path: str | None, make) -> Path:
    """The narrowgate that `path` names; without a path the one in the folder that `make()` builds."""
    if path is None:
        return make() / "narrowgate"
    if not os.access(path, os.X_OK):
        arguments.error(f"{option} {path}: there is no program; without {option} one is built")
    return Path(path).resolve()


def folder(arguments: argparse.ArgumentParser, option: str, path: str | None) -> Path:
    """The folder of narrowgate and narrowgate-load that `path` names; without a path they are built."""
    if path is None:
        return build.shipped()
    load_beside(arguments, program(arguments, option, os.path.join(path, "narrowgate"), build.shipped))
    return Path(path).resolve()


def load_beside(arguments: argparse.ArgumentParser, narrowgate: Path) -> Path:
    """The load client beside the program."""
    load = narrowgate.with_name("narrowgate-load")
    if not os.access(load, os.X_OK):
        arguments.error(f"{load} is missing: cargo build -p {build.LOAD_PACKAGE} builds it")
    return load
