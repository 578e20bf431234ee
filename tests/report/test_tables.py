"""A table says how often, compared with what, how surely, and what is not there; same records, same bytes."""

from collections.abc import Callable, Sequence

import pandas as pd
import pytest

from dmt_ray.report.tables.build import Table, build
from dmt_ray.report.tables.latex import latex
from dmt_ray.report.tables.numbers import PaperNumbers, Position, numbers
from dmt_ray.report.tables.text import csv, markdown, web

Records = Callable[..., pd.DataFrame]

BASELINE = {0: 0.60, 1: 0.62, 2: 0.64}
CBST = {0: 0.63, 1: 0.64, 2: 0.68}
DMT = {0: 0.65, 1: 0.69, 2: 0.70}
PLAIN = {"Baseline": BASELINE, "CBST": CBST, "DMT": DMT}
BEST = {name: {seed: score + 0.01 for seed, score in runs.items()} for name, runs in PLAIN.items()}

# Means 62, 65, 68. Deviations -2 0 2, -2 -1 3, -3 1 2: sd 2 = sqrt(8 / 2), 2.65 = sqrt(14 / 2), 2.65.
# To Baseline: CBST 3 2 4, DMT 5 7 6, both with sd 1; t[.975; 2] / sqrt(3) = 2.484: 3 -+ 2.48 and 6 -+ 2.48.
# Pooled: s^2 = 30 / 36 (test_statistics.py), t[.975; 4] = 2.776: half = 2.776 * sqrt(30 / 36 * 2 / 3) = 2.07.
# All three differences have one sign: p = 2 / 2^3 = .25; Holm over two rows: 2 * .25 = .5.
# DMT to CBST 2 5 2: mean 3, sd sqrt((1 + 4 + 1) / 2) = 1.73: 3 -+ 4.30 holds 0, so that they tie; Baseline does not.
# "paper" is a point above "last" in every run: means differ, differences do not. It is the best of 6, of DMT's 12.
GOLDEN = """\
# What is each part worth?

## mIoU (%)

|          | last                          | best on the test set          | models × steps | device h |
| -------- | ----------------------------- | ----------------------------- | -------------- | -------- |
| Baseline | 62.00 ± 2.00 (n=3)            | 63.00 ± 2.00 (n=3)            | 1 × 1,000      | 0.10     |
| CBST     | <ins>65.00 ± 2.65 (n=3)</ins> | <ins>66.00 ± 2.65 (n=3)</ins> | 1 × 1,000      | 0.10     |
| DMT      | <ins>68.00 ± 2.65 (n=3)</ins> | <ins>69.00 ± 2.65 (n=3)</ins> | 2 × 1,000      | 0.20     |

## Difference to Baseline, last

|      | difference, 95 % t   | pooled         | wins | sign-flip p      | Holm |
| ---- | -------------------- | -------------- | ---- | ---------------- | ---- |
| CBST | +3.00 [+0.52, +5.48] | [+0.93, +5.07] | 3/3  | p=.25, floor .25 | .5   |
| DMT  | +6.00 [+3.52, +8.48] | [+3.93, +8.07] | 3/3  | p=.25, floor .25 | .5   |

## Difference to Baseline (itself best of 6), best on the test set

|      | difference, 95 % t   | pooled         | wins | sign-flip p      | Holm | best of |
| ---- | -------------------- | -------------- | ---- | ---------------- | ---- | ------- |
| CBST | +3.00 [+0.52, +5.48] | [+0.93, +5.07] | 3/3  | p=.25, floor .25 | .5   | 6       |
| DMT  | +6.00 [+3.52, +8.48] | [+3.93, +8.07] | 3/3  | p=.25, floor .25 | .5   | 12      |

- ± is the sample standard deviation (ddof 1) over runs: 3 seeds, each with a label split of its own.
- last: mean over the models after the last iteration (nothing is selected); best on the test set: selected by the score
  that is printed, as in the papers, so biased upwards.
- Differences are paired by (split, seed). In brackets the 95 % t interval (df n - 1); pooled: using the error of all R
  rows, df (R - 1)(n - 1), valid only if all rows scatter alike. Wins: pairs in which the row is above Baseline. p:
  exact two-sided sign-flip test, with its floor, the smallest p that this many pairs allow. Holm: p adjusted for the
  rows of its block, but not for several rules or columns.
- With n = 3 the smallest difference you can see is about 2.5 sd of the paired differences; the sign-flip p cannot fall
  below 0.25, so no row can get a star.
- Bold: the best row, if its paired 95 % interval to every other row excludes 0. Underlined: the best row, and all rows
  whose interval to it does not exclude 0.
- models × steps: models that a run trains, optimizer steps of each (mean). device h: mean device hours per run,
  including the stages that it shares with other rows.

- Records of components-shapes-0badcafe; recipe shapes.
- Data: shapes, fingerprint ffffffffffff.
- git commit c0ffee0000000000000000000000000000000000.
- Settings (hash): 00000008 (Baseline); 00000004 (CBST); 00000003 (DMT).
- Splits (digest): random-16-0 feed0000, random-16-1 feed0001, random-16-2 feed0002.
- Packages: python 3.11.0, torch 2.9.0.
"""


