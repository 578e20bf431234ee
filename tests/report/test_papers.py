"""The papers' numbers against the papers' own sums and sentences: a misread digit breaks one of them."""

import math
from typing import get_args

import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.report.papers import FOLDER, Selection, about, paper_ids, paper_table


def value(table: str, row: str, column: str) -> float:
    cells = paper_table(table)
    return float(cells[(cells["row"] == row) & (cells["column"] == column)]["value"].item())


def cells(table: str) -> dict[tuple[str, str], float]:
    return {(cell.row, cell.column): cell.value for cell in paper_table(table).itertuples()}


def difference(table: str, upper: str, lower: str, column: str) -> float:
    return round(value(table, upper, column) - value(table, lower, column), 3)


@pytest.mark.parametrize("id", paper_ids())
class TestEveryTable:
    def test_is_a_file(self, id: str) -> None:
        assert (FOLDER / f"{id}.csv").read_text(encoding="utf-8").startswith("row,column,value,sd,note\n")

    def test_has_its_columns_and_types(self, id: str) -> None:
        table = paper_table(id)
        assert list(table) == ["row", "column", "value", "sd", "note"]
        assert [table[column].dtype.kind for column in ("value", "sd")] == ["f", "f"]
        assert all(isinstance(text, str) for column in ("row", "column", "note") for text in table[column])

    def test_has_one_number_a_cell(self, id: str) -> None:
        table = paper_table(id)
        assert len(table) > 0
        assert not table.duplicated(["row", "column"]).any()
        assert all(name and name == name.strip() for column in ("row", "column") for name in table[column])

    def test_lies_within_its_unit(self, id: str) -> None:
        for cell in paper_table(id).itertuples():
            highest = 1 if about(id).unit_of(cell.column) == "fraction" else 100
            assert math.isfinite(cell.value)
            assert 0 < cell.value < highest
            assert math.isnan(cell.sd) or 0 < cell.sd < 0.05 * highest

    def test_is_described(self, id: str) -> None:
        table = about(id)
        assert table.selection in get_args(Selection)
        assert table.unit in ("percent", "fraction")
        assert set(table.fraction_columns) <= set(paper_table(id)["column"])
        texts = (table.paper, table.authors, table.published, table.number, table.caption, table.metric, table.data)
        assert all((*texts, table.network, table.repeats, table.spread, table.remarks))
        assert table.year is None or 2020 <= table.year <= 2024

    def test_says_what_its_spread_is(self, id: str) -> None:
        assert paper_table(id)["sd"].notna().any() == (not about(id).spread.startswith("none"))


def test_every_file_is_described() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.csv")) == sorted(paper_ids())


def test_all_tables_of_the_papers_are_there() -> None:
    counted = {"pets": [1], "dmt": range(2, 10), "rml": range(1, 6), "rwms": range(1, 6)}
    assert {f"{paper}-{number}" for paper, numbers in counted.items() for number in numbers} <= set(paper_ids())


def test_the_number_of_a_table_is_that_of_its_name() -> None:
    for id in paper_ids():
        paper, *kind, number = id.split("-")
        expected = "none" if paper == "later" else f"{'Figure' if kind else 'Table'} {number}"
        assert about(id).number == expected


def test_a_table_nobody_knows_is_an_error_that_names_the_nearest() -> None:
    for read in (about, paper_table):
        with pytest.raises(ConfigError, match=r"no table 'dmt9' of a paper; did you mean 'dmt-9'\?"):
            read("dmt9")


def test_a_table_may_be_changed_without_changing_the_next_one_read() -> None:
    table = paper_table("dmt-9")
    table["value"] = 0.0
    assert value("dmt-9", "DMT", "1/20") == 70.16


def test_the_rows_keep_the_papers_order() -> None:
    rows = ["Baseline", "Online ST", "CBST", "DST", "DMT-Naive", "DMT", "DMT-Flip"]
    assert list(dict.fromkeys(paper_table("dmt-9")["row"])) == rows


def test_a_table_may_mix_units() -> None:
    assert about("rwms-4").unit_of("MIoU") == "percent"
    assert about("rwms-4").unit_of("Difference") == "fraction"


@pytest.mark.parametrize(("scores", "gaps"), [("dmt-4", "dmt-5"), ("dmt-7", "dmt-8")])
def test_gaps_are_what_is_lacking_to_the_methods_own_oracle(scores: str, gaps: str) -> None:
    of_scores = cells(scores)
    expected = {
        (row, column): pytest.approx(of_scores[row, "Oracle"] - score, abs=1e-6)
        for (row, column), score in of_scores.items()
        if column != "Oracle"
    }
    assert cells(gaps) == expected


