"""Every page of the console, with a million devices, as somebody sees it who has logged in.

`console_store` makes the store; then a server is started with it, and products, units, users and tokens,
jobs, an import and entries of the audit log are made over HTTP. All pages are asked for one after the other,
and all over again, so that no page finds in the caches only what it left there itself; lists are read on by
their links. A page's time is that from the request to the last byte of the answer, on one connection: an
upper bound of the time at the server, which says none. A page whose 99th percentile is above the bound, or
that is too long, is named at the end, with exit code 1; so is a page that is linked to and not among them.
"""

import html
import http.client
import json
import re
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path

from lib.program import Gateway
from lib.waiting import wait_for
from pages_of_console import LEFT_OUT, OF_ALL, OF_UNIT

DEVICES = 1_000_000
TIMES = 300
P99_MS_MAX = 100.0
PAGE_BYTES_MAX = 100_000
SETTLE_SECONDS = 600
JOB_SECONDS = 120
# Entries of logs are of the time at which the store is said to be made. Nobody is limited.
SETTINGS = {
    "NARROWGATE_LOG_FILTER": "warn",
    "NARROWGATE_HTTP_TOKEN_REQUESTS": "off",
    "NARROWGATE_STORE_LOG_RETENTION": "off",
}
PASSWORD = "a long word for a short time"
UNITS, PRODUCTS, USERS, TOKENS, RENAMED, COMMANDS = 100, 300, 150, 150, 2000, 20
ROWS_IMPORTED, ROWS_WRONG = 1000, 50
# Pages of the API, of a thousand devices each, that stand before the middle of a list.
DEEP_PAGES = 400
# Points of a model, and of a long one.
POINTS, POINTS_MANY = 30, 300
SCRIPT = """
function rawDataToJsonStr(bytes) { return "{}"; }
function jsonStrToRawData(json) { return [json.length % 256]; }
"""


class Browser:
    """Pages with the session of a user, on one connection."""

    def __init__(self, port, link):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Origin": f"http://127.0.0.1:{port}", "Accept": "text/html"}
        response, _, _ = self._ask("POST", link, {"password": PASSWORD, "again": PASSWORD})
        cookies = [value.split(";")[0] for value in response.headers.get_all("Set-Cookie", [])]
        if response.status != 303 or not cookies:
            raise SystemExit(f"benches/run: nobody logs in: {response.status}")
        self._headers["Cookie"] = "; ".join(cookies)
        self._token = re.search(r'name="csrf" value="([^"]+)"', self.get("/console/devices/new")[1])[1]

    def _ask(self, method, path, form=None, body=None, kind="application/x-www-form-urlencoded"):
        body = urllib.parse.urlencode(form) if form is not None else body
        headers = {**self._headers, **({"Content-Type": kind} if body is not None else {})}
        begin = time.perf_counter()
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        text = response.read()
        return response, text, 1000 * (time.perf_counter() - begin)

    def get(self, path):
        """Milliseconds and text of a page that is there."""
        response, text, took_ms = self._ask("GET", path)
        if response.status != 200:
            raise SystemExit(f"benches/run: {path}: {response.status} {text[-2000:].decode()}")
        return took_ms, text.decode()

    def send(self, path, form):
        """Sends a form; where it leads to."""
        response, text, _ = self._ask("POST", path, {"csrf": self._token, **form})
        return self._leads_to(path, response, text)

    def upload(self, path, form, file):
        """Sends a form with a file; where it leads to."""
        parts = [f'name="{name}"\r\n\r\n{value}' for name, value in {"csrf": self._token, **form}.items()]
        parts.append(f'name="file"; filename="devices.csv"\r\nContent-Type: text/csv\r\n\r\n{file}')
        lines = [f"--part\r\nContent-Disposition: form-data; {part}\r\n" for part in parts]
        body, kind = "".join([*lines, "--part--\r\n"]), "multipart/form-data; boundary=part"
        response, text, _ = self._ask("POST", path, body=body.encode(), kind=kind)
        return self._leads_to(path, response, text)

    def _leads_to(self, path, response, text):
        if response.status != 303:
            raise SystemExit(f"benches/run: {path}: {response.status} {text[-2000:].decode()}")
        return response.getheader("Location")


