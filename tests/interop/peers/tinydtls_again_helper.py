"""Runs in the environment with DTLSSocket: one tinydtls context connects, closes and connects again.

Task and answer are those of helper.py. The task has no requests. `responses` has one entry for each handshake
that was completed.
"""

import json
import socket
import sys
import time

from DTLSSocket import dtls

_CONNECTED = 0x01DE
_SESSIONS = 2


class _Peer:
    def __init__(self, task):
        self._server = (task["host"], task["port"])
        self._seconds = task["seconds"]
        self._events = []
        self._sessions = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(0.2)
        identity = task["identity"].encode()
        # tinydtls knows its peer by an IPv6 address; one of IPv4 is written as one of IPv6.
        self._address = ("::ffff:" + task["host"], task["port"])
        self._dtls = dtls.DTLS(
            read=lambda _, data: len(data),
            write=lambda _, data: self._socket.sendto(data, self._server),
            event=lambda level, code: self._events.append((level, code)),
            pskId=identity,
            pskStore={identity: bytes.fromhex(task["key"])},
        )

    def _hear_until(self, is_it):
        """Whether such an event came in time."""
        until = time.monotonic() + self._seconds
        while not any(is_it(event) for event in self._events):
            if time.monotonic() > until:
                return False
            self._dtls.checkRetransmit()
            try:
                datagram = self._socket.recv(2048)
            except TimeoutError:
                continue
            self._dtls.handleMessageAddr(*self._address, datagram)
        return True

    def connect(self):
        """Whether a handshake was completed."""
        self._events.clear()
        # An object that is dropped closes what has its address, the next session too: all are kept.
        self._sessions.append(self._dtls.connect(*self._address))
        return self._hear_until(lambda event: event[1] == _CONNECTED)

    def close(self):
        """Whether the alert that tinydtls waits for came."""
        self._events.clear()
        self._dtls.close(self._sessions[-1])
        return self._hear_until(lambda event: event in ((1, 0), (2, 0)))


def _sessions(task):
    peer = _Peer(task)
    for number in range(_SESSIONS):
        if not peer.connect():
            return {"silence": f"handshake {number + 1} was not completed"}
        if not peer.close():
            return {"silence": f"the close_notify of session {number + 1} was not answered"}
    return {"responses": [{"code": "", "contentFormat": None, "payload": ""}] * _SESSIONS}


if __name__ == "__main__":
    print(json.dumps(_sessions(json.load(sys.stdin))), flush=True)
