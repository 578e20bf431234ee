"""Publishing real stage folders into a real MLflow."""

import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from dmt_ray.config import Config
from dmt_ray.errors import UserError
from dmt_ray.experiments.dataset_info import DatasetInfo
from dmt_ray.experiments.driver import State
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.run import Run
from dmt_ray.experiments.sweep import Sweep, Trial, Uniform
from dmt_ray.methods import dmt
from dmt_ray.report.publishing import of_run, of_sweep
from dmt_ray.results.curves import points, rung_points, units
from dmt_ray.store import Store
from dmt_ray.tracking import Entry, Mirror, Publication, Tracker, connect
from dmt_ray.tracking.connection import ARTIFACTS, DATABASE
from dmt_ray.tracking.publish import publish
from tests.helpers.fake_stages import CONFIG, INFO, NO_COLOURS, SCORES, fill
from tests.helpers.mirrored import everything

# MLflow and its dependencies use what Python is about to drop.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")]


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


def results(
    store: Store, sweep: Sweep, *trials: Trial, info: DatasetInfo = NO_COLOURS, state: State = "stopped"
) -> Publication:
    """A publication of a sweep of which these trials have begun."""
    file = ExperimentFile(sweep, Path("runs"), recipe="shapes", trials=9, dataset_info=info.to_json())
    return of_sweep(store.folder / "sweeps" / sweep.name, file, store, state, trials)


def single(store: Store, config: Config = CONFIG) -> ExperimentFile:
    """A single run, all of whose stages are stored."""
    file = ExperimentFile(Run("dmt", config, 0), store.folder, dataset_info=NO_COLOURS.to_json())
    fill(store, file.run.plan())
    return file


def runs_of(mirror: Mirror, name: str) -> dict[str, object]:
    return {run.data.tags.get("dmt.trial", "parent"): run for run in mirror.find({"dmt.name": name})}


# ---- what is replayed ------------------------------------------------------------------------------------------


