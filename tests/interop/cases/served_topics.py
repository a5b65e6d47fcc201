"""Every topic of the guide's table, by aiocoap: what it is for, and its bad input.

Longer than 500 lines: one case for each row of one table.
"""

import hashlib
import json

from interop.harness import case, check
from interop.peers.aiocoap_tinydtls import Session
from interop.served import (
    COMMAND_WAITING,
    CBOR,
    Bad,
    Bench,
    bad_bodies,
    bad_envelopes,
    bad_paths,
    check_success,
    content,
    in_cbor,
    message,
    row,
)
from lib.coap import Request
from lib.devices import psk
from lib.dtls import CCM8

TIME = 1_700_000_000_000
_AS_CBOR, _AS_XML = ((17, b"\x3c"),), ((17, b"\x29"),)


def _register(topic):
    """Registers the case of a topic: `try_it(world)` returns the code of success and those of bad input."""

    def register(try_it):
        name = f"topic {topic}"

        @case(name)
        def _topic(world):
            good, bad = try_it(world)
            said = row(name).cells
            check(said[3] == good, f"the guide says that it is answered {said[3]}, and it was {good}")
            # Codes of CoAP first.
            seen = " ".join(sorted(set(bad), key=lambda code: ("." not in code, len(code), code)))
            check(said[4] == seen, f"the guide says that bad input is {said[4]}, and it was {seen}")

        return try_it

    return register


def _register_message(topic, params, faults, data=None, before=None, after=None):
    """A topic of messages. `faults` are pairs of bad params and (code, beginning of the words); `before` and
    `after` get the bench; what `after` returns has to be the same before and after the bad input.
    """

    @_register(topic)
    def _message(world):
        path = topic.replace("{eventId}", "tilted")
        with Bench(world.gateway) as bench:
            if before:
                before(bench)
            request = message(bench.device, path, params)
            response = bench.ask(request)
            check_success(response, data)
            check_success(bench.ask(in_cbor(request)), data, CBOR)
            kept = after(bench)
            bad = [*bad_paths(bench.device, bench.other, request, "GET"), *bad_bodies(request)]
            bad += bad_envelopes(request, faults[0][1])
            for wrong, code, words in faults:
                what = f"params {json.dumps(wrong)[:60]}"
                bad.append(Bad(what, message(bench.device, path, wrong), code, words))
            codes = [bench.refuse(one) for one in bad]
            check(after(bench) == kept, f"bad input has left {after(bench)}, before it was {kept}")
            check_success(bench.ask(request), data)
            check_success(bench.ask(request, _AS_CBOR), data, CBOR)
            return response.code, codes


def _points(bench):
    """Every report that is stored."""
    return bench.shown("points", "--from", "0", "--limit", "1000")


def _report(**points):
    return {"measurepoints": points, "time": TIME}


