"""Line coverage of the protocol core by its own tests: every crate and every rule below has to reach 95 %.

tests/run coverage              measures and prints the table; some minutes (cargo-tarpaulin)
tests/run coverage --lines      with the lines that no test reaches
tests/run coverage --report F   reads a report of tarpaulin instead of measuring

Needs `cargo install cargo-tarpaulin --locked`. Test code does not count, neither as tested nor as product.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lib import build, command_line
from lib.paths import ROOT
from lib.report import Report

LEAST = 95.0
PACKAGES = ["narrowgate-dtls", "narrowgate-coap", "narrowgate-platform"]
# Name, and the files that belong to it.
PARTS = {
    "dtls": ["crates/dtls/src/"],
    "coap": ["crates/coap/src/"],
    "identity rules": ["crates/platform/src/rules/identity.rs", "crates/platform/src/rules/admission.rs"],
    "activation rules": ["crates/platform/src/device_api/activation.rs"],
    "all rules and the device API": ["crates/platform/src/rules/", "crates/platform/src/device_api/"],
}
NOT_PRODUCT = ("/tests.rs", "/tests/", "test_clock.rs", "/vectors.rs")


def measure(folder: str) -> str:
    """Runs the tests; returns the report. In a folder of its own, since the flags differ from every other
    build's.
    """
    if shutil.which("cargo-tarpaulin") is None:
        sys.exit(
            "tests/run coverage: cargo-tarpaulin is missing\n  try  cargo install cargo-tarpaulin --locked"
        )
    command = ["cargo", "tarpaulin", "--engine", "llvm", "--locked", "--skip-clean", "--color", "never"]
    command += ["--out", "Json", "--output-dir", folder, "--timeout", "900"]
    for package in PACKAGES:
        command += ["--package", package]
    environment = os.environ | {"CARGO_TARGET_DIR": str(build.target() / "coverage")}
    with open(f"{folder}/log", "w", encoding="utf-8") as log:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        sys.exit(
            Path(f"{folder}/log").read_text(encoding="utf-8")[-3000:]
            + "\ntests/run coverage: the tests did not run"
        )
    return f"{folder}/tarpaulin-report.json"


def read(report: str) -> dict[str, dict[int, bool]]:
    """Lines of each source file that a test can reach: {path: {line: reached}}."""
    files = {}
    with open(report, encoding="utf-8") as text:
        for file in json.load(text)["files"]:
            path = os.path.relpath(os.path.join(*file["path"]), ROOT)
            if not any(part in f"/{path}" for part in NOT_PRODUCT):
                files[path] = {trace["line"]: trace["stats"].get("Line", 0) > 0 for trace in file["traces"]}
    return files


def ranges(lines: list[int]) -> str:
    """[3, 4, 5, 9] as "3-5 9"."""
    spans = []
    for line in lines:
        if spans and line == spans[-1][1] + 1:
            spans[-1][1] = line
        else:
            spans.append([line, line])
    return " ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)


def main(arguments: list[str]) -> int:
    """Reads the command line, measures, prints the table and the count."""
    parser = command_line.parser("coverage", __doc__)
    parser.add_argument("--lines", action="store_true", help="print the lines that no test reaches")
    parser.add_argument("--report", help="a report of tarpaulin to read instead of measuring")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="coverage-") as folder:
        files = read(options.report or measure(folder))
    report = Report()
    for name, places in PARTS.items():
        part = {path: lines for path, lines in files.items() if path.startswith(tuple(places))}
        reached = sum(sum(lines.values()) for lines in part.values())
        total = sum(map(len, part.values()))
        share = 100 * reached / total if total else 0.0
        text = f"{reached} of {total} lines, {share:.2f} %"
        report.result(name, [] if share >= LEAST else [f"too few: {LEAST} % are wanted"], text)
    if options.lines:
        everywhere = tuple(place for places in PARTS.values() for place in places)
        for path, lines in sorted(files.items()):
            missing = sorted(line for line, was_reached in lines.items() if not was_reached)
            if missing and path.startswith(everywhere):
                print(f"{path}: {ranges(missing)}")
    return report.end()
