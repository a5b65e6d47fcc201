"""Programs that read the pages of devices over HTTP while devices report as fast as they are answered.

One server with the durable store. Reports alone and beside the readers, in turns; each reader has a token of
its own and reads the page of another device every second: the device, its latest values, its log, its history
of a point, and a page of the list. A bound that is broken is named at the end, with exit code 1.
"""

import http.client
import random
import statistics
import threading
import time

READERS = 20
# The calls of a device's page, and of the list that it was found in.
PAGE = (
    "/devices/{device}",
    "/devices/{device}/points",
    "/devices/{device}/log?limit=50",
    "/devices/{device}/values?point=voltage&limit=100",
    "/devices?product=LoadTest&q={prefix}&limit=50",
)
# A reader opens one page in a second.
PACE_SECONDS = 1.0
TURNS = 4
SESSIONS = 4_000
# Of the reports in a second alone, beside the readers.
RATE_RATIO_MIN = 0.95
API_P99_MS_MAX = 200.0
POINTS = '{"voltage":{number}}'


class Reader(threading.Thread):
    """Reads pages until it is told to stop."""

    def __init__(self, port, token, number):
        super().__init__(daemon=True)
        self._port, self._token, self._random = port, token, random.Random(number)
        self._ended = threading.Event()
        self.took_ms, self.failed = [], 0

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        due = time.monotonic() + self._random.random() * PACE_SECONDS
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due += PACE_SECONDS
            number = f"{1 + self._random.randrange(SESSIONS):07}"
            for call in PAGE:
                path = call.format(device=f"load-{number}", prefix=f"load-{number[:5]}")
                self._read(connection, path)
        connection.close()

    def _read(self, connection, path):
        begin = time.monotonic()
        try:
            connection.request("GET", f"/api/v1{path}", headers={"Authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            response.read()
            self.failed += response.status != 200
        except (OSError, http.client.HTTPException):
            self.failed += 1
            connection.close()
        self.took_ms.append(1000 * (time.monotonic() - begin))

    def stop(self):
        self._ended.set()
        self.join()


def readers(binaries, Server, scale):
    """Prints reports alone and beside the readers; exit code 1 where a bound is broken."""
    seconds = max(5, 30 // scale)
    arguments = ["--sessions", SESSIONS, "--seconds", seconds, "--window", 256, "--points", POINTS]
    alone, beside, took_ms, failed = [], [], [], 0
    with Server(binaries, "sqlite", SESSIONS) as server:
        tokens = [
            server.json("token", "create", f"reader-{number}", "--role", "viewer")["token"]
            for number in range(READERS)
        ]
        server.measure("reports", *arguments, seconds=seconds)
        for _ in range(TURNS):
            alone.append(server.measure("reports", *arguments, seconds=seconds))
            threads = [Reader(server.http_port, token, number) for number, token in enumerate(tokens)]
            for thread in threads:
                thread.start()
            beside.append(server.measure("reports", *arguments, seconds=seconds))
            for thread in threads:
                thread.stop()
                took_ms += thread.took_ms
                failed += thread.failed
    return report(seconds, alone, beside, sorted(took_ms), failed)


def report(seconds, alone, beside, took_ms, failed):
    rates = [[outcome["perSecond"] for outcome in outcomes] for outcomes in (alone, beside)]
    ratio = statistics.median(b / a for a, b in zip(*rates, strict=True))
    reports_failed = sum(outcome["failed"] for outcome in alone + beside)
    p50, p99 = (took_ms[min(len(took_ms) - 1, int(len(took_ms) * part))] for part in (0.5, 0.99))
    shown = [", ".join(f"{rate:,.0f}" for rate in of_kind) for of_kind in rates]
    print(f"{TURNS} turns of {seconds} s, {SESSIONS:,} sessions, {READERS} readers, a page a second each\n")
    print("| reports per second alone | beside readers | ratio (median) | API calls | p50, p99 ms | failed |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {shown[0]} | {shown[1]} | {ratio:.3f} | {len(took_ms):,} | {p50:.1f}, {p99:.1f} "
        f"| {failed} calls, {reports_failed} reports |",
        flush=True,
    )
    broken = []
    if ratio < RATE_RATIO_MIN:
        broken.append(f"reports: {ratio:.3f} of the rate alone; at least {RATE_RATIO_MIN} must be")
    if p99 > API_P99_MS_MAX:
        broken.append(f"API: p99 {p99:.1f} ms; at most {API_P99_MS_MAX} may be")
    if failed or reports_failed:
        broken.append(f"{failed} calls and {reports_failed} reports failed")
    if len(took_ms) < TURNS * seconds * READERS * len(PAGE) // 2:
        broken.append(f"only {len(took_ms):,} calls were made")
    if broken:
        raise SystemExit("benches/run: broken:\n  " + "\n  ".join(broken))
