"""Short paths of the guide's table, by aiocoap with cbor2: what each is for, and its bad input."""

from dataclasses import replace

from interop.harness import case, check
from interop.peers import cbor2_codec
from interop.served import ACCEPT, BODY_BYTES_MAX, CBOR, COMMAND_WAITING, IF_MATCH, Bench, row
from lib.coap import Request

SHORT_COMMAND_WAITING = 2104
TIME = 1_700_000_000_000


class Short(Bench):
    """A bench whose product has short paths, and the numbers of its thing model."""

    def __init__(self, gateway, **how):
        super().__init__(gateway, **how)
        key = self.product.product_key
        gateway.json("product", "update", key, "--short-paths", "on")
        model = gateway.json("model", "show", key)
        kinds = ("attributes", "measurepoints", "events", "services")
        self.numbers = {one["identifier"]: one["number"] for kind in kinds for one in model[kind]}
        for element in (*model["events"], *model["services"]):
            for parameter in (*element.get("outputData", ()), *element.get("inputData", ())):
                self.numbers[parameter["identifier"]] = parameter["number"]

    def body(self, expression):
        """A Python expression in CBOR; `temp` and the other identifiers stand for their numbers."""
        for name, number in self.numbers.items():
            expression = expression.replace(f"<{name}>", str(number))
        return cbor2_codec.encode_python(expression)

    def post(self, path, expression, **how):
        """The answer to a POST of an expression."""
        return self.ask(Request("POST", path, self.body(expression), CBOR), **how)

    def succeed(self, path, expression):
        """A POST that succeeds: 2.04 without a payload."""
        response = self.post(path, expression)
        check((response.code, response.payload) == ("2.04", b""), f"{path} {expression}: {response}")
        return response

    def waits(self, response):
        """Whether an answer says that a command waits, and by no long option."""
        numbers = [number for number, _ in response.options]
        check(COMMAND_WAITING not in numbers, f"a short path was answered {response}")
        return SHORT_COMMAND_WAITING in numbers


def decoded(response):
    """The value of an answer; keys that are numbers come as text."""
    check(response.content_format == CBOR, f"it is not CBOR: {response}")
    return cbor2_codec.decode(response.payload)


def _register(name):
    """Registers the case of a short path: `try_it(bench)` gives the answer to what is right, the request, and
    pairs of a bad body and (code, beginning of the words).
    """

    def register(try_it):
        test = f"topic {name}"

        @case(test)
        def _topic(world):
            with Short(world.gateway) as bench:
                good, request, faults = try_it(bench)
                codes = [*_bad_requests(bench, request), *(_fault(bench, request, one) for one in faults)]
            said = row(test).cells
            check(said[3] == good.code, f"the guide says that it is answered {said[3]}, and it was {good}")
            seen = " ".join(sorted(set(codes), key=lambda code: ("." not in code, len(code), code)))
            check(said[4] == seen, f"the guide says that bad input is {said[4]}, and it was {seen}")

        return try_it

    return register


def _bad_requests(bench, request):
    """Makes what is wrong with method, path, options and format; gives the codes."""
    is_post = request.method == "POST"
    wrong = [
        (replace(request, method="PUT"), (), "4.05"),
        (replace(request, path=request.path + "/"), (), "4.04"),
        (request, ((IF_MATCH, b"tag"),), "4.12"),
        (request, ((ACCEPT, b"\x32"),), "4.06"),
        (request, ((39, b"coap"),), "5.05"),
        (request, ((2101, b"x"),), "4.02"),
        (request, ((27 if is_post else 23, b"\x07"),), "4.00"),
    ]
    if is_post:
        long = b"\x78" + b"x" * BODY_BYTES_MAX
        wrong += [(replace(request, content_format=number), (), "4.15") for number in (50, 0, 42)]
        for body in (b"\xff", b"\xa1\x01", b"{}", b"7"):
            wrong.append((replace(request, payload=body), (), "4.00"))
        wrong += [(replace(request, payload=request.payload[:-1]), (), "4.00")]
        wrong += [(replace(request, payload=request.payload + b"\0"), (), "4.00")]
        wrong += [(replace(request, payload=long), (), "4.13")]
    if request.path != "/c" and is_post:
        wrong += [(replace(request, method="GET", payload=b""), (), "4.05")]
    for bad, options, code in wrong:
        response = bench.ask(bad, options, blockwise=not options)
        check(response.code == code, f"{bad} with {options} was answered {response}, not {code}")
        check(not response.payload or code == "4.02", f"{bad} was answered {response}")
        yield code


