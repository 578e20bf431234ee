"""Figures of a small real ablation and a small search: what is read is what the stages have stored."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmt_ray.cli.main import main
from dmt_ray.config import Config
from dmt_ray.errors import ConfigError, DataError, MissingStages
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.methods.space import Uniform
from dmt_ray.report import figures
from dmt_ray.report.figures.drawing import AblationFigures
from dmt_ray.results import extra_metrics, tidy
from dmt_ray.results.curves import finetunings
from dmt_ray.results.scores import summary
from dmt_ray.search.study import Study
from dmt_ray.store import Store


def opened(small_ablation):
    """Store, cells and seeds, names of the classes, and what predicts."""
    folder, store = small_ablation
    file = experiment_file.read(folder)
    wanted = list(file.ablation.members())
    dataset_info = DatasetInfo.from_json(next(iter(file.dataset_info.values())))
    return store, wanted, dataset_info, figures.Predictor(store.folder, file.data, "cpu")


def of(wanted, row, seed=0):
    return next(one for one in wanted if (one.cell.row, one.seed) == (row, seed))


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["dmt", "figures", *words])
    return main()


def test_errors_of_pseudo_labels_are_those_that_the_labellings_tell(small_ablation):
    store, wanted, dataset_info, _ = opened(small_ablation)
    errors = figures.label_errors(store, wanted, dataset_info)
    assert list(dict.fromkeys(errors["row"])) == ["CBST", "DST", "DMT"]  # Baseline and Oracle make none
    labelling = finetunings(store, of(wanted, "CBST", 1).plan)[1].inputs["labels"]
    said = summary(store, labelling)
    mine = errors[(errors["row"] == "CBST") & (errors["seed"] == 1) & (errors["iteration"] == 2)]
    told = dict(zip(mine["class"], mine["error"], strict=True))
    assert told[""] == pytest.approx(1 - said["accuracy"])
    assert told["background"] == pytest.approx(1 - said["class_accuracy"][0])
    assert set(mine["share"]) == {labelling.config.share} == {1.0}
    dmt = errors[(errors["row"] == "DMT") & (errors["class"] == "")]
    assert sorted(zip(dmt["seed"], dmt["iteration"], dmt["teacher"], strict=True)) == [
        (seed, iteration, teacher) for seed in (0, 1) for iteration in (1, 2) for teacher in "AB"
    ]


def test_errors_among_the_most_confident_agree_with_the_labelling_of_the_same_teacher(small_ablation):
    store, wanted, dataset_info, predictor = opened(small_ablation)
    labelling = finetunings(store, of(wanted, "CBST").plan)[0].inputs["labels"]  # by the pretrained model
    baseline = of(wanted, "Baseline").plan.rungs[0]["A"]
    assert baseline.inputs["model"] == labelling.inputs["teacher"]
    found = predictor.confident_errors(baseline, dataset_info, row="Baseline", shares=(0.5, 1.0))
    said = summary(store, labelling)  # at a share of 0.5
    half = found[(found["share"] == 0.5) & (found["class"] == "")]
    assert half["error"].item() == pytest.approx(1 - said["accuracy"], abs=1e-6)
    assert half["kept"].item() == pytest.approx(said["kept"], abs=1e-6)
    assert found[(found["share"] == 1.0) & (found["class"] == "")]["kept"].item() == 1
    again = replace(predictor, computes=False).confident_errors(
        baseline, dataset_info, row="Baseline", shares=(0.5, 1.0)
    )
    assert again.equals(found)


def test_predictions_are_computed_once_and_kept(small_ablation):
    _, wanted, _, predictor = opened(small_ablation)
    evaluation = of(wanted, "DMT").plan.rungs[-1]["B"]
    lazy = replace(predictor, computes=False)
    with pytest.raises(MissingStages, match="--predict"):
        lazy.examples(evaluation, count=2)
    found = predictor.examples(evaluation, count=2)
    assert found["ids"].tolist() == ["test_0000", "test_0005"]  # the first and the last of six
    assert found["image_0"].shape == (32, 32, 3)
    assert found["prediction_1"].shape == found["truth_1"].shape == (32, 32)
    assert (lazy.examples(evaluation, count=2)["prediction_1"] == found["prediction_1"]).all()
    assert predictor.examples(evaluation, ids=["test_0003"])["ids"].tolist() == ["test_0003"]
    with pytest.raises(DataError, match="no 'train_0000'"):
        predictor.examples(evaluation, ids=["train_0000"])


def test_disagreement_begins_with_the_first_fine_tuning(small_ablation):
    store, wanted, _, _ = opened(small_ablation)
    rates = figures.disagreements(store, wanted)
    assert list(dict.fromkeys(rates["row"])) == ["CBST", "DST", "DMT"]
    mine = rates[(rates["row"] == "DMT") & (rates["seed"] == 0)]
    assert mine["step"].min() > 0
    assert mine["step"].max() == 2 * 12  # two iterations, without the pretraining
    assert np.allclose(mine[["agreement", "negative", "positive"]].sum(axis=1), 1)


def test_weight_maps_show_every_iteration(small_ablation):
    store, wanted, dataset_info, _ = opened(small_ablation)
    stored = figures.stored_examples(store, of(wanted, "DMT").plan)
    assert len(stored) == 2
    figure = figures.weight_maps(stored, dataset_info.palette, dataset_info.classes, images=1)
    assert {"iteration 1", "iteration 2"} <= {text.get_text() for text in figure.axes[0].texts}
    with pytest.raises(MissingStages, match="no examples"):
        figures.stored_examples(store, of(wanted, "Baseline").plan)


def test_the_command_draws_what_the_records_allow(small_ablation, tmp_path, monkeypatch, capsys):
    _, store = small_ablation
    names = ["forest", "gains", "label-errors", "weights", "qualitative"]
    words = ["small", "--storage", str(store.folder), "--out", str(tmp_path), "--format", "svg", "--only", *names]
    assert run(monkeypatch, *words, "--predict") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.svg" for name in names)
    again = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run(monkeypatch, *words) == 0  # predictions are kept, and the same records give the same bytes
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == again
    assert "left out" not in capsys.readouterr().err


def test_another_metric_takes_the_place_of_the_measure(small_ablation, tmp_path, monkeypatch, capsys):
    folder, store = small_ablation
    words = ["small", "--storage", str(store.folder), "--out", str(tmp_path), "--metric", "dice"]
    assert run(monkeypatch, *words, "--only", "forest", "iterations", "weights") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forest-dice.png", "iterations-dice.png"]
    frame = tidy.of_ablation(folder)
    [first, *_] = figures.paired_differences(tidy.by_metric(frame, "dice"), "pictures")
    lines = frame[(frame["metric"] == "dice") & (frame["rule"] == "last") & (frame["images"] == "reported")]
    scores = lines.pivot_table(index="seed", columns="row", values="value")
    assert first.values == pytest.approx(tuple(scores[first.row] - scores["Baseline"]))
    assert run(monkeypatch, *words[:-1], "nll") == 2
    assert "there is no metric 'nll' for figures" in capsys.readouterr().err


def test_a_pair_of_networks_is_a_point_over_its_disagreement(small_sweep):
    swept, store = figures.read_sweep(small_sweep), Store(small_sweep.parents[1])
    lines = figures.disagreement_and_gain(swept, store)
    assert len(lines) == 9  # trials, with a seed each
    trial, line = swept.complete[0], lines.iloc[0]
    plans = swept.sweep.plans(trial.params)
    assert line["disagreement"] == extra_metrics.disagreement(store, plans)["disagreement_first"]
    assert line["gain"] == extra_metrics.gain(store, plans)["gain"]
    [axes] = figures.pairs_plot(lines).axes
    [points] = [one for one in axes.get_lines() if one.get_marker() == "o"]
    assert points.get_xdata() == pytest.approx(100 * lines["disagreement"].to_numpy())
    assert "9 pairs, one seed; rank correlation" in axes.get_title(loc="left")


def test_the_command_says_what_is_missing(small_ablation, tmp_path, monkeypatch, capsys):
    folder, _ = small_ablation
    file = experiment_file.read(folder)
    empty = Store(tmp_path)
    begun = tmp_path / "ablations" / file.ablation.name
    experiment_file.write(begun, file)
    assert run(monkeypatch, str(begun), "--only", "forest", "confident") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "left out: forest: no row has a seed in common with the reference 'Baseline' yet" in said.err
    assert "DMT: 2 of 2 seeds are incomplete; compute them with `" in said.err
    assert "-m ablations.small --seeds 0 1 --set a=1 --rows DMT`" in said.err
    assert empty.size() == 0


def test_wrong_names_are_told_from_the_right_ones(small_ablation, monkeypatch, capsys):
    folder, store = small_ablation
    assert run(monkeypatch, str(folder), "--only", "forests") == 2
    assert "did you mean 'forest'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="has no row 'DMTT'"):
        AblationFigures(folder, figures.Predictor(store.folder), ["DMTT"])


@pytest.fixture
def sweep(tmp_path: Path, tiny: Config) -> Path:
    """A finished search over the exponents with four trials, whose stages are gone."""
    space = {"weight.gamma1": Uniform(0, 8), "weight.gamma2": Uniform(0, 8)}
    searched = Sweep("gamma_sweep", "Which?", tiny, "dmt", space, (0,), grid=2)
    folder = tmp_path / "sweeps" / searched.name
    folder.mkdir(parents=True)
    experiment_file.write(folder, experiment_file.ExperimentFile(searched, tmp_path, recipe="shapes", trials=4))
    study = Study(folder, searched, 4)
    while (taken := study.take("me")) is not None:
        _, params = taken
        for rung in range(searched.last_rungs()[1] + 1):
            study.report("me", rung, 0.5 + float(params["weight.gamma1"]) / 100 + 0.01 * rung)
        study.finish("me")
    return folder


def test_a_search_is_read_from_its_folder(sweep):
    found = figures.read_sweep(sweep)
    assert len(found.complete) == 4
    assert found.test_scores == {}  # not stored
    best = figures.best_of_k([one.score for one in found.complete])["best"]
    assert best.iloc[-1] == pytest.approx(0.5 + 0.08 + 0.02)


def test_the_command_draws_a_search(sweep, tmp_path, monkeypatch, capsys):
    assert (
        run(monkeypatch, "gamma_sweep", "--storage", str(tmp_path), "--only", "landscape", "parallel", "best-of-k") == 0
    )
    drawn = sorted(path.name for path in (tmp_path / "figures" / sweep.name).iterdir())
    assert drawn == ["best-of-k.png", "landscape.png", "parallel.png"]
    assert "left out" not in capsys.readouterr().err


def test_a_search_over_other_things_has_no_label_fraction(sweep):
    with pytest.raises(ConfigError, match="searches other things"):
        figures.sweep_fraction_scores(figures.read_sweep(sweep))
