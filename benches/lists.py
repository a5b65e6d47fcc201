"""Every kind of list over HTTP, with a million devices: page by page, from the first to the last.

`device_lists` makes the store and measures its own pages; then a server is started with it, and one program reads
the lists. A page's time is that from the request to the last byte of the answer, on one connection.
A kind whose 99th percentile is above the bound is named at the end, with exit code 1.
"""

import http.client
import json
import subprocess
import time
import urllib.parse

from lib.program import Gateway
from lib.waiting import wait_for

DEVICES = 1_000_000
PAGES_MAX = 400
LIMITS = (100, 1000)
P99_MS_MAX = 100.0
# Half of the devices are online in the store, and their lifetimes are over when the server starts.
SETTLE_SECONDS = 600
# A program that asks as fast as it can is limited otherwise.
SETTINGS = {"NARROWGATE_LOG_FILTER": "warn", "NARROWGATE_HTTP_TOKEN_REQUESTS": "off"}
PAST, FUTURE = "2020-01-01", "2100-01-01"
# The product, the unit and what the devices have are those of `device_lists`.
DEVICE_KINDS = {
    "all": {},
    "the newest first": {"sort": "-created"},
    "by key": {"sort": "key"},
    "by key, from the last one on": {"sort": "-key"},
    "all, with tags and firmware": {"with": "all"},
    "a product": {"product": "{product}"},
    "offline": {"state": "offline"},
    "online (none)": {"state": "online"},
    "inactive": {"state": "inactive"},
    "disabled (none)": {"state": "disabled"},
    "key of one": {"q": "{last}"},
    "key of a thousand": {"q": "{thousand}"},
    "key of all": {"q": "8677"},
    "key or name of none": {"q": "x"},
    "name": {"q": "cellar 99"},
    "tag of many": {"tag": "site:s7"},
    "tag of the last one": {"tag": "site:last"},
    "tag of none": {"tag": "site:none"},
    "tag of many, offline": {"tag": "site:s7", "state": "offline"},
    "tag of none, heard from": {"tag": "site:none", "seenAfter": PAST},
    "tag of none, the newest first": {"tag": "site:none", "sort": "-created"},
    "firmware of many": {"firmware": "1.0"},
    "firmware of none": {"firmware": "9.9"},
    "heard from": {"seenAfter": PAST},
    "heard before, none": {"seenBefore": PAST},
    "all filters": {
        "q": "8677",
        "product": "{product}",
        "state": "offline",
        "tag": "site:s7",
        "firmware": "1.0",
        "seenAfter": PAST,
        "seenBefore": FUTURE,
    },
}
OF_DEVICE = "products/pk/devices/{last_of_pk}"
OTHER_LISTS = (
    "products",
    "ous",
    "tokens",
    "users",
    "firmware",
    "rollouts",
    "refusals",
    "audit",
    "jobs",
    *(f"{OF_DEVICE}/{what}" for what in ("log", "refusals", "presence", "events", "commands", "values")),
)


class Reader:
    """Reads lists with a token of its own, on one connection."""

    def __init__(self, port, token):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}"}

    def page(self, path, query):
        """Milliseconds of one page, its items, and the cursor of the next one."""
        text = urllib.parse.urlencode(query)
        begin = time.perf_counter()
        self._connection.request("GET", f"/api/v1/{path}?{text}", headers=self._headers)
        response = self._connection.getresponse()
        body = response.read()
        took = 1000 * (time.perf_counter() - begin)
        if response.status != 200:
            raise SystemExit(f"benches/run: {path}?{text}: {response.status} {body[:300]!r}")
        page = json.loads(body)
        return took, len(page["items"]), page.get("nextCursor")

    def pages(self, path, query):
        """Milliseconds of each page, and how many items were found."""
        took_ms, items, cursor = [], 0, None
        while len(took_ms) < PAGES_MAX:
            took, found, cursor = self.page(path, query | ({"cursor": cursor} if cursor else {}))
            took_ms.append(took)
            items += found
            if not cursor:
                break
        return sorted(took_ms), items


class Table:
    """The rows, and which of them are above the bound."""

    def __init__(self):
        self.broken = []
        print("\n| list | pages | items | p50 ms | p99 ms | most ms |\n|---|---|---|---|---|---|", flush=True)

    def row(self, name, took_ms, items):
        """One kind of list."""
        p50, p99 = (took_ms[min(len(took_ms) - 1, int(len(took_ms) * part))] for part in (0.5, 0.99))
        print(f"| {name} | {len(took_ms)} | {items:,} | {p50:.2f} | {p99:.2f} | {took_ms[-1]:.2f} |", flush=True)
        if p99 > P99_MS_MAX:
            self.broken.append(f"{name}: p99 {p99:.1f} ms; at most {P99_MS_MAX} may be")


def lists(binaries, scale):
    """Prints all kinds of lists; exit code 1 where one takes too long."""
    count = DEVICES // scale
    server = Gateway(binaries / "narrowgate")
    try:
        subprocess.run([binaries / "device_lists", str(count), server.data], check=True)
        server.start("--shards", "1", settings=SETTINGS)
        token, north = (
            server.json("token", "create", name, "--role", "administrator", *more)["token"]
            for name, more in (("all", ()), ("north", ("--ou", "north")))
        )
        reader = Reader(server.http_port, token)
        settle(reader)
        table = Table()
        for unit, one in (("", reader), ("a unit, ", Reader(server.http_port, north))):
            measure_devices(table, one, unit, count, "pk-north" if unit else "pk")
        measure_others(table, reader, count)
    finally:
        server.remove()
    if table.broken:
        raise SystemExit("benches/run: broken:\n  " + "\n  ".join(table.broken))


def settle(reader):
    """Waits until all whose lifetime is over are offline."""
    begin = time.monotonic()
    wait_for(lambda: reader.page("devices", {"state": "online", "limit": 1})[1] == 0, SETTLE_SECONDS, 1)
    print(f"\nall offline {time.monotonic() - begin:.0f} s after the start", flush=True)


def measure_devices(table, reader, unit, count, product):
    """The lists of devices, as one reader sees them."""
    last = f"867725{count - 1:09}"
    texts = {"last": last, "thousand": last[:-3], "product": product}
    for name, query in DEVICE_KINDS.items():
        filled = {key: value.format_map(texts) for key, value in query.items()}
        for limit in LIMITS:
            took_ms, items = reader.pages("devices", filled | {"limit": limit})
            table.row(f"{unit}{name}, limit {limit}", took_ms, items)


def measure_others(table, reader, count):
    """All other lists, a hundred times their first page."""
    # One that has logged in, of the large product.
    last_of_pk = f"867725{count - 3:09}"
    for path in OTHER_LISTS:
        path = path.format(last_of_pk=last_of_pk)
        first = [reader.page(path, {}) for _ in range(100)]
        table.row(path, sorted(took for took, _, _ in first), first[0][1])
