"""A curve and no search: this is `dmt ablate reversal`, under its earlier name."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).parents[1] / "ablations" / "reversal.py"), run_name="__main__")