class Program:
    """The API with a token."""

    def __init__(self, port, token):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method, path, content=None):
        """The document that is answered."""
        body = json.dumps(content) if content is not None else None
        self._connection.request(method, f"/api/v1/{path}", body, self._headers)
        response = self._connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise SystemExit(f"benches/run: {method} {path}: {response.status} {text[:500]!r}")
        return json.loads(text or b"null")

    def deep(self, query):
        """The cursor of a page that is far from the first one."""
        cursor = None
        for _ in range(DEEP_PAGES):
            more = {"cursor": cursor} if cursor else {}
            text = urllib.parse.urlencode({**query, "limit": 1000, **more})
            following = self.ask("GET", f"devices?{text}")["nextCursor"]
            if not following:
                break
            cursor = following
        return cursor


class Walk:
    """A page, again and again; of a list one part after the other."""

    def __init__(self, name, path):
        self.name, self.path = name, path
        self._at = path
        self.took_ms, self.bytes_max, self.links = [], 0, set()

    def step(self, browser):
        """Asks for it once."""
        took_ms, text = browser.get(self._at)
        self.took_ms.append(took_ms)
        self.bytes_max = max(self.bytes_max, len(text.encode()))
        self.links |= {html.unescape(link) for link in re.findall(r' href="(/console[^"]*)"', text)}
        following = re.search(r'rel="next" href="([^"]+)"', text)
        self._at = html.unescape(following[1]) if following else self.path

    def row(self):
        """What the table says of it, and what is wrong with it."""
        took = sorted(self.took_ms)
        p50, p99 = (took[min(len(took) - 1, int(len(took) * part))] for part in (0.5, 0.99))
        times = f"{p50:.2f} | {p99:.2f} | {took[-1]:.2f}"
        print(f"| {self.name} | {len(took)} | {times} | {self.bytes_max / 1000:.1f} |", flush=True)
        if p99 > P99_MS_MAX:
            yield f"{self.name}: p99 {p99:.1f} ms; at most {P99_MS_MAX:.0f} may be"
        if self.bytes_max > PAGE_BYTES_MAX:
            yield f"{self.name}: {self.bytes_max:,} bytes; at most {PAGE_BYTES_MAX:,} may be"


def pages(binaries, scale):
    """Prints all pages; exit code 1 where one takes too long, is too long, or is not among them."""
    count, times = DEVICES // scale, TIMES // scale
    server = Gateway(binaries / "narrowgate")
    try:
        subprocess.run([binaries / "console_store", server.data, str(count)], check=True)
        # The registry of a million takes its time to be read.
        server.COMMAND_SECONDS = SETTLE_SECONDS
        server.start("--shards", "1", settings=SETTINGS)
        token = server.json("token", "create", "bench", "--role", "administrator")["token"]
        program = Program(server.http_port, token)
        settle(program)
        all_units, one_unit = (browser(server, name, *more) for name, more in USERS_OF_BENCH.items())
        names = {**furnish(server, program, count), **begin_acts(all_units, program)}
        walks = [walks_of(table, names) for table in (OF_ALL, OF_UNIT)]
        for _ in range(times):
            for walk in walks[0]:
                walk.step(all_units)
            for walk in walks[1]:
                walk.step(one_unit)
    finally:
        server.remove()
    report([walk for of_user in walks for walk in of_user])


USERS_OF_BENCH = {"ann": (), "nora": ("--ou", "north")}


def browser(server, name, *more):
    """A new administrator who has logged in."""
    link = server.json("user", "create", name, "--role", "administrator", *more)["link"]
    return Browser(server.http_port, urllib.parse.urlsplit(link).path)


def settle(program):
    """Waits until all whose lifetime is over are offline."""
    begin = time.monotonic()
    path = "devices?state=online&limit=1"
    wait_for(lambda: not program.ask("GET", path)["items"], SETTLE_SECONDS, 1)
    print(f"all offline {time.monotonic() - begin:.0f} s after the start", flush=True)


def model(points):
    """A thing model with so many points beside the one that commands set."""
    named = ["energy", *(f"more{n}" for n in range(points))]
    return {"modelId": "meter", "measurepoints": [{"identifier": name, "dataType": "INT"} for name in named]}