def cells(table: Table, block: int, row: str) -> list[str]:
    """The texts of a row of a block, without its name."""
    return next([cell.text for cell in line[1:]] for line in table.blocks[block].rows if line[0].text == row)


def marks(table: Table) -> dict[str, str]:
    """Row -> mark of its first score."""
    return {line[0].text: line[1].mark for line in table.blocks[0].rows}


def test_golden_table(records: Records) -> None:
    assert markdown(build(records({"last": PLAIN, "paper": BEST}))) == GOLDEN


def test_the_same_records_give_the_same_bytes_in_any_order_of_runs(records: Records) -> None:
    frame = records({"last": PLAIN, "val": BEST, "paper": BEST})
    shuffled = frame.iloc[::-1].sort_values("row", kind="stable", key=lambda row: row.map(list(PLAIN).index))
    versions = frame.attrs["about"]["versions"]
    shuffled.attrs = {"about": frame.attrs["about"] | {"versions": dict(reversed(versions.items()))}}
    for write in (markdown, latex, web, csv):
        assert write(build(frame)) == write(build(shuffled))


def test_no_spread_of_one_run(records: Records) -> None:
    table = build(records({"last": {"Baseline": {0: 0.6}, "DMT": {0: 0.7}}}))
    assert cells(table, 0, "DMT")[0] == "70.00 (n=1)"
    assert cells(table, 1, "DMT") == ["+10.00", "–", "1/1", "p=1, floor 1", "1"]
    assert marks(table) == {"Baseline": "", "DMT": ""}
    assert table.caption[0] == "One run each: no ±, no intervals, and no row is marked."


def test_failed_and_missing_runs_are_said(records: Records) -> None:
    frame = records(
        {
            "last": {
                "Baseline": BASELINE,
                "CBST": {0: 0.63, 1: 0.65, 2: "RuntimeError: out of memory\nmore of it"},
                "DST": {0: None, 1: "x", 2: None},
                "DMT": {0: None, 1: None, 2: None},
            }
        }
    )
    table = build(frame, commands={("DMT", "1/8"): "python -m ablations.components --rows DMT"})
    assert cells(table, 0, "CBST")[0] == "64.00 ± 1.41 (n=2 of 3, 1 failed)"
    assert cells(table, 0, "DST")[0] == "– (1 failed, 2 missing)"
    assert cells(table, 0, "DMT") == ["– (3 missing)", "–", "–"]
    assert cells(table, 1, "DMT") == ["–"] * 5
    assert table.blocks[0].notes == ("CBST, seed 2 failed: RuntimeError: out of memory", "DST, seed 1 failed: x")
    assert "DMT can be computed with `python -m ablations.components --rows DMT`" in markdown(table)


def test_a_row_with_a_failed_run_is_compared_on_the_others(records: Records) -> None:
    # 3 2 on seeds 0 and 1: mean 2.5, sd 0.707, t[.975; 1] / sqrt(2) = 8.985: 2.5 -+ 6.35. The means differ by 1.5.
    table = build(records({"last": {"Baseline": BASELINE, "CBST": {0: 0.63, 1: 0.64, 2: "x"}}}))
    assert cells(table, 1, "CBST")[:4] == [
        "+2.50 [-3.85, +8.85]",
        "[-3.85, +8.85]",
        "2/2",
        "p=.5, floor .5",
    ]
    assert table.blocks[1].notes == (
        "CBST: paired on the 2 (split, seed) that both rows have; CBST has 2 of 3 runs, Baseline 3 of 3. "
        "The difference is that of the pairs, not of the two means.",
    )


