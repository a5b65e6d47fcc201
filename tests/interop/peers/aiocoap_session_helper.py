"""Runs in the environment with aiocoap and DTLSSocket: one session, in lines of JSON.

First line: `{"host","port","identity","key" (hex),"ack_timeout" (seconds),"retransmissions","scheme"}`, where
the scheme `coap` is without DTLS. Then one
question a line, `{"n","method","path","payload" (hex),"options":[[number, hex]],"seconds","blockwise",
"confirmable"}`; those that are under way at the same time are sent side by side. Each is answered by a line
`{"n","code","payload" (hex),"options":[[number, hex]]}`, or `{"n","silence"}`, or `{"n","failed"}`. A
question with `"observe"` has an answer, and each notification is a line of its own:
`{"n","told":{"code",...}}`; the line `{"cancel": n}` ends that. The session ends with the input.
"""

import asyncio
import json
import sys

import aiocoap
from aiocoap import error, options, optiontypes
from aiocoap.numbers import OptionNumber


class WithMore(options.Options):
    """Options of a message, and more that are sent as they are: aiocoap, which would act upon some of them,
    does not see them.
    """

    def __init__(self, own, more):
        super().__init__()
        for option in own.option_list():
            self.add_option(option)
        self._more = more

    def encode(self):
        """The bytes of all of them."""
        sent = options.Options()
        for option in self.option_list():
            sent.add_option(option)
        for number, value in self._more:
            sent.add_option(optiontypes.OpaqueOption(number, value))
        return sent.encode()


class Session:
    """One DTLS session, which lives as long as this object."""

    def __init__(self, task, context):
        self._context, self._base = context, f"{task['scheme']}://{task['host']}:{task['port']}"
        credentials = {"psk": bytes.fromhex(task["key"]), "client-identity": task["identity"].encode()}
        if task["scheme"] == "coaps":
            context.client_credentials.load_from_dict({f"{self._base}/*": {"dtls": credentials}})
        self._remote, self._reliable, self._observations = None, aiocoap.Reliable(), {}
        self._reliable.ACK_TIMEOUT = task["ack_timeout"]
        self._reliable.MAX_RETRANSMIT = task["retransmissions"]

    async def answer(self, asked):
        """Prints the answer to one question."""
        try:
            said = await asyncio.wait_for(self._exchange(asked), asked["seconds"])
        except (TimeoutError, error.TimeoutError):
            said = {"silence": "no answer"}
        except Exception as failed:  # Whatever it is, the test has to hear of it.
            said = {"failed": repr(failed)}
        print(json.dumps({"n": asked["n"], **said}), flush=True)

    async def _exchange(self, asked):
        message = aiocoap.Message(
            code=getattr(aiocoap, asked["method"]),
            uri=self._base + asked["path"],
            payload=bytes.fromhex(asked["payload"]),
            transport_tuning=self._reliable if asked["confirmable"] else aiocoap.Unreliable,
        )
        more = [(OptionNumber(number), bytes.fromhex(value)) for number, value in asked["options"]]
        if asked["blockwise"]:
            for number, value in more:
                message.opt.add_option(number.create_option(decode=value))
        else:
            message.opt = WithMore(message.opt, more)
        if asked["observe"]:
            message.opt.observe = 0
        request = self._context.request(message, handle_blockwise=asked["blockwise"])
        if asked["observe"]:
            request.observation.register_callback(lambda told: self._told(asked["n"], told))
            self._observations[asked["n"]] = request
        answer = await request.response
        # aiocoap drops a session that nothing refers to.
        self._remote = answer.remote
        return _said(answer)

    def cancel(self, number):
        """Forgets an observation: the next notification is answered by a Reset."""
        self._observations.pop(number).observation.cancel()

    @staticmethod
    def _told(number, notification):
        print(json.dumps({"n": number, "told": _said(notification)}), flush=True)


def _said(answer):
    received = [[int(option.number), option.encode().hex()] for option in answer.opt.option_list()]
    return {"code": answer.code.dotted, "payload": answer.payload.hex(), "options": received}


async def main():
    """Asks until the input ends."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    task = json.loads(await lines.readline())
    transport = "tinydtls" if task["scheme"] == "coaps" else "simple6"
    context = await aiocoap.Context.create_client_context(transports=[transport])
    session, under_way = Session(task, context), set()
    while line := await lines.readline():
        asked = json.loads(line)
        if "cancel" in asked:
            session.cancel(asked["cancel"])
            continue
        task = asyncio.create_task(session.answer(asked))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    for task in under_way:
        task.cancel()
    await context.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
