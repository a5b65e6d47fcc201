"""aiocoap over DTLSSocket (tinydtls): CCM_8 only, CoAP of its own. Identities to 32 bytes, keys to 16."""

import contextlib
import itertools
import json
import queue
import subprocess
import threading
from pathlib import Path

from lib.coap import OPTION_CONTENT_FORMAT, Response, Silence
from lib.dtls import CCM8
from lib.paths import TOOLS
from lib.tools import need
from . import PeerFailed
from .helper import exchange_by_helper

NAME = "aiocoap-tinydtls"
SUITES = (CCM8,)


def exchange(target, requests):
    """One handshake and the requests over it."""
    return _by_helper("aiocoap_helper.py", target, requests)


def connect_and_close_twice(target):
    """Two sessions of one tinydtls context, each closed by it; raises where one does not begin or end."""
    _by_helper("tinydtls_again_helper.py", target, [])


class Session:
    """One session, made with its first question. Questions may be under way side by side; aiocoap sends one
    confirmable message at a time, so their blocks take turns. `ack_timeout`: seconds until it first repeats
    one, `retransmissions`: how often it does. With the scheme `coap` there is no DTLS, and all goes from one
    port.
    """

    def __init__(self, target, ack_timeout=2.0, retransmissions=4, scheme="coaps"):
        self._helper = subprocess.Popen(
            _command("aiocoap_session_helper.py"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._numbers, self._answers, self._news = itertools.count(), {}, threading.Condition()
        self._noise, self._ended, self._told = [], False, {}
        threading.Thread(target=self._read_answers, daemon=True).start()
        threading.Thread(target=lambda: self._noise.extend(self._helper.stderr), daemon=True).start()
        peer = {"host": target.host, "port": target.port, "identity": target.identity}
        tuning = {"ack_timeout": ack_timeout, "retransmissions": retransmissions, "scheme": scheme}
        self._write({**peer, "key": target.key.hex(), **tuning})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, request, options=(), seconds=8.0, **how):
        """The answer to one question; raises `Silence` when there is none in time."""
        return self.begin(request, options, seconds, **how)()

    def observe(self, request):
        """Registers as an observer; the answer and the notifications are those of what is returned."""
        number = next(self._numbers)
        self._told[number] = queue.Queue()
        answer = self._begin(number, request, (), {"seconds": 8.0, "observe": True})()
        return Observation(answer, self._told[number], lambda: self._write({"cancel": number}))

    def begin(self, request, options=(), seconds=8.0, blockwise=True, confirmable=True):
        """Sends a question; the call of what is returned waits for its answer.

        `options` are pairs of number and bytes. With `blockwise` aiocoap cuts and joins bodies as it likes.
        """
        how = {"seconds": seconds, "blockwise": blockwise, "confirmable": confirmable}
        return self._begin(next(self._numbers), request, options, how)

    def _begin(self, number, request, options, how):
        own = [(OPTION_CONTENT_FORMAT, bytes([request.content_format]))] if request.payload else []
        given = {number for number, _ in options}
        options = [*((n, v) for n, v in own if n not in given), *options]
        self._write(
            {
                "n": number,
                "method": request.method,
                "path": request.path,
                "payload": request.payload.hex(),
                "options": [[n, value.hex()] for n, value in options],
                **{"blockwise": True, "confirmable": True, "observe": False, **how},
            }
        )
        return lambda: self._answer(number, how["seconds"] + 5)

    def close(self):
        """Ends the session with a close_notify."""
        self._helper.stdin.close()
        try:
            self._helper.wait(5)
        except subprocess.TimeoutExpired:
            self.vanish()

    def vanish(self):
        """Ends the client at once, as a device that loses its power."""
        self._helper.kill()
        self._helper.wait()

    def _write(self, line):
        try:
            self._helper.stdin.write(json.dumps(line) + "\n")
            self._helper.stdin.flush()
        except BrokenPipeError as broken:
            raise PeerFailed(f"aiocoap has ended: {''.join(self._noise)}") from broken

    def _read_answers(self):
        for line in self._helper.stdout:
            answer = json.loads(line)
            if "told" in answer:
                self._told[answer["n"]].put(_response(answer["told"]))
                continue
            with self._news:
                self._answers[answer["n"]] = answer
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _answer(self, number, seconds):
        with self._news:
            self._news.wait_for(lambda: number in self._answers or self._ended, seconds)
            answer = self._answers.pop(number, None)
        if answer is None or "failed" in answer:
            said = answer["failed"] if answer else "it has ended"
            raise PeerFailed(f"aiocoap: {said}\n{''.join(self._noise)}")
        if "silence" in answer:
            raise Silence(answer["silence"])
        return _response(answer)


class Observation:
    """What is observed: `answer` is that to the registration."""

    def __init__(self, answer, told, cancel):
        self.answer, self._told, self._cancel = answer, told, cancel

    def next(self, seconds=8.0):
        """The next notification; raises `Silence` where there is none in time."""
        try:
            return self._told.get(timeout=seconds)
        except queue.Empty as nothing:
            raise Silence("no notification") from nothing

    def expect_none(self, seconds):
        """Raises where a notification comes within so many seconds."""
        with contextlib.suppress(Silence):
            raise PeerFailed(f"a notification that nobody expects: {self.next(seconds)}")

    def cancel(self):
        """Forgets the registration, and answers the next notification by a Reset."""
        self._cancel()


def _response(said):
    options = [(n, bytes.fromhex(value)) for n, value in said["options"]]
    formats = [int.from_bytes(value, "big") for n, value in options if n == OPTION_CONTENT_FORMAT]
    payload = bytes.fromhex(said["payload"])
    return Response(said["code"], payload, formats[0] if formats else None, options)


def _command(program):
    python = need(TOOLS / "venv" / "bin" / "python", "the Python environment of aiocoap")
    return [python, str(Path(__file__).with_name(program))]


def _by_helper(program, target, requests):
    return exchange_by_helper(_command(program), target, requests)
