"""What a device says besides points, by a client that is not ours: attributes, tags and events, and what is
wrong with them.
"""

import json

from interop.harness import case, check, eventually
from interop.peers.libcoap import GNUTLS, OPENSSL
from lib.coap import FORMAT_JSON, Request
from lib.devices import create_device
from lib.dtls import CBC, CCM8

from .steps import wait_for_refusal


def _ask(world, peer, suite, device, topic, params):
    """The reply to one message."""
    body = {"id": "7", "version": "1.0", "method": f"thing.{topic.replace('/', '.')}", "params": params}
    request = Request("POST", device.topic(f"thing/{topic}"), json.dumps(body).encode())
    [response] = peer.exchange(world.gateway.target(device.identity(), device.key, suite), [request])
    check(response.code == "2.04", f"{topic} was answered {response.code} {response.payload!r}")
    check(response.content_format == FORMAT_JSON, f"the content format is {response.content_format}")
    return json.loads(response.payload)


def _told(world, device, name):
    """What `listen` told of the device under this name."""
    mine = [e for e in world.gateway.listener().events() if e.get("deviceKey") == device.device_key]
    return [event for event in mine if event["event"] == name]


def _register(peer, suite, kind, set_both, both):
    keep, drop = sorted(both)

    @case(f"{peer.NAME} {suite} sets, asks for and deletes {kind}s")
    def _kept(world):
        def ask(verb, params):
            reply = _ask(world, peer, suite, device, f"{kind}/{verb}", params)
            check((reply["code"], reply["id"]) == (200, "7"), f"the reply is {reply}")
            return reply["data"]

        def shown():
            return world.gateway.json("device", f"{kind}s", *device.names)

        device = create_device(world.gateway)
        world.gateway.listener()
        check(ask("update", set_both) == {}, "an update is answered with data")
        check(ask("query", {f"{kind}s": []}) == both, "not all are answered")
        check(ask("query", {f"{kind}s": [keep, "none"]}) == {keep: both[keep]}, "others are answered")
        check(shown() == both, f"the operator sees {shown()}")
        check(ask("delete", {f"{kind}s": [drop]}) == {}, "a deletion is answered with data")
        check(shown() == {keep: both[keep]}, f"the operator sees {shown()} after the deletion")
        eventually("`listen` does not tell of both", lambda: len(_told(world, device, f"{kind}s")) == 2)
        told = [(event.get("set"), event.get("deleted")) for event in _told(world, device, f"{kind}s")]
        check(told == [(both, None), (None, [drop])], f"`listen` tells {told}")


def _register_fault(peer, suite, topic, params, code, words, reason="body_malformed"):
    @case(f"{peer.NAME} {suite} thing/{topic} with {json.dumps(params)[:40]} is code {code}")
    def _refused(world):
        device = create_device(world.gateway)
        reply = _ask(world, peer, suite, device, topic, params)
        check(reply["code"] == code, f"the reply is {reply}")
        check(reply["message"].startswith(words), f"the message is {reply['message']}")
        wait_for_refusal(world.gateway, device, reason, words)


@case("libcoap-openssl CCM_8 sets as many attributes as are kept, and asks for all of them, in blocks")
def _blocks(world):
    device = create_device(world.gateway)
    both = {name: "x" * 4000 for name in ("a", "b")}
    for name, value in both.items():
        reply = _ask(world, OPENSSL, CCM8, device, "attribute/update", {"attributes": {name: value}})
        check(reply["code"] == 200, f"the reply is {reply}")
    reply = _ask(world, OPENSSL, CCM8, device, "attribute/update", {"attributes": {"c": "x" * 200}})
    check(reply["code"] == 1008, f"more than is kept is answered {reply}")
    reply = _ask(world, OPENSSL, CCM8, device, "attribute/query", {"attributes": []})
    check(reply == {"id": "7", "code": 200, "data": both}, f"the answer has {len(json.dumps(reply))} bytes")


@case("libcoap-gnutls CCM_8 posts an event")
def _event(world):
    device, world_listener = create_device(world.gateway), world.gateway.listener()
    check(world_listener.running(), "`listen` does not run")
    for event, time in (("tilted", 1700000001000), ("opened", 1700000002000)):
        params = {"events": {"angle": 7.5}, "time": time}
        reply = _ask(world, GNUTLS, CCM8, device, f"event/{event}/post", params)
        check(reply == {"id": "7", "code": 200, "data": {}}, f"the reply is {reply}")
    shown = world.gateway.json("device", "events", *device.names)
    newest = {"event": "opened", "time": 1700000002000, "output": {"angle": 7.5}}
    check(len(shown) == 2 and shown[0] == newest, f"the operator sees {shown}")
    eventually("`listen` does not tell of both", lambda: len(_told(world, device, "event")) == 2)
    told = [(event["eventId"], event["output"]) for event in _told(world, device, "event")]
    check(told == [("tilted", {"angle": 7.5}), ("opened", {"angle": 7.5})], f"`listen` tells {told}")


_ATTRIBUTES = {"place": "cellar", "size": 1.5}
_TAGS = {"owner": "B", "site/1": "north"}
_register(OPENSSL, CCM8, "attribute", {"attributes": _ATTRIBUTES}, _ATTRIBUTES)
_register(GNUTLS, CBC, "tag", [{"tagKey": key, "tagValue": value} for key, value in _TAGS.items()], _TAGS)

_NOT_AN_IDENTIFIER = "/params/attributes/a b: an identifier is 1 to 128 of"
for _topic, _params, _code, _words, _reason in (
    ("attribute/update", {}, 1207, "/params/attributes: is missing", "body_malformed"),
    ("attribute/update", {"attributes": {"a b": 1}}, 1204, _NOT_AN_IDENTIFIER, "model_invalid"),
    ("attribute/query", {"attributes": "a"}, 1208, "/params/attributes: must be an array", "body_malformed"),
    ("attribute/delete", {"attributes": []}, 1209, "/params/attributes: has 0 attributes", "body_malformed"),
    ("event/e/post", {"events": [1]}, 1204, "/params/events: must be an object", "model_invalid"),
    ("event/e/post", [], 1200, "/params: must be an object", "body_malformed"),
    ("event/e/post", {"events": {}, "time": 1700000000}, 1204, "/params/time: looks like", "model_invalid"),
    ("tag/update", [{"tagKey": "9", "tagValue": "v"}], 1200, "/params/0/tagKey: a key is", "body_malformed"),
    ("tag/query", {"tags": [7]}, 1200, "/params/tags/0: must be a string", "body_malformed"),
    ("tag/delete", {"attributes": ["a"]}, 1200, "/params/tags: is missing", "body_malformed"),
):
    _register_fault(OPENSSL, CCM8, _topic, _params, _code, _words, _reason)
