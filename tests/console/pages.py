"""Every page of the console, found by its links: what axe-core says of it in light, dark and narrow, how many
bytes it loads, what moves while it comes, whether the focus is seen at each stop, and whether it is whole
without script.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

from console import browser
from lib.report import Report

BYTES_MAX = 100 * 1000
# Stops of a page that are looked at.
STOPS_MAX = 60
# What moves late has moved by then.
SETTLE_MS = 250

# Each kind of page, `*` for a name. A link to a page that has no kind is a failure, and so is a kind to which
# no link and none of the further addresses leads.
KINDS = (
    "/console",
    "/console/devices",
    "/console/devices/new",
    "/console/devices/act",
    "/console/devices/*/*",
    "/console/devices/*/*/data",
    "/console/devices/*/*/commands",
    "/console/devices/*/*/log",
    "/console/devices/*/*/session",
    "/console/devices/*/*/disable",
    "/console/devices/*/*/reset",
    "/console/devices/*/*/delete",
    "/console/jobs",
    "/console/jobs/*",
    "/console/products",
    "/console/new-product",
    "/console/products/*",
    "/console/products/*/model",
    "/console/products/*/script",
    "/console/products/*/disable",
    "/console/products/*/rotate",
    "/console/products/*/delete",
    "/console/refusals",
    "/console/firmware",
    "/console/firmware/*",
    "/console/firmware/*/offer",
    "/console/firmware/*/delete",
    "/console/import",
    "/console/import/*",
    "/console/users",
    "/console/users/*",
    "/console/users/*/reset",
    "/console/users/*/delete",
    "/console/tokens",
    "/console/tokens/*/revoke",
    "/console/ous",
    "/console/ous/*",
    "/console/ous/*/suspend",
    "/console/audit",
    "/console/system",
    "/console/keys",
    "/login",
    "/",
)
# Files, and documents for programs.
NO_PAGES = (
    "/console/audit/export",
    "/console/devices/*/*/data/export",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/api/docs",
    "/api/v1/**",
)
# Addresses that no link has, each with its status.
FURTHER = {
    "/console/devices/act": 422,
    "/console/nothing": 404,
    "/console/devices/none/none": 404,
    "/password/none": 404,
}
# Where links and forms lead to that only ask.
_LEADS = """() => [
  ...[...document.querySelectorAll('a[href]')].map((link) => link.href.split('#')[0]),
  ...[...document.querySelectorAll('form[action]:not([method])')]
    .map((form) => new URL(form.getAttribute('action'), location.href).href),
]"""


@dataclass
class Sight:
    """What was found of one page."""

    path: str
    status: int = 0
    requests: int = 0
    bytes: int = 0
    shift: float = 0.0
    stops: int = 0
    violations: dict[str, list[dict]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def row(self) -> str:
        """A row of the table."""
        kinds = [found["impact"] for found in self.all_violations()]
        grave = sum(kind in ("serious", "critical") for kind in kinds)
        return (
            f"{self.path[:58]:<58} {self.status} {self.requests:>3} {self.bytes / 1000:>6.1f} "
            f"{self.shift:>7.4f} {grave:>3} {len(kinds) - grave:>5} {self.stops:>5}"
        )

    def all_violations(self) -> list[dict]:
        """Of every look, each rule once."""
        return list({found["id"]: found for looks in self.violations.values() for found in looks}.values())


HEAD = f"{'page':<58} status req kB      shift axe other stops"


def kind_of(path: str, kinds: tuple[str, ...]) -> str | None:
    """The kind of an address without its query."""
    for kind in kinds:
        pattern = re.escape(kind).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
        if re.fullmatch(pattern, path):
            return kind
    return None


class Walk:
    """From page to page by their links, one of each kind, and one with a query where there is one."""

    def __init__(self, base: str, page: Page):
        self._base, self._page = base, page
        self._transfer = browser.Transfer(page.context, page)
        self.complaints = browser.faults_of(page)
        self._seen: set[tuple[str, bool]] = set()
        self.strange: set[str] = set()
        self.sights: list[Sight] = []

    def all(self, begin: list[str]) -> None:
        """Looks at each, and at what they lead to."""
        waiting = [*begin, *FURTHER]
        for path in waiting:
            parts = urlsplit(path)
            if kind_of(parts.path, NO_PAGES):
                continue
            kind = kind_of(parts.path, KINDS)
            if kind is None and path not in FURTHER:
                self.strange.add(path)
                continue
            key = (kind or path, bool(parts.query))
            if key in self._seen:
                continue
            self._seen.add(key)
            self.sights.append(self._look(path))
            waiting += self._links()

    def never(self) -> list[str]:
        """Kinds to which nothing leads."""
        seen = {kind for kind, _ in self._seen}
        return [kind for kind in KINDS if kind not in seen]

    def _links(self) -> list[str]:
        links = self._page.evaluate(_LEADS)
        return [link.removeprefix(self._base) or "/" for link in links if link.startswith(self._base)]

    def _look(self, path: str) -> Sight:
        sight, page = Sight(path), self._page
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(browser.WIDE)
        self._transfer.reset()
        answer = page.goto(self._base + path)
        sight.status = answer.status if answer else 0
        self._settle(sight, "wide")
        sight.requests, sight.bytes = self._transfer.requests, self._transfer.total
        if sight.bytes > BYTES_MAX:
            sight.faults.append(f"{path} loads {sight.bytes:,} bytes")
        sight.violations["light"] = browser.axe(page)
        page.emulate_media(color_scheme="dark")
        sight.violations["dark"] = browser.axe(page)
        page.emulate_media(color_scheme="light")
        self._stops(sight)
        page.set_viewport_size(browser.NARROW)
        page.goto(self._base + path)
        self._settle(sight, "narrow")
        sight.violations["narrow"] = browser.axe(page)
        for look, violations in sight.violations.items():
            sight.faults += [f"{path}, {look}: {fault}" for fault in browser.serious(violations)]
        return sight

    def _settle(self, sight, look):
        self._page.wait_for_timeout(SETTLE_MS)
        moved = browser.shifts(self._page)
        total = sum(value for value, _ in moved)
        sight.shift = max(sight.shift, total)
        if moved:
            what = "; ".join(sorted({what for _, what in moved}))
            sight.faults.append(f"{sight.path}, {look}: it moves by {total:.4f}: {what[:300]}")

    def _stops(self, sight):
        """Tab by Tab, until the page ends or begins anew."""
        page = self._page
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement?.blur()")
        faults = {}
        for _ in range(STOPS_MAX):
            page.keyboard.press("Tab")
            focused = browser.focus(page)
            if focused is None or (sight.stops and focused["element"] == "a Skip to the content"):
                break
            sight.stops += 1
            if fault := browser.unseen(focused):
                faults[fault] = None
        sight.faults += [f"{sight.path}: {fault}" for fault in faults]


def look_at_all(report: Report, base: str, page: Page, begin: list[str]) -> list[str]:
    """Looks at all pages with a page that is logged in, from these on, and prints a table; the addresses."""
    walk = Walk(base, page)
    walk.all(begin)
    report.note(HEAD)
    for sight in sorted(walk.sights, key=lambda sight: sight.path):
        report.note(sight.row())
    for sight in walk.sights:
        others = [found for found in sight.all_violations() if found["impact"] not in ("serious", "critical")]
        for found in others:
            report.note(f"{sight.path}: {found['impact']} {found['id']}: {found['nodes'][0]}")
    lost = [f"{path} is no page that this suite knows" for path in sorted(walk.strange)]
    lost += [f"nothing leads to {kind}" for kind in walk.never()]
    for sight in walk.sights:
        if sight.status != FURTHER.get(sight.path, 200):
            lost.append(f"{sight.path} is {sight.status}")
    report.result("every page is found by links, and is there", lost, f"{len(walk.sights)} pages")
    faults = [fault for sight in walk.sights for fault in sight.faults]
    kinds = {
        "axe finds nothing serious or critical in light, dark and narrow": r": (serious|critical) ",
        "no page loads more than 100 kB": r" loads [\d,]+ bytes$",
        "nothing moves while a page comes": r": it moves by ",
        "the focus is seen at each stop": r": it has the focus|of its ring is seen$",
    }
    for what, pattern in kinds.items():
        report.result(what, [fault for fault in faults if re.search(pattern, fault)])
    report.result("no script fails, and the policy stops nothing", walk.complaints)
    return [sight.path for sight in walk.sights]


def look_without_script(report: Report, chrome: Browser, base: str, paths: list[str], cookies: list) -> None:
    """Each page in a browser that runs no script: it is whole, and has no button that does nothing."""
    faults = []
    with browser.visitor(chrome, java_script_enabled=False) as page:
        page.context.add_cookies(cookies)
        for path in paths:
            answer = page.goto(base + path)
            if answer is None or answer.status >= 500:
                faults.append(f"{path} is {answer and answer.status}")
            if page.locator("h1").count() != 1:
                faults.append(f"{path} has no heading")
            idle = page.locator('button[type="button"], button:disabled, [data-fresh]')
            idle = idle.locator("visible=true")
            faults += [f"{path}: {text!r} does nothing" for text in idle.all_inner_texts()]
    report.result("each page is whole without script", faults, f"{len(paths)} pages")
