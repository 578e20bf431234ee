"""A table of --until-decided prints the intervals of its looks, and nothing that does not know of them."""

from collections.abc import Callable

import pandas as pd
import pytest

from dmt_ray.report.figures.forest import paired_differences
from dmt_ray.report.tables.build import Table, build
from dmt_ray.results.sequential import error_of_a_look
from dmt_ray.results.statistics import paired_interval

BASELINE = {0: 0.60, 1: 0.62, 2: 0.64, 3: 0.61, 4: 0.63}
CBST = {0: 0.61, 1: 0.61, 2: 0.66, 3: 0.61, 4: 0.63}  # 1 -1 2 0 0 points above
DMT = {0: 0.70, 1: 0.721, 2: 0.739}  # 10 10.1 9.9 points above: decided after three
ERROR = error_of_a_look((3, 5), 2)


@pytest.fixture
def frame(records: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    rows = {"Baseline": BASELINE, "CBST": CBST, "DMT": DMT}
    return records({"last": rows, "val": rows}, seeds=[0, 1, 2, 3, 4], looks=[3, 5])


def rows_of(table: Table, title: str) -> dict[str, list[str]]:
    (block,) = [block for block in table.blocks if block.title == title]
    return {line[0].text: [cell.text for cell in line[1:]] for line in block.rows}


def test_a_row_is_decided_where_its_interval_excludes_0(frame: pd.DataFrame) -> None:
    rows = rows_of(build(frame), "Difference to Baseline, last")
    low, high = paired_interval([10.0, 10.1, 9.9], ERROR)[1:]
    assert rows["DMT"] == [f"+10.00 [{low:+.2f}, {high:+.2f}]", "3/3", "at 3 seeds (look 1 of 2)"]
    low, high = paired_interval([1.0, -1.0, 2.0, 0.0, 0.0], ERROR)[1:]
    assert rows["CBST"][:2] == [f"+0.40 [{low:+.2f}, {high:+.2f}]", "2/5 (2 tied)"]
    assert rows["CBST"][2].startswith("open after 5 seeds; about ")


def test_other_rules_have_the_same_intervals_and_decide_nothing(frame: pd.DataFrame) -> None:
    (block,) = [block for block in build(frame).blocks if "validation" in block.title]
    assert block.header == ("", "difference, 95 %", "wins", "best of")


def test_rows_with_fewer_seeds_lack_none(frame: pd.DataFrame) -> None:
    table = build(frame)
    assert rows_of(table, "mIoU (%)")["DMT"][0] == "72.00 ± 1.95 (n=3)"
    assert not any(block.notes or block.commands for block in table.blocks)


def test_the_caption_says_what_the_looks_were(frame: pd.DataFrame) -> None:
    text = " ".join(build(frame).caption)
    assert "at looks fixed beforehand: after 3 and 5 seeds" in text
    assert f"an error of {ERROR:.2g} a look and row" in text
    assert "Holm" not in text
    assert "Bold" not in text


def test_a_forest_plot_has_the_intervals_of_the_table(frame: pd.DataFrame) -> None:
    found = {one.row: one for one in paired_differences(frame, "1/8")}
    assert found["CBST"].paired == pytest.approx(paired_interval([0.01, -0.01, 0.02, 0.0, 0.0], ERROR))
    assert not found["CBST"].pooled.known
