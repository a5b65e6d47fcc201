"""CoAP messages (RFC 7252, section 3) for peers that give us a DTLS channel and nothing above it.

`encode` and `decode` know the message format; `Conversation` sends one confirmable request at a time over a
channel of datagrams, answers what has to be answered, and waits for the response. Limits: no block-wise
transfer, extended tokens or options above 65804 bytes; the peers that speak CoAP themselves cover those.
"""

import os
import struct
import time
from dataclasses import dataclass, field

CON, NON, ACK, RST = 0, 1, 2, 3
METHODS = {"GET": 0x01, "POST": 0x02, "PUT": 0x03, "DELETE": 0x04}
OPTION_URI_PATH, OPTION_CONTENT_FORMAT, OPTION_MAX_AGE = 11, 12, 14
FORMAT_JSON = 50


class Silence(Exception):
    """The other side said nothing until the time was up."""


class Malformed(Exception):
    """The other side sent bytes that are no CoAP message."""


@dataclass(frozen=True)
class Request:
    """What a device asks: a method, a path that starts with `/`, and a payload, of JSON unless said
    otherwise.
    """

    method: str
    path: str
    payload: bytes = b""
    content_format: int = FORMAT_JSON


@dataclass
class Response:
    """What the server answered; `code` in the dotted form, `content_format` None where there is no such
    option.
    """

    code: str
    payload: bytes = b""
    content_format: int | None = None
    options: list = field(default_factory=list)


@dataclass
class Message:
    """One CoAP message; options are pairs of number and bytes, in ascending order of the number."""

    kind: int
    code: int
    mid: int
    token: bytes = b""
    options: list = field(default_factory=list)
    payload: bytes = b""

    @property
    def dotted(self):
        """The code as RFC 7252 writes it: class, dot, two digits."""
        return f"{self.code >> 5}.{self.code & 31:02}"

    def response(self):
        """The message seen as the answer to a request."""
        formats = [value for number, value in self.options if number == OPTION_CONTENT_FORMAT]
        content_format = int.from_bytes(formats[0], "big") if formats else None
        return Response(self.dotted, self.payload, content_format, self.options)


def _nibble(value):
    """Splits an option's delta or length into its 4 bits and the bytes that extend it."""
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes([value - 13])
    return 14, struct.pack(">H", value - 269)


def encode(message):
    """The bytes of a message."""
    out = bytearray(
        struct.pack(">BBH", 1 << 6 | message.kind << 4 | len(message.token), message.code, message.mid)
    )
    out += message.token
    previous = 0
    for number, value in sorted(message.options, key=lambda option: option[0]):
        delta, delta_more = _nibble(number - previous)
        length, length_more = _nibble(len(value))
        out += bytes([delta << 4 | length]) + delta_more + length_more + value
        previous = number
    if message.payload:
        out += b"\xff" + message.payload
    return bytes(out)


def decode(data):
    """The message in a datagram; raises `Malformed`."""
    if len(data) < 4 or data[0] >> 6 != 1 or data[0] & 15 > 8:
        raise Malformed(data.hex())
    token_length = data[0] & 15
    message = Message(
        data[0] >> 4 & 3, data[1], struct.unpack(">H", data[2:4])[0], data[4 : 4 + token_length]
    )
    at, number = 4 + token_length, 0

    def extended(nibble):
        nonlocal at
        if nibble < 13:
            return nibble
        if nibble == 15:
            raise Malformed(data.hex())
        width, base = (1, 13) if nibble == 13 else (2, 269)
        value = int.from_bytes(data[at : at + width], "big") + base
        at += width
        return value

    while at < len(data):
        head = data[at]
        at += 1
        if head == 0xFF:
            message.payload = data[at:]
            break
        number += extended(head >> 4)
        length = extended(head & 15)
        if at + length > len(data):
            raise Malformed(data.hex())
        message.options.append((number, data[at : at + length]))
        at += length
    return message


def build_request(request, mid, token, kind=CON):
    """The message that carries a request."""
    options = [(OPTION_URI_PATH, segment.encode()) for segment in request.path.split("/")[1:]]
    if request.payload:
        options.append((OPTION_CONTENT_FORMAT, bytes([request.content_format])))
    return Message(kind, METHODS[request.method], mid, token, options, request.payload)


class Conversation:
    """Requests one after the other over `send(bytes)` and `receive(seconds) -> bytes | None`."""

    def __init__(self, send, receive, retransmit=True):
        self._send, self._receive, self._retransmit = send, receive, retransmit
        self._mid = int.from_bytes(os.urandom(2), "big")

    def ask(self, request, seconds=6.0):
        """Sends a confirmable request, again after 2 s without an ACK, and returns the response; raises
        `Silence`.
        """
        self._mid = self._mid + 1 & 0xFFFF
        return self.exchange(build_request(request, self._mid, os.urandom(4)), seconds)

    def exchange(self, message, seconds=6.0):
        """As `ask`, for a message that the caller built: a repeated Message ID, a NON."""
        data = encode(message)
        self._send(data)
        deadline, again = time.monotonic() + seconds, time.monotonic() + 2.0
        acknowledged = message.kind == NON or not self._retransmit
        while (now := time.monotonic()) < deadline:
            answer = self._receive(max(0.01, min(deadline, again if not acknowledged else deadline) - now))
            if answer is None:
                if not acknowledged and time.monotonic() >= again:
                    self._send(data)
                    again += 4.0
                continue
            reply = decode(answer)
            if reply.kind == RST and reply.mid == message.mid:
                return Response("RST")
            if reply.kind == ACK and reply.mid == message.mid and reply.code == 0:
                acknowledged = True
            elif reply.token == message.token and reply.code >> 5 >= 2:
                if reply.kind == CON:
                    self._send(encode(Message(ACK, 0, reply.mid)))
                return reply.response()
        raise Silence(f"no response to {message.dotted} within {seconds:g} s")

    def ping(self, seconds=3.0):
        """An empty confirmable message; the server's RST proves that it lives (RFC 7252, section 4.3)."""
        self._mid = self._mid + 1 & 0xFFFF
        return self.exchange(Message(CON, 0, self._mid), seconds).code == "RST"
