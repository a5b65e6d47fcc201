"""Runs in the environment with python-mbedtls; see helper.py for what it reads and prints."""

import contextlib
import json
import socket
import sys
import time
from pathlib import Path

# In the place of this folder, whose mbedtls.py is not the library.
sys.path[0] = str(Path(__file__).resolve().parents[2])
sys.dont_write_bytecode = True

from lib.coap import Conversation, Request, Silence  # noqa: E402
from mbedtls import tls  # noqa: E402
from mbedtls.exceptions import TLSError  # noqa: E402

_CIPHERS = {"CCM_8": "TLS-PSK-WITH-AES-128-CCM-8", "CBC_SHA256": "TLS-PSK-WITH-AES-128-CBC-SHA256"}
_RECORD_BYTES_MAX = 16384


def connect(task):
    """A socket over which the handshake was done."""
    configuration = tls.DTLSConfiguration(
        validate_certificates=False,
        ciphers=(_CIPHERS[task["suite"]],),
        lowest_supported_version=tls.DTLSVersion.DTLSv1_2,
        pre_shared_key=(task["identity"], bytes.fromhex(task["key"])),
    )
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    plain.connect((task["host"], task["port"]))
    plain.settimeout(task["seconds"])
    channel = tls.ClientContext(configuration).wrap_socket(plain, server_hostname=None)
    channel.do_handshake()
    return channel


def receive_from(channel, seconds):
    """The content of the next record, or None when the time is up."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        channel.settimeout(left)
        with contextlib.suppress(TimeoutError, tls.WantReadError):
            return channel.recv(_RECORD_BYTES_MAX)
    return None


def exchange(task):
    """The answer to a task."""
    try:
        channel = connect(task)
        conversation = Conversation(channel.send, lambda seconds: receive_from(channel, seconds))
        responses = []
        for request in task["requests"]:
            asked = Request(request["method"], request["path"], request["payload"].encode())
            responses.append(conversation.ask(asked, task["seconds"]))
        channel.shutdown(socket.SHUT_RDWR)
    except (TimeoutError, Silence) as silence:
        return {"silence": str(silence) or "no answer"}
    except TLSError as failed:
        return {"failed": repr(failed)}
    return {
        "responses": [
            {"code": r.code, "contentFormat": r.content_format, "payload": r.payload.decode(errors="replace")}
            for r in responses
        ]
    }


if __name__ == "__main__":
    answer = exchange(json.load(sys.stdin))
    print(json.dumps(answer), flush=True)
