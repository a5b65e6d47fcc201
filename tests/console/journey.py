"""One journey through the console, from the first start to a fleet, which every hand makes in the same steps.

A step that fails ends the journey of its hand: the next ones go on from where it leads.
"""

import json
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import Error

from console import browser
from console.hands import Keyboard, Mouse
from interop.peers import PeerFailed, Target
from interop.peers.libcoap import OPENSSL
from lib.coap import Request, Response, Silence
from lib.devices import Device, Product, psk
from lib.dtls import CCM8
from lib.program import Failed, Gateway
from lib.report import Report
from lib.waiting import wait_for

PASSWORD = "seven otters by a green lamp"
TOOL = "libcoap 4.3.1, as in Debian 12"
# Of the file that is imported, its header counted.
ROWS, BAD_LINES, PAGE_ROWS = 1000, ("101", "502", "903"), 50
OPEN_FORM, TABS, NAVIGATION, LIST = "main details[open]", "nav.tabs", "nav.places", "main table.rows"
WRONG_SECONDS, OBSERVED_SECONDS = 2.0, 6


class Journey:
    """What one hand does, with a gateway of its own that has never been started before."""

    def __init__(self, report: Report, gateway: Gateway, hand: Mouse, look: Callable[[str], None]):
        self._report, self._gateway, self._hand, self._look = report, gateway, hand, look
        self.base = f"http://127.0.0.1:{gateway.http_port}"
        self._product: Product | None = None
        self.device: Device | None = None
        self._line = ""

    def make(self) -> bool:
        """All steps, in their order; whether all have passed."""
        steps = [
            ("the one-time link of the first start sets the password", self._set_password),
            ("who logs out logs in again", self._log_in_again),
            ("a product is created", self._create_product),
            ("a device is registered, and its lines can be copied", self._register),
            ("a refused device is explained while its page waits for it", self._refused),
            ("a line of its page, pasted, makes its first value appear", self._first_value),
            ("it is seen to come and to go", self._come_and_go),
            ("the page of refusals explains what was offered and expected", self._explained),
            ("a command is sent, and each of its states is seen", self._command),
            (f"{ROWS:,} rows with {len(BAD_LINES)} bad ones are tried and imported", self._import),
            ("the search of every page leads to a device", self._search),
            ("an address that is none leads back", self._nothing),
        ]
        if isinstance(self._hand, Keyboard):
            steps.append(("letters lead to pages and through lists", self._letters))
        for what, step in steps:
            if not self._step(what, step):
                return False
        return True

    def _step(self, what, step):
        name = f"{self._hand.name}: {what}"
        try:
            self._report.ok(name, step() or "")
        except (AssertionError, Error, Failed, PeerFailed, Silence) as error:
            self._report.fail(name, faults=[error, f"at {self._hand.page.url}", self._gateway.tail(5)])
            return False
        self._look(what)
        return True

    def _set_password(self):
        found = re.search(r"password +(http\S+/password/\S+)", self._gateway.said())
        assert found, f"the first start prints no link:\n{self._gateway.said()}"
        hand = self._hand
        hand.open(found[1])
        self._look("a one-time link")
        for label in ("New password", "New password, again"):
            hand.write(label, PASSWORD)
        hand.press("Set the password")
        hand.sees("No device yet")
        self._look("an empty server")

    def _log_in_again(self):
        hand = self._hand
        hand.press("Log out", "header.bar")
        hand.write("User name", "admin")
        hand.write("Password", "seven otters by a red lamp")
        hand.press("Log in")
        hand.sees("The user name or the password is wrong.")
        self._look("a wrong password")
        hand.write("User name", "admin")
        hand.write("Password", PASSWORD)
        hand.press("Log in")
        hand.sees("No device yet")

    def _create_product(self):
        hand = self._hand
        hand.press("Create the first product")
        hand.write("Name", "Water meters")
        hand.choose("Devices speak", "JSON or CBOR")
        hand.press("Create")
        hand.sees("Water meters is created")
        facts = self._facts()
        self._product = Product(facts["Product key"], facts["Product secret"])

    def _register(self):
        """One key of sixteen has a NUL, with which libcoap 4.3.1 can do nothing: then another one is made."""
        hand, number = self._hand, 1
        hand.press("Register its first device")
        while True:
            hand.write("Device key", f"meter-{number}")
            hand.write("Name", "Cellar")
            hand.press("Register")
            hand.sees(f"meter-{number} is registered")
            facts = self._facts()
            if 0 not in psk(facts["Device secret"]):
                break
            number += 1
            hand.open(f"{self.base}/console/devices/new?product={self._product.product_key}")
        self.device = Device(self._product, facts["Device key"], facts["Device secret"])
        lines = f'main p.hint:text-is("{TOOL}") + .paste'
        self._line = hand.page.locator(lines).locator("code").inner_text()
        copied = hand.copy(lines)
        assert copied in (None, self._line), f"what was copied is {copied!r}"
        return f"{number} registered" if number > 1 else ""

    def _refused(self):
        """Its key is the secret itself, which is a mistake that many make."""
        hand, key = self._hand, self.device.device_key
        hand.press("Wait for the device")
        hand.sees(f"Waiting for {key}")
        self._look("waiting")
        target = self._target(self.device.device_secret.encode(), WRONG_SECONDS)
        try:
            answer = OPENSSL.exchange(target, [self.device.report({"temp": 1})])
        except (PeerFailed, Silence):
            answer = None
        assert answer is None, f"a wrong key was answered {answer}"
        hand.sees("and was refused: wrong key")
        hand.sees("the key is the secret itself; hash it first")
        hand.sees("Else copy the key from the page of the device.")

    def _first_value(self):
        done = subprocess.run(["bash", "-c", self._line], capture_output=True, timeout=20, check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert '"code":200' in said, f"pasted, the line printed {said!r}\n{self._line}"
        self._hand.sees("It has logged in")
        self._hand.sees("21.5", "#waiting")
        self._hand.sees("logged in for the first time", "#newest")
        if not self._hand.scripted:
            return ""
        moved = sum(value for value, _ in browser.shifts(self._hand.page))
        return f"what came meanwhile has moved the rest by {moved:.3f}"

    def _come_and_go(self):
        """libcoap observes for a while."""
        hand = self._hand
        hand.sees("offline", "#state")
        with ThreadPoolExecutor(1) as pool:
            request = Request("GET", self.device.topic("thing/commands"))
            more = ("-s", str(OBSERVED_SECONDS))
            watching = pool.submit(OPENSSL.exchange, self._target(), [request], more=more)
            hand.sees("online", "#state")
            watching.result()
        hand.sees("offline", "#state")

    def _explained(self):
        hand = self._hand
        hand.press("Refusals", NAVIGATION)
        hand.press("wrong key", f"{LIST} tbody tr[data-row] >> nth=0")
        for text in ("What was offered", self.device.identity(), "What is expected", "The probable mistake"):
            hand.sees(text, LIST)
        hand.sees("hash it first: bytes 9 to 24 of SHA-256 of the secret", LIST)
        self._look("a refusal that is open")
        hand.press("Open the device")
        hand.sees("What happened last")

    def _command(self):
        hand, topic = self._hand, self.device.topic("thing/service/measurepoint/set")
        hand.press("Commands", TABS)
        hand.write("Point", "temp", OPEN_FORM)
        hand.write("Value, as JSON or text", "30.5", OPEN_FORM)
        # It is not online, and the command is not to wait. What is refused is there to be corrected.
        hand.press("Send", OPEN_FORM)
        hand.sees("not online", "main .alert")
        self._look("a command that is refused")
        hand.choose("If it is not online", "wait for 10 minutes", OPEN_FORM)
        hand.press("Send", OPEN_FORM)
        hand.sees("waits for the device", "#commands")
        self._look("a command that waits")
        fetched = self._ask(Request("GET", topic))
        command = json.loads(fetched.payload)
        assert command["params"] == {"temp": 30.5}, f"the device got {fetched}"
        hand.sees("fetched, no answer yet", "#commands")
        answer = {"id": command["id"], "code": 200, "message": "rounded", "data": {"temp": 30.5}}
        self._ask(Request("POST", f"{topic}_reply", json.dumps(answer).encode()))
        hand.sees("done", "#commands")
        hand.sees("rounded", "#commands")

    def _import(self):
        hand, file = self._hand, self._gateway.folder / "meters.csv"
        file.write_text(devices_file())
        hand.press("Import", NAVIGATION)
        hand.attach("File", file)
        hand.press("Dry run")
        good = ROWS - len(BAD_LINES)
        hand.sees(f"{good} devices would be created. Nothing has been changed.")
        hand.sees("done, with faults")
        lines = hand.page.locator("main table.rows tbody th").all_inner_texts()
        assert tuple(lines) == BAD_LINES, f"the faults are said to be in the lines {lines}"
        faults = hand.page.locator("main table.rows tbody tr").all_inner_texts()
        columns = [fault.split("\t")[1] for fault in faults]
        assert columns == ["deviceKey", "deviceKey", "deviceSecret"], f"the faults are {faults}"
        self._look("a dry run with faults")
        hand.press("Import this file now")
        hand.sees(f"{good} devices were created.")
        header, *rows = hand.download("Download the secrets").splitlines()
        assert len(rows) == good and "deviceSecret" in header, f"{header} and {len(rows)} rows"
        hand.press("Show the devices")
        hand.sees("bulk-0001", LIST)
        shown = hand.page.locator(f"{LIST} tbody tr").count()
        assert shown == PAGE_ROWS, f"{shown} devices are shown"
        hand.press("Next page")
        hand.sees("bulk-0051", LIST)
        return "; ".join(" ".join(fault.split()) for fault in faults)

    def _search(self):
        self._hand.search(self.device.device_key)
        self._hand.sees("Cellar", "main h1")
        self._hand.sees(self.device.device_key, "#identity")

    def _nothing(self):
        hand, path = self._hand, "/console/devices/a/b/c/d"
        status = hand.open(self.base + path)
        hand.sees(f"No page of the console has the address {path}")
        assert status == 404, f"its status is {status}"
        self._look("an address that is none")
        hand.press("Go to Devices")
        hand.sees("New device")

    def _letters(self):
        hand = self._hand
        pages = {"o": "/console", "p": "/console/products", "r": "/console/refusals", "i": "/console/import"}
        for letter, path in {**pages, "d": "/console/devices"}.items():
            hand.go(letter)
            assert hand.page.url == self.base + path, f"g {letter} leads to {hand.page.url}"
        keys = hand.page.keyboard
        for key in ("j", "j", "k"):
            keys.press(key)
        keys.press("Enter")
        hand.sees("What happened last")
        keys.press("?")
        hand.sees("go to Devices", "dialog")
        self._look("the keys")
        keys.press("Escape")
        assert not hand.page.locator("dialog").is_visible(), "Escape leaves the keys open"

    def _facts(self) -> dict[str, str]:
        """The facts of the page, by what they are called."""
        facts = self._hand.page.locator("main dl.facts").first
        values = (facts.locator("dd").nth(number) for number in range(facts.locator("dd").count()))
        texts = [value.locator("code").first.inner_text() for value in values]
        return dict(zip(facts.locator("dt").all_inner_texts(), texts, strict=True))

    def _target(self, key: bytes | None = None, seconds: float = 10.0) -> Target:
        device = self.device
        return Target(self._gateway.dtls_port, device.identity(), key or device.key, CCM8, seconds)

    def _ask(self, request: Request) -> Response:
        """The first answer of success: a command is handed out once it is durable."""

        def success():
            [response] = OPENSSL.exchange(self._target(), [request])
            return response if response.code[0] == "2" else None

        response = wait_for(success, 5)
        assert response, f"{request.method} {request.path} is not served"
        return response


def devices_file() -> str:
    """The rows, three of them bad: a space in a key, the key of another row, and a secret that is none."""
    rows = [f"bulk-{number:04},,Meter {number}" for number in range(1, ROWS + 1)]
    for line, bad in zip(BAD_LINES, ("bulk 0100,,", "bulk-0001,,", "bulk-0902,schlüssel,"), strict=True):
        rows[int(line) - 2] = bad
    return "\n".join(["deviceKey,deviceSecret,name", *rows]) + "\n"
