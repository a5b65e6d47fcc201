"""Looks for a word that the server answers otherwise than the hypothesis does.

A W-method: from every state every input, two of them with `depth` 2, and then words that tell the states of a
handshake apart. After it random walks from every state, seeded. Nothing is asked twice: answers are kept.
"""

import itertools
import random

from aalpy.base import Oracle

WALK_LENGTH = 10
# Whoever knows the protocol finds states by these; a walk at random takes the right steps in order too
# seldom.
TELLING = [
    "CKE CCS FIN APP ALERT_CLOSE APP CH",
    "CCS FIN APP",
    "FIN CCS APP",
    "CH CKE CCS",
    "HELLO_AGAIN CKE CCS FIN APP",
    "CKE_UNKNOWN CCS FIN",
    "TICK CKE CCS FIN",
    "TICK CCS FIN APP",
    "TICK TICK CH",
]


class Thorough(Oracle):
    """See the module."""

    def __init__(self, words, subject, depth, walks, seed):
        super().__init__(words, subject)
        self._depth, self._walks, self._random, self._answers = depth, walks, random.Random(seed), {}
        telling = [tuple(letter for letter in line.split() if letter in words) for line in TELLING]
        self._telling = list(dict.fromkeys(word for word in telling if word))

    def find_cex(self, hypothesis):
        """The shortest beginning of a word that shows a difference, or None."""
        for word in itertools.chain(self._systematic(hypothesis), self._walk(hypothesis)):
            answers = self._ask(word)
            hypothesis.reset_to_initial()
            for length, (letter, answer) in enumerate(zip(word, answers), 1):
                if hypothesis.step(letter) != answer:
                    return word[:length]
        return None

    def _systematic(self, hypothesis):
        for middle in range(self._depth + 1):
            for state in hypothesis.states:
                for letters in itertools.product(self.alphabet, repeat=middle):
                    for telling in self._telling:
                        yield (*state.prefix, *letters, *telling)

    def _walk(self, hypothesis):
        for state in hypothesis.states:
            for _ in range(self._walks):
                yield (*state.prefix, *self._random.choices(self.alphabet, k=WALK_LENGTH))

    def _ask(self, word):
        if word not in self._answers:
            self.num_queries += 1
            self.num_steps += len(word)
            self.sul.pre()
            self._answers[word] = [self.sul.step(letter) for letter in word]
            self.sul.post()
        return self._answers[word]
