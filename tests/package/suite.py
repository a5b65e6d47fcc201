"""The Debian package and the container file: built, and tried in a fresh Debian.

tests/run package                    with a release build
tests/run package --program FILE     of a program that is built already
tests/run package --base FOLDER      copies the root from FOLDER, which is made if it is missing: quicker
tests/run package --quick            the package of a debug build, looked at without being installed

The package is installed, started as its unit says (systemd does not run there), upgraded from a lower
version, removed and purged. What the unit leaves the program (system calls, privileges) is compared with what
the program uses. No container engine is needed: the lines of the container file are run by hand. As root, on
Debian, with a network; needs debootstrap and strace.
"""

import argparse
import gzip
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lib import build, command_line
from lib.paths import ROOT
from lib.report import Report
from package import container, life
from package.machine import Machine, bootstrap

# A lower one than any of the program.
OLDER = "0.0.1"
DEBIAN = ROOT / "deploy" / "debian"
# All that the program may be linked with.
LIBRARIES = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def main(arguments: list[str]) -> int:
    """Reads the command line and runs all parts."""
    parser = command_line.parser("package", __doc__)
    parser.add_argument("--program", metavar="FILE", help="the program that is packed")
    parser.add_argument("--base", metavar="FOLDER", type=Path, help="a root to copy")
    parser.add_argument("--quick", action="store_true", help="without a root")
    options = parser.parse_args(arguments)
    tools = {"readelf": "binutils", "debootstrap": "debootstrap", "strace": "strace"}
    for tool, package in list(tools.items())[: 1 if options.quick else None]:
        if not shutil.which(tool):
            sys.exit(f"tests/run package: {tool} is missing\n  try  apt-get install {package}")
    program = _program(parser, options)
    report = Report()
    folder = Path(tempfile.mkdtemp(prefix="packages-"))
    newer = _build(program, folder, None)
    _linked(report, program)
    _content(report, newer)
    _unpacked(report, newer, program)
    if options.quick:
        return report.end()
    _repeated(report, newer, program)
    older = _build(program, folder, OLDER)
    root = bootstrap(options.base)
    machine = Machine(root)
    try:
        life.run(report, machine, older, newer)
        container.run(report, machine, program)
    finally:
        machine.end()
    return report.end()


def _program(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Path:
    if options.program is None and not options.quick:
        return build.release() / "narrowgate"
    return command_line.program(parser, "--program", options.program, build.shipped)


def _build(program: Path, folder: Path, version: str | None) -> Path:
    more = ["--version", version] if version else []
    command = [DEBIAN / "build", "--program", program, "--out", folder, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"tests/run package: the package cannot be built\n{done.stderr}")
    return Path(done.stdout.strip())


def _output(*command: object) -> str:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout


def _linked(report: Report, program: Path) -> None:
    """The program wants little of a system, and what it wants stands in the documentation."""
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", _output("readelf", "-d", program)))
    report.result("what it is linked with", sorted(needed - LIBRARIES), ", ".join(sorted(needed)))
    symbols = re.findall(r"GLIBC_([0-9.]+)", _output("objdump", "-p", program))
    asked = {tuple(map(int, found.split("."))) for found in symbols}
    told = re.search(r"glibc (\d+\.\d+) or newer", (ROOT / "docs" / "operating.md").read_text())
    said = tuple(map(int, told.group(1).split("."))) if told else (0,)
    faults = [f"it asks for glibc {version}, the page says {said}" for version in asked if version > said]
    report.result("which glibc it asks for", faults, ".".join(map(str, max(asked))))


def _content(report: Report, package: Path) -> None:
    """Files and their modes, as the package lists them."""
    rows = [line.split(maxsplit=5) for line in _output("dpkg-deb", "--contents", package).splitlines()]
    faults = [" ".join(row) for row in rows if row[1] != "root/root" or row[0][5] == "w" or row[0][8] == "w"]
    report.result("files belong to root, who alone may write them", faults, f"{len(rows)} of them")
    files = {row[5].removeprefix(".") for row in rows}
    wanted = {
        "/usr/bin/narrowgate",
        "/etc/narrowgate/narrowgate.toml",
        "/usr/lib/systemd/system/narrowgate.service",
        "/usr/lib/sysctl.d/50-narrowgate.conf",
        "/usr/share/bash-completion/completions/narrowgate",
        "/usr/share/zsh/vendor-completions/_narrowgate",
        "/usr/share/fish/vendor_completions.d/narrowgate.fish",
        "/usr/share/man/man1/narrowgate.1.gz",
        "/usr/share/man/man1/narrowgate-device-import.1.gz",
        "/usr/share/doc/narrowgate/copyright",
        "/usr/share/doc/narrowgate/changelog.gz",
        "/usr/share/doc/narrowgate/THIRD-PARTY-NOTICES.gz",
        "/usr/share/doc/narrowgate/operating.md",
        "/usr/share/doc/narrowgate/examples/prometheus/alerts.yml",
    }
    report.result("what has to be in it", sorted(wanted - files))


def _unpacked(report: Report, package: Path, program: Path) -> None:
    """What the files say."""
    folder = Path(tempfile.mkdtemp(prefix="unpacked-"))
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    _notices(report, folder / "usr/share/doc/narrowgate/THIRD-PARTY-NOTICES.gz")
    pages = {page.name.removesuffix(".1.gz") for page in (folder / "usr/share/man/man1").iterdir()}
    commands = _output(program, "--help").split("Commands:")[1].split("Options:")[0]
    verbs = re.findall(r"^  ([a-z]+) ", commands, re.MULTILINE)
    lacking = [verb for verb in verbs if verb != "help" and f"narrowgate-{verb}" not in pages]
    report.result("each command has its page of the manual", lacking, f"{len(pages)} pages")
    script = folder / "usr/share/bash-completion/completions/narrowgate"
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)
    report.result("the completions of bash are a script", checked.stderr.splitlines())


def _repeated(report: Report, package: Path, program: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="again-"))
    again = _build(program, folder, None)
    same = again.read_bytes() == package.read_bytes()
    report.result("the same program gives the same package", [] if same else [f"{again} differs"])


def _notices(report: Report, file: Path) -> None:
    """Every crate that cargo links, by another way than the one in which the notices were made."""
    text = gzip.decompress(file.read_bytes()).decode()
    tree = build.cargo(
        *("tree", "--locked", "-p", "narrowgate", "-e", "normal", "--prefix", "none", "--format", "{p}|{l}"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # name v1.2.3 (proc-macro)|MIT; those of the tree itself have a path behind it.
    rows = {line.removesuffix(" (*)") for line in tree.splitlines()}
    crates = {row.split("|")[0].replace(" (proc-macro)", "") for row in rows if "/" not in row.split("|")[0]}
    head, *texts = text.split("=" * 78)
    whose = "".join(part.split("-" * 78)[0] for part in texts)
    faults = []
    for crate in sorted(crates):
        label = crate.replace(" v", " ", 1)
        if f"{label}: " not in head:
            faults.append(f"{label} is not listed")
        if f"{label} (" not in whose:
            faults.append(f"{label} has no text")
    for of_c in ("Microsoft Corporation", "Fabrice Bellard", "SQLite"):
        if of_c not in text:
            faults.append(f"{of_c} is not named")
    report.result("the notices name each crate with its licence", faults, f"{len(crates)} crates")