def test_steps_count_on_over_the_stages_of_a_model(store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    found = [point for unit in units({0: plan}) if unit.side == "A" for point in points(store, {0: plan}, unit)]
    losses = [(point.step, point.value) for point in found if point.name == "loss/loss.A"]
    assert [step for step, _ in losses] == list(range(2, 20 + 10 + 10 + 1, 2))
    assert losses[9] == (20, pytest.approx(1 / 20))
    assert losses[10] == (22, pytest.approx(1 / 2))


def test_no_unit_repeats_what_an_earlier_rung_has_published(store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    found = [(p.name, p.step) for unit in units({0: plan}) for p in points(store, {0: plan}, unit)]
    assert len(found) == len(set(found))


def test_what_is_unknown_is_no_metric(store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    unit = next(unit for unit in units({0: plan}) if unit.name == "1.A")
    found = points(store, {0: plan}, unit)
    assert len([p for p in found if p.name == "other/pseudo_accuracy.A"]) == 4  # of five rows
    classes = {p.name for p in rung_points(store, {0: plan}, 1, INFO)}
    assert "per_class/iou_selection.star" in classes
    assert "per_class/iou_selection.cross" not in classes


def test_the_error_of_labels_is_what_is_missing_to_their_accuracy(store: Store) -> None:
    plan = dmt(CONFIG, 0)
    fill(store, plan)
    unit = next(unit for unit in units({0: plan}) if unit.name == "1.A")
    assert [p.value for p in points(store, {0: plan}, unit) if p.name == "labels/error.A"] == pytest.approx([0.1])
    each = {p.name: p.value for p in rung_points(store, {0: plan}, 1, INFO)}
    assert each["per_class/labels_error.disc"] == pytest.approx(0.1)
    assert "per_class/labels_error.cross" not in each


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
    publish(mirror, results(store, sweep, *trials, info=INFO, state="running"))
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
        "gamma1=8 gamma2=8": "FINISHED",
        "gamma1=0 gamma2=1": "FAILED",
        "gamma1=1 gamma2=0": "RUNNING",
    }
    runs = {run.data.tags["trial"]: run for run in found.values()}
    states = {number: (run.data.tags["state"], run.data.tags["rung"]) for number, run in runs.items()}
    assert states == {
        "0": ("complete", "2/2"),
        "1": ("complete", "2/2"),
        "2": ("pruned", "1/2"),
        "3": ("failed", "0/2"),
        "4": ("running", "0/2"),
    }
    assert runs["3"].data.tags["error"] == "loss is not a number"
    assert runs["0"].data.tags["command"] == (
        "dmt run --recipe shapes --method dmt --set weight.gamma1=5 --set weight.gamma2=5 --storage runs --seed 0"
    )
    assert runs["0"].data.tags["split"] == "random-60-0"
    assert runs["0"].data.tags["version.torch"] == "9.9"
    assert runs["0"].data.params["weight.gamma1"] == "5.0"
    assert not [name for name in runs["0"].data.params if name.startswith(("oracle", "online", "retrain", "cotrain"))]
    assert len(runs["0"].data.params) < 50
    assert not [name for name in parent.data.params if name.startswith("weight.gamma")]  # which are searched
    assert runs["0"].data.metrics["score"] == pytest.approx(0.65)
    assert runs["2"].data.metrics["score"] == pytest.approx(0.62)  # as far as it came
    # Trial 1 shares pretraining, the first labels and the first evaluation with trial 0, for A and B each.
    assert runs["1"].data.tags["reused"] == "6"
    loss = mirror.client.get_metric_history(runs["1"].info.run_id, "loss/loss.A")
    assert sorted(metric.step for metric in loss) == list(range(2, 41, 2))


def test_the_files_of_sweep_and_trial_are_there(mirror: Mirror, store: Store) -> None:
    sweep = gamma_sweep(question="files")
    publish(mirror, results(store, sweep, trial(sweep, store, 0, (5, 5)), info=INFO, state="running"))
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
    publish(mirror, results(store, sweep, *trials))
    before = everything(mirror, sweep.name)
    publish(mirror, results(store, sweep, *trials))
    assert everything(mirror, sweep.name) == before
    assert len(before) == 3


def test_an_interrupted_publication_goes_on(mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = gamma_sweep(question="interrupted")
    complete = trial(sweep, store, 0, (5, 5))
    real = Mirror.log_points

    def breaks(self: Mirror, run: Any, points: Any) -> None:
        real(self, run, points[: len(points) // 2])
        raise ConnectionError("gone")  # half of the metrics are in, no mark is

    monkeypatch.setattr(Mirror, "log_points", breaks)
    with pytest.raises(ConnectionError):
        publish(mirror, results(store, sweep, complete))
    monkeypatch.undo()
    publish(mirror, results(store, sweep, complete))
    whole = gamma_sweep(question="whole")
    publish(mirror, results(store, whole, complete))
    interrupted, uninterrupted = everything(mirror, sweep.name), everything(mirror, whole.name)
    assert [metrics for metrics, *_ in interrupted.values()] == [metrics for metrics, *_ in uninterrupted.values()]


def test_a_trial_that_is_taken_up_again_keeps_its_run(mirror: Mirror, store: Store) -> None:
    sweep = gamma_sweep(question="again")
    half = trial(sweep, store, 0, (5, 5), "running", rungs=2)
    publish(mirror, results(store, sweep, half))
    run = next(run for tag, run in runs_of(mirror, sweep.name).items() if tag != "parent")
    assert (run.info.status, run.data.tags["state"]) == ("KILLED", "interrupted")
    publish(mirror, results(store, sweep, trial(sweep, store, 0, (5, 5))))
    found = runs_of(mirror, sweep.name)
    assert len(found) == 2
    again = next(run for tag, run in found.items() if tag != "parent")
    assert again.info.run_id == run.info.run_id
    assert again.info.status == "FINISHED"
    assert again.data.tags["state"] == "complete"
    assert again.data.metrics["iterations/miou_selection.A"] == pytest.approx(0.60)


def test_a_study_begun_anew_does_not_mix_with_the_old_one(mirror: Mirror, store: Store) -> None:
    sweep = gamma_sweep(question="anew")
    for gammas in ((5, 5), (1, 2)):
        publish(mirror, results(store, sweep, trial(sweep, store, 0, gammas)))
    names = {run.info.run_name for run in runs_of(mirror, sweep.name).values()}
    assert names == {sweep.name, "gamma1=5 gamma2=5", "gamma1=1 gamma2=2"}


def test_a_single_run(mirror: Mirror, store: Store) -> None:
    file = single(store)
    publish(mirror, of_run(file, store))
    before = everything(mirror, file.run.name)
    publish(mirror, of_run(file, store))
    assert everything(mirror, file.run.name) == before
    run = runs_of(mirror, file.run.name)["parent"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["reported_paper"] == pytest.approx(0.58)
    assert run.data.metrics["per_class/iou_reported.star"] == pytest.approx(0.5)


def test_a_damaged_stage_does_not_keep_the_others_back(mirror: Mirror, store: Store) -> None:
    file = single(store, CONFIG.with_weight(gamma1=4.5))
    plan = file.run.plan()
    (store.path(plan.rungs[1]["A"]) / "metrics.json").write_text("{}")
    publish(mirror, of_run(file, store))
    assert "published.1.B" in runs_of(mirror, file.run.name)["parent"].data.tags
    assert "published.1.A" not in runs_of(mirror, file.run.name)["parent"].data.tags
    fill(store, plan)
    publish(mirror, of_run(file, store))
    run = runs_of(mirror, file.run.name)["parent"]
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
    assert Mirror("postgresql://me:secret@host/db", tmp_path).public_uri == "postgresql://me:***@host/db"


def test_a_server_that_is_down_costs_no_time_and_one_warning(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    tracker = connect(f"http://127.0.0.1:{closed_port()}", tmp_path)
    file = single(store)
    for _ in range(3):
        tracker.publish_soon(of_run(file, store))
    left = tracker.close()
    assert time.monotonic() - began < 3
    assert left == (file.run.name,)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2  # that it is down, and what is missing at the end
    assert all("dmt publish" in text for text in warnings)


def test_what_was_missed_is_published_later(tmp_path: Path, store: Store) -> None:
    file = single(store)
    down = connect(f"http://127.0.0.1:{closed_port()}", tmp_path)
    down.publish_soon(of_run(file, store))
    assert down.close()
    up = connect(None, tmp_path)
    up.publish_soon(of_run(file, store))
    assert up.close() == ()
    assert (tmp_path / DATABASE).exists()
    run = runs_of(up.mirror, file.run.name)["parent"]
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
        tracker.publish_soon(results(store, sweep, state="running"))
    assert tracker.close() == (broken.name,)
    assert runs_of(mirror, sound.name).keys() == {"parent"}
    assert "refused" in caplog.text


def test_newer_results_replace_those_that_wait(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[object] = []

    def slowly(_: Mirror, publication: object) -> None:
        time.sleep(0.2)
        published.append(publication)

    monkeypatch.setattr("dmt_ray.tracking.tracker.publish", slowly)
    tracker = Tracker(mirror)
    entry = Entry("queue", {"dmt.name": "queue"}, "RUNNING", digest=str, content=None)
    publications = [Publication(entry) for _ in range(20)]
    for publication in publications:
        tracker.publish_soon(publication)
        time.sleep(0.005)
    assert tracker.close() == ()
    assert published[-1] is publications[-1]
    assert len(published) <= 3
