"""The adapter between abstract words and the wire: one client on an address of its own, which sends what it
is told to.

It holds no opinion on what may be sent when: it sends every input in every state, with the keys, the randoms
and the numbers that fit best, and says in words what came back. Randoms, cookies, record numbers and
repetitions are no part of the words, so the same words have to have the same answer, or the learner stops.
"""

import itertools
import os
import socket
import struct

from learning.keys import Keys
from lib import coap, dtls
from lib.dtls import (
    ALERT,
    APPLICATION_DATA,
    CERTIFICATE,
    CHANGE_CIPHER_SPEC,
    CLIENT_HELLO,
    FINISHED,
    HANDSHAKE,
    HELLO_VERIFY,
    KEY_EXCHANGE,
    SERVER_HELLO,
    SERVER_HELLO_DONE,
    SERVER_KEY_EXCHANGE,
    SUITES,
)

_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    40: "handshake_failure",
    47: "illegal_parameter",
    50: "decode_error",
    51: "decrypt_error",
    100: "no_renegotiation",
    115: "unknown_psk_identity",
}
_MESSAGES = {
    SERVER_HELLO: "ServerHello",
    HELLO_VERIFY: "HelloVerifyRequest",
    SERVER_KEY_EXCHANGE: "ServerKeyExchange",
    SERVER_HELLO_DONE: "ServerHelloDone",
}
SILENCE = "-"
_numbers = itertools.count(1)

ORDER = [
    "CH0",
    "CH",
    "CH_BAD_COOKIE",
    "HELLO_AGAIN",
    "CKE",
    "CKE_UNKNOWN",
    "CCS",
    "FIN",
    "FIN_BAD",
    "FIN_PLAIN",
    "FIN_WRONG_KEY",
    "APP",
    "APP_PLAIN",
    "ALERT_CLOSE",
    "ALERT_FATAL_PLAIN",
    "CERT",
    "SH",
]
TIME = ["CH0", "CH", "CKE", "CCS", "FIN", "APP", "TICK", "LONG"]
# All five repetitions of the server's flight lie within the first 32 s, and it forgets a handshake after 60
# s.
_MILLISECONDS = {"TICK": 32_000, "LONG": 61_000}


class TestClock:
    """The time of the program under test, which stands still between the calls of `advance`."""

    def __init__(self, port):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(10)

    def advance(self, milliseconds):
        """Returns when everything sent so far is handled and answered, and the time has moved."""
        self._socket.send(b"%d" % milliseconds)
        self._socket.recv(16)


class _Handshake:
    """What a client knows from the ServerHello on."""

    def __init__(self, suite, psk, client_random, server_random, transcript, key_exchange):
        self.server_random, self.key_exchange = server_random, key_exchange
        self._before, self.sent_key_exchange = transcript, None
        self.master = dtls.master_secret(psk, client_random, server_random)
        self.keys = Keys(suite, self.master, client_random, server_random)

    def transcript(self):
        """Up to the ClientKeyExchange: the one that was sent first, or the right one while none was."""
        return self._before + (self.sent_key_exchange or self.key_exchange)

    def finished(self):
        """The Finished that fits."""
        content = dtls.verify_data(self.master, b"client finished", self.transcript())
        return dtls.message(FINISHED, 3, content)

    def server_finished(self):
        """The one that has to come back."""
        content = dtls.verify_data(self.master, b"server finished", self.transcript() + self.finished())
        return dtls.message(FINISHED, 3, content)


