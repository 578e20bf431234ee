"""Publishing ablations, from real stage folders into a real MLflow."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dmt_ray.experiments import experiment_file as files
from dmt_ray.experiments.ablation import Column, Row
from dmt_ray.experiments.driver import State
from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.report.publishing import ablations, of_ablation, publish_all
from dmt_ray.results import tidy
from dmt_ray.store import Store
from dmt_ray.tracking import Mirror, connect
from dmt_ray.tracking.publish import publish as publish_into
from tests.helpers.fake_stages import TWO_ROWS, ablation_file, fill, perform
from tests.helpers.mirrored import everything

ROWS = {"Baseline": Row("baseline"), "DMT": Row("dmt"), "DMT, gamma1 4 %": Row("dmt", {"weight.gamma1": 4})}
RATIOS = {"1/20": Column(), "1/50": Column({"split.labelled": 8})}

# MLflow and its dependencies use what Python is about to drop.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")]


def publish(
    mirror: Mirror,
    store: Store,
    file: ExperimentFile,
    state: State = "finished",
    failed: Mapping[str, str] | None = None,
) -> None:
    """Publish an ablation as it is now."""
    folder = store.folder / "ablations" / file.ablation.name
    files.write(folder, file)
    publish_into(mirror, of_ablation(folder, file, store, state, failed or {}))


def runs_of(mirror: Mirror, file: ExperimentFile) -> tuple[Any, dict[str, Any]]:
    """The table's run, and the runs below it by their names."""
    runs = mirror.find({"dmt.name": file.ablation.name})
    (parent,) = [run for run in runs if run.data.tags["dmt.kind"] == "ablation"]
    return parent, {run.info.run_name: run for run in runs if run is not parent}


@pytest.fixture(scope="module")
def complete(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, ExperimentFile]:
    """Three rows and two seeds, all there and published."""
    store, file = Store(tmp_path_factory.mktemp("complete") / "runs"), ablation_file("complete", ROWS)
    perform(store, file)
    publish(mirror, store, file)
    return store, file


def test_runs_are_called_and_sorted_like_the_table(mirror: Mirror, complete: tuple[Store, ExperimentFile]) -> None:
    parent, runs = runs_of(mirror, complete[1])
    assert parent.info.run_name == complete[1].ablation.name
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert sorted(runs, key=lambda name: runs[name].data.tags["order"]) == [
        f"{row} · seed {seed}" for row in ROWS for seed in (0, 1)
    ]
    tags = runs["DMT · seed 1"].data.tags
    found = [tags[name] for name in ("row", "column", "method", "seed", "dmt.kind", "state", "order", "split")]
    assert found == ["DMT", "shapes", "dmt", "1", "cell", "there", "02-1", "random-16-1"]
    assert runs["DMT, gamma1 4 % · seed 0"].data.params["weight.gamma1"] == "4.0"


def test_where_there_are_several_columns_they_are_in_the_names(mirror: Mirror, store: Store) -> None:
    file = ablation_file("columns", {"Baseline": Row("baseline"), "Oracle": Row("oracle")}, (3,), RATIOS)
    perform(store, file)
    publish(mirror, store, file)
    parent, runs = runs_of(mirror, file)
    assert sorted(runs, key=lambda name: runs[name].data.tags["order"]) == [
        f"{row} · {column} · seed 3" for row in ("Baseline", "Oracle") for column in RATIOS
    ]
    assert runs["Oracle · 1/50 · seed 3"].data.tags["command"] == (
        "dmt run --recipe shapes --method oracle --set 'percentiles=[0.5, 1.0]' --set split.labelled=8 "
        "--storage runs --seed 3"
    )
    assert "reported_last/1_50/Oracle" in parent.data.metrics


