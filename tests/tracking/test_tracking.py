"""Publishing real stage folders into a real MLflow."""

import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dmt_ray.errors import UserError
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.sweep import Sweep, Trial, Uniform
from dmt_ray.methods import dmt
from dmt_ray.plan import Plan, Stage, in_order
from dmt_ray.recipes import named
from dmt_ray.results.curves import finals, points, rung_points, units
from dmt_ray.store import Store
from dmt_ray.tracking import Mirror, RunResults, SweepResults, Tracker, connect
from dmt_ray.tracking.connection import ARTIFACTS, DATABASE
from dmt_ray.tracking.publish import publish

CLASSES = ("background", "disc", "square", "triangle", "star", "cross")
PALETTE = np.arange(18, dtype=np.uint8).reshape(6, 3) * 14
NO_COLOURS = DatasetInfo(CLASSES)  # no panels, which take a while to draw
ABOUT = DatasetInfo(
    CLASSES, PALETTE, {0: ("random-60-0", "abcabcabcabc"), 1: ("random-60-1", "defdefdefdef")}, "make sweep"
)
CONFIG = named("shapes").evolve(percentiles=(0.5, 1.0))
STEPS = {"pretrain": 20, "finetune": 10}
SCORES = (0.50, 0.62, 0.60)  # selection mIoU after each rung
REPORTED = (0.48, 0.57, 0.58)

# MLflow and its dependencies use what Python is about to drop.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")]


def fill(store: Store, plan: Plan, rungs: int = 3, gain: float = 0.0, sides: str = "AB") -> list[str]:
    """Write the stages of a plan up to a rung, as the engine does; returns the keys of those that were not there."""
    written = []
    for number, rung in enumerate(plan.rungs[:rungs]):
        for stage in in_order(evaluation for side, evaluation in rung.items() if side in sides):
            if not store.has(stage):
                written.append(stage.key)
                steps = STEPS.get(stage.operation.name)
                made = {"seconds": 10.0, "versions": {"torch": "9.9"}} | ({"steps": steps} if steps else {})
                with store.write(stage, made) as folder:
                    _write(folder, stage, number, gain)
    return written


def _write(folder: Path, stage: Stage, rung: int, gain: float) -> None:
    kind = stage.operation.name
    if kind in STEPS:
        steps = np.arange(2, STEPS[kind] + 1, 2)
        table = {"step": steps, "epoch": 0, "learning_rate": 0.1, "loss": 1 / steps, "labelled_loss": 1 / steps}
        if kind == "finetune":
            table |= {"agreement": 0.9, "mean_weight": 0.7, "pseudo_accuracy": [0.8] * (len(steps) - 1) + [np.nan]}
            np.savez(folder / "examples.npz", **_examples())
        pd.DataFrame(table).to_csv(folder / "history.csv", index=False)
    elif kind == "label":
        values = {"kept": 0.5, "coverage": [0.5] * 6, "accuracy": 0.9, "class_accuracy": [0.9] * 5 + [None]}
        (folder / "summary.json").write_text(json.dumps(values))
    else:
        scores = {
            which: {"miou": value[rung] + gain, "pixel_accuracy": 0.9, "iou": [0.5] * 5 + [None]}
            for which, value in (("selection", SCORES), ("reported", REPORTED))
        }
        (folder / "metrics.json").write_text(json.dumps(scores))


def _examples() -> dict[str, np.ndarray]:
    maps = {f"{name}_0": np.eye(8, dtype=np.uint8) for name in ("truth", "label", "confidence", "weight", "prediction")}
    return {"ids": np.array(["train_0000"]), "image_0": np.zeros((8, 8, 3), np.uint8), **maps}


def gamma_sweep(seeds: tuple[int, ...] = (0,), question: str = "gamma_sweep") -> Sweep:
    both = {"weight.gamma1": Uniform(0, 8), "weight.gamma2": Uniform(0, 8)}
    return Sweep(question, "Which exponents are best?", CONFIG, "dmt", both, seeds)