_POINT_FAULTS = (
    ([], 1200, "/params: must be an object"),
    ({}, 1204, "/params/measurepoints: is missing"),
    ({"measurepoints": []}, 1204, "/params/measurepoints: must be an object"),
    ({"measurepoints": {}}, 1204, "/params/measurepoints: "),
    (_report(temp="21.5"), 1204, "/params/measurepoints/temp: must be a number"),
    (_report(count=1.5), 1204, "/params/measurepoints/count: must be an integer of 32 bits"),
    (_report(temp={"value": 1, "quality": 0}), 1204, "/params/measurepoints/temp: must be a number"),
    (_report(other=1), 1204, "/params/measurepoints/other: "),
    ({"measurepoints": {"temp": 1}, "time": "now"}, 1204, "/params/time: must be an integer"),
    ({"measurepoints": {"temp": 1}, "time": TIME // 1000}, 1204, "/params/time: looks like seconds"),
)
_BATCH_FAULTS = (
    ({}, 1206, "/params: "),
    ([], 1206, "/params: "),
    ([7], 1206, "/params/0: "),
    ([{"measurepoints": {"temp": 1}}] * 201, 1206, "/params: "),
    ([_report(temp=1), _report(temp="2")], 1204, "/params/1/measurepoints/temp: must be a number"),
    ([_report(temp=1), {**_report(temp=2), "deviceKey": "other"}], 1212, "/params/1"),
    ([_report(temp=1), {**_report(temp=2), "productKey": "other"}], 1212, "/params/1"),
)
_register_message("thing/measurepoint/post", _report(temp=21.5, count=1), _POINT_FAULTS, after=_points)
_register_message("thing/measurepoint/resume", _report(temp=21.5), _POINT_FAULTS, after=_points)
_register_message("thing/measurepoint/post/batch", [_report(temp=1)], _BATCH_FAULTS, after=_points)
_register_message("thing/measurepoint/resume/batch", [_report(temp=1)], _BATCH_FAULTS, after=_points)


def _attributes(bench):
    return bench.shown("attributes")


def _tags(bench):
    return bench.shown("tags")


def _has_attributes(bench):
    response = bench.tell("thing/attribute/update", {"attributes": {"size": 1.5, "serial": "A7"}})
    check_success(response)


def _has_tags(bench):
    tags = [{"tagKey": "site", "tagValue": "north"}, {"tagKey": "owner", "tagValue": "B"}]
    check_success(bench.tell("thing/tag/update", tags))


_register_message(
    "thing/attribute/update",
    {"attributes": {"size": 1.5}},
    (
        ([], 1207, "/params: must be an object"),
        ({}, 1207, "/params/attributes: is missing"),
        ({"attributes": []}, 1207, "/params/attributes: must be an object"),
        ({"attributes": {"size": "large"}}, 1204, "/params/attributes/size: must be a number"),
        ({"attributes": {"other": 1}}, 1204, "/params/attributes/other: "),
        ({"attributes": {"serial": "x" * 5000}}, 1204, "/params/attributes/serial: has 5002 bytes"),
        ({"attributes": {"serial": "x" * 4090, "place": "y" * 4090}}, 1008, "/params: "),
        ({"attributes": {f"a{n}": n for n in range(201)}}, 1207, "/params/attributes: "),
    ),
    after=_attributes,
)
_register_message(
    "thing/attribute/query",
    {"attributes": ["size"]},
    (
        ([], 1208, "/params: must be an object"),
        ({"attributes": "size"}, 1208, "/params/attributes: must be an array"),
        ({"attributes": [7]}, 1208, "/params/attributes/0: must be a string"),
        ({"attributes": ["a"] * 201}, 1208, "/params/attributes: "),
    ),
    {"size": 1.5},
    _has_attributes,
    _attributes,
)
_register_message(
    "thing/attribute/delete",
    {"attributes": ["size"]},
    (
        ([], 1209, "/params: must be an object"),
        ({"attributes": []}, 1209, "/params/attributes: has 0"),
        ({"attributes": [7]}, 1209, "/params/attributes/0: must be a string"),
        ({"attributes": ["serial"]}, 1209, "/params/attributes/0: "),
    ),
    None,
    _has_attributes,
    _attributes,
)
_register_message(
    "thing/tag/update",
    [{"tagKey": "site", "tagValue": "north"}],
    (
        ({}, 1200, "/params: must be an array"),
        ([], 1200, "/params: "),
        (["site"], 1200, "/params/0: must be an object"),
        ([{"tagValue": "v"}], 1200, "/params/0/tagKey: is missing"),
        ([{"tagKey": "9", "tagValue": "v"}], 1200, "/params/0/tagKey: a key is"),
        ([{"tagKey": "k", "tagValue": 7}], 1200, "/params/0/tagValue: must be a string"),
        ([{"tagKey": "k", "tagValue": "x" * 5000}], 1200, "/params/0/tagValue: has 5002 bytes"),
        ([{"tagKey": key, "tagValue": "x" * 4090} for key in "ab"], 1008, "/params: "),
    ),
    after=_tags,
)
_register_message(
    "thing/tag/query",
    {"tags": ["site"]},
    (
        ([], 1200, "/params: must be an object"),
        ({"tags": "site"}, 1200, "/params/tags: must be an array"),
        ({"tags": [7]}, 1200, "/params/tags/0: must be a string"),
    ),
    {"site": "north"},
    _has_tags,
    _tags,
)
_register_message(
    "thing/tag/delete",
    {"tags": ["site"]},
    (
        ([], 1200, "/params: must be an object"),
        ({}, 1200, "/params/tags: is missing"),
        ({"tags": []}, 1200, "/params/tags: "),
        ({"tags": [None]}, 1200, "/params/tags/0: must be a string"),
    ),
    None,
    _has_tags,
    _tags,
)
_register_message(
    "thing/event/{eventId}/post",
    {"events": {"angle": 7.5}, "time": TIME},
    (
        ([], 1200, "/params: must be an object"),
        ({}, 1204, "/params/events: is missing"),
        ({"events": [1]}, 1204, "/params/events: must be an object"),
        ({"events": {"angle": "steep"}}, 1204, "/params/events/angle: must be a number"),
        ({"events": {"other": 1}}, 1204, "/params/events/other: "),
        ({"events": {}, "time": TIME * 1000}, 1204, "/params/time: "),
    ),
    after=lambda bench: bench.shown("events"),
)


def _has_begun(bench):
    """An upgrade whose command was fetched and answered."""
    _, number = bench.offer()
    path = bench.device.topic("ota/device/upgrade")
    check(bench.ask(Request("GET", path)).code == "2.05", "the command is not handed out")
    reply = json.dumps({"id": number, "code": 200, "data": {}}).encode()
    check(bench.ask(Request("POST", f"{path}_reply", reply)).code == "2.04", "the reply was refused")


def _bad_messages(bench, request, faults, params_needed=True):
    """What is wrong with a message of firmware."""
    yield from bad_paths(bench.device, bench.other, request, "GET")
    yield from bad_bodies(request)
    envelopes = bad_envelopes(request, 1200)
    yield from envelopes if params_needed else list(envelopes)[1:]
    topic = request.path.partition("/ota/")[2]
    for wrong, code, words in faults:
        yield Bad(f"params {wrong}", message(bench.device, f"ota/{topic}", wrong), code, words)


@_register("ota/device/inform")
def _inform(world):
    with Bench(world.gateway) as bench:
        request = message(bench.device, "ota/device/inform", {"version": "2.0"})
        response = bench.ask(request)
        check_success(response)
        check_success(bench.ask(in_cbor(request)), None, CBOR)
        faults = (
            ([], 1200, "/params: must be an object"),
            ({}, 1200, "/params/version: is missing"),
            ({"version": 2}, 1204, "/params/version: must be a text"),
            ({"version": ""}, 1204, "/params/version: is empty"),
            ({"version": "x" * 65}, 1204, "/params/version: has 65 bytes"),
            ({"version": "2\n"}, 1204, "/params/version: has a control character"),
        )
        return response.code, [bench.refuse(bad) for bad in _bad_messages(bench, request, faults)]


@_register("ota/device/progress")
def _progress(world):
    with Bench(world.gateway) as bench:
        request = message(bench.device, "ota/device/progress", {"step": "50", "desc": "half"})
        bench.tell("ota/device/inform", {"version": "1.0"})
        codes = [bench.refuse(Bad("no upgrade", request, 764, "no upgrade is offered"))]
        bench.offer(b"another", "1.5")
        codes.append(bench.refuse(Bad("one that is not fetched", request, 765, "the upgrade has not begun")))
        bench.tell("ota/device/inform", {"version": "1.5"})
        _has_begun(bench)
        response = bench.ask(request)
        check_success(response)
        check_success(bench.ask(in_cbor(request)), None, CBOR)
        check_success(bench.tell("ota/device/progress", {"step": 60}))
        integer = "/params/step: must be an integer from -5 to 100"
        faults = (
            ([], 1200, "/params: must be an object"),
            ({}, 1200, "/params/step: is missing"),
            ({"step": "half"}, 1204, integer),
            ({"step": 101}, 1204, integer),
            ({"step": -6}, 1204, integer),
            ({"step": 50.5}, 1204, integer),
            ({"step": 50, "desc": 7}, 1204, "/params/desc: must be a text"),
        )
        codes += [bench.refuse(bad) for bad in _bad_messages(bench, request, faults)]
        check_success(bench.tell("ota/device/progress", {"step": "-4", "desc": "the flash is worn"}))
        codes.append(bench.refuse(Bad("an upgrade that is over", request, 764, "no upgrade is offered")))
        return response.code, codes


@_register("ota/device/getversion")
def _versions(world):
    with Bench(world.gateway) as bench:
        request = message(bench.device, "ota/device/getversion", {})
        bench.tell("ota/device/inform", {"version": "1.0"})
        check_success(bench.ask(request), [])
        bench.image, _ = bench.offer(b"2.0" * 100)
        offers = [_offer_of(bench)]
        response = bench.ask(request)
        check_success(response, offers)
        check_success(bench.ask(in_cbor(request)), offers, CBOR)
        faults = (([], 1200, "/params: must be an object"), (7, 1200, "/params: must be an object"))
        return response.code, [bench.refuse(bad) for bad in _bad_messages(bench, request, faults, False)]


@_register("/ota/{imageId}")
def _image(world):
    with Bench(world.gateway) as bench:
        image_bytes = bytes(range(256)) * 12
        bench.tell("thing/measurepoint/post", _report(temp=1))
        image, _ = bench.offer(image_bytes)
        request = Request("GET", f"/ota/{image}")
        response = bench.ask(request)
        check(response.payload == image_bytes and response.content_format == 42, f"it got {response}")
        changed = lambda **more: Request(**{**vars(request), **more})  # noqa: E731
        bad = (
            Bad("the method POST", changed(method="POST"), "4.05"),
            Bad("a slash at the end", changed(path=request.path + "/"), "4.04"),
            Bad("no id", changed(path="/ota/none"), "4.04"),
            Bad("an image that there is not", changed(path="/ota/AAAAAAAA"), "4.04"),
            Bad("an image that nobody was offered", changed(path=f"/ota/{bench.upload(b'x', '9')}"), "4.04"),
            Bad("the image as JSON", request, "4.06", options=((17, b"\x32"),)),
            Bad("If-Match", request, "4.12", options=((1, b"tag"),)),
            Bad("Proxy-Scheme", request, "5.05", options=((39, b"coap"),)),
            Bad("a critical option", request, "4.02", options=((2101, b"x"),)),
            Bad("a block that is none", request, "4.00", options=((23, b"\x07"),)),
            Bad("a block behind the end", request, "4.00", options=((23, b"\x36"),)),
            Bad("a block far behind it", request, "4.00", options=((23, b"\xff\xff\xf6"),)),
        )
        codes = [bench.refuse(one) for one in bad]
    with Bench(world.gateway, mode=3, activation=True) as bench:
        target = world.gateway.target(bench.device.identity(mode=3), psk(bench.product.product_secret), CCM8)
        bench.session = Session(target)
        codes.append(bench.refuse(Bad("a session of a product", request, "4.03")))
    return response.code, codes


def _register_command(topic, send, params, again=None):
    """The GET of a command's topic, and the POST of its reply. `send(bench)` has an operator send one, and
    returns its id; `again(bench)` another one, once the first is answered. `params` may follow from the
    bench.
    """

    @_register(topic)
    def _fetch(world):
        with Bench(world.gateway) as bench:
            return _fetch_command(bench, topic, send, params)

    @_register(f"{topic}_reply")
    def _reply(world):
        with Bench(world.gateway) as bench:
            return _reply_to_command(bench, topic, send, again or send)


def _fetch_command(bench, topic, send, params):
    bench.tell("thing/measurepoint/post", _report(temp=1))
    number, path = send(bench), bench.device.topic(topic.replace("{serviceId}", "restart"))
    request = Request("GET", path)
    report = bench.tell("thing/measurepoint/post", _report(temp=1))
    check((COMMAND_WAITING, path.encode()) in report.options, f"the command is not named: {report}")
    bad = [*bad_paths(bench.device, bench.other, request, "POST")]
    bad.append(Bad("an answer in XML", request, "4.06", options=_AS_XML))
    codes = [bench.refuse(one) for one in bad]
    response = bench.ask(request)
    command = json.loads(response.payload)
    method = topic.replace("{serviceId}", "restart").replace("/", ".")
    said = params(bench) if callable(params) else params
    expected = {"id": number, "version": "1.0", "params": said, "method": method}
    check(command == expected, f"the device got {command}, not {expected}")
    check(json.loads(bench.ask(request).payload) == expected, "the same GET got something else")
    by_cbor = bench.ask(request, _AS_CBOR)
    check((by_cbor.content_format, content(by_cbor)) == (CBOR, expected), f"in CBOR it is {by_cbor}")
    bench.gateway.json("command", "cancel", *bench.device.names, number)
    codes.append(bench.refuse(Bad("nothing waits", request, "4.04")))
    return response.code, codes


def _reply_to_command(bench, topic, send, again):
    bench.tell("thing/measurepoint/post", _report(temp=1))
    number, path = send(bench), bench.device.topic(topic.replace("{serviceId}", "restart"))
    check(bench.ask(Request("GET", path)).code == "2.05", "the command is not handed out")
    body = {"id": number, "code": 200, "data": {"done": True}}

    def reply(**changed):
        said = {key: value for key, value in {**body, **changed}.items() if value is not None}
        return Request("POST", f"{path}_reply", json.dumps(said).encode())

    bad = [*bad_paths(bench.device, bench.other, reply(), "GET"), *bad_bodies(reply())]
    for wrong, words in (
        ({"id": None}, "/id: is missing"),
        ({"code": None}, "/code: is missing"),
        ({"code": "done"}, "/code: must be an integer"),
        ({"code": 2.5}, "/code: must be an integer"),
    ):
        bad.append(Bad(f"a reply with {wrong}", reply(**wrong), 1200, words))
    codes = [bench.refuse(one) for one in bad]
    for wrong in ({"id": "1"}, {"id": "none"}):
        check(bench.ask(reply(**wrong)).code == "2.04", f"a reply with {wrong} was refused")
    shown = lambda: bench.gateway.json("command", "show", *bench.device.names, number)  # noqa: E731
    check(shown()["state"] == "sent", f"bad replies have made of it {shown()}")
    response = bench.ask(reply())
    state = (shown()["state"], shown()["code"], shown()["data"])
    check(state == ("succeeded", 200, {"done": True}), f"the operator reads {shown()}")
    number = again(bench)
    check(content(bench.ask(Request("GET", path), _AS_CBOR))["id"] == number, "it is not in CBOR")
    by_cbor = bench.ask(in_cbor(reply(id=int(number))))
    state = (by_cbor.code, shown()["state"], shown()["data"])
    check(state == ("2.04", "succeeded", {"done": True}), f"the operator reads {shown()}")
    return response.code, codes


def _sent(*what):
    return lambda bench: bench.send(*what)


_register_command("thing/service/measurepoint/set", _sent("--set", '{"temp":30.5}'), {"temp": 30.5})
_register_command("thing/service/measurepoint/get", _sent("--get", "temp"), ["temp"])
_register_command(
    "thing/service/{serviceId}", _sent("--service", "restart", "--input", '{"delay":5}'), {"delay": 5}
)


def _offered(version):
    """An offer of an image, once that before is done."""

    def offer(bench):
        bench.tell("ota/device/inform", {"version": "2.0" if version != "2.0" else "1.0"})
        bench.image, number = bench.offer(version.encode() * 100, version)
        return number

    return offer


def _offer_of(bench):
    content_of = b"2.0" * 100
    sign = {"sign": hashlib.sha256(content_of).hexdigest(), "signMethod": "SHA256"}
    url = f"coaps://127.0.0.1:{bench.gateway.dtls_port}/ota/{bench.image}"
    return {"version": "2.0", **sign, "fileUrl": url, "fileSize": len(content_of)}


_register_command("ota/device/upgrade", _offered("2.0"), _offer_of, _offered("3.0"))


@_register("thing/commands")
def _count(world):
    with Bench(world.gateway) as bench:
        bench.tell("thing/measurepoint/post", _report(temp=1))
        path = bench.device.topic("thing/commands")
        request = Request("GET", path)
        bad = [*bad_paths(bench.device, bench.other, request, "POST")]
        bad.append(Bad("an answer in XML", request, "4.06", options=_AS_XML))
        codes = [bench.refuse(one) for one in bad]
        response = bench.ask(request)
        check(json.loads(response.payload) == {"waiting": 0}, f"nothing waits, and it is {response}")
        by_cbor = bench.ask(request, _AS_CBOR)
        check((by_cbor.content_format, content(by_cbor)) == (CBOR, {"waiting": 0}), f"in CBOR {by_cbor}")
        check(6 not in dict(response.options), f"a plain GET is answered with Observe: {response}")
        observed = bench.session.observe(request)
        check(json.loads(observed.answer.payload) == {"waiting": 0}, f"{observed.answer}")
        numbers = [_number(observed.answer)]
        topic = bench.device.topic("thing/service/restart").encode()
        for waiting in (1, 2):
            bench.send("--service", "restart", "--input", '{"delay":5}')
            told = observed.next()
            check(json.loads(told.payload) == {"waiting": waiting}, f"the notification is {told}")
            check(dict(told.options).get(COMMAND_WAITING) == topic, f"it does not name the topic: {told}")
            numbers.append(_number(told))
        check(numbers == sorted(set(numbers)), f"the numbers of the notifications are {numbers}")
        # A command is handed out as ever, and what the device does itself is no news.
        check(bench.ask(Request("GET", topic.decode())).code == "2.05", "the command is not handed out")
        observed.cancel()
        bench.send("--service", "restart", "--input", '{"delay":5}')
        observed.expect_none(2)
        return response.code, codes


def _number(response):
    """The number in Observe."""
    return int.from_bytes(dict(response.options)[6], "big")


@_register("thing/activate/info")
def _activate(world):
    with Bench(world.gateway, mode=3, activation=True) as bench:
        product, device = bench.product, bench.device
        target = world.gateway.target(device.identity(mode=3), psk(product.product_secret), CCM8)
        bench.session = Session(target)
        request = device.activation()
        changed = lambda **more: Request(**{**vars(request), **more})  # noqa: E731
        bad = [
            Bad("another device's secret", bench.other.activation(), "4.03"),
            Bad("the method POST", changed(method="POST"), "4.03"),
            Bad("a slash at the end", changed(path=request.path + "/"), "4.03"),
            Bad("a report", device.report({"temp": 1}), "4.03"),
            Bad("an answer in XML", request, "4.06", options=_AS_XML),
            Bad("If-Match", request, "4.12", options=((1, b"tag"),)),
            Bad("Proxy-Scheme", request, "5.05", options=((39, b"coap"),)),
            Bad("a critical option", request, "4.02", options=((2101, b"x"),)),
            Bad("a block that is none", request, "4.00", options=((23, b"\x07"),)),
        ]
        codes = [bench.refuse(one) for one in bad]
        check(bench.shown("show")["state"] == "inactive", "bad input has activated the device")
        world.gateway.json("product", "update", product.product_key, "--dynamic-activation", "off")
        codes.append(bench.refuse(Bad("dynamic activation is off", request, "4.03")))
        world.gateway.json("product", "update", product.product_key, "--dynamic-activation", "on")
        response = bench.ask(request)
        params = json.loads(response.payload)["params"]
        check((params["productKey"], params["deviceKey"]) == device.names, f"it got {params}")
        # The session that has got a secret gets no other.
        bench.session.close()
        bench.session = Session(target)
        params = content(bench.ask(request, _AS_CBOR))["params"]
        check((params["productKey"], params["deviceKey"]) == device.names, f"in CBOR it got {params}")
        return response.code, codes


@_register("thing/activate/info_reply")
def _activated(world):
    with Bench(world.gateway) as bench:
        request = Request("POST", bench.device.activation().path + "_reply", b'{"id":"1","code":200}')
        response = bench.ask(request)
        check(not response.payload, f"it was answered {response}")
        return response.code, [
            bench.refuse(bad) for bad in bad_paths(bench.device, bench.other, request, "GET")
        ]


@_register("/auth")
def _login(world):
    with Bench(world.gateway) as bench:
        request = Request("POST", f"/auth/{'/'.join(bench.device.names)}")
        response = bench.ask(request)
        check(not response.payload, f"it was answered {response}")
        return response.code, [
            bench.refuse(bad) for bad in bad_paths(bench.device, bench.other, request, "GET")
        ]


@_register("/.well-known/core")
def _core(world):
    with Bench(world.gateway) as bench:
        request = Request("GET", "/.well-known/core")
        response = bench.ask(request)
        links = response.payload.decode().split(",")
        wanted = f"<{bench.device.topic('thing/measurepoint/post')}>;ct=\"50 60\""
        check(wanted in links and response.content_format == 40, f"the list is {response}")
        bad = (
            Bad("the method POST", Request("POST", request.path), "4.05"),
            Bad("a slash at the end", Request("GET", request.path + "/"), "4.04"),
            Bad("the list as JSON", request, "4.06", options=((17, b"\x32"),)),
            Bad("If-Match", request, "4.12", options=((1, b"tag"),)),
            Bad("Proxy-Scheme", request, "5.05", options=((39, b"coap"),)),
            Bad("a critical option", request, "4.02", options=((2101, b"x"),)),
            Bad("a block that is none", request, "4.00", options=((23, b"\x07"),)),
        )
        return response.code, [bench.refuse(one) for one in bad]