@pytest.mark.parametrize(("table", "upper", "lower", "column", "gain"), [
    pytest.param("dmt-2", "DMT", "CL", "4000 labels", 0.19, id="DMT Table 2: +0.19"),
    pytest.param("dmt-2", "DMT", "CL", "1000 labels", 0.90, id="DMT Table 2: +0.90"),
    pytest.param("dmt-3", "Oracle", "CL", "4000 labels", 2.33, id="DMT 5.3.1: CL is 2.33 below Oracle"),
    pytest.param("rml-1", "RML", "DMT", "1/30", 3.45, id="RML 5.3: 3.45 over the best before"),
    pytest.param("rml-2", "RML", "CutMix", "1/20", 2.34, id="RML 5.3: 2.34 at 1/20"),
    pytest.param("rml-2", "RML", "CutMix", "1/8", 2.74, id="RML 5.3: 2.74 at 1/8"),
    pytest.param("rml-4", "IML", "Baseline", "1/8", 4.06, id="RML 5.4: IML gains 4.06"),
    pytest.param("rml-4", "IML (+full noises)", "IML", "1/8", 1.16, id="RML 5.4: noises gain 1.16"),
    pytest.param("rml-4", "RML", "IML (+full noises)", "1/8", 1.6, id="RML 5.4: self-rectification gains 1.6"),
    pytest.param("rml-4", "RML (two stages)", "Baseline", "1/8", 7.62, id="RML 5.4: 7.62 in all"),
    pytest.param("rml-5", "Deeplabv2-SETR IML", "Deeplabv2-Deeplabv2 IML", "first model", 2.71, id="RML 5.4: 2.71"),
    pytest.param("rwms-1", "RWMS", "Self-training", "ResNet50 1/16", 3.4, id="RWMS: 3.4 at 1/16"),
    pytest.param("rwms-1", "RWMS", "Self-training", "ResNet50 1/8", 3.0, id="RWMS: 3.0 at 1/8"),
    pytest.param("rwms-1", "RWMS", "Self-training", "ResNet50 1/4", 2.7, id="RWMS: 2.7 at 1/4"),
])  # fmt: skip
def test_gain_that_the_paper_states(table: str, upper: str, lower: str, column: str, gain: float) -> None:
    assert difference(table, upper, lower, column) == gain


@pytest.mark.parametrize("column", ["1/20", "1/50"])
def test_what_dmt_says_of_its_ablations(column: str) -> None:
    assert 4 < difference("dmt-9", "DST", "CBST", column) < 5  # "over 4% better than CBST"
    assert abs(difference("dmt-9", "DMT-Flip", "DMT", column)) <= 0.02  # "at the level of random variations"
    assert difference("dmt-9", "DMT-Naive", "CBST", column) > 0  # "this naive policy outperforms CBST"
    assert difference("dmt-9", "CBST", "Baseline", column) > 3  # "by a clear margin"
    worse = difference("dmt-9", "Online ST", "Baseline", column) < 0  # "performs worse than Baseline" at 1/50
    assert worse == (column == "1/50")


def test_the_naive_weight_is_comparable_to_dmt_only_with_more_labels() -> None:
    assert difference("dmt-9", "DMT", "DMT-Naive", "1/20") < 0.2
    assert difference("dmt-9", "DMT", "DMT-Naive", "1/50") > 3


def test_dmt_surpasses_training_on_the_coarser_labels() -> None:
    assert value("dmt-6", "DMT", "1464/9118") > value("dmt-6", "Oracle", "1464/9118")
    assert value("dmt-6", "Oracle", "1464/9118") == value("dmt-4", "DMT", "Oracle")


@pytest.mark.parametrize("table", ["dmt-2", "dmt-3", "dmt-4", "dmt-7", "pets-1"])
def test_dmt_is_the_best_in_every_column(table: str) -> None:
    numbers = paper_table(table)
    rivals = numbers[(numbers["row"] != "Oracle") & (numbers["column"] != "Oracle")]
    best = rivals.loc[rivals.groupby("column")["value"].idxmax()]
    assert set(best["row"]) == {"DMT"}


@pytest.mark.parametrize("table", ["dmt-4", "dmt-7", "rml-1", "rml-2", "rml-3", "rwms-1", "rwms-2", "rwms-3", "rwms-5"])
def test_more_labels_never_score_less(table: str) -> None:
    numbers = paper_table(table)
    network = numbers["column"].str.rpartition(" ")[0]  # "ResNet50 1/8" -> "ResNet50", "1/8" -> ""
    for method, scores in numbers.groupby(["row", network]):
        assert scores["value"].is_monotonic_increasing, method


