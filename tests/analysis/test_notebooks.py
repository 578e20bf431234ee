"""Every notebook, top to bottom, on the records of a small real ablation and a small real sweep."""

import json
import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.paths import ROOT

FOLDER = ROOT / "analysis"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_all_notebooks_are_here():
    assert [path.stem for path in NOTEBOOKS] == [
        *("ablation_tables", "disagreement", "gamma_landscape", "pseudo_label_quality", "search_report"),
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_holds_no_plumbing(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            assert not any(line.startswith(("def ", "class ")) for line in cell["source"])


def test_outputs_are_stripped_and_a_commit_waits_for_it(tmp_path):
    notebook = nbformat.read(NOTEBOOKS[0], as_version=4)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cell.execution_count, cell.outputs = 3, [nbformat.v4.new_output("stream", text="a secret")]
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    strip = [sys.executable, str(FOLDER / "strip.py"), str(tmp_path / "mine.ipynb")]
    assert subprocess.run(strip, capture_output=True).returncode == 1
    assert "secret" not in (tmp_path / "mine.ipynb").read_text(encoding="utf-8")
    assert subprocess.run(strip, capture_output=True).returncode == 0


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_top_to_bottom(path, small_ablation, small_sweep, monkeypatch):
    storage = small_ablation[0].parents[1]
    assert small_sweep.parents[1] == storage
    monkeypatch.setenv("DMT_STORAGE", str(storage))
    monkeypatch.setenv("DMT_ABLATION", "small")
    monkeypatch.setenv("DMT_SWEEP", small_sweep.name)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert pictures, "a notebook without a picture"
    assert os.environ["DMT_STORAGE"] == str(storage)
