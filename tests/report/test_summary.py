"""What is told of a sweep beside its scores: two objectives, disagreement, shared work, figures."""

import csv
import json

import pytest
from rich.console import Console

from dmt_ray.cli.sweep_cost import describe
from dmt_ray.execution.journal import note_executed
from dmt_ray.experiments import reuse
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep, Trial
from dmt_ray.experiments.trials import best, front
from dmt_ray.methods.space import Choice, Integer, Uniform
from dmt_ray.plan import Stage
from dmt_ray.recipes import RECIPES, load
from dmt_ray.report import summary
from dmt_ray.report.figures.slices import slices
from dmt_ray.results.extra_metrics import disagreement
from dmt_ray.store import Store
from tests.helpers.scripts import script

LENGTHS = {"schedule.iterations": Integer(1, 5), "method": Choice("dmt", "dst")}
STEPS = {"pretrain": 20, "finetune": 10}


def a_sweep(space=None, **other) -> Sweep:
    return Sweep("a_search", "What?", load("shapes"), "dmt", space or LENGTHS, (0,), **other)


def a_trial(number: int, score: float, compute: float | None = None, state: str = "complete", **params) -> Trial:
    return Trial(number, params, state, {0: 0.1, 1: score}, compute=compute)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


def fill(store: Store, stages: list[Stage], agreement: float = 0.75) -> None:
    """Write stages with what is read of them here."""
    for stage in stages:
        if store.has(stage):
            continue
        steps = STEPS.get(stage.operation.name)
        with store.write(stage, {"steps": steps} if steps else {}) as folder:
            if steps:
                rows = [f"{step},0.1,{agreement + 0.01 * step}" for step in (4, 6)] + ["10,0.1,"]
                (folder / "history.csv").write_text("\n".join(["step,loss,agreement", *rows, ""]))
            else:
                scores = {which: {"miou": 0.4} for which in ("selection", "reported")}
                (folder / "metrics.json").write_text(json.dumps(scores))


# ---- two objectives --------------------------------------------------------------------------------------------


def test_the_front_holds_what_no_other_trial_beats_in_both():
    trials = [
        a_trial(0, 0.5, 300),
        a_trial(1, 0.4, 100),
        a_trial(2, 0.4, 200),  # as good as 1, and more expensive
        a_trial(3, 0.45, 200),
        a_trial(4, 0.9, 50, "pruned"),
        a_trial(5, 0.3, 400),
    ]
    assert [trial.number for trial in front(trials)] == [1, 3, 0]
    assert best(trials).number == 0


def test_a_search_with_one_objective_has_no_front():
    assert front([a_trial(0, 0.5), a_trial(1, 0.4)]) == []


def test_compute_counts_the_steps_of_both_models():
    def steps(method: str) -> int:
        plan = a_sweep().plans({"schedule.iterations": 2, "method": method})[0]
        return reuse.compute(plan.stages(), lambda stage: STEPS[stage.operation.name])

    assert (steps("dst"), steps("dmt")) == (20 + 2 * 10, 2 * (20 + 2 * 10))


def test_the_longest_trial_is_not_the_best_one():
    trials = [Trial(0, {}, "complete", {0: 0.1, 1: 0.5}), Trial(1, {}, "complete", {0: 0.1, 1: 0.2, 2: 0.4})]
    assert best(trials) == trials[0]


# ---- disagreement ----------------------------------------------------------------------------------------------


def test_disagreement_is_the_mean_share_of_labels_that_the_student_would_not_give(store):
    plans = a_sweep().plans({"schedule.iterations": 2, "method": "dmt"})
    first = [rung.inputs["model"] for rung in plans[0].rungs[1].values()]
    fill(store, first, agreement=0.65)  # rows of 0.69 and 0.71, and one without
    fill(store, plans[0].stages(), agreement=0.75)  # 0.79 and 0.81
    found = disagreement(store, plans)
    assert found == {"disagreement_first": pytest.approx(0.30), "disagreement_last": pytest.approx(0.20)}


def test_a_baseline_does_not_disagree(store):
    sweep = a_sweep({"method": Choice("baseline", "dmt")})
    assert disagreement(store, sweep.plans({"method": "baseline"})) == {}


def test_numbers_that_no_trial_has_are_explained_below_the_trials(store, tmp_path, capsys, monkeypatch):
    file = ExperimentFile(a_sweep({"dms_alpha": Uniform(0.55, 1)}), tmp_path, recipe="shapes")
    file.folder.mkdir(parents=True)
    monkeypatch.setattr(summary, "read_gaps", lambda *_: {1: "tried before"})
    summary.show(Console(width=200), file, store, [])
    assert "\nnumbers  no trial has number 1 (tried before)\n" in capsys.readouterr().out


