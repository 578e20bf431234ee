"""`dmt compare` on real records: settings, where the work parts, paired differences, classes and pictures."""

import re
import sys

import pytest

from dmt_ray.api.finding import find_candidate, stage_folder
from dmt_ray.cli import main as cli
from dmt_ray.config import override
from dmt_ray.errors import ConfigError, MissingStages
from dmt_ray.experiments import experiment_file
from dmt_ray.methods import METHODS
from dmt_ray.report.comparing import compare, compare_stages
from dmt_ray.report.figures.predictions import Predictor
from dmt_ray.results.comparison import Setting, Work, differing, of_plans, partings
from dmt_ray.results.scores import metrics


def block(table, title):
    return next(one for one in table.blocks if one.title.startswith(title))


def texts(one):
    return [[cell.text for cell in row] for row in one.rows]


def test_settings_that_differ_are_named_in_full():
    first = {"weight": {"rule": "disagreement", "gamma1": 5.0}, "dms_alpha": 0.8, "percentiles": [0.5, 1.0]}
    second = {"weight": {"rule": "uniform"}, "dms_alpha": 0.8, "percentiles": [0.5]}
    assert differing(first, second) == [
        Setting("weight.rule", "disagreement", "uniform"),
        Setting("weight.gamma1", "5", "not set"),
        Setting("percentiles", "[0.5, 1]", "[0.5]"),
    ]


def test_plans_part_at_the_first_training_that_reads_what_differs(tiny):
    first, second = (METHODS["dmt"](override(tiny, {"weight.gamma1": gamma}), 0) for gamma in (5.0, 3.0))
    found, common = of_plans(first, second)
    trained = [first.rungs[1][side].inputs["model"].name for side in "AB"]
    assert [one.first for one in found] == trained  # pretraining, its scores and its labels are the same
    assert found[0].settings == (Setting("weight.gamma1", "5", "3"),)
    assert common == len(set(first.stages()) & set(second.stages())) == 6


def test_a_plan_that_goes_on_parts_where_the_other_one_ends(tiny):
    first, second = (METHODS["dst"](override(tiny, {"percentiles": shares}), 0) for shares in ([1.0], [1.0, 1.0]))
    found, _ = of_plans(first, second)
    assert [(one.first, one.second) for one in found] == [("", second.rungs[2]["A"].inputs["model"].name)]
    assert found[0].what == "model A at rung 2 of the second alone"
    assert of_plans(first, first) == ([], len(first.stages()))


def test_self_training_and_mutual_training_part_at_the_teacher(tiny):
    one, two = METHODS["cbst"](tiny, 0), METHODS["dmt"](override(tiny, {"dms_alpha": 1.0}), 0)
    teachers = [one.rungs[0]["A"].inputs["model"].name, two.rungs[0]["B"].inputs["model"].name]
    teacher, alone = of_plans(one, two)[0]
    assert [teacher.first, teacher.second] == teachers
    assert teacher.settings == (Setting("side", "A", "B"),)
    assert (alone.second, alone.what) == (teachers[1], "model B at rung 0 of the second alone")


def test_stages_of_other_seeds_part_at_their_pretraining(tiny):
    first, second = (METHODS["dst"](tiny, seed).rungs[-1]["A"] for seed in (0, 1))
    found = partings(Work.of(first), Work.of(second))
    assert [one.first.partition("-")[0] for one in found] == ["pretrain"]
    assert Setting("seed", "0", "1") in found[0].settings


@pytest.fixture
def candidates(small_ablation):
    storage = small_ablation[0].parents[1]
    return [find_candidate(f"small:{row}", storage) for row in ("CBST", "DST")]