def _fault(bench, request, fault):
    """Makes a bad body; gives its code."""
    expression, (code, words) = fault
    response = bench.post(request.path, expression)
    if isinstance(code, str):
        check((response.code, response.payload) == (code, b""), f"{expression} was answered {response}")
        return code
    said = decoded(response)
    is_right = said[0] == code and said[1].startswith(words)
    check(is_right, f"{expression} was answered {said}, not {code} {words}")
    check(response.code == "2.04" and len(said) == 2, f"{expression} was answered {response}")
    return str(code)


_SECONDS = TIME // 1000
_POINT_FAULTS = (
    ("{}", (1204, "has 0 points")),
    ("{<temp>: '21.5'}", (1204, "/temp: must be a number")),
    ("{<count>: 1.5}", (1204, "/count: must be an integer of 32 bits")),
    ("{60000: 1}", (1204, "/60000: the thing model has no point")),
    ("{<size>: 1}", (1204, "/")),
    ("{'other': 1}", (1204, "/other: ")),
    ("{<temp>: {1: 2}}", (1204, "/1: a key inside of a value")),
    ("{<temp>: 1, 'temp': 2}", ("4.00", "")),
    ("{1.5: 1}", ("4.00", "")),
    (f"[{_SECONDS}, {{<temp>: 1}}]", (1204, "/0: looks like seconds")),
    ("[-1, {<temp>: 1}]", (1204, "/0: must be an unsigned integer")),
    (f"[{TIME}, 7]", (1204, "/1: must be an object")),
    (f"[{TIME}]", (1200, "must be a map, [ms, map]")),
    ("[]", (1206, "has 0 elements")),
    (f"[[{TIME}, {{<temp>: 1}}], [{TIME}]]", (1206, "/1: an element of a batch")),
    (f"[[{TIME}, {{<temp>: 1}}], [{TIME}, {{<temp>: '2'}}]]", (1204, "/1/1/temp: must be a number")),
)


def _points(path):
    @_register(path)
    def _report(bench):
        read = lambda: bench.shown("points", "--from", "0", "--limit", "1000")  # noqa: E731
        expressions = (
            "{<temp>: 21.5, <count>: 7}",
            f"[{TIME}, {{<temp>: 21.5, 'count': 7}}]",
            f"[[{TIME}, {{'temp': 21.5}}], [{TIME + 1}, {{<count>: 7}}]]",
        )
        for expression in expressions:
            good = bench.succeed(path, expression)
        stored = sorted((point["point"], point["value"]) for point in read())
        check(stored == [("count", 7)] * 3 + [("temp", 21.5)] * 3, f"the operator reads {stored}")
        return good, Request("POST", path, bench.body(expressions[0]), CBOR), _POINT_FAULTS


_points("/p")
_points("/r")


@_register("/a")
def _attributes(bench):
    good = bench.succeed("/a", "{<size>: 1.5, 'serial': 'A7'}")
    check(bench.shown("attributes") == {"size": 1.5, "serial": "A7"}, "the operator reads something else")
    number = {name: str(bench.numbers[name]) for name in ("size", "serial")}
    for asked, said in (
        ("[]", {number["size"]: 1.5, number["serial"]: "A7"}),
        ("[<size>]", {number["size"]: 1.5}),
        ("['serial', <size>]", {number["size"]: 1.5, number["serial"]: "A7"}),
        ("[60000, 'none']", {}),
    ):
        answer = bench.post("/a", asked)
        check((answer.code, decoded(answer)) == ("2.04", said), f"{asked} was answered {answer}")
    faults = (
        ("{}", (1207, "has 0 attributes")),
        ("{<size>: 'large'}", (1204, "/size: must be a number")),
        ("{<temp>: 1}", (1204, "/")),
        ("{<size>: 1, 'size': 2}", ("4.00", "")),
        ("[None]", (1208, "/0: must be a string")),
        ("{<serial>: 'x' * 4090, <place>: 'y' * 4090}", (1008, "")),
    )
    return good, Request("POST", "/a", bench.body("{<size>: 1.5}"), CBOR), faults


