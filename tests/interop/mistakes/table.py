"""The table of mistakes in docs/device-guide.md: rows are made of what was seen."""

from lib.paths import GUIDE

from . import bodies, connections, identities, keys, requests

BEGIN = "<!-- Made by tests/run interop --write-table; what stands between these marks is overwritten. -->"
END = "<!-- The end of what was made. -->"
GROUPS = (keys, identities, connections, requests, bodies)


def mistakes():
    """All of them, in the order of the table."""
    return [mistake for group in GROUPS for mistake in group.MISTAKES]


def rendered(observe):
    """The tables; `observe` gives what was seen where a mistake was made."""
    lines = []
    for group in GROUPS:
        lines += [
            f"### {group.TITLE}",
            "",
            "| what was done | client | its terminal | narrowgate |",
            "|---|---|---|---|",
        ]
        lines += [_row(mistake, observe(mistake)) for mistake in group.MISTAKES]
        lines.append("")
    return "\n".join(lines).rstrip("\n")


def _row(mistake, seen):
    said = "<br>".join(
        f"`{reason}`: {_plain(detail)}" if detail else f"`{reason}`" for reason, detail in seen.entries
    )
    return f"| {mistake.what} | {mistake.client} | {seen.sees} | {said or 'nothing'} |"


def _plain(detail):
    """Words of the program in a cell, with nothing that Markdown would take for its own."""
    return "".join(f"\\{letter}" if letter in "|*_`<[\\" else letter for letter in detail)


def written():
    """What stands in the guide."""
    _, _, rest = GUIDE.read_text().partition(BEGIN)
    return rest.partition(END)[0].strip("\n")


def write(text):
    """Puts the tables into the guide."""
    before, _, rest = GUIDE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    GUIDE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
