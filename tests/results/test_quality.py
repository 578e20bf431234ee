"""Metrics beside mIoU: where old records lack them they are missing, and less may be better."""

import pandas as pd
import pytest

from dmt_ray.errors import ConfigError
from dmt_ray.experiments import experiment_file
from dmt_ray.report.figures.calibration import calibration, calibration_plot
from dmt_ray.report.tables.build import build
from dmt_ray.report.tables.files import further_metrics, table_of
from dmt_ray.results import tidy
from dmt_ray.results.scores import metrics
from tests.helpers.records import tabulate


def records(**metric_of):
    """Rows by metric -> row -> scores of the seeds 0, 1 and 2, as records of one column."""
    frames = [
        tabulate({"last": {row: dict(enumerate(scores)) for row, scores in rows.items()}}, metric=metric)
        for metric, rows in metric_of.items()
    ]
    return _joined(frames)


def _joined(frames):
    joined = pd.concat(frames, ignore_index=True)
    joined.attrs = frames[0].attrs
    return joined


MIOU = {"Baseline": (0.50, 0.52, 0.54), "DMT": (0.60, 0.62, 0.65)}


def block(table, title):
    return next(one for one in table.blocks if one.title.startswith(title))


def test_further_metrics_are_columns_with_paired_intervals():
    dice = {"Baseline": (0.60, 0.61, 0.62), "DMT": (0.70, 0.72, 0.71)}
    table = build(records(miou=MIOU, dice=dice), metrics=["dice"])
    assert block(table, "Other metrics").header == ("", "Dice (%)")
    assert [row[1].text for row in block(table, "Other metrics").rows] == ["61.00 ± 1.00 (n=3)", "71.00 ± 1.00 (n=3)"]
    # Differences of 10, 11 and 9 points: sd 1, half width 4.303 / sqrt(3) = 2.48.
    [[row, cell]] = block(table, "Difference to Baseline in other metrics").rows
    assert (row.text, cell.text) == ("DMT", "+10.00 [+7.52, +12.48]")


def test_what_old_records_lack_is_missing_and_not_zero():
    table = build(records(miou=MIOU), metrics=["boundary_iou"])
    assert [row[1].text for row in block(table, "Other metrics").rows] == ["– (3 missing)", "– (3 missing)"]
    [[_, cell]] = block(table, "Difference to Baseline in other metrics").rows
    assert cell.text == "–"


def test_of_an_error_the_lowest_row_is_the_best():
    ece = {"Baseline": (0.20, 0.21, 0.22), "DMT": (0.10, 0.11, 0.121)}
    table = build(records(miou=MIOU, ece=ece), metrics=["ece"])
    assert [row[1].mark for row in block(table, "Other metrics").rows] == ["", "bold"]


def test_a_log_likelihood_is_not_written_as_a_percentage():
    table = build(records(miou=MIOU, nll={"Baseline": (1.5, 1.5, 1.5), "DMT": (0.5, 0.5, 0.5)}), metrics=["nll"])
    assert block(table, "Other metrics").header == ("", "NLL (nats × 100)")


def test_a_single_model_is_its_own_ensemble():
    ensemble = {"DMT": (0.61, 0.63, 0.66)}
    frame = records(miou=MIOU)
    frame.loc[frame["row"] == "Baseline", "model"] = "A"
    both = records(miou=MIOU, dice=MIOU)
    both.loc[both["row"] == "Baseline", "model"] = "A"
    together = records(miou=ensemble, dice=ensemble).assign(rule="ensemble", model="ensemble")
    further = build(_joined([both, together]), metrics=["dice"])
    assert [row[1].text for row in block(further, "Other metrics, ensemble").rows][1] == "63.33 ± 2.52 (n=3)"
    table = build(_joined([frame, together[together["metric"] == "miou"]]))
    rows = {row[0].text: [cell.text for cell in row] for row in block(table, "mIoU (%)").rows}
    assert block(table, "mIoU (%)").header[1:3] == ("last", "ensemble of A and B")
    assert rows["Baseline"][1] == rows["Baseline"][2] == "52.00 ± 2.00 (n=3)"
    assert rows["DMT"][2] == "63.33 ± 2.52 (n=3)"
    assert block(table, "Difference to Baseline, ensemble of A and B").rows[0][1].text.startswith("+11.33")


def test_names_of_metrics_are_checked_and_all_stands_for_all():
    frame = records(miou=MIOU)
    assert further_metrics(frame, ["dice", "all"])[:2] == ["dice", "pixel_accuracy"]
    with pytest.raises(ConfigError, match="'dise' beside mIoU; did you mean 'dice'"):
        table_of(frame, metrics=["dise"])


def test_a_real_evaluation_has_every_metric(small_ablation):
    folder, _ = small_ablation
    table = table_of(tidy.of_ablation(folder), metrics=["all"])
    shown = [one for one in table.blocks if one.title.startswith("Other metrics")]
    assert [name for one in shown for name in one.header[1:]] == [
        *("pixel accuracy (%)", "Dice (%)", "frequency-weighted IoU (%)", "boundary IoU (%)"),
        *("ECE (%)", "Brier score (%)", "NLL (nats × 100)"),
    ]
    assert not [cell.text for one in shown for row in one.rows for cell in row if "missing" in cell.text]


def test_a_reliability_diagram_has_a_line_for_every_row(small_ablation):
    folder, store = small_ablation
    members = list(experiment_file.read(folder).ablation.members())
    bins = calibration(store, members)
    assert set(bins["row"]) == {"Baseline", "CBST", "DST", "DMT", "Oracle"}
    assert bins.groupby(["row", "seed"])["share"].sum().to_numpy() == pytest.approx(1)
    axes = calibration_plot(bins).axes[0]
    assert len(axes.get_lines()) >= 6  # and the diagonal
    values = metrics(store, members[0].plan.rungs[-1]["A"])["reported"]
    assert sum(values["reliability"]["count"]) == sum(map(sum, values["confusion"]))
