"""Where the checkout is, and real images for tests."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The product itself never looks there; `.ci/run` sets it.
REAL = Path(os.environ.get("DMT_DATA") or os.devnull)
