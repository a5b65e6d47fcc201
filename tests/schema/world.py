"""What the operations work on: one of everything, made anew where an operation has taken it away.

Inputs at random name nothing that exists; most cases get these names, so that they go beyond a 404.
"""

import json
import urllib.error
import urllib.request
from urllib.parse import quote

VERSION = "1"
# What stays, and what is there to be taken away.
KEPT, SPARE = ("pk-1", "dk-1"), ("pk-2", "dk-2")
# The file of one byte, 7.
SHA256 = "ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879"
MODEL = {
    "modelId": "meter",
    "attributes": [{"identifier": "room", "dataType": "STRING"}],
    "measurepoints": [{"identifier": "temp", "dataType": "DOUBLE"}],
}
SCRIPT = """
function rawDataToJsonStr(bytes) { return '{"method":"thing.measurepoint.post","params":{}}'; }
function jsonStrToRawData(text) { return [7]; }
"""


class World:
    """A server with a product, a device, an image, a script, a unit and a token, by its HTTP API."""

    def __init__(self, url: str, token: str):
        self.url, self.token = url, token
        self.image = self.command = ""

    def ask(self, method: str, path: str, body=None) -> tuple[int, object]:
        """Status and answer."""
        octets = isinstance(body, bytes)
        data = body if octets or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        if data is not None:
            request.add_header("Content-Type", "application/octet-stream" if octets else "application/json")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def fill(self) -> None:
        """Makes what is not there, switches on what is off."""
        for product, device in (KEPT, SPARE):
            self.ask("POST", "/products", {"name": "meters", "productKey": product, "model": MODEL})
            on = {"enabled": True, "dataFormat": "custom", "model": MODEL}
            self.ask("PATCH", f"/products/{product}", on)
            self.ask("POST", f"/products/{product}/script:publish", {"source": SCRIPT})
            self.ask("POST", f"/products/{product}/devices", {"deviceKey": device})
            self.ask("POST", f"/products/{product}/devices/{device}:enable")
        self.ask("PUT", f"/products/{KEPT[0]}/script", {"source": SCRIPT})
        self.ask("POST", "/tokens", {"name": "ci", "role": "viewer"})
        self.ask("POST", "/users", {"user": "ann", "role": "viewer"})
        self.image = self.image or self.upload()
        self.ask("POST", "/rollouts", {"imageId": self.image, "device": "/".join(KEPT)})
        self.send_command()

    def upload(self) -> str:
        """Uploads an image; returns its id."""
        file = {"productKey": KEPT[0], "version": VERSION, "size": 1, "sha256": SHA256}
        self.ask("POST", "/firmware", file)
        query = "&".join(f"{name}={quote(str(value))}" for name, value in file.items())
        _, upload = self.ask("PUT", f"/firmware:content?{query}&offset=0", b"\x07")
        return upload["image"]["imageId"]

    def send_command(self) -> None:
        """Sends a command to a device that has logged in before, unless there is one."""
        path = f"/products/{KEPT[0]}/devices/{KEPT[1]}/commands"
        _, listed = self.ask("GET", f"{path}?limit=1")
        if listed.get("items"):
            self.command = listed["items"][0]["id"]
        else:
            _, sent = self.ask("POST", path, {"kind": "get", "ids": ["temp"], "pendingTtl": 86400})
            self.command = sent.get("id", "1")

    def secret(self) -> str:
        """The secret of the device that stays."""
        _, shown = self.ask("GET", f"/products/{KEPT[0]}/devices/{KEPT[1]}/secret")
        return shown["deviceSecret"]

    def names(self, takes_away: bool) -> dict[str, str]:
        """A name of something that exists for each part of a path."""
        product, device = SPARE if takes_away else KEPT
        names = {"product": product, "device": device, "image": self.image, "token": "ci", "user": "ann"}
        return {**names, "point": "temp", "version": VERSION, "id": self.command}
