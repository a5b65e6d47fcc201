"""A learned machine: states by what they mean, a text that a person can read, and what has to hold of it."""

from collections import deque

FINISHED, SERVER_FLIGHT, REFUSED = (
    "CCS+Finished",
    "ServerHello+ServerHelloDone",
    "fatal decrypt_error in epoch 0",
)
ESSENTIAL = ["CH0", "CH", "CKE", "CCS", "FIN"]
PATHS_MAX = 100_000

# What a handshake waits for, by the first of these words that ends with this answer. None: see `Model._name`.
_PHASES = [
    ("CCS", FINISHED, "awaits CCS, Finished kept"),
    ("CCS", REFUSED, "awaits CCS, wrong Finished kept"),
    ("FIN", FINISHED, "awaits Finished"),
    ("CCS FIN", FINISHED, "awaits CCS"),
    ("CKE CCS", FINISHED, "awaits ClientKeyExchange, Finished kept"),
    ("CKE CCS", REFUSED, "awaits ClientKeyExchange, wrong Finished kept"),
    ("CKE CCS FIN", FINISHED, "awaits ClientKeyExchange"),
    ("HELLO_AGAIN", SERVER_FLIGHT, None),
    ("CH", SERVER_FLIGHT, "no handshake, cookie known"),
    ("CH", "HelloVerifyRequest", "no handshake, no cookie"),
]


class Model:
    """States are numbers, 0 is the start; `table[state][word]` is (answer, next state)."""

    def __init__(self, words, table):
        self.words, self.table = words, table
        self.access = self._shortest()
        self.names = self._names()

    @classmethod
    def of(cls, automaton, words):
        """From AALpy's Mealy machine; states are numbered by breadth first search, so that the text is
        stable.
        """
        numbers, queue, table = {automaton.initial_state: 0}, deque([automaton.initial_state]), []
        while queue:
            state, row = queue.popleft(), {}
            for word in words:
                following = state.transitions[word]
                if following not in numbers:
                    numbers[following] = len(numbers)
                    queue.append(following)
                row[word] = (state.output_fun[word], numbers[following])
            table.append(row)
        return cls(words, table)

    def run(self, state, words):
        """Answer to the last word, and the state after it."""
        answer = None
        for word in words:
            answer, state = self.table[state][word]
        return answer, state

    def is_connected(self, state):
        """Whether application data is answered here."""
        return self.table[state]["APP"][0] == "answer"

    def _shortest(self):
        access, queue = {0: []}, deque([0])
        while queue:
            state = queue.popleft()
            for word in self.words:
                following = self.table[state][word][1]
                if following not in access:
                    access[following] = access[state] + [word]
                    queue.append(following)
        return access

    def _names(self):
        names, taken = {}, {}
        for state in sorted(self.access):
            name = self._name(state)
            taken[name] = taken.get(name, 0) + 1
            names[state] = name if taken[name] == 1 else f"{name} ({taken[name]})"
        return names

    def _name(self, state):
        connected = self.is_connected(state)
        hello = self.table[state]["CH"][0]
        if connected and self.table[state]["FIN"] == (FINISHED, state):
            return "connected" if hello == "-" else "connected, cookie forgotten"
        known = [name for words, answer, name in _PHASES if self._says(state, words.split(), answer)]
        phase = known[0] if known else None
        if phase is None:
            over = hello == SERVER_FLIGHT
            phase = "refused or closed, cookie known" if over else "holds a decoy key, which no Finished fits"
        if "TICK" in self.access[state] and phase.startswith("awaits"):
            repeated = "ClientKeyExchange" in phase and hello == "-"
            phase += ", old" + (", flight repeated on demand" if repeated else "")
        return ("connected; new handshake: " if connected else "") + phase

    def _says(self, state, words, answer):
        return all(word in self.words for word in words) and self.run(state, words)[0] == answer

    def text(self):
        """One paragraph per state: how to get there, what moves or answers, and in one line what does
        neither.
        """
        lines = []
        for state in sorted(self.access):
            lines.append(f"{self.names[state]}    [{' '.join(self.access[state]) or 'start'}]")
            groups, silent = {}, []
            for word in self.words:
                answer, following = self.table[state][word]
                if answer == "-" and following == state:
                    silent.append(word)
                else:
                    groups.setdefault((following, answer), []).append(word)
            for (following, answer), words in groups.items():
                where = "stays" if following == state else f"-> {self.names[following]}"
                lines.append(f"  {' '.join(words)}: {'silence' if answer == '-' else answer}, {where}")
            lines.append(f"  ignored: {' '.join(silent) or 'nothing'}")
            lines.append("")
        return "\n".join(lines)

    def paths(self):
        """Words of all ways from the start to the first connected state that visit no state twice."""
        found, stack = [], [(0, [], {0})]
        while stack and len(found) < PATHS_MAX:
            state, words, seen = stack.pop()
            if self.is_connected(state):
                found.append(words)
                continue
            for word in self.words:
                following = self.table[state][word][1]
                if following not in seen:
                    stack.append((following, words + [word], seen | {following}))
        return found

    def reaches(self, start, forbidden=(), barred=()):
        """Whether a connected state can be reached from `start` without these words and not through these
        states.
        """
        seen, queue = {start}, deque([start])
        while queue:
            state = queue.popleft()
            if self.is_connected(state):
                return True
            for word in self.words:
                following = self.table[state][word][1]
                if word not in forbidden and following not in seen and following not in barred:
                    seen.add(following)
                    queue.append(following)
        return False


