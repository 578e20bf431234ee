"""The notebooks of analysis/ as pages: executed when the site is built, since the repository keeps no outputs."""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

from docs.hooks.reference import ROOT

FOLDER = ROOT / "analysis"
EXAMPLE = ROOT / "runs" / "docs"  # what `make docs` computes; the variable DMT_STORAGE names another folder
NOTE = """
!!! note "What you see here"
    This notebook ran while the site was built, on the small example that `make docs` computes first. The pictures show
    what the notebook draws, not what the methods are worth. Open it on your own results with `make notebooks`.
"""


def pages() -> Iterator[tuple[str, str | bytes]]:
    """Path below docs/ -> content, of every notebook's page and its pictures.

    Raises:
        FileNotFoundError: If the example's results are not there.
    """
    storage = Path(os.environ.setdefault("DMT_STORAGE", str(EXAMPLE)))
    if not storage.is_dir():
        raise FileNotFoundError(f"{storage} is missing: `make docs` computes the notebooks' example before the site")
    for path in sorted(FOLDER.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        quiet = ["--IPKernelApp.log_level=ERROR"]  # it warns that what stays on 127.0.0.1 is not encrypted
        where = {"metadata": {"path": str(FOLDER)}}
        NotebookClient(notebook, timeout=600, resources=where, extra_arguments=quiet).execute()
        for cell in notebook.cells:  # warnings of libraries, with paths of this machine
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        text, resources = MarkdownExporter().from_notebook_node(  # type: ignore[no-untyped-call]
            notebook, {"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
        )
        yield f"notebooks/{path.stem}.md", _with_note(text)
        for name, content in resources["outputs"].items():
            yield f"notebooks/{name}", content


def _with_note(text: str) -> str:
    """The page with its note below the title; links that lead from analysis/ into docs/ lead from notebooks/ there."""
    title, _, rest = text.lstrip().partition("\n")
    return f"{title}\n{NOTE}\n{rest}".replace("](../docs/", "](../")


def titles() -> list[str]:
    """Names of the notebooks, in the order of the menu."""
    return [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]
