"""Figures of methods whose teachers change, agree, or are one after the other, on real records."""

import json

import pandas as pd
import pytest

from dmt_ray.errors import MissingStages
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Row
from dmt_ray.report.figures.drawing import AblationFigures
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.report.figures.pseudo_labels import FIRST, errors_by_share, teacher_errors
from dmt_ray.report.figures.rates import coupling, coupling_plot
from dmt_ray.report.figures.reliability import reliability, reliability_plot
from dmt_ray.store import Store
from tests.helpers.ablations import perform

ROWS = {
    "Baseline": Row("baseline"),
    "DMT": Row("dmt", {"percentiles": [0.5, 1.0]}),
    "Mean Teacher": Row("mean_teacher", {"consistency.threshold": 0.0}),
    "RML": Row("rml"),
    "RWMS": Row("rwms"),
    "Random": Row("rwms", {"phases": "random"}),
}


@pytest.fixture(scope="module")
def performed(tmp_path_factory, pictures, settings):
    folder = perform(tmp_path_factory.mktemp("methods") / "runs", pictures, settings, ROWS, seeds=(0,))
    wanted = {one.cell.row: one for one in experiment_file.read(folder).ablation.members()}
    return folder, Store(folder.parents[1]), wanted


def test_total_variation_is_that_of_two_teachers_and_accuracy_that_of_each(performed):
    _, store, wanted = performed
    found = coupling(store, wanted.values())
    assert set(found["row"]) == {"Mean Teacher", "RML"}
    rml, alone = (found[found["row"] == row] for row in ("RML", "Mean Teacher"))
    assert rml["total_variation"].between(0, 1).all()
    assert alone["total_variation"].isna().all()
    assert alone["pseudo_accuracy"].between(0, 1).all()
    assert set(rml["model"]) == {"A", "B"}
    assert set(rml["iteration"]) == {1, 2}
    by_step = rml.pivot(index="step", columns="model", values="total_variation")
    assert (by_step["A"] == by_step["B"]).all()


def test_the_lines_of_a_coupling_are_the_rows(performed):
    _, store, wanted = performed
    top, below = coupling_plot(coupling(store, wanted.values())).axes
    assert {line.get_label() for line in below.lines if not line.get_label().startswith("_")} == {"Mean Teacher", "RML"}
    assert top.get_ylim()[0] == 0


def test_without_teachers_that_change_there_is_no_coupling(performed):
    _, store, wanted = performed
    with pytest.raises(MissingStages, match="such as RML"):
        coupling(store, [wanted["Baseline"], wanted["DMT"]])


def test_the_images_of_the_first_phase_are_those_on_which_the_teachers_agree_most(performed):
    _, store, wanted = performed
    found = reliability(store, wanted.values())
    assert set(found["row"]) == {"RWMS", "Random"}
    chosen = found[found["row"] == "RWMS"]
    assert chosen[chosen["first"]]["agreement"].min() >= chosen[~chosen["first"]]["agreement"].max()
    assert chosen["first"].sum() == len(chosen) // 2
    by_lot = found[found["row"] == "Random"]
    assert by_lot.set_index("id")["agreement"].to_dict() == chosen.set_index("id")["agreement"].to_dict()


def test_a_box_each_for_the_phases_with_its_mean():
    lines = [("RWMS", 0, f"{i}", value, value > 0.5) for i, value in enumerate((0.2, 0.4, 0.6, 0.9))]
    figure = reliability_plot(pd.DataFrame(lines, columns=["row", "seed", "id", "agreement", "first"]))
    told = [text.get_text() for text in figure.axes[0].texts]
    assert told[:2] == ["75.0", "30.0"]  # means of 0.6 and 0.9, of 0.2 and 0.4


def test_the_errors_of_a_teacher_are_those_that_its_labelling_says(performed):
    _, store, wanted = performed
    found = teacher_errors(store, wanted.values())
    first = wanted["DMT"].plan.rungs[1]["A"].inputs["model"].inputs["labels"]
    said = json.loads((store.open(first) / "summary.json").read_text())["error_by_share"]
    of_b = found[(found["row"] == FIRST) & (found["teacher"] == "B")].set_index("share")["error"]
    assert of_b.to_dict() == {float(share): error for share, error in said.items()}
    assert list(errors_by_share(found)) == [FIRST, "DMT", "RWMS", "Random"]
    assert set(found["share"]) == {0.2, 0.4, 0.6, 0.8, 1.0}


def test_they_are_drawn_with_all_others(performed):
    folder, _, _ = performed
    figures = AblationFigures(folder, Predictor(folder.parents[1], None, "cpu", computes=False))
    drawings = dict(figures.drawings())
    for name in ("teachers", "coupling", "reliability"):
        assert drawings[name]().axes
    assert "most confident fraction of the pixels" in drawings["teachers"]().axes[0].get_xlabel()
