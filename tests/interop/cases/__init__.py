"""The cases, by theme. Importing a module registers its cases: in the order of running, the slowest first."""

from . import vanished, profiles, lossy, presence, story, story_in_bytes, suites, relayed  # noqa: F401, I001
from . import variants, refusals, life  # noqa: F401, I001
from . import upstream, operation, removal  # noqa: F401, I001
from . import served_codes, served_options, served_topics, served_short, served_raw, cbor  # noqa: F401, I001
from . import served_firmware  # noqa: F401, I001
from . import addresses, commands, plain, terminal, papers, mistakes, demo, readme  # noqa: F401, I001
from . import watching, https, login  # noqa: F401, I001
