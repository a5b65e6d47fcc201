"""What the server shows of itself: metrics, the alerts and the dashboard that are made of them, its log."""

import json
import re
import subprocess
import time
import urllib.request

from interop.harness import case, check
from interop.peers.libcoap import OPENSSL
from lib.devices import create_device
from lib.dtls import CCM8
from lib.paths import GUIDE, ROOT, TOOLS
from lib.tools import need
from lib.waiting import wait_for

RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "alerts.test.yml"
EXAMPLE = ROOT / "deploy" / "prometheus" / "prometheus.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "narrowgate.json"

# Names of cookies, which are no metrics.
COOKIES = {"narrowgate_browser", "narrowgate_oidc_browser", "narrowgate_session"}
# What the names of histograms end in beside their own.
SUFFIXES = re.compile(r"_(?:bucket|sum|count)$")


def _scraped(world, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{world.gateway.http_port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read().decode()


def _token(world, name, *more):
    return world.gateway.json("token", "create", name, "--role", "viewer", *more)["token"]


def _promtool(*arguments, text=None):
    promtool = need(TOOLS / "prometheus" / "promtool", "promtool")
    return subprocess.run(
        [promtool, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )


@case("every metric that the papers, the alerts and the dashboard name is served")
def _names(world):
    papers = [*GUIDE.parent.glob("*.md")]
    named = {name for paper in papers for name in re.findall(r"`(narrowgate_[a-z_]+)", paper.read_text())}
    check(len(named) >= 10, f"the papers name {sorted(named)}")
    for made in (RULES, DASHBOARD):
        text = made.read_text()
        of_it = set(re.findall(r"\b((?:narrowgate|process)_[a-z_]+)(?=[{\[ )<>])", text))
        check(len(of_it) >= 10, f"{made.name} names {sorted(of_it)}")
        named |= {SUFFIXES.sub("", name) for name in of_it}
    token = _token(world, "names")

    def lacking():
        served = set(re.findall(r"^# TYPE ([a-z_]+)", _scraped(world, token), re.MULTILINE))
        return named - COOKIES - served

    # Devices are counted in the background after the first scrape.
    wait_for(lambda: not lacking(), 20, 0.2)
    check(not lacking(), f"not served: {sorted(lacking())}")


@case("promtool has nothing to say about the metrics, the alerts and the example")
def _lint(world):
    linted = _promtool("check", "metrics", text=_scraped(world))
    check((linted.returncode, linted.stdout + linted.stderr) == (0, ""), f"promtool says {linted}")
    for arguments in (("check", "rules", RULES), ("test", "rules", RULE_TESTS), ("check", "config", EXAMPLE)):
        checked = _promtool(*map(str, arguments))
        check(checked.returncode == 0, f"promtool says {checked}")


@case("devices are counted by product for those who may see them, and for nobody else")
def _by_product(world):
    device = create_device(world.gateway)
    unit = world.gateway.json("ou", "create", "watched")["ou"]
    token, of_unit = _token(world, "sees-all"), _token(world, "sees-one", "--ou", unit)
    wait_for(lambda: "narrowgate_product_devices{" in _scraped(world, token), 20, 0.2)
    counted = _scraped(world, token)
    check('narrowgate_devices{state="inactive"}' in counted, "devices are not counted")
    check("narrowgate_product_devices{" in counted, "products are not counted")
    for text in (_scraped(world), _scraped(world, of_unit)):
        check("narrowgate_devices{" in text, "without a token devices are not counted")
        check("narrowgate_product_devices" not in text, "a product is shown to somebody who may not see it")
        check(device.product.product_key not in text, "a product's key is shown")


@case("requests are counted by the code of their answer, refusals by reason, commits by their time")
def _counted(world):
    device = create_device(world.gateway)
    OPENSSL.exchange(world.gateway.target(device.identity(), device.key, CCM8), [device.report({"temp": 1})])
    wanted = (
        r'^narrowgate_responses_total\{code="2\.04"\} [1-9]',
        r'^narrowgate_refusals_total\{reason="wrong_key"\} \d',
        r'^narrowgate_store_commit_seconds_bucket\{le="\+Inf"\} [1-9]',
        r"^narrowgate_store_commit_seconds_sum \d",
        r'^narrowgate_store_bytes\{files="registry"\} [1-9]',
        r"^process_resident_memory_bytes [1-9]\d{6}",
        r"^process_open_fds [1-9]",
    )

    def lacking():
        text = _scraped(world)
        return [line for line in wanted if not re.search(line, text, re.MULTILINE)]

    wait_for(lambda: not lacking(), 10, 0.1)
    check(not lacking(), f"not there: {lacking()}")


@case("the log has no line for a device that connects and reports, and as JSON each line is an object")
def _log(world):
    with world.fresh() as gateway:
        gateway.start(settings={"NARROWGATE_LOG_FORMAT": "json"})
        devices = [create_device(gateway) for _ in range(5)]
        before = len(gateway.said().splitlines())
        for device in devices:
            target = gateway.target(device.identity(), device.key, CCM8)
            OPENSSL.exchange(target, [device.report({"temp": 21.5})])
        time.sleep(0.5)
        lines = gateway.said().splitlines()
        check(len(lines) == before, f"said meanwhile: {lines[before:]}")
        events = [json.loads(line) for line in lines if line.startswith("{")]
        check(len(events) >= 1, f"no event of the log is JSON: {lines}")
        for event in events:
            check({"timestamp", "level", "fields", "target"} <= set(event), f"an event is {event}")
