"""Mbed TLS, called in process: every switch of the protocol that the command-line peers hide.

Two libraries: Debian's 2.28 (`libmbedtls14`) and 3.6, which adds the Connection ID of RFC 9146 and is built
by `tests/run install`. Sockets, timers and random bytes are ours, so a test can see every datagram, move to
another port, repeat a datagram, shake hands again from the same port, and keep a session over hours or a
server's death.

The structures of the C API are opaque here: memory of ample size, touched by the library alone.
"""

import contextlib
import ctypes
import os
import socket
import time
from dataclasses import dataclass

from lib.coap import Conversation, Silence
from lib.dtls import SUITES
from lib.paths import TOOLS
from lib.tools import ToolMissing

from . import PeerFailed

_WANT_READ, _TIMEOUT, _CLOSE_NOTIFY, _FATAL_ALERT = -0x6900, -0x6800, -0x7880, -0x7780
_CLIENT, _STREAM, _DATAGRAM, _PRESET_DEFAULT = 0, 0, 1, 0
_STRUCT_BYTES = 16384  # The largest structure of either version has less than 3 KiB.

_Send = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_size_t)
_Receive = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_size_t, ctypes.c_uint32
)
_SetTimer = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
_TimerState = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_Random = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_ubyte), ctypes.c_size_t)


@dataclass(frozen=True)
class Options:
    """What a session offers. `cid`: None offers none; bytes are the Connection ID that we want to be
    addressed by.

    `tls`: TLS, whose bytes are sent as datagrams all the same.
    """

    extended_master_secret: bool = True
    encrypt_then_mac: bool = True
    mtu: int = 0
    cid: bytes | None = None
    first_timeout_ms: int = 1000
    last_timeout_ms: int = 4000
    tls: bool = False


