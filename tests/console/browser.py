"""Debian's Chromium without a window, driven by Playwright, and what is asked of a page in it."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from lib.paths import TOOLS
from lib.tools import ToolMissing, need

CHROMIUM = "chromium"
AXE_FILE = TOOLS / "axe" / "node_modules" / "axe-core" / "axe.min.js"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
WAIT_MS = 8_000

# Where the focus is, and how much of the circumference of its ring is seen: a ring is an outline, which
# boxes that scroll cut off. `None` where nothing has the focus.
_FOCUS = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element), box = element.getBoundingClientRect();
  const width = style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth);
  const away = width + parseFloat(style.outlineOffset);
  const ring = {
    left: box.left - away, top: box.top - away, right: box.right + away, bottom: box.bottom + away,
  };
  const seen = {left: 0, top: 0, right: innerWidth, bottom: innerHeight};
  for (let outer = element.parentElement; outer && outer !== document.body; outer = outer.parentElement) {
    const flow = getComputedStyle(outer);
    if (flow.overflowX === 'visible' && flow.overflowY === 'visible') continue;
    if (outer === document.documentElement) continue;
    const edge = outer.getBoundingClientRect();
    seen.left = Math.max(seen.left, edge.left);
    seen.top = Math.max(seen.top, edge.top);
    seen.right = Math.min(seen.right, edge.right);
    seen.bottom = Math.min(seen.bottom, edge.bottom);
  }
  const wide = Math.max(0, Math.min(ring.right, seen.right) - Math.max(ring.left, seen.left));
  const high = Math.max(0, Math.min(ring.bottom, seen.bottom) - Math.max(ring.top, seen.top));
  let length = 0;
  if (wide && high) {
    if (ring.top >= seen.top - 1) length += wide;
    if (ring.bottom <= seen.bottom + 1) length += wide;
    if (ring.left >= seen.left - 1) length += high;
    if (ring.right <= seen.right + 1) length += high;
  }
  const whole = 2 * (ring.right - ring.left + ring.bottom - ring.top);
  const name = element.getAttribute('aria-label') || element.innerText || element.name || element.id || '';
  return {
    element: `${element.localName} ${name.trim().slice(0, 40).replace(/\\s+/g, ' ')}`,
    width, share: whole ? length / whole : 0, isSmall: box.width < 2 || box.height < 2,
  };
}"""

_SHIFTS = """() => new Promise((done) => {
  const found = [];
  const note = (list) => list.getEntries().forEach((entry) => {
    if (entry.hadRecentInput) return;
    const name = ({node}) => node ? `${node.nodeName}.${node.className || node.id || ''}` : '?';
    found.push([entry.value, entry.sources.map(name).join(' ')]);
  });
  new PerformanceObserver(note).observe({type: 'layout-shift', buffered: true});
  setTimeout(() => done(found), 60);
})"""

_AXE = """async () => {
  const told = await axe.run(document, {resultTypes: ['violations']});
  return told.violations.map(({id, impact, help, nodes}) => ({
    id, impact, help, nodes: nodes.slice(0, 3).map((node) => `${node.target} ${node.html.slice(0, 120)}`),
  }));
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, which ends with the block."""
    path = shutil.which(CHROMIUM)
    if path is None:
        raise ToolMissing(f"{CHROMIUM} is missing: run tests/run install")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def visitor(browser: Browser, **options) -> Iterator[Page]:
    """A page of a fresh profile, in English and in the zone of Berlin; `options` are Playwright's."""
    options = {"viewport": WIDE, "locale": "en-US", "timezone_id": "Europe/Berlin", **options}
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


def faults_of(page: Page) -> list[str]:
    """What the page's scripts and its policy complain of, from now on."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))

    def say(message):
        # A refusal is a status, and the pages that have one are meant to.
        is_status = "the server responded with a status of" in message.text
        if message.type in ("error", "warning") and not is_status:
            found.append(f"{page.url}: {message.text}")

    page.on("console", say)
    return found


def focus(page: Page) -> dict | None:
    """Where the focus is, and how it is seen; None where nothing has it."""
    return page.evaluate(_FOCUS)


def unseen(focused: dict) -> str | None:
    """What is wrong with how the focus is seen."""
    if focused["isSmall"]:
        return f"{focused['element']}: it has the focus and no size"
    if focused["width"] < 2:
        return f"{focused['element']}: it has the focus and no ring"
    if focused["share"] < 0.5:
        return f"{focused['element']}: {focused['share']:.0%} of its ring is seen"
    return None


def shifts(page: Page) -> list[tuple[float, str]]:
    """Each layout shift since the page was opened that nobody has caused, with what moved."""
    return [(value, what) for value, what in page.evaluate(_SHIFTS)]


def axe(page: Page) -> list[dict]:
    """What axe-core finds: `id`, `impact`, `help` and `nodes` of each rule that is broken.

    It goes into the page by the driver, which the page's policy does not stop.
    """
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(Path(need(AXE_FILE, "axe-core")).read_text())
    return page.evaluate(_AXE)


def serious(violations: list[dict]) -> list[str]:
    """Those that fail a page, in words."""
    return [
        f"{found['impact']} {found['id']}: {found['help']}: {json.dumps(found['nodes'])}"
        for found in violations
        if found["impact"] in ("serious", "critical")
    ]


class Transfer:
    """Bytes over the wire of what a page loads, as the browser counts them, with headers, from an empty
    cache.
    """

    def __init__(self, context: BrowserContext, page: Page):
        self._session: CDPSession = context.new_cdp_session(page)
        self._bytes: dict[str, float] = {}
        self._session.on("Network.responseReceived", self._begun)
        self._session.on("Network.dataReceived", self._more)
        self._session.on("Network.loadingFinished", self._ended)
        self._session.send("Network.enable")
        self._session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def reset(self) -> None:
        """Counts from here on."""
        self._bytes.clear()

    @property
    def requests(self) -> int:
        """How many were answered."""
        return len(self._bytes)

    @property
    def total(self) -> int:
        """All bytes."""
        return round(sum(self._bytes.values()))

    def _begun(self, event):
        self._bytes[event["requestId"]] = event["response"]["encodedDataLength"]

    def _more(self, event):
        # Of a stream, which does not end.
        if event["requestId"] in self._bytes:
            self._bytes[event["requestId"]] += event["encodedDataLength"]

    def _ended(self, event):
        if event["requestId"] in self._bytes:
            self._bytes[event["requestId"]] = event["encodedDataLength"]
