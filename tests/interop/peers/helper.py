"""Peers that live in a program of their own: a task as JSON on its standard input, the answers as JSON on its
output.

Task: `{"host","port","identity","key" (hex),"suite","seconds","requests":[{"method","path","payload"}]}`.
Answer: `{"responses":[{"code","contentFormat","payload"}]}`, or `{"silence":text}`, or `{"failed":text}`.
"""

import json

from lib.coap import Response, Silence

from . import PeerFailed, run_peer


def exchange_by_helper(command, target, requests, more=None):
    """Runs the helper for one exchange; `more` is added to the task."""
    task = {
        "host": target.host,
        "port": target.port,
        "identity": target.identity,
        "key": target.key.hex(),
        "suite": target.suite,
        "seconds": target.seconds,
        "requests": [{"method": r.method, "path": r.path, "payload": r.payload.decode()} for r in requests],
        **(more or {}),
    }
    code, output, noise = run_peer(command, target.seconds + 5, text=json.dumps(task).encode())
    try:
        answer = json.loads(output)
    except ValueError as not_json:
        raise PeerFailed(
            f"the helper ended with {code}: {output.decode(errors='replace')}{noise}"
        ) from not_json
    if "silence" in answer:
        raise Silence(answer["silence"])
    if "failed" in answer:
        raise PeerFailed(f"{answer['failed']}\n{noise}")
    return [Response(r["code"], r["payload"].encode(), r["contentFormat"]) for r in answer["responses"]]
