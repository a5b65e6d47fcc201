"""The cases, by theme. Importing a module registers its cases: in the order of running, the slowest first."""

from . import presence, suites, relayed, variants, refusals, life, upstream, operation  # noqa: F401, I001
from . import addresses, commands, terminal, papers, mistakes, demo  # noqa: F401, I001