def test_outcomes_stand_beside_the_score(store, tmp_path, capsys):
    sweep = a_sweep({"dms_alpha": Uniform(0.55, 1)}, extra_metrics=("disagreement",))
    trials = [Trial(0, {"dms_alpha": 0.8}, "complete", {5: 0.4}), Trial(1, {"dms_alpha": 0.7}, "pruned", {2: 0.3})]
    fill(store, sweep.plans(trials[0].params)[0].stages())
    file = ExperimentFile(sweep, tmp_path, recipe="shapes")
    file.folder.mkdir(parents=True)
    summary.show(Console(width=200), file, store, trials)
    rows = list(csv.DictReader((file.folder / "trials.csv").read_text().splitlines()))
    assert float(rows[0]["disagreement_first"]) == pytest.approx(0.2)
    assert rows[1]["disagreement_first"] == ""
    assert "disagreement first %" in capsys.readouterr().out


# ---- shared work -----------------------------------------------------------------------------------------------


def test_steps_one_by_one_and_of_the_union():
    sweep = a_sweep(known=tuple({"schedule.iterations": n, "method": "dst"} for n in (1, 1)))
    stages = [sweep.plans(point)[0].stages() for point in sweep.known]
    found = reuse.of(stages, lambda stage: STEPS[stage.operation.name])
    assert (found.trials, found.alone, found.together, found.share) == (2, 60, 30, 0.5)


def test_what_was_executed_is_counted_by_the_store_s_records(store, tmp_path):
    """Two schedules that begin alike: 20, 60, 100 % and 20, 60 %; the second one stopped after its first iteration."""
    space = {"schedule.iterations": Integer(1, 3), "schedule.end": Uniform(0.5, 1)}
    sweep = a_sweep(space)
    long, short = {"schedule.iterations": 3, "schedule.end": 1.0}, {"schedule.iterations": 2, "schedule.end": 0.6}
    stages = [stage for stage in sweep.plans(long)[0].stages()]
    fill(store, stages)
    note_executed(tmp_path, "shared", [stage.key for stage in stages[:4]])
    own = tuple(stage.key for stage in stages[4:])
    trials = [
        Trial(0, long, "complete", dict.fromkeys(range(4), 0.4), executed=own),
        Trial(1, short, "pruned", {0: 0.4, 1: 0.4}),
    ]
    found = reuse.performed(reuse.needed(sweep, trials), store, tmp_path, trials)
    # Both models: pretraining and three iterations; pretraining and one iteration.
    assert (found.alone, found.together) == (2 * (20 + 30) + 2 * (20 + 10), 2 * (20 + 30))


@pytest.mark.parametrize("recipe", [name for name in RECIPES if load(name).data.task == "segmentation"])
def test_twelve_schedules_need_at_most_sixty_percent_of_the_iterations(recipe):
    """Pretraining left out, which all share anyhow: what counts are beginnings of schedules."""
    module = script("schedule_sweep")
    sweep = Sweep("s", "?", load(recipe), "dmt", module.SPACE, (0,), tuple(module.KNOWN))
    stages = [sweep.plans(point)[0].stages() for point in sweep.points()]
    found = reuse.of(stages, lambda stage: int(stage.operation.name == "finetune"))
    assert found.trials == 12
    assert found.alone == 2 * (5 + 4 + 3 + 9 + 5 + 5 + 5 + 3 + 2 + 4 + 3 + 1)
    assert found.share <= 0.6


def test_a_dry_run_says_what_sharing_saves(store, capsys):
    sweep = a_sweep(known=tuple({"schedule.iterations": n, "method": "dst"} for n in (1, 1)))
    describe(Console(width=300), sweep, store, lambda stage: STEPS.get(stage.operation.name, 1), 2)
    said = capsys.readouterr().out
    assert "2 trials need 60 optimizer steps separately, but together only 30 (50.0%)" in said
    describe(Console(width=300), sweep, store, lambda stage: STEPS.get(stage.operation.name, 1), 9)
    assert "the 2 trials known in advance need" in capsys.readouterr().out


# ---- figures and tables ----------------------------------------------------------------------------------------


def test_a_figure_has_a_slice_for_everything_that_is_searched():
    space = LENGTHS | {"dms_alpha": Uniform(0.55, 1)}
    point = {"schedule.iterations": 2, "method": "dst", "dms_alpha": 0.8}
    trials = [a_trial(0, 0.4, **point), a_trial(1, 0.5, **point), a_trial(2, 0.2, None, "pruned", **point)]
    figure = slices(space, trials)
    assert [axes.get_xlabel() for axes in figure.axes] == ["iterations", "method", "dms alpha"]
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["dmt", "dst"]
    said = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "complete trial (2)" in said
    assert "best: trial 1, mIoU 50.00 %" in said


def test_a_search_without_trials_has_a_figure_too():
    assert len(slices(LENGTHS, []).axes) == 2


def test_seed_by_seed_the_table_has_a_column_for_each_seed(store, tmp_path):
    sweep = Sweep("s", "?", load("shapes"), "dmt", {"dms_alpha": Uniform(0.55, 1)}, (3, 7), seed_by_seed=True)
    trial = Trial(0, {"dms_alpha": 0.8}, "pruned", {0: 0.4}, seed_by_seed=True)
    summary.write_csv(tmp_path / "trials.csv", sweep, summary.rows_of(sweep, store, [trial]))
    (row,) = csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())
    assert (row["selection_miou_seed_3"], row["selection_miou_seed_7"]) == ("0.4", "")
    assert [path.name for path in summary.write_figures(tmp_path, sweep, [trial])] == ["slices.png"]
