"""Breaks rules of the product on purpose, one at a time in a copy of the tree, and runs the test that has to
notice.

tests/run mutants                 all of tests/mutants/mutants.toml; some minutes
tests/run mutants --only PATTERN  those whose name holds PATTERN
tests/run mutants --list          their names and rules

Exit code 1 if one is not caught. A mutant whose text is no longer there, or that does not compile, counts as
not caught.
"""

import os
import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

from lib import build, command_line
from lib.paths import ROOT, TESTS
from lib.report import Report

SECONDS_MAX = 900


def copy_tree(into: Path) -> None:
    """Copies what git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, into / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())


def cargo_test(tree, arguments):
    """Returns cargo's whole output, and the names of the tests that failed."""
    environment = os.environ | {
        "CARGO_TARGET_DIR": str(build.target() / "mutants"),
        "CARGO_TERM_COLOR": "never",
    }
    done = subprocess.run(
        ["cargo", "test", "--locked", *arguments],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
    )
    return done.stdout, re.findall(r"^test (\S+) \.\.\. FAILED$", done.stdout, re.MULTILINE)


def try_mutant(tree, mutant):
    """Returns what is wrong with it, or None if it was caught."""
    path = tree / mutant["file"]
    whole = text = path.read_text()
    for old, new in mutant["edits"]:
        if text.count(old) != 1:
            return f"{mutant['file']} holds the text {text.count(old)} times, not once: {old.strip()!r}"
        text = text.replace(old, new)
    path.write_text(text)
    try:
        output, failed = cargo_test(tree, mutant["test"])
    finally:
        path.write_text(whole)
    if any(name.split("::")[-1] == mutant["caught_by"] for name in failed):
        return None
    if "error: could not compile" in output:
        return "it does not compile:\n" + "\n".join(output.splitlines()[-30:])
    return f"{mutant['caught_by']} did not fail:\n" + "\n".join(output.splitlines()[-15:])


def main(arguments: list[str]) -> int:
    """Reads the command line, tries the mutants, prints the count."""
    parser = command_line.parser("mutants", __doc__)
    parser.add_argument("--only", default="", help="part of the names of those to try")
    parser.add_argument("--list", action="store_true", help="print them and stop")
    options = parser.parse_args(arguments)
    with open(TESTS / "mutants" / "mutants.toml", "rb") as file:
        mutants = [each for each in tomllib.load(file)["mutant"] if options.only in each["name"]]
    if options.list:
        for mutant in mutants:
            print(f"{mutant['name']:<28} {mutant['rule']}")
        return 0
    report = Report(lines_max=40)
    with tempfile.TemporaryDirectory(prefix="narrowgate-mutants-") as folder:
        copy_tree(Path(folder))
        for mutant in mutants:
            wrong = try_mutant(Path(folder), mutant)
            report.result(mutant["name"], [wrong] if wrong else [], f"caught by {mutant['caught_by']}")
    if not mutants:
        report.fail("selection", f"no mutant has {options.only!r} in its name")
    return report.end()
