"""Runs in the environment with aiocoap and DTLSSocket; see helper.py for what it reads and prints."""

import asyncio
import json
import sys

import aiocoap
from aiocoap import error


async def exchange(task):
    """The answer to a task."""
    context = await aiocoap.Context.create_client_context(transports=["tinydtls"])
    base = f"coaps://{task['host']}:{task['port']}"
    credentials = {"psk": bytes.fromhex(task["key"]), "client-identity": task["identity"].encode()}
    context.client_credentials.load_from_dict({f"{base}/*": {"dtls": credentials}})
    responses = []
    try:
        for request in task["requests"]:
            message = aiocoap.Message(code=getattr(aiocoap, request["method"]), uri=base + request["path"])
            if request["payload"]:
                message.payload = request["payload"].encode()
                message.opt.content_format = 50
            answer = await asyncio.wait_for(context.request(message).response, task["seconds"])
            content_format = answer.opt.content_format
            responses.append(
                {
                    "code": answer.code.dotted,
                    "contentFormat": None if content_format is None else int(content_format),
                    "payload": answer.payload.decode(errors="replace"),
                }
            )
    except TimeoutError:
        return {"silence": "no answer"}
    except error.Error as failed:
        return {"failed": repr(failed)}
    finally:
        await context.shutdown()
    return {"responses": responses}


if __name__ == "__main__":
    answer = asyncio.run(exchange(json.load(sys.stdin)))
    print(json.dumps(answer), flush=True)