@_register("/e/{n}")
def _event(bench):
    path = f"/e/{bench.numbers['tilted']}"
    for expression in ("{<angle>: 7.5}", f"[{TIME}, {{'angle': 7.5}}]", "{}"):
        good = bench.succeed(path, expression)
    events = [(event["event"], event["output"]) for event in bench.shown("events")]
    check(events.count(("tilted", {"angle": 7.5})) == 2 and len(events) == 3, f"the operator reads {events}")
    for wrong in ("/e/0", "/e/07", "/e/70000", "/e/tilted"):
        check(bench.post(wrong, "{}").code == "4.04", f"{wrong} is there")
    unknown = decoded(bench.post(f"/e/{bench.numbers['temp']}", "{}"))
    check(unknown[0] == 1204, f"the number of a point is that of an event: {unknown}")
    faults = (
        ("{<angle>: 'steep'}", (1204, "/angle: must be a number")),
        ("{60000: 1}", (1204, "/60000: event tilted has no parameter")),
        ("{<angle>: 1, 'angle': 2}", ("4.00", "")),
        (f"[{TIME}, [1]]", (1204, "/1: must be an object")),
        ("[1]", (1200, "must be a map")),
    )
    return good, Request("POST", path, bench.body("{<angle>: 7.5}"), CBOR), faults


def _commands(bench):
    """One command of each kind, oldest first, and what the device gets of it; gives their ids."""
    check(not bench.waits(bench.succeed("/p", "{<temp>: 1}")), "a command waits that nobody has sent")
    number = bench.numbers
    call = [3, number["restart"], {str(number["delay"]): 5}]
    sent = (
        (("--set", '{"temp":30.5}'), [1, {str(number["temp"]): 30.5}]),
        (("--get", "count,temp"), [2, [number["count"], number["temp"]]]),
        (("--service", "restart", "--input", '{"delay":5}'), call),
    )
    return [(int(bench.send(*what)), command) for what, command in sent]


@_register("GET /c")
def _fetch(bench):
    request = Request("GET", "/c")
    sent = _commands(bench)
    check(bench.waits(bench.succeed("/p", "{<temp>: 1}")), "nothing says that a command waits")
    check(bench.waits(bench.ask(replace(request, path="/p"))), "a refusal does not say that a command waits")
    long = bench.tell("thing/attribute/query", {"attributes": []})
    check(COMMAND_WAITING in dict(long.options), f"a long topic was answered {long}")
    for place, (number, command) in enumerate(sent):
        # The same GET gets the same command.
        good, again = bench.ask(request), bench.ask(request)
        check(decoded(good) == decoded(again) == [number, *command], f"it got {good} and {again}")
        check(bench.waits(good) == (place < len(sent) - 1), f"of those that wait it says {good}")
        bench.succeed("/c", f"[{number}, 200, {{}}]")
    check(bench.ask(request).code == "4.04", "something waits")
    observed = bench.ask(request, ((6, b""),), blockwise=False)
    check(6 not in dict(observed.options), f"it can be observed: {observed}")
    return good, request, ()


