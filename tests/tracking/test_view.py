"""How MLflow's UI lists and charts runs, as far as tags of the experiment say it; test_browser.py looks at it."""

import json
import sqlite3
from pathlib import Path

import pytest

from dmt_ray.experiments.experiment_file import ExperimentFile
from dmt_ray.experiments.sweep import Sweep
from dmt_ray.methods.space import Choice, Uniform
from dmt_ray.report.publishing import of_sweep
from dmt_ray.store import Store
from dmt_ray.tracking import Mirror, View
from dmt_ray.tracking.publish import publish
from dmt_ray.tracking.view import ALL, LONGEST, TAG, as_tag, below, page_of, run_page, start_page, together
from tests.helpers.fake_stages import CONFIG, NO_COLOURS

pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")]
TRIALS = View([("metrics", "score"), ("params", "gamma")], ("metrics", "score"), False, "score", ["gamma"], ["gamma"])


def test_a_view_has_the_columns_and_the_order_that_the_ui_reads() -> None:
    state = below(TRIALS, "abc")
    assert state["searchFilter"] == "tags.`mlflow.parentRunId` = 'abc'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`score`", False)
    assert state["selectedColumns"] == ["metrics.`score`", "params.`gamma`"]


def test_charts_begin_with_the_score_over_what_was_searched_and_fold_what_is_per_class() -> None:
    state = below(TRIALS, "abc")
    assert [(one["name"], one["display"]) for one in state["compareRunSections"]] == [
        ("score against what was searched", True),
        ("iterations", True),
        ("labels", True),
        ("loss", True),
        ("other", False),
        ("per_class", False),
        ("Model metrics", False),
    ]
    scatter, parallel = state["compareRunCharts"]
    assert (scatter["type"], scatter["xaxis"]["key"], scatter["yaxis"]["key"]) == ("SCATTER", "gamma", "score")
    assert (parallel["type"], parallel["selectedParams"]) == ("PARALLEL", ["gamma"])


def test_two_searched_numbers_have_a_landscape_of_both() -> None:
    view = View([], ("metrics", "score"), False, "score", ["a", "b", "method"], ["a", "b"])
    types = [chart["type"] for chart in below(view, "abc")["compareRunCharts"]]
    assert types == ["SCATTER", "SCATTER", "CONTOUR", "PARALLEL"]


def test_a_view_without_a_score_leaves_the_charts_to_mlflow() -> None:
    assert "compareRunCharts" not in below(View([("tags", "row")], ("tags", "order"), True), "abc")


def test_charts_are_left_out_where_the_tag_would_be_too_long() -> None:
    many = [f"a.long.setting.{i}" for i in range(200)]
    state = below(View([], ("metrics", "score"), False, "score", many, many[:2]), "abc")
    text = as_tag(state)
    assert text is not None
    assert len(text) <= LONGEST < len(json.dumps(state))
    assert "compareRunCharts" not in json.loads(text)
    assert as_tag({"selectedColumns": many * 2}) is None


def test_the_view_of_all_runs_gathers_columns_and_is_left_alone_where_it_has_them() -> None:
    first = as_tag(together(TRIALS, None))
    other = View([("metrics", "score"), ("params", "alpha")], ("metrics", "score"))
    second = as_tag(together(other, first))
    assert second is not None
    assert json.loads(second)["selectedColumns"] == ["metrics.`score`", "params.`alpha`", "params.`gamma`"]
    assert as_tag(together(TRIALS, second)) == second
    assert together(TRIALS, "no JSON")["selectedColumns"] == ["metrics.`score`", "params.`gamma`"]


def test_the_ui_opens_on_training_runs_in_that_view(mirror: Mirror, store: Store, tmp_path: Path) -> None:
    assert start_page(tmp_path) == "#/experiments"  # nothing is published
    space = {"weight.gamma1": Uniform(0, 8), "method": Choice("dmt", "dst")}
    sweep = Sweep("viewed", "Which is best?", CONFIG, "dmt", space, (0,))
    file = ExperimentFile(sweep, tmp_path, recipe="shapes", trials=9, dataset_info=NO_COLOURS.to_json())
    publish(mirror, of_sweep(store.folder / "sweeps" / sweep.name, file, store, "running", []))
    tags = mirror.client.get_experiment(mirror.experiment).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "params.`weight.gamma1`" in json.loads(tags[f"{TAG}{ALL}"])["selectedColumns"]
    (parent,) = mirror.find({"dmt.name": sweep.name})
    state = json.loads(tags[f"{TAG}{parent.info.run_id}"])
    assert state["selectedColumns"] == [
        "metrics.`score`",
        "tags.`state`",
        "tags.`rung`",
        "params.`weight.gamma1`",
        "params.`method`",
    ]
    note = parent.data.tags["mlflow.note.content"]
    assert f"({page_of(mirror.experiment, parent.info.run_id, charts=True)})" in note
    folder = Path(mirror.uri.removeprefix("sqlite:///")).parent
    assert (
        start_page(folder)
        == f"#/experiments/{mirror.experiment}/runs?workflowType=machine_learning&viewStateShareKey=dmt"
    )
    assert run_page(folder, sweep.name) == f"#/experiments/{mirror.experiment}/runs/{parent.info.run_id}"
    assert run_page(folder, "another") is None


def test_a_database_of_another_program_has_no_pages(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "mlflow.db").close()
    assert (start_page(tmp_path), run_page(tmp_path, "x")) == ("#/experiments", None)