def trial(
    sweep: Sweep,
    store: Store,
    number: int,
    gammas: tuple[float, float],
    state: str = "complete",
    rungs: int = 3,
    gain: float = 0.0,
    error: str | None = None,
) -> Trial:
    params = {"weight.gamma1": gammas[0], "weight.gamma2": gammas[1]}
    executed: list[str] = []
    for plan in sweep.plans(params).values():
        executed += fill(store, plan, rungs, gain)
    scores = {rung: SCORES[rung] + gain for rung in range(rungs)}
    return Trial(number, params, state, scores, error, tuple(executed))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterable[Mirror]:
    tracker = connect(None, tmp_path_factory.mktemp("runs"))
    yield tracker.mirror
    assert tracker.close() == ()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def runs_of(mirror: Mirror, name: str) -> dict[str, object]:
    return {run.data.tags.get("dmt.trial", "parent"): run for run in mirror.find({"dmt.name": name})}


def everything(mirror: Mirror, name: str) -> dict[str, object]:
    """All that publishing could have changed: metrics with their whole histories, parameters, tags, status, times."""
    return {
        run.info.run_id: (
            {
                key: [(m.step, m.value, m.timestamp) for m in mirror.client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            },
            run.data.params,
            run.data.tags,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            sorted(file.path for file in mirror.client.list_artifacts(run.info.run_id)),
        )
        for run in mirror.find({"dmt.name": name})
    }


# ---- what is replayed ------------------------------------------------------------------------------------------


def test_steps_count_on_over_the_stages_of_a_model(store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    found = [point for unit in units({0: plan}) if unit.side == "A" for point in points(store, {0: plan}, unit, ABOUT)]
    losses = [(point.step, point.value) for point in found if point.name == "A/loss"]
    assert [step for step, _ in losses] == list(range(2, 20 + 10 + 10 + 1, 2))
    assert losses[9] == (20, pytest.approx(1 / 20))
    assert losses[10] == (22, pytest.approx(1 / 2))


def test_no_unit_repeats_what_an_earlier_rung_has_published(store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    found = [(p.name, p.step) for unit in units({0: plan}) for p in points(store, {0: plan}, unit, ABOUT)]
    assert len(found) == len(set(found))


def test_what_is_unknown_is_no_metric(store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    unit = next(unit for unit in units({0: plan}) if unit.name == "1.A")
    found = points(store, {0: plan}, unit, ABOUT)
    assert len([p for p in found if p.name == "A/pseudo_accuracy"]) == 4  # of five rows
    assert "A/iou_selection/star" in {p.name for p in found}
    assert "A/iou_selection/cross" not in {p.name for p in found}


def test_the_three_selection_rules_are_kept_apart(store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    assert finals(store, {0: plan}) == pytest.approx(
        {"score": 0.60, "best_rung": 1, "reported_last": 0.58, "reported_val": 0.57, "reported_paper": 0.58}
    )


def test_several_seeds_have_metrics_of_their_own_and_a_mean(store: Store) -> None:
    plans = {0: dmt(CONFIG, 0), 1: dmt(CONFIG, 1)}
    fill(store, plans[0])
    fill(store, plans[1], gain=0.1)
    found = [p for unit in units(plans) for p in points(store, plans, unit, ABOUT)]
    assert {"A/loss.seed0", "A/loss.seed1", "B/loss.seed0", "B/loss.seed1"} <= {p.name for p in found}
    assert rung_points(store, plans, 2)[0].value == pytest.approx(0.65)


# ---- what MLflow then has --------------------------------------------------------------------------------------


def test_a_sweep_is_a_run_and_its_trials_are_runs_below_it(mirror: Mirror, store: Store) -> None:
    sweep = gamma_sweep()
    trials = (
        trial(sweep, store, 0, (5, 5), gain=0.05),
        trial(sweep, store, 1, (2, 3.5)),
        trial(sweep, store, 2, (8, 8), "pruned", rungs=2),
        trial(sweep, store, 3, (0, 1), "failed", rungs=1, error="loss is not a number"),
        trial(sweep, store, 4, (1, 0), "running", rungs=1),
    )
    publish(mirror, SweepResults(store, sweep, trials, ABOUT, {0: "dmt run --seed 0"}))
    found = runs_of(mirror, sweep.name)
    parent = found.pop("parent")
    assert parent.info.run_name == sweep.name
    assert parent.info.status == "RUNNING"
    assert "Which exponents are best?" in parent.data.tags["mlflow.note.content"]
    assert "65.00 %" in parent.data.tags["mlflow.note.content"]
    assert {run.data.tags["mlflow.parentRunId"] for run in found.values()} == {parent.info.run_id}
    states = {run.info.run_name: run.info.status for run in found.values()}
    assert states == {
        "gamma1=5 gamma2=5": "FINISHED",
        "gamma1=2 gamma2=3.5": "FINISHED",
        "gamma1=8 gamma2=8": "KILLED",
        "gamma1=0 gamma2=1": "FAILED",
        "gamma1=1 gamma2=0": "RUNNING",
    }
    runs = {run.data.tags["trial"]: run for run in found.values()}
    assert runs["2"].data.tags["pruned"] == "true"
    assert runs["3"].data.tags["error"] == "loss is not a number"
    assert runs["0"].data.tags["command"] == "dmt run --seed 0"
    assert runs["0"].data.tags["split"] == "random-60-0"
    assert runs["0"].data.tags["version.torch"] == "9.9"
    assert runs["0"].data.params["weight.gamma1"] == "5.0"
    assert len(runs["0"].data.params) < 100
    assert runs["0"].data.metrics["score"] == pytest.approx(0.65)
    assert "score" not in runs["2"].data.metrics
    # Trial 1 shares pretraining, the first labels and the first evaluation with trial 0, for A and B each.
    assert runs["1"].data.tags["reused"] == "6"
    loss = mirror.client.get_metric_history(runs["1"].info.run_id, "A/loss")
    assert sorted(metric.step for metric in loss) == list(range(2, 41, 2))


def test_the_files_of_sweep_and_trial_are_there(mirror: Mirror, store: Store) -> None:
    sweep = gamma_sweep(question="files")
    publish(mirror, SweepResults(store, sweep, (trial(sweep, store, 0, (5, 5)),), ABOUT))
    found = runs_of(mirror, sweep.name)
    parent = found.pop("parent")
    names = {file.path: file.file_size for file in mirror.client.list_artifacts(parent.info.run_id)}
    assert names.keys() == {"config.yaml", "trials.csv", "curves.png", "landscape.png", "best_panel.png"}
    child = next(iter(found.values()))
    assert {file.path for file in mirror.client.list_artifacts(child.info.run_id)} == {
        "config.yaml",
        "stages.json",
        "curves.png",
        "panel.png",
    }
    folder = Path(mirror.client.download_artifacts(child.info.run_id, ""))
    rows = json.loads((folder / "stages.json").read_text())
    assert len(rows) == len(sweep.plans({"weight.gamma1": 5, "weight.gamma2": 5})[0].stages())
    assert (folder / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_publishing_twice_changes_nothing(mirror: Mirror, store: Store) -> None:
    sweep = gamma_sweep(question="twice")
    trials = (trial(sweep, store, 0, (5, 5)), trial(sweep, store, 1, (8, 8), "pruned", rungs=2))
    results = SweepResults(store, sweep, trials, NO_COLOURS, state="stopped")
    publish(mirror, results)
    before = everything(mirror, sweep.name)
    publish(mirror, results)
    assert everything(mirror, sweep.name) == before
    assert len(before) == 3


def test_an_interrupted_publication_goes_on(mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = gamma_sweep(question="interrupted")
    results = SweepResults(store, sweep, (trial(sweep, store, 0, (5, 5)),), NO_COLOURS, state="stopped")
    real, calls = Mirror.log_points, []

    def breaks(self: Mirror, run: object, found: object) -> None:
        calls.append(1)
        real(self, run, found)  # type: ignore[arg-type]
        if len(calls) == 3:  # the metrics are in, the mark is not
            raise ConnectionError("gone")

    monkeypatch.setattr(Mirror, "log_points", breaks)
    with pytest.raises(ConnectionError):
        publish(mirror, results)
    monkeypatch.undo()
    publish(mirror, results)
    whole = gamma_sweep(question="whole")
    publish(mirror, SweepResults(store, whole, results.trials, NO_COLOURS, state="stopped"))
    interrupted, uninterrupted = everything(mirror, sweep.name), everything(mirror, whole.name)
    assert [metrics for metrics, *_ in interrupted.values()] == [metrics for metrics, *_ in uninterrupted.values()]


def test_a_trial_that_is_taken_up_again_keeps_its_run(mirror: Mirror, store: Store) -> None:
    sweep = gamma_sweep(question="again")
    half = trial(sweep, store, 0, (5, 5), "running", rungs=2)
    publish(mirror, SweepResults(store, sweep, (half,), NO_COLOURS, state="stopped"))
    run = next(run for tag, run in runs_of(mirror, sweep.name).items() if tag != "parent")
    assert (run.info.status, run.data.tags["interrupted"]) == ("KILLED", "true")
    publish(mirror, SweepResults(store, sweep, (trial(sweep, store, 0, (5, 5)),), NO_COLOURS, state="stopped"))
    found = runs_of(mirror, sweep.name)
    assert len(found) == 2
    again = next(run for tag, run in found.items() if tag != "parent")
    assert again.info.run_id == run.info.run_id
    assert again.info.status == "FINISHED"
    assert "interrupted" not in again.data.tags
    assert again.data.metrics["A/miou_selection"] == pytest.approx(0.60)


def test_a_study_begun_anew_does_not_mix_with_the_old_one(mirror: Mirror, store: Store) -> None:
    sweep = gamma_sweep(question="anew")
    for gammas in ((5, 5), (1, 2)):
        publish(mirror, SweepResults(store, sweep, (trial(sweep, store, 0, gammas),), NO_COLOURS, state="stopped"))
    names = {run.info.run_name for run in runs_of(mirror, sweep.name).values()}
    assert names == {sweep.name, "gamma1=5 gamma2=5", "gamma1=1 gamma2=2"}


def test_a_single_run(mirror: Mirror, store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    results = RunResults("dmt", CONFIG, 0, plan, store)
    publish(mirror, results)
    before = everything(mirror, results.name)
    publish(mirror, results)
    assert everything(mirror, results.name) == before
    run = runs_of(mirror, results.name)["parent"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["reported_paper"] == pytest.approx(0.58)
    assert run.data.metrics["A/iou_reported/class 0"] == pytest.approx(0.5)


def test_a_damaged_stage_does_not_keep_the_others_back(mirror: Mirror, store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    (store.path(plan.rungs[1]["A"]) / "metrics.json").write_text("{}")
    results = RunResults("dmt", CONFIG.with_weight(gamma1=4.5), 0, plan, store)
    publish(mirror, results)
    assert "published.1.B" in runs_of(mirror, results.name)["parent"].data.tags
    assert "published.1.A" not in runs_of(mirror, results.name)["parent"].data.tags
    fill(store, plan)
    publish(mirror, results)
    run = runs_of(mirror, results.name)["parent"]
    assert "published.1.A" in run.data.tags
    assert run.info.status == "FINISHED"


# ---- in the background -----------------------------------------------------------------------------------------


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("uri", ["htp://somewhere", "mlruns", "http://", "http://host:port", "sqlite://", "file:///x"])
def test_a_malformed_uri_is_refused(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tracking URI|database file|name a host"):
        connect(uri, tmp_path)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    assert Mirror("postgresql://me:secret@host/db", tmp_path).shown == "postgresql://me:***@host/db"


def test_a_server_that_is_down_costs_no_time_and_one_warning(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    tracker = connect(f"http://127.0.0.1:{closed_port()}", tmp_path)
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    for _ in range(3):
        tracker.publish_soon(RunResults("dmt", CONFIG, 0, plan, store))
    left = tracker.close()
    assert time.monotonic() - began < 3
    assert left == (RunResults("dmt", CONFIG, 0, plan, store).name,)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2  # that it is down, and what is missing at the end
    assert all("dmt publish" in text for text in warnings)


def test_what_was_missed_is_published_later(tmp_path: Path, store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    down = connect(f"http://127.0.0.1:{closed_port()}", tmp_path)
    down.publish_soon(RunResults("dmt", CONFIG, 0, plan, store, NO_COLOURS))
    assert down.close()
    up = connect(None, tmp_path)
    up.publish_soon(RunResults("dmt", CONFIG, 0, plan, store, NO_COLOURS))
    assert up.close() == ()
    assert (tmp_path / DATABASE).exists()
    run = runs_of(up.mirror, RunResults("dmt", CONFIG, 0, plan, store).name)["parent"]
    assert run.info.artifact_uri.startswith((tmp_path / ARTIFACTS).as_uri())
    assert run.data.metrics["score"] == pytest.approx(0.60)


def test_what_fails_does_not_keep_the_others_back(
    mirror: Mirror, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = gamma_sweep(question="broken"), gamma_sweep(question="sound")
    real = Mirror.create

    def refuses(self: Mirror, name: str, *rest: Any) -> Any:
        if name == broken.name:
            raise ConnectionError("refused")
        return real(self, name, *rest)

    monkeypatch.setattr(Mirror, "create", refuses)
    tracker = Tracker(mirror)
    for sweep in (broken, sound):
        tracker.publish_soon(SweepResults(store, sweep, (), NO_COLOURS))
    assert tracker.close() == (broken.name,)
    assert runs_of(mirror, sound.name).keys() == {"parent"}
    assert "refused" in caplog.text


def test_newer_results_replace_those_that_wait(mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[object] = []

    def slowly(_: Mirror, results: object) -> None:
        time.sleep(0.2)
        published.append(results)

    monkeypatch.setattr("dmt_ray.tracking.tracker.publish", slowly)
    tracker = Tracker(mirror)
    sweep = gamma_sweep(question="queue")
    states = [SweepResults(store, sweep, (), ABOUT, result=str(number)) for number in range(20)]
    for state in states:
        tracker.publish_soon(state)
        time.sleep(0.005)
    assert tracker.close() == ()
    assert published[-1] == states[-1]
    assert len(published) <= 3


# ---- the best model --------------------------------------------------------------------------------------------

LOAD = """
import sys, mlflow, torch
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pytorch.load_model(sys.argv[2])
for size in ((1, 3, 64, 64), (5, 3, 96, 128)):
    print(tuple(model(torch.zeros(size)).shape))
images = torch.linspace(0, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
print(float(model(images).double().sum()))
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_best_model_loads_in_a_fresh_process(mirror: Mirror, store: Store) -> None:
    import torch

    from dmt_ray import models
    from dmt_ray.engine.workspace import MEAN, STD
    from dmt_ray.tracking.best_model import log_best_model

    plan = dmt(CONFIG, 0)
    torch.manual_seed(0)
    network = models.build(CONFIG.model, 6).eval()
    best = plan.rungs[-1]["A"]
    with store.write(best.inputs["model"]) as folder:
        models.save(network, folder, {"model": CONFIG.model.model_dump(mode="json"), "classes": 6, "side": "A"})
    for evaluation in plan.rungs[-1].values():
        with store.write(evaluation) as folder:
            _write(folder, evaluation, 2, gain=0.1 if evaluation == best else 0.0)
    run = mirror.create("best", {}, None)
    uri = log_best_model(mirror, run, store, {0: plan}, ABOUT)
    assert uri == log_best_model(mirror, run, store, {0: plan}, ABOUT)
    done = subprocess.run([sys.executable, "-c", LOAD, mirror.uri, uri], capture_output=True, text=True, check=True)
    small, large, total = done.stdout.strip().splitlines()
    assert (small, large) == ("(1, 6, 64, 64)", "(5, 6, 96, 128)")
    images = torch.linspace(0, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)
    normalised = (images - torch.tensor(MEAN).reshape(3, 1, 1)) / torch.tensor(STD).reshape(3, 1, 1)
    with torch.no_grad():
        assert float(total) == pytest.approx(float(network(normalised).double().sum()), rel=1e-4)