def test_a_cell_has_the_curves_and_finals_of_its_run(mirror: Mirror, complete: tuple[Store, ExperimentFile]) -> None:
    run = runs_of(mirror, complete[1])[1]["DMT · seed 0"]
    loss = mirror.client.get_metric_history(run.info.run_id, "loss/loss.A")
    assert sorted(metric.step for metric in loss) == list(range(2, 41, 2))
    assert run.data.metrics["per_class/iou_reported.star"] == pytest.approx(0.5)
    assert run.data.metrics["reported_paper"] == pytest.approx(0.58)
    assert run.info.status == "FINISHED"


def test_mlflow_and_the_tidy_table_say_the_same(mirror: Mirror, complete: tuple[Store, ExperimentFile]) -> None:
    _, runs = runs_of(mirror, complete[1])
    frame = tidy.tabulate_ablation(*complete)
    frame = frame[(frame["images"] == "reported") & (frame["metric"] == "miou") & (frame["rule"] != "each")]
    assert len(frame) == 3 * 2 * 3
    for line in frame.itertuples():
        said = runs[f"{line.row} · seed {line.seed}"].data.metrics[f"reported_{line.rule}"]
        assert said == pytest.approx(line.value, abs=1e-12)


def test_the_table_has_the_means_over_seeds(mirror: Mirror, complete: tuple[Store, ExperimentFile]) -> None:
    parent, _ = runs_of(mirror, complete[1])
    assert parent.info.status == "FINISHED"
    # Reported mIoU is .58 for seed 0 and .68 for seed 1; a percent sign is nothing that MLflow takes.
    assert parent.data.metrics["reported_last/DMT"] == pytest.approx(0.63)
    assert parent.data.metrics["reported_last_sd/DMT"] == pytest.approx(0.1 / 2**0.5)
    assert parent.data.metrics["reported_last/DMT_ gamma1 4 _"] == pytest.approx(0.63)
    assert parent.data.metrics["reported_val/Baseline"] == pytest.approx(0.53)
    assert parent.data.metrics["seeds/DMT"] == 2
    folder = Path(mirror.client.download_artifacts(parent.info.run_id, ""))
    with (folder / "means.csv").open() as lines:
        found = {line["row"]: line for line in csv.DictReader(lines)}
    assert list(found) == list(ROWS)
    assert float(found["DMT"]["reported_last"]) == pytest.approx(0.63)


def test_rows_whose_names_differ_only_in_signs_have_metrics_of_their_own(mirror: Mirror, store: Store) -> None:
    rows = {"Baseline": Row("baseline"), "20 %": Row("oracle"), "20 §": Row("oracle")}
    file = ablation_file("signs", rows, seeds=(0,))
    perform(store, file)
    publish(mirror, store, file)
    assert {"reported_last/20 _", "reported_last/20 __"} <= runs_of(mirror, file)[0].data.metrics.keys()