@_register("/o")
def _firmware(bench):
    good = bench.succeed("/o", "{'version': '1.0'}")

    def faults():
        yield "{'step': 5}", (764, "no upgrade is offered")
        image, _ = bench.offer()
        yield "{'step': 5}", (765, "the upgrade has not begun")
        number, kind, params = decoded(bench.ask(Request("GET", "/c")))
        check((kind, params["fileUrl"], params["version"]) == (4, f"/f/{image}", "2.0"), f"it got {params}")
        bench.succeed("/c", f"[{number}, 200]")
        bench.succeed("/o", "{'step': 5, 'desc': 'on its way'}")
        yield "{'step': 101}", (1204, "/step: must be an integer from -5 to 100")
        yield "{'step': 5, 'desc': 7}", (1204, "/desc: must be a text")
        yield "{'version': 2}", (1204, "/version: must be a text")
        for form in ("{}", "[]", "{'step': 5, 'version': '2.0'}"):
            yield form, (1200, "must be a map with version, or with step")
        yield "{'version': '2.0', 5: 1}", (1204, "/5: a key here is a text")
        bench.succeed("/o", "{'version': '2.0'}")

    return good, Request("POST", "/o", bench.body("{'version': '1.0'}"), CBOR), faults()


@_register("/f/{imageId}")
def _image(bench):
    bench.succeed("/p", "{<temp>: 1}")
    image, _ = bench.offer(b"short" * 1000)
    request = Request("GET", f"/f/{image}")
    good = bench.ask(request)
    check((good.payload, good.content_format) == (b"short" * 1000, 42), f"it got {good}")
    check(bench.waits(good), f"it does not say that a command waits: {good}")
    for wrong in ("/f/none", "/f/AAAAAAAA"):
        check(bench.ask(replace(request, path=wrong)).code == "4.04", f"{wrong} is there")
    return good, request, ()


@_register("POST /c")
def _reply(bench):
    def shown(number):
        return bench.gateway.json("command", "show", *bench.device.names, str(number))

    sent = _commands(bench)
    faults = (
        ("{}", ("4.00", "")),
        ("[]", (1200, "must be [id, code, data]")),
        ("['20', 200, {}]", (1200, "/0: ")),
        ("[20, 'done', {}]", (1200, "/1: must be an integer")),
        ("[20, 2.5]", (1200, "/1: must be an integer")),
    )
    check(bench.ask(Request("GET", "/c")).code == "2.05", "the command is not handed out")
    request = Request("POST", "/c", bench.body(f"[{sent[0][0]}, 200, {{}}]"), CBOR)
    for bad in faults:
        _fault(bench, request, bad)
    bench.succeed("/c", "[1, 200]")
    check(shown(sent[0][0])["state"] == "sent", f"bad replies have made of it {shown(sent[0][0])}")
    good = bench.succeed("/c", f"[{sent[0][0]}, 200]")
    check(shown(sent[0][0])["state"] == "succeeded", f"the operator reads {shown(sent[0][0])}")
    bench.ask(Request("GET", "/c"))
    twice = bench.post("/c", f"[{sent[1][0]}, 200, {{<temp>: 1, 'temp': 2}}]")
    check(twice.code == "4.00", f"a point twice was answered {twice}")
    bench.succeed("/c", f"[{sent[1][0]}, 0, {{<temp>: 21.5, 'more': [1]}}]")
    data = shown(sent[1][0])["data"]
    check(data == {"temp": 21.5, "more": [1]}, f"the operator reads {data}")
    bench.ask(Request("GET", "/c"))
    bench.succeed("/c", f"[{sent[2][0]}, 2001]")
    last = shown(sent[2][0])
    check((last["state"], last["code"]) == ("failed", 2001), f"the operator reads {last}")
    return good, request, faults


@case("short paths: a product without the switch answers 4.04, at once when it is switched off")
def _switched_off(world):
    with Short(world.gateway) as bench:
        bench.succeed("/p", "{<temp>: 1}")
        bench.gateway.json("product", "update", bench.product.product_key, "--short-paths", "off")
        for path in ("/p", "/r", "/a", "/e/1", "/c", "/o"):
            response = bench.post(path, "{<temp>: 1}")
            check((response.code, response.payload) == ("4.04", b""), f"{path} was answered {response}")
        check(bench.ask(Request("GET", "/c")).code == "4.04", "it still answers")