class Session:
    """A DTLS session over a UDP socket of its own."""

    def __init__(self, library, target, options=Options()):
        self._library, self._target = library, target
        self.sent, self.received = [], []  # Every datagram, as it was on the wire.
        self._timer = None
        self._open_socket()
        self._callbacks = self._make_callbacks()
        self._config = ctypes.create_string_buffer(_STRUCT_BYTES)
        self._context = ctypes.create_string_buffer(_STRUCT_BYTES)
        self._suites = (ctypes.c_int * 2)(SUITES[target.suite], 0)
        self._configure(options)
        self._conversation = Conversation(self.send, self.receive)

    def _open_socket(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((self._target.host, self._target.port))

    def _make_callbacks(self):
        def send(_, data, length):
            datagram = bytes(data[:length])
            self.sent.append(datagram)
            with contextlib.suppress(
                ConnectionRefusedError
            ):  # No server just now: as good as a lost datagram.
                self._socket.send(datagram)
            return length

        def receive(_, data, room, timeout_ms):
            self._socket.settimeout(timeout_ms / 1000 if timeout_ms else 3600)
            deadline = time.monotonic() + timeout_ms / 1000
            while True:
                try:
                    datagram = self._socket.recv(room)
                    break
                except TimeoutError:
                    return _TIMEOUT
                except ConnectionRefusedError:
                    if time.monotonic() > deadline:
                        return _TIMEOUT
            self.received.append(datagram)
            ctypes.memmove(data, datagram, len(datagram))
            return len(datagram)

        def set_timer(_, intermediate_ms, final_ms):
            now = time.monotonic()
            self._timer = (now + intermediate_ms / 1000, now + final_ms / 1000) if final_ms else None

        def timer_state(_):
            if self._timer is None:
                return -1
            now = time.monotonic()
            return 2 if now >= self._timer[1] else 1 if now >= self._timer[0] else 0

        def random(_, out, length):
            ctypes.memmove(out, os.urandom(length), length)
            return 0

        return _Send(send), _Receive(receive), _SetTimer(set_timer), _TimerState(timer_state), _Random(random)

    def _configure(self, options):
        tls, (send, receive, set_timer, timer_state, random) = self._library, self._callbacks
        identity, key = self._target.identity.encode(), self._target.key
        tls.mbedtls_ssl_config_init(self._config)
        transport = _STREAM if options.tls else _DATAGRAM
        tls.check(tls.mbedtls_ssl_config_defaults(self._config, _CLIENT, transport, _PRESET_DEFAULT))
        tls.mbedtls_ssl_conf_rng(self._config, random, None)
        tls.mbedtls_ssl_conf_ciphersuites(self._config, self._suites)
        lengths = ctypes.c_size_t(len(key)), ctypes.c_size_t(len(identity))
        tls.check(tls.mbedtls_ssl_conf_psk(self._config, key, lengths[0], identity, lengths[1]))
        tls.mbedtls_ssl_conf_extended_master_secret(
            self._config, ctypes.c_char(options.extended_master_secret)
        )
        tls.mbedtls_ssl_conf_encrypt_then_mac(self._config, ctypes.c_char(options.encrypt_then_mac))
        tls.mbedtls_ssl_conf_handshake_timeout(
            self._config, options.first_timeout_ms, options.last_timeout_ms
        )
        if options.tls:  # Its reads have no end otherwise.
            tls.mbedtls_ssl_conf_read_timeout(self._config, options.first_timeout_ms)
        if options.cid is not None:
            tls.check(tls.mbedtls_ssl_conf_cid(self._config, ctypes.c_size_t(len(options.cid)), 0))
        tls.mbedtls_ssl_init(self._context)
        tls.check(tls.mbedtls_ssl_setup(self._context, self._config))
        tls.mbedtls_ssl_set_bio(self._context, None, send, None, receive)
        tls.mbedtls_ssl_set_timer_cb(self._context, None, set_timer, timer_state)
        self._options = options
        self._prepare()

    def _prepare(self):
        """What has to be said anew before every handshake."""
        if self._options.mtu:
            self._library.mbedtls_ssl_set_mtu(self._context, ctypes.c_uint16(self._options.mtu))
        if (cid := self._options.cid) is not None:
            self._library.check(
                self._library.mbedtls_ssl_set_cid(self._context, 1, cid, ctypes.c_size_t(len(cid)))
            )

    def handshake(self):
        """Runs the handshake to its end; raises `Silence` when the last retransmission stays unanswered."""
        deadline = time.monotonic() + self._target.seconds
        while (result := self._library.mbedtls_ssl_handshake(self._context)) == _WANT_READ:
            if time.monotonic() > deadline:  # A record was dropped, and another, and another…
                raise Silence("the handshake did not end in time")
        if result == _TIMEOUT:
            raise Silence("the handshake timed out")
        self._library.check(result)
        if self._options.mtu:  # It is meant for the handshake; the library fragments no application data.
            self._library.mbedtls_ssl_set_mtu(self._context, ctypes.c_uint16(0))
        return self

    def handshake_again(self, resume=False):
        """A new handshake from the same port while the server still holds the old session (RFC 6347, section
        4.2.8).

        The old session goes without a close_notify. `resume` offers its session id.
        """
        saved = ctypes.create_string_buffer(_STRUCT_BYTES)
        self._library.mbedtls_ssl_session_init(saved)
        if resume:
            self._library.check(self._library.mbedtls_ssl_get_session(self._context, saved))
        self._library.check(self._library.mbedtls_ssl_session_reset(self._context))
        self._prepare()
        if resume:
            self._library.check(self._library.mbedtls_ssl_set_session(self._context, saved))
        return self.handshake()

    def peer_cid(self):
        """The Connection ID that the server wants in our records; None if none was agreed upon."""
        enabled, length = ctypes.c_int(), ctypes.c_size_t()
        cid = ctypes.create_string_buffer(32)
        tls = self._library
        tls.check(
            tls.mbedtls_ssl_get_peer_cid(self._context, ctypes.byref(enabled), cid, ctypes.byref(length))
        )
        return cid.raw[: length.value] if enabled.value else None

    def move(self):
        """Goes on from another port, as behind a NAT that forgot us."""
        self._socket.close()
        self._open_socket()

    def repeat_last_datagram(self):
        """Sends the newest datagram again, byte for byte."""
        self._socket.send(self.sent[-1])

    def send(self, data):
        """One record of application data."""
        result = self._library.mbedtls_ssl_write(self._context, data, ctypes.c_size_t(len(data)))
        if result != len(data):
            self._library.check(result)

    def receive(self, seconds):
        """The content of the next record, or None when the time is up."""
        room = ctypes.create_string_buffer(16384)
        self._library.mbedtls_ssl_conf_read_timeout(self._config, max(1, int(seconds * 1000)))
        result = self._library.mbedtls_ssl_read(self._context, room, ctypes.c_size_t(len(room)))
        if result in (_TIMEOUT, _WANT_READ):
            return None
        self._library.check(result)
        return room.raw[:result]

    def ask(self, request, seconds=6.0):
        """One request and its response."""
        return self._conversation.ask(request, seconds)

    def exchange(self, message, seconds=6.0):
        """One message that the caller built, and the response."""
        return self._conversation.exchange(message, seconds)

    def ping(self):
        """True when the server answers an empty confirmable message with RST."""
        return self._conversation.ping()

    def close(self):
        """Ends with a close_notify."""
        self._library.mbedtls_ssl_close_notify(self._context)
        self.vanish()

    def vanish(self):
        """Ends without a word."""
        self._socket.close()
        self._library.mbedtls_ssl_free(self._context)
        self._library.mbedtls_ssl_config_free(self._config)


class Mbedtls:
    """One version of the library, as a peer. `options` are those of its plain `exchange`."""

    SUITES = tuple(SUITES)

    def __init__(self, name, find):
        self.NAME = name
        self._find, self._library = find, None

    def session(self, target, options=Options()):
        """A session that has not shaken hands yet."""
        if self._library is None:
            try:
                self._library = ctypes.CDLL(self._find)
            except OSError as missing:
                raise ToolMissing(f"{self.NAME} is missing ({missing}): run tests/run install") from missing
            self._library.check = _check
        return Session(self._library, target, options)

    def exchange(self, target, requests, options=Options()):
        """One handshake and the requests, then close_notify."""
        session = self.session(target, options)
        try:
            session.handshake()
            responses = [session.ask(request) for request in requests]
        except BaseException:
            session.vanish()
            raise
        session.close()
        return responses


def _check(result):
    """Raises `PeerFailed` for an error number of the library."""
    if result == _CLOSE_NOTIFY:
        raise PeerFailed("the server closed the session with close_notify")
    if result == _FATAL_ALERT:
        raise PeerFailed("the server sent a fatal alert")
    if result < 0:
        raise PeerFailed(f"Mbed TLS returned -0x{-result:04x}")


MBEDTLS_2 = Mbedtls("mbedtls-2.28", "libmbedtls.so.14")
MBEDTLS_3 = Mbedtls("mbedtls-3.6", str(TOOLS / "mbedtls" / "libmbedtls.so"))
