"""Tables, figures, searches and MLflow of a small real classification: everything speaks of accuracy."""

import csv
import json

import pandas as pd
import pytest

from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Row
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.methods.space import Uniform
from dmt_ray.report import confirmation, html_page, summary
from dmt_ray.report.figures.drawing import AblationFigures
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.report.figures.slices import slices
from dmt_ray.report.tables import build
from dmt_ray.results import tidy
from dmt_ray.results.curves import points, rung_points, units
from dmt_ray.search import confirm
from dmt_ray.search.confirm import Confirmation
from dmt_ray.store import Store
from tests.helpers.ablations import perform

RECIPE = """
recipe: digits
pretrain: {epochs: 10}
retrain: {epochs: 1, ema: 0.9}
percentiles: [0.5]
"""


@pytest.fixture(scope="module")
def performed(tmp_path_factory):
    home = tmp_path_factory.mktemp("digits")
    (home / "mine.yaml").write_text(RECIPE)
    rows = {"Baseline": Row("baseline"), "DMT": Row("dmt")}
    folder = perform(home / "runs", None, home / "mine.yaml", rows, seeds=(0,))
    return folder, Store(folder.parents[1]), home / "mine.yaml"


@pytest.fixture(scope="module")
def sweep(performed):
    """The sweep whose only trial is the row DMT, and that trial."""
    folder, _, _ = performed
    config = next(cell.config for cell in experiment_file.read(folder).ablation.cells if cell.row == "DMT")
    found = Sweep("gamma_sweep", "?", config, "dmt", {"weight.gamma1": Uniform(0, 8)}, (0,))
    return found, Trial(0, {"weight.gamma1": 4.0}, "complete", {0: 0.5, 1: 0.625})


def test_records_have_the_accuracies_of_a_classifier(performed):
    folder, store, _ = performed
    frame = tidy.of_ablation(folder, store)
    assert tidy.headline(frame) == "accuracy"
    dmt = frame[(frame["row"] == "DMT") & (frame["rule"] == "last") & (frame["images"] == "reported")]
    assert {"accuracy", "fine_grained", "last_weights_accuracy", "class_accuracy/7"} <= set(dmt["metric"])
    assert not set(dmt["metric"]) & {"miou", "iou/7", "pixel_accuracy"}
    by_metric = dmt.set_index("metric")["value"]
    classes = [by_metric[f"class_accuracy/{digit}"] for digit in range(10)]
    assert by_metric["accuracy"] == pytest.approx(sum(classes) / 10, abs=0.02)  # the classes are about equally frequent


def test_a_table_of_classifiers_shows_accuracy_and_that_of_each_class(performed):
    folder, store, _ = performed
    table = build.build(tidy.of_ablation(folder, store), per_class=True)
    titles = [block.title for block in table.blocks]
    assert titles[0] == "accuracy (%)"
    assert any(title.startswith("Accuracy (%) of each class") for title in titles)
    told = " ".join(table.caption)
    assert "WideResNet from random weights" in told
    assert "DMS" not in told
    assert build.build(tidy.of_ablation(folder, store), metric="fine_grained").blocks[0].title == (
        "fine-grained accuracy (%)"
    )


def test_a_run_that_is_missing_is_a_missing_accuracy(performed):
    folder, store, _ = performed
    file = experiment_file.read(folder)
    file = experiment_file.ExperimentFile(
        type(file.ablation)(**{**vars(file.ablation), "seeds": (0, 1)}),
        file.storage,
        None,
        file.dataset_info,
        file.command,
    )
    frame = tidy.tabulate_ablation(store, file)
    assert set(frame[frame["state"] == "missing"]["metric"]) == {"accuracy"}


def test_figures_of_classifiers_are_about_accuracy_and_images(performed):
    folder, _, _ = performed
    drawings = dict(AblationFigures(folder, Predictor(folder.parents[1], None, "cpu", computes=False)).drawings())
    assert drawings["iterations"]().axes[0].get_ylabel() == "accuracy (%)"
    assert drawings["compute"]().axes[0].get_ylabel() == "accuracy on the test images (%)"
    assert drawings["forest"]().axes[0].get_xlabel().startswith("test accuracy minus Baseline")
    assert drawings["teachers"]().axes[0].get_xlabel() == "most confident fraction of the images"


def test_a_report_on_classifiers_has_their_classes(performed):
    page = html_page.page_of_ablation(performed[0])
    assert [block.title for block in page.per_class] == ["Accuracy (%) of each class, last"] * 2  # 7 and 3 of them


def test_a_sweep_over_a_classifier_is_scored_by_accuracy(performed, sweep, tmp_path):
    _, store, recipe = performed
    searched, trial = sweep
    assert (searched.measure, searched.score_name) == ("accuracy", "accuracy")
    told = summary.markdown(ExperimentFile(searched, store.folder, recipe=str(recipe)), store, [trial])
    assert "validation accuracy 62.50%, test accuracy" in told
    summary.write_csv(tmp_path / "trials.csv", searched, summary.rows_of(searched, store, [trial]))
    [row] = csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())
    assert float(row["selection_accuracy_1"]) == 0.625
    assert 0 < float(row["reported_accuracy"]) < 1
    assert slices(searched.space, [trial], "accuracy").axes[0].get_ylabel() == "accuracy on the validation images (%)"


def test_what_is_confirmed_is_an_accuracy(performed, sweep, tmp_path):
    _, store, _ = performed
    searched, trial = sweep
    found = confirm.result(Confirmation(searched, trial, (7,)), store)
    assert found["measure"] == "accuracy"
    assert 0 < found["rows"][0]["selection_accuracy"] < 1
    confirm.write(tmp_path, found)
    assert (tmp_path / "confirm.csv").read_text().splitlines()[0] == (
        "who,seed,searched,selection_accuracy,reported_accuracy"
    )
    assert confirmation.markdown(tmp_path).startswith("| accuracy % |")
    assert json.loads((tmp_path / "confirm.json").read_text()) == found


def test_mlflow_is_told_accuracies(performed, sweep):
    _, store, _ = performed
    searched, trial = sweep
    plans = searched.plans(trial.params)
    names = {point.name for unit in units(plans) for point in points(store, plans, unit)}
    own = ("accuracy_selection", "fine_grained_reported", "last_weights_accuracy_reported")
    assert {f"iterations/{name}.A" for name in own} <= names
    of_rung = [point.name for point in rung_points(store, plans, 1, DatasetInfo())]
    assert of_rung[:2] == ["iterations/accuracy_selection", "iterations/accuracy_reported"]
    assert "per_class/class_accuracy_reported.class 3" in of_rung
    assert not [name for name in (*names, *of_rung) if "miou" in name or "/iou" in name]


def test_segmentation_and_classification_are_not_put_in_one_table(performed):
    folder, store, _ = performed
    frame = tidy.of_ablation(folder, store)
    both = pd.concat([frame, frame.assign(metric="miou")])
    with pytest.raises(ValueError, match="of segmentation and of classification"):
        tidy.headline(both)
