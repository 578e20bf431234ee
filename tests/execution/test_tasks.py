"""Ablations as they are performed: in which order, on a real Ray, and with a row that fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dmt_ray.execution import tasks
from dmt_ray.experiments import experiment_file
from dmt_ray.methods import METHODS
from dmt_ray.recipes import named
from dmt_ray.results import tidy
from dmt_ray.store import Store
from tests.helpers.paths import ROOT

SCRIPTS = (
    *("components", "labelled_ratio", "human_labels", "iterations", "initial_disagreement", "pets"),
    *("images", "robust_mutual", "architectures", "reliability", "teachers", "methods"),
)


def ablation(*words: str | Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=seconds
    )


def one(stage):
    return 1.0


def groups(*plans):
    return [[stage for rung in plan.rungs for stage in rung.values()] for plan in plans]


def test_the_heaviest_chain_comes_first(tmp_path):
    dmt, baseline = (METHODS[name](named("shapes"), 0) for name in ("dmt", "baseline"))
    todo = tasks.units(Store(tmp_path), groups(baseline, dmt), one, grouped=False)
    assert [unit.targets[0].operation.name for unit in todo[:2]] == ["pretrain", "pretrain"]
    # pretrain; five times label, finetune; evaluate: a chain of 12 stages
    assert [todo[0].weight, todo[-1].weight] == [12.0, 1.0]
    assert len({unit.targets for unit in todo}) == len(todo) == len(dmt.stages())


def test_a_seed_is_finished_before_the_next_one(tmp_path):
    plans = [METHODS["cbst"](named("shapes"), seed) for seed in (3, 1)]
    todo = tasks.units(Store(tmp_path), groups(*plans), one, grouped=False)
    assert [unit.targets[0].seed for unit in todo] == [3] * 17 + [1] * 17  # 1 + 5 x (label, finetune) + 6 scores
    assert todo[0].weight > todo[16].weight


def test_a_unit_needs_what_its_stages_read(tmp_path):
    todo = tasks.units(Store(tmp_path), groups(METHODS["cbst"](named("shapes"), 0)), one, grouped=False)
    for unit in todo:
        assert unit.needs == set(unit.targets[0].inputs.values())


def test_a_worker_group_is_given_what_plans_share_and_then_plan_by_plan(tmp_path):
    plans = [METHODS[name](named("shapes"), seed) for seed in (0, 1) for name in ("baseline", "cbst", "dmt")]
    todo = tasks.units(Store(tmp_path), groups(*plans), one, grouped=True)
    shared, own = [u for u in todo if not u.needs], [u for u in todo if u.needs]
    assert len(shared) == 2  # a seed each: pretrained A, its score, its first labels
    assert sorted(stage.operation.name for stage in shared[0].stages) == ["evaluate", "label", "pretrain"]
    assert len(own) == 4  # CBST and DMT of each seed; the baseline is all shared
    everything = [stage for unit in todo for stage in unit.stages]
    assert len(everything) == len(set(everything)) == len({s for plan in plans for s in plan.stages()})
    assert len({unit.name for unit in todo}) == len(todo)


def all_scripts(*words: str | Path, also: str = "") -> subprocess.CompletedProcess[str]:
    """All ablation scripts with these words, one after the other in one process."""
    code = (
        "import importlib, sys\n"
        f"for name in {SCRIPTS}:\n"
        "    print('script', name, flush=True)\n"
        f"    sys.argv = [name, *{[str(word) for word in words]}]\n"
        "    try:\n"
        "        script = importlib.import_module(f'ablations.{name}')\n"
        "        assert script.main(script.QUESTION) == 0\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0\n" + also
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_help_shows_an_example_and_is_quick():
    done = all_scripts("--help", also="print({'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules))")
    assert done.returncode == 0, done.stderr
    for script in SCRIPTS:
        assert f"dmt ablate {script} --dry-run" in done.stdout
    assert done.stdout.endswith("set()\n")


def test_a_dry_run_says_what_it_would_cost_and_does_nothing(settings, pictures, tmp_path):
    done = all_scripts(
        *("--dry-run", "--seeds", 0, 1, 2, "--set", "split.labelled=4"),
        *("--recipe", settings, "--data", pictures, "--storage", tmp_path / "runs"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in done.stdout.split("script ")[1:]:
        assert "optimizer steps" in text
        assert "With n = 3 the smallest difference you can see is about 2.5 sd" in text
    assert not (tmp_path / "runs" / "ablations").exists()
    assert not (tmp_path / "runs" / "mlflow.db").exists()


def test_a_cell_that_the_data_do_not_allow_is_named(settings, pictures, tmp_path):
    done = ablation(
        *("ablations.labelled_ratio", "--dry-run", "--recipe", settings, "--data", pictures, "--storage", tmp_path)
    )
    assert done.returncode == 2
    assert "Baseline, 32 labelled: split.labelled is 32, but only 24 train images" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--rows", "CBTS"], "there is no row 'CBTS'; did you mean 'CBST'?", id="unknown row"),
        pytest.param(["--seeds", "0", "0"], "--seeds must be different numbers", id="a seed twice"),
        pytest.param(["--recipe", "shape"], "did you mean 'shapes'?", id="unknown recipe"),
        pytest.param(["--workers", "3"], "2 or 4 would do", id="odd workers"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options, words):
    done = ablation("ablations.components", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def performed(settings, pictures, tmp_path_factory):
    """Three rows for two seeds on a real Ray; in one of them fine-tuning comes to a NaN loss."""
    storage = tmp_path_factory.mktemp("ablation") / "runs"
    command = [
        *("tests.helpers.rows", "--seeds", 0, 1, "--recipe", settings, "--data", pictures, "--storage", storage),
    ]
    first = ablation(*command)
    return storage, command, first


def test_a_row_that_fails_costs_no_other_row(performed):
    storage, _, first = performed
    assert first.returncode == 1, first.stdout + first.stderr
    [folder] = (storage / "ablations").iterdir()
    found = tidy.of_ablation(folder)
    last = found[(found.rule == "last") & (found.images == "reported") & (found.metric == "miou")]
    states = {(line.row, line.seed): line.state for line in last.itertuples()}
    assert states == {
        **{("Baseline", seed): "there" for seed in (0, 1)},
        **{("CBST", seed): "there" for seed in (0, 1)},
        **{("CBST, far too fast", seed): "failed" for seed in (0, 1)},
    }
    assert last[last.state == "failed"].error.str.contains("loss").all()


def test_nothing_is_left_behind(performed):
    storage, _, _ = performed
    store = Store(storage)
    assert not store.running()
    assert not list((storage / "ablations").glob("*/doing"))
    assert not list((storage / "staging").glob("*"))


@pytest.mark.slow
def test_a_second_start_tries_only_what_is_missing(performed):
    storage, command, _ = performed
    before = {record.key for record in Store(storage).records()}
    again = ablation(*command)
    assert again.returncode == 1
    assert {record.key for record in Store(storage).records()} == before
    [folder] = (storage / "ablations").iterdir()
    assert len(experiment_file.read_failed(folder)) > 0
    assert json.loads((folder / experiment_file.NAME).read_text())["seeds"] == [0, 1]
    assert os.environ.get("RAY_ADDRESS") is None


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_ends_with_its_table(script, settings, pictures, tmp_path):
    done = ablation(
        *(f"ablations.{script}", "--seeds", 0, 1, "--set", "split.labelled=4", "--set", "oracle.epochs=2"),
        *("--recipe", settings, "--data", pictures, "--storage", tmp_path / "runs"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = (tmp_path / "runs" / "ablations").iterdir()
    assert set(tidy.of_ablation(folder)["state"]) == {"there"}
    [table] = (tmp_path / "runs" / "tables").glob("*.md")
    assert table.stem == f"{script}-mine"
    assert "(n=2)" in table.read_text(encoding="utf-8")


@pytest.mark.slow
def test_worker_groups_perform_the_same_ablation_to_the_same_numbers_but_for_rounding(settings, pictures, tmp_path):
    values = []
    for workers in (1, 2):
        storage = tmp_path / f"with {workers}"
        done = ablation(
            *("ablations.iterations", "--rows", "DMT", "CBST", "--seeds", 0, "--workers", workers),
            *("--recipe", settings, "--data", pictures, "--storage", storage),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        [folder] = (storage / "ablations").iterdir()
        found = tidy.of_ablation(folder)
        values.append(found[(found["rule"] == "each") & (found["metric"] == "miou")]["value"].to_list())
        assert not Store(storage).running()
    # CBST is one model, whose batches two workers share: float32 sums in another order.
    assert values[0] == pytest.approx(values[1], abs=1e-4)
