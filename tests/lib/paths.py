"""Where things are: the tree, the tests, and what `tests/run install` has put there."""

import os
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
GUIDE = ROOT / "docs" / "device-guide.md"
TOOLS = Path(os.environ.get("NARROWGATE_TEST_TOOLS", TESTS / ".tools"))