def test_rows_with_other_seeds_are_paired_on_the_common_ones(records: Records) -> None:
    # Seed 1 alone is common: .70 - .62. Each row lacks a run of the three that the table has.
    table = build(records({"last": {"Baseline": {0: 0.60, 1: 0.62}, "DMT": {1: 0.70, 2: 0.80}}}))
    assert cells(table, 0, "Baseline")[0] == "61.00 ± 1.41 (n=2 of 3, 1 missing)"
    assert cells(table, 0, "DMT")[0] == "75.00 ± 7.07 (n=2 of 3, 1 missing)"
    assert cells(table, 1, "DMT") == ["+8.00", "–", "1/1", "p=1, floor 1", "1"]
    assert marks(table) == {"Baseline": "", "DMT": ""}


def test_the_same_seed_on_another_split_is_no_pair(records: Records) -> None:
    frame = records({"last": {"Baseline": BASELINE, "CBST": CBST, "DMT": DMT}})
    frame.loc[frame["row"] == "DMT", "split_digest"] = "other"
    table = build(frame)
    assert cells(table, 0, "DMT")[0] == "68.00 ± 2.65 (n=3)"
    assert cells(table, 1, "DMT") == ["–"] * 5
    assert "paired on the 0 (split, seed)" in table.blocks[1].notes[0]


def test_bold_only_where_the_best_row_is_apart_from_every_other(records: Records) -> None:
    # DMT to Baseline 5 7 6, to CBST 4 5 6: sd 1 both, 6 -+ 2.48 and 5 -+ 2.48.
    apart = records({"last": {"Baseline": BASELINE, "CBST": {0: 0.61, 1: 0.64, 2: 0.64}, "DMT": DMT}})
    assert marks(build(apart)) == {"Baseline": "", "CBST": "", "DMT": "bold"}
    assert "**68.00 ± 2.65 (n=3)**" in markdown(build(apart))
    assert r"\textbf{68.00 $\pm$ 2.65 (n=3)}" in latex(build(apart))
    assert "<b>68.00 ± 2.65 (n=3)</b>" in web(build(apart))
    tied = build(records({"last": PLAIN}))
    assert marks(tied) == {"Baseline": "", "CBST": "underline", "DMT": "underline"}
    assert r"\underline{68.00 $\pm$ 2.65 (n=3)}" in latex(tied)
    assert "<u>68.00 ± 2.65 (n=3)</u>" in web(tied)


def test_a_row_that_cannot_be_compared_with_the_best_one_ties(records: Records) -> None:
    # DST has only seed 2 in common with DMT, which is apart from Baseline.
    rows = {"Baseline": BASELINE, "DST": {2: 0.63, 3: 0.62}, "DMT": DMT}
    assert marks(build(records({"last": rows}))) == {"Baseline": "", "DST": "underline", "DMT": "underline"}


def test_a_single_lucky_run_is_not_ranked(records: Records) -> None:
    rows = {"Baseline": BASELINE, "DST": {0: 0.99, 1: None, 2: None}, "DMT": DMT}
    assert marks(build(records({"last": rows}))) == {"Baseline": "", "DST": "", "DMT": "bold"}


def test_oracle_is_compared_but_neither_ranked_nor_pooled(records: Records) -> None:
    plain = records({"last": PLAIN})
    oracle = records({"last": PLAIN | {"Oracle": {0: 0.8, 1: 0.7, 2: 0.9}}}, methods={"Oracle": "oracle"})
    table = build(oracle)
    assert marks(table) == marks(build(plain)) | {"Oracle": ""}
    assert cells(table, 1, "CBST")[1] == cells(build(plain), 1, "CBST")[1] == "[+0.93, +5.07]"
    assert cells(table, 1, "Oracle")[1] == "–"
    assert any("Oracles, which see all labels, are not ranked." in line for line in table.caption)