def check_paths(model):
    """Exactly one way in. Gives what is wrong, in sentences.

    Of all ways that visit no state twice (so without loops and steps back), each has to consist of CH0, CH,
    CKE, CCS and FIN, once each and in this order; only the Finished may overtake what stands between it and
    the ClientHello, as on a network (RFC 6347, section 4.2.2: a message that is ahead may be kept). And
    without any one of the five words, whatever else is said and however often, nobody gets in.
    """
    wrong, paths = [], model.paths()
    for words in paths:
        others = [word for word in words if word != "FIN"]
        if others != ESSENTIAL[:-1] or words.count("FIN") != 1 or words.index("FIN") < 2:
            wrong.append(f"another way in: {' '.join(words)}")
    if ESSENTIAL not in paths:
        wrong.append("the way of the RFC does not lead in")
    wrong += [f"there is a way in without {word}" for word in ESSENTIAL if model.reaches(0, forbidden=[word])]
    return wrong


def check_decoy(model, stranger):
    """An unknown identity never gets in, and looks like a wrong key. `stranger`: learned with a wrong key."""
    wrong = []
    fresh = model.run(0, ["CH0", "CH"])[1]
    said, unknown = model.run(fresh, ["CKE_UNKNOWN"])
    said_to_wrong_key, wrong_key = stranger.run(0, ["CH0", "CH", "CKE"])
    if said != said_to_wrong_key:
        wrong.append(
            f"{said} to the key exchange of an unknown identity, {said_to_wrong_key} to that of a wrong key"
        )
    if model.reaches(unknown, barred=[fresh, 0, model.run(0, ["CH0"])[1]]):
        wrong.append("an unknown identity gets in without a new handshake")
    if stranger.reaches(0):
        wrong.append("a wrong key gets in")
    return wrong + _differences(model, unknown, stranger, wrong_key)


def _differences(model, unknown, stranger, wrong_key):
    """Where the two answer differently, whatever is said; a new handshake is another matter."""
    seen, queue = {(unknown, wrong_key)}, deque([(unknown, wrong_key, [])])
    while queue:
        left, right, words = queue.popleft()
        for word in model.words:
            if word == "HELLO_AGAIN":
                continue
            answers = model.table[left][word][0], stranger.table[right][word][0]
            if answers[0] != answers[1]:
                said = " ".join([*words, word])
                return [f"{said}: {answers[0]} to an unknown identity, {answers[1]} to a wrong key"]
            pair = model.table[left][word][1], stranger.table[right][word][1]
            if pair not in seen:
                seen.add(pair)
                queue.append((*pair, [*words, word]))
    return []