class Client:
    """One address, from its first datagram on."""

    def __init__(self, clock, port, suite, identity, psk):
        self._clock, self._suite, self._identity, self._psk = clock, suite, identity.encode(), psk
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # An address that no client had before: what an earlier one left at the server lives on while time
        # stands still.
        number = next(_numbers)
        self._socket.bind((f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", 0))
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._sequence, self._mid = 0, 0
        self._random, self._cookie, self._cookie_is_old, self._hello = os.urandom(32), None, False, b""
        self._handshake, self._session = None, None
        self._strange = Keys.strange(suite)

    def close(self):
        """The socket is given back."""
        self._socket.close()

    def step(self, word):
        """Does what the word says; returns what came back, in words."""
        if word in _MILLISECONDS:
            self._clock.advance(_MILLISECONDS[word])
            self._cookie_is_old = True
            if word == "LONG":
                self._cookie = None
            return self._words(word)
        for datagram in self._datagrams(word):
            self._socket.send(datagram)
            self._clock.advance(0)
        return self._words(word)

    def _datagrams(self, word):
        if word == "HELLO_AGAIN":
            yield from self._hello_again()
            return
        latest = self._handshake or self._session
        keys = latest.keys if latest else self._strange
        sessions = self._session.keys if self._session else keys
        fitting = latest.finished() if latest else dtls.message(FINISHED, 3, bytes(12))
        wrong = fitting[:-1] + bytes([fitting[-1] ^ 1])
        ping = self._ping()
        if word == "CH0":
            yield self._first_hello()
        elif word == "CH":
            if self._cookie and self._cookie_is_old:
                # A cookie is good for a minute or two. A new one for the same hello: its age is no part of
                # the model.
                yield self._first_hello()
                self._receive("CH0")
            yield self._hello_with(self._cookie or os.urandom(16))
        elif word == "CH_BAD_COOKIE":
            cookie = self._cookie or os.urandom(16)
            bad = self._client_hello(cookie[:-1] + bytes([cookie[-1] ^ 1]))
            yield self._message(dtls.message(CLIENT_HELLO, 1, bad))
        elif word in ("CKE", "CKE_UNKNOWN"):
            yield self._message(self._key_exchange(latest, word == "CKE"))
        elif word == "CCS":
            yield self._plain(CHANGE_CIPHER_SPEC, b"\x01")
        elif word == "FIN":
            yield keys.seal(HANDSHAKE, fitting)
        elif word == "FIN_BAD":
            yield keys.seal(HANDSHAKE, wrong)
        elif word == "FIN_PLAIN":
            yield self._message(fitting)
        elif word == "FIN_WRONG_KEY":
            yield self._strange.seal(HANDSHAKE, fitting)
        elif word == "APP":
            yield sessions.seal(APPLICATION_DATA, ping)
        elif word == "APP_PLAIN":
            yield self._plain(APPLICATION_DATA, ping)
        elif word == "ALERT_CLOSE":
            yield sessions.seal(ALERT, b"\x01\x00")
        elif word == "ALERT_FATAL_PLAIN":
            yield self._plain(ALERT, b"\x02\x28")
        elif word == "CERT":
            yield self._message(dtls.message(CERTIFICATE, 2, bytes(3)))
        elif word == "SH":
            body = dtls.VERSION + bytes(33) + struct.pack(">HB", SUITES[self._suite], 0)
            yield self._message(dtls.message(SERVER_HELLO, 2, body))
        else:
            raise ValueError(word)

    def _hello_again(self):
        """A client that starts anew on the same port, with a new cookie. Nothing before the first
        ServerHello.
        """
        if self._handshake is None and self._session is None:
            return
        self._random, self._cookie = os.urandom(32), None
        yield self._first_hello()
        self._receive("CH0")
        yield self._hello_with(self._cookie)

    def _first_hello(self):
        return self._message(dtls.message(CLIENT_HELLO, 0, self._client_hello(b"")))

    def _plain(self, kind, payload):
        self._sequence += 1
        return dtls.plain(kind, self._sequence - 1, payload)

    def _message(self, message):
        return self._plain(HANDSHAKE, message)

    def _client_hello(self, cookie):
        suites = struct.pack(">HH", 2, SUITES[self._suite])
        return dtls.VERSION + self._random + b"\x00" + bytes([len(cookie)]) + cookie + suites + b"\x01\x00"

    def _hello_with(self, cookie):
        self._hello = dtls.message(CLIENT_HELLO, 1, self._client_hello(cookie))
        return self._message(self._hello)

    def _key_exchange(self, latest, right):
        identity = self._identity if right else b"nobody," + self._identity
        body = struct.pack(">H", len(identity)) + identity
        sent = dtls.message(KEY_EXCHANGE, 2, body)
        if latest and latest.sent_key_exchange is None:
            latest.sent_key_exchange = sent
        return sent

    def _ping(self):
        """CoAP's: an empty confirmable message, answered by a Reset (RFC 7252, section 4.3)."""
        self._mid += 1
        return coap.encode(coap.Message(coap.CON, 0, self._mid))

    def _words(self, word):
        """What came, each once: how often something is repeated within a while is no part of the model."""
        return "+".join(dict.fromkeys(self._receive(word))) or SILENCE

    def _receive(self, word):
        words = []
        while True:
            try:
                datagram = self._socket.recv(2048)
            except BlockingIOError:
                return words
            hello = None
            for kind, number, payload in dtls.split(datagram):
                if number[:2] != b"\x00\x00":
                    words.append(self._protected(kind, number, payload))
                elif kind == HANDSHAKE:
                    hello = self._handshake_message(word, payload, hello)
                    words.append(_MESSAGES.get(payload[0], f"message {payload[0]}"))
                elif kind == ALERT:
                    words.append(_alert(payload) + " in epoch 0")
                else:
                    words.append("CCS" if kind == CHANGE_CIPHER_SPEC else f"record {kind}")

    def _handshake_message(self, word, message, hello):
        """Keeps what a client has to remember; `hello` is the ServerHello earlier in the datagram."""
        if message[0] == HELLO_VERIFY and word == "CH0":
            self._cookie, self._cookie_is_old = message[15 : 15 + message[14]], False
        elif message[0] == SERVER_HELLO:
            return message
        elif message[0] == SERVER_HELLO_DONE and hello:
            server_random = hello[14:46]
            known = [it.server_random for it in (self._handshake, self._session) if it]
            if server_random not in known:
                body = struct.pack(">H", len(self._identity)) + self._identity
                right = dtls.message(KEY_EXCHANGE, 2, body)
                before = self._hello + hello + message
                self._handshake = _Handshake(
                    self._suite, self._psk, self._random, server_random, before, right
                )
        return hello

    def _protected(self, kind, number, payload):
        for it in (self._handshake, self._session):
            content = it.keys.open(kind, number, payload) if it else None
            if content is None:
                continue
            if kind == ALERT:
                return _alert(content)
            if kind == HANDSHAKE:
                if content != it.server_finished():
                    return "Finished that does not fit"
                self._session, self._handshake = it, None if it is self._handshake else self._handshake
                return "Finished"
            reset = coap.encode(coap.Message(coap.RST, 0, self._mid))
            return "answer" if kind == APPLICATION_DATA and content == reset else f"protected {kind}"
        return "record that does not open"


def _alert(content):
    level = {1: "warning", 2: "fatal"}.get(content[0], content[0])
    return f"{level} {_ALERTS.get(content[1], content[1])}"