@pytest.mark.parametrize(("one", "other"), [
    (("dmt-2", "Baseline", "4000 labels"), ("dmt-3", "Baseline", "4000 labels")),
    (("dmt-2", "CL", "4000 labels"), ("dmt-3", "CL", "4000 labels")),
    (("dmt-2", "DMT", "4000 labels"), ("dmt-3", "DMT", "4000 labels")),
    (("rml-1", "CutMix", "1/30"), ("dmt-7", "CutMix", "1/30")),
    (("rml-1", "CutMix", "1/8"), ("dmt-7", "CutMix", "1/8")),
    (("rml-1", "CutMix", "Full"), ("dmt-7", "CutMix", "Oracle")),
    (("rml-1", "S4GAN", "1/8"), ("dmt-7", "s4GAN + MLMT", "1/8")),
    (("rml-1", "S4GAN", "Full"), ("dmt-7", "s4GAN + MLMT", "Oracle")),
    (("rml-2", "CutMix", "1/100"), ("dmt-4", "CutMix", "1/106")),
    (("rml-2", "CutMix", "1/50"), ("dmt-4", "CutMix", "1/50")),
    (("rml-2", "CutMix", "1/20"), ("dmt-4", "CutMix", "1/20")),
    (("rml-2", "CutMix", "1/8"), ("dmt-4", "CutMix", "1/8")),
    (("rml-2", "CutMix", "Full"), ("dmt-4", "CutMix", "Oracle")),
    (("rml-3", "DMT", "1/100"), ("dmt-4", "DMT", "1/106")),
    (("rml-3", "DMT", "1/50"), ("dmt-4", "DMT", "1/50")),
    (("rml-3", "DMT", "1/20"), ("dmt-4", "DMT", "1/20")),
    (("rml-3", "DMT", "1/8"), ("dmt-4", "DMT", "1/8")),
    (("rml-3", "DMT", "Full"), ("dmt-4", "DMT", "Oracle")),
    (("rml-3", "AdvSSL", "1/50"), ("dmt-4", "Hung et al.", "1/50")),
    (("rml-3", "AdvSSL", "1/20"), ("dmt-4", "Hung et al.", "1/20")),
    (("rml-3", "AdvSSL", "1/8"), ("dmt-4", "Hung et al.", "1/8")),
    (("rml-3", "AdvSSL", "Full"), ("dmt-4", "Hung et al.", "Oracle")),
    (("rml-fig-4", "Indirect mutual learning", "1/8"), ("rml-4", "IML (+full noises)", "1/8")),
    (("rml-fig-4", "RML", "1/8"), ("rml-4", "RML", "1/8")),
    (("rml-5", "Deeplabv2-Deeplabv2 IML", "first model"), ("rml-4", "IML (+full noises)", "1/8")),
    (("rwms-3", "RWMS", "1/16"), ("rwms-1", "RWMS", "ResNet50 1/16")),
    (("rwms-3", "RWMS", "1/8"), ("rwms-1", "RWMS", "ResNet50 1/8")),
    (("rwms-3", "RWMS", "1/4"), ("rwms-1", "RWMS", "ResNet50 1/4")),
    (("rwms-5", "RWMS", "1/16"), ("rwms-1", "RWMS", "ResNet50 1/16")),
    (("rwms-5", "RWMS", "1/8"), ("rwms-1", "RWMS", "ResNet50 1/8")),
    (("rwms-5", "RWMS", "1/4"), ("rwms-1", "RWMS", "ResNet50 1/4")),
    (("rwms-4", "PSPNet with ResNet50", "MIoU"), ("rwms-1", "RWMS", "ResNet50 1/8")),
])  # fmt: skip
def test_a_number_that_is_printed_twice_is_the_same(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert value(*one) == value(*other)


@pytest.mark.parametrize(("rounded", "exact"), [
    (("rml-1", "DMT", "1/30"), ("dmt-7", "DMT", "1/30")),
    (("rml-1", "DMT", "1/8"), ("dmt-7", "DMT", "1/8")),
    (("rml-1", "DMT", "Full"), ("dmt-7", "DMT", "Oracle")),
    (("rwms-2", "DMT", "ResNet101 1/30"), ("dmt-7", "DMT", "1/30")),
    (("rwms-2", "DMT", "ResNet101 1/8"), ("dmt-7", "DMT", "1/8")),
    (("rwms-2", "ClassMix", "ResNet101 1/8"), ("rml-1", "ClassMix", "1/8")),
    (("rwms-2", "ClassMix", "ResNet101 1/4"), ("rml-1", "ClassMix", "1/4")),
])  # fmt: skip
def test_a_quoted_number_is_the_rounded_original(rounded: tuple[str, str, str], exact: tuple[str, str, str]) -> None:
    assert abs(value(*rounded) - value(*exact)) <= 0.05 + 1e-9


def test_the_more_the_two_teachers_differ_the_better() -> None:
    table = paper_table("rwms-4").pivot(index="row", columns="column", values="value").sort_values("Difference")
    assert table["MIoU"].is_monotonic_decreasing


def test_unlike_networks_make_the_best_pair() -> None:
    numbers = paper_table("rml-5")
    assert numbers.loc[numbers["value"].idxmax(), "row"] == "Deeplabv2-SETR IML"


@pytest.mark.parametrize(("later", "dmt", "column"), [
    ("later-voc", "dmt-4", "1/50"),
    ("later-cityscapes", "dmt-7", "1/30"),
    ("later-cityscapes", "dmt-7", "1/8"),
    ("later-cifar10", "dmt-3", "4000 labels"),
])  # fmt: skip
def test_later_numbers_are_better_ones_and_name_their_source(later: str, dmt: str, column: str) -> None:
    numbers = paper_table(later)
    assert (numbers[numbers["column"] == column]["value"] > value(dmt, "DMT", column)).all()
    assert (numbers["note"] != "").all()
