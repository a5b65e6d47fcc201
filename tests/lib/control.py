"""Requests of operators over the control socket of a server that may die meanwhile."""

import http.client
import json
import socket

SOCKET_SECONDS = 10


class _Connection(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path):
        super().__init__("narrowgate", timeout=SOCKET_SECONDS)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SOCKET_SECONDS)
        self.sock.connect(self._path)


def ask(data, method, path, content=None):
    """Status and document; None where the server was not there or went away."""
    connection = _Connection(data / "control.sock")
    try:
        head = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(content) if content else None, head)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