@pytest.mark.parametrize(
    ("pairs", "others", "text"),
    [
        pytest.param(5, 0, "+1.00", id="five pairs: the floor is .0625"),
        pytest.param(6, 0, "+1.00*", id="six pairs: the floor is .03125"),
        pytest.param(6, 1, "+1.00", id="six pairs and two rows: Holm's p is .0625"),
    ],
)
def test_a_star_needs_a_small_adjusted_p(records: Records, pairs: int, others: int, text: str) -> None:
    rows = {name: {seed: 0.6 + 0.01 * (name != "Baseline") for seed in range(pairs)} for name in ("Baseline", "CBST")}
    rows |= {"DMT": rows["CBST"]} if others else {}
    assert cells(build(records({"last": rows})), 1, "CBST")[0].split()[0] == text


def test_a_very_small_p_is_not_printed_as_0(records: Records) -> None:
    rows = {name: {seed: 0.6 + 0.01 * (name == "DMT") for seed in range(16)} for name in ("Baseline", "DMT")}
    table = build(records({"last": rows}))
    assert cells(table, 1, "DMT")[3] == "p<.0001, floor <.0001"
    assert "<td>p&lt;.0001, floor &lt;.0001</td>" in web(table)
    assert r"p\textless{}.0001" in latex(table)


def test_ties_are_said(records: Records) -> None:
    table = build(records({"last": {"Baseline": BASELINE, "DMT": {0: 0.60, 1: 0.63, 2: 0.63}}}))
    assert cells(table, 1, "DMT")[2] == "1/3 (1 tied)"


def test_what_the_spread_is_over_is_said(records: Records) -> None:
    assert "3 seeds, each with a label split of its own" in build(records({"last": PLAIN})).caption[0]
    one = build(records({"last": PLAIN}, one_split=True))
    assert "3 seeds, all on the same label split" in one.caption[0]


def test_trainings_that_go_on_from_the_best_on_the_reported_set_are_named(records: Records) -> None:
    assert not any("The papers' protocol" in line for line in build(records({"last": PLAIN})).caption)
    assert any("The papers' protocol" in line for line in build(records({"last": PLAIN}, selects=["paper"])).caption)


def many_columns(records: Records, columns: Sequence[str]) -> pd.DataFrame:
    frames = [records({"last": PLAIN, "val": BEST}, column=column) for column in columns]
    frame = pd.concat(frames, ignore_index=True)
    frame.attrs = frames[0].attrs
    return frame


def test_several_columns_stand_side_by_side_and_each_has_its_blocks(records: Records) -> None:
    table = build(many_columns(records, ["1/50", "1/20", "1/8"]))
    assert table.blocks[0].header == ("", "1/50", "1/20", "1/8")
    assert [block.title for block in table.blocks[1:4]] == [
        "1/50: mIoU (%)",
        "1/50: Difference to Baseline, last",
        "1/50: Difference to Baseline (itself best of 6), validation",
    ]
    assert len(table.blocks) == 1 + 3 * 3
    assert len(build(many_columns(records, "abcde")).blocks) == 2 + 5 * 3


def paper(columns: dict[str, str]) -> PaperNumbers:
    lines = [("Baseline", "1/8", 61.90, float("nan")), ("DMT", "1/8", 70.16, 0.3), ("DMT", "1/20", 60.0, float("nan"))]
    values = pd.DataFrame(lines, columns=["row", "column", "value", "sd"])
    return PaperNumbers("DMT, Table 9", "VOC, one run.", values, "paper", columns)


def test_paper_of_the_same_protocol_stands_beside_ours(records: Records) -> None:
    table = build(records({"last": PLAIN, "paper": BEST}), paper=paper({"1/8": "1/8"}))
    beside, apart = table.blocks[-2:]
    assert beside.header[2] == "ours, best on the test set"
    assert [[cell.text for cell in row] for row in beside.rows] == [
        ["Baseline", "1/8", "63.00 ± 2.00 (n=3)", "61.90", "+1.10"],
        ["DMT", "1/8", "69.00 ± 2.65 (n=3)", "70.16 ± 0.30", "-1.16"],
    ]
    assert [[cell.text for cell in row] for row in apart.rows] == [["DMT", "60.00"]]