def test_two_rows_are_compared_seed_by_seed(candidates, small_ablation):
    found = compare(*candidates).table
    scores = []
    for row in ("CBST", "DST"):
        members = [one for one in experiment_file.read(small_ablation[0]).ablation.members() if one.cell.row == row]
        scores.append([metrics(small_ablation[1], one.plan.rungs[-1]["A"])["reported"] for one in members])
    differences = [100 * (theirs["miou"] - ours["miou"]) for ours, theirs in zip(*scores, strict=True)]
    [[name, cell, *_]] = texts(block(found, "Difference to small:CBST, last"))
    assert name == "small:DST"
    assert cell.startswith(f"{sum(differences) / 2:+z.2f} [")
    rows = {row[0]: row for row in texts(block(found, "IoU (%) of each class"))}
    background = [sum(one["iou"][0] for one in of_row) / 2 for of_row in scores]
    assert rows["background"][1:3] == [f"{100 * value:z.2f}" for value in background]
    assert ["method", "cbst", "dst"] in texts(block(found, "Settings that differ"))
    parted = block(found, "The first stages at which they part")
    assert parted.notes[0].startswith("With seed 0: ")
    assert parted.rows[0][0].text.startswith("finetune-")
    assert "weight.rule uniform -> disagreement" in parted.rows[0][2].text


def test_the_pictures_are_those_on_which_the_two_disagree_most(
    candidates, small_ablation, monkeypatch, tmp_path, capsys
):
    folder = small_ablation[0]
    file = experiment_file.read(folder)
    predictor = Predictor(folder.parents[1], file.data, "cpu")
    compared = compare(*candidates, predictor)
    evaluations = [one.plans[0].rungs[-1]["A"] for one in candidates]
    table = predictor.disagreement(*evaluations).set_index("id")["disagreement"]
    shown = texts(block(compared.table, "Test images on which"))
    assert [name for name, _ in shown] == table.sort_values(ascending=False, kind="stable").index[:4].tolist()
    for name, share in shown:
        ours, theirs = (predictor.examples(one, ids=[name])["prediction_0"] for one in evaluations)
        assert share == f"{100 * (ours != theirs).mean():.2f}"
    assert len(compared.pictures.axes) == 4 * 4  # four images: itself, its truth and two predictions


def test_a_trial_is_named_by_its_number_and_a_stage_by_its_key(small_sweep, monkeypatch, tmp_path, capsys):
    storage = small_sweep.parents[1]
    first, second = (find_candidate(f"gamma_sweep:{number}", storage) for number in (0, 1))
    key = first.plans[0].rungs[-1]["A"].inputs["model"].key
    other = second.plans[0].rungs[-1]["A"].inputs["model"].key
    out = tmp_path / "page.html"
    words = [f"gamma_sweep:{number}" for number in (0, 1)]
    monkeypatch.setattr(sys, "argv", ["dmt", "compare", *words, "--storage", str(storage), "--out", str(out)])
    assert cli.main() == 0
    assert re.search(r"weight.gamma2 +0 +4", capsys.readouterr().out)
    assert "<h2>Settings that differ</h2>" in out.read_text()
    table = compare_stages(*(Work.of_record(stage_folder(one[:10], storage)) for one in (key, other)))
    [row, *_] = texts(block(table, "Where they part"))
    assert row[2] == "weight.gamma2 0 -> 4"


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("small", ConfigError, r"small-\S+ has several rows; name one, as in 'small:Oracle'"),
        ("small:DTS", ConfigError, "has no row 'DTS'; did you mean 'DST'"),
        ("gamma_sweep:first", ConfigError, "a trial of a sweep is named by its number, as in 'gamma_sweep:3'"),
        ("gamma_sweep:99", ConfigError, "has 9 trials, numbered from 0, but got 99"),
        ("nothing", MissingStages, "there is no"),
    ],
)
def test_what_is_not_there_is_named(small_ablation, small_sweep, what, error, message):
    with pytest.raises(error, match=message):
        find_candidate(what, small_ablation[0].parents[1])


def test_a_thing_is_not_compared_with_itself(candidates):
    with pytest.raises(ConfigError, match="both sides of the comparison are small:CBST"):
        compare(candidates[0], candidates[0])
