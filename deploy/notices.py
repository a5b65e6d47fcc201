#!/usr/bin/env python3
"""Writes the notices of third parties: whose code is in narrowgate, and under which licences.

usage: deploy/notices.py [--list]

It asks cargo for what Cargo.lock says is linked into the program, proc macros included, and gathers the
licence files of these packages, also those of the C code within them. With --list it prints names and versions
alone. A package without any such text has to be of the same repository as one that has it, or to offer the
Apache License, whose text is that of this tree; else nothing is written.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)([-_. ].*)?", re.IGNORECASE)
# Folders below a package are searched to this depth: C code within it has its own texts.
DEPTH_MAX = 4
# What is code or data although its name begins so.
NO_TEXT = {".rs", ".c", ".h", ".py", ".json", ".toml", ".html", ".sh"}


def linked() -> list[dict]:
    """What is linked into the program, with cargo's description of each, sorted by name and version."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host()]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    told = json.loads(told.stdout)
    packages = {package["id"]: package for package in told["packages"]}
    nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
    waiting = [name for name, package in packages.items() if package["name"] == "narrowgate"]
    found = set()
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for other in nodes[name]["deps"]:
            # Those of builds and tests have another kind.
            if any(kind["kind"] is None for kind in other["dep_kinds"]):
                waiting.append(other["pkg"])
    others = [packages[name] for name in found if packages[name]["source"]]
    return sorted(others, key=lambda package: (package["name"], package["version"]))


def host() -> str:
    """The platform that is built for."""
    told = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return re.search(r"^host: (.*)$", told, re.MULTILINE).group(1)


def texts(package: dict) -> list[tuple[str, str]]:
    """Licences and notices in a package: path and text."""
    folder = Path(package["manifest_path"]).parent
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if len(inside.parts) <= DEPTH_MAX and TEXT.fullmatch(path.name) and path.suffix not in NO_TEXT:
            if path.is_file():
                found.append((str(inside), path.read_text(errors="replace").strip()))
    return found


def label(package: dict) -> str:
    """How a package is named."""
    return f"{package['name']} {package['version']}"


def gather(packages: list[dict]) -> tuple[dict[str, list[str]], dict[str, str], list[str]]:
    """Who has which text (by its digest), the texts, and who has none."""
    users, by_digest, bare, of_repository = {}, {}, [], {}
    for package in packages:
        found = texts(package)
        for path, text in found:
            digest = hashlib.sha256(text.encode()).hexdigest()
            by_digest[digest] = text
            users.setdefault(digest, []).append(f"{label(package)} ({path})")
            of_repository.setdefault(package["repository"], []).append(digest)
        if not found:
            bare.append(package)
    missing = []
    for package in bare:
        digests = of_repository.get(package["repository"], [])
        if not digests and "Apache-2.0" in re.split(r" OR |/", package["license"] or ""):
            text = (ROOT / "LICENSE").read_text().strip()
            digest = hashlib.sha256(text.encode()).hexdigest()
            by_digest[digest] = text
            users.setdefault(digest, []).append(f"{label(package)} (Apache-2.0, of its choice of licences)")
        elif not digests:
            missing.append(label(package))
        for digest in dict.fromkeys(digests):
            users[digest].append(f"{label(package)} (of the same repository)")
    return users, by_digest, missing


def main() -> int:
    """Reads the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--list", action="store_true", help="names and versions alone")
    options = parser.parse_args()
    packages = linked()
    if options.list:
        print("\n".join(map(label, packages)))
        return 0
    users, by_digest, missing = gather(packages)
    if missing:
        print(f"notices.py: without a licence text: {', '.join(missing)}", file=sys.stderr)
        return 1
    print("narrowgate contains the packages of others that stand here, each under the licence behind it.")
    print("SQLite, within libsqlite3-sys, is in the public domain. The texts follow.\n")
    for package in packages:
        print(f"{label(package)}: {package['license'] or 'see its text'}")
    for digest, whose in sorted(users.items(), key=lambda item: item[1]):
        print(f"\n{'=' * 78}\n" + "\n".join(whose) + f"\n{'-' * 78}\n{by_digest[digest]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
