"""Every operation of the HTTP API with inputs that are made of its document, against the real program.

tests/run schema [--binary PATH] [--cases N] [--quick] [--seed N] [--only OPERATION_ID]

schemathesis asks the server what its OpenAPI document permits, and what it does not: the examples, the edges
of each parameter, and inputs at random, with the token of an administrator. No answer may be a 5xx, and each
must be one that the document has, by its status, its media type, its headers and its schema. Before that, the
examples of the document are compared with its schemas by a validator that is not ours.

`--cases N` (20000): fewer are a failure. `--quick`: 3000, for every change. What a run found is found again
by its seed. Ends with `N passed, N failed`; exit code 1 on any failure.

Not asked: `listen`, whose answer goes on. Three of four cases with names in their paths get names of what
exists. A command's `wait` is taken out: no device would answer.
"""

import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from lib import build, command_line, leave_nothing, tools
from lib.paths import TESTS
from lib.program import Failed, Gateway
from lib.report import Report
from schema.world import KEPT, World

LINES_MAX = 200
CASES, CASES_QUICK = 20_000, 3_000
# Requests of an operation, at least, that are made of its examples and of the edges of its parameters.
EDGES = 25
# Some operations take nothing that could differ, so the others are asked more often.
SPARE = 1.3
CHECKS = (
    "no_fault_of_the_server",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# Of the process: it ends by itself long before.
SECONDS_MAX = 3600


def main(arguments: list[str]) -> int:
    """Reads the command line, asks, prints the count."""
    parser = command_line.parser("schema", __doc__)
    parser.add_argument("--binary", help="narrowgate; without it one is built")
    parser.add_argument("--cases", type=int, help="at least so many requests")
    parser.add_argument("--quick", action="store_true", help=f"{CASES_QUICK} requests")
    parser.add_argument("--seed", type=int, default=1, help="of the inputs at random")
    parser.add_argument("--only", action="append", default=[], help="only the operation with this id")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("schemathesis") is None:
        return tools.run_in("schema-venv", "schema", arguments)
    cases = options.cases or (CASES_QUICK if options.quick else CASES)
    binary = command_line.program(parser, "--binary", options.binary, build.shipped)

    report, begin = Report(LINES_MAX), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="schema-") as folder:
        # A run asks far more often than a program does.
        gateway = Gateway(binary, Path(folder)).start(settings={"NARROWGATE_HTTP_TOKEN_REQUESTS": "off"})
        try:
            ask_all(report, gateway, options, cases)
        finally:
            gateway.stop()
    report.result("no process is left behind", leave_nothing.left_behind())
    return report.end(f" in {time.monotonic() - begin:.0f} s")


def ask_all(report: Report, gateway: Gateway, options, cases: int) -> None:
    """Compares the examples, runs schemathesis, and looks at what it has counted."""
    # A name that no input at random hits.
    made = gateway.json("token", "create", f"schema-{secrets.token_hex(8)}", "--role", "administrator")
    url = f"http://127.0.0.1:{gateway.http_port}"
    document = fetch(url)
    let_a_device_report(gateway, World(url, made["token"]))
    report.result("the examples of the document are what its schemas say", wrong_examples(document))
    operations = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    asked = [name for name in operations if name != "listen" and name in (options.only or operations)]
    counted = gateway.folder / "counted.json"
    each = max(1, round((cases - EDGES * len(asked)) * SPARE / len(asked)))
    done = subprocess.run(
        command(url, made["token"], asked, each, options.seed),
        cwd=gateway.folder,
        env={
            **os.environ,
            "PYTHONPATH": str(TESTS),
            "SCHEMATHESIS_HOOKS": "schema.hooks",
            "SCHEMA_URL": url,
            "SCHEMA_TOKEN": made["token"],
            "SCHEMA_COUNTED": str(counted),
        },
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    faults = [] if done.returncode == 0 else [done.stdout[-20_000:], done.stderr[-4_000:]]
    report.result(f"no answer is outside the document (--seed {options.seed})", faults)
    if not gateway.running():
        report.fail("the server goes on", faults=[gateway.log()])
    if counted.exists():
        look_at(report, json.loads(counted.read_text()), len(asked), 0 if options.only else cases)


def let_a_device_report(gateway: Gateway, world: World) -> None:
    """The device that stays logs in and reports: it can get commands, and there are values to be read."""
    world.fill()
    server = f"{gateway.dtls_host}:{gateway.dtls_port}"
    options = ["--server", server, "--secret", world.secret(), "--interval", "0", "--count", "20"]
    code, _, noise = gateway.run("device", "simulate", "/".join(KEPT), *options)
    if code != 0:
        raise Failed(f"the device cannot report\n{noise}")


def command(url: str, token: str, asked: list[str], each: int, seed: int) -> list[str]:
    """What is run: `each` inputs at random of each operation."""
    chosen = [word for name in asked for word in ("--include-operation-id", name)]
    return [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{url}/api/v1/openapi.json",
        *chosen,
        *("--header", f"Authorization: Bearer {token}"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(each)),
        *("--seed", str(seed)),
        *("--generation-database", "none"),
        *("--suppress-health-check", "all"),
        *("--request-timeout", "10"),
        *("--warnings", "off"),
        "--continue-on-failure",
        "--no-color",
    ]


def look_at(report: Report, counts: list, operations: int, cases: int) -> None:
    """Whether enough was asked, and of every operation."""
    by_operation, by_status = Counter(), Counter()
    reached: set[str] = set()
    for operation, status, count in counts:
        by_operation[operation] += count
        by_status[status] += count
        if status < 300:
            reached.add(operation)
    total = by_operation.total()
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(by_status.items()))
    report.note(statuses)
    report.note(f"{len(reached)} of {operations} operations have done what they were asked for")
    del by_operation["other methods"]
    never = sorted(set(by_operation) - reached)
    report.note(f"only refused: {', '.join(never) or 'none'}")
    faults = [] if total >= cases else [f"{total} requests are fewer than {cases}"]
    if len(by_operation) < operations:
        faults.append(f"{len(by_operation)} of {operations} operations were asked")
    report.result("every operation was asked, often enough", faults, f"{total} requests")


def fetch(url: str) -> dict:
    """The document, as everybody gets it."""
    import requests

    answer = requests.get(f"{url}/api/v1/openapi.json", timeout=10)
    answer.raise_for_status()
    return answer.json()


def wrong_examples(document: dict) -> list[str]:
    """Examples that are not what their schemas say."""
    import jsonschema_rs

    faults = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (content for part in parts for content in part.get("content", {}).values()):
                if "example" not in content:
                    continue
                # `true` permits everything.
                schema = {} if content["schema"] is True else content["schema"]
                schema = {**schema, "components": document["components"]}
                for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(content["example"]):
                    faults.append(f"{method} {path}: {error.message}")
    return faults
