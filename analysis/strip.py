"""Remove the outputs of notebooks, which the repository does not keep.

    python analysis/strip.py            all notebooks of this folder
    python analysis/strip.py FILE ...   these; as a pre-commit hook

Exit status 1 if a notebook had outputs, so that a commit waits until the stripped one is added.
"""

import sys
from pathlib import Path

import nbformat


def strip(path: Path) -> bool:
    """Remove outputs and execution counts from a notebook; whether there were any."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    full = [c for c in notebook.cells if c.cell_type == "code" and (c.outputs or c.execution_count is not None)]
    for cell in full:
        cell.outputs, cell.execution_count = [], None
    if full:
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    return bool(full)


def main() -> int:
    """Strip what the command line names."""
    paths = [Path(name) for name in sys.argv[1:]] or sorted(Path(__file__).parent.glob("*.ipynb"))
    stripped = [path for path in paths if strip(path)]
    for path in stripped:
        print(f"removed the outputs of {path}")
    return 1 if stripped else 0


if __name__ == "__main__":
    sys.exit(main())
