"""The parts of the suite: a journey of each hand on a server of its own, and the pages after the mouse's."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page

from console import browser, pages
from console.browser import chromium
from console.hands import Keyboard, Mouse, Plain
from console.journey import Journey
from lib.program import Failed, Gateway
from lib.report import Report
from schema.world import World

HANDS = (Mouse, Keyboard, Plain)
PAGES = "pages"
NAMES = (*(hand.name for hand in HANDS), PAGES)
MODEL = {
    "modelId": "meter",
    "measurepoints": [
        {"identifier": "temp", "dataType": "DOUBLE"},
        {"identifier": "valve", "dataType": "STRING"},
    ],
}


def run(report: Report, binary: Path, only: str, show: str | None) -> None:
    """All parts whose names contain `only`."""
    wanted = [name for name in NAMES if only in name]
    with chromium() as chrome:
        for hand in HANDS:
            with_pages = hand is Mouse and PAGES in wanted
            if hand.name in wanted or with_pages:
                _part(report, chrome, (binary, show), hand, with_pages)


@contextlib.contextmanager
def _first_start(binary: Path) -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="console-") as folder:
        gateway = Gateway(binary, Path(folder))
        try:
            yield gateway.start()
        finally:
            gateway.kill()


def _part(report, chrome, of_run, kind, with_pages):
    binary, show = of_run
    with _first_start(binary) as gateway, browser.visitor(chrome, **kind.options) as page:
        complaints, hand, grave = browser.faults_of(page), kind(page), []

        def look(what):
            if kind is Mouse:
                grave.extend(f"{what}: {fault}" for fault in browser.serious(browser.axe(page)))

        journey = Journey(report, gateway, hand, look)
        if not journey.make():
            _keep(page, show, kind.name)
            return
        if kind is Mouse:
            report.result("mouse: axe finds nothing serious or critical on the way", grave)
        if kind.scripted:
            report.result(f"{kind.name}: no script fails, and the policy stops nothing", complaints)
        _of_hand(report, hand)
        if with_pages:
            _furnish(gateway, journey)
            # Of their kinds those that have most.
            own = "/console/devices/" + "/".join(journey.device.names)
            begin = ["/console", "/console/products/pk-1", own]
            paths = pages.look_at_all(report, journey.base, page, begin)
            cookies = page.context.cookies()
            pages.look_without_script(report, chrome, journey.base, paths, cookies)
        if not gateway.running():
            report.fail(f"{kind.name}: the server goes on", faults=[gateway.log()])


def _of_hand(report, hand):
    """What only one of them can tell."""
    if isinstance(hand, Keyboard):
        tabs, where = hand.farthest
        text = f"{hand.stops} stops; the most from one act to the next are {tabs}, to {where}"
        report.result("keyboard: the focus is seen at each stop", sorted(hand.faults), text)
    if isinstance(hand, Plain):
        report.note(f"no script: {hand.reloads} times a page was loaded again by hand")


def _furnish(gateway: Gateway, journey: Journey) -> None:
    """One of everything that has a page."""
    token = gateway.json("token", "create", "journey", "--role", "administrator")["token"]
    world = World(journey.base, token)
    world.fill()
    product, device = journey.device.names
    _must(world.ask("PATCH", f"/products/{product}", {"model": MODEL}))
    act = {"action": "tag", "tags": {"site": "north"}, "filter": {"product": product}}
    _must(world.ask("POST", "/devices:bulk", act))
    _must(world.ask("POST", "/ous", {"name": "North"}))
    server = f"{gateway.dtls_host}:{gateway.dtls_port}"
    options = ["--server", server, "--secret", journey.device.device_secret, "--interval", "0"]
    options += ["--count", "30"]
    code, _, noise = gateway.run("device", "simulate", f"{product}/{device}", *options)
    if code != 0:
        raise Failed(f"the device cannot report\n{noise}")


def _must(answer):
    status, document = answer
    if status >= 300:
        raise Failed(f"{status} {json.dumps(document)}")


def _keep(page: Page, show: str | None, name: str) -> None:
    if show:
        Path(show).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(show) / f"{name.replace(' ', '-')}.png", full_page=True)