def test_the_page_of_an_ablation_shows_its_table(mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ablation_file("page", ROWS, (0,))
    perform(store, file, ["Baseline"])
    table = "# What is it?\n\n## mIoU\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n- what this means\n"
    monkeypatch.setattr(ablations, "markdown_table", lambda _: table)
    publish(mirror, store, file, "stopped")
    parent, _ = runs_of(mirror, file)
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("## What is each part worth?\n")
    assert "python -m x" in note
    # Both models of DMT need the teacher B, which the baseline has not trained.
    assert "3 runs: 1 complete, 2 interrupted (" in note
    assert "\n\n### mIoU\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n- what this means\n\n```\npython -m x\n```\n" in note
    assert parent.info.status == "KILLED"
    assert (Path(mirror.client.download_artifacts(parent.info.run_id, "")) / "table.md").read_text() == table


def test_of_a_table_that_is_too_long_the_page_shows_whole_grids(
    mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ablation_file("long", {"Baseline": Row("baseline")})
    grid = "| row |\n| --- |\n" + "| x |\n" * 300
    table = f"# Which?\n\n## first\n\n{grid}\n## second\n\n{grid}\n## third\n\n{grid}"
    monkeypatch.setattr(ablations, "markdown_table", lambda _: table)
    publish(mirror, store, file, "running")
    note = runs_of(mirror, file)[0].data.tags["mlflow.note.content"]
    assert "### first" in note
    assert "### second" in note
    assert "third" not in note
    assert "| x |\n\nThe whole table is among the artifacts, in `table.md`.\n\n```\npython -m x\n" in note
    assert len(note) < 4900


def test_a_table_that_cannot_be_made_keeps_nothing_back(
    mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def table(_: pd.DataFrame) -> str:
        raise ValueError("column 'x' mixes data")

    file = ablation_file("no_table", {"Baseline": Row("baseline")})
    perform(store, file)
    monkeypatch.setattr(ablations, "markdown_table", table)
    publish(mirror, store, file)
    parent, runs = runs_of(mirror, file)
    assert len(runs) == 2
    assert all(run.info.status == "FINISHED" for run in runs.values())
    assert "There is no table yet: column 'x' mixes data" in parent.data.tags["mlflow.note.content"]


def test_publishing_an_ablation_twice_changes_nothing(mirror: Mirror, store: Store, tmp_path: Path) -> None:
    file = ablation_file("files", ROWS, seeds=(0,))
    perform(store, file, ["Baseline", "DMT"])
    publish(mirror, store, file, "stopped")
    before = everything(mirror, file.ablation.name)
    publish(mirror, store, file, "stopped")
    other = connect(mirror.uri, tmp_path)  # of another process, which remembers nothing
    publish(other.mirror, store, file, "stopped")
    other.close()
    assert everything(mirror, file.ablation.name) == before
    assert len(before) == 4
    files = {name: files for *_, files in before.values() for name in ["all"] if "panel.png" in files}
    assert files["all"] == ["config.yaml", "curves.png", "panel.png", "stages.json"]


def test_an_interrupted_publication_of_an_ablation_goes_on(
    mirror: Mirror, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, torn = (ablation_file(name, TWO_ROWS, seeds=(0,)) for name in ("whole", "torn"))
    perform(store, whole)
    publish(mirror, store, whole)
    real, calls = Mirror.log_points, []

    def breaks(self: Mirror, run: Any, points: Any) -> None:
        calls.append(1)
        real(self, run, points)
        if len(calls) == 2:  # the metrics are in, the marks are not
            raise ConnectionError("gone")

    monkeypatch.setattr(Mirror, "log_points", breaks)
    with pytest.raises(ConnectionError):
        publish(mirror, store, torn)
    monkeypatch.undo()
    publish(mirror, store, torn)
    metrics = [
        {name: metrics for metrics, _, tags, *_ in everything(mirror, file.ablation.name).values()
         for name in [tags.get("order", "parent")]}
        for file in (whole, torn)
    ]  # fmt: skip
    assert metrics[0] == metrics[1]
    assert len(metrics[0]) == 3


def test_a_failed_cell_says_why_until_it_is_repaired(mirror: Mirror, store: Store) -> None:
    file = ablation_file("failed", TWO_ROWS, seeds=(0,))
    baseline, dmt = file.ablation.members()
    fill(store, baseline.plan)
    fill(store, dmt.plan, rungs=2)
    broken = dmt.plan.rungs[2]["B"].inputs["model"]
    publish(mirror, store, file, failed={broken.name: "the loss became NaN or infinite"})
    parent, runs = runs_of(mirror, file)
    run = runs["DMT · seed 0"]
    assert (run.info.status, run.data.tags["state"]) == ("FAILED", "failed")
    assert run.data.tags["error"] == "the loss became NaN or infinite"
    assert run.data.metrics["iterations/miou_reported.A"] == pytest.approx(0.57)  # as far as it came
    assert "reported_last" not in run.data.metrics
    assert parent.info.status == "FAILED"
    assert "reported_last/DMT" not in parent.data.metrics
    fill(store, dmt.plan)
    publish(mirror, store, file)
    parent, runs = runs_of(mirror, file)
    run = runs["DMT · seed 0"]
    assert (run.info.status, parent.info.status) == ("FINISHED", "FINISHED")
    assert "error" not in run.data.tags
    assert parent.data.metrics["reported_last/DMT"] == pytest.approx(0.58)


def test_while_it_runs_what_is_begun_is_running_and_the_rest_is_not_there(mirror: Mirror, store: Store) -> None:
    file = ablation_file("running", TWO_ROWS)
    first = next(iter(file.ablation.members()))
    fill(store, first.plan)  # which is also the first evaluation of DMT's model A
    publish(mirror, store, file, "running")
    parent, runs = runs_of(mirror, file)
    assert {name: run.info.status for name, run in runs.items()} == {
        "Baseline · seed 0": "FINISHED",
        "DMT · seed 0": "RUNNING",
    }
    assert parent.info.status == "RUNNING"
    assert "4 runs: 1 complete, 2 not begun, 1 running (" in parent.data.tags["mlflow.note.content"]


def test_further_seeds_extend_the_same_table(mirror: Mirror, store: Store) -> None:
    for seeds in ((0,), (0, 1)):
        file = ablation_file("more", {"Baseline": Row("baseline")}, seeds)
        perform(store, file)
        publish(mirror, store, file)
    parent, runs = runs_of(mirror, file)
    assert len(runs) == 2
    history = mirror.client.get_metric_history(parent.info.run_id, "reported_last/Baseline")
    assert [(point.step, round(point.value, 2)) for point in history] == [(1, 0.48), (2, 0.53)]


def test_a_row_that_has_other_settings_now_is_told_from_the_old_one(mirror: Mirror, store: Store) -> None:
    for epochs in (3, 4, 3):
        rows = {"Baseline": Row("baseline"), "Own": Row("oracle", {"oracle.epochs": epochs})}
        file = ablation_file("other", rows, (0,))
        perform(store, file)
        publish(mirror, store, file)
    runs = [run for run in mirror.find({"dmt.name": file.ablation.name}) if run.info.run_name == "Own · seed 0"]
    states = {run.data.params["oracle.epochs"]: (run.data.tags["state"], run.data.tags.get("order")) for run in runs}
    assert states == {"4": ("not in the table", None), "3": ("there", "02-0")}


def test_a_damaged_stage_of_one_cell_does_not_keep_the_others_back(mirror: Mirror, store: Store) -> None:
    file = ablation_file("damaged", {"DMT": Row("dmt"), "Baseline": Row("baseline")}, seeds=(0,))
    perform(store, file)
    damaged = next(file.ablation.members()).plan.rungs[2]["A"]
    (store.path(damaged) / "metrics.json").write_text("{}")
    publish(mirror, store, file)
    _, runs = runs_of(mirror, file)
    states = {name: run.data.tags["state"] for name, run in runs.items()}
    assert states == {"DMT · seed 0": "interrupted", "Baseline · seed 0": "there"}
    perform(store, file)
    publish(mirror, store, file)
    parent, runs = runs_of(mirror, file)
    assert runs["DMT · seed 0"].data.metrics["reported_last"] == pytest.approx(0.58)
    assert parent.data.metrics["reported_last/DMT"] == pytest.approx(0.58)


def test_dmt_publish_brings_ablations_along(store: Store, tmp_path: Path) -> None:
    file = ablation_file("along", TWO_ROWS, seeds=(0,))
    perform(store, file)
    folder = tmp_path / "runs" / "ablations" / file.ablation.name
    files.write(folder, file)
    assert publish_all(tmp_path / "runs", None) == ()
    tracker = connect(None, tmp_path / "runs")
    parent, runs = runs_of(tracker.mirror, file)
    assert tracker.close() == ()
    assert parent.info.status == "FINISHED"
    assert "| DMT " in parent.data.tags["mlflow.note.content"]
    assert len(runs) == 2
    stages = Path(tracker.mirror.client.download_artifacts(runs["DMT · seed 0"].info.run_id, "")) / "stages.json"
    assert len(json.loads(stages.read_text())) == 16
