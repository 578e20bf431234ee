"""`dmt report`: a page of one experiment, or pages of all and an index."""

import re

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def test_without_a_name_there_is_a_page_of_each_and_an_index_of_all(dmt, storage):
    said = dmt("report", "--storage", storage)
    names = sorted(folder.name for kind in ("sweeps", "ablations") for folder in (storage / kind).iterdir())
    pages = [storage / "report" / f"{name}.html" for name in names]
    assert said.splitlines() == [f"written: {file}" for file in [*pages, storage / "report" / "index.html"]]
    index = (storage / "report" / "index.html").read_text()
    assert re.findall('href="(.*?)"', index) == [file.name for file in pages]
    assert "2 of 4 trials complete, 1 failed, 1 interrupted" in index
    assert "baseline-shapes-seed0-" in index  # the run has a line, and no page
    assert all(re.findall('href="(.*?)"', file.read_text()) == ["index.html"] for file in pages)  # and back


def test_a_page_lies_in_the_storage_unless_it_is_put_elsewhere(dmt, storage):
    said = dmt("report", "components", "--storage", storage)
    assert re.fullmatch(rf"written: {storage}/report/components-shapes-\w+\.html\n", said)


def test_where_nothing_is_there_is_nothing_to_write(dmt, tmp_path, capsys):
    dmt("report", "--storage", tmp_path, status=2)