def last_but(count, n):
    """The key of a device of the large product, so many before the last ones."""
    return f"867725{count - 3 - n:09}"


def furnish(server, program, count):
    """Much of everything beside devices; what it is called, for the addresses of pages."""
    quarterly, each_minute, last = (f"867725{count - n:09}" for n in (3, 5, 1))
    for n in range(UNITS):
        program.ask("POST", "ous", {"name": f"unit {n}"})
    for n in range(PRODUCTS):
        new = {"name": f"product {n}", "productKey": f"more-{n}", "model": model(POINTS)}
        program.ask("POST", "products", new)
    for n in range(USERS):
        program.ask("POST", "users", {"user": f"user-{n}", "role": "viewer"})
    for n in range(TOKENS):
        program.ask("POST", "tokens", {"name": f"token-{n}", "role": "viewer"})
    # For the audit log.
    for n in range(RENAMED):
        program.ask("PATCH", f"products/pk/devices/{last_but(count, 20 * n)}", {"name": f"roof {n}"})
    program.ask("PATCH", "products/pk", {"model": model(POINTS_MANY)})
    for n in range(COMMANDS):
        order = {"kind": "set", "points": {"energy": n}, "pendingTtl": 86_400}
        program.ask("POST", f"products/pk/devices/{quarterly}/commands", order)
    program.ask("POST", "products", {"name": "raw", "productKey": "raw", "dataFormat": "custom"})
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.js"
        script.write_text(SCRIPT, encoding="utf-8")
        server.json("script", "publish", "raw", str(script))
    unit = next(it["ou"] for it in program.ask("GET", "ous")["items"] if it["name"] == "unit 0")
    return {
        "product": "pk",
        "scripted": "raw",
        "device": quarterly,
        "minutely": each_minute,
        "last": last,
        "thousand": last[:-3],
        "image": "IMG00001",
        "user": "user-0",
        "token": "token-0",
        "unit": unit,
        "deep": program.deep({}),
        "deep_newest": program.deep({"sort": "-created"}),
        "deep_key": program.deep({"sort": "key"}),
        "deep_tag": program.deep({"tag": "site:s7"}),
    }


def begin_acts(browser, program):
    """An act on many devices that is asked about, a job, and an import with faults; what they are called."""
    switch_off = {"action": "disable", "filter": {"q": "867725000001"}}
    job = program.ask("POST", "devices:bulk", switch_off)["id"]
    ask = browser.send("/console/devices/act", {"state": "offline", "action": "disable", "which": "all"})
    counts = urllib.parse.parse_qs(urllib.parse.urlsplit(ask).query)["job"][0]
    for one in (job, counts):
        wait_for(lambda one=one: program.ask("GET", f"jobs/{one}").get("endedAt"), JOB_SECONDS, 0.1)
    rows = [f"imported-{n},row {n}" for n in range(ROWS_IMPORTED)]
    rows += [f"wrong key {n}," for n in range(ROWS_WRONG)]
    file = "\n".join(["deviceKey,name", *rows, ""])
    run = browser.upload("/console/import", {"product": "more-0", "mode": "valid", "do": "try"}, file)
    return {"ask": ask, "job": job, "import": run.rsplit("/", 1)[1]}


def walks_of(table, names):
    """The pages of a table."""
    return [Walk(name, path.format_map(names)) for name, path in table.items()]


def report(walks):
    """The table; what is broken ends the program."""
    print("\n| page | asked | p50 ms | p99 ms | most ms | KB |\n|---|---|---|---|---|---|", flush=True)
    broken = [fault for walk in walks for fault in walk.row()]
    known = (*OF_ALL.values(), *LEFT_OUT, *(walk.path for walk in walks))
    shapes = [shape_of(path) for path in known]
    linked = {urllib.parse.urlsplit(link).path for walk in walks for link in walk.links}
    missed = sorted(path for path in linked if not any(shape.fullmatch(path) for shape in shapes))
    broken += [f"{path} is linked to and not measured" for path in missed[:20]]
    if broken:
        raise SystemExit("benches/run: broken:\n  " + "\n  ".join(broken))


def shape_of(path):
    """What paths of a page look like."""
    path = path.partition("?")[0].partition("#")[0]
    return re.compile("[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]*\}", path)))
