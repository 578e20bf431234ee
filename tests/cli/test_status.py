"""`dmt status`: how a sweep, an ablation and a run stand, by their records."""

import json
import re
from dataclasses import replace

import pytest

from dmt_ray.errors import MissingStages
from dmt_ray.execution.journal import locked
from dmt_ray.experiments import experiment_file
from dmt_ray.experiments.ablation import Row
from dmt_ray.experiments.commands import runnable
from dmt_ray.experiments.sweep import Trial
from dmt_ray.methods import METHODS
from dmt_ray.report.status import _needed, all_statuses, find
from dmt_ray.store import Store
from tests.helpers.fake_stages import CONFIG, ablation_file, perform

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def test_a_sweep_is_counted_by_trials(storage):
    status = find(storage, "joint")
    assert (status.kind, status.question, status.state) == ("sweep", "joint", "failed")
    assert status.members == {"complete": 2, "failed": 1, "interrupted": 1}
    assert status.best.what == "trial 0: gamma1=0 method=dmt"
    assert status.best.score == pytest.approx(0.65)
    assert status.failed == ("trial 2 (gamma1=2 method=dmt): out of memory",)


def test_an_ablation_is_counted_by_runs_and_stages(storage):
    status = find(storage, "components")
    assert (status.state, dict(status.members)) == ("incomplete", {"complete": 2, "missing": 2})
    assert sum(status.stages.values()) == 2 * len(METHODS["dmt"](CONFIG, 0).stages())  # the baseline's are among them
    assert (status.best.what, status.best.measure) == ("Baseline", "mIoU")
    assert status.best.score == pytest.approx((0.5 + 0.6) / 2)  # on the validation images, mean of both seeds


def test_an_oracle_is_never_the_best_row(tmp_path):
    rows = {"Oracle": Row("oracle"), "Baseline": Row("baseline")}
    store, file = Store(tmp_path / "runs"), replace(ablation_file("bounds", rows), storage=tmp_path / "runs")
    experiment_file.write(file.folder, file)
    perform(store, file)  # both rows score the same
    assert find(tmp_path / "runs", "bounds").members == {"complete": 4}
    assert find(tmp_path / "runs", "bounds").best.what == "Baseline"


def test_a_run_is_found_by_the_beginning_of_its_name(storage):
    status = find(storage, "baseline-shapes")
    assert (status.kind, status.state, dict(status.members)) == ("run", "complete", {"complete": 1})
    assert status.stages == {"stored": 2, "missing": 0}


def test_a_misspelt_name_is_told_from_those_of_all_kinds(storage):
    with pytest.raises(
        MissingStages, match=r"no sweep, ablation or run 'joinnt-shapes' in .*; did you mean 'joint-shapes'\?$"
    ):
        find(storage, "joinnt-shapes")


def test_what_a_process_is_at_is_running(storage):
    with locked(find(storage, "components").folder):
        assert find(storage, "components").state == "running"


def test_the_command_goes_on_from_any_folder(storage):
    commands = {status.kind: status.command for status in all_statuses(storage)}
    assert commands["sweep"] == f"dmt sweep joint --trials 4 --storage {storage}"  # --fresh would begin anew
    assert commands["ablation"] == f"dmt ablate components --storage {storage}"
    assert commands["run"] == f"dmt run --method baseline --recipe /home/me/mine.yaml --storage {storage}"


def test_a_storage_folder_that_was_moved_is_read_where_it_is(storage, tmp_path):
    storage.rename(tmp_path / "moved")
    try:
        assert find(tmp_path / "moved", "components").members == {"complete": 2, "missing": 2}
        assert find(tmp_path / "moved", "baseline").state == "complete"
    finally:
        (tmp_path / "moved").rename(storage)


def test_the_command_prints_one_in_full_and_all_in_a_line_each(dmt, storage):
    said = dmt("status", "joint", "--storage", storage)
    assert "\n2 of 4 trials complete, 1 failed, 1 interrupted\n" in said
    assert "best so far: trial 0: gamma1=0 method=dmt, validation mIoU 65.00%\n" in said
    assert "failed: trial 2 (gamma1=2 method=dmt): out of memory\n" in said
    assert said.endswith(f"resume: {runnable(f'dmt sweep joint --trials 4 --storage {storage}')}\n")
    lines = dmt("status", "--storage", storage).splitlines()
    assert [line.split("-")[0] for line in lines] == ["components", "joint", "baseline"]


def test_the_stages_of_a_sweep_are_those_of_trials_that_have_begun(dmt, storage, monkeypatch):
    assert re.search(r"\nstages: \d+ of \d+ stored\n", dmt("status", "joint", "--storage", storage))
    file = experiment_file.read
    monkeypatch.setattr(experiment_file, "read", lambda folder: replace(file(folder), trials=1500))
    said = dmt("status", "joint", "--storage", storage)
    assert "\n2 of 1,500 trials complete, 1 failed, 1 interrupted, 1,496 not begun\n" in said
    assert " stored, of the 4 trials that have begun; those of 1,496 more are not known yet\n" in said


def test_of_a_pruned_trial_the_stages_up_to_where_it_was_count(storage):
    sweep = experiment_file.read(find(storage, "joint").folder).sweep
    params = {"weight.gamma1": 0.0, "method": "dmt"}
    whole, pruned = (len(_needed(sweep, Trial(0, params, state, {0: 0.5}))) for state in ("complete", "pruned"))
    assert (whole, pruned) == (2 * len(METHODS["dmt"](CONFIG, 0).stages()), 2 * 4)  # two models and their scores


def test_runs_of_an_ablation_are_complete_or_not(dmt, storage):
    said = dmt("status", "components", "--storage", storage)
    assert "\n2 of 4 runs complete, 2 incomplete\n" in said


def test_numbers_that_no_trial_has_are_explained_where_there_are_any(dmt, storage, monkeypatch):
    assert "numbers:" not in dmt("status", "joint", "--storage", storage)
    monkeypatch.setattr("dmt_ray.report.status.read_gaps", lambda *_: {7: "tried before"})
    assert "\nnumbers: no trial has number 7 (tried before)\n" in dmt("status", "joint", "--storage", storage)


def test_nothing_is_no_error(dmt, tmp_path):
    assert "start with `" in dmt("status", "--storage", tmp_path)
    assert json.loads(dmt("status", "--storage", tmp_path, "--json")) == {"experiments": []}


def test_what_is_not_there_is_said_with_the_nearest_name(dmt, storage, capsys):
    dmt("status", "jiont", "--storage", storage, status=2)


def test_the_best_of_what_is_complete_is_not_only_the_best_so_far(dmt, storage):
    assert "\nbest: baseline, validation mIoU " in dmt("status", "baseline", "--storage", storage)


def test_why_without_a_name_lists_what_there_is(dmt, storage):
    said = dmt("why", "--storage", storage)
    assert said.startswith(dmt("status", "--storage", storage))
    assert "why NAME` explains" in said


def test_why_without_a_name_is_no_document(dmt, storage):
    dmt("why", "--json", "--storage", storage, status=2)
