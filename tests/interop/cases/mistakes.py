"""The commonest mistakes, made with clients that we did not write: what both sides read, and the guide's
table.
"""

import difflib
import re
from concurrent.futures import ThreadPoolExecutor

from interop.harness import case, check
from interop.mistakes import Workshop, table

_workshop = Workshop()


def _register(mistake):
    @case(f"a mistake: {mistake.what} ({mistake.client})")
    def _made(world):
        seen = _workshop.observe(mistake, world)
        check(
            seen.sees == mistake.sees,
            f"the client's terminal says {seen.sees}, expected {mistake.sees}: {seen}",
        )
        reasons = [reason for reason, _ in seen.entries]
        check(
            reasons == ([mistake.reason] if mistake.reason else []), f"not {mistake.reason}: {seen.entries}"
        )
        for _, detail in seen.entries:
            check(re.search(mistake.words, detail), f"the detail does not say {mistake.words!r}: {detail}")


for _mistake in table.mistakes():
    _register(_mistake)


def seen_table(world, jobs=3):
    """The table as it should be; makes the mistakes that were not made yet."""
    with ThreadPoolExecutor(jobs) as pool:
        seen = {id(m): pool.submit(_workshop.observe, m, world) for m in table.mistakes()}
        return table.rendered(lambda mistake: seen[id(mistake)].result())


@case("a mistake: the table in docs/device-guide.md is what was seen")
def _table(world):
    old, new = table.written().splitlines(), seen_table(world).splitlines()
    difference = "\n".join(difflib.unified_diff(old, new, "docs/device-guide.md", "seen", lineterm="", n=0))
    check(not difference, f"tests/run interop --write-table writes it anew\n{difference}")
