"""The site as a whole: built as `make docs` builds it, on the results of a small ablation and a small sweep."""

import os
import re
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT

# What a browser would fetch by itself, as opposed to links that a reader may follow.
FETCHED = re.compile(r"""<(?:script|img|iframe|link rel="(?:stylesheet|preconnect|preload)")[^>]*https?://[^>]*>""")


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_fetches_nothing(small_ablation, small_sweep, tmp_path):
    pytest.importorskip("mkdocstrings", reason="needs the extra `docs`")
    variables = {"DMT_STORAGE": small_ablation[0].parents[1], "DMT_ABLATION": "small", "DMT_SWEEP": small_sweep.name}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "options.html", "gamma_landscape.html", "plan.html"} <= {page.name for page in pages}
    assert [page.name for page in pages if FETCHED.search(page.read_text(encoding="utf-8"))] == []
    assert "<!-- generated" not in "".join(page.read_text(encoding="utf-8") for page in pages)