def test_paper_of_another_protocol_stands_apart_without_differences(records: Records) -> None:
    table = build(records({"last": PLAIN, "paper": BEST}), paper=paper({}))
    assert [block.title for block in table.blocks if "DMT, Table 9" in block.title] == [
        "DMT, Table 9: different protocol, not comparable"
    ]
    assert [[cell.text for cell in row] for row in table.blocks[-1].rows] == [
        ["Baseline", "61.90", "–"],
        ["DMT", "70.16 ± 0.30", "60.00"],
    ]
    assert "VOC, one run." in table.blocks[-1].notes[0]


def test_classes_have_a_block_of_their_own(records: Records) -> None:
    classes = [records({"last": PLAIN}, metric=f"iou/{name}") for name in ("disc", "star")]
    classes[1] = classes[1][(classes[1]["row"] != "DMT") | (classes[1]["seed"] > 0)]  # no star among DMT's images
    frame = pd.concat([records({"last": PLAIN}), *classes], ignore_index=True)
    frame.attrs = classes[0].attrs
    assert all("each class" not in block.title for block in build(frame).blocks)
    block = build(frame, per_class=True).blocks[-1]
    assert block.header == ("", "disc", "star")
    assert [cell.text for cell in block.rows[2]] == ["DMT", "68.0 ± 2.6", "69.5 ± 0.7 (n=2)"]
    nothing = build(records({"last": {"Baseline": {0: None}}}), per_class=True)
    assert [block.title for block in nothing.blocks] == ["mIoU (%)"]
    with pytest.raises(ValueError, match="no record has the IoU of a class"):
        build(records({"last": PLAIN}), per_class=True)


def test_records_that_belong_to_no_one_table_are_refused(records: Records) -> None:
    frame = records({"last": PLAIN})
    with pytest.raises(ValueError, match=r"reference 'Basline' is not a row.*Baseline"):
        build(frame, reference="Basline")
    with pytest.raises(ValueError, match="has two scores for"):
        build(pd.concat([frame, frame]), reference="Baseline")
    with pytest.raises(ValueError, match="name a reference"):
        build(pd.DataFrame(frame.to_dict("records")))
    with pytest.raises(ValueError, match=r"lack the columns \['value'\]"):
        build(frame.drop(columns="value"))
    with pytest.raises(ValueError, match="no record has the metric 'mIoU'"):
        build(frame, metric="mIoU")
    mixed = frame.copy()
    mixed.loc[0, "fingerprint"] = "other"
    with pytest.raises(ValueError, match="mixes data"):
        build(mixed)
    broken = frame.copy()
    broken.loc[0, "value"] = float("nan")
    with pytest.raises(ValueError, match="is not finite"):
        build(broken)


def test_numbers_are_fractions(records: Records) -> None:
    found = numbers(records({"last": PLAIN}), "miou", "Baseline")
    assert found.scores[Position("DMT", "1/8", "last")].mean == pytest.approx(0.68)
    assert found.comparisons[Position("DMT", "1/8", "last")].paired.mean == pytest.approx(0.06)


def test_sums_do_not_depend_on_the_order_of_the_records(records: Records) -> None:
    # In floating point 0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1.
    frame = records({"last": {"Baseline": {0: 0.1, 1: 0.2, 2: 0.3}}})
    place = Position("Baseline", "1/8", "last")
    means = [numbers(one, "miou", "Baseline").scores[place].mean for one in (frame, frame.iloc[::-1])]
    assert means[0] == means[1]


def test_rows_with_two_teachers_say_how_alike_their_labels_are(records: Records) -> None:
    frame = records({"last": {"Baseline": {0: 0.5, 1: 0.52}, "RWMS": {0: 0.6, 1: 0.62}}})
    own = frame[frame["row"] == "RWMS"].assign(
        rule="each", images="unlabelled", metric="agreement", value=[0.66, 0.70], rung=0
    )
    both = pd.concat([frame, own], ignore_index=True)
    both.attrs = frame.attrs
    [block] = [block for block in build(both).blocks if block.title.startswith("Agreement")]
    assert [[cell.text for cell in row] for row in block.rows] == [["RWMS", "68.00 ± 2.83 (n=2)"]]
    assert not [block for block in build(frame).blocks if block.title.startswith("Agreement")]
