"""Every option of the guide's table, by aiocoap: what it does in a request, and what it may not hold."""

import json

from interop.harness import case, check, eventually
from interop.served import CBOR, COMMAND_WAITING, Bench, check_success, message, row
from lib.coap import Request, Silence

BLOCK1, BLOCK2, ETAG, MAX_AGE, SIZE1, SIZE2 = 27, 23, 4, 14, 60, 28
SIZE_64 = 2
TOO_LONG = b"x" * 256


def _uint(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _block(number, more, exponent=SIZE_64):
    return _uint(number << 4 | more << 3 | exponent)


# Its value in a request, where the report has none already, and one that it may not have.
OPTIONS = {
    "1": (b"tag", b"123456789"),
    "3": (b"coap-gateway", b""),
    "4": (b"tag", b"123456789"),
    "5": (b"", b"x"),
    "6": (b"", b"\0\0\0\0"),
    "7": (b"\x16\x34", b"\0\0\0"),
    "8": (b"x", TOO_LONG),
    "9": (b"x", TOO_LONG),
    "11": (None, TOO_LONG),
    "12": (b"\x32", b"\x29"),
    "13": (b"x", b"12345"),
    "14": (b"\x3c", b"\0\0\0\0\0"),
    "15": (b"a=b", TOO_LONG),
    "16": (b"\x10", b"\0\0"),
    "17": (b"\x32", b"\0\0\0"),
    "19": (b"\x06", b"1234"),
    "20": (b"a=b", TOO_LONG),
    "21": (b"", b"x"),
    "23": (_block(0, 0), _block(0, 0, 7)),
    "27": (_block(0, 0, 6), _block(0, 0, 7)),
    "28": (b"", b"\0\0\0\0\0"),
    "31": (b"\x06", b"1234"),
    "35": (b"coap://other", b""),
    "39": (b"coap", b""),
    "60": (b"\x40", b"\0\0\0\0\0"),
    "252": (b"echo", b"x" * 41),
    "258": (b"\x08", b"\0\0"),
    "292": (b"a", b"123456789"),
    "2100": (b"/topic", b"\xff\xfe"),
    "2101": (b"x", b""),
    "2102": (b"x", b""),
    "2104": (b"", b"x"),
    "other": (65_000, 65_001),
}


def _register(name, good, bad):
    @case(f"option {name}")
    def _option(world):
        cells = row(f"option {name}").cells
        with Bench(world.gateway) as bench:
            report, more = bench.device.report({"temp": 1.5}), _MORE.get(name)

            def ask(value):
                if name == "other":
                    options = ((value, b""),)
                else:
                    options = () if value is None else ((int(name), value),)
                return bench.ask(report, options, blockwise=False).code

            said = ask(good)
            check(said == cells[3], f"the guide says {cells[3]}, and a good one was answered {said}")
            said = ask(bad)
            check(said == cells[5], f"the guide says {cells[5]}, and a bad one was answered {said}")
            if more:
                more(bench)


def _large_answer(bench):
    """A query whose answer has some 300 bytes."""
    update = {"attributes": {"place": "x" * 300}}
    check(bench.tell("thing/attribute/update", update).code == "2.04", "it cannot be set")
    return message(bench.device, "thing/attribute/query", {"attributes": []})


def _fetched(bench):
    """The first block of a large answer, with Size2, and the second."""
    query = _large_answer(bench)
    first = bench.ask(query, ((BLOCK2, _block(0, 0)), (SIZE2, b"")), blockwise=False)
    options = dict(first.options)
    check(options.get(BLOCK2) == _block(0, 1) and len(first.payload) == 64, f"the first block is {first}")
    rest = Request("POST", query.path)
    second = bench.ask(rest, ((BLOCK2, _block(1, 0)),), blockwise=False)
    check(dict(second.options).get(BLOCK2) == _block(1, 1), f"the second block is {second}")
    return options, dict(second.options)


def _etag(bench):
    first, second = _fetched(bench)
    check(first.get(ETAG) and first[ETAG] == second.get(ETAG), f"the blocks have {first} and {second}")


def _size2(bench):
    first, _ = _fetched(bench)
    check(int.from_bytes(first.get(SIZE2, b""), "big") > 300, f"the first block has {first}")


def _no_observe(bench):
    response = bench.ask(bench.device.report({"temp": 1}), ((6, b""),), blockwise=False)
    check(6 not in dict(response.options), f"it is observed: {response}")


def _deaf(bench):
    """No answer is sent, and the report is stored."""
    try:
        answer = bench.ask(bench.device.report({"temp": 77}), ((258, b"\x02"),), seconds=3, blockwise=False)
        check(False, f"an answer that is not wanted was sent: {answer}")
    except Silence:
        pass
    values = lambda: [point["value"] for point in bench.shown("points")]  # noqa: E731
    eventually("the report is not stored", lambda: 77 in values())


def _announced(bench):
    """Size1 in the first of several blocks says whether the body will fit."""
    path = bench.device.topic("thing/measurepoint/post")
    for size, answer in ((10_240, "2.31"), (10_241, "4.13")):
        options = ((BLOCK1, _block(0, 1)), (SIZE1, _uint(size)))
        response = bench.ask(Request("POST", path, b" " * 64), options, blockwise=False)
        check(response.code == answer, f"Size1 {size} was answered {response}")


def _blocks(bench):
    """A report in two blocks; then a block that follows nothing."""
    report = bench.device.report({"temp": 9.5})

    def send(number, more):
        part = Request("POST", report.path, report.payload[number * 64 : number * 64 + 64])
        return bench.ask(part, ((BLOCK1, _block(number, more)),), blockwise=False)

    last = (len(report.payload) - 1) // 64
    codes = [send(number, number < last).code for number in range(last + 1)]
    check(codes == ["2.31"] * last + ["2.04"], f"the blocks were answered {codes}")
    check([point["value"] for point in bench.shown("points")] == [9.5], "the report is not stored")
    check(send(last, False).code == "4.08", "the last block again was not answered 4.08")


def _tagged(bench):
    """Two bodies for one path, whose blocks take turns."""
    path = bench.device.topic("thing/tag/update")
    bodies = {
        tag: json.dumps({"id": tag, "params": [{"tagKey": tag, "tagValue": tag * 60}]}).encode()
        for tag in ("a", "b")
    }
    last = (len(bodies["a"]) - 1) // 64
    for number in range(last + 1):
        for tag, payload in bodies.items():
            part = Request("POST", path, payload[number * 64 : number * 64 + 64])
            options = ((BLOCK1, _block(number, number < last)), (292, tag.encode()))
            response = bench.ask(part, options, blockwise=False)
            wanted = "2.04" if number == last else "2.31"
            check(response.code == wanted, f"block {number} of {tag} was answered {response}")
    check(bench.shown("tags") == {"a": "a" * 60, "b": "b" * 60}, f"stored is {bench.shown('tags')}")


def _query_is_no_path(bench):
    request = Request("GET", "/.well-known/core")
    whole = bench.ask(request)
    filtered = bench.ask(request, ((15, b"rt=none"),))
    check(filtered.payload == whole.payload, "a query filters the list")


def _accepts(bench):
    report = bench.device.report({"temp": 1})
    text = bench.ask(report, ((17, b""),), blockwise=False)
    check((text.code, text.content_format) == ("2.04", 0), f"as text it is {text}")
    by_cbor = bench.ask(report, ((17, b"\x3c"),), blockwise=False)
    check_success(by_cbor, message_id="123", content_format=CBOR)
    check(bench.ask(report, ((17, b"\x29"),), blockwise=False).code == "4.06", "XML was not answered 4.06")


def _waiting(bench):
    """Named while a command waits, on success and on refusals."""
    report = bench.device.report({"temp": 1})
    check(COMMAND_WAITING not in dict(bench.ask(report).options), "a command is named, and there is none")
    bench.send("--set", '{"temp":30.5}')
    topic = bench.device.topic("thing/service/measurepoint/set").encode()
    eventually("it is not named", lambda: dict(bench.ask(report).options).get(COMMAND_WAITING) == topic)
    refused = bench.ask(Request("GET", report.path))
    check(dict(refused.options).get(COMMAND_WAITING) == topic, f"a refusal does not name it: {refused}")


def _not_kept(bench):
    """The answer that hands out a command must not be kept."""
    bench.ask(bench.device.report({"temp": 1}))
    bench.send("--get", "temp")
    request = Request("GET", bench.device.topic("thing/service/measurepoint/get"))
    check(dict(bench.ask(request).options).get(MAX_AGE) == b"", "the command has no Max-Age of 0")


_MORE = {
    "4": _etag,
    "6": _no_observe,
    "14": _not_kept,
    "15": _query_is_no_path,
    "17": _accepts,
    "23": lambda bench: bool(_fetched(bench)),
    "27": _blocks,
    "28": _size2,
    "60": _announced,
    "258": _deaf,
    "292": _tagged,
    "2100": _waiting,
}
for _name, (_good, _bad) in OPTIONS.items():
    _register(_name, _good, _bad)
