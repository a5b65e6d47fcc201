"""The programs under test, built here where no command line names others.

Both builds are copied to folders of their own, since each takes the other's place in cargo's.
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lib.paths import ROOT

LOAD_PACKAGE = "narrowgate-load"


def cargo(*arguments: str, check: bool = False, **more) -> subprocess.CompletedProcess:
    """Runs cargo in the tree."""
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=check, **more)


@functools.cache
def target() -> Path:
    """Where cargo builds."""
    told = cargo(
        "metadata", "--no-deps", "--offline", "--format-version", "1", capture_output=True, check=True
    )
    return Path(json.loads(told.stdout)["target_directory"])


def shipped() -> Path:
    """Builds what is shipped; returns the folder of narrowgate and narrowgate-load."""
    return _build("shipped", ["-p", "narrowgate"], ["-p", LOAD_PACKAGE])


def with_hooks() -> Path:
    """The same with hooks for tests: named points at which the process ends, and clocks that a test moves."""
    return _build("hooks", ["-p", LOAD_PACKAGE], ["-p", "narrowgate", "--features", "test-hooks"])


def release(*more: str) -> Path:
    """Builds for measuring; returns cargo's folder."""
    if code := cargo(
        "build", "--release", "--locked", "-p", "narrowgate", "-p", LOAD_PACKAGE, *more
    ).returncode:
        sys.exit(code)
    return target() / "release"


def _build(name, *packages):
    for package in packages:
        if code := cargo("build", "--locked", *package).returncode:
            sys.exit(code)
    folder = target() / name
    folder.mkdir(parents=True, exist_ok=True)
    for program in ("narrowgate", "narrowgate-load"):
        # Not over the old one, which may be running.
        draft = folder / f"{program}.{os.getpid()}"
        shutil.copy2(target() / "debug" / program, draft)
        draft.replace(folder / program)
    return folder
